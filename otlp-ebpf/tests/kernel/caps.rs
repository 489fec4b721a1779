//! Less is told where a cap is reached, and more again once it is calm.

use std::time::Duration;

use otlp_ebpf::capture::{Caps, Capture, CaptureBuilder, Level, Source};

use crate::machine::{Client, Server, begin, nginx, spans, until};

/// Far more than a ring of a page holds.
fn flood(server: &Server) {
    let mut client = Client::tcp(server.address);
    (0..100).for_each(|_| assert_eq!(client.get("/ok"), 4));
}

fn builder(server: &Server, source: Source) -> CaptureBuilder {
    Capture::builder().source(source).port(server.port()).ring_bytes(4096)
}

#[test]
fn a_flood_lowers_the_level_to_counters_and_calm_raises_it_again() {
    let Some(server) = nginx("") else { return };
    // Drops alone count.
    let caps = Caps::default().max_cpu(1000.0).interval(Duration::from_millis(1)).calm_intervals(3);
    for source in [Source::Network, Source::Calls] {
        let Some(mut capture) = begin(builder(&server, source).caps(caps)) else { return };
        capture.poll(&mut |_| ());
        let mut met = vec![Level::Payload];
        until(|| {
            flood(&server);
            while capture.poll(&mut |_| ()) > 0 {}
            let level = capture.stats().level;
            if met.last() != Some(&level) {
                met.push(level);
            }
            if level == Level::Counters { Ok(()) } else { Err(format!("{:?}", capture.stats())) }
        });
        assert_eq!(met, [Level::Payload, Level::Head, Level::Counters], "step by step");

        let before = capture.stats();
        flood(&server);
        let after = capture.stats();
        let records = after.kernel.records - before.kernel.records;
        assert!(records >= 200, "they are counted: {records}");
        assert_eq!(after.kernel.shed_records - before.kernel.shed_records, records, "and not told");
        assert_eq!(after.kernel.full_records, before.kernel.full_records);

        until(|| {
            capture.poll(&mut |_| ());
            if capture.stats().level == Level::Payload {
                Ok(())
            } else {
                Err(format!("{:?}", capture.stats()))
            }
        });
        assert_eq!(Client::tcp(server.address).get("/ok"), 4);
        assert_eq!(spans(&mut capture, 1).len(), 1, "spans are back");
        let stats = capture.finish(&mut |_| ());
        assert!(stats.level_changes >= 4 && stats.level_changes.is_multiple_of(2), "{stats:?}");
        assert_eq!(stats.unaccounted(), (0, 0), "{stats:?}");
        assert!(stats.is_balanced(), "{stats:?}");

        let mut wrong = stats;
        wrong.kernel.shed_records -= 1;
        assert!(!wrong.is_balanced(), "one that is shed and not counted is told");
    }
}

#[test]
fn without_caps_the_same_flood_is_dropped_and_the_level_stays() {
    let Some(server) = nginx("") else { return };
    let Some(mut capture) = begin(builder(&server, Source::Network)) else { return };
    for _ in 0..5 {
        flood(&server);
        while capture.poll(&mut |_| ()) > 0 {}
    }
    let stats = capture.finish(&mut |_| ());
    assert_eq!((stats.level, stats.level_changes, stats.kernel.shed_records), (Level::Payload, 0, 0));
    assert!(stats.kernel.full_records > 100, "{stats:?}");
    assert!(stats.kernel.nanos > 0 && stats.reader_time > Duration::ZERO, "{stats:?}");
}

#[test]
fn a_cap_on_cpu_is_kept_to() {
    let Some(server) = nginx("") else { return };
    // Whatever is done is too much.
    let caps = Caps::default().max_cpu(1e-9).interval(Duration::from_millis(1));
    let Some(mut capture) = begin(builder(&server, Source::Network).caps(caps)) else { return };
    until(|| {
        capture.poll(&mut |_| ());
        if capture.stats().level == Level::Counters { Ok(()) } else { Err(format!("{:?}", capture.stats())) }
    });
    flood(&server);
    let stats = capture.finish(&mut |_| ());
    assert_eq!((stats.kernel.full_records, stats.delivered_records), (0, 0), "{stats:?}");
    assert!(stats.kernel.shed_records >= 200 && stats.is_balanced(), "{stats:?}");
}
