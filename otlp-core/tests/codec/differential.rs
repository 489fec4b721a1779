//! The same bytes read by prost and by the views.

use proptest::prelude::*;

use crate::dice::Dice;
use crate::signal::{SIGNALS, Signal};
use crate::tree::{self, Order};
use crate::verdict::{Verdict, verdict};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn views_read_what_prost_reads(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in &SIGNALS {
            let body = (signal.make)(&mut dice);
            signal.check(&body);
        }
    }

    /// The planted fault to all tests here: were a field not read, its change would go unnoticed.
    #[test]
    fn a_change_of_any_one_field_shows(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in &SIGNALS {
            let body = (signal.make)(&mut dice);
            let mut nodes = signal.tree(&body);
            if !tree::change_one(&mut nodes, &mut dice) {
                continue;
            }
            let changed = tree::write(&nodes);
            let Some(expected) = (signal.prost)(&changed) else { continue };
            if signal.canonical(&expected) != signal.canonical(&body) {
                prop_assert_ne!(signal.walked(&changed), signal.walked(&body));
            }
        }
    }

    #[test]
    fn the_order_of_fields_does_not_matter(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in &SIGNALS {
            let body = (signal.make)(&mut dice);
            let expected = signal.walked(&body);
            for order in [Order::Ascending, Order::Descending, Order::Shuffled] {
                let mut nodes = signal.tree(&body);
                tree::reorder(&mut nodes, order, &mut dice);
                let reordered = tree::write(&nodes);
                prop_assert_eq!(&signal.walked(&reordered), &expected);
                signal.check(&reordered);
            }
        }
    }

    #[test]
    fn split_messages_are_joined(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in &SIGNALS {
            let body = (signal.make)(&mut dice);
            let mut nodes = signal.tree(&body);
            tree::split(&mut nodes, signal.root, &mut dice);
            let pieces = tree::write(&nodes);
            prop_assert_eq!(signal.walked(&pieces), signal.walked(&body));
            signal.check(&pieces);
        }
    }

    #[test]
    fn numbers_are_read_packed_and_not(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in &SIGNALS {
            let body = (signal.make)(&mut dice);
            let mut nodes = signal.tree(&body);
            tree::unpack(&mut nodes, signal.root, &mut dice);
            let unpacked = tree::write(&nodes);
            prop_assert_eq!(signal.walked(&unpacked), signal.walked(&body));
            signal.check(&unpacked);
        }
    }

    #[test]
    fn unknown_fields_are_skipped(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in &SIGNALS {
            let body = (signal.make)(&mut dice);
            let mut nodes = signal.tree(&body);
            tree::pad(&mut nodes, &mut dice);
            let padded = tree::write(&nodes);
            prop_assert_eq!(signal.walked(&padded), signal.walked(&body));
        }
    }

    #[test]
    fn duplicates_in_any_mixture_are_read_as_prost_reads_them(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in &SIGNALS {
            let mut nodes = signal.tree(&(signal.make)(&mut dice));
            for _ in 0..3 {
                tree::duplicate(&mut nodes, signal.root, &mut dice);
            }
            tree::split(&mut nodes, signal.root, &mut dice);
            tree::unpack(&mut nodes, signal.root, &mut dice);
            tree::pad(&mut nodes, &mut dice);
            tree::reorder(&mut nodes, Order::Shuffled, &mut dice);
            signal.check(&tree::write(&nodes));
        }
    }

    #[test]
    fn records_written_by_us_are_what_prost_writes(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in &SIGNALS {
            let body = (signal.make)(&mut dice);
            let ours = (signal.rewrite)(&body).expect("valid");
            // Byte for byte, once prost's has ascending order and nothing that says nothing.
            prop_assert_eq!(&ours, &tree::write(&signal.canonical(&body)));
            let back = (signal.prost)(&ours).expect("prost reads what we write");
            prop_assert_eq!(signal.canonical(&back), signal.canonical(&body));
        }
    }

    #[test]
    fn cut_anywhere_both_accept_or_both_refuse(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in &SIGNALS {
            let body = (signal.make)(&mut dice);
            for _ in 0..24.min(body.len()) {
                agree(signal, &body[..dice.below(body.len())])?;
            }
        }
    }

    #[test]
    fn with_bits_flipped_both_accept_or_both_refuse(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in &SIGNALS {
            let body = (signal.make)(&mut dice);
            if body.is_empty() {
                continue;
            }
            for _ in 0..24 {
                let mut flipped = body.clone();
                for _ in 0..=dice.below(3) {
                    let at = dice.below(flipped.len());
                    flipped[at] ^= 1 << dice.below(8);
                }
                agree(signal, &flipped)?;
            }
        }
    }
}

/// Accepted by both, with the same content, or refused by both, or different for one of the reasons of [`Verdict`].
fn agree(signal: &Signal, body: &[u8]) -> Result<Verdict, TestCaseError> {
    verdict(signal, body).map_err(TestCaseError::fail)
}
