use std::ops::ControlFlow;

use super::report::{Counts, Report, Stop, Vacuity, Verdict};
use super::store::{FullStore, MOST_STATES, NO_PARENT, PrintStore, Store};
use super::{Dedup, Limits};
use crate::model::Model;
use crate::property::{Always, Holds};
use crate::trace::Trace;

/// A breadth-first search through every reachable state, so that a counterexample is a shortest one.
///
/// Deterministic: the same model gives the same report, byte for byte. One thread, no recursion; time grows with
/// the states generated, memory with the distinct states (their size plus about 16 to 24 bytes each).
///
/// ```
/// use otlp_verify::Bfs;
/// use otlp_verify::spec::retry::Retry;
///
/// let model = Retry::try_new(3, 2, 2)?;
/// let report = Bfs::new(&model).always(Retry::invariants()).run();
/// assert!(report.is_verified(), "{report}");
/// assert_eq!(report.counts().distinct, 6192);
/// # Ok::<(), otlp_verify::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "nothing is explored before `run`"]
pub struct Bfs<'m, M: Model> {
    model: &'m M,
    properties: Vec<Always<M>>,
    limits: Limits,
    dedup: Dedup,
}

impl<'m, M: Model> Bfs<'m, M> {
    /// Prepares a search of `model` that looks for deadlocks alone, within the default [`Limits`].
    pub const fn new(model: &'m M) -> Self {
        Self { model, properties: Vec::new(), limits: Limits::DEFAULT, dedup: Dedup::FullStates }
    }

    /// Adds invariants; where several are false in one state, the one added first is reported.
    pub fn always(mut self, properties: impl IntoIterator<Item = Always<M>>) -> Self {
        self.properties.extend(properties);
        self
    }

    /// Sets how far the search may go.
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets how states are recognised.
    pub const fn dedup(mut self, dedup: Dedup) -> Self {
        self.dedup = dedup;
        self
    }

    /// Searches until a fault is found, everything was seen or a limit is reached.
    pub fn run(&self) -> Report<M::State, M::Action> {
        match self.dedup {
            Dedup::FullStates => Search::<M, FullStore<M::State>>::new(self).run(),
            Dedup::Fingerprints => Search::<M, PrintStore<M::State>>::new(self).run(),
        }
    }
}

/// Why a search ends before the queue is empty.
enum End {
    /// The property of this place is false in the state of this number.
    Violated(usize, u32),
    Deadlock(u32),
    Limit(Stop),
}

struct Search<'a, M: Model, S> {
    plan: &'a Bfs<'a, M>,
    store: S,
    generated: u64,
    /// The level being filled: that of the newest states.
    depth: u64,
    heap_bytes: u64,
    /// Set when a state was left out because it lies behind the last level.
    cut: bool,
    /// For each property, whether a state met its condition.
    met: Vec<bool>,
    /// For each kind of action, whether it happened.
    taken: Vec<bool>,
}

impl<'a, M: Model, S: Store<M::State>> Search<'a, M, S> {
    fn new(plan: &'a Bfs<'a, M>) -> Self {
        Self {
            plan,
            store: S::new(),
            generated: 0,
            depth: 0,
            heap_bytes: 0,
            cut: false,
            met: vec![false; plan.properties.len()],
            taken: vec![false; plan.model.action_names().len()],
        }
    }

    fn run(mut self) -> Report<M::State, M::Action> {
        let verdict = match self.walk() {
            ControlFlow::Continue(()) if self.cut => Verdict::NotExhausted { stop: Stop::Depth },
            ControlFlow::Continue(()) => Verdict::Holds,
            ControlFlow::Break(end) => self.verdict(&end),
        };
        Report { verdict, counts: self.counts(), vacuity: self.vacuity() }
    }

    fn walk(&mut self) -> ControlFlow<End> {
        for state in self.plan.model.init_states() {
            self.admit(state, NO_PARENT, 1)?;
        }
        let mut level = 1;
        let mut level_end = self.store.len();
        let (mut actions, mut successors) = (Vec::new(), Vec::new());
        while let Some((number, state)) = self.store.current() {
            if number == level_end {
                level += 1;
                level_end = self.store.len();
            }
            actions.clear();
            self.plan.model.actions(state, &mut actions);
            for action in &actions {
                let Some(next) = self.plan.model.step(state, action) else { continue };
                if let Some(taken) = self.taken.get_mut(self.plan.model.action_kind(action)) {
                    *taken = true;
                }
                successors.push(next);
            }
            if successors.is_empty() && !self.plan.model.may_stop(state) {
                return ControlFlow::Break(End::Deadlock(number));
            }
            self.store.advance();
            for next in successors.drain(..) {
                self.admit(next, number, level + 1)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// Counts a state and, if it is new, keeps and checks it.
    fn admit(&mut self, state: M::State, parent: u32, level: u64) -> ControlFlow<End> {
        self.generated += 1;
        let limits = &self.plan.limits;
        if level > limits.max_depth {
            self.cut |= !self.store.contains(&state);
            return ControlFlow::Continue(());
        }
        if u64::from(self.store.len()) >= limits.max_states.min(MOST_STATES) {
            if self.store.contains(&state) {
                return ControlFlow::Continue(());
            }
            return ControlFlow::Break(End::Limit(Stop::States));
        }
        if !self.store.insert(state, parent) {
            return ControlFlow::Continue(());
        }
        self.depth = level;
        let Some(newest) = self.store.newest() else { return ControlFlow::Continue(()) };
        for (place, (property, met)) in self.plan.properties.iter().zip(&mut self.met).enumerate() {
            match property.ask(self.plan.model, newest) {
                Holds::Unasked => {}
                Holds::Yes => *met = true,
                Holds::No => return ControlFlow::Break(End::Violated(place, self.store.len() - 1)),
            }
        }
        self.heap_bytes += self.plan.model.state_heap_bytes(newest) as u64;
        if self.store.bytes().saturating_add(self.heap_bytes) > limits.max_memory_bytes {
            return ControlFlow::Break(End::Limit(Stop::Memory));
        }
        ControlFlow::Continue(())
    }

    fn counts(&self) -> Counts {
        let distinct = u64::from(self.store.len());
        let expanded = self.store.current().map_or(distinct, |(number, _)| u64::from(number));
        Counts { generated: self.generated, distinct, depth: self.depth, queued: distinct - expanded }
    }

    fn vacuity(&self) -> Vacuity {
        let properties = self.plan.properties.iter().map(Always::name);
        let actions = self.plan.model.action_names().iter().copied();
        Vacuity { properties: unset(properties, &self.met), actions: unset(actions, &self.taken) }
    }

    fn verdict(&self, end: &End) -> Verdict<M::State, M::Action> {
        let (property, number) = match *end {
            End::Limit(stop) => return Verdict::NotExhausted { stop },
            End::Deadlock(number) => (None, number),
            End::Violated(place, number) => (self.plan.properties.get(place), number),
        };
        match (self.trace_to(number), property) {
            (None, _) => Verdict::NotExhausted { stop: Stop::ModelNotPure },
            (Some(trace), None) => Verdict::Deadlock { trace },
            (Some(trace), Some(property)) => Verdict::Violated { property: property.name(), trace },
        }
    }

    /// Walks the parents back from `number`, then asks the model again which actions lead that way: actions
    /// are not kept, since only one run of them is ever shown.
    fn trace_to(&self, number: u32) -> Option<Trace<M::State, M::Action>> {
        let mut way = vec![number];
        let mut parent = self.store.parent(number);
        while parent != NO_PARENT {
            way.push(parent);
            parent = self.store.parent(parent);
        }
        let root = way.pop()?;
        let first = self.plan.model.init_states().into_iter().find(|state| self.store.is(root, state))?;
        let mut trace = Trace::new(first);
        while let Some(number) = way.pop() {
            let mut actions = Vec::new();
            self.plan.model.actions(trace.last(), &mut actions);
            let (action, state) = actions.into_iter().find_map(|action| {
                let next = self.plan.model.step(trace.last(), &action)?;
                self.store.is(number, &next).then_some((action, next))
            })?;
            trace.push(action, state);
        }
        Some(trace)
    }
}

fn unset(names: impl Iterator<Item = &'static str>, set: &[bool]) -> Vec<&'static str> {
    names.zip(set).filter(|(_, set)| !**set).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests;
