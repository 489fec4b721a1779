//! What is told of requests and responses.

use std::fmt;

use super::fields::Fields;
use crate::parse::grpc::{self, Call};

/// The head of a request. `Debug` shows neither path nor header values, which may hold secrets.
///
/// What was not seen is `None`: after a loss, fields in the part of the HPACK table that is unknown.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub(super) fields: &'a Fields,
}

impl<'a> Request<'a> {
    /// The method.
    #[must_use]
    pub fn method(&self) -> Option<&'a str> {
        self.fields.pseudo_text(":method")
    }

    /// The path with its query; absent in a `CONNECT`.
    #[must_use]
    pub fn path(&self) -> Option<&'a str> {
        self.fields.pseudo_text(":path")
    }

    /// The scheme, such as `http`.
    #[must_use]
    pub fn scheme(&self) -> Option<&'a str> {
        self.fields.pseudo_text(":scheme")
    }

    /// The host and port asked for.
    #[must_use]
    pub fn authority(&self) -> Option<&'a str> {
        self.fields.pseudo_text(":authority").or_else(|| self.headers().text("host"))
    }

    /// The protocol of an extended `CONNECT` (RFC 8441), such as `websocket`.
    #[must_use]
    pub fn protocol(&self) -> Option<&'a str> {
        self.fields.pseudo_text(":protocol")
    }

    /// The headers.
    #[must_use]
    pub const fn headers(&self) -> Headers<'a> {
        Headers { fields: self.fields }
    }

    /// The procedure called, where it is gRPC or gRPC-Web.
    #[must_use]
    pub fn grpc(&self) -> Option<Call<'a>> {
        self.is_grpc().then(|| Call::of(self.path()))
    }

    /// True where some of it was not seen: part of the block, or of the HPACK table.
    #[must_use]
    pub const fn has_gap(&self) -> bool {
        self.fields.has_gap || self.fields.has_unknown
    }

    /// True where [`Limits`](crate::Limits) cut off some of it.
    #[must_use]
    pub const fn is_truncated(&self) -> bool {
        self.fields.is_truncated
    }

    pub(super) fn is_grpc(&self) -> bool {
        let content_type = self.fields.value("content-type");
        content_type.is_some_and(|value| grpc::is_content_type(value) || grpc::web::is_content_type(value))
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("method", &self.method()).finish_non_exhaustive()
    }
}

/// The headers of a message, in their order, pseudo-headers not among them.
#[derive(Clone, Copy)]
pub struct Headers<'a> {
    pub(super) fields: &'a Fields,
}

impl<'a> Headers<'a> {
    /// Each header's name, in lower case, and its value.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        let regular = self.fields.iter().filter(|(name, _)| !name.starts_with(b":"));
        regular.filter_map(|(name, value)| Some((std::str::from_utf8(name).ok()?, value)))
    }

    /// The values of all headers named `name`, which is in lower case. O(headers).
    pub fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.fields.iter().filter(move |(met, _)| *met == name.as_bytes()).map(|(_, value)| value)
    }

    /// The value of the first header named `name`, where it is UTF-8.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.all(name).next().and_then(|value| std::str::from_utf8(value).ok())
    }
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

/// What is told of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Response {
    pub(super) status: Option<u16>,
    pub(super) is_grpc: bool,
    pub(super) grpc_status: Option<u32>,
    /// One of gRPC-Web was not understood.
    pub(super) is_unread: bool,
}

impl Response {
    /// The status code, 100 to 999; `None` where it was not seen.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        self.status
    }

    /// True where the request, or the answer, said that it is gRPC.
    #[must_use]
    pub const fn is_grpc(&self) -> bool {
        self.is_grpc
    }

    /// The status code of gRPC, from the trailers, or of gRPC-Web; `None` where there was none, or it was not seen.
    #[must_use]
    pub const fn grpc_status(&self) -> Option<u32> {
        self.grpc_status
    }

    /// True where there may have been one that was not understood.
    pub(crate) const fn is_unread(&self) -> bool {
        self.is_unread
    }
}
