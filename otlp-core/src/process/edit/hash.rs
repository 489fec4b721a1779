//! Digests in the place of values.

use std::fmt;

use sha2::{Digest, Sha256};

/// What values are hashed with: SHA-256 (FIPS 180-4), keyed as HMAC (RFC 2104) or plain.
///
/// A plain digest hides nothing that can be guessed: whoever has a list of the possible values (mail addresses,
/// phone numbers, user names) hashes them all and compares. With a key that only the one who hashes has, equal values
/// still get equal digests, and nobody else can find out which. Take [`keyed`](Self::keyed) for anything that
/// must not leave, with 32 random bytes; [`plain`](Self::plain) to shorten or level what is no secret, or to agree
/// with what other tools compute.
///
/// ```
/// use otlp_core::process::{Edits, HashKey};
/// let editor = Edits::new().hash("enduser.id", HashKey::keyed(b"32 bytes from a random source ...")).build()?;
/// assert!(!format!("{editor:?}").contains("random source"));
/// # Ok::<(), otlp_core::Error>(())
/// ```
#[derive(Clone)]
pub struct HashKey {
    /// What has digested the inner and the outer padded key.
    padded: Option<[Sha256; 2]>,
}

impl HashKey {
    /// SHA-256 alone.
    #[must_use]
    pub const fn plain() -> Self {
        Self { padded: None }
    }

    /// HMAC-SHA-256 under `key`; 32 random bytes are right.
    #[must_use]
    pub fn keyed(key: &[u8]) -> Self {
        let mut block = [0; 64];
        match block.get_mut(..key.len()) {
            Some(start) => start.copy_from_slice(key),
            // Longer keys are digested first, as RFC 2104 has it.
            None => block.iter_mut().zip(Sha256::digest(key)).for_each(|(to, from)| *to = from),
        }
        let padded = |pad: u8| Sha256::new().chain_update(block.map(|byte| byte ^ pad));
        Self { padded: Some([padded(0x36), padded(0x5c)]) }
    }

    /// The digest of `value` in hexadecimal digits.
    pub(super) fn digest(&self, value: &[u8]) -> [u8; 64] {
        let digest = match &self.padded {
            None => Sha256::digest(value),
            Some([inner, outer]) => {
                let inner = inner.clone().chain_update(value).finalize();
                outer.clone().chain_update(inner).finalize()
            }
        };
        let mut digits = [0; 64];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(digest) {
            pair.copy_from_slice(&[hex_digit(byte >> 4), hex_digit(byte & 15)]);
        }
        digits
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.padded.is_some() { "HashKey([redacted])" } else { "HashKey(plain)" })
    }
}

const fn hex_digit(nibble: u8) -> u8 {
    match nibble {
        0..=9 => b'0' + nibble,
        _ => b'a' + nibble - 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(digest: [u8; 64]) -> String {
        String::from_utf8(digest.to_vec()).unwrap()
    }

    #[test]
    fn plain_digests_are_those_of_fips_180_4() {
        let met = text(HashKey::plain().digest(b"abc"));
        assert_eq!(met, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn keyed_digests_are_those_of_rfc_4231() {
        // Test cases 1, 2 and 6, the last with a key longer than a block.
        let met = text(HashKey::keyed(&[0x0b; 20]).digest(b"Hi There"));
        assert_eq!(met, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
        let met = text(HashKey::keyed(b"Jefe").digest(b"what do ya want for nothing?"));
        assert_eq!(met, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        let long = HashKey::keyed(&[0xaa; 131]);
        let met = text(long.digest(b"Test Using Larger Than Block-Size Key - Hash Key First"));
        assert_eq!(met, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    }
}
