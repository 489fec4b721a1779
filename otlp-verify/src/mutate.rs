//! Broken twins: a model with one planted fault, to show that a property would notice it.

use std::fmt;

use crate::model::Model;

type Step<M> =
    dyn Fn(&M, &<M as Model>::State, &<M as Model>::Action) -> Option<<M as Model>::State> + Send + Sync;

/// A model whose `step` was replaced, all else as in the original.
///
/// A property that has not been seen to fail proves little: it may be true of everything. For each property
/// plant a fault that it is there to catch, and assert that the checker rejects the mutant.
///
/// ```
/// use otlp_verify::mutate::Mutant;
/// use otlp_verify::spec::retry::{Action, Retry};
/// use otlp_verify::{Bfs, Model, Verdict};
///
/// let model = Retry::try_new(2, 1, 1)?;
/// // The fault: a slot is taken without looking how many are taken already.
/// let roomier = Retry::try_new(2, 1, 2)?;
/// let mutant = Mutant::new(model, move |model, state, action| match action {
///     Action::Send(_) => roomier.step(state, action),
///     _ => model.step(state, action),
/// });
///
/// let properties = Retry::invariants().into_iter().map(|property| property.for_mutant());
/// let report = Bfs::new(&mutant).always(properties).run();
/// assert!(matches!(report.verdict(), Verdict::Violated { property: "InFlightBounded", .. }));
/// # Ok::<(), otlp_verify::Error>(())
/// ```
pub struct Mutant<M: Model> {
    model: M,
    step: Box<Step<M>>,
}

impl<M: Model> Mutant<M> {
    /// Puts `step` in the place of the model's own; it is handed the original to fall back on.
    #[must_use]
    pub fn new(
        model: M,
        step: impl Fn(&M, &M::State, &M::Action) -> Option<M::State> + Send + Sync + 'static,
    ) -> Self {
        Self { model, step: Box::new(step) }
    }

    /// The model without the fault.
    #[must_use]
    pub const fn original(&self) -> &M {
        &self.model
    }
}

impl<M: Model + fmt::Debug> fmt::Debug for Mutant<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutant").field("model", &self.model).finish_non_exhaustive()
    }
}

impl<M: Model> Model for Mutant<M> {
    type State = M::State;
    type Action = M::Action;

    fn init_states(&self) -> Vec<Self::State> {
        self.model.init_states()
    }

    fn actions(&self, state: &Self::State, out: &mut Vec<Self::Action>) {
        self.model.actions(state, out);
    }

    fn step(&self, state: &Self::State, action: &Self::Action) -> Option<Self::State> {
        (self.step)(&self.model, state, action)
    }

    fn may_stop(&self, state: &Self::State) -> bool {
        self.model.may_stop(state)
    }

    fn state_heap_bytes(&self, state: &Self::State) -> usize {
        self.model.state_heap_bytes(state)
    }

    fn action_names(&self) -> &'static [&'static str] {
        self.model.action_names()
    }

    fn action_kind(&self, action: &Self::Action) -> usize {
        self.model.action_kind(action)
    }
}
