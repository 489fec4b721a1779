//! What is learned from one message.

use std::sync::Arc;

use super::error::ErrorCode;
use super::shape::What;
use super::topic::{self, Id, TopicIds, TopicList};
use super::walk::Misfit;

/// Bytes of a text that are kept at most; longer ones say nothing.
pub(super) const MAX_TEXT: u64 = 256;
/// Milliseconds that a broker may ask a client to wait, where it is not sure that it is an answer.
const PLAUSIBLE_THROTTLE: i64 = 10 * 60 * 1000;

/// A coordinator is looked for by a group, or else by a transaction or a share.
const GROUP_KEY: i64 = 0;

#[derive(Debug)]
pub(super) struct Facts {
    ids: Arc<TopicIds>,
    /// The message was looked for, and may be none: what cannot be is refused, and nothing learned for others.
    pub(super) strict: bool,
    /// All of the message was read that can be.
    pub(super) whole: bool,
    /// Bytes of it were lost that said something.
    pub(super) holed: bool,
    pub(super) client: String,
    pub(super) has_client: bool,
    group: String,
    /// What a coordinator is looked for, how many of those there are, and of which kind.
    key: String,
    keys: u64,
    key_type: i64,
    pub(super) topics: TopicList,
    pub(super) forgotten: TopicList,
    /// The topic that the fields at hand are of.
    present: Present,
    present_name: String,
    present_partition: i64,
    pub(super) partition: Partition,
    pub(super) acks: Option<i64>,
    pub(super) error: Option<ErrorCode>,
    pub(super) session_id: i64,
    pub(super) session_epoch: i64,
    pub(super) record_bytes: u64,
    records: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
enum Present {
    Nothing,
    Named,
    Is(Id),
}

/// The partitions that a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Partition {
    None,
    One(i64),
    Several,
}

impl Facts {
    pub(super) fn new(ids: Arc<TopicIds>) -> Self {
        Self {
            ids,
            strict: false,
            whole: true,
            holed: false,
            client: String::new(),
            has_client: false,
            group: String::new(),
            key: String::new(),
            keys: 0,
            key_type: GROUP_KEY,
            topics: TopicList::default(),
            forgotten: TopicList::default(),
            present: Present::Nothing,
            present_name: String::new(),
            present_partition: 0,
            partition: Partition::None,
            acks: None,
            error: None,
            session_id: 0,
            session_epoch: 0,
            record_bytes: 0,
            records: Some(0),
        }
    }

    /// Forgets the message before.
    pub(super) fn clear(&mut self, strict: bool) {
        self.strict = strict;
        self.whole = true;
        self.holed = false;
        for text in [&mut self.client, &mut self.group, &mut self.key, &mut self.present_name] {
            text.clear();
        }
        self.has_client = false;
        self.keys = 0;
        self.key_type = GROUP_KEY;
        self.topics.clear();
        self.forgotten.clear();
        self.present = Present::Nothing;
        self.partition = Partition::None;
        self.acks = None;
        self.error = None;
        self.session_id = 0;
        self.session_epoch = 0;
        self.record_bytes = 0;
        self.records = Some(0);
    }

    /// Gives the memory of texts back: most connections are idle most of the time.
    pub(super) fn release(&mut self) {
        for text in [&mut self.client, &mut self.group, &mut self.key, &mut self.present_name] {
            *text = String::new();
        }
        (self.topics, self.forgotten) = Default::default();
    }

    /// The consumer group that the message names.
    pub(super) fn group(&self) -> Option<&str> {
        let looked_for = self.keys == 1 && self.key_type == GROUP_KEY;
        let group = if looked_for { &self.key } else { &self.group };
        Some(group.as_str()).filter(|group| !group.is_empty())
    }

    /// Records in all, where every batch told how many.
    pub(super) const fn record_count(&self) -> Option<u64> {
        self.records
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.client.capacity()
            + self.group.capacity()
            + self.key.capacity()
            + self.present_name.capacity()
            + self.topics.held_bytes()
            + self.forgotten.held_bytes()
    }

    /// The fields are not laid out as they should be; but a version that the broker does not know is answered so.
    pub(super) fn misfit(&mut self) {
        let told = self.error.is_some_and(|error| error.code() == ErrorCode::UNSUPPORTED_VERSION);
        self.whole &= told;
    }

    pub(super) fn resolve(&mut self) {
        self.topics.resolve(&self.ids);
    }

    pub(super) fn number(&mut self, what: What, value: i64) -> Result<(), Misfit> {
        let plausible = match what {
            What::Error => (-1..=i64::from(ErrorCode::PLAUSIBLE)).contains(&value),
            What::Throttle => (0..=PLAUSIBLE_THROTTLE).contains(&value),
            What::Partition | What::FromPartition => value >= 0,
            What::Acks => (-1..=1).contains(&value),
            _ => true,
        };
        if self.strict && !plausible {
            return Err(Misfit);
        }
        match what {
            What::Acks => self.acks = Some(value),
            What::Partition => self.add_partition(value),
            What::FromPartition => self.present_partition = value,
            What::Error => self.fail(value)?,
            What::SessionId => self.session_id = value,
            What::SessionEpoch => self.session_epoch = value,
            What::KeyType => self.key_type = value,
            _ => {}
        }
        Ok(())
    }

    fn add_partition(&mut self, index: i64) {
        self.partition = match self.partition {
            Partition::None => Partition::One(index),
            Partition::One(met) if met == index && self.topics.is_single() => self.partition,
            _ => Partition::Several,
        };
    }

    /// The first error stands. A version that the broker does not know is answered in a layout of its own.
    fn fail(&mut self, code: i64) -> Result<(), Misfit> {
        let code = i16::try_from(code).unwrap_or(-1);
        if self.error.is_none() {
            self.error = ErrorCode::new(code);
        }
        if code == ErrorCode::UNSUPPORTED_VERSION { Err(Misfit) } else { Ok(()) }
    }

    pub(super) fn text(&mut self, what: What, text: Option<&[u8]>) -> Result<(), Misfit> {
        let read = text.and_then(|text| std::str::from_utf8(text).ok());
        let readable = read.filter(|text| !text.chars().any(char::is_control)).unwrap_or_default();
        match what {
            What::ClientId => {
                self.has_client = text.is_some();
                self.client.push_str(readable);
            }
            What::Group => self.group.push_str(readable),
            What::Key => {
                self.keys += 1;
                self.key.clear();
                self.key.push_str(readable);
            }
            What::Topic | What::From | What::Forgotten | What::Described => {
                return self.topic(what, text.unwrap_or_default());
            }
            _ => {}
        }
        Ok(())
    }

    fn topic(&mut self, what: What, name: &[u8]) -> Result<(), Misfit> {
        let name = topic::name(name);
        // An answer may describe a topic by its id alone.
        if self.strict && name.is_none() && what != What::Described {
            return Err(Misfit);
        }
        match (what, name) {
            (What::Topic, Some(name)) => self.topics.add_name(name),
            (What::Topic, None) => self.topics.more = true,
            (What::Forgotten, Some(name)) => self.forgotten.add_name(name),
            (What::From | What::Described, _) => {
                self.present = if name.is_some() { Present::Named } else { Present::Nothing };
                self.present_name.clear();
                self.present_name.push_str(name.unwrap_or_default());
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn id(&mut self, what: What, id: Id) -> Result<(), Misfit> {
        match what {
            What::Topic => self.topics.add_id(id),
            What::Forgotten => self.forgotten.add_id(id),
            What::From => self.present = Present::Is(id),
            What::Described if !self.strict => self.ids.learn(id, &self.present_name),
            _ => {}
        }
        Ok(())
    }

    /// Takes records of the topic and partition at hand. Where they come from a broker, those are what they are from.
    pub(super) fn records(&mut self, bytes: u64) {
        self.record_bytes = self.record_bytes.saturating_add(bytes);
        if bytes == 0 {
            return;
        }
        match self.present {
            Present::Nothing => return,
            Present::Named => self.topics.add_name(&self.present_name),
            Present::Is(id) => self.topics.add_id(id),
        }
        self.add_partition(self.present_partition);
    }

    pub(super) fn batch(&mut self, records: Option<u64>) {
        self.records = self.records.zip(records).map(|(sum, more)| sum.saturating_add(more));
    }

    /// Bytes were lost that what follows could have been told from.
    pub(super) const fn lose_rest(&mut self) {
        self.whole = false;
        self.holed = true;
        self.records = None;
    }

    pub(super) const fn lose_count(&mut self) {
        self.records = None;
    }
}
