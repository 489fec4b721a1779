//! Profiles and the tables that they refer to.

mod dictionary;
mod reference;

use super::attribute::AnyValueView;
use super::table::view;
use crate::{ProfileId, SpanId, TraceId, UnixNanos};

pub use dictionary::{DictionaryIndex, FrameView};

view! {
    /// Borrowed samples of one kind, over one interval.
    ProfileView of Profile {
        scalars {
            /// When collecting began.
            time: UnixNanos = 3 => nanos;
            /// How long it was collected, in nanoseconds; zero for a snapshot.
            duration_nanos: u64 = 4 => uint64;
            /// How much of the `period_type` lies between two samples.
            period: i64 = 6 => int64;
            /// Its own identifier, or [`ProfileId::INVALID`].
            profile_id: ProfileId = 7 => profile_id;
            /// Attributes dropped before encoding.
            dropped_attributes_count: u32 = 8 => uint32;
            /// Format of `original_payload`, such as `pprof` or `jfr`; empty where there is none.
            original_payload_format: &'a str = 9 => str;
            /// The profile as its source wrote it, where that was kept.
            original_payload: &'a [u8] = 10 => raw;
        }
        lists {
            /// The samples.
            samples: SampleView<'a> = 2 within elements;
        }
        numbers {
            /// Indices of attributes in the dictionary.
            attribute_indices: i32 = 11 as Int32;
        }
        parts {
            /// What the values of the samples are.
            sample_type: ValueTypeView<'a> = 1;
            /// What is counted between two samples.
            period_type: ValueTypeView<'a> = 5;
        }
    }
}

view! {
    /// What a number means, borrowed.
    ValueTypeView of ValueType {
        scalars {
            /// Index of the kind's name in the strings.
            kind_index: i32 = 1 => int32;
            /// Index of the unit's name in the strings.
            unit_index: i32 = 2 => int32;
        }
    }
}

view! {
    /// What was seen of one stack in one context, borrowed.
    SampleView of Sample {
        scalars {
            /// Index of the stack in the dictionary.
            stack_index: i32 = 1 => int32;
            /// Index of the link to a span in the dictionary.
            link_index: i32 = 3 => int32;
        }
        numbers {
            /// Indices of attributes in the dictionary.
            attribute_indices: i32 = 2 as Int32;
            /// The values, of the profile's `sample_type`.
            values: i64 = 4 as Int64;
            /// When it was seen, in nanoseconds since the Unix epoch.
            timestamps: u64 = 5 as Fixed64;
        }
    }
}

view! {
    /// What the profiles of a request share, borrowed: seven tables.
    ///
    /// An element is found by walking its table; [`index`](Self::index) makes that one step.
    ProfilesDictionaryView of ProfilesDictionary {
        lists {
            /// Parts of address spaces that files are mapped to.
            mappings: MappingView<'a> = 1 within elements;
            /// Places in the code.
            locations: LocationView<'a> = 2 within elements;
            /// Functions.
            functions: FunctionView<'a> = 3 within elements;
            /// Spans that samples were taken in.
            links: ProfileLinkView<'a> = 4 within elements;
            /// Strings.
            strings: &'a str = 5 within elements;
            /// Attributes.
            attributes: KeyValueAndUnitView<'a> = 6 within elements;
            /// Stacks.
            stacks: StackView<'a> = 7 within elements;
        }
    }
}

view! {
    /// A borrowed part of an address space that a file is mapped to.
    MappingView of Mapping {
        scalars {
            /// First address.
            memory_start: u64 = 1 => uint64;
            /// First address behind it.
            memory_limit: u64 = 2 => uint64;
            /// Offset in the file of the first address.
            file_offset: u64 = 3 => uint64;
            /// Index of the file's name in the strings.
            filename_index: i32 = 4 => int32;
        }
        numbers {
            /// Indices of attributes in the dictionary.
            attribute_indices: i32 = 5 as Int32;
        }
    }
}

view! {
    /// A borrowed place in the code.
    LocationView of Location {
        scalars {
            /// Index of the mapping that the address lies in.
            mapping_index: i32 = 1 => int32;
            /// Address of the instruction, where it is known.
            address: u64 = 2 => uint64;
        }
        lists {
            /// The lines it stands for: inlined functions first, the one they are inlined into last.
            lines: LineView<'a> = 3 within elements;
        }
        numbers {
            /// Indices of attributes in the dictionary.
            attribute_indices: i32 = 4 as Int32;
        }
    }
}

view! {
    /// A borrowed line of source code in a function.
    LineView of Line {
        scalars {
            /// Index of the function.
            function_index: i32 = 1 => int32;
            /// Number of the line, from 1; 0 where it is not known.
            line: i64 = 2 => int64;
            /// Number of the column, from 1; 0 where it is not known.
            column: i64 = 3 => int64;
        }
    }
}

view! {
    /// A borrowed function.
    FunctionView of Function {
        scalars {
            /// Index of the name for people.
            name_index: i32 = 1 => int32;
            /// Index of the name that the system uses, such as a mangled one.
            system_name_index: i32 = 2 => int32;
            /// Index of the source file's name.
            filename_index: i32 = 3 => int32;
            /// Number of its first line, from 1; 0 where it is not known.
            start_line: i64 = 4 => int64;
        }
    }
}

view! {
    /// The span that a sample was taken in, borrowed.
    ProfileLinkView of ProfileLink {
        scalars {
            /// Its trace.
            trace_id: TraceId = 1 => trace_id;
            /// Itself.
            span_id: SpanId = 2 => span_id;
        }
    }
}

view! {
    /// A borrowed attribute of the dictionary.
    KeyValueAndUnitView of KeyValueAndUnit {
        scalars {
            /// Index of the name in the strings.
            key_index: i32 = 1 => int32;
            /// Index of the unit in the strings; 0 where it is told by the semantic conventions, or there is none.
            unit_index: i32 = 3 => int32;
        }
        parts {
            /// The value.
            value: AnyValueView<'a> = 2;
        }
    }
}

view! {
    /// A borrowed stack, from the innermost frame out.
    StackView of Stack {
        numbers {
            /// Indices of locations in the dictionary; the first one is the leaf.
            location_indices: i32 = 1 as Int32;
        }
    }
}
