//! JSON: protobuf bytes to OTLP/JSON and back, beside prost with serde_json.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use otlp_core::json::{self, Reading};
use otlp_core::protocol::Signal;
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::payload::order::{Root, descending};
use super::payload::{self, Kind, log, metric};
use super::{LIMITS, Rows};
use crate::heap::allocations;
use crate::measure::{Effort, Figure, Row, Work, compare, timed};

const PEER: &str = "opentelemetry-proto + serde_json";

/// One payload on the wire and in JSON.
struct Case {
    /// Signal and kind of texts.
    name: String,
    payload: Payload,
    /// The same in descending order, as the Collector writes it.
    descending: Vec<u8>,
    text: Vec<u8>,
}

/// What is read and written, and how the peer does it.
struct Payload {
    signal: Signal,
    unit: &'static str,
    records: u32,
    wire: Vec<u8>,
    peer: Peer,
}

/// prost and then serde, or the other way round, into a buffer that is kept; false where something failed.
#[derive(Clone, Copy)]
struct Peer {
    write: fn(&[u8], &mut Vec<u8>) -> bool,
    read: fn(&[u8], &mut Vec<u8>) -> bool,
    /// Read and written again, which puts the fields in prost's order.
    again: fn(&[u8]) -> Option<Vec<u8>>,
}

const fn peer<M: Message + Default + Serialize + DeserializeOwned>() -> Peer {
    Peer {
        write: |wire, text| {
            text.clear();
            M::decode(wire).is_ok_and(|message| serde_json::to_writer(text, &message).is_ok())
        },
        read: |text, wire| {
            wire.clear();
            serde_json::from_slice::<M>(text).is_ok_and(|message| message.encode(wire).is_ok())
        },
        again: |wire| M::decode(wire).ok().map(|message| message.encode_to_vec()),
    }
}

pub(super) fn rows(effort: &Effort) -> Rows {
    let kinds = [("realistic", Kind::Realistic), ("non-ASCII", Kind::NonAscii)];
    let payloads: [fn(Kind) -> Payload; 3] = [traces, logs, metrics];
    let cases = payloads.into_iter().flat_map(|payload| kinds.map(|(name, kind)| (name, payload(kind))));
    cases
        .flat_map(|(name, payload)| match Case::new(name, payload) {
            Ok(case) => case.rows(effort),
            Err(error) => vec![Err(error)],
        })
        .collect()
}

fn traces(kind: Kind) -> Payload {
    let (spans, resource) = (payload::spans(kind), payload::resource());
    let records = u32::try_from(spans.len()).unwrap_or(u32::MAX);
    let attributes = ResourceAttributesWithSchema::from(&resource);
    let resource_spans = group_spans_by_resource_and_scope(spans, &attributes);
    let wire = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
    Payload { signal: Signal::Traces, unit: "span", records, wire, peer: peer::<ExportTraceServiceRequest>() }
}

fn logs(kind: Kind) -> Payload {
    let records = u32::try_from(log::RECORDS).unwrap_or(u32::MAX);
    let wire = log::request(kind).encode_to_vec();
    Payload { signal: Signal::Logs, unit: "record", records, wire, peer: peer::<ExportLogsServiceRequest>() }
}

fn metrics(kind: Kind) -> Payload {
    let records = u32::try_from(metric::points()).unwrap_or(u32::MAX);
    let wire = metric::request(kind).encode_to_vec();
    let peer = peer::<ExportMetricsServiceRequest>();
    Payload { signal: Signal::Metrics, unit: "point", records, wire, peer }
}

fn write(signal: Signal, wire: &[u8], text: &mut Vec<u8>) -> bool {
    text.clear();
    json::write(signal, wire, &LIMITS, text).is_ok()
}

fn read(signal: Signal, text: &[u8], wire: &mut Vec<u8>) -> bool {
    wire.clear();
    json::read(signal, text, Reading::Strict, &LIMITS, wire).is_ok()
}

/// Work that says 1 where it did what it did before, so that both sides agree.
fn repeated<'a>(len: usize, mut work: impl FnMut(&mut Vec<u8>) -> bool + 'a) -> Work<'a> {
    let mut buffer = Vec::new();
    Box::new(move || timed(|| u64::from(work(&mut buffer) && buffer.len() == len)))
}

impl Case {
    /// Makes the texts, and checks that each side reads what either one writes as the same message.
    fn new(kind: &str, payload: Payload) -> Result<Self, Box<dyn std::error::Error>> {
        let Payload { signal, ref wire, peer, .. } = payload;
        let name = format!("{signal}, {kind}");
        let descending = match signal {
            Signal::Traces => payload::descending(wire),
            Signal::Logs => descending(Root::Logs, wire),
            _ => descending(Root::Metrics, wire),
        };
        let (mut text, mut theirs, mut again) = (Vec::new(), Vec::new(), Vec::new());
        let written = write(signal, wire, &mut text) && (peer.write)(wire, &mut theirs);
        for text in [&text, &theirs] {
            for read in [
                &|text: &[u8], wire: &mut _| read(signal, text, wire),
                &peer.read as &dyn Fn(&_, &mut _) -> _,
            ] {
                if !written || !read(text, &mut again) || (peer.again)(&again).as_ref() != Some(wire) {
                    return Err(format!("{name}: what JSON says differs").into());
                }
            }
        }
        if !write(signal, &descending, &mut again) || again != text {
            return Err(format!("{name}: descending order gives another text").into());
        }
        Ok(Self { name, payload, descending, text })
    }

    fn rows(&self, effort: &Effort) -> Rows {
        let figures = self.figures().into_iter().filter(|figure| figure.name.contains(&effort.only));
        let mut rows: Rows = figures.map(|mut figure| Ok(compare(&mut figure, effort)?)).collect();
        let counts = self.counts().into_iter().filter(|row| row.figure.contains(&effort.only));
        rows.extend(counts.map(Ok));
        rows
    }

    fn figures(&self) -> Vec<Figure<'_>> {
        let Payload { signal, unit, records, ref wire, peer } = self.payload;
        let mut theirs = Vec::new();
        let _ = (peer.write)(wire, &mut theirs);
        let (ours_len, their_len) = (self.text.len(), theirs.len());
        let figure = |what: &str, bar, ours, theirs| Figure {
            name: format!("{}: {what}, a {unit}", self.name),
            records,
            ours,
            peer: (PEER, theirs),
            bar,
        };
        let writing = |what, wire| {
            let ours = repeated(ours_len, move |text| write(signal, wire, text));
            figure(what, 3.5, ours, repeated(their_len, move |text| (peer.write)(wire, text)))
        };
        vec![
            writing("wire to JSON", wire),
            writing("wire to JSON, descending", &self.descending),
            figure(
                "JSON to wire",
                3.0,
                repeated(wire.len(), move |wire| read(signal, &self.text, wire)),
                repeated(wire.len(), move |wire| (peer.read)(&self.text, wire)),
            ),
        ]
    }

    /// Heap allocations of one request, into buffers that are kept; ours must be none.
    fn counts(&self) -> Vec<Row> {
        let Payload { signal, ref wire, peer, .. } = self.payload;
        let (mut text, mut back) = (self.text.clone(), wire.clone());
        let row = |what: &str, ours: &mut dyn FnMut() -> bool, theirs: &mut dyn FnMut() -> bool| {
            // The first calls grow what is kept.
            let _ = (ours(), theirs());
            let ours = allocations(|| assert!(ours(), "read before"));
            let theirs = allocations(|| assert!(theirs(), "read before"));
            let figure = format!("{}: allocations of {what}, a request", self.name);
            Row::count(&figure, ours as f64, 0.0, Some((PEER, theirs as f64)))
        };
        let mut other = Vec::new();
        let mut written = vec![row("wire to JSON", &mut || write(signal, wire, &mut text), &mut || {
            (peer.write)(wire, &mut other)
        })];
        let mut other = Vec::new();
        written.push(row("JSON to wire", &mut || read(signal, &self.text, &mut back), &mut || {
            (peer.read)(&self.text, &mut other)
        }));
        written
    }
}
