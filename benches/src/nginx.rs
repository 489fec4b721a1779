//! nginx as a child, and wrk in front of it.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Why something could not be measured.
pub(crate) type Failure = Box<dyn std::error::Error>;

/// What wrk says of one second of requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Microseconds at the median.
    pub(crate) latency: f64,
    /// Requests a second.
    pub(crate) throughput: f64,
    /// Requests in all.
    pub(crate) requests: f64,
}

/// One second of requests for a path, over so many connections.
pub(crate) fn load(wrk: &Path, to: SocketAddr, connections: u32, path: &str) -> Result<Load, Failure> {
    let output = Command::new(wrk)
        .args(["--latency", "-t1", "-d1s", "-H", "Accept-Encoding: gzip", &format!("-c{connections}")])
        .arg(format!("http://{to}{path}"))
        .output()?;
    let said = String::from_utf8(output.stdout)?;
    let of = |key: &str| said.lines().find_map(|line| line.trim().strip_prefix(key)).map(str::trim);
    if said.contains("Non-2xx") || said.contains("Socket errors") {
        return Err(said.into());
    }
    let latency = of("50%").and_then(micros).ok_or("wrk tells no latency")?;
    let throughput =
        of("Requests/sec:").and_then(|text| text.parse().ok()).ok_or("wrk tells no throughput")?;
    let requests = said.lines().find_map(|line| line.trim().split_once(" requests in")?.0.parse().ok());
    Ok(Load { latency, throughput, requests: requests.ok_or("wrk tells no requests")? })
}

fn micros(text: &str) -> Option<f64> {
    let units = [("us", 1.0), ("ms", 1e3), ("s", 1e6)];
    units.iter().find_map(|(unit, factor)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * factor))
}

/// A program that is installed.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(usual).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// An nginx that answers at once, and at `/busy` with a file that it compresses; it goes with the value, and its folder too.
pub(crate) struct Nginx {
    child: Child,
    /// Where its files are.
    pub(crate) folder: PathBuf,
    pub(crate) address: SocketAddr,
}

const CONFIG: &str = "daemon off; master_process off; pid nginx.pid; error_log stderr crit;
events { worker_connections 256; }
http {
    access_log off; keepalive_requests 100000000;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    server {
        listen 127.0.0.1:PORT; root FOLDER; MORE
        location /ok { return 200 'fine'; }
        location /busy { gzip on; gzip_types *; gzip_min_length 1; gzip_http_version 1.0; }
    }
}
";

impl Nginx {
    /// Starts it on a free port, with more in its configuration, and waits until it listens there.
    pub(crate) fn start(more: &str) -> Result<Self, Failure> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let nginx = program("nginx").ok_or("nginx missing, install with apt-get install nginx")?;
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("otlp-benches-nginx-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let config = folder.join("nginx.conf");
        let text = CONFIG.replace("PORT", &address.port().to_string()).replace("MORE", more);
        std::fs::write(&config, text.replace("FOLDER", &folder.display().to_string()))?;
        let mut command = Command::new(nginx);
        command.arg("-p").arg(&folder).arg("-c").arg(&config);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let server = Self { child, folder, address };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            if begun.elapsed() > Duration::from_secs(10) {
                return Err("nginx does not start".into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(server)
    }

    /// Its number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// CPU time that it has had, by the accounting of the scheduler. What runs in interrupts while it does is in it: the
    /// kernel charges it to whoever is interrupted, unless it is built to tell the two apart.
    pub(crate) fn cpu(&self) -> Result<Duration, Failure> {
        let text = std::fs::read_to_string(format!("/proc/{}/schedstat", self.child.id()))?;
        let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok()).ok_or("no schedstat")?;
        Ok(Duration::from_nanos(nanos))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = (self.child.kill(), self.child.wait(), std::fs::remove_dir_all(&self.folder));
    }
}
