//! Bayesian online change point detection.
#![expect(clippy::indexing_slicing, reason = "runs are looked at below their count")]

use otlp_core::{Error, ErrorKind, Result};

use crate::number::of_len;

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
        Ok(Bocpd {
            config: self,
            runs: vec![State { length: 0, share: 1.0, mean: self.mean, scale: self.scale }],
            factors: Vec::new(),
            likeliest: 0,
        })
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
    runs: Vec<State>,
    factors: Vec<Factor>,
    likeliest: usize,
}

/// A run that may be under way.
#[derive(Debug, Clone, Copy, PartialEq)]
struct State {
    length: usize,
    share: f64,
    mean: f64,
    scale: f64,
}

/// What of Student's density depends on the length of the run alone.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Factor {
    /// Twice the scale times this is what the squared distance is divided by.
    width: f64,
    power: f64,
    density: f64,
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
        let hazard = 1.0 / self.config.expected_run;
        let longest = self.runs.last().map_or(0, |run| run.length);
        while self.factors.len() <= longest {
            self.factors.push(Factor::new(&self.config, self.factors.len()));
        }
        let mut whole = 0.0;
        for run in &mut self.runs {
            let factor = &self.factors[run.length];
            let off = value - run.mean;
            // ln_1p and exp of a sum instead of powers: the densities of far values stay above zero longer.
            let density = factor.density
                - factor.power * (off * off / (run.scale * factor.width)).ln_1p()
                - 0.5 * run.scale.ln();
            run.share *= density.exp();
            whole += run.share;
            let weight = self.config.mean_weight + of_len(run.length);
            run.scale += 0.5 * weight / (weight + 1.0) * off * off;
            run.mean += off / (weight + 1.0);
            run.length += 1;
        }
        if whole <= 0.0 || !whole.is_finite() {
            self.start_anew();
            return self.run(Some(self.likeliest));
        }
        self.renew(hazard, whole);
        self.run(Some(self.likeliest))
    }

    /// Runs that are kept now.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.runs.len()
    }

    /// No run explains the point: all is forgotten.
    fn start_anew(&mut self) {
        let config = &self.config;
        self.runs.clear();
        self.runs.push(State { length: 0, share: 1.0, mean: config.mean, scale: config.scale });
    }

    /// A new run takes the hazard's part of all; the rest is normed and what is too small is dropped.
    fn renew(&mut self, hazard: f64, whole: f64) {
        let least = self.config.least;
        let part = (1.0 - hazard) / whole;
        self.runs.retain_mut(|run| {
            run.share *= part;
            run.share >= least
        });
        if self.runs.len() >= self.config.max_runs {
            let mut shares: Vec<f64> = self.runs.iter().map(|run| run.share).collect();
            let drop = self.runs.len() + 1 - self.config.max_runs;
            let (_, edge, _) = shares.select_nth_unstable_by(drop, f64::total_cmp);
            let edge = *edge;
            self.runs.retain(|run| run.share >= edge);
        }
        let (mean, scale) = (self.config.mean, self.config.scale);
        self.runs.insert(0, State { length: 0, share: hazard, mean, scale });
    }

    fn run(&mut self, before: Option<usize>) -> Run {
        let first = State { length: 0, share: 0.0, mean: 0.0, scale: 0.0 };
        let best = self.runs.iter().fold(first, |best, run| if run.share > best.share { *run } else { best });
        self.likeliest = best.length;
        // A run that goes on is one longer than it was.
        let changed = before.filter(|before| best.length < *before && best.length > 0).map(|_| best.length);
        Run { length: best.length, share: best.share, changed }
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
        Self { width, power: shape + 0.5, density }
    }
}

/// The logarithm of the gamma function above zero, to 1e-12 (J. Stirling's series, after moving the argument to eight and more).
fn ln_gamma(mut x: f64) -> f64 {
    let mut below = 0.0;
    while x < 8.0 {
        below += x.ln();
        x += 1.0;
    }
    let inverse = 1.0 / x;
    let square = inverse * inverse;
    let series = inverse
        * (1.0 / 12.0
            - square
                * (1.0 / 360.0 - square * (1.0 / 1_260.0 - square * (1.0 / 1_680.0 - square / 1_188.0))));
    (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + series - below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gamma_function_is_known() {
        for (x, wanted) in
            [(0.5, 0.572_364_942_924_700_1), (1.0, 0.0), (5.0, 24.0_f64.ln()), (30.0, 71.257_038_967_168_01)]
        {
            assert!((ln_gamma(x) - wanted).abs() < 1e-10, "{x}: {} for {wanted}", ln_gamma(x));
        }
    }

    #[test]
    fn shares_sum_to_one_as_long_as_nothing_is_pruned() {
        let mut changes = BocpdConfig::new().prune(0.0, 4_096).build().unwrap();
        for at in 0..200_u32 {
            changes.observe((f64::from(at) * 0.7).sin());
            let whole: f64 = changes.runs.iter().map(|run| run.share).sum();
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
