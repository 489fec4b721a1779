//! Requests with their responses: in pipelining order here, by number in [`numbered`].
//!
//! Responses come in the order of the requests. Where a direction has lost its place that order tells
//! nothing any more: whatever is in flight is let go, and pairing begins again with the first request
//! that comes while nothing is in flight, provided that the client was never seen to pipeline (one that
//! does not has read all it asked for before it asks again). A wrong pair is never made for a right one lost.

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

/// Why a request cannot be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfollowed {
    /// Too many are in flight.
    InFlight,
    /// Which response will be its own cannot be told.
    Desync,
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
}

#[derive(Debug)]
pub(crate) struct Pairing<T> {
    waiting: VecDeque<Waiting<T>>,
    limit: usize,
    /// Requests behind those that wait, not followed because they were too many.
    beyond: u64,
    /// Responses to what comes behind those that wait cannot be told apart.
    lost_place: bool,
    /// The client has been seen to send a request before it had its answers.
    pipelines: bool,
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
            pipelines: false,
            subscribed: false,
        }
    }

    /// Requests that wait for an answer.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The newest request, while it waits.
    pub(crate) fn newest(&mut self) -> Option<&mut T> {
        self.waiting.back_mut().map(|waiting| &mut waiting.request)
    }

    /// Takes a request.
    pub(crate) fn open(&mut self, request: T, expect: Expect) -> Opened<T> {
        let quiet = self.waiting.is_empty() && self.beyond == 0;
        self.pipelines |= !quiet;
        let (answers, confirmed) = match expect {
            Expect::Nothing => return Opened::Complete(request),
            Expect::One => (1, false),
            Expect::Confirmations(count) => (count.max(1), true),
        };
        let mut realign = false;
        if self.lost_place {
            if !quiet || self.pipelines {
                return Opened::Lost(request, Unfollowed::Desync);
            }
            self.lost_place = false;
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
            Some(oldest) => Answered::Complete(oldest.request),
            None if self.beyond > 0 => {
                self.beyond -= 1;
                Answered::Unfollowed
            }
            None if self.lost_place => Answered::Desync,
            None => Answered::NotAsked,
        }
    }

    fn confirm(&mut self) -> Answered<T> {
        if let Some(oldest) = self.waiting.front_mut().filter(|oldest| oldest.answers > 1) {
            oldest.answers -= 1;
            return Answered::Part;
        }
        self.waiting.pop_front().map_or(Answered::NotAsked, |oldest| Answered::Complete(oldest.request))
    }

    /// Requests can no longer be told; those that wait still get their answers.
    pub(crate) fn lose_requests(&mut self) {
        self.pipelines |= !self.waiting.is_empty() || self.beyond > 0;
        self.lost_place = true;
    }

    /// Responses can no longer be told; gives the requests that waited.
    pub(crate) fn lose_responses(&mut self) -> impl Iterator<Item = T> {
        self.lost_place = true;
        self.let_go()
    }

    /// Gives the requests that wait; they wait no longer.
    pub(crate) fn let_go(&mut self) -> impl Iterator<Item = T> {
        self.beyond = 0;
        std::mem::take(&mut self.waiting).into_iter().map(|waiting| waiting.request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(pairing: &mut Pairing<u32>, request: u32) -> Opened<u32> {
        pairing.open(request, Expect::One)
    }

    const WAITS: Opened<u32> = Opened::Waits { realign: false };

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
    fn a_client_that_pipelined_is_not() {
        let mut pairing = Pairing::new(8);
        open(&mut pairing, 1);
        open(&mut pairing, 2);
        pairing.lose_requests();
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
    fn a_subscription_is_complete_with_its_last_confirmation() {
        for push in [false, true] {
            let confirmed = |subscriptions| Role::Confirmation { push, subscriptions };
            let mut pairing = Pairing::new(8);
            assert_eq!(pairing.open(1, Expect::Confirmations(2)), WAITS);
            assert_eq!(pairing.answer(confirmed(1)), Answered::Part);
            assert_eq!(pairing.answer(confirmed(2)), Answered::Complete(1));
            let message = if push { Role::Push } else { Role::Message };
            assert_eq!(pairing.answer(message), Answered::Push);
            pairing.open(2, Expect::Confirmations(1));
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
        pairing.open(1, Expect::Confirmations(5));
        assert_eq!(pairing.answer(Role::Answer), Answered::Complete(1));
    }

    #[test]
    fn a_request_without_an_answer_is_complete_whatever_waits() {
        let mut pairing = Pairing::new(8);
        open(&mut pairing, 1);
        assert_eq!(pairing.open(2, Expect::Nothing), Opened::Complete(2));
        assert_eq!(pairing.answer(Role::Answer), Answered::Complete(1));
    }
}
