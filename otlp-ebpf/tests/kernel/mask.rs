//! What leaves the kernel where only masked heads may.

use std::io::{Read, Write};
use std::process::Command;

use otlp_core::record::Span;
use otlp_ebpf::capture::{Capture, CaptureBuilder, CaptureStats, CapturedSpan, Loader, Policy, Source};
use otlp_ebpf::event::Record;

use crate::account::kafka;
use crate::database;
use crate::machine::{Client, Server, begin, nginx, number, redis, required, text, until};

const CANARY: &str = "hunter2";

/// Requests of the canary tests.
const REQUESTS: usize = 1000;

fn builder(source: Source, policy: Policy) -> CaptureBuilder {
    Capture::builder().source(source).policy(policy)
}

/// What was seen of a conversation: its spans, and every byte that left the kernel.
struct Seen {
    spans: Vec<CapturedSpan>,
    records: Vec<u8>,
    count: u64,
    stats: CaptureStats,
}

impl Seen {
    fn has_canary(&self) -> bool {
        self.has(CANARY.as_bytes())
    }

    fn has(&self, secret: &[u8]) -> bool {
        self.records.windows(secret.len()).any(|window| window == secret)
    }

    /// All payload that left.
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.records).into_owned()
    }
}

/// Captures while `talk` runs, until as many records were met as the kernel told.
fn seen(builder: CaptureBuilder, talk: impl FnOnce()) -> Option<Seen> {
    let mut capture = begin(builder)?;
    talk();
    let mut seen = Seen { spans: Vec::new(), records: Vec::new(), count: 0, stats: CaptureStats::default() };
    until(|| {
        let Seen { spans, records, count, .. } = &mut seen;
        capture.poll_with(
            &mut |record| {
                // The whole of it, and not only what it says that was captured; but for the numbers of its head.
                assert!(Record::parse(record).is_ok());
                records.extend(&record[otlp_ebpf::event::HEAD_BYTES..]);
                *count += 1;
            },
            &mut |span| spans.push(span),
        );
        let stats = capture.stats();
        if stats.waiting_records() == 0 { Ok(()) } else { Err(format!("{stats:?}")) }
    });
    let spans = &mut seen.spans;
    let stats = capture.finish(&mut |span| spans.push(span));
    assert!(stats.is_balanced() && stats.kernel.full_records == 0, "{stats:?}");
    seen.stats = stats;
    Some(seen)
}

/// One request with the canary wherever a secret may be, and its answer.
fn secret(client: &mut Client<std::net::TcpStream>, number: usize) {
    let body = format!("password={CANARY}&n={number}");
    // Methods, cases and line ends as clients may have them.
    let (method, name) =
        [("GET", "Authorization"), ("POST", "authorization"), ("PUT", "AUTHORIZATION")][number % 3];
    let head = format!(
        "{method} /ok?token={CANARY} HTTP/1.1\r\nHost: shop\r\n{name}: Bearer {CANARY}\r\nCookie: a={CANARY}; b={CANARY}\r\n\
         X-Api-Key:{CANARY}\r\nContent-Length: {}\r\nTraceParent: 00-{number:032x}-00f067aa0ba902b7-01\r\n\r\n",
        body.len()
    );
    // Together, or the body by itself.
    if number.is_multiple_of(2) {
        client.stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    } else {
        client.stream.write_all(head.as_bytes()).unwrap();
        client.stream.write_all(body.as_bytes()).unwrap();
    }
    let mut answer = [0; 4096];
    let mut met = 0;
    while !answer[..met].ends_with(b"\r\n\r\nfine") && !answer[..met].ends_with(b"</html>\r\n") {
        let more = client.stream.read(&mut answer[met..]).unwrap();
        assert!(more > 0, "{}", String::from_utf8_lossy(&answer[..met]));
        met += more;
    }
}

fn talk(server: &Server) {
    let mut client = Client::tcp(server.address);
    (0..REQUESTS).for_each(|number| secret(&mut client, number));
}

#[test]
fn no_secret_of_http_leaves_and_every_request_is_a_span() {
    let Some(server) = nginx("") else { return };
    for source in [Source::Network, Source::Calls] {
        let ours = || builder(source, Policy::MaskedHeads).port(server.port());
        let Some(met) = seen(ours(), || talk(&server)) else { return };
        assert!(!met.has_canary(), "{source:?}");
        assert_eq!(met.spans.len(), REQUESTS, "{source:?} {} records", met.count);
        for span in &met.spans {
            assert_eq!(text(&span.span, "url.path"), "/ok");
            assert!(number(&span.span, "http.response.status_code") > 0);
        }
        assert!(met.text().contains("Authorization: xxxxxxx") || met.text().contains("Authorization:xxx"));
        assert!(met.text().contains("Host: shop") && met.text().contains("00f067aa0ba902b7"));

        // The twin: what is not masked has them.
        let Some(met) = seen(builder(source, Policy::Head(900)).port(server.port()), || talk(&server)) else {
            return;
        };
        assert!(met.has_canary());
        // And a header that was allowed.
        let Some(met) = seen(ours().allow_header("X-API-Key"), || talk(&server)) else { return };
        assert!(met.has_canary() && met.text().contains(&format!("X-Api-Key:{CANARY}")));
        assert!(!met.text().contains(&format!("Bearer {CANARY}")));
    }
}

#[test]
fn what_is_no_head_leaves_nothing() {
    let (Some(server), Some(cache)) = (nginx(""), redis()) else { return };
    let pieces = [
        // A head that is cut within a name, within a value, and its rest.
        &[&b"GET /ok HTTP/1.1\r\nHost: a\r\nAuthorizat"[..], b"ion: hunter2\r\nContent-Length: 0\r\n\r\n"][..],
        &[b"GET /ok HTTP/1.1\r\nHost: a\r\nAuthorization: hun", b"ter2\r\n\r\n"],
        // Lines that are none.
        &[b"GET /ok HTTP/1.1\r\nHost: a\r\nhunter2\r\n\r\n"],
        &[b"hunter2 hunter2\r\n\r\n"],
        &[b"GET http://eve:hunter2@shop/ok HTTP/1.1\r\nHost: a\r\n\r\n"],
        &[
            b"POST /ok HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\n",
            b"GET hunter2 and so on, which is no line ",
        ],
        &[b"GET /ok HTTP/9.9 hunter2\r\n\r\n"],
        // A line that goes on with the one before, though that one may leave.
        &[b"GET /ok HTTP/1.1\r\nHost: a\r\n hunter2\r\n\r\n"],
    ];
    for source in [Source::Network, Source::Calls] {
        let talk = || {
            for (pieces, times) in pieces.iter().zip([REQUESTS / 10; 8]) {
                for _ in 0..times {
                    let mut client = Client::tcp(server.address);
                    for piece in *pieces {
                        client.stream.write_all(piece).unwrap();
                        // The next one in a segment of its own: the first must have been taken before.
                        std::thread::yield_now();
                    }
                    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
                    // Whatever it says to that.
                    let _ = client.stream.read_to_end(&mut Vec::new());
                }
            }
            let mut client = Client::tcp(cache.address);
            (0..REQUESTS).for_each(|_| {
                assert!(client.redis(&["AUTH", CANARY]).starts_with("-ERR"));
            });
        };
        let ours = |policy| builder(source, policy).port(server.port()).port(cache.port());
        let Some(met) = seen(ours(Policy::MaskedHeads), talk) else { return };
        assert!(!met.has_canary(), "{source:?}: {}", met.text());
        assert!(met.count > 1000 && met.text().contains("GET /ok HTTP/1.1"), "{} records", met.count);
        let Some(met) = seen(ours(Policy::Head(900)), talk) else { return };
        assert!(met.has_canary());
    }
}

#[test]
fn no_literal_of_mysql_leaves_and_every_query_is_a_span() {
    let Some(server) = database::mariadb() else { return };
    let Some(program) = database::required("mariadb", "mariadb-client") else { return };
    let script: String = (0..REQUESTS).map(|number| format!("SELECT {number} + '{CANARY}'; ")).collect();
    let client = || {
        let mut command = Command::new(&program);
        command.args(["--no-defaults", "-h", "127.0.0.1", "-u", "root", "--skip-ssl", "-P"]);
        command.arg(server.address.port().to_string()).args(["-e", &script]);
        command
    };
    gives_spans((server.address.port(), Reads::LengthFirst), client, &[CANARY.as_bytes()], |span| {
        assert_eq!(text(span, "db.system.name"), "mariadb");
        assert_eq!(text(span, "db.query.text"), "");
    });
}

/// How a server reads what it is asked.
#[derive(Clone, Copy, PartialEq)]
enum Reads {
    /// As it comes.
    Whole,
    /// First so many bytes as say how many follow: where system calls are looked at no message begins that is whole.
    LengthFirst,
}

/// The libraries that can load the programs.
const LOADERS: &[Loader] = &[
    Loader::Aya,
    #[cfg(feature = "libbpf")]
    Loader::Libbpf,
];

/// Of a protocol that is made of frames every request is a span, and nothing that was told with it leaves.
fn gives_spans(
    (port, reads): (u16, Reads),
    client: impl Fn() -> Command,
    secrets: &[&[u8]],
    check: impl Fn(&Span),
) {
    for (at, source) in [Source::Network, Source::Calls].into_iter().enumerate() {
        // Each hook by another one: what is called back frame by frame is found in its own way by each.
        let loader = LOADERS[at % LOADERS.len()];
        let ours = |policy| builder(source, policy).port(port).loader(loader);
        let talk = || drop(database::run(&mut client()));
        let Some(met) = seen(ours(Policy::MaskedHeads), talk) else { return };
        for secret in secrets {
            assert!(!met.has(secret), "{source:?}: {:?}", String::from_utf8_lossy(secret));
        }
        let stats = met.stats;
        if source == Source::Calls && reads == Reads::LengthFirst {
            assert!(stats.kernel.masked >= REQUESTS as u64, "{stats:?}");
        } else {
            assert!(met.spans.len() >= REQUESTS, "{source:?}: {} spans: {stats:?}", met.spans.len());
        }
        met.spans.iter().for_each(|span| check(&span.span));
        // The twin: what is not masked has them.
        let Some(met) = seen(ours(Policy::Head(900)), talk) else { return };
        assert!(secrets.iter().all(|secret| met.has(secret)), "{source:?}");
    }
}

#[test]
fn no_literal_of_postgresql_leaves_and_every_query_is_a_span() {
    let Some(server) = database::postgres() else { return };
    let Some(pgbench) = database::required("pgbench", "postgresql-contrib") else { return };
    let script = std::env::temp_dir().join(format!("otlp-ebpf-canary-{}.sql", std::process::id()));
    std::fs::write(&script, format!("SELECT '{CANARY}';\n")).unwrap();
    for mode in ["simple", "extended", "prepared"] {
        let client = || {
            let mut command = Command::new(&pgbench);
            command.args([
                "-h",
                "127.0.0.1",
                "-p",
                &server.address.port().to_string(),
                "-U",
                "postgres",
                "-n",
            ]);
            command.args(["-t", &REQUESTS.to_string(), "-M", mode, "-f"]).arg(&script).arg("postgres");
            command
        };
        gives_spans((server.address.port(), Reads::Whole), client, &[CANARY.as_bytes()], |span| {
            assert_eq!(text(span, "db.system.name"), "postgresql");
        });
    }
    std::fs::remove_file(&script).unwrap();
}

#[test]
fn no_record_of_kafka_leaves_and_every_request_is_a_span() {
    let Some((_broker, port, _)) = kafka() else { return };
    let python = std::env::var("OTLP_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    // Each record is acknowledged before the next: of several requests in one segment only the first would be told.
    let script = "import sys
from confluent_kafka import Producer
producer = Producer({'bootstrap.servers': '127.0.0.1:' + sys.argv[1], 'linger.ms': 0})
for number in range(int(sys.argv[2])):
    producer.produce('orders', key='hunter2', value='hunter2 %d' % number)
    assert producer.flush(20) == 0";
    let client = || {
        let mut command = Command::new(&python);
        command.args(["-c", script, &port.to_string(), &REQUESTS.to_string()]);
        command
    };
    gives_spans((port, Reads::LengthFirst), client, &[CANARY.as_bytes()], |span| {
        assert_eq!(text(span, "messaging.system"), "kafka");
    });
}

#[test]
fn no_value_of_redis_leaves_and_every_command_is_a_span() {
    let Some(server) = redis() else { return };
    for source in [Source::Network, Source::Calls] {
        let talk = || {
            let mut client = Client::tcp(server.address);
            (0..REQUESTS).for_each(|number| {
                let key = format!("{CANARY}-{number}");
                assert_eq!(client.redis(&["SET", &key, CANARY]), "+OK\r\n");
                assert!(client.redis(&["AUTH", CANARY]).starts_with("-ERR"));
                assert!(client.redis(&[CANARY, CANARY]).starts_with("-ERR"));
                assert_eq!(client.redis(&["STRLEN", &key]), ":7\r\n");
            });
        };
        let ours = |policy| builder(source, policy).port(server.port());
        let Some(met) = seen(ours(Policy::MaskedHeads), talk) else { return };
        assert!(!met.has_canary(), "{source:?}: {}", met.text());
        let named = |name: &str| {
            met.spans.iter().filter(|span| text(&span.span, "db.operation.name") == name).count()
        };
        assert_eq!(
            (named("SET"), named("AUTH"), named("STRLEN")),
            (REQUESTS, REQUESTS, REQUESTS),
            "{source:?}"
        );
        assert_eq!(met.spans.len(), 4 * REQUESTS, "{source:?}: {:?}", met.stats);
        let Some(met) = seen(ours(Policy::Head(900)), talk) else { return };
        assert!(met.has_canary());
    }
}

#[test]
fn no_header_of_http2_leaves_and_every_request_is_a_span() {
    let Some(h2load) = required("h2load", "nghttp2-client") else { return };
    let Some(nghttpd) = required("nghttpd", "nghttp2-server") else { return };
    let server = Server::start("nghttpd", |folder, port| {
        std::fs::write(folder.join("ok"), CANARY).unwrap();
        let mut command = Command::new(&nghttpd);
        command.args(["--no-tls", "-d"]).arg(folder).arg(port.to_string());
        command
    });
    // As HPACK codes it.
    let coded: &[u8] = &[0x9e, 0xda, 0x92, 0x5b, 0x05];
    let client = || {
        let mut command = Command::new(&h2load);
        command.args(["-n", &REQUESTS.to_string(), "-c", "2", "-m", "8"]);
        command.args([
            "-H",
            &format!("authorization: {CANARY}"),
            "-H",
            &format!("cookie: {CANARY}={CANARY}"),
        ]);
        command.arg(format!("http://127.0.0.1:{}/ok?{CANARY}", server.port()));
        command
    };
    gives_spans((server.port(), Reads::Whole), client, &[CANARY.as_bytes(), coded], |span| {
        assert_eq!((text(span, "url.path"), number(span, "http.response.status_code")), ("/ok", 200));
        assert_eq!(text(span, "http.request.method"), "GET");
    });
}

/// A server whose answers are in chunks, of which the last one comes with the others, by itself, or with the end of the one
/// before.
const CHUNKED: &str = "import socket, sys
listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))
head = b'HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\nContent-Type: text/plain\\r\\n\\r\\n'
ways = [[head + b'7\\r\\nhunter2\\r\\n0\\r\\n\\r\\n'], [head, b'7\\r\\nhunter2\\r\\n', b'0\\r\\n\\r\\n'],
    [head + b'7\\r\\nhunter2', b'\\r\\n0\\r\\n\\r\\n']]
while True:
    stream, _ = listener.accept()
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    number = 0
    while stream.recv(4096):
        for part in ways[number % 3]:
            stream.sendall(part)
        number += 1
";

#[test]
fn no_chunk_leaves_and_every_answer_in_chunks_is_a_span() {
    let Some(python) = required("python3", "python3") else { return };
    let server = Server::start("chunked", |_, port| {
        let mut command = Command::new(&python);
        command.args(["-c", CHUNKED, &port.to_string()]);
        command
    });
    for source in [Source::Network, Source::Calls] {
        let talk = || {
            let mut client = Client::tcp(server.address);
            for _ in 0..REQUESTS {
                client.stream.write_all(b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
                let mut answer = Vec::new();
                let mut part = [0; 1024];
                while !answer.ends_with(b"\r\n0\r\n\r\n") {
                    let more = client.stream.read(&mut part).unwrap();
                    answer.extend(&part[..more]);
                }
            }
        };
        let ours = |policy| builder(source, policy).port(server.port());
        let Some(met) = seen(ours(Policy::MaskedHeads), talk) else { return };
        assert!(!met.has_canary(), "{source:?}");
        assert_eq!(met.spans.len(), REQUESTS, "{source:?} {:?}", met.stats);
        let Some(met) = seen(ours(Policy::Head(900)), talk) else { return };
        assert!(met.has_canary());
    }
}
