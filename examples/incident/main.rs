//! Starts the shop, drives it, breaks it, and says what was counted.
//!
//! For now it runs the shop alone, without taps: the analysis comes with the integration.

mod flags;
mod load;
mod shop;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser as _;
use otlp_core::time::{Clock as _, SystemClock};
use otlp_core::{Error, UnixNanos};

use flags::Flags;
use load::{Load, LoadConfig, LoadReport};
use shop::{Counts, ProfileConfig, Program, Role, Shop, ShopConfig};

/// A moment of the run: the time, and CPU time used by then.
struct Mark {
    time: UnixNanos,
    cpu: BTreeMap<Role, Duration>,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    if let Some(role) = flags.role {
        return shop::child::run(role);
    }
    match run(&flags) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let mut cause: Option<&dyn std::error::Error> = Some(&error);
            while let Some(error) = cause {
                eprintln!("incident: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> Result<bool, Error> {
    let config = ShopConfig {
        seed: flags.seed,
        out: flags.out.clone(),
        profile: ProfileConfig::default(),
        program: Program::this()?,
    };
    let shop = Shop::start(&config)?;
    let addresses: BTreeMap<Role, SocketAddr> = shop
        .services()
        .into_iter()
        .map(|service| {
            println!("{:<10} {} process {}", service.role, service.address, service.pid);
            (service.role, service.address)
        })
        .collect();
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let address_of = |role| addresses.get(&role).copied().unwrap_or(nowhere);
    shop.connect(address_of)?;
    let target = address_of(Role::Gateway);
    let load = Load::start(&LoadConfig { target, rate_per_sec: flags.rate.into(), seed: flags.seed })?;
    let third = Duration::from_secs(flags.seconds().into()) / 3;
    let mut marks = vec![mark(&shop)];
    watch(&shop, &load, third)?;
    marks.push(mark(&shop));
    watch(&shop, &load, third)?;
    let since = shop.set_fault(flags.fault, true)?;
    println!("{}: {} since {since}", flags.fault.name(), flags.fault.description());
    marks.push(mark(&shop));
    watch(&shop, &load, third)?;
    marks.push(mark(&shop));
    let report = load.stop()?;
    for (from, to) in marks.iter().zip(marks.iter().skip(1)) {
        tell(&report, from, to);
    }
    println!("answers by status: {:?}", report.by_status());
    let settled = shop.counts()?;
    let counts = shop.stop()?;
    for role in Role::ALL {
        let own = counts.get(&role).map(Counts::to_line).unwrap_or_default();
        println!("{role:<10} {own}, log {}", Shop::log_path(&flags.out, role).display());
    }
    for fact in ["full_scans", "pairs_compared", "unreadable"] {
        println!("{fact}: {}", counts.values().map(|own| own.fact(fact)).sum::<u64>());
    }
    for window in Shop::profiles(&flags.out)? {
        let long = window.end.duration_since(window.start);
        println!("{} {} {long:.1?} {} samples", window.service, window.number, window.samples);
    }
    Ok(agree(&report, &counts) && settled == counts)
}

fn mark(shop: &Shop) -> Mark {
    Mark { time: SystemClock.now(), cpu: shop.cpu_times() }
}

/// Waits for `length`, looks after the services and says how far the load is.
fn watch(shop: &Shop, load: &Load, length: Duration) -> Result<(), Error> {
    let end = Instant::now() + length;
    while Instant::now() < end {
        let left = end.saturating_duration_since(Instant::now());
        std::thread::sleep(left.min(Duration::from_secs(5)));
        shop.check()?;
        println!("{:?}", load.progress());
    }
    Ok(())
}

/// Latency and CPU between two moments.
fn tell(report: &LoadReport, from: &Mark, to: &Mark) {
    let long = to.time.duration_since(from.time).as_secs_f64();
    let latencies = [0.5, 0.95, 0.99].map(|quantile| report.latency(quantile, from.time, to.time));
    println!("{long:.0} s: p50, p95, p99 {latencies:?}");
    for (role, used) in &to.cpu {
        let used = used.saturating_sub(from.cpu.get(role).copied().unwrap_or_default());
        println!("    {role:<10} {:5.1} % of a core", used.as_secs_f64() / long * 100.0);
    }
}

/// Whether what callers got and what the called served are the same numbers.
fn agree(report: &LoadReport, counts: &BTreeMap<Role, Counts>) -> bool {
    let mut fine = true;
    for role in Role::ALL {
        let served = counts.get(&role).map_or(0, Counts::served);
        let asked: u64 = match role {
            Role::Gateway => report.progress.answered,
            _ => counts.values().map(|caller| caller.calls_to(role)).sum(),
        };
        println!("{role:<10} served {served}, asked {asked}");
        fine &= served == asked;
    }
    fine
}
