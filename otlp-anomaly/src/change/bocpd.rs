//! Bayesian online change point detection.
#![expect(clippy::indexing_slicing, reason = "runs are looked at below their count")]

use otlp_core::{Error, ErrorKind, Result};

use crate::number::{lanes, largest, ln_gamma, of_len};

/// What a [`Bocpd`] believes before it has seen anything.
///
/// ```
/// use otlp_anomaly::change::BocpdConfig;
/// let mut changes = BocpdConfig::new().expected_run(500.0).build()?;
/// let found = (0..400).filter_map(|at| changes.observe(if at < 200 { 0.0 } else { 6.0 } + f64::from(at % 5) * 0.3).changed);
/// assert_eq!(found.count(), 1);
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct BocpdConfig {
    expected_run: f64,
    mean: f64,
    mean_weight: f64,
    shape: f64,
    scale: f64,
    least: f64,
    max_runs: usize,
}

impl BocpdConfig {
    /// The defaults: values of about zero, give or take one.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            expected_run: 250.0,
            mean: 0.0,
            mean_weight: 1.0,
            shape: 1.0,
            scale: 1.0,
            least: 1e-6,
            max_runs: 512,
        }
    }

    /// Sets how many points there are between changes on average, above 1; default 250.
    #[must_use]
    pub const fn expected_run(mut self, points: f64) -> Self {
        self.expected_run = points;
        self
    }

    /// Sets the mean that is expected, and how many points that counts for (above 0); default 0 and 1.
    #[must_use]
    pub const fn mean(mut self, mean: f64, weight: f64) -> Self {
        self.mean = mean;
        self.mean_weight = weight;
        self
    }

    /// Sets the inverse gamma of the variance, shape and scale above 0; default 1 and 1.
    #[must_use]
    pub const fn variance(mut self, shape: f64, scale: f64) -> Self {
        self.shape = shape;
        self.scale = scale;
        self
    }

    /// Sets how likely a run must be to be kept, 0 to 0.01, and how many are kept at most, 8 to 65,536; default 1e-6 and 512.
    #[must_use]
    pub const fn prune(mut self, least: f64, max_runs: usize) -> Self {
        self.least = least;
        self.max_runs = max_runs;
        self
    }

    /// Makes the detector.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where a value lies outside what its setter says.
    pub fn build(self) -> Result<Bocpd> {
        let above = |value: f64| value > 0.0 && value.is_finite();
        let fits = self.expected_run > 1.0
            && [self.expected_run, self.mean_weight, self.shape, self.scale].into_iter().all(above)
            && self.mean.is_finite()
            && (0.0..=0.01).contains(&self.least)
            && (8..=65_536).contains(&self.max_runs);
        if !fits {
            return Err(Error::new(ErrorKind::Config, format!("bocpd: values out of range in {self:?}")));
        }
        let mut runs = Runs::default();
        runs.begin(&self, 1.0);
        Ok(Bocpd { config: self, runs, factors: Vec::new(), likeliest: 0 })
    }
}

impl Default for BocpdConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// Says after each point how long ago the last change was.
///
/// R. P. Adams and D. MacKay 2007, "Bayesian Online Changepoint Detection", for values that are normal with unknown mean and
/// variance within a run, with a constant hazard. Runs whose share falls below a bound are dropped, and of more than a bound the
/// least likely ones, which makes a point O(runs kept); the factors that depend on the length alone come from a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Bocpd {
    config: BocpdConfig,
    runs: Runs,
    factors: Vec<Factor>,
    likeliest: usize,
}

/// Runs that may be under way, the oldest first, each number of theirs beside those of the others.
#[derive(Debug, Clone, PartialEq, Default)]
struct Runs {
    length: Vec<usize>,
    share: Vec<f64>,
    mean: Vec<f64>,
    scale: Vec<f64>,
    ln_scale: Vec<f64>,
    /// What is worked with during a point.
    desk: Desk,
}

/// The factors of each run's length and what comes of them, in columns so that one instruction works on several runs.
#[derive(Debug, Clone, PartialEq, Default)]
struct Desk {
    width: Vec<f64>,
    power: Vec<f64>,
    density: Vec<f64>,
    step: Vec<f64>,
}

/// What of Student's density depends on the length of the run alone.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Factor {
    /// The squared distance times this is what the scale grows by, and the density falls with how many times it grows.
    width: f64,
    power: f64,
    density: f64,
    /// What of a distance the mean moves by.
    step: f64,
}

/// What is believed after a point.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Run {
    /// Points since the last change, as is likeliest.
    pub length: usize,
    /// How likely that length is, 0 to 1.
    pub share: f64,
    /// Where the likeliest run is another than before: how many points ago it began, this one counted.
    pub changed: Option<usize>,
}

impl Bocpd {
    /// Takes in a point. What is not a finite number is left out.
    pub fn observe(&mut self, value: f64) -> Run {
        if !value.is_finite() {
            return self.run(None);
        }
        let value = value.clamp(-LARGEST, LARGEST);
        let longest = self.runs.length.first().copied().unwrap_or(0);
        while self.factors.len() <= longest {
            self.factors.push(Factor::new(&self.config, self.factors.len()));
        }
        let before = self.likeliest;
        let whole = self.runs.weigh(value, &self.factors);
        if whole > 0.0 && whole.is_finite() {
            self.renew(1.0 / self.config.expected_run, whole);
        } else {
            // No run explains the point: all is forgotten.
            self.runs = Runs::default();
            self.runs.begin(&self.config, 1.0);
        }
        self.run(Some(before))
    }

    /// Runs that are kept now.
    #[must_use]
    pub const fn runs(&self) -> usize {
        self.runs.length.len()
    }

    /// A new run takes the hazard's part of all; the rest is normed and what is too small is dropped.
    fn renew(&mut self, hazard: f64, whole: f64) {
        let part = (1.0 - hazard) / whole;
        self.runs.share.iter_mut().for_each(|share| *share *= part);
        self.runs.keep(self.config.least);
        if self.runs.length.len() >= self.config.max_runs {
            let mut shares = self.runs.share.clone();
            let drop = self.runs.length.len() + 1 - self.config.max_runs;
            let (_, edge, _) = shares.select_nth_unstable_by(drop, f64::total_cmp);
            self.runs.keep(*edge);
        }
        // Equal shares at the edge may have stayed: the oldest of them go.
        self.runs.cut(self.config.max_runs - 1);
        self.runs.begin(&self.config, hazard);
    }

    fn run(&mut self, before: Option<usize>) -> Run {
        let share = largest(&self.runs.share);
        let at = self.runs.share.iter().position(|other| *other >= share);
        let length = at.and_then(|at| self.runs.length.get(at)).copied().unwrap_or(0);
        self.likeliest = length;
        // A run that goes on is one longer than it was.
        let changed = before.filter(|before| length < *before && length > 0).map(|_| length);
        Run { length, share, changed }
    }
}

impl Runs {
    fn begin(&mut self, config: &BocpdConfig, share: f64) {
        self.length.push(0);
        self.share.push(share);
        self.mean.push(config.mean);
        // What is smaller has no full precision.
        let scale = config.scale.max(f64::MIN_POSITIVE);
        self.scale.push(scale);
        self.ln_scale.push(scale.ln());
    }

    /// Multiplies each share with how likely its run makes the value, takes the value into all runs, and gives the sum of shares.
    ///
    /// Nothing in the loops branches, calls or, but in the logarithm, divides, so that they work on several runs at once. Student's
    /// density needs by how much the logarithm of the scale grows, which is kept: one logarithm and one exponential a run.
    fn weigh(&mut self, value: f64, table: &[Factor]) -> f64 {
        let count = self.length.len();
        let desk = &mut self.desk;
        for column in [&mut desk.width, &mut desk.power, &mut desk.density, &mut desk.step] {
            column.resize(count, 0.0);
        }
        let columns = desk.width.iter_mut().zip(&mut desk.power).zip(&mut desk.density).zip(&mut desk.step);
        for (length, (((width, power), density), step)) in self.length.iter_mut().zip(columns) {
            let factor = &table[*length];
            *length += 1;
            (*width, *power) = (factor.width, factor.power);
            (*density, *step) = (factor.density, factor.step);
        }
        let (share, mean) = (&mut self.share[..count], &mut self.mean[..count]);
        let (scale, ln_scale) = (&mut self.scale[..count], &mut self.ln_scale[..count]);
        let (step, width) = (&desk.step[..count], &desk.width[..count]);
        for at in 0..count {
            let off = value - mean[at];
            mean[at] += off * step[at];
            scale[at] += off * off * width[at];
        }
        let (power, density) = (&desk.power[..count], &mut desk.density[..count]);
        for at in 0..count {
            let grown = ln(scale[at]);
            density[at] -= power[at] * (grown - ln_scale[at]) + 0.5 * ln_scale[at];
            ln_scale[at] = grown;
        }
        for at in 0..count {
            share[at] *= exp(density[at]);
        }
        lanes(share, |share| share)
    }

    /// Drops runs whose share is less.
    fn keep(&mut self, least: f64) {
        let Some(mut to) = self.share.iter().position(|share| *share < least) else { return };
        for from in to + 1..self.length.len() {
            if self.share[from] >= least {
                self.length[to] = self.length[from];
                self.share[to] = self.share[from];
                self.mean[to] = self.mean[from];
                self.scale[to] = self.scale[from];
                self.ln_scale[to] = self.ln_scale[from];
                to += 1;
            }
        }
        self.length.truncate(to);
        [&mut self.share, &mut self.mean, &mut self.scale, &mut self.ln_scale]
            .into_iter()
            .for_each(|part| part.truncate(to));
    }

    /// Drops the oldest runs of more than so many.
    fn cut(&mut self, most: usize) {
        let more = self.length.len().saturating_sub(most);
        self.length.drain(..more);
        [&mut self.share, &mut self.mean, &mut self.scale, &mut self.ln_scale]
            .into_iter()
            .for_each(|part| _ = part.drain(..more));
    }
}

/// What is farther from zero overflows when squared.
const LARGEST: f64 = 1e150;

impl Factor {
    fn new(config: &BocpdConfig, length: usize) -> Self {
        let length = of_len(length);
        let (weight, shape) = (config.mean_weight + length, config.shape + length / 2.0);
        let width = 2.0 * (weight + 1.0) / weight;
        let density = ln_gamma(shape + 0.5) - ln_gamma(shape) - 0.5 * (std::f64::consts::PI * width).ln();
        Self { width: 1.0 / width, power: shape + 0.5, density, step: 1.0 / (weight + 1.0) }
    }
}

/// The natural logarithm of a number above zero and of full precision, to 1e-12, without a branch.
#[inline]
fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    // The exponent as a number: put into the low bits of two to the 52nd, which is then taken off.
    let exponent = f64::from_bits((bits >> 52) | TWO_52) - (4_503_599_627_370_496.0 + 1_023.0);
    let near = f64::from_bits((bits & MANTISSA) | 1.0_f64.to_bits());
    let above = near > std::f64::consts::SQRT_2;
    let near = if above { 0.5 * near } else { near };
    let exponent = if above { exponent + 1.0 } else { exponent };
    let odd = (near - 1.0) / (near + 1.0);
    let square = odd * odd;
    let tail = 1.0 / 9.0 + square * (1.0 / 11.0 + square * (1.0 / 13.0 + square * (1.0 / 15.0)));
    let series = 1.0 + square * (1.0 / 3.0 + square * (1.0 / 5.0 + square * (1.0 / 7.0 + square * tail)));
    exponent * std::f64::consts::LN_2 + 2.0 * odd * series
}

/// The bits of two to the 52nd, and those of a mantissa.
const TWO_52: u64 = 0x4330_0000_0000_0000;
const MANTISSA: u64 = 0x000f_ffff_ffff_ffff;

/// The exponential, to 1e-12 of itself, without a branch; what would be below 1e-304 or above 1e304 is held there.
#[inline]
fn exp(x: f64) -> f64 {
    let x = x.clamp(-700.0, 700.0);
    // Adding this number leaves the nearest whole one in the low bits.
    let whole = x * std::f64::consts::LOG2_E + ROUND;
    let near = x - (whole - ROUND) * std::f64::consts::LN_2;
    let tail = 1.0 / 720.0
        + near
            * (1.0 / 5_040.0
                + near * (1.0 / 40_320.0 + near * (1.0 / 362_880.0 + near * (1.0 / 3_628_800.0))));
    let series = 1.0
        + near
            * (1.0
                + near
                    * (0.5 + near * (1.0 / 6.0 + near * (1.0 / 24.0 + near * (1.0 / 120.0 + near * tail)))));
    series * f64::from_bits(whole.to_bits().wrapping_add(1_023) << 52)
}

/// One and a half times two to the 52nd.
const ROUND: f64 = 6_755_399_441_055_744.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithm_and_exponential_are_those_of_the_library() {
        for step in 0..4_000_u32 {
            let x = 1.0 + (f64::from(step) * 0.01).exp();
            for x in [x, 1.0 / x, 1e-300 * x] {
                assert!(
                    (ln(x) - x.ln()).abs() < 1e-11 * x.ln().abs().max(1.0),
                    "{x}: {} for {}",
                    ln(x),
                    x.ln()
                );
            }
            let y = f64::from(step) * 0.2 - 690.0;
            if y < 690.0 {
                assert!((exp(y) / y.exp() - 1.0).abs() < 1e-11, "{y}: {} for {}", exp(y), y.exp());
            }
        }
        assert!((ln(1.0)).abs() < 1e-15 && (exp(0.0) - 1.0).abs() < 1e-15 && exp(-1e9) < 1e-300);
    }

    #[test]
    fn shares_sum_to_one_as_long_as_nothing_is_pruned() {
        let mut changes = BocpdConfig::new().prune(0.0, 4_096).build().unwrap();
        for at in 0..200_u32 {
            changes.observe((f64::from(at) * 0.7).sin());
            let whole: f64 = changes.runs.share.iter().sum();
            assert!((whole - 1.0).abs() < 1e-9, "{whole}");
        }
        assert_eq!(changes.runs(), 201);
    }

    #[test]
    fn a_density_is_students() {
        // One point at the mean with all priors one: Student's t with two degrees of freedom and squared scale two, at zero.
        let mut changes = BocpdConfig::new().build().unwrap();
        changes.factors.push(Factor::new(&changes.config, 0));
        let factor = changes.factors[0];
        let wanted = 1.0 / (2.0 * 2.0_f64.sqrt()) / 2.0_f64.sqrt();
        assert!((factor.density.exp() - wanted).abs() < 1e-9, "{} for {wanted}", factor.density.exp());
    }
}
