//! What a span says of an exchange of a protocol that is not known here: what its parser tells.

use otlp_core::record::{AnyValue, KeyValue};

use super::{EncodedSpan, Ends, cut, fail, server};
use crate::parse::other::{Request, Response};
use crate::service::Service;

pub(super) fn request(span: &mut EncodedSpan, request: &Request<'_>, service: &Service, ends: &Ends) {
    cut(request.name(), service.limits.attribute_bytes()).clone_into(&mut span.name);
    tell(span, request.told(), service);
    server(span, ends);
}

pub(super) fn response(span: &mut EncodedSpan, response: &Response<'_>) {
    response.told().iter().for_each(|told| span.attributes.push(told.clone()));
    if let Some(error) = response.error() {
        fail(span, error);
    }
}

fn tell(span: &mut EncodedSpan, attributes: &[KeyValue], service: &Service) {
    let limit = service.limits.attribute_bytes();
    for told in attributes {
        match &told.value {
            AnyValue::String(text) if text.len() > limit => {
                span.attributes.push(KeyValue::new(told.key.clone(), cut(text, limit)));
            }
            _ => span.attributes.push(told.clone()),
        }
    }
}
