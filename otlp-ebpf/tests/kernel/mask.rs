//! What leaves the kernel where only masked heads may.

use std::io::{Read, Write};
use std::process::Command;

use otlp_ebpf::capture::{Capture, CaptureBuilder, CapturedSpan, Policy, Source};
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
}

impl Seen {
    fn has_canary(&self) -> bool {
        self.records.windows(CANARY.len()).any(|window| window == CANARY.as_bytes())
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
    let mut seen = Seen { spans: Vec::new(), records: Vec::new(), count: 0 };
    until(|| {
        let Seen { spans, records, count } = &mut seen;
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
fn no_literal_of_sql_leaves() {
    let Some(server) = database::mariadb() else { return };
    let Some(program) = database::required("mariadb", "mariadb-client") else { return };
    let script: String = (0..REQUESTS).map(|number| format!("SELECT {number} + '{CANARY}'; ")).collect();
    let talk = || {
        let mut command = Command::new(&program);
        command.args(["--no-defaults", "-h", "127.0.0.1", "-u", "root", "--skip-ssl", "-P"]);
        database::run(command.arg(server.address.port().to_string()).args(["-e", &script]));
    };
    for source in [Source::Network, Source::Calls] {
        let ours = |policy| builder(source, policy).port(server.address.port());
        let Some(met) = seen(ours(Policy::MaskedHeads), talk) else { return };
        assert!(!met.has_canary() && met.count >= 2 * REQUESTS as u64, "{source:?}: {} records", met.count);
        let Some(met) = seen(ours(Policy::Head(900)), talk) else { return };
        assert!(met.has_canary());
    }
}

/// Of a protocol that is not HTTP/1 nothing leaves but lengths: no byte at all, whatever codes hide what it says.
fn leaves_lengths_alone(port: u16, client: impl Fn() -> Command) {
    for source in [Source::Network, Source::Calls] {
        let ours = |policy| builder(source, policy).port(port);
        let Some(met) = seen(ours(Policy::MaskedHeads), || drop(database::run(&mut client()))) else {
            return;
        };
        assert_eq!((met.text().as_str(), met.spans.len()), ("", 0), "{source:?}");
        assert!(met.count >= REQUESTS as u64 / 10, "{source:?}: {} records", met.count);
        let Some(met) = seen(ours(Policy::Head(900)), || drop(database::run(&mut client()))) else { return };
        assert!(met.spans.len() >= REQUESTS / 20, "{source:?}: {} spans", met.spans.len());
    }
}

#[test]
fn of_postgresql_lengths_leave_alone() {
    let Some(server) = database::postgres() else { return };
    let Some(pgbench) = database::required("pgbench", "postgresql-contrib") else { return };
    let script = std::env::temp_dir().join(format!("otlp-ebpf-canary-{}.sql", std::process::id()));
    std::fs::write(&script, format!("SELECT '{CANARY}';\n")).unwrap();
    leaves_lengths_alone(server.address.port(), || {
        let mut command = Command::new(&pgbench);
        command.args(["-h", "127.0.0.1", "-p", &server.address.port().to_string(), "-U", "postgres", "-n"]);
        command.args(["-t", &REQUESTS.to_string(), "-f"]).arg(&script).arg("postgres");
        command
    });
    std::fs::remove_file(&script).unwrap();
}

#[test]
fn of_kafka_lengths_leave_alone() {
    let Some((_broker, port, client)) = kafka() else { return };
    leaves_lengths_alone(port, client);
}

#[test]
fn of_http2_lengths_leave_alone() {
    let Some(h2load) = required("h2load", "nghttp2-client") else { return };
    let Some(nghttpd) = required("nghttpd", "nghttp2-server") else { return };
    let server = Server::start("nghttpd", |folder, port| {
        std::fs::write(folder.join("ok"), "fine").unwrap();
        let mut command = Command::new(&nghttpd);
        command.args(["--no-tls", "-d"]).arg(folder).arg(port.to_string());
        command
    });
    leaves_lengths_alone(server.port(), || {
        let mut command = Command::new(&h2load);
        command.args([
            "-n",
            &REQUESTS.to_string(),
            "-c",
            "2",
            "-m",
            "8",
            "-H",
            "authorization: Bearer hunter2",
        ]);
        command.arg(format!("http://127.0.0.1:{}/ok", server.port()));
        command
    });
}
