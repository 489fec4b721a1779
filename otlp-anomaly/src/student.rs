//! Quantiles of Student's t.

use crate::number::ln_gamma;

/// The value that a Student's t of `freedom` degrees stays below with the chance `1 - above`, for `above` at most a
/// half: by bisection of the distribution, to the last digits of a double.
pub(crate) fn quantile(above: f64, freedom: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while survival(high, freedom) > above && high < 1e300 {
        (low, high) = (high, high * 2.0);
    }
    for _ in 0..80 {
        let middle = low / 2.0 + high / 2.0;
        if survival(middle, freedom) > above { low = middle } else { high = middle }
    }
    low / 2.0 + high / 2.0
}

/// The chance of a value at least as far from zero as `t`.
pub(crate) fn two_sided(t: f64, freedom: f64) -> f64 {
    if t.is_infinite() { 0.0 } else { (2.0 * survival(t.abs(), freedom)).clamp(0.0, 1.0) }
}

/// The chance of more than `t`, which is not negative.
fn survival(t: f64, freedom: f64) -> f64 {
    incomplete_beta(freedom / (freedom + t * t), freedom / 2.0, 0.5) / 2.0
}

/// The regularised incomplete beta function, by its continued fraction (Lentz's way of reckoning it; Thompson and
/// Barnett 1986).
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    // It converges fast only on this side.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta_near(1.0 - x, b, a);
    }
    incomplete_beta_near(x, a, b)
}

fn incomplete_beta_near(x: f64, a: f64, b: f64) -> f64 {
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p()).exp() / a;
    let away = |value: f64| if value.abs() < 1e-300 { 1e-300 } else { value };
    let (mut numerator, mut denominator) = (1.0, 1.0 / away(1.0 - (a + b) * x / (a + 1.0)));
    let mut fraction = denominator;
    for step in 1..400_u32 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let before = fraction;
        for factor in [even, odd] {
            denominator = 1.0 / away(1.0 + factor * denominator);
            numerator = away(1.0 + factor / numerator);
            fraction *= denominator * numerator;
        }
        if (fraction - before).abs() <= f64::EPSILON * fraction.abs() {
            break;
        }
    }
    front * fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_scipy() {
        // scipy.stats.t.isf(above, freedom), scipy 1.17.1.
        for (above, freedom, theirs) in GOLDEN {
            let met = quantile(above, freedom);
            assert!((met / theirs - 1.0).abs() < 1e-9, "{above} {freedom}: {met} for {theirs}");
        }
        assert!((quantile(0.25, 1.0) - (std::f64::consts::PI / 4.0).tan()).abs() < 1e-12);
    }

    const GOLDEN: [(f64, f64, f64); 6] = [
        (0.025, 5.0, 2.5705818356363155),
        (0.000462962962962963, 52.0, 3.51308638116695),
        (1e-06, 10.0, 9.751995490940581),
        (0.4, 3.0, 0.2766706623326898),
        (0.025, 1000.0, 1.9623390808264085),
        (1e-09, 200.0, 6.286347426852264),
    ];
}
