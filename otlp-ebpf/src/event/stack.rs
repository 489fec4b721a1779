//! Samples of the kernel program that samples stacks: bytes of its ring to addresses. Pure.
//!
//! The layout is that of `struct sample` in `bpf/sample.bpf.c`, version 1; a test compares the two.

use std::net::SocketAddr;

use otlp_core::error::{DecodeError, DecodeErrorKind};

use super::{V6, address_of};

/// What a thread did when it was sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ThreadState {
    /// It ran.
    Ran,
    /// It waited for something: a file, a lock, a message, time to go by.
    Waited,
    /// It could have run, but the processors ran others.
    Delayed,
}

/// A stack as the kernel tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StackRecord {
    /// Nanoseconds of `CLOCK_MONOTONIC`.
    pub(crate) time: u64,
    /// Nanoseconds that it stands for.
    pub(crate) weight: u64,
    pub(crate) state: ThreadState,
    pub(crate) pid: u32,
    pub(crate) tid: u32,
    /// Server and client of the request that the thread last read, and when it did.
    pub(crate) request: Option<(SocketAddr, SocketAddr, u64)>,
    /// Leaf first.
    pub(crate) kernel: Vec<u64>,
    pub(crate) user: Vec<u64>,
}

// Where each field of `struct sample` begins.
const TIME: usize = 0;
const WEIGHT: usize = 8;
const LAYOUT: usize = 16;
const STATE: usize = 17;
const KERNEL_FRAMES: usize = 18;
const USER_FRAMES: usize = 20;
const PID: usize = 24;
const TID: usize = 28;
const SINCE: usize = 32;
const LOCAL: usize = 40;
const REMOTE: usize = 56;
const LOCAL_PORT: usize = 72;
const REMOTE_PORT: usize = 74;
const IS_V6: usize = 76;
const KERNEL: usize = 80;
const USER: usize = 464;
const BYTES: usize = 1480;

const VERSION: u8 = 1;

impl StackRecord {
    /// Reads a sample. O(frames).
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, DecodeError> {
        let invalid = |at, what| DecodeError::new(at, DecodeErrorKind::Invalid(what));
        let Some(sample) = bytes.first_chunk::<BYTES>() else {
            return Err(DecodeError::new(bytes.len(), DecodeErrorKind::Truncated));
        };
        let [version, state] = take(sample, LAYOUT);
        if version != VERSION {
            return Err(invalid(LAYOUT, "sample of another version"));
        }
        let state = match state {
            1 => ThreadState::Ran,
            2 => ThreadState::Waited,
            3 => ThreadState::Delayed,
            _ => return Err(invalid(STATE, "sample of an unknown state")),
        };
        let frames = |count, from: usize, end: usize| {
            let frames = usize::from(u16::from_ne_bytes(take(sample, count)));
            let room = sample.get(from..end).unwrap_or_default();
            let used = room
                .get(..frames * 8)
                .ok_or_else(|| invalid(count, "sample of more frames than there is room"))?;
            Ok(used.as_chunks().0.iter().map(|frame| u64::from_ne_bytes(*frame)).collect())
        };
        let long = |at| u64::from_ne_bytes(take(sample, at));
        let number = |at| u32::from_ne_bytes(take(sample, at));
        let [is_v6] = take(sample, IS_V6);
        let place = if is_v6 == 0 { 0 } else { V6 };
        let end =
            |address, port| address_of(take(sample, address), u16::from_ne_bytes(take(sample, port)), place);
        let since = long(SINCE);
        Ok(Self {
            time: long(TIME),
            weight: long(WEIGHT),
            state,
            pid: number(PID),
            tid: number(TID),
            request: (since != 0).then(|| (end(LOCAL, LOCAL_PORT), end(REMOTE, REMOTE_PORT), since)),
            kernel: frames(KERNEL_FRAMES, KERNEL, USER)?,
            user: frames(USER_FRAMES, USER, BYTES)?,
        })
    }
}

fn take<const N: usize>(sample: &[u8; BYTES], at: usize) -> [u8; N] {
    sample.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::layout;
    use super::*;

    fn sample(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut bytes = vec![0; BYTES];
        (bytes[LAYOUT], bytes[STATE]) = (VERSION, 2);
        bytes[WEIGHT..WEIGHT + 8].copy_from_slice(&9_u64.to_ne_bytes());
        change(&mut bytes);
        bytes
    }

    #[test]
    fn a_sample_has_its_frames_and_what_its_thread_was_at() {
        let bytes = sample(|bytes| {
            bytes[KERNEL_FRAMES..KERNEL_FRAMES + 2].copy_from_slice(&1_u16.to_ne_bytes());
            bytes[USER_FRAMES..USER_FRAMES + 2].copy_from_slice(&2_u16.to_ne_bytes());
            bytes[KERNEL] = 7;
            (bytes[USER], bytes[USER + 8]) = (8, 9);
            (bytes[SINCE], bytes[LOCAL], bytes[REMOTE]) = (5, 127, 10);
            bytes[REMOTE_PORT..REMOTE_PORT + 2].copy_from_slice(&4000_u16.to_ne_bytes());
        });
        let met = StackRecord::parse(&bytes).unwrap();
        assert_eq!(
            (met.weight, met.state, met.kernel, met.user),
            (9, ThreadState::Waited, vec![7], vec![8, 9])
        );
        let right = ("127.0.0.0:0".parse().unwrap(), "10.0.0.0:4000".parse().unwrap(), 5);
        assert_eq!(met.request, Some(right));
        let without = StackRecord::parse(&sample(|bytes| bytes[LOCAL] = 127)).unwrap();
        assert_eq!(without.request, None);
    }

    #[test]
    fn what_cannot_be_is_refused_where_it_stands() {
        let refused = |change: &dyn Fn(&mut Vec<u8>)| {
            StackRecord::parse(&sample(change)).map(drop).map_err(|error| error.offset)
        };
        assert_eq!(refused(&|_| ()), Ok(()));
        assert_eq!(refused(&|bytes| bytes[LAYOUT] = 2), Err(LAYOUT));
        assert_eq!(refused(&|bytes| bytes[STATE] = 0), Err(STATE));
        assert_eq!(refused(&|bytes| bytes[USER_FRAMES] = 128), Err(USER_FRAMES));
        assert_eq!(refused(&|bytes| bytes[KERNEL_FRAMES] = 49), Err(KERNEL_FRAMES));
        assert_eq!(refused(&|bytes| bytes.truncate(BYTES - 1)), Err(BYTES - 1));
    }

    #[test]
    fn the_program_writes_the_layout_that_is_read_here() {
        let objects: [&[u8]; 2] =
            [include_bytes!("../../bpf/x86_64/sample.o.gz"), include_bytes!("../../bpf/aarch64/sample.o.gz")];
        for object in objects {
            let object = &crate::program::unpack(object).unwrap();
            let (members, bytes) = layout(object, "sample");
            let named =
                |members: &[(String, usize)], name| members.iter().find(|(met, _)| met == name).unwrap().1;
            let right = [
                ("time", TIME),
                ("weight", WEIGHT),
                ("version", LAYOUT),
                ("state", STATE),
                ("kernel_frames", KERNEL_FRAMES),
                ("user_frames", USER_FRAMES),
                ("pid", PID),
                ("tid", TID),
                ("request", SINCE),
                ("kernel", KERNEL),
                ("user", USER),
            ];
            right.into_iter().for_each(|(name, at)| assert_eq!(named(&members, name), at, "{name}"));
            assert_eq!(bytes, BYTES);
            let (members, _) = layout(object, "ends");
            let right = [
                ("since", SINCE),
                ("local", LOCAL),
                ("remote", REMOTE),
                ("local_port", LOCAL_PORT),
                ("remote_port", REMOTE_PORT),
                ("is_v6", IS_V6),
            ];
            right.into_iter().for_each(|(name, at)| assert_eq!(named(&members, name) + SINCE, at, "{name}"));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), BYTES - 2..BYTES + 9), valid in any::<bool>()) {
            let mut bytes = bytes;
            if valid {
                (bytes[LAYOUT], bytes[STATE]) = (VERSION, 1 + bytes[STATE] % 3);
                (bytes[KERNEL_FRAMES + 1], bytes[USER_FRAMES + 1]) = (0, 0);
            }
            if let Ok(sample) = StackRecord::parse(&bytes) {
                prop_assert!(sample.kernel.len() <= 48 && sample.user.len() <= 127);
            }
        }
    }
}
