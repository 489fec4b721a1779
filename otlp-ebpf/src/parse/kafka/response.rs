//! Answers: the number of the request, then a body that only the request tells how to read.

use super::Response;
use super::api::Api;
use super::shape;
use super::side::{Begin, Emit, Message, Way};
use super::talk::{Talk, Waiting};
use super::walk::Route;
use crate::parse::infer::Verdict;
use crate::parse::{Direction, End, Event, Exchange, ResponseHead};

#[derive(Debug, Default)]
pub(super) struct Responses {
    number: u32,
    answers: Option<Waiting>,
}

/// The least that a length counts: the number.
const NUMBER: u32 = 4;

fn read(head: &[u8]) -> Option<(u32, u32)> {
    let (length, rest) = head.split_first_chunk()?;
    Some((u32::from_be_bytes(*length), u32::from_be_bytes(*rest.first_chunk()?)))
}

impl Way for Responses {
    const DIRECTION: Direction = Direction::ToClient;
    const FIXED: usize = 8;
    const HEAD: usize = 8;
    const DOUBTS: bool = true;

    /// An answer to a request that waits.
    fn looks(&self, talk: &Talk, window: &[u8]) -> Verdict {
        if window.first().is_some_and(|first| *first != 0) {
            return Verdict::No;
        }
        match read(window) {
            None => Verdict::More,
            Some((length, number)) if length > NUMBER && talk.waits(number).is_some() => Verdict::Yes,
            Some(_) => Verdict::No,
        }
    }

    fn begin(&mut self, talk: &Talk, head: &[u8]) -> Begin {
        let (_, number) = read(head).unwrap_or_default();
        self.number = number;
        self.answers = talk.waits(number);
        let Some(Waiting { api, version, .. }) = self.answers.filter(|to| to.api.knows(to.version)) else {
            if talk.raw && self.answers.is_none() {
                return Begin::Pass;
            }
            let shape = &shape::UNKNOWN;
            return Begin::Message(Route {
                head: &[],
                head_tagged: false,
                shape,
                version: 0,
                flexible: false,
            });
        };
        let flexible = api.is_flexible(version);
        Begin::Message(Route {
            head: &[],
            // Whoever asks for versions does not know yet which answer it can read.
            head_tagged: flexible && api != Api::API_VERSIONS,
            shape: shape::response(api),
            version,
            flexible,
        })
    }

    fn complete(&mut self, talk: &mut Talk, message: Message<'_>, on: Emit<'_>) {
        let Message { facts, start, time, bytes, mut end, .. } = message;
        let api = self.answers.map(|answered| answered.api);
        if api == Some(Api::FETCH) {
            talk.session.answer(self.number, facts);
        }
        facts.resolve();
        if self.answers.is_none() && talk.waits(self.number).is_some() {
            // The end of its request was lost, and told too late to read this by it.
            facts.lose_rest();
            end = End::Gap;
        }
        talk.answered(self.number, on);
        let head = Response { api, number: self.number.cast_signed(), facts };
        on(Event::Response {
            exchange: Exchange::Numbered(self.number.into()),
            first_byte: start,
            time,
            head: ResponseHead::Kafka(head),
            body_bytes: bytes,
            end,
        });
    }

    fn lose(&mut self, talk: &mut Talk) {
        talk.doubt();
    }
}
