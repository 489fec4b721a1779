//! The trace context that a request carries: in its headers W3C's, or else B3's; behind a statement W3C's in a comment.

use otlp_core::context::b3::{B3, Headers};
use otlp_core::context::w3c::TraceParent;

use crate::sql::Statement;

/// Bytes of `tracestate` at most: what the specification asks to be passed on.
const MAX_TRACE_STATE: usize = 512;

/// What is looked for among the headers.
#[derive(Debug, Default)]
struct Found<'a> {
    parent: Option<&'a [u8]>,
    /// There were several of them, which say nothing.
    parents: bool,
    state: Vec<&'a [u8]>,
    single: Option<&'a [u8]>,
    several: Headers<'a>,
}

/// One `traceparent` and all `tracestate` joined; where there is no valid one, `b3`, or the `X-B3-` headers. O(headers).
pub(super) fn read<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> Option<(TraceParent, String)> {
    let mut found = Found::default();
    headers.for_each(|(name, value)| found.take(name, value));
    let one = found.parent.filter(|_| !found.parents);
    if let Some(parent) = one.and_then(|parent| TraceParent::parse(parent).ok()) {
        return Some((parent, state(&found.state)));
    }
    let single = found.single.and_then(|header| B3::parse(header).ok());
    let b3 = match single {
        Some(single) if single.parent().is_some() => single,
        _ => B3::from_headers(&found.several).ok()?,
    };
    let (trace_id, span_id) = b3.parent()?;
    // Where the caller left the decision open, it is taken as the others of its trace here are.
    let flags = u8::from(b3.is_sampled().unwrap_or(true));
    Some((TraceParent::try_new(trace_id, span_id, flags).ok()?, String::new()))
}

/// What a comment behind the statement says.
pub(super) fn of_statement(statement: &Statement) -> Option<(TraceParent, String)> {
    let parent = statement.trace_parent()?;
    Some((parent, state(&[statement.trace_state().as_bytes()])))
}

impl<'a> Found<'a> {
    fn take(&mut self, name: &str, value: &'a [u8]) {
        // Lengths tell most headers apart.
        let slot = match name.len() {
            2 if name.eq_ignore_ascii_case("b3") => &mut self.single,
            10 if name.eq_ignore_ascii_case("tracestate") => return self.state.push(value),
            10 if name.eq_ignore_ascii_case("x-b3-flags") => &mut self.several.flags,
            11 if name.eq_ignore_ascii_case("traceparent") => {
                self.parents |= self.parent.is_some();
                &mut self.parent
            }
            11 if name.eq_ignore_ascii_case("x-b3-spanid") => &mut self.several.span_id,
            12 if name.eq_ignore_ascii_case("x-b3-traceid") => &mut self.several.trace_id,
            12 if name.eq_ignore_ascii_case("x-b3-sampled") => &mut self.several.sampled,
            _ => return,
        };
        *slot = Some(value);
    }
}

fn state(values: &[&[u8]]) -> String {
    let state = String::from_utf8(values.join(&b',')).unwrap_or_default();
    let usable =
        state.len() <= MAX_TRACE_STATE && state.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
    if usable { state } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const W3C: (&str, &str) = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00");
    const TRACE: (&str, &str) = ("X-B3-TraceId", "a3ce929d0e0e4736");
    const SPAN: (&str, &str) = ("X-B3-SpanId", "00f067aa0ba902b7");

    fn told(headers: &[(&str, &str)]) -> Option<String> {
        let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes()));
        read(headers).map(|(parent, state)| format!("{parent} {state}"))
    }

    #[test]
    fn w3c_comes_before_b3_and_one_header_before_several() {
        let single = ("b3", "1a2b3c4d1a2b3c4d-1111111111111111-1");
        let of_w3c = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00 a=1,b=2";
        assert_eq!(
            told(&[single, W3C, ("tracestate", "a=1"), ("Tracestate", "b=2")]).as_deref(),
            Some(of_w3c)
        );
        let of_single = "00-00000000000000001a2b3c4d1a2b3c4d-1111111111111111-01 ";
        assert_eq!(told(&[TRACE, single, SPAN]).as_deref(), Some(of_single));
        let of_several = "00-0000000000000000a3ce929d0e0e4736-00f067aa0ba902b7-01 ";
        assert_eq!(told(&[TRACE, SPAN]).as_deref(), Some(of_several));
        assert_eq!(told(&[("b3", "1"), TRACE, SPAN]).as_deref(), Some(of_several), "a decision alone");
        let unsampled = told(&[TRACE, SPAN, ("x-b3-sampled", "0")]);
        assert!(unsampled.is_some_and(|told| told.ends_with("-00 ")));
    }

    #[test]
    fn what_is_not_valid_or_given_twice_is_no_context() {
        assert_eq!(told(&[]), None);
        assert_eq!(told(&[W3C, W3C]), None);
        assert_eq!(told(&[TRACE]), None);
        assert_eq!(told(&[("b3", "0")]), None);
        assert_eq!(told(&[("traceparent", "00-xyz")]), None);
        let long = "x".repeat(513);
        let cut = told(&[W3C, ("tracestate", &long)]).unwrap();
        assert!(cut.ends_with("-00 "), "{cut}");
    }
}
