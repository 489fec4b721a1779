//! Conversations of one connection, as a client and a server of each protocol have them.

use std::collections::VecDeque;

use otlp_ebpf::parse::Direction::{self, ToClient, ToServer};

/// Chunks in the order in which they are seen.
pub(super) type Talk = Vec<(Direction, Vec<u8>)>;

/// Requests and responses of about so many bytes each.
pub(super) fn http1(exchanges: usize, bytes: usize) -> Talk {
    let mut talk = Talk::new();
    for number in 0..exchanges {
        let head = format!(
            "POST /cart/{number} HTTP/1.1\r\nHost: shop.example:8080\r\nUser-Agent: curl/7.88.1\r\n\
             traceparent: 00-{:032x}-{:016x}-01\r\nContent-Type: application/json\r\n",
            number + 1,
            number + 1
        );
        talk.push((ToServer, sized(&head, bytes)));
        let head = "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Mon, 23 Nov 2026 07:00:00 GMT\r\n\
                    Content-Type: application/json\r\n";
        talk.push((ToClient, sized(head, bytes)));
    }
    talk
}

fn sized(head: &str, bytes: usize) -> Vec<u8> {
    let body = bytes.saturating_sub(head.len() + 25);
    let mut message = format!("{head}Content-Length: {body}\r\n\r\n").into_bytes();
    message.resize(message.len() + body, b'x');
    message
}

/// Calls of a unary method, so many at once: requests together, then their answers in the other order.
pub(super) fn grpc(exchanges: usize, at_once: usize) -> Talk {
    let settings = frame(4, 0, 0, &[]);
    let preface = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings].concat();
    let mut talk = vec![(ToServer, preface), (ToClient, settings)];
    let streams: Vec<u32> = (0..exchanges).filter_map(|call| u32::try_from(2 * call + 1).ok()).collect();
    for calls in streams.chunks(at_once) {
        for stream in calls {
            let parent = format!("00-{stream:032x}-{stream:016x}-01");
            let head = literals(&[
                (":method", "POST"),
                (":scheme", "http"),
                (":path", "/shop.Cart/Add"),
                (":authority", "cart:8080"),
                ("content-type", "application/grpc"),
                ("te", "trailers"),
                ("traceparent", &parent),
            ]);
            let message = frame(0, 1, *stream, &[&[0, 0, 0, 0, 100][..], &[b'x'; 100]].concat());
            talk.push((ToServer, [frame(1, 4, *stream, &head), message].concat()));
        }
        for stream in calls.iter().rev() {
            let head = literals(&[(":status", "200"), ("content-type", "application/grpc")]);
            let message = frame(0, 0, *stream, &[&[0, 0, 0, 0, 100][..], &[b'x'; 100]].concat());
            let trailers = frame(1, 5, *stream, &literals(&[("grpc-status", "0")]));
            talk.push((ToClient, [frame(1, 4, *stream, &head), message, trailers].concat()));
        }
    }
    talk
}

/// Calls of a unary method on one connection, one at a time, whose fields enter the tables of HPACK as grpc-go has
/// them enter: what is the same each time is named by its place, the trace context is new.
pub(super) fn grpc_reused(calls: usize) -> Talk {
    let settings = frame(4, 0, 0, &[]);
    let preface = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings].concat();
    let mut talk = vec![(ToServer, preface), (ToClient, settings)];
    let (mut there, mut back) = (Indexed::default(), Indexed::default());
    for stream in (1..).step_by(2).take(calls) {
        let parent = format!("00-{stream:032x}-{stream:016x}-01");
        let head = there.block(&[
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/shop.Cart/Add"),
            (":authority", "cart.shop.svc:8080"),
            ("content-type", "application/grpc"),
            ("user-agent", "grpc-go/1.64.0"),
            ("te", "trailers"),
            ("traceparent", &parent),
        ]);
        let message = frame(0, 1, stream, &[&[0, 0, 0, 0, 100][..], &[b'x'; 100]].concat());
        talk.push((ToServer, [frame(1, 4, stream, &head), message].concat()));
        let head = back.block(&[(":status", "200"), ("content-type", "application/grpc")]);
        let message = frame(0, 0, stream, &[&[0, 0, 0, 0, 100][..], &[b'x'; 100]].concat());
        let trailers = frame(1, 5, stream, &back.block(&[("grpc-status", "0"), ("grpc-message", "")]));
        talk.push((ToClient, [frame(1, 4, stream, &head), message, trailers].concat()));
    }
    talk
}

/// Writes every field into a table of 4,096 bytes (RFC 7541 §6.2.1), the newest first; those in it by their place.
#[derive(Default)]
struct Indexed(VecDeque<(String, String)>);

impl Indexed {
    fn block(&mut self, fields: &[(&str, &str)]) -> Vec<u8> {
        let mut block = Vec::new();
        for (name, value) in fields {
            let known = self.0.iter().position(|(met, held)| met == name && held == value);
            let named = self.0.iter().position(|(met, _)| met == name);
            match (known, named) {
                (Some(place), _) => {
                    integer(0x80, 0x7f, 62 + place, &mut block);
                    continue;
                }
                (None, Some(place)) => integer(0x40, 0x3f, 62 + place, &mut block),
                (None, None) => {
                    block.push(0x40);
                    integer(0, 0x7f, name.len(), &mut block);
                    block.extend_from_slice(name.as_bytes());
                }
            }
            integer(0, 0x7f, value.len(), &mut block);
            block.extend_from_slice(value.as_bytes());
            self.0.push_front(((*name).to_owned(), (*value).to_owned()));
            while self.0.iter().map(|(name, value)| name.len() + value.len() + 32).sum::<usize>() > 4096 {
                self.0.pop_back();
            }
        }
        block
    }
}

/// A number behind some bits (RFC 7541 §5.1).
fn integer(bits: u8, mask: u8, number: usize, block: &mut Vec<u8>) {
    if number < usize::from(mask) {
        block.push(bits | low_bytes(number)[3]);
        return;
    }
    block.push(bits | mask);
    let mut rest = number - usize::from(mask);
    while rest >= 0x80 {
        block.push(low_bytes(rest & 0x7f)[3] | 0x80);
        rest >>= 7;
    }
    block.push(low_bytes(rest)[3]);
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = low_bytes(payload.len());
    [&[length[1], length[2], length[3], kind, flags], &stream.to_be_bytes()[..], payload].concat()
}

/// Fields that enter no table, neither name nor value by Huffman's code.
fn literals(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for text in fields.iter().flat_map(|(name, value)| [None, Some(name), Some(value)]) {
        let Some(text) = text else {
            block.push(0);
            continue;
        };
        block.push(low_bytes(text.len())[3]);
        block.extend_from_slice(text.as_bytes());
    }
    block
}

fn low_bytes(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

/// Statements with literals, answered by a row.
pub(super) fn postgres(exchanges: usize) -> Talk {
    let start = b"\0\x03\0\0user\0shop\0database\0shop\0\0";
    let start = [&low_bytes(start.len() + 4)[..], start].concat();
    let ready = [message(b'R', &[0; 4]), message(b'Z', b"I")].concat();
    let mut talk = vec![(ToServer, start), (ToClient, ready)];
    for number in 0..exchanges {
        let query = format!("SELECT name, price FROM item WHERE id = {number} AND shop = 'north'\0");
        talk.push((ToServer, message(b'Q', query.as_bytes())));
        let field = [&b"name\0"[..], &[0; 18]].concat();
        let row = [&[0, 1, 0, 0, 0, 5][..], b"apple"].concat();
        let answer = [
            message(b'T', &[&[0, 1], &field[..]].concat()),
            message(b'D', &row),
            message(b'C', b"SELECT 1\0"),
            message(b'Z', b"I"),
        ];
        talk.push((ToClient, answer.concat()));
    }
    talk
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &low_bytes(body.len() + 4), body].concat()
}

/// Statements with literals, answered by a count.
pub(super) fn mysql(exchanges: usize) -> Talk {
    let (mut talk, ok) = mysql_login();
    for number in 0..exchanges {
        let query = format!("\x03UPDATE item SET price = {number}.5 WHERE name = 'apple'");
        talk.push((ToServer, packet(0, query.as_bytes())));
        talk.push((ToClient, packet(1, &ok)));
    }
    talk
}

/// A statement prepared, then run over and over, each time answered by so many rows of three columns.
pub(super) fn mysql_rows(exchanges: usize, rows: u8) -> Talk {
    let (mut talk, _) = mysql_login();
    talk.push((ToServer, packet(0, b"\x16SELECT id, name, price FROM item WHERE shop = ?")));
    let prepared = [packet(1, &[0, 1, 0, 0, 0, 3, 0, 1, 0, 0, 0, 0]), packet(2, &definition())];
    let columns = (3..6).flat_map(|number| packet(number, &definition()));
    talk.push((ToClient, prepared.concat().into_iter().chain(columns).collect()));
    let end = [0xfe, 0, 0, 2, 0, 0, 0];
    for number in 0..exchanges {
        let [.., low] = low_bytes(number);
        let run = [&[0x17, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 8, 0][..], &[low; 8]].concat();
        talk.push((ToServer, packet(0, &run)));
        let mut bodies = vec![vec![3], definition(), definition(), definition()];
        bodies.extend((0..rows).map(|row| format!("\0\0{row:08}\x0bgreen apple\x0412.5").into_bytes()));
        bodies.push(end.to_vec());
        let answer = (1..).zip(&bodies).flat_map(|(number, body)| packet(number, body));
        talk.push((ToClient, answer.collect()));
    }
    talk
}

/// The definition of a column.
fn definition() -> Vec<u8> {
    let names = b"\x03def\x04shop\x04item\x04item\x05price\x05price\x0c".as_slice();
    [names, &[33, 0, 40, 0, 0, 0, 253, 0, 0, 0, 0, 0]].concat()
}

/// A login after which result sets end with an OK packet, and such a packet.
fn mysql_login() -> (Talk, [u8; 7]) {
    // Protocol 4.1, authentication by plugin, no marker at the end of rows.
    let abilities: u32 = 0x0108_8200;
    let [a, b, c, d] = abilities.to_le_bytes();
    let hello = [
        &b"\x0a8.0.36\0"[..],
        &[7, 0, 0, 0],
        b"abcdefgh\0",
        &[a, b, 33, 2, 0, c, d, 21],
        &[0; 10],
        b"abcdefghijkl\0",
        b"mysql_native_password\0",
    ];
    let answer =
        [&[a, b, c, d, 0, 0, 0, 1, 33][..], &[0; 23], b"shop\0", &[0], b"mysql_native_password\0"].concat();
    let ok = [0, 1, 0, 2, 0, 0, 0];
    let talk = vec![
        (ToClient, packet(0, &hello.concat())),
        (ToServer, packet(1, &answer)),
        (ToClient, packet(2, &ok)),
    ];
    (talk, ok)
}

fn packet(number: u8, body: &[u8]) -> Vec<u8> {
    let [_, high, middle, low] = low_bytes(body.len());
    [&[low, middle, high, number], body].concat()
}

/// Commands that set a key.
pub(super) fn redis(exchanges: usize) -> Talk {
    let exchange = |number: usize| {
        let key = format!("item:{number:08}");
        let command = format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n$5\r\napple\r\n", key.len());
        [(ToServer, command.into_bytes()), (ToClient, b"+OK\r\n".to_vec())]
    };
    (0..exchanges).flat_map(exchange).collect()
}

/// Commands of some kinds, and replies of some kinds.
pub(super) fn redis_mixed(exchanges: usize) -> Talk {
    let bulk = |text: &str| format!("${}\r\n{text}\r\n", text.len());
    let command = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| bulk(word)).collect();
        format!("*{}\r\n{}", words.len(), words.concat())
    };
    let value = "v".repeat(64);
    let exchange = |number: usize| {
        let key = format!("item:{number:08}");
        let (asked, answered) = match number % 4 {
            0 => (command(&["SET", &key, &value]), "+OK\r\n".to_owned()),
            1 => (command(&["GET", &key]), bulk(&value)),
            2 => (command(&["LPUSH", &key, "1", "2", "3"]), "-WRONGTYPE not a list\r\n".to_owned()),
            _ => (command(&["LRANGE", &key, "0", "9"]), format!("*10\r\n{}", bulk("an element").repeat(10))),
        };
        [(ToServer, asked.into_bytes()), (ToClient, answered.into_bytes())]
    };
    (0..exchanges).flat_map(exchange).collect()
}

/// Records produced into one partition (Produce, version 3).
pub(super) fn kafka(exchanges: usize) -> Talk {
    let mut talk = Talk::new();
    for number in 0..exchanges {
        let number = low_bytes(number);
        let batch = record_batch();
        let request = [
            &[0, 0, 0, 3][..],
            &number,
            b"\0\x06shop-1",
            &[0xff, 0xff, 0, 1, 0, 0, 0x75, 0x30, 0, 0, 0, 1],
            b"\0\x06orders",
            &[0, 0, 0, 1, 0, 0, 0, 0],
            &low_bytes(batch.len()),
            &batch,
        ];
        talk.push((ToServer, framed(&request.concat())));
        let response = [
            &number[..],
            &[0, 0, 0, 1],
            b"\0\x06orders",
            &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0],
            &[0; 8],
            &[0xff; 8],
            &[0; 4],
        ];
        talk.push((ToClient, framed(&response.concat())));
    }
    talk
}

fn framed(body: &[u8]) -> Vec<u8> {
    [&low_bytes(body.len())[..], body].concat()
}

/// Ten records of which only the head of their batch says anything.
fn record_batch() -> Vec<u8> {
    const RECORDS: usize = 300;
    let counted = low_bytes(RECORDS + 49);
    let head = [
        &[0; 8][..],
        &counted,
        &[0; 4],
        &[2],
        &[0; 4],
        &[0; 2],
        &[0, 0, 0, 9],
        &[0; 16],
        &[0xff; 14],
        &[0, 0, 0, 10],
    ];
    let mut batch = head.concat();
    batch.resize(batch.len() + RECORDS, b'x');
    batch
}
