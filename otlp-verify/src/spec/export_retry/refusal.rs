use std::fmt;

/// Why an action is not enabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "`Display` says what the fields are")]
pub enum Refusal {
    /// The instant lies before the last one.
    TimeRunsBack { by: u64 },
    /// A request was answered and not dealt with yet.
    Undecided { request: u64 },
    /// A request was handed in without room, and nothing was dropped yet.
    NoRoom { request: u64 },
    /// No such request was handed in.
    Unknown { request: u64 },
    /// Requests are numbered in the order they are handed in.
    Number { expected: u64 },
    /// The request does not wait.
    NotWaiting,
    /// The request is not in flight.
    NotInFlight,
    /// The request is settled; nothing may happen to it any more.
    Settled,
    /// The request was not answered in a way that leads here.
    OtherAnswer,
    /// It is another attempt's turn.
    Attempt { expected: u32 },
    /// All attempts were made.
    AttemptsUsedUp { max_attempts: u32 },
    /// Before the wait of this request is over.
    TooEarly { by: u64 },
    /// Before the time is over for which the receiver asked to be left alone.
    Held { for_another: u64 },
    /// The destination failed too often to be used yet.
    BreakerOpen { for_another: u64 },
    /// The destination is being tried by another request.
    TrialUnderWay,
    /// There are not so many destinations.
    Destination { destinations: u8 },
    /// A destination before this one may be used.
    NotFirst { usable: u8 },
    /// The end of the shutdown can only be brought forward.
    NotForward { deadline: u64 },
    /// The request was kept as long as it may be.
    Expired { since: u64 },
    /// The request may be kept longer.
    NotExpired { left: u64 },
    /// All places in flight are taken.
    SlotsTaken { max_in_flight: u32 },
    /// The next attempt is set too early or too late.
    Wait { earliest: u64, latest: u64 },
    /// The retry would come after the request expires or the shutdown ends.
    Pointless,
    /// The number of records is another.
    Records { expected: u32 },
    /// The number of rejected records is another.
    Rejected { expected: u32 },
    /// This reason does not apply.
    Reason,
    /// The attempt was not made, or is not over.
    NotStale,
    /// The shutdown has not begun.
    Open,
    /// The shutdown has begun.
    ShuttingDown,
    /// The shutdown's deadline has passed.
    PastDeadline { by: u64 },
    /// Not everything is settled.
    Unsettled { requests: u32 },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimeRunsBack { by } => write!(f, "time runs back by {by}"),
            Self::Undecided { request } => {
                write!(f, "request {request} was answered and must be dealt with first")
            }
            Self::NoRoom { request } => {
                write!(f, "request {request} was handed in without room and something must be dropped first")
            }
            Self::Unknown { request } => write!(f, "request {request} was never handed in"),
            Self::Number { expected } => write!(f, "the next request has the number {expected}"),
            Self::NotWaiting => f.write_str("the request is not waiting"),
            Self::NotInFlight => f.write_str("the request is not in flight"),
            Self::Settled => f.write_str("the request is settled already"),
            Self::OtherAnswer => f.write_str("the request was not answered so"),
            Self::Attempt { expected } => write!(f, "it is the turn of attempt {expected}"),
            Self::AttemptsUsedUp { max_attempts } => write!(f, "all {max_attempts} attempts were made"),
            Self::TooEarly { by } => write!(f, "{by} before the wait of the request is over"),
            Self::Held { for_another } => {
                write!(f, "the receiver asked to be left alone for another {for_another}")
            }
            Self::BreakerOpen { for_another } => {
                write!(f, "the breaker of the destination is open for another {for_another}")
            }
            Self::TrialUnderWay => f.write_str("the destination is being tried by another request"),
            Self::Destination { destinations } => write!(f, "there are {destinations} destinations"),
            Self::NotFirst { usable } => write!(f, "destination {usable} comes first and may be used"),
            Self::NotForward { deadline } => {
                write!(f, "the shutdown ends at {deadline} and can only be brought forward")
            }
            Self::Expired { since } => write!(f, "the request expired {since} ago"),
            Self::NotExpired { left } => write!(f, "the request has another {left} before it expires"),
            Self::SlotsTaken { max_in_flight } => write!(f, "all {max_in_flight} places in flight are taken"),
            Self::Wait { earliest, latest } => {
                write!(f, "the retry must be set between {earliest} and {latest}")
            }
            Self::Pointless => {
                f.write_str("the retry would come after the request expires or the shutdown ends")
            }
            Self::Records { expected } => write!(f, "the request has {expected} records"),
            Self::Rejected { expected } => write!(f, "{expected} records were rejected"),
            Self::Reason => f.write_str("the request cannot be dropped for this reason now"),
            Self::NotStale => f.write_str("the attempt was never made, or is in flight"),
            Self::Open => f.write_str("the shutdown has not begun"),
            Self::ShuttingDown => f.write_str("the shutdown has begun"),
            Self::PastDeadline { by } => write!(f, "the deadline of the shutdown passed {by} ago"),
            Self::Unsettled { requests } => write!(f, "{requests} requests are not settled"),
        }
    }
}
