//! What decoding to owned records may take from the heap.

use super::context::at_most;
use super::table::Own;
use crate::Limits;
use crate::error::DecodeError;

/// Counts the heap bytes of owned records, before they are taken.
///
/// What is counted is what is asked of the allocator: the exact length of every string and every
/// list. An allocator may round each up.
///
/// ```
/// use otlp_core::Limits;
/// use otlp_core::view::{HeapBudget, TracesView};
///
/// let limits = Limits::default().max_heap_bytes(100);
/// let empty_spans = [0x12, 0].repeat(1000);
/// let mut body = vec![0x0a, 0xd3, 0x0f, 0x12, 0xd0, 0x0f];
/// body.extend(empty_spans);
/// let error = TracesView::parse(&body, &limits)?.to_record().unwrap_err();
/// assert!(error.is_limit());
/// # Ok::<(), otlp_core::DecodeError>(())
/// ```
#[derive(Debug, Clone)]
pub struct HeapBudget {
    bound: usize,
    used: usize,
    /// Offset of the message that is being copied, for errors.
    pub(crate) offset: usize,
}

impl HeapBudget {
    /// A budget of `limits.heap_bytes()`.
    #[must_use]
    pub const fn new(limits: &Limits) -> Self {
        Self { bound: limits.heap_bytes(), used: 0, offset: 0 }
    }

    /// Bytes taken so far.
    #[must_use]
    pub const fn used(&self) -> usize {
        self.used
    }

    /// Counts `bytes` more.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), DecodeError> {
        self.used = self.used.saturating_add(bytes);
        at_most(HEAP, self.used, self.bound, self.offset)
    }

    /// Gives back what was taken since `used` stood at `before`.
    pub(crate) const fn rewind(&mut self, before: usize) {
        self.used = before;
    }

    pub(crate) fn text(&mut self, text: &str) -> Result<String, DecodeError> {
        self.take(text.len())?;
        Ok(text.to_owned())
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
        self.take(bytes.len())?;
        Ok(bytes.to_owned())
    }

    /// A list with room for exactly `len` elements.
    pub(crate) fn list<T>(&mut self, len: usize) -> Result<Vec<T>, DecodeError> {
        self.take(len.saturating_mul(size_of::<T>()))?;
        Ok(Vec::with_capacity(len))
    }

    /// Copies out every element.
    pub(crate) fn collect<V: Own>(
        &mut self,
        views: impl ExactSizeIterator<Item = Result<V, DecodeError>>,
    ) -> Result<Vec<V::Owned>, DecodeError> {
        let mut list = self.list(views.len())?;
        for view in views {
            list.push(view?.own(self)?);
        }
        Ok(list)
    }

    pub(crate) fn numbers<T>(
        &mut self,
        numbers: impl ExactSizeIterator<Item = T>,
    ) -> Result<Vec<T>, DecodeError> {
        let mut list = self.list(numbers.len())?;
        list.extend(numbers);
        Ok(list)
    }
}

/// The limit's name in errors.
pub(crate) const HEAP: &str = "max_heap_bytes";
