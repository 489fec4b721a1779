//! What the exit of system calls shows.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;

use otlp_ebpf::capture::{Capture, CaptureBuilder, Source};

use crate::machine::{
    Client, Server, begin, end, nginx, number, redis, required, served, services, spans, text,
};

fn builder() -> CaptureBuilder {
    Capture::builder().source(Source::Calls)
}

#[test]
fn nginx_and_its_system_calls_count_the_same_requests() {
    let Some(server) = nginx("") else { return };
    let before = served(server.address);
    let Some(mut capture) = begin(builder().port(server.port())) else { return };
    let mut client = Client::tcp(server.address);
    assert_eq!(client.get("/broken"), 6);
    assert_eq!(client.get("/big.bin"), 3 << 20);
    drop(client);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Client::tcp(server.address);
                (0..50).for_each(|_| assert_eq!(client.get("/ok"), 4));
            });
        }
    });
    let met = spans(&mut capture, 202);
    let failed: Vec<_> = met.iter().filter(|met| met.span.is_error()).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(
        (text(&failed[0].span, "url.path"), number(&failed[0].span, "server.port")),
        ("/broken", i64::from(server.port()))
    );
    let big = met.iter().find(|met| text(&met.span, "url.path") == "/big.bin").unwrap();
    assert_eq!(number(&big.span, "http.response.body.size"), 3 << 20, "sendfile tells how much, not what");
    assert_eq!(services(&met), ["nginx"]);
    let after = served(server.address);
    assert_eq!(spans(&mut capture, 1).len(), 1);
    let stats = end(capture);
    assert_eq!(stats.server.account.spans, after - before);
    assert_eq!((stats.server.late, stats.server.closed, stats.server.open), (0, stats.server.connections, 0));
}

#[test]
fn a_unix_domain_socket_is_seen_as_well() {
    let Some(server) = redis() else { return };
    let Some(mut capture) = begin(builder().pid(server.pid())) else { return };
    let mut client = Client::unix(&server.folder.join("redis.sock"));
    assert_eq!(client.redis(&["SET", "key", "secret"]), "+OK\r\n");
    for _ in 0..50 {
        assert_eq!(client.redis(&["INCR", "n"]).chars().next(), Some(':'));
    }
    let met = spans(&mut capture, 51);
    assert_eq!((met[0].span.name.as_str(), met[50].span.name.as_str()), ("SET", "INCR"));
    assert_eq!(
        (text(&met[0].span, "client.address"), number(&met[0].span, "server.port")),
        ("", -1),
        "it has no address"
    );
    drop(client);
    let stats = end(capture);
    assert_eq!((stats.server.account.spans, stats.server.account.lost.total()), (51, 0));
}

#[test]
fn the_children_of_a_process_are_followed_as_they_are_born() {
    let Some(python) = required("python3", "python3") else { return };
    // Forks for each connection, and answers with `writev` what it read with `recvmsg`.
    let script = "import os, socket, sys
server = socket.create_server(('127.0.0.1', int(sys.argv[1])))
while True:
    stream, _ = server.accept()
    if os.fork():
        stream.close()
        while True:
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0: break
            except ChildProcessError: break
    else:
        server.close()
        while stream.recvmsg(65536)[0]:
            os.writev(stream.fileno(), [b'HTTP/1.1 200 OK\\r\\nContent-', b'Length: 2\\r\\n\\r\\n', b'ok'])
        os._exit(0)";
    let server = Server::start("forks", |_, port| {
        let mut command = Command::new(&python);
        command.args(["-c", script, &port.to_string()]);
        command
    });
    let Some(mut capture) = begin(builder().port(server.port())) else { return };
    for _ in 0..5 {
        let mut client = Client::tcp(server.address);
        (0..4).for_each(|_| assert_eq!(client.get("/forked"), 2));
    }
    let met = spans(&mut capture, 20);
    assert!(met.iter().all(|met| text(&met.span, "url.path") == "/forked"));
    assert_eq!(end(capture).server.account.spans, 20);
}

#[test]
fn what_is_only_peeked_at_is_seen_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // A process of its own: our own calls are never looked at.
    let Some(python) = required("python3", "python3") else { return };
    drop(listener);
    let script = "import socket, sys
server = socket.create_server(('127.0.0.1', int(sys.argv[1])))
while True:
    stream, _ = server.accept()
    while stream.recv(65536, socket.MSG_PEEK):
        stream.recv(65536)
        stream.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok')
    stream.close()";
    let server = Server::start("peeks", |_, port| {
        let mut command = Command::new(&python);
        command.args(["-c", script, &port.to_string()]);
        command
    });
    assert_ne!(server.address, address);
    let Some(mut capture) = begin(builder().port(server.port())) else { return };
    let mut client = Client::tcp(server.address);
    (0..10).for_each(|_| assert_eq!(client.get("/peeked"), 2));
    client.stream.write_all(b"GET /last HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = [0; 40];
    client.stream.read_exact(&mut answer).unwrap();
    assert_eq!(spans(&mut capture, 11).len(), 11);
    drop(client);
    let stats = end(capture);
    assert_eq!((stats.server.account.requests, stats.server.account.refused), (11, 0));
}
