//! Where requests go: the checked endpoint, and what goes with every request.

use std::str::FromStr;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::Uri;

use super::changing::Changing;
use super::config::{Compression, PathRule, Protocol};
use super::connect::{Connector, Endpoint, Way, wrong};
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::Signal;
use crate::transport::form::Form;
use crate::transport::stream::Stream;

/// An endpoint as it was written, and how its path is meant.
#[derive(Debug, Clone, Copy)]
pub(super) struct Url<'a> {
    pub(super) text: &'a str,
    pub(super) rule: PathRule,
}

impl Url<'_> {
    /// The endpoint, and where its own path is to be used, that path and query.
    fn parse(self, protocol: Protocol) -> Result<(Endpoint, Option<String>)> {
        let exact = match self.rule {
            PathRule::AsIs if protocol.has_paths() && !self.text.starts_with("unix:") => {
                Uri::from_str(self.text).ok().map(|uri| {
                    // Its text has no slash where the URL has none.
                    uri.path_and_query().map_or("/".to_owned(), ToString::to_string)
                })
            }
            _ => None,
        };
        let text = match &exact {
            Some(_) => self.text.split('?').next().unwrap_or_default(),
            None => self.text,
        };
        let endpoint = Endpoint::parse(text, protocol.port())?;
        if !protocol.has_paths() && !endpoint.prefix.is_empty() {
            return Err(wrong("expected no path with grpc"));
        }
        Ok((endpoint, exact))
    }

    /// Refuses what [`Target::parse`] would.
    pub(super) fn check(self, protocol: Protocol) -> Result<()> {
        let (endpoint, exact) = self.parse(protocol)?;
        endpoint.check_name()?;
        path(&endpoint, exact.as_deref(), protocol, Signal::Traces).map(drop)
    }
}

/// Where requests of a signal go.
fn path(endpoint: &Endpoint, exact: Option<&str>, protocol: Protocol, signal: Signal) -> Result<Uri> {
    let path = match (protocol, exact) {
        (Protocol::HttpProtobuf | Protocol::HttpJson, Some(exact)) => exact.to_owned(),
        (Protocol::HttpProtobuf | Protocol::HttpJson, None) => {
            format!("{}{}", endpoint.prefix, signal.http_path())
        }
        // HTTP/2 makes its pseudo-headers from an absolute URL.
        #[cfg(feature = "grpc")]
        (Protocol::Grpc, _) => {
            format!("{}://{}{}", endpoint.scheme(), endpoint.authority, signal.grpc_path())
        }
    };
    Uri::from_str(&path).map_err(|source| wrong("path").with_source(source))
}

/// The checked endpoint and what goes with every request.
pub(in crate::transport) struct Target {
    connector: Connector,
    paths: [(Signal, Uri); Signal::ALL.len()],
    /// What goes with every request, whichever signal it carries.
    headers: HeaderMap,
    changing: Option<Changing>,
}

impl Target {
    pub(super) fn parse(
        url: Url<'_>,
        protocol: Protocol,
        extra: &[(String, String)],
        compression: Compression,
        way: &Way,
    ) -> Result<Self> {
        let (endpoint, exact) = url.parse(protocol)?;
        let path =
            |signal| -> Result<_> { Ok((signal, path(&endpoint, exact.as_deref(), protocol, signal)?)) };
        let [traces, metrics, logs, profiles] = Signal::ALL.map(path);
        let headers = match protocol {
            Protocol::HttpProtobuf | Protocol::HttpJson => {
                headers(&endpoint.authority, extra, protocol.form(), compression)?
            }
            #[cfg(feature = "grpc")]
            Protocol::Grpc => grpc_headers(extra, compression)?,
        };
        let connector = Connector::new(endpoint, way)?;
        let changing = Changing::new(way);
        Ok(Self { connector, paths: [traces?, metrics?, logs?, profiles?], headers, changing })
    }

    /// Opens a connection, where that can be. Cancel-safe; the attempt's deadline bounds it.
    pub(in crate::transport) async fn connect(&self) -> Option<Stream> {
        self.connector.connect().await
    }

    /// What goes with the next request; `None` where that cannot be told now.
    pub(in crate::transport) fn headers(&self) -> Option<HeaderMap> {
        let mut headers = self.headers.clone();
        if let Some(changing) = &self.changing {
            changing.add_to(&mut headers)?;
        }
        Some(headers)
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
impl Target {
    /// The whole URL of a signal over HTTP.
    pub(super) fn url(&self, signal: Signal) -> String {
        let (host, port) = self.connector.address().unwrap_or_default();
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        format!("http://{host}:{port}{}", self.uri(signal))
    }
}

#[cfg(test)]
mod tests {
    #[cfg(feature = "grpc")]
    use super::super::config::ClientConfig;
    use super::*;

    fn target(endpoint: &str) -> Result<Target> {
        let url = Url { text: endpoint, rule: PathRule::Append };
        Target::parse(url, Protocol::HttpProtobuf, &[], Compression::None, &Way::default())
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
            assert_eq!(target.connector.address(), Some((host, port)), "{endpoint}");
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
            "ftp://x",
            "unix://relative",
            "http://",
            "http://a b",
            "http://u:p@h",
            "http://h:x",
            "http://h:65536",
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
        let grpc = |text| {
            let url = Url { text, rule: PathRule::Append };
            Target::parse(url, Protocol::Grpc, &[], Compression::None, &Way::default())
        };
        for (endpoint, port) in [("http://[::1]", 4317), ("http://[::1]:9/", 9)] {
            let target = grpc(endpoint).expect(endpoint);
            assert_eq!(target.connector.address(), Some(("::1", port)), "{endpoint}");
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
