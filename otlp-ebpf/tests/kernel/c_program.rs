//! Programs of `tests/peers/c`, built with the compiler that links Rust programs too.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::machine::{required, skip};

/// Builds a program, with these words to the compiler behind its source.
pub(crate) fn built(name: &str, more: &[&str]) -> Option<Built> {
    static BUILT: AtomicU32 = AtomicU32::new(0);
    let compiler = required("cc", "gcc")?;
    let number = BUILT.fetch_add(1, Ordering::Relaxed);
    let program = format!("peer-c-{name}-{}-{number}", std::process::id());
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(program);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/peers/c/{name}.c"));
    let mut command = Command::new(compiler);
    // Stacks are followed by frame pointers.
    command.args(["-O1", "-Wall", "-Wextra", "-Werror", "-pthread"]);
    command.args(["-fno-omit-frame-pointer", "-o"]);
    let output = command.arg(&program).arg(source).args(more).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(Built(program))
}

/// As [`built`], with OpenSSL within.
pub(crate) fn with_openssl_within(more: &[&str]) -> Option<Built> {
    let library = ["x86_64", "aarch64"].map(|machine| format!("/usr/lib/{machine}-linux-gnu/libssl.a"));
    if !library.iter().any(|library| Path::new(library).is_file()) {
        return skip("libssl.a missing, install with apt-get install libssl-dev");
    }
    let linked = ["-Wl,-Bstatic", "-lssl", "-lcrypto", "-Wl,-Bdynamic", "-ldl"];
    built("tls", &[&linked, more].concat())
}

/// A program that goes with the test.
pub(crate) struct Built(PathBuf);

impl Built {
    /// Starts it, and reads its first line.
    pub(crate) fn start(&self, words: &[&str]) -> (Running, String) {
        let mut running = self.wait(words);
        let line = running.line();
        (running, line)
    }

    /// Starts it; it waits for its input.
    pub(crate) fn wait(&self, words: &[&str]) -> Running {
        let mut child = Command::new(&self.0);
        child.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = child.spawn().unwrap();
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Running { child, input, output }
    }
}

impl Drop for Built {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

/// A program that ends with the test.
pub(crate) struct Running {
    child: Child,
    pub(crate) input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// Waits until it has ended by itself.
    pub(crate) fn ended(&mut self) {
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}
