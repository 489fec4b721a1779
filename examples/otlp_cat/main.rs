//! Shows what is in an OTLP file: any signal, protobuf or JSON, as text, JSON or protobuf.
//!
//! ```console
//! $ cargo run --example otlp_cat -- target/incident/traces.jsonl
//! $ cargo run --example otlp_cat -- request.bin --to json | head
//! $ cargo run --example otlp_cat -- spans.json --to protobuf > spans.bin
//! ```
//!
//! Which signal and which format it is, the file itself says; `--signal` and `--from` say it instead. What cannot be
//! read is told on standard error with its offset and what was expected, and the exit status is not zero; of a
//! file of lines the good ones are shown all the same.

mod cat;
mod flags;
mod input;
#[cfg(test)]
mod tests;
mod text;

use std::fs;
use std::io::{self, BufWriter, ErrorKind, Read, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

use flags::Flags;

fn main() -> ExitCode {
    let flags = Flags::parse();
    let bytes = match read(&flags) {
        Ok(bytes) => bytes,
        Err(error) => {
            eprintln!("otlp_cat: {}: {error}", flags.file.display());
            return ExitCode::FAILURE;
        }
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let mut tell = |problem: &str| eprintln!("otlp_cat: {}: {problem}", flags.file.display());
    match cat::run(&flags, &bytes, &mut out, &mut tell).and_then(|good| out.flush().map(|()| good)) {
        Ok(true) => ExitCode::SUCCESS,
        // Whoever reads has seen enough, as `head` does.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("otlp_cat: standard output: {error}");
            ExitCode::FAILURE
        }
    }
}

fn read(flags: &Flags) -> io::Result<Vec<u8>> {
    if flags.file.as_os_str() != "-" {
        return fs::read(&flags.file);
    }
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}
