//! What can be explored: states, and the actions that lead from one to the next.

use std::hash::Hash;

/// A system of finitely many reachable states, given by its initial states and its actions.
///
/// The methods must be pure: asked twice about the same state, they answer the same, in the same order. The
/// order of [`init_states`](Self::init_states) and [`actions`](Self::actions) decides which of several
/// shortest counterexamples is shown, and nothing else. What may turn out in several ways (a message lost or
/// not) is several actions.
///
/// ```
/// use otlp_verify::Model;
///
/// /// A counter that may stop at its bound.
/// struct Counter {
///     bound: u8,
/// }
///
/// impl Model for Counter {
///     type State = u8;
///     type Action = &'static str;
///
///     fn init_states(&self) -> Vec<u8> {
///         vec![0]
///     }
///
///     fn actions(&self, _: &u8, out: &mut Vec<&'static str>) {
///         out.push("add one");
///     }
///
///     fn step(&self, state: &u8, _: &&'static str) -> Option<u8> {
///         (*state < self.bound).then(|| state + 1)
///     }
///
///     fn may_stop(&self, state: &u8) -> bool {
///         *state == self.bound
///     }
/// }
///
/// assert_eq!(Counter { bound: 2 }.step(&2, &"add one"), None);
/// ```
pub trait Model {
    /// One state of the whole system; two equal states are one state.
    type State: Clone + Eq + Hash;
    /// One thing that may happen.
    type Action;

    /// The states in which the system may begin.
    fn init_states(&self) -> Vec<Self::State>;

    /// Appends to `out` every action that may be enabled in `state`.
    ///
    /// It may name actions that turn out not to be enabled ([`step`](Self::step) decides), but must not leave
    /// out one that is: what is left out is not explored.
    fn actions(&self, state: &Self::State, out: &mut Vec<Self::Action>);

    /// The state after `action`, or `None` where `action` is not enabled in `state`.
    fn step(&self, state: &Self::State, action: &Self::Action) -> Option<Self::State>;

    /// True where the system may come to rest in `state`; any other state without an enabled action is a
    /// deadlock. By default nothing may stop.
    fn may_stop(&self, _state: &Self::State) -> bool {
        false
    }

    /// Heap bytes that `state` owns, for the memory limit; zero by default, which is right for states that
    /// own none.
    fn state_heap_bytes(&self, _state: &Self::State) -> usize {
        0
    }

    /// The names of the kinds of actions, in the order of [`action_kind`](Self::action_kind); none by
    /// default. Where they are given, a report names the kinds that never happened.
    fn action_names(&self) -> &'static [&'static str] {
        &[]
    }

    /// Which of [`action_names`](Self::action_names) `action` is.
    fn action_kind(&self, _action: &Self::Action) -> usize {
        0
    }
}
