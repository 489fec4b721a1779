//! The codec of `otlp-core` beside `opentelemetry-proto` and prost: traces here, the other signals below.

pub mod daily;
mod edit;
mod json;
mod layer;
mod log;
mod metric;
mod payload;
mod profile;
mod sdk;
mod signal;
mod walk;

use std::cell::RefCell;
use std::process::ExitCode;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use otlp_core::encode::Encode;
use otlp_core::interop::sdk::SpanEncoder;
use otlp_core::record::TracesRequest;
use otlp_core::view::TracesView;
use otlp_core::wire::Writer;
use otlp_core::{DecodeError, Limits};
use prost::Message;

use crate::heap::allocations;
use crate::measure::{Effort, Figure, Row, Timed, Work, compare, report, timed};

const PROST: &str = "prost";
const EXPORTER: &str = "opentelemetry-proto transform + prost";
static LIMITS: Limits = Limits::DEFAULT;

/// One payload in all the forms the figures need.
struct Case {
    name: &'static str,
    spans: Vec<SpanData>,
    resource: Resource,
    prost: ExportTraceServiceRequest,
    records: TracesRequest,
    ascending: Vec<u8>,
    descending: Vec<u8>,
}

impl Case {
    fn new(name: &'static str, kind: payload::Kind) -> Result<Self, Box<dyn std::error::Error>> {
        let (spans, resource) = (payload::spans(kind), payload::resource());
        let attributes = ResourceAttributesWithSchema::from(&resource);
        let resource_spans = group_spans_by_resource_and_scope(spans.clone(), &attributes);
        let prost = ExportTraceServiceRequest { resource_spans };
        let ascending = prost.encode_to_vec();
        let descending = payload::descending(&ascending);
        let records = TracesView::parse(&ascending, &LIMITS)?.to_record()?;
        if ExportTraceServiceRequest::decode(descending.as_slice())? != prost {
            return Err("the payload in descending order is another".into());
        }
        Ok(Self { name, spans, resource, prost, records, ascending, descending })
    }

    fn figure<'a>(
        &'a self,
        name: &str,
        bar: f64,
        ours: Work<'a>,
        peer: (&'static str, Work<'a>),
    ) -> Figure<'a> {
        let records = u32::try_from(self.spans.len()).unwrap_or(u32::MAX);
        Figure { name: format!("traces, {}: {name}, a span", self.name), records, ours, peer, bar }
    }

    fn figures(&self) -> Vec<Figure<'_>> {
        let mut figures = self.encoding();
        for (order, body) in [("ascending", &self.ascending), ("descending", &self.descending)] {
            figures.push(self.figure(
                &format!("full walk, UTF-8 checked, {order}"),
                7.0,
                Box::new(|| timed(|| walk::view(body, &LIMITS).unwrap_or(0))),
                (PROST, Box::new(|| timed(|| decode(body).map_or(1, |request| walk::prost(&request))))),
            ));
            let lazily = || -> Work<'_> {
                Box::new(|| timed(|| decode(body).map_or(1, |request| walk::prost_lazily(&request))))
            };
            figures.push(self.figure(
                &format!("lazy read of trace id, name, duration, {order}"),
                30.0,
                Box::new(|| timed(|| walk::view_lazily::<false>(body, &LIMITS).unwrap_or(0))),
                (PROST, lazily()),
            ));
            figures.push(self.figure(
                &format!("lazy read of trace id, name, duration, assume_unique, {order}"),
                60.0,
                Box::new(|| timed(|| walk::view_lazily::<true>(body, &LIMITS).unwrap_or(0))),
                (PROST, lazily()),
            ));
            figures.push(self.figure(
                &format!("owned decode within limits, {order}"),
                1.5,
                Box::new(|| timed(|| records(body).map_or(0, |request| walk::record_lazily(&request)))),
                (PROST, lazily()),
            ));
        }
        figures
    }

    fn encoding(&self) -> Vec<Figure<'_>> {
        let (mut encoder, mut writer) = (SpanEncoder::new(), Writer::new());
        let reused = move || {
            let spans = self.spans.clone();
            timed(|| {
                writer.clear();
                encoder.encode(&spans, &self.resource, &mut writer);
                drop(spans);
                writer.len() as u64
            })
        };
        let fresh = || {
            let spans = self.spans.clone();
            timed(|| {
                let mut writer = Writer::new();
                SpanEncoder::new().encode(&spans, &self.resource, &mut writer);
                drop(spans);
                writer.into_bytes().len() as u64
            })
        };
        let mut buffer = Vec::new();
        let peer_reused = self.exporter(move |request| {
            buffer.clear();
            request.encode(&mut buffer).map_or(0, |()| buffer.len() as u64)
        });
        let peer_fresh = self.exporter(|request| request.encode_to_vec().len() as u64);
        let mut record_writer = Writer::new();
        let from_records = move || {
            timed(|| {
                record_writer.clear();
                self.records.encode(&mut record_writer);
                record_writer.len() as u64
            })
        };
        let mut prost_buffer = Vec::new();
        let from_structs = move || {
            timed(|| {
                prost_buffer.clear();
                self.prost.encode(&mut prost_buffer).map_or(0, |()| prost_buffer.len() as u64)
            })
        };
        vec![
            self.figure(
                "encode from SpanData, reused buffer",
                6.0,
                Box::new(reused),
                (EXPORTER, peer_reused),
            ),
            self.figure("encode from SpanData, fresh buffer", 4.0, Box::new(fresh), (EXPORTER, peer_fresh)),
            self.figure("encode from records", 2.5, Box::new(from_records), (PROST, Box::new(from_structs))),
        ]
    }

    /// What the official exporter does with a batch that it owns.
    fn exporter<'a>(&'a self, mut encode: impl FnMut(&ExportTraceServiceRequest) -> u64 + 'a) -> Work<'a> {
        let attributes = ResourceAttributesWithSchema::from(&self.resource);
        Box::new(move || -> Timed {
            let spans = self.spans.clone();
            timed(|| {
                let resource_spans = group_spans_by_resource_and_scope(spans, &attributes);
                encode(&ExportTraceServiceRequest { resource_spans })
            })
        })
    }

    /// Heap allocations a span, ours beside the peer's.
    fn counts(&self) -> Vec<Row> {
        let spans = self.spans.len() as f64;
        let encoder = RefCell::new((SpanEncoder::new(), Writer::new()));
        let encode = || {
            let (encoder, writer) = &mut *encoder.borrow_mut();
            writer.clear();
            encoder.encode(&self.spans, &self.resource, writer);
        };
        let encode_records = || {
            let (_, writer) = &mut *encoder.borrow_mut();
            writer.clear();
            self.records.encode(writer);
        };
        let walk = || assert!(walk::view(&self.ascending, &LIMITS).is_ok());
        let lazy = || assert!(walk::view_lazily::<false>(&self.descending, &LIMITS).is_ok());
        let own = || drop(records(&self.ascending));
        let decode = || drop(decode(&self.ascending));
        let a_span = |work: &dyn Fn()| {
            // The first call grows what is kept.
            work();
            allocations(work) as f64 / spans
        };
        let theirs = a_span(&decode);
        let row = |name: &str, work: &dyn Fn(), most: f64| {
            let figure = format!("traces, {}: allocations of {name}, a span", self.name);
            Row::count(&figure, a_span(work), most, Some((PROST, theirs)))
        };
        vec![
            Row { peer: "-".into(), theirs: "-".into(), ..row("encode from SpanData", &encode, 0.0) },
            Row { peer: "-".into(), theirs: "-".into(), ..row("encode from records", &encode_records, 0.0) },
            row("full walk", &walk, 0.0),
            row("lazy read", &lazy, 0.0),
            row("owned decode", &own, theirs),
        ]
    }

    /// Both sides write the same and say the same, field by field, before anything is measured.
    fn check(&self) -> Result<(), Box<dyn std::error::Error>> {
        let (mut encoder, mut writer) = (SpanEncoder::new(), Writer::new());
        encoder.encode(&self.spans, &self.resource, &mut writer);
        let mut ours = ExportTraceServiceRequest::decode(writer.as_slice())?;
        let mut theirs = self.prost.clone();
        for request in [&mut ours, &mut theirs] {
            // They come from a hash map, whose order only one side can turn round.
            for group in &mut request.resource_spans {
                let attributes = group.resource.as_mut().map(|resource| &mut resource.attributes);
                attributes.into_iter().for_each(|list| list.sort_by(|a, b| a.key.cmp(&b.key)));
            }
        }
        if ours != theirs || writer.len() != self.ascending.len() {
            return Err("SpanData: encoded content differs".into());
        }
        if self.records.encode_to_bytes() != self.ascending {
            return Err("records: encoded bytes differ".into());
        }
        Ok(())
    }
}

fn decode(body: &[u8]) -> Result<ExportTraceServiceRequest, prost::DecodeError> {
    ExportTraceServiceRequest::decode(body)
}

fn records(body: &[u8]) -> Result<TracesRequest, DecodeError> {
    TracesView::parse(body, &LIMITS)?.to_record()
}

/// The realistic spans, for other areas to export.
pub(crate) fn spans() -> Vec<SpanData> {
    payload::spans(payload::Kind::Realistic)
}

/// The resource that they come from.
pub(crate) fn resource() -> Resource {
    payload::resource()
}

/// The realistic request, for other areas to move.
pub(crate) fn request() -> Vec<u8> {
    let mut writer = Writer::new();
    SpanEncoder::new().encode(&payload::spans(payload::Kind::Realistic), &payload::resource(), &mut writer);
    writer.as_slice().to_vec()
}

/// Measures the area and prints its rows.
#[must_use]
pub fn run(effort: &Effort) -> ExitCode {
    let kinds = [("realistic", payload::Kind::Realistic), ("non-ASCII", payload::Kind::NonAscii)];
    let traces = kinds.into_iter().flat_map(|(name, kind)| rows(name, kind, effort));
    // Chained lazily, so that rows are printed as they come.
    let signals: [fn(&Effort) -> Rows; 6] =
        [log::rows, metric::rows, profile::rows, sdk::rows, layer::rows, json::rows];
    report(traces.chain(signals.into_iter().flat_map(|rows| rows(effort))))
}

type Rows = Vec<Result<Row, Box<dyn std::error::Error>>>;

fn rows(name: &'static str, kind: payload::Kind, effort: &Effort) -> Rows {
    let case = match Case::new(name, kind).and_then(|case| case.check().map(|()| case)) {
        Ok(case) => case,
        Err(error) => return vec![Err(error)],
    };
    let figures = case.figures().into_iter().filter(|figure| figure.name.contains(&effort.only));
    let mut rows: Rows = figures.map(|mut figure| Ok(compare(&mut figure, effort)?)).collect();
    let counts = case.counts().into_iter().filter(|row| row.figure.contains(&effort.only));
    rows.extend(counts.map(Ok));
    rows.extend(edit::rows(name, &case.ascending, effort));
    rows
}
