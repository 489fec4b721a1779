//! The network and the receivers: what happens to an attempt, and what comes back when, how often.

use std::time::{Duration, UNIX_EPOCH};

use otlp_core::UnixNanos;
use otlp_core::encode::Encode;
use otlp_core::protocol::export::{Attempt, Outcome, Outgoing};
use otlp_core::protocol::failover::DestinationId;
use otlp_core::protocol::status::{GrpcAnswer, HttpAnswer};
use otlp_core::record::{ExportResponse, RpcStatus};

use super::{Random, Time};

/// What arrives at the client.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Http {
        code: u16,
        retry_after: Option<String>,
        body: Vec<u8>,
    },
    Grpc {
        code: i32,
        details: Vec<u8>,
    },
    /// The connection broke: before the answer, or in the middle of its body.
    Reset,
    /// A body without an end, which the driver stops reading at its cap.
    Endless,
    /// One byte a second, until the driver's patience ends.
    Stall,
}

/// How long a receiver asked to be left alone, as the receiver knows it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wish {
    Nothing,
    For(Duration),
    /// A date by its own clock.
    At(UnixNanos),
}

/// An answer on its way back.
#[derive(Debug, Clone)]
pub(crate) struct Travelling {
    pub(crate) arrives: u64,
    pub(crate) attempt: Attempt,
    pub(crate) destination: DestinationId,
    pub(crate) answer: Answer,
    pub(crate) wish: Wish,
}

impl Travelling {
    pub(crate) fn now(time: &Time, outgoing: &Outgoing, answer: Answer) -> Self {
        let Outgoing { attempt, destination, .. } = *outgoing;
        Self { arrives: time.passed, attempt, destination, answer, wish: Wish::Nothing }
    }
}

impl Answer {
    /// What the driver makes of it, by the code that ships.
    pub(crate) fn read(&self, now: UnixNanos) -> Outcome {
        match self {
            Self::Http { code, retry_after, body } => {
                HttpAnswer { code: *code, retry_after: retry_after.as_deref(), body }.outcome(now)
            }
            Self::Grpc { code, details } => {
                GrpcAnswer { code: *code, message: "", details, body: b"" }.outcome()
            }
            Self::Reset => Outcome::Disconnected,
            Self::Endless => Outcome::BadAnswer,
            Self::Stall => Outcome::TimedOut,
        }
    }

    /// Whether the specification lets the request be sent again. Not by the code that ships.
    pub(crate) fn is_retryable(&self, wish: Wish) -> bool {
        match self {
            Self::Http { code, .. } => [429, 502, 503, 504].contains(code),
            Self::Grpc { code: 8, .. } => !matches!(wish, Wish::Nothing),
            Self::Grpc { code, .. } => [1, 4, 10, 11, 14, 15].contains(code),
            Self::Reset | Self::Stall => true,
            Self::Endless => false,
        }
    }
}

/// What became of one attempt.
#[derive(Default)]
pub(crate) struct Fate {
    /// The receiver took it, wholly or in part.
    pub(crate) taken: bool,
    pub(crate) travelling: Vec<Travelling>,
}

/// Two receivers, each with times when it cannot be reached.
#[derive(Default)]
pub(crate) struct Receivers {
    down_until: [u64; 2],
}

impl Receivers {
    pub(crate) fn receive(&mut self, random: &mut Random, time: &Time, outgoing: &Outgoing) -> Fate {
        if self.is_down(random, time, outgoing.destination) {
            return Fate { taken: false, travelling: vec![Travelling::now(time, outgoing, Answer::Reset)] };
        }
        let (taken, answer, wish) = match random.below(13) {
            // Lost on the way there, or its answer on the way back.
            0 => return Fate { taken: random.one_in(2), travelling: Vec::new() },
            1 => (false, Answer::Reset, Wish::Nothing),
            // In the middle of the answer's body: it was taken, and nobody will know.
            2 => (true, Answer::Reset, Wish::Nothing),
            3 => (random.one_in(2), Answer::Endless, Wish::Nothing),
            4 => (random.one_in(2), Answer::Stall, Wish::Nothing),
            5 => refuse(random, time, &[429, 503]),
            6 => refuse(random, time, &[502, 504]),
            7 => refuse(random, time, &[301, 400, 404, 413, 500]),
            8 => refuse_by_grpc(random),
            fate => (true, accept(random, fate), Wish::Nothing),
        };
        // Mostly soon, sometimes after the exporter's patience, sometimes twice; later ones overtake.
        let late = random.one_in(6) || matches!(answer, Answer::Stall);
        let delay = if late { 9_000_000_000 } else { random.below(900_000_000) };
        let copies = 1 + u64::from(random.one_in(8));
        let travelling = (0..copies).map(|copy| Travelling {
            arrives: time.passed + delay + copy * 50_000_000,
            wish,
            ..Travelling::now(time, outgoing, answer.clone())
        });
        Fate { taken, travelling: travelling.collect() }
    }

    fn is_down(&mut self, random: &mut Random, time: &Time, destination: DestinationId) -> bool {
        let until = self.down_until.get_mut(usize::from(destination.0)).expect("two destinations at most");
        if *until <= time.passed && random.one_in(12) {
            *until = time.passed + random.below(25_000_000_000);
        }
        time.passed < *until
    }
}

fn accept(random: &mut Random, fate: u64) -> Answer {
    let body = match fate {
        9 => ExportResponse::partial(1 + random.below(70), "some").encode_to_bytes().to_vec(),
        10 if random.one_in(2) => ExportResponse::partial(0, "slow down").encode_to_bytes().to_vec(),
        10 => b"{\"partialSuccess\":{}}".to_vec(),
        _ => Vec::new(),
    };
    Answer::Http { code: 200, retry_after: None, body }
}

/// Refuses with one of `codes` and, twice in three times, a wait in one of its two forms.
fn refuse(random: &mut Random, time: &Time, codes: &[u16]) -> (bool, Answer, Wish) {
    let code = codes.get(random.size_below(codes.len() as u64)).copied().expect("an index below the length");
    let seconds = random.below(100);
    let (retry_after, wish) = match random.below(3) {
        0 => (None, Wish::Nothing),
        1 => (Some(seconds.to_string()), Wish::For(Duration::from_secs(seconds))),
        _ => {
            // A date has whole seconds.
            let date = time.elsewhere().0 / 1_000_000_000 + seconds;
            let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(date));
            (Some(text), Wish::At(UnixNanos::from_secs(date)))
        }
    };
    let body = RpcStatus { code: 14, message: "no".into() }.encode_to_bytes().to_vec();
    (false, Answer::Http { code, retry_after, body }, wish)
}

fn refuse_by_grpc(random: &mut Random) -> (bool, Answer, Wish) {
    let code = 1 + i32::try_from(random.below(16)).expect("small");
    let seconds = random.below(90);
    let mut details = RpcStatus { code, message: "no".into() }.encode_to_bytes().to_vec();
    let wish = if random.one_in(2) {
        details.extend(retry_info(u8::try_from(seconds).expect("small")));
        Wish::For(Duration::from_secs(seconds))
    } else {
        Wish::Nothing
    };
    (false, Answer::Grpc { code, details }, wish)
}

/// The field `details` with a `google.rpc.RetryInfo`, by hand.
fn retry_info(seconds: u8) -> Vec<u8> {
    let url = b"type.googleapis.com/google.rpc.RetryInfo";
    let mut any = vec![0x0a, 40];
    any.extend(url);
    any.extend([0x12, 4, 0x0a, 2, 0x08, seconds]);
    let mut field = vec![0x1a, u8::try_from(any.len()).expect("short")];
    field.extend(any);
    field
}
