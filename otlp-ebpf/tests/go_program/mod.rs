//! Programs of `tests/peers/go`, built from what Debian installs; nothing is fetched.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Where Debian's packages put the sources of libraries.
const GOPATH: &str = "/usr/share/gocode";
const PACKAGES: &str = "golang-go golang-google-grpc-dev golang-golang-x-net-dev";

/// Builds a program, with these words to the compiler too. Its cache stays below the target directory, so that another
/// run has little to build.
pub(crate) fn built(name: &str, more: &[&str]) -> Option<Built> {
    static BUILT: AtomicU32 = AtomicU32::new(0);
    let libraries = ["google.golang.org/grpc", "golang.org/x/net/http2/h2c"];
    let found = libraries.iter().all(|library| Path::new(GOPATH).join("src").join(library).is_dir());
    let go = Command::new("go").arg("version").stdout(Stdio::null()).status();
    if !found || !go.is_ok_and(|status| status.success()) {
        let missing = format!("Go and its libraries missing, install with apt-get install {PACKAGES}");
        assert_ne!(std::env::var("OTLP_REQUIRE").as_deref(), Ok("all"), "{missing}");
        println!("skipped: {missing}");
        return None;
    }
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let number = BUILT.fetch_add(1, Ordering::Relaxed);
    let program = kept.join(format!("peer-{name}-{}-{number}", std::process::id()));
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/go");
    let output = Command::new("go")
        .arg("build")
        .args(more)
        .arg("-o")
        .arg(&program)
        .args([sources.join(format!("{name}.go")), sources.join("tls.go")])
        .env("GOCACHE", kept.join("go-cache"))
        .env("GOPATH", GOPATH)
        .envs([("GO111MODULE", "off"), ("GOFLAGS", ""), ("GOPROXY", "off"), ("CGO_ENABLED", "0")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(Built(program))
}

/// A program that goes with the test.
pub(crate) struct Built(PathBuf);

impl Built {
    /// Starts a server, and says on which port it listens.
    pub(crate) fn serve(&self, words: &[&str]) -> (Running, u16) {
        let mut server = Command::new(&self.0);
        server.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = Running(server.spawn().unwrap());
        let mut port = String::new();
        BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut port).unwrap();
        (server, port.trim().parse().unwrap())
    }

    /// Calls a server; gives what the client says that it counted.
    pub(crate) fn call(&self, words: &[&str]) -> String {
        let output = Command::new(&self.0).args(words).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Built {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

/// A server that ends with the test.
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        self.0.wait().unwrap();
    }
}
