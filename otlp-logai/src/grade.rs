//! How good a parser is: grouping and parsing accuracy against a labelled data set.

use std::collections::HashMap;
use std::hash::Hash;

/// The part of the lines, 0 to 1, whose group holds exactly the lines that it should hold.
///
/// As in J. Zhu et al., "Tools and Benchmarks for Automated Log Parsing", ICSE-SEIP 2019. The lines
/// past the shorter of the two lists are left out; no lines at all give 1. Costs O(lines).
///
/// ```
/// use otlp_logai::grade::grouping_accuracy;
/// assert_eq!(grouping_accuracy(&[1, 1, 2, 3], &["a", "a", "b", "b"]), 0.5);
/// ```
#[must_use]
pub fn grouping_accuracy<P: Hash + Eq, T: Hash + Eq>(predicted: &[P], truth: &[T]) -> f64 {
    let mut predicted_sizes: HashMap<&P, usize> = HashMap::new();
    let mut truth_sizes: HashMap<&T, usize> = HashMap::new();
    let mut common: HashMap<(&P, &T), usize> = HashMap::new();
    for (predicted, truth) in predicted.iter().zip(truth) {
        *predicted_sizes.entry(predicted).or_default() += 1;
        *truth_sizes.entry(truth).or_default() += 1;
        *common.entry((predicted, truth)).or_default() += 1;
    }
    let exact = |((predicted, truth), size): (&(&P, &T), &usize)| {
        let same = predicted_sizes.get(predicted) == Some(size) && truth_sizes.get(truth) == Some(size);
        if same { *size } else { 0 }
    };
    let right: usize = common.iter().map(exact).sum();
    share(right, predicted.len().min(truth.len()))
}

/// The part of the lines, 0 to 1, whose template is the right one to the letter.
///
/// Both sides are brought to one form first: wildcards that touch each other or letters and digits become one,
/// as do several in a row. Costs O(bytes).
///
/// ```
/// use otlp_logai::grade::parsing_accuracy;
/// assert_eq!(parsing_accuracy(&["block blk_<*>", "at <*>"], &["block <*>", "at noon"]), 0.5);
/// ```
#[must_use]
pub fn parsing_accuracy<P: AsRef<str>, T: AsRef<str>>(predicted: &[P], truth: &[T]) -> f64 {
    let same = |(predicted, truth): &(&P, &T)| one_form(predicted.as_ref()) == one_form(truth.as_ref());
    let right = predicted.iter().zip(truth).filter(same).count();
    share(right, predicted.len().min(truth.len()))
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

const WILDCARD: char = '\u{1}';

fn one_form(template: &str) -> String {
    let text = template.replace("<*>", "\u{1}");
    let mut words: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let word = pieces(word);
        let wild = word == WILDCARD.to_string();
        if !(wild && words.last().is_some_and(|last| last.ends_with(WILDCARD))) {
            words.push(word);
        }
    }
    words.join(" ")
}

/// Each run of letters, digits and joiners with a wildcard in it becomes the wildcard.
fn pieces(word: &str) -> String {
    let joins = |ch: char| ch.is_alphanumeric() || matches!(ch, '_' | '-' | '.' | '/' | ':' | '#' | WILDCARD);
    let mut out = String::new();
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        let end =
            if joins(first) { rest.find(|ch| !joins(ch)).unwrap_or(rest.len()) } else { first.len_utf8() };
        let (piece, tail) = rest.split_at(end);
        if piece.contains(WILDCARD) {
            // Punctuation at the end of a sentence is no part of what varies.
            let bare = piece.trim_end_matches(['.', ':', '-', '_', '/', '#']);
            out.push(WILDCARD);
            out.push_str(piece.get(bare.len()..).unwrap_or_default());
        } else {
            out.push_str(piece);
        }
        rest = tail;
    }
    out
}
