//! How each kind of field is written and read.

use std::collections::VecDeque;
use std::time::Duration;

use otlp_core::series::Series;
use otlp_core::{DecodeError, UnixNanos};

use super::Source;

/// Something that a checkpoint can hold.
pub(crate) trait Field: Sized {
    /// The least bytes that one takes: a count of them is held against the bytes that are left.
    const LEAST_BYTES: usize;

    /// Appends it.
    fn save(&self, into: &mut Vec<u8>);

    /// Reads it.
    fn load(from: &mut Source<'_>) -> Result<Self, DecodeError>;
}

/// Makes a struct a [`Field`]: all of its fields in the order given. What is read must pass its `is_sound`.
macro_rules! fields {
    (impl [$($generic:tt)*] $type:ty { $($field:ident: $of:ty),* $(,)? }) => {
        impl<$($generic)*> $crate::checkpoint::Field for $type {
            const LEAST_BYTES: usize = 0 $(+ <$of as $crate::checkpoint::Field>::LEAST_BYTES)*;

            fn save(&self, into: &mut Vec<u8>) {
                // Every field is named, or this does not compile.
                let Self { $($field),* } = self;
                $($crate::checkpoint::Field::save($field, into);)*
            }

            fn load(from: &mut $crate::checkpoint::Source<'_>) -> Result<Self, otlp_core::DecodeError> {
                $(let $field = <$of as $crate::checkpoint::Field>::load(from)?;)*
                let loaded = Self { $($field),* };
                if loaded.is_sound() {
                    Ok(loaded)
                } else {
                    Err(from.invalid(concat!("checkpoint with an impossible ", stringify!($type))))
                }
            }
        }
    };
    ($($whole:tt)*) => { $crate::checkpoint::fields!(impl [] $($whole)*); };
}
pub(crate) use fields;

macro_rules! whole {
    ($($type:ty),*) => {$(
        impl Field for $type {
            const LEAST_BYTES: usize = size_of::<Self>();

            fn save(&self, into: &mut Vec<u8>) {
                into.extend_from_slice(&self.to_le_bytes());
            }

            fn load(from: &mut Source<'_>) -> Result<Self, DecodeError> {
                from.take().map(Self::from_le_bytes)
            }
        }
    )*};
}
whole!(u8, u16, u32, u64);

impl Field for usize {
    const LEAST_BYTES: Self = 8;

    fn save(&self, into: &mut Vec<u8>) {
        u64::try_from(*self).unwrap_or(u64::MAX).save(into);
    }

    fn load(from: &mut Source<'_>) -> Result<Self, DecodeError> {
        Self::try_from(u64::load(from)?)
            .map_err(|_| from.invalid("checkpoint with a count beyond this machine"))
    }
}

impl Field for bool {
    const LEAST_BYTES: usize = 1;

    fn save(&self, into: &mut Vec<u8>) {
        u8::from(*self).save(into);
    }

    fn load(from: &mut Source<'_>) -> Result<Self, DecodeError> {
        match u8::load(from)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(from.invalid("checkpoint with a truth that is neither")),
        }
    }
}

/// Only finite ones: a state with another has gone wrong before.
impl Field for f64 {
    const LEAST_BYTES: usize = 8;

    fn save(&self, into: &mut Vec<u8>) {
        self.to_bits().save(into);
    }

    fn load(from: &mut Source<'_>) -> Result<Self, DecodeError> {
        let value = Self::from_bits(u64::load(from)?);
        if value.is_finite() {
            Ok(value)
        } else {
            Err(from.invalid("checkpoint with a value that is no number"))
        }
    }
}

/// Not-a-number is let through: to some it stands for nothing, and the others look for themselves.
impl Field for f32 {
    const LEAST_BYTES: usize = 4;

    fn save(&self, into: &mut Vec<u8>) {
        self.to_bits().save(into);
    }

    fn load(from: &mut Source<'_>) -> Result<Self, DecodeError> {
        let value = Self::from_bits(u32::load(from)?);
        if value.is_infinite() { Err(from.invalid("checkpoint with an infinite value")) } else { Ok(value) }
    }
}

impl<T: Field> Field for Option<T> {
    const LEAST_BYTES: usize = 1;

    fn save(&self, into: &mut Vec<u8>) {
        self.is_some().save(into);
        if let Some(value) = self {
            value.save(into);
        }
    }

    fn load(from: &mut Source<'_>) -> Result<Self, DecodeError> {
        bool::load(from)?.then(|| T::load(from)).transpose()
    }
}

impl<T: Field + Copy + Default, const N: usize> Field for [T; N] {
    const LEAST_BYTES: usize = N * T::LEAST_BYTES;

    fn save(&self, into: &mut Vec<u8>) {
        self.iter().for_each(|value| value.save(into));
    }

    fn load(from: &mut Source<'_>) -> Result<Self, DecodeError> {
        let mut values = [T::default(); N];
        for value in &mut values {
            *value = T::load(from)?;
        }
        Ok(values)
    }
}

impl<T: Field> Field for Vec<T> {
    const LEAST_BYTES: usize = 8;

    fn save(&self, into: &mut Vec<u8>) {
        self.len().save(into);
        self.iter().for_each(|value| value.save(into));
    }

    fn load(from: &mut Source<'_>) -> Result<Self, DecodeError> {
        let count = usize::load(from)?;
        // Nothing is allocated for what cannot be there.
        if count > from.left() / T::LEAST_BYTES.max(1) {
            return Err(from.invalid("checkpoint with a count beyond its bytes"));
        }
        (0..count).map(|_| T::load(from)).collect()
    }
}

/// As a list of the same values; what room it has beside them is not kept.
impl<T: Field> Field for VecDeque<T> {
    const LEAST_BYTES: usize = Vec::<T>::LEAST_BYTES;

    fn save(&self, into: &mut Vec<u8>) {
        self.len().save(into);
        self.iter().for_each(|value| value.save(into));
    }

    fn load(from: &mut Source<'_>) -> Result<Self, DecodeError> {
        Vec::load(from).map(Self::from)
    }
}

impl<A: Field, B: Field> Field for (A, B) {
    const LEAST_BYTES: usize = A::LEAST_BYTES + B::LEAST_BYTES;

    fn save(&self, into: &mut Vec<u8>) {
        self.0.save(into);
        self.1.save(into);
    }

    fn load(from: &mut Source<'_>) -> Result<Self, DecodeError> {
        Ok((A::load(from)?, B::load(from)?))
    }
}

impl Field for Duration {
    const LEAST_BYTES: usize = 12;

    fn save(&self, into: &mut Vec<u8>) {
        self.as_secs().save(into);
        self.subsec_nanos().save(into);
    }

    fn load(from: &mut Source<'_>) -> Result<Self, DecodeError> {
        let (secs, nanos) = (u64::load(from)?, u32::load(from)?);
        if nanos >= 1_000_000_000 {
            return Err(from.invalid("checkpoint with a duration that is none"));
        }
        Ok(Self::new(secs, nanos))
    }
}

/// Points in order of time.
impl Field for Series {
    const LEAST_BYTES: usize = 8;

    fn save(&self, into: &mut Vec<u8>) {
        self.as_view().len().save(into);
        self.as_view().iter().for_each(|point| point.save(into));
    }

    fn load(from: &mut Source<'_>) -> Result<Self, DecodeError> {
        let points: Vec<(UnixNanos, f64)> = Vec::load(from)?;
        let mut series = Self::new();
        if points.into_iter().all(|(time, value)| series.push(time, value)) {
            return Ok(series);
        }
        Err(from.invalid("checkpoint of a series that is out of order"))
    }
}
