//! Subjects in checkpoints: a tag, then the names that a subject of that kind has.

use otlp_core::DecodeError;
use otlp_core::finding::Subject;

use crate::checkpoint::{Field, Source};

/// The bytes of a subject; nothing for one of a kind that is not known here.
pub(super) fn bytes(subject: &Subject) -> Option<Vec<u8>> {
    let (tag, names): (u8, [&str; 2]) = match subject {
        Subject::System => (0, ["", ""]),
        Subject::Service(name) => (1, [name, ""]),
        Subject::Operation { service, operation } => (2, [service, operation]),
        Subject::Edge { caller, callee } => (3, [caller, callee]),
        Subject::Metric { service, name } => (4, [service, name]),
        _ => return None,
    };
    let mut bytes = vec![tag];
    for name in names.iter().take(count(tag)?) {
        name.len().save(&mut bytes);
        bytes.extend_from_slice(name.as_bytes());
    }
    Some(bytes)
}

/// Reads a subject.
pub(super) fn load(from: &mut Source<'_>) -> Result<Subject, DecodeError> {
    let tag = u8::load(from)?;
    let unknown = from.invalid("checkpoint with a subject that is none");
    let mut names = [const { String::new() }; 2];
    for name in names.iter_mut().take(count(tag).ok_or(unknown)?) {
        let bytes: Vec<u8> = Vec::load(from)?;
        *name =
            String::from_utf8(bytes).map_err(|_| from.invalid("checkpoint with a name that is no text"))?;
    }
    let [first, second] = names;
    match tag {
        0 => Ok(Subject::System),
        1 => Ok(Subject::Service(first)),
        2 => Ok(Subject::Operation { service: first, operation: second }),
        3 => Ok(Subject::Edge { caller: first, callee: second }),
        4 => Ok(Subject::Metric { service: first, name: second }),
        _ => Err(unknown),
    }
}

/// How many names a subject has.
const fn count(tag: u8) -> Option<usize> {
    match tag {
        0 => Some(0),
        1 => Some(1),
        2..=4 => Some(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subject_is_read_as_it_was_written_and_a_cut_one_is_refused() {
        let subjects = [
            Subject::System,
            Subject::Service("shop".into()),
            Subject::Operation { service: "shop".into(), operation: "GET /".into() },
            Subject::Edge { caller: "shop".into(), callee: "Lager für Käse".into() },
            Subject::Metric { service: String::new(), name: "cpu".into() },
        ];
        for subject in subjects {
            let bytes = bytes(&subject).unwrap();
            assert_eq!(load(&mut Source::from(&bytes[..])).unwrap(), subject);
            for end in 0..bytes.len() {
                assert!(load(&mut Source::from(&bytes[..end])).is_err(), "{subject:?} up to {end}");
            }
        }
        assert!(load(&mut Source::from(&[5, 0, 0][..])).is_err());
        assert!(load(&mut Source::from(&[1, 1, 0, 0, 0, 0, 0, 0, 0, 0xff][..])).is_err(), "no text");
    }
}
