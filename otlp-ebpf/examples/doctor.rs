//! Says what this kernel, and the capabilities that this program has, allow to be captured.
//!
//! `cargo run -p otlp-ebpf --features capture --example doctor`, as JSON with `-- --json`; with the feature `libbpf` and
//! `-- --libbpf` it is that which loads what is tried.

use std::error::Error;

use otlp_ebpf::capture::Loader;
use otlp_ebpf::probe::probe_with;

fn main() -> Result<(), Box<dyn Error>> {
    let (mut is_json, mut loader) = (false, Loader::default());
    for word in std::env::args().skip(1) {
        match word.as_str() {
            "--json" => is_json = true,
            #[cfg(feature = "libbpf")]
            "--libbpf" => loader = Loader::Libbpf,
            "--aya" => loader = Loader::Aya,
            other => {
                return Err(format!("{other}: expected --json, --aya or, with that feature, --libbpf").into());
            }
        }
    }
    let report = probe_with(loader);
    if is_json {
        println!("{}", report.to_json());
    } else {
        print!("{report}");
    }
    Ok(())
}
