//! A layer of attention.

use otlp_core::{Error, ErrorKind, Result};

use super::kernel::{add, dot, huber, narrow, softmax, spread, tanh};
use super::{Course, Network, Neural, detector};
use crate::checkpoint::fields;
use crate::feature::setters;
use crate::number::of_len;
use crate::random::Random;

/// How an [`Attention`] looks back and learns.
///
/// ```
/// use otlp_anomaly::detect::AttentionConfig;
/// let small = AttentionConfig::new().window(32).heads(2).training(256).build()?;
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AttentionConfig {
    heads: usize,
    width: usize,
    patch: usize,
    window: usize,
    training: usize,
    refit_every: u32,
    effort: u32,
    seed: u64,
}

impl AttentionConfig {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            heads: 4,
            width: 8,
            patch: 8,
            window: 64,
            training: 512,
            refit_every: 1_024,
            effort: 16_000,
            seed: 1,
        }
    }

    setters! {
        heads: usize = "Sets in how many ways it looks back, 1 to 8; default 4.";
        width: usize = "Sets how many numbers a look compares, 1 to 32; default 8.";
        patch: usize = "Sets how many points in a row are looked at as one, 1 to 32 and at most half the window; default 8.";
        window: usize = "Sets how many points back it looks, 4 to 256; default 64.";
        training: usize = "Sets how many points are learned from, twice the window to 16,384; default 512.";
        refit_every: u32 = "Sets after how many points is learned again, 16 at least; default 1,024, and 0 for never.";
        effort: u32 = "Sets from how many stretches of a window's length is learned at first, and a quarter of it each time again, 8 to 50,000; default 16,000.";
        seed: u64 = "Sets where chance begins; default 1.";
    }

    /// Makes the detector.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where a value lies outside what its setter says.
    pub fn build(self) -> Result<Attention> {
        let (course, shape) = (self.course(), self.shape());
        if !course.is_sound() || !shape.is_sound() {
            return Err(Error::new(ErrorKind::Config, format!("attention: values out of range in {self:?}")));
        }
        let mut chance = Random::new(self.seed);
        Ok(Attention { body: Neural::new(course, Heads::new(shape, &mut chance), chance) })
    }

    const fn course(self) -> Course {
        let Self { window, training, refit_every, effort, .. } = self;
        Course { window, training, refit_every, effort }
    }

    const fn shape(self) -> Shape {
        let Self { heads, width, patch, window, .. } = self;
        Shape { heads, width, patch, window }
    }
}

impl Default for AttentionConfig {
    fn default() -> Self {
        Self::new()
    }
}

detector! {
    /// Foresees a point with a layer of attention over the near past, and scores it by how far off it is, in usual errors.
    ///
    /// The newest points are held against every earlier stretch of the window; what came after the stretches that are like
    /// them, or that lie as far back as was learned to matter, says what comes now. Else it is as [`Lstm`](super::Lstm): the
    /// first points teach it, it learns again now and then, and it is for patterns that repeat within the window. It looks
    /// back twice as far for less time.
    ///
    /// Attention is the scaled product of queries and keys with learned places, in several heads (Vaswani et al.,
    /// "Attention is all you need", 2017); keys are patches of points, and the heads, with the newest points, go through one
    /// layer of tanh and past it. Training is as for the [`Lstm`](super::Lstm).
    ///
    /// A point costs O(heads * window * (width + patch)), some microseconds by default; learning costs three times that for
    /// each stretch of the effort, at once, within the call that is due. Nothing is allocated after the first learning.
    ///
    /// ```
    /// use otlp_anomaly::detect::{AttentionConfig, Detector};
    /// use otlp_core::UnixNanos;
    /// let config = AttentionConfig::new().heads(2).patch(3).window(16).training(120).effort(1_200);
    /// let mut detector = config.build()?;
    /// let usual = |minute: u64| f64::from([1.0_f32, 5.0, 4.0, 9.0, 2.0][(minute % 5) as usize]);
    /// for minute in 0..150 {
    ///     detector.judge_one(UnixNanos::from_secs(60 * minute), usual(minute));
    /// }
    /// // A nine where a one was due: usual, but not now.
    /// let judgement = detector.judge_one(UnixNanos::from_secs(60 * 150), 9.0);
    /// assert!(judgement.score > 5.0 && judgement.expected < 4.0, "{judgement:?}");
    /// # Ok::<(), otlp_anomaly::Error>(())
    /// ```
    Attention(Heads) = 15
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    heads: usize,
    width: usize,
    patch: usize,
    window: usize,
}

fields!(Shape { heads: usize, width: usize, patch: usize, window: usize });

impl Shape {
    fn is_sound(&self) -> bool {
        (1..=8).contains(&self.heads)
            && (1..=32).contains(&self.width)
            && (1..=32).contains(&self.patch)
            && (4..=256).contains(&self.window)
            && 2 * self.patch <= self.window
    }

    /// Earlier stretches that have a point after them within the window.
    const fn places(&self) -> usize {
        self.window.saturating_sub(self.patch)
    }

    /// Weights of a head: the query's and its bias, the key's, and those of the places.
    const fn of_head(&self) -> usize {
        self.width * (2 * self.patch + 1 + self.places())
    }

    /// What the heads gather, behind the newest points.
    const fn gathered(&self) -> usize {
        self.patch + self.heads * (self.patch + 1)
    }

    /// Of the layer, the weights of what goes past it, the bias of the layer, its sum, and the bias of that.
    const fn of_layer(&self) -> usize {
        LAYER * self.gathered() + self.gathered() + 2 * LAYER + 1
    }

    const fn count(&self) -> usize {
        self.heads * self.of_head() + self.of_layer()
    }

    /// What products of queries and keys are multiplied by.
    fn calm(&self) -> f32 {
        1.0 / narrow(of_len(self.width)).sqrt()
    }
}

/// Units of the layer behind the heads.
const LAYER: usize = 16;

/// The network.
///
/// A head with the newest points `p` asks `q = Q p + b`. The stretch at place `j` answers with `q . (K p_j + e_j)` in
/// calmed products, and softmax of these gathers the stretches with the point after each. As nothing but sums lies
/// between, `K` is applied to the query once and not to each stretch.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Heads {
    shape: Shape,
    weights: Vec<f32>,
}

fields!(Heads { shape: Shape, weights: Vec<f32> });

/// What a pass leaves behind for the way back.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Trace {
    /// For each head what it asks, and that as a patch.
    asked: Vec<f32>,
    sought: Vec<f32>,
    /// For each head how much it looks at each place.
    looks: Vec<f32>,
    /// The newest points and what the heads gathered, and what the layer made of it.
    gathered: Vec<f32>,
    layer: Vec<f32>,
    /// Slopes on the way back: of what was gathered, of a head's looks, of what it sought and asked.
    of_gathered: Vec<f32>,
    of_looks: Vec<f32>,
    of_sought: Vec<f32>,
    of_asked: Vec<f32>,
}

/// Weights of a head by what they are for.
struct Head<'a> {
    query: &'a [f32],
    bias: &'a [f32],
    key: &'a [f32],
    places: &'a [f32],
}

/// Weights behind the heads by what they are for.
struct Layer<'a> {
    units: &'a [f32],
    straight: &'a [f32],
    bias: &'a [f32],
    sum: &'a [f32],
    sum_bias: f32,
}

/// A slice in two, the second part empty where it is too short.
fn cut(slice: &[f32], at: usize) -> (&[f32], &[f32]) {
    slice.split_at(at.min(slice.len()))
}

fn cut_mut(slice: &mut [f32], at: usize) -> (&mut [f32], &mut [f32]) {
    slice.split_at_mut(at.min(slice.len()))
}

impl Shape {
    fn head<'a>(&self, weights: &'a [f32]) -> Head<'a> {
        let (query, rest) = cut(weights, self.width * self.patch);
        let (bias, rest) = cut(rest, self.width);
        let (key, places) = cut(rest, self.width * self.patch);
        Head { query, bias, key, places }
    }

    fn layer<'a>(&self, weights: &'a [f32]) -> Layer<'a> {
        let (units, rest) = cut(weights, LAYER * self.gathered());
        let (straight, rest) = cut(rest, self.gathered());
        let (bias, rest) = cut(rest, LAYER);
        let (sum, rest) = cut(rest, LAYER);
        Layer { units, straight, bias, sum, sum_bias: rest.first().copied().unwrap_or_default() }
    }
}

impl Heads {
    fn new(shape: Shape, chance: &mut Random) -> Self {
        let mut weights = vec![0.0; shape.count()];
        let (heads, layer) = cut_mut(&mut weights, shape.heads * shape.of_head());
        for head in heads.chunks_exact_mut(shape.of_head()) {
            let (query, rest) = cut_mut(head, shape.width * shape.patch);
            let (_, rest) = cut_mut(rest, shape.width);
            let (key, places) = cut_mut(rest, shape.width * shape.patch);
            spread(query, (shape.patch, shape.width), chance);
            spread(key, (shape.patch, shape.width), chance);
            spread(places, (shape.width, shape.width), chance);
        }
        let (units, rest) = cut_mut(layer, LAYER * shape.gathered());
        spread(units, (shape.gathered(), LAYER), chance);
        let (_, rest) = cut_mut(rest, shape.gathered() + LAYER);
        let (sum, _) = cut_mut(rest, LAYER);
        spread(sum, (LAYER, 1), chance);
        Self { shape, weights }
    }

    fn is_sound(&self) -> bool {
        self.weights.len() == self.shape.count()
    }

    /// Runs over the window and leaves a trace; gives what is foreseen.
    fn run(&self, values: &[f32], trace: &mut Trace) -> f32 {
        let shape = self.shape;
        let (width, patch, places) = (shape.width, shape.patch, shape.places());
        trace.asked.resize(shape.heads * width, 0.0);
        trace.sought.resize(shape.heads * patch, 0.0);
        trace.looks.resize(shape.heads * places, 0.0);
        trace.gathered.resize(shape.gathered(), 0.0);
        trace.layer.resize(LAYER, 0.0);
        let (_, newest) = cut(values, places);
        let (heads, layer) = cut(&self.weights, shape.heads * shape.of_head());
        let (first, gathered) = cut_mut(&mut trace.gathered, patch);
        first.copy_from_slice(newest);
        let asked = trace.asked.chunks_exact_mut(width).zip(trace.sought.chunks_exact_mut(patch));
        let looks = trace.looks.chunks_exact_mut(places).zip(gathered.chunks_exact_mut(patch + 1));
        for ((head, (asked, sought)), (looks, gathered)) in
            heads.chunks_exact(shape.of_head()).zip(asked).zip(looks)
        {
            let head = shape.head(head);
            for (asked, (query, bias)) in asked.iter_mut().zip(head.query.chunks_exact(patch).zip(head.bias))
            {
                *asked = (dot(query, newest) + bias) * shape.calm();
            }
            sought.fill(0.0);
            asked.iter().zip(head.key.chunks_exact(patch)).for_each(|(asked, key)| add(sought, *asked, key));
            let stretches = values.windows(patch).zip(head.places.chunks_exact(width));
            for (look, (stretch, place)) in looks.iter_mut().zip(stretches) {
                *look = dot(sought, stretch) + dot(asked, place);
            }
            softmax(looks);
            gathered.fill(0.0);
            looks.iter().zip(values.windows(patch + 1)).for_each(|(look, with)| add(gathered, *look, with));
        }
        let layer = shape.layer(layer);
        let units = layer.units.chunks_exact(shape.gathered()).zip(layer.bias);
        for (made, (unit, bias)) in trace.layer.iter_mut().zip(units) {
            *made = tanh(dot(unit, &trace.gathered) + bias);
        }
        dot(layer.sum, &trace.layer) + dot(layer.straight, &trace.gathered) + layer.sum_bias
    }

    /// The way back through what lies behind the heads.
    fn behind(&self, slope: f32, trace: &mut Trace, gradient: &mut [f32]) {
        let shape = self.shape;
        let (_, layer) = cut(&self.weights, shape.heads * shape.of_head());
        let layer = shape.layer(layer);
        let (into_units, rest) = cut_mut(gradient, LAYER * shape.gathered());
        let (into_straight, rest) = cut_mut(rest, shape.gathered());
        let (into_bias, rest) = cut_mut(rest, LAYER);
        let (into_sum, into_last) = cut_mut(rest, LAYER);
        add(into_straight, slope, &trace.gathered);
        add(into_sum, slope, &trace.layer);
        add(into_last, slope, &[1.0]);
        trace.of_gathered.clear();
        trace.of_gathered.resize(shape.gathered(), 0.0);
        add(&mut trace.of_gathered, slope, layer.straight);
        let units = layer.units.chunks_exact(shape.gathered()).zip(layer.sum).zip(&trace.layer);
        let into = into_units.chunks_exact_mut(shape.gathered()).zip(into_bias);
        for (((unit, sum), made), (into_unit, into_bias)) in units.zip(into) {
            let of_unit = slope * sum * (1.0 - made * made);
            add(into_unit, of_unit, &trace.gathered);
            *into_bias += of_unit;
            add(&mut trace.of_gathered, of_unit, unit);
        }
    }
}

impl Network for Heads {
    type Trace = Trace;

    /// Half of it and four times it learn as well (`tests/neural.rs`).
    const PACE: f32 = 0.006;

    fn weights(&self) -> &[f32] {
        &self.weights
    }

    fn weights_mut(&mut self) -> &mut [f32] {
        &mut self.weights
    }

    fn foresee(&self, values: &[f32], trace: &mut Trace) -> f32 {
        self.run(values, trace)
    }

    fn slope(&self, stretch: &[f32], trace: &mut Trace, gradient: &mut [f32]) -> f32 {
        let shape = self.shape;
        let (width, patch, places) = (shape.width, shape.patch, shape.places());
        let Some((wanted, values)) = stretch.split_last() else { return 0.0 };
        let (loss, slope) = huber(self.run(values, trace) - wanted);
        let (heads, _) = cut(&self.weights, shape.heads * shape.of_head());
        let (into_heads, into_layer) = cut_mut(gradient, shape.heads * shape.of_head());
        self.behind(slope, trace, into_layer);
        let Trace { asked, sought, looks, of_gathered, of_looks, of_sought, of_asked, .. } = trace;
        of_looks.resize(places, 0.0);
        let (_, newest) = cut(values, places);
        let (_, of_gathered) = cut(of_gathered, patch);
        let asked = asked.chunks_exact(width).zip(sought.chunks_exact(patch));
        let looks = looks.chunks_exact(places).zip(of_gathered.chunks_exact(patch + 1));
        let heads = heads.chunks_exact(shape.of_head()).zip(into_heads.chunks_exact_mut(shape.of_head()));
        for (((head, into), (asked, _)), (looks, of_gathered)) in heads.zip(asked).zip(looks) {
            let head = shape.head(head);
            let (into_query, rest) = cut_mut(into, width * patch);
            let (into_bias, rest) = cut_mut(rest, width);
            let (into_key, into_places) = cut_mut(rest, width * patch);
            for (of_look, with) in of_looks.iter_mut().zip(values.windows(patch + 1)) {
                *of_look = dot(of_gathered, with);
            }
            // Softmax: what raises one look lowers the others.
            let mean = dot(of_looks, looks);
            of_looks.iter_mut().zip(looks).for_each(|(slope, look)| *slope = look * (*slope - mean));
            for each in [&mut *of_sought, &mut *of_asked] {
                each.clear();
            }
            of_sought.resize(patch, 0.0);
            of_asked.resize(width, 0.0);
            let stretches = values.windows(patch).zip(head.places.chunks_exact(width));
            let into_places = into_places.chunks_exact_mut(width);
            for ((of_look, (stretch, place)), into_place) in of_looks.iter().zip(stretches).zip(into_places) {
                add(of_sought, *of_look, stretch);
                add(of_asked, *of_look, place);
                add(into_place, *of_look, asked);
            }
            let keys = head.key.chunks_exact(patch).zip(into_key.chunks_exact_mut(patch));
            for ((of_asked, asked), (key, into_key)) in of_asked.iter_mut().zip(asked).zip(keys) {
                *of_asked += dot(key, of_sought);
                add(into_key, *asked, of_sought);
            }
            let queries = into_query.chunks_exact_mut(patch).zip(into_bias);
            for (of_asked, (into_query, into_bias)) in of_asked.iter().zip(queries) {
                add(into_query, of_asked * shape.calm(), newest);
                *into_bias += of_asked * shape.calm();
            }
        }
        loss
    }
}
