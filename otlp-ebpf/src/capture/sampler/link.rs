//! Samples and the spans that they were taken in. Pure: samples, spans and times in, samples out.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use otlp_core::record::{AnyValue, KeyValue, Span};
use otlp_core::sample::StackSample;
use otlp_core::{SpanId, TraceId, UnixNanos, semconv};

use super::Sample;

/// Gives samples the spans of the requests that their threads were at.
///
/// A span is known when its request has ended, so that samples wait for it. Where two spans of a connection were open at
/// once (HTTP/2), or none is found in time, a sample has no span; both are counted.
///
/// ```
/// use std::time::Duration;
/// use otlp_core::UnixNanos;
/// use otlp_ebpf::capture::SpanLinks;
/// let mut links = SpanLinks::new(Duration::from_secs(2));
/// // links.sample(..) for each sample, links.span(..) for each span, and now and then:
/// links.advance(UnixNanos::from_secs(1), &mut |stack| println!("{} {}", stack.span_id, stack.weight));
/// assert!(links.stats().is_balanced());
/// ```
#[derive(Debug)]
pub struct SpanLinks {
    wait: Duration,
    /// By the client's end.
    connections: BTreeMap<SocketAddr, Connection>,
    spans: usize,
    stats: LinkStats,
}

/// What is known of a connection, in order of time.
#[derive(Debug, Default)]
struct Connection {
    samples: VecDeque<Waiting>,
    spans: VecDeque<Seen>,
}

#[derive(Debug)]
struct Waiting {
    stack: StackSample,
    /// When its thread read the request that it is at.
    since: u64,
    fit: Fit,
    is_ambiguous: bool,
}

/// How well the span fits that a sample was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    None,
    /// Where the clocks differ a little.
    Blurred,
    /// The request was read while the span was open.
    Exact,
}

/// A span, and when its request was open.
#[derive(Debug, Clone, Copy)]
struct Seen {
    begin: u64,
    end: u64,
    trace: TraceId,
    span: SpanId,
}

/// What became of samples that were to be given spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LinkStats {
    /// Samples taken.
    pub samples: u64,
    /// Given out with their span.
    pub linked: u64,
    /// Given out without one, because it is not known at which request the thread was.
    pub without_request: u64,
    /// Given out without one, because none was found in time.
    pub without_span: u64,
    /// Given out without one, because there were several.
    pub ambiguous: u64,
    /// Given out without one, because too many waited.
    pub crowded: u64,
    /// That wait now.
    pub waiting: u64,
    /// Spans that found no room to wait for their samples.
    pub spans_left_out: u64,
}

impl LinkStats {
    /// True where every sample is accounted for.
    #[must_use]
    pub const fn is_balanced(&self) -> bool {
        let out = self.linked + self.without_request + self.without_span + self.ambiguous + self.crowded;
        self.samples == out + self.waiting
    }
}

/// Samples, and spans, that wait at once.
const MOST_WAITING: u64 = 1 << 16;
const MOST_SPANS: usize = 1 << 16;

/// Two readings of the same clock may differ by so much, in nanoseconds.
const BLUR: u64 = 100_000;

impl SpanLinks {
    /// Links for samples that wait for so long: longer than requests take.
    #[must_use]
    pub fn new(wait: Duration) -> Self {
        Self { wait, connections: BTreeMap::new(), spans: 0, stats: LinkStats::default() }
    }

    /// Takes a sample. One that will have no span goes out at once. O(spans of its connection).
    pub fn sample(&mut self, sample: Sample, out: &mut dyn FnMut(StackSample)) {
        self.stats.samples += 1;
        let Some(request) = sample.request else {
            self.stats.without_request += 1;
            return out(sample.stack);
        };
        if self.stats.waiting >= MOST_WAITING {
            self.stats.crowded += 1;
            return out(sample.stack);
        }
        self.stats.waiting += 1;
        let since = request.since.0;
        let mut waiting = Waiting { stack: sample.stack, since, fit: Fit::None, is_ambiguous: false };
        let connection = self.connections.entry(canonical(request.client)).or_default();
        connection.spans.iter().for_each(|seen| waiting.meet(seen));
        connection.samples.push_back(waiting);
    }

    /// Takes a span that a capture gave out, before or after the samples of its request. O(samples of its connection).
    pub fn span(&mut self, span: &Span) {
        let Some(client) = client(span) else { return };
        let seen = Seen { begin: span.start.0, end: span.end.0, trace: span.trace_id, span: span.span_id };
        if self.spans < MOST_SPANS {
            self.spans += 1;
            let connection = self.connections.entry(client).or_default();
            connection.spans.push_back(seen);
        } else {
            self.stats.spans_left_out += 1;
        }
        if let Some(connection) = self.connections.get_mut(&client) {
            connection.samples.iter_mut().for_each(|waiting| waiting.meet(&seen));
        }
    }

    /// Gives out the samples that have waited for long enough, and forgets spans as old.
    pub fn advance(&mut self, now: UnixNanos, out: &mut dyn FnMut(StackSample)) {
        let wait = u64::try_from(self.wait.as_nanos()).unwrap_or(u64::MAX);
        let due = now.0.saturating_sub(wait);
        let Self { connections, stats, spans, .. } = self;
        connections.retain(|_, connection| {
            let Connection { samples, spans: seen } = connection;
            while samples.front().is_some_and(|first| first.stack.time.0 <= due)
                && let Some(first) = samples.pop_front()
            {
                out(first.end(stats));
            }
            while seen.front().is_some_and(|first| first.end <= due) && seen.pop_front().is_some() {
                *spans -= 1;
            }
            !(samples.is_empty() && seen.is_empty())
        });
    }

    /// Gives out all that wait, and the account.
    pub fn finish(mut self, out: &mut dyn FnMut(StackSample)) -> LinkStats {
        let connections = std::mem::take(&mut self.connections).into_values();
        connections
            .flat_map(|connection| connection.samples)
            .for_each(|waiting| out(waiting.end(&mut self.stats)));
        self.stats
    }

    /// The account so far.
    #[must_use]
    pub const fn stats(&self) -> LinkStats {
        self.stats
    }
}

impl Waiting {
    /// Takes the span, where it was open when the request was read and the sample taken, and none fits better: one
    /// span of a connection often begins sooner behind the other than clocks are exact.
    fn meet(&mut self, seen: &Seen) {
        let stack = &mut self.stack;
        let blurred = seen.begin.saturating_sub(BLUR)..=seen.end.saturating_add(BLUR);
        if !blurred.contains(&stack.time.0) || !blurred.contains(&self.since) {
            return;
        }
        let fit = if (seen.begin..=seen.end).contains(&self.since) { Fit::Exact } else { Fit::Blurred };
        if fit < self.fit {
            return;
        }
        self.is_ambiguous =
            fit == self.fit && (self.is_ambiguous || stack.span_id.is_valid() && stack.span_id != seen.span);
        self.fit = fit;
        (stack.trace_id, stack.span_id) = (seen.trace, seen.span);
    }

    fn end(mut self, stats: &mut LinkStats) -> StackSample {
        stats.waiting -= 1;
        if self.is_ambiguous {
            stats.ambiguous += 1;
            (self.stack.trace_id, self.stack.span_id) = (TraceId::INVALID, SpanId::INVALID);
        } else if self.stack.span_id.is_valid() {
            stats.linked += 1;
        } else {
            stats.without_span += 1;
        }
        self.stack
    }
}

/// The client's end of the connection of a span.
fn client(span: &Span) -> Option<SocketAddr> {
    let find = |key| KeyValue::find(&span.attributes, key);
    let names = [
        (semconv::CLIENT_ADDRESS, semconv::CLIENT_PORT),
        (semconv::NETWORK_PEER_ADDRESS, semconv::NETWORK_PEER_PORT),
    ];
    names.into_iter().find_map(|(address, port)| {
        let address: IpAddr = find(address).and_then(AnyValue::as_str)?.parse().ok()?;
        let port = u16::try_from(find(port).and_then(AnyValue::as_int)?).ok()?;
        Some(canonical(SocketAddr::new(address, port)))
    })
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::super::{InFlight, ThreadState};
    use super::*;

    fn sample(at: u64, client: Option<&str>) -> Sample {
        let stack = StackSample {
            time: UnixNanos::from_millis(at),
            pid: 1,
            tid: 1,
            frames: vec!["main".into()],
            weight: at,
            trace_id: TraceId::INVALID,
            span_id: SpanId::INVALID,
        };
        let server = "127.0.0.1:80".parse().unwrap();
        let request =
            client.map(|client| InFlight { server, client: client.parse().unwrap(), since: stack.time });
        Sample { stack, state: ThreadState::Ran, request }
    }

    fn span(id: u8, from: u64, to: u64, keys: [&'static str; 2]) -> Span {
        let mut span =
            Span { trace_id: TraceId::new([id; 16]), span_id: SpanId::new([id; 8]), ..Span::default() };
        (span.start, span.end) = (UnixNanos::from_millis(from), UnixNanos::from_millis(to));
        span.attributes = vec![KeyValue::new(keys[0], "127.0.0.1"), KeyValue::new(keys[1], 4000_i64)];
        span
    }

    const CLIENT: [&str; 2] = [semconv::CLIENT_ADDRESS, semconv::CLIENT_PORT];
    const PEER: [&str; 2] = [semconv::NETWORK_PEER_ADDRESS, semconv::NETWORK_PEER_PORT];

    #[test]
    fn a_sample_gets_the_span_of_its_connection_that_was_open() {
        let mut links = SpanLinks::new(Duration::from_millis(500));
        let mut met = Vec::new();
        let mut out = |stack: StackSample| met.push((stack.weight, stack.span_id.as_bytes()[0]));
        // One is known before its sample, the other one behind it.
        links.span(&span(1, 5, 12, CLIENT));
        for (at, client) in [
            (10, Some("127.0.0.1:4000")),
            (20, Some("[::ffff:127.0.0.1]:4000")),
            (30, Some("127.0.0.1:4000")),
            (30, Some("127.0.0.1:4001")),
            (40, None),
        ] {
            links.sample(sample(at, client), &mut out);
        }
        links.span(&span(2, 18, 25, PEER));
        links.advance(UnixNanos::from_millis(515), &mut out);
        assert_eq!(links.stats().waiting, 3, "others may still find theirs");
        links.advance(UnixNanos::from_millis(530), &mut out);
        met.sort_unstable();
        assert_eq!(met, [(10, 1), (20, 2), (30, 0), (30, 0), (40, 0)]);
        let stats = links.stats();
        assert_eq!((stats.linked, stats.without_span, stats.without_request), (2, 2, 1));
        assert!(stats.is_balanced());
        links.advance(UnixNanos::from_secs(9), &mut |_| ());
        assert_eq!((links.connections.len(), links.spans), (0, 0), "nothing is kept");
        let wrong = LinkStats { linked: 1, ..stats };
        assert!(!wrong.is_balanced(), "a lost sample is told");
    }

    #[test]
    fn a_sample_within_two_spans_at_once_has_none() {
        let mut links = SpanLinks::new(Duration::from_secs(1));
        let mut met = Vec::new();
        for at in [10, 30] {
            links.sample(sample(at, Some("127.0.0.1:4000")), &mut |_| ());
        }
        links.span(&span(1, 5, 15, CLIENT));
        links.span(&span(1, 5, 15, CLIENT));
        links.span(&span(2, 8, 40, CLIENT));
        let stats = links.finish(&mut |stack| {
            met.push((stack.weight, stack.span_id.as_bytes()[0], stack.trace_id.as_bytes()[0]));
        });
        assert_eq!(met, [(10, 0, 0), (30, 2, 2)], "the same span twice is one");
        assert_eq!((stats.ambiguous, stats.linked, stats.is_balanced()), (1, 1, true));
    }

    #[test]
    fn of_spans_closer_than_clocks_are_exact_a_sample_has_the_one_whose_request_was_read() {
        let micros = |at: u64| UnixNanos(at * 1_000);
        let between = |id, from, to| Span { start: micros(from), end: micros(to), ..span(id, 0, 0, CLIENT) };
        let mut links = SpanLinks::new(Duration::from_secs(1));
        let mut met = Vec::new();
        // At the very beginning of the second span, and at the very end of the first one.
        for (at, since) in [(1095, 1090), (1004, 520)] {
            let mut sample = sample(at, Some("127.0.0.1:4000"));
            sample.stack.time = micros(at);
            sample.request.iter_mut().for_each(|request| request.since = micros(since));
            links.sample(sample, &mut |_| ());
        }
        links.span(&between(1, 500, 1000));
        links.span(&between(2, 1059, 1500));
        let stats = links.finish(&mut |stack| met.push((stack.weight, stack.span_id.as_bytes()[0])));
        assert_eq!(met, [(1095, 2), (1004, 1)]);
        assert_eq!((stats.ambiguous, stats.linked), (0, 2));
    }
}
