use proptest::prelude::*;

use super::*;

const STAT: &str = "4242 (a (b) c) S 1 4242 4242 0 -1 4194560 1500 0 12 0 345 67 0 0 20 0 8 0 987654 1048576 256 18446744073709551615 1 1 0 0 0\n";

#[test]
fn a_process_is_read_whatever_its_name_holds() {
    let right = ProcessStat {
        minor_faults: 1500,
        major_faults: 12,
        user: 345,
        system: 67,
        threads: 8,
        started: 987_654,
        virtual_bytes: 1 << 20,
        resident_pages: 256,
    };
    assert_eq!(process_stat(STAT), Some(right));
    assert_eq!(process_stat(&STAT.replace("a (b) c", ") 1 2 3 (\n")), Some(right));
}

#[test]
fn a_text_that_is_cut_off_says_nothing_wrong() {
    for cut in 0..STAT.len() {
        assert_eq!(process_stat(&STAT[..cut]), None, "{cut}");
    }
    let memory = "MemTotal:       16384 kB\nMemFree:  8192 kB\n";
    assert_eq!(kibibytes(memory, "MemTotal"), Some(16 << 20));
    assert_eq!(kibibytes(memory, "MemFree"), Some(8 << 20));
    assert_eq!(kibibytes(&memory[..memory.len() - 1], "MemFree"), None);
    assert_eq!((keyed(memory, "Mem"), keyed(memory, "SwapTotal")), (None, None));
    assert_eq!((only("12\n"), only("12"), only("max\n"), only("-1\n")), (Some(12), None, None, None));
}

#[test]
fn processors_are_told_apart_and_their_sum_left_out() {
    let text =
        "cpu  10 0 10 100 0 0 0 0 0 0\ncpu0 1 2 3 4 5 6 7 8 9 10\ncpu11 1 1 1 1 1 1 1 1\ncpu2 1 2\nintr 5\n";
    assert_eq!(processors(text, 9), [(0, [1, 2, 3, 4, 5, 13, 8]), (11, [1, 1, 1, 1, 1, 2, 1])]);
    assert_eq!(processors(text, 1).len(), 1);
}

#[test]
fn interfaces_and_disks_are_read_by_name() {
    let text = "Inter-|   Receive  |  Transmit\n face |bytes packets\n    lo:  10 1 2 3 0 0 0 0 20 4 5 6 0 0 0 0\n  eth0:99 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n cut: 1 2 3\n";
    let found = interfaces(text, 9);
    let [lo, eth] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((lo.name, lo.received, lo.sent), ("lo", [10, 1, 2, 3], [20, 4, 5, 6]));
    assert_eq!((eth.name, eth.received[0]), ("eth0", 99));
    let text = "   8       0 sda 10 1 100 5 20 2 200 6 0 7 8\n   7       0 loop0 1 1 1 1 1 1 1 1 1 1 1\n   8 1 sda1 3\n";
    let found = disks(text, 9);
    let [disk] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((disk.name, disk.operations, disk.bytes), ("sda", [10, 20], [51_200, 102_400]));
}

#[test]
fn pressure_and_load_are_read() {
    let text =
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=123\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=45\n";
    assert_eq!(pressure(text), [Some(123), Some(45)]);
    assert_eq!(pressure("some avg10=0.00 total=7"), [None, None]);
    assert_eq!(load("0.50 1.25 2.00 3/456 7890\n"), Some([0.5, 1.25, 2.0]));
    assert_eq!((load("0.50 1.25 2.00\n"), load("NaN 1 1 1/1 1\n"), load("")), (None, None, None));
}

#[test]
fn the_words_of_the_kernel_tell_ticks_and_pages() {
    let words = [6_usize, 4096, 17, 100, 0, 0];
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    assert_eq!(auxiliary(&bytes), [Some(100), Some(4096)]);
    assert_eq!(auxiliary(&bytes[..20]), [None, Some(4096)]);
    assert_eq!(auxiliary(b""), [None, None]);
    let own = std::fs::read("/proc/self/auxv").unwrap();
    assert!(auxiliary(&own).iter().all(Option::is_some));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_text_makes_a_reader_panic(text in "(cpu[0-9]{0,3}|[a-z]{1,9}:?|[0-9]{1,22}|[ \n\t:=/.()-]|\\PC){0,60}") {
        process_stat(&text);
        processors(&text, 4);
        interfaces(&text, 4);
        disks(&text, 4);
        pressure(&text);
        load(&text);
        only(&text);
        for key in ["MemTotal", "cpu0", "a", ""] {
            keyed(&text, key);
            kibibytes(&text, key);
        }
        auxiliary(text.as_bytes());
    }
}
