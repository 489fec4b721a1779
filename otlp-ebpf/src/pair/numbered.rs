//! Requests with their responses, where both carry a number.
//!
//! A loss takes only the exchanges that it hit: numbers go on telling what belongs together.

use super::{Answered, Opened, Unfollowed};
use crate::parse::few::Few;

/// Requests that wait, by number.
#[derive(Debug)]
pub(crate) struct Numbered<T> {
    waiting: Few<T>,
    limit: usize,
    /// Requests not followed because too many waited, less the responses that named no known number since.
    beyond: u64,
}

impl<T> Numbered<T> {
    pub(crate) const fn new(limit: usize) -> Self {
        Self { waiting: Few::new(), limit, beyond: 0 }
    }

    /// Requests that wait for an answer.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The request of this number, while it waits.
    pub(crate) fn get(&mut self, number: u64) -> Option<&mut T> {
        self.waiting.get_mut(number)
    }

    /// Takes a request. One of the same number that still waits can no longer be told apart: it is given as well.
    pub(crate) fn open(&mut self, number: u64, request: T) -> (Opened<T>, Option<T>) {
        let stale = self.waiting.remove(number);
        if self.waiting.len() >= self.limit {
            self.beyond += 1;
            return (Opened::Lost(request, Unfollowed::InFlight), stale);
        }
        self.waiting.insert(number, request);
        (Opened::Waits { realign: false }, stale)
    }

    /// Takes the response, or whatever else ends the exchange.
    pub(crate) fn answer(&mut self, number: u64) -> Answered<T> {
        match self.waiting.remove(number) {
            Some(request) => Answered::Complete(request),
            None if self.beyond > 0 => {
                self.beyond -= 1;
                Answered::Unfollowed
            }
            None => Answered::NotAsked,
        }
    }

    /// Gives the requests that wait, in the order of their numbers; they wait no longer.
    pub(crate) fn let_go(&mut self) -> impl Iterator<Item = T> + use<T> {
        self.beyond = 0;
        self.waiting.take().into_iter().map(|(_, request)| request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAITS: (Opened<u32>, Option<u32>) = (Opened::Waits { realign: false }, None);

    #[test]
    fn responses_find_their_requests_in_any_order() {
        let mut pairing = Numbered::new(8);
        for request in [1, 3, 5] {
            assert_eq!(pairing.open(u64::from(request), request), WAITS);
        }
        for request in [5, 1, 3] {
            assert_eq!(pairing.answer(u64::from(request)), Answered::Complete(request));
        }
        assert_eq!(pairing.answer(3), Answered::NotAsked);
    }

    #[test]
    fn requests_beyond_the_limit_are_lost_and_their_responses_known() {
        let mut pairing = Numbered::new(1);
        assert_eq!(pairing.open(1, 1), WAITS);
        assert_eq!(pairing.open(3, 3), (Opened::Lost(3, Unfollowed::InFlight), None));
        assert_eq!(pairing.answer(3), Answered::Unfollowed);
        assert_eq!(pairing.answer(3), Answered::NotAsked);
        assert_eq!(pairing.answer(1), Answered::Complete(1));
    }

    #[test]
    fn a_number_used_again_gives_up_the_request_that_had_it() {
        let mut pairing = Numbered::new(8);
        assert_eq!(pairing.open(7, 1), WAITS);
        assert_eq!(pairing.open(7, 2), (Opened::Waits { realign: false }, Some(1)));
        assert_eq!(pairing.answer(7), Answered::Complete(2));
    }

    #[test]
    fn what_waits_is_given_up_in_the_order_of_its_numbers() {
        let mut pairing = Numbered::new(8);
        for number in [9, 2, 4] {
            pairing.open(number, number);
        }
        assert_eq!(pairing.let_go().collect::<Vec<_>>(), [2, 4, 9]);
        assert_eq!(pairing.len(), 0);
    }
}
