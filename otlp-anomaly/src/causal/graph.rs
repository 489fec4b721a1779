//! Which quantity causes which.

use std::collections::{BTreeMap, BTreeSet};

use otlp_core::assemble::ServiceGraph;
use otlp_core::{Error, ErrorKind, Result};

/// Causes and effects by name.
///
/// It may have cycles, as calls do; only questions about nodes on one are refused. An edge from a node to itself says
/// nothing and is left out.
///
/// ```
/// use otlp_anomaly::causal::CausalGraph;
/// let graph = CausalGraph::new([("load", "db"), ("load", "shop"), ("db", "shop")])?;
/// assert_eq!(graph.parents("shop").collect::<Vec<_>>(), ["load", "db"]);
/// assert!(graph.reaches("load", "shop") && !graph.reaches("shop", "db"));
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CausalGraph {
    places: BTreeMap<String, usize>,
    names: Vec<String>,
    parents: Vec<BTreeSet<usize>>,
    children: Vec<BTreeSet<usize>>,
}

const MAX_NODES: usize = 10_000;
const MAX_EDGES: usize = 100_000;

impl CausalGraph {
    /// A graph of pairs of cause and effect. O(edges log nodes).
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] past 10,000 nodes or 100,000 edges.
    pub fn new<'a>(edges: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self> {
        let mut graph = Self::default();
        let mut count = 0;
        for (cause, effect) in edges {
            let (from, to) = (graph.place(cause), graph.place(effect));
            if from == to {
                continue;
            }
            let is_new = graph.parents.get_mut(to).is_some_and(|parents| parents.insert(from));
            graph.children.get_mut(from).map(|children| children.insert(to));
            count += usize::from(is_new);
            if graph.names.len() > MAX_NODES || count > MAX_EDGES {
                let message = format!("causal graph: more than {MAX_NODES} nodes or {MAX_EDGES} edges");
                return Err(Error::new(ErrorKind::Limit, message));
            }
        }
        Ok(graph)
    }

    /// The graph of what travels against the calls, as latency and failures do: each callee is a cause of its callers.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] as [`new`](Self::new).
    pub fn of_calls(calls: &ServiceGraph) -> Result<Self> {
        Self::new(calls.edges().map(|(caller, callee, _)| (callee, caller)))
    }

    /// The direct causes of a node, in the order in which nodes were first named; none of one that is not known.
    pub fn parents<'a>(&'a self, node: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let parents = self.find(node).and_then(|place| self.parents.get(place));
        parents.into_iter().flatten().map(|&place| self.name(place))
    }

    /// True where one node is a cause of another, directly or through others. O(edges).
    #[must_use]
    pub fn reaches(&self, from: &str, to: &str) -> bool {
        let (Some(from), Some(to)) = (self.find(from), self.find(to)) else { return false };
        from != to && self.below(from).contains(&to)
    }

    /// True where a node is a cause of itself through others. O(edges).
    #[must_use]
    pub fn is_on_cycle(&self, node: &str) -> bool {
        self.find(node).is_some_and(|place| self.cycles_through(place))
    }

    pub(super) fn find(&self, node: &str) -> Option<usize> {
        self.places.get(node).copied()
    }

    pub(super) fn name(&self, place: usize) -> &str {
        self.names.get(place).map_or("", String::as_str)
    }

    pub(super) fn parents_at(&self, place: usize) -> impl Iterator<Item = usize> + '_ {
        self.parents.get(place).into_iter().flatten().copied()
    }

    pub(super) fn cycles_through(&self, place: usize) -> bool {
        self.below(place).contains(&place)
    }

    /// A node and all that cause it, each after all of its own causes.
    ///
    /// # Errors
    /// Where one of them is on a cycle.
    pub(super) fn above_in_order(&self, place: usize) -> Result<Vec<usize>> {
        let (mut order, mut done, mut open) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        let mut stack = vec![(place, false)];
        while let Some((place, is_left)) = stack.pop() {
            if is_left {
                open.remove(&place);
                if done.insert(place) {
                    order.push(place);
                }
                continue;
            }
            if done.contains(&place) {
                continue;
            }
            if !open.insert(place) {
                return Err(self.refusal(place));
            }
            stack.push((place, true));
            for parent in self.parents_at(place) {
                if open.contains(&parent) {
                    return Err(self.refusal(parent));
                }
                stack.push((parent, false));
            }
        }
        Ok(order)
    }

    pub(super) fn refusal(&self, place: usize) -> Error {
        let message = format!("causal graph: `{}` is a cause of itself through others", self.name(place));
        Error::new(ErrorKind::Config, message)
    }

    /// All nodes that a node is a cause of; itself only where it is on a cycle.
    fn below(&self, place: usize) -> BTreeSet<usize> {
        let (mut below, mut next) = (BTreeSet::new(), vec![place]);
        while let Some(place) = next.pop() {
            for &child in self.children.get(place).into_iter().flatten() {
                if below.insert(child) {
                    next.push(child);
                }
            }
        }
        below
    }

    fn place(&mut self, name: &str) -> usize {
        if let Some(place) = self.find(name) {
            return place;
        }
        let place = self.names.len();
        self.places.insert(name.to_owned(), place);
        self.names.push(name.to_owned());
        self.parents.push(BTreeSet::new());
        self.children.push(BTreeSet::new());
        place
    }
}
