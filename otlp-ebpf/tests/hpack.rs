//! The HPACK decoder agrees with `fluke-hpack` on whole streams, and after a loss is never wrong.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "clippy.toml allows them in tests, but knows no helpers of tests"
)]

mod frames;
mod stream;

use frames::{Dice, Encoder};
use otlp_ebpf::parse::hpack::{Decoder, HpackError};
use proptest::collection::vec;
use proptest::prelude::*;

type Fields = Vec<(Vec<u8>, Vec<u8>)>;
/// `None` for what is not known.
type Known = Vec<(Option<Vec<u8>>, Option<Vec<u8>>)>;

fn ours(decoder: &mut Decoder, block: &[u8]) -> Result<Known, HpackError> {
    let mut fields = Vec::new();
    decoder.decode(block, |field| {
        fields.push((field.name.map(<[u8]>::to_vec), field.value.map(<[u8]>::to_vec)));
    })?;
    Ok(fields)
}

fn known(fields: Fields) -> Known {
    fields.into_iter().map(|(name, value)| (Some(name), Some(value))).collect()
}

/// Header sets as connections have them: some fields come again and again, some change.
fn header_set(dice: &mut Dice) -> Vec<(String, String)> {
    let usual =
        [":method GET", ":method PUT", ":path /", ":scheme http", "accept */*", "x-app shop", "te trailers"];
    let mut set = Vec::new();
    for _ in 0..1 + dice.below(12) {
        let (name, value) = match dice.below(5) {
            0 => usual[dice.below(usual.len())]
                .split_once(' ')
                .map(|(name, value)| (name.into(), value.into()))
                .unwrap(),
            1 => (":path".to_owned(), format!("/item/{}?q={}", dice.below(40), dice.roll())),
            2 => (format!("x-{}", dice.below(30)), format!("{}", dice.below(4))),
            3 => ("cookie".to_owned(), "é~\\\u{7f}{}|".repeat(dice.below(30))),
            _ => (format!("n{}", "a".repeat(dice.below(60))), "V".repeat(dice.below(300))),
        };
        set.push((name, value));
    }
    set
}

/// Blocks of one direction, with changes of the table's size among them.
fn blocks(seed: u64, count: usize) -> Vec<(Vec<u8>, Fields)> {
    let (mut dice, mut encoder) = (Dice::new(seed), Encoder::new());
    let block = |_| {
        if dice.one_in(6) {
            encoder.resize(dice.below(4097));
            if dice.one_in(2) {
                encoder.resize(dice.below(4097));
            }
        }
        let set = header_set(&mut dice);
        let fields: Vec<_> = set.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let block = encoder.block(&fields, &mut dice);
        (block, set.into_iter().map(|(name, value)| (name.into_bytes(), value.into_bytes())).collect())
    };
    (0..count).map(block).collect()
}

fn check_whole(seed: u64, count: usize) {
    let (mut decoder, mut oracle) = (Decoder::new(4096), fluke_hpack::Decoder::new());
    for (number, (block, fields)) in blocks(seed, count).into_iter().enumerate() {
        let told = ours(&mut decoder, &block).unwrap();
        assert_eq!(told, known(fields), "seed {seed}, block {number}");
        assert_eq!(told, known(oracle.decode(&block).unwrap()), "seed {seed}, block {number}");
    }
    assert!(decoder.is_complete());
}

#[test]
fn whole_streams_are_read_as_by_fluke_hpack() {
    (0..12).for_each(|seed| check_whole(seed, 60));
}

#[test]
#[ignore = "long: 10,000 streams of 200 blocks"]
fn ten_thousand_streams_are_read_as_by_fluke_hpack() {
    (0..10_000).for_each(|seed| check_whole(seed, 200));
}

#[test]
fn what_fluke_hpack_writes_is_read() {
    let (mut decoder, mut encoder) = (Decoder::new(4096), fluke_hpack::Encoder::new());
    let mut dice = Dice::new(9);
    for _ in 0..100 {
        let set: Fields = header_set(&mut dice)
            .into_iter()
            .map(|(name, value)| (name.into_bytes(), value.into_bytes()))
            .collect();
        let block = encoder.encode(set.iter().map(|(name, value)| (name.as_slice(), value.as_slice())));
        assert_eq!(ours(&mut decoder, &block).unwrap(), known(set));
    }
}

/// True where what is known agrees.
fn agrees(told: &Known, fields: &Fields) -> bool {
    let same = |met: &Option<Vec<u8>>, right: &Vec<u8>| met.as_ref().is_none_or(|met| met == right);
    told.len() == fields.len()
        && told.iter().zip(fields).all(|((name, value), (right_name, right_value))| {
            same(name, right_name) && same(value, right_value)
        })
}

/// Loses blocks as the dice have it; gives how many fields were known of how many, those before the first loss apart.
fn check_lossy(seed: u64, keep: u32) -> (usize, usize) {
    let mut dice = Dice::new(seed ^ 0xabcd);
    let mut decoder = Decoder::new(keep);
    let (mut met, mut all) = (0, 0);
    for (number, (block, fields)) in blocks(seed, 80).into_iter().enumerate() {
        match dice.below(8) {
            0 => decoder.lose(),
            1 => {
                // A part of it is read, the rest lost.
                let part = &block[..dice.below(block.len())];
                let mut told = Vec::new();
                let outcome = decoder.decode(part, |field| {
                    told.push((field.name.map(<[u8]>::to_vec), field.value.map(<[u8]>::to_vec)));
                });
                assert!(
                    matches!(outcome, Ok(()) | Err(HpackError::Truncated)),
                    "seed {seed}, block {number}"
                );
                decoder.lose();
                let read = fields[..told.len()].to_vec();
                assert!(agrees(&told, &read), "seed {seed}, block {number}");
            }
            _ => {
                let told = ours(&mut decoder, &block).unwrap();
                assert!(agrees(&told, &fields), "seed {seed}, block {number}: {told:?} for {fields:?}");
                all += told.len();
                met += told.iter().filter(|(name, value)| name.is_some() && value.is_some()).count();
            }
        }
    }
    (met, all)
}

#[test]
fn after_losses_nothing_is_wrong_and_most_is_known() {
    for keep in [0, 100, 1000, 4096, 65_536] {
        let counts = (0..20).map(|seed| check_lossy(seed, keep));
        let (met, all) = counts.fold((0, 0), |(met, all), (more, of)| (met + more, all + of));
        assert!(met < all && met * 3 > all, "{met} of {all} with {keep} bytes kept");
    }
}

#[test]
fn a_decoder_that_does_not_know_of_a_loss_is_noticed() {
    let mut wrong = 0;
    for seed in 0..20 {
        let mut decoder = Decoder::new(4096);
        for (number, (block, fields)) in blocks(seed, 60).into_iter().enumerate() {
            if number % 10 != 5 {
                wrong += u32::from(!ours(&mut decoder, &block).is_ok_and(|told| agrees(&told, &fields)));
            }
        }
    }
    assert!(wrong > 20, "{wrong}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_bytes_are_read_alike_or_refused(block in vec(any::<u8>(), 0..200), late: bool) {
        let mut decoder = Decoder::new(4096);
        // It panics where a size of the table does not end; that is no verdict.
        let theirs = std::panic::catch_unwind(|| fluke_hpack::Decoder::new().decode(&block));
        let Ok(theirs) = theirs else { return Ok(()) };
        if late {
            decoder.lose();
            // What is known of a late start is what a start from the beginning has too.
            let told = ours(&mut decoder, &block);
            if let (Ok(told), Ok(theirs)) = (told, theirs) {
                prop_assert!(agrees(&told, &theirs));
            }
        } else if let (Ok(ours), Ok(theirs)) = (ours(&mut decoder, &block), theirs) {
            prop_assert_eq!(ours, known(theirs));
        }
    }
}
