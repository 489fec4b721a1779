//! One tree: points parted by random cuts, each inner node with the box of the points below it.

use super::points::Points;
use crate::number::of_len;
use crate::random::Random;

/// A node or a leaf of the tree, by its place; leaves have the highest bit set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Child(u16);

const LEAF: u16 = 1 << 15;
const NONE: Child = Child(u16::MAX);

enum Kind {
    Node(usize),
    Leaf(usize),
}

impl Child {
    fn node(place: usize) -> Self {
        Self(u16::try_from(place).unwrap_or(u16::MAX))
    }

    fn leaf(place: usize) -> Self {
        Self(u16::try_from(place).unwrap_or(u16::MAX) | LEAF)
    }

    fn kind(self) -> Kind {
        if self.0 & LEAF == 0 {
            Kind::Node(usize::from(self.0))
        } else {
            Kind::Leaf(usize::from(self.0 & !LEAF))
        }
    }
}

/// A cut across one dimension: what is not above `at` is to the left.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Node {
    at: f32,
    /// The sum of the sides of the box.
    sides: f32,
    dimension: u16,
    left: Child,
    right: Child,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Leaf {
    point: u32,
    /// How many equal points it stands for.
    mass: u32,
}

/// A random cut tree (Guha, Mishra, Roy and Schrijvers, "Robust random cut forest based anomaly detection on streams",
/// ICML 2016): inserting and deleting leave it distributed as if it had been made of its points alone.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tree {
    width: usize,
    root: Child,
    nodes: Vec<Node>,
    /// For each node the lower and then the upper ends of its box.
    boxes: Vec<f32>,
    leaves: Vec<Leaf>,
    free_nodes: Vec<u16>,
    free_leaves: Vec<u16>,
    /// The nodes above where the tree is being changed.
    path: Vec<u16>,
}

/// What a point meets on its way down a tree.
enum Met<'a> {
    /// The box of a node at a depth, out of which the point sticks: `sides` is the sum of the box's sides.
    Box { low: &'a [f32], high: &'a [f32], sides: f32 },
    /// A leaf that stands for points equal to it.
    Equal { mass: u32 },
}

impl Tree {
    /// A tree of at most `size` points of `width` coordinates.
    pub(super) fn new(size: usize, width: usize) -> Self {
        Self {
            width,
            root: NONE,
            nodes: Vec::with_capacity(size),
            boxes: Vec::with_capacity(2 * width * size),
            leaves: Vec::with_capacity(size),
            free_nodes: Vec::new(),
            free_leaves: Vec::new(),
            path: Vec::new(),
        }
    }

    /// The expected score of a point: one over the depth at which it would be cut off, over all cuts.
    ///
    /// That a cut of the box with the point in it cuts the point off has the probability of how far it sticks out, by
    /// all the sides. One that is in the tree already scores less the more there are of it among `mass` points.
    pub(super) fn score(&self, point: &[f32], points: &Points, mass: u32) -> f32 {
        let (mut score, mut left) = (0.0, 1.0);
        self.descend(point, points, |depth, met| match met {
            Met::Box { low, high, sides } => {
                let beyond = beyond(low, high, point);
                let cut = left * (beyond / (sides + beyond));
                score += cut * unseen(depth);
                left -= cut;
            }
            Met::Equal { mass: equal } => score += left * seen(depth, equal, mass),
        });
        score
    }

    /// What of the score is due to the point lying below and above of what is usual, in each dimension.
    pub(super) fn attribute(&self, point: &[f32], points: &Points, shares: &mut [(f64, f64)]) {
        let mut left = 1.0;
        self.descend(point, points, |depth, met| {
            let Met::Box { low, high, sides } = met else { return };
            let beyond = beyond(low, high, point);
            let per_length = left * unseen(depth) / (sides + beyond);
            for ((share, &value), (&low, &high)) in shares.iter_mut().zip(point).zip(low.iter().zip(high)) {
                share.0 += f64::from(per_length * positive(low - value));
                share.1 += f64::from(per_length * positive(value - high));
            }
            left -= left * (beyond / (sides + beyond));
        });
    }

    /// Shows each box on the way of a point that it sticks out of, and the leaf that it equals, if it does.
    #[inline]
    fn descend(&self, point: &[f32], points: &Points, mut meet: impl FnMut(usize, Met<'_>)) {
        let (mut child, mut depth) = (self.root, 0);
        if child == NONE {
            return;
        }
        loop {
            match child.kind() {
                Kind::Leaf(leaf) => {
                    let Some(leaf) = self.leaves.get(leaf) else { return };
                    let other = points.get(leaf.point);
                    return if other == point {
                        meet(depth, Met::Equal { mass: leaf.mass });
                    } else {
                        meet(depth, Met::Box { low: other, high: other, sides: 0.0 });
                    };
                }
                Kind::Node(place) => {
                    let (Some(node), Some((low, high))) = (self.nodes.get(place), self.bounds(place)) else {
                        return;
                    };
                    meet(depth, Met::Box { low, high, sides: node.sides });
                    child = node.side(point);
                    depth += 1;
                }
            }
        }
    }

    fn bounds(&self, place: usize) -> Option<(&[f32], &[f32])> {
        let begin = 2 * self.width * place;
        Some(self.boxes.get(begin..begin + 2 * self.width)?.split_at(self.width))
    }

    /// Inserts a point.
    pub(super) fn insert(&mut self, place: u32, points: &mut Points, random: &mut Random) {
        self.path.clear();
        let mut child = self.root;
        if child == NONE {
            self.root = self.new_leaf(place);
            points.hold(place);
            return;
        }
        let point = points.get(place);
        let (dimension, at) = loop {
            match child.kind() {
                Kind::Leaf(leaf) => {
                    let Some(leaf) = self.leaves.get_mut(leaf) else { return };
                    let other = points.get(leaf.point);
                    if other == point {
                        leaf.mass += 1;
                        return;
                    }
                    let draw = random.uniform() * f64::from(beyond(other, other, point));
                    break cut(other, other, point, single(draw));
                }
                Kind::Node(node) => {
                    if let Some(cut) = self.widen(node, point, random) {
                        break cut;
                    }
                    self.path.push(child.0);
                    let Some(node) = self.nodes.get(node) else { return };
                    child = node.side(point);
                }
            }
        };
        let leaf = self.new_leaf(place);
        self.part(child, leaf, (dimension, at), points);
        points.hold(place);
    }

    /// Cuts a point off a node's box, or widens the box to it and gives nothing.
    fn widen(&mut self, place: usize, point: &[f32], random: &mut Random) -> Option<(usize, f32)> {
        let begin = 2 * self.width * place;
        let node = self.nodes.get_mut(place)?;
        let (low, high) = self.boxes.get_mut(begin..begin + 2 * self.width)?.split_at_mut(self.width);
        let beyond = beyond(low, high, point);
        if beyond <= 0.0 {
            return None;
        }
        let draw = single(random.uniform() * f64::from(beyond + node.sides));
        if draw < beyond {
            return Some(cut(low, high, point, draw));
        }
        for ((low, high), &value) in low.iter_mut().zip(high.iter_mut()).zip(point) {
            *low = if value < *low { value } else { *low };
            *high = if value > *high { value } else { *high };
        }
        node.sides = sides(low, high);
        None
    }

    /// Puts a node in the place of `child`, with `child` and the new leaf below it.
    fn part(&mut self, child: Child, leaf: Child, (dimension, at): (usize, f32), points: &Points) {
        let point = self.bounds_of(leaf, points).0;
        let is_left = point.get(dimension).is_some_and(|value| *value <= at);
        let (left, right) = if is_left { (leaf, child) } else { (child, leaf) };
        let dimension = u16::try_from(dimension).unwrap_or(u16::MAX);
        let place = self.new_node(Node { at, sides: 0.0, dimension, left, right });
        self.fit(place, points);
        self.replace(child, Child::node(place));
    }

    /// Removes a point that was inserted; nothing where it is not there.
    pub(super) fn remove(&mut self, place: u32, points: &mut Points) {
        self.path.clear();
        let mut child = self.root;
        let place = loop {
            match child.kind() {
                Kind::Leaf(place) => break place,
                Kind::Node(node) => {
                    let Some(node) = self.nodes.get(node) else { return };
                    self.path.push(child.0);
                    child = node.side(points.get(place));
                }
            }
        };
        let Some(leaf) = self.leaves.get_mut(place) else { return };
        leaf.mass = leaf.mass.saturating_sub(1);
        if leaf.mass > 0 {
            return;
        }
        points.release(leaf.point);
        self.free_leaves.push(child.0 & !LEAF);
        let Some(parent) = self.path.pop() else {
            self.root = NONE;
            return;
        };
        let Some(node) = self.nodes.get(usize::from(parent)) else { return };
        let sibling = if node.left == child { node.right } else { node.left };
        self.free_nodes.push(parent);
        self.replace(Child(parent), sibling);
        // The boxes above shrink, up to the first that does not.
        while let Some(above) = self.path.pop() {
            if !self.fit(usize::from(above), points) {
                break;
            }
        }
    }

    /// Hangs `new` where `old` hangs: below the last node of the path, or at the root.
    fn replace(&mut self, old: Child, new: Child) {
        let above = self.path.last().and_then(|above| self.nodes.get_mut(usize::from(*above)));
        let slot = match above {
            None => &mut self.root,
            Some(above) if above.left == old => &mut above.left,
            Some(above) => &mut above.right,
        };
        *slot = new;
    }

    /// Makes a node's box that of what is below it; tells whether it was another.
    fn fit(&mut self, place: usize, points: &Points) -> bool {
        let Some(&Node { left, right, .. }) = self.nodes.get(place) else { return false };
        let mut is_changed = false;
        let (begin, mut length) = (2 * self.width * place, 0.0);
        for dimension in 0..self.width {
            let at = |(low, high): (&[f32], &[f32])| {
                (
                    low.get(dimension).copied().unwrap_or_default(),
                    high.get(dimension).copied().unwrap_or_default(),
                )
            };
            let (left, right) = (at(self.bounds_of(left, points)), at(self.bounds_of(right, points)));
            let (low, high) = (left.0.min(right.0), left.1.max(right.1));
            length += high - low;
            for (slot, value) in [(begin + dimension, low), (begin + self.width + dimension, high)] {
                if let Some(slot) = self.boxes.get_mut(slot) {
                    is_changed |= *slot != value;
                    *slot = value;
                }
            }
        }
        if let Some(node) = self.nodes.get_mut(place) {
            is_changed |= node.sides != length;
            node.sides = length;
        }
        is_changed
    }

    fn bounds_of<'a>(&'a self, child: Child, points: &'a Points) -> (&'a [f32], &'a [f32]) {
        match child.kind() {
            Kind::Node(place) => self.bounds(place).unwrap_or_default(),
            Kind::Leaf(place) => {
                let point = self.leaves.get(place).map(|leaf| points.get(leaf.point)).unwrap_or_default();
                (point, point)
            }
        }
    }

    fn new_leaf(&mut self, point: u32) -> Child {
        let leaf = Leaf { point, mass: 1 };
        if let Some(place) = self.free_leaves.pop().map(usize::from)
            && let Some(slot) = self.leaves.get_mut(place)
        {
            *slot = leaf;
            return Child::leaf(place);
        }
        self.leaves.push(leaf);
        Child::leaf(self.leaves.len() - 1)
    }

    fn new_node(&mut self, node: Node) -> usize {
        if let Some(place) = self.free_nodes.pop().map(usize::from)
            && let Some(slot) = self.nodes.get_mut(place)
        {
            *slot = node;
            return place;
        }
        self.nodes.push(node);
        self.boxes.resize(2 * self.width * self.nodes.len(), 0.0);
        self.nodes.len() - 1
    }
}

impl Node {
    fn side(&self, point: &[f32]) -> Child {
        let is_left = point.get(usize::from(self.dimension)).is_some_and(|value| *value <= self.at);
        if is_left { self.left } else { self.right }
    }
}

/// One over `depth + 1`.
fn unseen(depth: usize) -> f32 {
    UNSEEN.get(depth).copied().unwrap_or(0.0)
}

/// The score of a point that the tree of `mass` points has `equal` times.
fn seen(depth: usize, equal: u32, mass: u32) -> f32 {
    let (depth, equal, mass) = (of_len(depth), f64::from(equal), f64::from(mass.max(1)));
    let damped = 1.0 - equal / (2.0 * mass);
    single(damped / (depth + (1.0 + equal).log2()))
}

/// Nothing hangs deeper but by the rarest chance, and it would score next to nothing there.
#[expect(
    clippy::indexing_slicing,
    reason = "at build time, where a place that is not there is an error of the compiler"
)]
const UNSEEN: [f32; 128] = {
    let (mut unseen, mut depth) = ([0.0; 128], 0);
    while depth < 128 {
        unseen[depth] = 1.0 / (depth as f32 + 1.0);
        depth += 1;
    }
    unseen
};

const fn positive(value: f32) -> f32 {
    if value > 0.0 { value } else { 0.0 }
}

/// How far a point sticks out of a box, over all dimensions.
fn beyond(low: &[f32], high: &[f32], point: &[f32]) -> f32 {
    let ((low, low_rest), (high, high_rest)) = (low.as_chunks::<4>(), high.as_chunks::<4>());
    let (point, point_rest) = point.as_chunks::<4>();
    let mut lanes = [0.0; 4];
    for ((low, high), point) in low.iter().zip(high).zip(point) {
        for (((lane, low), high), point) in lanes.iter_mut().zip(low).zip(high).zip(point) {
            *lane += positive(low - point) + positive(point - high);
        }
    }
    let rest = low_rest.iter().zip(high_rest).zip(point_rest);
    let rest: f32 = rest.map(|((low, high), point)| positive(low - point) + positive(point - high)).sum();
    let [a, b, c, d] = lanes;
    (a + b) + (c + d) + rest
}

fn sides(low: &[f32], high: &[f32]) -> f32 {
    low.iter().zip(high).map(|(low, high)| high - low).sum()
}

/// The cut that lies `draw` into what sticks out of a box, the dimensions one after the other.
fn cut(low: &[f32], high: &[f32], point: &[f32], mut draw: f32) -> (usize, f32) {
    let mut last = (0, 0.0);
    for (dimension, (&value, (&low, &high))) in point.iter().zip(low.iter().zip(high)).enumerate() {
        let (near, far) = if value < low {
            (value, low)
        } else if value > high {
            (high, value)
        } else {
            continue;
        };
        // Rounding must not put the cut at the far side.
        let at = near + draw;
        last = (dimension, if at < far { at } else { near });
        if draw < far - near {
            return last;
        }
        draw -= far - near;
    }
    last
}

#[expect(clippy::cast_possible_truncation, reason = "rounds, which is what is wanted")]
pub(super) const fn single(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests;
