//! Folded stacks, sorted.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::profile::Profile;
use crate::table::UNKNOWN;

impl Profile {
    /// Writes folded stacks of the default value type: a line a stack, root first, sorted.
    ///
    /// Labels, files and lines are left out, and so are stacks of weight zero. A `;` in a name
    /// becomes `:` and a control character a space, because the format has no escapes; a frame of
    /// the empty name is written `[unknown]`.
    ///
    /// ```
    /// use otlp_profiles::{Limits, Profile, ValueType};
    /// let folded = b"main;b 1\nmain;a 2\nmain;b 1\n";
    /// let profile = Profile::parse_folded(folded, ValueType::samples(), &Limits::default())?;
    /// assert_eq!(profile.to_folded(), "main;a 2\nmain;b 2\n");
    /// # Ok::<(), otlp_profiles::Error>(())
    /// ```
    #[must_use]
    pub fn to_folded(&self) -> String {
        let mut lines: BTreeMap<String, i64> = BTreeMap::new();
        for (key, values) in self.rows() {
            let value = values.get(self.default_value).copied().unwrap_or_default();
            let mut frames: Vec<_> = self.stacks.leaf_first(key.stack).collect();
            frames.reverse();
            let names = frames.iter().map(|&frame| self.table.text(self.table.frame_name(frame)));
            *lines.entry(names.map(written).collect::<Vec<_>>().join(";")).or_default() += value;
        }
        let mut out = String::new();
        for (stack, value) in lines.iter().filter(|(_, value)| **value != 0) {
            // Writing to a string does not fail.
            let _ok = writeln!(out, "{stack} {value}");
        }
        out
    }
}

fn written(name: &str) -> String {
    if name.is_empty() {
        return UNKNOWN.to_owned();
    }
    let replace = |ch: char| match ch {
        ';' => ':',
        ch if ch.is_control() => ' ',
        ch => ch,
    };
    name.chars().map(replace).collect()
}

#[cfg(test)]
mod tests {
    use crate::{Limits, Profile, ValueType};

    #[test]
    fn names_that_the_format_cannot_hold_are_changed_so_that_the_line_stays_one() {
        let mut profile = Profile::try_new([ValueType::samples()], &Limits::default()).unwrap();
        profile.add_stack(["a;b", "c\nd", ""], &[1]).unwrap();
        profile.add_stack(["zero"], &[0]).unwrap();
        profile.add_stack([""; 0], &[4]).unwrap();
        assert_eq!(profile.to_folded(), " 4\na:b;c d;[unknown] 1\n");
    }
}
