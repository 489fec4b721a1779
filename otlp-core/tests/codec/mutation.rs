//! Every message type mutated: 10,000 inputs a type in every run, a million in the long one. Deterministic: a failure
//! names the type and the seed, and shows the shortest input found that fails.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use otlp_core::DecodeError;
use otlp_core::error::DecodeErrorKind::Truncated;

use crate::answer::STATUS;
use crate::dice::Dice;
use crate::kinds::{ANSWERS, Kind, LOGS, METRICS, PROFILES, TRACES};
use crate::mutate::mutate;
use crate::shorten::shortened;
use crate::signal::Both;
use crate::tree::Type;
use crate::verdict::{Verdict, same_bytes, same_record, verdict};

const SHORT: u64 = 10_000;
const LONG: u64 = 1_000_000;

type Tally = BTreeMap<Verdict, u64>;

/// Puts `count` inputs of every type to both readings and counts what became of them.
fn run(kinds: &[Kind], count: u64) -> Tally {
    let mut tally = Tally::new();
    for kind in kinds {
        // The long run mutates other messages too.
        let pool = kind.pool(if count == SHORT { 48 } else { 4000 });
        for seed in 0..count {
            let body = input(kind, &pool, seed);
            let met = judged(kind, &body, seed).unwrap_or_else(|fault| fail(kind, seed, &body, &fault));
            *tally.entry(met).or_default() += 1;
        }
    }
    println!("{} types, {count} inputs each: {tally:?}", kinds.len());
    tally
}

fn input(kind: &Kind, pool: &[Vec<u8>], seed: u64) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    let message = &pool[dice.below(pool.len())];
    let donor = &pool[dice.below(pool.len())];
    kind.request(&mutate(kind.root, message, donor, &mut dice))
}

/// Views and prost's reading of every input; of some the record and its bytes as well.
fn judged(kind: &Kind, body: &[u8], seed: u64) -> Result<Verdict, String> {
    let met = verdict(kind.signal, body)?;
    if met == Verdict::Accepted && seed.is_multiple_of(8) {
        same_record(kind.signal, body)?;
    }
    if met == Verdict::Accepted && seed.is_multiple_of(32) {
        same_bytes(kind.signal, body)?;
    }
    Ok(met)
}

fn fail(kind: &Kind, seed: u64, body: &[u8], fault: &str) -> ! {
    let least = shortened(kind.signal.root, body, &|body| judged(kind, body, seed).is_err());
    let hex = least.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    });
    panic!("{}, seed {seed}: {fault}\nshortest: {:?}\n{hex}", kind.name, judged(kind, &least, seed));
}

/// Each difference that the signal can show was met, and neither reading refuses nearly all or takes nearly all.
fn check_tally(tally: &Tally, differences: &[Verdict]) {
    let count = |verdict| tally.get(&verdict).copied().unwrap_or_default();
    let all: u64 = tally.values().sum();
    assert!(count(Verdict::Accepted) > all / 10 && count(Verdict::Refused) > all / 10, "{tally:?}");
    assert!(differences.iter().all(|verdict| count(*verdict) > 0), "{tally:?}");
    assert_eq!(tally.len(), differences.len() + 2, "{tally:?}");
}

const OF_REQUESTS: [Verdict; 4] = [Verdict::BadId, Verdict::Group, Verdict::ClearedMember, Verdict::Deep];
const OF_ANSWERS: [Verdict; 2] = [Verdict::Group, Verdict::NegativeCount];

#[test]
fn mutated_traces_are_read_as_prost_reads_them() {
    check_tally(&run(TRACES, SHORT), &OF_REQUESTS);
}

#[test]
fn mutated_logs_are_read_as_prost_reads_them() {
    check_tally(&run(LOGS, SHORT), &OF_REQUESTS);
}

#[test]
fn mutated_metrics_are_read_as_prost_reads_them() {
    check_tally(&run(METRICS, SHORT), &OF_REQUESTS);
}

#[test]
fn mutated_profiles_are_read_as_prost_reads_them() {
    check_tally(&run(PROFILES, SHORT), &OF_REQUESTS);
}

#[test]
fn mutated_answers_are_read_as_prost_reads_them() {
    check_tally(&run(ANSWERS, SHORT), &OF_ANSWERS);
}

#[test]
#[ignore = "long: a million mutated inputs for each of 52 message types"]
fn a_million_mutations_of_every_type_are_read_as_prost_reads_them() {
    std::thread::scope(|scope| {
        scope.spawn(|| check_tally(&run(TRACES, LONG), &OF_REQUESTS));
        scope.spawn(|| check_tally(&run(LOGS, LONG), &OF_REQUESTS));
        scope.spawn(|| check_tally(&run(METRICS, LONG), &OF_REQUESTS));
        scope.spawn(|| check_tally(&run(PROFILES, LONG), &OF_REQUESTS));
        scope.spawn(|| check_tally(&run(ANSWERS, LONG), &OF_ANSWERS));
    });
}

/// The planted fault: a reading that takes one code for another is found out, and the input shortened.
#[test]
fn a_reading_that_is_wrong_is_found_out_and_shown_in_short() {
    let mut wrong = STATUS.clone();
    wrong.both = |body| {
        let Both { theirs, ours, same } = (STATUS.both)(body);
        Both {
            theirs,
            ours,
            same: same && !(STATUS.walk)(body).is_ok_and(|seen| seen.starts_with(b"\x08\x07")),
        }
    };
    let fails = |body: &[u8]| verdict(&wrong, body).is_err();
    let body = b"\x12\x05first\x08\x07\x12\x06second";
    assert_eq!(verdict(&STATUS, body), Ok(Verdict::Accepted));
    assert!(fails(body) && !fails(b"\x08\x06"));
    assert_eq!(shortened(Type::Leaf, body, &fails), b"\x08\x07");
}

/// And one that accepts what prost refuses, or refuses what prost accepts.
#[test]
fn a_reading_that_is_too_lenient_or_too_strict_is_found_out() {
    let (mut lenient, mut strict) = (STATUS.clone(), STATUS.clone());
    lenient.both = |body| Both { ours: Ok(()), ..(STATUS.both)(body) };
    strict.both = |body| Both { ours: Err(DecodeError::new(0, Truncated)), ..(STATUS.both)(body) };
    assert!(verdict(&lenient, b"\x08").is_err());
    assert!(verdict(&strict, b"\x08\x01").is_err());
    assert_eq!(verdict(&STATUS, b"\x08"), Ok(Verdict::Refused));
}
