//! Connections by their addresses, and in the order in which they were last heard of.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use super::Packet;
use crate::id::mix;
use crate::parse::Direction;

/// The two ends of a connection, the lower address first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    namespace: u32,
    low: (IpAddr, u16),
    high: (IpAddr, u16),
}

impl Key {
    /// The key of a packet, and its way as if the lower end were the client.
    pub(super) fn of(packet: &Packet<'_>) -> (Self, Direction) {
        let address = |address: SocketAddr| (address.ip().to_canonical(), address.port());
        let (from, to) = (address(packet.from), address(packet.to));
        let namespace = packet.namespace;
        if from <= to {
            (Self { namespace, low: from, high: to }, Direction::ToServer)
        } else {
            (Self { namespace, low: to, high: from }, Direction::ToClient)
        }
    }

    /// What a connection's identifiers follow from: its ends, and where and when it was first seen.
    pub(super) fn seed(&self, seed: u64, packet: &Packet<'_>) -> u64 {
        let address = |(ip, port): (IpAddr, u16)| {
            let bits = match ip {
                IpAddr::V4(ip) => u128::from(ip.to_bits()),
                IpAddr::V6(ip) => ip.to_bits(),
            };
            [low_half(bits), low_half(bits >> 64), u64::from(port)]
        };
        let first = [u64::from(self.namespace), u64::from(packet.segment.sequence), packet.segment.time.0];
        let words = address(self.low).into_iter().chain(address(self.high)).chain(first);
        words.fold(seed, |state, word| mix(state ^ word).wrapping_add(STEP))
    }
}

/// Keeps the state from staying at zero.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
const fn low_half(bits: u128) -> u64 {
    bits as u64
}

/// The place of a connection in the table.
pub(super) type Slot = u32;

const NONE: Slot = Slot::MAX;

/// Values by key, in the order in which they were last touched: a slab with a list through it.
#[derive(Debug)]
pub(super) struct Table<T> {
    by_key: HashMap<Key, Slot>,
    nodes: Vec<Node<T>>,
    free: Vec<Slot>,
    oldest: Slot,
    newest: Slot,
    /// Found last, and often found again.
    recent: Option<(Key, Slot)>,
}

#[derive(Debug)]
struct Node<T> {
    /// With its key; none where the place is free.
    value: Option<(Key, T)>,
    older: Slot,
    newer: Slot,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        let (by_key, nodes, free) = (HashMap::new(), Vec::new(), Vec::new());
        Self { by_key, nodes, free, oldest: NONE, newest: NONE, recent: None }
    }
}

impl<T> Table<T> {
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(super) fn find(&mut self, key: &Key) -> Option<Slot> {
        if let Some((met, slot)) = self.recent
            && met == *key
        {
            return Some(slot);
        }
        let slot = *self.by_key.get(key)?;
        self.recent = Some((*key, slot));
        Some(slot)
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut T> {
        self.node(slot)?.value.as_mut().map(|(_, value)| value)
    }

    /// Adds a value as the newest.
    pub(super) fn insert(&mut self, key: Key, value: T) -> Slot {
        let node = Node { value: Some((key, value)), older: NONE, newer: NONE };
        let slot = match self.free.pop() {
            Some(slot) => {
                if let Some(place) = self.node(slot) {
                    *place = node;
                }
                slot
            }
            None => {
                self.nodes.push(node);
                Slot::try_from(self.nodes.len() - 1).unwrap_or(NONE)
            }
        };
        self.by_key.insert(key, slot);
        self.link(slot);
        slot
    }

    /// Makes a value the newest.
    pub(super) fn touch(&mut self, slot: Slot) {
        if self.newest != slot {
            self.unlink(slot);
            self.link(slot);
        }
    }

    pub(super) fn remove(&mut self, slot: Slot) {
        let Some((key, _)) = self.node(slot).and_then(|node| node.value.take()) else { return };
        self.unlink(slot);
        self.by_key.remove(&key);
        self.free.push(slot);
        self.recent = None;
    }

    /// The value touched longest ago.
    pub(super) const fn oldest(&self) -> Option<Slot> {
        if self.oldest == NONE { None } else { Some(self.oldest) }
    }

    /// All places, that of the value touched longest ago first.
    pub(super) fn oldest_first(&self) -> Vec<Slot> {
        std::iter::successors(self.oldest(), |slot| {
            let newer = self.nodes.get(index(*slot))?.newer;
            (newer != NONE).then_some(newer)
        })
        .collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.nodes.iter().filter_map(|node| node.value.as_ref().map(|(_, value)| value))
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let map = self.by_key.capacity() * (size_of::<(Key, Slot)>() + 1);
        map + self.nodes.capacity() * size_of::<Node<T>>() + self.free.capacity() * size_of::<Slot>()
    }

    fn node(&mut self, slot: Slot) -> Option<&mut Node<T>> {
        self.nodes.get_mut(index(slot))
    }

    fn link(&mut self, slot: Slot) {
        let before = std::mem::replace(&mut self.newest, slot);
        if let Some(node) = self.node(slot) {
            (node.older, node.newer) = (before, NONE);
        }
        match self.node(before) {
            Some(node) => node.newer = slot,
            None => self.oldest = slot,
        }
    }

    fn unlink(&mut self, slot: Slot) {
        let Some(&mut Node { older, newer, .. }) = self.node(slot) else { return };
        match self.node(older) {
            Some(node) => node.newer = newer,
            None => self.oldest = newer,
        }
        match self.node(newer) {
            Some(node) => node.older = older,
            None => self.newest = older,
        }
    }
}

/// `NONE` is beyond any slab.
fn index(slot: Slot) -> usize {
    usize::try_from(slot).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(port: u16) -> Key {
        let low = (IpAddr::from([127, 0, 0, 1]), port);
        Key { namespace: 0, low, high: low }
    }

    fn order(table: &mut Table<u16>) -> Vec<u16> {
        table.oldest_first().into_iter().filter_map(|slot| table.get_mut(slot).copied()).collect()
    }

    #[test]
    fn values_stand_in_the_order_of_their_last_touch() {
        let mut table = Table::default();
        let slots: Vec<_> = (0..4).map(|port| table.insert(key(port), port)).collect();
        table.touch(slots[0]);
        table.touch(slots[2]);
        table.touch(slots[2]);
        assert_eq!(order(&mut table), [1, 3, 0, 2]);
        table.remove(slots[3]);
        table.remove(slots[3]);
        assert_eq!(order(&mut table), [1, 0, 2]);
        assert_eq!(table.insert(key(9), 9), slots[3], "places are used again");
        assert_eq!(order(&mut table), [1, 0, 2, 9]);
        assert_eq!(table.find(&key(3)), None);
        assert_eq!(table.find(&key(9)), Some(slots[3]));
        (0..4).for_each(|place| table.remove(slots[place]));
        assert!(table.oldest().is_none() && table.len() == 0);
    }
}
