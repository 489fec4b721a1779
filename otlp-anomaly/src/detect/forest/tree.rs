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
    /// The nodes that nodes and leaves hang below; none for the root, and of no meaning for free ones.
    above_nodes: Vec<Child>,
    above_leaves: Vec<Child>,
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

/// The way of a point down a tree, and what it has scored on it.
///
/// The score is the expected value of one over the depth at which the point would be parted off, over all cuts. That a
/// cut of a node's box with the point in it parts the point off has the probability of how far it sticks out, by all the sides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    child: Child,
    depth: usize,
    /// The probability that no cut so far has parted the point off.
    left: f32,
    score: f32,
}

impl Way {
    pub(super) const NEW: Self = Self { child: NONE, depth: 0, left: 1.0, score: 0.0 };
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
            above_nodes: Vec::with_capacity(size),
            above_leaves: Vec::with_capacity(size),
        }
    }

    /// A way at the root.
    pub(super) const fn begin(&self) -> Way {
        Way { child: self.root, ..Way::NEW }
    }

    /// One node further down; false where the way has come to its end, a leaf or as deep as is looked. Of `N` coordinates,
    /// or as many as there are where that is 0: loops whose length is known have no ends to look after.
    #[inline]
    pub(super) fn step<const N: usize>(&self, way: &mut Way, point: &[f32]) -> bool {
        let place = way.child.place();
        let Some(node) = self.nodes.get(place).filter(|_| !way.child.is_leaf()) else { return false };
        let Some(&unseen) = UNSEEN.get(way.depth) else { return false };
        let (low, high) = self.bounds::<N>(place);
        let beyond = beyond::<N>(low, high, point);
        // A node parts points that differ, so that it has sides.
        let cut = way.left * (beyond / (node.sides + beyond));
        way.score += cut * unseen;
        way.left -= cut;
        way.depth += 1;
        way.child = node.side(point);
        true
    }

    /// The score of a way that has come to its end, in a tree of `mass` points. A point that is in the tree already scores
    /// less the more there are of it.
    pub(super) fn score(&self, way: &Way, point: &[f32], mass: u32) -> f32 {
        way.score + way.left * self.last(way, point, mass)
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

    /// What of the score is due to the point lying below and above of what is usual, in each dimension.
    pub(super) fn attribute(&self, point: &[f32], shares: &mut [(f64, f64)]) {
        let mut add = |sides: f32, part: f32, (low, high): (&[f32], &[f32])| {
            let whole = sides + beyond::<0>(low, high, point);
            for ((share, &value), (&low, &high)) in shares.iter_mut().zip(point).zip(low.iter().zip(high)) {
                // One over a denormal would be infinite.
                share.0 += f64::from(part * (positive(low - value) / whole));
                share.1 += f64::from(part * (positive(value - high) / whole));
            }
        };
        let mut way = self.begin();
        loop {
            let (at, left, depth) = (way.child, way.left, way.depth);
            if !self.step::<0>(&mut way, point) {
                break;
            }
            if way.left < left {
                let sides = self.nodes.get(at.place()).map_or(0.0, |node| node.sides);
                add(sides, left * unseen(depth), self.bounds::<0>(at.place()));
            }
        }
        if way.child.is_leaf() && way.child != NONE && self.point(way.child) != point {
            let leaf = self.point(way.child);
            add(0.0, way.left * unseen(way.depth), (leaf, leaf));
        }
    }

    /// The lower and the upper ends of a node's box.
    #[inline]
    fn bounds<const N: usize>(&self, place: usize) -> (&[f32], &[f32]) {
        let width = if N > 0 { N } else { self.width };
        let begin = 2 * width * place;
        let ends = self.boxes.get(begin..begin + 2 * width).unwrap_or_default();
        ends.split_at_checked(width).unwrap_or_default()
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
        match self.width {
            1 => self.insert_of::<1>(point, random),
            8 => self.insert_of::<8>(point, random),
            _ => self.insert_of::<0>(point, random),
        }
    }

    fn insert_of<const N: usize>(&mut self, point: &[f32], random: &mut Random) -> LeafId {
        let (mut child, mut above) = (self.root, NONE);
        if child == NONE {
            let leaf = self.new_leaf(point);
            self.hang(Child::leaf(leaf), NONE);
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
                let draw = random.uniform() * f64::from(beyond::<N>(other, other, point));
                break cut(other, other, point, single(draw));
            }
            if let Some(cut) = self.widen::<N>(child, point, random) {
                break cut;
            }
            above = child;
            child = self.nodes.get(child.place()).map_or(NONE, |node| node.side(point));
        };
        let leaf = self.new_leaf(point);
        self.part((child, above), leaf, cut);
        self.fit::<N>(self.above(Child::leaf(leaf)));
        leaf
    }

    /// Cuts a point off a node's box, or widens the box to it and gives nothing.
    #[inline]
    fn widen<const N: usize>(
        &mut self,
        child: Child,
        point: &[f32],
        random: &mut Random,
    ) -> Option<(usize, f32)> {
        let begin = 2 * self.width * child.place();
        let node = self.nodes.get_mut(child.place())?;
        let (low, high) = self.boxes.get_mut(begin..begin + 2 * self.width)?.split_at_mut(self.width);
        let beyond = beyond::<N>(low, high, point);
        if beyond <= 0.0 {
            return None;
        }
        let draw = single(random.uniform() * f64::from(beyond + node.sides));
        if draw < beyond {
            return Some(cut(low, high, point, draw));
        }
        for ((low, high), &value) in low.iter_mut().zip(high.iter_mut()).zip(point) {
            (*low, *high) = (smaller(*low, value), larger(*high, value));
        }
        node.sides = sides(low, high);
        None
    }

    /// Puts a node in the place of a child, with the child and the new leaf below it; its box is still to be made.
    fn part(&mut self, (child, above): (Child, Child), leaf: LeafId, (dimension, at): (usize, f32)) {
        let leaf = Child::leaf(leaf);
        let is_left = self.point(leaf).get(dimension).is_some_and(|value| *value <= at);
        let (left, right) = if is_left { (leaf, child) } else { (child, leaf) };
        let dimension = u32::try_from(dimension).unwrap_or(u32::MAX);
        let place = self.new_node(Node { at, sides: 0.0, dimension, left, right });
        self.replace(child, place, above);
        self.hang(child, place);
        self.hang(leaf, place);
    }

    /// Removes one of the points that are kept in a leaf.
    pub(super) fn remove(&mut self, leaf: LeafId) {
        let leaf = Child::leaf(leaf);
        let Some(mass) = self.masses.get_mut(leaf.place()) else { return };
        *mass = mass.saturating_sub(1);
        if *mass > 0 {
            return;
        }
        self.free_leaves.push(leaf.0 & !LEAF);
        let parent = self.above(leaf);
        let Some(node) = self.nodes.get(parent.place()).filter(|_| parent != NONE) else {
            self.root = NONE;
            return;
        };
        let sibling = if node.left == leaf { node.right } else { node.left };
        self.free_nodes.push(parent.0);
        let above = self.above(parent);
        self.replace(parent, sibling, above);
        match self.width {
            1 => self.shrink::<1>(above, leaf),
            8 => self.shrink::<8>(above, leaf),
            _ => self.shrink::<0>(above, leaf),
        }
    }

    /// Shrinks the boxes that a point has gone from, up to the first that is as before.
    fn shrink<const N: usize>(&mut self, mut above: Child, leaf: Child) {
        while above != NONE && self.touches::<N>(above, leaf) && self.fit::<N>(above) {
            above = self.above(above);
        }
    }

    /// Hangs `new` where `old` hangs: below a node, or at the root.
    fn replace(&mut self, old: Child, new: Child, above: Child) {
        let slot = match self.nodes.get_mut(above.place()).filter(|_| above != NONE) {
            None => &mut self.root,
            Some(above) if above.left == old => &mut above.left,
            Some(above) => &mut above.right,
        };
        *slot = new;
        self.hang(new, above);
    }

    /// The node that a child hangs below.
    fn above(&self, child: Child) -> Child {
        let all = if child.is_leaf() { &self.above_leaves } else { &self.above_nodes };
        all.get(child.place()).copied().unwrap_or(NONE)
    }

    fn hang(&mut self, child: Child, above: Child) {
        let all = if child.is_leaf() { &mut self.above_leaves } else { &mut self.above_nodes };
        all.get_mut(child.place()).into_iter().for_each(|slot| *slot = above);
    }

    /// Makes a node's box that of what is below it; tells whether it was another.
    fn fit<const N: usize>(&mut self, child: Child) -> bool {
        let Some(&Node { left, right, .. }) = self.nodes.get(child.place()) else { return false };
        let mut is_changed = false;
        if N > 0 {
            let Some([low, high]) = self.union::<N>(left, right) else { return false };
            let begin = 2 * N * child.place();
            for (slots, ends) in [(begin, low), (begin + N, high)] {
                let Some(slots) = self.boxes.get_mut(slots..slots + N) else { continue };
                is_changed |= *slots != ends;
                slots.copy_from_slice(&ends);
            }
        } else {
            for dimension in 0..self.width {
                let end = |of: &[f32]| of.get(dimension).copied().unwrap_or_default();
                let (left, right) = (self.ends::<0>(left), self.ends::<0>(right));
                let (low, high) = (smaller(end(left.0), end(right.0)), larger(end(left.1), end(right.1)));
                let begin = 2 * self.width * child.place() + dimension;
                for (place, end) in [(begin, low), (begin + self.width, high)] {
                    let Some(slot) = self.boxes.get_mut(place) else { continue };
                    is_changed |= slot.to_bits() != end.to_bits();
                    *slot = end;
                }
            }
        }
        let (low, high) = self.bounds::<N>(child.place());
        let sides = sides(low, high);
        self.nodes.get_mut(child.place()).into_iter().for_each(|node| node.sides = sides);
        is_changed
    }

    /// The box around two children, of `N` coordinates.
    #[inline]
    fn union<const N: usize>(&self, left: Child, right: Child) -> Option<[[f32; N]; 2]> {
        let (left, right) = (self.ends::<N>(left), self.ends::<N>(right));
        let (mut low, mut high): ([f32; N], [f32; N]) = (*left.0.first_chunk()?, *left.1.first_chunk()?);
        let (other_low, other_high): (&[f32; N], &[f32; N]) =
            (right.0.first_chunk()?, right.1.first_chunk()?);
        low.iter_mut().zip(other_low).for_each(|(low, other)| *low = smaller(*low, *other));
        high.iter_mut().zip(other_high).for_each(|(high, other)| *high = larger(*high, *other));
        Some([low, high])
    }

    /// True where a point lies at an end of a node's box, so that the box may be another without it.
    #[inline]
    fn touches<const N: usize>(&self, child: Child, leaf: Child) -> bool {
        let ((low, high), point) = (self.bounds::<N>(child.place()), self.point(leaf));
        let ends = low.iter().zip(high).zip(point);
        ends.fold(false, |met, ((low, high), value)| met | (value <= low) | (value >= high))
    }

    /// The lower and upper ends of what is below a child.
    #[inline]
    fn ends<const N: usize>(&self, child: Child) -> (&[f32], &[f32]) {
        if child.is_leaf() {
            let point = self.point(child);
            return (point, point);
        }
        self.bounds::<N>(child.place())
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
        self.above_leaves.push(NONE);
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
        self.above_nodes.push(NONE);
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
    above_nodes: Vec<Child>,
    above_leaves: Vec<Child>,
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

/// How far a point sticks out of a box, over all dimensions; of `N` coordinates, or as many as there are where that is 0.
#[inline(always)]
fn beyond<const N: usize>(low: &[f32], high: &[f32], point: &[f32]) -> f32 {
    if let (Some(low), Some(high), Some(point)) =
        (low.first_chunk::<N>(), high.first_chunk::<N>(), point.first_chunk::<N>())
        && N > 0
    {
        return added(low, high, point, outside);
    }
    added(low, high, point, outside)
}

/// The sum of the sides of a box.
fn sides(low: &[f32], high: &[f32]) -> f32 {
    added(low, high, low, |low, high, _| high - low)
}

/// How far a value lies outside of an interval.
#[inline]
const fn outside(low: f32, high: f32, value: f32) -> f32 {
    positive(low - value) + positive(value - high)
}

/// The sum over the dimensions; four at a time, as a processor does them.
#[inline(always)]
fn added(low: &[f32], high: &[f32], point: &[f32], of: impl Fn(f32, f32, f32) -> f32) -> f32 {
    if let (&[low], &[high], &[value]) = (low, high, point) {
        return of(low, high, value);
    }
    let ((low, low_rest), (high, high_rest)) = (low.as_chunks::<4>(), high.as_chunks::<4>());
    let (point, point_rest) = point.as_chunks::<4>();
    let mut lanes = [0.0; 4];
    for ((&[a, b, c, d], &[e, f, g, h]), &[i, j, k, l]) in low.iter().zip(high).zip(point) {
        let [m, n, o, p] = lanes;
        lanes = [m + of(a, e, i), n + of(b, f, j), o + of(c, g, k), p + of(d, h, l)];
    }
    let [a, b, c, d] = lanes;
    let rest = low_rest.iter().zip(high_rest).zip(point_rest);
    rest.fold((a + b) + (c + d), |sum, ((&low, &high), &value)| sum + of(low, high, value))
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
