//! From values to pixels, and the ticks that an axis shows.

/// Values on an axis, evenly or by their logarithm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scale {
    kind: Kind,
    domain: (f64, f64),
    range: (f64, f64),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Linear,
    Log,
}

impl Scale {
    /// Even steps; a domain without width is widened.
    pub(crate) fn linear(domain: (f64, f64), range: (f64, f64)) -> Self {
        let domain = if domain.1 > domain.0 { domain } else { (domain.0, domain.0 + 1.0) };
        Self { kind: Kind::Linear, domain, range }
    }

    /// Even ratios; what is not positive stands at the low end.
    pub(crate) fn log(domain: (f64, f64), range: (f64, f64)) -> Self {
        let low = if domain.0 > 0.0 { domain.0 } else { f64::MIN_POSITIVE };
        let high = if domain.1 > low { domain.1 } else { low * 10.0 };
        Self { kind: Kind::Log, domain: (low, high), range }
    }

    /// The pixel of a value; values outside stand at the end they are beyond.
    pub(crate) fn at(&self, value: f64) -> f64 {
        let (low, high) = self.domain;
        let value = value.clamp(low, high);
        let part = match self.kind {
            Kind::Linear => (value - low) / (high - low),
            Kind::Log => (value / low).ln() / (high / low).ln(),
        };
        self.range.0 + part * (self.range.1 - self.range.0)
    }

    /// What the browser test and the readout need to turn pixels back into values.
    pub(crate) fn attributes(&self, axis: char) -> String {
        let kind = match self.kind {
            Kind::Linear => "linear",
            Kind::Log => "log",
        };
        format!(
            " data-{axis}=\"{kind} {} {} {} {}\"",
            self.domain.0, self.domain.1, self.range.0, self.range.1
        )
    }
}

/// Round values, about `target` of them, from the first not below `low` to the last not above `high`.
pub(crate) fn ticks(low: f64, high: f64, target: u32) -> Vec<f64> {
    let span = high - low;
    if !(span.is_finite() && span > 0.0) || target == 0 {
        return Vec::new();
    }
    let step = round_up(span / f64::from(target));
    let first = (low / step - 1e-9).ceil();
    let last = (high / step + 1e-9).floor();
    let mut values = Vec::new();
    let mut place = first;
    // At most twice the target: a step is never below half of what was asked for.
    while place <= last && values.len() <= 2 * usize::try_from(target).unwrap_or(usize::MAX) {
        // No zero with a sign.
        values.push(place * step + 0.0);
        place += 1.0;
    }
    values
}

/// The smallest of 1, 2, 5 times a power of ten that is not below a positive value.
pub(crate) fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let round = |part: &f64| *part * power >= value * (1.0 - 1e-9);
    [1.0, 2.0, 5.0].iter().find(|part| round(part)).map_or(power * 10.0, |part| part * power)
}

/// The largest of 1, 2, 5 times a power of ten that is not above a positive value.
fn round_down(value: f64) -> f64 {
    let power = 10_f64.powf((value.log10() + 1e-9).floor());
    let round = |part: &f64| *part * power <= value * (1.0 + 1e-9);
    [5.0, 2.0].iter().find(|part| round(part)).map_or(power, |part| part * power)
}

/// Round values that hold `low` and `high` between them, a decade apart at least.
pub(crate) fn log_domain(low: f64, high: f64) -> (f64, f64) {
    let low = if low > 0.0 && low.is_finite() { round_down(low) } else { 0.1 };
    let high = if high > low && high.is_finite() { round_up(high) } else { low };
    (low, high.max(low * 10.0))
}

/// The powers of ten from `low` to `high`.
pub(crate) fn powers(low: f64, high: f64) -> Vec<f64> {
    let mut values = Vec::new();
    let mut value = 10_f64.powf((low.log10() - 1e-9).ceil());
    while value <= high * (1.0 + 1e-9) && values.len() < 24 {
        values.push(value);
        value *= 10.0;
    }
    values
}

/// The labels' places, moved apart to `distance` where they are closer, in their order.
pub(crate) fn apart(first: f64, second: f64, distance: f64) -> (f64, f64) {
    let gap = second - first;
    if gap.abs() >= distance {
        return (first, second);
    }
    let middle = f64::midpoint(first, second);
    let half = if gap < 0.0 { -distance / 2.0 } else { distance / 2.0 };
    (middle - half, middle + half)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ticks_are_few_round_ascending_and_inside(low in -1e4_f64..1e4, span in 1e-3_f64..1e5, target in 2_u32..10) {
            let high = low + span;
            let values = ticks(low, high, target);
            prop_assert!(values.len() <= 2 * usize::try_from(target)? + 1);
            prop_assert!(values.len() + 1 >= usize::try_from(target)? / 3, "{values:?}");
            for pair in values.windows(2) {
                let step = pair[1] - pair[0];
                let mantissa = step / 10_f64.powf(step.log10().floor() );
                prop_assert!(step > 0.0);
                prop_assert!([1.0, 2.0, 5.0, 10.0].iter().any(|round| (mantissa - round).abs() < 1e-3), "{step}");
            }
            for value in values {
                prop_assert!(value >= low - span * 1e-6 && value <= high + span * 1e-6);
            }
        }

        #[test]
        fn a_log_domain_is_round_and_holds_what_it_is_made_from(low in 1e-3_f64..1e4, factor in 1.0_f64..1e4) {
            let (first, last) = log_domain(low, low * factor);
            prop_assert!(first <= low * (1.0 + 1e-6) && first >= low / 2.6);
            prop_assert!(last >= low * factor * (1.0 - 1e-6) && last <= (low * factor * 2.6).max(first * 10.1));
            prop_assert!(last >= first * 9.99);
            let values = powers(first, last);
            prop_assert!(!values.is_empty());
            prop_assert!(values.iter().all(|value| *value >= first * 0.999 && *value <= last * 1.001));
        }

        #[test]
        fn a_scale_keeps_order_and_never_leaves_its_range(a in -1.0_f64..1e5, b in -1.0_f64..1e5) {
            for scale in [Scale::linear((0.0, 1e4), (10.0, 90.0)), Scale::log((0.1, 1e4), (10.0, 90.0))] {
                let (at_a, at_b) = (scale.at(a), scale.at(b));
                prop_assert!((10.0..=90.0).contains(&at_a));
                prop_assert!(a > b || at_a <= at_b);
            }
        }

        #[test]
        fn labels_end_up_apart_and_in_order(a in 0.0_f64..100.0, b in 0.0_f64..100.0) {
            let (first, second) = apart(a, b, 12.0);
            prop_assert!((first - second).abs() >= 12.0 - 1e-9);
            prop_assert!(a == b || (a < b) == (first < second));
        }
    }

    #[test]
    fn ticks_of_an_empty_or_broken_axis_are_none() {
        assert!(ticks(1.0, 1.0, 5).is_empty());
        assert!(ticks(0.0, f64::NAN, 5).is_empty());
        assert!(ticks(0.0, f64::INFINITY, 5).is_empty());
        assert_eq!(ticks(-20.0, 20.0, 4), [-20.0, -10.0, 0.0, 10.0, 20.0]);
    }
}
