//! Extreme values of a stream: SPOT.

use otlp_core::{Error, ErrorKind, Result};

use crate::checkpoint::fields;
use crate::number::{floor, of_len, to_f64};

/// The upper tail of a stream, by a generalised Pareto law over a high threshold (Siffer, Fouque, Termier and
/// Largouet, "Anomaly detection in streams with extreme value theory", KDD 2017).
///
/// The first values, `initial` of them, set the threshold at their 98 % quantile; what later lies above is a peak.
/// The law is that of greatest likelihood, with the shape between -0.5 and 1.5; it is fitted to the newest 256 peaks,
/// each time that a sixteenth more have come. A value whose chance is below the risk is extreme. Unlike the paper's,
/// memory is bounded; extreme values are learned unless their chance is below a twentieth of the risk, since a tail
/// without its end would seem lighter each time; the likelihood has a mild prior on the shape (as Martins and
/// Stedinger, Water Resources Research 2000); and the search for the greatest likelihood runs over the one parameter
/// that Grimshaw's (Technometrics 1993) equation leaves free, not over its roots.
///
/// O(1) a value that is no peak, nothing allocated after the first values.
///
/// ```
/// use otlp_anomaly::score::Spot;
/// let mut spot = Spot::new(1e-3, 500)?;
/// for step in 0..2_000_u32 {
///     // As often above as an exponential is.
///     let value = -(f64::from(step * 617 % 2_000) / 2_000.0 + 1e-4).ln();
///     spot.observe(value);
/// }
/// assert!((spot.threshold() - 1_000_f64.ln()).abs() < 1.0, "{}", spot.threshold());
/// assert!(spot.observe(20.0).is_extreme);
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Spot {
    risk: f64,
    initial: usize,
    /// The first values, until there are enough of them.
    first: Vec<f64>,
    /// The median of the first values and the threshold of the peaks.
    centre: f64,
    base: f64,
    /// The newest excesses over the base, and where the next one goes.
    peaks: Vec<f64>,
    next: usize,
    /// Peaks since the law was fitted.
    unfitted: usize,
    met: u64,
    above: u64,
    law: Law,
}

/// A generalised Pareto law of excesses.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Law {
    shape: f64,
    scale: f64,
}

/// What is held of the shape before anything is known: a normal law with this mean, and one over its variance.
#[derive(Debug, Clone, Copy)]
struct Prior {
    shape: f64,
    certainty: f64,
}

/// A tail a little heavier than that of an exponential, give or take 0.15. A handful of peaks would else often seem
/// to have an end.
const PRIOR: Prior = Prior { shape: 0.1, certainty: 44.0 };

/// What a [`Spot`] says to a value.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Extreme {
    /// How rare values like it are: the negative natural logarithm of the chance of one so high, 0 to 100; half of
    /// them have the median's, which is 0. Nothing is known of it before there were enough values, and it is 0.
    pub rarity: f64,
    /// True where its chance is below the risk.
    pub is_extreme: bool,
}

/// Peaks kept.
const PEAKS: usize = 256;
/// What of the first values lies below the threshold of the peaks.
const BASE: f64 = 0.98;
/// How much rarer than the risk, as a logarithm, a value may be and be learned: nineteen in twenty of those that are
/// extreme by chance.
const STILL_LEARNED: f64 = 3.0;
/// Nothing is said to be rarer.
const RAREST: f64 = 100.0;
const SHAPES: (f64, f64) = (-0.5, 1.5);

impl Spot {
    /// A tail that calls extreme what has a chance below `risk`, 10^-12 to 0.01, once it has seen `initial` values,
    /// 50 to 100,000.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where either is out of range.
    pub fn new(risk: f64, initial: usize) -> Result<Self> {
        let (first, peaks) = (Vec::with_capacity(initial.min(100_000)), Vec::with_capacity(PEAKS));
        let law = Law { shape: 0.0, scale: 1.0 };
        let spot = Self {
            risk,
            initial,
            first,
            centre: 0.0,
            base: 0.0,
            peaks,
            next: 0,
            unfitted: 0,
            met: 0,
            above: 0,
            law,
        };
        if spot.is_sound() {
            return Ok(spot);
        }
        let message = format!(
            "spot: risk {risk} outside 10^-12 to 0.01 or {initial} first values outside 50 to 100,000"
        );
        Err(Error::new(ErrorKind::Config, message))
    }

    fn is_sound(&self) -> bool {
        (1e-12..=0.01).contains(&self.risk)
            && (50..=100_000).contains(&self.initial)
            && self.first.len() <= self.initial
            && self.peaks.len() <= PEAKS
            && self.next < PEAKS
            && self.unfitted <= PEAKS
            && self.met < 1 << 53
            && self.above <= self.met
            && self.peaks.iter().all(|&peak| peak >= 0.0)
            && (SHAPES.0 - 1e-9..=SHAPES.1 + 1e-9).contains(&self.law.shape)
            && self.law.scale > 0.0
    }

    /// Takes the next value, which must be finite and at most 10^150 either way; others are not learned.
    pub fn observe(&mut self, value: f64) -> Extreme {
        self.observe_within(value, self.risk)
    }

    /// The same, calling extreme what has a chance below `risk`; what is learned stays the same.
    pub(crate) fn observe_within(&mut self, value: f64, risk: f64) -> Extreme {
        if value.is_nan() || value.abs() > 1e150 {
            return Extreme { rarity: 0.0, is_extreme: false };
        }
        if !self.is_ready() {
            self.first.push(value);
            if self.first.len() >= self.initial {
                self.begin();
            }
            return Extreme { rarity: 0.0, is_extreme: false };
        }
        let rarity = self.rarity(value);
        let limit = -self.risk.ln();
        if rarity < limit + STILL_LEARNED {
            self.met += 1;
            if value > self.base {
                self.learn(value - self.base);
            }
        }
        Extreme { rarity, is_extreme: rarity >= -risk.ln() }
    }

    /// True once the first values were met.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        self.met > 0
    }

    /// The median of the first values.
    #[must_use]
    pub const fn centre(&self) -> f64 {
        self.centre
    }

    /// The value from which on one is extreme; infinite before there were enough.
    #[must_use]
    pub fn threshold(&self) -> f64 {
        self.threshold_within(self.risk)
    }

    pub(crate) fn threshold_within(&self, risk: f64) -> f64 {
        if !self.is_ready() {
            return f64::INFINITY;
        }
        let rarer = risk / self.share();
        let Law { shape, scale } = self.law;
        let excess = if shape.abs() < 1e-9 { -rarer.ln() } else { (rarer.powf(-shape) - 1.0) / shape };
        self.base + scale * excess.max(0.0)
    }

    /// How often values lie above the base.
    fn share(&self) -> f64 {
        to_f64(self.above.max(1)) / to_f64(self.met.max(1))
    }

    fn rarity(&self, value: f64) -> f64 {
        let at_base = -self.share().ln();
        if value <= self.base {
            // Between the median and the base on a line: one in two there, as rare as any peak here.
            let width = self.base - self.centre;
            let part = if width > 0.0 { (value - self.centre) / width } else { 0.0 };
            return at_base * part.clamp(0.0, 1.0);
        }
        let Law { shape, scale } = self.law;
        let excess = (value - self.base) / scale;
        let left = 1.0 + shape * excess;
        let beyond = if shape.abs() < 1e-9 {
            excess
        } else if left <= 0.0 {
            RAREST
        } else {
            left.ln() / shape
        };
        (at_base + beyond).clamp(0.0, RAREST)
    }

    /// Sets median, base and law from the first values.
    fn begin(&mut self) {
        self.first.sort_unstable_by(f64::total_cmp);
        let count = self.first.len();
        let place = usize::try_from(floor(BASE * of_len(count))).unwrap_or(count);
        let at = |place: usize| self.first.get(place.min(count - 1)).copied().unwrap_or_default();
        (self.centre, self.base) = (at(count / 2), at(place));
        self.met = u64::try_from(count).unwrap_or(u64::MAX);
        let base = self.base;
        let peaks = self.first.iter().rev().map(|value| value - base).take_while(|&peak| peak > 0.0);
        self.peaks.extend(peaks.take(PEAKS));
        self.above = u64::try_from(self.peaks.len()).unwrap_or(0).max(1);
        self.next = self.peaks.len() % PEAKS;
        if self.peaks.is_empty() {
            // Nothing is above: as wide as from the median to the base, or as the values themselves are fine.
            let width = self.base - self.centre;
            let fine = self.base.abs() * 1e-9;
            self.law = Law { shape: 0.0, scale: (width / 4.0).max(fine).max(f64::MIN_POSITIVE) };
        } else {
            self.fit();
        }
        self.first = Vec::new();
    }

    fn learn(&mut self, peak: f64) {
        self.above += 1;
        if self.peaks.len() < PEAKS {
            self.peaks.push(peak);
        } else if let Some(slot) = self.peaks.get_mut(self.next) {
            *slot = peak;
        }
        self.next = (self.next + 1) % PEAKS;
        self.unfitted += 1;
        // A peak more hardly changes what many say.
        if self.unfitted * 16 >= self.peaks.len() {
            self.fit();
        }
    }

    fn fit(&mut self) {
        self.unfitted = 0;
        if let Some(law) = Law::fit(&self.peaks, PRIOR) {
            self.law = law;
        }
    }
}

impl Law {
    fn is_sound(&self) -> bool {
        self.scale > 0.0
    }

    /// The law of greatest likelihood. With `x` the shape over the scale, the shape is the mean of `ln(1 + x *
    /// peak)`, which leaves a likelihood of `x` alone; the shape rises with `x`, so that bounds on the one are bounds
    /// on the other.
    fn fit(peaks: &[f64], prior: Prior) -> Option<Self> {
        let count = of_len(peaks.len());
        let mean = peaks.iter().sum::<f64>() / count;
        let largest = peaks.iter().copied().fold(0.0, f64::max);
        if !(mean > 0.0 && mean.is_finite()) {
            return None;
        }
        let shape = |x: f64| peaks.iter().map(|peak| (x * peak).ln_1p()).sum::<f64>() / count;
        let likelihood = |x: f64| {
            let shape = shape(x);
            // The scale, which is the mean where there is no shape.
            let scale = if (x * mean).abs() < 1e-7 { mean } else { shape / x };
            -(scale / mean).ln() - shape - prior.certainty / count * (shape - prior.shape).powi(2) / 2.0
        };
        let low = bisect(|x| shape(x) >= SHAPES.0, (-1.0 + 1e-9) / largest, 0.0);
        let mut far = 1.0 / mean;
        for _ in 0..60 {
            if shape(far) >= SHAPES.1 {
                break;
            }
            far *= 4.0;
        }
        let high = bisect(|x| shape(x) >= SHAPES.1, 0.0, far);
        let best = highest(likelihood, [(low, 0.0), (0.0, high)]);
        let shape = shape(best);
        let scale = if (best * mean).abs() < 1e-7 { mean } else { shape / best };
        (scale > 0.0 && scale.is_finite()).then(|| Self { shape: shape.clamp(SHAPES.0, SHAPES.1), scale })
    }
}

/// Where a condition begins to hold between two ends; the lower end where it holds there.
fn bisect(holds: impl Fn(f64) -> bool, mut low: f64, mut high: f64) -> f64 {
    if holds(low) {
        return low;
    }
    for _ in 0..30 {
        let middle = low / 2.0 + high / 2.0;
        if holds(middle) { high = middle } else { low = middle }
    }
    high
}

/// Steps that each span is looked at in first.
const GRID: u32 = 12;

/// Where a function is highest: a grid over each span, and a golden section around its best place.
fn highest(of: impl Fn(f64) -> f64, spans: [(f64, f64); 2]) -> f64 {
    let (mut best, mut around, mut value) = (0.0, (0.0, 0.0), of(0.0));
    for (low, high) in spans {
        let step = (high - low) / f64::from(GRID);
        for nth in 0..=GRID {
            // Nearer to zero the steps are finer: that is where most shapes are.
            let part = f64::from(nth) / f64::from(GRID);
            let at = if high > 0.0 { high * part * part } else { low * part * part };
            let met = of(at);
            if met > value {
                (best, value) = (at, met);
                around = ((at - 2.0 * step).max(low), (at + 2.0 * step).min(high));
            }
        }
    }
    if around == (0.0, 0.0) {
        let [(low, high), (_, far)] = spans;
        around = ((low - high) / f64::from(GRID * GRID), far / f64::from(GRID * GRID));
    }
    let golden = 0.618_033_988_749_894_9;
    let (mut low, mut high) = around;
    for _ in 0..32 {
        let (left, right) = (high - golden * (high - low), low + golden * (high - low));
        if of(left) > of(right) { high = right } else { low = left }
    }
    let at = low / 2.0 + high / 2.0;
    if of(at) >= value { at } else { best }
}

fields!(Law { shape: f64, scale: f64 });
fields!(Spot {
    risk: f64,
    initial: usize,
    first: Vec<f64>,
    centre: f64,
    base: f64,
    peaks: Vec<f64>,
    next: usize,
    unfitted: usize,
    met: u64,
    above: u64,
    law: Law,
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// `scipy.stats.genpareto.ppf((np.arange(40) + 0.5) / 40, shape, scale=scale)`.
    fn quantiles(shape: f64, scale: f64) -> Vec<f64> {
        let part = |nth: u32| (f64::from(nth) + 0.5) / 40.0;
        (0..40).map(|nth| scale * ((1.0 - part(nth)).powf(-shape) - 1.0) / shape).collect()
    }

    #[test]
    fn the_law_is_the_one_that_scipy_fits() {
        for (shape, scale, theirs) in GOLDEN {
            let law = Law::fit(&quantiles(shape, scale), Prior { shape: 0.0, certainty: 0.0 }).unwrap();
            assert!((law.shape - theirs.0).abs() < 1e-3, "{law:?} for {theirs:?}");
            assert!((law.scale - theirs.1).abs() < 2e-3, "{law:?} for {theirs:?}");
        }
    }

    #[test]
    fn the_threshold_of_an_exponential_is_where_it_must_be_and_the_risk_is_kept() {
        let (mut spot, mut random) = (Spot::new(1e-3, 1_000).unwrap(), Random::new(5));
        let extreme = (0..20_000).filter(|_| spot.observe(random.exponential()).is_extreme).count();
        assert!((spot.threshold() - 1_000_f64.ln()).abs() < 0.8, "{}", spot.threshold());
        assert!((5..45).contains(&extreme), "{extreme} where 19 are due");
    }

    #[test]
    fn what_never_varied_is_extreme_once_it_does_and_odd_values_are_left_out() {
        let mut spot = Spot::new(1e-4, 50).unwrap();
        assert!((0..200).all(|_| !spot.observe(5.0).is_extreme));
        assert!(spot.observe(5.1).is_extreme);
        assert!(!spot.observe(f64::NAN).is_extreme && !spot.observe(f64::INFINITY).is_extreme);
        assert!(Spot::new(0.5, 50).is_err() && Spot::new(1e-4, 5).is_err());
    }

    /// Shape and scale of the quantiles, and those of `scipy.stats.genpareto.fit(x, floc=0)` of scipy 1.17.1, its
    /// likelihood brought to its top by `scipy.optimize.minimize(method="Nelder-Mead")`.
    const GOLDEN: [(f64, f64, (f64, f64)); 3] = [
        (0.25, 2.0, (0.209_829, 2.058_646)),
        (-0.2, 1.0, (-0.249_720, 1.042_287)),
        (0.6, 0.5, (0.563_497, 0.511_342)),
    ];
}
