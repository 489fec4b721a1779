//! Attributes edited in place: what prost reads from it is what editing the structs gives.

use otlp_core::Limits;
use otlp_core::process::{Editor, Edits, Places};
use otlp_core::protocol::Signal;
use otlp_core::record::KeyValue;
use otlp_core::redact::Redactor;
use otlp_core::view::TracesView;
use otlp_core::wire::Writer;
use proptest::prelude::*;

use super::reference::{self, Action, Step};
use super::requests::{self, Request, SIGNALS, canonical};
use crate::dice::Dice;
use crate::merging::{field, request};
use crate::tree::{self, Content, Node, Type};

fn editor(steps: &[Step]) -> Editor {
    steps.iter().fold(Edits::new(), |edits, step| step.add_to(edits)).build().unwrap()
}

fn edited(editor: &mut Editor, signal: Signal, body: &[u8]) -> Vec<u8> {
    let mut out = Writer::new();
    editor.edit(signal, body, &mut out).unwrap();
    out.as_slice().to_vec()
}

/// Edited in place and as structs: what both say.
fn both(signal: Signal, body: &[u8], steps: &[Step]) -> [Vec<Node>; 2] {
    let mut expected = Request::decode(signal, body).unwrap();
    reference::edit(&mut expected, steps);
    [canonical(signal, &edited(&mut editor(steps), signal, body)), expected.canonical()]
}

/// Edits a random request of each signal, and checks that both ways say the same.
fn agree(seed: u64) {
    let mut dice = Dice::new(seed);
    for signal in SIGNALS {
        let body = requests::body(signal, &mut dice);
        let steps: Vec<Step> = (0..=dice.below(4)).map(|_| Step::random(&mut dice)).collect();
        let [met, expected] = both(signal, &body, &steps);
        assert_eq!(met, expected, "seed {seed}: {steps:?}");
    }
}

#[test]
#[ignore = "long: 300,000 requests of each signal"]
fn edits_in_place_are_edits_of_the_structs_at_length() {
    (0..300_000).for_each(agree);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn edits_in_place_are_edits_of_the_structs(seed: u64) {
        agree(seed);
    }

    /// The planted fault to the one above: an edit left out shows, wherever it has something to do.
    #[test]
    fn an_edit_left_out_shows(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in SIGNALS {
            let body = requests::body(signal, &mut dice);
            let steps = [Step::random(&mut dice)];
            let [met, expected] = both(signal, &body, &steps);
            let untouched = canonical(signal, &body);
            prop_assert_eq!(met == untouched, expected == untouched);
        }
    }

    #[test]
    fn hashing_is_hashing_of_the_structs(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in SIGNALS {
            let body = Request::random(signal, &mut dice).bytes();
            let mut step = Step::random(&mut dice);
            step.action = Action::Hash;
            let [met, expected] = both(signal, &body, &[step]);
            prop_assert_eq!(met, expected);
        }
    }

    #[test]
    fn what_is_not_meant_stays_byte_for_byte(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in SIGNALS {
            let root = requests::root(signal);
            let mut nodes = tree::parse(root, &Request::random(signal, &mut dice).bytes()).unwrap();
            tree::pad(&mut nodes, &mut dice);
            tree::reorder(&mut nodes, tree::Order::Shuffled, &mut dice);
            let body = tree::write(&nodes);
            let mut editor = Edits::new().at(Places::ALL).delete("a").delete("größe").build().unwrap();
            let met = edited(&mut editor, signal, &body);
            prune(&mut nodes, root);
            prop_assert_eq!(met, tree::write(&nodes));
        }
    }

    #[test]
    fn edits_that_have_nothing_to_do_change_nothing(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in SIGNALS {
            let body = requests::body(signal, &mut dice);
            let mut editor = Edits::new().at(Places::ALL).delete("no.such.*").truncate("*", 4000).build().unwrap();
            let mut out = Writer::new();
            out.raw(b"tail");
            let report = editor.edit(signal, &body, &mut out).unwrap();
            prop_assert_eq!(report.attributes, 0);
            prop_assert_eq!(out.as_slice(), [body.as_slice(), b"tail"].concat());
        }
    }

    #[test]
    fn doing_it_again_does_nothing(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in SIGNALS {
            let body = requests::body(signal, &mut dice);
            let mut step = Step::random(&mut dice);
            if matches!(step.action, Action::Rename(_)) {
                step.action = Action::Delete;
            }
            let mut editor = editor(&[step]);
            let once = edited(&mut editor, signal, &body);
            let mut out = Writer::new();
            prop_assert_eq!(editor.edit(signal, &once, &mut out).unwrap().attributes, 0);
            prop_assert_eq!(out.as_slice(), once);
        }
    }
}

/// Takes the attributes `a` and `größe` out of every list, but not out of maps.
fn prune(nodes: &mut Vec<Node>, kind: Type) {
    nodes.retain(|node| match &node.content {
        Content::Message(Type::KeyValue, pair) if kind != Type::KvList => {
            let key = pair.iter().find(|field| field.number == 1);
            !key.is_some_and(|key| {
                matches!(&key.content, Content::Bytes(key) if *key == b"a" || *key == "größe".as_bytes())
            })
        }
        _ => true,
    });
    for node in nodes {
        if let Content::Message(child, inner) = &mut node.content
            && *child != Type::KeyValue
        {
            prune(inner, *child);
        }
    }
}

/// The attributes of the one span of a request, edited.
fn span_after(edits: Edits, attributes: &[u8]) -> Vec<KeyValue> {
    let out = edited(&mut edits.build().unwrap(), Signal::Traces, &request(attributes));
    let mut request = TracesView::parse(&out, &Limits::DEFAULT).unwrap().to_record().unwrap();
    request.resources.remove(0).scopes.remove(0).spans.remove(0).attributes
}

fn pair(key: &str, text: &str) -> Vec<u8> {
    field(9, &[field(1, key.as_bytes()), field(2, &field(1, text.as_bytes()))].concat())
}

#[test]
fn actions_work_on_what_the_one_before_left() {
    let edits = Edits::new().rename("a", "b").update("b", "new").rename("b", "c").insert("b", true);
    let met = span_after(edits, &[pair("a", "1"), pair("c", "2")].concat());
    assert_eq!(met, [KeyValue::new("c", "new"), KeyValue::new("b", true)]);
}

#[test]
fn a_renamed_attribute_takes_the_place_of_its_namesake() {
    let both = [pair("b", "old"), pair("a", "new")].concat();
    assert_eq!(span_after(Edits::new().rename("a", "b"), &both), [KeyValue::new("b", "new")]);
    // Where there is nothing to rename, nothing makes way.
    let met = span_after(Edits::new().rename("z", "b"), &pair("b", "old"));
    assert_eq!(met, [KeyValue::new("b", "old")]);
}

#[test]
fn sensitive_keys_are_masked_without_regard_to_case() {
    let pairs = [pair("Authorization", "Bearer x"), pair("url.path", "/"), pair("COOKIE", "c")].concat();
    let met = span_after(Edits::new().redact_with(&Redactor::default()), &pairs);
    let expected = [("Authorization", "REDACTED"), ("url.path", "/"), ("COOKIE", "REDACTED")]
        .map(|(k, v)| KeyValue::new(k, v));
    assert_eq!(met, expected);
}

#[test]
fn a_text_is_cut_at_the_end_of_a_character() {
    let lens = (0..9).map(|most| {
        let met = span_after(Edits::new().truncate("k", most), &pair("k", "aß日b"));
        met[0].value.as_str().unwrap().len()
    });
    assert_eq!(lens.collect::<Vec<_>>(), [0, 1, 1, 3, 3, 3, 6, 7, 7]);
}

#[test]
fn a_secret_in_pieces_is_gone_with_all_of_them() {
    let value = [field(2, &field(1, b"secret-1")), field(1, b"x"), field(2, &field(1, b"secret-2"))].concat();
    let body = request(&field(9, &[field(1, b"k"), value].concat()));
    // Of the two keys the last holds.
    let mut editor = Edits::new().redact("x").build().unwrap();
    let out = edited(&mut editor, Signal::Traces, &body);
    assert!(!out.windows(6).any(|window| window == b"secret"));
    // The planted fault: under the name that does not hold, it is not found.
    let mut editor = Edits::new().redact("k").build().unwrap();
    assert!(edited(&mut editor, Signal::Traces, &body).windows(6).any(|window| window == b"secret"));
}

#[test]
fn unknown_fields_of_an_attribute_stay_and_those_of_a_replaced_value_go() {
    let value = field(2, &[field(1, b"v"), field(100, b"in value")].concat());
    let body = request(&field(9, &[field(100, b"in pair"), value, field(1, b"k")].concat()));
    let holds = |out: &[u8], text: &[u8]| out.windows(text.len()).any(|window| window == text);
    let renamed = edited(&mut Edits::new().rename("k", "l").build().unwrap(), Signal::Traces, &body);
    assert!(holds(&renamed, b"in pair") && holds(&renamed, b"in value"));
    let redacted = edited(&mut Edits::new().redact("k").build().unwrap(), Signal::Traces, &body);
    assert!(holds(&redacted, b"in pair") && !holds(&redacted, b"in value"));
}

#[test]
fn an_absent_resource_is_an_empty_one() {
    let mut editor = Edits::new().at(Places::RESOURCE | Places::SCOPE).upsert("env", "prod").build().unwrap();
    let out = edited(&mut editor, Signal::Traces, &request(b""));
    let record = TracesView::parse(&out, &Limits::DEFAULT).unwrap().to_record().unwrap();
    let env = [KeyValue::new("env", "prod")];
    assert_eq!(record.resources[0].resource.attributes, env);
    assert_eq!(record.resources[0].scopes[0].scope.attributes, env);
}

#[test]
fn what_cannot_work_is_refused_when_the_editor_is_built() {
    let refused =
        |edits: Edits| edits.build().is_err_and(|error| error.kind() == otlp_core::ErrorKind::Config);
    assert!(refused(Edits::new().upsert("a*", 1_i64)));
    assert!(refused(Edits::new().insert("*", 1_i64)));
    assert!(refused(Edits::new().rename("a*", "b")));
    assert!(refused(Edits::new().rename("a", "a")));
    assert!(refused(Edits::new().delete([])));
    assert!(!refused(Edits::new().update("a*", 1_i64).upsert(["m*", "a"], 1_i64)));
}
