//! The cache: texts under keys for a while, over RESP2.

mod store;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use store::{Bounds, Store};

use super::context::{Context, Service};
use super::resp::server::Commands;
use super::resp::{Reply, Words};

/// Commands between two lines about usage.
const COMMANDS_A_USAGE_LINE: u64 = 1_000;

/// The service `cache`. Serves `PING ECHO GET SET DEL EXPIRE PEXPIRE TTL DBSIZE`.
#[derive(Debug)]
pub(crate) struct Cache {
    context: Arc<Context>,
    began: Instant,
    store: Mutex<Store>,
    commands: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Cache {
    /// An empty cache.
    pub(crate) fn new(context: Arc<Context>) -> Self {
        let bounds = Bounds::default();
        let Bounds { entries, bytes } = bounds;
        context.log.info("store ready", &[("max_entries", &entries), ("max_bytes", &bytes)]);
        Self {
            context,
            began: Instant::now(),
            store: Mutex::new(Store::new(bounds)),
            commands: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    fn with_store<T>(&self, work: impl FnOnce(&mut Store, Duration) -> T) -> T {
        // Whoever panicked while holding the lock was not in the middle of a change.
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut store, self.began.elapsed())
    }

    #[inline(never)]
    fn get(&self, key: &[u8]) -> Reply {
        let value = self.with_store(|store, now| store.get(key, now).map(<[u8]>::to_vec));
        let (log, shown) = (&self.context.log, String::from_utf8_lossy(key));
        let Some(value) = value else {
            self.misses.fetch_add(1, Ordering::Relaxed);
            log.debug("miss", &[("key", &shown)]);
            return Reply::Null;
        };
        self.hits.fetch_add(1, Ordering::Relaxed);
        log.debug("hit", &[("key", &shown), ("bytes", &value.len())]);
        Reply::Bulk(value)
    }

    #[inline(never)]
    fn set(&self, key: &[u8], value: &[u8], ttl: Option<Duration>) -> Reply {
        let stored = self.with_store(|store, now| store.set(key, value, ttl, now));
        let (log, shown) = (&self.context.log, String::from_utf8_lossy(key));
        let Ok(evicted) = stored else {
            log.warn("value too large", &[("key", &shown), ("bytes", &value.len())]);
            return Reply::Error("ERR value is larger than the store".to_owned());
        };
        let ttl_ms = ttl.map_or(0, |ttl| ttl.as_millis());
        log.debug("stored", &[("key", &shown), ("bytes", &value.len()), ("ttl_ms", &ttl_ms)]);
        if evicted > 0 {
            log.info("evicted least recently used", &[("count", &evicted)]);
        }
        Reply::Simple("OK")
    }

    fn delete(&self, keys: &[Vec<u8>]) -> Reply {
        let deleted = self.with_store(|store, now| keys.iter().filter(|key| store.delete(key, now)).count());
        self.context.log.debug("deleted", &[("keys", &keys.len()), ("found", &deleted)]);
        integer(deleted)
    }

    fn expire(&self, key: &[u8], ttl: Option<Duration>) -> Reply {
        let Some(ttl) = ttl else { return not_an_integer() };
        let found = self.with_store(|store, now| store.expire(key, ttl, now));
        self.context.log.debug("expiry set", &[("found", &found), ("ttl_ms", &ttl.as_millis())]);
        Reply::Integer(i64::from(found))
    }

    fn ttl(&self, key: &[u8]) -> Reply {
        match self.with_store(|store, now| store.ttl(key, now)) {
            None => Reply::Integer(-2),
            Some(None) => Reply::Integer(-1),
            Some(Some(left)) => Reply::Integer(i64::try_from(left.as_secs()).unwrap_or(i64::MAX)),
        }
    }

    fn set_words(&self, key: &[u8], value: &[u8], options: &[Vec<u8>]) -> Reply {
        let ttl = match options {
            [] => return self.set(key, value, None),
            [unit, amount] if unit.eq_ignore_ascii_case(b"EX") => seconds(amount),
            [unit, amount] if unit.eq_ignore_ascii_case(b"PX") => millis(amount),
            _ => return Reply::Error("ERR syntax error".to_owned()),
        };
        match ttl.filter(|ttl| !ttl.is_zero()) {
            Some(ttl) => self.set(key, value, Some(ttl)),
            None => not_an_integer(),
        }
    }

    fn refuse(&self, name: &[u8]) -> Reply {
        let shown = String::from_utf8_lossy(name.get(..32).unwrap_or(name)).into_owned();
        self.context.log.warn("command refused", &[("name", &shown)]);
        // No quoting of what came: it might end the line of the reply.
        Reply::Error("ERR unknown command or wrong number of arguments".to_owned())
    }

    fn note_usage(&self) {
        let commands = self.commands.fetch_add(1, Ordering::Relaxed) + 1;
        if commands.is_multiple_of(COMMANDS_A_USAGE_LINE) {
            let (entries, bytes) = self.with_store(|store, now| {
                store.expire_some(now);
                (store.entries(), store.bytes())
            });
            let hits = self.hits.load(Ordering::Relaxed);
            self.context.log.info("usage", &[("entries", &entries), ("bytes", &bytes), ("hits", &hits)]);
        }
    }
}

impl Commands for Cache {
    fn run(&self, words: &Words) -> Reply {
        self.note_usage();
        let Some((name, arguments)) = words.split_first() else { return self.refuse(b"") };
        match (name.to_ascii_uppercase().as_slice(), arguments) {
            (b"PING", []) => Reply::Simple("PONG"),
            (b"PING" | b"ECHO", [text]) => Reply::Bulk(text.clone()),
            (b"GET", [key]) => self.get(key),
            (b"SET", [key, value, options @ ..]) => self.set_words(key, value, options),
            (b"DEL", keys @ [_, ..]) => self.delete(keys),
            (b"EXPIRE", [key, amount]) => self.expire(key, seconds(amount)),
            (b"PEXPIRE", [key, amount]) => self.expire(key, millis(amount)),
            (b"TTL", [key]) => self.ttl(key),
            (b"DBSIZE", []) => integer(self.with_store(|store, _| store.entries())),
            _ => self.refuse(name),
        }
    }
}

impl Service for Cache {
    fn facts(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("hits", self.hits.load(Ordering::Relaxed)),
            ("misses", self.misses.load(Ordering::Relaxed)),
            ("entries", u64::try_from(self.with_store(|store, _| store.entries())).unwrap_or(u64::MAX)),
        ]
    }
}

fn integer(number: usize) -> Reply {
    Reply::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

fn not_an_integer() -> Reply {
    Reply::Error("ERR value is not a positive integer".to_owned())
}

fn seconds(text: &[u8]) -> Option<Duration> {
    // Kept far from the end of time, so that adding it to now cannot overflow.
    number(text).map(|seconds| Duration::from_secs(seconds.min(u64::from(u32::MAX))))
}

fn millis(text: &[u8]) -> Option<Duration> {
    number(text).map(|millis| Duration::from_millis(millis.min(u64::from(u32::MAX) * 1_000)))
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shop::tests::context;

    fn run(cache: &Cache, line: &str) -> Reply {
        cache.run(&line.split(' ').map(|word| word.as_bytes().to_vec()).collect())
    }

    #[test]
    fn commands_do_what_redis_does() {
        let cache = Cache::new(context(crate::shop::Role::Cache));
        let bulk = |text: &str| Reply::Bulk(text.as_bytes().to_vec());
        assert_eq!(run(&cache, "ping"), Reply::Simple("PONG"));
        assert_eq!(run(&cache, "ECHO hi"), bulk("hi"));
        assert_eq!(run(&cache, "GET a"), Reply::Null);
        assert_eq!(run(&cache, "SET a 1"), Reply::Simple("OK"));
        assert_eq!(run(&cache, "get a"), bulk("1"));
        assert_eq!(run(&cache, "TTL a"), Reply::Integer(-1));
        assert_eq!(run(&cache, "EXPIRE a 100"), Reply::Integer(1));
        assert!(matches!(run(&cache, "TTL a"), Reply::Integer(98..=100)));
        assert_eq!(run(&cache, "SET b 2 ex 100"), Reply::Simple("OK"));
        assert_eq!(run(&cache, "DBSIZE"), Reply::Integer(2));
        assert_eq!(run(&cache, "DEL a b c"), Reply::Integer(2));
        assert_eq!(
            (run(&cache, "TTL a"), run(&cache, "PEXPIRE a 5")),
            (Reply::Integer(-2), Reply::Integer(0))
        );
        let facts: std::collections::BTreeMap<_, _> = cache.facts().into_iter().collect();
        assert_eq!((facts["hits"], facts["misses"], facts["entries"]), (1, 1, 0));
    }

    #[test]
    fn what_it_cannot_serve_is_an_error_reply() {
        let cache = Cache::new(context(crate::shop::Role::Cache));
        for line in [
            "FLUSHALL",
            "GET",
            "GET a b",
            "SET a",
            "SET a 1 EX",
            "SET a 1 EX 0",
            "SET a 1 EX x",
            "SET a 1 NX 5",
            "EXPIRE a -1",
            "DEL",
            "HELLO 3",
        ] {
            assert!(matches!(run(&cache, line), Reply::Error(_)), "{line}");
        }
    }
}
