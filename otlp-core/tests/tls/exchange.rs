//! What is let in.

use std::process::Command;

use bytes::Bytes;
use otlp_core::ErrorKind;
use otlp_core::protocol::Signal;
use otlp_core::transport::blocking::Client;
use otlp_core::transport::client::{ClientConfig, Compression, Protocol};
use otlp_core::transport::receiver::{ReceiverLimits, Server};
use otlp_core::transport::tls::{ClientTls, Pem, ServerTls};

use crate::certs::{Authority, Directory};
use crate::peer::PATIENCE;
use crate::{Inbox, PROTOCOLS, client_tls, config, end, receiver, server_tls};

#[test]
fn four_signals_arrive_whole_over_tls_by_name_and_by_address() {
    let authority = Authority::new("ca");
    for protocol in PROTOCOLS {
        for host in ["127.0.0.1", "localhost"] {
            let inbox = Inbox::default();
            let receiver = receiver(server_tls(&authority.issue()), inbox.clone());
            assert_eq!(receiver.endpoint(), format!("https://{}", receiver.local_addr()));
            let endpoint = format!("https://{host}:{}", receiver.local_addr().port());
            let config = config(&endpoint, protocol, client_tls(&authority)).compression(Compression::Gzip);
            let client = Client::start(config).expect("valid");
            let body = |signal: Signal| format!("{signal} ").repeat(20_000).into_bytes();
            for signal in Signal::ALL {
                client.send(signal, body(signal).into(), 3).expect("room");
            }
            let stats = client.shutdown(PATIENCE).stats;
            assert_eq!((stats.exported, stats.rejected, stats.dropped), (12, 0, 0), "{protocol:?} {host}");
            for signal in Signal::ALL {
                assert_eq!(inbox.bodies(signal), [body(signal)], "{signal} {protocol:?}");
            }
            let stats = end(receiver);
            assert_eq!((stats.requests.exported, stats.connections_failed), (4, 0), "{stats:?}");
            let connections = client.connection_stats();
            assert_eq!((connections.opened, connections.failed), (stats.connections, 0));
        }
    }
}

#[test]
fn bodies_larger_than_any_buffer_of_the_session_arrive_whole_uncompressed() {
    let authority = Authority::new("ca");
    for protocol in PROTOCOLS {
        let inbox = Inbox::default();
        let receiver = receiver(server_tls(&authority.issue()), inbox.clone());
        let client =
            Client::start(config(receiver.endpoint(), protocol, client_tls(&authority))).expect("valid");
        let bodies: Vec<Vec<u8>> =
            [0, 1, 16_383, 16_384, 16_385, 3_000_000].map(|len| (0..=250).cycle().take(len).collect()).into();
        for body in &bodies {
            client.send(Signal::Logs, Bytes::from(body.clone()), 1).expect("room");
            client.flush(PATIENCE).expect("sent");
        }
        assert!(inbox.bodies(Signal::Logs) == bodies, "{protocol:?}");
    }
}

#[test]
fn a_client_with_a_certificate_is_taken_where_one_is_asked_for() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    for protocol in PROTOCOLS {
        let inbox = Inbox::default();
        let tls = server_tls(&servers.issue()).client_ca(clients.pem());
        let receiver = receiver(tls, inbox.clone());
        let (certificate, key) = clients.issue().pems();
        let tls = client_tls(&servers).identity(certificate, key);
        let client = Client::start(config(receiver.endpoint(), protocol, tls)).expect("valid");
        client.send(Signal::Logs, vec![1].into(), 1).expect("room");
        assert_eq!(client.shutdown(PATIENCE).stats.exported, 1);
        assert_eq!(end(receiver).connections_failed, 0);
    }
}

#[test]
fn the_async_client_and_server_share_one_thread() {
    let authority = Authority::new("ca");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        for protocol in PROTOCOLS {
            let inbox = Inbox::default();
            let server =
                Server::bind("127.0.0.1:0", ReceiverLimits::default(), inbox.clone()).expect("a port");
            let server = server.tls(server_tls(&authority.issue())).expect("valid");
            let (endpoint, control) = (server.endpoint().to_owned(), server.control());
            let serving = tokio::spawn(server.run());
            let (client, driver) =
                config(&endpoint, protocol, client_tls(&authority)).build().expect("valid");
            let driving = tokio::spawn(driver.run());
            client.send(Signal::Traces, vec![1, 2].into(), 2).expect("room");
            client.flush(PATIENCE).await.expect("sent");
            assert_eq!(client.shutdown(PATIENCE).await.stats.exported, 2);
            driving.await.expect("the driver ends with the client");
            control.shutdown(PATIENCE);
            serving.await.expect("the server ends");
            assert_eq!(inbox.bodies(Signal::Traces), [vec![1, 2]]);
        }
    });
}

#[test]
fn a_fallback_without_tls_beside_one_with_it() {
    let authority = Authority::new("ca");
    let inbox = Inbox::default();
    let receiver = receiver(server_tls(&authority.issue()), inbox.clone());
    let client = Client::start(
        config("http://127.0.0.1:1", Protocol::HttpProtobuf, client_tls(&authority))
            .fallback(receiver.endpoint()),
    );
    let client = client.expect("valid");
    client.send(Signal::Logs, vec![7].into(), 1).expect("room");
    assert_eq!(client.shutdown(PATIENCE).stats.exported, 1);
    assert_eq!(inbox.bodies(Signal::Logs), [vec![7]]);
}

/// The part of the next test that runs in a process of its own.
#[test]
#[ignore = "run by the_systems_store_is_trusted_where_no_ca_is_named, in an environment of its own"]
fn sends_with_what_the_system_trusts() {
    let Ok(endpoint) = std::env::var("OTLP_TEST_ENDPOINT") else { return };
    let client =
        Client::start(config(&endpoint, Protocol::HttpProtobuf, ClientTls::default())).expect("valid");
    client.send(Signal::Logs, vec![9].into(), 1).expect("room");
    assert_eq!(client.shutdown(PATIENCE).stats.exported, 1);
}

#[cfg(target_os = "linux")]
#[test]
fn the_systems_store_is_trusted_where_no_ca_is_named() {
    let (authority, directory, inbox) = (Authority::new("ca"), Directory::new(), Inbox::default());
    let receiver = receiver(server_tls(&authority.issue()), inbox.clone());
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program)
        .args(["--exact", "exchange::sends_with_what_the_system_trusts", "--ignored"])
        .env("SSL_CERT_FILE", directory.write("system.pem", &authority.text()))
        .env("OTLP_TEST_ENDPOINT", receiver.endpoint())
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(inbox.bodies(Signal::Logs), [vec![9]]);
}

#[test]
fn what_cannot_be_used_is_told_by_file_before_anything_is_sent() {
    let (authority, directory) = (Authority::new("ca"), Directory::new());
    let (one, other) = (authority.issue(), authority.issue());
    let (certificate, key) = directory.write_pair("one", &one);
    let other_key = directory.write("other-key.pem", &other.key);
    let garbage =
        directory.write("garbage.pem", "-----BEGIN CERTIFICATE-----\nsecret!\n-----END CERTIFICATE-----\n");
    let no_der =
        directory.write("no-der.pem", "-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n");
    let empty = directory.write("empty.pem", "secret\n");
    let large = directory.write("large.pem", &"x".repeat((4 << 20) + 1));
    let missing = directory.path("missing.pem");
    let file = |path: &std::path::PathBuf| Pem::file(path.clone());
    let build =
        |tls: ClientTls| ClientConfig::new("https://h").tls(tls).build().map(drop).expect_err("refused");
    let ca = |path| build(ClientTls::default().ca(file(path)));
    let identity = |certificate, key| build(client_tls(&authority).identity(file(certificate), file(key)));
    let server = |tls: ServerTls| {
        let server =
            Server::bind("127.0.0.1:0", ReceiverLimits::default(), Inbox::default()).expect("a port");
        server.tls(tls).map(drop).expect_err("refused")
    };
    for (error, name, what) in [
        (ca(&garbage), "ca file", "garbage.pem\": not valid pem"),
        (ca(&no_der), "ca file", "no-der.pem\": has what is no certificate"),
        (ca(&empty), "ca file", "empty.pem\": has no certificate"),
        (ca(&large), "ca file", "large.pem\": has more than 4194304 bytes"),
        (ca(&missing), "ca file", "missing.pem\": cannot be read"),
        (identity(&missing, &key), "certificate file", "missing.pem\": cannot be read"),
        (identity(&certificate, &missing), "key file", "missing.pem\": cannot be read"),
        (identity(&certificate, &certificate), "key file", "one.pem\": has no private key in pem"),
        (
            identity(&certificate, &other_key),
            "key file",
            "other-key.pem\": does not work with the certificate",
        ),
        (server(ServerTls::new(file(&certificate), file(&other_key))), "key file", "does not work"),
        (server(server_tls(&one).client_ca(file(&empty))), "client ca file", "has no certificate"),
    ] {
        let printed = format!("{error} {error:?}");
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(printed.contains(name) && error.to_string().contains(what), "{printed}");
        assert!(!printed.contains("secret") && !printed.contains("c2Vj"), "{printed}");
    }
    // The twin: what is right is taken; and without an endpoint that needs it nothing is read.
    let tls = ClientTls::default().ca(file(&certificate)).identity(file(&certificate), file(&key));
    ClientConfig::new("https://h").tls(tls).build().map(drop).expect("valid");
    ClientConfig::new("http://h")
        .tls(ClientTls::default().ca(file(&missing)))
        .build()
        .map(drop)
        .expect("unread");
}
