//! The call tree by name that listings, pictures and comparisons are made from.

use std::collections::HashMap;

use crate::profile::Profile;

/// Whether values below zero count or are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Negative {
    Keep,
    LeaveOut,
}

/// One function called through one chain of callers. Of each pair of numbers the first belongs to
/// the first profile and the second to the second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node {
    /// Position in [`CallTree::names`].
    pub(crate) name: u32,
    pub(crate) parent: u32,
    /// What was sampled in the function itself.
    pub(crate) own: [i64; 2],
    /// What was sampled in the function and whatever it called.
    pub(crate) total: [i64; 2],
}

/// The stacks of one or two profiles by function name; node 0 is the root, parents come before children.
#[derive(Debug)]
pub(crate) struct CallTree<'a> {
    pub(crate) names: Vec<&'a str>,
    pub(crate) nodes: Vec<Node>,
    /// All nodes but the root, by parent and then by name.
    ordered: Vec<u32>,
    /// For each node, where its children lie in `ordered`.
    children: Vec<(u32, u32)>,
}

#[derive(Debug, Default)]
struct Builder<'a> {
    names: Vec<&'a str>,
    name_index: HashMap<&'a str, u32>,
    nodes: Vec<Node>,
    index: HashMap<(u32, u32), u32>,
}

impl<'a> CallTree<'a> {
    /// Cost: O(nodes of the stack trees + samples), and sorting the nodes.
    pub(crate) fn of(before: &'a Profile, after: Option<&'a Profile>, negative: Negative) -> Self {
        let mut builder = Builder::default();
        builder.nodes.push(Node { name: 0, parent: 0, own: [0; 2], total: [0; 2] });
        builder.add(before, 0, negative);
        if let Some(after) = after {
            builder.add(after, 1, negative);
        }
        builder.finish()
    }

    pub(crate) fn root(&self) -> Node {
        self.node(0)
    }

    pub(crate) fn node(&self, id: u32) -> Node {
        let none = Node { name: 0, parent: 0, own: [0; 2], total: [0; 2] };
        self.nodes.get(id as usize).copied().unwrap_or(none)
    }

    pub(crate) fn name(&self, node: Node) -> &'a str {
        self.names.get(node.name as usize).copied().unwrap_or_default()
    }

    /// The functions that a node calls, by name.
    pub(crate) fn children(&self, id: u32) -> &[u32] {
        let (start, end) = self.children.get(id as usize).copied().unwrap_or_default();
        self.ordered.get(start as usize..end as usize).unwrap_or_default()
    }

    /// Own and total numbers of each function, by position in `names`; a function that calls itself
    /// counts once in its total.
    pub(crate) fn functions(&self) -> Vec<([i64; 2], [i64; 2])> {
        let mut sums = vec![([0_i64; 2], [0_i64; 2]); self.names.len()];
        let mut on_path = vec![0_u32; self.names.len()];
        let mut work = vec![Step::Enter(0)];
        while let Some(step) = work.pop() {
            let (Step::Enter(id) | Step::Leave(id)) = step;
            let node = self.node(id);
            let (Some(open), Some((own, total))) =
                (on_path.get_mut(node.name as usize), sums.get_mut(node.name as usize))
            else {
                // Only the root of an empty tree has no name.
                continue;
            };
            if matches!(step, Step::Leave(_)) {
                *open -= 1;
                continue;
            }
            if id != 0 {
                add(own, node.own);
                if *open == 0 {
                    add(total, node.total);
                }
                *open += 1;
                work.push(Step::Leave(id));
            }
            work.extend(self.children(id).iter().map(|&child| Step::Enter(child)));
        }
        sums
    }

    /// The function names from the outermost down to this node.
    pub(crate) fn path(&self, mut id: u32) -> Vec<&'a str> {
        let mut path = Vec::new();
        while id != 0 {
            let node = self.node(id);
            path.push(self.name(node));
            id = node.parent;
        }
        path.reverse();
        path
    }
}

enum Step {
    Enter(u32),
    Leave(u32),
}

impl<'a> Builder<'a> {
    fn add(&mut self, profile: &'a Profile, side: usize, negative: Negative) {
        let table = &profile.table;
        // Where each stack of the profile lies in this tree; only the sampled ones and their callers.
        let mut places: Vec<Option<u32>> = vec![None; profile.stacks.len()];
        let edges: Vec<_> = std::iter::once((0, 0)).chain(profile.stacks.edges()).collect();
        let mut wanted = vec![false; edges.len()];
        for (key, _) in profile.rows() {
            mark(&mut wanted, key.stack);
        }
        for id in (1..edges.len()).rev() {
            if let (Some(true), Some(&(parent, _))) = (wanted.get(id), edges.get(id)) {
                mark(&mut wanted, parent);
            }
        }
        if let Some(root) = places.first_mut() {
            *root = Some(0);
        }
        for (id, &(parent, frame)) in edges.iter().enumerate().skip(1) {
            if wanted.get(id) != Some(&true) {
                continue;
            }
            let parent = places.get(parent as usize).copied().flatten().unwrap_or_default();
            let name = self.name(table.text(table.frame_name(frame)));
            let place = self.child(parent, name);
            if let Some(slot) = places.get_mut(id) {
                *slot = Some(place);
            }
        }
        for (key, values) in profile.rows() {
            let place = places.get(key.stack as usize).copied().flatten().unwrap_or_default();
            let value = values.get(profile.default_value).copied().unwrap_or_default();
            let value = if negative == Negative::LeaveOut { value.max(0) } else { value };
            if let Some(own) = self.nodes.get_mut(place as usize).and_then(|node| node.own.get_mut(side)) {
                *own += value;
            }
        }
    }

    fn name(&mut self, name: &'a str) -> u32 {
        let next = size(self.names.len());
        let id = *self.name_index.entry(name).or_insert(next);
        if id == next {
            self.names.push(name);
        }
        id
    }

    fn child(&mut self, parent: u32, name: u32) -> u32 {
        let next = size(self.nodes.len());
        let id = *self.index.entry((parent, name)).or_insert(next);
        if id == next {
            self.nodes.push(Node { name, parent, own: [0; 2], total: [0; 2] });
        }
        id
    }

    fn finish(mut self) -> CallTree<'a> {
        for id in (0..self.nodes.len()).rev() {
            let Some(node) = self.nodes.get_mut(id) else { continue };
            add(&mut node.total, node.own);
            let (parent, total) = (node.parent as usize, node.total);
            if let Some(parent) = self.nodes.get_mut(parent).filter(|_| id != 0) {
                add(&mut parent.total, total);
            }
        }
        let mut ordered: Vec<u32> = (1..size(self.nodes.len())).collect();
        ordered.sort_by_key(|&id| {
            let node = self.nodes.get(id as usize);
            node.map(|node| (node.parent, self.names.get(node.name as usize).copied().unwrap_or_default()))
        });
        let mut children = vec![(0, 0); self.nodes.len()];
        for (at, &id) in ordered.iter().enumerate() {
            let parent = self.nodes.get(id as usize).map_or(0, |node| node.parent);
            let Some(range) = children.get_mut(parent as usize) else { continue };
            if range.1 == 0 {
                range.0 = size(at);
            }
            range.1 = size(at) + 1;
        }
        CallTree { names: self.names, nodes: self.nodes, ordered, children }
    }
}

fn add(sum: &mut [i64; 2], more: [i64; 2]) {
    // The profiles hold their totals within i64, each on its own side; see `Profile::add`.
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum = sum.saturating_add(more);
    }
}

fn mark(wanted: &mut [bool], id: u32) {
    if let Some(slot) = wanted.get_mut(id as usize) {
        *slot = true;
    }
}

/// No tree has more nodes than the two stack trees together, which `max_stacks` bounds.
fn size(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
