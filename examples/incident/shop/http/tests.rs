use proptest::prelude::*;

use super::*;

const TWO_REQUESTS: &[u8] = b"POST /checkout?x=1 HTTP/1.1\r\nHost: gateway\r\nTraceParent: 00-ab-cd-01\r\n\
    Content-Length: 11\r\n\r\nsku=1&qty=2GET /orders/7 HTTP/1.1\r\nConnection: close\r\n\r\n";

fn requests(pieces: &[&[u8]]) -> Result<Vec<Request>, Error> {
    let mut decoder = Decoder::default();
    let mut requests = Vec::new();
    for piece in pieces {
        decoder.feed(piece);
        while let Some(request) = decoder.request()? {
            requests.push(request);
        }
    }
    Ok(requests)
}

#[test]
fn two_requests_in_one_read_come_out_whole() {
    let met = requests(&[TWO_REQUESTS]).unwrap();
    let [checkout, order] = met.as_slice() else { panic!("{met:?}") };
    assert_eq!((checkout.method.as_str(), checkout.route()), ("POST", (vec!["checkout"], "x=1")));
    assert_eq!((checkout.field("qty"), checkout.field("sk")), (Some("2"), None));
    assert_eq!(checkout.traceparent.as_deref(), Some("00-ab-cd-01"));
    assert!(checkout.keep_alive);
    assert_eq!((order.route(), order.body.len()), ((vec!["orders", "7"], ""), 0));
    assert!(!order.keep_alive);
}

#[test]
fn a_stream_cut_after_every_byte_gives_the_same_requests() {
    let whole = requests(&[TWO_REQUESTS]).unwrap();
    let bytes: Vec<&[u8]> = TWO_REQUESTS.chunks(1).collect();
    assert_eq!(requests(&bytes).unwrap(), whole);
    for cut in 0..TWO_REQUESTS.len() {
        let (head, tail) = TWO_REQUESTS.split_at(cut);
        assert_eq!(requests(&[head, tail]).unwrap(), whole, "cut at {cut}");
    }
}

#[test]
fn requests_that_cannot_be_framed_are_refused() {
    for bytes in [
        "GET / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        "GET / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        "GET / HTTP/1.1\r\ncontent-length: 1e3\r\n\r\n",
        "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HEAD / HTTP/1.1\r\n\r\n",
        "GET / HTTP/3.0\r\n\r\n",
        "\0\x01\x02\r\n\r\n",
    ] {
        assert!(requests(&[bytes.as_bytes()]).unwrap_err().is_malformed(), "{bytes:?}");
    }
}

#[test]
fn heads_and_bodies_above_their_limits_are_refused_as_such() {
    let long_head = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(MAX_HEAD_BYTES));
    let endless_head = format!("GET /{}", "a".repeat(MAX_HEAD_BYTES));
    let many_headers = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(MAX_HEADERS + 1));
    let long_body = format!("GET / HTTP/1.1\r\ncontent-length: {}\r\n\r\n", MAX_BODY_BYTES + 1);
    for bytes in [long_head, endless_head, many_headers, long_body] {
        assert!(requests(&[bytes.as_bytes()]).unwrap_err().is_limit());
    }
}

#[test]
fn an_http_1_0_request_closes_unless_it_asks_to_stay() {
    let met = requests(&[b"GET /a HTTP/1.0\r\n\r\n", b"GET /b HTTP/1.0\r\nconnection: Keep-Alive\r\n\r\n"]);
    let stays: Vec<bool> = met.unwrap().iter().map(|request| request.keep_alive).collect();
    assert_eq!(stays, [false, true]);
}

#[test]
fn a_response_outside_the_final_statuses_is_refused() {
    let mut decoder = Decoder::default();
    decoder.feed(b"HTTP/1.1 100 Continue\r\n\r\n");
    assert!(decoder.response().unwrap_err().is_malformed());
}

proptest! {
    #[test]
    fn a_response_reads_back_as_it_was_written_wherever_the_bytes_are_cut(
        status in 200_u16..600,
        body in proptest::collection::vec(any::<u8>(), 0..200),
        keep_alive: bool,
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..4),
    ) {
        let response = Response { status, body, keep_alive };
        let mut bytes = Vec::new();
        response.encode(&mut bytes);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.sort_unstable();
        cuts.push(bytes.len());
        let mut decoder = Decoder::default();
        let mut start = 0;
        let mut met = None;
        for cut in cuts {
            decoder.feed(&bytes[start..cut]);
            start = cut;
            if let Some(response) = decoder.response().unwrap() {
                met = Some(response);
            }
        }
        prop_assert_eq!(met, Some(response));
        prop_assert!(decoder.is_empty());
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut decoder = Decoder::default();
        decoder.feed(&bytes);
        let _ = decoder.request();
        let _ = decoder.response();
    }
}
