//! Serving HTTP/1.1 on one connection.

use std::io::Write as _;
use std::net::TcpStream;

use otlp_core::Error;

use super::{Decoder, Request, Response};
use crate::shop::counter::{Counters, Outcome};
use crate::shop::server;

/// Whatever answers requests.
pub(crate) trait Handler: Send + Sync {
    /// Answers one request; never panics on what the request says.
    fn handle(&self, request: &Request) -> Response;
}

/// Answers requests on `stream` until it ends, breaks, or asks to be closed.
///
/// Profiles are cut at this function by its name: see `profile`.
#[inline(never)]
pub(crate) fn serve_connection(stream: &TcpStream, handler: &dyn Handler, counters: &Counters) {
    let mut decoder = Decoder::default();
    let mut bytes = [0; server::READ_BYTES];
    let mut out = Vec::new();
    loop {
        let count = server::read(stream, &mut bytes).unwrap_or(0);
        let Some(met) = bytes.get(..count).filter(|met| !met.is_empty()) else { return };
        decoder.feed(met);
        loop {
            match decoder.request() {
                Ok(Some(request)) => {
                    if !answer(stream, &request, handler, counters, &mut out) {
                        return;
                    }
                }
                Ok(None) => break,
                Err(error) => return refuse(stream, &error, counters),
            }
        }
    }
}

/// Answers one request; true where the connection stays open.
fn answer(
    mut stream: &TcpStream,
    request: &Request,
    handler: &dyn Handler,
    counters: &Counters,
    out: &mut Vec<u8>,
) -> bool {
    let mut in_flight = counters.begin(1);
    let mut response = handler.handle(request);
    response.keep_alive = request.keep_alive;
    out.clear();
    response.encode(out);
    if stream.write_all(out).is_err() {
        return false;
    }
    in_flight.served(Outcome::of_status(response.status));
    request.keep_alive
}

/// Says why the bytes were refused, and closes: where the next request begins is not known.
fn refuse(mut stream: &TcpStream, error: &Error, counters: &Counters) {
    counters.malformed();
    let status = if error.is_limit() { 413 } else { 400 };
    let mut response = Response::error(status, "request refused");
    response.keep_alive = false;
    let mut out = Vec::new();
    response.encode(&mut out);
    // The peer may be gone already; it was told as well as could be.
    let _ = stream.write_all(&out);
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpListener;
    use std::time::Duration;

    use super::*;

    /// Answers with the method and the length of the body.
    struct Echo;

    impl Handler for Echo {
        fn handle(&self, request: &Request) -> Response {
            let status = if request.target == "/missing" { 404 } else { 200 };
            Response::new(status, format!("{} {}", request.method, request.body.len()))
        }
    }

    /// Sends `pieces`, closes the writing side, and hands back what came and what was counted.
    fn exchange(pieces: &[&[u8]]) -> (String, crate::shop::counter::Counts) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let counters = Counters::default();
        let mut met = String::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                serve_connection(&server, &Echo, &counters);
                drop(server.shutdown(std::net::Shutdown::Both));
            });
            for piece in pieces {
                client.write_all(piece).unwrap();
            }
            client.shutdown(std::net::Shutdown::Write).unwrap();
            client.read_to_string(&mut met).unwrap();
        });
        (met, counters.drained(Duration::ZERO))
    }

    #[test]
    fn pipelined_requests_cut_in_the_middle_are_each_served_once() {
        let (met, counts) = exchange(&[
            b"GET /a HTTP/1.1\r\n\r\nPOST /b HTTP/1.1\r\ncontent-length: 3\r\n\r\nab",
            b"cGET /missing HT",
            b"TP/1.1\r\n\r\n",
        ]);
        let bodies: Vec<&str> = met.split("\r\n\r\n").collect();
        assert!(bodies[1].starts_with("GET 0HTTP/1.1 200 OK"), "{met}");
        assert!(bodies[2].starts_with("POST 3HTTP/1.1 404 Not Found"), "{met}");
        assert_eq!((counts.ok, counts.client_errors, counts.malformed), (2, 1, 0));
        assert_eq!((counts.in_flight, counts.unsent), (0, 0));
    }

    #[test]
    fn bytes_that_are_no_request_are_answered_counted_and_not_served() {
        let (met, counts) = exchange(&[b"\x16\x03\x01\x02\x00\r\n\r\n"]);
        assert!(met.starts_with("HTTP/1.1 400 "), "{met}");
        assert_eq!((counts.served(), counts.malformed), (0, 1));
    }

    #[test]
    fn a_peer_that_closes_in_the_middle_of_a_request_is_not_served() {
        let (met, counts) = exchange(&[b"POST /b HTTP/1.1\r\ncontent-length: 3\r\n\r\nab"]);
        assert_eq!(met, "");
        assert_eq!((counts.served(), counts.in_flight), (0, 0));
    }

    #[test]
    fn a_request_that_asks_to_close_gets_its_answer_and_the_end() {
        let (met, counts) =
            exchange(&[b"GET /a HTTP/1.1\r\nconnection: close\r\n\r\nGET /b HTTP/1.1\r\n\r\n"]);
        assert!(met.contains("connection: close"), "{met}");
        assert_eq!(counts.served(), 1);
    }
}
