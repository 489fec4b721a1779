//! Numbers that begin where a line of the cache does.

use otlp_core::DecodeError;

use crate::checkpoint::{Field, Source};

/// Bytes of a line, and the most numbers that must be left out to come to the beginning of one.
const LINE: usize = 64;
const MOST_LEFT_OUT: usize = LINE / size_of::<f32>() - 1;

/// Numbers of which sixteen that begin at a multiple of sixteen lie in one line of the cache: what is read of them is
/// waited for once and not twice.
#[derive(Debug)]
pub(super) struct Lines {
    values: Vec<f32>,
    /// Numbers before the beginning of the first line, which are none of these.
    left_out: usize,
}

impl Lines {
    /// None yet, with room for so many.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        let mut values: Vec<f32> = Vec::with_capacity(capacity + MOST_LEFT_OUT);
        // Where no such place can be told, it is only slower.
        let left_out = values.as_ptr().align_offset(LINE).min(MOST_LEFT_OUT);
        values.resize(left_out, 0.0);
        Self { values, left_out }
    }

    /// A copy with room for so many.
    fn with_room(values: &[f32], capacity: usize) -> Self {
        let mut lines = Self::with_capacity(capacity);
        lines.values.extend_from_slice(values);
        lines
    }

    pub(super) fn as_slice(&self) -> &[f32] {
        self.values.get(self.left_out..).unwrap_or_default()
    }

    pub(super) const fn len(&self) -> usize {
        self.values.len() - self.left_out
    }

    /// So many from a place on; none where they are not all there.
    #[inline(always)]
    pub(super) fn get(&self, begin: usize, count: usize) -> &[f32] {
        let begin = begin + self.left_out;
        self.values.get(begin..begin + count).unwrap_or_default()
    }

    /// The same, to be changed.
    #[inline(always)]
    pub(super) fn get_mut(&mut self, begin: usize, count: usize) -> &mut [f32] {
        let begin = begin + self.left_out;
        self.values.get_mut(begin..begin + count).unwrap_or_default()
    }

    /// Adds so many zeros.
    pub(super) fn grow(&mut self, count: usize) {
        if self.values.len() + count > self.values.capacity() {
            *self = Self::with_room(self.as_slice(), 2 * (self.len() + count));
        }
        self.values.resize(self.values.len() + count, 0.0);
    }
}

impl Clone for Lines {
    fn clone(&self) -> Self {
        Self::with_room(self.as_slice(), self.values.capacity() - self.left_out)
    }
}

impl PartialEq for Lines {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Field for Lines {
    const LEAST_BYTES: usize = <Vec<f32> as Field>::LEAST_BYTES;

    fn save(&self, into: &mut Vec<u8>) {
        self.len().save(into);
        self.as_slice().iter().for_each(|value| value.save(into));
    }

    fn load(from: &mut Source<'_>) -> Result<Self, DecodeError> {
        Vec::load(from).map(|values: Vec<f32>| Self::with_room(&values, values.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_begin_at_a_line_however_they_came_to_be() {
        let mut lines = Lines::with_capacity(3);
        for count in 1..100 {
            lines.grow(1);
            let slot = lines.get_mut(count - 1, 1);
            slot.copy_from_slice(&[count as f32]);
            let copy = lines.clone();
            let mut bytes = Vec::new();
            copy.save(&mut bytes);
            let loaded = Lines::load(&mut Source::from(bytes.as_slice())).unwrap();
            for lines in [&lines, &copy, &loaded] {
                assert_eq!(lines.as_slice().as_ptr().align_offset(LINE), 0, "{count}");
                assert_eq!((lines.len(), lines.get(count - 1, 1)), (count, [count as f32].as_slice()));
            }
            assert!(copy == lines && loaded == lines);
        }
        assert!(lines.get(98, 2).is_empty() && lines.get_mut(99, 1).is_empty());
    }
}
