//! Folded stacks: one stack a line, `root;caller;leaf 17`.

use otlp_core::error::{DecodeError, DecodeErrorKind};

use super::malformed;
use crate::limits::Limits;
use crate::profile::{Profile, SampleKey, ValueType};
use crate::table::limit_error;
use crate::{Error, Result};

impl Profile {
    /// Reads folded stacks: a line a stack, functions root first with `;` between them, and after
    /// the last space how often it was met, a whole number.
    ///
    /// Empty lines are passed over. A line that has only a number is a sample without a stack.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed), with a
    /// [`DecodeError`] as its source that says at which byte;
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) where a bound is reached.
    ///
    /// ```
    /// use otlp_profiles::{Limits, Profile, ValueType};
    /// let text = b"main;serve 12\nmain;serve;read 3\n";
    /// let profile = Profile::parse_folded(text, ValueType::samples(), &Limits::default())?;
    /// assert_eq!((profile.len(), profile.total()), (2, 15));
    /// # Ok::<(), otlp_profiles::Error>(())
    /// ```
    pub fn parse_folded(text: &[u8], value_type: ValueType, limits: &Limits) -> Result<Self> {
        if text.len() > limits.input_bytes() {
            return Err(limit_error("max_input_bytes", text.len(), limits.input_bytes()));
        }
        let text = str::from_utf8(text)
            .map_err(|error| refuse(error.valid_up_to(), "folded stacks are not utf-8"))?;
        let mut profile = Self::try_new([value_type], limits)?;
        let mut offset = 0;
        let mut visits = 0_usize;
        for line in text.split_inclusive('\n') {
            let start = offset;
            offset += line.len();
            let line = line.strip_suffix('\n').unwrap_or(line);
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.is_empty() {
                continue;
            }
            let (stack, count) = line.rsplit_once([' ', '\t']).unwrap_or(("", line));
            let count = count.parse().map_err(|_| refuse(start, "line does not end in a whole number"))?;
            visits = visits.saturating_add(stack.bytes().filter(|&byte| byte == b';').count() + 1);
            if visits > limits.visits() {
                return Err(limit_error("max_visits", visits, limits.visits()));
            }
            let frames = (!stack.is_empty()).then(|| stack.split(';')).into_iter().flatten();
            let stack = profile.stack_of(frames)?;
            profile.add(SampleKey { stack, labels: 0 }, &[count])?;
        }
        Ok(profile)
    }
}

fn refuse(offset: usize, why: &'static str) -> Error {
    malformed(DecodeError::new(offset, DecodeErrorKind::Invalid(why)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &[u8]) -> Result<Profile> {
        Profile::parse_folded(text, ValueType::samples(), &Limits::default())
    }

    #[test]
    fn names_may_hold_spaces_and_lines_may_end_as_on_windows() {
        let profile = parse(b"main;operator new(unsigned long) 2\r\n\r\n4\n").unwrap();
        assert_eq!(profile.total(), 6);
        let names: Vec<_> =
            profile.samples().map(|sample| sample.frames().next().map(|frame| frame.name)).collect();
        assert_eq!(names, [Some("operator new(unsigned long)"), None]);
    }

    #[test]
    fn the_error_names_the_byte_where_the_bad_line_starts() {
        for (text, offset) in [(&b"a 1\nb x\n"[..], 4), (b"a", 0), (b"a 1.5", 0), (b"a 1\nb \xff 2", 6)] {
            let error = parse(text).unwrap_err();
            assert!(error.is_malformed());
            let source = std::error::Error::source(&error).unwrap();
            assert_eq!(source.downcast_ref::<DecodeError>().unwrap().offset, offset);
        }
    }

    #[test]
    fn size_and_visits_are_bounded() {
        let bytes = Limits::default().max_input_bytes(3);
        assert!(Profile::parse_folded(b"ab 1", ValueType::samples(), &bytes).unwrap_err().is_limit());
        let visits = Limits::default().max_visits(3);
        assert!(
            Profile::parse_folded(b"a;b 1\na;b 1", ValueType::samples(), &visits).unwrap_err().is_limit()
        );
    }
}
