use std::fmt::{self, Debug};

use crate::trace::Trace;

/// How many states there were, in the sense of TLC's last lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Counts {
    /// States computed: the initial ones, and one for each enabled action of each state expanded, known
    /// before or not.
    pub generated: u64,
    /// States that differ from each other.
    pub distinct: u64,
    /// Levels of the breadth-first search reached, the initial states being level 1: the number of states on
    /// the longest of the shortest ways.
    pub depth: u64,
    /// States found and not yet expanded when the search ended.
    pub queued: u64,
}

/// Why a search ended before it had seen everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stop {
    /// [`Limits::max_states`](crate::Limits::max_states) was reached.
    States,
    /// There are states behind [`Limits::max_depth`](crate::Limits::max_depth).
    Depth,
    /// [`Limits::max_memory_bytes`](crate::Limits::max_memory_bytes) was reached.
    Memory,
    /// The model answered differently when asked again about the same state, so nothing can be said of it.
    ModelNotPure,
}

/// What an exploration found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict<S, A> {
    /// Every reachable state was visited; all properties hold in each, and none is a deadlock.
    Holds,
    /// A property is false in the last state of the trace; no shorter run shows it.
    Violated {
        /// The property's name.
        property: &'static str,
        /// The run.
        trace: Trace<S, A>,
    },
    /// Nothing can happen in the last state of the trace, and the model does not say it may stop there.
    Deadlock {
        /// The run.
        trace: Trace<S, A>,
    },
    /// No fault was found, but not everything was seen.
    NotExhausted {
        /// What ended the search.
        stop: Stop,
    },
}

/// What was never put to the test: claims that hold because nothing ever met them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vacuity {
    /// Properties whose condition no visited state met, by name.
    pub properties: Vec<&'static str>,
    /// Kinds of actions that never happened, by name.
    pub actions: Vec<&'static str>,
}

impl Vacuity {
    /// True where everything was put to the test.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.properties.is_empty() && self.actions.is_empty()
    }
}

/// The result of one exploration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a check whose report nobody reads checked nothing"]
pub struct Report<S, A> {
    pub(super) verdict: Verdict<S, A>,
    pub(super) counts: Counts,
    pub(super) vacuity: Vacuity,
}

impl<S, A> Report<S, A> {
    /// What was found.
    pub const fn verdict(&self) -> &Verdict<S, A> {
        &self.verdict
    }

    /// What was found, by value.
    pub fn into_verdict(self) -> Verdict<S, A> {
        self.verdict
    }

    /// How many states there were.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// What was never put to the test. After a search that ended early it means only: not yet.
    #[must_use]
    pub const fn vacuity(&self) -> &Vacuity {
        &self.vacuity
    }

    /// True where there are states, every one was visited, every property holds in all of them, and every
    /// property with a condition met it at least once. Actions that never happened do not count against it.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        matches!(self.verdict, Verdict::Holds)
            && self.counts.distinct > 0
            && self.vacuity.properties.is_empty()
    }

    /// The run that shows the fault, where one was found.
    #[must_use]
    pub const fn counterexample(&self) -> Option<&Trace<S, A>> {
        match &self.verdict {
            Verdict::Violated { trace, .. } | Verdict::Deadlock { trace } => Some(trace),
            Verdict::Holds | Verdict::NotExhausted { .. } => None,
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { generated, distinct, depth, queued } = self;
        write!(f, "{generated} generated, {distinct} distinct, depth {depth}, {queued} left")
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::States => "the limit on states was reached",
            Self::Depth => "there are states behind the limit on depth",
            Self::Memory => "the limit on memory was reached",
            Self::ModelNotPure => "the model answered differently when asked again",
        })
    }
}

impl<S: Debug, A: Debug> fmt::Display for Report<S, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.verdict {
            Verdict::Holds if self.is_verified() => write!(f, "verified")?,
            Verdict::Holds => write!(f, "holds, but in part vacuously")?,
            Verdict::Violated { property, .. } => write!(f, "{property} violated")?,
            Verdict::Deadlock { .. } => write!(f, "deadlock")?,
            Verdict::NotExhausted { stop } => write!(f, "not exhausted: {stop}")?,
        }
        write!(f, " ({})", self.counts)?;
        for name in &self.vacuity.properties {
            write!(f, "\nvacuous: the condition of {name} was never met")?;
        }
        for name in &self.vacuity.actions {
            write!(f, "\nnever happened: {name}")?;
        }
        self.counterexample().map_or(Ok(()), |trace| write!(f, "\n{trace}"))
    }
}
