//! Messages as trees of fields: taken apart by a schema, put in another order, split, padded, rewritten.

use otlp_core::wire::{Reader, Region, Value};

use crate::dice::Dice;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Traces,
    ResourceSpans,
    ScopeSpans,
    Span,
    Event,
    Link,
    Leaf,
    Logs,
    ResourceLogs,
    ScopeLogs,
    LogRecord,
    Profiles,
    ResourceProfiles,
    ScopeProfiles,
    Profile,
    Sample,
    Dictionary,
    Mapping,
    Location,
    ProfileLink,
    KeyValueAndUnit,
    Stack,
    Metrics,
    ResourceMetrics,
    ScopeMetrics,
    Metric,
    NumberData,
    HistogramData,
    ExponentialData,
    SummaryData,
    NumberPoint,
    HistogramPoint,
    ExponentialPoint,
    SummaryPoint,
    Buckets,
    Exemplar,
    Resource,
    Scope,
    KeyValue,
    AnyValue,
    Array,
    KvList,
    Response,
    PartialSuccess,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occurs {
    Once,
    Often,
}

use Occurs::{Often, Once};

impl Type {
    /// The sub-message that field `number` holds, after the field numbers of opentelemetry-proto.
    pub(crate) fn child(self, number: u32) -> Option<(Self, Occurs)> {
        Some(match (self, number) {
            (Self::Traces, 1) => (Self::ResourceSpans, Often),
            (Self::Logs, 1) => (Self::ResourceLogs, Often),
            (Self::Metrics, 1) => (Self::ResourceMetrics, Often),
            (Self::Profiles, 1) => (Self::ResourceProfiles, Often),
            (Self::Profiles, 2) => (Self::Dictionary, Once),
            (
                Self::ResourceSpans | Self::ResourceLogs | Self::ResourceMetrics | Self::ResourceProfiles,
                1,
            ) => (Self::Resource, Once),
            (Self::ResourceProfiles, 2) => (Self::ScopeProfiles, Often),
            (Self::ScopeProfiles, 2) => (Self::Profile, Often),
            (Self::Profile, 1 | 5) => (Self::Leaf, Once),
            (Self::Profile, 2) => (Self::Sample, Often),
            (Self::Dictionary, 1) => (Self::Mapping, Often),
            (Self::Dictionary, 2) => (Self::Location, Often),
            (Self::Dictionary, 4) => (Self::ProfileLink, Often),
            (Self::Dictionary, 6) => (Self::KeyValueAndUnit, Often),
            (Self::Dictionary, 7) => (Self::Stack, Often),
            (Self::Dictionary | Self::Location, 3) => (Self::Leaf, Often),
            (Self::ResourceSpans, 2) => (Self::ScopeSpans, Often),
            (Self::ResourceLogs, 2) => (Self::ScopeLogs, Often),
            (Self::ResourceMetrics, 2) => (Self::ScopeMetrics, Often),
            (Self::ScopeSpans | Self::ScopeLogs | Self::ScopeMetrics | Self::ScopeProfiles, 1) => {
                (Self::Scope, Once)
            }
            (Self::ScopeSpans, 2) => (Self::Span, Often),
            (Self::ScopeLogs, 2) => (Self::LogRecord, Often),
            (Self::ScopeMetrics, 2) => (Self::Metric, Often),
            (Self::Span, 11) => (Self::Event, Often),
            (Self::Span, 13) => (Self::Link, Often),
            (Self::Span, 15) => (Self::Leaf, Once),
            (Self::LogRecord, 5) | (Self::KeyValue | Self::KeyValueAndUnit, 2) => (Self::AnyValue, Once),
            (Self::Metric, 5 | 7) => (Self::NumberData, Once),
            (Self::Metric, 9) => (Self::HistogramData, Once),
            (Self::Metric, 10) => (Self::ExponentialData, Once),
            (Self::Metric, 11) => (Self::SummaryData, Once),
            (Self::NumberData, 1) => (Self::NumberPoint, Often),
            (Self::HistogramData, 1) => (Self::HistogramPoint, Often),
            (Self::ExponentialData, 1) => (Self::ExponentialPoint, Often),
            (Self::SummaryData, 1) => (Self::SummaryPoint, Often),
            (Self::ExponentialPoint, 8 | 9) => (Self::Buckets, Once),
            (Self::NumberPoint, 5) | (Self::HistogramPoint, 8) | (Self::ExponentialPoint, 11) => {
                (Self::Exemplar, Often)
            }
            (Self::SummaryPoint, 6) | (Self::Resource, 3) => (Self::Leaf, Often),
            (Self::AnyValue, 5) => (Self::Array, Once),
            (Self::AnyValue, 6) => (Self::KvList, Once),
            (Self::Array, 1) => (Self::AnyValue, Often),
            (Self::Response, 1) => (Self::PartialSuccess, Once),
            (Self::Resource | Self::ExponentialPoint | Self::KvList, 1)
            | (Self::Scope | Self::Event, 3)
            | (Self::Link, 4)
            | (Self::LogRecord, 6)
            | (Self::NumberPoint | Self::SummaryPoint | Self::Exemplar, 7)
            | (Self::Span | Self::HistogramPoint, 9)
            | (Self::Metric, 12) => (Self::KeyValue, Often),
            _ => return None,
        })
    }

    /// True for a sub-message whose presence alone says nothing in OTLP.
    fn is_silent_when_empty(self, number: u32) -> bool {
        use Type::{
            KeyValue, KeyValueAndUnit, LogRecord, Profile, Profiles, ResourceLogs, ResourceMetrics,
            ResourceProfiles, ResourceSpans, Response, ScopeLogs, ScopeMetrics, ScopeProfiles, ScopeSpans,
            Span,
        };
        match number {
            1 => {
                let by_resource = [ResourceSpans, ResourceLogs, ResourceMetrics, ResourceProfiles];
                let by_scope = [ScopeSpans, ScopeLogs, ScopeMetrics, ScopeProfiles];
                by_resource.contains(&self) || by_scope.contains(&self) || [Profile, Response].contains(&self)
            }
            2 => [KeyValue, KeyValueAndUnit, Profiles].contains(&self),
            5 => [LogRecord, Profile].contains(&self),
            15 => self == Span,
            _ => false,
        }
    }

    fn is_id(self, number: u32) -> bool {
        self.id_len(number).is_some()
    }

    /// Bytes that the identifier in field `number` must have.
    pub(crate) fn id_len(self, number: u32) -> Option<usize> {
        match (self, number) {
            (Self::Span | Self::Link | Self::ProfileLink, 1)
            | (Self::LogRecord, 9)
            | (Self::Exemplar, 5)
            | (Self::Profile, 7) => Some(16),
            (Self::Span, 2 | 4)
            | (Self::Link | Self::ProfileLink, 2)
            | (Self::LogRecord, 10)
            | (Self::Exemplar, 4) => Some(8),
            _ => None,
        }
    }

    /// True for a member of the message's oneof, where members hold what can be malformed.
    pub(crate) fn is_member(self, number: u32) -> bool {
        match self {
            Self::AnyValue => (1..=8).contains(&number),
            Self::Metric => [5, 7, 9, 10, 11].contains(&number),
            _ => false,
        }
    }

    /// Bytes of a packed number, 0 for varints.
    pub(crate) fn packed(self, number: u32) -> Option<usize> {
        match (self, number) {
            (Self::HistogramPoint, 6 | 7) => Some(8),
            (Self::Sample, 5) => Some(8),
            (Self::Buckets, 2)
            | (Self::Sample, 2 | 4)
            | (Self::Mapping, 5)
            | (Self::Location, 4)
            | (Self::Profile, 11)
            | (Self::Stack, 1) => Some(0),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) number: u32,
    pub(crate) content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(Vec<u8>),
    Message(Type, Vec<Node>),
}

pub(crate) fn parse(kind: Type, bytes: &[u8]) -> Option<Vec<Node>> {
    let mut reader = Reader::new(Region::new(bytes));
    let mut nodes = Vec::new();
    while let Some(field) = reader.next_field().ok()? {
        let content = match field.value {
            Value::Varint(value) => Content::Varint(value),
            Value::Fixed64(value) => Content::Fixed64(value),
            Value::Fixed32(value) => Content::Fixed32(value),
            Value::Bytes(region) => match kind.child(field.number) {
                Some((child, _)) => Content::Message(child, parse(child, region.bytes())?),
                None => Content::Bytes(region.bytes().to_vec()),
            },
        };
        nodes.push(Node { number: field.number, content });
    }
    Some(nodes)
}

pub(crate) fn write(nodes: &[Node]) -> Vec<u8> {
    let mut out = Vec::new();
    for node in nodes {
        let tag = |wire_type: u64| u64::from(node.number) << 3 | wire_type;
        match &node.content {
            Content::Varint(value) => {
                varint(&mut out, tag(0));
                varint(&mut out, *value);
            }
            Content::Fixed64(value) => {
                varint(&mut out, tag(1));
                out.extend(value.to_le_bytes());
            }
            Content::Fixed32(value) => {
                varint(&mut out, tag(5));
                out.extend(value.to_le_bytes());
            }
            Content::Bytes(bytes) => delimited(&mut out, tag(2), bytes),
            Content::Message(_, nodes) => delimited(&mut out, tag(2), &write(nodes)),
        }
    }
    out
}

fn delimited(out: &mut Vec<u8>, tag: u64, bytes: &[u8]) {
    varint(out, tag);
    varint(out, bytes.len() as u64);
    out.extend(bytes);
}

pub(crate) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap());
}

/// Ascending order, without what says nothing: zero identifiers, empty sub-messages.
pub(crate) fn canonical(kind: Type, nodes: &[Node]) -> Vec<Node> {
    let mut out = Vec::new();
    for node in nodes {
        let mut node = node.clone();
        if let Content::Message(child, inner) = &mut node.content {
            *inner = canonical(*child, inner);
            if inner.is_empty() && kind.is_silent_when_empty(node.number) {
                continue;
            }
        }
        let zero_id = kind.is_id(node.number)
            && matches!(&node.content, Content::Bytes(id) if id.iter().all(|byte| *byte == 0));
        if !zero_id {
            out.push(node);
        }
    }
    out.sort_by_key(|node| node.number);
    out
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Order {
    Ascending,
    Descending,
    Shuffled,
}

/// Puts the fields of every message in another order; fields of one number keep theirs.
pub(crate) fn reorder(nodes: &mut Vec<Node>, order: Order, dice: &mut Dice) {
    for node in nodes.iter_mut() {
        if let Content::Message(_, inner) = &mut node.content {
            reorder(inner, order, dice);
        }
    }
    match order {
        Order::Ascending => nodes.sort_by_key(|node| node.number),
        Order::Descending => nodes.sort_by_key(|node| std::cmp::Reverse(node.number)),
        Order::Shuffled => {
            let mut numbers: Vec<u32> = nodes.iter().map(|node| node.number).collect();
            for last in (1..numbers.len()).rev() {
                numbers.swap(last, dice.below(last + 1));
            }
            let take = |number: &u32| {
                let at = nodes.iter().position(|node| node.number == *number).unwrap();
                nodes.remove(at)
            };
            let shuffled = numbers.iter().map(take).collect();
            *nodes = shuffled;
        }
    }
}

/// Splits singular sub-messages in pieces that lie apart.
pub(crate) fn split(nodes: &mut Vec<Node>, kind: Type, dice: &mut Dice) {
    let mut pieces = Vec::new();
    for (index, node) in nodes.iter_mut().enumerate() {
        let number = node.number;
        if let Content::Message(child, inner) = &mut node.content {
            let child = *child;
            split(inner, child, dice);
            if kind.child(number).is_some_and(|(_, occurs)| occurs == Once) && dice.one_in(2) {
                let second = inner.split_off(dice.below(inner.len() + 1));
                pieces.push((index, Node { number, content: Content::Message(child, second) }));
            }
        }
    }
    // From the back, so that a piece never comes before the one it was cut from.
    for (index, piece) in pieces.into_iter().rev() {
        let place = index + 1 + dice.below(nodes.len() - index);
        nodes.insert(place, piece);
    }
}

/// Writes packed numbers one by one, or in several runs.
pub(crate) fn unpack(nodes: &mut Vec<Node>, kind: Type, dice: &mut Dice) {
    let mut out = Vec::new();
    for mut node in nodes.drain(..) {
        match (&mut node.content, kind.packed(node.number)) {
            (Content::Message(child, inner), _) => {
                unpack(inner, *child, dice);
                out.push(node);
            }
            (Content::Bytes(run), Some(width)) => {
                for number in chunks(run, width) {
                    let single = match width {
                        0 => Content::Varint(parse_varint(&number)),
                        _ => Content::Fixed64(u64::from_le_bytes(number.clone().try_into().unwrap())),
                    };
                    let content = if dice.one_in(2) { single } else { Content::Bytes(number) };
                    out.push(Node { number: node.number, content });
                    if dice.one_in(4) {
                        out.push(Node { number: node.number, content: Content::Bytes(Vec::new()) });
                    }
                }
            }
            _ => out.push(node),
        }
    }
    *nodes = out;
}

fn chunks(run: &[u8], width: usize) -> Vec<Vec<u8>> {
    if width != 0 {
        return run.chunks(width).map(<[u8]>::to_vec).collect();
    }
    run.split_inclusive(|byte| *byte < 0x80).map(<[u8]>::to_vec).collect()
}

fn parse_varint(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f))
}

/// Puts fields that no version of OTLP has between the others.
pub(crate) fn pad(nodes: &mut Vec<Node>, dice: &mut Dice) {
    for node in nodes.iter_mut() {
        if let Content::Message(_, inner) = &mut node.content {
            pad(inner, dice);
        }
    }
    for _ in 0..dice.below(3) {
        let number = [100, 1000, 70_000, (1 << 29) - 1][dice.below(4)];
        let content = match dice.below(4) {
            0 => Content::Varint(dice.varied()),
            1 => Content::Fixed64(dice.number()),
            2 => Content::Fixed32(dice.u32()),
            _ => Content::Bytes(dice.bytes(7)),
        };
        nodes.insert(dice.below(nodes.len() + 1), Node { number, content });
    }
}

/// Repeats fields elsewhere, with other values, and puts further members next to those of oneofs.
pub(crate) fn duplicate(nodes: &mut Vec<Node>, kind: Type, dice: &mut Dice) {
    for node in nodes.iter_mut() {
        if let Content::Message(child, inner) = &mut node.content {
            duplicate(inner, *child, dice);
        }
    }
    if nodes.is_empty() || dice.one_in(2) {
        return;
    }
    let mut copy = nodes[dice.below(nodes.len())].clone();
    match &mut copy.content {
        Content::Varint(value) => *value = dice.varied(),
        Content::Fixed64(value) => *value = dice.number(),
        Content::Fixed32(value) => *value = dice.u32(),
        Content::Bytes(bytes) if !kind.is_id(copy.number) && kind.packed(copy.number).is_none() => {
            *bytes = dice.text().into_bytes();
        }
        Content::Bytes(_) | Content::Message(..) => {}
    }
    nodes.insert(dice.below(nodes.len() + 1), copy);
    if kind == Type::AnyValue && dice.one_in(2) {
        let text = Node { number: 1, content: Content::Bytes(dice.text().into_bytes()) };
        nodes.insert(dice.below(nodes.len() + 1), text);
    }
    if kind == Type::Metric && dice.one_in(2) {
        let (number, child) = [(5, Type::NumberData), (9, Type::HistogramData)][dice.below(2)];
        let other = Node { number, content: Content::Message(child, Vec::new()) };
        nodes.insert(dice.below(nodes.len() + 1), other);
    }
}

/// Changes the value of one field somewhere; false where there is none.
pub(crate) fn change_one(nodes: &mut [Node], dice: &mut Dice) -> bool {
    if nodes.is_empty() {
        return false;
    }
    let at = dice.below(nodes.len());
    match &mut nodes[at].content {
        Content::Varint(value) | Content::Fixed64(value) => *value ^= 1,
        Content::Fixed32(value) => *value ^= 1,
        Content::Bytes(bytes) => match bytes.last_mut() {
            Some(last) if *last < 0x80 => *last ^= 1,
            _ => return false,
        },
        Content::Message(_, inner) => return change_one(inner, dice),
    }
    true
}
