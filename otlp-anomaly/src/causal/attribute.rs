//! Whose doing a shift is.

use otlp_core::{Error, ErrorKind, Result};

use super::graph::CausalGraph;
use super::regress::{Basis, dot};
use super::samples::{Samples, malformed};
use crate::number::of_len;
use crate::student;

/// What one node added to the shift of a target by itself: what its own causes do not explain, carried on along all ways.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Attribution {
    /// The node.
    pub node: String,
    /// How much of the target's shift comes from it, in units of the target; over all nodes it sums to the shift.
    pub shift: f64,
    /// How far its own noise moved, in standard errors (B. L. Welch, "The generalization of Student's problem when several
    /// different population variances are involved", 1947, with the spread from before on both sides).
    pub z: f64,
    /// The chance of so large a move where nothing happened to it, two-sided.
    pub p_value: f64,
}

/// A node as a sum of its parents.
struct Mechanism {
    place: usize,
    /// By how much each parent moves it.
    slopes: Vec<(usize, f64)>,
    /// The mean of what they do not explain, in the anomalous rows less that in the normal ones.
    shift: f64,
    /// The spread of that in the normal rows, and how many rows beyond the fit there are.
    spread: f64,
    freedom: f64,
}

/// Splits the shift of the mean of `target`, from `normal` to `anomalous` rows, among the nodes that cause it and itself,
/// largest first.
///
/// Each node's mechanism is a regression on its parents over the normal rows. Assumes, beyond what the module says, that
/// the anomaly added to nodes and did not change how parents act on them. O(rows Σ parents²).
///
/// ```
/// use otlp_anomaly::causal::{CausalGraph, Samples, attribute};
/// let wave = |row: usize, by: usize| (row * by % 17) as f64 / 17.0;
/// let db: Vec<f64> = (0..60).map(|row| wave(row, 5)).collect();
/// let shop: Vec<f64> = (0..60).map(|row| 2.0 * db[row] + wave(row, 7)).collect();
/// let slow_db: Vec<f64> = db.iter().take(9).map(|value| value + 3.0).collect();
/// let slow_shop: Vec<f64> = (0..9).map(|row| 2.0 * slow_db[row] + wave(row, 7)).collect();
/// let graph = CausalGraph::new([("db", "shop")])?;
/// let normal = Samples::new([("db", &db[..]), ("shop", &shop)])?;
/// let anomalous = Samples::new([("db", &slow_db[..]), ("shop", &slow_shop)])?;
/// let shares = attribute(&graph, &normal, &anomalous, "shop")?;
/// assert_eq!(shares[0].node, "db");
/// assert!(shares[0].shift > 5.0 && shares[1].shift.abs() < 1.0);
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
///
/// # Errors
/// [`ErrorKind::Config`] where the graph does not know the target, or something above it is on a cycle;
/// [`ErrorKind::Malformed`] where samples of a node are missing or too few.
pub fn attribute(
    graph: &CausalGraph,
    normal: &Samples<'_>,
    anomalous: &Samples<'_>,
    target: &str,
) -> Result<Vec<Attribution>> {
    let place = graph
        .find(target)
        .ok_or_else(|| Error::new(ErrorKind::Config, format!("causal graph: no node `{target}`")))?;
    if anomalous.rows() == 0 {
        return Err(malformed("no anomalous rows"));
    }
    let order = graph.above_in_order(place)?;
    let mechanisms: Vec<Mechanism> =
        order.iter().map(|&place| mechanism(graph, place, normal, anomalous)).collect::<Result<_>>()?;
    let weights = weights(&mechanisms, place);
    let few = 1.0 / of_len(normal.rows()) + 1.0 / of_len(anomalous.rows());
    let share = |(mechanism, weight): (&Mechanism, f64)| {
        let z = mechanism.shift / (mechanism.spread * few.sqrt());
        let z = if z.is_nan() { 0.0 } else { z };
        Attribution {
            node: graph.name(mechanism.place).to_owned(),
            shift: weight * mechanism.shift,
            z,
            p_value: student::two_sided(z, mechanism.freedom),
        }
    };
    let mut shares: Vec<Attribution> = mechanisms.iter().zip(weights).map(share).collect();
    shares.sort_by(|a, b| b.shift.abs().total_cmp(&a.shift.abs()));
    Ok(shares)
}

/// How much of each node's own shift arrives at the last one: causes come first, so that it is known of all that a node
/// acts on before it is asked for that node.
fn weights(mechanisms: &[Mechanism], target: usize) -> Vec<f64> {
    let mut weights = vec![0.0; mechanisms.len()];
    for at in (0..mechanisms.len()).rev() {
        let Some(own) = mechanisms.get(at) else { continue };
        let mut weight = if own.place == target { 1.0 } else { 0.0 };
        for (later, known) in mechanisms.iter().zip(&weights).skip(at + 1) {
            let acts = later.slopes.iter().filter(|(parent, _)| *parent == own.place);
            weight += acts.map(|(_, slope)| slope * known).sum::<f64>();
        }
        if let Some(slot) = weights.get_mut(at) {
            *slot = weight;
        }
    }
    weights
}

fn mechanism(
    graph: &CausalGraph,
    place: usize,
    normal: &Samples<'_>,
    anomalous: &Samples<'_>,
) -> Result<Mechanism> {
    let name = graph.name(place);
    let (usual, met) = (normal.needed(name)?, anomalous.needed(name)?);
    let parents: Vec<usize> = graph.parents_at(place).collect();
    let rows = usual.len();
    if rows < parents.len() + 3 {
        let needed = parents.len() + 3;
        return Err(malformed(format!("`{name}`: {rows} normal rows are too few, {needed} are needed")));
    }
    let mut known: Vec<&[f64]> = Vec::new();
    for &parent in &parents {
        known.push(normal.needed(graph.name(parent))?);
    }
    let mut slopes = Vec::new();
    let mut shift = mean(met) - mean(usual);
    let mut left = usual.to_vec();
    // Each slope is that of what the other parents leave of it.
    for (at, (&parent, column)) in parents.iter().zip(&known).enumerate() {
        let others = known.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, column)| *column);
        let Some(x) = Basis::new(rows, others).residual(column) else { continue };
        let slope = dot(&x, usual) / dot(&x, &x);
        let now = anomalous.needed(graph.name(parent))?;
        shift -= slope * (mean(now) - mean(column));
        left.iter_mut().zip(*column).for_each(|(left, value)| *left -= slope * value);
        slopes.push((parent, slope));
    }
    let centre = mean(&left);
    left.iter_mut().for_each(|value| *value -= centre);
    let freedom = of_len(rows - slopes.len() - 1);
    Ok(Mechanism { place, slopes, shift, spread: (dot(&left, &left) / freedom).sqrt(), freedom })
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / of_len(values.len()).max(1.0)
}
