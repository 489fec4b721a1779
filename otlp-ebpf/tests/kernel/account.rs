//! Every record and byte is accounted for, also where the ring is far too small.

use otlp_ebpf::capture::{Capture, Source};

use crate::machine::{Client, begin, nginx};

#[test]
fn a_flood_through_a_small_ring_is_delivered_or_counted_to_the_last_byte() {
    let Some(server) = nginx("") else { return };
    for source in [Source::Network, Source::Calls] {
        let builder = Capture::builder().source(source).port(server.port()).ring_bytes(64 << 10);
        let Some(mut capture) = begin(builder) else { return };
        let mut spans = 0;
        for _ in 0..3 {
            // Nobody looks into the ring meanwhile.
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
        assert_eq!(stats.server.account.spans, spans);
        // No span carries what was never seen: all answers of this server are whole.
        assert!(spans < 1212, "{spans} spans of 1,212 requests");

        let mut wrong = stats;
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
