//! The tap beside a proxy that only copies: nginx behind each, wrk in front.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use otlp_core::sink::Sink;
use otlp_core::stats::Stats;
use otlp_ebpf::tap::{Tap, TapConfig, TappedSpan};
use otlp_ebpf::{IdSource, Service};

use crate::measure::{Effort, Row};

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

type Failure = Box<dyn std::error::Error>;

fn measure(rounds: usize) -> Result<Vec<Row>, Failure> {
    let server = Nginx::start()?;
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
                    latency: load(&wrk, *to, 1)?.latency,
                    throughput: load(&wrk, *to, 32)?.throughput,
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

/// One second of requests over so many connections.
fn load(wrk: &Path, to: SocketAddr, connections: u32) -> Result<Measured, Failure> {
    let output = Command::new(wrk)
        .args(["--latency", "-t1", "-d1s", &format!("-c{connections}"), &format!("http://{to}/ok")])
        .output()?;
    let said = String::from_utf8(output.stdout)?;
    let of = |key: &str| said.lines().find_map(|line| line.trim().strip_prefix(key)).map(str::trim);
    if said.contains("Non-2xx") || said.contains("Socket errors") {
        return Err(said.into());
    }
    let latency = of("50%").and_then(micros).ok_or("wrk tells no latency")?;
    let throughput =
        of("Requests/sec:").and_then(|text| text.parse().ok()).ok_or("wrk tells no throughput")?;
    Ok(Measured { latency, throughput })
}

fn micros(text: &str) -> Option<f64> {
    let units = [("us", 1.0), ("ms", 1e3), ("s", 1e6)];
    units.iter().find_map(|(unit, factor)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * factor))
}

fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(usual).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// An nginx that answers at once; it goes with the value, and its folder too.
struct Nginx {
    child: Child,
    folder: PathBuf,
    address: SocketAddr,
}

const CONFIG: &str = "daemon off; master_process off; pid nginx.pid; error_log stderr crit;
events { worker_connections 256; }
http {
    access_log off; keepalive_requests 100000000;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    server { listen 127.0.0.1:PORT; location /ok { return 200 'fine'; } }
}
";

impl Nginx {
    fn start() -> Result<Self, Failure> {
        let nginx = program("nginx").ok_or("nginx missing, install with apt-get install nginx")?;
        let folder = std::env::temp_dir().join(format!("otlp-benches-nginx-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let config = folder.join("nginx.conf");
        std::fs::write(&config, CONFIG.replace("PORT", &address.port().to_string()))?;
        let mut command = Command::new(nginx);
        command.arg("-p").arg(&folder).arg("-c").arg(&config);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let server = Self { child, folder, address };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            if begun.elapsed() > Duration::from_secs(10) {
                return Err("nginx does not start".into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(server)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = (self.child.kill(), self.child.wait(), std::fs::remove_dir_all(&self.folder));
    }
}
