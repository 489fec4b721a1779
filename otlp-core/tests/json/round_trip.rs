//! Wire to JSON and back is what prost makes of the wire, however it is laid out.

use otlp_core::protocol::Signal;
use proptest::prelude::*;

use crate::dice::Dice;
use crate::generate::{self, Layout};
use crate::{prost, read, write};

/// The bytes of the message in canonical form, by way of JSON.
fn through_json(signal: Signal, wire: &[u8]) -> Vec<u8> {
    let text = write(signal, wire).expect("valid");
    read(signal, &text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn wire_to_json_to_wire_is_what_prost_writes(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in Signal::ALL {
            let nodes = generate::request(signal, &mut dice);
            for layout in [Layout::Ascending, Layout::Descending, Layout::Wild, Layout::Repeated] {
                let wire = generate::encode(&nodes, layout, &mut dice);
                let expected = prost(signal, &wire).expect("valid");
                let ours = through_json(signal, &wire);
                // prost puts a oneof where its lowest number would be, so the order is not compared.
                prop_assert_eq!(ours.len(), expected.len());
                prop_assert_eq!(prost(signal, &ours), Some(expected), "{} {:?}", signal, layout);
            }
        }
    }

    #[test]
    fn equal_messages_give_equal_texts(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in Signal::ALL {
            let nodes = generate::request(signal, &mut dice);
            let texts = [Layout::Ascending, Layout::Descending, Layout::Wild]
                .map(|layout| write(signal, &generate::encode(&nodes, layout, &mut dice)).unwrap());
            prop_assert_eq!(&texts[0], &texts[1]);
            prop_assert_eq!(&texts[0], &texts[2]);
        }
    }

    #[test]
    fn json_to_wire_to_json_is_the_same_text(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in Signal::ALL {
            let nodes = generate::request(signal, &mut dice);
            let text = write(signal, &generate::encode(&nodes, Layout::Wild, &mut dice)).unwrap();
            let wire = read(signal, &text).unwrap();
            prop_assert_eq!(write(signal, &wire).unwrap(), text);
        }
    }

    /// The planted fault: were a field not written or not read, its change would go unnoticed.
    #[test]
    fn a_change_of_any_one_value_shows_in_both_directions(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in Signal::ALL {
            let mut nodes = generate::request(signal, &mut dice);
            let before = generate::encode(&nodes, Layout::Ascending, &mut dice);
            if !generate::change_one(&mut nodes, &mut dice) {
                continue;
            }
            let after = generate::encode(&nodes, Layout::Ascending, &mut dice);
            // A value that was the default is not on the canonical wire, so compare what prost sees.
            if prost(signal, &before) != prost(signal, &after) {
                prop_assert_ne!(write(signal, &before).unwrap(), write(signal, &after).unwrap());
                prop_assert_ne!(through_json(signal, &before), through_json(signal, &after));
            }
        }
    }

    #[test]
    fn white_space_and_order_do_not_matter(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in Signal::ALL {
            let nodes = generate::request(signal, &mut dice);
            let text = write(signal, &generate::encode(&nodes, Layout::Ascending, &mut dice)).unwrap();
            // serde_json sorts names and writes doubles and escapes in its own way.
            let tree: serde_json::Value = serde_json::from_str(&text).unwrap();
            let pretty = serde_json::to_string_pretty(&tree).unwrap();
            let wire = read(signal, &pretty).unwrap();
            prop_assert_eq!(write(signal, &wire).unwrap(), text);
        }
    }

    #[test]
    fn cut_or_changed_anywhere_both_accept_or_both_refuse(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in Signal::ALL {
            let nodes = generate::request(signal, &mut dice);
            let wire = generate::encode(&nodes, Layout::Ascending, &mut dice);
            if wire.is_empty() {
                continue;
            }
            for _ in 0..24 {
                let mut changed = wire[..dice.below(wire.len()) + 1].to_vec();
                let at = dice.below(changed.len());
                changed[at] ^= 1 << dice.below(8);
                agree(signal, &changed)?;
            }
        }
    }
}

/// Accepted by both or refused by both. Where the two may differ, see `differential.rs` of the codec's tests:
/// identifiers of another length, groups, and members of a oneof that a later one replaces.
fn agree(signal: Signal, wire: &[u8]) -> Result<(), TestCaseError> {
    use otlp_core::error::DecodeErrorKind;
    match (prost(signal, wire), write(signal, wire)) {
        (Some(_), Ok(_)) | (None, Err(_)) => {}
        (Some(_), Err(error)) => prop_assert!(
            matches!(error.kind, DecodeErrorKind::IdLength { .. } | DecodeErrorKind::WireType(3 | 4)),
            "refused by us alone: {error}"
        ),
        (None, Ok(text)) => {
            let canonical = read(signal, &text).unwrap();
            prop_assert!(canonical.len() < wire.len(), "accepted by us alone: {text}");
        }
    }
    Ok(())
}
