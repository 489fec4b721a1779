//! One tree: points parted by random cuts, each inner node with the box of the points below it.

mod lines;
mod sound;

use std::borrow::Borrow;
use std::hint::select_unpredictable;
use std::slice;

use crate::checkpoint::fields;
use crate::number::of_len;
use crate::random::Random;
use lines::Lines;

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
    boxes: Lines,
    /// The coordinates of the leaves' points, and how many equal points each leaf stands for.
    points: Lines,
    masses: Vec<u32>,
    free_nodes: Vec<u16>,
    free_leaves: Vec<u16>,
    /// The nodes that leaves hang below; none for the root, and of no meaning for free ones.
    above_leaves: Vec<Child>,
}

/// Where the points below are parted.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Node {
    /// What is not above this is to the left.
    at: f32,
    /// The sum of the sides of the box.
    sides: f32,
    dimension: u16,
    left: Child,
    right: Child,
    /// The node that it hangs below; none for the root, and of no meaning for a free one.
    above: Child,
}

impl Node {
    #[inline]
    fn side(&self, point: &[f32]) -> Child {
        let is_left = point.get(usize::from(self.dimension)).copied().unwrap_or_default() <= self.at;
        // Either is as likely: a branch would be foretold wrong every other time.
        select_unpredictable(is_left, self.left, self.right)
    }
}

/// The way of a point down a tree: the nodes on it from the first, as many as a way holds, and where it has come to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    nodes: [Child; DEEPEST],
    /// How far the point sticks out of the boxes of the nodes; known from `inside` on, and nothing before.
    beyond: [f32; DEEPEST],
    depth: usize,
    /// Nodes at the beginning in whose boxes the point lies.
    inside: usize,
    child: Child,
}

impl Way {
    pub(super) const NEW: Self =
        Self { nodes: [NONE; DEEPEST], beyond: [0.0; DEEPEST], depth: 0, inside: 0, child: NONE };

    /// Begins anew at a node or a leaf.
    const fn restart(&mut self, child: Child) {
        self.depth = 0;
        self.child = child;
    }
}

impl Tree {
    /// A tree of at most `size` points of `width` coordinates.
    pub(super) fn new(size: usize, width: usize) -> Self {
        Self {
            width,
            root: NONE,
            nodes: Vec::with_capacity(size),
            boxes: Lines::with_capacity(2 * width * size),
            points: Lines::with_capacity(width * size),
            masses: Vec::with_capacity(size),
            free_nodes: Vec::new(),
            free_leaves: Vec::new(),
            above_leaves: Vec::with_capacity(size),
        }
    }

    /// Puts a way at the root.
    pub(super) const fn begin(&self, way: &mut Way) {
        way.restart(self.root);
    }

    /// One node further down on a way that holds `depth` of them; false where it has come to a leaf.
    #[inline(always)]
    fn step(&self, way: &mut Way, depth: usize, point: &[f32]) -> bool {
        // No node has the place of a leaf.
        let Some(node) = self.nodes.get(usize::from(way.child.0)) else { return false };
        let Some(slot) = way.nodes.get_mut(depth) else { return false };
        *slot = way.child;
        way.depth = depth + 1;
        way.child = node.side(point);
        true
    }

    /// Goes down trees to the ends of their ways, a leaf or as deep as ways hold nodes. The processor waits for the memory of
    /// all of them at once.
    pub(super) fn descend<T: Borrow<Self>>(trees: &[T], ways: &mut [Way], point: &[f32]) {
        for depth in 0..DEEPEST {
            let mut is_under_way = false;
            for (way, tree) in ways.iter_mut().zip(trees) {
                is_under_way |= tree.borrow().step(way, depth, point);
            }
            if !is_under_way {
                break;
            }
        }
    }

    /// The score of the point of a way that has come to its end, in a tree of `mass` points; the way is made ready for
    /// [`insert`](Self::insert).
    ///
    /// It is the expected value of one over the depth at which the point would be parted off, over all cuts. That a cut of
    /// a node's box with the point in it parts the point off has the probability of how far it sticks out, by all the
    /// sides. A point that is in the tree already scores less the more there are of it.
    ///
    /// Of `N` coordinates, or as many as there are where that is 0: loops whose length is known have no ends to look
    /// after. From the end upwards, all boxes of the way can be fetched at once, and those around one that the point lies
    /// in need not be.
    #[inline]
    pub(super) fn score<const N: usize>(&self, way: &mut Way, point: &[f32], mass: u32) -> f32 {
        let mut score = self.last(way, point, mass);
        let depth = way.depth;
        way.inside = depth;
        let (nodes, beyonds, unseens) =
            (way.nodes.get(..depth), way.beyond.get_mut(..depth), UNSEEN.get(..depth));
        let (Some(nodes), Some(beyonds), Some(unseens)) = (nodes, beyonds, unseens) else { return score };
        for ((&child, slot), &unseen) in nodes.iter().zip(beyonds).zip(unseens).rev() {
            let Some(node) = self.nodes.get(child.place()) else { break };
            let (low, high) = self.bounds::<N>(child.place());
            let beyond = beyond::<N>(low, high, point);
            if beyond <= 0.0 {
                break;
            }
            *slot = beyond;
            way.inside -= 1;
            // A node parts points that differ, so that it has sides.
            let whole = node.sides + beyond;
            let cut = beyond / whole;
            score = score * (1.0 - cut) + cut * unseen;
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
        let mut way = Way::NEW;
        self.begin(&mut way);
        Self::descend(slice::from_ref(self), slice::from_mut(&mut way), point);
        // The probability that no cut so far has parted the point off.
        let mut left = 1.0;
        for (&child, &unseen) in way.nodes.iter().zip(&UNSEEN).take(way.depth) {
            let sides = self.nodes.get(child.place()).map_or(0.0, |node| node.sides);
            let bounds = self.bounds::<0>(child.place());
            let beyond = beyond::<0>(bounds.0, bounds.1, point);
            if beyond > 0.0 {
                add(sides, left * unseen, bounds);
                left -= left * (beyond / (sides + beyond));
            }
        }
        if way.child.is_leaf() && way.child != NONE && self.point(way.child) != point {
            let leaf = self.point(way.child);
            add(0.0, left * unseen(way.depth), (leaf, leaf));
        }
    }

    /// The lower and the upper ends of a node's box.
    #[inline]
    fn bounds<const N: usize>(&self, place: usize) -> (&[f32], &[f32]) {
        let width = if N > 0 { N } else { self.width };
        self.boxes.get(2 * width * place, 2 * width).split_at_checked(width).unwrap_or_default()
    }

    /// Coordinates of a point.
    pub(super) const fn width(&self) -> usize {
        self.width
    }

    fn point(&self, leaf: Child) -> &[f32] {
        self.points.get(leaf.place() * self.width, self.width)
    }

    /// Inserts the point of a way that was just [scored](Self::score), and says where it is kept; equal points are kept
    /// together.
    pub(super) fn insert<const N: usize>(
        &mut self,
        way: &mut Way,
        point: &[f32],
        random: &mut Random,
    ) -> LeafId {
        if way.child == NONE {
            let leaf = self.new_leaf(point);
            self.hang(Child::leaf(leaf), NONE);
            self.root = Child::leaf(leaf);
            return leaf;
        }
        let (child, cut) = loop {
            if let Some(cut) = self.widen::<N>(way, point, random) {
                break cut;
            }
            if way.child.is_leaf() {
                let other = self.point(way.child);
                if other == point {
                    self.masses.get_mut(way.child.place()).into_iter().for_each(|mass| *mass += 1);
                    return LeafId(way.child.0 & !LEAF);
                }
                let draw = random.uniform() * f64::from(beyond::<N>(other, other, point));
                break (way.child, cut(other, other, point, single(draw)));
            }
            // Deeper than a way holds nodes: on from there.
            way.restart(way.child);
            Self::descend(slice::from_ref(self), slice::from_mut(way), point);
            self.score::<N>(way, point, 1);
        };
        let leaf = self.new_leaf(point);
        self.part(child, leaf, cut);
        self.fit::<N>(self.above(Child::leaf(leaf)));
        leaf
    }

    /// Draws at which node of a way the point is cut off, and where; widens the boxes of those above.
    fn widen<const N: usize>(
        &mut self,
        way: &Way,
        point: &[f32],
        random: &mut Random,
    ) -> Option<(Child, (usize, f32))> {
        let nodes = way.nodes.iter().zip(&way.beyond).take(way.depth).skip(way.inside);
        for (&child, &beyond) in nodes {
            let node = self.nodes.get_mut(child.place())?;
            let bounds = self.boxes.get_mut(2 * self.width * child.place(), 2 * self.width);
            let (low, high) = bounds.split_at_mut_checked(self.width)?;
            let draw = single(random.uniform() * f64::from(beyond + node.sides));
            if draw < beyond {
                return Some((child, cut(low, high, point, draw)));
            }
            stretch::<N>(low, high, point);
            node.sides = sides::<N>(low, high);
        }
        None
    }

    /// Puts a node in the place of a child, with the child and the new leaf below it; its box is still to be made.
    fn part(&mut self, child: Child, leaf: LeafId, (dimension, at): (usize, f32)) {
        let above = self.above(child);
        let leaf = Child::leaf(leaf);
        let is_left = self.point(leaf).get(dimension).is_some_and(|value| *value <= at);
        let (left, right) = if is_left { (leaf, child) } else { (child, leaf) };
        let dimension = u16::try_from(dimension).unwrap_or(u16::MAX);
        let place = self.new_node(Node { at, sides: 0.0, dimension, left, right, above });
        self.replace(child, place, above);
        self.hang(child, place);
        self.hang(leaf, place);
    }

    /// Removes one of the points that are kept in a leaf.
    pub(super) fn remove<const N: usize>(&mut self, leaf: LeafId) {
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
        self.shrink::<N>(above, leaf);
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
        if child.is_leaf() {
            return self.above_leaves.get(child.place()).copied().unwrap_or(NONE);
        }
        self.nodes.get(child.place()).map_or(NONE, |node| node.above)
    }

    fn hang(&mut self, child: Child, above: Child) {
        let slot = if child.is_leaf() {
            self.above_leaves.get_mut(child.place())
        } else {
            self.nodes.get_mut(child.place()).map(|node| &mut node.above)
        };
        slot.into_iter().for_each(|slot| *slot = above);
    }

    /// Makes a node's box that of what is below it; tells whether it was another.
    fn fit<const N: usize>(&mut self, child: Child) -> bool {
        let Some(&Node { left, right, .. }) = self.nodes.get(child.place()) else { return false };
        let (bits, sides) =
            if N > 0 { self.fit_chunk::<N>(child, left, right) } else { self.fit_any(child, left, right) };
        self.nodes.get_mut(child.place()).into_iter().for_each(|node| node.sides = sides);
        bits != 0
    }

    /// The same for `N` coordinates: the bits that are others, and the sum of the sides.
    #[inline]
    fn fit_chunk<const N: usize>(&mut self, child: Child, left: Child, right: Child) -> (u32, f32) {
        let none = [0.0; N];
        let ends = |child| {
            let (low, high) = self.ends::<N>(child);
            (low.first_chunk().copied().unwrap_or(none), high.first_chunk().copied().unwrap_or(none))
        };
        let ((mut low, mut high), (other_low, other_high)) = (ends(left), ends(right));
        low.iter_mut().zip(&other_low).for_each(|(low, other)| *low = smaller(*low, *other));
        high.iter_mut().zip(&other_high).for_each(|(high, other)| *high = larger(*high, *other));
        let slots = self.boxes.get_mut(2 * N * child.place(), 2 * N);
        let Some((low_slots, high_slots)) = slots.split_first_chunk_mut::<N>() else { return (0, 0.0) };
        let Some(high_slots) = high_slots.first_chunk_mut::<N>() else { return (0, 0.0) };
        let bits = other_bits(low_slots, &low) | other_bits(high_slots, &high);
        (*low_slots, *high_slots) = (low, high);
        (bits, sides::<N>(&low, &high))
    }

    /// The same for as many coordinates as there are.
    fn fit_any(&mut self, child: Child, left: Child, right: Child) -> (u32, f32) {
        let mut bits = 0;
        for dimension in 0..self.width {
            let end = |of: &[f32]| of.get(dimension).copied().unwrap_or_default();
            let (left, right) = (self.ends::<0>(left), self.ends::<0>(right));
            let (low, high) = (smaller(end(left.0), end(right.0)), larger(end(left.1), end(right.1)));
            let begin = 2 * self.width * child.place() + dimension;
            for (place, end) in [(begin, low), (begin + self.width, high)] {
                let Some(slot) = self.boxes.get_mut(place, 1).first_mut() else { continue };
                bits |= slot.to_bits() ^ end.to_bits();
                *slot = end;
            }
        }
        let (low, high) = self.bounds::<0>(child.place());
        (bits, sides::<0>(low, high))
    }

    /// True where a point lies at an end of a node's box, so that the box may be another without it.
    #[inline]
    fn touches<const N: usize>(&self, child: Child, leaf: Child) -> bool {
        let ((low, high), point) = (self.bounds::<N>(child.place()), self.point(leaf));
        if let (Some(low), Some(high), Some(point)) =
            (low.first_chunk::<N>(), high.first_chunk::<N>(), point.first_chunk::<N>())
            && N > 0
        {
            return lies_at_end(low, high, point);
        }
        lies_at_end(low, high, point)
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
            let slots = self.points.get_mut(usize::from(place) * self.width, self.width);
            slots.iter_mut().zip(point).for_each(|(slot, value)| *slot = *value);
            self.masses.get_mut(usize::from(place)).into_iter().for_each(|mass| *mass = 1);
            return LeafId(place);
        }
        let begin = self.points.len();
        self.points.grow(self.width);
        let slots = self.points.get_mut(begin, self.width);
        slots.iter_mut().zip(point).for_each(|(slot, value)| *slot = *value);
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
        self.boxes.grow(2 * self.width);
        Child::node(self.nodes.len() - 1)
    }
}

fields!(Tree {
    width: usize,
    root: Child,
    nodes: Vec<Node>,
    boxes: Lines,
    points: Lines,
    masses: Vec<u32>,
    free_nodes: Vec<u16>,
    free_leaves: Vec<u16>,
    above_leaves: Vec<Child>,
});
fields!(Node { at: f32, sides: f32, dimension: u16, left: Child, right: Child, above: Child });

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

/// The sum of the sides of a box, of `N` coordinates as well.
#[inline(always)]
fn sides<const N: usize>(low: &[f32], high: &[f32]) -> f32 {
    if let (Some(low), Some(high)) = (low.first_chunk::<N>(), high.first_chunk::<N>())
        && N > 0
    {
        return added(low, high, low, |low, high, _| high - low);
    }
    added(low, high, low, |low, high, _| high - low)
}

/// The bits that some of the numbers have otherwise.
#[inline(always)]
fn other_bits<const N: usize>(some: &[f32; N], others: &[f32; N]) -> u32 {
    some.iter().zip(others).fold(0, |bits, (one, other)| bits | (one.to_bits() ^ other.to_bits()))
}

/// True where a point in a box lies at an end of it; ends are counted, which is done for several at once.
#[inline(always)]
fn lies_at_end(low: &[f32], high: &[f32], point: &[f32]) -> bool {
    let ends = low.iter().zip(high).zip(point);
    ends.map(|((low, high), value)| u32::from(value <= low) + u32::from(value >= high)).sum::<u32>() > 0
}

/// Makes a box so wide that it holds a point, of `N` coordinates as well.
#[inline(always)]
fn stretch<const N: usize>(low: &mut [f32], high: &mut [f32], point: &[f32]) {
    if let (Some(low), Some(high), Some(point)) =
        (low.first_chunk_mut::<N>(), high.first_chunk_mut::<N>(), point.first_chunk::<N>())
    {
        low.iter_mut().zip(point).for_each(|(low, value)| *low = smaller(*low, *value));
        high.iter_mut().zip(point).for_each(|(high, value)| *high = larger(*high, *value));
    }
    if N == 0 {
        low.iter_mut().zip(point).for_each(|(low, value)| *low = smaller(*low, *value));
        high.iter_mut().zip(point).for_each(|(high, value)| *high = larger(*high, *value));
    }
}

/// How far a value lies outside of an interval.
#[inline]
const fn outside(low: f32, high: f32, value: f32) -> f32 {
    (value - smaller(larger(value, low), high)).abs()
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
    for ((low, high), point) in low.iter().zip(high).zip(point) {
        let ends = low.iter().zip(high).zip(point);
        lanes.iter_mut().zip(ends).for_each(|(lane, ((&low, &high), &value))| *lane += of(low, high, value));
    }
    // Halves before neighbours, as they lie in a register.
    let [a, b, c, d] = lanes;
    let rest = low_rest.iter().zip(high_rest).zip(point_rest);
    rest.fold((a + c) + (b + d), |sum, ((&low, &high), &value)| sum + of(low, high, value))
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
