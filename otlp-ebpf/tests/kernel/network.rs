//! TCP segments at the sockets of control groups.

use std::net::TcpListener;

use otlp_core::record::SpanKind;
use otlp_ebpf::capture::{Capture, CaptureBuilder, Policy, Source};

use crate::machine::{Client, Group, begin, end, nginx, number, redis, served, services, spans, text};

fn builder() -> CaptureBuilder {
    Capture::builder().source(Source::Network)
}

#[test]
fn nginx_and_the_kernel_count_the_same_requests() {
    let Some(server) = nginx("") else { return };
    let before = served(server.address);
    let Some(mut capture) = begin(builder().port(server.port())) else { return };
    let mut client = Client::tcp(server.address);
    let paths = [("/ok", 4), ("/gone", 4), ("/broken", 6), ("/big.bin", 3 << 20)];
    for (path, length) in paths {
        assert_eq!(client.get(path), length);
    }
    drop(client);
    let met = spans(&mut capture, paths.len());
    let told: Vec<_> = met
        .iter()
        .map(|captured| {
            let span = &captured.span;
            (text(span, "url.path"), number(span, "http.response.status_code"))
        })
        .collect();
    assert_eq!(told, [("/ok", 200), ("/gone", 410), ("/broken", 503), ("/big.bin", 200)]);
    let first = &met[0].span;
    assert_eq!((first.kind, text(first, "client.address")), (SpanKind::Server, "127.0.0.1"));
    assert_eq!(services(&met), ["nginx"], "named after the process");
    assert_eq!(number(&met[3].span, "http.response.body.size"), 3 << 20, "sent by sendfile");

    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = Client::tcp(server.address);
                (0..50).for_each(|_| assert_eq!(client.get("/ok"), 4));
            });
        }
    });
    assert_eq!(spans(&mut capture, 400).len(), 400);
    // The last question is a request as well.
    let after = served(server.address);
    assert_eq!(spans(&mut capture, 1).len(), 1);
    let stats = end(capture);
    assert_eq!(stats.server.account.spans, after - before);
    assert_eq!((stats.server.connections, stats.server.late, stats.client.connections), (10, 0, 0));
    assert_eq!(stats.server.account.lost.total(), 0);
    // TCP may send again what it has not heard of in time, but not each byte.
    let (sent, again) = (stats.delivered_bytes, stats.server.stream.repeated_bytes);
    assert!(again < sent / 4, "both ends are here, and seen once: {again} of {sent}");
}

#[test]
fn only_what_is_asked_for_leaves_the_kernel() {
    let (Some(server), Some(other)) = (nginx(""), nginx("")) else { return };
    let Some(mut capture) = begin(builder().port(server.port())) else { return };
    (0..20).for_each(|_| assert_eq!(Client::tcp(other.address).get("/ok"), 4));
    capture.poll(&mut |_| ());
    assert_eq!(capture.stats().kernel.records, 0);
    // And the other way round, so that it is the port that decides.
    assert_eq!(Client::tcp(server.address).get("/ok"), 4);
    assert_eq!(spans(&mut capture, 1).len(), 1);
    assert!(end(capture).kernel.records > 0);
}

#[test]
fn a_process_is_followed_by_its_number_and_by_its_name() {
    let Some(server) = redis() else { return };
    for builder in [builder().pid(server.pid()), builder().process("redis-server")] {
        let Some(mut capture) = begin(builder) else { return };
        let mut client = Client::tcp(server.address);
        assert_eq!(client.redis(&["SET", "a", "1"]), "+OK\r\n");
        assert_eq!(client.redis(&["LPUSH", "a", "1"]).get(..10), Some("-WRONGTYPE"));
        // Other tests have servers of that name.
        let port = i64::from(server.port());
        let mut ours = Vec::new();
        crate::machine::until(|| {
            capture.poll(&mut |captured| {
                if number(&captured.span, "server.port") == port {
                    ours.push((captured.span.name.clone(), captured.span.is_error()));
                }
            });
            if ours.len() >= 2 { Ok(()) } else { Err(format!("{ours:?} {:?}", capture.stats())) }
        });
        assert_eq!(ours, [("SET".to_owned(), false), ("LPUSH".to_owned(), true)]);
        assert!(capture.finish(&mut |_| ()).is_balanced());
    }
}

#[test]
fn a_connection_that_was_open_before_is_followed_from_its_next_request() {
    let Some(server) = nginx("") else { return };
    let mut client = Client::tcp(server.address);
    assert_eq!(client.get("/ok"), 4);
    let Some(mut capture) = begin(builder().port(server.port())) else { return };
    (0..3).for_each(|_| assert_eq!(client.get("/ok"), 4));
    assert_eq!(spans(&mut capture, 3).len(), 3);
    drop(client);
    let stats = end(capture);
    assert_eq!((stats.server.connections, stats.server.late), (1, 1));
}

#[test]
fn where_everything_is_wanted_both_ends_of_a_connection_are_one() {
    let Some(server) = nginx("") else { return };
    // Over IPv6 too, by a client and a server of our own.
    let listener = TcpListener::bind("[::1]:0").unwrap();
    let six = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).unwrap();
        stream.write_all(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n").unwrap();
    });
    let Some(mut capture) = begin(builder()) else { return };
    let mut client = Client::tcp(server.address);
    (0..5).for_each(|_| assert_eq!(client.get("/ok"), 4));
    assert_eq!(Client::tcp(six).get("/six"), 0);
    let wanted = [server.port(), six.port()].map(i64::from);
    let mut ours = [0; 2];
    crate::machine::until(|| {
        capture.poll(&mut |captured| {
            let port = number(&captured.span, "server.port");
            wanted
                .iter()
                .zip(&mut ours)
                .filter(|(wanted, _)| **wanted == port)
                .for_each(|(_, count)| *count += 1);
        });
        if ours == [5, 1] { Ok(()) } else { Err(format!("{ours:?} {:?}", capture.stats())) }
    });
    drop(client);
    let stats = capture.finish(&mut |captured| {
        assert!(!wanted.contains(&number(&captured.span, "server.port")), "{captured:?}");
    });
    assert!(stats.is_balanced(), "{stats:?}");
}

#[test]
fn only_the_sockets_of_a_control_group_are_seen_where_one_is_named() {
    let (Some(server), Some(other)) = (redis(), redis()) else { return };
    let Some(group) = Group::with(server.pid()) else {
        return;
    };
    let folder = group.folder.clone();
    // Sockets belong to the group in which they were made: those of connections to come, to that of the listener.
    let Some(mut capture) = begin(builder().cgroup(&folder)) else { return };
    let listener = Client::tcp(server.address).redis(&["PING"]);
    assert_eq!(listener, "+PONG\r\n");
    assert_eq!(Client::tcp(other.address).redis(&["PING"]), "+PONG\r\n");
    capture.poll(&mut |_| ());
    assert_eq!(capture.stats().kernel.records, 0, "both listen since before the group was there");
    drop(capture);

    // A client that is moved into it, and then connects.
    let Some(mut capture) = begin(builder().cgroup(&folder)) else { return };
    let script = format!(
        "echo $$ > {}/cgroup.procs; exec 3<>/dev/tcp/127.0.0.1/{}; printf '*1\\r\\n$4\\r\\nPING\\r\\n' >&3; head -n 1 <&3",
        folder.display(),
        server.port()
    );
    let said = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout), "+PONG\r\n");
    let met = spans(&mut capture, 1);
    assert_eq!(
        (met[0].span.name.as_str(), number(&met[0].span, "server.port")),
        ("PING", i64::from(server.port()))
    );
    assert!(capture.finish(&mut |_| ()).is_balanced());
    drop(server);
    drop(group);
}

#[test]
fn a_policy_says_how_much_leaves_the_kernel() {
    let Some(server) = nginx("") else { return };
    let Some(mut capture) = begin(builder().port(server.port()).policy(Policy::Length)) else { return };
    assert_eq!(Client::tcp(server.address).get("/big.bin"), 3 << 20);
    crate::machine::until(|| {
        capture.poll(&mut |captured| panic!("a span of nothing: {captured:?}"));
        if capture.stats().server.closed == 1 { Ok(()) } else { Err(format!("{:?}", capture.stats())) }
    });
    let stats = end(capture);
    assert_eq!(stats.captured_bytes, 0);
    assert!(stats.delivered_bytes > 3 << 20, "{stats:?}");

    // Heads are enough for a span, also of a long answer.
    let Some(mut capture) = begin(builder().port(server.port()).policy(Policy::Head(512))) else { return };
    assert_eq!(Client::tcp(server.address).get("/big.bin"), 3 << 20);
    let met = spans(&mut capture, 1);
    assert_eq!(number(&met[0].span, "http.response.body.size"), 3 << 20);
    let stats = end(capture);
    assert!(stats.captured_bytes * 50 < stats.delivered_bytes, "{stats:?}");
}

#[cfg(feature = "tokio")]
#[test]
fn a_capture_can_be_awaited_and_given_up_without_a_loss() {
    use std::time::Duration;
    let Some(server) = nginx("") else { return };
    let Some(mut capture) = begin(builder().port(server.port())) else { return };
    let stopper = capture.stopper();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let paths = runtime.block_on(async {
        // Nobody has asked for anything yet.
        let none = tokio::time::timeout(Duration::from_millis(20), capture.next_span()).await;
        assert!(none.is_err());
        let mut client = Client::tcp(server.address);
        ["/ok", "/gone"].iter().for_each(|path| assert_eq!(client.get(path), 4));
        let mut paths = Vec::new();
        while paths.len() < 2 {
            // Given up again and again, it still gives each once.
            if let Ok(next) = tokio::time::timeout(Duration::from_millis(1), capture.next_span()).await {
                paths.push(text(&next.unwrap().span, "url.path").to_owned());
            }
        }
        stopper.stop();
        assert!(capture.next_span().await.is_none());
        paths
    });
    assert_eq!(paths, ["/ok", "/gone"]);
    end(capture);
}
