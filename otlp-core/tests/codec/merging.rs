//! Small cases of protobuf's merge rules, by hand.

use otlp_core::record::{AnyValue, KeyValue, MetricData, StatusCode};
use otlp_core::view::{LogsView, MetricsView, TracesView};
use otlp_core::{DecodeError, Limits};

use crate::tree::varint;

/// A length-delimited field.
pub(crate) fn field(number: u64, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint(&mut out, number << 3 | 2);
    varint(&mut out, content.len() as u64);
    out.extend(content);
    out
}

/// A request with one record of these fields.
pub(crate) fn request(record: &[u8]) -> Vec<u8> {
    field(1, &field(2, &field(2, record)))
}

fn attribute(pair: &[u8]) -> Result<KeyValue, DecodeError> {
    let body = request(&field(9, pair));
    let mut traces = TracesView::parse(&body, &Limits::DEFAULT)?.to_record()?;
    Ok(traces.resources[0].scopes[0].spans[0].attributes.remove(0))
}

#[test]
fn the_last_of_duplicated_scalars_holds() {
    let body = request(&[field(5, b"first"), field(5, b"last")].concat());
    let traces = TracesView::parse(&body, &Limits::DEFAULT).unwrap().to_record().unwrap();
    assert_eq!(traces.resources[0].scopes[0].spans[0].name, "last");
}

#[test]
fn pieces_of_a_value_and_of_the_list_within_it_are_joined() {
    let item = |text: &[u8]| field(1, &field(1, text));
    // The value comes in three pieces; the list lies in the first and, twice, in the last.
    let first = field(2, &field(5, &item(b"a")));
    let middle = field(2, b"");
    let last = field(2, &[field(5, &item(b"b")), field(5, &item(b"c"))].concat());
    let met = attribute(&[first, field(1, b"key"), middle, last].concat()).unwrap();
    let texts = ["a", "b", "c"].map(AnyValue::from).to_vec();
    assert_eq!(met, KeyValue::new("key", AnyValue::Array(texts)));
}

#[test]
fn another_member_of_a_oneof_clears_the_one_before() {
    let list = |text: &[u8]| field(5, &field(1, &field(1, text)));
    let value = [list(b"gone"), field(1, b"text"), list(b"kept"), list(b"too")].concat();
    let met = attribute(&field(2, &value)).unwrap().value;
    assert_eq!(met, AnyValue::Array(vec!["kept".into(), "too".into()]));
    // The same with the value split at the clearing.
    let pieces = [field(2, &[list(b"gone"), field(1, b"text")].concat()), field(2, &list(b"kept"))];
    assert_eq!(attribute(&pieces.concat()).unwrap().value, AnyValue::Array(vec!["kept".into()]));
    let map_then_text = [field(6, &field(1, b"")), field(1, b"text")].concat();
    assert_eq!(attribute(&field(2, &map_then_text)).unwrap().value, AnyValue::from("text"));
}

#[test]
fn pieces_of_resource_and_status_are_joined() {
    let status = [field(15, b"\x18\x02"), field(15, &field(2, b"why"))].concat();
    let spans = field(2, &field(2, &status));
    let group = [field(1, b"\x10\x05"), spans, field(1, &field(1, &field(1, b"k")))].concat();
    let body = field(1, &group);
    let traces = TracesView::parse(&body, &Limits::DEFAULT).unwrap().to_record().unwrap();
    let resource = &traces.resources[0].resource;
    assert_eq!((resource.dropped_attributes_count, resource.attributes[0].key.as_str()), (5, "k"));
    let status = &traces.resources[0].scopes[0].spans[0].status;
    assert_eq!((status.code, status.message.as_str()), (StatusCode::Error, "why"));
}

#[test]
fn metric_data_of_one_kind_is_joined_and_another_kind_clears_it() {
    let point = |time: u8| field(1, &[0x19, time, 0, 0, 0, 0, 0, 0, 0]);
    let times = |metric: &[u8]| {
        let body = request(metric);
        let mut metrics = MetricsView::parse(&body, &Limits::DEFAULT).unwrap().to_record().unwrap();
        match metrics.resources[0].scopes[0].metrics.remove(0).data {
            Some(MetricData::Gauge(gauge)) => gauge.points.iter().map(|point| point.time.0).collect(),
            _ => Vec::new(),
        }
    };
    assert_eq!(times(&[field(5, &point(1)), field(5, &point(2))].concat()), [1, 2]);
    assert_eq!(times(&[field(5, &point(1)), field(7, b""), field(5, &point(2))].concat()), [2]);
    assert_eq!(times(&[field(5, &point(1)), field(7, b"")].concat()), [0; 0]);
}

#[test]
fn a_body_in_pieces_is_joined() {
    let pieces = [field(5, &field(6, &field(1, &field(1, b"a")))), field(5, &field(6, b""))];
    let body = request(&pieces.concat());
    let logs = LogsView::parse(&body, &Limits::DEFAULT).unwrap().to_record().unwrap();
    let expected = KeyValue::new("a", AnyValue::Empty);
    assert_eq!(logs.resources[0].scopes[0].records[0].body, AnyValue::KvList(vec![expected]));
}

#[test]
fn an_index_into_a_dictionary_that_is_not_there_is_shown_and_kept() {
    use otlp_core::view::AnyValueView;
    let body = request(&field(9, &[field(2, b"\x40\x07"), b"\x18\x03".to_vec()].concat()));
    let view = TracesView::parse(&body, &Limits::DEFAULT).unwrap();
    let span = view.resources().next().unwrap().unwrap().scopes().next().unwrap().unwrap();
    let pair = span.spans().next().unwrap().unwrap().attributes().next().unwrap().unwrap();
    assert!(matches!(pair.value(), AnyValueView::StringIndex(7)));
    assert_eq!(pair.key_index(), 3);
    let record = view.to_record().unwrap();
    let kept = KeyValue { key: String::new(), value: AnyValue::StringIndex(7), key_index: 3 };
    assert_eq!(record.resources[0].scopes[0].spans[0].attributes[0], kept);
}
