//! The system under observation: a small shop of six real processes that talk over loopback.
//!
//! ```text
//! load -> gateway -> order -> inventory -> cache   HTTP/1.1, then RESP2 with the cache
//!                       |         `------> db      PostgreSQL
//!                       `---> payment ---> db      gRPC, then PostgreSQL
//! ```
//!
//! [`Shop::start`] starts this program again as six children. Each listens on a port of its own and is told by
//! [`Shop::connect`] where its peers are, so that whoever runs the shop can put something in between. Nothing
//! here knows of observation: the services count, log and sample for themselves, which is the ground truth.

mod cache;
pub(crate) mod child;
mod context;
mod control;
mod counter;
mod db;
mod fault;
mod gateway;
pub(crate) mod grpc;
pub(crate) mod http;
mod inventory;
mod log;
mod order;
mod payment;
pub(crate) mod pool;
mod process;
mod profile;
pub(crate) mod random;
mod resp;
mod role;
mod server;
mod sql;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use otlp_core::time::{Clock as _, SystemClock};
use otlp_core::{Error, ErrorKind, UnixNanos};

pub(crate) use counter::Counts;
pub(crate) use db::{ACCOUNTS, PAST_ORDERS, PRODUCTS, account, order as order_name, sku};
pub(crate) use fault::Fault;
pub(crate) use process::Program;
pub(crate) use profile::{ProfileConfig, ProfileWindow};
pub(crate) use role::{Protocol, Role};

use control::{Answer, Order, Settings};
use process::Process;
use random::Random;

/// Folders under the run's folder that belong to the shop, and are emptied when it starts.
const FOLDERS: [&str; 3] = ["logs", "profiles", "tmp"];

/// What each service may hold, as the limit of a container that it could run in. Nobody enforces it.
pub(crate) const MEMORY_LIMIT_BYTES: u64 = 256 << 20;

/// How the shop runs.
#[derive(Debug, Clone)]
pub(crate) struct ShopConfig {
    /// What the records, the order of starting and so on follow from.
    pub(crate) seed: u64,
    /// Folder of the run: `logs/<service>.log`, `profiles/<service>-<n>.folded`.
    pub(crate) out: PathBuf,
    /// How the services sample themselves.
    pub(crate) profile: ProfileConfig,
    /// What is started as a child.
    pub(crate) program: Program,
}

/// Six running services. Dropping it kills them; [`stop`](Self::stop) is the orderly way.
#[derive(Debug)]
#[must_use]
pub(crate) struct Shop {
    processes: BTreeMap<Role, Process>,
    out: PathBuf,
}

/// Where a service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ServiceAddress {
    /// Which service.
    pub(crate) role: Role,
    /// Where it listens itself.
    pub(crate) address: SocketAddr,
    /// Its process.
    pub(crate) pid: u32,
}

impl Shop {
    /// Starts the six services, which do not know each other yet: see [`connect`](Self::connect).
    ///
    /// The seed decides the order of starting, and so which service has the lower process number.
    ///
    /// # Errors
    /// A folder cannot be made, or a service does not start; the error names it.
    pub(crate) fn start(config: &ShopConfig) -> Result<Self, Error> {
        for folder in FOLDERS {
            empty_folder(&config.out.join(folder))?;
        }
        let mut roles = Role::ALL;
        Random::new(config.seed, 0).shuffle(&mut roles);
        let ShopConfig { seed, out, profile, program } = config;
        let settings = Settings { seed: *seed, port: 0, profile: *profile, out: out.clone() };
        let mut processes = BTreeMap::new();
        for role in roles {
            processes.insert(role, Process::start(program, role, &settings)?);
        }
        for process in processes.values_mut() {
            process.ready()?;
        }
        Ok(Self { processes, out: out.clone() })
    }

    /// Where each service listens, callers before the called.
    pub(crate) fn services(&self) -> Vec<ServiceAddress> {
        let address = |process: &Process| ServiceAddress {
            role: process.role(),
            address: process.address(),
            pid: process.pid(),
        };
        self.processes.values().map(address).collect()
    }

    /// Tells each service where to reach its peers: at the address that `address_of` says.
    ///
    /// # Errors
    /// A service died.
    pub(crate) fn connect(&self, address_of: impl Fn(Role) -> SocketAddr) -> Result<(), Error> {
        for process in self.processes.values() {
            for peer in process.role().peers() {
                process.ask(&Order::Peer(*peer, address_of(*peer)))?;
            }
        }
        Ok(())
    }

    /// Breaks or mends the guilty service, and says since when: nothing it changes is older.
    ///
    /// # Errors
    /// The service died.
    pub(crate) fn set_fault(&self, fault: Fault, on: bool) -> Result<UnixNanos, Error> {
        let Some(guilty) = fault.guilty() else { return Ok(SystemClock.now()) };
        match self.process(guilty)?.ask(&Order::Fault(on))? {
            Answer::Since(time) => Ok(time),
            other => Err(unexpected(guilty, &other)),
        }
    }

    /// What each service served, once nothing is in flight there.
    ///
    /// Exact when the load stopped and waited for its answers before. Waits three seconds for a service that
    /// never comes to rest; then `in_flight` is not zero.
    ///
    /// # Errors
    /// A service died.
    #[cfg(test)]
    pub(crate) fn counts(&self) -> Result<BTreeMap<Role, Counts>, Error> {
        self.ask_counts(&Order::Count)
    }

    /// Looks whether all services still run.
    ///
    /// # Errors
    /// Names the one that ended, and the end of what it wrote to standard error.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.processes.values().try_for_each(Process::check)
    }

    /// The profile windows that are written so far, by service and in order; all of them after [`stop`](Self::stop).
    ///
    /// # Errors
    /// A list of windows cannot be read.
    pub(crate) fn profiles(out: &Path) -> Result<Vec<ProfileWindow>, Error> {
        let mut windows = Vec::new();
        for role in Role::ALL {
            windows.extend(profile::written(&out.join("profiles"), role)?);
        }
        Ok(windows)
    }

    /// The log file of `role`.
    pub(crate) fn log_path(out: &Path, role: Role) -> PathBuf {
        out.join("logs").join(format!("{role}.log"))
    }

    /// Stops the services, callers first, and hands back what each served in all.
    ///
    /// # Errors
    /// A service died before, or did not end in time; it is killed then.
    pub(crate) fn stop(self) -> Result<BTreeMap<Role, Counts>, Error> {
        let counts = self.ask_counts(&Order::Stop)?;
        self.processes.values().try_for_each(Process::wait)?;
        // An orderly end leaves nothing in there that anybody needs.
        let _ = std::fs::remove_dir_all(self.out.join("tmp"));
        Ok(counts)
    }

    fn ask_counts(&self, order: &Order) -> Result<BTreeMap<Role, Counts>, Error> {
        let mut all = BTreeMap::new();
        for process in self.processes.values() {
            match process.ask(order)? {
                Answer::Counts(counts) => drop(all.insert(process.role(), *counts)),
                other => return Err(unexpected(process.role(), &other)),
            }
        }
        Ok(all)
    }

    fn process(&self, role: Role) -> Result<&Process, Error> {
        let missing = || Error::new(ErrorKind::Closed, format!("{role}: not running"));
        self.processes.get(&role).ok_or_else(missing)
    }
}

fn unexpected(role: Role, answer: &Answer) -> Error {
    Error::new(ErrorKind::Malformed, format!("{role}: expected another answer than {answer}"))
}

fn empty_folder(folder: &Path) -> Result<(), Error> {
    let emptied = match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => std::fs::create_dir_all(folder),
    };
    let message = "folder of the run: cannot empty or make a folder in it";
    emptied.map_err(|source| Error::new(ErrorKind::Io, message).with_source(source))
}

#[cfg(test)]
pub(crate) mod tests;
