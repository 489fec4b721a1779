//! Where requests go: the checked endpoint, and what goes with every request.

use std::str::FromStr;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::{Scheme, Uri};
use tokio::net::TcpStream;

use super::config::{Compression, Protocol};
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::Signal;
use crate::transport::form::Form;

/// The checked endpoint and what goes with every request.
pub(in crate::transport) struct Target {
    host: String,
    port: u16,
    paths: [(Signal, Uri); Signal::ALL.len()],
    /// What goes with every request, whichever signal it carries.
    pub(in crate::transport) headers: HeaderMap,
}

impl Target {
    pub(super) fn parse(
        endpoint: &str,
        protocol: Protocol,
        extra: &[(String, String)],
        compression: Compression,
    ) -> Result<Self> {
        let wrong = |what: &str| Error::new(ErrorKind::Config, format!("endpoint: {what}"));
        let uri = Uri::from_str(endpoint).map_err(|source| wrong("not a url").with_source(source))?;
        if uri.scheme() != Some(&Scheme::HTTP) {
            return Err(wrong("expected http:// (https is not supported yet)"));
        }
        if uri.query().is_some() || uri.authority().is_some_and(|part| part.as_str().contains('@')) {
            return Err(wrong("expected neither query nor user"));
        }
        // An IPv6 address stands in brackets in a URL, and without them everywhere else.
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(wrong("empty host"));
        }
        let prefix = uri.path().trim_end_matches('/');
        let authority = uri.authority().map_or("", http::uri::Authority::as_str);
        #[cfg(feature = "grpc")]
        if protocol == Protocol::Grpc && !prefix.is_empty() {
            return Err(wrong("expected no path with grpc"));
        }
        let path = |signal: Signal| {
            let path = match protocol {
                Protocol::HttpProtobuf | Protocol::HttpJson => format!("{prefix}{}", signal.http_path()),
                // HTTP/2 makes its pseudo-headers from an absolute URL.
                #[cfg(feature = "grpc")]
                Protocol::Grpc => format!("http://{authority}{}", signal.grpc_path()),
            };
            Uri::from_str(&path).map(|uri| (signal, uri)).map_err(|source| wrong("path").with_source(source))
        };
        let [traces, metrics, logs, profiles] = Signal::ALL.map(path);
        let headers = match protocol {
            Protocol::HttpProtobuf | Protocol::HttpJson => {
                headers(authority, extra, protocol.form(), compression)?
            }
            #[cfg(feature = "grpc")]
            Protocol::Grpc => grpc_headers(extra, compression)?,
        };
        let port = uri.port_u16().unwrap_or(protocol.port());
        Ok(Self { host: host.to_owned(), port, paths: [traces?, metrics?, logs?, profiles?], headers })
    }

    /// Opens a connection. Cancel-safe; the attempt's deadline bounds it.
    pub(in crate::transport) async fn connect(&self) -> std::io::Result<TcpStream> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        // Without this, the last small packet of a request waits for an acknowledgement.
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    pub(in crate::transport) fn uri(&self, signal: Signal) -> Uri {
        let found = self.paths.iter().find(|(of, _)| *of == signal);
        found.map(|(_, uri)| uri.clone()).unwrap_or_default()
    }
}

fn headers(
    host: &str,
    extra: &[(String, String)],
    form: Form,
    compression: Compression,
) -> Result<HeaderMap> {
    let mut headers = own_headers(extra)?;
    headers.insert(header::HOST, HeaderValue::from_str(host).map_err(|_| wrong_header("host"))?);
    headers.insert(header::CONTENT_TYPE, form.content_type());
    match compression.coding() {
        None => headers.remove(header::CONTENT_ENCODING),
        Some(name) => headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name)),
    };
    Ok(headers)
}

/// The metadata of every call but its timeout.
#[cfg(feature = "grpc")]
fn grpc_headers(extra: &[(String, String)], compression: Compression) -> Result<HeaderMap> {
    use crate::transport::grpc;

    let mut headers = own_headers(extra)?;
    // They belong to HTTP/1.1 alone, and HTTP/2 refuses a request that has one.
    for name in ["connection", "host", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"] {
        if headers.contains_key(name) {
            return Err(wrong_header(name));
        }
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(grpc::CONTENT_TYPE));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers.insert(grpc::ACCEPT_ENCODING, HeaderValue::from_static(grpc::encodings(false)));
    match compression.coding() {
        None => headers.remove(grpc::ENCODING),
        Some(name) => headers.insert(grpc::ENCODING, HeaderValue::from_static(name)),
    };
    Ok(headers)
}

/// What the caller wants in every request, and who we are.
fn own_headers(extra: &[(String, String)]) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in extra {
        let mut value = HeaderValue::from_str(value).map_err(|_| wrong_header(name))?;
        value.set_sensitive(true);
        headers.append(HeaderName::from_str(name).map_err(|_| wrong_header(name))?, value);
    }
    let user_agent = concat!("otlp-core-Rust/", env!("CARGO_PKG_VERSION"));
    headers.entry(header::USER_AGENT).or_insert(HeaderValue::from_static(user_agent));
    Ok(headers)
}

fn wrong_header(name: &str) -> Error {
    Error::new(ErrorKind::Config, format!("header {name:?}: not valid"))
}

#[cfg(test)]
mod tests {
    use super::super::config::ClientConfig;
    use super::*;

    fn target(endpoint: &str) -> Result<Target> {
        Target::parse(endpoint, Protocol::HttpProtobuf, &[], Compression::None)
    }

    #[test]
    fn an_endpoint_is_host_port_and_prefix() {
        for (endpoint, host, port, path) in [
            ("http://127.0.0.1:80", "127.0.0.1", 80, "/v1/logs"),
            ("http://collector", "collector", 4318, "/v1/logs"),
            ("http://collector:1/otlp/", "collector", 1, "/otlp/v1/logs"),
            ("http://[::1]:9", "::1", 9, "/v1/logs"),
        ] {
            let target = target(endpoint).expect(endpoint);
            assert_eq!((target.host.as_str(), target.port), (host, port), "{endpoint}");
            assert_eq!(target.uri(Signal::Logs), path, "{endpoint}");
            let profiles = path.replace("/v1/logs", "/v1development/profiles");
            assert_eq!(target.uri(Signal::Profiles), profiles.as_str(), "{endpoint}");
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused_by_name() {
        for endpoint in [
            "",
            "collector:4318",
            "https://collector",
            "ftp://x",
            "http://",
            "http://a b",
            "http://u:p@h",
            "http://h/?q",
        ] {
            let error = target(endpoint).err().unwrap_or_else(|| panic!("{endpoint:?} taken"));
            assert_eq!(error.kind(), ErrorKind::Config, "{endpoint:?}");
            assert!(error.to_string().starts_with("endpoint: "), "{error}");
        }
    }

    #[test]
    fn every_request_says_what_it_is_and_from_whom() {
        let made = |form| headers("h:1", &[("x-token".into(), "t".into())], form, Compression::None);
        assert_eq!(made(Form::Json).expect("valid")[header::CONTENT_TYPE], "application/json");
        let headers = made(Form::Protobuf).expect("valid");
        assert_eq!(headers[header::CONTENT_TYPE], "application/x-protobuf");
        assert_eq!(
            (&headers[header::HOST], &headers["x-token"]),
            (&"h:1".parse().unwrap(), &"t".parse().unwrap())
        );
        assert!(headers[header::USER_AGENT].to_str().expect("ascii").starts_with("otlp-core-Rust/"));
        assert!(!headers.contains_key(header::CONTENT_ENCODING));
    }

    #[cfg(feature = "grpc")]
    #[test]
    fn a_grpc_endpoint_has_its_own_port_and_paths_and_no_prefix() {
        let grpc = |endpoint| Target::parse(endpoint, Protocol::Grpc, &[], Compression::None);
        for (endpoint, port) in [("http://[::1]", 4317), ("http://[::1]:9/", 9)] {
            assert_eq!(grpc(endpoint).expect(endpoint).port, port, "{endpoint}");
        }
        let uri = grpc("http://collector:1").expect("valid").uri(Signal::Profiles);
        let expected =
            "http://collector:1/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export";
        assert_eq!(uri, expected);
        let error = grpc("http://collector/otlp").err().expect("a prefix");
        assert_eq!(error.to_string(), "endpoint: expected no path with grpc");
    }

    #[cfg(feature = "grpc")]
    #[test]
    fn a_call_says_what_it_is_and_takes_no_header_of_http_1() {
        let headers = grpc_headers(&[("X-Token".into(), "t".into())], Compression::None).expect("valid");
        assert_eq!([&headers["content-type"], &headers["te"]], ["application/grpc", "trailers"]);
        assert!(headers["x-token"].is_sensitive() && !headers.contains_key("grpc-encoding"));
        for name in ["Connection", "transfer-encoding", "upgrade"] {
            let config = ClientConfig::new("http://h").header(name, "x").protocol(Protocol::Grpc);
            assert_eq!(config.build().expect_err(name).kind(), ErrorKind::Config);
        }
    }
}
