//! The parsers agree with others on whole messages: `redis-protocol` on RESP, `httparse` and a body reader that
//! has everything in memory on HTTP/1.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "clippy.toml allows them in tests, but knows no helpers of tests"
)]

mod stream;

use otlp_ebpf::Limits;
use otlp_ebpf::parse::http1::Http1;
use otlp_ebpf::parse::redis::Redis;
use proptest::collection::vec;
use proptest::prelude::*;
use redis_protocol::resp3::decode::complete::decode;
use redis_protocol::resp3::encode::complete::encode;
use redis_protocol::resp3::types::{OwnedFrame, Resp3Frame};
use stream::{ToClient, ToServer, bytewise, whole};

fn frame() -> impl Strategy<Value = OwnedFrame> {
    let leaf = prop_oneof![
        vec(any::<u8>(), 0..60).prop_map(|data| OwnedFrame::BlobString { data, attributes: None }),
        vec(any::<u8>(), 0..60).prop_map(|data| OwnedFrame::BlobError { data, attributes: None }),
        "[ -~]{0,40}".prop_map(|text| OwnedFrame::SimpleString { data: text.into_bytes(), attributes: None }),
        "[A-Z]{1,10}( [ -~]{0,40})?".prop_map(|data| OwnedFrame::SimpleError { data, attributes: None }),
        any::<i64>().prop_map(|data| OwnedFrame::Number { data, attributes: None }),
        any::<bool>().prop_map(|data| OwnedFrame::Boolean { data, attributes: None }),
        (-1e9..1e9).prop_map(|data| OwnedFrame::Double { data, attributes: None }),
        "[1-9][0-9]{0,60}"
            .prop_map(|text| OwnedFrame::BigNumber { data: text.into_bytes(), attributes: None }),
        Just(OwnedFrame::Null),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(|data| OwnedFrame::Array { data, attributes: None }),
            vec(inner.clone(), 1..5).prop_map(|data| OwnedFrame::Push { data, attributes: None }),
            vec((any::<i64>(), inner), 0..4).prop_map(|pairs| {
                let key = |data| OwnedFrame::Number { data, attributes: None };
                let data = pairs.into_iter().map(|(number, value)| (key(number), value)).collect();
                OwnedFrame::Map { data, attributes: None }
            }),
        ]
    })
}

/// What the other implementation reads from the stream: the length of each frame, and what kind it is.
fn expected(mut stream: &[u8]) -> Vec<(&'static str, usize)> {
    let mut frames = Vec::new();
    while let Some((frame, used)) = decode(stream).expect("it wrote it itself") {
        let kind = match frame {
            OwnedFrame::SimpleError { .. } | OwnedFrame::BlobError { .. } => "Error",
            OwnedFrame::Push { .. } => "Push",
            OwnedFrame::Array { .. } => "Array",
            _ => "Value",
        };
        frames.push((kind, used));
        stream = &stream[used..];
        if stream.is_empty() {
            break;
        }
    }
    frames
}

fn met(events: &[String]) -> Vec<(&'static str, usize)> {
    let kind = |event: &str| {
        *["Error", "Push", "Array", "Value"]
            .iter()
            .find(|kind| event.contains(&format!("kind: {kind}")))
            .unwrap()
    };
    let length = |event: &str| event.rsplit(' ').nth(1).unwrap().parse().unwrap();
    events.iter().map(|event| (kind(event), length(event))).collect()
}

/// Reads requests the simple way: all of the stream is at hand.
fn http_oracle(mut stream: &[u8]) -> Vec<(String, String, usize)> {
    let mut requests = Vec::new();
    while !stream.is_empty() {
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut request = httparse::Request::new(&mut headers);
        let head = request.parse(stream).unwrap().unwrap();
        stream = &stream[head..];
        let find =
            |name: &str| request.headers.iter().find(|header| header.name == name).map(|header| header.value);
        let mut body = 0;
        if find("Transfer-Encoding").is_some() {
            loop {
                let (used, size) = httparse::parse_chunk_size(stream).unwrap().unwrap();
                let size = usize::try_from(size).unwrap();
                body += size;
                stream = &stream[used + size + 2..];
                if size == 0 {
                    break;
                }
            }
        } else if let Some(length) = find("Content-Length") {
            body = std::str::from_utf8(length).unwrap().parse().unwrap();
            stream = &stream[body..];
        }
        requests.push((request.method.unwrap().to_owned(), request.path.unwrap().to_owned(), body));
    }
    requests
}

fn http_request() -> impl Strategy<Value = Vec<u8>> {
    let body = prop_oneof![
        Just((String::new(), Vec::new())),
        vec(any::<u8>(), 0..100).prop_map(|data| (format!("Content-Length: {}\r\n", data.len()), data)),
        vec(vec(any::<u8>(), 1..40), 0..5).prop_map(|chunks| {
            let chunks = chunks
                .iter()
                .map(|data| [format!("{:X}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat());
            (
                "Transfer-Encoding: chunked\r\n".to_owned(),
                [chunks.collect::<Vec<_>>().concat(), b"0\r\n\r\n".to_vec()].concat(),
            )
        }),
    ];
    ("(GET|POST|DELETE)", "/[a-z/?=&%0-9]{0,40}", "(X-[a-z]{1,9}: [!-~]{0,30}\r\n){0,5}", body).prop_map(
        |(method, target, headers, (length, body))| {
            [format!("{method} {target} HTTP/1.1\r\n{headers}{length}\r\n").into_bytes(), body].concat()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn resp_frames_are_those_of_redis_protocol(frames in vec(frame(), 1..6)) {
        let mut stream = Vec::new();
        for frame in &frames {
            let mut buffer = vec![0; frame.encode_len(false)];
            let used = encode(&mut buffer, frame, false).unwrap();
            stream.extend_from_slice(&buffer[..used]);
        }
        let expected = expected(&stream);
        prop_assert_eq!(expected.len(), frames.len());
        let turns = vec![(ToClient, stream)];
        let told = whole(Redis::new(Limits::default()), &turns);
        prop_assert_eq!(told.unparsed, [0, 0], "{:?}", told.events);
        prop_assert_eq!(met(&told.events), expected);
        prop_assert_eq!(told.events, bytewise(Redis::new(Limits::default()), &turns).events);
    }

    #[test]
    fn http_requests_are_those_of_a_reader_of_whole_messages(requests in vec(http_request(), 1..6)) {
        let stream = requests.concat();
        let expected = http_oracle(&stream);
        let told = bytewise(Http1::new(Limits::default()), &vec![(ToServer, stream)]);
        let met: Vec<_> = told.events.chunks(2).map(|pair| {
            let words: Vec<_> = pair[0].split(' ').collect();
            let body = pair[1].split(' ').nth(2).unwrap().parse().unwrap();
            (words[1].to_owned(), words[2].to_owned(), body)
        }).collect();
        prop_assert_eq!(met, expected);
    }
}
