//! Processes of this machine by their sockets: `/proc/net/tcp{,6}` to inode to `/proc/<pid>/fd`.
//!
//! No privileges are needed for processes of the same user. Reading is pure ([`socket_inode`]); a thin reader
//! of `/proc` stands beside it ([`ProcessTable`]).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use super::CallerResolver;

/// Services by the processes that run them: the candidates among which the owner of a socket is looked for.
///
/// ```
/// use std::net::{TcpListener, TcpStream};
/// use otlp_ebpf::resolve::CallerResolver;
/// use otlp_ebpf::resolve::process::ProcessTable;
/// let table = ProcessTable::default();
/// table.insert(std::process::id(), "shop");
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let client = TcpStream::connect(listener.local_addr()?)?;
/// assert_eq!(table.resolve(client.local_addr()?, client.peer_addr()?).as_deref(), Some("shop"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct ProcessTable {
    proc: PathBuf,
    services: RwLock<BTreeMap<u32, Arc<str>>>,
}

impl ProcessTable {
    /// A table that reads another directory than `/proc`.
    #[must_use]
    pub fn at(proc: impl AsRef<Path>) -> Self {
        Self { proc: proc.as_ref().to_owned(), services: RwLock::default() }
    }

    /// Adds a process, or renames its service.
    pub fn insert(&self, pid: u32, service: &str) {
        self.services.write().unwrap_or_else(PoisonError::into_inner).insert(pid, service.into());
    }

    /// Removes a process.
    pub fn remove(&self, pid: u32) {
        self.services.write().unwrap_or_else(PoisonError::into_inner).remove(&pid);
    }

    /// The service that a process runs; none where it was not added.
    #[must_use]
    pub fn service_of(&self, pid: u32) -> Option<Arc<str>> {
        self.services.read().unwrap_or_else(PoisonError::into_inner).get(&pid).cloned()
    }

    fn inode(&self, client: SocketAddr, server: SocketAddr) -> Option<u64> {
        ["net/tcp", "net/tcp6"].iter().find_map(|name| {
            let table = BufReader::new(File::open(self.proc.join(name)).ok()?);
            socket_inode(table, client, server)
        })
    }

    fn holds(&self, pid: u32, socket: &Path) -> bool {
        // A process that has ended, or is not ours to look into, holds nothing that we can see.
        let Ok(files) = fs::read_dir(self.proc.join(pid.to_string()).join("fd")) else {
            return false;
        };
        files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|target| target == socket))
    }
}

impl Default for ProcessTable {
    /// No processes yet; reads `/proc`.
    fn default() -> Self {
        Self::at("/proc")
    }
}

impl CallerResolver for ProcessTable {
    /// Costs a read of `/proc/net/tcp` (and `tcp6`) and a look at each open file of the candidates.
    fn resolve(&self, client: SocketAddr, server: SocketAddr) -> Option<Arc<str>> {
        let candidates = self.services.read().unwrap_or_else(PoisonError::into_inner).clone();
        if candidates.is_empty() {
            return None;
        }
        let inode = self.inode(client, server)?;
        let socket = PathBuf::from(format!("socket:[{inode}]"));
        candidates.into_iter().find(|(pid, _)| self.holds(*pid, &socket)).map(|(_, service)| service)
    }
}

/// Finds the inode of the socket at `local` that is connected to `remote`, in the text of `/proc/net/tcp` or
/// `tcp6`. Lines that cannot be read are passed over. O(text).
///
/// Addresses are compared without regard to whether IPv4 is written as IPv6.
///
/// ```
/// use otlp_ebpf::resolve::process::socket_inode;
/// let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
///    0: 0100007F:D2F0 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1000        0 424242 1 0\n";
/// let (client, server) = (([127, 0, 0, 1], 54000).into(), ([127, 0, 0, 1], 8080).into());
/// # if cfg!(target_endian = "little") {
/// assert_eq!(socket_inode(table.as_bytes(), client, server), Some(424_242));
/// # }
/// assert_eq!(socket_inode(table.as_bytes(), server, client), None);
/// ```
#[must_use]
pub fn socket_inode(table: impl BufRead, local: SocketAddr, remote: SocketAddr) -> Option<u64> {
    let wanted = (canonical(local), canonical(remote));
    table.lines().skip(1).map_while(Result::ok).find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let met = (address(fields.nth(1)?)?, address(fields.next()?)?);
        // Behind the addresses: state, queues, timer, retransmits, user, timeout.
        (met == wanted).then(|| fields.nth(6)?.parse().ok()).flatten()
    })
}

fn canonical(address: SocketAddr) -> (IpAddr, u16) {
    (address.ip().to_canonical(), address.port())
}

/// Reads `0100007F:1F90`: words of 32 bits in the machine's order, and a port.
fn address(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let word = u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    let ip = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (index, four) in bytes.chunks_exact_mut(4).enumerate() {
                four.copy_from_slice(&word(8 * index)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some((ip.to_canonical(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    const TCP6: &str = "  sl  local_address                         remote_address                        st ...\n\
           0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1\n\
           x: damaged line\n\
           1: 0000000000000000FFFF00000100007F:D2F0 0000000000000000FFFF00000100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 22 1\n\
           2: 00000000000000000000000001000000:D2F1 00000000000000000000000001000000:1F90 01 00000000:00000000 00:00000000 00000000     0        0 33 1\n";

    #[cfg(target_endian = "little")]
    fn inode(local: &str, remote: &str) -> Option<u64> {
        socket_inode(TCP6.as_bytes(), local.parse().unwrap(), remote.parse().unwrap())
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn sockets_are_found_by_both_addresses_in_either_notation() {
        assert_eq!(inode("[::1]:54001", "[::1]:8080"), Some(33));
        assert_eq!(inode("127.0.0.1:54000", "127.0.0.1:8080"), Some(22));
        assert_eq!(inode("[::ffff:127.0.0.1]:54000", "127.0.0.1:8080"), Some(22));
        assert_eq!(inode("127.0.0.1:54001", "127.0.0.1:8080"), None);
        assert_eq!(inode("127.0.0.1:54000", "127.0.0.1:8081"), None);
    }

    #[test]
    fn a_socket_of_another_process_is_not_found_among_the_candidates() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let ends = (client.local_addr().unwrap(), client.peer_addr().unwrap());
        let table = ProcessTable::default();
        assert_eq!(table.resolve(ends.0, ends.1), None, "no candidates");
        table.insert(1, "init");
        let found = table.resolve(ends.0, ends.1);
        assert_eq!(found, None, "not a socket of ours");
        table.insert(std::process::id(), "shop");
        assert_eq!(table.resolve(ends.0, ends.1).as_deref(), Some("shop"));
        table.remove(std::process::id());
        assert_eq!(table.resolve(ends.0, ends.1), None);
    }
}
