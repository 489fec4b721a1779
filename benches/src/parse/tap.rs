//! The tap beside a proxy that only copies: nginx behind each, wrk in front.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use otlp_core::sink::Sink;
use otlp_core::stats::Stats;
use otlp_ebpf::tap::{Tap, TapConfig, TappedSpan};
use otlp_ebpf::{IdSource, Service};

use crate::measure::{Effort, Row};
use crate::nginx::{Failure, Nginx, load, program};

const LATENCY: &str = "tap: latency added at the median, nginx and wrk, one connection";
const THROUGHPUT: &str = "tap: throughput, nginx and wrk, 32 connections";
const PEER: &str = "copying proxy";

/// Rounds at most: each takes some seconds.
const ROUNDS: usize = 9;

/// What is measured of one way to the server in one round.
#[derive(Debug, Clone, Copy)]
struct Measured {
    /// Microseconds at the median, one connection.
    latency: f64,
    /// Requests a second, many connections.
    throughput: f64,
}

/// Measures both, in turn; nothing, and why, where a program is missing.
#[expect(clippy::print_stderr, reason = "the report of a program")]
pub(super) fn rows(effort: &Effort) -> Vec<Row> {
    if ![LATENCY, THROUGHPUT].iter().any(|name| name.contains(&effort.only)) {
        return Vec::new();
    }
    match measure(effort.runs.min(ROUNDS)) {
        Ok(rows) => rows.into_iter().filter(|row| row.figure.contains(&effort.only)).collect(),
        Err(why) => {
            eprintln!("{LATENCY}: skipped: {why}\n{THROUGHPUT}: skipped: {why}");
            Vec::new()
        }
    }
}

fn measure(rounds: usize) -> Result<Vec<Row>, Failure> {
    let server = Nginx::start("")?;
    let wrk = program("wrk").ok_or("wrk missing, install with apt-get install wrk")?;
    let counted = Arc::new(Counted::default());
    let service = Service::new("nginx", Arc::new(IdSource::seeded(7)));
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let tap = Tap::start(TapConfig::new(listen, server.address, service), counted.clone())?;
    let copying = copying(server.address)?;
    let ways = [server.address, tap.local_addr(), copying];
    let mut met = Vec::with_capacity(rounds);
    for round in 0..rounds.max(1) {
        let mut measured = [None; 3];
        // Which goes first changes from round to round.
        for turn in 0..3 {
            let way = (turn + round) % 3;
            if let (Some(to), Some(slot)) = (ways.get(way), measured.get_mut(way)) {
                *slot = Some(Measured {
                    latency: load(&wrk, *to, 1, "/ok")?.latency,
                    throughput: load(&wrk, *to, 32, "/ok")?.throughput,
                });
            }
        }
        if let [Some(direct), Some(tapped), Some(copied)] = measured {
            met.push((direct, tapped, copied));
        }
    }
    let account = tap.shutdown(Duration::from_secs(2)).account;
    if account.lost.total() > account.lost.shutdown || counted.0.load(Ordering::Relaxed) != account.spans {
        return Err(format!("requests without spans: {account:?}").into());
    }
    Ok(rows_of(&met))
}

fn rows_of(met: &[(Measured, Measured, Measured)]) -> Vec<Row> {
    // Below a microsecond wrk tells nothing.
    let added = |way: &Measured, direct: &Measured| (way.latency - direct.latency).max(1.0);
    let row = |name: &str, pairs: Vec<(f64, f64)>, unit: &str, bar: f64, is_cost: bool| {
        let ratio =
            median(pairs.iter().map(|(ours, theirs)| if is_cost { theirs / ours } else { ours / theirs }));
        Row {
            figure: name.to_owned(),
            ours: format!("{:.1} {unit}", median(pairs.iter().map(|(ours, _)| *ours))),
            peer: PEER.to_owned(),
            theirs: format!("{:.1} {unit}", median(pairs.iter().map(|(_, theirs)| *theirs))),
            ratio: Some(ratio),
            bar: format!(">={bar:.2}"),
            ok: ratio >= bar,
        }
    };
    let latencies = met.iter().map(|(direct, tapped, copied)| (added(tapped, direct), added(copied, direct)));
    let throughputs = met.iter().map(|(_, tapped, copied)| (tapped.throughput, copied.throughput));
    vec![
        row(LATENCY, latencies.collect(), "us", 1.0 / 1.3, true),
        row(THROUGHPUT, throughputs.collect(), "requests/s", 0.8, false),
    ]
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Counts spans, and drops them.
#[derive(Debug, Default)]
struct Counted(AtomicU64);

impl Sink<TappedSpan> for Counted {
    fn accept(&self, _: TappedSpan) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn stats(&self) -> Stats {
        let taken = self.0.load(Ordering::Relaxed);
        Stats { accepted: taken, exported: taken, ..Stats::default() }
    }
}

/// A proxy on one thread, as the tap has one, that copies; gives where it listens. It goes with the process.
fn copying(upstream: SocketAddr) -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async move {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
            while let Ok((mut client, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let Ok(mut server) = tokio::net::TcpStream::connect(upstream).await else { return };
                    let _ = (client.set_nodelay(true), server.set_nodelay(true));
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
    });
    Ok(address)
}
