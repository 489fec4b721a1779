//! A program that needs nothing but a kernel: it captures one scripted conversation by each hook that this kernel has, and
//! says what each saw. As the first process of a machine it mounts what it needs, and switches the machine off.
//!
//! guest             a line for each hook: what became of it, and where its spans differ from those of the first
//! guest altered     the same, but what each hook sees is another conversation: they must differ
//! guest serve       the server of the conversation
//!
//! Then, by each hook: what becomes of more than its ring has room for, of threads that wait within one function by the
//! dozen, and of requests over TLS, where the program `tests/peers/c/tls` is beside this one.

mod account;
mod talk;

use std::error::Error;
use std::time::{Duration, Instant};

use otlp_ebpf::capture::{Capture, CapturedSpan, Policy, Source};
use otlp_ebpf::probe::HookState;
use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, reboot};

use crate::account::{account, crowd, encrypted, flood};
use crate::talk::{REQUESTS, Server, serve, talk};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const HOOKS: [(&str, Source); 4] = [
    ("network", Source::Network),
    ("calls", Source::Calls),
    ("fentry", Source::Fentry),
    ("kprobes", Source::Kprobes),
];

fn main() -> Result<()> {
    let word = std::env::args().nth(1).unwrap_or_default();
    if word == "serve" {
        return Ok(serve()?);
    }
    let is_first = std::process::id() == 1;
    let done = if is_first { prepare() } else { Ok(()) }
        .and_then(|()| compare(&word))
        .and_then(|()| extremes(&word));
    match &done {
        Ok(()) => println!("otlp done"),
        Err(error) => println!("otlp failed {error}"),
    }
    if is_first {
        reboot(RebootCommand::PowerOff)?;
    }
    done
}

/// What a machine that has just begun is without.
fn prepare() -> Result<()> {
    for (kind, folder) in [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("cgroup2", "/sys/fs/cgroup"),
        ("devtmpfs", "/dev"),
        ("tmpfs", "/tmp"),
    ] {
        std::fs::create_dir_all(folder)?;
        mount(kind, folder, kind, MountFlags::empty(), None)?;
    }
    // IFF_UP: loopback has its address from then on.
    std::fs::write("/sys/class/net/lo/flags", "1")?;
    Ok(())
}

/// Loads the programs once more, to mask what they tell: what they were used as, and why.
fn masks(name: &str, source: Source, port: u16) {
    let builder = Capture::builder().source(source).port(port).policy(Policy::MaskedHeads).policies_by_group();
    match builder.build() {
        Ok(capture) => capture
            .hooks()
            .iter()
            .filter(|hook| hook.state() == HookState::Used)
            .for_each(|hook| println!("otlp masks {name} {hook}")),
        Err(error) => println!("otlp masks {name} {}", error.to_string().replace('\n', " | ")),
    }
}

fn compare(word: &str) -> Result<()> {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    println!("otlp kernel {}", kernel.trim_end());
    let mut first: Option<Vec<String>> = None;
    for (name, source) in HOOKS {
        let server = Server::start()?;
        let mut capture = match Capture::builder().source(source).port(server.port).build() {
            Ok(capture) => capture,
            Err(error) => {
                // On one line: what a verifier says has many, of which the last ones are why.
                let lines: Vec<String> = error.to_string().lines().map(str::to_owned).collect();
                let last = lines.get(lines.len().saturating_sub(12)..).unwrap_or_default().join(" | ");
                println!("otlp hook {name} unavailable {} {last}", lines.first().map_or("", String::as_str));
                continue;
            }
        };
        masks(name, source, server.port);
        let begun = Instant::now();
        talk(server.port, if word == "altered" { name } else { "same" })?;
        let mut spans = Vec::new();
        while spans.len() < REQUESTS && begun.elapsed() < Duration::from_secs(30) {
            capture.poll(&mut |span| spans.push(told(&span, server.port)));
        }
        let stats = capture.finish(&mut |span| spans.push(told(&span, server.port)));
        spans.sort_unstable();
        let first = first.get_or_insert_with(|| spans.clone());
        println!("otlp hook {name} {}", account(spans.len(), &stats));
        let missing = first.iter().filter(|span| !spans.contains(span)).map(|span| ('-', span));
        let added = spans.iter().filter(|span| !first.contains(span)).map(|span| ('+', span));
        let different: Vec<_> = missing.chain(added).collect();
        println!("otlp difference {name} {}", different.len());
        different.iter().take(4).for_each(|(sign, span)| println!("otlp {name} {sign} {span}"));
    }
    first.into_iter().flatten().for_each(|span| println!("otlp span {span}"));
    Ok(())
}

/// What a span says, but for identifiers, times and ports.
fn told(captured: &CapturedSpan, server: u16) -> String {
    let span = &captured.span;
    let attributes = span.attributes.iter().filter(|attribute| !attribute.key.ends_with(".port"));
    let attributes: Vec<_> =
        attributes.map(|attribute| format!("{}={:?}", attribute.key, attribute.value)).collect();
    let text = format!(
        "{} {} {:?} {:?} {}",
        captured.service.name(),
        span.name,
        span.kind,
        span.status,
        attributes.join(" ")
    );
    text.replace(&server.to_string(), "PORT")
}

/// What each hook makes of what is too much for it, and of TLS.
fn extremes(word: &str) -> Result<()> {
    if word == "altered" {
        return Ok(());
    }
    for (name, source) in HOOKS {
        // Whether it is there at all was told before.
        if Capture::builder().source(source).port(1).build().is_err() {
            continue;
        }
        println!("otlp flood {name} {}", flood(source)?);
        println!("otlp crowd {name} {}", crowd(source)?);
        if let Some(met) = encrypted(source)? {
            println!("otlp tls {name} {met}");
        }
    }
    Ok(())
}
