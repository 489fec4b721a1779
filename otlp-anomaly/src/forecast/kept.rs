//! Outlooks in checkpoints: a tag, then the estimates that an outlook of that kind has.

use otlp_core::DecodeError;

use super::outlook::{Leak, Reach};
use super::slope::Estimate;
use crate::checkpoint::{Field, Source};

impl Field for Estimate {
    const LEAST_BYTES: usize = 24;

    fn save(&self, into: &mut Vec<u8>) {
        [self.low, self.value, self.high].map(f64::to_bits).save(into);
    }

    /// An edge may be infinite: it may be never.
    fn load(from: &mut Source<'_>) -> Result<Self, DecodeError> {
        let [low, value, high] = <[u64; 3]>::load(from)?.map(f64::from_bits);
        if low.is_nan() || value.is_nan() || high.is_nan() {
            return Err(from.invalid("checkpoint of an interval that is none"));
        }
        Ok(Self::new(low, value, high))
    }
}

impl Field for Reach {
    const LEAST_BYTES: usize = 1;

    fn save(&self, into: &mut Vec<u8>) {
        match self {
            Self::Now => 0_u8.save(into),
            Self::Days(days) => {
                1_u8.save(into);
                days.save(into);
            }
            Self::Never => 2_u8.save(into),
        }
    }

    fn load(from: &mut Source<'_>) -> Result<Self, DecodeError> {
        match u8::load(from)? {
            0 => Ok(Self::Now),
            1 => Estimate::load(from).map(Self::Days),
            2 => Ok(Self::Never),
            _ => Err(from.invalid("checkpoint of a reach that is none")),
        }
    }
}

impl Field for Leak {
    const LEAST_BYTES: usize = 1;

    fn save(&self, into: &mut Vec<u8>) {
        let (tag, parts): (u8, _) = match *self {
            Self::None => (0, None),
            Self::Steady { rate_per_day, full } => (1, Some((rate_per_day, full))),
            Self::Saturating { ceiling, full } => (2, Some((ceiling, full))),
        };
        tag.save(into);
        parts.into_iter().for_each(|parts| parts.save(into));
    }

    fn load(from: &mut Source<'_>) -> Result<Self, DecodeError> {
        let tag = u8::load(from)?;
        if tag == 0 {
            return Ok(Self::None);
        }
        let (growth, full) = <(Estimate, Reach)>::load(from)?;
        match tag {
            1 => Ok(Self::Steady { rate_per_day: growth, full }),
            2 => Ok(Self::Saturating { ceiling: growth, full }),
            _ => Err(from.invalid("checkpoint of a leak that is none")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outlook_is_read_as_it_was_written_and_a_cut_one_is_refused() {
        let estimate = Estimate::new(-1.0, 2.0, f64::INFINITY);
        let leaks = [
            Leak::None,
            Leak::Steady { rate_per_day: estimate, full: Reach::Days(estimate) },
            Leak::Steady { rate_per_day: estimate, full: Reach::Now },
            Leak::Saturating { ceiling: estimate, full: Reach::Never },
        ];
        for leak in leaks {
            let mut bytes = Vec::new();
            leak.save(&mut bytes);
            assert_eq!(Leak::load(&mut Source::from(&bytes[..])).unwrap(), leak);
            for end in 0..bytes.len() {
                assert!(Leak::load(&mut Source::from(&bytes[..end])).is_err(), "{leak:?} up to {end}");
            }
        }
        let mut odd = vec![1];
        Estimate::new(0.0, f64::NAN, 1.0).save(&mut odd);
        assert!(Leak::load(&mut Source::from(&odd[..])).is_err());
        assert!(Leak::load(&mut Source::from(&[3][..])).is_err());
    }
}
