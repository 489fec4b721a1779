//! Work on encoded requests beside prost's decode, the same work on structs, and encode.

use std::cell::RefCell;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use otlp_core::TraceId;
use otlp_core::batch::Splitter;
use otlp_core::process::{Editor, Edits, Places, Sampler};
use otlp_core::protocol::Signal;
use otlp_core::wire::Writer;
use prost::Message;

use super::{LIMITS, Rows};
use crate::heap::allocations;
use crate::measure::{Effort, Figure, Row, Timed, Work, compare, timed};

const PEER: &str = "prost decode, edit, encode";

/// What one span in ten carries and must not leave.
const SECRET: &str = "enduser.id";
const MASK: &str = "REDACTED";
const PART_BYTES: usize = 64 << 10;
const RATIO: f64 = 0.1;

/// A payload of which every tenth span has a secret.
struct Case {
    name: &'static str,
    spans: u32,
    body: Vec<u8>,
}

impl Case {
    fn new(name: &'static str, body: &[u8]) -> Result<Self, Box<dyn std::error::Error>> {
        let mut request = ExportTraceServiceRequest::decode(body)?;
        let mut count = 0;
        for span in spans(&mut request) {
            if count % 10 == 0 {
                let text = Value::StringValue(format!("user-{count}@example.org"));
                let value = Some(AnyValue { value: Some(text) });
                span.attributes.push(KeyValue { key: SECRET.into(), value, ..KeyValue::default() });
            }
            count += 1;
        }
        Ok(Self { name, spans: count, body: request.encode_to_vec() })
    }

    fn figure<'a>(&'a self, name: &str, bar: f64, ours: Work<'a>, theirs: Work<'a>) -> Figure<'a> {
        let name = format!("traces, {}: {name}, a span", self.name);
        Figure { name, records: self.spans, ours, peer: (PEER, theirs), bar }
    }

    fn figures(&self) -> Result<Vec<Figure<'_>>, otlp_core::Error> {
        let (mut editor, mut out) = (redaction()?, Writer::new());
        let redact = move || timed(|| redacted(&mut editor, &self.body, &mut out).map_or(0, checksum));
        let mut buffer = Vec::new();
        let redact_structs = move || self.structs(&mut buffer, redact_spans);
        let (mut sampler, mut out) = (Sampler::ratio(RATIO)?, Writer::new());
        let sample = move || timed(|| sampled(&mut sampler, &self.body, &mut out).map_or(0, checksum));
        let (chooser, mut buffer) = (Sampler::ratio(RATIO)?, Vec::new());
        let sample_structs = move || self.structs(&mut buffer, |request| sample_spans(request, &chooser));
        let mut splitter = Splitter::new(LIMITS.clone()).max_bytes(PART_BYTES);
        let split = move || timed(|| parts(&mut splitter, &self.body));
        let mut buffer = Vec::new();
        let split_structs = move || timed(|| self.split_structs(&mut buffer));
        Ok(vec![
            self.figure(
                "redact an attribute of 1 in 10 spans",
                8.0,
                Box::new(redact),
                Box::new(redact_structs),
            ),
            // No bar was set for these two: they tell.
            self.figure("keep 1 trace in 10", 0.0, Box::new(sample), Box::new(sample_structs)),
            self.figure("split in parts of 64 KiB", 0.0, Box::new(split), Box::new(split_structs)),
        ])
    }

    /// Decodes, edits and encodes.
    fn structs(&self, buffer: &mut Vec<u8>, edit: impl Fn(&mut ExportTraceServiceRequest)) -> Timed {
        timed(|| {
            let Ok(mut request) = ExportTraceServiceRequest::decode(self.body.as_slice()) else { return 1 };
            edit(&mut request);
            buffer.clear();
            request.encode(buffer).map_or(1, |()| checksum(buffer))
        })
    }

    /// Cuts greedily, as the Collector does: by the encoded size of each span.
    fn split_structs(&self, buffer: &mut Vec<u8>) -> u64 {
        let Ok(request) = ExportTraceServiceRequest::decode(self.body.as_slice()) else { return 1 };
        let mut seen = 0;
        let mut send = |part: &mut ExportTraceServiceRequest| {
            buffer.clear();
            if part.encode(buffer).is_ok() && buffer.len() <= PART_BYTES {
                seen += spans(part).count() as u64;
            }
            part.resource_spans.clear();
        };
        let mut part = ExportTraceServiceRequest::default();
        for group in request.resource_spans {
            let resource = ResourceSpans { scope_spans: Vec::new(), ..group };
            let around = resource.encoded_len() + 8;
            part.resource_spans.push(resource.clone());
            let mut size = around;
            for scope in group.scope_spans {
                let library = ScopeSpans { spans: Vec::new(), ..scope };
                let head = library.encoded_len() + 4;
                size += head;
                push_scope(&mut part, library.clone());
                for span in scope.spans {
                    let len = span.encoded_len() + 3;
                    if size + len > PART_BYTES {
                        send(&mut part);
                        part.resource_spans.push(resource.clone());
                        push_scope(&mut part, library.clone());
                        size = around + head;
                    }
                    size += len;
                    push_span(&mut part, span);
                }
            }
        }
        send(&mut part);
        seen
    }

    fn counts(&self) -> Result<Vec<Row>, otlp_core::Error> {
        let state = RefCell::new((redaction()?, Writer::new()));
        let redact = || {
            let (editor, out) = &mut *state.borrow_mut();
            assert!(redacted(editor, &self.body, out).is_some());
        };
        let sampler = RefCell::new((Sampler::ratio(RATIO)?, Writer::new()));
        let sample = || {
            let (sampler, out) = &mut *sampler.borrow_mut();
            assert!(sampled(sampler, &self.body, out).is_some());
        };
        let splitter = RefCell::new(Splitter::new(LIMITS.clone()).max_bytes(PART_BYTES));
        let split = || assert!(parts(&mut splitter.borrow_mut(), &self.body) > 0);
        let row = |name: &str, work: &dyn Fn()| {
            // The first call grows what is kept.
            work();
            let count = allocations(work) as f64 / f64::from(self.spans);
            Row::count(&format!("traces, {}: allocations of {name}, a span", self.name), count, 0.0, None)
        };
        Ok(vec![row("redaction", &redact), row("sampling", &sample), row("splitting", &split)])
    }
}

fn redaction() -> Result<Editor, otlp_core::Error> {
    Edits::new().at(Places::SPAN).redact(SECRET).limits(LIMITS.clone()).build()
}

fn redacted<'o>(editor: &mut Editor, body: &[u8], out: &'o mut Writer) -> Option<&'o [u8]> {
    out.clear();
    editor.edit(Signal::Traces, body, out).ok()?;
    Some(out.as_slice())
}

fn sampled<'o>(sampler: &mut Sampler, body: &[u8], out: &'o mut Writer) -> Option<&'o [u8]> {
    out.clear();
    sampler.spans(body, out).ok()?;
    Some(out.as_slice())
}

/// Records in all parts that hold to the bound.
fn parts(splitter: &mut Splitter, body: &[u8]) -> u64 {
    let mut seen = 0;
    let done = splitter.split(Signal::Traces, body, |part| {
        if part.bytes.len() <= PART_BYTES {
            seen += part.records as u64;
        }
    });
    if done.is_ok() { seen } else { 0 }
}

/// Length and some bytes: cheap, as much for either side.
fn checksum(bytes: impl AsRef<[u8]>) -> u64 {
    let bytes = bytes.as_ref();
    let sample = bytes.iter().step_by(997).fold(0_u64, |sum, byte| sum.wrapping_mul(31) + u64::from(*byte));
    sample ^ (bytes.len() as u64) << 40
}

fn spans(request: &mut ExportTraceServiceRequest) -> impl Iterator<Item = &mut Span> {
    let scopes = request.resource_spans.iter_mut().flat_map(|group| &mut group.scope_spans);
    scopes.flat_map(|scope| &mut scope.spans)
}

fn redact_spans(request: &mut ExportTraceServiceRequest) {
    for span in spans(request) {
        for pair in span.attributes.iter_mut().filter(|pair| pair.key == SECRET) {
            pair.value = Some(AnyValue { value: Some(Value::StringValue(MASK.into())) });
        }
    }
}

fn sample_spans(request: &mut ExportTraceServiceRequest, chooser: &Sampler) {
    let keeps = |span: &Span| {
        let id = <[u8; 16]>::try_from(span.trace_id.as_slice()).unwrap_or_default();
        chooser.keeps(TraceId::new(id))
    };
    request.resource_spans.retain_mut(|group| {
        group.scope_spans.retain_mut(|scope| {
            scope.spans.retain(keeps);
            !scope.spans.is_empty()
        });
        !group.scope_spans.is_empty()
    });
}

fn push_scope(part: &mut ExportTraceServiceRequest, scope: ScopeSpans) {
    if let Some(group) = part.resource_spans.last_mut() {
        group.scope_spans.push(scope);
    }
}

fn push_span(part: &mut ExportTraceServiceRequest, span: Span) {
    let scope = part.resource_spans.last_mut().and_then(|group| group.scope_spans.last_mut());
    if let Some(scope) = scope {
        scope.spans.push(span);
    }
}

/// Measures the work on `body`.
pub(super) fn rows(name: &'static str, body: &[u8], effort: &Effort) -> Rows {
    let case = match Case::new(name, body) {
        Ok(case) => case,
        Err(error) => return vec![Err(error)],
    };
    let measured = case.figures().and_then(|figures| Ok((figures, case.counts()?)));
    let (figures, counts) = match measured {
        Ok(measured) => measured,
        Err(error) => return vec![Err(error.into())],
    };
    let figures = figures.into_iter().filter(|figure| figure.name.contains(&effort.only));
    let mut rows: Rows = figures.map(|mut figure| Ok(compare(&mut figure, effort)?)).collect();
    rows.extend(counts.into_iter().filter(|row| row.figure.contains(&effort.only)).map(Ok));
    rows
}
