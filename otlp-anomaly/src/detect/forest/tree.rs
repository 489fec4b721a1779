//! One tree: points parted by random cuts, each inner node with the box of the points below it.

mod sound;

use crate::checkpoint::fields;
use crate::number::of_len;
use crate::random::Random;

/// A node or a leaf of the tree, by its place; leaves have the highest bit set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Child(u16);

/// Where a point is kept, for as long as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LeafId(u16);

const LEAF: u16 = 1 << 15;
const NONE: Child = Child(u16::MAX);

impl Child {
    fn node(place: usize) -> Self {
        Self(u16::try_from(place).unwrap_or(u16::MAX))
    }

    const fn leaf(leaf: LeafId) -> Self {
        Self(leaf.0 | LEAF)
    }

    const fn is_leaf(self) -> bool {
        self.0 & LEAF != 0
    }

    fn place(self) -> usize {
        usize::from(self.0 & !LEAF)
    }
}

/// A random cut tree (Guha, Mishra, Roy and Schrijvers, "Robust random cut forest based anomaly detection on streams",
/// ICML 2016): inserting and deleting leave it distributed as if it had been made of its points alone.
///
/// What a step down needs lies apart from the boxes, which are many times larger and not waited for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tree {
    width: usize,
    root: Child,
    nodes: Vec<Node>,
    /// For each node the lower and then the upper ends of its box.
    boxes: Vec<f32>,
    /// The coordinates of the leaves' points, and how many equal points each leaf stands for.
    points: Vec<f32>,
    masses: Vec<u32>,
    free_nodes: Vec<u16>,
    free_leaves: Vec<u16>,
    /// The nodes above where the tree is being changed.
    path: Vec<Child>,
    /// The box that is being made; empty but within a call.
    fitting: Vec<f32>,
}

/// Where the points below are parted.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Node {
    /// What is not above this is to the left.
    at: f32,
    /// The sum of the sides of the box.
    sides: f32,
    dimension: u32,
    left: Child,
    right: Child,
}

impl Node {
    #[inline]
    fn side(&self, point: &[f32]) -> Child {
        let is_left = point.get(self.dimension as usize).is_some_and(|value| *value <= self.at);
        if is_left { self.left } else { self.right }
    }
}

/// The way of a point down a tree: the nodes that it passes, from the root on, and where it comes to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    passed: [u16; DEEPEST],
    depth: usize,
    child: Child,
}

impl Way {
    pub(super) const NEW: Self = Self { passed: [0; DEEPEST], depth: 0, child: NONE };

    fn nodes(&self) -> &[u16] {
        self.passed.get(..self.depth).unwrap_or_default()
    }
}

impl Tree {
    /// A tree of at most `size` points of `width` coordinates.
    pub(super) fn new(size: usize, width: usize) -> Self {
        Self {
            width,
            root: NONE,
            nodes: Vec::with_capacity(size),
            boxes: Vec::with_capacity(2 * width * size),
            points: Vec::with_capacity(width * size),
            masses: Vec::with_capacity(size),
            free_nodes: Vec::new(),
            free_leaves: Vec::new(),
            path: Vec::new(),
            fitting: Vec::with_capacity(2 * width),
        }
    }

    /// Puts a way at the root.
    pub(super) const fn begin(&self, way: &mut Way) {
        (way.depth, way.child) = (0, self.root);
    }

    /// One node further down; false where the way has come to its end, a leaf or as deep as is looked.
    #[inline]
    pub(super) fn step(&self, way: &mut Way, point: &[f32]) -> bool {
        let Some(node) = self.nodes.get(way.child.place()).filter(|_| !way.child.is_leaf()) else {
            return false;
        };
        let Some(slot) = way.passed.get_mut(way.depth) else { return false };
        *slot = way.child.0;
        way.depth += 1;
        way.child = node.side(point);
        true
    }

    /// The expected score in a tree of `mass` points: one over the depth at which the point would be parted off, over
    /// all cuts. One that is in the tree already scores less the more there are of it.
    ///
    /// That a cut of a node's box with the point in it parts the point off has the probability of how far it sticks out,
    /// by all the sides. From the leaf up, for a box that holds the point is within others that do.
    pub(super) fn score(&self, way: &Way, point: &[f32], mass: u32) -> f32 {
        let mut score = self.last(way, point, mass);
        let mut depth = way.depth;
        // Several at once, for a processor that would have to foretell after each goes on to the next tree meanwhile.
        for nodes in way.nodes().rchunks(ASCENT) {
            let mut cut = 0.0;
            for &place in nodes.iter().rev() {
                depth -= 1;
                cut = self.cut_off(usize::from(place), point);
                score += cut * (unseen(depth) - score);
            }
            if cut <= 0.0 {
                break;
            }
        }
        score
    }

    /// What the end of a way scores, for itself.
    fn last(&self, way: &Way, point: &[f32], mass: u32) -> f32 {
        if way.child == NONE {
            return 0.0;
        }
        if way.child.is_leaf() && self.point(way.child) == point {
            let equal = self.masses.get(way.child.place()).copied().unwrap_or_default();
            return seen(way.depth, equal, mass);
        }
        unseen(way.depth)
    }

    /// The probability that a cut of a node's box with the point in it parts the point off.
    #[inline]
    fn cut_off(&self, place: usize, point: &[f32]) -> f32 {
        let (low, high) = self.bounds(place);
        let beyond = beyond(low, high, point);
        let sides = self.nodes.get(place).map_or(1.0, |node| node.sides);
        // A node parts points that differ, so that it has sides.
        beyond / (sides + beyond)
    }

    /// What of the score is due to the point lying below and above of what is usual, in each dimension.
    pub(super) fn attribute(&self, point: &[f32], shares: &mut [(f64, f64)]) {
        let mut way = Way::NEW;
        self.begin(&mut way);
        while self.step(&mut way, point) {}
        let mut add = |sides: f32, part: f32, (low, high): (&[f32], &[f32])| {
            let whole = sides + beyond(low, high, point);
            for ((share, &value), (&low, &high)) in shares.iter_mut().zip(point).zip(low.iter().zip(high)) {
                // One over a denormal would be infinite.
                share.0 += f64::from(part * (positive(low - value) / whole));
                share.1 += f64::from(part * (positive(value - high) / whole));
            }
        };
        // The probability that no cut has parted the point off so far.
        let mut left = 1.0;
        for (depth, &place) in way.nodes().iter().enumerate() {
            let place = usize::from(place);
            let cut = self.cut_off(place, point);
            if cut > 0.0 {
                let sides = self.nodes.get(place).map_or(0.0, |node| node.sides);
                add(sides, left * unseen(depth), self.bounds(place));
            }
            left -= left * cut;
        }
        if way.child.is_leaf() && way.child != NONE && self.point(way.child) != point {
            let leaf = self.point(way.child);
            add(0.0, left * unseen(way.depth), (leaf, leaf));
        }
    }

    #[inline]
    fn bounds(&self, place: usize) -> (&[f32], &[f32]) {
        let begin = 2 * self.width * place;
        self.boxes
            .get(begin..begin + 2 * self.width)
            .unwrap_or_default()
            .split_at_checked(self.width)
            .unwrap_or_default()
    }

    /// Coordinates of a point.
    pub(super) const fn width(&self) -> usize {
        self.width
    }

    fn point(&self, leaf: Child) -> &[f32] {
        let begin = leaf.place() * self.width;
        self.points.get(begin..begin + self.width).unwrap_or_default()
    }

    /// Inserts a point, and says where it is kept; equal points are kept together.
    pub(super) fn insert(&mut self, point: &[f32], random: &mut Random) -> LeafId {
        self.path.clear();
        let mut child = self.root;
        if child == NONE {
            let leaf = self.new_leaf(point);
            self.root = Child::leaf(leaf);
            return leaf;
        }
        let cut = loop {
            if child.is_leaf() {
                let other = self.point(child);
                if other == point {
                    self.masses.get_mut(child.place()).into_iter().for_each(|mass| *mass += 1);
                    return LeafId(child.0 & !LEAF);
                }
                let draw = random.uniform() * f64::from(beyond(other, other, point));
                break cut(other, other, point, single(draw));
            }
            if let Some(cut) = self.widen(child, point, random) {
                break cut;
            }
            self.path.push(child);
            child = self.nodes.get(child.place()).map_or(NONE, |node| node.side(point));
        };
        let leaf = self.new_leaf(point);
        self.part(child, leaf, cut);
        leaf
    }

    /// Cuts a point off a node's box, or widens the box to it and gives nothing.
    fn widen(&mut self, child: Child, point: &[f32], random: &mut Random) -> Option<(usize, f32)> {
        let begin = 2 * self.width * child.place();
        let node = self.nodes.get_mut(child.place())?;
        let (low, high) = self.boxes.get_mut(begin..begin + 2 * self.width)?.split_at_mut(self.width);
        let beyond = beyond(low, high, point);
        if beyond <= 0.0 {
            return None;
        }
        let draw = single(random.uniform() * f64::from(beyond + node.sides));
        if draw < beyond {
            return Some(cut(low, high, point, draw));
        }
        node.sides = 0.0;
        for ((low, high), &value) in low.iter_mut().zip(high.iter_mut()).zip(point) {
            (*low, *high) = (smaller(*low, value), larger(*high, value));
            node.sides += *high - *low;
        }
        None
    }

    /// Puts a node in the place of `child`, with `child` and the new leaf below it.
    fn part(&mut self, child: Child, leaf: LeafId, (dimension, at): (usize, f32)) {
        let leaf = Child::leaf(leaf);
        let is_left = self.point(leaf).get(dimension).is_some_and(|value| *value <= at);
        let (left, right) = if is_left { (leaf, child) } else { (child, leaf) };
        let dimension = u32::try_from(dimension).unwrap_or(u32::MAX);
        let place = self.new_node(Node { at, sides: 0.0, dimension, left, right });
        self.fit(place);
        self.replace(child, place);
    }

    /// Removes one of the points that are kept in a leaf.
    pub(super) fn remove(&mut self, leaf: LeafId) {
        let leaf = Child::leaf(leaf);
        let Some(mass) = self.masses.get_mut(leaf.place()) else { return };
        *mass = mass.saturating_sub(1);
        if *mass > 0 {
            return;
        }
        self.path.clear();
        let mut child = self.root;
        while !child.is_leaf() {
            self.path.push(child);
            let Some(node) = self.nodes.get(child.place()) else { return };
            child = node.side(self.point(leaf));
        }
        self.free_leaves.push(leaf.0 & !LEAF);
        let Some(parent) = self.path.pop() else {
            self.root = NONE;
            return;
        };
        let Some(node) = self.nodes.get(parent.place()) else { return };
        let sibling = if node.left == leaf { node.right } else { node.left };
        self.free_nodes.push(parent.0);
        self.replace(parent, sibling);
        // The boxes above shrink, up to the first that does not.
        while let Some(above) = self.path.pop() {
            if !self.fit(above) {
                break;
            }
        }
    }

    /// Hangs `new` where `old` hangs: below the last node of the path, or at the root.
    fn replace(&mut self, old: Child, new: Child) {
        let above = self.path.last().and_then(|above| self.nodes.get_mut(above.place()));
        let slot = match above {
            None => &mut self.root,
            Some(above) if above.left == old => &mut above.left,
            Some(above) => &mut above.right,
        };
        *slot = new;
    }

    /// Makes a node's box that of what is below it; tells whether it was another.
    fn fit(&mut self, place: Child) -> bool {
        let Some(&Node { left, right, .. }) = self.nodes.get(place.place()) else { return false };
        let mut fitting = std::mem::take(&mut self.fitting);
        let (left, right) = (self.ends(left), self.ends(right));
        fitting.clear();
        fitting.extend(left.0.iter().zip(right.0).map(|(left, right)| smaller(*left, *right)));
        fitting.extend(left.1.iter().zip(right.1).map(|(left, right)| larger(*left, *right)));
        let (low, high) = fitting.split_at(self.width);
        let sides: f32 = low.iter().zip(high).map(|(low, high)| high - low).sum();
        let begin = 2 * self.width * place.place();
        let ends = self.boxes.get_mut(begin..begin + 2 * self.width).unwrap_or_default();
        let is_changed = *ends != *fitting;
        if is_changed && ends.len() == fitting.len() {
            ends.copy_from_slice(&fitting);
        }
        fitting.clear();
        self.fitting = fitting;
        if let Some(node) = self.nodes.get_mut(place.place()) {
            node.sides = sides;
        }
        is_changed
    }

    /// The lower and upper ends of what is below a child.
    fn ends(&self, child: Child) -> (&[f32], &[f32]) {
        if child.is_leaf() {
            let point = self.point(child);
            return (point, point);
        }
        self.bounds(child.place())
    }

    fn new_leaf(&mut self, point: &[f32]) -> LeafId {
        if let Some(place) = self.free_leaves.pop() {
            let begin = usize::from(place) * self.width;
            self.points.iter_mut().skip(begin).zip(point).for_each(|(slot, value)| *slot = *value);
            self.masses.get_mut(usize::from(place)).into_iter().for_each(|mass| *mass = 1);
            return LeafId(place);
        }
        self.points.extend_from_slice(point);
        self.masses.push(1);
        LeafId(Child::node(self.masses.len() - 1).0)
    }

    fn new_node(&mut self, node: Node) -> Child {
        if let Some(place) = self.free_nodes.pop().map(Child)
            && let Some(slot) = self.nodes.get_mut(place.place())
        {
            *slot = node;
            return place;
        }
        self.nodes.push(node);
        self.boxes.resize(2 * self.width * self.nodes.len(), 0.0);
        Child::node(self.nodes.len() - 1)
    }
}

fields!(Tree {
    width: usize,
    root: Child,
    nodes: Vec<Node>,
    boxes: Vec<f32>,
    points: Vec<f32>,
    masses: Vec<u32>,
    free_nodes: Vec<u16>,
    free_leaves: Vec<u16>,
    path: Vec<Child>,
    fitting: Vec<f32>,
});
fields!(Node { at: f32, sides: f32, dimension: u32, left: Child, right: Child });

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
const DEEPEST: usize = 128;
/// Nodes that are looked at before it is asked whether the next ones can matter.
const ASCENT: usize = 4;

#[expect(
    clippy::indexing_slicing,
    reason = "at build time, where a place that is not there is an error of the compiler"
)]
const UNSEEN: [f32; DEEPEST] = {
    let (mut unseen, mut depth) = ([0.0; DEEPEST], 0);
    while depth < DEEPEST {
        unseen[depth] = 1.0 / (depth as f32 + 1.0);
        depth += 1;
    }
    unseen
};

const fn positive(value: f32) -> f32 {
    if value > 0.0 { value } else { 0.0 }
}

const fn smaller(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

const fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// How far a point sticks out of a box, over all dimensions; four at a time, as a processor does them.
#[inline]
fn beyond(low: &[f32], high: &[f32], point: &[f32]) -> f32 {
    let out = |low: f32, high: f32, value: f32| positive(low - value) + positive(value - high);
    if let (&[low], &[high], &[value]) = (low, high, point) {
        return out(low, high, value);
    }
    let ((low, low_rest), (high, high_rest)) = (low.as_chunks::<4>(), high.as_chunks::<4>());
    let (point, point_rest) = point.as_chunks::<4>();
    let mut lanes = [0.0; 4];
    for ((&[a, b, c, d], &[e, f, g, h]), &[i, j, k, l]) in low.iter().zip(high).zip(point) {
        let [m, n, o, p] = lanes;
        lanes = [m + out(a, e, i), n + out(b, f, j), o + out(c, g, k), p + out(d, h, l)];
    }
    let [a, b, c, d] = lanes;
    let rest = low_rest.iter().zip(high_rest).zip(point_rest);
    rest.fold((a + b) + (c + d), |sum, ((&low, &high), &value)| sum + out(low, high, value))
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
