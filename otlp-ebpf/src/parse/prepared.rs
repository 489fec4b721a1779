//! Prepared statements of a connection, by name or number; bounded, the one not used for longest goes first.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;

use crate::sql::Statement;

/// What an entry costs beyond its text.
const ENTRY_BYTES: usize = 160;

/// `S` hashes the keys: those that a client chooses by its own seed.
#[derive(Debug)]
pub(super) struct Prepared<K, S = RandomState> {
    entries: HashMap<K, Entry, S>,
    bytes: usize,
    limit: usize,
    /// Counts uses.
    now: u64,
}

#[derive(Debug)]
struct Entry {
    /// None where there is a statement whose text is not known.
    statement: Option<Arc<Statement>>,
    used: u64,
    bytes: usize,
}

impl<K: Hash + Eq + Clone, S: BuildHasher + Default> Prepared<K, S> {
    pub(super) fn new(limit: usize) -> Self {
        Self { entries: HashMap::default(), bytes: 0, limit, now: 0 }
    }

    /// Enters a statement in place of what has this key; where it is larger than all there is room for, nothing.
    pub(super) fn insert(&mut self, key: K, key_bytes: usize, statement: Option<Arc<Statement>>) {
        self.remove(&key);
        let bytes =
            ENTRY_BYTES + key_bytes + statement.as_ref().map_or(0, |statement| statement.held_bytes());
        if bytes > self.limit {
            return;
        }
        while self.bytes + bytes > self.limit {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { break };
            self.remove(&oldest);
        }
        self.now += 1;
        self.bytes += bytes;
        self.entries.insert(key, Entry { statement, used: self.now, bytes });
    }

    /// The statement of this key, as far as it is known.
    pub(super) fn get<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&Arc<Statement>>
    where
        K: Borrow<Q>,
    {
        let entry = self.entries.get_mut(key)?;
        self.now += 1;
        entry.used = self.now;
        entry.statement.as_ref()
    }

    /// Whether there is an entry, be its text known or not.
    pub(super) fn has<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.entries.contains_key(key)
    }

    pub(super) fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.bytes;
        }
    }

    pub(super) fn clear(&mut self) {
        self.entries = HashMap::default();
        self.bytes = 0;
    }

    pub(super) const fn held_bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Dialect, Syntax};

    fn statement(sql: &str) -> Option<Arc<Statement>> {
        Some(Arc::new(Statement::read(sql.as_bytes(), Syntax::new(Dialect::MySql), 2048)))
    }

    fn text(table: &mut Prepared<u32>, key: u32) -> Option<String> {
        table.get(&key).map(|statement| statement.text().to_owned())
    }

    #[test]
    fn the_statement_not_used_for_longest_makes_room() {
        let mut table = Prepared::new(3 * (ENTRY_BYTES + 64));
        for key in 1..=3 {
            table.insert(key, 4, statement(&format!("SELECT a FROM t{key}")));
        }
        assert_eq!(text(&mut table, 1).as_deref(), Some("SELECT a FROM t1"));
        table.insert(4, 4, statement("SELECT a FROM t4"));
        assert_eq!(text(&mut table, 2), None);
        for key in [1, 3, 4] {
            assert_eq!(text(&mut table, key), Some(format!("SELECT a FROM t{key}")));
        }
        assert!(table.held_bytes() <= 3 * (ENTRY_BYTES + 64));
    }

    #[test]
    fn what_is_larger_than_the_table_is_not_kept() {
        let mut table = Prepared::new(ENTRY_BYTES + 10);
        table.insert(1, 4, statement("SELECT a FROM a_table_with_a_long_name"));
        assert_eq!((table.has(&1), table.held_bytes()), (false, 0));
        table.insert(1, 4, None);
        assert_eq!((table.has(&1), text(&mut table, 1)), (true, None));
        table.clear();
        assert_eq!(table.held_bytes(), 0);
    }
}
