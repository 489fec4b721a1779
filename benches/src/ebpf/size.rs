//! How many crates a user of capture compiles, and how big a program with it is.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::measure::{Effort, Row};
use crate::nginx::Failure;

const CRATES: &str = "crates in the build with capture";
const DEFAULT: &str = "crates in the default build";
const BYTES: &str = "MB of trace_my_machine, static and stripped";

pub(super) const FIGURES: &[&str] = &[CRATES, DEFAULT, BYTES];

pub(super) fn rows(_: &Effort) -> Result<Vec<Row>, Failure> {
    Ok(vec![
        Row::count(DEFAULT, crates(&[])?, 45.0, None),
        Row::count(CRATES, crates(&["--features", "capture"])?, 45.0, None),
        Row::count(BYTES, megabytes()?, 2.0, None),
    ])
}

fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Where this was compiled its sources are.
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    command
}

fn said(command: &mut Command) -> Result<String, Failure> {
    let output = command.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The crate itself counted.
fn crates(features: &[&str]) -> Result<f64, Failure> {
    let mut command = cargo();
    command.args(["tree", "-p", "otlp-ebpf", "-e", "normal,build", "--prefix", "none"]).args(features);
    let said = said(&mut command)?;
    let names: BTreeSet<&str> =
        said.lines().filter_map(|line| line.split(' ').next()).filter(|name| !name.is_empty()).collect();
    Ok(f64::from(u32::try_from(names.len())?))
}

/// The example as a program of its own: built in place it would bring what the tests of the crate need.
fn megabytes() -> Result<f64, Failure> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).canonicalize()?;
    let folder = root.join("target/compare-ebpf");
    std::fs::create_dir_all(&folder)?;
    let manifest = MANIFEST.replace("ROOT", &root.display().to_string());
    std::fs::write(folder.join("Cargo.toml"), manifest)?;
    std::fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock"))?;
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut command = cargo();
    command.current_dir(&folder).args(["build", "--release", "--quiet", "--target", &host]);
    let script = folder.join("no_unwinding.ld");
    std::fs::write(&script, NO_UNWINDING)?;
    // With a target named, what runs while it is built is not static.
    let flags = ["-Ctarget-feature=+crt-static", "-Crelocation-model=static"].join("\x1f");
    let flags = format!("{flags}\x1f-Clink-arg=-Wl,-T,{}", script.display());
    command.env("CARGO_ENCODED_RUSTFLAGS", flags).env("CARGO_TARGET_DIR", &folder);
    said(&mut command)?;
    let file = folder.join(host).join("release/trace_my_machine");
    Ok(std::fs::metadata(file)?.len() as f64 / 1e6)
}

/// A tenth of the program is tables that say how to unwind its stack. What aborts on a panic never does, but the standard
/// library and that of C bring theirs; those of the start-up code have a name that it knows, and stay.
const NO_UNWINDING: &str = "SECTIONS { /DISCARD/ : {
    *(EXCLUDE_FILE(*crt1.o *crti.o *crtbegin*.o *crtend*.o *crtn.o) .eh_frame)
} } INSERT AFTER .text;
";

const MANIFEST: &str = "[package]
name = \"trace_my_machine\"
version = \"0.0.0\"
edition = \"2024\"

[[bin]]
name = \"trace_my_machine\"
path = \"ROOT/otlp-ebpf/examples/trace_my_machine.rs\"

[dependencies]
otlp-core = { path = \"ROOT/otlp-core\", default-features = false }
otlp-ebpf = { path = \"ROOT/otlp-ebpf\", default-features = false, features = [\"capture\"] }

# What whoever wants a small program sets.
[profile.release]
opt-level = \"z\"
lto = true
codegen-units = 1
panic = \"abort\"
strip = \"symbols\"

[workspace]
";
