//! Topics of a message, and what the ids of topics stand for.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Topics of one message that are kept; that there were more is told.
const KEPT: usize = 8;
/// Bytes of a topic's name at most, as Kafka has it.
const MAX_NAME: usize = 249;

pub(super) type Id = [u8; 16];

/// True for a name that a topic can have.
fn is_name(name: &[u8]) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// The name as text, where it is one that a topic can have.
pub(super) fn name(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|name| is_name(name.as_bytes()))
}

/// The different topics that a message names, the first 8 of them.
///
/// Newer versions name topics by an id, which a Metadata answer seen before must have explained.
#[derive(Clone, Copy)]
pub struct Topics<'a> {
    list: &'a TopicList,
}

impl<'a> Topics<'a> {
    /// The names that are known.
    pub fn names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let list = self.list;
        list.entries().iter().filter_map(|entry| list.name(entry))
    }

    /// The name, where there is exactly one topic and its name is known.
    #[must_use]
    pub fn only(&self) -> Option<&'a str> {
        match self.list.entries() {
            [one] if !self.list.more => self.list.name(one),
            _ => None,
        }
    }

    /// True where every topic is among [`names`](Self::names).
    #[must_use]
    pub fn is_complete(&self) -> bool {
        !self.list.more && self.list.entries().iter().all(|entry| self.list.name(entry).is_some())
    }

    pub(super) const fn of(list: &'a TopicList) -> Self {
        Self { list }
    }
}

impl fmt::Debug for Topics<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        list.entries(self.list.entries().iter().map(|entry| self.list.name(entry)));
        if self.list.more {
            list.entry(&"..");
        }
        list.finish()
    }
}

/// Topics, each once. Its buffer is used again and again.
#[derive(Debug, Default)]
pub(super) struct TopicList {
    names: String,
    entries: Vec<Entry>,
    /// There were more, or which there were is not known.
    pub(super) more: bool,
}

/// A topic by where its name stands; by its id, where there is no name yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Entry {
    id: Option<Id>,
    from: usize,
    to: usize,
}

impl TopicList {
    pub(super) fn clear(&mut self) {
        self.names.clear();
        self.entries.clear();
        self.more = false;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && !self.more
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.names.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    /// True where one topic at most is known to be meant.
    pub(super) fn is_single(&self) -> bool {
        self.entries.len() <= 1 && !self.more
    }

    pub(super) fn copy_from(&mut self, other: &Self) {
        self.names.clear();
        self.names.push_str(&other.names);
        self.entries.clone_from(&other.entries);
        self.more = other.more;
    }

    pub(super) fn add_name(&mut self, name: &str) {
        if !self.entries().iter().any(|entry| entry.id.is_none() && self.name(entry) == Some(name)) {
            let from = self.names.len();
            self.push(Entry { id: None, from, to: from + name.len() }, name);
        }
    }

    pub(super) fn add_id(&mut self, id: Id) {
        if !self.entries().iter().any(|entry| entry.id == Some(id)) {
            self.push(Entry { id: Some(id), from: 0, to: 0 }, "");
        }
    }

    fn push(&mut self, entry: Entry, name: &str) {
        if self.entries.len() >= KEPT {
            self.more = true;
            return;
        }
        if self.entries.capacity() == 0 {
            // Most messages are about one topic.
            self.entries.reserve_exact(1);
        }
        self.entries.push(entry);
        self.names.push_str(name);
    }

    pub(super) fn add_all(&mut self, other: &Self) {
        for entry in other.entries() {
            match (entry.id, other.name(entry)) {
                (Some(id), _) => self.add_id(id),
                (None, Some(name)) => self.add_name(name),
                (None, None) => {}
            }
        }
        self.more |= other.more;
    }

    /// Takes out topics of the other list. What is beyond those kept stays not known.
    pub(super) fn remove_all(&mut self, other: &Self) {
        if other.is_empty() {
            return;
        }
        let mut kept = Self { more: self.more, ..Self::default() };
        for entry in self.entries() {
            let same = |met: &Entry| match entry.id {
                Some(id) => met.id == Some(id),
                None => met.id.is_none() && other.name(met) == self.name(entry),
            };
            match (entry.id, self.name(entry)) {
                _ if other.entries().iter().any(same) => {}
                (Some(id), _) => kept.add_id(id),
                (None, Some(name)) => kept.add_name(name),
                (None, None) => {}
            }
        }
        *self = kept;
    }

    /// Looks up the names of those known by their ids.
    pub(super) fn resolve(&mut self, ids: &TopicIds) {
        let Self { names, entries, .. } = self;
        for entry in entries.iter_mut().filter(|entry| entry.from == entry.to) {
            let Some(id) = entry.id else { continue };
            ids.with(&id, |name| {
                entry.from = names.len();
                names.push_str(name);
                entry.to = names.len();
            });
        }
    }

    fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn name(&self, entry: &Entry) -> Option<&str> {
        self.names.get(entry.from..entry.to).filter(|name| !name.is_empty())
    }
}

/// What topics' ids stand for, learned from Metadata answers; connections to one cluster can share it.
///
/// Bounded: a topic beyond the bound puts out the one learned first.
///
/// ```
/// use otlp_ebpf::parse::kafka::TopicIds;
/// let ids = TopicIds::new(1);
/// ids.learn([7; 16], "orders");
/// assert_eq!(ids.find(&[7; 16]).as_deref(), Some("orders"));
/// ids.learn([8; 16], "payments");
/// assert_eq!((ids.find(&[7; 16]), ids.len()), (None, 1));
/// ```
#[derive(Debug)]
pub struct TopicIds {
    capacity: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    names: HashMap<Id, Arc<str>>,
    order: VecDeque<Id>,
    /// Bytes of all names.
    bytes: usize,
}

impl TopicIds {
    /// A table of at most `capacity` topics.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity, inner: Mutex::default() }
    }

    /// Notes what an id stands for. Names that no topic can have, and the id of zeros, are not taken. O(1).
    pub fn learn(&self, id: [u8; 16], name: &str) {
        if self.capacity == 0 || id == [0; 16] || !is_name(name.as_bytes()) {
            return;
        }
        let mut inner = self.lock();
        let Inner { names, order, bytes } = &mut *inner;
        if names.get(&id).is_some_and(|known| **known == *name) {
            return;
        }
        *bytes += name.len();
        match names.insert(id, name.into()) {
            Some(before) => *bytes -= before.len(),
            None => order.push_back(id),
        }
        if order.len() > self.capacity {
            let oldest = order.pop_front().and_then(|oldest| names.remove(&oldest));
            *bytes -= oldest.map_or(0, |oldest| oldest.len());
        }
    }

    /// The name of the topic with this id.
    #[must_use]
    pub fn find(&self, id: &[u8; 16]) -> Option<Arc<str>> {
        self.lock().names.get(id).cloned()
    }

    /// Topics known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().names.len()
    }

    /// True where none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn with(&self, id: &Id, on: impl FnOnce(&str)) {
        if let Some(name) = self.lock().names.get(id) {
            on(name);
        }
    }

    pub(super) fn held_bytes(&self) -> usize {
        let inner = self.lock();
        inner.names.capacity() * size_of::<(Id, Arc<str>)>()
            + inner.order.capacity() * size_of::<Id>()
            + inner.bytes
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing here panics while it holds the lock.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> TopicList {
        let mut list = TopicList::default();
        names.iter().for_each(|name| list.add_name(name));
        list
    }

    fn names(list: &TopicList) -> Vec<&str> {
        Topics::of(list).names().collect()
    }

    #[test]
    fn a_topic_counts_once_and_the_first_eight_are_kept() {
        let mut some = list(&["a", "b", "a"]);
        assert_eq!(names(&some), ["a", "b"]);
        assert!(Topics::of(&some).is_complete() && Topics::of(&some).only().is_none());
        ["c", "d", "e", "f", "g", "h"].iter().for_each(|name| some.add_name(name));
        assert!(Topics::of(&some).is_complete());
        some.add_name("i");
        assert_eq!(names(&some).len(), 8);
        assert!(!Topics::of(&some).is_complete());
        assert_eq!(format!("{:?}", Topics::of(&list(&["x"]))), "[Some(\"x\")]");
    }

    #[test]
    fn one_topic_is_told_alone_unless_there_may_be_more() {
        let mut one = list(&["orders"]);
        assert_eq!(Topics::of(&one).only(), Some("orders"));
        one.more = true;
        assert_eq!(Topics::of(&one).only(), None);
    }

    #[test]
    fn ids_get_their_names_once_they_are_known() {
        let ids = TopicIds::new(4);
        let mut some = list(&["a"]);
        some.add_id([1; 16]);
        some.add_id([1; 16]);
        some.resolve(&ids);
        assert_eq!((names(&some), Topics::of(&some).is_complete()), (vec!["a"], false));
        ids.learn([1; 16], "b");
        some.resolve(&ids);
        some.resolve(&ids);
        assert_eq!((names(&some), Topics::of(&some).is_complete()), (vec!["a", "b"], true));
    }

    #[test]
    fn what_a_session_forgets_is_no_longer_in_it() {
        let mut session = list(&["a", "b", "c"]);
        session.add_id([1; 16]);
        session.add_id([2; 16]);
        let mut forgotten = list(&["b", "x"]);
        forgotten.add_id([1; 16]);
        session.remove_all(&forgotten);
        assert_eq!(names(&session), ["a", "c"]);
        assert_eq!(session.entries.len(), 3, "the other id is still there");
    }

    #[test]
    fn a_table_takes_no_wrong_names_and_counts_what_it_holds() {
        let ids = TopicIds::new(2);
        ids.learn([0; 16], "zero");
        ids.learn([1; 16], "not a topic");
        ids.learn([1; 16], "");
        assert!(ids.is_empty());
        ids.learn([1; 16], "first");
        ids.learn([1; 16], "renamed");
        ids.learn([2; 16], "b");
        ids.learn([3; 16], "c");
        assert_eq!((ids.find(&[1; 16]), ids.find(&[3; 16]).as_deref()), (None, Some("c")));
        assert_eq!(ids.lock().bytes, 2);
    }
}
