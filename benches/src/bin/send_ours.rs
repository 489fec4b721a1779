//! Exports with `otlp-core`; see `transport::sender`.

use std::process::ExitCode;

use otlp_benches::transport::sender::{Ours, run};

fn main() -> ExitCode {
    run::<Ours>()
}
