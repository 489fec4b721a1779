use std::fmt;

/// A set of numbers from 1 to 8, in one byte.
///
/// ```
/// use otlp_verify::spec::Set;
/// let set = Set::up_to(3).without(2);
/// assert_eq!(format!("{set:?}"), "{1, 3}");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Set(u8);

impl Set {
    /// The largest number that a set can hold.
    pub const MAX: u8 = 8;

    /// The set of nothing.
    #[must_use]
    pub const fn empty() -> Self {
        Self(0)
    }

    /// The numbers from 1 to `last`, or to [`MAX`](Self::MAX) where that is less.
    #[must_use]
    pub const fn up_to(last: u8) -> Self {
        match last {
            0 => Self(0),
            1..=7 => Self((1 << last) - 1),
            _ => Self(u8::MAX),
        }
    }

    /// The set with `number` in it; a number it cannot hold changes nothing.
    #[must_use]
    pub const fn with(self, number: u8) -> Self {
        Self(self.0 | Self::bit(number))
    }

    /// The set without `number`.
    #[must_use]
    pub const fn without(self, number: u8) -> Self {
        Self(self.0 & !Self::bit(number))
    }

    /// True where `number` is in the set.
    #[must_use]
    pub const fn contains(self, number: u8) -> bool {
        self.0 & Self::bit(number) != 0
    }

    /// True where everything in the set is in `other`.
    #[must_use]
    pub const fn is_subset(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// What is in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// How many numbers are in the set.
    #[must_use]
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// True where nothing is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The numbers, ascending.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (1..=Self::MAX).filter(move |number| self.contains(*number))
    }

    const fn bit(number: u8) -> u8 {
        match number {
            1..=Self::MAX => 1 << (number - 1),
            _ => 0,
        }
    }
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in_and_nothing_else() {
        let set = Set::empty().with(1).with(8).with(9).with(0);
        assert_eq!(set.iter().collect::<Vec<_>>(), [1, 8]);
        assert_eq!((set.len(), set.without(1).len()), (2, 1));
        assert!(!set.contains(0) && !set.contains(9) && Set::empty().is_empty());
        assert!(set.is_subset(Set::up_to(8)) && !set.is_subset(Set::up_to(7)));
        assert_eq!(Set::up_to(3).union(Set::empty().with(8)).intersection(set), set);
    }
}
