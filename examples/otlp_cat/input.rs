//! Which format and signal a file is of, and the requests in it as protobuf.

use std::io;

use otlp_core::json::{self, JsonLines, Reading};
use otlp_core::protocol::Signal;
use otlp_core::{DecodeError, Limits};

use crate::cat::refusal;
use crate::flags::{Flags, Format};

/// Takes a request, or why there is none.
type Take<'t> = dyn FnMut(Result<(Signal, &[u8]), String>) -> io::Result<()> + 't;

/// Shows each request of the file `bytes` to `take`.
pub(crate) fn requests(flags: &Flags, bytes: &[u8], take: &mut Take<'_>) -> io::Result<()> {
    let reading = if flags.lenient { Reading::Lenient } else { Reading::Strict };
    let signal = flags.signal.map(Signal::from);
    match flags.from.unwrap_or_else(|| format(bytes)) {
        Format::Protobuf => match signal.map_or_else(|| signal_of(bytes), Ok) {
            Ok(signal) => take(Ok((signal, bytes))),
            Err(problem) => take(Err(problem)),
        },
        Format::Json => {
            let mut wire = Vec::new();
            // A document over several lines is one line to the reader of lines once its breaks are blanks: a
            // break within a string is no JSON either way.
            let line: Vec<u8> = bytes.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }).collect();
            match signal {
                Some(signal) => {
                    let result = json::read(signal, bytes, reading, &Limits::DEFAULT, &mut wire);
                    take(result.map(|()| (signal, wire.as_slice())).map_err(|error| refusal(signal, &error)))
                }
                None => lines(&line, reading, None, &mut |request| {
                    take(request.map_err(|problem| problem.replace("line 1: ", "")))
                }),
            }
        }
        Format::Lines => lines(bytes, reading, signal, take),
    }
}

fn lines(bytes: &[u8], reading: Reading, only: Option<Signal>, take: &mut Take<'_>) -> io::Result<()> {
    let mut lines = JsonLines::new(bytes, reading, Limits::DEFAULT);
    let mut wire = Vec::new();
    while let Some(request) = lines.next_request(&mut wire)? {
        match request {
            Ok(signal) if only.is_none_or(|only| only == signal) => take(Ok((signal, &wire)))?,
            Ok(_) => {}
            Err(bad) => take(Err(bad.to_string()))?,
        }
    }
    Ok(())
}

/// The format that a file looks like.
fn format(bytes: &[u8]) -> Format {
    let text = bytes.trim_ascii_start();
    // A protobuf request begins with the byte 0x0a, which in a text is a line break.
    if text.first() != Some(&b'{') || text.len() < bytes.len() && signal_of(bytes).is_ok() {
        return Format::Protobuf;
    }
    // The first line of a document over several lines is no document.
    let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mut wire = Vec::new();
    let is_whole = JsonLines::new(first, Reading::Lenient, Limits::DEFAULT)
        .next_request(&mut wire)
        .is_ok_and(|request| request.is_some_and(|request| request.is_ok()));
    let others = text.split(|byte| *byte == b'\n').skip(1).any(|line| line.first() == Some(&b'{'));
    if is_whole || others { Format::Lines } else { Format::Json }
}

/// The signal as which every byte of a protobuf request means something, or most of them do.
///
/// What a reader of one signal does not know it leaves out, so what comes back by way of JSON shows how much of
/// the request it has understood.
fn signal_of(bytes: &[u8]) -> Result<Signal, String> {
    let understood = |signal: Signal| -> Result<usize, DecodeError> {
        let (mut text, mut wire) = (Vec::new(), Vec::new());
        json::write(signal, bytes, &Limits::DEFAULT, &mut text)?;
        json::read(signal, &text, Reading::Strict, &Limits::default().max_message_bytes(1 << 30), &mut wire)?;
        Ok(wire.len())
    };
    let (mut best, mut refusals) = (None, Vec::new());
    for signal in Signal::ALL {
        match understood(signal) {
            Ok(len) if best.is_none_or(|(_, most)| len > most) => best = Some((signal, len)),
            Ok(_) => {}
            Err(error) => refusals.push((error.offset, refusal(signal, &error))),
        }
    }
    // The one that was read furthest is the one that was meant.
    let furthest = refusals.into_iter().max_by_key(|(offset, _)| *offset);
    best.map(|(signal, _)| signal).ok_or_else(|| furthest.map(|(_, why)| why).unwrap_or_default())
}
