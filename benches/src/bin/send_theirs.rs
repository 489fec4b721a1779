//! Exports with `opentelemetry-otlp`; see `transport::sender`.

use std::process::ExitCode;

use otlp_benches::transport::sender::{Theirs, run};

fn main() -> ExitCode {
    run::<Theirs>()
}
