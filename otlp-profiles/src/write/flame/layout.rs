//! Where each box lies.

use std::collections::VecDeque;

use crate::tree::{CallTree, Node};

/// The boxes that are drawn.
pub(super) struct Layout {
    pub(super) placed: Vec<Placed>,
    /// Nodes of the tree that have no box.
    pub(super) elided: usize,
}

/// One box; lengths as parts of the whole width.
pub(super) struct Placed {
    pub(super) node: u32,
    pub(super) depth: u32,
    pub(super) x: f64,
    pub(super) width: f64,
}

/// Past this a browser no longer draws at once.
const MAX_BOXES: usize = 20_000;

impl Layout {
    /// Row by row, so that the bound on boxes costs the innermost ones.
    pub(super) fn of(tree: &CallTree<'_>, width: impl Fn(Node) -> f64, min_width: f64) -> Self {
        let mut placed = Vec::new();
        let root = Placed { node: 0, depth: 0, x: 0.0, width: 1.0 };
        let mut waiting = VecDeque::from([root]);
        while let Some(at) = waiting.pop_front() {
            if placed.len() == MAX_BOXES {
                break;
            }
            let mut x = at.x;
            for &child in tree.children(at.node) {
                let width = width(tree.node(child));
                if width > 0.0 && width >= min_width {
                    waiting.push_back(Placed { node: child, depth: at.depth + 1, x, width });
                }
                x += width;
            }
            placed.push(at);
        }
        let elided = tree.nodes.len() - placed.len();
        Self { placed, elided }
    }
}
