//! What is not let in, by either side, and is told and counted.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use otlp_core::protocol::Signal;
use otlp_core::protocol::export::ExporterConfig;
use otlp_core::transport::blocking::Client;
use otlp_core::transport::client::Protocol;
use otlp_core::transport::receiver::{Receiver, ReceiverLimits, ReceiverStats};
use otlp_core::transport::tls::ClientTls;

use crate::certs::Authority;
use crate::peer::{self, OK, PATIENCE, wait_until};
use crate::{
    Inbox, PROTOCOLS, Troubles, client_tls, config, end, quick, receiver, receiver_within, server_tls,
};

/// Sends to `endpoint` until `words` are told, and checks that nothing got through.
fn refused(endpoint: &str, protocol: Protocol, tls: ClientTls, words: &str) {
    let troubles = Troubles::default();
    let config = config(endpoint, protocol, tls).observer(Arc::new(troubles.clone()));
    let client = Client::start(config).expect("valid");
    client.send(Signal::Logs, vec![1].into(), 3).expect("room");
    wait_until(&format!("{words:?} is told to a client of {protocol:?}"), || troubles.have(words));
    let connections = client.connection_stats();
    assert!(connections.failed > 0, "{connections:?}");
    let stats = client.shutdown(Duration::ZERO).stats;
    assert_eq!((stats.exported, stats.rejected, stats.dropped), (0, 0, 3), "{stats:?}");
}

/// The good client is served by the same receiver; then the receiver's account.
fn served(receiver: Receiver, tls: ClientTls) -> ReceiverStats {
    let client = Client::start(config(receiver.endpoint(), Protocol::HttpProtobuf, tls)).expect("valid");
    client.send(Signal::Logs, vec![2].into(), 1).expect("room");
    assert_eq!(client.shutdown(PATIENCE).stats.exported, 1);
    let stats = end(receiver);
    assert_eq!(
        (stats.requests.accepted, stats.requests.exported, stats.connections_open),
        (1, 1, 0),
        "{stats:?}"
    );
    stats
}

#[test]
fn a_receiver_with_a_certificate_of_somebody_else_is_not_sent_to() {
    let (authority, other) = (Authority::new("ca"), Authority::new("another"));
    for protocol in PROTOCOLS {
        let receiver = receiver(server_tls(&authority.issue()), Inbox::default());
        refused(receiver.endpoint(), protocol, client_tls(&other), "UnknownIssuer");
        assert!(served(receiver, client_tls(&authority)).connections_failed > 0);
    }
}

#[test]
fn an_expired_certificate_is_refused() {
    let authority = Authority::new("ca");
    for protocol in PROTOCOLS {
        let receiver = receiver(server_tls(&authority.expired()), Inbox::default());
        refused(receiver.endpoint(), protocol, client_tls(&authority), "expired");
        let stats = end(receiver);
        assert!(stats.connections_failed > 0 && stats.requests.accepted == 0, "{stats:?}");
    }
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let authority = Authority::new("ca");
    for protocol in PROTOCOLS {
        let receiver = receiver(server_tls(&authority.issue_for(&["collector"], |_| {})), Inbox::default());
        refused(receiver.endpoint(), protocol, client_tls(&authority), "not valid for name");
        assert!(end(receiver).connections_failed > 0);
    }
}

#[test]
fn a_client_without_a_certificate_or_with_one_of_somebody_else_is_refused_where_one_is_asked_for() {
    let (authority, other) = (Authority::new("ca"), Authority::new("another"));
    for protocol in PROTOCOLS {
        let tls = server_tls(&authority.issue()).client_ca(authority.pem());
        let receiver = receiver(tls, Inbox::default());
        let with = |(certificate, key)| client_tls(&authority).identity(certificate, key);
        refused(receiver.endpoint(), protocol, client_tls(&authority), "alert");
        refused(receiver.endpoint(), protocol, with(other.issue().pems()), "alert");
        refused(receiver.endpoint(), protocol, with(authority.expired().pems()), "alert");
        assert!(served(receiver, with(authority.issue().pems())).connections_failed >= 3);
    }
}

#[test]
fn a_client_of_tls_is_told_that_the_receiver_speaks_none() {
    let authority = Authority::new("ca");
    for protocol in PROTOCOLS {
        let plain =
            Receiver::start("127.0.0.1:0", ReceiverLimits::default(), Inbox::default()).expect("a free port");
        let endpoint = plain.endpoint().replace("http://", "https://");
        refused(&endpoint, protocol, client_tls(&authority), "tls: handshake failed");
        assert!(plain.shutdown(PATIENCE).requests.accepted == 0);
    }
}

#[test]
fn a_client_without_tls_gets_nothing_in_where_tls_is_spoken() {
    let authority = Authority::new("ca");
    for protocol in PROTOCOLS {
        let receiver = receiver(server_tls(&authority.issue()), Inbox::default());
        let endpoint = receiver.endpoint().replace("https://", "http://");
        let client = Client::start(config(&endpoint, protocol, ClientTls::default())).expect("valid");
        client.send(Signal::Logs, vec![1].into(), 3).expect("room");
        wait_until("the receiver counts it", || receiver.stats().connections_failed > 0);
        assert_eq!(client.shutdown(Duration::ZERO).stats.exported, 0);
        assert!(served(receiver, client_tls(&authority)).connections_failed > 0);
    }
}

#[test]
fn a_handshake_that_is_cut_garbage_or_never_comes_costs_its_connection_and_no_more() {
    let authority = Authority::new("ca");
    let limits = ReceiverLimits::default().header_timeout(Duration::from_millis(50));
    let receiver = receiver_within(server_tls(&authority.issue()), limits, Inbox::default());
    let connect = || TcpStream::connect(receiver.local_addr()).expect("it listens");
    // The begin of a ClientHello, and then: nothing, the end, something else.
    let hello = [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];
    let mut waiting = connect();
    waiting.write_all(&hello).expect("it listens");
    let silent = connect();
    let mut cut = connect();
    cut.write_all(&hello).expect("it listens");
    drop(cut);
    let mut garbage = connect();
    garbage.write_all(&[0xff; 4096]).expect("it listens");
    // A record that says it is longer than any may be.
    let mut lying = connect();
    lying.write_all(&[22, 3, 3, 255, 255, 0, 0]).expect("it listens");
    wait_until("all are gone", || receiver.stats().connections_failed == 5);
    for mut stream in [waiting, silent, garbage, lying] {
        stream.set_read_timeout(Some(PATIENCE)).expect("above zero");
        // Perhaps an alert, and the end.
        let _reset = stream.read_to_end(&mut Vec::new());
    }
    assert_eq!(served(receiver, client_tls(&authority)).connections_failed, 5);
}

#[test]
fn a_receiver_that_ends_does_not_wait_for_handshakes() {
    let authority = Authority::new("ca");
    let receiver = receiver(server_tls(&authority.issue()), Inbox::default());
    let _silent = TcpStream::connect(receiver.local_addr()).expect("it listens");
    wait_until("it is taken", || receiver.stats().connections_open == 1);
    let stats = receiver.shutdown(PATIENCE);
    assert_eq!((stats.connections_open, stats.connections_failed), (0, 0));
}

#[test]
fn an_attempt_ends_by_its_deadline_in_the_middle_of_a_handshake() {
    let authority = Authority::new("ca");
    for protocol in PROTOCOLS {
        // Takes the connection, reads, and says nothing.
        let silent = peer::Server::start(|_, wire| while wire.read().is_some() {});
        let endpoint = silent.endpoint().replace("http://", "https://");
        let exporter = quick().timeout(Duration::from_millis(30));
        let client = Client::start(config(&endpoint, protocol, client_tls(&authority)).exporter(exporter))
            .expect("valid");
        client.send(Signal::Logs, vec![1].into(), 3).expect("room");
        wait_until("it is tried again", || client.counters().retries > 0);
        let stats = client.shutdown(Duration::ZERO).stats;
        assert_eq!((stats.exported, stats.dropped), (0, 3));
    }
}

#[test]
fn a_receiver_that_ends_in_the_handshake_is_tried_again_until_it_is_there() {
    let authority = Authority::new("ca");
    let other = peer::Server::start(|_, wire| {
        // Plain HTTP, and the end.
        wire.write(OK);
    });
    let troubles = Troubles::default();
    let endpoint = other.endpoint().replace("http://", "https://");
    let config = config(&endpoint, Protocol::HttpProtobuf, client_tls(&authority))
        .exporter(ExporterConfig::default())
        .observer(Arc::new(troubles.clone()));
    let client = Client::start(config).expect("valid");
    client.send(Signal::Logs, vec![1].into(), 1).expect("room");
    wait_until("it is told", || troubles.have("tls: handshake failed"));
    assert_eq!(client.shutdown(Duration::ZERO).stats.exported, 0);
}
