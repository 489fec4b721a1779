use super::attention::AttentionConfig;
use super::lstm::LstmConfig;
use super::*;

/// A stretch of a wave with noise.
fn stretch(length: usize, seed: u64) -> Vec<f32> {
    let mut chance = Random::new(seed);
    (0..length).map(|nth| (nth as f32 * 0.9).sin() + 0.3 * (narrow(chance.uniform()) - 0.5)).collect()
}

/// Holds the slope of every weight against the loss a little to either side; gives the largest difference.
fn farthest<N: Network>(mut network: N, window: usize, spoil: fn(&mut [f32])) -> f64 {
    let stretch = stretch(window + 1, 3);
    let mut trace = N::Trace::default();
    let mut gradient = vec![0.0; network.weights().len()];
    network.slope(&stretch, &mut trace, &mut gradient);
    spoil(&mut gradient);
    assert!(
        gradient.iter().filter(|slope| slope.abs() > 1e-6).count() > gradient.len() / 2,
        "slopes are there"
    );
    let mut unused = vec![0.0; gradient.len()];
    let mut farthest = 0.0_f64;
    for (nth, slope) in gradient.iter().enumerate() {
        const STEP: f32 = 4e-3;
        let kept = network.weights()[nth];
        let mut loss = |weight: f32| {
            network.weights_mut()[nth] = weight;
            f64::from(network.slope(&stretch, &mut trace, &mut unused))
        };
        let numeric = (loss(kept + STEP) - loss(kept - STEP)) / f64::from(2.0 * STEP);
        network.weights_mut()[nth] = kept;
        let off = (numeric - f64::from(*slope)).abs();
        farthest = farthest.max(off / (0.02 + 0.2 * numeric.abs()));
    }
    farthest
}

fn lstm() -> Neural<lstm::Cells> {
    LstmConfig::new().hidden(5).window(9).build().unwrap().body
}

fn attention() -> Neural<attention::Heads> {
    AttentionConfig::new().heads(2).width(3).patch(3).window(12).build().unwrap().body
}

#[test]
fn the_slopes_are_those_of_finite_differences() {
    for _ in 0..3 {
        let off = farthest(lstm().network, 9, |_| {});
        assert!(off < 0.1, "lstm: {off}");
        let off = farthest(attention().network, 12, |_| {});
        assert!(off < 0.1, "attention: {off}");
    }
}

#[test]
fn the_twin_with_one_wrong_slope_is_found() {
    let wrong = |gradient: &mut [f32]| gradient[7] += 0.02;
    assert!(farthest(lstm().network, 9, wrong) > 0.3);
    assert!(farthest(attention().network, 12, wrong) > 0.3);
}

#[test]
fn learning_lowers_the_loss() {
    fn loss<N: Network>(network: &N, inputs: &[f32], window: usize) -> f32 {
        let (mut trace, mut unused) = (N::Trace::default(), vec![0.0; network.weights().len()]);
        inputs.windows(window + 1).map(|stretch| network.slope(stretch, &mut trace, &mut unused)).sum()
    }
    fn learned<N: Network>(mut body: Neural<N>) -> (f32, f32) {
        let window = body.course.window;
        body.course.training = 120;
        body.course.effort = 800;
        let inputs = stretch(120, 5);
        let before = loss(&body.network, &inputs, window);
        inputs.iter().for_each(|&value| body.take(f64::from(value)));
        assert!(body.is_taught);
        (before, loss(&body.network, &body.bench.inputs, window))
    }
    for (before, after) in [learned(lstm()), learned(attention())] {
        assert!(after < 0.3 * before, "{before} to {after}");
    }
}

#[test]
fn values_are_made_alike_whatever_their_size() {
    let mut sorted = Vec::new();
    let plain = Standard::of(&[1.0, 2.0, 3.0, 4.0, 100.0], &mut sorted);
    assert!((plain.centre - 3.0).abs() < 1e-12 && (plain.scale - 1.482_6).abs() < 1e-9);
    let mostly = Standard::of(&[5.0, 5.0, 5.0, 5.0, 10.0], &mut sorted);
    assert!((mostly.scale - 1.0).abs() < 1e-12, "half are alike: {mostly:?}");
    for constant in [0.0, 1e-310, -1e25, 1e150] {
        let standard = Standard::of(&[constant; 9], &mut sorted);
        assert!(standard.is_sound(), "{standard:?}");
        assert_eq!(standard.to(constant), 0.0);
        assert_eq!(standard.back(f32::NAN), constant);
        assert!(standard.back(f32::INFINITY).is_finite());
    }
}
