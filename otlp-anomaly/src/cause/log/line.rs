//! What a log line is: its shape, the trace it was written in, whether it tells of a failure.

use otlp_core::TraceId;

/// Bytes of a line that are looked at, and of its shape that are kept.
const MAX_LINE: usize = 2_048;
const MAX_SHAPE: usize = 160;
/// Bytes at the head of a line in which words of failure count.
const HEAD: usize = 400;
/// Digits of the identifiers of traces: 64 or 128 bits.
const TRACE_DIGITS: [usize; 2] = [16, 32];

/// As much of a line as is looked at.
pub(super) fn head(line: &str) -> &str {
    cut(line, MAX_LINE)
}

/// The first bytes of a text, whole characters only.
pub(super) fn cut(text: &str, most: usize) -> &str {
    let at = most.min(text.len());
    let at = (0..=at).rev().find(|&at| text.is_char_boundary(at)).unwrap_or_default();
    text.get(..at).unwrap_or(text)
}

/// The words of a line without what differs from line to line.
pub(super) fn shape(line: &str) -> String {
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

pub(super) fn tells_of_failure(line: &str) -> bool {
    let head = cut(line, HEAD).to_ascii_lowercase();
    ["error", "exception", "fatal", "panic", "fail", "refused", "timeout", "timed out"]
        .iter()
        .any(|word| head.contains(word))
}

/// The trace that a line names: what follows `TraceID:`, `trace_id=`, `"traceId":"` and the like, or a `traceparent`
/// (W3C Trace Context) anywhere. O(bytes).
pub(super) fn trace_of(line: &str) -> Option<TraceId> {
    let bytes = line.as_bytes();
    let named = (0..bytes.len()).filter(|&at| starts_with(bytes, at, b"trace")).find_map(|at| {
        let mut at = at + b"trace".len();
        at += usize::from(bytes.get(at).is_some_and(|byte| b"_-. ".contains(byte)));
        if !starts_with(bytes, at, b"id") {
            return None;
        }
        at += b"id".len();
        let gap = bytes.iter().skip(at).take_while(|byte| b"\"':= \\".contains(byte)).count();
        (gap > 0).then(|| identifier(line, at + gap)).flatten()
    });
    named.or_else(|| {
        (0..bytes.len()).filter(|&at| is_parent(bytes, at)).find_map(|at| identifier(line, at + 3))
    })
}

fn starts_with(bytes: &[u8], at: usize, word: &[u8]) -> bool {
    bytes.get(at..at + word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word))
}

/// Version, trace, span and flags between dashes.
fn is_parent(bytes: &[u8], at: usize) -> bool {
    let dashes = [2, 35, 52].iter().all(|off| bytes.get(at + off) == Some(&b'-'));
    dashes && starts_with(bytes, at, b"00")
}

fn identifier(line: &str, at: usize) -> Option<TraceId> {
    let rest = line.get(at..)?;
    let digits = rest.bytes().take_while(u8::is_ascii_hexdigit).count();
    let id = TRACE_DIGITS
        .contains(&digits)
        .then(|| u128::from_str_radix(rest.get(..digits)?, 16).ok())
        .flatten()?;
    (id != 0).then(|| TraceId::new(id.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_found_however_it_is_written() {
        let id = "fd9f8c7ca1fcbd2a2f0f0d62c1d1f7e1";
        let wanted = u128::from_str_radix(id, 16).ok().map(|id| TraceId::new(id.to_be_bytes()));
        for line in [
            format!("16:42:22.382 INFO a.B#5 TraceID: {id} SpanID: 439bc949a9eeb0cc [x]"),
            format!("level=info trace_id={id} msg=paid"),
            format!("{{\"traceId\":\"{id}\",\"message\":\"paid\"}}"),
            format!("{{\\\"trace.id\\\": \\\"{id}\\\"}}"),
            format!("GET /pay traceparent: 00-{id}-439bc949a9eeb0cc-01"),
            format!("TRACE-ID '{id}'"),
        ] {
            assert_eq!(trace_of(&line), wanted, "{line}");
        }
        let short = trace_of("trace_id=439bc949a9eeb0cc");
        assert_eq!(short, Some(TraceId::new(0x439b_c949_a9ee_b0cc_u128.to_be_bytes())));
        for line in
            ["", "trace", "traceid", "trace_id=", "trace_id=12", "trace_id=zz", "retraced idea", "00-ä-b-c"]
        {
            assert_eq!(trace_of(line), None, "{line}");
        }
        assert_eq!(trace_of(&format!("trace_id={}", "0".repeat(32))), None);
    }

    #[test]
    fn a_shape_keeps_what_does_not_differ() {
        let line = |id: u32| format!("12:00:0{id} WARN a.Pay#31 order={id} [user {id}a] took: {id} ms");
        assert_eq!(shape(&line(1)), "WARN a.Pay#31 order user took ms");
        assert_eq!(shape(&line(1)), shape(&line(2)));
    }
}
