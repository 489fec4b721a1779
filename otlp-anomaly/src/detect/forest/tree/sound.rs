//! Whether a tree that was read from bytes is one.

use otlp_core::DecodeError;

use super::{Child, LEAF, LeafId, NONE, Tree};
use crate::checkpoint::{Field, Source};

/// Beyond what sums of values that are let in come to.
const LARGEST: f32 = 1e34;

impl Field for Child {
    const LEAST_BYTES: usize = 2;

    fn save(&self, into: &mut Vec<u8>) {
        self.0.save(into);
    }

    fn load(from: &mut Source<'_>) -> Result<Self, DecodeError> {
        u16::load(from).map(Self)
    }
}

impl Field for LeafId {
    const LEAST_BYTES: usize = 2;

    fn save(&self, into: &mut Vec<u8>) {
        self.0.save(into);
    }

    fn load(from: &mut Source<'_>) -> Result<Self, DecodeError> {
        u16::load(from).map(Self)
    }
}

impl super::Node {
    /// That its children are there is seen from the tree.
    pub(super) fn is_sound(&self) -> bool {
        self.at.abs() <= LARGEST && self.sides > 0.0 && self.sides <= LARGEST
    }
}

/// How often each place is met: once in the tree or among the free ones, or it is no tree.
struct Met {
    nodes: Vec<bool>,
    leaves: Vec<bool>,
}

impl Met {
    /// Marks a place, and tells whether it is there and was not met before.
    fn is_first(places: &mut [bool], place: usize) -> bool {
        places.get_mut(place).is_some_and(|met| !std::mem::replace(met, true))
    }
}

impl Tree {
    /// O(nodes × width).
    pub(super) fn is_sound(&self) -> bool {
        let (nodes, leaves) = (self.nodes.len(), self.masses.len());
        let most = usize::from(LEAF);
        if nodes >= most || leaves >= most || self.width == 0 {
            return false;
        }
        let fits = self.above_leaves.len() == leaves
            && Some(self.boxes.len()) == self.width.checked_mul(2 * nodes)
            && Some(self.points.len()) == self.width.checked_mul(leaves)
            && self.boxes.as_slice().iter().chain(self.points.as_slice()).all(|value| value.abs() <= LARGEST);
        let mut met = Met { nodes: vec![false; nodes], leaves: vec![false; leaves] };
        fits && self.are_free(&mut met) && self.is_tree(&mut met)
    }

    fn are_free(&self, met: &mut Met) -> bool {
        self.free_nodes.iter().all(|&place| Met::is_first(&mut met.nodes, usize::from(place)))
            && self.free_leaves.iter().all(|&place| Met::is_first(&mut met.leaves, usize::from(place)))
    }

    /// Every place that is not free hangs below the root, once, and what is below a node lies where its box and cut say.
    fn is_tree(&self, met: &mut Met) -> bool {
        let mut open = if self.root == NONE { Vec::new() } else { vec![(self.root, NONE)] };
        while let Some((child, above)) = open.pop() {
            if self.above(child) != above {
                return false;
            }
            if child.is_leaf() {
                let mass = self.masses.get(child.place()).copied().unwrap_or_default();
                if mass == 0 || !Met::is_first(&mut met.leaves, child.place()) {
                    return false;
                }
                continue;
            }
            let Some(node) = self.nodes.get(child.place()) else { return false };
            if !Met::is_first(&mut met.nodes, child.place()) || !self.is_parted(child) {
                return false;
            }
            open.extend([(node.left, child), (node.right, child)]);
        }
        met.nodes.iter().chain(&met.leaves).all(|&met| met)
    }

    fn is_parted(&self, child: Child) -> bool {
        let Some(node) = self.nodes.get(child.place()) else { return false };
        let is_there = |side: Child| {
            if side.is_leaf() { side.place() < self.masses.len() } else { side.place() < self.nodes.len() }
        };
        let cut = usize::from(node.dimension);
        if cut >= self.width || !is_there(node.left) || !is_there(node.right) {
            return false;
        }
        let (low, high) = self.bounds::<0>(child.place());
        let (left, right) = (self.ends::<0>(node.left), self.ends::<0>(node.right));
        let lowest = left.0.iter().zip(right.0).map(|(left, right)| left.min(*right));
        let highest = left.1.iter().zip(right.1).map(|(left, right)| left.max(*right));
        let is_between = left.1.get(cut).is_some_and(|high| *high <= node.at)
            && right.0.get(cut).is_some_and(|low| *low > node.at);
        is_between && low.iter().copied().eq(lowest) && high.iter().copied().eq(highest)
    }

    /// Whether these are the places of just the points that it holds, equal ones as often as there are.
    pub(in super::super) fn holds(&self, points: impl Iterator<Item = LeafId>) -> bool {
        let mut left = self.masses.clone();
        for &place in &self.free_leaves {
            left.get_mut(usize::from(place)).into_iter().for_each(|mass| *mass = 0);
        }
        for leaf in points {
            let Some(mass) = left.get_mut(usize::from(leaf.0)).filter(|mass| **mass > 0) else {
                return false;
            };
            *mass -= 1;
        }
        left.iter().all(|&mass| mass == 0)
    }
}
