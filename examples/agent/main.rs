//! Sees every request that is served on this machine, and exports it as OTLP.
//!
//! ```console
//! # cargo run --release --example agent -- --endpoint http://127.0.0.1:4318
//! ```
//!
//! Needs root, or the capabilities that `examples/deploy/daemonset.yaml` names; touches no process. Ends with SIGINT or
//! SIGTERM, and then says where every request is.

mod export;
mod flags;

use std::error::Error;
use std::future::poll_fn;
use std::process::ExitCode;
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use clap::Parser as _;
use otlp_core::transport::blocking::Client;
use otlp_ebpf::capture::{Capture, CaptureStats, Stopper};
use tokio::signal::unix::{SignalKind, signal};

use export::{Outgoing, Sent};
use flags::Flags;

/// How often the kernel's ring is emptied.
const POLL: Duration = Duration::from_millis(5);

fn main() -> ExitCode {
    match run() {
        Ok((stats, sent)) => {
            let [server, client] = [stats.server.account, stats.client.account];
            let requests = server.requests + client.requests;
            let spans = server.spans + client.spans;
            let full = stats.kernel.full_records;
            eprintln!("{requests} requests seen: {spans} spans, {} lost", requests - spans);
            eprintln!("{full} records of the kernel found its ring full");
            eprintln!("{sent}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("agent: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(CaptureStats, Sent), Box<dyn Error>> {
    let flags = Flags::parse();
    let stop = Stopper::default();
    stop_with_signals(stop.clone())?;
    let agent = Agent::start(&flags)?;
    agent.capture.hooks().iter().for_each(|hook| eprintln!("{hook}"));
    Ok(agent.run(&stop))
}

/// Sees and exports.
struct Agent {
    capture: Capture,
    outgoing: Outgoing,
}

impl Agent {
    /// From here on every request is seen.
    fn start(flags: &Flags) -> Result<Self, otlp_core::Error> {
        let client = flags.client()?;
        Ok(Self { capture: flags.capture()?.build()?, outgoing: Outgoing::new(Client::start(client)?) })
    }

    /// Passes on what is seen until it is told to stop; gives both accounts.
    fn run(mut self, stop: &Stopper) -> (CaptureStats, Sent) {
        let Self { capture, outgoing } = &mut self;
        while !stop.is_stopped() {
            let records = capture.poll(&mut |captured| outgoing.add(&captured));
            outgoing.send_when_due();
            if records == 0 {
                thread::sleep(POLL);
            }
        }
        let stats = capture.finish(&mut |captured| outgoing.add(&captured));
        (stats, self.outgoing.finish())
    }
}

fn stop_with_signals(stop: Stopper) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut interrupt, mut terminate) = {
        let _guard = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let either = |context: &mut Context<'_>| {
            let is_ready = interrupt.poll_recv(context).is_ready() || terminate.poll_recv(context).is_ready();
            if is_ready { Poll::Ready(()) } else { Poll::Pending }
        };
        runtime.block_on(poll_fn(either));
        stop.stop();
    })?;
    Ok(())
}

#[cfg(test)]
mod tests;
