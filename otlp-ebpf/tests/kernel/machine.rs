//! What the tests of capture share: servers on loopback, clients, and captures of their ports alone.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use otlp_core::record::{AnyValue, KeyValue, Span};
use otlp_ebpf::capture::{Capture, CaptureBuilder, CaptureStats, CapturedSpan};

/// Tells what is missing; with `OTLP_REQUIRE=all` that is a failure.
pub(crate) fn skip<T>(missing: &str) -> Option<T> {
    assert_ne!(std::env::var("OTLP_REQUIRE").as_deref(), Ok("all"), "{missing}");
    println!("skipped: {missing}");
    None
}

/// Finds a program, or says how to get it.
pub(crate) fn required(program: &str, package: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let found = std::env::split_paths(&path).chain(usual).map(|folder| folder.join(program));
    let found = found.into_iter().find(|file| file.is_file());
    found.or_else(|| skip(&format!("{program} missing, install with apt-get install {package}")))
}

/// Waits for what others do; fails with the last state met when it takes far too long.
pub(crate) fn until<T>(mut ready: impl FnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        let met = match ready() {
            Ok(value) => return value,
            Err(met) => met,
        };
        assert!(begun.elapsed() < Duration::from_secs(30), "waited in vain: {met}");
        std::thread::yield_now();
    }
}

/// A server that ends with the test, and its folder with it.
pub(crate) struct Server {
    child: Child,
    pub(crate) folder: PathBuf,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts it on a free port, and waits until it listens there.
    pub(crate) fn start(name: &str, command: impl Fn(&Path, u16) -> Command) -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        loop {
            let number = STARTED.fetch_add(1, Ordering::Relaxed);
            let folder = format!("otlp-ebpf-kernel-{name}-{}-{number}", std::process::id());
            let folder = std::env::temp_dir().join(folder);
            std::fs::create_dir_all(&folder).unwrap();
            // The port is free now; where somebody takes it before the server does, another one is tried.
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let mut command = command(&folder, address.port());
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut server = Self { child: command.spawn().unwrap(), folder, address };
            let ended = until(|| match server.child.try_wait().unwrap() {
                Some(_) => Ok(true),
                None => TcpStream::connect(address).map(|_| false).map_err(|error| error.to_string()),
            });
            if !ended {
                return server;
            }
            assert!(number < 50, "{name} does not start");
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        self.child.wait().unwrap();
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

/// A control group of its own, which goes with the test.
pub(crate) struct Group {
    pub(crate) folder: PathBuf,
}

impl Group {
    /// With this process within.
    pub(crate) fn with(pid: u32) -> Option<Self> {
        let group = Self::empty(&pid.to_string())?;
        std::fs::write(group.folder.join("cgroup.procs"), pid.to_string()).unwrap();
        Some(group)
    }

    /// With nobody within.
    pub(crate) fn empty(name: &str) -> Option<Self> {
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        let mounted = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"));
        let root = mounted.and_then(|line| line.split(' ').nth(1)).unwrap_or("/sys/fs/cgroup");
        let folder = PathBuf::from(root).join(format!("otlp-ebpf-{}-{name}", std::process::id()));
        if std::fs::create_dir(&folder).is_err() {
            return skip("no control groups can be made here: cgroup2 is not mounted, or not writable");
        }
        Some(Self { folder })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its processes have been killed; where one is still about to end, the folder stays.
        let _ = std::fs::remove_dir(&self.folder);
    }
}

const NGINX: &str = "daemon off; master_process off; pid nginx.pid; error_log stderr crit;
events { worker_connections 256; }
http {
    access_log off; keepalive_requests 1000000; sendfile on;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    server {
        listen 127.0.0.1:PORT LISTEN;
        root FOLDER;
        location /ok { return 200 'fine'; }
        location /gone { return 410 'gone'; }
        location /broken { return 503 'broken'; }
        location /status { stub_status; }
    }
}
";

/// nginx, in plain text or what else `listen` says.
pub(crate) fn nginx(listen: &str) -> Option<Server> {
    nginx_with(listen, |_| ())
}

/// The same, with what is made beforehand in its folder, which `listen` may name: `FOLDER`.
pub(crate) fn nginx_with(listen: &str, make: impl Fn(&Path)) -> Option<Server> {
    let program = required("nginx", "nginx")?;
    nginx_by(listen, make, |_| Command::new(&program))
}

/// The same, as a process of another name: one that no other test has. Run at once, or by a shell that becomes it.
pub(crate) fn nginx_named(name: &str, by_shell: bool) -> Option<Server> {
    let program = required("nginx", "nginx")?;
    let make = |folder: &Path| {
        std::fs::copy(&program, folder.join(name)).unwrap();
    };
    nginx_by("", make, |folder| {
        let program = folder.join(name);
        if !by_shell {
            return Command::new(program);
        }
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 0.3; exec \"$0\" \"$@\""]).arg(program);
        command
    })
}

fn nginx_by(listen: &str, make: impl Fn(&Path), program: impl Fn(&Path) -> Command) -> Option<Server> {
    Some(Server::start("nginx", |folder, port| {
        make(folder);
        let text = NGINX.replace("LISTEN", listen).replace("PORT", &port.to_string());
        let text = text.replace("FOLDER", &folder.display().to_string());
        std::fs::write(folder.join("nginx.conf"), text).unwrap();
        std::fs::write(folder.join("big.bin"), vec![b'x'; 3 << 20]).unwrap();
        let mut command = program(folder);
        command.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf"));
        command
    }))
}

pub(crate) fn redis() -> Option<Server> {
    let program = required("redis-server", "redis-server")?;
    Some(Server::start("redis", |folder, port| {
        let mut command = Command::new(&program);
        command.args([
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--port",
            &port.to_string(),
        ]);
        command.arg("--unixsocket").arg(folder.join("redis.sock")).arg("--dir").arg(folder);
        command
    }))
}

/// Requests that nginx says it has served, this question counted.
pub(crate) fn served(address: SocketAddr) -> u64 {
    let mut direct = TcpStream::connect(address).unwrap();
    direct.write_all(b"GET /status HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    direct.read_to_string(&mut answer).unwrap();
    let counts = answer.lines().skip_while(|line| !line.starts_with("server accepts")).nth(1).unwrap();
    counts.split_whitespace().nth(2).unwrap().parse().unwrap()
}

/// Begins a capture, or says why there is none to be had.
pub(crate) fn begin(builder: CaptureBuilder) -> Option<Capture> {
    builder.build().map_err(|error| error.to_string()).map_or_else(|why| skip(&why), Some)
}

/// Polls until there are as many spans as there should be.
pub(crate) fn spans(capture: &mut Capture, wanted: usize) -> Vec<CapturedSpan> {
    let mut spans = Vec::new();
    until(|| {
        capture.poll(&mut |span| spans.push(span));
        if spans.len() >= wanted {
            return Ok(());
        }
        Err(format!("{} spans of {wanted}: {:?}", spans.len(), capture.stats()))
    });
    spans
}

/// Ends a capture: nothing more may come, and everything must be accounted for.
pub(crate) fn end(mut capture: Capture) -> CaptureStats {
    let mut more = Vec::new();
    let stats = capture.finish(&mut |span| more.push(span.span.name));
    assert_eq!(more, [""; 0], "spans nobody waited for");
    assert!(stats.is_balanced(), "{stats:?}");
    assert_eq!(stats.malformed, 0);
    stats
}

pub(crate) fn text<'a>(span: &'a Span, key: &str) -> &'a str {
    KeyValue::find(&span.attributes, key).and_then(AnyValue::as_str).unwrap_or_default()
}

pub(crate) fn number(span: &Span, key: &str) -> i64 {
    KeyValue::find(&span.attributes, key).and_then(AnyValue::as_int).unwrap_or(-1)
}

/// One connection of a client.
pub(crate) struct Client<S> {
    pub(crate) stream: S,
    /// As the spans say whom it asks.
    host: String,
}

impl Client<TcpStream> {
    pub(crate) fn tcp(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, host: address.to_string() }
    }
}

impl Client<UnixStream> {
    pub(crate) fn unix(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { stream, host: "a".to_owned() }
    }
}

impl<S: Read + Write> Client<S> {
    /// Asks for a path over HTTP/1.1, and reads the answer: its length.
    pub(crate) fn get(&mut self, path: &str) -> usize {
        self.stream
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.host).as_bytes())
            .unwrap();
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            self.stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        self.stream.read_exact(&mut body).unwrap();
        body.len()
    }

    /// Sends a command to Redis, and reads the line that answers it.
    pub(crate) fn redis(&mut self, words: &[&str]) -> String {
        let mut text = format!("*{}\r\n", words.len());
        words.iter().for_each(|word| text.extend(["$", &word.len().to_string(), "\r\n", word, "\r\n"]));
        self.stream.write_all(text.as_bytes()).unwrap();
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\r\n") {
            self.stream.read_exact(&mut byte).unwrap();
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap()
    }
}

/// The names of services, each once.
pub(crate) fn services(spans: &[CapturedSpan]) -> Vec<String> {
    let mut names: Vec<_> = spans.iter().map(|captured| captured.service.name().to_string()).collect();
    names.sort_unstable();
    names.dedup();
    names
}
