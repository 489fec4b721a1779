//! Which database of Redis a connection has selected.

use crate::parse::Expect;
use crate::parse::redis::Command;

/// The database, as far as it was told: by a `SELECT` that was answered.
#[derive(Debug, Default)]
pub(crate) struct Database {
    index: Option<u32>,
    /// Of `SELECT`s that wait for their answers.
    waiting: u32,
    /// Commands are queued for a transaction.
    queues: bool,
}

/// What a `SELECT` selects, where it succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Selects(Option<u32>);

impl Database {
    /// Takes a command; gives the database that it is for, and what it selects.
    pub(crate) fn ask(&mut self, command: &Command<'_>) -> (Option<u32>, Option<Selects>) {
        let now = self.index.filter(|_| self.waiting == 0);
        let is = |word: &str| command.name().is_some_and(|name| name.eq_ignore_ascii_case(word));
        if is("SELECT") {
            if self.queues || command.expect() != Expect::One {
                // When it takes effect is not told by its answer.
                self.index = None;
                return (now, None);
            }
            let argument = command.argument(0).and_then(|argument| std::str::from_utf8(argument).ok());
            self.waiting += 1;
            return (now, Some(Selects(argument.and_then(|index| index.parse().ok()))));
        }
        if is("MULTI") {
            self.queues = true;
        } else if is("EXEC") || is("DISCARD") {
            self.queues = false;
        } else if is("RESET") {
            *self = Self::default();
        }
        (now, None)
    }

    /// A `SELECT` is answered.
    pub(crate) const fn answered(&mut self, selects: Selects, succeeds: bool) {
        self.waiting = self.waiting.saturating_sub(1);
        if succeeds {
            self.index = selects.0;
        }
    }

    /// Commands or answers were missed.
    pub(crate) const fn lose(&mut self) {
        self.index = None;
        self.waiting = 0;
    }
}
