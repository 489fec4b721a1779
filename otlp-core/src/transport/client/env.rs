//! What the environment says about a client: the `OTEL_EXPORTER_OTLP_*` variables.

use std::str::FromStr;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};

use super::changing::RESERVED;
use super::config::{ClientConfig, Compression, PathRule, Protocol};
use super::target::Url;
use crate::error::{Error, ErrorKind};
use crate::protocol::export::ExporterConfig;
use crate::protocol::{FromEnv, Signal, percent};

const PREFIX: &str = "OTEL_EXPORTER_OTLP_";

/// Headers of one variable.
const MAX_HEADERS: usize = 128;

impl ClientConfig {
    /// The configuration that the environment asks for in a client of `signal`, as the OTLP exporter specification
    /// has it.
    ///
    /// Of each variable there is a form for the signal, such as `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, which goes before
    /// the one for all, `OTEL_EXPORTER_OTLP_ENDPOINT`; what it sets is not joined with the other but replaces it, headers
    /// too. Empty is as not set. What cannot be used is as not set either, and is told in
    /// [`errors`](FromEnv::errors), which name variables and never values.
    ///
    /// | variable | value | default |
    /// |---|---|---|
    /// | `.._PROTOCOL` | `http/protobuf`, `http/json`, `grpc` | `http/protobuf` |
    /// | `.._ENDPOINT` | a URL; over HTTP the signal's path is appended to the general one, and the one for the signal is used as it is; gRPC takes `host:port` too | `http://localhost:4318`, gRPC `http://localhost:4317` |
    /// | `.._INSECURE` | `true`, `false`: gRPC without TLS where the endpoint has no scheme | `false` |
    /// | `.._HEADERS` | `name=value,..`, values percent-encoded | none |
    /// | `.._COMPRESSION` | `gzip`, `none`, and, beyond the specification, `zstd` | `none` |
    /// | `.._TIMEOUT` | milliseconds of one attempt, zero for no limit | 10,000 |
    /// | `.._CERTIFICATE` | PEM file of the certificates to trust (feature `tls`) | the system's |
    /// | `.._CLIENT_CERTIFICATE`, `.._CLIENT_KEY` | PEM files, both or none (feature `tls`) | none |
    ///
    /// Since signals may go to different places, in different forms and with different headers, a program that
    /// sends several has a client for each, as with `opentelemetry-otlp`. A client whose endpoint came from the
    /// signal's own variable must be given that signal only.
    ///
    /// ```
    /// use otlp_core::protocol::Signal;
    /// use otlp_core::transport::client::ClientConfig;
    ///
    /// let environment = |name: &str| std::env::var(name).ok();
    /// let read = ClientConfig::from_env(Signal::Traces, environment);
    /// for error in &read.errors {
    ///     eprintln!("{error}");
    /// }
    /// let (client, driver) = read.value.build()?;
    /// # drop((client, driver));
    /// # Ok::<(), otlp_core::Error>(())
    /// ```
    pub fn from_env(signal: Signal, lookup: impl Fn(&str) -> Option<String>) -> FromEnv<Self> {
        let mut reader = Reader { lookup, infix: infix(signal), errors: Vec::new() };
        let protocol = reader.read("PROTOCOL", protocol).map_or_else(Protocol::default, Met::into_value);
        let mut config = endpoint(&mut reader, protocol).protocol(protocol);
        for (name, value) in reader.headers() {
            config = config.header(name, value);
        }
        if let Some(compression) = reader.read("COMPRESSION", compression) {
            config = config.compression(compression.value);
        }
        if let Some(timeout) = reader.read("TIMEOUT", timeout) {
            config = config.exporter(ExporterConfig::default().timeout(timeout.value));
        }
        config = certificates(&mut reader, config);
        FromEnv { value: config, errors: reader.errors }
    }
}

/// What stands between prefix and name in the variables of one signal.
const fn infix(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "TRACES_",
        Signal::Metrics => "METRICS_",
        Signal::Logs => "LOGS_",
        Signal::Profiles => "PROFILES_",
    }
}

/// A value, and whether it is the signal's own.
struct Met<T> {
    value: T,
    is_own: bool,
}

impl<T> Met<T> {
    fn into_value(self) -> T {
        self.value
    }
}

/// Why a value cannot be used; never the value.
type Wrong = String;

struct Reader<F> {
    lookup: F,
    infix: &'static str,
    errors: Vec<Error>,
}

impl<F: Fn(&str) -> Option<String>> Reader<F> {
    /// The signal's own value where it is set and can be used, else that for all.
    fn read<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, Wrong>) -> Option<Met<T>> {
        self.read_with(name, |text, _| parse(text))
    }

    /// As [`read`](Self::read); `parse` is told too whether the value is the signal's own.
    fn read_with<T>(&mut self, name: &str, parse: impl Fn(&str, bool) -> Result<T, Wrong>) -> Option<Met<T>> {
        for is_own in [true, false] {
            let variable = format!("{PREFIX}{}{name}", if is_own { self.infix } else { "" });
            let Some(text) = (self.lookup)(&variable) else { continue };
            if text.trim().is_empty() {
                continue;
            }
            match parse(text.trim(), is_own) {
                Ok(value) => return Some(Met { value, is_own }),
                Err(wrong) => self.wrong(&variable, &wrong),
            }
        }
        None
    }

    /// The pairs that can be used; the last of a name holds.
    fn headers(&mut self) -> Vec<(String, String)> {
        let read = self.read("HEADERS", |text| Ok(headers(text)));
        let Some(Met { value: (headers, wrong), is_own }) = read else { return Vec::new() };
        let variable = format!("{PREFIX}{}HEADERS", if is_own { self.infix } else { "" });
        wrong.iter().for_each(|wrong| self.wrong(&variable, wrong));
        headers
    }

    fn wrong(&mut self, variable: &str, what: &str) {
        self.errors.push(Error::new(ErrorKind::Config, format!("{variable}: {what}")));
    }
}

fn protocol(text: &str) -> Result<Protocol, Wrong> {
    match text.to_ascii_lowercase().as_str() {
        "http/protobuf" => Ok(Protocol::HttpProtobuf),
        "http/json" => Ok(Protocol::HttpJson),
        #[cfg(feature = "grpc")]
        "grpc" => Ok(Protocol::Grpc),
        #[cfg(not(feature = "grpc"))]
        "grpc" => Err("grpc needs the feature grpc".into()),
        _ => Err("expected grpc, http/protobuf or http/json".into()),
    }
}

fn compression(text: &str) -> Result<Compression, Wrong> {
    match text.to_ascii_lowercase().as_str() {
        "none" => Ok(Compression::None),
        #[cfg(feature = "gzip")]
        "gzip" => Ok(Compression::Gzip),
        #[cfg(not(feature = "gzip"))]
        "gzip" => Err("gzip needs the feature gzip".into()),
        #[cfg(feature = "zstd")]
        "zstd" => Ok(Compression::Zstd),
        #[cfg(not(feature = "zstd"))]
        "zstd" => Err("zstd needs the feature zstd".into()),
        _ => Err("expected gzip or none".into()),
    }
}

fn timeout(text: &str) -> Result<Duration, Wrong> {
    match text.parse() {
        Ok(0) => Ok(Duration::MAX),
        Ok(millis) => Ok(Duration::from_millis(millis)),
        Err(_) => Err("expected a whole number of milliseconds".into()),
    }
}

fn switch(text: &str) -> Result<bool, Wrong> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("expected true or false".into()),
    }
}

/// Reads the endpoint, and how its path is meant.
fn endpoint<F: Fn(&str) -> Option<String>>(reader: &mut Reader<F>, protocol: Protocol) -> ClientConfig {
    #[cfg(feature = "grpc")]
    let is_grpc = protocol == Protocol::Grpc;
    #[cfg(not(feature = "grpc"))]
    let is_grpc = false;
    let is_insecure = is_grpc && reader.read("INSECURE", switch).is_some_and(Met::into_value);
    let met = reader.read_with("ENDPOINT", |text, is_own| {
        let url = match is_grpc && !text.contains("://") {
            true if is_insecure => format!("http://{text}"),
            true => format!("https://{text}"),
            false => text.to_owned(),
        };
        let rule = if is_own && !is_grpc { PathRule::AsIs } else { PathRule::Append };
        let parts = Url { text: &url, rule }.check(protocol);
        parts.map_err(|error| error.to_string()).map(|()| url)
    });
    match met {
        None => ClientConfig::new(format!("http://localhost:{}", protocol.port())),
        Some(Met { value, is_own: true }) if !is_grpc => ClientConfig::exact(value),
        Some(Met { value, .. }) => ClientConfig::new(value),
    }
}

/// Header name, header value.
type Pair = (String, String);

/// Reads `name=value,..`, and tells of each pair that cannot be used where it begins.
fn headers(text: &str) -> (Vec<Pair>, Vec<Wrong>) {
    let (mut headers, mut wrong) = (Vec::<Pair>::new(), Vec::new());
    let mut offset = 0;
    for member in text.split(',') {
        let at = offset;
        offset += member.len() + 1;
        if member.trim().is_empty() {
            continue;
        }
        match header(member) {
            Err(what) => wrong.push(format!("{what} in the header at byte {at}")),
            Ok((name, value)) => {
                headers.retain(|(met, _)| *met != name);
                if headers.len() == MAX_HEADERS {
                    wrong.push(format!("more than {MAX_HEADERS} headers"));
                    break;
                }
                headers.push((name, value));
            }
        }
    }
    (headers, wrong)
}

/// One pair; the name in lower case.
fn header(member: &str) -> Result<Pair, &'static str> {
    let (name, value) = member.split_once('=').ok_or("expected name=value")?;
    let name = HeaderName::from_str(name.trim()).map_err(|_| "no header name")?;
    if RESERVED.contains(&name.as_str()) {
        return Err("a name that belongs to the transport");
    }
    let value = percent::decode(value.trim()).map_err(|_| "bad percent-encoding")?;
    let value = String::from_utf8(value).map_err(|_| "no UTF-8")?;
    HeaderValue::from_str(&value).map_err(|_| "no header value")?;
    Ok((name.as_str().to_owned(), value))
}

#[cfg(feature = "tls")]
fn certificates<F: Fn(&str) -> Option<String>>(reader: &mut Reader<F>, config: ClientConfig) -> ClientConfig {
    use crate::transport::tls::{ClientTls, Pem};

    let mut path = |name| reader.read(name, |text| Ok(text.to_owned())).map(Met::into_value);
    let (ca, certificate, key) = (path("CERTIFICATE"), path("CLIENT_CERTIFICATE"), path("CLIENT_KEY"));
    let mut tls = ClientTls::default();
    if let Some(ca) = ca {
        tls = tls.ca(Pem::file(ca));
    }
    match (certificate, key) {
        (Some(certificate), Some(key)) => tls = tls.identity(Pem::file(certificate), Pem::file(key)),
        (None, None) => {}
        (Some(_), None) => reader.wrong(&format!("{PREFIX}CLIENT_CERTIFICATE"), "set without CLIENT_KEY"),
        (None, Some(_)) => reader.wrong(&format!("{PREFIX}CLIENT_KEY"), "set without CLIENT_CERTIFICATE"),
    }
    config.tls(tls)
}

#[cfg(not(feature = "tls"))]
fn certificates<F: Fn(&str) -> Option<String>>(reader: &mut Reader<F>, config: ClientConfig) -> ClientConfig {
    for name in ["CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"] {
        let _reported = reader.read(name, |_| Err::<(), _>("needs the feature tls".into()));
    }
    config
}

#[cfg(test)]
mod tests;
