//! What both directions of a connection know: requests that wait for their answers, and the fetch session.

use std::collections::HashMap;

use super::api::Api;
use super::fact::{Facts, Partition};
use super::side::Emit;
use super::topic::TopicList;
use crate::limits::Limits;
use crate::parse::{Event, Exchange};

#[derive(Debug)]
pub(super) struct Talk {
    pub(super) limits: Limits,
    /// Frames may be those of a proof of who the client is, which have no head (`SaslHandshake` of version 0).
    pub(super) raw: bool,
    waiting: HashMap<u32, Waiting>,
    sent: u64,
    /// Answers to the requests before this one may have been lost.
    doubtful: u64,
    pub(super) session: Session,
}

/// A request that waits for its answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    pub(super) api: Api,
    pub(super) version: i16,
    sent: u64,
}

impl Talk {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            raw: false,
            waiting: HashMap::new(),
            sent: 0,
            doubtful: 0,
            session: Session::default(),
        }
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.waiting.capacity() * size_of::<(u32, Waiting)>() + self.session.topics.held_bytes()
    }

    /// A request waits for its answer. One that cannot be read yet, for want of room, is not remembered.
    pub(super) fn ask(&mut self, number: u32, api: Api, version: i16) {
        self.sent += 1;
        if self.waiting.len() < self.limits.in_flight() || self.waiting.contains_key(&number) {
            self.waiting.insert(number, Waiting { api, version, sent: self.sent });
        }
    }

    /// Requests so far that get an answer.
    pub(super) const fn asked(&self) -> u64 {
        self.sent
    }

    pub(super) fn waits(&self, number: u32) -> Option<Waiting> {
        self.waiting.get(&number).copied()
    }

    /// Whether an answer to any request so far will be seen is not known.
    pub(super) const fn doubt(&mut self) {
        self.doubtful = self.sent + 1;
    }

    /// A request has its answer. Brokers answer the requests of a connection in their order, so those before it whose
    /// answers may have been lost will have none.
    pub(super) fn answered(&mut self, number: u32, on: Emit<'_>) {
        let Some(answered) = self.waiting.remove(&number) else { return };
        if self.doubtful == 0 {
            return;
        }
        let before = answered.sent.min(std::mem::take(&mut self.doubtful));
        let mut lost: Vec<_> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| waiting.sent < before)
            .map(|(number, waiting)| (waiting.sent, *number))
            .collect();
        lost.sort_unstable();
        for (_, number) in lost {
            self.waiting.remove(&number);
            on(Event::Lost { exchange: Exchange::Numbered(number.into()) });
        }
    }
}

/// The fetch session of a connection (KIP-227): what is fetched is said once, and then only what changes.
#[derive(Debug)]
pub(super) struct Session {
    state: State,
    topics: TopicList,
    partition: Partition,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Unknown,
    /// Asked for by the request of this number, whose answer will name it.
    Asked(u32),
    Is(i64),
}

impl Default for Session {
    fn default() -> Self {
        Self { state: State::Unknown, topics: TopicList::default(), partition: Partition::None }
    }
}

impl Session {
    /// Takes a Fetch request; gives its facts the topics that it means beyond those it says.
    pub(super) fn ask(&mut self, number: u32, version: i16, facts: &mut Facts) {
        if version < SINCE || facts.session_epoch < 0 {
            return;
        }
        if facts.session_epoch == 0 {
            self.state = if facts.whole { State::Asked(number) } else { State::Unknown };
            self.topics.copy_from(&facts.topics);
            self.partition = facts.partition;
            return;
        }
        if self.state != State::Is(facts.session_id) || !facts.whole {
            self.state = State::Unknown;
            facts.topics.more = true;
            return;
        }
        if !facts.topics.is_empty() || !facts.forgotten.is_empty() {
            self.topics.remove_all(&facts.forgotten);
            self.topics.add_all(&facts.topics);
            self.partition = Partition::Several;
        }
        facts.topics.copy_from(&self.topics);
        facts.partition = self.partition;
    }

    /// Takes a Fetch answer.
    pub(super) fn answer(&mut self, number: u32, facts: &Facts) {
        if self.state == State::Asked(number) {
            let named = facts.session_id != 0 && facts.error.is_none();
            self.state = if named { State::Is(facts.session_id) } else { State::Unknown };
        }
    }

    pub(super) const fn forget(&mut self) {
        self.state = State::Unknown;
    }
}

/// The first version of Fetch with sessions.
const SINCE: i16 = 7;
