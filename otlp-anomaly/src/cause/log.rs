//! Log lines counted by service and shape, and what follows what within a request.
//!
//! A shape is the line with everything that differs from line to line masked: what follows `=` and `:`, words with
//! digits, what is in brackets. This is coarser than the template miner of `otlp-logai`, which this crate does not
//! know; it has to tell a line that is new from one that always comes, no more.

mod line;
mod shift;

use std::collections::HashMap;
use std::sync::Arc;

use otlp_core::TraceId;

pub(super) use shift::{LogShift, shifts};

/// Log lines of a period, counted by service and shape, and by what a service wrote next in the same trace.
///
/// The trace is what the line itself names: `TraceID: <hex>`, `trace_id=<hex>`, `"traceId":"<hex>"` and the like, or
/// a W3C `traceparent`; lines of a trace are taken to come in the order in which they were written. Lines without one
/// are counted alone.
///
/// Bounded: 65,536 shapes, past which lines are counted in [`dropped`](Self::dropped), with 160 bytes at most each;
/// 65,536 traces at work, past which all of them are taken to have ended; 262,144 pairs of lines that follow each
/// other, past which new pairs are left out.
///
/// ```
/// use otlp_anomaly::cause::LogCounts;
/// let mut logs = LogCounts::default();
/// logs.add("db", "ERROR checkout 7 failed: pool of 20 exhausted");
/// logs.add("db", "ERROR checkout 8 failed: pool of 20 exhausted");
/// assert_eq!((logs.lines(), logs.shapes()), (2, 1));
/// ```
#[derive(Debug, Clone, Default)]
pub struct LogCounts {
    places: HashMap<Arc<str>, HashMap<String, usize>>,
    shapes: Vec<Shape>,
    follows: HashMap<(usize, usize), u64>,
    at_work: HashMap<(TraceId, Arc<str>), usize>,
    lines: u64,
    dropped: u64,
}

#[derive(Debug, Clone)]
struct Shape {
    service: Arc<str>,
    text: String,
    count: u64,
    /// Those that name their trace.
    traced: u64,
    /// Lines after which the service wrote nothing more in that trace.
    ended: u64,
    tells_of_failure: bool,
    example: String,
}

const MAX_SHAPES: usize = 65_536;
const MAX_TRACES: usize = 65_536;
const MAX_PAIRS: usize = 262_144;
/// Bytes of an example that are kept.
const MAX_EXAMPLE: usize = 300;

impl LogCounts {
    /// Counts a line. Allocates for a shape not seen before. O(bytes).
    pub fn add(&mut self, service: &str, line: &str) {
        self.lines += 1;
        let line = line::head(line);
        let Some(place) = self.place(service, line) else {
            self.dropped += 1;
            return;
        };
        let Some(shape) = self.shapes.get_mut(place) else { return };
        shape.count += 1;
        let Some(trace) = line::trace_of(line) else { return };
        shape.traced += 1;
        let service = Arc::clone(&shape.service);
        if self.at_work.len() >= MAX_TRACES {
            self.end_all();
        }
        if let Some(before) = self.at_work.insert((trace, service), place)
            && (self.follows.len() < MAX_PAIRS || self.follows.contains_key(&(before, place)))
        {
            *self.follows.entry((before, place)).or_default() += 1;
        }
    }

    /// Lines counted or dropped.
    #[must_use]
    pub const fn lines(&self) -> u64 {
        self.lines
    }

    /// Shapes known.
    #[must_use]
    pub const fn shapes(&self) -> usize {
        self.shapes.len()
    }

    /// Lines left out because their shape would have been one too many.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    fn place(&mut self, service: &str, line: &str) -> Option<usize> {
        let text = line::shape(line);
        if let Some(place) = self.find(service, &text) {
            return Some(place);
        }
        if self.shapes.len() >= MAX_SHAPES {
            return None;
        }
        let name = self
            .places
            .get_key_value(service)
            .map_or_else(|| Arc::from(service), |(name, _)| Arc::clone(name));
        let place = self.shapes.len();
        self.places.entry(Arc::clone(&name)).or_default().insert(text.clone(), place);
        self.shapes.push(Shape {
            service: name,
            text,
            count: 0,
            traced: 0,
            ended: 0,
            tells_of_failure: line::tells_of_failure(line),
            example: line::cut(line, MAX_EXAMPLE).to_owned(),
        });
        Some(place)
    }

    fn find(&self, service: &str, text: &str) -> Option<usize> {
        self.places.get(service)?.get(text).copied()
    }

    /// How often a service wrote anything.
    fn of(&self, service: &str) -> u64 {
        let shapes = self.places.get(service).into_iter().flat_map(HashMap::values);
        shapes.filter_map(|place| self.shapes.get(*place)).map(|shape| shape.count).sum()
    }

    fn end_all(&mut self) {
        for (_, place) in self.at_work.drain() {
            if let Some(shape) = self.shapes.get_mut(place) {
                shape.ended += 1;
            }
        }
    }

    /// What came after each shape, and how often: none where nothing did. Traces still at work are taken to be over.
    fn followers(&self) -> HashMap<usize, HashMap<Option<usize>, u64>> {
        let mut all: HashMap<usize, HashMap<Option<usize>, u64>> = HashMap::new();
        for (&(before, after), &count) in &self.follows {
            *all.entry(before).or_default().entry(Some(after)).or_default() += count;
        }
        let ended = self.shapes.iter().enumerate().map(|(place, shape)| (place, shape.ended));
        for (place, count) in ended.chain(self.at_work.values().map(|place| (*place, 1))) {
            if count > 0 {
                *all.entry(place).or_default().entry(None).or_default() += count;
            }
        }
        all
    }
}
