//! Identifiers of traces and spans (W3C Trace Context §3.2.2) and of profiles.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};

macro_rules! id {
    ($name:ident, $len:literal, $what:literal) => {
        #[doc = concat!("A ", $what, " identifier: ", stringify!($len), " bytes, all zero meaning \"none\".")]
        ///
        /// `Display` and `FromStr` use hexadecimal; reading is case-insensitive, writing is lower case.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name([u8; $len]);

        impl $name {
            /// The all-zero identifier, which OTLP holds to be invalid.
            pub const INVALID: Self = Self([0; $len]);

            /// Wraps the bytes as they are.
            #[must_use]
            pub const fn new(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The bytes, in network order.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// True unless all bytes are zero.
            #[must_use]
            pub fn is_valid(&self) -> bool {
                self.0 != [0; $len]
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            /// # Errors
            /// [`ErrorKind::Malformed`] where the text is not exactly the right count of hexadecimal digits.
            fn from_str(text: &str) -> Result<Self, Error> {
                let mut bytes = [0; $len];
                if text.len() == 2 * $len {
                    let pairs = text.as_bytes().chunks_exact(2);
                    for (byte, pair) in bytes.iter_mut().zip(pairs) {
                        let &[high, low] = pair else { continue };
                        let (Some(high), Some(low)) = (hex_digit(high), hex_digit(low)) else {
                            return Err(refused($what, text));
                        };
                        *byte = high << 4 | low;
                    }
                    return Ok(Self(bytes));
                }
                Err(refused($what, text))
            }
        }
    };
}

id!(TraceId, 16, "trace");
id!(SpanId, 8, "span");
id!(ProfileId, 16, "profile");

fn refused(what: &str, text: &str) -> Error {
    let message = format!("{what} id: expected hexadecimal digits, met {} bytes of other text", text.len());
    Error::new(ErrorKind::Malformed, message)
}

const fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_round_trips_in_either_case() {
        let id: SpanId = "00F067aa0bA902B7".parse().unwrap();
        assert_eq!(id.to_string(), "00f067aa0ba902b7");
        assert!(id.is_valid());
        assert!("00f067aa0ba902b".parse::<SpanId>().is_err());
        assert!("00f067aa0ba902bg".parse::<SpanId>().is_err());
        assert!(!TraceId::INVALID.is_valid());
    }
}
