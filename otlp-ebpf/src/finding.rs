//! What traffic itself says is wrong: slow statements, Redis commands that look at everything, hot keys, Kafka errors.
//!
//! A [`Findings`] is shared by services ([`Service::findings`](crate::Service::findings)); it looks at each command
//! and span on its way and tells, at the end of each window of time, what there was: one
//! [`Finding`] for each service and operation, with how often and an example.
//!
//! Hot keys are found by the space-saving sketch (Metwally, Agrawal and El Abbadi, "Efficient computation of frequent
//! and top-k elements in data streams", ICDT 2005) over salted hashes: keys are neither kept nor told.

mod hot;
mod windowed;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use otlp_core::UnixNanos;
use otlp_core::finding::Finding;
use otlp_core::semconv;
use otlp_core::sink::Sink;

use self::windowed::{Kind, Window};
use crate::parse::redis::Command;
use crate::span::EncodedSpan;

/// What counts as worth telling; the defaults are cautious.
///
/// ```
/// use std::time::Duration;
/// use otlp_ebpf::finding::FindingConfig;
/// let config = FindingConfig::default().slow_statement(Duration::from_millis(200)).hot_key_share(0.2);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
#[must_use]
pub struct FindingConfig {
    slow: Duration,
    hot_share: f64,
    hot_commands: u64,
    window: Duration,
    max_subjects: usize,
    salt: u64,
}

impl FindingConfig {
    /// Sets from when on a database operation is slow; default 1 s.
    pub const fn slow_statement(mut self, time: Duration) -> Self {
        self.slow = time;
        self
    }

    /// Sets from which share of a service's Redis commands on a key is hot; default 0.1. Shares below 1/64 are not
    /// seen for sure.
    pub const fn hot_key_share(mut self, share: f64) -> Self {
        self.hot_share = share;
        self
    }

    /// Sets how many commands with a key there must be in a window for a key to be hot; default 1,000.
    pub const fn hot_key_commands(mut self, commands: u64) -> Self {
        self.hot_commands = commands;
        self
    }

    /// Sets how long a window is; default 60 s.
    pub const fn window(mut self, time: Duration) -> Self {
        self.window = time;
        self
    }

    /// Sets how many pairs of service and operation are told apart in a window; default 1,000. Those beyond are
    /// counted.
    pub const fn max_subjects(mut self, subjects: usize) -> Self {
        self.max_subjects = subjects;
        self
    }

    /// Sets what hashes of keys are mixed with, so that whoever guesses a key cannot tell it from its hash.
    pub const fn salt(mut self, salt: u64) -> Self {
        self.salt = salt;
        self
    }
}

impl Default for FindingConfig {
    fn default() -> Self {
        Self {
            slow: Duration::from_secs(1),
            hot_share: 0.1,
            hot_commands: 1000,
            window: Duration::from_secs(60),
            max_subjects: 1000,
            salt: 0x5bd1_e995_9d1b_873f,
        }
    }
}

/// Looks at what passes and tells what is wrong; see the [module](self).
///
/// ```
/// use std::sync::Arc;
/// use otlp_core::UnixNanos;
/// use otlp_core::sink::MemorySink;
/// use otlp_ebpf::finding::{FindingConfig, Findings};
/// use otlp_ebpf::parse::infer::{Builtin, Protocol};
/// use otlp_ebpf::parse::{Chunk, Direction};
/// use otlp_ebpf::{Connection, Ends, IdSource, Limits, Service};
///
/// let sink = Arc::new(MemorySink::new(100));
/// let findings = Arc::new(Findings::new(FindingConfig::default(), sink.clone()));
/// let cache = Service::new("cache", Arc::new(IdSource::seeded(1))).findings(findings.clone());
/// let parser = Builtin::Redis.parser(&Limits::default());
/// let mut connection = Connection::new(Arc::new(cache), parser, Ends::default());
/// let said = [(Direction::ToServer, "*2\r\n$4\r\nKEYS\r\n$1\r\n*\r\n"), (Direction::ToClient, "*0\r\n")];
/// for (direction, text) in said {
///     connection.feed(Chunk::new(direction, UnixNanos::from_secs(1), text.as_bytes()), &mut |_| {});
/// }
/// findings.finish();
/// assert_eq!(sink.take()[0].title, "1 KEYS, which looks at every key of the server");
/// ```
pub struct Findings {
    config: FindingConfig,
    sink: Arc<dyn Sink<Finding>>,
    window: Mutex<Window>,
}

impl Findings {
    /// Tells to `sink`, which must not block.
    #[must_use]
    pub fn new(config: FindingConfig, sink: Arc<dyn Sink<Finding>>) -> Self {
        Self { config, sink, window: Mutex::default() }
    }

    /// Tells what there was in the present window, and begins a new one.
    pub fn finish(&self) {
        let findings = self.lock().close(&self.config);
        self.tell(findings);
    }

    /// Tells what there was, where the present window has ended at `now`.
    pub fn advance(&self, now: UnixNanos) {
        let findings = self.lock().advance(now, &self.config);
        self.tell(findings);
    }

    /// Occurrences that were counted without their service and operation, because there were too many of those.
    #[must_use]
    pub fn overflowed(&self) -> u64 {
        self.lock().overflowed()
    }

    /// Looks at a Redis command on its way.
    pub(crate) fn command(&self, service: &Arc<str>, command: &Command<'_>, span: &EncodedSpan) {
        let mut window = self.lock();
        let findings = window.advance(span.start, &self.config);
        if let Some(hash) = command.key_hash() {
            window.key(service, crate::id::mix(hash ^ self.config.salt));
        }
        if let Some(kind) = looks_at_everything(command) {
            window.count(service, (kind, command.name().unwrap_or_default()), span, &self.config);
        }
        drop(window);
        self.tell(findings);
    }

    /// Looks at a span that has ended.
    pub(crate) fn span(&self, service: &Arc<str>, span: &EncodedSpan) {
        let text = |key| span.attributes.text(key);
        let is_slow = span.duration() > self.config.slow && text(semconv::DB_SYSTEM_NAME).is_some();
        let is_refused = text(semconv::MESSAGING_SYSTEM) == Some("kafka") && span.is_error();
        if !is_slow && !is_refused {
            return;
        }
        let mut window = self.lock();
        let findings = window.advance(span.end, &self.config);
        if is_slow {
            let operation = text(semconv::DB_QUERY_SUMMARY).unwrap_or(&span.name);
            window.count(service, (Kind::Slow, operation), span, &self.config);
        }
        if is_refused {
            let error = text(semconv::ERROR_TYPE).unwrap_or("_OTHER");
            window.count(service, (Kind::Kafka, &format!("{} {error}", span.name)), span, &self.config);
        }
        drop(window);
        self.tell(findings);
    }

    fn tell(&self, findings: Vec<Finding>) {
        findings.into_iter().for_each(|finding| self.sink.accept(finding));
    }

    fn lock(&self) -> MutexGuard<'_, Window> {
        // Counting is all that happens under the lock.
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Findings").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Commands whose cost is that of all there is, and of what.
const EVERYTHING: [(&str, Kind); 9] = [
    ("KEYS", Kind::Server),
    ("FLUSHALL", Kind::Server),
    ("FLUSHDB", Kind::Server),
    ("SMEMBERS", Kind::Value),
    ("HGETALL", Kind::Value),
    ("HKEYS", Kind::Value),
    ("HVALS", Kind::Value),
    ("SORT", Kind::Value),
    ("SORT_RO", Kind::Value),
];
const RANGES: [&str; 3] = ["LRANGE", "ZRANGE", "ZREVRANGE"];

fn looks_at_everything(command: &Command<'_>) -> Option<Kind> {
    let name = command.name()?;
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    if RANGES.iter().any(|range| is(range)) {
        let whole = command.argument(1) == Some(b"0") && command.argument(2) == Some(b"-1");
        return whole.then_some(Kind::Value);
    }
    let is_async = command.argument(0).is_some_and(|argument| argument.eq_ignore_ascii_case(b"ASYNC"));
    let found = EVERYTHING.iter().find(|(other, _)| is(other)).map(|(_, kind)| *kind);
    found.filter(|_| !(is_async && name.to_ascii_uppercase().starts_with("FLUSH")))
}
