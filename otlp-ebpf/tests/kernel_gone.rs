//! Nothing is left of a capture in the kernel, however it ends.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy.toml allows them in tests, but knows no helpers of tests"
)]
#![cfg(all(feature = "capture", target_os = "linux"))]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use aya::maps::loaded_maps;
use aya::programs::{loaded_links, loaded_programs};
use otlp_ebpf::capture::{Capture, Loader, Source, Tls};

/// The tests of this file count what this process holds, so they take turns.
static TURN: Mutex<()> = Mutex::new(());

/// What a process holds of the kernel: `prog_id 7`, `map_id 8`, `link_id 9`.
fn held(pid: u32) -> BTreeSet<String> {
    let folder = std::fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap();
    let texts = folder.flatten().filter_map(|file| std::fs::read_to_string(file.path()).ok());
    let ids = texts.flat_map(|text| {
        let of = |line: &str| {
            let (key, id) = line.split_once(':')?;
            ["prog_id", "map_id", "link_id"].contains(&key).then(|| format!("{key} {}", id.trim()))
        };
        text.lines().filter_map(of).collect::<Vec<_>>()
    });
    ids.collect()
}

/// What the kernel has, of whomever.
fn there() -> BTreeSet<String> {
    let programs = loaded_programs().flatten().map(|program| format!("prog_id {}", program.id()));
    let maps = loaded_maps().flatten().map(|map| format!("map_id {}", map.id()));
    let links = loaded_links().flatten().map(|link| format!("link_id {}", link.id()));
    programs.chain(maps).chain(links).collect()
}

/// Those that this is built with.
const LOADERS: &[Loader] = &[
    Loader::Aya,
    #[cfg(feature = "libbpf")]
    Loader::Libbpf,
];

fn begin(source: Source, loader: Loader) -> Option<Capture> {
    let builder = Capture::builder().source(source).port(9).tls(Tls::OpenSsl).ring_bytes(4096);
    match builder.loader(loader).build() {
        Ok(capture) => Some(capture),
        Err(error) => {
            assert_ne!(std::env::var("OTLP_REQUIRE").as_deref(), Ok("all"), "{error}");
            println!("skipped: {error}");
            None
        }
    }
}

/// Waits until nothing of this is there any more: the kernel frees a while after the last use.
fn gone(ids: &BTreeSet<String>) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(10) {
        if ids.is_disjoint(&there()) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

#[test]
fn nothing_is_left_of_a_capture_that_was_dropped() {
    let _turn = TURN.lock();
    let before = held(std::process::id());
    let each = LOADERS.iter().flat_map(|loader| [(Source::Network, *loader), (Source::Calls, *loader)]);
    for (source, loader) in each {
        let Some(capture) = begin(source, loader) else { return };
        let ids: BTreeSet<_> = held(std::process::id()).difference(&before).cloned().collect();
        let kinds = |kind: &str| ids.iter().filter(|id| id.starts_with(kind)).count();
        assert!(kinds("prog_id") >= 2 && kinds("map_id") >= 3 && kinds("link_id") >= 1, "{ids:?}");
        assert!(ids.is_subset(&there()), "they are found while they are there");
        drop(capture);
        assert!(gone(&ids), "{:?} of {ids:?}", ids.intersection(&there()).collect::<Vec<_>>());
        assert_eq!(held(std::process::id()), before);
    }
}

#[cfg(feature = "libbpf")]
#[test]
fn one_link_of_libbpf_stands_for_all_places_of_a_library_at_which_a_program_stands() {
    let _turn = TURN.lock();
    let mut python = Command::new("python3");
    python.args(["-c", "import ssl; print('there', flush=True); input()"]);
    let Ok(child) = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() else {
        assert_ne!(std::env::var("OTLP_REQUIRE").as_deref(), Ok("all"));
        return println!("skipped: python3 missing, install with apt-get install python3");
    };
    let mut child = Running(child);
    let mut line = String::new();
    BufReader::new(child.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let links = LOADERS.iter().filter_map(|loader| {
        let before = held(std::process::id());
        let builder = Capture::builder().source(Source::Network).pid(child.0.id()).tls(Tls::OpenSsl);
        let capture = builder.ring_bytes(4096).loader(*loader).build().ok()?;
        let ids: BTreeSet<_> = held(std::process::id()).difference(&before).cloned().collect();
        assert_eq!(capture.stats().libraries_left_out, 0);
        drop(capture);
        assert!(gone(&ids));
        Some(ids.iter().filter(|id| id.starts_with("link_id")).count())
    });
    let links: Vec<_> = links.collect();
    // Reads, writes and their _ex, each where it is entered and left, and the end: nine places of five programs.
    if let [aya, libbpf] = links[..] {
        assert_eq!(aya - libbpf, 9 - 5, "{links:?}");
    }
}

/// A child that is killed with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        self.0.wait().unwrap();
    }
}

#[test]
fn nothing_is_left_of_a_capture_that_was_killed() {
    const ROLE: &str = "OTLP_EBPF_TEST_CAPTURES";
    let _turn = TURN.lock();
    if std::env::var_os(ROLE).is_some() {
        // The child: captures until it is killed.
        let capture = begin(Source::Network, Loader::Aya);
        println!("captures {}", capture.is_some());
        capture.into_iter().flatten().for_each(drop);
        return;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "nothing_is_left_of_a_capture_that_was_killed", "--nocapture"]).env(ROLE, "1");
    let mut child = Running(command.stdout(Stdio::piped()).spawn().unwrap());
    let said = BufReader::new(child.0.stdout.take().unwrap());
    let line = said.lines().map_while(Result::ok).find(|line| line.contains("captures ")).unwrap();
    if !line.contains("captures true") {
        return;
    }
    let ids = held(child.0.id());
    assert!(!ids.is_empty() && ids.is_subset(&there()), "{ids:?}");
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    assert!(gone(&ids), "{:?} of {ids:?}", ids.intersection(&there()).collect::<Vec<_>>());
}

/// Bytes of memory that this process has to itself.
fn memory() -> u64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = text.lines().find(|line| line.starts_with("Private_Dirty:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

fn attach_and_detach(times: usize) {
    let _turn = TURN.lock();
    let before = held(std::process::id());
    let files = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let (open, mut used) = (files(), 0);
    for round in 0..times {
        // One with a listener that is ours, so that every way to look for processes is gone.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let source = if round % 2 == 0 { Source::Network } else { Source::Calls };
        let builder = Capture::builder().source(source).port(port).tls(Tls::OpenSsl).ring_bytes(4096);
        let Ok(mut capture) = builder.build() else {
            drop(begin(source, Loader::Aya));
            return;
        };
        assert!(capture.finish(&mut |_| ()).is_balanced());
        drop(capture);
        if round == times / 5 {
            used = memory();
        }
    }
    assert_eq!((held(std::process::id()), files()), (before, open));
    // A capture takes some hundred KiB of it; what an allocator keeps is bounded.
    let more = memory().saturating_sub(used);
    assert!(more < 1 << 20, "{more} bytes more after {times} captures");
}

#[test]
fn attaching_and_detaching_again_and_again_leaks_nothing() {
    attach_and_detach(10);
}

#[test]
#[ignore = "long: a thousand times, a minute"]
fn attaching_and_detaching_a_thousand_times_leaks_nothing() {
    attach_and_detach(1000);
}
