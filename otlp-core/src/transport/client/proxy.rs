//! The way through an HTTP proxy: a tunnel (RFC 9110 §9.3.6).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::uri::{Scheme, Uri};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::error::{Error, ErrorKind, Result};
use crate::protocol::percent;

/// Bytes of a proxy's answer; real ones have a few hundred.
const MAX_ANSWER_BYTES: usize = 16 << 10;

/// The HTTP proxy that connections go through, and which do not.
///
/// Every connection is a tunnel (`CONNECT`), also one to a receiver without TLS: gRPC needs one anyway, and the proxy
/// is told host and port, but neither headers, such as the receiver's token, nor bodies. A proxy has to allow it
/// for the receiver's port.
///
/// ```
/// use otlp_core::transport::client::{ClientConfig, Proxy};
/// let proxy = Proxy::new("http://user:secret@proxy:3128").except("localhost, .internal, 10.0.0.0/8");
/// assert!(!format!("{proxy:?}").contains("secret"));
/// let (client, driver) = ClientConfig::new("http://collector").proxy(proxy).build()?;
/// # drop((client, driver));
/// # Ok::<(), otlp_core::Error>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Proxy {
    /// For endpoints without TLS, and for those with it.
    http: Option<String>,
    https: Option<String>,
    except: String,
    spares_loopback: bool,
}

impl Proxy {
    /// The proxy at `url` for all connections: `http://[user:password@]host[:port]`, the port being 80 where none is
    /// given. [`ClientConfig::build`](super::ClientConfig::build) checks it.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        let url = Some(url.into());
        Self { http: url.clone(), https: url, except: String::new(), spares_loopback: false }
    }

    /// What `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` say, or their lower-case twins, which go first. Without any,
    /// connections are direct. Connections to `localhost` and loopback addresses are direct, whatever the
    /// environment says.
    ///
    /// `HTTP_PROXY` does not count where `REQUEST_METHOD` is set: a CGI program has it from a header of the request.
    #[must_use]
    pub fn from_env() -> Self {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    pub(super) fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let upper_http = || set("HTTP_PROXY").filter(|_| variable("REQUEST_METHOD").is_none());
        Self {
            http: set("http_proxy").or_else(upper_http),
            https: set("https_proxy").or_else(|| set("HTTPS_PROXY")),
            except: set("no_proxy").or_else(|| set("NO_PROXY")).unwrap_or_default(),
            spares_loopback: true,
        }
    }

    /// Sets to which receivers connections are direct, separated by commas: a domain, which means its subdomains
    /// too; one with a leading `.` or `*.`, which means only these; an address or a network (`10.0.0.0/8`); any of the
    /// first three with a `:port`; or `*` for all. Names are not looked up. Default none.
    #[must_use]
    pub fn except(mut self, receivers: impl Into<String>) -> Self {
        self.except = receivers.into();
        self
    }

    /// The tunnel to the receiver at `host`, unless connections to it are direct.
    pub(super) fn tunnel_to(&self, is_secure: bool, host: &str, port: u16) -> Result<Option<Tunnel>> {
        let Some(url) = (if is_secure { &self.https } else { &self.http }) else { return Ok(None) };
        // Checked also where it is not used, so that a mistake does not wait for another receiver.
        let tunnel = Tunnel::parse(url, host, port)?;
        let is_direct = (self.spares_loopback && is_loopback(host)) || is_excepted(&self.except, host, port);
        Ok((!is_direct).then_some(tunnel))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // User and password stand before the last @.
        let shown = |url: &Option<String>| {
            url.as_ref().map(|url| match url.rsplit_once('@') {
                Some((_, host)) => format!("[redacted]@{host}"),
                None => url.clone(),
            })
        };
        f.debug_struct("Proxy")
            .field("http", &shown(&self.http))
            .field("https", &shown(&self.https))
            .field("except", &self.except)
            .finish_non_exhaustive()
    }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn is_excepted(list: &str, host: &str, port: u16) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let address = host.parse::<IpAddr>().ok();
    list.split(',').any(|entry| {
        let entry = entry.trim().to_ascii_lowercase();
        if entry == "*" {
            return true;
        }
        let (name, wanted) = split_port(&entry);
        wanted.is_none_or(|wanted| wanted == port)
            && match address {
                Some(address) => contains(name, address),
                None => is_domain_of(name, &host),
            }
    })
}

/// An entry and the port it is for, where it names one.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    // The last part of a bare IPv6 address is no port.
    if entry.parse::<IpAddr>().is_ok() || entry.contains('/') {
        return (entry, None);
    }
    match entry.rsplit_once(':').map(|(name, port)| (name, port.parse())) {
        Some((name, Ok(port))) => (without_brackets(name), Some(port)),
        _ => (without_brackets(entry), None),
    }
}

/// An IPv6 address stands in brackets before a port, and without them everywhere else.
fn without_brackets(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

fn is_domain_of(entry: &str, host: &str) -> bool {
    let entry = entry.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(entry);
    let entry = entry.strip_suffix('.').unwrap_or(entry);
    match host.strip_suffix(entry) {
        _ if entry.is_empty() => false,
        Some("") => !entry.starts_with('.'),
        Some(before) => entry.starts_with('.') || before.ends_with('.'),
        None => false,
    }
}

/// Whether an entry is the address or a network that has it.
fn contains(entry: &str, address: IpAddr) -> bool {
    let Some((network, bits)) = entry.split_once('/') else {
        return entry.parse::<IpAddr>().is_ok_and(|entry| entry.to_canonical() == address.to_canonical());
    };
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
    let same = |width: u32, one: u128, other: u128| {
        // Without the shift that would be as wide as the number.
        bits <= width && (bits == 0 || (one ^ other) >> (width - bits) == 0)
    };
    match (network, address.to_canonical()) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            same(32, u32::from(network).into(), u32::from(address).into())
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => same(128, network.into(), address.into()),
        _ => false,
    }
}

/// The way through a proxy to one receiver.
pub(super) struct Tunnel {
    host: String,
    port: u16,
    /// The whole request: it is the same each time.
    request: String,
}

impl Tunnel {
    fn parse(url: &str, receiver: &str, receiver_port: u16) -> Result<Self> {
        let wrong = |what: &str| Error::new(ErrorKind::Config, format!("proxy: {what}"));
        // A host and a port are enough for most programs.
        let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        // The reason is not told: it is about a text with a password in it.
        let uri = Uri::from_str(url.trim()).map_err(|_| wrong("not a url"))?;
        if uri.scheme() != Some(&Scheme::HTTP) {
            return Err(wrong("expected http:// (other proxies are not supported)"));
        }
        let host = without_brackets(uri.host().unwrap_or_default());
        if host.is_empty() {
            return Err(wrong("empty host"));
        }
        let to = match receiver.contains(':') {
            true => format!("[{receiver}]:{receiver_port}"),
            false => format!("{receiver}:{receiver_port}"),
        };
        let user = uri.authority().and_then(|part| part.as_str().rsplit_once('@'));
        let authorization = user.map_or_else(String::new, |(user, _)| {
            let mut words = user.splitn(2, ':').map(percent::decode_leniently);
            let (name, password) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let text = base64(&[name, password].join(&b':'));
            format!("Proxy-Authorization: Basic {text}\r\n")
        });
        let request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n{authorization}\r\n");
        Ok(Self { host: host.to_owned(), port: uri.port_u16().unwrap_or(80), request })
    }

    /// Where the proxy is.
    pub(super) fn proxy(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// Asks the proxy at the other end of `stream` for the receiver; afterwards the stream is the receiver's.
    pub(super) async fn dig(&self, mut stream: TcpStream) -> Result<TcpStream> {
        let broken = |source| Error::new(ErrorKind::Io, "proxy: no answer").with_source(source);
        stream.write_all(self.request.as_bytes()).await.map_err(broken)?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            // Only looked at, for what follows the answer is the receiver's.
            let mut seen = [0; 1024];
            let len = stream.peek(&mut seen).await.map_err(broken)?;
            let seen = seen.get(..len).unwrap_or_default();
            if seen.is_empty() {
                return Err(Error::new(ErrorKind::Io, "proxy: ended the connection instead of an answer"));
            }
            let taken = through_end_of_head(&answer, seen);
            if answer.len() + taken > MAX_ANSWER_BYTES {
                let what = format!("proxy: answer exceeds limit {MAX_ANSWER_BYTES}");
                return Err(Error::new(ErrorKind::Malformed, what));
            }
            let start = answer.len();
            answer.resize(start + taken, 0);
            stream.read_exact(answer.get_mut(start..).unwrap_or_default()).await.map_err(broken)?;
        }
        match status(&answer) {
            Some(200..=299) => Ok(stream),
            Some(met) => {
                Err(Error::new(ErrorKind::Refused, format!("proxy: expected status 200, met {met}")))
            }
            None => Err(Error::new(ErrorKind::Malformed, "proxy: answer is no http/1.1")),
        }
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, .. } = self;
        f.debug_struct("Tunnel").field("host", host).field("port", port).finish_non_exhaustive()
    }
}

/// How many bytes of `seen` belong to the head that begins with `before`: all where it does not end there.
fn through_end_of_head(before: &[u8], seen: &[u8]) -> usize {
    const END: &[u8] = b"\r\n\r\n";
    // The end may have begun before.
    let kept = before.len().min(END.len() - 1);
    let mut window = before.get(before.len() - kept..).unwrap_or_default().to_vec();
    window.extend_from_slice(seen);
    let end = window.windows(END.len()).position(|part| part == END);
    end.map_or(seen.len(), |at| at + END.len() - kept)
}

/// The status of an answer's head.
fn status(head: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(head.split(|byte| *byte == b'\r').next()?).ok()?;
    let mut words = line.split(' ');
    let is_http = words.next()?.starts_with("HTTP/1.");
    let code = words.next().filter(|code| is_http && code.len() == 3)?;
    code.parse().ok()
}

/// Base64 with padding (RFC 4648 §4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit)) & 63;
            let met = DIGITS.get(index as usize).copied().unwrap_or(b'=');
            out.push(if digit > chunk.len() { '=' } else { char::from(met) });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receivers_are_excepted_by_domain_address_network_and_port() {
        for (list, host, port) in [
            ("*", "collector", 1),
            ("collector", "Collector", 1),
            ("collector.", "collector.", 1),
            ("example.com", "a.b.example.com", 1),
            (" x , EXAMPLE.com ", "example.com", 1),
            (".example.com", "a.example.com", 1),
            ("*.example.com", "a.example.com", 1),
            ("example.com:4318", "example.com", 4318),
            ("10.1.2.3", "10.1.2.3", 1),
            ("10.0.0.0/8", "10.255.0.1", 1),
            ("10.1.2.3/32", "10.1.2.3", 1),
            ("0.0.0.0/0", "9.9.9.9", 1),
            ("10.1.2.3:80", "10.1.2.3", 80),
            ("::1", "::1", 1),
            ("[::1]", "::1", 1),
            ("[::1]:80", "::1", 80),
            ("fd00::/8", "fd12::1", 1),
            ("10.0.0.0/8", "::ffff:10.0.0.1", 1),
        ] {
            assert!(is_excepted(list, host, port), "{list:?} {host}:{port}");
        }
    }

    #[test]
    fn what_only_looks_alike_is_not_excepted() {
        for (list, host, port) in [
            ("", "collector", 1),
            (",, ,", "collector", 1),
            (".", "collector", 1),
            ("example.com", "notexample.com", 1),
            ("example.com", "example.com.evil", 1),
            (".example.com", "example.com", 1),
            ("*.example.com", "example.com", 1),
            ("*example.com", "notexample.com", 1),
            ("example.com:4318", "example.com", 4317),
            ("10.1.2.3", "10.1.2.4", 1),
            ("10.0.0.0/8", "11.0.0.1", 1),
            ("10.0.0.0/33", "10.0.0.0", 1),
            ("10.0.0.0/-1", "10.0.0.0", 1),
            ("10.0.0.0/8", "10.example.com", 1),
            ("0.0.0.0/0", "::1", 1),
            ("fd00::/8", "fe80::1", 1),
            ("::/129", "::", 1),
            ("2.3", "10.1.2.3", 1),
        ] {
            assert!(!is_excepted(list, host, port), "{list:?} {host}:{port}");
        }
    }

    #[test]
    fn the_environment_names_a_proxy_for_each_scheme_lower_case_first() {
        let from = |set: &'static [(&str, &str)]| {
            Proxy::from_variables(move |name| {
                set.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned())
            })
        };
        let proxy_of = |proxy: &Proxy, is_secure, host| {
            let tunnel = proxy.tunnel_to(is_secure, host, 4318).expect("valid");
            tunnel.map(|tunnel| format!("{}:{}", tunnel.host, tunnel.port))
        };
        let proxy = from(&[
            ("http_proxy", "http://lower:1"),
            ("HTTP_PROXY", "http://upper:1"),
            ("https_proxy", "  "),
            ("HTTPS_PROXY", "secure"),
            ("NO_PROXY", "inside"),
        ]);
        assert_eq!(proxy_of(&proxy, false, "outside").as_deref(), Some("lower:1"));
        assert_eq!(proxy_of(&proxy, true, "outside").as_deref(), Some("secure:80"));
        for host in ["inside", "localhost", "127.0.0.1", "::1"] {
            assert_eq!(proxy_of(&proxy, true, host), None, "{host}");
        }
        // A header named Proxy, where a web server runs us.
        let proxy = from(&[("HTTP_PROXY", "http://evil"), ("REQUEST_METHOD", "GET")]);
        assert_eq!(proxy_of(&proxy, false, "outside"), None);
        assert_eq!(proxy_of(&from(&[]), true, "outside"), None);
    }

    #[test]
    fn the_end_of_a_head_is_found_wherever_it_is_cut() {
        let head = b"HTTP/1.1 200 OK\r\nVia: x\r\n\r\n";
        let text = [head.as_slice(), b"\r\n\r\nand what the receiver says"].concat();
        for cut in 1..head.len() {
            let (before, seen) = text.split_at(cut);
            assert_eq!(through_end_of_head(before, seen), head.len() - cut, "cut at {cut}");
        }
        assert_eq!(through_end_of_head(b"", &text), head.len());
        assert_eq!(through_end_of_head(b"a\r\n", b"b\r\n"), 3);
    }

    #[test]
    fn base64_is_what_the_rfc_says() {
        // RFC 4648 §10.
        for (text, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
        ] {
            assert_eq!(base64(text.as_bytes()), expected);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }
}
