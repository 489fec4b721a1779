//! Pprof files (profile.proto of google/pprof).

use std::collections::HashMap;

use bytes::Bytes;
use otlp_core::wire::Writer;

use crate::profile::{Profile, SampleKey, ValueType};
use crate::table::{Frame, LabelEntry, LabelEntryValue, StrId};

impl Profile {
    /// Writes a pprof file, not compressed.
    ///
    /// The same profile gives the same bytes. Only what samples refer to is written, numbered in the
    /// order of first use. Costs O(frames of all samples).
    ///
    /// ```
    /// use otlp_profiles::{Limits, Profile, ValueType};
    /// let profile = Profile::parse_folded(b"main 1", ValueType::samples(), &Limits::default())?;
    /// assert_eq!(profile.to_pprof(), profile.clone().to_pprof());
    /// # Ok::<(), otlp_profiles::Error>(())
    /// ```
    #[must_use]
    pub fn to_pprof(&self) -> Bytes {
        let plan = Plan::of(self);
        let mut writer = Writer::new();
        plan.write(self, &mut writer);
        writer.into_bytes()
    }

    /// Writes a pprof file compressed with gzip, as the tools of pprof expect it.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) where the compressor fails, which it does not in memory.
    ///
    /// ```
    /// use otlp_profiles::{Limits, Profile, ValueType};
    /// let profile = Profile::parse_folded(b"main 1", ValueType::samples(), &Limits::default())?;
    /// let read = Profile::parse_pprof(&profile.to_pprof_gzip()?, &Limits::default())?;
    /// assert_eq!(read.total(), 1);
    /// # Ok::<(), otlp_profiles::Error>(())
    /// ```
    #[cfg(feature = "gzip")]
    pub fn to_pprof_gzip(&self) -> crate::Result<Bytes> {
        otlp_core::compress::GzipEncoder::default().encode(&self.to_pprof())
    }
}

/// What is written, in order: the writer goes back to front, so everything is numbered beforehand.
#[derive(Default)]
struct Plan<'a> {
    strings: Vec<&'a str>,
    string_ids: HashMap<&'a str, u64>,
    /// Own numbers; the file's identifier is the position plus one.
    functions: Numbered<u32>,
    mappings: Numbered<u32>,
    /// A location is its frames, innermost first.
    locations: Numbered<Vec<u32>>,
    samples: Vec<PlannedSample<'a>>,
}

struct PlannedSample<'a> {
    locations: Vec<u64>,
    values: &'a [i64],
    labels: &'a [LabelEntry],
}

struct Numbered<T> {
    items: Vec<T>,
    ids: HashMap<T, u64>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self { items: Vec::new(), ids: HashMap::new() }
    }
}

impl<T: Clone + Eq + std::hash::Hash> Numbered<T> {
    /// The identifier, and whether it is new.
    fn id(&mut self, item: T) -> (u64, bool) {
        if let Some(&id) = self.ids.get(&item) {
            return (id, false);
        }
        self.items.push(item.clone());
        let id = self.items.len() as u64;
        self.ids.insert(item, id);
        (id, true)
    }
}

impl<'a> Plan<'a> {
    fn of(profile: &'a Profile) -> Self {
        let mut plan = Self::default();
        plan.string("");
        for value_type in profile.value_types.iter().chain(&profile.period_type) {
            plan.string(&value_type.kind);
            plan.string(&value_type.unit);
        }
        for (key, values) in profile.rows() {
            plan.sample(profile, key, values);
        }
        plan
    }

    fn string(&mut self, text: &'a str) {
        let next = self.strings.len() as u64;
        if *self.string_ids.entry(text).or_insert(next) == next {
            self.strings.push(text);
        }
    }

    fn sample(&mut self, profile: &'a Profile, key: SampleKey, values: &'a [i64]) {
        let mut locations = Vec::new();
        let mut group = Vec::new();
        for frame in profile.stacks.leaf_first(key.stack) {
            group.push(frame);
            if !profile.table.frame_at(frame).inlined {
                locations.push(self.location(profile, std::mem::take(&mut group)));
            }
        }
        if !group.is_empty() {
            locations.push(self.location(profile, group));
        }
        let labels = profile.table.labels_at(key.labels);
        for label in labels {
            self.string(profile.table.text(label.key));
            let (LabelEntryValue::Text(text) | LabelEntryValue::Number { unit: text, .. }) = label.value;
            self.string(profile.table.text(text));
        }
        self.samples.push(PlannedSample { locations, values, labels });
    }

    fn location(&mut self, profile: &'a Profile, frames: Vec<u32>) -> u64 {
        let table = &profile.table;
        for frame in frames.iter().map(|&frame| table.frame_at(frame)) {
            if let Some(id) = frame.mapping.filter(|&id| self.mappings.id(id).1) {
                let mapping = table.mapping_at(id);
                self.string(table.text(mapping.file));
                self.string(table.text(mapping.build_id));
            }
            if let Some(id) = frame.function.filter(|&id| self.functions.id(id).1) {
                let function = table.function_at(id);
                for text in [function.name, function.system_name, function.file] {
                    self.string(table.text(text));
                }
            }
        }
        self.locations.id(frames).0
    }

    /// Last field first, as the writer wants it.
    fn write(&self, profile: &Profile, writer: &mut Writer) {
        if profile.default_value + 1 != profile.value_types.len() {
            writer.varint(14, self.index(&profile.default_value().kind));
        }
        if profile.period != 0 {
            writer.int(12, profile.period);
        }
        if let Some(period_type) = &profile.period_type {
            self.value_type(writer, 11, period_type);
        }
        let duration = i64::try_from(profile.duration.as_nanos()).unwrap_or(i64::MAX);
        number(writer, 10, duration);
        number(writer, 9, i64::try_from(profile.time.0).unwrap_or(i64::MAX));
        for text in self.strings.iter().rev() {
            writer.str(6, text);
        }
        self.functions(profile, writer);
        self.locations(profile, writer);
        self.mappings(profile, writer);
        for sample in self.samples.iter().rev() {
            self.write_sample(profile, sample, writer);
        }
        for value_type in profile.value_types.iter().rev() {
            self.value_type(writer, 1, value_type);
        }
    }

    fn value_type(&self, writer: &mut Writer, field: u32, value_type: &ValueType) {
        writer.message(field, |inner| {
            inner.varint(2, self.index(&value_type.unit));
            inner.varint(1, self.index(&value_type.kind));
        });
    }

    fn write_sample(&self, profile: &Profile, sample: &PlannedSample<'_>, writer: &mut Writer) {
        writer.message(2, |inner| {
            for label in sample.labels.iter().rev() {
                inner.message(3, |fields| {
                    match label.value {
                        LabelEntryValue::Text(text) => fields.varint(2, self.own_index(profile, text)),
                        LabelEntryValue::Number { value, unit } => {
                            nonzero(fields, 4, self.own_index(profile, unit));
                            number(fields, 3, value);
                        }
                    }
                    fields.varint(1, self.own_index(profile, label.key));
                });
            }
            inner.message(2, |list| {
                sample.values.iter().rev().for_each(|value| list.raw_varint(value.cast_unsigned()));
            });
            if !sample.locations.is_empty() {
                inner.message(1, |list| sample.locations.iter().rev().for_each(|&id| list.raw_varint(id)));
            }
        });
    }

    fn mappings(&self, profile: &Profile, writer: &mut Writer) {
        let symbolised = self.symbolised(profile);
        for (at, &own) in self.mappings.items.iter().enumerate().rev() {
            let mapping = profile.table.mapping_at(own);
            writer.message(3, |fields| {
                // Says that function names need not be looked up again.
                if symbolised.get(at) == Some(&true) {
                    fields.varint(7, 1);
                }
                nonzero(fields, 6, self.own_index(profile, mapping.build_id));
                nonzero(fields, 5, self.own_index(profile, mapping.file));
                nonzero(fields, 4, mapping.offset);
                nonzero(fields, 3, mapping.limit);
                nonzero(fields, 2, mapping.start);
                fields.varint(1, at as u64 + 1);
            });
        }
    }

    /// For each mapping, whether every frame in it has a function.
    fn symbolised(&self, profile: &Profile) -> Vec<bool> {
        let mut all = vec![true; self.mappings.items.len()];
        for frame in self.locations.items.iter().flatten().map(|&frame| profile.table.frame_at(frame)) {
            let mapping = self.file_id(&self.mappings, frame.mapping);
            let slot = usize::try_from(mapping).ok().and_then(|id| all.get_mut(id.checked_sub(1)?));
            if let Some(slot) = slot.filter(|_| frame.function.is_none()) {
                *slot = false;
            }
        }
        all
    }

    fn locations(&self, profile: &Profile, writer: &mut Writer) {
        for (at, frames) in self.locations.items.iter().enumerate().rev() {
            let outer = frames.last().map(|&frame| profile.table.frame_at(frame)).unwrap_or_default();
            let bare = Frame { mapping: outer.mapping, address: outer.address, ..Frame::default() };
            writer.message(4, |fields| {
                let lines = if frames.len() == 1 && outer == bare { &[] } else { frames.as_slice() };
                for &frame in lines.iter().rev() {
                    let frame = profile.table.frame_at(frame);
                    fields.message(4, |line| {
                        number(line, 3, frame.column);
                        number(line, 2, frame.line);
                        nonzero(line, 1, self.file_id(&self.functions, frame.function));
                    });
                }
                nonzero(fields, 3, outer.address);
                nonzero(fields, 2, self.file_id(&self.mappings, outer.mapping));
                fields.varint(1, at as u64 + 1);
            });
        }
    }

    fn functions(&self, profile: &Profile, writer: &mut Writer) {
        for (at, &own) in self.functions.items.iter().enumerate().rev() {
            let function = profile.table.function_at(own);
            writer.message(5, |fields| {
                number(fields, 5, function.start_line);
                nonzero(fields, 4, self.own_index(profile, function.file));
                nonzero(fields, 3, self.own_index(profile, function.system_name));
                nonzero(fields, 2, self.own_index(profile, function.name));
                fields.varint(1, at as u64 + 1);
            });
        }
    }

    fn file_id(&self, numbered: &Numbered<u32>, own: Option<u32>) -> u64 {
        own.and_then(|own| numbered.ids.get(&own)).copied().unwrap_or_default()
    }

    fn own_index(&self, profile: &Profile, own: StrId) -> u64 {
        self.index(profile.table.text(own))
    }

    fn index(&self, text: &str) -> u64 {
        self.string_ids.get(text).copied().unwrap_or_default()
    }
}

fn nonzero(writer: &mut Writer, field: u32, value: u64) {
    if value != 0 {
        writer.varint(field, value);
    }
}

fn number(writer: &mut Writer, field: u32, value: i64) {
    if value != 0 {
        writer.int(field, value);
    }
}
