//! The same bytes read by prost and by the views.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::profiles::v1development::ExportProfilesServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use otlp_core::encode::Encode;
use otlp_core::error::DecodeErrorKind;
use otlp_core::view::{LogsView, MetricsView, ProfilesView, TracesView};
use otlp_core::{DecodeError, Limits};
use proptest::prelude::*;
use prost::Message;

use crate::dice::Dice;
use crate::tree::{self, Node, Order, Type};
use crate::{generate, walk};

/// What the tests need to know of a signal; messages are handed about as prost's bytes.
pub(crate) struct Signal {
    pub(crate) root: Type,
    pub(crate) make: fn(&mut Dice) -> Vec<u8>,
    /// Decoded by prost and encoded again.
    pub(crate) prost: fn(&[u8]) -> Option<Vec<u8>>,
    /// Walked through the views, and what they say encoded by prost.
    pub(crate) walk: fn(&[u8]) -> Result<Vec<u8>, DecodeError>,
    /// Copied out to records and encoded by us.
    pub(crate) rewrite: fn(&[u8]) -> Result<Vec<u8>, DecodeError>,
}

macro_rules! signal {
    ($root:ident, $name:ident, $request:ident, $view:ident) => {
        Signal {
            root: Type::$root,
            make: |dice| generate::$name(dice).encode_to_vec(),
            prost: |body| $request::decode(body).ok().map(|request| request.encode_to_vec()),
            walk: |body| walk::$name(body, &Limits::DEFAULT).map(|request| request.encode_to_vec()),
            rewrite: |body| {
                let record = $view::parse(body, &Limits::DEFAULT)?.to_record()?;
                Ok(record.encode_to_bytes().to_vec())
            },
        }
    };
}

pub(crate) const SIGNALS: [Signal; 4] = [
    signal!(Traces, traces, ExportTraceServiceRequest, TracesView),
    signal!(Logs, logs, ExportLogsServiceRequest, LogsView),
    signal!(Metrics, metrics, ExportMetricsServiceRequest, MetricsView),
    signal!(Profiles, profiles, ExportProfilesServiceRequest, ProfilesView),
];

impl Signal {
    pub(crate) fn tree(&self, body: &[u8]) -> Vec<Node> {
        tree::parse(self.root, body).expect("prost writes valid messages")
    }

    pub(crate) fn canonical(&self, body: &[u8]) -> Vec<Node> {
        tree::canonical(self.root, &self.tree(body))
    }

    /// What the views say of `body`, which must be valid.
    fn walked(&self, body: &[u8]) -> Vec<Node> {
        self.canonical(&(self.walk)(body).expect("valid"))
    }

    /// Checks that the views and prost read `body`, which must be valid, alike.
    fn check(&self, body: &[u8]) {
        let expected = (self.prost)(body).expect("valid");
        assert_eq!(self.walked(body), self.canonical(&expected));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn views_read_what_prost_reads(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in SIGNALS {
            let body = (signal.make)(&mut dice);
            signal.check(&body);
        }
    }

    /// The planted fault to all tests here: were a field not read, its change would go unnoticed.
    #[test]
    fn a_change_of_any_one_field_shows(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in SIGNALS {
            let body = (signal.make)(&mut dice);
            let mut nodes = signal.tree(&body);
            if !tree::change_one(&mut nodes, &mut dice) {
                continue;
            }
            let changed = tree::write(&nodes);
            let Some(expected) = (signal.prost)(&changed) else { continue };
            if signal.canonical(&expected) != signal.canonical(&body) {
                prop_assert_ne!(signal.walked(&changed), signal.walked(&body));
            }
        }
    }

    #[test]
    fn the_order_of_fields_does_not_matter(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in SIGNALS {
            let body = (signal.make)(&mut dice);
            let expected = signal.walked(&body);
            for order in [Order::Ascending, Order::Descending, Order::Shuffled] {
                let mut nodes = signal.tree(&body);
                tree::reorder(&mut nodes, order, &mut dice);
                let reordered = tree::write(&nodes);
                prop_assert_eq!(&signal.walked(&reordered), &expected);
                signal.check(&reordered);
            }
        }
    }

    #[test]
    fn split_messages_are_joined(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in SIGNALS {
            let body = (signal.make)(&mut dice);
            let mut nodes = signal.tree(&body);
            tree::split(&mut nodes, signal.root, &mut dice);
            let pieces = tree::write(&nodes);
            prop_assert_eq!(signal.walked(&pieces), signal.walked(&body));
            signal.check(&pieces);
        }
    }

    #[test]
    fn numbers_are_read_packed_and_not(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in SIGNALS {
            let body = (signal.make)(&mut dice);
            let mut nodes = signal.tree(&body);
            tree::unpack(&mut nodes, signal.root, &mut dice);
            let unpacked = tree::write(&nodes);
            prop_assert_eq!(signal.walked(&unpacked), signal.walked(&body));
            signal.check(&unpacked);
        }
    }

    #[test]
    fn unknown_fields_are_skipped(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in SIGNALS {
            let body = (signal.make)(&mut dice);
            let mut nodes = signal.tree(&body);
            tree::pad(&mut nodes, &mut dice);
            let padded = tree::write(&nodes);
            prop_assert_eq!(signal.walked(&padded), signal.walked(&body));
        }
    }

    #[test]
    fn duplicates_in_any_mixture_are_read_as_prost_reads_them(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in SIGNALS {
            let mut nodes = signal.tree(&(signal.make)(&mut dice));
            for _ in 0..3 {
                tree::duplicate(&mut nodes, signal.root, &mut dice);
            }
            tree::split(&mut nodes, signal.root, &mut dice);
            tree::unpack(&mut nodes, signal.root, &mut dice);
            tree::pad(&mut nodes, &mut dice);
            tree::reorder(&mut nodes, Order::Shuffled, &mut dice);
            signal.check(&tree::write(&nodes));
        }
    }

    #[test]
    fn records_written_by_us_are_what_prost_writes(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in SIGNALS {
            let body = (signal.make)(&mut dice);
            let ours = (signal.rewrite)(&body).expect("valid");
            // Byte for byte, once prost's has ascending order and nothing that says nothing.
            prop_assert_eq!(&ours, &tree::write(&signal.canonical(&body)));
            let back = (signal.prost)(&ours).expect("prost reads what we write");
            prop_assert_eq!(signal.canonical(&back), signal.canonical(&body));
        }
    }

    #[test]
    fn cut_anywhere_both_accept_or_both_refuse(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in SIGNALS {
            let body = (signal.make)(&mut dice);
            for _ in 0..24.min(body.len()) {
                agree(&signal, &body[..dice.below(body.len())])?;
            }
        }
    }

    #[test]
    fn with_bits_flipped_both_accept_or_both_refuse(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in SIGNALS {
            let body = (signal.make)(&mut dice);
            if body.is_empty() {
                continue;
            }
            for _ in 0..24 {
                let mut flipped = body.clone();
                for _ in 0..=dice.below(3) {
                    let at = dice.below(flipped.len());
                    flipped[at] ^= 1 << dice.below(8);
                }
                agree(&signal, &flipped)?;
            }
        }
    }
}

/// Accepted by both, with the same content, or refused by both. Where the two may differ:
///
/// 1. identifiers of a length other than 0 and 16 or 8: prost takes any bytes, the views refuse them;
/// 2. groups (wire types 3 and 4) in unknown fields: prost skips them, the views refuse them;
/// 3. a member of a oneof that a later one replaces: prost reads what lies within first, the views do not;
/// 4. a value nested deeper than prost's 100 messages and not deeper than our limit (see `hostile`).
fn agree(signal: &Signal, body: &[u8]) -> Result<(), TestCaseError> {
    match ((signal.prost)(body), (signal.walk)(body)) {
        (None, Err(_)) => {}
        (Some(expected), Ok(walked)) => {
            prop_assert_eq!(signal.canonical(&walked), signal.canonical(&expected));
        }
        (Some(_), Err(error)) => prop_assert!(
            matches!(error.kind, DecodeErrorKind::IdLength { .. } | DecodeErrorKind::WireType(3 | 4)),
            "refused by us alone: {error}"
        ),
        (None, Ok(_)) => {
            let may_hide = tree::parse_loose(signal.root, body);
            prop_assert!(tree::has_cleared_member(signal.root, &may_hide), "accepted by us alone");
        }
    }
    Ok(())
}
