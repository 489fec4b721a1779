//! OTLP requests put to our views and to prost, by the oracle of `otlp-core`'s own tests.

use std::sync::OnceLock;

use libfuzzer_sys::fuzzer_mutate;

use crate::answer::{PARTIAL, STATUS};
use crate::chunk::{self, Chunk};
use crate::dice::Dice;
use crate::mutate;
use crate::signal::{SIGNALS, Signal};
use crate::verdict::{Verdict, same_bytes, same_record, verdict};

/// What bytes are taken for.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A request of traces.
    Traces,
    /// A request of logs.
    Logs,
    /// A request of metrics.
    Metrics,
    /// A request of profiles.
    Profiles,
    /// An export response, of any signal.
    Response,
    /// A `google.rpc.Status`.
    Refusal,
}

impl Kind {
    const fn signal(self) -> &'static Signal {
        let [traces, logs, metrics, profiles] = &SIGNALS;
        match self {
            Self::Traces => traces,
            Self::Logs => logs,
            Self::Metrics => metrics,
            Self::Profiles => profiles,
            Self::Response => &PARTIAL,
            Self::Refusal => &STATUS,
        }
    }
}

/// Views and prost read the same or both refuse, but for the differences on the list; what both read, our record
/// says as well, and of one body in eight its bytes are looked at too.
///
/// # Panics
/// Where they do not.
pub fn check(kind: Kind, body: &[u8]) {
    let signal = kind.signal();
    let met = verdict(signal, body).unwrap_or_else(|fault| panic!("{fault}"));
    if met == Verdict::Accepted {
        same_record(signal, body).unwrap_or_else(|fault| panic!("{fault}"));
        if body.len() % 8 == 0 {
            same_bytes(signal, body).unwrap_or_else(|fault| panic!("{fault}"));
        }
    }
}

/// One time in two a mutation that knows the messages, else one of libFuzzer's.
pub fn mutate(kind: Kind, data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let signal = kind.signal();
    let mut dice = Dice::new(seed.into());
    if dice.one_in(2) {
        return fuzzer_mutate(data, size, max_size);
    }
    let Some(message) = data.get(..size) else { return size };
    let donor = donor(kind, &mut dice);
    let mutated =
        if message.is_empty() { donor } else { mutate::mutate(signal.root, message, &donor, &mut dice) };
    let len = mutated.len().min(max_size);
    if let (Some(to), Some(from)) = (data.get_mut(..len), mutated.get(..len)) {
        to.copy_from_slice(from);
    }
    len
}

/// One of a few valid messages. A program has one kind of mutated input, so they are made once.
fn donor(kind: Kind, dice: &mut Dice) -> Vec<u8> {
    static DONORS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let make = || (0..200).map(|seed| (kind.signal().make)(&mut Dice::new(seed))).collect();
    let donors: &Vec<Vec<u8>> = DONORS.get_or_init(make);
    donors.get(dice.below(donors.len())).cloned().unwrap_or_default()
}

/// A field as a reader gives it that shares no code with ours. Numbers are eight bytes, little-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plain {
    /// Its number.
    pub number: u32,
    /// Its wire type; 7 for bytes that are no field.
    pub wire: u8,
    /// What it holds.
    pub value: Vec<u8>,
}

/// The fields of a message, and last what is no field, if there is such.
#[must_use]
pub fn plain_fields(message: &[u8]) -> Vec<Plain> {
    let plain = |chunk: Chunk| {
        let number =
            |bytes: &[u8]| bytes.iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        let varint =
            |bytes: &[u8]| bytes.iter().rev().fold(0_u64, |value, byte| value << 7 | u64::from(byte & 0x7f));
        let value = match chunk.wire {
            0 => varint(chunk.value()).to_le_bytes().to_vec(),
            1 | 5 => number(chunk.value()).to_le_bytes().to_vec(),
            _ => chunk.value().to_vec(),
        };
        Plain { number: chunk.number, wire: chunk.wire, value }
    };
    chunk::split(message).into_iter().map(plain).collect()
}
