//! A handler that keeps what it is given.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use otlp_core::protocol::Signal;
use otlp_core::transport::receiver::{Answer, Handler};

/// Every body that was taken, by signal; when each request came; what to answer first.
#[derive(Clone, Default)]
pub(crate) struct Inbox {
    bodies: Arc<Mutex<BTreeMap<Signal, Vec<Vec<u8>>>>>,
    times: Arc<Mutex<Vec<Instant>>>,
    answers: Arc<Mutex<Vec<Answer>>>,
}

impl Inbox {
    /// Gives these answers first, in order, and takes everything after.
    pub(crate) fn answering(answers: impl IntoIterator<Item = Answer>) -> Self {
        let mut answers: Vec<_> = answers.into_iter().collect();
        answers.reverse();
        Self { answers: Arc::new(Mutex::new(answers)), ..Self::default() }
    }

    pub(crate) fn bodies(&self, signal: Signal) -> Vec<Vec<u8>> {
        self.bodies.lock().expect("not poisoned").get(&signal).cloned().unwrap_or_default()
    }

    pub(crate) fn times(&self) -> Vec<Instant> {
        self.times.lock().expect("not poisoned").clone()
    }
}

impl Handler for Inbox {
    fn handle(&self, signal: Signal, body: &[u8]) -> Answer {
        self.times.lock().expect("not poisoned").push(Instant::now());
        let answer = self.answers.lock().expect("not poisoned").pop().unwrap_or(Answer::accepted(1));
        if !matches!(answer, Answer::Refuse { .. }) {
            self.bodies.lock().expect("not poisoned").entry(signal).or_default().push(body.to_vec());
        }
        answer
    }
}
