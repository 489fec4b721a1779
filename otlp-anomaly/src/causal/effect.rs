//! The effect of one node on another, with its error.

use otlp_core::{Error, ErrorKind, Result};

use super::graph::CausalGraph;
use super::refute::{Refutation, refute};
use super::regress::{Basis, Line, dot};
use super::samples::{Samples, malformed};
use crate::feature::setters;
use crate::number::{floor, of_len};
use crate::student;

/// How the rows of the samples hang together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Order {
    /// Not at all: one row says nothing of the next. Exact p-values where noise is normal.
    #[default]
    Independent,
    /// They are steps of time, and noise goes on for a while: errors by Newey and West over `4 (rows / 100)^(2/9)`
    /// steps, placebos that are the treatment of another time. Good from about a hundred rows on.
    InTime,
}

/// How effects are estimated and tried.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EstimatorConfig {
    order: Order,
    placebos: u32,
    seed: u64,
}

impl EstimatorConfig {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self { order: Order::Independent, placebos: 199, seed: 1 }
    }

    setters! {
        order: Order = "Sets how rows hang together; default [`Order::Independent`].";
        placebos: u32 = "Sets how many placebos are tried, 19 to 10,000; default 199.";
        seed: u64 = "Sets what placebos are drawn from; default 1.";
    }

    /// Makes the estimator.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for fewer than 19 placebos, which cannot tell one in twenty, or more than 10,000.
    pub fn build(self) -> Result<Estimator> {
        if !(19..=10_000).contains(&self.placebos) {
            let message = format!("estimator: {} placebos are not within 19 and 10000", self.placebos);
            return Err(Error::new(ErrorKind::Config, message));
        }
        Ok(Estimator { config: self })
    }
}

impl Default for EstimatorConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// Estimates effects: pure, and the same every time.
///
/// ```
/// use otlp_anomaly::causal::{CausalGraph, EstimatorConfig, Samples};
/// // Load moves both; of the three seconds that shop seems to take for each of db, two are its own.
/// let load: Vec<f64> = (0..200).map(|row| f64::from(row * 37 % 101) / 50.0).collect();
/// let noise = |row: usize, by: usize| (row * by % 89) as f64 / 89.0 - 0.5;
/// let db: Vec<f64> = load.iter().enumerate().map(|(row, load)| load + noise(row, 53)).collect();
/// let shop: Vec<f64> = (0..200).map(|row| 2.0 * db[row] + 4.0 * load[row] + noise(row, 31)).collect();
/// let graph = CausalGraph::new([("load", "db"), ("load", "shop"), ("db", "shop")])?;
/// let samples = Samples::new([("load", &load[..]), ("db", &db), ("shop", &shop)])?;
/// let effect = EstimatorConfig::new().build()?.estimate(&graph, &samples, "db", "shop")?;
/// assert!((effect.slope - 2.0).abs() < 0.2 && effect.p_value < 1e-6);
/// assert_eq!(effect.adjusted_for, ["load"]);
/// assert!(!effect.refutation.is_refuted());
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Estimator {
    config: EstimatorConfig,
}

/// What a treatment does to an outcome.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Effect {
    /// How much the outcome moves for each unit of the treatment, all ways together.
    pub slope: f64,
    /// The same in standard deviations of either, of what the parents leave of them: -1 to 1.
    pub standardised: f64,
    /// Standard error of the slope.
    pub error: f64,
    /// Where the slope lies with a chance of 95 %.
    pub interval: (f64, f64),
    /// The chance of so large a slope where there is no effect, two-sided (Student's t).
    pub p_value: f64,
    /// Rows that it rests on.
    pub rows: usize,
    /// What was held fixed: the parents of the treatment.
    pub adjusted_for: Vec<String>,
    /// What became of the attempts to refute it.
    pub refutation: Refutation,
}

/// Rows beyond those that the fit itself takes.
const LEAST_FREEDOM: usize = 3;

/// Treatment and outcome without what is held fixed.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) basis: Basis,
    pub(super) x: Vec<f64>,
    pub(super) y: Vec<f64>,
    pub(super) freedom: f64,
    pub(super) lags: usize,
    /// As they were measured.
    pub(super) given: (&'a [f64], &'a [f64]),
    pub(super) fixed: Vec<&'a [f64]>,
}

impl Estimator {
    /// The total effect of `treatment` on `outcome`. O(rows (parents² + placebos parents)).
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where the graph does not know a node, has no way from treatment to outcome, or has the
    /// treatment on a cycle. [`ErrorKind::Malformed`] where samples of a node are missing, too few, all alike, or where
    /// the parents leave nothing of the treatment.
    pub fn estimate(
        &self,
        graph: &CausalGraph,
        samples: &Samples<'_>,
        treatment: &str,
        outcome: &str,
    ) -> Result<Effect> {
        let fixed = adjustment(graph, treatment, outcome)?;
        let columns: Vec<&[f64]> =
            fixed.iter().map(|parent| samples.needed(parent)).collect::<Result<_>>()?;
        let given = (samples.needed(treatment)?, samples.needed(outcome)?);
        for (name, column) in [(treatment, given.0), (outcome, given.1)] {
            if is_constant(column) {
                return Err(malformed(format!("`{name}` never moves")));
            }
        }
        let parts = Parts::of(given, columns, self.config.order)
            .map_err(|why| malformed(format!("{treatment} on {outcome}: {why}")))?;
        let line = parts.line();
        let t = line.t();
        let reach = line.error * student::quantile(0.025, parts.freedom);
        let spread = (dot(&parts.x, &parts.x) / dot(&parts.y, &parts.y)).sqrt();
        Ok(Effect {
            slope: line.slope,
            standardised: (line.slope * spread).clamp(-1.0, 1.0),
            error: line.error,
            interval: (line.slope - reach, line.slope + reach),
            p_value: student::two_sided(t, parts.freedom),
            rows: samples.rows(),
            adjusted_for: fixed.into_iter().map(str::to_owned).collect(),
            refutation: refute(&parts, line, self.config.placebos, self.config.seed),
        })
    }
}

/// What has to be held fixed.
fn adjustment<'g>(graph: &'g CausalGraph, treatment: &str, outcome: &str) -> Result<Vec<&'g str>> {
    let config = |message: String| Error::new(ErrorKind::Config, format!("causal graph: {message}"));
    let known = |node: &str| graph.find(node).ok_or_else(|| config(format!("no node `{node}`")));
    let (from, _) = (known(treatment)?, known(outcome)?);
    if graph.cycles_through(from) {
        return Err(graph.refusal(from));
    }
    if !graph.reaches(treatment, outcome) {
        return Err(config(format!(
            "no way from `{treatment}` to `{outcome}`: there is no effect to estimate"
        )));
    }
    Ok(graph.parents(treatment).collect())
}

fn is_constant(column: &[f64]) -> bool {
    column.iter().zip(column.iter().skip(1)).all(|(one, next)| one.to_bits() == next.to_bits())
}

impl<'a> Parts<'a> {
    pub(super) fn of(
        given: (&'a [f64], &'a [f64]),
        fixed: Vec<&'a [f64]>,
        order: Order,
    ) -> Result<Self, String> {
        let rows = given.0.len();
        let needed = fixed.len() + 2 + LEAST_FREEDOM;
        if rows < needed {
            return Err(format!("{rows} rows are too few, {needed} are needed"));
        }
        let basis = Basis::new(rows, fixed.iter().copied());
        let Some(x) = basis.residual(given.0) else {
            return Err("what is held fixed leaves nothing of the treatment".to_owned());
        };
        let y = basis.residual(given.1).unwrap_or_else(|| vec![0.0; rows]);
        let freedom = of_len(rows - basis.rank() - 1);
        let lags = match order {
            Order::Independent => 0,
            Order::InTime => lags(rows),
        };
        Ok(Self { basis, x, y, freedom, lags, given, fixed })
    }

    pub(super) fn line(&self) -> Line {
        Line::through(&self.x, &self.y, self.freedom, self.lags)
    }
}

/// Steps over which noise may go on (W. K. Newey and K. D. West, "Automatic lag selection in covariance matrix estimation",
/// 1994, the plain rule).
fn lags(rows: usize) -> usize {
    let lags = 4.0 * (of_len(rows) / 100.0).powf(2.0 / 9.0);
    usize::try_from(floor(lags)).unwrap_or(1).max(1)
}
