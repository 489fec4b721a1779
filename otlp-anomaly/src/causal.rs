//! What one quantity does to another: a graph of what causes what goes in, effect and p-value come out.
//!
//! [`Estimator::estimate`] answers "how much does the latency of shop change for each second that db takes longer?" from what
//! was measured, without an experiment: by regression on the treatment and its parents in the graph (the back-door
//! criterion: J. Pearl, "Causality", 2009, 3.3), and tries to refute the answer: with a placebo, with a common cause made
//! up by lot, and on parts of the samples, as DoWhy does (A. Sharma and E. Kiciman, "DoWhy: An End-to-End Library for Causal Inference", 2020).
//! [`attribute`] splits the shift of a target among the nodes above it (K. Budhathoki et al., "Causal structure-based root
//! cause analysis of outliers", ICML 2022, with linear mechanisms and means in place of rarity).
//!
//! What must hold, and cannot be told from the samples:
//!
//! - the graph is right: what moves both treatment and outcome is in it, and measured;
//! - effects are linear and the same all the time;
//! - p-values ask for noise that does not depend on the row ([`Order::Independent`]) or depends on its neighbours for a short
//!   while ([`Order::InTime`], errors by Newey and West).
//!
//! A refutation that fails to refute proves nothing; one that refutes says that the answer is not to be used.

mod attribute;
mod effect;
mod graph;
mod refute;
mod regress;
mod samples;

pub use attribute::{Attribution, attribute};
pub use effect::{Effect, Estimator, EstimatorConfig, Order};
pub use graph::CausalGraph;
pub use refute::{Refutation, Stability};
pub use samples::Samples;
