//! The tap in front of real servers: spans agree with the servers' own counts.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "clippy.toml allows them in tests, but knows no helpers of tests"
)]
#![cfg(feature = "tap")]

mod loopback;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use loopback::{LONG, Tapped, config, connect, until};
use otlp_core::record::{AnyValue, KeyValue, Span};

/// Finds a program, or says how to get it; with `OTLP_REQUIRE=all` its absence is a failure.
fn required(program: &str, package: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let found = std::env::split_paths(&path)
        .chain(usual)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file());
    if found.is_none() {
        let missing = format!("{program} missing, install with apt-get install {package}");
        assert_ne!(std::env::var("OTLP_REQUIRE").as_deref(), Ok("all"), "{missing}");
        println!("skipped: {missing}");
    }
    found
}

/// A server that ends with the test, and its folder with it.
struct Server {
    child: Child,
    folder: PathBuf,
    address: SocketAddr,
}

impl Server {
    fn start(name: &str, command: impl Fn(&Path, u16) -> Command) -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        loop {
            let number = STARTED.fetch_add(1, Ordering::Relaxed);
            let folder =
                std::env::temp_dir().join(format!("otlp-ebpf-{name}-{}-{number}", std::process::id()));
            std::fs::create_dir_all(&folder).unwrap();
            // The port is free now; where somebody takes it before the server does, another one is tried.
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let mut command = command(&folder, address.port());
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut server = Self { child: command.spawn().unwrap(), folder, address };
            let mut ended = false;
            until(|| {
                ended = server.child.try_wait().unwrap().is_some();
                if ended { Ok(()) } else { TcpStream::connect(address).map(drop) }
            });
            if !ended {
                return server;
            }
            assert!(number < 20, "{name} does not start");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        self.child.wait().unwrap();
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

fn text<'a>(span: &'a Span, key: &str) -> &'a str {
    KeyValue::find(&span.attributes, key).and_then(AnyValue::as_str).unwrap_or_default()
}

fn redis() -> Option<Server> {
    let program = required("redis-server", "redis-server")?;
    Some(Server::start("redis", |folder, port| {
        let mut command = Command::new(&program);
        command.args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ]);
        command.arg("--dir").arg(folder);
        command
    }))
}

fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut text = format!("*{}\r\n", words.len()).into_bytes();
    words
        .iter()
        .for_each(|word| text.extend([format!("${}\r\n", word.len()).as_bytes(), word, b"\r\n"].concat()));
    text
}

/// Sends `PING` with a mark, and reads up to its answer.
fn read_to_mark(stream: &mut TcpStream, mark: &str) -> Vec<u8> {
    stream.write_all(&command(&[b"ECHO", mark.as_bytes()])).unwrap();
    let mut got = Vec::new();
    let mut buffer = vec![0; 65_536];
    while !got.ends_with(format!("{mark}\r\n").as_bytes()) {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "closed early");
        got.extend_from_slice(&buffer[..read]);
    }
    got
}

/// Commands that the server itself says it has processed, this question not counted.
fn processed(address: SocketAddr) -> u64 {
    let mut direct = connect(address);
    direct.write_all(b"INFO stats\r\n").unwrap();
    let lines = BufReader::new(direct).lines().map_while(Result::ok);
    let count =
        lines.into_iter().find_map(|line| line.strip_prefix("total_commands_processed:").map(str::to_owned));
    count.unwrap().trim().parse().unwrap()
}

#[test]
fn redis_and_the_tap_count_the_same_commands() {
    let Some(server) = redis() else { return };
    let before = processed(server.address);
    let tapped = Tapped::start(config(server.address));
    let mut client = tapped.connect();
    let big = vec![b'x'; 1 << 20];
    let mut said: Vec<Vec<u8>> = vec![
        command(&[b"HELLO", b"3"]),
        command(&[b"SET", b"big", &big]),
        command(&[b"GET", b"big"]),
        command(&[b"HSET", b"hash", b"a", b"1", b"b", b"2"]),
        command(&[b"HGETALL", b"hash"]),
        command(&[b"LPUSH", b"big", b"wrong"]),
        command(&[b"MULTI"]),
        command(&[b"INCR", b"n"]),
        command(&[b"INCR", b"n"]),
        command(&[b"EXEC"]),
        command(&[b"ZADD", b"z", b"1.5", b"m"]),
        command(&[b"ZRANGE", b"z", b"0", b"-1", b"WITHSCORES"]),
        b"ping\r\n".to_vec(),
        command(&[b"COMMAND", b"DOCS", b"get", b"set"]),
        command(&[b"EVAL", b"return {1, {2, 'x'}, false}", b"0"]),
        command(&[b"CLIENT", b"REPLY", b"SKIP"]),
        command(&[b"SET", b"quiet", b"1"]),
        command(&[b"GET", b"none"]),
    ];
    said.extend((0..200).map(|number| command(&[b"SET", format!("key{number}").as_bytes(), b"v"])));
    client.write_all(&said.concat()).unwrap();
    let answers = read_to_mark(&mut client, "all-answered");
    let sent = said.len() + 1;

    let stats = tapped.tap.stats();
    assert!(stats.is_balanced(), "{stats:?}");
    assert_eq!((stats.account.spans, stats.account.lost.total()), (sent as u64, 0), "{stats:?}");
    assert_eq!((stats.account.unparsed_to_server, stats.account.unparsed_to_client), (0, 0));
    let spans: Vec<_> = tapped.sink.take().into_iter().map(|tapped| tapped.span).collect();
    let failed: Vec<_> = spans
        .iter()
        .filter(|span| span.is_error())
        .map(|span| (span.name.as_str(), text(span, "error.type")))
        .collect();
    assert_eq!(failed, [("LPUSH", "WRONGTYPE")]);
    // The two questions of `processed` itself: the first is counted by the second.
    assert_eq!(processed(server.address) - before, sent as u64 + 1);

    // The same, without the tap, is answered with the same bytes (but for the connection's number).
    let mut direct = connect(server.address);
    direct.write_all(&command(&[b"FLUSHALL"])).unwrap();
    read_to_mark(&mut direct, "flushed");
    let mut direct = connect(server.address);
    direct.write_all(&said.concat()).unwrap();
    let expected = read_to_mark(&mut direct, "all-answered");
    let behind_hello = |bytes: &[u8]| {
        bytes.windows(9).position(|window| window == b"$1048576\r").map(|at| bytes[at..].to_vec())
    };
    assert!(behind_hello(&answers).is_some());
    assert!(behind_hello(&answers) == behind_hello(&expected), "the tap altered an answer");
}

#[test]
fn subscriptions_at_a_real_server_are_followed_in_both_protocols() {
    let Some(server) = redis() else { return };
    let tapped = Tapped::start(config(server.address));
    for (round, protocol) in [(0, "2"), (1, "3")] {
        let mut client = tapped.connect();
        client
            .write_all(
                &[command(&[b"HELLO", protocol.as_bytes()]), command(&[b"SUBSCRIBE", b"a", b"b"])].concat(),
            )
            .unwrap();
        tapped.until(|stats| stats.account.in_progress == 0 && stats.account.requests == 5 * round + 2);
        let mut publisher = connect(server.address);
        publisher.write_all(&command(&[b"PUBLISH", b"a", b"news"])).unwrap();
        let mut got = Vec::new();
        while !got.ends_with(b"news\r\n") {
            let mut buffer = [0; 1024];
            let read = client.read(&mut buffer).unwrap();
            got.extend_from_slice(&buffer[..read]);
        }
        client
            .write_all(
                &[
                    command(&[b"UNSUBSCRIBE"]),
                    command(&[b"SET", b"x", b"1"]),
                    command(&[b"LPUSH", b"x", b"1"]),
                ]
                .concat(),
            )
            .unwrap();
        tapped.until(|stats| stats.account.in_progress == 0 && stats.account.requests == 5 * round + 5);
        let spans: Vec<_> = tapped.sink.take().into_iter().map(|tapped| tapped.span).collect();
        let met: Vec<_> = spans.iter().map(|span| (span.name.as_str(), span.is_error())).collect();
        let right =
            [("HELLO", false), ("SUBSCRIBE", false), ("UNSUBSCRIBE", false), ("SET", false), ("LPUSH", true)];
        assert_eq!(met, right, "RESP{protocol}");
    }
    assert_eq!(tapped.tap.stats().account.unpaired.total(), 0);
}

const NGINX: &str = "daemon off; master_process off; pid nginx.pid; error_log stderr crit;
events { worker_connections 256; }
http {
    access_log off; keepalive_requests 100000;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    server {
        listen 127.0.0.1:PORT;
        root FOLDER;
        location /ok { return 200 'fine'; }
        location /gone { return 410 'gone'; }
        location /broken { return 503 'broken'; }
        location /status { stub_status; }
    }
}
";

fn nginx() -> Option<Server> {
    let program = required("nginx", "nginx")?;
    Some(Server::start("nginx", |folder, port| {
        let text = NGINX.replace("PORT", &port.to_string()).replace("FOLDER", &folder.display().to_string());
        std::fs::write(folder.join("nginx.conf"), text).unwrap();
        std::fs::write(folder.join("big.bin"), vec![b'x'; 3 << 20]).unwrap();
        let mut command = Command::new(&program);
        command.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf"));
        command
    }))
}

/// Requests that nginx says it has served, this question counted.
fn served(address: SocketAddr) -> u64 {
    let mut direct = connect(address);
    direct.write_all(b"GET /status HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    direct.read_to_string(&mut answer).unwrap();
    let counts = answer.lines().skip_while(|line| !line.starts_with("server accepts")).nth(1).unwrap();
    counts.split_whitespace().nth(2).unwrap().parse().unwrap()
}

#[test]
fn nginx_and_the_tap_count_the_same_requests() {
    let Some(server) = nginx() else { return };
    let before = served(server.address);
    let tapped = Tapped::start(config(server.address));
    let requests = [
        ("GET /ok HTTP/1.1\r\nHost: a\r\n\r\n", 200, 4),
        ("HEAD /big.bin HTTP/1.1\r\nHost: a\r\n\r\n", 200, 0),
        ("GET /big.bin HTTP/1.1\r\nHost: a\r\nRange: bytes=5-9\r\n\r\n", 206, 5),
        ("POST /ok HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 200, 4),
        ("POST /ok HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 200, 4),
        ("GET /gone HTTP/1.1\r\nHost: a\r\n\r\n", 410, 4),
        ("GET /broken HTTP/1.1\r\nHost: a\r\n\r\n", 503, 6),
        ("GET /big.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200, 3 << 20),
    ];
    let mut client = tapped.connect();
    let all: String = requests.iter().map(|(request, ..)| *request).collect();
    client.write_all(all.as_bytes()).unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert!(answer.len() > 3 << 20);

    let spans: Vec<_> = tapped.sink.take().into_iter().map(|tapped| tapped.span).collect();
    let number = |span: &Span, key: &str| KeyValue::find(&span.attributes, key).and_then(AnyValue::as_int);
    let met: Vec<_> = spans
        .iter()
        .map(|span| (number(span, "http.response.status_code"), number(span, "http.response.body.size")))
        .collect();
    let right: Vec<_> = requests.iter().map(|(_, status, size)| (Some(*status), Some(*size))).collect();
    assert_eq!(met, right);
    assert_eq!(spans.iter().filter(|span| span.is_error()).count(), 1);

    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = tapped.connect();
                for _ in 0..50 {
                    client.write_all(b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
                    assert_eq!(loopback::read_response(&mut client), "fine");
                }
            });
        }
    });
    let stats = tapped.tap.shutdown(LONG);
    assert!(stats.is_balanced(), "{stats:?}");
    assert_eq!(
        (stats.account.lost.total(), stats.account.unpaired.total(), stats.account.refused),
        (0, 0, 0)
    );
    // The second question is counted in its own answer.
    assert_eq!(served(server.address) - before, stats.account.spans + 1);
}

#[test]
fn wrk_and_curl_and_nginx_and_the_tap_count_the_same_requests() {
    let (Some(server), Some(wrk), Some(curl)) = (nginx(), required("wrk", "wrk"), required("curl", "curl"))
    else {
        return;
    };
    let before = served(server.address);
    let tapped = Tapped::start(config(server.address));
    let url = format!("http://{}", tapped.tap.local_addr());
    let said = said_by(Command::new(curl).args(["-sS", "--parallel", "--parallel-max", "4"]).args([
        &format!("{url}/ok?[1-40]"),
        &format!("{url}/gone?[1-5]"),
        "-d",
        "a=1",
    ]));
    assert_eq!((said.matches("fine").count(), said.matches("gone").count()), (40, 5));
    tapped.until(|stats| stats.account.in_progress == 0 && stats.account.spans == 45);
    let spans: Vec<_> = tapped.sink.take().into_iter().map(|tapped| tapped.span).collect();
    let posts = spans.iter().filter(|span| text(span, "http.request.method") == "POST").count();
    assert_eq!((posts, spans.iter().filter(|span| span.is_error()).count()), (45, 0));

    let said = said_by(Command::new(wrk).args(["-t1", "-c8", "-d1s"]).arg(format!("{url}/ok")));
    let told = said.lines().find_map(|line| line.split_once(" requests in")).unwrap().0.trim();
    let told: u64 = told.parse().unwrap();
    // wrk leaves when its second is over: one request of each connection may be under way then.
    tapped.until(|stats| stats.account.in_progress == 0);
    let stats = tapped.tap.shutdown(LONG);
    assert!(stats.is_balanced(), "{stats:?}");
    let account = stats.account;
    assert_eq!((account.unpaired.total(), account.refused), (0, 0), "{account:?}");
    assert_eq!(account.requests, account.spans + account.lost.total(), "{account:?}");
    assert!(told > 500 && (told..=told + 8).contains(&(account.spans - 45)), "{told} told, {account:?}");
    assert!(account.lost.total() <= 8, "{account:?}");
    // The second question is counted in its own answer.
    assert!(account.requests.abs_diff(served(server.address) - before - 1) <= 8, "{account:?}");
}

/// What a client prints; it must end well.
fn said_by(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn nginx_says_when_it_gets_a_bad_request_and_the_tap_counts_it() {
    let Some(server) = nginx() else { return };
    let tapped = Tapped::start(config(server.address));
    let mut client = tapped.connect();
    client
        .write_all(
            b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\nGET /ok HTTP/1.1\r\nHost : a\r\nContent-Length: x\r\n\r\n",
        )
        .unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("400 Bad Request"), "{answer}");
    let account = tapped.tap.stats().account;
    assert_eq!((account.spans, account.lost.malformed_request, account.unpaired.desync), (1, 1, 1));
}
