//! gRPC: what an HTTP/2 exchange of content type `application/grpc` means, and one of HTTP/1 or HTTP/2 of
//! `application/grpc-web`.

pub(crate) mod web;

use otlp_core::protocol::status;

/// The procedure that a request calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Call<'a> {
    method: Option<&'a str>,
}

impl<'a> Call<'a> {
    /// From the path of the request, where that is known.
    pub(super) fn of(path: Option<&'a str>) -> Self {
        let named = path.and_then(|path| path.strip_prefix('/'));
        Self { method: named.filter(|named| named.contains('/')) }
    }

    /// The service with its package, and the method: `package.Service/Method`.
    #[must_use]
    pub const fn full_method(&self) -> Option<&'a str> {
        self.method
    }

    /// The service with its package.
    #[must_use]
    pub fn service(&self) -> Option<&'a str> {
        Some(self.method?.rsplit_once('/')?.0)
    }

    /// The method alone.
    #[must_use]
    pub fn method(&self) -> Option<&'a str> {
        Some(self.method?.rsplit_once('/')?.1)
    }
}

/// The name of a status code; `None` for a number that is none.
///
/// ```
/// use otlp_ebpf::parse::grpc::status_name;
/// assert_eq!(status_name(5), Some("NOT_FOUND"));
/// assert_eq!(status_name(17), None);
/// ```
#[must_use]
pub fn status_name(code: u32) -> Option<&'static str> {
    status::grpc_name(i32::try_from(code).ok()?)
}

/// True where a status says that the server failed, as the semantic conventions have it: `UNKNOWN`,
/// `DEADLINE_EXCEEDED`, `UNIMPLEMENTED`, `INTERNAL`, `UNAVAILABLE` and `DATA_LOSS`.
///
/// ```
/// use otlp_ebpf::parse::grpc::is_server_error;
/// assert!(is_server_error(13) && !is_server_error(5));
/// ```
#[must_use]
pub const fn is_server_error(code: u32) -> bool {
    matches!(code, 2 | 4 | 12 | 13 | 14 | 15)
}

/// What a client takes a response for that brings no status of gRPC, by its HTTP status.
pub(crate) const fn status_of_http(status: u16) -> u32 {
    status::grpc_code(status).unsigned_abs()
}

/// True for `application/grpc` and its message formats; not for [gRPC-Web](web), whose status is in the body.
pub(super) fn is_content_type(value: &[u8]) -> bool {
    let expected = b"application/grpc";
    let Some((met, behind)) = value.split_at_checked(expected.len()) else { return false };
    met.eq_ignore_ascii_case(expected) && matches!(behind.first(), None | Some(b'+' | b';' | b' '))
}

/// A `grpc-status`.
pub(super) fn status_code(value: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(value).ok().filter(|text| text.len() <= 9)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_service_and_method() {
        let call = Call::of(Some("/shop.v1.Cart/Add"));
        assert_eq!(call.full_method(), Some("shop.v1.Cart/Add"));
        assert_eq!((call.service(), call.method()), (Some("shop.v1.Cart"), Some("Add")));
        for none in [None, Some("/"), Some("/health"), Some("shop.Cart/Add")] {
            assert_eq!(Call::of(none).full_method(), None, "{none:?}");
        }
    }

    #[test]
    fn content_types_of_grpc_are_told_from_those_of_grpc_web() {
        for grpc in ["application/grpc", "application/grpc+proto", "Application/gRPC; x=y"] {
            assert!(is_content_type(grpc.as_bytes()), "{grpc}");
        }
        for other in ["application/grpc-web", "application/grpcx", "application/json", ""] {
            assert!(!is_content_type(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn a_status_is_a_short_number() {
        for (text, code) in
            [("0", Some(0)), ("16", Some(16)), ("", None), ("-1", None), ("0x1", None), ("9999999999", None)]
        {
            assert_eq!(status_code(text.as_bytes()), code, "{text}");
        }
    }
}
