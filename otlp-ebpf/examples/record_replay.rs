//! Records what a tap sees of a small server, follows the log again, and shows that both give the same bytes.
//!
//! `cargo run -p otlp-ebpf --features replay,tap --example record_replay` or, to read a capture of your own,
//! `cargo run -p otlp-ebpf --features replay,tap --example record_replay -- FILE.pcap` (pcap, pcapng or event log).

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use otlp_core::record::Span;
use otlp_core::sink::MemorySink;
use otlp_core::wire::Writer;
use otlp_ebpf::replay::{LogReplay, Recorder, RecorderConfig, replay_capture};
use otlp_ebpf::tap::{Tap, TapConfig};
use otlp_ebpf::tracer::{Tracer, TracerConfig};
use otlp_ebpf::{IdSource, Service, TracesEncoder};

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1) {
        Some(path) => read(&path),
        None => record_and_replay(),
    }
}

fn record_and_replay() -> Result<(), Box<dyn Error>> {
    let path = std::env::temp_dir().join(format!("record_replay-{}.oel", std::process::id()));
    let recorder = Arc::new(Recorder::start(File::create(&path)?, RecorderConfig::default())?);
    let sink = Arc::new(MemorySink::new(10_000));
    let shop = Service::new("shop", Arc::new(IdSource::seeded(7)));
    let config = TapConfig::new("127.0.0.1:0".parse()?, serve()?, shop).record(Arc::clone(&recorder));
    let tap = Tap::start(config, sink.clone())?;
    for order in 1..=5 {
        let mut client = TcpStream::connect(tap.local_addr())?;
        write!(
            client,
            "GET /order/{order}?token=secret HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n"
        )?;
        client.read_to_end(&mut Vec::new())?;
    }
    let account = tap.shutdown(Duration::from_secs(2)).account;
    let recorded = recorder.finish()?;
    println!("tap     {} spans; {} records in {} bytes", account.spans, recorded.records, recorded.written);

    let mut live = TracesEncoder::default();
    sink.take().iter().for_each(|tapped| live.add(&tapped.resource, &tapped.span));
    let mut again = TracesEncoder::default();
    let summary = LogReplay::default().run(File::open(&path)?, &mut |service, span| {
        tell(service, &span);
        again.add(service.resource(), &span);
    })?;
    std::fs::remove_file(&path)?;
    let (live, again) = (bytes(live), bytes(again));
    println!("replay  {} spans; {} bytes of OTLP", summary.account.spans, again.len());
    if live != again {
        return Err("the replay gave other bytes than the tap".into());
    }
    println!("the same bytes");
    Ok(())
}

/// Prints the spans of a capture file or an event log.
fn read(path: &str) -> Result<(), Box<dyn Error>> {
    let mut spans = 0_u64;
    let mut out = |service: &Arc<Service>, span: Span| {
        spans += 1;
        tell(service, &span);
    };
    let mut tracer = Tracer::new(TracerConfig::new(1));
    let mut first = [0];
    File::open(path)?.read_exact(&mut first)?;
    // The byte that an event log begins with; captures begin with others.
    let is_log = first == [0x89];
    if is_log {
        println!("{:#?}", LogReplay::default().run(File::open(path)?, &mut out)?);
    } else {
        println!("{:#?}", replay_capture(File::open(path)?, &mut tracer, &mut out)?);
        tracer.finish(&mut out);
        println!("{:#?}", tracer.stats());
    }
    println!("{spans} spans");
    Ok(())
}

fn tell(service: &Service, span: &Span) {
    println!("{} {} {} {:?}", span.trace_id, service.name(), span.name, span.duration());
}

fn bytes(mut encoder: TracesEncoder) -> Vec<u8> {
    let mut request = Writer::new();
    encoder.finish(&mut request);
    request.as_slice().to_vec()
}

/// A server that answers every request with its target.
fn serve() -> Result<SocketAddr, std::io::Error> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let Ok(reader) = stream.try_clone() else { return };
            let head: Vec<_> = BufReader::new(reader)
                .lines()
                .map_while(Result::ok)
                .take_while(|line| !line.is_empty())
                .collect();
            let target = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
            let length = target.len();
            // A client that is gone needs no answer.
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{target}"
            );
        }
    });
    Ok(address)
}
