//! The client against a server made by hand that misbehaves: every record ends up where it belongs.
#![cfg(feature = "http")]

mod peer;

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use otlp_core::UnixNanos;
use otlp_core::encode::Encode;
use otlp_core::protocol::Signal;
use otlp_core::protocol::export::{DropReason, ExporterConfig, RequestId, Verdict};
use otlp_core::protocol::retry::Backoff;
use otlp_core::protocol::status::Code;
use otlp_core::record::{ExportResponse, RpcStatus};
use otlp_core::stats::Stats;
use otlp_core::transport::blocking::Client;
use otlp_core::transport::client::ClientConfig;

use peer::{OK, PATIENCE, Server, Wire};

const RECORDS: u32 = 5;

fn quick() -> ExporterConfig {
    let wait = Duration::from_millis(1);
    ExporterConfig::default().max_in_flight(1).max_attempts(3).backoff(Backoff { initial: wait, max: wait })
}

/// A client whose verdicts can be waited for.
struct Watched {
    client: Client,
    verdicts: Receiver<Verdict>,
}

impl Watched {
    fn start(endpoint: String, exporter: ExporterConfig) -> Self {
        let (sender, verdicts) = channel();
        let sender = Mutex::new(sender);
        let observer = move |_: RequestId, verdict: &Verdict| {
            let _nobody_waits = sender.lock().expect("not poisoned").send(verdict.clone());
        };
        let config = ClientConfig::new(endpoint)
            .exporter(exporter)
            .max_response_bytes(64 << 10)
            .observer(Arc::new(observer));
        Self { client: Client::start(config).expect("a valid config"), verdicts }
    }

    fn send(&self) {
        self.client.send(Signal::Traces, vec![9; 1000].into(), RECORDS).expect("room");
    }

    fn verdict(&self) -> Verdict {
        self.verdicts.recv_timeout(PATIENCE).expect("a verdict")
    }

    fn last_verdict(&self) -> Verdict {
        loop {
            let verdict = self.verdict();
            if !matches!(verdict, Verdict::Retry { .. }) {
                return verdict;
            }
        }
    }
}

/// Sends one request to `serve` and returns how it ended and the account.
fn once(serve: impl FnMut(usize, &mut Wire) + Send + 'static) -> (Verdict, Stats, Server) {
    let server = Server::start(serve);
    let watched = Watched::start(server.endpoint(), quick());
    watched.send();
    let verdict = watched.last_verdict();
    let report = watched.client.shutdown(PATIENCE);
    assert!(report.stats.is_balanced() && report.stats.queued == 0, "{report:?}");
    (verdict, report.stats, server)
}

fn exported(verdict: &Verdict) -> bool {
    *verdict == Verdict::Exported { records: RECORDS }
}

fn bad_answer(verdict: &Verdict) -> bool {
    *verdict == Verdict::Dropped { records: RECORDS, reason: DropReason::BadAnswer }
}

#[test]
fn a_busy_server_gets_the_same_request_again_on_the_same_connection() {
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&bodies);
    let (verdict, stats, server) = once(move |_, wire| {
        for answer in [&b"HTTP/1.1 503 x\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"[..], OK] {
            let request = wire.read().expect("a request");
            seen.lock().expect("not poisoned").push(request);
            wire.write(answer);
        }
    });
    let bodies = bodies.lock().expect("not poisoned");
    assert!(exported(&verdict), "{verdict:?}");
    assert_eq!((bodies.len(), server.connections()), (2, 1));
    assert_eq!((&bodies[0], bodies[0].body.as_slice()), (&bodies[1], &[9; 1000][..]));
    assert_eq!(bodies[0].lines[0], "POST /v1/traces HTTP/1.1");
    assert_eq!(bodies[0].header("content-type"), Some("application/x-protobuf"));
    assert_eq!(stats.exported, RECORDS.into());
}

#[test]
fn retry_after_in_seconds_is_waited_for() {
    let times = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&times);
    let (verdict, ..) = once(move |_, wire| {
        for answer in [&b"HTTP/1.1 429 x\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"[..], OK] {
            wire.read().expect("a request");
            wire.write(answer);
            seen.lock().expect("not poisoned").push(Instant::now());
        }
    });
    assert!(exported(&verdict), "{verdict:?}");
    // The first is noted after its answer was written, so the true wait is a little longer than this.
    let times = times.lock().expect("not poisoned");
    assert!(times[1] - times[0] > Duration::from_millis(990), "{:?}", times[1] - times[0]);
}

#[test]
fn retry_after_as_a_date_is_waited_for() {
    let date = SystemTime::now() + Duration::from_secs(40);
    let text = httpdate::fmt_http_date(date);
    let server = Server::start(move |_, wire| {
        wire.read().expect("a request");
        wire.write(format!("HTTP/1.1 503 x\r\nRetry-After: {text}\r\nContent-Length: 0\r\n\r\n").as_bytes());
    });
    let watched = Watched::start(server.endpoint(), quick());
    watched.send();
    let Verdict::Retry { not_before } = watched.verdict() else { panic!("not to be sent again") };
    let ahead = not_before.duration_since(UnixNanos::from(date));
    let short = UnixNanos::from(date).duration_since(not_before);
    // A date has whole seconds.
    assert!(short < Duration::from_secs(1) && ahead < Duration::from_secs(1), "{short:?} {ahead:?}");
    let report = watched.client.shutdown(Duration::ZERO);
    assert_eq!((report.dropped, report.stats.queued), (RECORDS.into(), 0));
}

#[test]
fn a_reset_in_the_middle_of_the_request_is_tried_again() {
    let (verdict, _, server) = once(|number, wire| {
        if number == 0 {
            // Closed with bytes unread: the kernel sends a reset.
            wire.read_head();
            return;
        }
        wire.read().expect("a request");
        wire.write(OK);
    });
    assert!(exported(&verdict), "{verdict:?}");
    assert_eq!(server.connections(), 2);
}

#[test]
fn a_connection_closed_in_the_middle_of_the_answer_is_tried_again() {
    for cut in [&b"HTTP/1.1 2"[..], b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes!", b""] {
        let (verdict, _, server) = once(move |number, wire| {
            wire.read().expect("a request");
            wire.write(if number == 0 { cut } else { OK });
        });
        assert!(exported(&verdict), "{verdict:?}");
        assert_eq!(server.connections(), 2);
    }
}

#[test]
fn an_answer_without_end_is_cut_at_the_cap_and_not_tried_again() {
    let (verdict, stats, server) = once(|_, wire| {
        wire.read().expect("a request");
        wire.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let chunk = [b"1000\r\n".as_slice(), &[b'x'; 4096], b"\r\n"].concat();
        while wire.write(&chunk) {}
    });
    assert!(bad_answer(&verdict), "{verdict:?}");
    assert_eq!((stats.dropped, server.connections()), (RECORDS.into(), 1));
}

#[test]
fn an_answer_that_claims_to_be_too_large_is_not_read() {
    let (verdict, ..) = once(|_, wire| {
        wire.read().expect("a request");
        wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000000000\r\n\r\n");
        assert!(wire.is_closed_without_a_word());
    });
    assert!(bad_answer(&verdict), "{verdict:?}");
}

#[test]
fn the_cap_itself_is_allowed() {
    let message = "x".repeat((64 << 10) - 16);
    let body = ExportResponse::partial(0, message).encode_to_bytes();
    assert!(body.len() <= 64 << 10);
    let (verdict, ..) = once(move |_, wire| {
        wire.read().expect("a request");
        wire.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes());
        wire.write(&body);
    });
    assert!(matches!(verdict, Verdict::Partial { exported: RECORDS, .. }), "{verdict:?}");
}

#[test]
fn an_answer_of_one_byte_at_a_time_is_read() {
    let body = ExportResponse::partial(2, "too old").encode_to_bytes();
    let (verdict, stats, _) = once(move |_, wire| {
        wire.read().expect("a request");
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        head.bytes().chain(body.iter().copied()).all(|byte| wire.write(&[byte]));
    });
    let response = ExportResponse::partial(2, "too old");
    assert_eq!(verdict, Verdict::Partial { exported: 3, response });
    assert_eq!((stats.exported, stats.rejected), (3, 2));
}

#[test]
fn what_follows_a_whole_answer_spoils_the_connection_but_no_request() {
    let server = Server::start(|_, wire| {
        while wire.read().is_some() {
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}\nand more than was said");
        }
    });
    let watched = Watched::start(server.endpoint(), quick());
    for _ in 0..3 {
        watched.send();
        assert!(exported(&watched.last_verdict()));
    }
    assert_eq!(watched.client.counters().unread, 3, "the bodies are no export responses");
}

#[test]
fn what_is_not_http_is_not_tried_again() {
    for garbage in
        [&b"SSH-2.0-OpenSSH_9.2\r\n"[..], b"\0\x01\x02\x03\r\n\r\n", b"HTTP/1.1 two hundred\r\n\r\n"]
    {
        let (verdict, ..) = once(move |_, wire| {
            wire.read().expect("a request");
            wire.write(garbage);
        });
        assert!(bad_answer(&verdict), "{garbage:?}: {verdict:?}");
    }
}

#[test]
fn a_head_without_end_is_cut() {
    let (verdict, ..) = once(|_, wire| {
        wire.read().expect("a request");
        wire.write(b"HTTP/1.1 200 OK\r\n");
        while wire.write(b"X-More: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n") {}
    });
    assert!(bad_answer(&verdict), "{verdict:?}");
}

#[test]
fn a_server_that_never_answers_costs_the_timeout_and_no_more() {
    for keep_talking in [false, true] {
        let server = Server::start(move |_, wire| {
            wire.read().expect("a request");
            let interim = format!("HTTP/1.1 100 Continue\r\nX-More: {}\r\n\r\n", "a".repeat(4000));
            while keep_talking && wire.write(interim.as_bytes()) {}
            assert!(wire.is_closed_without_a_word() || keep_talking);
        });
        let exporter = quick().max_attempts(2).timeout(Duration::from_millis(40));
        let watched = Watched::start(server.endpoint(), exporter);
        watched.send();
        let reason = DropReason::Attempts;
        assert_eq!(watched.last_verdict(), Verdict::Dropped { records: RECORDS, reason });
        assert_eq!(watched.client.counters().attempts, 2);
    }
}

#[test]
fn a_port_where_nobody_listens_is_tried_as_often_as_allowed() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
    drop(listener);
    let watched = Watched::start(endpoint, quick());
    watched.send();
    let reason = DropReason::Attempts;
    assert_eq!(watched.last_verdict(), Verdict::Dropped { records: RECORDS, reason });
    assert_eq!(watched.client.counters().attempts, 3);
}

#[test]
fn a_refusal_is_final_and_carries_the_servers_words() {
    for code in [307, 400, 401, 404, 413, 500, 501] {
        let (verdict, stats, server) = once(move |_, wire| {
            wire.read().expect("a request");
            let body = RpcStatus { code: 3, message: "no such tenant".into() }.encode_to_bytes();
            let head = format!(
                "HTTP/1.1 {code} x\r\nLocation: http://elsewhere/\r\nRetry-After: 0\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            wire.write(&[head.as_bytes(), &body].concat());
        });
        let message = "no such tenant".to_owned();
        assert_eq!(verdict, Verdict::Rejected { records: RECORDS, code: Code::Http(code), message });
        assert_eq!((stats.rejected, server.connections()), (RECORDS.into(), 1));
    }
}

#[test]
fn a_connection_closed_while_idle_costs_no_attempt() {
    let (closed, told) = channel();
    let server = Server::start(move |_, wire| {
        wire.read().expect("a request");
        wire.write(OK);
        *wire = Wire::connect(peer_of_nobody());
        let _test_ended = closed.send(());
    });
    let watched = Watched::start(server.endpoint(), quick());
    for _ in 0..3 {
        watched.send();
        assert!(exported(&watched.last_verdict()));
        told.recv_timeout(PATIENCE).expect("the server closes");
    }
    assert_eq!((watched.client.counters().retries, server.connections()), (0, 3));
}

/// Somewhere to connect to, so that a wire can be replaced and the old one closed.
fn peer_of_nobody() -> std::net::SocketAddr {
    static LISTENER: std::sync::OnceLock<std::net::TcpListener> = std::sync::OnceLock::new();
    let listen = || std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    LISTENER.get_or_init(listen).local_addr().expect("bound")
}

#[test]
fn an_answer_that_ends_with_the_connection_is_read() {
    let (verdict, stats, _) = once(|_, wire| {
        wire.read().expect("a request");
        wire.write(b"HTTP/1.0 200 OK\r\n\r\n");
    });
    assert!(exported(&verdict), "{verdict:?}");
    assert_eq!(stats.exported, RECORDS.into());
}

#[test]
fn shutdown_ends_in_time_although_the_server_hangs() {
    let (arrived, told) = channel();
    let server = Server::start(move |_, wire| {
        wire.read().expect("a request");
        let _test_ended = arrived.send(());
        wire.is_closed_without_a_word();
    });
    let watched = Watched::start(server.endpoint(), quick());
    watched.send();
    watched.send();
    told.recv_timeout(PATIENCE).expect("the request arrives");
    let report = watched.client.shutdown(Duration::from_millis(30));
    assert_eq!((report.flushed, report.dropped), (0, u64::from(2 * RECORDS)));
    assert_eq!(watched.client.counters().dropped(DropReason::Shutdown), u64::from(2 * RECORDS));
    assert!(watched.client.send(Signal::Logs, vec![].into(), 1).is_err());
    assert_eq!(watched.client.stats().accepted, u64::from(2 * RECORDS + 1));
}
