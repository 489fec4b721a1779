//! Spans in any order to whole traces.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::trace::Trace;
use crate::error::{Error, ErrorKind, Result};
use crate::record::{AnyValue, KeyValue, Span};
use crate::{SpanId, TraceId, UnixNanos};

/// When a trace counts as whole, and how much may be held until then.
///
/// ```
/// use std::time::Duration;
/// use otlp_core::assemble::AssemblerConfig;
/// let assembler = AssemblerConfig::new().quiet(Duration::from_millis(500)).max_spans(10_000).build()?;
/// # Ok::<(), otlp_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AssemblerConfig {
    quiet: Duration,
    max_age: Duration,
    max_traces: usize,
    max_spans: usize,
    max_bytes: usize,
    max_trace_spans: usize,
    max_remembered_spans: usize,
}

macro_rules! setters {
    ($($name:ident: $ty:ty = $doc:literal;)*) => {
        $(#[doc = $doc]
        #[must_use]
        pub const fn $name(mut self, $name: $ty) -> Self {
            self.$name = $name;
            self
        })*
    };
}

impl AssemblerConfig {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            quiet: Duration::from_secs(2),
            max_age: Duration::from_secs(120),
            max_traces: 50_000,
            max_spans: 500_000,
            max_bytes: 256 << 20,
            max_trace_spans: 10_000,
            max_remembered_spans: 500_000,
        }
    }

    setters! {
        quiet: Duration = "Sets how long nothing must come for a trace before it is handed out; default 2 s.";
        max_age: Duration = "Sets how long after its first span a trace is handed out at the latest; default 120 s.";
        max_traces: usize = "Sets the most traces held at once; default 50,000.";
        max_spans: usize = "Sets the most spans held at once; default 500,000.";
        max_bytes: usize = "Sets the most bytes that held spans may take, roughly; default 256 MiB.";
        max_trace_spans: usize = "Sets the most spans of one trace; default 10,000.";
        max_remembered_spans: usize = "Sets how many spans handed out are remembered, so that copies of them are known; default 500,000.";
    }

    /// Makes the assembler.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where a bound but that on remembered spans is zero.
    pub fn build(self) -> Result<Assembler> {
        let bounds = [self.max_traces, self.max_spans, self.max_bytes, self.max_trace_spans];
        if bounds.contains(&0) || self.max_age.is_zero() {
            let message = "assembler: a bound of zero would keep nothing";
            return Err(Error::new(ErrorKind::Config, message));
        }
        Ok(Assembler::with(self))
    }
}

impl Default for AssemblerConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// Why a span was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// Its trace identifier is all zero.
    #[error("trace id is zero")]
    ZeroTraceId,
    /// Its own identifier is all zero.
    #[error("span id is zero")]
    ZeroSpanId,
    /// A span of that trace with that identifier was taken before.
    #[error("span was taken before")]
    Duplicate,
    /// Its trace has as many spans as one may have.
    #[error("trace has {limit} spans already")]
    TraceFull {
        /// The bound.
        limit: usize,
    },
    /// The span alone takes more bytes than all spans may.
    #[error("span takes {met} bytes, limit {limit}")]
    TooLarge {
        /// Its size.
        met: usize,
        /// The bound.
        limit: usize,
    },
}

/// The account of an [`Assembler`].
///
/// At every instant `accepted = handed_out_spans + evicted_spans + held_spans`, and what was offered is
/// `accepted` and the refused, which are the five counters from `zero_trace_id` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct AssemblerStats {
    /// Spans taken in.
    pub accepted: u64,
    /// Of those, spans that came after their trace was handed out, and went into a fragment.
    pub late: u64,
    /// Of those, spans that end before they start.
    pub clock_backwards: u64,
    /// Spans in traces handed out.
    pub handed_out_spans: u64,
    /// Traces and fragments handed out.
    pub handed_out_traces: u64,
    /// Spans dropped to stay within a bound.
    pub evicted_spans: u64,
    /// Traces dropped to stay within a bound.
    pub evicted_traces: u64,
    /// Spans held now.
    pub held_spans: u64,
    /// Traces held now.
    pub held_traces: u64,
    /// Bytes held now, roughly.
    pub held_bytes: u64,
    /// Spans refused as [`Refused::ZeroTraceId`].
    pub zero_trace_id: u64,
    /// Spans refused as [`Refused::ZeroSpanId`].
    pub zero_span_id: u64,
    /// Spans refused as [`Refused::Duplicate`].
    pub duplicate: u64,
    /// Spans refused as [`Refused::TraceFull`].
    pub trace_full: u64,
    /// Spans refused as [`Refused::TooLarge`].
    pub too_large: u64,
}

/// Collects spans until their traces are whole.
///
/// Spans may come in any order and more than once. A trace is handed out when nothing came for it during the
/// quiet time; what comes later makes a fragment of it. When a bound is reached the trace that waited longest
/// is dropped and counted. Time is what the caller says it is; where it goes backwards it is taken to stand still.
///
/// ```
/// use otlp_core::assemble::Assembler;
/// use otlp_core::record::Span;
/// use otlp_core::{SpanId, TraceId, UnixNanos};
///
/// let mut assembler = Assembler::default();
/// let span = Span { trace_id: TraceId::new([1; 16]), span_id: SpanId::new([1; 8]), ..Span::default() };
/// assembler.accept("shop", span, UnixNanos::from_secs(1))?;
/// assert!(assembler.take_ready(UnixNanos::from_secs(2)).is_empty());
/// assert_eq!(assembler.take_ready(UnixNanos::from_secs(4)).len(), 1);
/// # Ok::<(), otlp_core::assemble::Refused>(())
/// ```
#[derive(Debug)]
pub struct Assembler {
    config: AssemblerConfig,
    now: UnixNanos,
    open: HashMap<TraceId, Open>,
    by_deadline: BTreeSet<(UnixNanos, TraceId)>,
    seen: HashSet<(TraceId, SpanId)>,
    done: VecDeque<(TraceId, Vec<SpanId>)>,
    done_traces: HashMap<TraceId, usize>,
    remembered_spans: usize,
    services: HashSet<Arc<str>>,
    stats: AssemblerStats,
}

#[derive(Debug)]
struct Open {
    spans: Vec<(Arc<str>, Span)>,
    first_seen: UnixNanos,
    deadline: UnixNanos,
    bytes: usize,
}

/// Names kept for sharing; past it the table starts anew, which costs memory but loses nothing.
const MAX_SHARED_NAMES: usize = 10_000;

/// What `OpenTelemetry` has a service be called that does not say its name.
const UNKNOWN_SERVICE: &str = "unknown_service";

impl Assembler {
    fn with(config: AssemblerConfig) -> Self {
        Self {
            config,
            now: UnixNanos::ZERO,
            open: HashMap::new(),
            by_deadline: BTreeSet::new(),
            seen: HashSet::new(),
            done: VecDeque::new(),
            done_traces: HashMap::new(),
            remembered_spans: 0,
            services: HashSet::new(),
            stats: AssemblerStats::default(),
        }
    }

    /// Takes a span that ran in `service` (an empty name counts as `unknown_service`). O(log traces).
    ///
    /// # Errors
    /// Says why the span was not kept; it is counted under the same name in the [`stats`](Self::stats).
    ///
    /// ```
    /// use otlp_core::assemble::AssemblerConfig;
    /// use otlp_core::record::Span;
    /// use otlp_core::{SpanId, TraceId, UnixNanos};
    /// let mut assembler = AssemblerConfig::new().build()?;
    /// let span = Span { trace_id: TraceId::new([1; 16]), span_id: SpanId::new([1; 8]), ..Span::default() };
    /// let now = UnixNanos::from_secs(10);
    /// assembler.accept("cart", span.clone(), now)?;
    /// // A second copy is known and refused.
    /// assert!(assembler.accept("cart", span, now).is_err());
    /// assert_eq!(assembler.stats().accepted, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn accept(&mut self, service: &str, span: Span, now: UnixNanos) -> Result<(), Refused> {
        self.now = self.now.max(now);
        let bytes = heap_bytes(&span);
        self.check(&span, bytes).inspect_err(|&why| self.count_refused(why))?;
        self.make_room(span.trace_id, bytes);

        let (trace_id, span_id) = (span.trace_id, span.span_id);
        self.seen.insert((trace_id, span_id));
        self.stats.accepted += 1;
        self.stats.clock_backwards += u64::from(span.end < span.start);
        self.stats.late += u64::from(self.done_traces.contains_key(&trace_id));
        self.stats.held_spans += 1;
        self.stats.held_bytes += to_u64(bytes);

        let service = self.shared_name(service);
        let now = self.now;
        let open = self.open.entry(trace_id).or_insert_with(|| {
            self.stats.held_traces += 1;
            Open { spans: Vec::new(), first_seen: now, deadline: UnixNanos::ZERO, bytes: 0 }
        });
        self.by_deadline.remove(&(open.deadline, trace_id));
        open.deadline = (now + self.config.quiet).min(open.first_seen + self.config.max_age);
        open.bytes += bytes;
        open.spans.push((service, span));
        self.by_deadline.insert((open.deadline, trace_id));
        Ok(())
    }

    /// Hands out the traces whose quiet time has passed at `now`, longest waiting first.
    ///
    /// ```
    /// use otlp_core::assemble::AssemblerConfig;
    /// use otlp_core::record::Span;
    /// use otlp_core::{SpanId, TraceId, UnixNanos};
    /// let mut assembler = AssemblerConfig::new().build()?;
    /// let span = Span { trace_id: TraceId::new([1; 16]), span_id: SpanId::new([1; 8]), ..Span::default() };
    /// let now = UnixNanos::from_secs(10);
    /// assembler.accept("cart", span, now)?;
    /// assert!(assembler.take_ready(now).is_empty());
    /// // Two quiet seconds later the trace counts as whole.
    /// let traces = assembler.take_ready(UnixNanos::from_secs(12));
    /// assert_eq!(traces[0].spans().len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn take_ready(&mut self, now: UnixNanos) -> Vec<Trace> {
        self.now = self.now.max(now);
        let mut ready = Vec::new();
        while let Some(&(deadline, trace_id)) = self.by_deadline.first() {
            if deadline > self.now {
                break;
            }
            ready.extend(self.hand_out(deadline, trace_id));
        }
        ready
    }

    /// Hands out everything held, whole or not, longest waiting first.
    ///
    /// ```
    /// use otlp_core::assemble::AssemblerConfig;
    /// use otlp_core::record::Span;
    /// use otlp_core::{SpanId, TraceId, UnixNanos};
    /// let mut assembler = AssemblerConfig::new().build()?;
    /// let span = Span { trace_id: TraceId::new([1; 16]), span_id: SpanId::new([1; 8]), ..Span::default() };
    /// let now = UnixNanos::from_secs(10);
    /// assembler.accept("cart", span, now)?;
    /// assert_eq!(assembler.take_all().len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn take_all(&mut self) -> Vec<Trace> {
        let mut all = Vec::new();
        while let Some(&(deadline, trace_id)) = self.by_deadline.first() {
            all.extend(self.hand_out(deadline, trace_id));
        }
        all
    }

    /// When [`take_ready`](Self::take_ready) has something to hand out next, if nothing more comes.
    ///
    /// ```
    /// use otlp_core::assemble::AssemblerConfig;
    /// use otlp_core::record::Span;
    /// use otlp_core::{SpanId, TraceId, UnixNanos};
    /// let mut assembler = AssemblerConfig::new().build()?;
    /// let span = Span { trace_id: TraceId::new([1; 16]), span_id: SpanId::new([1; 8]), ..Span::default() };
    /// let now = UnixNanos::from_secs(10);
    /// assert_eq!(assembler.next_deadline(), None);
    /// assembler.accept("cart", span, now)?;
    /// assert_eq!(assembler.next_deadline(), Some(UnixNanos::from_secs(12)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn next_deadline(&self) -> Option<UnixNanos> {
        self.by_deadline.first().map(|&(deadline, _)| deadline)
    }

    /// The account so far.
    #[must_use]
    pub const fn stats(&self) -> AssemblerStats {
        self.stats
    }

    fn check(&self, span: &Span, bytes: usize) -> Result<(), Refused> {
        if !span.trace_id.is_valid() {
            return Err(Refused::ZeroTraceId);
        }
        if !span.span_id.is_valid() {
            return Err(Refused::ZeroSpanId);
        }
        if self.seen.contains(&(span.trace_id, span.span_id)) {
            return Err(Refused::Duplicate);
        }
        if bytes > self.config.max_bytes {
            return Err(Refused::TooLarge { met: bytes, limit: self.config.max_bytes });
        }
        let limit = self.config.max_trace_spans;
        if self.open.get(&span.trace_id).is_some_and(|open| open.spans.len() >= limit) {
            return Err(Refused::TraceFull { limit });
        }
        Ok(())
    }

    const fn count_refused(&mut self, why: Refused) {
        let counter = match why {
            Refused::ZeroTraceId => &mut self.stats.zero_trace_id,
            Refused::ZeroSpanId => &mut self.stats.zero_span_id,
            Refused::Duplicate => &mut self.stats.duplicate,
            Refused::TraceFull { .. } => &mut self.stats.trace_full,
            Refused::TooLarge { .. } => &mut self.stats.too_large,
        };
        *counter += 1;
    }

    /// Drops the traces that waited longest until one more span fits.
    fn make_room(&mut self, trace_id: TraceId, bytes: usize) {
        loop {
            let opens_one = u64::from(!self.open.contains_key(&trace_id));
            let fits = self.stats.held_traces + opens_one <= to_u64(self.config.max_traces)
                && self.stats.held_spans < to_u64(self.config.max_spans)
                && self.stats.held_bytes + to_u64(bytes) <= to_u64(self.config.max_bytes);
            let Some(&(deadline, oldest)) = self.by_deadline.first().filter(|_| !fits) else { return };
            let Some(open) = self.remove(deadline, oldest) else { return };
            self.stats.evicted_traces += 1;
            self.stats.evicted_spans += to_u64(open.spans.len());
            for (_, span) in &open.spans {
                self.seen.remove(&(oldest, span.span_id));
            }
        }
    }

    fn remove(&mut self, deadline: UnixNanos, trace_id: TraceId) -> Option<Open> {
        self.by_deadline.remove(&(deadline, trace_id));
        let open = self.open.remove(&trace_id)?;
        self.stats.held_traces -= 1;
        self.stats.held_spans -= to_u64(open.spans.len());
        self.stats.held_bytes -= to_u64(open.bytes);
        Some(open)
    }

    fn hand_out(&mut self, deadline: UnixNanos, trace_id: TraceId) -> Option<Trace> {
        let open = self.remove(deadline, trace_id)?;
        self.stats.handed_out_traces += 1;
        self.stats.handed_out_spans += to_u64(open.spans.len());
        let is_fragment = self.done_traces.contains_key(&trace_id);
        self.remember(trace_id, open.spans.iter().map(|(_, span)| span.span_id).collect());
        let trace = Trace::new(trace_id, open.spans);
        Some(if is_fragment { trace.into_fragment() } else { trace })
    }

    fn remember(&mut self, trace_id: TraceId, spans: Vec<SpanId>) {
        self.remembered_spans += spans.len();
        *self.done_traces.entry(trace_id).or_default() += 1;
        self.done.push_back((trace_id, spans));
        while self.remembered_spans > self.config.max_remembered_spans {
            let Some((oldest, spans)) = self.done.pop_front() else { return };
            self.remembered_spans -= spans.len();
            for span_id in spans {
                self.seen.remove(&(oldest, span_id));
            }
            if let Some(parts) = self.done_traces.get_mut(&oldest) {
                *parts -= 1;
                if *parts == 0 {
                    self.done_traces.remove(&oldest);
                }
            }
        }
    }

    fn shared_name(&mut self, service: &str) -> Arc<str> {
        let service = if service.is_empty() { UNKNOWN_SERVICE } else { service };
        if let Some(known) = self.services.get(service) {
            return Arc::clone(known);
        }
        if self.services.len() >= MAX_SHARED_NAMES {
            self.services.clear();
        }
        let shared: Arc<str> = service.into();
        self.services.insert(Arc::clone(&shared));
        shared
    }
}

impl Default for Assembler {
    fn default() -> Self {
        Self::with(AssemblerConfig::new())
    }
}

/// Bytes that a span takes, roughly: itself, its texts, its lists.
fn heap_bytes(span: &Span) -> usize {
    let texts = span.name.len() + span.trace_state.len() + span.status.message.len();
    let events = span.events.iter().map(|event| 64 + event.name.len() + attribute_bytes(&event.attributes));
    let links = span.links.iter().map(|link| 80 + link.trace_state.len() + attribute_bytes(&link.attributes));
    let lists = attribute_bytes(&span.attributes) + events.sum::<usize>() + links.sum::<usize>();
    size_of::<Span>() + texts + lists
}

/// Walks nested values with a list of its own, since they may nest deeper than the stack.
fn attribute_bytes(attributes: &[KeyValue]) -> usize {
    let mut bytes = 0;
    let mut left: Vec<&AnyValue> = Vec::new();
    let list = |attributes: &[KeyValue]| {
        attributes.iter().map(|attribute| size_of::<KeyValue>() + attribute.key.len()).sum::<usize>()
    };
    bytes += list(attributes);
    left.extend(attributes.iter().map(|attribute| &attribute.value));
    while let Some(value) = left.pop() {
        match value {
            AnyValue::String(text) => bytes += text.len(),
            AnyValue::Bytes(raw) => bytes += raw.len(),
            AnyValue::Array(values) => {
                bytes += size_of_val(values.as_slice());
                left.extend(values);
            }
            AnyValue::KvList(attributes) => {
                bytes += list(attributes);
                left.extend(attributes.iter().map(|attribute| &attribute.value));
            }
            AnyValue::Empty
            | AnyValue::Bool(_)
            | AnyValue::Int(_)
            | AnyValue::Double(_)
            | AnyValue::StringIndex(_) => {}
        }
    }
    bytes
}

fn to_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
