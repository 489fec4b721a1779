//! JSON to wire: what is taken, and what is refused and where.

use otlp_core::error::{DecodeErrorKind, JsonToken};
use otlp_core::json::{Body, Reading};
use otlp_core::protocol::Signal;
use otlp_core::{DecodeError, Limits};

use crate::{read, read_within, write};

const HEAD: &str = r#"{"resourceSpans":[{"scopeSpans":[{"spans":["#;
const TAIL: &str = "]}]}]}";

/// The JSON of a span in a request, written as we write it.
fn span(text: &str) -> Result<String, DecodeError> {
    within(text, Reading::Strict)
}

fn within(text: &str, reading: Reading) -> Result<String, DecodeError> {
    let text = format!("{HEAD}{text}{TAIL}");
    let wire = read_within(Signal::Traces, text.as_bytes(), reading, &Limits::DEFAULT)?;
    let back = write(Signal::Traces, &wire).unwrap();
    Ok(back[HEAD.len()..back.len() - TAIL.len()].to_owned())
}

/// Where in the span, and why, it is refused.
fn refused(text: &str) -> (usize, DecodeErrorKind) {
    let error = span(text).expect_err(text);
    (error.offset - HEAD.len(), error.kind)
}

fn unexpected(expected: &'static str, met: JsonToken) -> DecodeErrorKind {
    DecodeErrorKind::Unexpected { expected, met }
}

/// The JSON of an attribute's value.
fn value(text: &str) -> Result<String, DecodeError> {
    let back = span(&format!(r#"{{"attributes":[{{"value":{text}}}]}}"#))?;
    let back = back.strip_prefix(r#"{"attributes":[{"value":"#).unwrap();
    Ok(back.strip_suffix("}]}").unwrap().to_owned())
}

#[test]
fn identifiers_are_read_in_either_case() {
    let expected = r#"{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174"}"#;
    assert_eq!(
        span(&expected.replace("5b8efff798038103d269b633813fc60c", "5B8EFFF798038103D269B633813FC60C")),
        Ok(expected.into())
    );
    assert_eq!(span(r#"{"traceId":"","spanId":""}"#), Ok("{}".into()));
    assert_eq!(span(r#"{"spanId":"\u0065ee19b7ec3c1b174"}"#), Ok(r#"{"spanId":"eee19b7ec3c1b174"}"#.into()));
    assert_eq!(refused(r#"{"spanId":"ee"}"#), (10, DecodeErrorKind::IdLength { expected: 8, met: 1 }));
    assert_eq!(
        refused(r#"{"spanId":"eee19b7ec3c1b17g"}"#),
        (26, DecodeErrorKind::Invalid("no hexadecimal digit"))
    );
    assert_eq!(
        refused(r#"{"spanId":5}"#),
        (10, unexpected("hexadecimal digits in quotes", JsonToken::Number))
    );
}

#[test]
fn whole_numbers_are_read_in_quotes_and_not_and_in_any_notation() {
    for text in ["17", "\"17\"", "17.0", "1.7e1", "\"1.7e1\"", "1700E-2", " 17 "] {
        assert_eq!(
            span(&format!(r#"{{"startTimeUnixNano":{text}}}"#)),
            Ok(r#"{"startTimeUnixNano":"17"}"#.into())
        );
        assert_eq!(
            span(&format!(r#"{{"droppedLinksCount":{text}}}"#)),
            Ok(r#"{"droppedLinksCount":17}"#.into())
        );
        assert_eq!(value(&format!(r#"{{"intValue":{text}}}"#)), Ok(r#"{"intValue":"17"}"#.into()));
    }
    assert_eq!(
        value(r#"{"intValue":"-9223372036854775808"}"#).unwrap(),
        r#"{"intValue":"-9223372036854775808"}"#
    );
    assert_eq!(
        span(r#"{"endTimeUnixNano":18446744073709551615}"#).unwrap(),
        r#"{"endTimeUnixNano":"18446744073709551615"}"#
    );
    for (text, number) in [
        (r#"{"endTimeUnixNano":18446744073709551616}"#, 8),
        (r#"{"endTimeUnixNano":-1}"#, 8),
        (r#"{"droppedLinksCount":4294967296}"#, 14),
        (r#"{"droppedLinksCount":-1}"#, 14),
        (r#"{"droppedLinksCount":1.5}"#, 14),
        (r#"{"droppedLinksCount":1e400}"#, 14),
        (r#"{"kind":2147483648}"#, 6),
    ] {
        let at = text.find(':').unwrap() + 1;
        assert_eq!(refused(text), (at, DecodeErrorKind::Range(number)), "{text}");
    }
    for text in ["01", "+1", "1.", ".5", "1e", "0x10", "\"\"", "\" 1\"", "\"1 \"", "--1", "1_000", "NaN"] {
        let refused = span(&format!(r#"{{"droppedLinksCount":{text}}}"#)).unwrap_err();
        assert!(!refused.is_limit(), "{text}");
    }
}

#[test]
fn doubles_are_read_as_numbers_and_names() {
    for (text, expected) in [
        ("1", "1.0"),
        ("-0", "-0.0"),
        ("1.25e2", "125.0"),
        ("\"1.5\"", "1.5"),
        ("\"NaN\"", "\"NaN\""),
        ("\"Infinity\"", "\"Infinity\""),
        ("\"-Infinity\"", "\"-Infinity\""),
        ("1e-400", "0.0"),
        ("123456789012345678901234567890", "1.2345678901234568e29"),
    ] {
        let expected = format!(r#"{{"doubleValue":{expected}}}"#);
        assert_eq!(value(&format!(r#"{{"doubleValue":{text}}}"#)), Ok(expected));
    }
    for text in ["1e400", "NaN", "Infinity", "\"nan\"", "\"inf\"", "true", "\"\"", "\"1.5 \"", "[1]"] {
        assert!(value(&format!(r#"{{"doubleValue":{text}}}"#)).is_err(), "{text}");
    }
}

#[test]
fn bytes_are_read_in_either_alphabet_padded_or_not() {
    for text in ["+/+/AA==", "-_-_AA==", "+/+/AA", "-_-_AA"] {
        let expected = r#"{"bytesValue":"+/+/AA=="}"#;
        assert_eq!(value(&format!(r#"{{"bytesValue":"{text}"}}"#)).unwrap(), expected);
    }
    assert_eq!(value(r#"{"bytesValue":""}"#).unwrap(), r#"{"bytesValue":""}"#);
    let error = value(r#"{"bytesValue":"AA*A"}"#).unwrap_err();
    assert_eq!(error.kind, DecodeErrorKind::Invalid("no base64"));
}

#[test]
fn null_is_absent_and_absent_is_not_in_a_list() {
    assert_eq!(
        span(r#"{"name":null,"status":null,"events":null,"kind":null,"traceId":null}"#),
        Ok("{}".into())
    );
    assert_eq!(value(r#"{"stringValue":null,"intValue":"1"}"#).unwrap(), r#"{"intValue":"1"}"#);
    assert_eq!(refused(r#"{"events":[null]}"#), (11, unexpected("an object", JsonToken::Literal)));
}

#[test]
fn escapes_and_surrogate_pairs_are_resolved() {
    let name = |text: &str| span(&format!(r#"{{"name":"{text}"}}"#));
    assert_eq!(name(r#"\"\\\/\b\f\n\r\t"#), Ok(r#"{"name":"\"\\/\b\f\n\r\t"}"#.into()));
    assert_eq!(name(r"\u00e9\u65E5\ud83e\udd80\u0000"), Ok("{\"name\":\"é日🦀\\u0000\"}".into()));
    assert_eq!(span(r#"{"n\u0061me":"x"}"#), Ok(r#"{"name":"x"}"#.into()));
    let lone = DecodeErrorKind::Invalid("lone surrogate");
    for text in [r"\ud83e", r"\udd80", r"\ud83ex", r"\ud83e\ud83e", r"\ud83e\u0041"] {
        assert_eq!(refused(&format!(r#"{{"name":"ab{text}"}}"#)), (11, lone), "{text}");
    }
    let digits = DecodeErrorKind::Invalid("\\u without four hexadecimal digits");
    assert_eq!(refused(r#"{"name":"\u12g4"}"#), (9, digits));
    let odd = DecodeErrorKind::Invalid("escape sequence that JSON does not have");
    assert_eq!(refused(r#"{"name":"a\x41"}"#), (10, odd));
    assert_eq!(
        refused("{\"name\":\"a\nb\"}"),
        (10, DecodeErrorKind::Invalid("control character in a string"))
    );
}

#[test]
fn text_that_is_not_utf8_is_refused_at_the_byte() {
    for (head, tail) in
        [(r#"{"code":1,"message":"ab"#, "\"}"), (r#"{"odd":"ab"#, "\"}"), (r#"{"ab"#, "\":1}")]
    {
        let text = [head.as_bytes(), b"\xc3\x28", tail.as_bytes()].concat();
        let expected = DecodeErrorKind::Invalid("text that is not utf-8");
        assert_eq!(read(Body::Status, text), Err(DecodeError::new(head.len(), expected)));
    }
}

#[test]
fn unknown_names_are_passed_over_whatever_they_hold() {
    for odd in [
        "1",
        "-1.5e+3",
        "null",
        "true",
        "false",
        "\"a\\u0041\"",
        "[]",
        "{}",
        "[[],{},[1,\"]\"]]",
        r#"{"a":{"b":[{}]}}"#,
    ] {
        let text = format!(r#"{{"odd":{odd},"name":"x","other" : {odd} }}"#);
        assert_eq!(span(&text), Ok(r#"{"name":"x"}"#.into()), "{odd}");
    }
    for (odd, at) in [("[1 2]", 10), ("{\"a\" 1}", 12), ("{1:2}", 8), ("tru", 7), ("[1,]", 10), ("01", 8)] {
        assert_eq!(refused(&format!(r#"{{"odd":{odd}}}"#)).0, at, "{odd}");
    }
}

#[test]
fn members_given_twice_are_refused() {
    let twice = DecodeErrorKind::Invalid("member that was given already");
    assert_eq!(refused(r#"{"name":"a","name":"b"}"#), (12, twice));
    assert_eq!(refused(r#"{"events":[],"events":[]}"#), (13, twice));
    let rival = DecodeErrorKind::Invalid("another member of the same oneof");
    assert_eq!(value(r#"{"intValue":"1","boolValue":true}"#).unwrap_err().kind, rival);
    // What says nothing may be said again.
    assert_eq!(span(r#"{"name":null,"name":"b","odd":1,"odd":2}"#), Ok(r#"{"name":"b"}"#.into()));
}

#[test]
fn names_of_the_proto_files_are_taken_where_asked_for() {
    let text = r#"{"trace_state":"a=b","kind":"SPAN_KIND_CLIENT","status":{"code":"STATUS_CODE_ERROR"}}"#;
    let expected = r#"{"traceState":"a=b","kind":3,"status":{"code":2}}"#;
    assert_eq!(within(text, Reading::Lenient), Ok(expected.into()));
    assert_eq!(within(expected, Reading::Lenient), Ok(expected.into()));
    assert_eq!(refused(r#"{"kind":"SPAN_KIND_CLIENT"}"#), (9, unexpected("a number", JsonToken::Other)));
    assert_eq!(span(r#"{"trace_state":"a=b"}"#), Ok("{}".into()));
    let odd = within(r#"{"kind":"SPAN_KIND_ODD"}"#, Reading::Lenient).unwrap_err();
    assert_eq!((odd.offset - HEAD.len(), odd.kind), (8, DecodeErrorKind::Range(6)));
}

#[test]
fn a_body_is_one_object_and_nothing_else() {
    let cases = [
        ("", 0, unexpected("an object", JsonToken::End)),
        ("[]", 0, unexpected("an object", JsonToken::Array)),
        ("{} x", 3, unexpected("the end of the text", JsonToken::Other)),
        ("{}{}", 2, unexpected("the end of the text", JsonToken::Object)),
        ("{", 1, unexpected("a name", JsonToken::End)),
        ("{\"code\"}", 7, unexpected("':'", JsonToken::Mark(b'}'))),
        ("{\"code\":1,}", 10, unexpected("a name", JsonToken::Mark(b'}'))),
        ("{\"code\":1 \"message\":\"\"}", 10, unexpected("',' or '}'", JsonToken::String)),
        ("{\"message\":\"ab", 14, unexpected("the end of the string", JsonToken::End)),
        ("\u{feff}{}", 0, unexpected("an object", JsonToken::Other)),
    ];
    for (text, offset, kind) in cases {
        assert_eq!(read(Body::Status, text), Err(DecodeError::new(offset, kind)), "{text}");
    }
    assert_eq!(read(Body::Status, " \r\n\t{ \"code\" : 1 , \"message\" : \"\" } \n").unwrap(), b"\x08\x01");
}

#[test]
fn errors_read_well() {
    let text = |text: &str| read(Body::Status, text).unwrap_err().to_string();
    assert_eq!(text(r#"{"code":[]}"#), "expected a number, met an array at byte 8");
    assert_eq!(text(r#"{"code":1]"#), "expected ',' or '}', met ']' at byte 9");
    assert_eq!(text(r#"{"code":1e99}"#), "number in field 1 out of range at byte 8");
    assert_eq!(text(r#"{"code":1,"code":1}"#), "member that was given already at byte 10");
}
