//! The account of a tap.

use crate::account::Account;

/// Bytes of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Flow {
    /// Read from the sender.
    pub read: u64,
    /// Written to the receiver.
    pub written: u64,
    /// Read, but given up because the connection was reset or cut off.
    pub dropped: u64,
    /// Read, and waiting for the receiver.
    pub waiting: u64,
}

impl Flow {
    /// True where every byte is accounted for.
    #[must_use]
    pub const fn is_balanced(&self) -> bool {
        self.read == self.written + self.dropped + self.waiting
    }
}

/// The account of a tap, at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TapStats {
    /// Connections accepted, those below included.
    pub accepted: u64,
    /// Connections open now, those still being connected to the service included.
    pub open: u64,
    /// Connections that ended because both ends closed.
    pub closed: u64,
    /// Connections that ended with a reset, or with a failure of a socket.
    pub reset: u64,
    /// Connections closed because the service could not be reached.
    pub unreachable: u64,
    /// Connections closed because too many were open.
    pub over_limit: u64,
    /// Connections cut off, or closed while idle, when the tap stopped.
    pub cut_off: u64,
    /// Times that accepting failed (no file descriptors left, for instance).
    pub accept_errors: u64,
    /// Connections whose caller was looked for and found.
    pub callers_found: u64,
    /// Connections whose caller was looked for in vain.
    pub callers_unknown: u64,
    /// Bytes to the server.
    pub to_server: Flow,
    /// Bytes to the client.
    pub to_client: Flow,
    /// Requests, responses and spans.
    pub account: Account,
}

impl TapStats {
    /// True where every connection, byte, request and response is accounted for.
    ///
    /// ```
    /// use otlp_ebpf::tap::TapStats;
    /// let mut stats = TapStats::default();
    /// stats.accepted = 2;
    /// stats.closed = 1;
    /// assert!(!stats.is_balanced());
    /// stats.open = 1;
    /// assert!(stats.is_balanced());
    /// ```
    #[must_use]
    pub const fn is_balanced(&self) -> bool {
        self.accepted
            == self.open + self.closed + self.reset + self.unreachable + self.over_limit + self.cut_off
            && self.to_server.is_balanced()
            && self.to_client.is_balanced()
            && self.account.is_balanced()
    }
}
