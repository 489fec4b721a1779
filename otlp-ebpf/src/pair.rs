//! Requests with their responses: in pipelining order here, by number in [`numbered`].
//!
//! Responses come in the order of the requests. Where a direction has lost its place that order tells
//! nothing any more: whatever is in flight is let go, and pairing begins again with the first request
//! that comes while nothing is in flight: if the client was never seen to pipeline (one that does not has
//! read all it asked for before it asks again) the next one, else the next one after a rest
//! ([`Rest`](crate::parse::turn::Rest)). Where requests were missed the server must have spoken since. A wrong
//! pair is never made for a right one lost: a client that turns out to pipeline before its first answer is let go,
//! and after a rest that was none the next must be longer.
//!
//! A client is seen to pipeline where two requests come in one piece, or one behind the other before the server speaks
//! with nothing lost before it. Else what was lost may be the answer to the first.

mod numbered;

use std::collections::VecDeque;

use crate::parse::Expect;
use crate::parse::redis::Role;

pub(crate) use self::numbered::Numbered;

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opened<T> {
    /// It waits for its answers; `realign` where the parser must be told that they begin now.
    Waits { realign: bool },
    /// It gets none and is complete.
    Complete(T),
    /// It cannot be followed.
    Lost(T, Unfollowed),
}

/// How a request comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comes {
    /// First in its piece.
    First,
    /// First in its piece, after a rest.
    Rested,
    /// In one piece with the one before.
    Together,
}

/// Why a request cannot be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfollowed {
    /// Too many are in flight.
    InFlight,
    /// Which response will be its own cannot be told.
    Desync,
    /// Nor that of those that wait.
    Unsure,
}

/// What a response answers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answered<T> {
    /// This request, which is complete with it.
    Complete(T),
    /// One of the several answers of the oldest request.
    Part,
    /// Nothing, and it need not.
    Push,
    /// A request that was not followed.
    Unfollowed,
    /// Nothing that was asked.
    NotAsked,
    /// What, cannot be told.
    Desync,
    /// Nothing that was asked since a rest, which therefore was none.
    NoRest,
}

#[derive(Debug)]
pub(crate) struct Pairing<T> {
    waiting: VecDeque<Waiting<T>>,
    limit: usize,
    /// Requests behind those that wait, not followed because they were too many.
    beyond: u64,
    /// Responses to what comes behind those that wait cannot be told apart.
    lost_place: bool,
    /// The server has spoken since requests were missed.
    server_spoke: bool,
    /// The client has asked since the server spoke.
    asked: bool,
    /// It did so before it had its answer, as far as was seen.
    overlaps: bool,
    /// The client has been seen to send a request before it had its answers.
    pipelines: bool,
    /// That nothing is in flight is told by the client's manners alone, and no answer has borne it out.
    unsure: bool,
    /// Pairing began again after a rest.
    rested: bool,
    /// A RESP2 connection with a subscription.
    subscribed: bool,
}

#[derive(Debug)]
struct Waiting<T> {
    request: T,
    answers: u32,
    confirmed: bool,
}

impl<T> Pairing<T> {
    pub(crate) const fn new(limit: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            limit,
            beyond: 0,
            lost_place: false,
            server_spoke: true,
            asked: false,
            overlaps: false,
            pipelines: false,
            unsure: false,
            rested: false,
            subscribed: false,
        }
    }

    /// Requests that wait for an answer.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The oldest request, while it waits.
    pub(crate) fn oldest(&mut self) -> Option<&mut T> {
        self.waiting.front_mut().map(|waiting| &mut waiting.request)
    }

    /// The newest request, while it waits.
    pub(crate) fn newest(&mut self) -> Option<&mut T> {
        self.waiting.back_mut().map(|waiting| &mut waiting.request)
    }

    /// Tells that the connection is not seen from its first request on: its client is taken for one that waits.
    pub(crate) const fn begin_late(&mut self) {
        self.lost_place = true;
    }

    /// Requests were missed.
    const fn begin_lost(&mut self) {
        self.lost_place = true;
        self.server_spoke = false;
    }

    /// Takes a request.
    pub(crate) fn open(&mut self, request: T, expect: Expect, comes: Comes) -> Opened<T> {
        let quiet = self.waiting.is_empty() && self.beyond == 0;
        if expect != Expect::Nothing {
            self.overlaps |= !quiet || self.asked;
            self.asked = true;
            self.pipelines |= comes == Comes::Together;
        }
        if !quiet && self.unsure {
            self.begin_lost();
            return Opened::Lost(request, Unfollowed::Unsure);
        }
        let (answers, confirmed) = match expect {
            Expect::Nothing => return Opened::Complete(request),
            Expect::One => (1, false),
            Expect::Confirmations(count) => (count.max(1), true),
        };
        let mut realign = false;
        if self.lost_place {
            let rested = comes == Comes::Rested;
            if !quiet || !(rested || (self.server_spoke && !self.pipelines)) {
                return Opened::Lost(request, Unfollowed::Desync);
            }
            self.lost_place = false;
            self.unsure = !rested;
            self.rested = rested;
            realign = true;
        }
        if self.beyond > 0 || self.waiting.len() >= self.limit {
            self.beyond += 1;
            // How many answers there will be is only counted for one each.
            self.lost_place |= confirmed;
            return Opened::Lost(request, Unfollowed::InFlight);
        }
        if self.waiting.capacity() == 0 {
            // Most clients have one request in flight; the first push would make room for four.
            self.waiting.reserve_exact(1);
        }
        self.waiting.push_back(Waiting { request, answers, confirmed });
        Opened::Waits { realign }
    }

    /// Takes a response.
    pub(crate) fn answer(&mut self, role: Role) -> Answered<T> {
        let confirmable = self.waiting.front().is_some_and(|oldest| oldest.confirmed);
        match role {
            Role::Push => return Answered::Push,
            Role::Message if self.subscribed => return Answered::Push,
            Role::Confirmation { push, subscriptions } if push || confirmable || self.subscribed => {
                if !push {
                    self.subscribed = subscriptions > 0;
                }
                return if confirmable { self.confirm() } else { Answered::Push };
            }
            Role::Answer | Role::Message | Role::Confirmation { .. } => {}
        }
        match self.waiting.pop_front() {
            Some(oldest) => {
                self.unsure &= !self.waiting.is_empty();
                Answered::Complete(oldest.request)
            }
            None if self.beyond > 0 => {
                self.beyond -= 1;
                Answered::Unfollowed
            }
            None if self.lost_place => Answered::Desync,
            None if self.rested => {
                self.lost_place = true;
                self.rested = false;
                Answered::NoRest
            }
            None => Answered::NotAsked,
        }
    }

    fn confirm(&mut self) -> Answered<T> {
        if let Some(oldest) = self.waiting.front_mut().filter(|oldest| oldest.answers > 1) {
            oldest.answers -= 1;
            return Answered::Part;
        }
        self.unsure = false;
        self.waiting.pop_front().map_or(Answered::NotAsked, |oldest| Answered::Complete(oldest.request))
    }

    /// Requests can no longer be told; those that wait still get their answers.
    pub(crate) fn lose_requests(&mut self) {
        self.begin_lost();
    }

    /// The server says something, some of which may be missing before it.
    pub(crate) const fn server_speaks(&mut self, missing: u64) {
        self.server_spoke = true;
        self.pipelines |= self.overlaps && missing == 0;
        self.overlaps = false;
        self.asked = false;
    }

    /// Responses can no longer be told; gives the requests that waited.
    pub(crate) fn lose_responses(&mut self) -> impl Iterator<Item = T> {
        self.lost_place = true;
        self.let_go()
    }

    /// Gives the requests that wait; they wait no longer.
    pub(crate) fn let_go(&mut self) -> impl Iterator<Item = T> {
        self.beyond = 0;
        self.unsure = false;
        std::mem::take(&mut self.waiting).into_iter().map(|waiting| waiting.request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(pairing: &mut Pairing<u32>, request: u32) -> Opened<u32> {
        pairing.open(request, Expect::One, Comes::First)
    }

    const WAITS: Opened<u32> = Opened::Waits { realign: false };

    /// Two requests in one piece wait.
    fn pipelining() -> Pairing<u32> {
        let mut pairing = Pairing::new(8);
        open(&mut pairing, 1);
        assert_eq!(pairing.open(2, Expect::One, Comes::Together), WAITS);
        pairing
    }

    #[test]
    fn responses_answer_the_oldest_request() {
        let mut pairing = Pairing::new(8);
        (1..=3).for_each(|request| assert_eq!(open(&mut pairing, request), WAITS));
        for request in 1..=3 {
            assert_eq!(pairing.answer(Role::Answer), Answered::Complete(request));
        }
        assert_eq!(pairing.answer(Role::Answer), Answered::NotAsked);
    }

    #[test]
    fn pushes_answer_nothing() {
        let mut pairing = Pairing::new(8);
        open(&mut pairing, 1);
        assert_eq!(pairing.answer(Role::Push), Answered::Push);
        let stray = Role::Confirmation { push: true, subscriptions: 1 };
        assert_eq!(pairing.answer(stray), Answered::Push);
        assert_eq!(pairing.answer(Role::Answer), Answered::Complete(1));
    }

    #[test]
    fn requests_beyond_the_limit_are_lost_but_keep_their_place() {
        let mut pairing = Pairing::new(2);
        open(&mut pairing, 1);
        open(&mut pairing, 2);
        for request in [3, 4] {
            assert_eq!(open(&mut pairing, request), Opened::Lost(request, Unfollowed::InFlight));
        }
        assert_eq!(pairing.answer(Role::Answer), Answered::Complete(1));
        // There is room again, but the order of what waits must not be mixed with what is lost.
        assert_eq!(open(&mut pairing, 5), Opened::Lost(5, Unfollowed::InFlight));
        assert_eq!(pairing.answer(Role::Answer), Answered::Complete(2));
        (0..3).for_each(|_| assert_eq!(pairing.answer(Role::Answer), Answered::Unfollowed));
        assert_eq!(open(&mut pairing, 6), WAITS);
        assert_eq!(pairing.answer(Role::Answer), Answered::Complete(6));
    }

    #[test]
    fn a_client_that_never_pipelined_is_paired_again_after_a_loss() {
        let mut pairing = Pairing::new(8);
        open(&mut pairing, 1);
        assert_eq!(pairing.lose_responses().collect::<Vec<_>>(), [1]);
        assert_eq!(pairing.answer(Role::Answer), Answered::Desync);
        assert_eq!(open(&mut pairing, 2), Opened::Waits { realign: true });
        assert_eq!(pairing.answer(Role::Answer), Answered::Complete(2));
    }

    #[test]
    fn a_client_whose_answer_was_lost_whole_does_not_pipeline() {
        let mut pairing = Pairing::new(8);
        open(&mut pairing, 1);
        open(&mut pairing, 2);
        assert_eq!(pairing.lose_responses().count(), 2, "told with the answer to the second");
        assert_eq!(open(&mut pairing, 3), Opened::Waits { realign: true });
        assert_eq!(pairing.answer(Role::Answer), Answered::Complete(3));
    }

    #[test]
    fn an_answer_behind_two_requests_shows_that_the_client_pipelines_where_none_was_lost() {
        for (missing, then) in
            [(0, Opened::Lost(3, Unfollowed::Desync)), (1, Opened::Waits { realign: true })]
        {
            let mut pairing = Pairing::new(8);
            open(&mut pairing, 1);
            open(&mut pairing, 2);
            pairing.server_speaks(missing);
            assert_eq!(pairing.answer(Role::Answer), Answered::Complete(1));
            assert_eq!(pairing.lose_responses().count(), 1);
            assert_eq!(open(&mut pairing, 3), then);
        }
    }

    #[test]
    fn a_request_without_an_answer_is_no_sign_of_pipelining() {
        let mut pairing = Pairing::new(8);
        pairing.open(1, Expect::Nothing, Comes::First);
        open(&mut pairing, 2);
        pairing.open(3, Expect::Nothing, Comes::Together);
        pairing.server_speaks(0);
        assert_eq!(pairing.lose_responses().count(), 1);
        assert_eq!(open(&mut pairing, 4), Opened::Waits { realign: true });
    }

    #[test]
    fn where_requests_were_missed_the_server_speaks_first() {
        let mut pairing = Pairing::new(8);
        pairing.lose_requests();
        assert_eq!(open(&mut pairing, 1), Opened::Lost(1, Unfollowed::Desync));
        pairing.server_speaks(0);
        assert_eq!(open(&mut pairing, 2), Opened::Waits { realign: true });
    }

    #[test]
    fn a_client_that_pipelined_is_not() {
        let mut pairing = pipelining();
        pairing.lose_requests();
        pairing.server_speaks(0);
        assert_eq!(
            pairing.answer(Role::Answer),
            Answered::Complete(1),
            "what waited before the loss is sure"
        );
        assert_eq!(open(&mut pairing, 3), Opened::Lost(3, Unfollowed::Desync));
        assert_eq!(pairing.answer(Role::Answer), Answered::Complete(2));
        assert_eq!(pairing.answer(Role::Answer), Answered::Desync);
        assert_eq!(open(&mut pairing, 4), Opened::Lost(4, Unfollowed::Desync));
    }

    #[test]
    fn a_client_that_pipelined_is_paired_again_after_a_rest() {
        let mut pairing = pipelining();
        assert_eq!(pairing.lose_responses().count(), 2);
        assert_eq!(open(&mut pairing, 3), Opened::Lost(3, Unfollowed::Desync));
        assert_eq!(pairing.open(4, Expect::One, Comes::Rested), Opened::Waits { realign: true });
        assert_eq!(open(&mut pairing, 5), WAITS, "it may pipeline as before");
        assert_eq!(pairing.answer(Role::Answer), Answered::Complete(4));
        assert_eq!(pairing.answer(Role::Answer), Answered::Complete(5));
    }

    #[test]
    fn a_rest_tells_nothing_while_something_waits() {
        let mut pairing = Pairing::new(8);
        open(&mut pairing, 1);
        pairing.lose_requests();
        assert_eq!(pairing.open(2, Expect::One, Comes::Rested), Opened::Lost(2, Unfollowed::Desync));
        assert_eq!(pairing.answer(Role::Answer), Answered::Complete(1));
    }

    #[test]
    fn an_answer_too_many_after_a_rest_shows_that_it_was_none() {
        let mut pairing = pipelining();
        assert_eq!(pairing.lose_responses().count(), 2);
        assert_eq!(pairing.open(3, Expect::One, Comes::Rested), Opened::Waits { realign: true });
        assert_eq!(pairing.answer(Role::Answer), Answered::Complete(3));
        assert_eq!(pairing.answer(Role::Answer), Answered::NoRest);
        assert_eq!(open(&mut pairing, 4), Opened::Lost(4, Unfollowed::Desync));
    }

    #[test]
    fn a_client_that_turns_out_to_pipeline_before_its_first_answer_is_let_go() {
        let mut pairing = Pairing::new(8);
        pairing.begin_late();
        assert_eq!(open(&mut pairing, 1), Opened::Waits { realign: true });
        assert_eq!(open(&mut pairing, 2), Opened::Lost(2, Unfollowed::Unsure));
        assert_eq!(pairing.lose_responses().collect::<Vec<_>>(), [1]);
        pairing.server_speaks(0);
        assert_eq!(pairing.answer(Role::Answer), Answered::Desync);
        assert_eq!(open(&mut pairing, 3), Opened::Lost(3, Unfollowed::Desync));
        assert_eq!(pairing.open(4, Expect::One, Comes::Rested), Opened::Waits { realign: true });
    }

    #[test]
    fn a_subscription_is_complete_with_its_last_confirmation() {
        for push in [false, true] {
            let confirmed = |subscriptions| Role::Confirmation { push, subscriptions };
            let mut pairing = Pairing::new(8);
            assert_eq!(pairing.open(1, Expect::Confirmations(2), Comes::First), WAITS);
            assert_eq!(pairing.answer(confirmed(1)), Answered::Part);
            assert_eq!(pairing.answer(confirmed(2)), Answered::Complete(1));
            let message = if push { Role::Push } else { Role::Message };
            assert_eq!(pairing.answer(message), Answered::Push);
            pairing.open(2, Expect::Confirmations(1), Comes::First);
            assert_eq!(pairing.answer(confirmed(1)), Answered::Complete(2));
            assert_eq!(pairing.answer(confirmed(0)), Answered::Push, "of an UNSUBSCRIBE from all");
            open(&mut pairing, 3);
            // Not subscribed any more: an array that begins with the word is a plain answer in RESP2.
            let answer = if push { Role::Answer } else { Role::Message };
            assert_eq!(pairing.answer(answer), Answered::Complete(3));
        }
    }

    #[test]
    fn an_error_answers_a_subscription_at_once() {
        let mut pairing = Pairing::new(8);
        pairing.open(1, Expect::Confirmations(5), Comes::First);
        assert_eq!(pairing.answer(Role::Answer), Answered::Complete(1));
    }

    #[test]
    fn a_request_without_an_answer_is_complete_whatever_waits() {
        let mut pairing = Pairing::new(8);
        open(&mut pairing, 1);
        assert_eq!(pairing.open(2, Expect::Nothing, Comes::First), Opened::Complete(2));
        assert_eq!(pairing.answer(Role::Answer), Answered::Complete(1));
    }
}
