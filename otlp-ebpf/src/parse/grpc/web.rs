//! gRPC-Web: a call within HTTP of any version, whose status comes in the body of its response.
//!
//! The body is a series of messages, each behind five bytes: flags and length. The one whose highest flag is set holds
//! the trailers as text. With `application/grpc-web-text` all of that is in Base64, in as many padded pieces as were
//! flushed.

use super::status_code;

/// Bytes of the trailers that are looked at.
const MAX_TRAILERS: usize = 1 << 10;

/// Flag of the trailers, and of what is compressed.
const TRAILERS: u8 = 0x80;
const COMPRESSED: u8 = 0x01;

/// What is known of the status of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// This is it.
    Code(u32),
    /// None was sent.
    Nothing,
    /// Whether one was sent was not seen, or not understood.
    Unknown,
}

/// Reads the body of a response, and keeps nothing of it but the status.
#[derive(Debug)]
pub(in crate::parse) struct Web {
    base64: Option<Quantum>,
    place: Place,
}

/// Characters of Base64 that make up to three bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Quantum {
    bits: u32,
    characters: usize,
    padding: usize,
}

#[derive(Debug)]
enum Place {
    /// In what stands before a message, so many bytes in.
    Head([u8; 5], usize),
    /// In a message, of which so many bytes are to come.
    Message(u32),
    Trailers {
        left: u32,
        kept: Vec<u8>,
        cut: bool,
    },
    Told(Told),
}

impl Web {
    /// For a response with these headers; nothing where it is none of gRPC-Web.
    pub(in crate::parse) fn of<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> Option<Self> {
        let (mut form, mut status, mut is_coded) = (None, None, false);
        for (name, value) in headers {
            match name.len() {
                11 if name.eq_ignore_ascii_case("grpc-status") => status = status_code(value),
                12 if name.eq_ignore_ascii_case("content-type") => form = form_of(value),
                16 if name.eq_ignore_ascii_case("content-encoding") => {
                    is_coded |= !value.eq_ignore_ascii_case(b"identity");
                }
                _ => {}
            }
        }
        let place = match (status, is_coded) {
            // Nothing but trailers, which then are headers.
            (Some(code), _) => Place::Told(Told::Code(code)),
            (None, true) => Place::Told(Told::Unknown),
            (None, false) => Place::Head([0; 5], 0),
        };
        let base64 = (form? == Form::Text).then(Quantum::default);
        Some(Self { base64, place })
    }

    /// Takes the next bytes of the body. O(bytes).
    pub(in crate::parse) fn take(&mut self, bytes: &[u8]) {
        if matches!(self.place, Place::Told(_)) {
            return;
        }
        let Some(mut quantum) = self.base64 else {
            return self.messages(bytes);
        };
        for byte in bytes {
            match quantum.push(*byte) {
                Some((decoded, length)) => self.messages(decoded.get(..length).unwrap_or_default()),
                None => return self.lose(),
            }
        }
        self.base64 = Some(quantum);
    }

    /// Tells that some of the body was not seen: where messages begin is not known any more.
    pub(in crate::parse) fn lose(&mut self) {
        if !matches!(self.place, Place::Told(_)) {
            self.place = Place::Told(Told::Unknown);
        }
    }

    /// The status, where the body is over.
    pub(in crate::parse) const fn told(&self) -> Told {
        match self.place {
            Place::Told(told) => told,
            _ => Told::Nothing,
        }
    }

    pub(in crate::parse) const fn held_bytes(&self) -> usize {
        let kept = if let Place::Trailers { kept, .. } = &self.place { kept.capacity() } else { 0 };
        size_of::<Self>() + kept
    }

    fn messages(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let used = match &mut self.place {
                Place::Told(_) => return,
                Place::Head(head, have) => {
                    let room = head.get_mut(*have..).unwrap_or_default();
                    let used = room.len().min(bytes.len());
                    room.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
                    *have += used;
                    if *have == head.len() {
                        self.place = begin(*head);
                    }
                    used
                }
                Place::Message(left) => {
                    let used = clamp(*left, bytes.len());
                    *left -= narrow(used);
                    if *left == 0 {
                        self.place = Place::Head([0; 5], 0);
                    }
                    used
                }
                Place::Trailers { left, kept, cut } => {
                    let used = clamp(*left, bytes.len());
                    let part = bytes.get(..used).unwrap_or_default();
                    let room = MAX_TRAILERS - kept.len();
                    kept.extend_from_slice(part.get(..room).unwrap_or(part));
                    *cut |= part.len() > room;
                    *left -= narrow(used);
                    if *left == 0 {
                        self.place = Place::Told(status(kept, *cut));
                    }
                    used
                }
            };
            bytes = bytes.get(used..).unwrap_or_default();
        }
    }
}

/// What follows on this head of a message.
fn begin([flags, length @ ..]: [u8; 5]) -> Place {
    let left = u32::from_be_bytes(length);
    match flags & TRAILERS != 0 {
        true if flags & COMPRESSED != 0 => Place::Told(Told::Unknown),
        true if left == 0 => Place::Told(Told::Nothing),
        true => Place::Trailers { left, kept: Vec::new(), cut: false },
        false if left == 0 => Place::Head([0; 5], 0),
        false => Place::Message(left),
    }
}

/// The status among the trailers.
fn status(trailers: &[u8], cut: bool) -> Told {
    let mut lines = trailers.split(|byte| *byte == b'\n');
    if cut {
        // The last line may go on.
        lines.next_back();
    }
    let status = lines.find_map(|line| {
        let colon = memchr::memchr(b':', line)?;
        let (name, value) = line.split_at_checked(colon)?;
        let value = value.get(1..)?.trim_ascii();
        name.trim_ascii().eq_ignore_ascii_case(b"grpc-status").then_some(value)
    });
    match status.map(status_code) {
        Some(Some(code)) => Told::Code(code),
        Some(None) => Told::Unknown,
        None if cut => Told::Unknown,
        None => Told::Nothing,
    }
}

impl Quantum {
    /// Takes a character; gives what is complete with it, nothing where it cannot be.
    fn push(&mut self, character: u8) -> Option<([u8; 3], usize)> {
        if character == b'=' {
            self.padding += 1;
            self.bits <<= 6;
            if self.characters < 2 {
                return None;
            }
        } else {
            if self.padding > 0 {
                return None;
            }
            self.bits = self.bits << 6 | u32::from(digit(character)?);
            self.characters += 1;
        }
        if self.characters + self.padding < 4 {
            return Some(([0; 3], 0));
        }
        let Self { bits, padding, .. } = std::mem::take(self);
        let [_, decoded @ ..] = bits.to_be_bytes();
        Some((decoded, 3 - padding))
    }
}

/// The value of a character of Base64 (RFC 4648 §4).
const fn digit(character: u8) -> Option<u8> {
    Some(match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Binary,
    Text,
}

fn form_of(content_type: &[u8]) -> Option<Form> {
    let prefix = b"application/grpc-web";
    let (met, behind) = content_type.split_at_checked(prefix.len())?;
    if !met.eq_ignore_ascii_case(prefix) {
        return None;
    }
    let text = behind.get(..5).filter(|text| text.eq_ignore_ascii_case(b"-text"));
    let (form, behind) = match text {
        Some(_) => (Form::Text, behind.get(5..)?),
        None => (Form::Binary, behind),
    };
    matches!(behind.first(), None | Some(b'+' | b';' | b' ')).then_some(form)
}

/// True for `application/grpc-web`, `application/grpc-web-text`, and their message formats.
pub(in crate::parse) fn is_content_type(value: &[u8]) -> bool {
    form_of(value).is_some()
}

/// The smaller of a length announced and one at hand.
fn clamp(announced: u32, at_hand: usize) -> usize {
    usize::try_from(announced).map_or(at_hand, |announced| announced.min(at_hand))
}

/// A length that was clamped to one of 32 bits.
fn narrow(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web(content_type: &str) -> Option<Web> {
        Web::of([("Content-Type", content_type.as_bytes())].into_iter())
    }

    /// A message with these flags.
    fn message(flags: u8, text: &str) -> Vec<u8> {
        [&[flags][..], &u32::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
    }

    fn base64(bytes: &[u8]) -> String {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let quantum = |bytes: &[u8]| {
            let bits = (0..3).fold(0, |bits, at| bits << 8 | u32::from(bytes.get(at).copied().unwrap_or(0)));
            let letter = |at: usize| {
                let letter = char::from(LETTERS[(bits >> (18 - 6 * at)) as usize & 63]);
                if at > bytes.len() { '=' } else { letter }
            };
            (0..4).map(letter).collect::<String>()
        };
        bytes.chunks(3).map(quantum).collect()
    }

    fn told(content_type: &str, body: &[u8], step: usize) -> Told {
        let mut web = web(content_type).unwrap();
        body.chunks(step).for_each(|piece| web.take(piece));
        assert!(web.held_bytes() <= size_of::<Web>() + 2 * MAX_TRAILERS);
        web.told()
    }

    #[test]
    fn the_status_is_found_behind_messages_at_any_cut_in_either_form() {
        let trailers = message(0x80, "Grpc-Message: gone\r\ngrpc-status: 5\r\n");
        let body = [message(0, "a message"), message(0, ""), trailers].concat();
        // Flushed in between: padded there.
        let (first, second) = body.split_at(14);
        for step in 1..=body.len() {
            assert_eq!(told("application/grpc-web+proto", &body, step), Told::Code(5), "{step}");
            for text in [base64(&body), base64(first) + &base64(second)] {
                assert_eq!(
                    told("application/grpc-web-text; charset=utf-8", text.as_bytes(), step),
                    Told::Code(5)
                );
            }
        }
    }

    #[test]
    fn what_is_not_understood_is_not_known() {
        let long = format!("grpc-message: {}\r\ngrpc-status: 0\r\n", "x".repeat(MAX_TRAILERS));
        let split = format!("{}\ngrpc-status: 12\r\n", "x".repeat(MAX_TRAILERS - 16));
        for body in [
            message(0x81, "grpc-status: 0\r\n"),
            message(0x80, "grpc-status: no\r\n"),
            message(0x80, &long),
            message(0x80, &split),
        ] {
            assert_eq!(told("application/grpc-web", &body, 7), Told::Unknown);
        }
        for text in ["====", "A===", "AA=A", "A*AA"] {
            assert_eq!(told("application/grpc-web-text", text.as_bytes(), 7), Told::Unknown, "{text}");
        }
        let mut holed = web("application/grpc-web").unwrap();
        holed.lose();
        holed.take(&message(0x80, "grpc-status: 0\r\n"));
        assert_eq!(holed.told(), Told::Unknown);
    }

    #[test]
    fn where_there_is_none_none_was_sent() {
        for body in [vec![], message(0, "x"), message(0x80, ""), message(0x80, "a: b\r\n")] {
            assert_eq!(told("application/grpc-web", &body, 3), Told::Nothing);
        }
        // Its end was not seen.
        assert_eq!(
            told("application/grpc-web", &message(0x80, "grpc-status: 0\r\n")[..20], 3),
            Told::Nothing
        );
    }

    #[test]
    fn headers_tell_the_form_and_a_status_without_a_body() {
        for other in ["application/grpc", "application/grpc-webx", "application/grpc-web-texts", "text/html"]
        {
            assert!(web(other).is_none(), "{other}");
        }
        let headers = [("content-type", &b"application/grpc-web"[..]), ("grpc-status", b"7")];
        assert_eq!(Web::of(headers.into_iter()).unwrap().told(), Told::Code(7));
        let coded = [("content-type", &b"application/grpc-web"[..]), ("Content-Encoding", b"gzip")];
        assert_eq!(Web::of(coded.into_iter()).unwrap().told(), Told::Unknown);
    }
}
