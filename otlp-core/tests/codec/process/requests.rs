//! Random requests of the three signals, as they are and as badly as protobuf allows.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use otlp_core::protocol::Signal;
use prost::Message;

use crate::dice::Dice;
use crate::generate;
use crate::tree::{self, Node, Order, Type};

/// A request of any signal.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Request {
    Traces(ExportTraceServiceRequest),
    Logs(ExportLogsServiceRequest),
    Metrics(ExportMetricsServiceRequest),
}

pub(crate) const SIGNALS: [Signal; 3] = [Signal::Traces, Signal::Logs, Signal::Metrics];

impl Request {
    pub(crate) fn random(signal: Signal, dice: &mut Dice) -> Self {
        match signal {
            Signal::Traces => Self::Traces(generate::traces(dice)),
            Signal::Logs => Self::Logs(generate::logs(dice)),
            Signal::Metrics => Self::Metrics(generate::metrics(dice)),
            other => panic!("{other} is not tested here"),
        }
    }

    pub(crate) fn decode(signal: Signal, body: &[u8]) -> Option<Self> {
        match signal {
            Signal::Traces => ExportTraceServiceRequest::decode(body).ok().map(Self::Traces),
            Signal::Logs => ExportLogsServiceRequest::decode(body).ok().map(Self::Logs),
            Signal::Metrics => ExportMetricsServiceRequest::decode(body).ok().map(Self::Metrics),
            other => panic!("{other} is not tested here"),
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Traces(request) => request.encode_to_vec(),
            Self::Logs(request) => request.encode_to_vec(),
            Self::Metrics(request) => request.encode_to_vec(),
        }
    }

    /// What it says, in one way only.
    pub(crate) fn canonical(&self) -> Vec<Node> {
        let root = match self {
            Self::Traces(_) => Type::Traces,
            Self::Logs(_) => Type::Logs,
            Self::Metrics(_) => Type::Metrics,
        };
        tree::canonical(root, &tree::parse(root, &self.bytes()).unwrap())
    }
}

pub(crate) fn root(signal: Signal) -> Type {
    match signal {
        Signal::Traces => Type::Traces,
        Signal::Logs => Type::Logs,
        _ => Type::Metrics,
    }
}

/// What `body` says, by prost.
pub(crate) fn canonical(signal: Signal, body: &[u8]) -> Vec<Node> {
    Request::decode(signal, body).expect("prost reads it").canonical()
}

/// Fields in any order, twice, in pieces, unpacked, between others that nobody knows.
pub(crate) fn scrambled(signal: Signal, body: &[u8], dice: &mut Dice) -> Vec<u8> {
    let root = root(signal);
    let mut nodes = tree::parse(root, body).unwrap();
    for _ in 0..dice.below(3) {
        tree::duplicate(&mut nodes, root, dice);
    }
    if dice.one_in(2) {
        tree::split(&mut nodes, root, dice);
    }
    tree::unpack(&mut nodes, root, dice);
    tree::pad(&mut nodes, dice);
    let order = [Order::Ascending, Order::Descending, Order::Shuffled][dice.below(3)];
    tree::reorder(&mut nodes, order, dice);
    tree::write(&nodes)
}

/// A request, in one of three times scrambled.
pub(crate) fn body(signal: Signal, dice: &mut Dice) -> Vec<u8> {
    let body = Request::random(signal, dice).bytes();
    if dice.one_in(3) { body } else { scrambled(signal, &body, dice) }
}
