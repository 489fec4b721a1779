//! What a span says of an exchange of a protocol that is not known here: what its parser tells.

use otlp_core::record::{AnyValue, KeyValue, Span};

use super::{Ends, cut, fail, server};
use crate::parse::other::{Request, Response};
use crate::service::Service;

pub(super) fn request(span: &mut Span, request: &Request<'_>, service: &Service, ends: &Ends) {
    cut(request.name(), service.limits.attribute_bytes()).clone_into(&mut span.name);
    tell(span, request.told(), service);
    server(span, ends);
}

pub(super) fn response(span: &mut Span, response: &Response<'_>) {
    span.attributes.extend_from_slice(response.told());
    if let Some(error) = response.error() {
        fail(span, error);
    }
}

fn tell(span: &mut Span, attributes: &[KeyValue], service: &Service) {
    let limit = service.limits.attribute_bytes();
    span.attributes.extend(attributes.iter().map(|told| match &told.value {
        AnyValue::String(text) if text.len() > limit => {
            KeyValue::new(told.key.clone(), AnyValue::from(cut(text, limit)))
        }
        _ => told.clone(),
    }));
}
