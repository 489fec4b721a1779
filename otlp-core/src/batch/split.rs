//! A request cut into parts.

use super::outline::{Outline, Record};
use crate::Limits;
use crate::error::DecodeError;
use crate::process::join::Joiner;
use crate::process::shape::Kind;
use crate::protocol::Signal;
use crate::wire::Writer;

/// Cuts requests into parts of at most so many bytes or records, and keeps the room it needs for it.
///
/// Each part is a request with the resources and scopes of its records, and what else their groups hold; for points,
/// with the metric they belong to. Records are spans, log records and points; they keep their order. A record is
/// never cut: one that passes the bound alone, with what is around it, makes a part of its own, the only kind that
/// may be longer. Groups without records are left out of what is cut; a request within the bounds is handed out
/// as it is.
///
/// O(bytes). Allocates nothing once the buffers have grown.
///
/// ```
/// use otlp_core::batch::Splitter;
/// use otlp_core::protocol::Signal;
/// use otlp_core::record::{LogRecord, LogsRequest, Resource, ResourceLogs, ScopeLogs};
/// use otlp_core::{encode::Encode, Limits};
///
/// let scopes = vec![ScopeLogs { records: vec![LogRecord::default(); 25], ..ScopeLogs::default() }];
/// let group = ResourceLogs { resource: Resource::service("cart"), scopes, ..ResourceLogs::default() };
/// let body = LogsRequest { resources: vec![group] }.encode_to_bytes();
///
/// let mut splitter = Splitter::new(Limits::default()).max_records(10);
/// let mut counts = Vec::new();
/// splitter.split(Signal::Logs, &body, |part| counts.push(part.records))?;
/// assert_eq!(counts, [10, 10, 5]);
/// # Ok::<(), otlp_core::DecodeError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Splitter {
    max_bytes: usize,
    max_records: usize,
    limits: Limits,
    outline: Outline,
    joiner: Joiner,
    writer: Writer,
}

/// One part of a request.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Part<'a> {
    /// A request.
    pub bytes: &'a [u8],
    /// Records in it.
    pub records: usize,
}

impl Splitter {
    /// A splitter without bounds yet that holds what it reads to `limits`.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            max_bytes: usize::MAX,
            max_records: usize::MAX,
            limits,
            outline: Outline::default(),
            joiner: Joiner::default(),
            writer: Writer::new(),
        }
    }

    /// Sets the most bytes of a part, before compression.
    #[must_use]
    pub const fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets the most records of a part; zero is taken for one.
    #[must_use]
    pub const fn max_records(mut self, records: usize) -> Self {
        self.max_records = if records == 0 { 1 } else { records };
        self
    }

    /// Hands the parts to `sink`, in order.
    ///
    /// # Errors
    /// Where the groups are malformed or pass a limit, `max_heap_bytes` among them, which bounds what the
    /// splitter takes itself. `sink` has then not been called.
    pub fn split(
        &mut self,
        signal: Signal,
        body: &[u8],
        mut sink: impl FnMut(Part<'_>),
    ) -> Result<(), DecodeError> {
        let kind = Kind::request(signal)?;
        let Self { outline, joiner, limits, .. } = self;
        let (body, ()) = joiner.run(kind, body, limits, |request| outline.read(kind, request, limits))?;
        let records = outline.records();
        if body.len() <= self.max_bytes && records.len() <= self.max_records {
            sink(Part { bytes: body, records: records.len() });
            return Ok(());
        }
        let mut rest = records;
        while !rest.is_empty() {
            let count = fitting(outline, rest, self.max_bytes, self.max_records);
            let Some((part, others)) = rest.split_at_checked(count) else { break };
            rest = others;
            self.writer.clear();
            outline.write(part, body, &mut self.writer);
            sink(Part { bytes: self.writer.as_slice(), records: part.len() });
        }
        Ok(())
    }
}

/// How many of `records` fit in a part: one at least.
fn fitting(outline: &Outline, records: &[Record], max_bytes: usize, max_records: usize) -> usize {
    let mut size = outline.size();
    let mut count = 0;
    for record in records.iter().take(max_records) {
        size.add(*record);
        if count > 0 && size.bytes() > max_bytes {
            break;
        }
        count += 1;
    }
    count
}
