//! Requests joined to one.

use crate::Limits;
use crate::error::DecodeError;
use crate::process::shape::{Delimited, Kind, whole};
use crate::protocol::Signal;
use crate::view::at_most;
use crate::wire::Writer;

/// Puts a request with all that `bodies` hold in front of what `out` holds, in their order.
///
/// The groups of the requests stand one behind the other; a resource that occurs in several occurs several times
/// in the result, as it does in what the Collector's batch processor sends.
///
/// O(bytes); one pass over the outermost fields, and one copy.
///
/// ```
/// use otlp_core::batch::merge;
/// use otlp_core::protocol::Signal;
/// use otlp_core::record::{LogRecord, LogsRequest, Resource, ResourceLogs, ScopeLogs};
/// use otlp_core::{encode::Encode, view::LogsView, wire::Writer, Limits};
///
/// let scopes = vec![ScopeLogs { records: vec![LogRecord::default()], ..ScopeLogs::default() }];
/// let group = ResourceLogs { resource: Resource::service("cart"), scopes, ..ResourceLogs::default() };
/// let body = LogsRequest { resources: vec![group] }.encode_to_bytes();
///
/// let mut out = Writer::new();
/// merge(Signal::Logs, &[&body, &body], &Limits::DEFAULT, &mut out)?;
/// assert_eq!(LogsView::parse(out.as_slice(), &Limits::DEFAULT)?.to_record()?.record_count(), 2);
/// # Ok::<(), otlp_core::DecodeError>(())
/// ```
///
/// # Errors
/// Where the outermost fields of a request are malformed, or the result would pass `max_message_bytes`; the offset
/// counts from the start of the first request. `out` is then as it was.
pub fn merge(
    signal: Signal,
    bodies: &[impl AsRef<[u8]>],
    limits: &Limits,
    out: &mut Writer,
) -> Result<(), DecodeError> {
    Kind::request(signal)?;
    let mut total = 0;
    for body in bodies {
        let body = body.as_ref();
        check(body, limits).map_err(|error| DecodeError { offset: error.offset + total, ..error })?;
        total += body.len();
        at_most("max_message_bytes", total, limits.message_bytes(), total)?;
    }
    // Requests one behind the other are a request: what repeats is added, and there is nothing else.
    bodies.iter().rev().for_each(|body| out.raw(body.as_ref()));
    Ok(())
}

/// What is cut off would swallow the begin of the next request.
fn check(body: &[u8], limits: &Limits) -> Result<(), DecodeError> {
    let mut fields = Delimited::new(whole(body, limits)?);
    while fields.next(|number| number == 1)?.is_some() {}
    Ok(())
}
