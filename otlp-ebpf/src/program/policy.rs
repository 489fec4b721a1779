//! The policies that control groups have of their own: a map of each, in a map by the number of the group.

use aya::maps::{Array, HashMap, HashOfMaps, Map, MapData};

use super::failed;
use crate::error::Result;

/// `struct group_policy` of the programs: no memory is set aside for entries that are not there.
type Own = HashMap<MapData, u64, u64>;
const OWN_ENTRIES: u32 = 1025;
const NO_PREALLOC: u32 = 1;

/// What may leave of a group, as the programs know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leaves {
    /// Of a segment or call.
    pub(crate) bytes: u32,
    /// `enum mode` of the programs.
    pub(crate) mode: u32,
    /// Headers, as the programs know their names.
    pub(crate) headers: Vec<u64>,
}

/// The policies of groups, as the programs of one object know them.
pub(crate) struct Policies {
    by_group: HashOfMaps<MapData, u64, Own>,
    levels: Array<MapData, u32>,
}

impl Policies {
    pub(super) fn new(by_group: Map, levels: Map, hook: &str) -> Result<Self> {
        let broken = |error| failed(hook, "its policies", error);
        let by_group = HashOfMaps::try_from(by_group).map_err(broken)?;
        Ok(Self { by_group, levels: Array::try_from(levels).map_err(broken)? })
    }

    /// Gives a group a policy of its own, in the place of the one that it had: from one packet to the next, as a whole.
    pub(crate) fn set(&mut self, group: u64, leaves: &Leaves) -> Result<()> {
        let broken = |error| failed("capture", "setting a policy", error);
        let mut own = Own::create(OWN_ENTRIES, NO_PREALLOC).map_err(broken)?;
        for header in &leaves.headers {
            own.insert(header, 1, 0).map_err(broken)?;
        }
        own.insert(0, u64::from(leaves.mode) << 32 | u64::from(leaves.bytes), 0).map_err(broken)?;
        self.by_group.insert(group, &own, 0).map_err(broken)
    }

    /// Takes it away again.
    pub(crate) fn remove(&mut self, group: u64) -> Result<()> {
        self.by_group.remove(&group).map_err(|error| failed("capture", "removing a policy", error))
    }

    /// Tells how deep the groups lie that have policies, one bit a depth.
    pub(crate) fn set_levels(&mut self, levels: u32) -> Result<()> {
        self.levels.set(0, levels, 0).map_err(|error| failed("capture", "setting its policies", error))
    }
}

impl std::fmt::Debug for Policies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policies").finish_non_exhaustive()
    }
}
