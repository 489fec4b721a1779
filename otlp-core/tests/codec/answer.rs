//! What receivers answer, as a signal of its own: the export response and `google.rpc.Status`.

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use otlp_core::encode::Encode;
use otlp_core::view::{ExportResponseView, RpcStatusView};
use otlp_core::{DecodeError, Limits};
use prost::Message;

use crate::signal::{Both, Signal};
use crate::tree::Type;

/// `google.rpc.Status` without its details, which the view skips. Prost has no ready-made one.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

pub(crate) static PARTIAL: Signal = Signal {
    root: Type::Response,
    make: |dice| {
        let partial_success = dice.maybe(|dice| ExportTracePartialSuccess {
            rejected_spans: (dice.varied() >> 1).cast_signed(),
            error_message: dice.text(),
        });
        ExportTraceServiceResponse { partial_success }.encode_to_vec()
    },
    prost: |body| ExportTraceServiceResponse::decode(body).ok().map(|message| message.encode_to_vec()),
    normal: |body| partial_by_prost(body).map(|message| message.encode_to_vec()),
    both: |body| Both::new(partial_by_prost(body).as_ref(), partial_by_view(body)),
    walk: |body| partial_by_view(body).map(|message| message.encode_to_vec()),
    rewrite: |body| {
        let record = ExportResponseView::parse(body, &Limits::DEFAULT)?.to_record();
        Ok(record.encode_to_bytes().to_vec())
    },
};

pub(crate) static STATUS: Signal = Signal {
    root: Type::Leaf,
    make: |dice| Status { code: dice.i32(), message: dice.text() }.encode_to_vec(),
    prost: |body| Status::decode(body).ok().map(|message| message.encode_to_vec()),
    normal: |body| Status::decode(body).ok().map(|message| message.encode_to_vec()),
    both: |body| Both::new(Status::decode(body).ok().as_ref(), status_by_view(body)),
    walk: |body| status_by_view(body).map(|message| message.encode_to_vec()),
    rewrite: |body| {
        let record = RpcStatusView::parse(body, &Limits::DEFAULT)?.to_record();
        Ok(record.encode_to_bytes().to_vec())
    },
};

fn partial_by_prost(body: &[u8]) -> Option<ExportTraceServiceResponse> {
    let mut response = ExportTraceServiceResponse::decode(body).ok()?;
    response.partial_success.get_or_insert_default();
    Some(response)
}

fn partial_by_view(body: &[u8]) -> Result<ExportTraceServiceResponse, DecodeError> {
    let view = ExportResponseView::parse(body, &Limits::DEFAULT)?;
    let rejected_spans = view.rejected().cast_signed();
    let error_message = view.message().to_owned();
    let partial_success = Some(ExportTracePartialSuccess { rejected_spans, error_message });
    Ok(ExportTraceServiceResponse { partial_success })
}

fn status_by_view(body: &[u8]) -> Result<Status, DecodeError> {
    let view = RpcStatusView::parse(body, &Limits::DEFAULT)?;
    Ok(Status { code: view.code(), message: view.message().to_owned() })
}
