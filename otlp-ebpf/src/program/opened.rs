//! Which process opened a connection, noted by the kernel when it connects.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use aya::maps::{HashMap, MapData};

use super::{Loader, Plan, Point, Programs, failed, object};
use crate::error::Result;

const HOOK: &str = "connect";

/// `struct ends` of the program.
type Ends = [u8; 36];
/// `struct opener`: a process, and its network.
type Opener = [u32; 2];

/// Attached as long as it is here.
pub(crate) struct Opened {
    _programs: Programs,
    by_ends: HashMap<MapData, Ends, Opener>,
}

impl Opened {
    /// Asks who connects, in these control groups and those below them.
    pub(crate) fn attach(loader: Loader, groups: &[PathBuf]) -> Result<Self> {
        let plan = Plan::new(HOOK, object!("opened.o")).stand("opened", Point::Connect(groups));
        let mut programs = loader.load(&plan)?;
        let map = programs.map(HOOK, "OPENED")?;
        let by_ends = HashMap::try_from(map).map_err(|error| failed(HOOK, "its map", error))?;
        Ok(Self { _programs: programs, by_ends })
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
