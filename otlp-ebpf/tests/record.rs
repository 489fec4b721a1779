//! What a tap records gives the very spans again that the tap gave.
#![cfg(all(feature = "replay", feature = "tap"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod loopback;

use std::io::Write;
use std::net::Shutdown;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use loopback::{LONG, Noise, Tapped, config, echo_targets, read_response, server};
use otlp_core::record::KeyValue;
use otlp_core::wire::Writer;
use otlp_ebpf::replay::{LogReplay, LogSummary, Recorder, RecorderConfig};
use otlp_ebpf::tap::{TapConfig, TapStats, TappedSpan};
use otlp_ebpf::{IdSource, Service, TracesEncoder};

/// A file in memory.
#[derive(Debug, Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

fn otlp<'s>(
    spans: impl IntoIterator<Item = (&'s Arc<otlp_core::record::Resource>, &'s otlp_core::record::Span)>,
) -> Vec<u8> {
    let mut encoder = TracesEncoder::default();
    spans.into_iter().for_each(|(resource, span)| encoder.add(resource, span));
    let mut request = Writer::new();
    encoder.finish(&mut request);
    request.as_slice().to_vec()
}

fn live(spans: &[TappedSpan]) -> Vec<u8> {
    otlp(spans.iter().map(|tapped| (&tapped.resource, &tapped.span)))
}

fn replayed(log: &[u8]) -> (Vec<u8>, LogSummary) {
    let mut spans = Vec::new();
    let summary = LogReplay::default()
        .run(log, &mut |service, span| spans.push((service.resource().clone(), span)))
        .unwrap();
    (otlp(spans.iter().map(|(resource, span)| (resource, span))), summary)
}

/// Keep-alive, pipelining, closed early and cut off, by several clients at once.
fn drive(tapped: &Tapped) {
    std::thread::scope(|scope| {
        for client in 0..4_u64 {
            scope.spawn(move || {
                let mut stream = tapped.connect();
                let mut noise = Noise(client + 1);
                for request in 0..20 {
                    let text = format!("GET /{client}/{request} HTTP/1.1\r\nHost: shop\r\n\r\n");
                    noise.write(&stream, text.as_bytes()).unwrap();
                    assert_eq!(read_response(&mut stream), format!("/{client}/{request}"));
                }
                stream.write_all(b"GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\nGET /c HT").unwrap();
                let _ = (read_response(&mut stream), read_response(&mut stream));
                if client % 2 == 0 {
                    stream.shutdown(Shutdown::Write).unwrap();
                }
            });
        }
    });
}

fn recorded(change: impl Fn(TapConfig) -> TapConfig) -> (Vec<TappedSpan>, TapStats, Vec<u8>) {
    let file = Shared::default();
    let recorder = Arc::new(Recorder::start(file.clone(), RecorderConfig::default()).unwrap());
    let tapped = Tapped::start(change(config(server(echo_targets))).record(Arc::clone(&recorder)));
    drive(&tapped);
    tapped.until(|stats| stats.accepted == 4 && stats.open == 0);
    let stats = tapped.tap.shutdown(LONG);
    let told = recorder.finish().unwrap();
    assert_eq!((told.lost_records, told.connections, told.waiting), (0, 4, 0));
    assert_eq!(told.written, file.bytes().len() as u64);
    (tapped.sink.take(), stats, file.bytes())
}

#[test]
fn a_replay_gives_the_bytes_that_the_tap_gave() {
    let (spans, stats, log) = recorded(|config| config);
    assert!(spans.len() >= 88);
    let (bytes, summary) = replayed(&log);
    assert_eq!(bytes, live(&spans));
    assert_eq!(summary.account, stats.account);
    assert_eq!(bytes, replayed(&log).0, "and gives them again");
    // The twin: one bit of a seed, and the identifiers are others.
    let mut reseeded = log.clone();
    let body = reseeded.windows(4).position(|bytes| bytes == b"shop").unwrap();
    reseeded[body] ^= 1;
    assert_ne!(replayed(&reseeded).0, bytes, "a damaged log is not taken for a whole one");
}

#[test]
fn resource_protocol_and_caller_are_in_the_log() {
    let (spans, _, log) = recorded(|config| {
        let upstream = server(echo_targets);
        let shop = Service::new("shop", Arc::new(IdSource::seeded(3)))
            .resource_attribute(KeyValue::new("service.version", "1.4.2"));
        let _ = config;
        TapConfig::new("127.0.0.1:0".parse().unwrap(), upstream, shop)
            .protocol(otlp_ebpf::tap::TapProtocol::only(otlp_ebpf::parse::infer::Builtin::Http1))
            .callers(Arc::new(|_, _| Some(Arc::<str>::from("order"))))
    });
    let (bytes, _) = replayed(&log);
    assert_eq!(bytes, live(&spans));
    let has = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    assert!(has(b"1.4.2") && has(b"order"));
}

#[test]
fn a_log_cut_off_anywhere_is_followed_as_far_as_it_goes() {
    let (spans, _, log) = recorded(|config| config);
    for cut in (16..log.len()).step_by(log.len() / 40) {
        let (_, summary) = replayed(&log[..cut]);
        assert!(summary.account.spans <= spans.len() as u64 && summary.account.is_balanced());
    }
}

/// Takes nothing until it is let go.
#[derive(Debug, Clone, Default)]
struct Stuck(Arc<(Mutex<bool>, Condvar)>, Shared);

impl Stuck {
    fn let_go(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let free = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(free, |free| !*free).unwrap());
        self.1.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_slow_disk_costs_records_and_never_the_connections() {
    let file = Stuck::default();
    let small = RecorderConfig::default().max_buffer_bytes(4096);
    let recorder = Arc::new(Recorder::start(file.clone(), small).unwrap());
    let tapped = Tapped::start(config(server(echo_targets)).record(Arc::clone(&recorder)));
    drive(&tapped);
    tapped.until(|stats| stats.accepted == 4 && stats.open == 0);
    let stats = tapped.tap.shutdown(Duration::from_secs(1));
    assert!(stats.account.spans >= 88, "the tap itself has lost nothing");
    let held = recorder.stats();
    assert!(held.lost_records > 0 && held.lost_bytes > 0 && held.waiting < (300 << 10), "{held:?}");
    file.let_go();
    let told = recorder.finish().unwrap();
    let (_, summary) = replayed(&file.1.bytes());
    assert!(summary.lost_records <= told.lost_records && summary.account.spans < stats.account.spans);
    assert_eq!(summary.connections, 4, "what is no payload finds room");
}

#[test]
fn a_log_stops_growing_at_its_bound() {
    let file = Shared::default();
    let bound = RecorderConfig::default().max_log_bytes(2000);
    let recorder = Arc::new(Recorder::start(file.clone(), bound).unwrap());
    let tapped = Tapped::start(config(server(echo_targets)).record(Arc::clone(&recorder)));
    drive(&tapped);
    tapped.tap.shutdown(LONG);
    let told = recorder.finish().unwrap();
    assert!(told.lost_records > 0);
    let (_, summary) = replayed(&file.bytes());
    assert!(summary.account.spans < 40, "{summary:?}");
}

/// Takes a few bytes and then fails.
#[derive(Debug)]
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_told_and_costs_the_connections_nothing() {
    let recorder = Arc::new(Recorder::start(Full(1000), RecorderConfig::default()).unwrap());
    let tapped = Tapped::start(config(server(echo_targets)).record(Arc::clone(&recorder)));
    drive(&tapped);
    let stats = tapped.tap.shutdown(LONG);
    assert!(stats.account.spans >= 80);
    assert!(recorder.finish().is_err());
    assert!(recorder.stats().failed);
}
