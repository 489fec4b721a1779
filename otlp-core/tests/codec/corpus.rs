//! Requests written by others, frozen with what the Python package reads in them (`tests/data/make_corpus.py`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::{fmt::Write as _, fs};

use crate::chunk;
use crate::signal::{SIGNALS, Signal};

/// What the fields of a message are called and how they are laid out, by message and number.
type Schema = BTreeMap<(String, u32), Field>;

struct Field {
    name: String,
    layout: String,
    /// The message or enum.
    of: String,
    repeated: bool,
}

fn data(file: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "data", file].iter().collect()
}

fn schema() -> Schema {
    let table = fs::read_to_string(data("fields.tsv")).unwrap();
    let rows = table.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| {
        let column: Vec<&str> = row.split('\t').collect();
        let field = Field {
            name: column[2].to_owned(),
            layout: column[4].to_owned(),
            of: column[5].to_owned(),
            repeated: column[6] == "repeated",
        };
        ((column[0].to_owned(), column[1].parse().unwrap()), field)
    })
    .collect()
}

/// Writes a message out in the way of `make_corpus.py`.
struct Printer<'a> {
    schema: &'a Schema,
    out: String,
    met: BTreeSet<(String, u32)>,
}

impl Printer<'_> {
    fn message(&mut self, message: &str, bytes: &[u8], depth: usize) {
        let mut chunks = chunk::split(bytes);
        chunks.sort_by_key(|chunk| chunk.number);
        for chunk in chunks {
            let schema = self.schema;
            let key = (message.to_owned(), chunk.number);
            let field = schema.get(&key).unwrap_or_else(|| panic!("{message} has no field {}", chunk.number));
            self.met.insert(key);
            self.field(field, chunk.content(), chunk.value(), depth);
        }
    }

    fn field(&mut self, field: &Field, content: Option<&[u8]>, value: &[u8], depth: usize) {
        let begin = self.out.len();
        write!(self.out, "{:depth$}{}", "", field.name).unwrap();
        match (field.layout.as_str(), content) {
            ("message", Some(inner)) => {
                self.out.push('\n');
                let head = self.out.len();
                self.message(&field.of, inner, depth + 1);
                let silent = ["resource", "scope", "status", "value", "body"].contains(&field.name.as_str());
                if self.out.len() == head && silent && !field.repeated {
                    self.out.truncate(begin);
                }
            }
            ("string", Some(text)) => {
                self.out.push_str(" \"");
                for char in str::from_utf8(text).unwrap().chars() {
                    match char {
                        ' '..='~' if !['"', '\\'].contains(&char) => self.out.push(char),
                        _ => write!(self.out, "\\u{{{:x}}}", u32::from(char)).unwrap(),
                    }
                }
                self.out.push_str("\"\n");
            }
            ("bytes", Some(bytes)) => {
                self.out.push_str(" 0x");
                bytes.iter().for_each(|byte| write!(self.out, "{byte:02x}").unwrap());
                self.out.push('\n');
            }
            (layout, Some(packed)) => {
                self.out.truncate(begin);
                for number in numbers(layout, packed) {
                    writeln!(self.out, "{:depth$}{} {number}", "", field.name).unwrap();
                }
            }
            (layout, None) => writeln!(self.out, " {}", numbers(layout, value).concat()).unwrap(),
        }
    }
}

fn numbers(layout: &str, bytes: &[u8]) -> Vec<String> {
    let fixed64 = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
    let varint = |bytes: &[u8]| bytes.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f));
    let number = |bytes: &[u8]| match layout {
        "double" => format!("f64:{:016x}", fixed64(bytes)),
        "fixed64" => fixed64(bytes).to_string(),
        "sfixed64" => fixed64(bytes).cast_signed().to_string(),
        "fixed32" => u32::from_le_bytes(bytes.try_into().unwrap()).to_string(),
        "sint32" => otlp_core::wire::zigzag_decode(varint(bytes)).to_string(),
        "int32" | "int64" | "enum" => varint(bytes).cast_signed().to_string(),
        "uint32" | "uint64" | "bool" => varint(bytes).to_string(),
        other => panic!("a layout that this test does not know: {other}"),
    };
    match layout {
        "double" | "fixed64" | "sfixed64" => bytes.chunks(8).map(number).collect(),
        "fixed32" => bytes.chunks(4).map(number).collect(),
        _ => bytes.split_inclusive(|byte| *byte < 0x80).map(number).collect(),
    }
}

/// The signals by the name in the files, with the message that a request is.
fn signals() -> [(&'static str, &'static Signal, &'static str); 4] {
    let [traces, logs, metrics, profiles] = &SIGNALS;
    [
        ("traces", traces, "opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest"),
        ("logs", logs, "opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest"),
        ("metrics", metrics, "opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest"),
        (
            "profiles",
            profiles,
            "opentelemetry.proto.collector.profiles.v1development.ExportProfilesServiceRequest",
        ),
    ]
}

struct Case {
    name: String,
    body: Vec<u8>,
    expected: String,
}

fn cases(signal: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for entry in fs::read_dir(data("corpus")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.ends_with(&format!(".{signal}.bin")) {
            let expected = fs::read_to_string(path.with_extension("txt")).unwrap();
            cases.push(Case { name, body: fs::read(path).unwrap(), expected });
        }
    }
    cases
}

#[test]
fn requests_of_others_are_read_as_python_reads_them() {
    let schema = schema();
    let print = |message: &str, bytes: &[u8]| {
        let mut printer = Printer { schema: &schema, out: String::new(), met: BTreeSet::new() };
        printer.message(message, bytes, 0);
        printer.out
    };
    let mut producers = BTreeSet::new();
    for (name, signal, message) in signals() {
        for case in cases(name) {
            // The default limits refuse none of them.
            let walked = (signal.walk)(&case.body).unwrap();
            assert!(print(message, &walked) == case.expected, "{}: not what the views say", case.name);
            let written = (signal.rewrite)(&case.body).unwrap();
            assert!(print(message, &written) == case.expected, "{}: not what the records say", case.name);
            producers.insert(case.name.split('.').next().unwrap().to_owned());
        }
    }
    assert_eq!(Vec::from_iter(producers), ["fields", "javascript", "python", "rotel"]);
}

#[test]
fn the_corpus_has_every_field_of_every_message() {
    let schema = schema();
    for (name, _, message) in signals() {
        let mut printer = Printer { schema: &schema, out: String::new(), met: BTreeSet::new() };
        let fields = cases(name).into_iter().find(|case| case.name.starts_with("fields.")).unwrap();
        printer.message(message, &fields.body, 0);
        assert_eq!(printer.out, fields.expected);
        let messages: BTreeSet<_> = printer.met.iter().map(|(message, _)| message.clone()).collect();
        let all: BTreeSet<_> =
            schema.keys().filter(|(message, _)| messages.contains(message)).cloned().collect();
        assert_eq!(printer.met, all, "{name}");
    }
}

/// The planted fault: one bit of any value changed shows in the text.
#[test]
fn a_changed_value_shows_in_the_text() {
    let schema = schema();
    let (name, signal, message) = signals()[0];
    let fields = cases(name).into_iter().find(|case| case.name.starts_with("fields.")).unwrap();
    let at = fields.body.windows(5).position(|bytes| bytes == b"name ").unwrap();
    let mut changed = fields.body.clone();
    changed[at] ^= 2;
    let mut printer = Printer { schema: &schema, out: String::new(), met: BTreeSet::new() };
    printer.message(message, &(signal.walk)(&changed).unwrap(), 0);
    let differ = printer.out.lines().zip(fields.expected.lines()).filter(|(met, expected)| met != expected);
    assert_eq!(differ.count(), 1);
}
