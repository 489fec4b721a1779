//! Random messages of every type, made from the descriptors that the Python package gave.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use otlp_core::protocol::Signal;

use crate::dice::Dice;

#[derive(Debug, Clone)]
struct Field {
    number: u32,
    name: &'static str,
    kind: &'static str,
    holds: &'static str,
    label: &'static str,
    oneof: &'static str,
}

type Schema = BTreeMap<&'static str, Vec<Field>>;

fn schema() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let mut schema = Schema::new();
        for line in include_str!("../data/fields.tsv").lines().filter(|line| !line.starts_with('#')) {
            let columns: Vec<&str> = line.split('\t').collect();
            let &[message, number, name, _, kind, holds, label, oneof] = columns.as_slice() else {
                panic!("{line}")
            };
            let number = number.parse().unwrap();
            schema.entry(message).or_default().push(Field { number, name, kind, holds, label, oneof });
        }
        schema
    })
}

/// A field as it will lie on the wire.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    number: u32,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(Vec<u8>),
    /// Repeated numbers, to be written packed or not.
    Numbers(Vec<Self>),
    /// A sub-message, and whether there is at most one.
    Message(Vec<Node>, bool),
}

fn name(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest",
        Signal::Metrics => "opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest",
        Signal::Logs => "opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest",
        Signal::Profiles => {
            "opentelemetry.proto.collector.profiles.v1development.ExportProfilesServiceRequest"
        }
        other => panic!("no messages for {other}"),
    }
}

/// A random request, every field of every message within reach.
pub(crate) fn request(signal: Signal, dice: &mut Dice) -> Vec<Node> {
    message(name(signal), dice, 11)
}

fn message(name: &str, dice: &mut Dice, levels: usize) -> Vec<Node> {
    let mut nodes = Vec::new();
    let fields = &schema()[name];
    let members: Vec<u32> =
        fields.iter().filter(|field| field.oneof != "-").map(|field| field.number).collect();
    let member = if members.is_empty() { 0 } else { members[dice.below(members.len())] };
    for field in fields {
        let is_message = field.kind == "message";
        if is_message && levels == 0 || field.oneof != "-" && field.number != member || dice.one_in(4) {
            continue;
        }
        let number = field.number;
        let mut node = |content| nodes.push(Node { number, content });
        match (field.label, is_message) {
            ("repeated", true) => {
                for _ in 0..dice.below(3) {
                    node(Content::Message(message(field.holds, dice, levels - 1), false));
                }
            }
            (_, true) => node(Content::Message(message(field.holds, dice, levels - 1), true)),
            ("repeated", false) if matches!(field.kind, "string" | "bytes") => {
                (0..dice.below(4)).for_each(|_| node(scalar(field, dice)));
            }
            ("repeated", false) => {
                node(Content::Numbers((0..dice.below(6)).map(|_| scalar(field, dice)).collect()));
            }
            _ => node(scalar(field, dice)),
        }
    }
    nodes
}

fn scalar(field: &Field, dice: &mut Dice) -> Content {
    match field.kind {
        "double" => Content::Fixed64(number(dice).to_bits()),
        "fixed64" | "sfixed64" => Content::Fixed64(dice.varied()),
        "fixed32" => Content::Fixed32(dice.u32()),
        "string" => Content::Bytes(text(dice).into_bytes()),
        "bytes" => Content::Bytes(match field.name {
            "trace_id" | "profile_id" => id(dice, 16),
            "span_id" | "parent_span_id" => id(dice, 8),
            _ => {
                let len = dice.below(20);
                dice.bytes(len)
            }
        }),
        "bool" => Content::Varint(dice.below(2) as u64),
        "uint32" | "sint32" => Content::Varint(dice.u32().into()),
        "int32" | "enum" => Content::Varint(i64::from(dice.i32()).cast_unsigned()),
        "int64" | "uint64" => Content::Varint(dice.varied()),
        other => panic!("{other}"),
    }
}

/// A double other than -0, which prost takes for the default value, and one NaN of the many.
fn number(dice: &mut Dice) -> f64 {
    let value = match dice.below(3) {
        0 => f64::from(dice.i32()) / f64::from(1 << dice.below(12)),
        1 => f64::from(dice.i32()) / 10_f64.powi(i32::try_from(dice.below(9)).unwrap()),
        _ => dice.f64(),
    };
    if value.is_nan() { f64::NAN } else { value + 0.0 }
}

fn text(dice: &mut Dice) -> String {
    const PIECES: [&str; 9] = ["\"", "\\", "\n", "\u{0}", "\u{1f}", "\u{7f}", "\u{2028}", "/", "plain"];
    let mut text = dice.text();
    for _ in 0..dice.below(3) {
        text.push_str(PIECES[dice.below(PIECES.len())]);
    }
    text
}

fn id(dice: &mut Dice, len: usize) -> Vec<u8> {
    if dice.one_in(4) { Vec::new() } else { dice.bytes(len) }
}

/// How a message is laid out on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    Ascending,
    Descending,
    /// Any order, sub-messages in pieces, numbers packed or not, unknown fields between.
    Wild,
    /// The same with fields given twice.
    Repeated,
}

pub(crate) fn encode(nodes: &[Node], layout: Layout, dice: &mut Dice) -> Vec<u8> {
    let mut nodes = nodes.to_vec();
    let is_wild = matches!(layout, Layout::Wild | Layout::Repeated);
    if layout == Layout::Repeated && !nodes.is_empty() && dice.one_in(2) {
        let mut copy = nodes[dice.below(nodes.len())].clone();
        match &mut copy.content {
            Content::Varint(value) => *value ^= 1,
            // Zero would become -0, and JSON knows one NaN only.
            Content::Fixed64(value) if *value != 0 && !f64::from_bits(*value).is_nan() => *value ^= 1 << 63,
            _ => {}
        }
        nodes.push(copy);
    }
    if is_wild {
        split(&mut nodes, dice);
    }
    match layout {
        Layout::Ascending => nodes.sort_by_key(|node| node.number),
        Layout::Descending => nodes.sort_by_key(|node| std::cmp::Reverse(node.number)),
        Layout::Wild => shuffle(&mut nodes, dice),
        Layout::Repeated => {
            for last in (1..nodes.len()).rev() {
                nodes.swap(last, dice.below(last + 1));
            }
        }
    }
    let mut out = Vec::new();
    for node in &nodes {
        if is_wild && dice.one_in(8) {
            field(&mut out, 1000, &Content::Bytes(dice.bytes(5)));
        }
        match &node.content {
            Content::Message(inner, _) => {
                field(&mut out, node.number, &Content::Bytes(encode(inner, layout, dice)));
            }
            Content::Numbers(numbers) if is_wild => unpack(&mut out, node.number, numbers, dice),
            // An encoder writes no empty run.
            Content::Numbers(numbers) if numbers.is_empty() => {}
            Content::Numbers(numbers) => field(&mut out, node.number, &Content::Bytes(run(numbers))),
            content => field(&mut out, node.number, content),
        }
    }
    out
}

/// Puts fields in another order; those of one number keep theirs.
fn shuffle(nodes: &mut Vec<Node>, dice: &mut Dice) {
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

fn split(nodes: &mut Vec<Node>, dice: &mut Dice) {
    let mut pieces = Vec::new();
    for node in nodes.iter_mut() {
        if let Content::Message(inner, true) = &mut node.content
            && dice.one_in(2)
        {
            let rest = inner.split_off(dice.below(inner.len() + 1));
            pieces.push(Node { number: node.number, content: Content::Message(rest, true) });
        }
    }
    nodes.extend(pieces);
}

fn unpack(out: &mut Vec<u8>, number: u32, numbers: &[Content], dice: &mut Dice) {
    let mut rest = numbers;
    while !rest.is_empty() {
        let (part, after) = rest.split_at(dice.below(rest.len() + 1));
        field(out, number, &Content::Bytes(run(part)));
        rest = after;
        if let Some((one, after)) = rest.split_first() {
            field(out, number, one);
            rest = after;
        }
    }
}

fn run(numbers: &[Content]) -> Vec<u8> {
    let mut out = Vec::new();
    numbers.iter().for_each(|number| raw(&mut out, number));
    out
}

fn field(out: &mut Vec<u8>, number: u32, content: &Content) {
    let wire_type = match content {
        Content::Varint(_) => 0,
        Content::Fixed64(_) => 1,
        Content::Fixed32(_) => 5,
        _ => 2,
    };
    varint(out, u64::from(number << 3 | wire_type));
    raw(out, content);
}

fn raw(out: &mut Vec<u8>, content: &Content) {
    match content {
        Content::Varint(value) => varint(out, *value),
        Content::Fixed64(value) => out.extend(value.to_le_bytes()),
        Content::Fixed32(value) => out.extend(value.to_le_bytes()),
        Content::Bytes(bytes) => {
            varint(out, bytes.len() as u64);
            out.extend(bytes);
        }
        Content::Numbers(_) | Content::Message(..) => unreachable!("written by `encode`"),
    }
}

pub(crate) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap());
}

/// A length-delimited field.
pub(crate) fn delimited(number: u32, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    field(&mut out, number, &Content::Bytes(content.to_vec()));
    out
}

/// Changes one value somewhere; false where there is none.
pub(crate) fn change_one(nodes: &mut [Node], dice: &mut Dice) -> bool {
    if nodes.is_empty() {
        return false;
    }
    let at = dice.below(nodes.len());
    change(&mut nodes[at].content, dice)
}

fn change(content: &mut Content, dice: &mut Dice) -> bool {
    match content {
        Content::Varint(value) => *value ^= 1,
        // Not the lowest bit: that of a large number is lost in a double, that of a NaN says nothing.
        Content::Fixed64(value) if !f64::from_bits(*value).is_nan() => *value ^= 1,
        Content::Fixed32(value) => *value ^= 1,
        Content::Bytes(bytes) => match bytes.last_mut() {
            Some(last) if *last < 0x80 => *last ^= 1,
            _ => return false,
        },
        Content::Numbers(numbers) if !numbers.is_empty() => {
            let at = dice.below(numbers.len());
            return change(&mut numbers[at], dice);
        }
        Content::Message(inner, _) => return change_one(inner, dice),
        Content::Fixed64(_) | Content::Numbers(_) => return false,
    }
    true
}
