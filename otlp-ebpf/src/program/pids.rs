//! The processes that programs look at.

use std::collections::BTreeSet;

use aya::maps::{HashMap, Map, MapData};

use super::failed;
use crate::error::Result;

/// Processes by number, as the programs of an object know them.
#[derive(Debug)]
pub(crate) struct Pids {
    map: HashMap<MapData, u32, u32>,
    /// The kernel adds children, and takes out those that ended.
    given: BTreeSet<u32>,
}

/// Processes looked at, at most; the map has as many places.
const MOST_PROCESSES: usize = 4096;

impl Pids {
    pub(super) fn new(map: Map, hook: &str) -> Result<Self> {
        let map = HashMap::try_from(map).map_err(|error| failed(hook, "its processes", error))?;
        Ok(Self { map, given: BTreeSet::new() })
    }

    /// Sets which processes are looked at. The children of these are added by the kernel as they are born.
    ///
    /// Says how many found no room.
    pub(crate) fn set(&mut self, pids: &BTreeSet<u32>) -> usize {
        let gone: Vec<u32> = self.given.difference(pids).copied().collect();
        for pid in gone {
            // It may have ended, and been taken out by the kernel.
            let _ = self.map.remove(&pid);
            self.given.remove(&pid);
        }
        let mut left_out = 0;
        for pid in pids {
            let is_in = self.given.contains(pid)
                || (self.given.len() < MOST_PROCESSES && self.map.insert(pid, 1, 0).is_ok());
            if is_in {
                self.given.insert(*pid);
            } else {
                left_out += 1;
            }
        }
        left_out
    }
}
