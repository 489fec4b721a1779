//! Unix sockets.

use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use otlp_core::ErrorKind;
use otlp_core::protocol::Signal;
use otlp_core::transport::blocking::Client;
use otlp_core::transport::client::ClientConfig;
use otlp_core::transport::receiver::{Receiver, ReceiverLimits, Server};
use otlp_core::transport::tls::ServerTls;

use crate::certs::{Authority, Directory};
use crate::peer::{PATIENCE, wait_until};
use crate::{Inbox, PROTOCOLS, Troubles, quick};

fn server(path: &std::path::Path, inbox: Inbox) -> otlp_core::Result<Server> {
    Server::bind_unix(path, ReceiverLimits::default(), inbox)
}

fn receiver(path: &std::path::Path, inbox: Inbox) -> Receiver {
    server(path, inbox).expect("a free path").start().expect("a thread")
}

#[test]
fn requests_arrive_whole_over_a_unix_socket_which_is_gone_at_the_end() {
    let directory = Directory::new();
    let path = directory.path("otlp.sock");
    for protocol in PROTOCOLS {
        let inbox = Inbox::default();
        let receiver = receiver(&path, inbox.clone());
        assert_eq!(receiver.endpoint(), format!("unix://{}", path.display()));
        assert!(receiver.local_addr().ip().is_unspecified() && receiver.local_addr().port() == 0);
        let config = ClientConfig::new(receiver.endpoint()).protocol(protocol).exporter(quick());
        let client = Client::start(config).expect("valid");
        let bodies = [vec![1], vec![2; 300_000]];
        for body in &bodies {
            client.send(Signal::Traces, body.clone().into(), 1).expect("room");
            client.flush(PATIENCE).expect("sent");
        }
        assert_eq!(client.shutdown(PATIENCE).stats.exported, 2);
        assert!(inbox.bodies() == bodies);
        // One that goes while the receiver says goodbye may count as failed.
        wait_until("the client is gone", || receiver.stats().connections_open == 0);
        let stats = receiver.shutdown(PATIENCE);
        assert_eq!((stats.requests.exported, stats.connections_failed), (2, 0), "{stats:?}");
        assert!(!path.exists());
    }
}

#[test]
fn a_client_waits_for_a_socket_that_is_not_there_yet() {
    let directory = Directory::new();
    let path = directory.path("otlp.sock");
    let troubles = Troubles::default();
    let endpoint = format!("unix://{}", path.display());
    let config = ClientConfig::new(endpoint).exporter(quick()).observer(Arc::new(troubles.clone()));
    let client = Client::start(config).expect("valid");
    client.send(Signal::Traces, vec![1].into(), 1).expect("room");
    wait_until("it is told", || troubles.have("connection: not made"));
    let inbox = Inbox::default();
    let _receiver = receiver(&path, inbox.clone());
    client.flush(PATIENCE).expect("sent in the end");
    assert_eq!(inbox.bodies(), [vec![1]]);
    client.shutdown(PATIENCE);
}

#[test]
fn a_socket_left_over_is_replaced_and_one_in_use_is_not() {
    let directory = Directory::new();
    let path = directory.path("otlp.sock");
    drop(UnixListener::bind(&path).expect("a free path"));
    assert!(path.exists(), "left over, as by a process that was killed");
    let inbox = Inbox::default();
    let first = receiver(&path, inbox.clone());
    let error = server(&path, Inbox::default()).expect_err("in use");
    assert_eq!(error.kind(), ErrorKind::Io);
    // The one that was there goes on, and its file with it.
    let client = Client::start(ClientConfig::new(first.endpoint()).exporter(quick())).expect("valid");
    client.send(Signal::Logs, vec![5].into(), 1).expect("room");
    assert_eq!(client.shutdown(PATIENCE).stats.exported, 1);
    first.shutdown(PATIENCE);
    assert_eq!(inbox.bodies(), [vec![5]]);
}

#[test]
fn a_listener_that_is_too_slow_to_take_connections_is_not_taken_for_left_over() {
    let directory = Directory::new();
    let path = directory.path("otlp.sock");
    let slow = UnixListener::bind(&path).expect("a free path");
    // Its queue is full when nobody else gets in.
    let mut waiting = Vec::new();
    loop {
        let stream = std::os::unix::net::UnixStream::connect(&path);
        waiting.push(stream.expect("it listens"));
        if waiting.len() > 8 {
            break;
        }
    }
    assert!(server(&path, Inbox::default()).is_err());
    assert!(path.exists());
    drop(slow);
}

#[test]
fn a_file_that_is_no_socket_is_neither_replaced_nor_removed() {
    let directory = Directory::new();
    let path = directory.write("file", "somebody's");
    assert_eq!(server(&path, Inbox::default()).expect_err("a file").kind(), ErrorKind::Io);
    assert_eq!(std::fs::read_to_string(&path).expect("there"), "somebody's");
    let missing = directory.path("no/such/otlp.sock");
    assert_eq!(server(&missing, Inbox::default()).expect_err("no directory").kind(), ErrorKind::Io);
}

#[test]
fn the_file_of_somebody_who_came_after_is_left_alone() {
    let directory = Directory::new();
    let path = directory.path("otlp.sock");
    let server = server(&path, Inbox::default()).expect("a free path");
    std::fs::remove_file(&path).expect("there");
    let _other = UnixListener::bind(&path).expect("free again");
    drop(server);
    assert!(path.exists());
}

#[test]
fn tls_on_a_unix_socket_is_refused() {
    let directory = Directory::new();
    let (certificate, key) = Authority::new("ca").issue().pems();
    let server = server(&directory.path("otlp.sock"), Inbox::default()).expect("a free path");
    let error = server.tls(ServerTls::new(certificate, key)).expect_err("refused");
    assert_eq!(error.to_string(), "tls: not on a unix socket");
    assert!(!directory.path("otlp.sock").exists());
}

#[test]
fn a_receiver_that_ends_while_a_client_is_connected_lets_it_come_again() {
    let directory = Directory::new();
    let path = directory.path("otlp.sock");
    for protocol in PROTOCOLS {
        let inbox = Inbox::default();
        let first = receiver(&path, inbox.clone());
        let config = ClientConfig::new(first.endpoint()).protocol(protocol).exporter(quick());
        let client = Client::start(config).expect("valid");
        client.send(Signal::Logs, vec![1].into(), 1).expect("room");
        client.flush(PATIENCE).expect("sent");
        first.shutdown(Duration::from_millis(50));
        client.send(Signal::Logs, vec![2].into(), 1).expect("room");
        let second = receiver(&path, inbox.clone());
        client.flush(PATIENCE).expect("sent");
        assert_eq!(inbox.bodies(), [vec![1], vec![2]]);
        client.shutdown(PATIENCE);
        second.shutdown(PATIENCE);
    }
}
