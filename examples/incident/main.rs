//! Runs a small real system, breaks it, and has the six crates find and explain what happened.
//!
//! ```console
//! $ cargo run --release --example incident -- --fault db-slow
//! ```
//!
//! One program, no services, no privileges: it starts itself again as six processes that talk HTTP/1.1, gRPC,
//! PostgreSQL and RESP over loopback, sees their requests through the kernel where it may and through a forwarding tap
//! in front of each where it may not, exports what it sees over OTLP to a receiver of its own, and analyses what
//! arrives. `target/incident/report.html` shows what came of it.

mod account;
mod analysis;
mod capture;
mod conformance;
mod export;
mod figure;
mod flags;
mod load;
mod page;
mod receive;
mod report;
mod run;
mod shop;
mod summary;

use std::error::Error as _;
use std::process::ExitCode;

use clap::Parser as _;

use flags::Flags;

fn main() -> ExitCode {
    let flags = Flags::parse();
    if let Some(role) = flags.role {
        return shop::child::run(role);
    }
    match run::run(&flags) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("incident: {error}");
            let mut source = error.source();
            while let Some(error) = source {
                eprintln!("  because: {error}");
                source = error.source();
            }
            ExitCode::FAILURE
        }
    }
}
