use proptest::prelude::*;

use super::*;

const PIPELINE: &[u8] = b"*2\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\n*0\r\nPING hello\r\n\r\n*1\r\n$0\r\n\r\n";

fn commands(pieces: &[&[u8]]) -> Result<Vec<Words>, Error> {
    let mut decoder = Decoder::default();
    let mut commands = Vec::new();
    for piece in pieces {
        decoder.feed(piece);
        while let Some(words) = decoder.command()? {
            commands.push(words);
        }
    }
    Ok(commands)
}

#[test]
fn pipelined_commands_come_out_in_order_wherever_the_bytes_are_cut() {
    let whole = commands(&[PIPELINE]).unwrap();
    let expected = [vec![&b"GET"[..], b"a\r\nb"], vec![b"PING", b"hello"], vec![b""]];
    assert_eq!(whole, expected.map(|words| words.into_iter().map(<[u8]>::to_vec).collect::<Vec<_>>()));
    let bytes: Vec<&[u8]> = PIPELINE.chunks(1).collect();
    assert_eq!(commands(&bytes).unwrap(), whole);
    for cut in 0..PIPELINE.len() {
        let (head, tail) = PIPELINE.split_at(cut);
        assert_eq!(commands(&[head, tail]).unwrap(), whole, "cut at {cut}");
    }
}

#[test]
fn commands_that_cannot_be_framed_are_refused() {
    for bytes in [
        "*x\r\n",
        "*-7\r\n",
        "*+1\r\n",
        "*1\r\nPING\r\n",
        "*1\r\n:4\r\n",
        "*1\r\n$-1\r\n",
        "*1\r\n$4\r\nPINGx\r\n",
        "*1\r\n$99999999999999999999999\r\n",
    ] {
        assert!(commands(&[bytes.as_bytes()]).unwrap_err().is_malformed(), "{bytes:?}");
    }
}

#[test]
fn commands_above_a_limit_are_refused_as_such() {
    let long_line = "a".repeat(MAX_WORD_BYTES + 1);
    let many_typed = format!("{}\r\n", "a ".repeat(MAX_WORDS + 1));
    let word = format!("$60000\r\n{}\r\n", "a".repeat(60_000));
    let heavy = format!("*64\r\n{}", word.repeat(20));
    for bytes in ["*65\r\n", "*1\r\n$65537\r\n", &long_line, &many_typed, &heavy] {
        assert!(commands(&[bytes.as_bytes()]).unwrap_err().is_limit(), "{} bytes", bytes.len());
    }
}

#[test]
fn replies_that_cannot_be_read_are_refused() {
    for bytes in ["\r\n", "!x\r\n", ":1x\r\n", "*1\r\n$1\r\na\r\n", "$x\r\n"] {
        let mut decoder = Decoder::default();
        decoder.feed(bytes.as_bytes());
        assert!(decoder.reply().unwrap_err().is_malformed(), "{bytes:?}");
    }
}

fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        Just(Reply::Simple("OK")),
        Just(Reply::Simple("PONG")),
        Just(Reply::Null),
        any::<i64>().prop_map(Reply::Integer),
        "[ -~]{0,40}".prop_map(Reply::Error),
        proptest::collection::vec(any::<u8>(), 0..200).prop_map(Reply::Bulk),
    ]
}

proptest! {
    #[test]
    fn replies_read_back_as_they_were_written_byte_by_byte(
        replies in proptest::collection::vec(reply(), 0..8),
    ) {
        let mut bytes = Vec::new();
        replies.iter().for_each(|reply| reply.encode(&mut bytes));
        let mut decoder = Decoder::default();
        let mut met = Vec::new();
        for byte in bytes {
            decoder.feed(&[byte]);
            met.extend(decoder.reply().unwrap());
        }
        prop_assert_eq!(met, replies);
        prop_assert!(decoder.is_empty());
    }

    #[test]
    fn commands_read_back_as_they_were_written(
        words in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 1..10),
    ) {
        let mut bytes = Vec::new();
        let borrowed: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        encode_command(&borrowed, &mut bytes);
        prop_assert_eq!(commands(&[&bytes]).unwrap(), vec![words]);
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = commands(&[&bytes]);
        let mut decoder = Decoder::default();
        decoder.feed(&bytes);
        let _ = decoder.reply();
    }
}
