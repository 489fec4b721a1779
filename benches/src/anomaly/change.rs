//! Online change points beside the `changepoint` crate.

use changepoint::{BocpdLike as _, BocpdTruncated};
use otlp_anomaly::change::BocpdConfig;
use rv::dist::NormalGamma;

use super::series::Source;
use crate::measure::{Disagreement, Effort, Figure, Row, compare, timed};

const NAME: &str = "BOCPD, a point; nine changes in 2,000 found by both";
/// Points between changes.
const RUN: usize = 200;
const POINTS: usize = RECORDS as usize;
const RECORDS: u32 = 2_000;
/// Points that two places of one change may lie apart.
const NEAR: usize = 3;

pub(super) fn rows(effort: &Effort) -> Vec<Result<Row, Disagreement>> {
    if !NAME.contains(&effort.only) {
        return Vec::new();
    }
    let mut source = Source(11);
    let levels = [0.0, 4.0, -3.0, 2.0, 7.0, 0.0, -5.0, 1.0, 6.0, 2.0];
    let values: Vec<f64> =
        (0..POINTS).map(|at| levels.get(at / RUN).copied().unwrap_or(0.0) + source.normal()).collect();
    agree(&ours(&values), &theirs(&values));
    let mut figure = Figure {
        name: NAME.to_owned(),
        records: RECORDS,
        ours: Box::new(|| timed(|| found(&ours(&values)))),
        peer: ("changepoint BocpdTruncated", Box::new(|| timed(|| found(&theirs(&values))))),
        bar: 10.0,
    };
    vec![compare(&mut figure, effort)]
}

/// How many of the changes that there are were found: the checksum.
fn found(begins: &[usize]) -> u64 {
    let met = |change: &usize| begins.iter().any(|begin| begin.abs_diff(*change) <= NEAR);
    (1..POINTS / RUN).map(|nth| nth * RUN).filter(met).count() as u64
}

/// # Panics
/// Where one finds a change that the other does not: the figure would be of other work.
fn agree(ours: &[usize], theirs: &[usize]) {
    let lacks = |some: &[usize], others: &[usize]| {
        some.iter().copied().find(|begin| others.iter().all(|other| other.abs_diff(*begin) > NEAR))
    };
    assert_eq!((lacks(ours, theirs), lacks(theirs, ours)), (None, None), "ours {ours:?}, theirs {theirs:?}");
}

/// Where runs began that were the likeliest for ten points and more.
fn lasting(likeliest: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut begins: Vec<usize> = Vec::new();
    let (mut begin, mut lasted) = (0, 0);
    for (at, length) in likeliest.enumerate() {
        let now = at.saturating_sub(length);
        if now.abs_diff(begin) <= 1 {
            lasted += 1;
        } else {
            lasted = 0;
        }
        begin = now;
        if lasted == 10 && begins.last().is_none_or(|last| last.abs_diff(begin) > NEAR) {
            begins.push(begin);
        }
    }
    begins
}

/// # Panics
/// Never: the configuration is within bounds.
#[expect(clippy::expect_used, reason = "the configuration is within bounds")]
fn ours(values: &[f64]) -> Vec<usize> {
    let mut changes =
        BocpdConfig::new().expected_run(250.0).mean(0.0, 1.0).variance(0.5, 0.5).build().expect("bounds");
    lasting(values.iter().map(|value| changes.observe(*value).length.saturating_sub(1)))
}

fn theirs(values: &[f64]) -> Vec<usize> {
    let mut changes = BocpdTruncated::new(250.0, NormalGamma::new_unchecked(0.0, 1.0, 1.0, 1.0));
    lasting(values.iter().map(|value| {
        let lengths = changes.step(value);
        lengths
            .iter()
            .enumerate()
            .fold((0, 0.0), |best, (at, share)| if *share > best.1 { (at, *share) } else { best })
            .0
    }))
}
