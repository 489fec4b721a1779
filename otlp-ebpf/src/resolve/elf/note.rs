//! Notes: the identifier of a build.

use super::{Elf, Source, word};

/// The kind of segment that has notes.
const NOTE: u32 = 4;
/// The identifier among them.
const BUILD_ID: u32 = 3;
const MOST_NOTES: u64 = 64 << 10;

impl<S: Source> Elf<S> {
    /// The identifier of the build, where the file has one.
    pub(crate) fn build_id(&self) -> Option<Vec<u8>> {
        let notes =
            self.segments.iter().filter(|segment| segment.kind == NOTE && segment.bytes <= MOST_NOTES);
        notes
            .filter_map(|notes| self.bytes_at(notes.offset, notes.bytes).ok())
            .find_map(|notes| build_id(&notes))
    }
}

/// Among notes, each of: length of its name, of its content, kind; name and content, rounded up to words.
fn build_id(mut notes: &[u8]) -> Option<Vec<u8>> {
    while let Some((head, rest)) = notes.split_at_checked(12) {
        let [name, content] = [0, 4].map(|at| usize::try_from(word(head, at)).unwrap_or(usize::MAX));
        let (owner, rest) = rest.split_at_checked(name.checked_next_multiple_of(4)?)?;
        if word(head, 8) == BUILD_ID && owner == b"GNU\0" {
            return rest.get(..content).map(<[u8]>::to_vec);
        }
        notes = rest.get(content.checked_next_multiple_of(4)?..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_is_identified_behind_other_notes() {
        let note = |owner: &[u8; 4], kind: u8, content: &[u8]| {
            let mut note = vec![4, 0, 0, 0, u8::try_from(content.len()).unwrap(), 0, 0, 0, kind, 0, 0, 0];
            note.extend(owner);
            note.extend(content);
            note.resize(note.len().next_multiple_of(4), 0);
            note
        };
        let notes =
            [note(b"Go\0\0", 3, b"abc"), note(b"GNU\0", 1, b"abcde"), note(b"GNU\0", 3, b"id")].concat();
        assert_eq!(build_id(&notes).as_deref(), Some(&b"id"[..]));
        assert_eq!(build_id(&notes[..28]), None);
        let mut wrong = notes;
        wrong[..4].fill(0xff);
        assert_eq!(build_id(&wrong), None, "a name without an end");
    }
}
