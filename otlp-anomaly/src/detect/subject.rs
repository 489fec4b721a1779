//! Subjects in checkpoints: a tag, then the names that a subject of that kind has.

use std::collections::HashMap;

use otlp_core::DecodeError;
use otlp_core::finding::Subject;

use crate::checkpoint::{Field, Source};

/// Appends what is known of each subject, in the order of their bytes, so that a state has one checkpoint; those of a kind
/// that has no bytes, which nothing is told of today, are left out.
pub(super) fn save_all<T: Field>(subjects: &HashMap<Subject, T>, into: &mut Vec<u8>) {
    let mut sorted: Vec<(Vec<u8>, &T)> =
        subjects.iter().filter_map(|(subject, known)| Some((bytes(subject)?, known))).collect();
    sorted.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    sorted.len().save(into);
    for (subject, known) in sorted {
        into.extend_from_slice(&subject);
        known.save(into);
    }
}

/// Reads what [`save_all`] wrote, of at most so many subjects, each of which must be one that `is_sound`.
pub(super) fn load_all<T: Field>(
    from: &mut Source<'_>,
    most: usize,
    is_sound: impl Fn(&Subject, &T) -> bool,
) -> Result<HashMap<Subject, T>, DecodeError> {
    let count = usize::load(from)?;
    if count > most {
        return Err(from.invalid("checkpoint with too many subjects"));
    }
    let mut subjects = HashMap::new();
    for _ in 0..count {
        // Each takes bytes, so a count that was made up ends at the last of them.
        let (subject, known) = (load(from)?, T::load(from)?);
        if !is_sound(&subject, &known) || subjects.insert(subject, known).is_some() {
            return Err(from.invalid("checkpoint with an impossible subject"));
        }
    }
    Ok(subjects)
}

/// The bytes of a subject; nothing for one of a kind that is not known here.
fn bytes(subject: &Subject) -> Option<Vec<u8>> {
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
fn load(from: &mut Source<'_>) -> Result<Subject, DecodeError> {
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
