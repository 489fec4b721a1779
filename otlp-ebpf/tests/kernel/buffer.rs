//! Buffers of processors in the place of a ring, as kernels have them that have no ring.

use otlp_ebpf::capture::{Buffer, Capture, CaptureBuilder, Policy, Source};

use crate::account::overrun;
use crate::machine::{Client, Server, begin, end, nginx, number, spans, text};

fn builder(server: &Server, buffer: Buffer) -> CaptureBuilder {
    Capture::builder().source(Source::Network).port(server.port()).buffer(buffer)
}

/// Spans of one conversation, without times and identifiers.
fn told(server: &Server, buffer: Buffer) -> Option<Vec<String>> {
    let mut capture = begin(builder(server, buffer))?;
    assert_eq!(capture.stats().buffer, buffer);
    let mut client = Client::tcp(server.address);
    for path in ["/ok?token=hunter2", "/gone", "/broken", "/big.bin", "/ok"] {
        client.get(path);
    }
    drop(client);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Client::tcp(server.address);
                (0..50).for_each(|_| assert_eq!(client.get("/ok"), 4));
            });
        }
    });
    let met = spans(&mut capture, 205);
    let told = met.iter().map(|met| {
        let span = &met.span;
        let [status, bytes] =
            ["http.response.status_code", "http.response.body.size"].map(|key| number(span, key));
        let [path, query] = ["url.path", "url.query"].map(|key| text(span, key));
        format!("{} {} {path} {query} {status} {bytes} {:?}", met.service.name(), span.name, span.status)
    });
    let mut told: Vec<_> = told.collect();
    told.sort_unstable();
    let stats = end(capture);
    assert_eq!((stats.server.account.spans, stats.server.account.lost.total()), (205, 0), "{stats:?}");
    Some(told)
}

#[test]
fn buffers_of_processors_give_the_same_spans_as_a_ring() {
    let Some(server) = nginx("") else { return };
    let (Some(ring), Some(each)) = (told(&server, Buffer::Ring), told(&server, Buffer::PerProcessor)) else {
        return;
    };
    assert_eq!(ring, each);
    assert!(ring.iter().any(|span| span.contains("/big.bin  200 3145728")), "{ring:?}");
}

#[test]
fn a_flood_of_buffers_of_processors_is_delivered_or_counted_to_the_last_byte() {
    let Some(server) = nginx("") else { return };
    let Some(mut wrong) = overrun(builder(&server, Buffer::PerProcessor), &server) else { return };
    wrong.kernel.full_records -= 1;
    assert_eq!(
        (wrong.unaccounted(), wrong.is_balanced()),
        ((1, 0), false),
        "one that is dropped uncounted is told"
    );
}

#[test]
fn heads_are_masked_on_their_way_into_buffers_of_processors_too() {
    let Some(server) = nginx("") else { return };
    for (policy, leaves) in [(Policy::MaskedHeads, false), (Policy::Head(900), true)] {
        let Some(mut capture) = begin(builder(&server, Buffer::PerProcessor).policy(policy)) else { return };
        assert_eq!(Client::tcp(server.address).get("/ok?token=hunter2"), 4);
        let (mut records, mut spans) = (Vec::new(), 0);
        crate::machine::until(|| {
            capture.poll_with(&mut |bytes| records.extend_from_slice(bytes), &mut |_| spans += 1);
            if spans == 1 { Ok(()) } else { Err(format!("{:?}", capture.stats())) }
        });
        assert_eq!(records.windows(7).any(|window| window == b"hunter2"), leaves, "{policy:?}");
        assert!(capture.finish(&mut |_| ()).is_balanced());
    }
}
