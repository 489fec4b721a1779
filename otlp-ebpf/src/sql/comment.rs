//! The trace context in a comment behind a statement, as sqlcommenter puts it there:
//! `/*traceparent='00-…-01',tracestate='a%3D1'*/`.
//!
//! Keys and values are percent-encoded, values stand between single quotes, pairs are separated by commas. A comment
//! that has anything else in it says nothing, neither does one that gives a name twice.

use otlp_core::context::w3c::TraceParent;

/// Pairs of a comment at most.
const MAX_PAIRS: usize = 64;

/// Bytes of a value, decoded, at most: what is asked to be passed on of a `tracestate`.
const MAX_VALUE: usize = 512;

/// What a comment says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Context {
    pub(super) parent: TraceParent,
    /// As sent; empty where there is none.
    pub(super) state: String,
}

impl Context {
    /// Reads what stands within a comment. O(bytes).
    pub(super) fn read(comment: &[u8]) -> Option<Self> {
        let (mut parent, mut state) = (None, None);
        let mut rest = comment.trim_ascii();
        for _ in 0..MAX_PAIRS {
            let (key, value, behind) = pair(rest)?;
            let slot = match key {
                b"traceparent" => Some(&mut parent),
                b"tracestate" => Some(&mut state),
                _ => None,
            };
            if slot.is_some_and(|slot| slot.replace(value).is_some()) {
                return None;
            }
            match behind.split_first() {
                Some((b',', behind)) => rest = behind.trim_ascii_start(),
                Some(_) => return None,
                None => {
                    let parent = TraceParent::parse(decoded(parent?)?).ok()?;
                    let state = state.and_then(decoded).and_then(|state| String::from_utf8(state).ok());
                    return Some(Self { parent, state: state.unwrap_or_default() });
                }
            }
        }
        None
    }
}

/// One key, its value between the quotes, and what is behind it.
fn pair(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let equals = text.iter().position(|byte| !is_key(*byte)).filter(|length| *length > 0)?;
    let (key, rest) = text.split_at_checked(equals)?;
    let rest = rest.strip_prefix(b"='")?;
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'\'', b'\\', rest.get(at..)?)?;
        if rest.get(at) == Some(&b'\'') {
            return Some((key, rest.get(..at)?, rest.get(at + 1..)?.trim_ascii_start()));
        }
        // What is behind a backslash stands for itself.
        at += 2;
    }
}

const fn is_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'~' | b'%' | b'*')
}

/// A value out of its percent-encoding and its backslashes; nothing where it is too long or not encoded so.
fn decoded(value: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::new();
    let mut bytes = value.iter().copied();
    while let Some(byte) = bytes.next() {
        if decoded.len() == MAX_VALUE {
            return None;
        }
        decoded.push(match byte {
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            b'\\' => bytes.next()?,
            byte => byte,
        });
    }
    Some(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn told(comment: &str) -> Option<String> {
        Context::read(comment.as_bytes()).map(|context| format!("{} {}", context.parent, context.state))
    }

    #[test]
    fn a_context_is_read_among_other_pairs() {
        let alone = format!("{PARENT} ");
        for comment in [
            format!("traceparent='{PARENT}'"),
            format!(" traceparent='{PARENT}' "),
            format!("action='%2Fparam%2A',db_driver='a\\'b',traceparent='{PARENT}'"),
            format!("traceparent='{}',x=''", PARENT.replace('-', "%2D")),
        ] {
            assert_eq!(told(&comment).as_ref(), Some(&alone), "{comment}");
        }
        let both = format!("traceparent='{PARENT}', tracestate='congo%3Dt61rcWkgMzE%2Crojo%3D00f067'");
        assert_eq!(told(&both), Some(format!("{PARENT} congo=t61rcWkgMzE,rojo=00f067")));
    }

    #[test]
    fn what_is_not_such_a_comment_says_nothing() {
        for comment in [
            String::new(),
            "a plain remark".to_owned(),
            "route='x'".to_owned(),
            format!("traceparent={PARENT}"),
            format!("traceparent=\"{PARENT}\""),
            format!("traceparent='{PARENT}"),
            format!("traceparent='{PARENT}\\'"),
            format!("traceparent='{PARENT}' and more"),
            format!("traceparent='{PARENT}',"),
            format!("traceparent='{PARENT}',traceparent='{PARENT}'"),
            format!("see traceparent='{PARENT}'"),
            format!("+ traceparent='{PARENT}'"),
            format!("='{PARENT}'"),
            "traceparent='00-xyz'".to_owned(),
            "traceparent='%'".to_owned(),
            "traceparent='%zz'".to_owned(),
            "traceparent='".to_owned(),
            "traceparent='\\".to_owned(),
            format!("traceparent='{}'", PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32))),
            format!("{}traceparent='{PARENT}'", "a='b',".repeat(MAX_PAIRS)),
        ] {
            assert_eq!(told(&comment), None, "{comment}");
        }
    }

    #[test]
    fn a_state_that_cannot_be_takes_nothing_with_it() {
        for state in ["%ff%fe".to_owned(), "%".to_owned(), "x".repeat(MAX_VALUE + 1)] {
            let comment = format!("traceparent='{PARENT}',tracestate='{state}'");
            assert_eq!(told(&comment), Some(format!("{PARENT} ")), "{state}");
        }
    }
}
