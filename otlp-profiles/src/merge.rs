//! Adding one profile to another.

use crate::profile::{Profile, SampleKey};
use crate::stack::StackTree;
use crate::table::{Frame, Function, LabelEntry, LabelEntryValue, Mapping, limit_error};
use crate::{Error, ErrorKind, Result};

impl Profile {
    /// Adds all samples of `other`: values of equal stacks with equal labels are summed.
    ///
    /// Merging is associative and commutative in every total and share. Times become the span that
    /// both cover; durations add up. Costs O(strings + stacks + samples) of `other`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where the two do not have the same value types (their order is free),
    /// [`ErrorKind::Limit`] where the sum would pass a bound of this profile; every total and every
    /// sample is then as it was.
    ///
    /// ```
    /// use otlp_profiles::{Limits, Profile, ValueType};
    /// let limits = Limits::default();
    /// let mut profile = Profile::parse_folded(b"main;a 2\nmain;b 1", ValueType::samples(), &limits)?;
    /// profile.merge(&Profile::parse_folded(b"main;a 5", ValueType::samples(), &limits)?)?;
    /// assert_eq!(profile.to_folded(), "main;a 7\nmain;b 1\n");
    /// # Ok::<(), otlp_profiles::Error>(())
    /// ```
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        let columns = self.columns_in(other)?;
        let keys = Translation::of(self, other)?.keys(self, other)?;
        let new = keys.iter().filter(|&&key| !self.has(key)).count();
        let samples = self.len().saturating_add(new);
        if samples > self.limits.samples() {
            return Err(limit_error("max_samples", samples, self.limits.samples()));
        }
        let pick = |column: &usize| other.magnitudes().get(*column).copied().unwrap_or_default();
        self.check_room(columns.iter().map(pick))?;
        let mut row = Vec::with_capacity(columns.len());
        for (key, (_, values)) in keys.into_iter().zip(other.rows()) {
            row.clear();
            row.extend(columns.iter().map(|&column| values.get(column).copied().unwrap_or_default()));
            self.add(key, &row)?;
        }
        self.merge_times(other);
        Ok(())
    }

    /// For each value type of this profile, its position in the other.
    fn columns_in(&self, other: &Self) -> Result<Vec<usize>> {
        let position = |of| other.value_types.iter().position(|value_type| value_type == of);
        let columns: Option<Vec<_>> = self.value_types.iter().map(position).collect();
        match columns {
            Some(columns) if self.value_types.len() == other.value_types.len() => Ok(columns),
            _ => Err(Error::new(ErrorKind::Config, "merge: the profiles have different value types")),
        }
    }

    fn merge_times(&mut self, other: &Self) {
        if self.time.0 == 0 || (other.time.0 != 0 && other.time < self.time) {
            self.time = other.time;
        }
        self.duration = self.duration.saturating_add(other.duration);
        if self.period_type.is_none() {
            self.period = other.period;
            self.period_type.clone_from(&other.period_type);
        }
    }
}

/// Where the stacks and label sets of one profile lie in another.
struct Translation {
    stacks: Vec<u32>,
    labels: Vec<u32>,
}

impl Translation {
    fn of(into: &mut Profile, other: &Profile) -> Result<Self> {
        let strings = (0..other.table.strings_len())
            .map(|id| into.table.string(other.table.text(index(id)), &into.limits))
            .collect::<Result<Vec<_>>>()?;
        let string = |id: u32| strings.get(id as usize).copied().unwrap_or_default();
        let frames = frames(into, other, &string)?;
        let mut stacks = vec![StackTree::EMPTY];
        for (parent, frame) in other.stacks.edges() {
            let parent = stacks.get(parent as usize).copied().unwrap_or_default();
            let frame = frames.get(frame as usize).copied().unwrap_or_default();
            stacks.push(into.stacks.push(parent, frame, &into.limits)?);
        }
        let mut labels = Vec::new();
        for set in other.table.label_sets.iter() {
            let set = set.iter().map(|entry| LabelEntry {
                key: string(entry.key),
                value: match entry.value {
                    LabelEntryValue::Text(text) => LabelEntryValue::Text(string(text)),
                    LabelEntryValue::Number { value, unit } => {
                        LabelEntryValue::Number { value, unit: string(unit) }
                    }
                },
            });
            labels.push(into.label_set(set.collect())?);
        }
        Ok(Self { stacks, labels })
    }

    fn keys(&self, into: &Profile, other: &Profile) -> Result<Vec<SampleKey>> {
        let undefined = || Error::new(ErrorKind::Malformed, "merge: a sample without a stack");
        let translate = |(key, _): (SampleKey, &[i64])| {
            let stack = self.stacks.get(key.stack as usize).copied()?;
            let labels = self.labels.get(key.labels as usize).copied()?;
            Some(SampleKey { stack, labels })
        };
        let keys: Option<Vec<_>> = other.rows().map(translate).collect();
        debug_assert!(into.stacks.len() >= 1, "the empty stack is always there");
        keys.ok_or_else(undefined)
    }
}

fn frames(into: &mut Profile, other: &Profile, string: &impl Fn(u32) -> u32) -> Result<Vec<u32>> {
    let limit = into.limits.frames();
    let mut functions = Vec::with_capacity(other.table.functions.len());
    for function in other.table.functions.iter() {
        let function = Function {
            name: string(function.name),
            system_name: string(function.system_name),
            file: string(function.file),
            start_line: function.start_line,
        };
        functions.push(into.table.functions.intern(function, "max_frames", limit)?);
    }
    let mut mappings = Vec::with_capacity(other.table.mappings.len());
    for mapping in other.table.mappings.iter() {
        let file = string(mapping.file);
        let mapping = Mapping { file, build_id: string(mapping.build_id), ..*mapping };
        mappings.push(into.table.mappings.intern(mapping, "max_frames", limit)?);
    }
    let place = |list: &[u32], id: Option<u32>| id.and_then(|id| list.get(id as usize).copied());
    let mut frames = Vec::new();
    for frame in other.table.frames() {
        let function = place(&functions, frame.function);
        let frame = Frame { function, mapping: place(&mappings, frame.mapping), ..*frame };
        frames.push(into.table.frame(frame, &into.limits)?);
    }
    Ok(frames)
}

/// Tables never hold more than `u32::MAX` items; see `next_id`.
fn index(id: usize) -> u32 {
    u32::try_from(id).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, ValueType};

    fn two(cpu_first: bool) -> Profile {
        let types = [ValueType::cpu(), ValueType::samples()];
        let types: Vec<_> = if cpu_first { types.into() } else { types.into_iter().rev().collect() };
        let mut profile = Profile::try_new(types, &Limits::default()).unwrap();
        let values = if cpu_first { [1000, 1] } else { [1, 1000] };
        profile.add_stack(["main", "work"], &values).unwrap();
        profile
    }

    #[test]
    fn columns_are_matched_by_type_and_not_by_place() {
        let mut profile = two(true);
        profile.merge(&two(false)).unwrap();
        assert_eq!(profile.totals(), [2000, 2]);
    }

    #[test]
    fn other_value_types_are_refused() {
        let other = Profile::try_new([ValueType::cpu()], &Limits::default()).unwrap();
        assert_eq!(two(true).merge(&other).unwrap_err().kind(), ErrorKind::Config);
        assert_eq!(other.clone().merge(&two(true)).unwrap_err().kind(), ErrorKind::Config);
    }

    #[test]
    fn a_merge_that_passes_a_bound_changes_no_total() {
        let limits = Limits::default().max_samples(2);
        let parse = |text: &str, limits: &Limits| {
            Profile::parse_folded(text.as_bytes(), ValueType::samples(), limits).unwrap()
        };
        let mut profile = parse("a 1\nb 1", &limits);
        let before = profile.to_folded();
        let error = profile.merge(&parse("a 5\nc 1", &Limits::default())).unwrap_err();
        assert_eq!(error.to_string(), "max_samples: 3 exceeds limit 2");
        assert_eq!(profile.to_folded(), before);
        let error = profile.merge(&parse(&format!("a {}", i64::MAX), &Limits::default())).unwrap_err();
        assert!(error.is_limit());
        assert_eq!(profile.to_folded(), before);
    }
}
