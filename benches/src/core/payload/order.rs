//! Requests of each signal in descending field order.

use otlp_core::wire::{Region, Writer};

use super::{LEAF, PAIR, RESOURCE, SCOPE, Schema, VALUE, descend};

/// Which request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::core) enum Root {
    Logs,
    Metrics,
    Profiles,
}

/// The same request as the Go Collector writes it: fields in descending order, at every level.
pub(in crate::core) fn descending(root: Root, body: &[u8]) -> Vec<u8> {
    let schema = match root {
        Root::Logs => LOGS,
        Root::Metrics => METRICS,
        Root::Profiles => PROFILES,
    };
    let mut writer = Writer::new();
    descend(schema, Region::new(body), &mut writer);
    writer.as_slice().to_vec()
}

const LOGS: Schema = Schema(|number| (number == 1).then_some(RESOURCE_LOGS));
const RESOURCE_LOGS: Schema = Schema(|number| match number {
    1 => Some(RESOURCE),
    2 => Some(SCOPE_LOGS),
    _ => None,
});
const SCOPE_LOGS: Schema = Schema(|number| match number {
    1 => Some(SCOPE),
    2 => Some(LOG_RECORD),
    _ => None,
});
const LOG_RECORD: Schema = Schema(|number| match number {
    5 => Some(VALUE),
    6 => Some(PAIR),
    _ => None,
});

const METRICS: Schema = Schema(|number| (number == 1).then_some(RESOURCE_METRICS));
const RESOURCE_METRICS: Schema = Schema(|number| match number {
    1 => Some(RESOURCE),
    2 => Some(SCOPE_METRICS),
    _ => None,
});
const SCOPE_METRICS: Schema = Schema(|number| match number {
    1 => Some(SCOPE),
    2 => Some(METRIC),
    _ => None,
});
const METRIC: Schema = Schema(|number| match number {
    5 | 7 => Some(NUMBERS),
    9 => Some(HISTOGRAM),
    10 => Some(EXPONENTIAL),
    11 => Some(SUMMARY),
    12 => Some(PAIR),
    _ => None,
});
const NUMBERS: Schema = Schema(|number| (number == 1).then_some(NUMBER_POINT));
const NUMBER_POINT: Schema = Schema(|number| match number {
    5 => Some(EXEMPLAR),
    7 => Some(PAIR),
    _ => None,
});
const HISTOGRAM: Schema = Schema(|number| (number == 1).then_some(HISTOGRAM_POINT));
const HISTOGRAM_POINT: Schema = Schema(|number| match number {
    8 => Some(EXEMPLAR),
    9 => Some(PAIR),
    _ => None,
});
const EXPONENTIAL: Schema = Schema(|number| (number == 1).then_some(EXPONENTIAL_POINT));
const EXPONENTIAL_POINT: Schema = Schema(|number| match number {
    1 => Some(PAIR),
    8 | 9 => Some(LEAF),
    11 => Some(EXEMPLAR),
    _ => None,
});
const SUMMARY: Schema = Schema(|number| (number == 1).then_some(SUMMARY_POINT));
const SUMMARY_POINT: Schema = Schema(|number| match number {
    6 => Some(LEAF),
    7 => Some(PAIR),
    _ => None,
});
const EXEMPLAR: Schema = Schema(|number| (number == 7).then_some(PAIR));

const PROFILES: Schema = Schema(|number| match number {
    1 => Some(RESOURCE_PROFILES),
    2 => Some(DICTIONARY),
    _ => None,
});
const RESOURCE_PROFILES: Schema = Schema(|number| match number {
    1 => Some(RESOURCE),
    2 => Some(SCOPE_PROFILES),
    _ => None,
});
const SCOPE_PROFILES: Schema = Schema(|number| match number {
    1 => Some(SCOPE),
    2 => Some(PROFILE),
    _ => None,
});
const PROFILE: Schema = Schema(|number| matches!(number, 1 | 2 | 5).then_some(LEAF));
const DICTIONARY: Schema = Schema(|number| match number {
    1 | 3 | 4 | 7 => Some(LEAF),
    2 => Some(LOCATION),
    // `KeyValueAndUnit` keeps its value where `KeyValue` does.
    6 => Some(PAIR),
    _ => None,
});
const LOCATION: Schema = Schema(|number| (number == 3).then_some(LEAF));
