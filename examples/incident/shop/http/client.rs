//! Calling a service over HTTP/1.1 on pooled connections.

use std::net::TcpStream;

use otlp_core::{Error, ErrorKind};

use super::{Decoder, Response};
use crate::shop::pool::{Pool, read_more, write_all};

/// One call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    /// Such as `GET`.
    pub(crate) method: &'a str,
    /// Path and query.
    pub(crate) target: &'a str,
    /// Sent as it is.
    pub(crate) traceparent: Option<&'a str>,
    /// A form, or empty.
    pub(crate) body: &'a str,
}

impl<'a> Call<'a> {
    /// A `GET` of `target`.
    pub(crate) const fn get(target: &'a str, traceparent: Option<&'a str>) -> Self {
        Self { method: "GET", target, traceparent, body: "" }
    }

    fn encode(&self, host: &str) -> Vec<u8> {
        let Self { method, target, body, .. } = self;
        let mut text = format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\n");
        if let Some(traceparent) = self.traceparent {
            text.push_str("traceparent: ");
            text.push_str(traceparent);
            text.push_str("\r\n");
        }
        if !body.is_empty() {
            text.push_str("content-type: application/x-www-form-urlencoded\r\ncontent-length: ");
            text.push_str(&body.len().to_string());
            text.push_str("\r\n");
        }
        text.push_str("\r\n");
        text.push_str(body);
        text.into_bytes()
    }
}

/// Sends `call` to the peer of `pool` and waits for the whole response. A call is never sent twice.
///
/// # Errors
/// No connection, no answer in time, or an answer that is no HTTP/1.1.
pub(crate) fn send(pool: &Pool, call: &Call<'_>) -> Result<Response, Error> {
    let stream = pool.take()?;
    write_all(&stream, &call.encode(pool.host()))?;
    let mut decoder = Decoder::default();
    let response = receive(&stream, &mut decoder)?;
    if response.keep_alive && decoder.is_empty() {
        pool.put(stream);
    }
    Ok(response)
}

fn receive(stream: &TcpStream, decoder: &mut Decoder) -> Result<Response, Error> {
    loop {
        if !read_more(stream, |bytes| decoder.feed(bytes))? {
            return Err(Error::new(ErrorKind::Io, "response: connection closed before its end"));
        }
        if let Some(response) = decoder.response()? {
            return Ok(response);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_connection_is_used_again_and_a_closed_one_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let pool = Pool::new("order");
        pool.set_address(listener.local_addr().unwrap());
        let answer = |stream: &mut TcpStream, response: &str| {
            let mut bytes = [0; 512];
            let count = stream.read(&mut bytes).unwrap();
            stream.write_all(response.as_bytes()).unwrap();
            String::from_utf8_lossy(&bytes[..count]).into_owned()
        };
        std::thread::scope(|scope| {
            let served = scope.spawn(|| {
                let (mut first, _) = listener.accept().unwrap();
                let one = answer(&mut first, "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na");
                let close = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\nb";
                answer(&mut first, close);
                let (mut second, _) = listener.accept().unwrap();
                let partial = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nc";
                answer(&mut second, partial);
                one
            });
            let call = Call { method: "POST", target: "/a", traceparent: Some("00-1-2-01"), body: "x=1" };
            assert_eq!(send(&pool, &call).unwrap().text(), "a");
            assert_eq!(send(&pool, &Call::get("/b", None)).unwrap().text(), "b");
            let cut = send(&pool, &Call::get("/c", None)).unwrap_err();
            assert_eq!(cut.kind(), ErrorKind::Io);
            let one = served.join().unwrap();
            assert!(
                one.starts_with("POST /a HTTP/1.1\r\nhost: order\r\ntraceparent: 00-1-2-01\r\n"),
                "{one}"
            );
            assert!(one.ends_with("content-length: 3\r\n\r\nx=1"), "{one}");
        });
    }

    #[test]
    fn a_pool_that_was_never_told_its_address_says_so() {
        let error = send(&Pool::new("db"), &Call::get("/", None)).unwrap_err();
        assert_eq!((error.kind(), error.to_string().contains("db")), (ErrorKind::Config, true));
    }
}
