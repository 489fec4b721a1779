//! Requests built from the records of others.

use crate::encode::Encode;
use crate::view::{
    LogRecordView, MetricView, ResourceLogsView, ResourceMetricsView, ResourceSpansView, ScopeLogsView,
    ScopeMetricsView, ScopeSpansView, SpanView,
};
use crate::wire::{Reader, Region, Writer};

macro_rules! builder {
    ($builder:ident, $resource:ident, $scope:ident, $record:ident: $add:ident, $what:literal) => {
        #[doc = concat!("Builds a request from the ", $what, " of others, and keeps the room it needs for it.")]
        ///
        /// Records are copied as they lie on the wire, as is what else their groups hold. A scope or resource that
        /// gets no record is left out; records that come before any scope lie in an empty one.
        ///
        /// There is an example in [`batch`](crate::batch).
        #[derive(Debug, Clone, Default)]
        pub struct $builder(Groups);

        impl $builder {
            /// A builder without records.
            #[must_use]
            pub fn new() -> Self {
                Self::default()
            }

            /// The records from here on are of this resource.
            pub fn resource(&mut self, group: &$resource<'_>) {
                self.0.group(Level::Resource, group.wire().as_whole().unwrap_or_default());
            }

            /// The records from here on are of this scope, within the resource named last.
            pub fn scope(&mut self, group: &$scope<'_>) {
                self.0.group(Level::Scope, group.wire().as_whole().unwrap_or_default());
            }

            #[doc = concat!("Takes one of the ", $what, ".")]
            pub fn $add(&mut self, record: &$record<'_>) {
                self.0.record(record);
            }

            /// Count of records taken.
            #[must_use]
            pub const fn len(&self) -> usize {
                self.0.records
            }

            /// True where no record was taken.
            #[must_use]
            pub const fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Puts the request in front of what `out` holds, and begins a new one.
            pub fn finish(&mut self, out: &mut Writer) {
                self.0.finish(out);
            }
        }
    };
}

builder!(TracesBuilder, ResourceSpansView, ScopeSpansView, SpanView: span, "spans");
builder!(LogsBuilder, ResourceLogsView, ScopeLogsView, LogRecordView: log, "log records");
builder!(MetricsBuilder, ResourceMetricsView, ScopeMetricsView, MetricView: metric, "metrics");

/// What was taken so far, in the order in which it came.
#[derive(Debug, Clone, Default)]
struct Groups {
    /// Records with tag and length, and what their groups hold besides.
    bytes: Vec<u8>,
    marks: Vec<Mark>,
    /// One record, as it is encoded.
    record: Writer,
    records: usize,
}

/// The bytes from the end of the mark before up to `to`.
#[derive(Debug, Clone, Copy)]
struct Mark {
    level: Level,
    to: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// What a resource group holds besides scopes; the group begins here.
    Resource,
    /// What a scope group holds besides records; the group begins here.
    Scope,
    /// Records of the scope.
    Records,
}

/// The field of scopes in a resource group, and of records in a scope group.
const MEMBERS: u32 = 2;
/// The field of resource groups in a request.
const RESOURCES: u32 = 1;

impl Groups {
    fn group(&mut self, level: Level, group: Region<'_>) {
        let mut reader = Reader::new(group);
        // The view has walked the same fields before, so no error comes.
        while let Ok(Some(field)) = reader.next_field() {
            if field.number != MEMBERS {
                let range = field.offset - group.offset()..reader.offset() - group.offset();
                self.bytes.extend(group.bytes().get(range).unwrap_or_default());
            }
        }
        self.marks.push(Mark { level, to: self.bytes.len() });
    }

    fn record(&mut self, record: &impl Encode) {
        self.record.clear();
        self.record.message(MEMBERS, |inner| record.encode(inner));
        self.bytes.extend(self.record.as_slice());
        let to = self.bytes.len();
        match self.marks.last_mut() {
            Some(mark) if mark.level == Level::Records => mark.to = to,
            _ => self.marks.push(Mark { level: Level::Records, to }),
        }
        self.records += 1;
    }

    fn finish(&mut self, out: &mut Writer) {
        // From the back: where the scope and the resource that are being written end.
        let (mut scope_end, mut resource_end) = (out.len(), out.len());
        for index in (0..self.marks.len()).rev() {
            let Some(mark) = self.marks.get(index) else { break };
            let before = index.checked_sub(1).and_then(|index| self.marks.get(index));
            let bytes = self.bytes.get(before.map_or(0, |before| before.to)..mark.to).unwrap_or_default();
            match mark.level {
                Level::Records => out.raw(bytes),
                Level::Scope => scope_end = close(out, scope_end, MEMBERS, bytes),
                Level::Resource => {
                    close(out, scope_end, MEMBERS, &[]);
                    scope_end = close(out, resource_end, RESOURCES, bytes);
                    resource_end = scope_end;
                }
            }
        }
        close(out, scope_end, MEMBERS, &[]);
        close(out, resource_end, RESOURCES, &[]);
        self.bytes.clear();
        self.marks.clear();
        self.records = 0;
    }
}

/// Makes a group of what was written since `out` had `end` bytes, unless that is nothing; gives where it begins.
fn close(out: &mut Writer, end: usize, field: u32, besides: &[u8]) -> usize {
    let len = out.len() - end;
    if len != 0 {
        out.raw(besides);
        out.raw_varint((len + besides.len()) as u64);
        out.raw_varint(u64::from(field) << 3 | 2);
    }
    out.len()
}
