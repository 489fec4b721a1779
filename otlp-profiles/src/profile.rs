//! The profile itself: samples over interned stacks.

use std::collections::HashMap;
use std::time::Duration;

use otlp_core::UnixNanos;

use crate::limits::Limits;
use crate::stack::{LeafFirst, StackId, StackTree};
use crate::table::{Frame, Function, LabelEntry, LabelEntryValue, Table, limit_error, next_id};
use crate::{Error, ErrorKind, Result};

/// What a number of a sample means, such as `cpu` in `nanoseconds`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ValueType {
    /// What is counted.
    pub kind: String,
    /// The unit, as pprof spells it: `count`, `nanoseconds`, `bytes`.
    pub unit: String,
}

impl ValueType {
    /// Makes a value type.
    pub fn new(kind: impl Into<String>, unit: impl Into<String>) -> Self {
        Self { kind: kind.into(), unit: unit.into() }
    }

    /// `samples` in `count`.
    #[must_use]
    pub fn samples() -> Self {
        Self::new("samples", "count")
    }

    /// `cpu` in `nanoseconds`.
    #[must_use]
    pub fn cpu() -> Self {
        Self::new("cpu", "nanoseconds")
    }
}

/// Sampled stacks and what they weigh; equal stacks with equal labels are one sample.
///
/// A sample carries one number for each value type. Listings, pictures and comparisons use the
/// [default one](Profile::default_value), which [`Profile::use_value`] changes. The sum of the
/// absolute values of each type is held within `i64`, so that no total ever overflows.
///
/// ```
/// use otlp_profiles::{Limits, Profile, ValueType};
/// let mut profile = Profile::try_new([ValueType::samples()], &Limits::default())?;
/// profile.add_stack(["main", "serve", "hash"], &[3])?;
/// profile.add_stack(["main", "serve"], &[1])?;
/// assert_eq!(profile.total(), 4);
/// assert_eq!(profile.top(1).rows[0].name, "hash");
/// # Ok::<(), otlp_profiles::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Profile {
    pub(crate) limits: Limits,
    pub(crate) value_types: Vec<ValueType>,
    pub(crate) default_value: usize,
    pub(crate) time: UnixNanos,
    pub(crate) duration: Duration,
    pub(crate) period: i64,
    pub(crate) period_type: Option<ValueType>,
    pub(crate) table: Table,
    pub(crate) stacks: StackTree,
    samples: Vec<SampleKey>,
    /// One row of `value_types.len()` numbers a sample.
    values: Vec<i64>,
    index: HashMap<SampleKey, u32>,
    totals: Vec<i64>,
    /// Sums of absolute values; each at most `i64::MAX`.
    magnitudes: Vec<u64>,
}

/// What makes two samples one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SampleKey {
    pub(crate) stack: StackId,
    pub(crate) labels: u32,
}

impl Profile {
    /// An empty profile whose samples carry one number for each of `value_types`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] without a value type, [`ErrorKind::Limit`] with too many of them.
    pub fn try_new(value_types: impl IntoIterator<Item = ValueType>, limits: &Limits) -> Result<Self> {
        let bound = limits.value_types();
        let value_types: Vec<_> = value_types.into_iter().take(bound.saturating_add(1)).collect();
        if value_types.is_empty() {
            return Err(Error::new(ErrorKind::Config, "value types: expected at least one, met none"));
        }
        if value_types.len() > bound {
            return Err(limit_error("max_value_types", value_types.len(), bound));
        }
        let count = value_types.len();
        let mut table = Table::new();
        table.label_sets.intern(Box::default(), "max_frames", 1)?;
        Ok(Self {
            limits: limits.clone(),
            default_value: count - 1,
            value_types,
            time: UnixNanos::ZERO,
            duration: Duration::ZERO,
            period: 0,
            period_type: None,
            table,
            stacks: StackTree::new(),
            samples: Vec::new(),
            values: Vec::new(),
            index: HashMap::new(),
            totals: vec![0; count],
            magnitudes: vec![0; count],
        })
    }

    /// Adds `values`, one for each value type, to the stack of the functions named, root first.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a wrong count of values, [`ErrorKind::Limit`] where a bound is
    /// reached; the totals then stay as they were.
    pub fn add_stack<S: AsRef<str>>(
        &mut self,
        frames: impl IntoIterator<Item = S>,
        values: &[i64],
    ) -> Result<()> {
        let stack = self.stack_of(frames)?;
        self.add(SampleKey { stack, labels: 0 }, values)
    }

    /// What each number of a sample means.
    #[must_use]
    pub fn value_types(&self) -> &[ValueType] {
        &self.value_types
    }

    /// The value type that listings, pictures and comparisons use: the last, unless the file names another.
    #[must_use]
    pub fn default_value(&self) -> &ValueType {
        // Kept in range by the constructor and `use_value`.
        self.value_types.get(self.default_value).unwrap_or(&EMPTY_TYPE)
    }

    /// Makes the value type of this `kind` the default one.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where the profile has none of that kind.
    pub fn use_value(&mut self, kind: &str) -> Result<()> {
        let found = self.value_types.iter().position(|value_type| value_type.kind == kind);
        self.default_value = found
            .ok_or_else(|| Error::new(ErrorKind::Config, "value type: the profile has none of this kind"))?;
        Ok(())
    }

    /// The sum over all samples, of the default value type.
    #[must_use]
    pub fn total(&self) -> i64 {
        self.totals.get(self.default_value).copied().unwrap_or_default()
    }

    /// The sums over all samples, one for each value type.
    #[must_use]
    pub fn totals(&self) -> &[i64] {
        &self.totals
    }

    /// Different pairs of stack and labels.
    #[must_use]
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// True where nothing was sampled.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// When sampling began; zero where not known.
    #[must_use]
    pub fn time(&self) -> UnixNanos {
        self.time
    }

    /// How long sampling went on; zero where not known.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.duration
    }

    /// Says when sampling began and how long it went on.
    #[must_use]
    pub fn with_time(mut self, start: UnixNanos, duration: Duration) -> Self {
        self.time = start;
        self.duration = duration;
        self
    }

    /// How much happened between two samples, and what was counted; `None` where not known.
    #[must_use]
    pub fn period(&self) -> Option<(i64, &ValueType)> {
        self.period_type.as_ref().map(|value_type| (self.period, value_type))
    }

    /// Says how much happened between two samples.
    #[must_use]
    pub fn with_period(mut self, period: i64, value_type: ValueType) -> Self {
        self.period = period;
        self.period_type = Some(value_type);
        self
    }

    /// All samples, in the order in which they were first added.
    pub fn samples(&self) -> impl ExactSizeIterator<Item = SampleView<'_>> {
        (0..self.samples.len()).map(|at| SampleView { profile: self, at })
    }

    /// How many events stand behind the profile, for judging noise: the count of samples where the
    /// file has it, else the total over the period, else the count of different stacks.
    pub(crate) fn events(&self) -> f64 {
        let counted = |value_type: &ValueType| value_type.unit == "count" && value_type.kind == "samples";
        let count = self.value_types.iter().position(counted).and_then(|at| self.totals.get(at));
        if let Some(&count) = count {
            return count.max(0) as f64;
        }
        match &self.period_type {
            Some(of) if *of == *self.default_value() && self.period > 0 => {
                self.total().max(0) as f64 / self.period as f64
            }
            _ => self.len() as f64,
        }
    }

    pub(crate) fn stack_of<S: AsRef<str>>(&mut self, names: impl IntoIterator<Item = S>) -> Result<StackId> {
        let mut stack = StackTree::EMPTY;
        for name in names {
            let name = self.table.string(name.as_ref(), &self.limits)?;
            let function = Function { name, ..Function::default() };
            let function = self.table.functions.intern(function, "max_frames", self.limits.frames())?;
            let frame = Frame { function: Some(function), ..Frame::default() };
            let frame = self.table.frame(frame, &self.limits)?;
            stack = self.stacks.push(stack, frame, &self.limits)?;
        }
        Ok(stack)
    }

    /// Numbers a set of labels; the order in which they come is of no meaning.
    pub(crate) fn label_set(&mut self, mut labels: Vec<LabelEntry>) -> Result<u32> {
        if labels.len() > self.limits.labels() {
            return Err(limit_error("max_labels", labels.len(), self.limits.labels()));
        }
        // By text, not by number, so that the order does not hang on what was read before.
        labels.sort_by(|a, b| self.label_text(a).cmp(&self.label_text(b)));
        labels.dedup();
        self.table.label_sets.intern(labels.into_boxed_slice(), "max_frames", self.limits.frames())
    }

    fn label_text(&self, entry: &LabelEntry) -> (&str, &str, Option<i64>) {
        let (text, number) = match entry.value {
            LabelEntryValue::Text(text) => (text, None),
            LabelEntryValue::Number { value, unit } => (unit, Some(value)),
        };
        (self.table.text(entry.key), self.table.text(text), number)
    }

    pub(crate) fn add(&mut self, key: SampleKey, values: &[i64]) -> Result<()> {
        if values.len() != self.value_types.len() {
            let (met, expected) = (values.len(), self.value_types.len());
            let message = format!("sample values: expected {expected}, met {met}");
            return Err(Error::new(ErrorKind::Config, message));
        }
        self.check_room(values.iter().map(|value| value.unsigned_abs()))?;
        let row = match self.index.get(&key) {
            Some(&row) => row,
            None => self.new_row(key)?,
        };
        let start = row as usize * values.len();
        let sums = self.values.iter_mut().skip(start);
        for (sum, value) in sums.zip(values) {
            *sum += value;
        }
        for (total, value) in self.totals.iter_mut().zip(values) {
            *total += value;
        }
        for (magnitude, value) in self.magnitudes.iter_mut().zip(values) {
            *magnitude += value.unsigned_abs();
        }
        Ok(())
    }

    /// Refuses what would let a total overflow; after it the sums above cannot.
    pub(crate) fn check_room(&self, more: impl Iterator<Item = u64>) -> Result<()> {
        for (&magnitude, more) in self.magnitudes.iter().zip(more) {
            let sum = magnitude.checked_add(more);
            if sum.is_none_or(|sum| sum > i64::MAX.unsigned_abs()) {
                let message = "total: the sum of the values exceeds limit 9223372036854775807";
                return Err(Error::new(ErrorKind::Limit, message));
            }
        }
        Ok(())
    }

    pub(crate) fn magnitudes(&self) -> &[u64] {
        &self.magnitudes
    }

    pub(crate) fn has(&self, key: SampleKey) -> bool {
        self.index.contains_key(&key)
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = (SampleKey, &[i64])> {
        self.samples.iter().copied().zip(self.values.chunks_exact(self.value_types.len()))
    }

    fn new_row(&mut self, key: SampleKey) -> Result<u32> {
        let row = next_id(self.samples.len(), "max_samples", self.limits.samples())?;
        self.samples.push(key);
        self.values.resize(self.values.len() + self.value_types.len(), 0);
        self.index.insert(key, row);
        Ok(row)
    }
}

static EMPTY_TYPE: ValueType = ValueType { kind: String::new(), unit: String::new() };

/// One sample, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct SampleView<'a> {
    profile: &'a Profile,
    at: usize,
}

impl<'a> SampleView<'a> {
    /// The frames, leaf first.
    pub fn frames(&self) -> impl Iterator<Item = FrameView<'a>> + use<'a> {
        let table = &self.profile.table;
        self.leaf_first().map(move |id| {
            let frame = table.frame_at(id);
            let function = frame.function.map(|id| table.function_at(id)).unwrap_or_default();
            FrameView {
                name: table.text(table.frame_name(id)),
                file: table.text(function.file),
                line: frame.line,
                address: frame.address,
                inlined: frame.inlined,
            }
        })
    }

    /// The numbers, one for each value type of the profile.
    #[must_use]
    pub fn values(&self) -> &'a [i64] {
        let width = self.profile.value_types.len();
        let start = self.at * width;
        self.profile.values.get(start..start + width).unwrap_or_default()
    }

    /// The labels, such as the request being served.
    pub fn labels(&self) -> impl Iterator<Item = Label<'a>> + use<'a> {
        let profile = self.profile;
        let set = profile.samples.get(self.at).map_or(0, |key| key.labels);
        profile.table.labels_at(set).iter().map(|entry| Label {
            key: profile.table.text(entry.key),
            value: match entry.value {
                LabelEntryValue::Text(text) => LabelValue::Text(profile.table.text(text)),
                LabelEntryValue::Number { value, unit } => {
                    LabelValue::Number { value, unit: profile.table.text(unit) }
                }
            },
        })
    }

    fn leaf_first(&self) -> LeafFirst<'a> {
        let stack = self.profile.samples.get(self.at).map_or(StackTree::EMPTY, |key| key.stack);
        self.profile.stacks.leaf_first(stack)
    }
}

/// One place in a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct FrameView<'a> {
    /// The function; where nobody resolved it, the binary's file name and the offset in it.
    pub name: &'a str,
    /// The source file, empty where not known.
    pub file: &'a str,
    /// The line in the source file, zero where not known.
    pub line: i64,
    /// The address in the process, zero where not known.
    pub address: u64,
    /// True where the compiler put the function inside the next outer one.
    pub inlined: bool,
}

/// What a sample was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Label<'a> {
    /// The name.
    pub key: &'a str,
    /// The value.
    pub value: LabelValue<'a>,
}

/// The value of a [`Label`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "complete: profile.proto has these two")]
pub enum LabelValue<'a> {
    /// Text.
    Text(&'a str),
    /// A number with a unit, which may be empty.
    Number {
        /// The number.
        value: i64,
        /// Its unit.
        unit: &'a str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile() -> Profile {
        Profile::try_new([ValueType::samples()], &Limits::default()).unwrap()
    }

    #[test]
    fn equal_stacks_are_one_sample() {
        let mut profile = profile();
        profile.add_stack(["main", "a"], &[2]).unwrap();
        profile.add_stack(["main", "a"], &[3]).unwrap();
        profile.add_stack(["main"], &[1]).unwrap();
        assert_eq!((profile.len(), profile.total()), (2, 6));
        let first = profile.samples().next().unwrap();
        assert_eq!(first.values(), [5]);
        assert_eq!(first.frames().map(|frame| frame.name).collect::<Vec<_>>(), ["a", "main"]);
    }

    #[test]
    fn a_sum_that_would_overflow_is_refused_and_changes_nothing() {
        let mut profile = profile();
        profile.add_stack(["a"], &[i64::MAX]).unwrap();
        assert!(profile.add_stack(["b"], &[1]).unwrap_err().is_limit());
        assert!(profile.add_stack(["b"], &[i64::MIN]).unwrap_err().is_limit());
        assert_eq!((profile.total(), profile.len()), (i64::MAX, 1));
    }

    #[test]
    fn samples_are_bounded_and_value_counts_checked() {
        let limits = Limits::default().max_samples(1);
        let mut profile = Profile::try_new([ValueType::samples()], &limits).unwrap();
        profile.add_stack(["a"], &[1]).unwrap();
        profile.add_stack(["a"], &[1]).unwrap();
        let error = profile.add_stack(["b"], &[1]).unwrap_err();
        assert_eq!(error.to_string(), "max_samples: 2 exceeds limit 1");
        assert_eq!(profile.total(), 2);
        assert_eq!(profile.add_stack(["a"], &[1, 2]).unwrap_err().kind(), ErrorKind::Config);
        assert_eq!(Profile::try_new([], &limits).unwrap_err().kind(), ErrorKind::Config);
        let many = std::iter::repeat_with(ValueType::samples);
        assert!(Profile::try_new(many, &limits).unwrap_err().is_limit());
    }
}
