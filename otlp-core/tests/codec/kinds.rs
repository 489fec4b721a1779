//! Every message type of OTLP, and where in a request it lies: a new type is a line here.

use std::collections::BTreeSet;

use crate::answer::{PARTIAL, STATUS};
use crate::chunk::{self, Chunk};
use crate::dice::Dice;
use crate::signal::{SIGNALS, Signal};
use crate::tree::{self, Order, Type};

/// A message type.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) signal: &'static Signal,
    pub(crate) root: Type,
    /// Field numbers from the request down to it.
    path: &'static [u32],
}

macro_rules! kinds {
    ($signal:expr; $($name:literal $root:ident $path:expr;)+) => {
        &[$(Kind { name: $name, signal: $signal, root: Type::$root, path: &$path },)+]
    };
}

pub(crate) static TRACES: &[Kind] = kinds! { &SIGNALS[0];
    "ExportTraceServiceRequest" Traces [];
    "ResourceSpans" ResourceSpans [1];
    "Resource" Resource [1, 1];
    "EntityRef" Leaf [1, 1, 3];
    "KeyValue" KeyValue [1, 1, 1];
    "AnyValue" AnyValue [1, 1, 1, 2];
    "ArrayValue" Array [1, 1, 1, 2, 5];
    "KeyValueList" KvList [1, 1, 1, 2, 6];
    "ScopeSpans" ScopeSpans [1, 2];
    "InstrumentationScope" Scope [1, 2, 1];
    "Span" Span [1, 2, 2];
    "Span.Event" Event [1, 2, 2, 11];
    "Span.Link" Link [1, 2, 2, 13];
    "Status" Leaf [1, 2, 2, 15];
};

pub(crate) static LOGS: &[Kind] = kinds! { &SIGNALS[1];
    "ExportLogsServiceRequest" Logs [];
    "ResourceLogs" ResourceLogs [1];
    "ScopeLogs" ScopeLogs [1, 2];
    "LogRecord" LogRecord [1, 2, 2];
    "AnyValue (body)" AnyValue [1, 2, 2, 5];
};

pub(crate) static METRICS: &[Kind] = kinds! { &SIGNALS[2];
    "ExportMetricsServiceRequest" Metrics [];
    "ResourceMetrics" ResourceMetrics [1];
    "ScopeMetrics" ScopeMetrics [1, 2];
    "Metric" Metric [1, 2, 2];
    "Gauge" NumberData [1, 2, 2, 5];
    "Sum" NumberData [1, 2, 2, 7];
    "Histogram" HistogramData [1, 2, 2, 9];
    "ExponentialHistogram" ExponentialData [1, 2, 2, 10];
    "Summary" SummaryData [1, 2, 2, 11];
    "NumberDataPoint" NumberPoint [1, 2, 2, 5, 1];
    "HistogramDataPoint" HistogramPoint [1, 2, 2, 9, 1];
    "ExponentialHistogramDataPoint" ExponentialPoint [1, 2, 2, 10, 1];
    "Buckets" Buckets [1, 2, 2, 10, 1, 8];
    "SummaryDataPoint" SummaryPoint [1, 2, 2, 11, 1];
    "ValueAtQuantile" Leaf [1, 2, 2, 11, 1, 6];
    "Exemplar" Exemplar [1, 2, 2, 5, 1, 5];
};

pub(crate) static PROFILES: &[Kind] = kinds! { &SIGNALS[3];
    "ExportProfilesServiceRequest" Profiles [];
    "ResourceProfiles" ResourceProfiles [1];
    "ScopeProfiles" ScopeProfiles [1, 2];
    "Profile" Profile [1, 2, 2];
    "ValueType" Leaf [1, 2, 2, 1];
    "Sample" Sample [1, 2, 2, 2];
    "ProfilesDictionary" Dictionary [2];
    "Mapping" Mapping [2, 1];
    "Location" Location [2, 2];
    "Line" Leaf [2, 2, 3];
    "Function" Leaf [2, 3];
    "Link" ProfileLink [2, 4];
    "KeyValueAndUnit" KeyValueAndUnit [2, 6];
    "Stack" Stack [2, 7];
};

/// The responses of the signals share a layout, and so do their partial successes.
pub(crate) static ANSWERS: &[Kind] = &[
    Kind { name: "ExportServiceResponse", signal: &PARTIAL, root: Type::Response, path: &[] },
    Kind { name: "ExportPartialSuccess", signal: &PARTIAL, root: Type::PartialSuccess, path: &[1] },
    Kind { name: "google.rpc.Status", signal: &STATUS, root: Type::Leaf, path: &[] },
];

impl Kind {
    /// `count` different valid messages of the type, made from seeds: in every order, in pieces, with duplicates,
    /// unknown fields and numbers packed and not. Most are small: there a fault is met soonest.
    pub(crate) fn pool(&self, count: usize) -> Vec<Vec<u8>> {
        let mut met = BTreeSet::new();
        for seed in 0.. {
            let mut dice = Dice::new(seed);
            let request = self.rearranged(&(self.signal.make)(&mut dice), &mut dice);
            harvest(&request, self.path, &mut met);
            if met.len() >= 2 * count {
                break;
            }
        }
        let mut pool: Vec<_> = met.into_iter().filter(|message| message.len() < 8192).collect();
        pool.sort_by_key(Vec::len);
        let large = pool.split_off(pool.len() * 7 / 16);
        pool.extend(large.into_iter().step_by(9));
        pool
    }

    fn rearranged(&self, request: &[u8], dice: &mut Dice) -> Vec<u8> {
        let root = self.signal.root;
        let mut nodes = self.signal.tree(request);
        if dice.one_in(3) {
            tree::duplicate(&mut nodes, root, dice);
        }
        if dice.one_in(3) {
            tree::split(&mut nodes, root, dice);
        }
        if dice.one_in(3) {
            tree::unpack(&mut nodes, root, dice);
        }
        if dice.one_in(3) {
            tree::pad(&mut nodes, dice);
        }
        let order = [Order::Ascending, Order::Descending, Order::Shuffled][dice.below(3)];
        tree::reorder(&mut nodes, order, dice);
        tree::write(&nodes)
    }

    /// A request around one message of the type.
    pub(crate) fn request(&self, message: &[u8]) -> Vec<u8> {
        let wrap = |inner: Vec<u8>, number: &u32| Chunk::delimited(*number, &inner).raw;
        self.path.iter().rev().fold(message.to_vec(), wrap)
    }
}

/// All messages found along the path.
fn harvest(message: &[u8], path: &[u32], into: &mut BTreeSet<Vec<u8>>) {
    let Some((number, path)) = path.split_first() else {
        into.insert(message.to_vec());
        return;
    };
    for chunk in chunk::split(message).iter().filter(|chunk| chunk.number == *number) {
        if let Some(content) = chunk.content() {
            harvest(content, path, into);
        }
    }
}
