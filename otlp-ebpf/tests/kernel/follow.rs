//! Processes are followed by their names: restarted, born later, become another by `exec`; and none of them notices.

use std::io::Read;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use otlp_ebpf::capture::{Capture, Source, Tls};

use crate::machine::{Client, begin, end, nginx, nginx_named, spans, until};

/// Asks until it is seen, for a process is found when it is looked for next; then every request is.
fn is_followed(capture: &mut Capture, address: SocketAddr) {
    let mut seen = 0;
    until(|| {
        assert_eq!(Client::tcp(address).get("/ok"), 4);
        capture.poll(&mut |_| seen += 1);
        if seen > 0 { Ok(()) } else { Err(format!("{:?}", capture.stats())) }
    });
    // What was asked meanwhile.
    until(|| match capture.poll(&mut |_| ()) {
        0 if capture.stats().waiting_records() == 0 => Ok(()),
        _ => Err("records wait".to_owned()),
    });
    let mut client = Client::tcp(address);
    (0..50).for_each(|_| assert_eq!(client.get("/ok"), 4));
    assert_eq!(spans(capture, 50).len(), 50);
}

fn follows(source: Source, name: &str, by_shell: bool) {
    let builder = Capture::builder().source(source).process(name).rescan_interval(Duration::from_millis(20));
    let Some(mut capture) = begin(builder) else { return };
    // Nobody has this name yet; then one does, and then another one has it.
    let Some(first) = nginx_named(name, by_shell) else { return };
    is_followed(&mut capture, first.address);
    let pid = first.pid();
    drop(first);
    let Some(second) = nginx_named(name, by_shell) else { return };
    assert_ne!(second.pid(), pid);
    is_followed(&mut capture, second.address);
    drop(second);
    end(capture);
}

#[test]
fn a_server_that_is_restarted_is_followed_by_its_name() {
    follows(Source::Network, "followed-net", false);
    follows(Source::Calls, "followed-calls", false);
}

#[test]
fn a_shell_that_becomes_a_server_is_followed_by_the_name_of_the_server() {
    follows(Source::Network, "becomes-net", true);
    follows(Source::Calls, "becomes-calls", true);
}

#[test]
fn a_process_of_another_name_is_not_followed() {
    let Some(server) = nginx_named("not-followed", false) else { return };
    for source in [Source::Network, Source::Calls] {
        let builder = Capture::builder().source(source).process("followed-none");
        let Some(mut capture) = begin(builder.rescan_interval(Duration::from_millis(20))) else { return };
        (0..50).for_each(|_| assert_eq!(Client::tcp(server.address).get("/ok"), 4));
        std::thread::sleep(Duration::from_millis(50));
        capture.poll(&mut |_| panic!("seen"));
        assert_eq!(end(capture).kernel.records, 0);
    }
}

/// Asks for a file of 3 MiB until it is told to stop; says how often it got it, byte for byte.
fn download(address: SocketAddr, stop: &AtomicBool, done: &AtomicUsize) {
    while !stop.load(Ordering::Acquire) {
        let mut client = Client::tcp(address);
        std::io::Write::write_all(&mut client.stream, b"GET /big.bin HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        client.stream.read_to_end(&mut answer).unwrap();
        let head = answer.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
        assert!(answer.starts_with(b"HTTP/1.1 200 OK"));
        assert!(answer.len() == head + (3 << 20) && answer[head..].iter().all(|byte| *byte == b'x'));
        done.fetch_add(1, Ordering::AcqRel);
    }
}

#[test]
fn a_server_does_not_notice_that_captures_come_and_go() {
    let Some(server) = nginx("") else { return };
    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let clients: Vec<_> =
            (0..2).map(|_| scope.spawn(|| download(server.address, &stop, &done))).collect();
        let mut seen = 0;
        for round in 0..20 {
            let source = [Source::Network, Source::Calls][round % 2];
            let builder = Capture::builder().source(source).port(server.port()).tls(Tls::OpenSsl);
            let Some(mut capture) = begin(builder.ring_bytes(64 << 10)) else { break };
            let before = done.load(Ordering::Acquire);
            until(|| {
                capture.poll(&mut |_| seen += 1);
                if done.load(Ordering::Acquire) > before + 3 { Ok(()) } else { Err("no answers".to_owned()) }
            });
            assert!(capture.finish(&mut |_| seen += 1).is_balanced());
        }
        stop.store(true, Ordering::Release);
        clients.into_iter().for_each(|client| client.join().unwrap());
    });
    assert_eq!(Client::tcp(server.address).get("/ok"), 4);
}
