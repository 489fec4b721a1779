//! One tree of an isolation forest.

use crate::checkpoint::fields;
use crate::number::of_len;
use crate::random::Random;

/// A node: a cut, with its children side by side, or a leaf.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Node {
    /// What is below this is to the left.
    at: f64,
    dimension: u32,
    /// The place of the left child, the right one behind it; 0 for a leaf.
    left: u32,
    /// Rows of a leaf.
    rows: u32,
}

/// Rows parted by cuts at random, until they are alone or as deep as a balanced tree would be.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tree {
    rows: usize,
    nodes: Vec<Node>,
    /// What is still to be parted: a node, its rows from where to where, its depth.
    open: Vec<Open>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Open {
    node: u32,
    from: u32,
    to: u32,
    depth: u32,
}

impl Node {
    const LEAF: Self = Self { at: 0.0, dimension: 0, left: 0, rows: 0 };

    /// The rest is seen from the tree.
    #[expect(clippy::unused_self, reason = "asked of every field")]
    const fn is_sound(&self) -> bool {
        true
    }
}

impl Open {
    /// It is never there between two trees.
    const fn is_sound(&self) -> bool {
        false
    }
}

/// The mean depth of a search that finds nothing in a tree of so many rows (Liu, Ting and Zhou, equation 1).
pub(super) fn failed_search(rows: usize) -> f64 {
    match rows {
        0 | 1 => 0.0,
        2 => 1.0,
        _ => {
            let others = of_len(rows) - 1.0;
            2.0 * (others.ln() + EULER) - 2.0 * others / (others + 1.0)
        }
    }
}

const EULER: f64 = 0.577_215_664_901_532_9;

impl Tree {
    pub(super) fn new(sample: usize) -> Self {
        Self { rows: 0, nodes: Vec::with_capacity(2 * sample), open: Vec::with_capacity(64) }
    }

    pub(super) const fn rows(&self) -> usize {
        self.rows
    }

    /// Children come behind their parent, so that every way down ends.
    fn is_sound(&self) -> bool {
        let count = self.nodes.len();
        self.nodes.iter().enumerate().all(|(place, node)| {
            let left = node.left as usize;
            left == 0 || (left > place && left + 1 < count)
        })
    }

    pub(super) fn fits(&self, dimensions: usize, most: usize) -> bool {
        self.nodes.len() <= most
            && self.rows <= most
            && self
                .nodes
                .iter()
                .all(|node| (node.dimension as usize) < dimensions && (node.rows as usize) <= most)
    }

    /// How deep a row comes, and how much deeper it would where rows were left together.
    pub(super) fn depth(&self, row: &[f64]) -> f64 {
        let (mut place, mut depth) = (0, 0.0);
        while let Some(node) = self.nodes.get(place) {
            if node.left == 0 {
                return depth + failed_search(node.rows as usize);
            }
            let is_left = row.get(node.dimension as usize).is_some_and(|value| *value < node.at);
            place = node.left as usize + usize::from(!is_left);
            depth += 1.0;
        }
        depth
    }

    /// Makes the tree of the rows at these places, which it puts into another order.
    pub(super) fn grow(&mut self, chosen: &mut [u32], rows: &[f64], dimensions: usize, random: &mut Random) {
        self.rows = chosen.len();
        self.nodes.clear();
        self.nodes.push(Node::LEAF);
        self.open.clear();
        let whole = u32::try_from(chosen.len()).unwrap_or(u32::MAX);
        let deepest = usize::BITS - chosen.len().saturating_sub(1).leading_zeros();
        self.open.push(Open { node: 0, from: 0, to: whole, depth: 0 });
        while let Some(open) = self.open.pop() {
            let Some(part) = chosen.get_mut(open.from as usize..open.to as usize) else { return };
            let value = |place: u32, dimension: usize| {
                rows.get(place as usize * dimensions + dimension).copied().unwrap_or_default()
            };
            let cut = if part.len() > 1 && open.depth < deepest {
                cut(part, value, dimensions, random)
            } else {
                None
            };
            let left = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
            let Some(node) = self.nodes.get_mut(open.node as usize) else { return };
            let Some((dimension, at)) = cut else {
                node.rows = open.to - open.from;
                continue;
            };
            (node.at, node.left) = (at, left);
            node.dimension = u32::try_from(dimension).unwrap_or(0);
            let split = open.from + parted(part, |place| value(place, dimension) < at);
            self.nodes.extend([Node::LEAF; 2]);
            let depth = open.depth + 1;
            self.open.push(Open { node: left + 1, from: split, to: open.to, depth });
            self.open.push(Open { node: left, from: open.from, to: split, depth });
        }
    }
}

/// A dimension in which the rows differ, and a place between the least and the largest value there.
fn cut(
    part: &[u32],
    value: impl Fn(u32, usize) -> f64,
    dimensions: usize,
    random: &mut Random,
) -> Option<(usize, f64)> {
    let first = random.below(dimensions);
    // Where the one that was drawn is the same in all rows, the next that is not.
    (0..dimensions).map(|step| (first + step) % dimensions).find_map(|dimension| {
        let values = || part.iter().map(|&place| value(place, dimension));
        let (low, high) =
            (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
        let at = low + random.uniform() * (high - low);
        (low < high).then_some((dimension, if at > low { at } else { high }))
    })
}

/// Puts those of which it holds first; says how many.
fn parted(part: &mut [u32], holds: impl Fn(u32) -> bool) -> u32 {
    let mut first = 0;
    for place in 0..part.len() {
        if part.get(place).is_some_and(|&row| holds(row)) {
            part.swap(first, place);
            first += 1;
        }
    }
    u32::try_from(first).unwrap_or(u32::MAX)
}

fields!(Node { at: f64, dimension: u32, left: u32, rows: u32 });
fields!(Open { node: u32, from: u32, to: u32, depth: u32 });
fields!(Tree { rows: usize, nodes: Vec<Node>, open: Vec<Open> });
