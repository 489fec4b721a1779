//! What a hook says of what it saw, and what it is not to lose count of.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use otlp_ebpf::capture::{Capture, CaptureStats, Source, Tls};

use crate::Result;
use crate::talk::{Client, Server, Stopped, talk};

/// Waits at most so long for spans.
const PATIENCE: Duration = Duration::from_secs(20);

pub fn account(spans: usize, stats: &CaptureStats) -> String {
    let (records, bytes) = stats.unaccounted();
    format!(
        "spans {spans} requests {} lost {} refused {} unaccounted {records} {bytes} unseen {} unreadable {} balanced {}",
        stats.server.account.requests,
        stats.server.account.lost.total(),
        stats.server.account.refused,
        stats.kernel.unseen,
        stats.kernel.unreadable,
        stats.is_balanced(),
    )
}

/// The conversation, again and again, while nobody looks into a ring of 64 KiB.
pub fn flood(source: Source) -> Result<String> {
    let server = Server::start()?;
    let mut capture = Capture::builder().source(source).port(server.port).ring_bytes(64 << 10).build()?;
    for _ in 0..4 {
        talk(server.port, "flood")?;
        capture.poll(&mut |_| ());
        talk(server.port, "flood")?;
    }
    let stats = capture.finish(&mut |_| ());
    let (records, bytes) = stats.unaccounted();
    Ok(format!(
        "dropped {} delivered {} unaccounted {records} {bytes} balanced {}",
        stats.kernel.full_records > 100,
        stats.delivered_records > 100,
        stats.is_balanced(),
    ))
}

/// Connections whose threads wait in `read` at once: more than a kernel has room to watch returning.
const CROWD: usize = 24;

/// Requests of the crowd: each of its connections asks twice, and the last eight, when the others are gone, three times more.
const ASKED: usize = 2 * CROWD + 3 * 8;

/// Many threads of a server wait for what comes; says how many bytes were not seen, in requests, which are all as long.
pub fn crowd(source: Source) -> Result<String> {
    let server = Server::start()?;
    let mut capture = Capture::builder().source(source).port(server.port).build()?;
    let mut clients =
        (0..CROWD).map(|_| Client::connect(server.port)).collect::<std::io::Result<Vec<_>>>()?;
    for _ in 0..2 {
        clients.iter_mut().try_for_each(|client| client.get("/ok"))?;
    }
    clients.drain(..CROWD - 8);
    for _ in 0..3 {
        clients.iter_mut().try_for_each(|client| client.get("/ok"))?;
    }
    drop(clients);
    let begun = Instant::now();
    let mut spans = 0;
    while spans < ASKED && begun.elapsed() < Duration::from_secs(2) {
        capture.poll(&mut |_| spans += 1);
    }
    let stats = capture.finish(&mut |_| spans += 1);
    let (records, bytes) = stats.unaccounted();
    let request = u64::try_from(Client::request("GET", "/ok", "").len())?;
    Ok(format!(
        "asked {ASKED} spans {spans} unseen {} and {} bytes unaccounted {records} {bytes} balanced {}",
        stats.kernel.unseen / request,
        stats.kernel.unseen % request,
        stats.is_balanced(),
    ))
}

/// A server and a client with OpenSSL within; nothing where the program is not there.
pub fn encrypted(source: Source) -> Result<Option<String>> {
    let program = std::env::var("OTLP_GUEST_TLS").unwrap_or_else(|_| "/tls".to_owned());
    if !Path::new(&program).is_file() {
        return Ok(None);
    }
    let mut server = Command::new(&program);
    let mut server = Stopped(server.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?);
    let mut port = String::new();
    BufReader::new(server.0.stdout.take().ok_or("no output")?).read_line(&mut port)?;
    let port: u16 = port.trim().parse()?;
    let mut capture = Capture::builder().source(source).port(port).tls(Tls::OpenSsl).build()?;
    if !Command::new(&program).args(["ask", &port.to_string()]).status()?.success() {
        return Err("the client over TLS failed".into());
    }
    let mut spans = Vec::new();
    let begun = Instant::now();
    while spans.len() < 6 && begun.elapsed() < PATIENCE {
        capture.poll(&mut |span| spans.push(crate::told(&span, port)));
    }
    let stats = capture.finish(&mut |span| spans.push(crate::told(&span, port)));
    let having = |text: &str| spans.iter().filter(|span| span.contains(text)).count();
    Ok(Some(format!(
        "{} gone {} secret {} unknown {}",
        account(spans.len(), &stats),
        having("410"),
        having("hunter2"),
        stats.kernel.unknown
    )))
}
