//! The least of a function of a few numbers without its derivatives (J. A. Nelder, R. Mead 1965).
#![expect(clippy::indexing_slicing, reason = "a simplex has one corner more than it has dimensions")]

use crate::number::of_len;

/// Looks for the least value of `cost` from `start`, with first steps of `step`; at most `calls` calls.
///
/// Of the `N` numbers the first `used` are varied. What is not a number counts as infinite.
pub(super) fn minimise<const N: usize>(
    start: [f64; N],
    used: usize,
    step: f64,
    calls: usize,
    mut cost: impl FnMut(&[f64; N]) -> f64,
) -> ([f64; N], f64) {
    let used = used.clamp(1, N);
    let mut spent = 0;
    let mut price = |at: &[f64; N]| {
        spent += 1;
        let value = cost(at);
        (if value.is_nan() { f64::INFINITY } else { value }, spent)
    };
    let mut corners: Vec<([f64; N], f64)> = vec![(start, price(&start).0)];
    for dimension in 0..used {
        let mut corner = start;
        corner[dimension] += step;
        corners.push((corner, price(&corner).0));
    }
    loop {
        corners.sort_by(|a, b| a.1.total_cmp(&b.1));
        let (best, worst) = (corners[0].1, corners[used].1);
        let mut middle = [0.0; N];
        for (corner, _) in &corners[..used] {
            middle.iter_mut().zip(corner).for_each(|(sum, value)| *sum += value / of_len(used));
        }
        let towards = |share: f64, corner: &[f64; N]| {
            let mut at = middle;
            at.iter_mut().zip(corner).for_each(|(at, corner)| *at += share * (corner - *at));
            at
        };
        let reflected = towards(-1.0, &corners[used].0);
        let (value, spent) = price(&reflected);
        if spent >= calls || worst - best <= 1e-7 * best.abs() {
            return corners[0];
        }
        corners[used] = if value < best {
            let further = towards(-2.0, &corners[used].0);
            let (more, _) = price(&further);
            if more < value { (further, more) } else { (reflected, value) }
        } else if value < corners[used - 1].1 {
            (reflected, value)
        } else {
            let (from, limit) = if value < worst { (reflected, value) } else { corners[used] };
            let nearer = towards(0.5, &from);
            let (less, _) = price(&nearer);
            if less < limit {
                (nearer, less)
            } else {
                let best = corners[0].0;
                for (corner, value) in &mut corners[1..] {
                    corner.iter_mut().zip(best).for_each(|(at, best)| *at = 0.5 * (*at + best));
                    *value = price(corner).0;
                }
                continue;
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_of_a_bent_valley_is_found() {
        let valley = |[x, y]: &[f64; 2]| (1.0 - x).powi(2) + 100.0 * (y - x * x).powi(2);
        let ([x, y], least) = minimise([-1.2, 1.0], 2, 0.5, 600, valley);
        assert!((x - 1.0).abs() < 1e-2 && (y - 1.0).abs() < 1e-2 && least < 1e-4, "{x} {y} {least}");
    }

    #[test]
    fn what_is_not_used_stays_as_it_was() {
        let (at, _) = minimise([5.0, 7.0], 1, 1.0, 100, |[x, y]: &[f64; 2]| (x - 1.0).powi(2) + y * y);
        assert!((at[0] - 1.0).abs() < 1e-3 && (at[1] - 7.0).abs() < 1e-12, "{at:?}");
    }

    #[test]
    fn a_cost_that_is_no_number_ends_all_the_same() {
        let (at, cost) = minimise([1.0, 2.0, 3.0], 3, 0.1, 100, |_| f64::NAN);
        assert!(cost.is_infinite() && at.iter().all(|value| value.is_finite()));
    }
}
