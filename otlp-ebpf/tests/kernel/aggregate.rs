//! Requests counted in the kernel, beside what clients and servers count themselves.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use otlp_core::record::{KeyValue, MetricData};
use otlp_ebpf::Role;
use otlp_ebpf::capture::{Aggregation, Answered, Capture, CaptureBuilder, quantile_of};

use crate::machine::{Client, nginx, redis, required, skip, until};

fn begin(builder: CaptureBuilder) -> Option<Aggregation> {
    builder.aggregate().map_err(|error| error.to_string()).map_or_else(|why| skip(&why), Some)
}

/// Waits until so many requests are counted, then gives how each was answered, and how often.
fn counted(aggregation: &mut Aggregation, requests: u64) -> Vec<(Answered, u64)> {
    until(|| {
        let met: Vec<_> =
            aggregation.read().unwrap().iter().map(|series| (series.answered, series.requests)).collect();
        let sum: u64 = met.iter().map(|(_, count)| count).sum();
        if sum >= requests { Ok(met) } else { Err(format!("{sum} of {requests}: {:?}", aggregation.stats())) }
    })
}

#[test]
fn requests_of_curl_are_counted_by_the_class_of_their_status() {
    let (Some(server), Some(curl)) = (nginx(""), required("curl", "curl")) else { return };
    let Some(mut aggregation) = begin(Capture::builder().port(server.port())) else { return };
    let paths = ["/ok", "/ok", "/gone", "/broken", "/big.bin", "/none", "/ok"];
    let mut command = Command::new(curl);
    command.args(["--silent", "-w", "%{http_code} "]);
    for path in paths.iter().cycle().take(70) {
        command.args(["-o", "/dev/null"]).arg(format!("http://{}{path}", server.address));
    }
    let said = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let of_class = |class: char| said.split(' ').filter(|code| code.starts_with(class)).count() as u64;
    let right = ['2', '4', '5'].map(of_class);
    assert_eq!(right, [40, 20, 10], "{said}");
    let met = counted(&mut aggregation, 70);
    assert_eq!(met, [2, 4, 5].map(Answered::Http).into_iter().zip(right).collect::<Vec<_>>());
    let stats = aggregation.stats().unwrap();
    assert_eq!((stats.requests, stats.counted, stats.no_room, stats.waiting()), (70, 70, 0, 0));
}

#[test]
fn requests_of_wrk_are_counted_as_nginx_counts_them() {
    let (Some(server), Some(other), Some(wrk)) = (nginx(""), nginx(""), required("wrk", "wrk")) else {
        return;
    };
    let before = crate::machine::served(server.address);
    let Some(mut aggregation) = begin(Capture::builder().port(server.port())) else { return };
    for server in [&server, &other] {
        let mut command = Command::new(&wrk);
        command.args(["-t1", "-c8", "-d1s"]).arg(format!("http://{}/ok", server.address));
        assert!(command.output().unwrap().status.success());
    }
    // The question that tells is a request as well. wrk leaves when its second is over: what was under way then was
    // answered, or not.
    let served = crate::machine::served(server.address) - before;
    let met = counted(&mut aggregation, served);
    let answered: u64 = met.iter().filter(|(by, _)| *by == Answered::Http(2)).map(|(_, count)| count).sum();
    let nobody: u64 = met.iter().filter(|(by, _)| *by == Answered::Nobody).map(|(_, count)| count).sum();
    assert_eq!(answered + nobody, met.iter().map(|(_, count)| count).sum::<u64>(), "{met:?}");
    assert!(answered > 1000 && answered.abs_diff(served) <= 8 && nobody <= 8, "{served} served, {met:?}");
    let series = aggregation.read().unwrap();
    assert!(series.iter().all(|series| (series.port, series.role) == (server.port(), Role::Server)));
    let stats = aggregation.stats().unwrap();
    assert_eq!(stats.requests, stats.counted + stats.waiting());
}

/// A server of one connection, which says what it is told to a request, a while after.
fn slow(answers: &'static [(&'static [u8], Duration)]) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        for (answer, after) in answers {
            let mut request = [0; 4096];
            if stream.read(&mut request).unwrap() == 0 {
                return;
            }
            std::thread::sleep(*after);
            stream.write_all(answer).unwrap();
        }
    });
    address
}

#[test]
fn durations_are_in_the_bucket_that_they_belong_to() {
    const ANSWERS: &[(&[u8], Duration)] = &[
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Duration::from_millis(50)),
        // An interim answer is none, and the rest of one neither.
        (b"HTTP/1.1 100 Continue\r\n\r\n", Duration::from_millis(1)),
        (b"HTTP/1.1 503 No\r\nContent-Length: 3\r\n\r\n", Duration::from_millis(1)),
        (b"abc", Duration::ZERO),
    ];
    let address = slow(ANSWERS);
    let Some(mut aggregation) = begin(Capture::builder().port(address.port())) else { return };
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let mut answer = [0; 4096];
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(stream.read(&mut answer).unwrap() > 0);
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n").unwrap();
    assert!(stream.read(&mut answer).unwrap() > 0);
    stream.write_all(b"body").unwrap();
    assert!(stream.read(&mut answer).unwrap() > 0);
    stream.write_all(b"more").unwrap();
    drop(stream);
    assert_eq!(counted(&mut aggregation, 2), [(Answered::Http(2), 1), (Answered::Http(5), 1)]);
    let series = aggregation.read().unwrap();
    let took = series[0].total;
    assert!(took >= Duration::from_millis(50), "{took:?}");
    // The bucket's upper bound is at most a fourth root of two above; its lower one is below.
    let bound = series[0].quantile(0.5).unwrap();
    assert!(bound >= took && bound.as_secs_f64() <= took.as_secs_f64() * 1.19 + 1e-6, "{took:?} {bound:?}");
    assert_eq!(quantile_of(&series, 1.0), Some(bound));

    let metrics = aggregation.to_metrics().unwrap();
    assert_eq!(metrics.len(), 1);
    assert_eq!((metrics[0].name.as_str(), metrics[0].unit.as_str()), ("http.server.request.duration", "s"));
    let Some(MetricData::ExponentialHistogram(data)) = &metrics[0].data else { panic!("{metrics:?}") };
    let failed = |at: usize| KeyValue::find(&data.points[at].attributes, "error.type").is_some();
    assert_eq!((data.points.len(), failed(0), failed(1)), (2, false, true));
    assert_eq!(data.points[0].sum, Some(took.as_secs_f64()));
}

#[test]
fn a_connection_that_ends_without_an_answer_is_counted_as_such() {
    let address = slow(&[(b"", Duration::ZERO)]);
    let Some(mut aggregation) = begin(Capture::builder().port(address.port())) else { return };
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(stream.read(&mut [0; 64]).unwrap_or(0), 0);
    assert_eq!(counted(&mut aggregation, 1), [(Answered::Nobody, 1)]);
    assert!(aggregation.read().unwrap()[0].is_error());
}

#[test]
fn other_protocols_are_counted_by_questions_and_answers_where_their_port_is_named() {
    let Some(server) = redis() else { return };
    let Some(mut aggregation) = begin(Capture::builder().process("redis-server").port(server.port())) else {
        return;
    };
    let mut client = Client::tcp(server.address);
    (0..20).for_each(|_| assert_eq!(client.redis(&["PING"]), "+PONG\r\n"));
    until(|| {
        let series = aggregation.read().unwrap();
        let ours: Vec<_> = series.iter().filter(|series| series.port == server.port()).collect();
        match ours[..] {
            [one] if (one.requests, one.answered) == (20, Answered::Other) => Ok(()),
            _ => Err(format!("{series:?}")),
        }
    });
}

#[test]
fn series_that_find_no_room_are_told() {
    let Some(server) = nginx("") else { return };
    let Some(mut aggregation) = begin(Capture::builder().port(server.port()).max_series(1)) else { return };
    let mut client = Client::tcp(server.address);
    for path in ["/ok", "/gone", "/ok", "/broken"] {
        client.get(path);
    }
    assert_eq!(counted(&mut aggregation, 2), [(Answered::Http(2), 2)]);
    let stats = aggregation.stats().unwrap();
    assert_eq!((stats.requests, stats.counted, stats.no_room), (4, 2, 2));
}

#[test]
fn control_groups_are_told_apart_where_one_is_named() {
    let Some(server) = nginx("") else { return };
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let Some(root) = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2")) else {
        skip::<()>("cgroup2 is not mounted");
        return;
    };
    let root = root.split(' ').nth(1).unwrap();
    let Some(mut aggregation) = begin(Capture::builder().cgroup(root).port(server.port())) else { return };
    assert_eq!(Client::tcp(server.address).get("/ok"), 4);
    counted(&mut aggregation, 1);
    assert!(aggregation.read().unwrap()[0].cgroup.is_some_and(|group| group > 0));
}

#[test]
fn what_is_served_to_this_machine_is_counted_once_over_ipv6_too() {
    let listener = TcpListener::bind("[::1]:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]).unwrap();
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    });
    let Some(mut aggregation) = begin(Capture::builder().port(address.port())) else { return };
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(b"DELETE /cart HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
    assert_eq!(counted(&mut aggregation, 1), [(Answered::Http(2), 1)]);
}

/// The example, where cargo has built it: with `cargo test` it does.
fn example() -> Option<std::path::PathBuf> {
    let tests = std::env::current_exe().unwrap();
    let file = tests.parent()?.parent()?.join("examples/rate_errors_duration");
    if file.is_file() { Some(file) } else { skip("the example rate_errors_duration is not built") }
}

#[test]
fn the_example_prints_a_table_of_what_was_asked() {
    use std::io::{BufRead, BufReader};

    let (Some(server), Some(example)) = (nginx(""), example()) else { return };
    if begin(Capture::builder().port(server.port())).is_none() {
        return;
    }
    let mut command = Command::new(example);
    command.args(["--once", &server.port().to_string()]);
    let pipe = std::process::Stdio::piped;
    let mut running = command.stdin(pipe()).stdout(pipe()).stderr(pipe()).spawn().unwrap();
    // It says when it has begun.
    let mut said = String::new();
    BufReader::new(running.stderr.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "counting\n");
    let mut client = Client::tcp(server.address);
    for path in ["/ok", "/gone", "/broken", "/ok"] {
        client.get(path);
    }
    // Its input ends.
    let output = running.wait_with_output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && table.lines().count() == 2, "{table}");
    let line = table.lines().last().unwrap();
    assert!(line.trim_start().starts_with(&server.port().to_string()), "{table}");
    assert!(line.ends_with("2xx 2, 4xx 1, 5xx 1"), "{table}");
}
