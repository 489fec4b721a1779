//! Certificates and tokens that change while both ends run.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use otlp_core::protocol::Signal;
use otlp_core::transport::blocking::Client;
use otlp_core::transport::client::ClientConfig;
use otlp_core::transport::receiver::{Answer, Receiver, ReceiverLimits, Server};
use otlp_core::transport::tls::{ClientTls, Pem, ServerTls};

use crate::certs::{Authority, Directory};
use crate::peer::{self, PATIENCE, wait_until};
use crate::{Inbox, PROTOCOLS, Troubles, client_tls, config, quick, receiver};

/// Hands the bytes of each connection on, and cuts it after `budget` bytes of the client's.
struct Cutter {
    address: SocketAddr,
    ending: Arc<AtomicBool>,
    cuts: Arc<AtomicUsize>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Cutter {
    fn start(to: SocketAddr, budget: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (ending, cuts) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (end, count) = (Arc::clone(&ending), Arc::clone(&cuts));
        let run = move || {
            for stream in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                let client = stream.expect("a connection");
                let Ok(server) = TcpStream::connect(to) else { continue };
                let count = Arc::clone(&count);
                std::thread::spawn(move || cut_after(client, server, budget, &count));
            }
        };
        Self { address, ending, cuts, thread: Some(std::thread::spawn(run)) }
    }

    fn endpoint(&self) -> String {
        format!("https://{}", self.address)
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::SeqCst);
        let _woken = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

fn cut_after(client: TcpStream, server: TcpStream, budget: usize, cuts: &AtomicUsize) {
    // Else each small record waits for the acknowledgement of the one before.
    let _at_once = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut from, mut to) = (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
    let (mut back_from, mut back_to) = (server, client);
    let back = std::thread::spawn(move || {
        let _ended = std::io::copy(&mut back_from, &mut back_to);
        let _closed = back_to.shutdown(Shutdown::Both);
    });
    let (mut left, mut buffer) = (budget, [0; 512]);
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        if left < len {
            cuts.fetch_add(1, Ordering::SeqCst);
            break;
        }
        left -= len;
        if to.write_all(buffer.get(..len).unwrap_or_default()).is_err() {
            break;
        }
    }
    let _closed = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    back.join().expect("it ends");
}

fn numbers(inbox: &Inbox) -> BTreeSet<u32> {
    let number = |body: &Vec<u8>| u32::from_be_bytes(*body.first_chunk().expect("four bytes"));
    inbox.bodies(Signal::Logs).iter().map(number).collect()
}

#[test]
fn certificates_of_both_ends_change_under_load_and_nothing_is_lost() {
    let (servers, clients, directory) =
        (Authority::new("servers"), Authority::new("clients"), Directory::new());
    for protocol in PROTOCOLS {
        let (certificate, key) = directory.write_pair("server", &servers.issue());
        let (client_certificate, client_key) = directory.write_pair("client", &clients.issue());
        let inbox = Inbox::default();
        let tls = ServerTls::new(Pem::file(certificate), Pem::file(key))
            .client_ca(clients.pem())
            .refresh_after(Duration::ZERO);
        let receiver = receiver(tls, inbox.clone());
        // Enough for some handshakes and requests, so that each connection ends in the middle of something.
        let cutter = Cutter::start(receiver.local_addr(), 6_000);
        let tls = client_tls(&servers)
            .identity(Pem::file(client_certificate), Pem::file(client_key))
            .refresh_after(Duration::ZERO);
        // With more at once, a connection could be cut before any of them is answered, for ever.
        let config = config(&cutter.endpoint(), protocol, tls).exporter(quick().max_in_flight(2));
        let client = Client::start(config).expect("valid");
        for round in 0..6_u32 {
            // Certificate first, key after: what is met between the two does not belong together.
            directory.write_pair("server", &servers.issue());
            directory.write_pair("client", &clients.issue());
            for number in 0..10_u32 {
                let mut body = (round * 10 + number).to_be_bytes().to_vec();
                body.resize(700, 0);
                client.send(Signal::Logs, body.into(), 1).expect("room");
            }
            wait_until("some more connections are cut", || {
                cutter.cuts.load(Ordering::SeqCst) > round as usize || client.stats().queued == 0
            });
        }
        client.flush(PATIENCE).expect("all are sent");
        let (connections, theirs) = (client.connection_stats(), receiver.stats());
        let stats = client.shutdown(PATIENCE).stats;
        assert_eq!((stats.exported, stats.rejected, stats.dropped), (60, 0, 0), "{protocol:?} {stats:?}");
        assert!(numbers(&inbox).into_iter().eq(0..60), "{protocol:?}");
        assert!(cutter.cuts.load(Ordering::SeqCst) >= 5, "{protocol:?}");
        assert!(connections.certificates_renewed > 0, "{connections:?}");
        assert!(theirs.certificates_renewed > 0, "{theirs:?}");
    }
}

#[test]
fn a_client_follows_to_another_authority_without_a_restart() {
    let (first, second, directory) = (Authority::new("first"), Authority::new("second"), Directory::new());
    for protocol in PROTOCOLS {
        let ca = directory.write("ca.pem", &first.text());
        let inbox = Inbox::default();
        let old = receiver(crate::server_tls(&first.issue()), inbox.clone());
        let address = old.local_addr();
        let tls = ClientTls::default().ca(Pem::file(ca)).refresh_after(Duration::ZERO);
        let troubles = Troubles::default();
        let config = config(old.endpoint(), protocol, tls).observer(Arc::new(troubles.clone()));
        let client = Client::start(config).expect("valid");
        client.send(Signal::Logs, vec![1].into(), 1).expect("room");
        client.flush(PATIENCE).expect("sent");
        old.shutdown(PATIENCE);
        let server = Server::bind(address, ReceiverLimits::default(), inbox.clone()).expect("free again");
        let new = server.tls(crate::server_tls(&second.issue())).expect("valid").start().expect("a thread");
        client.send(Signal::Logs, vec![2].into(), 1).expect("room");
        // The planted fault: as long as the file is the old one, the new receiver is nobody to be trusted.
        wait_until("it is not trusted", || troubles.have("UnknownIssuer"));
        assert_eq!(client.stats().exported, 1);
        directory.write("ca.pem", &second.text());
        client.flush(PATIENCE).expect("sent in the end");
        assert_eq!(inbox.bodies(Signal::Logs), [vec![1], vec![2]]);
        assert_eq!(client.connection_stats().certificates_renewed, 1);
        drop(new);
    }
}

#[test]
fn a_new_file_that_cannot_be_used_changes_nothing_and_is_counted() {
    let (authority, directory) = (Authority::new("ca"), Directory::new());
    let (certificate, key) = directory.write_pair("server", &authority.issue());
    let tls = ServerTls::new(Pem::file(certificate), Pem::file(key)).refresh_after(Duration::ZERO);
    let receiver = receiver(tls, Inbox::default());
    let ca = directory.write("ca.pem", &authority.text());
    let tls = || ClientTls::default().ca(Pem::file(ca.clone())).refresh_after(Duration::ZERO);
    let troubles = Troubles::default();
    let start = || {
        let config = config(receiver.endpoint(), PROTOCOLS[0], tls()).observer(Arc::new(troubles.clone()));
        Client::start(config).expect("valid")
    };
    let send = |client: &Client| {
        client.send(Signal::Logs, vec![1].into(), 1).expect("room");
        client.flush(PATIENCE).expect("sent");
    };
    let client = start();
    directory.write("server.pem", "-----BEGIN CERTIFICATE-----\n");
    directory.write("ca.pem", "secret");
    send(&client);
    let (ours, theirs) = (client.connection_stats(), receiver.stats());
    assert_eq!((ours.certificates_refused, ours.certificates_renewed, ours.failed), (1, 0, 0), "{ours:?}");
    assert_eq!((theirs.certificates_refused, theirs.certificates_renewed), (1, 0), "{theirs:?}");
    assert!(troubles.have("ca.pem\": has no certificate"), "{:?}", troubles.all());
    client.shutdown(PATIENCE);
    std::fs::remove_file(directory.path("server.pem")).expect("there");
    directory.write("ca.pem", &authority.text());
    let client = start();
    send(&client);
    assert_eq!(receiver.stats().certificates_refused, 2);
    client.shutdown(PATIENCE);
    // The twin: what can be used is used.
    directory.write_pair("server", &authority.issue());
    let client = start();
    send(&client);
    let theirs = receiver.stats();
    assert_eq!((theirs.certificates_refused, theirs.certificates_renewed), (2, 1), "{theirs:?}");
    client.shutdown(PATIENCE);
}

#[test]
fn files_are_left_alone_for_as_long_as_was_said() {
    let (authority, other, directory) = (Authority::new("ca"), Authority::new("other"), Directory::new());
    let (certificate, key) = directory.write_pair("server", &authority.issue());
    let tls =
        ServerTls::new(Pem::file(certificate), Pem::file(key)).refresh_after(Duration::from_secs(3_600));
    let receiver = receiver(tls, Inbox::default());
    directory.write_pair("server", &other.issue());
    let client =
        Client::start(config(receiver.endpoint(), PROTOCOLS[0], client_tls(&authority))).expect("valid");
    client.send(Signal::Logs, vec![1].into(), 1).expect("room");
    assert_eq!(client.shutdown(PATIENCE).stats.exported, 1);
    assert_eq!((receiver.stats().certificates_renewed, receiver.stats().certificates_refused), (0, 0));
}

#[test]
fn a_token_changes_between_attempts_of_one_connection() {
    for protocol in PROTOCOLS {
        let inbox = Inbox::default();
        let receiver = Receiver::start("127.0.0.1:0", ReceiverLimits::default(), inbox).expect("a free port");
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let source =
            move || vec![("x-token".to_owned(), format!("secret {}", count.fetch_add(1, Ordering::SeqCst)))];
        let exporter = quick().max_in_flight(1);
        let config = ClientConfig::new(receiver.endpoint()).protocol(protocol).exporter(exporter);
        let config = config.header("x-token", "never sent").header_source(Arc::new(source));
        assert!(!format!("{config:?}").contains("secret"));
        let client = Client::start(config).expect("valid");
        for number in 1..=3 {
            client.send(Signal::Logs, vec![1].into(), 1).expect("room");
            client.flush(PATIENCE).expect("sent");
            assert_eq!(asked.load(Ordering::SeqCst), number);
        }
        assert_eq!(client.shutdown(PATIENCE).stats.exported, 3);
        assert_eq!(receiver.shutdown(PATIENCE).connections, 1);
    }
}

#[test]
fn every_attempt_carries_the_token_of_its_time_and_none_is_made_without() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let listening = Arc::clone(&seen);
    let server = peer::Server::start(move |_, wire| {
        while let Some(message) = wire.read() {
            let token = message.header("x-token").map(str::to_owned);
            let is_first = {
                let mut seen = listening.lock().expect("not poisoned");
                seen.push(token);
                seen.len() == 1
            };
            wire.write(if is_first { b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n" } else { peer::OK });
        }
    });
    let number = AtomicUsize::new(0);
    let source = move || match number.fetch_add(1, Ordering::SeqCst) {
        0 => vec![("x-token".to_owned(), "a\nb".to_owned())],
        number => vec![("X-Token".to_owned(), format!("token {number}"))],
    };
    let troubles = Troubles::default();
    let config = ClientConfig::new(server.endpoint()).exporter(quick()).header_source(Arc::new(source));
    let client = Client::start(config.observer(Arc::new(troubles.clone()))).expect("valid");
    client.send(Signal::Logs, vec![1].into(), 2).expect("room");
    assert_eq!(client.shutdown(PATIENCE).stats.exported, 2);
    let expected = [Some("token 1".to_owned()), Some("token 2".to_owned())];
    assert_eq!(*seen.lock().expect("not poisoned"), expected);
    assert_eq!(client.connection_stats().headers_refused, 1);
    assert_eq!(troubles.all(), [r#"header "x-token": not valid"#]);
}

#[test]
fn an_answer_of_the_handler_is_the_same_over_tls() {
    let authority = Authority::new("ca");
    for protocol in PROTOCOLS {
        let handler = |_: Signal, _: &[u8]| Answer::partial(7, 3, "clock skew");
        let receiver = receiver(crate::server_tls(&authority.issue()), handler);
        let client =
            Client::start(config(receiver.endpoint(), protocol, client_tls(&authority))).expect("valid");
        client.send(Signal::Logs, vec![1].into(), 10).expect("room");
        let stats = client.shutdown(PATIENCE).stats;
        assert_eq!((stats.exported, stats.rejected, stats.dropped), (7, 3, 0));
    }
}
