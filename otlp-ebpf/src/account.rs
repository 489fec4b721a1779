//! Exact counts of what was seen and what became of it.

use std::ops::{AddAssign, SubAssign};

/// The account of one connection or of a tap.
///
/// Two identities hold at every instant (see [`Account::is_balanced`]):
/// requests = spans + lost + in progress, and responses = paired + unpaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Account {
    /// Requests seen, those refused included.
    pub requests: u64,
    /// Spans given out, one for each request that was followed to its end.
    pub spans: u64,
    /// Requests waiting for their responses.
    pub in_progress: u64,
    /// Requests without a span, by reason.
    pub lost: Lost,
    /// Responses seen, those refused included; RESP replies that answer nothing are not among them.
    pub responses: u64,
    /// Responses that answered a request.
    pub paired: u64,
    /// Responses that answered none, by reason.
    pub unpaired: Unpaired,
    /// Interim HTTP responses (1xx).
    pub interim: u64,
    /// RESP replies that answer nothing: pushes, messages of subscriptions.
    pub pushes: u64,
    /// Bytes to the server that belong to no message.
    pub unparsed_to_server: u64,
    /// Bytes to the client that belong to no message.
    pub unparsed_to_client: u64,
    /// Times a message or its body was refused, either way; cut off by the peer included.
    pub refused: u64,
    /// Runs of prepared SQL statements whose text was not known: prepared before the connection was seen, or too many.
    pub statements_unknown: u64,
    /// How callers were found.
    pub join: JoinCounts,
}

/// The account of a connection that is followed: what is zero on most has no room in it.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    pub(crate) spans: u64,
    pub(crate) responses: u64,
    pub(crate) paired: u64,
    pub(crate) join: JoinCounts,
    rare: Option<Box<Account>>,
}

impl Tally {
    /// All else.
    pub(crate) fn rare(&mut self) -> &mut Account {
        self.rare.get_or_insert_default()
    }

    /// The account, with so many requests that wait.
    pub(crate) fn account(&self, in_progress: u64) -> Account {
        let Self { requests, spans, responses, paired, join, .. } = *self;
        let rare = self.rare.as_deref().copied().unwrap_or_default();
        Account { requests, spans, in_progress, responses, paired, join, ..rare }
    }
}

macro_rules! counts {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$field_doc])* pub $field: u64,)*
        }

        impl $name {
            /// The sum over all reasons.
            #[must_use]
            pub const fn total(&self) -> u64 {
                0 $(+ self.$field)*
            }
        }

        impl SubAssign for $name {
            fn sub_assign(&mut self, other: Self) {
                $(self.$field -= other.$field;)*
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                $(self.$field += other.$field;)*
            }
        }
    };
}

counts! {
    /// Requests without a span, by reason.
    Lost {
        /// The request could not be read.
        malformed_request,
        /// Its response could not be read.
        malformed_response,
        /// Which response is its own could not be told, after a loss on the same connection.
        desync,
        /// Too many requests were in flight on the connection.
        in_flight_limit,
        /// The observation ended while it waited.
        shutdown,
    }
}

counts! {
    /// Responses that answered no request, by reason.
    Unpaired {
        /// Nothing had been asked.
        not_asked,
        /// The response could not be read.
        malformed,
        /// What it answers could not be told, after a loss on the same connection.
        desync,
        /// It answers a request beyond the limit of those in flight.
        in_flight_limit,
    }
}

counts! {
    /// How the parents of requests were found, a request each.
    JoinCounts {
        /// Caller not known: a client outside, or none of the candidate processes.
        caller_unknown,
        /// The caller's request in flight in the same trace.
        by_trace,
        /// The only request in flight at the caller.
        sole,
        /// Several requests of the caller were possible; none was chosen.
        ambiguous,
        /// The caller had no such request in flight.
        absent,
        /// The client's view of the same exchange.
        by_exchange,
        /// The header's parent had been named before on the connection; the trace is new and links to it.
        parent_reused,
    }
}

impl Account {
    /// True where every request and every response is accounted for.
    ///
    /// ```
    /// use otlp_ebpf::Account;
    /// let mut account = Account::default();
    /// account.requests = 3;
    /// account.spans = 2;
    /// assert!(!account.is_balanced());
    /// account.in_progress = 1;
    /// assert!(account.is_balanced());
    /// ```
    #[must_use]
    pub const fn is_balanced(&self) -> bool {
        self.requests == self.spans + self.lost.total() + self.in_progress
            && self.responses == self.paired + self.unpaired.total()
    }
}

impl AddAssign for Account {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.spans += other.spans;
        self.in_progress += other.in_progress;
        self.lost += other.lost;
        self.responses += other.responses;
        self.paired += other.paired;
        self.unpaired += other.unpaired;
        self.interim += other.interim;
        self.pushes += other.pushes;
        self.unparsed_to_server += other.unparsed_to_server;
        self.unparsed_to_client += other.unparsed_to_client;
        self.refused += other.refused;
        self.statements_unknown += other.statements_unknown;
        self.join += other.join;
    }
}

impl SubAssign for Account {
    /// Takes away what was added before; panics in debug builds where it was not.
    fn sub_assign(&mut self, other: Self) {
        self.requests -= other.requests;
        self.spans -= other.spans;
        self.in_progress -= other.in_progress;
        self.lost -= other.lost;
        self.responses -= other.responses;
        self.paired -= other.paired;
        self.unpaired -= other.unpaired;
        self.interim -= other.interim;
        self.pushes -= other.pushes;
        self.unparsed_to_server -= other.unparsed_to_server;
        self.unparsed_to_client -= other.unparsed_to_client;
        self.refused -= other.refused;
        self.statements_unknown -= other.statements_unknown;
        self.join -= other.join;
    }
}
