//! The edits, done on prost's structs in the plainest way.

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{Exemplar, metric::Data};
use otlp_core::process::{Edits, Places};

use super::requests::Request;
use crate::dice::Dice;

/// One action, and where it holds.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) places: Places,
    pub(crate) path: Vec<String>,
    pub(crate) action: Action,
}

#[derive(Debug, Clone)]
pub(crate) enum Action {
    Delete,
    Keep(Vec<String>),
    Rename(String),
    Insert(i64),
    Update(String),
    Upsert(String),
    Truncate(usize),
    Hash,
}

const PLACES: [Places; 11] = [
    Places::RESOURCE,
    Places::SCOPE,
    Places::SPAN,
    Places::EVENT,
    Places::LINK,
    Places::LOG,
    Places::POINT,
    Places::EXEMPLAR,
    Places::METRIC,
    Places::RECORD,
    Places::ALL,
];

impl Step {
    pub(crate) fn random(dice: &mut Dice) -> Self {
        let places = PLACES[dice.below(PLACES.len())] | PLACES[dice.below(PLACES.len())];
        let action = match dice.below(7) {
            0 => Action::Delete,
            1 => Action::Keep((0..2).map(|_| pattern(dice)).collect()),
            2 => Action::Rename(key(dice)),
            3 => Action::Insert(dice.varied().cast_signed()),
            4 => Action::Update(dice.text()),
            5 => Action::Upsert(dice.text()),
            _ => Action::Truncate(dice.below(9)),
        };
        let is_exact = matches!(action, Action::Rename(_) | Action::Insert(_) | Action::Upsert(_));
        let steps = if dice.one_in(3) { 1 + dice.below(3) } else { 1 };
        let mut path: Vec<String> = (1..steps).map(|_| pattern(dice)).collect();
        path.push(if is_exact { key(dice) } else { pattern(dice) });
        let action = match action {
            Action::Rename(to) if Some(&to) == path.last() => Action::Delete,
            action => action,
        };
        Self { places, path, action }
    }

    /// The same, said to the crate.
    pub(crate) fn add_to(&self, edits: Edits) -> Edits {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let path = path.as_slice();
        let edits = edits.at(self.places);
        match &self.action {
            Action::Delete => edits.delete(path),
            Action::Keep(keys) => edits.keep(keys),
            Action::Rename(to) => edits.rename(path, to),
            Action::Insert(value) => edits.insert(path, *value),
            Action::Update(value) => edits.update(path, value.as_str()),
            Action::Upsert(value) => edits.upsert(path, value.as_str()),
            Action::Truncate(most) => edits.truncate(path, *most),
            #[cfg(feature = "hash")]
            Action::Hash => edits.hash(path, otlp_core::process::HashKey::plain()),
            #[cfg(not(feature = "hash"))]
            Action::Hash => edits,
        }
    }

    fn apply(&self, list: &mut Vec<KeyValue>) {
        match &self.action {
            Action::Keep(keys) => list.retain(|pair| keys.iter().any(|key| matches(key, &pair.key))),
            action => within(list, &self.path, action),
        }
    }
}

/// Keys that the random requests use, so that there is something to do.
fn key(dice: &mut Dice) -> String {
    ["", "a", "http.request.method", "GET /cart", "größe", "日本語", "x", "other"][dice.below(8)].to_owned()
}

fn pattern(dice: &mut Dice) -> String {
    match dice.below(6) {
        0 => "*".to_owned(),
        1 => ["http.*", "g*", "long long*", "日*"][dice.below(4)].to_owned(),
        _ => key(dice),
    }
}

fn matches(pattern: &str, key: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == key, |prefix| key.starts_with(prefix))
}

fn within(list: &mut Vec<KeyValue>, path: &[String], action: &Action) {
    let [step, rest @ ..] = path else { return };
    if rest.is_empty() {
        return act(list, step, action);
    }
    for pair in list.iter_mut().filter(|pair| matches(step, &pair.key)) {
        if let Some(AnyValue { value: Some(Value::KvlistValue(map)) }) = &mut pair.value {
            within(&mut map.values, rest, action);
        }
    }
}

fn act(list: &mut Vec<KeyValue>, key: &str, action: &Action) {
    let is_met = list.iter().any(|pair| matches(key, &pair.key));
    let text = |text: &str| Some(AnyValue { value: Some(Value::StringValue(text.to_owned())) });
    let meant = list.iter_mut().filter(|pair| matches(key, &pair.key));
    let added = |value| KeyValue { key: key.to_owned(), value, ..KeyValue::default() };
    match action {
        Action::Delete => list.retain(|pair| !matches(key, &pair.key)),
        Action::Keep(_) => {}
        Action::Rename(to) if is_met => {
            list.retain(|pair| pair.key != *to);
            let renamed = list.iter_mut().filter(|pair| pair.key == key);
            renamed.for_each(|pair| pair.key.clone_from(to));
        }
        Action::Insert(value) if !is_met => {
            list.push(added(Some(AnyValue { value: Some(Value::IntValue(*value)) })));
        }
        Action::Update(value) => meant.for_each(|pair| pair.value = text(value)),
        Action::Upsert(value) if is_met => meant.for_each(|pair| pair.value = text(value)),
        Action::Upsert(value) => list.push(added(text(value))),
        Action::Truncate(most) => meant.for_each(|pair| truncate(pair, *most)),
        Action::Hash => meant.for_each(hash),
        Action::Rename(_) | Action::Insert(_) => {}
    }
}

fn truncate(pair: &mut KeyValue, most: usize) {
    if let Some(AnyValue { value: Some(Value::StringValue(text)) }) = &mut pair.value {
        let ends = text.char_indices().map(|(at, char)| at + char.len_utf8());
        let end = ends.take_while(|end| *end <= most).last().unwrap_or(0);
        text.truncate(end);
    }
}

#[cfg(feature = "hash")]
fn hash(pair: &mut KeyValue) {
    use prost::Message;
    use sha2::{Digest, Sha256};

    let Some(any) = &mut pair.value else { return };
    let digested = match &any.value {
        None | Some(Value::StringValueStrindex(_)) => return,
        Some(Value::StringValue(text)) => text.as_bytes().to_vec(),
        Some(Value::BytesValue(bytes)) => bytes.clone(),
        Some(Value::BoolValue(value)) => value.to_string().into_bytes(),
        Some(Value::IntValue(value)) => value.to_string().into_bytes(),
        Some(Value::DoubleValue(value)) => value.to_string().into_bytes(),
        Some(Value::ArrayValue(_) | Value::KvlistValue(_)) => any.encode_to_vec(),
    };
    let digits = Sha256::digest(digested).iter().map(|byte| format!("{byte:02x}")).collect();
    any.value = Some(Value::StringValue(digits));
}

#[cfg(not(feature = "hash"))]
fn hash(_: &mut KeyValue) {}

/// Applies the steps to every list of attributes.
pub(crate) fn edit(request: &mut Request, steps: &[Step]) {
    let edit = |place: Places, list: &mut Vec<KeyValue>| {
        for step in steps.iter().filter(|step| step.places | place == step.places) {
            step.apply(list);
        }
    };
    lists(request, &edit);
}

type Edit<'e> = &'e dyn Fn(Places, &mut Vec<KeyValue>);

fn lists(request: &mut Request, edit: Edit<'_>) {
    macro_rules! groups {
        ($groups:expr, $scopes:ident, $records:ident, $record:expr) => {
            for group in $groups {
                edit(Places::RESOURCE, &mut group.resource.get_or_insert_default().attributes);
                for scope in &mut group.$scopes {
                    edit(Places::SCOPE, &mut scope.scope.get_or_insert_default().attributes);
                    scope.$records.iter_mut().for_each($record);
                }
            }
        };
    }
    match request {
        Request::Traces(request) => groups!(&mut request.resource_spans, scope_spans, spans, |span| {
            edit(Places::SPAN, &mut span.attributes);
            span.events.iter_mut().for_each(|event| edit(Places::EVENT, &mut event.attributes));
            span.links.iter_mut().for_each(|link| edit(Places::LINK, &mut link.attributes));
        }),
        Request::Logs(request) => groups!(&mut request.resource_logs, scope_logs, log_records, |record| {
            edit(Places::LOG, &mut record.attributes);
        }),
        Request::Metrics(request) => {
            groups!(&mut request.resource_metrics, scope_metrics, metrics, |metric| {
                edit(Places::METRIC, &mut metric.metadata);
                points(&mut metric.data, edit);
            })
        }
    }
}

fn points(data: &mut Option<Data>, edit: Edit<'_>) {
    let exemplars = |list: &mut Vec<Exemplar>| {
        list.iter_mut().for_each(|exemplar| edit(Places::EXEMPLAR, &mut exemplar.filtered_attributes));
    };
    macro_rules! each {
        ($points:expr) => {
            for point in $points {
                edit(Places::POINT, &mut point.attributes);
                exemplars(&mut point.exemplars);
            }
        };
    }
    match data {
        None => {}
        Some(Data::Gauge(data)) => each!(&mut data.data_points),
        Some(Data::Sum(data)) => each!(&mut data.data_points),
        Some(Data::Histogram(data)) => each!(&mut data.data_points),
        Some(Data::ExponentialHistogram(data)) => each!(&mut data.data_points),
        Some(Data::Summary(data)) => {
            data.data_points.iter_mut().for_each(|point| edit(Places::POINT, &mut point.attributes));
        }
    }
}
