//! Profiles: samples of stacks, and the dictionary that they refer to.
//!
//! After opentelemetry-proto's `profiles.v1development`. Whatever recurs lies once in one of the seven tables of a
//! [`ProfilesDictionary`], which the whole request shares, and is referred to by its index. Index 0 stands for "not
//! set", so the first element of every table is the zero value.

use super::attribute::AnyValue;
use crate::{ProfileId, SpanId, TraceId, UnixNanos};

/// Samples of one kind, over one interval.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Profile {
    /// What the values of the samples are, such as CPU time in nanoseconds.
    pub sample_type: ValueType,
    /// The samples.
    pub samples: Vec<Sample>,
    /// When collecting began.
    pub time: UnixNanos,
    /// How long it was collected, in nanoseconds; zero for a snapshot.
    pub duration_nanos: u64,
    /// What is counted between two samples.
    pub period_type: ValueType,
    /// How much of it lies between two samples.
    pub period: i64,
    /// Its own identifier, or [`ProfileId::INVALID`].
    pub profile_id: ProfileId,
    /// Attributes dropped before encoding.
    pub dropped_attributes_count: u32,
    /// Format of `original_payload`, such as `pprof` or `jfr`; empty where there is none.
    pub original_payload_format: String,
    /// The profile as its source wrote it, where that was kept.
    pub original_payload: Vec<u8>,
    /// Indices of attributes in the dictionary.
    pub attribute_indices: Vec<i32>,
}

/// What a number means: indices of strings in the dictionary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ValueType {
    /// Index of the kind's name, such as `cpu`.
    pub kind_index: i32,
    /// Index of the unit's name, such as `nanoseconds`.
    pub unit_index: i32,
}

/// What was seen of one stack in one context.
///
/// Values and timestamps, where both are there, are as many and belong together in order; timestamps alone mean a
/// value of one each.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Sample {
    /// Index of the stack in the dictionary.
    pub stack_index: i32,
    /// Indices of attributes in the dictionary.
    pub attribute_indices: Vec<i32>,
    /// Index of the link to a span in the dictionary.
    pub link_index: i32,
    /// The values, of the profile's `sample_type`.
    pub values: Vec<i64>,
    /// When it was seen, in nanoseconds since the Unix epoch.
    pub timestamps: Vec<u64>,
}

/// What the profiles of a request share: seven tables.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ProfilesDictionary {
    /// Parts of address spaces that files are mapped to.
    pub mappings: Vec<Mapping>,
    /// Places in the code.
    pub locations: Vec<Location>,
    /// Functions.
    pub functions: Vec<Function>,
    /// Spans that samples were taken in.
    pub links: Vec<ProfileLink>,
    /// Strings.
    pub strings: Vec<String>,
    /// Attributes.
    pub attributes: Vec<KeyValueAndUnit>,
    /// Stacks.
    pub stacks: Vec<Stack>,
}

/// A part of an address space that a file is mapped to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Mapping {
    /// First address.
    pub memory_start: u64,
    /// First address behind it.
    pub memory_limit: u64,
    /// Offset in the file of the first address.
    pub file_offset: u64,
    /// Index of the file's name in the strings.
    pub filename_index: i32,
    /// Indices of attributes in the dictionary.
    pub attribute_indices: Vec<i32>,
}

/// A place in the code.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Location {
    /// Index of the mapping that the address lies in.
    pub mapping_index: i32,
    /// Address of the instruction, where it is known.
    pub address: u64,
    /// The lines it stands for: inlined functions first, the one they are inlined into last.
    pub lines: Vec<Line>,
    /// Indices of attributes in the dictionary.
    pub attribute_indices: Vec<i32>,
}

/// A line of source code in a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Line {
    /// Index of the function.
    pub function_index: i32,
    /// Number of the line, from 1; 0 where it is not known.
    pub line: i64,
    /// Number of the column, from 1; 0 where it is not known.
    pub column: i64,
}

/// A function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Function {
    /// Index of the name for people.
    pub name_index: i32,
    /// Index of the name that the system uses, such as a mangled one.
    pub system_name_index: i32,
    /// Index of the source file's name.
    pub filename_index: i32,
    /// Number of its first line, from 1; 0 where it is not known.
    pub start_line: i64,
}

/// The span that a sample was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ProfileLink {
    /// Its trace.
    pub trace_id: TraceId,
    /// Itself.
    pub span_id: SpanId,
}

/// An attribute of the dictionary; its key lies in the strings, as does its unit.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct KeyValueAndUnit {
    /// Index of the name.
    pub key_index: i32,
    /// The value.
    pub value: AnyValue,
    /// Index of the unit; 0 where the semantic conventions tell it, or there is none.
    pub unit_index: i32,
}

/// A stack, from the innermost frame out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Stack {
    /// Indices of locations in the dictionary; the first one is the leaf.
    pub location_indices: Vec<i32>,
}

impl ProfilesDictionary {
    /// A dictionary as every request has to begin it: the zero value alone in each table.
    ///
    /// ```
    /// use otlp_core::record::ProfilesDictionary;
    /// let mut dictionary = ProfilesDictionary::new();
    /// dictionary.strings.push("cpu".into());
    /// assert_eq!((dictionary.string(0), dictionary.string(1)), (Some(""), Some("cpu")));
    /// assert!(dictionary.check().is_ok());
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self {
            mappings: vec![Mapping::default()],
            locations: vec![Location::default()],
            functions: vec![Function::default()],
            links: vec![ProfileLink::default()],
            strings: vec![String::new()],
            attributes: vec![KeyValueAndUnit::default()],
            stacks: vec![Stack::default()],
        }
    }

    /// The string at `index`, where there is one. O(1), as are the methods below.
    #[must_use]
    pub fn string(&self, index: i32) -> Option<&str> {
        at(&self.strings, index).map(String::as_str)
    }

    /// The mapping at `index`.
    #[must_use]
    pub fn mapping(&self, index: i32) -> Option<&Mapping> {
        at(&self.mappings, index)
    }

    /// The location at `index`.
    #[must_use]
    pub fn location(&self, index: i32) -> Option<&Location> {
        at(&self.locations, index)
    }

    /// The function at `index`.
    #[must_use]
    pub fn function(&self, index: i32) -> Option<&Function> {
        at(&self.functions, index)
    }

    /// The link at `index`.
    #[must_use]
    pub fn link(&self, index: i32) -> Option<&ProfileLink> {
        at(&self.links, index)
    }

    /// The attribute at `index`.
    #[must_use]
    pub fn attribute(&self, index: i32) -> Option<&KeyValueAndUnit> {
        at(&self.attributes, index)
    }

    /// The stack at `index`.
    #[must_use]
    pub fn stack(&self, index: i32) -> Option<&Stack> {
        at(&self.stacks, index)
    }

    /// True where no table has an element.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.mappings.is_empty()
            && self.locations.is_empty()
            && self.functions.is_empty()
            && self.links.is_empty()
            && self.strings.is_empty()
            && self.attributes.is_empty()
            && self.stacks.is_empty()
    }
}

fn at<T>(table: &[T], index: i32) -> Option<&T> {
    usize::try_from(index).ok().and_then(|index| table.get(index))
}
