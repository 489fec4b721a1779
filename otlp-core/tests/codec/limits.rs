//! Every limit, on every path: for any request, a bound of just what it needs lets it pass and one less refuses it.

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use otlp_core::error::DecodeErrorKind;
use otlp_core::view::{ExportResponseView, LogsView, MetricsView, ProfilesView, RpcStatusView, TracesView};
use otlp_core::{DecodeError, Limits};
use proptest::prelude::*;
use prost::Message;

use crate::chunk;
use crate::dice::Dice;
use crate::tree::{Occurs, Type};
use crate::{generate, walk};

/// What a request asks of each limit.
#[derive(Debug, Default)]
struct Needs {
    string_bytes: usize,
    attributes: usize,
    elements: usize,
    depth: u32,
}

impl Needs {
    fn of(kind: Type, message: &[u8]) -> Self {
        let mut needs = Self::default();
        needs.look_into(kind, message, 0);
        needs
    }

    fn look_into(&mut self, kind: Type, message: &[u8], depth: u32) {
        let depth = depth + u32::from(kind == Type::AnyValue);
        self.depth = self.depth.max(depth);
        let chunks = chunk::split(message);
        for chunk in &chunks {
            let alike = chunks.iter().filter(|other| other.number == chunk.number).count();
            let is_attribute = matches!(kind.child(chunk.number), Some((Type::KeyValue, _)));
            match (kind.child(chunk.number), chunk.content()) {
                (Some((child, occurs)), Some(content)) => {
                    if occurs == Occurs::Often && is_attribute && kind != Type::KvList {
                        self.attributes = self.attributes.max(alike);
                    } else if occurs == Occurs::Often {
                        self.elements = self.elements.max(alike);
                    }
                    self.look_into(child, content, depth);
                }
                (None, Some(run)) if kind.packed(chunk.number) == Some(8) => {
                    self.elements = self.elements.max(run.len() / 8);
                }
                (None, Some(run)) if kind.packed(chunk.number).is_some() => {
                    let numbers = run.iter().filter(|byte| **byte < 0x80).count();
                    self.elements = self.elements.max(numbers);
                }
                (None, Some(text)) if kind.id_len(chunk.number).is_none() => {
                    self.string_bytes = self.string_bytes.max(text.len());
                    // The keys of an entity, and the texts of a dictionary.
                    if matches!((kind, chunk.number), (Type::Leaf, 3 | 4) | (Type::Dictionary, 5)) {
                        self.elements = self.elements.max(alike);
                    }
                }
                _ => {}
            }
        }
    }

    /// Each limit by name with a bound that is one too tight, where there is one, and one that just fits.
    fn bounds(&self, body: &[u8]) -> Vec<(&'static str, Option<Limits>, Limits)> {
        macro_rules! bound {
            ($name:ident, $needed:expr) => {
                (
                    stringify!($name),
                    $needed.checked_sub(1).map(|bound| Limits::default().$name(bound)),
                    Limits::default().$name($needed),
                )
            };
        }
        vec![
            bound!(max_message_bytes, body.len()),
            bound!(max_string_bytes, self.string_bytes),
            bound!(max_attributes, self.attributes),
            bound!(max_elements, self.elements),
            bound!(max_depth, self.depth),
        ]
    }
}

fn is_limit<T>(result: &Result<T, DecodeError>, name: &str) -> bool {
    matches!(result, Err(DecodeError { kind: DecodeErrorKind::Limit { what, .. }, .. }) if *what == name)
}

macro_rules! holds {
    ($dice:expr, $name:ident, $root:ident, $view:ident) => {
        let body = generate::$name($dice).encode_to_vec();
        for (name, tight, fitting) in Needs::of(Type::$root, &body).bounds(&body) {
            prop_assert!(walk::$name(&body, &fitting).is_ok(), "{name}: {fitting:?}");
            let record = $view::parse(&body, &fitting).and_then(|view| view.to_record());
            prop_assert!(record.is_ok(), "{name}: {fitting:?}");
            let Some(tight) = tight else { continue };
            prop_assert!(is_limit(&walk::$name(&body, &tight), name), "{name}: {tight:?}");
            let record = $view::parse(&body, &tight).and_then(|view| view.to_record());
            prop_assert!(is_limit(&record, name), "{name}: {tight:?}");
            // Either the whole is refused for it, or the records that it befalls.
            let mut rejected = Vec::new();
            let kept = $view::parse(&body, &tight)
                .and_then(|view| view.to_record_rejecting(|error| rejected.push(Err::<(), _>(error))));
            let by_record = !rejected.is_empty() && rejected.iter().all(|error| is_limit(error, name));
            prop_assert!(is_limit(&kept, name) || (kept.is_ok() && by_record), "{name}: {tight:?}");
        }
    };
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn just_enough_passes_and_one_less_is_refused_by_name(seed: u64) {
        let mut dice = Dice::new(seed);
        holds!(&mut dice, traces, Traces, TracesView);
        holds!(&mut dice, logs, Logs, LogsView);
        holds!(&mut dice, metrics, Metrics, MetricsView);
        holds!(&mut dice, profiles, Profiles, ProfilesView);
    }
}

#[test]
fn answers_are_held_to_the_limits_that_concern_them() {
    let error_message = "why".repeat(10);
    let partial_success = Some(ExportTracePartialSuccess { rejected_spans: 1, error_message });
    let body = ExportTraceServiceResponse { partial_success }.encode_to_vec();
    let status = [b"\x08\x03\x12\x1e", "why".repeat(10).as_bytes()].concat();
    type Read = fn(&[u8], &Limits) -> Result<(), DecodeError>;
    let partial: Read =
        |body, limits| ExportResponseView::parse(body, limits).map(|view| drop(view.to_record()));
    let refusal: Read = |body, limits| RpcStatusView::parse(body, limits).map(|view| drop(view.to_record()));
    for (read, body) in [(partial, body), (refusal, status)] {
        let limits = Limits::default;
        for (name, tight, fitting) in [
            (
                "max_message_bytes",
                limits().max_message_bytes(body.len() - 1),
                limits().max_message_bytes(body.len()),
            ),
            ("max_string_bytes", limits().max_string_bytes(29), limits().max_string_bytes(30)),
            ("max_heap_bytes", limits().max_heap_bytes(29), limits().max_heap_bytes(30)),
        ] {
            assert!(is_limit(&read(&body, &tight), name), "{name}");
            assert_eq!(read(&body, &fitting), Ok(()), "{name}");
        }
    }
}
