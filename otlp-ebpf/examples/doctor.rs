//! Says what this kernel, and the capabilities that this program has, allow to be captured.
//!
//! `cargo run -p otlp-ebpf --features capture --example doctor`, as JSON with `-- --json`

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let report = otlp_ebpf::probe::probe();
    match std::env::args().nth(1).as_deref() {
        None => print!("{report}"),
        Some("--json") => println!("{}", report.to_json()),
        Some(other) => return Err(format!("{other}: expected nothing or --json").into()),
    }
    Ok(())
}
