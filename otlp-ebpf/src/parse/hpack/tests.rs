//! The examples of RFC 7541, appendix C, and what a loss leaves known.

use super::*;

fn text(bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(|| "?".to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned())
}

/// Decodes a block given in hexadecimal; fields as `name: value`.
fn decode(decoder: &mut Decoder, block: &str) -> Result<Vec<String>, HpackError> {
    let digits: Vec<_> = block.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let block: Vec<_> = digits.chunks(2).map(byte).collect();
    let mut fields = Vec::new();
    decoder.decode(&block, |field| fields.push(format!("{}: {}", text(field.name), text(field.value))))?;
    Ok(fields)
}

/// The dynamic table, newest first.
fn table(decoder: &Decoder) -> Vec<String> {
    let places = (0..).map_while(|place| decoder.table.get(place));
    places.map(|(name, value)| format!("{}: {}", text(name), text(Some(value)))).collect()
}

#[test]
fn integers_are_those_of_the_examples() {
    for (bytes, mask, expected) in
        [(&[0x0a][..], 0x1f, 10), (&[0x1f, 0x9a, 0x0a], 0x1f, 1337), (&[0x2a], 0xff, 42)]
    {
        let (&first, mut rest) = bytes.split_first().unwrap();
        assert_eq!(integer(first, mask, &mut rest), Ok(expected));
        assert!(rest.is_empty());
    }
    let mut most = &[0xff, 0xff, 0xff, 0xff, 0x0f][..];
    assert_eq!(integer(0x1f, 0x1f, &mut most), Err(HpackError::Integer), "31 above 32 bits");
    let mut most = &[0xe0, 0xff, 0xff, 0xff, 0x0f][..];
    assert_eq!(integer(0x1f, 0x1f, &mut most), Ok(u32::MAX));
    let mut endless = &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00][..];
    assert_eq!(integer(0x1f, 0x1f, &mut endless), Err(HpackError::Integer));
    assert_eq!(integer(0x1f, 0x1f, &mut &[0x80][..]), Err(HpackError::Truncated));
}

#[test]
fn single_fields_are_those_of_the_examples() {
    let cases = [
        ("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", "custom-key: custom-header", 1),
        ("040c 2f73 616d 706c 652f 7061 7468", ":path: /sample/path", 0),
        ("1008 7061 7373 776f 7264 0673 6563 7265 74", "password: secret", 0),
        ("82", ":method: GET", 0),
    ];
    for (block, field, entries) in cases {
        let mut decoder = Decoder::new(4096);
        assert_eq!(decode(&mut decoder, block).unwrap(), [field]);
        assert_eq!(table(&decoder).len(), entries);
    }
}

const REQUESTS: [&[&str]; 3] = [
    &[":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"],
    &[":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com", "cache-control: no-cache"],
    &[
        ":method: GET",
        ":scheme: https",
        ":path: /index.html",
        ":authority: www.example.com",
        "custom-key: custom-value",
    ],
];

#[test]
fn requests_are_those_of_the_examples_with_and_without_huffman() {
    let plain = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    let huffman = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    for blocks in [plain, huffman] {
        let mut decoder = Decoder::new(4096);
        for (block, fields) in blocks.iter().zip(REQUESTS) {
            assert_eq!(decode(&mut decoder, block).unwrap(), fields);
        }
        assert_eq!(
            table(&decoder),
            ["custom-key: custom-value", "cache-control: no-cache", ":authority: www.example.com"]
        );
        assert_eq!(decoder.table_size(), 164);
    }
}

#[test]
fn responses_are_those_of_the_examples_with_evictions() {
    let plain = [
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120
         474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738
         666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33
         3630 303b 2076 6572 7369 6f6e 3d31",
    ];
    let huffman = [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718
         63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7
         b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ];
    for blocks in [plain, huffman] {
        let mut decoder = Decoder::new(4096);
        decoder.table.resize(256);
        let first = decode(&mut decoder, blocks[0]).unwrap();
        assert_eq!(first[0], ":status: 302");
        assert_eq!(first[3], "location: https://www.example.com");
        let second = decode(&mut decoder, blocks[1]).unwrap();
        assert_eq!(second[0], ":status: 307");
        assert_eq!(second[1..], first[1..]);
        let third = decode(&mut decoder, blocks[2]).unwrap();
        let cookie = "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
        let date = "date: Mon, 21 Oct 2013 20:13:22 GMT";
        assert_eq!(third[0], ":status: 200");
        assert_eq!(third[2..], [date, first[3].as_str(), "content-encoding: gzip", cookie]);
        assert_eq!(table(&decoder), [cookie, "content-encoding: gzip", date]);
        assert_eq!(decoder.table_size(), 215);
    }
}

#[test]
fn after_a_loss_only_what_came_since_is_known() {
    let mut decoder = Decoder::new(4096);
    decode(&mut decoder, "4001 61 01 31  4001 62 01 32").unwrap();
    decoder.lose();
    assert!(!decoder.is_complete());
    assert_eq!(decode(&mut decoder, "82 be bf").unwrap(), [":method: GET", "?: ?", "?: ?"]);
    // A new entry is known at once; what is older keeps being unknown, at its moved place.
    assert_eq!(decode(&mut decoder, "4001 63 01 33  be bf").unwrap(), ["c: 3", "c: 3", "?: ?"]);
    // A value under a name that is not known becomes an entry whose value is.
    assert_eq!(decode(&mut decoder, "7f01 01 34  be bf").unwrap(), ["?: 4", "?: 4", "c: 3"]);
    // An empty table has nothing that is not known: an index into it is wrong again.
    assert_eq!(decode(&mut decoder, "20 3f e1 1f 82").unwrap(), [":method: GET"]);
    assert!(decoder.is_complete());
    assert_eq!(decode(&mut decoder, "be"), Err(HpackError::Index));
    assert!(!decoder.is_complete(), "a fault is a loss");
}

#[test]
fn an_entry_too_large_for_a_table_of_unknown_size_shifts_no_other() {
    // The sender's table was enlarged in a block that was lost: it holds what we do not.
    let mut decoder = Decoder::new(4096);
    decoder.lose();
    decode(&mut decoder, "4001 61 01 31").unwrap();
    let large: String = std::iter::repeat_n("41", 5000).collect();
    let field = format!("4001 62 7f 89 26 {large}");
    assert_eq!(decode(&mut decoder, &field).unwrap().len(), 1);
    // For the sender 62 is the large one and 63 the one before; we know neither.
    assert_eq!(decode(&mut decoder, "be bf").unwrap(), ["?: ?", "?: ?"]);
    assert_eq!(decode(&mut decoder, "4001 63 01 33 be bf c0").unwrap(), ["c: 3", "c: 3", "?: ?", "?: ?"]);
}

#[test]
fn of_a_table_larger_than_may_be_kept_the_oldest_part_is_unknown() {
    let mut decoder = Decoder::new(64);
    assert!(!decoder.is_complete());
    assert_eq!(decode(&mut decoder, "4001 61 01 31  4001 62 01 32 be bf").unwrap()[2..], ["b: 2", "?: ?"]);
}

#[test]
fn faults_are_told_apart() {
    let fault = |block: &str| decode(&mut Decoder::new(4096), block).unwrap_err();
    assert_eq!(fault("80"), HpackError::Index, "index 0");
    assert_eq!(fault("be"), HpackError::Index);
    assert_eq!(fault("7f 00 01 31"), HpackError::Index);
    assert_eq!(fault("82 20"), HpackError::TableSize, "behind a field");
    assert_eq!(fault("3f e2 1f"), HpackError::TableSize, "4097");
    assert_eq!(fault("40 05 61"), HpackError::Truncated);
    assert_eq!(fault("40"), HpackError::Truncated);
    assert_eq!(fault("40 81 ff 00"), HpackError::Huffman, "padding alone, eight bits");
    assert_eq!(fault("40 81 00 00"), HpackError::Huffman, "padding of zeros");
    assert_eq!(fault("40 84 ff ff ff ff 00"), HpackError::Huffman, "the end of the string");
    let mut allowed = Decoder::new(1 << 16);
    allowed.allow(8192);
    assert_eq!(decode(&mut allowed, "3f e1 3f 82").unwrap(), [":method: GET"], "8192");
}

/// Writes a string in Huffman code the slow way, from the ranges.
fn huffman_code(text: &[u8]) -> Vec<u8> {
    let mut bits = String::new();
    for byte in text {
        let at = huffman::code_of(*byte);
        bits.push_str(&format!("{:0width$b}", at.0, width = usize::from(at.1)));
    }
    while !bits.len().is_multiple_of(8) {
        bits.push('1');
    }
    bits.as_bytes()
        .chunks(8)
        .map(|byte| u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap())
        .collect()
}

#[test]
fn every_byte_comes_back_out_of_its_code_alone_and_among_others() {
    let all: Vec<u8> = (0..=u8::MAX).collect();
    for byte in &all {
        for around in [vec![], b"e".to_vec(), b"Zz".to_vec(), vec![0xff, 0x0a]] {
            let text = [around.as_slice(), &[*byte], &around, &around].concat();
            let mut met = Vec::new();
            huffman::decode(&huffman_code(&text), &mut met).unwrap();
            assert_eq!(met, text);
        }
    }
    let mut met = b"kept".to_vec();
    huffman::decode(&huffman_code(&all), &mut met).unwrap();
    assert_eq!(met, [b"kept", all.as_slice()].concat());
}

#[test]
fn the_table_stays_within_its_size_and_its_buffer_near_it() {
    let mut decoder = Decoder::new(4096);
    for round in 0..2000_u32 {
        let value = "7".repeat(usize::try_from(round % 90).unwrap());
        let block = [&[0x40, 2, b'n', b'0', u8::try_from(value.len()).unwrap()], value.as_bytes()].concat();
        decoder.decode(&block, |_| {}).unwrap();
        assert!(decoder.table_size() <= 4096);
        let (_, newest) = decoder.table.get(0).unwrap();
        assert_eq!(newest, value.as_bytes());
        assert!(decoder.held_bytes() <= 3 * 4096 + 128 * 16 + KEEP_BYTES, "{}", decoder.held_bytes());
    }
}
