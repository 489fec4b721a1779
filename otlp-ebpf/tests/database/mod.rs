//! Real database servers for tests: children on loopback, each in a folder of its own, gone with the test.

#![allow(dead_code, reason = "each test uses its part")]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::loopback::until;

/// Says what is missing; with `OTLP_REQUIRE=all` that is a failure.
pub(crate) fn missing<T>(what: &str) -> Option<T> {
    assert_ne!(std::env::var("OTLP_REQUIRE").as_deref(), Ok("all"), "required, but missing: {what}");
    println!("skipped: {what}");
    None
}

/// Finds a program, or says how to get it.
pub(crate) fn required(program: &str, package: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    // Debian keeps PostgreSQL's programs by version.
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    folders.extend(versions.map(|version| version.path().join("bin")));
    let found = folders.into_iter().map(|folder| folder.join(program)).find(|file| file.is_file());
    found.or_else(|| missing(&format!("{program}, install with apt-get install {package}")))
}

/// A Python that can import `modules`: that of `OTLP_PYTHON`, or the system's.
pub(crate) fn python(modules: &str, packages: &str) -> Option<String> {
    let imports = |python: &String| {
        let import = format!("import {modules}");
        Command::new(python).args(["-c", &import]).output().is_ok_and(|output| output.status.success())
    };
    let system = ["python3", "/usr/bin/python3"].map(str::to_owned);
    let found = std::env::var("OTLP_PYTHON").into_iter().chain(system).find(imports);
    found.or_else(|| missing(&format!("OTLP_PYTHON=the python of a venv with: pip install {packages}")))
}

/// Runs a program to its end; gives what it printed, fails with what it complained of.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let [told, complained] =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    assert!(output.status.success(), "{command:?}: {told} {complained}");
    told
}

/// A server that ends with the test, and its folder with it.
pub(crate) struct Database {
    child: Child,
    folder: PathBuf,
    pub(crate) address: SocketAddr,
}

/// A folder that nobody else has.
fn folder(name: &str) -> PathBuf {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("otlp-ebpf-{name}-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

impl Database {
    fn start(folder: PathBuf, command: impl Fn(&Path, u16) -> Command) -> Self {
        let spawn = |folder: &Path| {
            // The port is free now; where somebody takes it before the server does, another one is tried.
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let log = std::fs::File::create(folder.join("server.log")).unwrap();
            let mut command = command(folder, address.port());
            command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
            (command.spawn().unwrap(), address)
        };
        let (child, address) = spawn(&folder);
        let mut server = Self { child, folder, address };
        for _ in 0..20 {
            let mut ended = false;
            until(|| {
                ended = server.child.try_wait().unwrap().is_some();
                if ended { Ok(()) } else { TcpStream::connect(server.address).map(drop) }
            });
            if !ended {
                return server;
            }
            (server.child, server.address) = spawn(&server.folder);
        }
        let log = std::fs::read_to_string(server.path("server.log")).unwrap_or_default();
        unreachable!("does not start: {log}");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // It may have ended already. Its own children see that it is gone.
        let _ = self.child.kill();
        self.child.wait().unwrap();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// True for the user that PostgreSQL does not run as.
fn is_root() -> bool {
    run(Command::new("id").arg("-u")).trim() == "0"
}

/// The command, run by the user `postgres` where we are root.
fn as_postgres(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
    command
}

/// A PostgreSQL server; `eve` logs in with the password `hunter2`, everybody else without.
pub(crate) fn postgres() -> Option<Database> {
    let initdb = required("initdb", "postgresql")?;
    let server = required("postgres", "postgresql")?;
    let folder = folder("postgres");
    if is_root() {
        if !Command::new("setpriv").arg("--version").output().is_ok_and(|output| output.status.success()) {
            return missing("setpriv, install with apt-get install util-linux");
        }
        run(Command::new("chown").arg("postgres:postgres").arg(&folder));
    }
    let data = folder.join("data");
    let mut command = as_postgres(&initdb);
    command.args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "-D"]);
    run(command.arg(&data).current_dir("/"));
    let rules = "host all eve 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n";
    std::fs::write(data.join("pg_hba.conf"), rules).unwrap();
    Some(Database::start(folder, |folder, port| {
        let mut command = as_postgres(&server);
        command.arg("-D").arg(folder.join("data")).arg("-F").arg("-p").arg(port.to_string());
        command.args([
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "unix_socket_directories=",
            "-c",
            "shared_buffers=16MB",
        ]);
        command.current_dir("/");
        command
    }))
}

/// A MariaDB server; root logs in without a password.
pub(crate) fn mariadb() -> Option<Database> {
    let install = required("mariadb-install-db", "mariadb-server")?;
    let server = required("mariadbd", "mariadb-server")?;
    let folder = folder("mariadb");
    let user = run(Command::new("id").arg("-un")).trim().to_owned();
    let mut command = Command::new(install);
    // A server that starts removes what others keep in a folder of temporary files that they share.
    command.env("TMPDIR", &folder).args([
        "--no-defaults",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        "--skip-name-resolve",
    ]);
    command.arg(format!("--datadir={}", folder.join("data").display())).arg(format!("--user={user}"));
    run(&mut command);
    Some(Database::start(folder, |folder, port| {
        let mut command = Command::new(&server);
        command.env("TMPDIR", folder).args([
            "--no-defaults",
            "--skip-name-resolve",
            "--bind-address=127.0.0.1",
            "--local-infile=1",
        ]);
        command.args([
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-buffer-pool-size=16M",
            "--max-allowed-packet=64M",
        ]);
        command.arg(format!("--datadir={}", folder.join("data").display()));
        command.arg(format!("--socket={}", folder.join("socket").display()));
        command.arg(format!("--pid-file={}", folder.join("pid").display()));
        command.arg(format!("--port={port}")).arg(format!("--user={user}"));
        command
    }))
}
