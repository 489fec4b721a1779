//! What the handshake says, seen by rustls used by hand at the other end.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use otlp_core::protocol::Signal;
use otlp_core::transport::blocking::Client;
use otlp_core::transport::client::Protocol;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, ServerConfig, ServerConnection, Stream,
    SupportedProtocolVersion, version,
};

use crate::certs::{Authority, Issued};
use crate::peer::{PATIENCE, wait_until};
use crate::{Inbox, PROTOCOLS, client_tls, config, end, receiver, server_tls};

fn roots(authority: &Authority) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(authority.text().as_bytes()).expect("pem");
    roots.add(certificate).expect("a certificate");
    roots
}

/// A client by hand.
fn by_hand(
    authority: &Authority,
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&str],
) -> ClientConnection {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_protocol_versions(versions).expect("known");
    let mut config = builder.with_root_certificates(roots(authority)).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("localhost").expect("a name");
    ClientConnection::new(Arc::new(config), name).expect("valid")
}

/// The name that was asked for, and the protocol that was agreed on.
type Met = (Option<String>, Option<Vec<u8>>);

/// A server by hand that takes one connection and serves nobody; what the client said in its handshake.
fn one_handshake(issued: &Issued, alpn: &str) -> (String, JoinHandle<Met>) {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("known").with_no_client_auth();
    let chain = vec![CertificateDer::from_pem_slice(issued.certificate.as_bytes()).expect("pem")];
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).expect("pem");
    let mut config = builder.with_single_cert(chain, key).expect("they belong together");
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let serve = move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("above zero");
        let mut session = ServerConnection::new(Arc::new(config)).expect("valid");
        let _first_request = Stream::new(&mut session, &mut stream).read(&mut [0; 16]);
        (session.server_name().map(str::to_owned), session.alpn_protocol().map(<[u8]>::to_vec))
    };
    (format!("https://localhost:{port}"), std::thread::spawn(serve))
}

#[test]
fn the_client_says_whom_it_wants_and_what_it_speaks() {
    let authority = Authority::new("ca");
    for (protocol, alpn) in [(Protocol::HttpProtobuf, "http/1.1"), (Protocol::Grpc, "h2")] {
        let (endpoint, handshake) = one_handshake(&authority.issue(), alpn);
        let client = Client::start(config(&endpoint, protocol, client_tls(&authority))).expect("valid");
        client.send(Signal::Logs, vec![1].into(), 1).expect("room");
        let met = handshake.join().expect("it ends");
        assert_eq!(met, (Some("localhost".into()), Some(alpn.as_bytes().to_vec())));
        client.shutdown(Duration::ZERO);
    }
}

#[test]
fn a_receiver_that_speaks_only_something_else_is_not_sent_to() {
    let authority = Authority::new("ca");
    for (protocol, alpn) in [(Protocol::HttpProtobuf, "h2"), (Protocol::Grpc, "http/1.1")] {
        let (endpoint, handshake) = one_handshake(&authority.issue(), alpn);
        let client = Client::start(config(&endpoint, protocol, client_tls(&authority))).expect("valid");
        client.send(Signal::Logs, vec![1].into(), 1).expect("room");
        assert_eq!(handshake.join().expect("it ends").1, None);
        wait_until("it is counted", || client.connection_stats().failed > 0);
        assert_eq!(client.shutdown(Duration::ZERO).stats.exported, 0);
    }
}

#[test]
fn the_receiver_takes_both_versions_and_every_http_or_none_by_name() {
    let authority = Authority::new("ca");
    let receiver = receiver(server_tls(&authority.issue()), Inbox::default());
    for (versions, expected) in [
        ([&version::TLS12].as_slice(), ProtocolVersion::TLSv1_2),
        (&[&version::TLS13], ProtocolVersion::TLSv1_3),
    ] {
        for (alpn, chosen) in
            [(["http/1.1", "h2"].as_slice(), Some("h2")), (&["http/1.1"], Some("http/1.1")), (&[], None)]
        {
            let mut session = by_hand(&authority, versions, alpn);
            let mut stream = TcpStream::connect(receiver.local_addr()).expect("it listens");
            stream.set_read_timeout(Some(PATIENCE)).expect("above zero");
            let mut tls = Stream::new(&mut session, &mut stream);
            // HTTP/1.1 is understood whatever was agreed on, as it is without TLS.
            tls.write_all(&crate::peer::post("/v1/logs", "Connection: close\r\n", &[1])).expect("it reads");
            let mut answer = Vec::new();
            tls.read_to_end(&mut answer).expect("the end is said properly");
            assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", String::from_utf8_lossy(&answer));
            assert_eq!(session.alpn_protocol(), chosen.map(str::as_bytes));
            assert_eq!(session.protocol_version(), Some(expected));
        }
    }
    assert_eq!(end(receiver).connections_failed, 0);
}

#[test]
fn a_client_that_speaks_only_something_else_is_refused() {
    let authority = Authority::new("ca");
    let receiver = receiver(server_tls(&authority.issue()), Inbox::default());
    let mut session = by_hand(&authority, &[&version::TLS13], &["smtp"]);
    let mut stream = TcpStream::connect(receiver.local_addr()).expect("it listens");
    assert!(session.complete_io(&mut stream).is_err());
    wait_until("it is counted", || receiver.stats().connections_failed == 1);
}

#[test]
fn a_client_that_closes_without_a_word_has_not_failed_and_one_cut_in_a_request_is_not_answered() {
    let authority = Authority::new("ca");
    for (sent, failed) in [(0, 0), (120, 1)] {
        let inbox = Inbox::default();
        let receiver = receiver(server_tls(&authority.issue()), inbox.clone());
        let mut session = by_hand(&authority, &[&version::TLS13], &[]);
        let mut stream = TcpStream::connect(receiver.local_addr()).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("above zero");
        let mut tls = Stream::new(&mut session, &mut stream);
        tls.write_all(&crate::peer::post("/v1/logs", "", &[1])).expect("it reads");
        assert!(tls.read(&mut [0; 1024]).expect("an answer") > 0);
        let next = crate::peer::post("/v1/logs", "", &[2; 100]);
        tls.write_all(&next[..sent]).expect("it reads");
        tls.flush().expect("it reads");
        wait_until("it has begun", || receiver.stats().requests.accepted == 1 + failed);
        drop(stream);
        wait_until("it is gone", || receiver.stats().connections_open == 0);
        let stats = end(receiver);
        assert_eq!((stats.connections_failed, stats.requests.dropped), (failed, failed), "{stats:?}");
        assert_eq!(stats.requests.exported, 1);
        assert_eq!(inbox.bodies(Signal::Logs), [vec![1]]);
    }
}

#[test]
fn each_protocol_of_ours_agrees_with_the_receiver() {
    let authority = Authority::new("ca");
    let receiver = receiver(server_tls(&authority.issue()), Inbox::default());
    for protocol in PROTOCOLS {
        let client =
            Client::start(config(receiver.endpoint(), protocol, client_tls(&authority))).expect("valid");
        client.send(Signal::Logs, vec![1].into(), 1).expect("room");
        assert_eq!(client.shutdown(PATIENCE).stats.exported, 1);
    }
}
