//! From the messages of a pprof file to a profile.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use otlp_core::UnixNanos;
use otlp_core::error::{DecodeError, DecodeErrorKind};

use super::malformed;
use super::raw::{RawLabel, RawProfile, RawSample, RawValueType};
use crate::limits::Limits;
use crate::profile::{Profile, SampleKey, ValueType};
use crate::stack::StackTree;
use crate::table::{Frame, Function, LabelEntry, LabelEntryValue, Mapping, limit_error};
use crate::{Error, Result};

impl Profile {
    /// Reads a pprof file (profile.proto of google/pprof), compressed with gzip or not.
    ///
    /// Fields may come in any order. Samples of equal stack and labels become one. A location
    /// without lines becomes one frame, named after the binary and the offset within it. Comments,
    /// `doc_url` and the display filters `drop_frames` and `keep_frames` are passed over. Compressed
    /// files need the feature `gzip`.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed), with a [`DecodeError`] as its source
    /// that says at which byte of the decompressed file;
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) where a bound is reached;
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for a compressed file without the feature.
    ///
    /// ```
    /// use otlp_profiles::{Limits, Profile, ValueType};
    /// let written = Profile::parse_folded(b"main;work 3", ValueType::cpu(), &Limits::default())?;
    /// let read = Profile::parse_pprof(&written.to_pprof(), &Limits::default())?;
    /// assert_eq!(read.to_folded(), "main;work 3\n");
    /// # Ok::<(), otlp_profiles::Error>(())
    /// ```
    pub fn parse_pprof(bytes: &[u8], limits: &Limits) -> Result<Self> {
        if bytes.len() > limits.input_bytes() {
            return Err(limit_error("max_input_bytes", bytes.len(), limits.input_bytes()));
        }
        let plain = decompress(bytes, limits)?;
        let raw = RawProfile::parse(&plain, limits).map_err(malformed)?;
        let mut profile = raw.empty_profile(limits)?;
        let tables = Tables::build(&raw, &mut profile)?;
        tables.add_samples(&raw, &mut profile)?;
        Ok(profile)
    }
}

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

fn decompress<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Cow<'a, [u8]>> {
    if !bytes.starts_with(&GZIP_MAGIC) {
        return Ok(Cow::Borrowed(bytes));
    }
    #[cfg(feature = "gzip")]
    return otlp_core::compress::gunzip(bytes, limits.input_bytes()).map(Cow::Owned);
    #[cfg(not(feature = "gzip"))]
    {
        let _ = limits;
        let message = "pprof: the file is compressed with gzip, and the feature `gzip` is off";
        Err(Error::new(crate::ErrorKind::Config, message))
    }
}

impl<'a> RawProfile<'a> {
    fn empty_profile(&self, limits: &Limits) -> Result<Profile> {
        if self.strings.first().is_some_and(|first| !first.is_empty()) {
            return Err(invalid(0, "the first string is not empty"));
        }
        if self.sample_types.is_empty() {
            return Err(invalid(0, "the profile has no sample type"));
        }
        let types = self.sample_types.iter().map(|raw| self.value_type(raw)).collect::<Result<Vec<_>>>()?;
        let mut profile = Profile::try_new(types, limits)?;
        let default = self.text(self.default_sample_type, 0)?;
        if !default.is_empty() {
            // A name that no sample type has is left alone, as by the tools of pprof.
            let _unknown = profile.use_value(default);
        }
        profile.time = UnixNanos(u64::try_from(self.time_nanos).unwrap_or_default());
        profile.duration = Duration::from_nanos(u64::try_from(self.duration_nanos).unwrap_or_default());
        profile.period = self.period;
        let period_type = self.period_type.as_ref().map(|raw| self.value_type(raw)).transpose()?;
        profile.period_type = period_type.filter(|of| *of != ValueType::default());
        Ok(profile)
    }

    fn value_type(&self, raw: &RawValueType) -> Result<ValueType> {
        Ok(ValueType::new(self.text(raw.kind, raw.offset)?, self.text(raw.unit, raw.offset)?))
    }

    fn text(&self, index: u64, offset: usize) -> Result<&'a str> {
        if index == 0 {
            return Ok("");
        }
        let found = usize::try_from(index).ok().and_then(|index| self.strings.get(index));
        found.copied().ok_or_else(|| undefined("string", index, offset))
    }
}

/// From the file's identifiers to the profile's own numbers.
struct Tables {
    functions: HashMap<u64, u32>,
    mappings: HashMap<u64, u32>,
    /// Where the frames of each location lie in `frames`.
    locations: HashMap<u64, Range<usize>>,
    /// The frames of all locations; within one the outermost first.
    frames: Vec<u32>,
}

impl Tables {
    fn build(raw: &RawProfile<'_>, profile: &mut Profile) -> Result<Self> {
        let mut tables = Self {
            functions: HashMap::new(),
            mappings: HashMap::new(),
            locations: HashMap::new(),
            frames: Vec::new(),
        };
        tables.add_functions(raw, profile)?;
        tables.add_mappings(raw, profile)?;
        tables.add_locations(raw, profile)?;
        Ok(tables)
    }

    fn add_functions(&mut self, raw: &RawProfile<'_>, profile: &mut Profile) -> Result<()> {
        for function in &raw.functions {
            let mut text = |index| profile.table.string(raw.text(index, function.offset)?, &profile.limits);
            let interned = Function {
                name: text(function.name)?,
                system_name: text(function.system_name)?,
                file: text(function.file)?,
                start_line: function.start_line,
            };
            let limit = profile.limits.frames();
            let own = profile.table.functions.intern(interned, "max_frames", limit)?;
            define(&mut self.functions, function.id, own, function.offset)?;
        }
        Ok(())
    }

    fn add_mappings(&mut self, raw: &RawProfile<'_>, profile: &mut Profile) -> Result<()> {
        for mapping in &raw.mappings {
            let mut text = |index| profile.table.string(raw.text(index, mapping.offset)?, &profile.limits);
            let interned = Mapping {
                start: mapping.start,
                limit: mapping.limit,
                offset: mapping.file_offset,
                file: text(mapping.file)?,
                build_id: text(mapping.build_id)?,
            };
            let limit = profile.limits.frames();
            let own = profile.table.mappings.intern(interned, "max_frames", limit)?;
            define(&mut self.mappings, mapping.id, own, mapping.offset)?;
        }
        Ok(())
    }

    fn add_locations(&mut self, raw: &RawProfile<'_>, profile: &mut Profile) -> Result<()> {
        let mut rest = raw.lines.as_slice();
        for location in &raw.locations {
            let (lines, others) = rest.split_at_checked(location.lines).unwrap_or((rest, &[]));
            rest = others;
            let mapping = resolve(&self.mappings, location.mapping, "mapping", location.offset)?;
            let start = self.frames.len();
            let bare = Frame { mapping, address: location.address, ..Frame::default() };
            if lines.is_empty() {
                self.frames.push(profile.table.frame(bare, &profile.limits)?);
            }
            // The last line is the function that really was called; the others are inlined in it.
            for (depth, line) in lines.iter().rev().enumerate() {
                let function = resolve(&self.functions, line.function, "function", location.offset)?;
                let (line, column) = (line.line, line.column);
                let frame = Frame { function, line, column, inlined: depth > 0, ..bare };
                self.frames.push(profile.table.frame(frame, &profile.limits)?);
            }
            define(&mut self.locations, location.id, start..self.frames.len(), location.offset)?;
        }
        Ok(())
    }

    fn add_samples(&self, raw: &RawProfile<'_>, profile: &mut Profile) -> Result<()> {
        let mut sample = RawSample::default();
        let mut visits = 0_usize;
        for &region in &raw.samples {
            sample.read(region, &profile.limits).map_err(malformed)?;
            if sample.values.len() != profile.value_types.len() {
                return Err(invalid(region.offset(), "a sample has not one value for each sample type"));
            }
            let mut stack = StackTree::EMPTY;
            for &id in sample.locations.iter().rev() {
                let range = self.locations.get(&id).cloned();
                let range = range.ok_or_else(|| undefined("location", id, region.offset()))?;
                let frames = self.frames.get(range).unwrap_or_default();
                visits = visits.saturating_add(frames.len());
                if visits > profile.limits.visits() {
                    return Err(limit_error("max_visits", visits, profile.limits.visits()));
                }
                for &frame in frames {
                    stack = profile.stacks.push(stack, frame, &profile.limits)?;
                }
            }
            let labels = labels(raw, &sample.labels, profile)?;
            profile.add(SampleKey { stack, labels }, &sample.values)?;
        }
        Ok(())
    }
}

fn labels(raw: &RawProfile<'_>, labels: &[RawLabel], profile: &mut Profile) -> Result<u32> {
    let mut set = Vec::with_capacity(labels.len());
    for label in labels {
        let mut text = |index| profile.table.string(raw.text(index, label.offset)?, &profile.limits);
        let key = text(label.key)?;
        let value = match text(label.text)? {
            0 => LabelEntryValue::Number { value: label.number, unit: text(label.unit)? },
            text => LabelEntryValue::Text(text),
        };
        set.push(LabelEntry { key, value });
    }
    profile.label_set(set)
}

fn define<T>(map: &mut HashMap<u64, T>, id: u64, own: T, offset: usize) -> Result<()> {
    if id == 0 {
        return Err(invalid(offset, "an identifier is zero"));
    }
    match map.insert(id, own) {
        None => Ok(()),
        Some(_) => Err(invalid(offset, "an identifier is defined twice")),
    }
}

fn resolve(map: &HashMap<u64, u32>, id: u64, what: &'static str, offset: usize) -> Result<Option<u32>> {
    if id == 0 {
        return Ok(None);
    }
    map.get(&id).copied().map(Some).ok_or_else(|| undefined(what, id, offset))
}

fn undefined(what: &'static str, met: u64, offset: usize) -> Error {
    malformed(DecodeError::new(offset, DecodeErrorKind::Reference { what, met }))
}

fn invalid(offset: usize, why: &'static str) -> Error {
    malformed(DecodeError::new(offset, DecodeErrorKind::Invalid(why)))
}
