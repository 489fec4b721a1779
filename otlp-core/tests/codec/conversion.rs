//! Records to prost structs and back, over random messages of the four signals.

use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::profiles::v1development::ExportProfilesServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::{Span as ProstSpan, span::Link as ProstLink};
use otlp_core::encode::Encode;
use otlp_core::record::{
    ExportResponse, LogsRequest, MetricsRequest, ProfilesRequest, Span, SpanKind, StatusCode, TracesRequest,
};
use otlp_core::view::{LogsView, MetricsView, ProfilesView, TracesView};
use otlp_core::{Limits, UnixNanos};
use proptest::prelude::*;
use prost::Message;

use crate::dice::Dice;
use crate::generate;

macro_rules! identity {
    ($name:ident, $make:ident, $theirs:ident, $record:ident, $view:ident) => {
        /// Compared as text, for NaN is not equal to itself.
        fn $name(seed: u64) -> Result<(), TestCaseError> {
            let bytes = generate::$make(&mut Dice::new(seed)).encode_to_vec();
            let limits = Limits::default();
            let view = $view::parse(&bytes, &limits).unwrap();
            let record = view.to_record().unwrap();

            let theirs = $theirs::from(record.clone());
            let back = $record::try_from(theirs.clone()).unwrap();
            prop_assert_eq!(format!("{back:?}"), format!("{record:?}"), "record -> prost -> record");

            let ours = record.encode_to_bytes();
            let decoded = $theirs::decode(ours.as_ref()).unwrap();
            prop_assert_eq!(format!("{theirs:?}"), format!("{decoded:?}"), "what prost reads of our bytes");
            prop_assert_eq!(theirs.encode_to_vec(), decoded.encode_to_vec(), "the same bytes");
            prop_assert_eq!(theirs.encoded_len(), ours.len());

            let from_view = $theirs::try_from(view).unwrap();
            prop_assert_eq!(format!("{from_view:?}"), format!("{theirs:?}"), "view -> prost");

            let read = $record::try_from($theirs::decode(bytes.as_slice()).unwrap()).unwrap();
            prop_assert_eq!(format!("{read:?}"), format!("{record:?}"), "prost -> record is what views read");
            Ok(())
        }
    };
}

identity!(traces, traces, ExportTraceServiceRequest, TracesRequest, TracesView);
identity!(logs, logs, ExportLogsServiceRequest, LogsRequest, LogsView);
identity!(metrics, metrics, ExportMetricsServiceRequest, MetricsRequest, MetricsView);
identity!(profiles, profiles, ExportProfilesServiceRequest, ProfilesRequest, ProfilesView);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn records_come_back_from_prost_as_they_went(seed in any::<u64>()) {
        traces(seed)?;
        logs(seed)?;
        metrics(seed)?;
        profiles(seed)?;
    }
}

#[test]
fn an_identifier_of_a_wrong_length_is_told() {
    let error = |span: ProstSpan| Span::try_from(span).unwrap_err();
    let short = error(ProstSpan { trace_id: vec![1; 15], ..ProstSpan::default() });
    assert!(short.is_malformed());
    assert_eq!(short.to_string(), "trace id: expected 16 bytes or none, met 15");
    let link = ProstLink { span_id: vec![1; 9], ..ProstLink::default() };
    let nested = error(ProstSpan { links: vec![link], ..ProstSpan::default() });
    assert_eq!(nested.to_string(), "span id: expected 8 bytes or none, met 9");
    assert!(Span::try_from(ProstSpan { trace_id: vec![1; 16], ..ProstSpan::default() }).is_ok());
}

#[test]
fn numbers_of_enums_that_nobody_knows_are_kept() {
    let span = Span { kind: SpanKind::Other(77), ..Span::default() };
    assert_eq!(ProstSpan::from(span.clone()).kind, 77);
    assert_eq!(Span::try_from(ProstSpan::from(span)).unwrap().kind, SpanKind::Other(77));
    let theirs = ProstSpan { kind: -3, ..ProstSpan::default() };
    assert_eq!(Span::try_from(theirs).unwrap().kind.to_wire(), -3);
}

/// What the documentation says does not come back.
#[test]
fn what_has_no_meaning_is_evened_out() {
    let zeros = ProstSpan { trace_id: vec![0; 16], status: Some(Default::default()), ..ProstSpan::default() };
    let back = ProstSpan::from(Span::try_from(zeros).unwrap());
    assert_eq!(back, ProstSpan::default());
}

#[test]
fn status_and_times_keep_their_places() {
    let mut span = Span { start: UnixNanos(1), end: UnixNanos(2), ..Span::default() };
    span.status.code = StatusCode::Error;
    span.status.message = "late".into();
    let theirs = ProstSpan::from(span);
    assert_eq!((theirs.start_time_unix_nano, theirs.end_time_unix_nano), (1, 2));
    assert_eq!(theirs.status.map(|status| (status.code, status.message)), Some((2, "late".into())));
}

#[test]
fn responses_come_back_and_a_count_below_zero_is_told() {
    for response in
        [ExportResponse::default(), ExportResponse::partial(3, "old"), ExportResponse::partial(0, "w")]
    {
        let theirs = ExportLogsServiceResponse::from(response.clone());
        assert_eq!(theirs.encode_to_vec(), response.encode_to_bytes());
        assert_eq!(ExportResponse::try_from(theirs).unwrap(), response);
    }
    let partial = ExportTracePartialSuccess { rejected_spans: -1, error_message: String::new() };
    let theirs = ExportTraceServiceResponse { partial_success: Some(partial) };
    let error = ExportResponse::try_from(theirs).unwrap_err();
    assert_eq!(error.to_string(), "rejected_spans: -1 is below zero");
}
