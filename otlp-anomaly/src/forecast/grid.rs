//! Points at any times to values at even ones, and gaps filled.

use otlp_core::series::SeriesView;
use otlp_core::{Error, ErrorKind, Result};

use crate::number::{floor, to_f64};

/// The last values of a series, a median step apart; not a number where there is no point.
pub(super) fn even(series: SeriesView<'_>, max_values: usize) -> Result<Vec<f64>> {
    let times = series.times();
    let mut steps: Vec<u64> = times
        .iter()
        .zip(times.iter().skip(1))
        .map(|(a, b)| b.0.saturating_sub(a.0))
        .filter(|step| *step > 0)
        .collect();
    let middle = steps.len() / 2;
    let last = times.last().map_or(0, |time| time.0);
    if steps.is_empty() {
        return Err(Error::new(ErrorKind::Malformed, "forecast: all points have the same time"));
    }
    let (_, step, _) = steps.select_nth_unstable(middle);
    let step = (*step).max(1);
    let first = times.first().map_or(0, |time| time.0);
    let span = usize::try_from((last - first) / step).unwrap_or(usize::MAX);
    let count = span.saturating_add(1).min(max_values);
    let (mut sums, mut counts) = (vec![0.0; count], vec![0.0_f64; count]);
    for (time, value) in series.iter().filter(|(_, value)| value.is_finite()) {
        // The nearest place of the grid, counted back from the last point.
        let back = floor(to_f64(last - time.0) / to_f64(step) + 0.5);
        let place = usize::try_from(back).ok().and_then(|back| (count - 1).checked_sub(back));
        if let Some(place) = place
            && let (Some(sum), Some(met)) = (sums.get_mut(place), counts.get_mut(place))
        {
            *met += 1.0;
            *sum += (value - *sum) / *met;
        }
    }
    sums.iter_mut().zip(&counts).filter(|(_, met)| **met == 0.0).for_each(|(sum, _)| *sum = f64::NAN);
    Ok(sums)
}

/// Fills what is not finite: with the value a cycle before where there is one, with the line between neighbours otherwise.
pub(super) fn fill(y: &mut [f64], period: usize) {
    if y.iter().all(|value| value.is_finite()) {
        return;
    }
    let line = joined(y);
    for at in 0..y.len() {
        let cycle = if period > 1 { at.checked_sub(period).and_then(|at| y.get(at)).copied() } else { None };
        let Some(between) = line.get(at).copied() else { continue };
        if let Some(value) = y.get_mut(at)
            && !value.is_finite()
        {
            *value = cycle.unwrap_or(between);
        }
    }
}

/// Gaps bridged by lines; the ends by the nearest value, everything by zero where nothing is known.
fn joined(y: &[f64]) -> Vec<f64> {
    let known: Vec<(usize, f64)> =
        y.iter().copied().enumerate().filter(|(_, value)| value.is_finite()).collect();
    let mut after = known.iter().copied().peekable();
    let mut before: Option<(usize, f64)> = None;
    let bridge = |at: usize| {
        while let Some(next) = after.next_if(|(place, _)| *place <= at) {
            before = Some(next);
        }
        match (before, after.peek()) {
            (Some((left, low)), Some(&(right, high))) => {
                let share = to_f64((at - left) as u64) / to_f64((right - left) as u64);
                low + (high - low) * share
            }
            (Some((_, value)), None) | (None, Some(&(_, value))) => value,
            (None, None) => 0.0,
        }
    };
    (0..y.len()).map(bridge).collect()
}
