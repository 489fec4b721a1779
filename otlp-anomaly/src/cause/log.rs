//! Log lines counted by service and shape.
//!
//! A shape is the line with everything that differs from line to line masked: what follows `=` and `:`, words with
//! digits, what is in brackets. This is coarser than the template miner of `otlp-logai`, which this crate does not
//! know; it has to tell a line that is new from one that always comes, no more.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::strength::{Shift, look_elsewhere};
use crate::number::{of_len, ratio, to_f64};

/// Log lines of a period, counted by service and shape. Bounded: 65,536 shapes, past which lines are counted in
/// [`dropped`](Self::dropped); a shape has 160 bytes at most.
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
    services: HashMap<Arc<str>, HashMap<String, Shape>>,
    lines: u64,
    shapes: usize,
    dropped: u64,
}

#[derive(Debug, Clone)]
struct Shape {
    count: u64,
    tells_of_failure: bool,
    example: String,
}

const MAX_SHAPES: usize = 65_536;
/// Bytes of a line that are looked at, and of its shape that are kept.
const MAX_LINE: usize = 2_048;
const MAX_SHAPE: usize = 160;
/// Bytes of an example that are kept.
const MAX_EXAMPLE: usize = 300;
/// What a line that tells of no failure is worth.
const PLAIN: f64 = 0.6;

impl LogCounts {
    /// Counts a line. Allocates for a shape not seen before. O(bytes).
    pub fn add(&mut self, service: &str, line: &str) {
        self.lines += 1;
        let line = cut(line, MAX_LINE);
        let shape = shape(line);
        if !self.services.contains_key(service) && self.shapes < MAX_SHAPES {
            self.services.insert(Arc::from(service), HashMap::new());
        }
        let Some(shapes) = self.services.get_mut(service) else {
            self.dropped += 1;
            return;
        };
        if let Some(known) = shapes.get_mut(&shape) {
            known.count += 1;
        } else if self.shapes < MAX_SHAPES {
            self.shapes += 1;
            let example = cut(line, MAX_EXAMPLE).to_owned();
            let known = Shape { count: 1, tells_of_failure: tells_of_failure(line), example };
            shapes.insert(shape, known);
        } else {
            self.dropped += 1;
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
        self.shapes
    }

    /// Lines left out because their shape would have been one too many.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    fn count(&self, service: &str, shape: &str) -> u64 {
        self.services.get(service).and_then(|shapes| shapes.get(shape)).map_or(0, |shape| shape.count)
    }

    fn of(&self, service: &str) -> u64 {
        self.services.get(service).map_or(0, |shapes| shapes.values().map(|shape| shape.count).sum())
    }
}

/// What a service wrote more often, or no longer, than before.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LogShift {
    pub(super) strength: f64,
    pub(super) example: String,
    pub(super) before: u64,
    pub(super) after: u64,
}

/// The strongest shift of each service.
pub(super) fn compare(before: &LogCounts, after: &LogCounts) -> BTreeMap<String, LogShift> {
    let mut strongest = BTreeMap::new();
    if before.lines == 0 || after.lines == 0 {
        return strongest;
    }
    let tests = of_len(before.shapes.max(after.shapes));
    let volume = ratio(to_f64(after.lines), to_f64(before.lines));
    for (service, shapes) in &after.services {
        for (shape, now) in shapes {
            let then = before.count(service, shape);
            let expected = to_f64(then) * volume;
            if to_f64(now.count) > expected {
                keep(&mut strongest, service, now, (then, now.count, expected, tests));
            }
        }
    }
    for (service, shapes) in &before.services {
        // Silence says something only of who otherwise goes on as before.
        let going_on = ratio(to_f64(after.of(service)), to_f64(before.of(service)));
        for (shape, then) in shapes {
            let now = after.count(service, shape);
            let expected = to_f64(then.count) * volume.min(going_on);
            if to_f64(now) < expected && !then.tells_of_failure {
                keep(&mut strongest, service, then, (then.count, now, expected, tests));
            }
        }
    }
    strongest
}

fn keep(
    strongest: &mut BTreeMap<String, LogShift>,
    service: &str,
    shape: &Shape,
    (before, after, expected, tests): (u64, u64, f64, f64),
) {
    // The square root makes the deviation of a count the same everywhere: F. J. Anscombe, "The transformation of
    // Poisson, binomial and negative-binomial data", 1948. What was never seen before is not held to all the others.
    let (now, was) = (to_f64(after), expected);
    let z = 2.0 * ((now + 0.375).sqrt() - (was + 0.375).sqrt()).abs();
    let is_new = before == 0 && shape.tells_of_failure;
    let tests = if is_new { look_elsewhere(tests) } else { tests };
    let effect = ratio((now - was).abs(), now.max(was));
    let worth = if shape.tells_of_failure { 1.0 } else { PLAIN };
    let strength = worth * Shift { z, effect }.strength(tests);
    let is_stronger = strongest
        .get(service)
        .is_none_or(|kept: &LogShift| (strength, &shape.example) > (kept.strength, &kept.example));
    if strength > 0.0 && is_stronger {
        let shift = LogShift { strength, example: shape.example.clone(), before, after };
        strongest.insert(service.to_owned(), shift);
    }
}

fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary_at(most)).unwrap_or(text)
}

trait FloorCharBoundary {
    fn floor_char_boundary_at(&self, at: usize) -> usize;
}

impl FloorCharBoundary for str {
    /// The last boundary of a character at or before a place.
    fn floor_char_boundary_at(&self, at: usize) -> usize {
        let at = at.min(self.len());
        (0..=at).rev().find(|&at| self.is_char_boundary(at)).unwrap_or_default()
    }
}

/// The words of a line without what differs from line to line.
fn shape(line: &str) -> String {
    let mut shape = String::with_capacity(line.len().min(MAX_SHAPE));
    let is_separator = |c: char| c.is_whitespace() || "[](){}<>,;\"'|".contains(c);
    let mut value_follows = false;
    for word in line.split(is_separator).filter(|word| !word.is_empty()) {
        if shape.len() + word.len() >= MAX_SHAPE {
            break;
        }
        let (key, value) =
            word.split_once(['=', ':']).map_or((word, None), |(key, value)| (key, Some(value)));
        let skipped = value_follows;
        value_follows = value.is_some_and(str::is_empty);
        if skipped || is_variable(key) {
            continue;
        }
        if !shape.is_empty() {
            shape.push(' ');
        }
        shape.push_str(key);
    }
    shape
}

/// Numbers, identifiers and times; `Module#12`, which names a place in the code, is none.
fn is_variable(word: &str) -> bool {
    if let Some((name, line)) = word.split_once('#') {
        return name.is_empty() || line.is_empty() || !line.bytes().all(|byte| byte.is_ascii_digit());
    }
    word.bytes().any(|byte| byte.is_ascii_digit()) || word.contains('/')
}

fn tells_of_failure(line: &str) -> bool {
    let head = cut(line, 400).to_ascii_lowercase();
    ["error", "exception", "fatal", "panic", "fail", "refused", "timeout", "timed out"]
        .iter()
        .any(|word| head.contains(word))
}
