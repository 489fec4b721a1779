//! Which process opened a connection, noted by the kernel when it connects.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use aya::maps::{HashMap, MapData};
use aya::programs::{CgroupAttachMode, SockOps};
use aya::{Ebpf, EbpfLoader, VerifierLogLevel};

use super::{failed, no_map, no_program, object};
use crate::error::Result;

const HOOK: &str = "connect";
const PROGRAM: &str = "opened";

/// `struct ends` of the program.
type Ends = [u8; 36];
/// `struct opener`: a process, and its network.
type Opener = [u32; 2];

/// Attached as long as it is here.
pub(crate) struct Opened {
    _ebpf: Ebpf,
    by_ends: HashMap<MapData, Ends, Opener>,
}

impl Opened {
    /// Asks who connects, in these control groups and those below them.
    pub(crate) fn attach(groups: &[PathBuf]) -> Result<Self> {
        let mut ebpf = EbpfLoader::new()
            .verifier_log_level(VerifierLogLevel::DISABLE)
            .load(object!("opened.o"))
            .map_err(|error| failed(HOOK, "loading", error))?;
        let program = ebpf.program_mut(PROGRAM).ok_or_else(|| no_program(HOOK, PROGRAM))?;
        let program: &mut SockOps = program.try_into().map_err(|error| failed(HOOK, PROGRAM, error))?;
        program.load().map_err(|error| failed(HOOK, "loading its programs", error))?;
        for group in groups {
            let what = format!("opening the control group {}", group.display());
            let group = File::open(group).map_err(|error| failed(HOOK, &what, error))?;
            program
                .attach(&group, CgroupAttachMode::Single)
                .map_err(|error| failed(HOOK, "attaching to the control group", error))?;
        }
        let map = ebpf.take_map("OPENED").ok_or_else(|| no_map(HOOK, "OPENED"))?;
        let by_ends = HashMap::try_from(map).map_err(|error| failed(HOOK, "its map", error))?;
        Ok(Self { _ebpf: ebpf, by_ends })
    }

    /// The process that opened the connection from `client` to `server`; none where it was open before, was forgotten
    /// since, or where the same addresses were used in two networks.
    pub(crate) fn process(&self, client: SocketAddr, server: SocketAddr) -> Option<u32> {
        let [pid, _] = self.by_ends.get(&ends(client, server), 0).ok()?;
        (pid != 0).then_some(pid)
    }
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").finish_non_exhaustive()
    }
}

fn ends(client: SocketAddr, server: SocketAddr) -> Ends {
    let address = |ip| match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    };
    let mut ends = [0; 36];
    ends[..16].copy_from_slice(&address(client.ip()));
    ends[16..32].copy_from_slice(&address(server.ip()));
    ends[32..34].copy_from_slice(&client.port().to_ne_bytes());
    ends[34..].copy_from_slice(&server.port().to_ne_bytes());
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_versions_are_written_alike() {
        let four = ends(([127, 0, 0, 1], 0x0102).into(), ([10, 0, 0, 9], 80).into());
        let six = ends("[::ffff:127.0.0.1]:258".parse().unwrap(), "[::ffff:10.0.0.9]:80".parse().unwrap());
        assert_eq!(four, six);
        assert_eq!(four[10..16], [0xff, 0xff, 127, 0, 0, 1]);
        assert_eq!(four[32..34], 0x0102_u16.to_ne_bytes());
    }
}
