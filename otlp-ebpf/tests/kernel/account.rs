//! Every record and byte is accounted for, also where the ring is far too small.

use std::process::Command;

use otlp_ebpf::capture::{Capture, CaptureBuilder, CaptureStats, Source, Tls};

use crate::machine::{Client, Server, begin, nginx, redis, required};
use crate::tls::encrypted;
use crate::{database, kafka_peer};

/// Lets a client flood a server on this port while nobody looks into a ring of 64 KiB, through each hook.
fn flooded(port: u16, tls: Tls, mut client: impl FnMut() -> Command) {
    for source in [Source::Network, Source::Calls] {
        let Some(mut capture) =
            begin(Capture::builder().source(source).tls(tls).port(port).ring_bytes(64 << 10))
        else {
            return;
        };
        let output = client().output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        capture.poll(&mut |_| ());
        let stats = capture.finish(&mut |_| ());
        assert!(stats.kernel.full_records > 100 && stats.delivered_records > 10, "{source:?} {stats:?}");
        assert_eq!(stats.unaccounted(), (0, 0), "{source:?} {stats:?}");
        assert!(stats.is_balanced(), "{source:?} {stats:?}");
    }
}

#[test]
fn a_flood_of_redis_is_delivered_or_counted() {
    let (Some(server), Some(program)) = (redis(), required("redis-benchmark", "redis-tools")) else { return };
    flooded(server.port(), Tls::Off, || {
        let mut command = Command::new(&program);
        command.args(["-q", "-n", "2000", "-c", "8", "-P", "4", "-t", "set,get,lpush"]);
        command.args(["-p", &server.port().to_string()]);
        command
    });
}

#[test]
fn a_flood_of_http2_is_delivered_or_counted_in_plain_and_within_tls() {
    let Some(h2load) = required("h2load", "nghttp2-client") else { return };
    let Some(nghttpd) = required("nghttpd", "nghttp2-server") else { return };
    let Some(secret) = encrypted("http2") else { return };
    let plain = Server::start("nghttpd", |folder, port| {
        std::fs::write(folder.join("ok"), vec![b'x'; 300]).unwrap();
        let mut command = Command::new(&nghttpd);
        command.args(["--no-tls", "-d"]).arg(folder).arg(port.to_string());
        command
    });
    for (server, scheme, tls) in [(&plain, "http", Tls::Off), (&secret, "https", Tls::OpenSsl)] {
        flooded(server.port(), tls, || {
            let mut command = Command::new(&h2load);
            command.args(["-n", "2000", "-c", "4", "-m", "8"]);
            command.arg(format!("{scheme}://127.0.0.1:{}/ok", server.port()));
            command
        });
    }
}

#[test]
fn a_flood_of_postgresql_is_delivered_or_counted() {
    let Some(server) = database::postgres() else { return };
    let Some(pgbench) = database::required("pgbench", "postgresql-contrib") else { return };
    let port = server.address.port().to_string();
    let bench = |more: &[&str]| {
        let mut command = Command::new(&pgbench);
        command.args(["-h", "127.0.0.1", "-p", &port, "-U", "postgres"]).args(more).arg("postgres");
        command
    };
    database::run(&mut bench(&["-i", "-q"]));
    flooded(server.address.port(), Tls::Off, || {
        bench(&["-n", "-S", "-c", "4", "-t", "200", "-M", "prepared"])
    });
}

#[test]
fn a_flood_of_mariadb_is_delivered_or_counted() {
    let Some(server) = database::mariadb() else { return };
    let Some(program) = database::required("mariadb", "mariadb-client") else { return };
    let script: String = (0..600).map(|number| format!("SELECT {number} + 'hunter2'; ")).collect();
    flooded(server.address.port(), Tls::Off, || {
        let mut command = Command::new(&program);
        command.args(["--no-defaults", "-h", "127.0.0.1", "-u", "root", "--skip-ssl", "-P"]);
        command.arg(server.address.port().to_string()).args(["-e", &script]);
        command
    });
}

/// A broker of Kafka, its port, and a client that produces two thousand records one by one.
pub(crate) fn kafka() -> Option<(kafka_peer::Running, u16, impl Fn() -> Command)> {
    let (python, broker, address) = kafka_peer::mock()?;
    let port = address.port();
    let script = "import sys
from confluent_kafka import Producer
settings = {'bootstrap.servers': '127.0.0.1:' + sys.argv[1], 'linger.ms': 0, 'batch.num.messages': 1}
producer = Producer(settings)
for number in range(2000):
    producer.produce('orders', value='hunter2 %d' % number)
sys.exit(producer.flush(20))";
    let client = move || {
        let mut command = Command::new(&python);
        command.args(["-c", script, &port.to_string()]);
        command
    };
    Some((broker, port, client))
}

#[test]
fn a_flood_of_kafka_is_delivered_or_counted() {
    let Some((_broker, port, client)) = kafka() else { return };
    flooded(port, Tls::Off, client);
}

/// What becomes of 1,212 requests, most of which find 64 KiB full.
pub(crate) fn overrun(builder: CaptureBuilder, server: &Server) -> Option<CaptureStats> {
    let mut capture = begin(builder.port(server.port()).ring_bytes(64 << 10))?;
    let mut spans = 0;
    for _ in 0..3 {
        // Nobody looks meanwhile.
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut client = Client::tcp(server.address);
                    (0..100).for_each(|_| assert_eq!(client.get("/ok"), 4));
                    assert_eq!(client.get("/big.bin"), 3 << 20);
                });
            }
        });
        while capture.poll(&mut |_| spans += 1) > 0 {}
    }
    let stats = capture.finish(&mut |_| spans += 1);
    assert!(stats.kernel.full_records > 100 && stats.delivered_records > 100, "{stats:?}");
    assert_eq!(stats.unaccounted(), (0, 0), "{stats:?}");
    assert!(stats.is_balanced(), "{stats:?}");
    // No span carries what was never seen: all answers of this server are whole.
    assert_eq!(stats.server.account.spans, spans);
    assert!(spans < 1212, "{spans} spans of 1,212 requests");
    Some(stats)
}

#[test]
fn a_flood_through_a_small_ring_is_delivered_or_counted_to_the_last_byte() {
    let Some(server) = nginx("") else { return };
    for source in [Source::Network, Source::Calls] {
        let Some(mut wrong) = overrun(Capture::builder().source(source), &server) else { return };
        wrong.delivered_records -= 1;
        assert_eq!((wrong.unaccounted(), wrong.is_balanced()), ((1, 0), false), "a lost record is told");
    }
}

#[test]
fn a_capture_that_is_stopped_gives_what_it_saw_and_ends() {
    let Some(server) = nginx("") else { return };
    let Some(mut capture) = begin(Capture::builder().port(server.port())) else { return };
    (0..3).for_each(|_| assert_eq!(Client::tcp(server.address).get("/ok"), 4));
    let stopper = capture.stopper();
    assert!(!stopper.is_stopped());
    stopper.stop();
    assert_eq!(capture.by_ref().count(), 3);
    // It is detached: nobody sees this one.
    assert_eq!(Client::tcp(server.address).get("/ok"), 4);
    assert_eq!(capture.next().map(|met| met.span.name), None);
    assert!(capture.finish(&mut |_| ()).is_balanced());
}
