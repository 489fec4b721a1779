//! Clients as the environment configures them, against a receiver made by hand: what really goes over the wire.
#![cfg(feature = "http")]

mod peer;

use std::sync::mpsc::channel;

use otlp_core::protocol::{FromEnv, Signal};
use otlp_core::transport::blocking::Client;
use otlp_core::transport::client::ClientConfig;

use peer::{Message, OK, PATIENCE, Server};

/// The request of a client of `signal` in this environment; `{}` stands for the server's address.
fn request(signal: Signal, variables: &[(&str, &str)], body: &'static [u8]) -> Message {
    let (told, seen) = channel();
    let server = Server::start(move |_, wire| {
        told.send(wire.read().expect("a request")).expect("somebody listens");
        wire.write(OK);
    });
    let lookup = |name: &str| {
        let value = variables.iter().find(|(met, _)| name == format!("OTEL_EXPORTER_OTLP_{met}"));
        value.map(|(_, value)| value.replace("{}", &server.endpoint()))
    };
    let FromEnv { value, errors, .. } = ClientConfig::from_env(signal, lookup);
    assert!(errors.is_empty(), "{errors:?}");
    let client = Client::start(value).expect("valid");
    client.send(signal, body.into(), 1).expect("room");
    assert_eq!(client.shutdown(PATIENCE).stats.exported, 1);
    seen.recv().expect("a request")
}

#[test]
fn each_signal_goes_to_its_own_path_or_to_the_url_it_was_given() {
    for (signal, variables, line) in [
        (Signal::Traces, &[("ENDPOINT", "{}/base/")][..], "POST /base/v1/traces HTTP/1.1"),
        (Signal::Metrics, &[("METRICS_ENDPOINT", "{}")], "POST / HTTP/1.1"),
        (
            Signal::Logs,
            &[("LOGS_ENDPOINT", "{}/in?key=v"), ("ENDPOINT", "http://h")],
            "POST /in?key=v HTTP/1.1",
        ),
        (Signal::Profiles, &[("ENDPOINT", "{}")], "POST /v1development/profiles HTTP/1.1"),
    ] {
        let met = request(signal, variables, b"");
        assert_eq!(met.lines[0], line);
        assert_eq!(met.header("content-type"), Some("application/x-protobuf"));
    }
}

#[test]
fn headers_protocol_and_an_endless_timeout_are_as_they_were_set() {
    let variables = [
        ("ENDPOINT", "{}"),
        ("PROTOCOL", "http/json"),
        ("TIMEOUT", "0"),
        ("HEADERS", "x-general=1"),
        ("LOGS_HEADERS", "Authorization=Bearer%20a%3Db,x-own=2"),
    ];
    let met = request(Signal::Logs, &variables, b"");
    assert_eq!((met.header("content-type"), met.body.as_slice()), (Some("application/json"), &b"{}"[..]));
    assert_eq!((met.header("authorization"), met.header("x-own")), (Some("Bearer a=b"), Some("2")));
    assert_eq!(met.header("x-general"), None);
}

#[cfg(feature = "gzip")]
#[test]
fn the_body_is_compressed_where_the_signal_is_told_so() {
    let variables = [("ENDPOINT", "{}"), ("TRACES_COMPRESSION", "gzip")];
    let met = request(Signal::Traces, &variables, &[7; 500]);
    assert_eq!(met.header("content-encoding"), Some("gzip"));
    assert_eq!(otlp_core::compress::gunzip(&met.body, 500).expect("gzip"), [7; 500]);
    let met = request(Signal::Logs, &variables, &[7; 500]);
    assert_eq!((met.header("content-encoding"), met.body.len()), (None, 500));
}
