//! OTLP/JSON against `prost`, `opentelemetry-proto`'s serde and the Python package, on messages made from
//! the descriptors of the latter.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

mod corpus;
#[path = "../codec/dice.rs"]
#[allow(dead_code, reason = "shared with the tests of the codec")]
mod dice;
mod generate;
mod hostile;
mod lines;
mod reading;
mod round_trip;
mod serde;
mod writing;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::profiles::v1development::ExportProfilesServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use otlp_core::json::{self, Body, Reading};
use otlp_core::protocol::Signal;
use otlp_core::{DecodeError, Limits};
use prost::Message;

/// What prost makes of a request: decoded and encoded again; none where it refuses it.
pub(crate) fn prost(signal: Signal, wire: &[u8]) -> Option<Vec<u8>> {
    macro_rules! again {
        ($request:ident) => {
            $request::decode(wire).ok().map(|request| request.encode_to_vec())
        };
    }
    match signal {
        Signal::Traces => again!(ExportTraceServiceRequest),
        Signal::Metrics => again!(ExportMetricsServiceRequest),
        Signal::Logs => again!(ExportLogsServiceRequest),
        Signal::Profiles => again!(ExportProfilesServiceRequest),
        other => panic!("no messages for {other}"),
    }
}

pub(crate) fn write(body: impl Into<Body>, wire: &[u8]) -> Result<String, DecodeError> {
    write_within(body, wire, &Limits::DEFAULT)
}

pub(crate) fn write_within(
    body: impl Into<Body>,
    wire: &[u8],
    limits: &Limits,
) -> Result<String, DecodeError> {
    let mut text = b"kept".to_vec();
    let result = json::write(body, wire, limits, &mut text);
    let written = text.strip_prefix(b"kept").expect("what stood there stays");
    assert!(result.is_ok() || written.is_empty(), "an error leaves the buffer as it was");
    result.map(|()| String::from_utf8(written.to_vec()).expect("JSON is UTF-8"))
}

pub(crate) fn read(body: impl Into<Body>, text: impl AsRef<[u8]>) -> Result<Vec<u8>, DecodeError> {
    read_within(body, text.as_ref(), Reading::Strict, &Limits::DEFAULT)
}

pub(crate) fn read_within(
    body: impl Into<Body>,
    text: &[u8],
    reading: Reading,
    limits: &Limits,
) -> Result<Vec<u8>, DecodeError> {
    let mut wire = b"kept".to_vec();
    let result = json::read(body, text, reading, limits, &mut wire);
    let written = wire.strip_prefix(b"kept").expect("what stood there stays");
    assert!(result.is_ok() || written.is_empty(), "an error leaves the buffer as it was");
    if let Err(error) = result {
        assert!(error.offset <= text.len(), "{error} in {} bytes", text.len());
    }
    result.map(|()| written.to_vec())
}

/// Runs `work` with room for values nested as deep as can be allowed: without optimisation a level takes
/// some kilobytes of stack.
pub(crate) fn with_room(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(32 << 20).spawn(work).unwrap().join().unwrap();
}
