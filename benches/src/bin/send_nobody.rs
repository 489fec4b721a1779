//! The input of an exporter, without one; see `transport::sender`.

use std::process::ExitCode;

use otlp_benches::transport::sender::{Nobody, run};

fn main() -> ExitCode {
    run::<Nobody>()
}
