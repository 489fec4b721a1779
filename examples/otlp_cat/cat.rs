//! From a file's bytes to what is shown.

use std::io::{self, Write};

use otlp_core::json;
use otlp_core::protocol::Signal;
use otlp_core::{DecodeError, Limits};

use crate::flags::{Flags, Output};
use crate::{input, text};

/// Shows the file `bytes`; false where something in it was bad, which `tell` has heard of.
pub(crate) fn run(
    flags: &Flags,
    bytes: &[u8],
    out: &mut impl Write,
    tell: &mut dyn FnMut(&str),
) -> io::Result<bool> {
    let mut show = Show { to: flags.to, out, joined: None, buffer: Vec::new() };
    let mut good = true;
    let mut bad = |problem: &str| {
        good = false;
        tell(problem);
    };
    input::requests(flags, bytes, &mut |request| match request {
        Ok((signal, wire)) => show.request(signal, wire, &mut bad),
        Err(problem) => {
            bad(&problem);
            Ok(())
        }
    })?;
    Ok(good)
}

struct Show<'o, W> {
    to: Output,
    out: &'o mut W,
    /// The signal of what was written as protobuf: requests of one signal joined are one request.
    joined: Option<Signal>,
    buffer: Vec<u8>,
}

impl<W: Write> Show<'_, W> {
    fn request(&mut self, signal: Signal, wire: &[u8], bad: &mut dyn FnMut(&str)) -> io::Result<()> {
        match self.to {
            Output::Text => match text::request(signal, wire) {
                Ok(page) => self.out.write_all(page.as_bytes())?,
                Err(error) => bad(&refusal(signal, &error)),
            },
            Output::Json => {
                self.buffer.clear();
                match json::write_line(signal, wire, &Limits::DEFAULT, &mut self.buffer) {
                    Ok(()) => self.out.write_all(&self.buffer)?,
                    Err(error) => bad(&refusal(signal, &error)),
                }
            }
            Output::Protobuf => match self.joined {
                Some(first) if first != signal => {
                    bad(&format!("{signal} behind {first}: one protobuf request holds one signal"));
                }
                // Indices would point into the dictionary of another request.
                Some(Signal::Profiles) => {
                    bad("several profiles requests: their dictionaries cannot be joined");
                }
                _ => {
                    self.joined = Some(signal);
                    self.out.write_all(wire)?;
                }
            },
        }
        Ok(())
    }
}

pub(crate) fn refusal(signal: Signal, error: &DecodeError) -> String {
    format!("not a {signal} request: {error}")
}
