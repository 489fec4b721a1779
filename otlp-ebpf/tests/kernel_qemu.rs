//! One conversation, captured by each hook in turn: in a kernel that has them all, which qemu runs, and in this one.
//!
//! The program that captures is `tests/peers/guest`: it is linked statically, and all there is in that machine.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy.toml allows them in tests, but knows no helpers of tests"
)]
#![cfg(all(feature = "capture", target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{OnceLock, mpsc};
use std::time::{Duration, Instant};

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Requests of the conversation (`REQUESTS` in `talk.rs`).
const REQUESTS: usize = 71;

/// Tells what is missing; with `OTLP_REQUIRE=all` that is a failure.
fn skip<T>(missing: &str) -> Option<T> {
    assert_ne!(std::env::var("OTLP_REQUIRE").as_deref(), Ok("all"), "{missing}");
    println!("skipped: {missing}");
    None
}

/// Builds the program, with the versions of this workspace: a package of its own, so that it needs nothing that tests do.
fn guest() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guest");
        fs::create_dir_all(&package).unwrap();
        let manifest = format!(
            "[package]\nname = \"guest\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
             [[bin]]\nname = \"guest\"\npath = {main:?}\n\
             [dependencies]\notlp-ebpf = {{ path = {here:?}, features = [\"capture\"] }}\n\
             rustix = {{ version = \"1\", default-features = false, features = [\"std\", \"mount\", \"system\"] }}\n\
             [profile.dev]\nopt-level = 1\ndebug = false\nstrip = true\n[workspace]\n",
            main = here.join("tests/peers/guest/main.rs"),
        );
        fs::write(package.join("Cargo.toml"), manifest).unwrap();
        fs::copy(here.join("../Cargo.lock"), package.join("Cargo.lock")).unwrap();
        let target = package.join("target");
        let mut command = Command::new(env!("CARGO"));
        command.args(["build", "--quiet", "--offline", "--target", TARGET, "--target-dir"]).arg(&target);
        // With a target that is named, what runs while it is built is not linked so.
        command.env("RUSTFLAGS", "-C target-feature=+crt-static").env_remove("CARGO_ENCODED_RUSTFLAGS");
        let output = command.current_dir(&package).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        target.join(TARGET).join("debug/guest")
    })
}

/// The kernel to run, and what runs it.
fn machine() -> Option<(PathBuf, PathBuf)> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&path).map(|folder| folder.join("qemu-system-x86_64"));
    let Some(qemu) = found.find(|file| file.is_file()) else {
        return skip("qemu-system-x86_64 missing, install with apt-get install qemu-system-x86");
    };
    let installed = || {
        let files = fs::read_dir("/boot").into_iter().flatten().flatten().map(|file| file.path());
        let is_right = |file: &PathBuf| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("vmlinuz-") && name.ends_with("-cloud-amd64")
        };
        files.filter(is_right).max()
    };
    match std::env::var_os("OTLP_GUEST_KERNEL").map(PathBuf::from).or_else(installed) {
        Some(kernel) if kernel.is_file() => Some((qemu, kernel)),
        _ => skip(
            "no kernel to run: name one in OTLP_GUEST_KERNEL (vmlinuz of Debian's linux-image-cloud-amd64), or install that",
        ),
    }
}

/// A server and a client of TLS with OpenSSL within, linked statically.
fn encrypted() -> Option<PathBuf> {
    static BUILT: AtomicU32 = AtomicU32::new(0);
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let number = BUILT.fetch_add(1, Ordering::Relaxed);
    let program = format!("guest-tls-{}-{number}", std::process::id());
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(program);
    let mut command = Command::new("cc");
    command.args(["-O1", "-static", "-o"]).arg(&program).arg(here.join("tests/peers/c/tls.c"));
    match command.args(["-lssl", "-lcrypto", "-ldl", "-pthread"]).output() {
        Ok(output) if output.status.success() => Some(program),
        _ => skip("cc or libssl.a missing, install with apt-get install gcc libssl-dev"),
    }
}

/// An archive of programs: the format that kernels unpack (`cpio -H newc`).
fn archive(programs: [(&str, &[u8]); 2]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let all = programs.into_iter().map(|(name, program)| (name, 0o100_755, program));
    for (name, mode, content) in all.chain([("TRAILER!!!", 0, &[][..])]) {
        let name = format!("{name}\0");
        let mut fields = [0; 13];
        (fields[1], fields[4], fields[6], fields[11]) = (mode, 1, content.len(), name.len());
        bytes.extend_from_slice(b"070701");
        fields.iter().for_each(|field| bytes.extend_from_slice(format!("{field:08X}").as_bytes()));
        for part in [name.as_bytes(), content] {
            bytes.extend_from_slice(part);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
    }
    bytes
}

/// A child that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        self.0.wait().unwrap();
    }
}

/// What the program says: its lines begin with a word of ours, since the console is the kernel's too.
fn said(mut command: Command) -> Vec<String> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut child = Running(child);
    let output = BufReader::new(child.0.stdout.take().unwrap());
    let (give, lines) = mpsc::channel();
    std::thread::spawn(move || {
        output.split(b'\n').map_while(Result::ok).try_for_each(|line| give.send(line))
    });
    let until = Instant::now() + Duration::from_secs(900);
    let mut all = Vec::new();
    while let Ok(line) = lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
        all.push(String::from_utf8_lossy(&line).trim_end().to_owned());
    }
    let said: Vec<_> =
        all.iter().filter_map(|line| line.split_once("otlp ").map(|(_, said)| said.to_owned())).collect();
    assert_eq!(said.last().map(String::as_str), Some("done"), "{all:#?}");
    said
}

/// By hook: what became of it, and how many spans differ from those of the first.
fn met(said: &[String]) -> BTreeMap<&str, (&str, Option<usize>)> {
    let mut met = BTreeMap::new();
    for line in said {
        if let Some((name, became)) = line.strip_prefix("hook ").and_then(|rest| rest.split_once(' ')) {
            met.insert(name, (became, None));
        } else if let Some((name, count)) =
            line.strip_prefix("difference ").and_then(|rest| rest.split_once(' '))
        {
            met.get_mut(name).unwrap().1 = Some(count.parse().unwrap());
        }
    }
    met
}

/// The account of a capture that saw all.
fn whole() -> String {
    format!(
        "spans {REQUESTS} requests {REQUESTS} lost 0 refused 0 unaccounted 0 0 unseen 0 unreadable 0 balanced true"
    )
}

#[test]
fn in_debians_kernel_all_four_hooks_give_the_same_spans() {
    let (Some((qemu, kernel)), Some(tls)) = (machine(), encrypted()) else { return };
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("guest-{}.cpio", std::process::id()));
    let [init, secret] = [guest(), &tls].map(|program| fs::read(program).unwrap());
    fs::remove_file(&tls).unwrap();
    fs::write(&file, archive([("init", &init), ("tls", &secret)])).unwrap();
    let mut command = Command::new(qemu);
    command.args(["-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", "512", "-no-reboot", "-nodefaults"]);
    command.args(["-display", "none", "-serial", "stdio", "-append", "console=ttyS0 quiet panic=-1"]);
    command.arg("-kernel").arg(kernel).arg("-initrd").arg(&file);
    let said = said(command);
    fs::remove_file(&file).unwrap();
    said.iter().filter(|line| !line.starts_with("span ")).for_each(|line| println!("{line}"));
    let whole = whole();
    let right = ["calls", "fentry", "kprobes", "network"].map(|name| (name, (whole.as_str(), Some(0))));
    assert_eq!(met(&said), right.into(), "{said:#?}");
    for hook in ["calls", "fentry", "kprobes", "network"] {
        let masked = line(&said, "masks", hook);
        assert!(masked.ends_with("masks of every protocol"), "{hook}: {masked}");
    }
    check_spans(&said);
    check_extremes(&said, &["calls", "fentry", "kprobes", "network"]);
    // Of 24 threads in one function the kernel has room to watch ten return.
    assert!(unseen(&said, "kprobes") > 0, "{said:#?}");
}

/// What was said of a hook in such a line.
fn line<'a>(said: &'a [String], what: &str, hook: &str) -> &'a str {
    let prefix = format!("{what} {hook} ");
    said.iter().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_default()
}

/// Requests of the crowd whose bytes moved unseen.
fn unseen(said: &[String], hook: &str) -> usize {
    number(line(said, "crowd", hook), "unseen")
}

/// The number behind a word.
fn number(line: &str, word: &str) -> usize {
    line.split(' ').skip_while(|met| *met != word).nth(1).unwrap().parse().unwrap()
}

/// Floods, crowds and TLS, by each hook that is there: every record and byte is accounted for.
fn check_extremes(said: &[String], hooks: &[&str]) {
    for hook in hooks {
        assert_eq!(
            line(said, "flood", hook),
            "dropped true delivered true unaccounted 0 0 balanced true",
            "{hook}"
        );
        let secret = line(said, "tls", hook);
        let is_exact =
            secret.contains(" unaccounted 0 0 unseen 0 unreadable 0 balanced true gone 2 secret 0 ");
        assert!(is_exact && secret.ends_with("unknown 0"), "{hook}: {secret}");
        // What is refused is the cipher text of the handshakes.
        assert!(secret.starts_with("spans 6 requests 6 lost 0 "), "{hook}: {secret}");
        let crowd = line(said, "crowd", hook);
        assert!(crowd.ends_with("and 0 bytes unaccounted 0 0 balanced true"), "{hook}: {crowd}");
        let [asked, spans, unseen] = ["asked", "spans", "unseen"].map(|word| number(crowd, word));
        // What was not seen is no span; the last of a connection leaves no gap before another.
        assert!(spans + unseen <= asked, "{hook}: {crowd}");
        if *hook != "kprobes" {
            assert_eq!((spans, unseen), (asked, 0), "{hook}: {crowd}");
        }
    }
}

/// The spans themselves: that they are equal would be little worth if all were wrong.
fn check_spans(said: &[String]) {
    let spans: Vec<_> = said.iter().filter_map(|line| line.strip_prefix("span ")).collect();
    assert_eq!(spans.len(), REQUESTS);
    let having =
        |texts: &[&str]| spans.iter().filter(|span| texts.iter().all(|text| span.contains(text))).count();
    assert_eq!(having(&["POST", "503", "/broken/", "http.request.body.size=Int(5000)"]), 15);
    assert_eq!(having(&["GET", "200", "/vector/", "http.response.body.size=Int(9)"]), 15);
    assert_eq!(having(&["/file", "http.response.body.size=Int(150000)"]), 2);
    assert_eq!(having(&["/big", "http.response.body.size=Int(200000)"]), 2);
    assert_eq!(having(&["/chunks", "http.response.body.size=Int(50)"]), 2);
    assert_eq!((having(&["secret"]), having(&["token"])), (0, 15));
}

/// Runs it in this kernel; nothing where no hook can be used.
fn here(words: &[&str]) -> Option<Vec<String>> {
    let tls = encrypted()?;
    let mut command = Command::new(guest());
    command.args(words).env("OTLP_GUEST_TLS", &tls);
    let said = said(command);
    fs::remove_file(tls).unwrap();
    let is_refused = met(&said).values().all(|(became, _)| became.starts_with("unavailable"));
    if is_refused { skip(&said.join("\n")) } else { Some(said) }
}

#[test]
fn in_this_kernel_each_hook_gives_the_same_spans_or_says_why_it_cannot() {
    let Some(said) = here(&[]) else { return };
    let whole = whole();
    for (name, (became, difference)) in met(&said) {
        match difference {
            Some(difference) => {
                assert_eq!((became, difference), (whole.as_str(), 0), "{name}: {said:#?}");
                check_extremes(&said, &[name]);
            }
            None => {
                assert!(became.starts_with(&format!("unavailable capture: {name}: ")), "{name}: {became}");
            }
        }
    }
    check_spans(&said);
}

#[test]
fn another_conversation_is_told_as_a_difference() {
    let Some(said) = here(&["altered"]) else { return };
    let differences: Vec<_> = met(&said).into_values().filter_map(|(_, difference)| difference).collect();
    assert!(differences.len() >= 2, "{said:?}");
    // Sixty of the paths differ, each of which is missed and met.
    assert_eq!(
        differences.iter().filter(|difference| **difference == 120).count(),
        differences.len() - 1,
        "{said:?}"
    );
}
