//! Files of lines.

use std::io::{BufRead, Cursor, Read};

use otlp_core::Limits;
use otlp_core::error::DecodeErrorKind;
use otlp_core::json::{self, BadLine, JsonLines, Reading};
use otlp_core::protocol::Signal;

use crate::dice::Dice;
use crate::generate::{self, Layout};
use crate::prost;

type Read1 = Result<(Signal, Vec<u8>), BadLine>;

fn all(input: impl BufRead, limits: Limits) -> Vec<Read1> {
    let mut lines = JsonLines::new(input, Reading::Strict, limits);
    let (mut wire, mut met) = (Vec::new(), Vec::new());
    while let Some(request) = lines.next_request(&mut wire).unwrap() {
        met.push(request.map(|signal| (signal, wire.clone())));
    }
    met
}

/// Gives a byte at a time.
struct Slow<'a>(&'a [u8]);

impl Read for Slow<'_> {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        unreachable!("read through `BufRead`")
    }
}

impl BufRead for Slow<'_> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        Ok(&self.0[..self.0.len().min(1)])
    }

    fn consume(&mut self, amount: usize) {
        self.0 = &self.0[amount..];
    }
}

#[test]
fn what_is_written_line_by_line_is_read_line_by_line() {
    let (mut dice, mut file, mut expected) = (Dice::new(11), Vec::new(), Vec::new());
    for round in 0..100 {
        let signal = Signal::ALL[round % Signal::ALL.len()];
        let nodes = generate::request(signal, &mut dice);
        let wire = generate::encode(&nodes, Layout::Ascending, &mut dice);
        // A request without anything does not say what it is of.
        if wire.is_empty() {
            continue;
        }
        json::write_line(signal, &wire, &Limits::DEFAULT, &mut file).unwrap();
        expected.push((signal, prost(signal, &wire)));
    }
    assert!(expected.len() > 20);
    let canonical = |met: Vec<Read1>| -> Vec<_> {
        met.into_iter()
            .map(|request| request.map(|(signal, wire)| (signal, prost(signal, &wire))).unwrap())
            .collect()
    };
    assert_eq!(canonical(all(Cursor::new(&file), Limits::DEFAULT)), expected);
    assert_eq!(canonical(all(Slow(&file), Limits::DEFAULT)), expected);
    // The last line need not have an end.
    assert_eq!(canonical(all(&file[..file.len() - 1], Limits::DEFAULT)), expected);
}

#[test]
fn a_bad_line_is_told_and_the_others_are_read() {
    let file = b"{\"resourceLogs\":[{}]}\n\n  \r\n{\"resourceLogs\":[}]}\r\nnonsense\n{\"odd\":1}\n{\"resourceSpans\":[]}\r\n";
    let met = all(file.as_slice(), Limits::DEFAULT);
    assert_eq!(met.len(), 5, "{met:?}");
    assert_eq!(met[0], Ok((Signal::Logs, b"\x0a\x00".to_vec())));
    let bad = |index: usize| met[index].clone().unwrap_err();
    assert_eq!((bad(1).line, bad(1).offset, bad(1).reason.offset), (4, 27, 17));
    assert_eq!((bad(2).line, bad(2).offset, bad(2).reason.offset), (5, 49, 0));
    assert_eq!(bad(3).reason.kind, DecodeErrorKind::Invalid("no name that tells the signal"));
    assert_eq!(met[4], Ok((Signal::Traces, Vec::new())));
}

#[test]
fn a_line_that_is_too_long_is_passed_over_and_not_held() {
    let long = format!("{{\"resourceSpans\":[{}]}}", " ".repeat(100_000));
    let file = format!("{long}\n{{\"resourceSpans\":[]}}\n");
    let limits = Limits::default().max_message_bytes(1000);
    for met in [all(file.as_bytes(), limits.clone()), all(Slow(file.as_bytes()), limits)] {
        let error = met[0].clone().unwrap_err().reason;
        assert_eq!(
            error.kind,
            DecodeErrorKind::Limit { what: "max_message_bytes", met: long.len() as u64, limit: 1000 }
        );
        assert_eq!(met[1], Ok((Signal::Traces, Vec::new())));
    }
    // Were the bound wider, it would be read.
    assert!(all(file.as_bytes(), Limits::DEFAULT)[0].is_ok());
}

#[test]
fn the_first_known_name_tells_the_signal() {
    for (line, signal) in [
        (r#"{"odd":[{"resourceLogs":1}],"resourceMetrics":[]}"#, Signal::Metrics),
        (r#"{"dictionary":{},"resourceProfiles":[]}"#, Signal::Profiles),
        (r#"{ "resource\u004cogs" : [] }"#, Signal::Logs),
    ] {
        assert_eq!(all(line.as_bytes(), Limits::DEFAULT)[0].clone().unwrap().0, signal);
    }
    let mut lenient =
        JsonLines::new(br#"{"resource_spans":[]}"#.as_slice(), Reading::Lenient, Limits::DEFAULT);
    assert_eq!(lenient.next_request(&mut Vec::new()).unwrap(), Some(Ok(Signal::Traces)));
}
