//! Who speaks, and when: what tells where messages begin once the place among them is lost.

use std::time::Duration;

use otlp_core::UnixNanos;

use super::{Chunk, Direction};

/// How much longer than anything the server took so far it must have been silent.
const PATIENCE: u64 = 4;

/// What a piece is in the conversation of the two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// More of the same, or the server speaks, or bytes were lost right before it.
    Same,
    /// The client speaks after the server.
    Client,
    /// It does so after a rest.
    Rested,
}

/// Whether the two ends are at rest: nothing is outstanding between them, as far as it can be told from outside.
///
/// They are where the server spoke last, and then nobody for longer than the server has ever taken to say something,
/// four times over, and no less than [`Limits::quiet_time`](crate::Limits::quiet_time). Numbers of requests and
/// responses would not tell: how many of either a hole held is not known.
#[derive(Debug)]
pub(crate) struct Rest {
    quiet_nanos: u64,
    /// Who spoke last, and when.
    last: Option<Direction>,
    time: UnixNanos,
    /// The longest time that the server took to say something once the client had spoken.
    slowest_nanos: u64,
}

impl Rest {
    pub(crate) fn new(quiet: Duration) -> Self {
        let quiet_nanos = u64::try_from(quiet.as_nanos()).unwrap_or(u64::MAX);
        Self { quiet_nanos, last: None, time: UnixNanos::ZERO, slowest_nanos: 0 }
    }

    /// Takes note of who speaks, and tells what that is.
    #[inline]
    pub(crate) fn hear(&mut self, chunk: &Chunk<'_>) -> Turn {
        let speaker = self.last.replace(chunk.direction);
        let silence = chunk.time.0.saturating_sub(self.time.0);
        self.time = self.time.max(chunk.time);
        if chunk.direction == Direction::ToClient {
            // Else one of them may have spoken meanwhile, in a hole.
            if speaker == Some(Direction::ToServer) && chunk.missing == 0 {
                self.slowest_nanos = self.slowest_nanos.max(silence);
            }
            return Turn::Same;
        }
        if speaker != Some(Direction::ToClient) || chunk.missing > 0 || chunk.bytes.is_empty() {
            return Turn::Same;
        }
        let enough = self.quiet_nanos.max(self.slowest_nanos.saturating_mul(PATIENCE));
        if silence >= enough { Turn::Rested } else { Turn::Client }
    }

    /// What was taken for a rest was none: the next one must be longer.
    pub(crate) const fn was_none(&mut self) {
        self.quiet_nanos = self.quiet_nanos.saturating_mul(2);
    }
}

/// What two ends that take turns tell by that, where their messages have no numbers.
#[derive(Debug)]
pub(super) struct Turns {
    /// The client has spoken since the server did.
    pub(super) client: bool,
    /// The client is known to send a request before it has the answer to the one before.
    pipelines: bool,
    /// The client sent something unread while an answer was due: if that answer comes, it pipelines.
    pub(super) suspect: bool,
    /// The client speaks after a rest.
    pub(super) rested: bool,
    /// Bytes were lost right before what is said now.
    holed: bool,
    rest: Rest,
}

impl Turns {
    pub(super) fn new(quiet: Duration) -> Self {
        Self {
            client: false,
            pipelines: false,
            suspect: false,
            rested: false,
            holed: false,
            rest: Rest::new(quiet),
        }
    }

    #[inline]
    pub(super) fn hear(&mut self, chunk: &Chunk<'_>) {
        self.rested = self.rest.hear(chunk) == Turn::Rested;
        self.holed = chunk.missing > 0;
    }

    /// Takes note of an answer, behind which others are due or not. Where bytes were lost before it the client may have
    /// had the others.
    pub(super) const fn answered(&mut self, owes: bool) {
        self.pipelines |= (owes || self.suspect) && !self.holed;
        self.suspect = false;
    }

    /// Whether the client begins something new where it speaks after the server.
    pub(super) const fn is_new(&self) -> bool {
        self.rested || !self.pipelines
    }
}

#[cfg(test)]
mod tests {
    use super::Direction::{ToClient, ToServer};
    use super::*;

    fn hear(rest: &mut Rest, direction: Direction, millis: u64) -> bool {
        rest.hear(&Chunk::new(direction, UnixNanos::from_millis(millis), b"x")) == Turn::Rested
    }

    #[test]
    fn the_ends_rest_once_the_server_has_spoken_and_nobody_did_for_long() {
        let mut rest = Rest::new(Duration::from_millis(100));
        assert!(!hear(&mut rest, ToServer, 1000), "nothing was seen before");
        assert!(!hear(&mut rest, ToServer, 2000), "the server has not answered");
        assert!(!hear(&mut rest, ToClient, 2010));
        assert!(!hear(&mut rest, ToServer, 2109));
        assert!(!hear(&mut rest, ToClient, 2110));
        assert!(hear(&mut rest, ToServer, 2210));
        assert!(!hear(&mut rest, ToServer, 2500), "the rest is over");
    }

    #[test]
    fn a_slow_server_may_be_silent_for_longer() {
        let mut rest = Rest::new(Duration::from_millis(100));
        hear(&mut rest, ToServer, 0);
        hear(&mut rest, ToClient, 200);
        assert!(!hear(&mut rest, ToServer, 999));
        hear(&mut rest, ToClient, 1000);
        assert!(hear(&mut rest, ToServer, 1800));
    }

    #[test]
    fn what_comes_behind_a_hole_begins_nothing() {
        let mut rest = Rest::new(Duration::ZERO);
        hear(&mut rest, ToClient, 0);
        let holed = Chunk::new(ToServer, UnixNanos::from_secs(9), b"x").after_gap(1);
        assert_eq!(rest.hear(&holed), Turn::Same);
        hear(&mut rest, ToClient, 10_000);
        assert!(hear(&mut rest, ToServer, 20_000), "the fault that is planted is the hole");
    }

    #[test]
    fn a_rest_that_was_none_asks_for_more() {
        let mut rest = Rest::new(Duration::from_millis(100));
        rest.was_none();
        hear(&mut rest, ToClient, 0);
        assert!(!hear(&mut rest, ToServer, 199));
        hear(&mut rest, ToClient, 200);
        assert!(hear(&mut rest, ToServer, 400));
    }
}
