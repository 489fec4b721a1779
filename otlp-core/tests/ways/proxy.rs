//! Through a proxy, as right or as wrong as a test wants it.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use otlp_core::ErrorKind;
use otlp_core::protocol::Signal;
use otlp_core::transport::blocking::Client;
use otlp_core::transport::client::{ClientConfig, Protocol, Proxy};
use otlp_core::transport::receiver::{Receiver, ReceiverLimits, Server};
use otlp_core::transport::tls::{ClientTls, ServerTls};

use crate::certs::Authority;
use crate::peer::{PATIENCE, wait_until};
use crate::{Inbox, PROTOCOLS, Troubles, quick};

/// What the proxy does with a connection once it has read the request.
#[derive(Clone, Copy)]
enum Manner {
    /// Says this, and is a tunnel.
    Tunnel(&'static [u8]),
    /// The same, one byte at a time.
    Slowly(&'static [u8]),
    /// Says this, and ends the connection.
    Say(&'static [u8]),
    /// Says this over and over.
    Endless(&'static [u8]),
    /// Says nothing.
    Hang,
}

const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n";

/// A CONNECT proxy on loopback.
struct TestProxy {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Vec<String>>>>,
    ending: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl TestProxy {
    fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (requests, ending) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (seen, end) = (Arc::clone(&requests), Arc::clone(&ending));
        let run = move || {
            for stream in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                let (stream, seen) = (stream.expect("a connection"), Arc::clone(&seen));
                std::thread::spawn(move || serve(stream, manner, &seen));
            }
        };
        Self { address, requests, ending, thread: Some(std::thread::spawn(run)) }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn requests(&self) -> Vec<Vec<String>> {
        self.requests.lock().expect("not poisoned").clone()
    }
}

impl Drop for TestProxy {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::SeqCst);
        let _woken = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

fn serve(mut client: TcpStream, manner: Manner, seen: &Mutex<Vec<Vec<String>>>) {
    client.set_read_timeout(Some(PATIENCE)).expect("above zero");
    let mut reader = BufReader::new(client.try_clone().expect("a socket"));
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        match reader.read_line(&mut line) {
            Ok(1..) if line != "\r\n" => lines.push(line.trim_end().to_owned()),
            Ok(1..) => break,
            _ => return,
        }
    }
    // Nothing comes before the answer.
    assert!(reader.buffer().is_empty());
    let to = lines.first().and_then(|line| line.split(' ').nth(1)).expect("an address").to_owned();
    seen.lock().expect("not poisoned").push(lines);
    match manner {
        Manner::Tunnel(answer) => tunnel(client, &to, |client| drop(client.write_all(answer))),
        Manner::Slowly(answer) => tunnel(client, &to, |client| {
            for byte in answer {
                let _gone = client.write_all(&[*byte]);
                std::thread::yield_now();
            }
        }),
        Manner::Say(answer) => drop(client.write_all(answer)),
        Manner::Endless(answer) => while client.write_all(answer).is_ok() {},
        // Until the client goes.
        Manner::Hang => drop(reader.read_line(&mut String::new())),
    }
}

fn tunnel(mut client: TcpStream, to: &str, answer: impl FnOnce(&mut TcpStream)) {
    let Ok(mut server) = TcpStream::connect(to) else {
        let _gone = client.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n");
        return;
    };
    client.set_nodelay(true).expect("a socket");
    answer(&mut client);
    let (mut back_from, mut back_to) = (server.try_clone().expect("one"), client.try_clone().expect("one"));
    let back = std::thread::spawn(move || {
        let _ended = std::io::copy(&mut back_from, &mut back_to);
        let _closed = back_to.shutdown(Shutdown::Both);
    });
    let _ended = std::io::copy(&mut client, &mut server);
    let _closed = server.shutdown(Shutdown::Both);
    back.join().expect("it ends");
}

fn plain(inbox: Inbox) -> Receiver {
    Receiver::start("127.0.0.1:0", ReceiverLimits::default(), inbox).expect("a free port")
}

fn secure(authority: &Authority, inbox: Inbox) -> Receiver {
    let (certificate, key) = authority.issue().pems();
    let server = Server::bind("127.0.0.1:0", ReceiverLimits::default(), inbox).expect("a free port");
    server.tls(ServerTls::new(certificate, key)).expect("valid").start().expect("a thread")
}

fn config(endpoint: &str, protocol: Protocol, proxy: impl Into<String>) -> ClientConfig {
    let config = ClientConfig::new(endpoint).protocol(protocol).exporter(quick().max_in_flight(1));
    config.proxy(Proxy::new(proxy))
}

#[test]
fn every_kind_of_connection_goes_through_a_tunnel() {
    let authority = Authority::new("ca");
    for protocol in PROTOCOLS {
        for is_secure in [false, true] {
            for manner in [Manner::Tunnel(ESTABLISHED), Manner::Slowly(b"HTTP/1.0 200 \r\n\r\n")] {
                let proxy = TestProxy::start(manner);
                let inbox = Inbox::default();
                let receiver =
                    if is_secure { secure(&authority, inbox.clone()) } else { plain(inbox.clone()) };
                let config = config(receiver.endpoint(), protocol, proxy.url())
                    .header("x-token", "secret")
                    .tls(ClientTls::default().ca(authority.pem()));
                let client = Client::start(config).expect("valid");
                for body in [vec![1], vec![2; 100_000]] {
                    client.send(Signal::Logs, body.into(), 1).expect("room");
                }
                assert_eq!(client.shutdown(PATIENCE).stats.exported, 2);
                assert_eq!(inbox.bodies(), [vec![1], vec![2; 100_000]]);
                let to = receiver.local_addr();
                let expected = vec![format!("CONNECT {to} HTTP/1.1"), format!("Host: {to}")];
                assert_eq!(proxy.requests(), [expected], "one connection, and nothing of the token");
                assert_eq!(receiver.shutdown(PATIENCE).connections, 1);
            }
        }
    }
}

#[test]
fn what_the_receiver_says_right_behind_the_proxys_answer_is_not_lost() {
    // The answer, and in the same packet the first frame of HTTP/2: settings, of which there are none.
    let proxy = TestProxy::start(Manner::Tunnel(b"HTTP/1.1 200 OK\r\n\r\n\0\0\0\x04\0\0\0\0\0"));
    let inbox = Inbox::default();
    let receiver = plain(inbox.clone());
    let client = Client::start(config(receiver.endpoint(), Protocol::Grpc, proxy.url())).expect("valid");
    client.send(Signal::Logs, vec![1].into(), 1).expect("room");
    assert_eq!(client.shutdown(PATIENCE).stats.exported, 1);
    // The twin: what is said there counts. Nine other bytes are no frame.
    let proxy = TestProxy::start(Manner::Tunnel(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 "));
    let client = Client::start(config(receiver.endpoint(), Protocol::Grpc, proxy.url())).expect("valid");
    client.send(Signal::Logs, vec![1].into(), 1).expect("room");
    assert_eq!(client.shutdown(Duration::from_millis(100)).stats.exported, 0);
}

#[test]
fn user_and_password_are_shown_to_the_proxy_and_to_nobody_else() {
    let proxy = TestProxy::start(Manner::Tunnel(ESTABLISHED));
    let receiver = plain(Inbox::default());
    // RFC 7617 §2, and a password with characters that a URL cannot have.
    for (user, expected) in [
        ("Aladdin:open%20sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ("user:p%40ss%3A", "dXNlcjpwQHNzOg=="),
        ("user", "dXNlcjo="),
    ] {
        let config =
            config(receiver.endpoint(), Protocol::HttpProtobuf, format!("http://{user}@{}", proxy.address));
        let printed = format!("{config:?}");
        assert!(printed.contains("[redacted]@127.0.0.1") && !printed.contains(user), "{printed}");
        let client = Client::start(config).expect("valid");
        client.send(Signal::Logs, vec![1].into(), 1).expect("room");
        assert_eq!(client.shutdown(PATIENCE).stats.exported, 1);
        let requests = proxy.requests();
        let last = requests.last().expect("one");
        assert_eq!(last.get(2), Some(&format!("Proxy-Authorization: Basic {expected}")));
    }
}

#[test]
fn a_proxy_that_does_not_do_its_part_is_told_and_nothing_is_lost_or_sent() {
    let inbox = Inbox::default();
    let receiver = plain(inbox.clone());
    let asks = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n";
    for (manner, words) in [
        (Manner::Say(asks), "proxy: expected status 200, met 407"),
        (Manner::Say(b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\n\r\n"), "met 503"),
        (Manner::Say(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), "proxy: answer is no http/1.1"),
        (Manner::Say(b"HTTP/1.1 2000 \r\n\r\n"), "proxy: answer is no http/1.1"),
        (Manner::Say(b"HTTP/1.1 200 OK\r\nVia: "), "proxy: ended the connection instead of an answer"),
        (Manner::Say(b""), "proxy: ended the connection instead of an answer"),
        (Manner::Endless(b"HTTP/1.1 200 OK\r\nVia: x\r\n"), "proxy: answer exceeds limit 16384"),
        (Manner::Endless(b"x"), "proxy: answer exceeds limit 16384"),
    ] {
        let proxy = TestProxy::start(manner);
        let troubles = Troubles::default();
        let config = config(receiver.endpoint(), Protocol::HttpProtobuf, proxy.url());
        let client = Client::start(config.observer(Arc::new(troubles.clone()))).expect("valid");
        client.send(Signal::Logs, vec![1].into(), 3).expect("room");
        wait_until(&format!("{words:?} is told"), || troubles.have(words) || troubles.have("no answer"));
        wait_until("it is tried again", || client.counters().retries > 0);
        assert_eq!(client.stats().queued, 3);
        let stats = client.shutdown(Duration::ZERO).stats;
        assert_eq!((stats.exported, stats.rejected, stats.dropped), (0, 0, 3));
    }
    assert_eq!((inbox.bodies().len(), receiver.shutdown(PATIENCE).connections), (0, 0));
}

#[test]
fn an_attempt_ends_by_its_deadline_while_the_proxy_says_nothing() {
    let receiver = plain(Inbox::default());
    for protocol in PROTOCOLS {
        let proxy = TestProxy::start(Manner::Hang);
        let exporter = quick().timeout(Duration::from_millis(30));
        let config = config(receiver.endpoint(), protocol, proxy.url()).exporter(exporter);
        let client = Client::start(config).expect("valid");
        client.send(Signal::Logs, vec![1].into(), 3).expect("room");
        wait_until("it is tried again", || client.counters().retries > 0);
        assert_eq!(client.shutdown(Duration::ZERO).stats.dropped, 3);
    }
}

#[test]
fn a_proxy_that_is_not_there_is_waited_for_and_an_excepted_receiver_is_reached_without_it() {
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound");
    let inbox = Inbox::default();
    let receiver = plain(inbox.clone());
    let send = |proxy: Proxy| {
        let troubles = Troubles::default();
        let config = ClientConfig::new(receiver.endpoint()).exporter(quick()).proxy(proxy);
        let client = Client::start(config.observer(Arc::new(troubles.clone()))).expect("valid");
        client.send(Signal::Logs, vec![1].into(), 1).expect("room");
        wait_until("it is told or done", || {
            troubles.have("proxy: not reached") || client.stats().queued == 0
        });
        client.shutdown(Duration::ZERO).stats.exported
    };
    let proxy = || Proxy::new(format!("http://{nobody}"));
    assert_eq!(send(proxy()), 0);
    assert_eq!(send(proxy().except("10.0.0.0/8, localhost")), 0);
    for except in ["*", "127.0.0.1", "x, 127.0.0.0/8", &receiver.local_addr().to_string()] {
        assert_eq!(send(proxy().except(except)), 1, "{except}");
    }
    assert_eq!(inbox.bodies().len(), 4);
}

#[test]
fn what_is_no_proxy_is_refused_before_anything_is_sent() {
    for url in ["", "http://", "socks5://secret@proxy", "https://secret@proxy", "http://a b"] {
        let config = ClientConfig::new("http://collector").proxy(Proxy::new(url));
        let error = config.build().map(drop).expect_err(url);
        assert_eq!(error.kind(), ErrorKind::Config, "{url:?}");
        let printed = format!("{error} {error:?}");
        assert!(printed.contains("proxy: ") && !printed.contains("secret"), "{printed}");
    }
    for url in ["proxy", "proxy:3128", "http://proxy/", "http://[::1]:3128"] {
        ClientConfig::new("http://collector").proxy(Proxy::new(url)).build().map(drop).expect(url);
    }
}
