//! Frame headers (RFC 9113 §4.1 and §6).

use crate::parse::Direction;

/// Bytes of a frame's header.
pub(super) const HEADER: usize = 9;

/// The most that a frame may hold unless more was allowed, and the most that can be allowed (RFC 9113 §6.5.2).
pub(super) const USUAL_FRAME: u32 = 1 << 14;
pub(super) const LARGEST_FRAME: u32 = (1 << 24) - 1;

const END_STREAM: u8 = 0x01;
const ACK: u8 = 0x01;
const END_HEADERS: u8 = 0x04;
const PADDED: u8 = 0x08;
const PRIORITY: u8 = 0x20;

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    Headers,
    Priority,
    Reset,
    Settings,
    Promise,
    Ping,
    GoAway,
    Window,
    Continuation,
    /// Of an extension; passed over.
    Other,
}

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) length: u32,
    pub(super) stream: u32,
    flags: u8,
    /// The bit that senders leave unset.
    reserved: bool,
}

impl Frame {
    pub(super) const NONE: Self = Self { kind: Kind::Other, length: 0, stream: 0, flags: 0, reserved: false };

    pub(super) fn read(header: &[u8; HEADER]) -> Self {
        let [high, middle, low, kind, flags, stream @ ..] = *header;
        let stream = u32::from_be_bytes(stream);
        Self {
            kind: match kind {
                0 => Kind::Data,
                1 => Kind::Headers,
                2 => Kind::Priority,
                3 => Kind::Reset,
                4 => Kind::Settings,
                5 => Kind::Promise,
                6 => Kind::Ping,
                7 => Kind::GoAway,
                8 => Kind::Window,
                9 => Kind::Continuation,
                _ => Kind::Other,
            },
            length: u32::from_be_bytes([0, high, middle, low]),
            stream: stream & 0x7fff_ffff,
            flags,
            reserved: stream >> 31 == 1,
        }
    }

    /// True where the rules of its kind allow it in this direction.
    pub(super) const fn is_valid(&self, direction: Direction, largest: u32) -> bool {
        let length = self.length;
        let kind = match self.kind {
            Kind::Data | Kind::Headers | Kind::Continuation => self.stream != 0,
            Kind::Promise => self.stream != 0 && matches!(direction, Direction::ToClient),
            Kind::Priority => self.stream != 0 && length == 5,
            Kind::Reset => self.stream != 0 && length == 4,
            Kind::Settings if self.is_ack() => self.stream == 0 && length == 0,
            Kind::Settings => self.stream == 0 && length.is_multiple_of(6),
            Kind::Ping => self.stream == 0 && length == 8,
            Kind::GoAway => self.stream == 0 && length >= 8,
            Kind::Window => length == 4,
            Kind::Other => true,
        };
        kind && length <= largest && length >= self.lead()
    }

    /// Bytes before what the frame carries that are needed to read it: the length of the padding and so on.
    pub(super) const fn lead(&self) -> u32 {
        let padded = if self.is_padded() { 1 } else { 0 };
        match self.kind {
            Kind::Data => padded,
            Kind::Headers if self.flags & PRIORITY != 0 => padded + 5,
            Kind::Headers => padded,
            Kind::Promise => padded + 4,
            Kind::Reset => 4,
            Kind::GoAway => 8,
            Kind::Priority | Kind::Settings | Kind::Ping => 0,
            Kind::Window | Kind::Continuation | Kind::Other => 0,
        }
    }

    pub(super) const fn ends_stream(&self) -> bool {
        matches!(self.kind, Kind::Data | Kind::Headers) && self.flags & END_STREAM != 0
    }

    pub(super) const fn ends_block(&self) -> bool {
        self.flags & END_HEADERS != 0
    }

    pub(super) const fn is_padded(&self) -> bool {
        matches!(self.kind, Kind::Data | Kind::Headers | Kind::Promise) && self.flags & PADDED != 0
    }

    pub(super) const fn is_ack(&self) -> bool {
        self.flags & ACK != 0
    }

    /// True where nothing is set that its kind does not define: what a search asks for beyond being valid.
    pub(super) const fn is_plain(&self) -> bool {
        let defined = match self.kind {
            Kind::Data => END_STREAM | PADDED,
            Kind::Headers => END_STREAM | END_HEADERS | PADDED | PRIORITY,
            Kind::Promise => END_HEADERS | PADDED,
            Kind::Settings | Kind::Ping => ACK,
            Kind::Continuation => END_HEADERS,
            Kind::Priority | Kind::Reset | Kind::GoAway | Kind::Window => 0,
            Kind::Other => return false,
        };
        self.flags & !defined == 0 && !self.reserved
    }
}

/// An error code (RFC 9113 §7) as `error.type` has it.
pub(super) const fn error_name(code: u32) -> &'static str {
    match code {
        1 => "protocol_error",
        2 => "internal_error",
        3 => "flow_control_error",
        4 => "settings_timeout",
        5 => "stream_closed",
        6 => "frame_size_error",
        7 => "refused_stream",
        8 => "cancel",
        9 => "compression_error",
        10 => "connect_error",
        11 => "enhance_your_calm",
        12 => "inadequate_security",
        13 => "http_1_1_required",
        _ => "stream_reset",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(length: u32, kind: u8, flags: u8, stream: u32) -> Frame {
        let [_, high, middle, low] = length.to_be_bytes();
        let [a, b, c, d] = stream.to_be_bytes();
        Frame::read(&[high, middle, low, kind, flags, a, b, c, d])
    }

    #[test]
    fn frames_are_valid_by_the_rules_of_their_kind() {
        let valid = |frame: Frame| frame.is_valid(Direction::ToServer, USUAL_FRAME);
        for right in [
            frame(0, 0, 1, 1),
            frame(1, 0, 8, 1),
            frame(6, 1, 0x2c, 3),
            frame(5, 2, 0, 3),
            frame(4, 3, 0, 3),
            frame(12, 4, 0, 0),
            frame(0, 4, 1, 0),
            frame(8, 6, 0, 0),
            frame(8, 7, 0, 0),
            frame(4, 8, 0, 0),
            frame(9, 9, 4, 1),
            frame(16_384, 0xfa, 0xff, 9),
        ] {
            assert!(valid(right), "{right:?}");
        }
        for wrong in [
            frame(0, 0, 0, 0),
            frame(0, 0, 8, 1),
            frame(5, 1, 0x2c, 3),
            frame(4, 2, 0, 3),
            frame(5, 3, 0, 3),
            frame(7, 4, 0, 0),
            frame(6, 4, 0, 1),
            frame(6, 4, 1, 0),
            frame(4, 5, 4, 1),
            frame(9, 6, 0, 0),
            frame(7, 7, 0, 0),
            frame(5, 8, 0, 0),
            frame(9, 9, 4, 0),
            frame(16_385, 0, 0, 1),
        ] {
            assert!(!valid(wrong), "{wrong:?}");
        }
        assert!(frame(4, 5, 4, 1).is_valid(Direction::ToClient, USUAL_FRAME), "a server may promise");
    }

    #[test]
    fn a_search_asks_for_flags_that_are_defined() {
        assert!(frame(4, 8, 0, 0).is_plain() && frame(9, 1, 0x2d, 1).is_plain());
        assert!(!frame(4, 8, 1, 0).is_plain() && !frame(9, 1, 0x40, 1).is_plain());
        assert!(!frame(9, 1, 4, 0x8000_0001).is_plain() && !frame(9, 0xfa, 0, 1).is_plain());
        assert_eq!(frame(9, 1, 4, 0x8000_0001).stream, 1);
    }
}
