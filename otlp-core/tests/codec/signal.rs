//! What the tests need to know of a signal, so that each is written once for all.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::profiles::v1development::ExportProfilesServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use otlp_core::encode::Encode;
use otlp_core::view::{LogsView, MetricsView, ProfilesView, TracesView};
use otlp_core::{DecodeError, Limits};
use prost::Message;

use crate::dice::Dice;
use crate::tree::{self, Node, Type};
use crate::{generate, normal, walk};

/// Two readings of one body.
pub(crate) struct Both {
    pub(crate) theirs: bool,
    pub(crate) ours: Result<(), DecodeError>,
    /// True where both were read, and say the same.
    pub(crate) same: bool,
}

impl Both {
    pub(crate) fn new<M: Message + PartialEq>(theirs: Option<&M>, ours: Result<M, DecodeError>) -> Self {
        let same = match (theirs, &ours) {
            // A NaN differs from itself, its bytes do not.
            (Some(theirs), Ok(ours)) => theirs == ours || theirs.encode_to_vec() == ours.encode_to_vec(),
            _ => false,
        };
        Self { theirs: theirs.is_some(), ours: ours.map(drop), same }
    }
}

/// What the tests need to know of a signal; messages are handed about as prost's bytes.
#[derive(Clone)]
pub(crate) struct Signal {
    pub(crate) root: Type,
    pub(crate) make: fn(&mut Dice) -> Vec<u8>,
    /// Decoded by prost and encoded again.
    pub(crate) prost: fn(&[u8]) -> Option<Vec<u8>>,
    /// The same, with absent and empty made one where OTLP knows no difference.
    pub(crate) normal: fn(&[u8]) -> Option<Vec<u8>>,
    /// Both readings of a body beside each other.
    pub(crate) both: fn(&[u8]) -> Both,
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
            normal: |body| {
                let mut request = $request::decode(body).ok()?;
                normal::$name(&mut request);
                Some(request.encode_to_vec())
            },
            both: |body| {
                let mut theirs = $request::decode(body).ok();
                theirs.iter_mut().for_each(|request| normal::$name(request));
                Both::new(theirs.as_ref(), walk::$name(body, &Limits::DEFAULT))
            },
            walk: |body| walk::$name(body, &Limits::DEFAULT).map(|request| request.encode_to_vec()),
            rewrite: |body| {
                let record = $view::parse(body, &Limits::DEFAULT)?.to_record()?;
                Ok(record.encode_to_bytes().to_vec())
            },
        }
    };
}

pub(crate) static SIGNALS: [Signal; 4] = [
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
    pub(crate) fn walked(&self, body: &[u8]) -> Vec<Node> {
        self.canonical(&(self.walk)(body).expect("valid"))
    }

    /// Checks that the views and prost read `body`, which must be valid, alike.
    pub(crate) fn check(&self, body: &[u8]) {
        let expected = (self.prost)(body).expect("valid");
        assert_eq!(self.walked(body), self.canonical(&expected));
    }
}
