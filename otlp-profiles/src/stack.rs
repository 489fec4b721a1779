//! All stacks of a profile as one tree: stacks that begin alike share their outer frames.

use std::collections::HashMap;

use crate::Result;
use crate::limits::Limits;
use crate::table::{limit_error, next_id};

/// A stack: the number of its innermost node. Zero is the empty stack.
pub(crate) type StackId = u32;

#[derive(Debug, Clone, Copy)]
struct Node {
    parent: StackId,
    frame: u32,
    depth: u32,
}

/// The tree. A parent's number is always below its children's.
#[derive(Debug, Clone)]
pub(crate) struct StackTree {
    nodes: Vec<Node>,
    index: HashMap<(StackId, u32), StackId>,
    visits: usize,
}

impl StackTree {
    pub(crate) const EMPTY: StackId = 0;

    pub(crate) fn new() -> Self {
        Self { nodes: vec![Node { parent: 0, frame: 0, depth: 0 }], index: HashMap::new(), visits: 0 }
    }

    /// The stack that has `frame` inside `parent`.
    pub(crate) fn push(&mut self, parent: StackId, frame: u32, limits: &Limits) -> Result<StackId> {
        self.visits = self.visits.saturating_add(1);
        if self.visits > limits.visits() {
            return Err(limit_error("max_visits", self.visits, limits.visits()));
        }
        if let Some(&id) = self.index.get(&(parent, frame)) {
            return Ok(id);
        }
        let depth = self.depth(parent).saturating_add(1);
        if depth as usize > limits.depth() {
            return Err(limit_error("max_depth", depth as usize, limits.depth()));
        }
        let id = next_id(self.nodes.len(), "max_stacks", limits.stacks())?;
        self.nodes.push(Node { parent, frame, depth });
        self.index.insert((parent, frame), id);
        Ok(id)
    }

    pub(crate) fn depth(&self, stack: StackId) -> u32 {
        self.nodes.get(stack as usize).map_or(0, |node| node.depth)
    }

    /// Frame numbers, leaf first.
    pub(crate) fn leaf_first(&self, stack: StackId) -> LeafFirst<'_> {
        LeafFirst { tree: self, at: stack }
    }

    /// Every stack but the empty one as (parent, frame), parents before children, numbered from 1.
    pub(crate) fn edges(&self) -> impl Iterator<Item = (StackId, u32)> + '_ {
        self.nodes.iter().skip(1).map(|node| (node.parent, node.frame))
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }
}

#[derive(Debug, Clone)]
pub(crate) struct LeafFirst<'a> {
    tree: &'a StackTree,
    at: StackId,
}

impl Iterator for LeafFirst<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        if self.at == StackTree::EMPTY {
            return None;
        }
        let node = self.tree.nodes.get(self.at as usize)?;
        self.at = node.parent;
        Some(node.frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_that_begin_alike_share_nodes() {
        let limits = Limits::default();
        let mut tree = StackTree::new();
        let main = tree.push(StackTree::EMPTY, 7, &limits).unwrap();
        let a = tree.push(main, 8, &limits).unwrap();
        let b = tree.push(main, 9, &limits).unwrap();
        assert_eq!(tree.push(main, 8, &limits).unwrap(), a);
        assert_eq!(tree.leaf_first(b).collect::<Vec<_>>(), [9, 7]);
        assert_eq!((tree.len(), tree.depth(b)), (4, 2));
    }

    #[test]
    fn depth_nodes_and_visits_are_bounded() {
        let mut tree = StackTree::new();
        let limits = Limits::default().max_depth(1);
        let top = tree.push(StackTree::EMPTY, 1, &limits).unwrap();
        assert!(tree.push(top, 1, &limits).unwrap_err().to_string().starts_with("max_depth: 2"));
        let limits = Limits::default().max_stacks(2);
        assert!(tree.push(top, 1, &limits).unwrap_err().to_string().starts_with("max_stacks: 3"));
        let limits = Limits::default().max_visits(3);
        assert!(tree.push(StackTree::EMPTY, 1, &limits).unwrap_err().to_string().starts_with("max_visits"));
    }
}
