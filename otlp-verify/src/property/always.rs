use std::fmt;

use crate::model::Model;
use crate::mutate::Mutant;

type Predicate<M> = dyn Fn(&M, &<M as Model>::State) -> bool + Send + Sync;

/// An invariant: a named statement that must be true in every reachable state.
///
/// [`implies`](Self::implies) states a condition and what must follow from it. Where no reachable state meets
/// the condition, the property was never put to the test, and the report lists it as vacuous.
///
/// ```
/// use otlp_verify::Always;
/// use otlp_verify::spec::retry::Retry;
///
/// let bounded = Always::<Retry>::new("Bounded", |model, state| state.busy() <= model.in_flight());
/// assert_eq!(bounded.name(), "Bounded");
/// ```
pub struct Always<M: Model> {
    name: &'static str,
    when: Option<Box<Predicate<M>>>,
    then: Box<Predicate<M>>,
}

/// What a property says of one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    /// The condition is not met: nothing is claimed of this state.
    Unasked,
    /// The condition is met (or there is none) and the claim is true.
    Yes,
    /// The claim is false.
    No,
}

impl<M: Model> Always<M> {
    /// Claims `then` of every reachable state.
    pub fn new(name: &'static str, then: impl Fn(&M, &M::State) -> bool + Send + Sync + 'static) -> Self {
        Self { name, when: None, then: Box::new(then) }
    }

    /// Claims `then` of every reachable state in which `when` is true.
    pub fn implies(
        name: &'static str,
        when: impl Fn(&M, &M::State) -> bool + Send + Sync + 'static,
        then: impl Fn(&M, &M::State) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self { name, when: Some(Box::new(when)), then: Box::new(then) }
    }

    /// The name, as it stands in reports.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// True unless `state` contradicts the property.
    #[must_use]
    pub fn holds(&self, model: &M, state: &M::State) -> bool {
        self.ask(model, state) != Holds::No
    }

    pub(crate) fn ask(&self, model: &M, state: &M::State) -> Holds {
        if self.when.as_ref().is_some_and(|when| !when(model, state)) {
            return Holds::Unasked;
        }
        if (self.then)(model, state) { Holds::Yes } else { Holds::No }
    }
}

impl<M: Model + 'static> Always<M> {
    /// The same property, asked of a [`Mutant`] of the model.
    #[must_use]
    pub fn for_mutant(self) -> Always<Mutant<M>> {
        let then = self.then;
        let when = self.when.map(|when| {
            let lifted: Box<Predicate<Mutant<M>>> =
                Box::new(move |mutant: &Mutant<M>, state| when(mutant.original(), state));
            lifted
        });
        Always { name: self.name, when, then: Box::new(move |mutant, state| then(mutant.original(), state)) }
    }
}

impl<M: Model> fmt::Debug for Always<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Always")
            .field("name", &self.name)
            .field("conditional", &self.when.is_some())
            .finish_non_exhaustive()
    }
}
