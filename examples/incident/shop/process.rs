//! One service as a process of its own: the side of the parent.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use otlp_core::{Error, ErrorKind};

use super::control::{Answer, Order, Settings};
use super::role::Role;

/// How long a child may take to answer a line.
const PATIENCE: Duration = Duration::from_secs(20);
/// Lines that a child may say before it is ready, such as those of a test harness it runs in.
const MAX_PREAMBLE: usize = 32;
/// Longest line that a child may say.
const MAX_LINE_BYTES: usize = 16 << 10;
/// Bytes of a dead child's standard error that an error shows.
const TAIL_BYTES: usize = 2_000;

/// What is started as a child: a program that calls [`child::run`](super::child::run) with the role.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    path: PathBuf,
    args: Vec<OsString>,
    role_flag: bool,
}

/// A child process and the way to talk with it. Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Process {
    role: Role,
    pid: u32,
    address: SocketAddr,
    stderr: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Program {
    /// This program itself, told its role by `--role`.
    ///
    /// # Errors
    /// The system does not say where this program is.
    pub(crate) fn this() -> Result<Self, Error> {
        let path = std::env::current_exe().map_err(|source| {
            Error::new(ErrorKind::Io, "cannot find this program to start it again").with_source(source)
        })?;
        Ok(Self { path, args: Vec::new(), role_flag: true })
    }

    /// This test program, which calls `child::run` in the test `entry` when `INCIDENT_ROLE` is set.
    #[cfg(test)]
    pub(crate) fn test_harness(entry: &str) -> Self {
        let args = [entry, "--exact", "--nocapture", "--test-threads=1"].map(OsString::from).to_vec();
        Self { args, role_flag: false, ..Self::this().unwrap() }
    }

    fn command(&self, role: Role) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.args);
        if self.role_flag {
            command.args(["--role", role.name()]);
        } else {
            command.env("INCIDENT_ROLE", role.name());
        }
        command
    }
}

impl Process {
    /// Starts the service `role`, which goes on to load its data: see [`ready`](Self::ready).
    ///
    /// # Errors
    /// The process cannot be started.
    pub(crate) fn start(program: &Program, role: Role, settings: &Settings) -> Result<Self, Error> {
        let failed = |source: std::io::Error| {
            Error::new(ErrorKind::Io, format!("{role}: cannot start")).with_source(source)
        };
        let stderr = settings.out.join("logs").join(format!("{role}.stderr"));
        let mut command = program.command(role);
        // The sampler leaves a temporary file behind; it shall lie where the run is cleaned up.
        command.env("TMPDIR", settings.out.join("tmp"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(File::create(&stderr).map_err(failed)?);
        let mut child = command.spawn().map_err(failed)?;
        let (sender, lines) = sync_channel(64);
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        if let Some(stdout) = stdout {
            let reader = std::thread::Builder::new().name(format!("{role} answers"));
            reader.spawn(move || read_lines(stdout, &sender)).map_err(failed)?;
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let pid = child.id();
        let mut process =
            Self { role, pid, address, stderr, inner: Mutex::new(Inner { child, stdin, lines }) };
        let inner = process.inner.get_mut().unwrap_or_else(PoisonError::into_inner);
        let sent = send(inner, &Order::Start(settings.clone()));
        if sent.is_err() {
            return Err(process.death());
        }
        Ok(process)
    }

    /// Waits until the service listens.
    ///
    /// # Errors
    /// It ended, or does not answer in time.
    pub(crate) fn ready(&mut self) -> Result<(), Error> {
        for _ in 0..MAX_PREAMBLE {
            let line = self.receive(&self.lock())?;
            if let Ok(Answer::Ready(port)) = line.parse() {
                self.address.set_port(port);
                return Ok(());
            }
        }
        Err(Error::new(ErrorKind::Refused, format!("{}: talks, but does not become ready", self.role)))
    }

    /// The service.
    pub(crate) const fn role(&self) -> Role {
        self.role
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub(crate) const fn pid(&self) -> u32 {
        self.pid
    }

    /// Says one thing and waits for the answer.
    ///
    /// # Errors
    /// It ended (with the end of what it wrote to standard error), did not answer in time, or refused.
    pub(crate) fn ask(&self, order: &Order) -> Result<Answer, Error> {
        let mut inner = self.lock();
        let line = match send(&mut inner, order) {
            Ok(()) => self.receive(&inner),
            Err(_) => Err(self.death_of(&mut inner.child)),
        };
        match line?.parse()? {
            Answer::Refused(reason) => {
                Err(Error::new(ErrorKind::Refused, format!("{}: {reason}", self.role)))
            }
            answer => Ok(answer),
        }
    }

    /// Looks whether the process still runs.
    ///
    /// # Errors
    /// It ended, with the end of what it wrote to standard error.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let mut inner = self.lock();
        match inner.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(_)) | Err(_) => Err(self.death_of(&mut inner.child)),
        }
    }

    /// Waits for the end of a process that was told to stop.
    ///
    /// # Errors
    /// It does not end in time, or ends badly.
    pub(crate) fn wait(&self) -> Result<(), Error> {
        let mut inner = self.lock();
        inner.stdin = None;
        loop {
            match inner.lines.recv_timeout(PATIENCE) {
                // What a test harness says at its end.
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => {
                    return Err(Error::new(ErrorKind::Timeout, format!("{}: does not end", self.role)));
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        match inner.child.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(_) | Err(_) => Err(self.death_of(&mut inner.child)),
        }
    }

    fn receive(&self, inner: &MutexGuard<'_, Inner>) -> Result<String, Error> {
        match inner.lines.recv_timeout(PATIENCE) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => {
                Err(Error::new(ErrorKind::Timeout, format!("{}: no answer in {PATIENCE:?}", self.role)))
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(Error::new(ErrorKind::Closed, self.last_words("ended")))
            }
        }
    }

    fn death(&mut self) -> Error {
        let message = self.last_words("ended");
        let _ = self.inner.get_mut().unwrap_or_else(PoisonError::into_inner).child.kill();
        Error::new(ErrorKind::Closed, message)
    }

    /// The error for a child that ended although nobody told it to.
    fn death_of(&self, child: &mut Child) -> Error {
        let status = child.try_wait().ok().flatten();
        let how =
            status.map_or_else(|| "does not listen".to_owned(), |status| format!("ended with {status}"));
        Error::new(ErrorKind::Closed, self.last_words(&how))
    }

    fn last_words(&self, how: &str) -> String {
        let text = std::fs::read(&self.stderr).unwrap_or_default();
        let tail = text.get(text.len().saturating_sub(TAIL_BYTES)..).unwrap_or_default();
        let tail = String::from_utf8_lossy(tail);
        let said = if tail.trim().is_empty() { "nothing" } else { tail.trim() };
        format!("{} (process {}) {how}; it last said: {said}", self.role, self.pid)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Whoever panicked while talking to the child left it as it was.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let inner = self.inner.get_mut().unwrap_or_else(PoisonError::into_inner);
        inner.stdin = None;
        // Both fail only for a process that ended already.
        let _ = inner.child.kill();
        let _ = inner.child.wait();
    }
}

/// CPU time that process `pid` used so far, in user and kernel mode; zero where it is gone.
pub(crate) fn cpu_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    let ticks = stat.ok().and_then(|stat| {
        // The name of the program is in parentheses and may hold spaces; times are fields 14 and 15.
        let (_, fields) = stat.rsplit_once(')')?;
        let mut times = fields.split_ascii_whitespace().skip(11);
        let (user, kernel): (u64, u64) = (times.next()?.parse().ok()?, times.next()?.parse().ok()?);
        Some(user + kernel)
    });
    // Linux counts these in hundredths of a second for every program, whatever its own tick.
    Duration::from_millis(ticks.unwrap_or(0) * 10)
}

fn send(inner: &mut Inner, order: &Order) -> std::io::Result<()> {
    match &mut inner.stdin {
        Some(stdin) => writeln!(stdin, "{order}"),
        None => Err(std::io::ErrorKind::BrokenPipe.into()),
    }
}

/// Hands on the child's lines until it closes its standard output.
fn read_lines(stdout: ChildStdout, lines: &SyncSender<String>) {
    let mut reader = BufReader::new(stdout);
    loop {
        let mut line = Vec::new();
        let mut limited = std::io::Read::take(&mut reader, MAX_LINE_BYTES as u64);
        let count = limited.read_until(b'\n', &mut line).unwrap_or(0);
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if count == 0 || lines.send(text).is_err() {
            return;
        }
    }
}
