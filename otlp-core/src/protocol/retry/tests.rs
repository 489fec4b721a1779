use proptest::prelude::*;

use super::*;

const NOW: UnixNanos = UnixNanos::from_secs(1_700_000_000);

fn wait(value: &str, now: u64) -> Option<u64> {
    parse_retry_after(value, UnixNanos::from_secs(now)).ok().map(|wait| wait.as_secs())
}

#[test]
fn all_three_forms_of_a_date_name_the_same_instant() {
    for date in
        ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
    {
        assert_eq!(wait(date, 784_111_700), Some(77), "{date}");
    }
}

#[test]
fn seconds_may_be_many_and_padded() {
    assert_eq!(wait("0", 5), Some(0));
    assert_eq!(wait(" \t007 ", 5), Some(7));
    assert_eq!(wait("99999999999999999999999999", 5), Some(u64::MAX));
}

#[test]
fn a_date_that_has_passed_is_no_wait() {
    assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777), Some(0));
    assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT", 1_700_000_000), Some(0));
    assert_eq!(wait("Thu, 01 Jan 1960 00:00:00 GMT", 0), Some(0));
}

#[test]
fn a_year_of_two_digits_is_never_more_than_fifty_years_ahead() {
    // Seen from November 2023.
    assert_eq!(full_year(23, NOW), 2023);
    assert_eq!(full_year(73, NOW), 2073);
    assert_eq!(full_year(74, NOW), 1974);
    assert_eq!(full_year(0, NOW), 2000);
    // Seen from 1999, "02" is still to come.
    assert_eq!(full_year(2, UnixNanos::from_secs(930_000_000)), 2002);
}

#[test]
fn what_is_neither_seconds_nor_a_date_is_refused() {
    for value in [
        "",
        " ",
        "-1",
        "+1",
        "1.5",
        "1 2",
        "soon",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 29 Feb 1900 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1994 08:49:37:00 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 06 Nov 19940 08:49:37 GMT",
        "Sun, 06 Brumaire 1994 08:49:37 GMT",
        "Someday, 06-Nov-94 08:49:37 GMT",
        "Sunday, 06-Nov-94-1 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov é 08:49:37 1994",
        "١٢",
    ] {
        let error = parse_retry_after(value, NOW).expect_err(value);
        assert!(error.is_malformed(), "{value}");
        assert!(value.len() < 3 || !error.to_string().contains(value), "payload in the message");
    }
}

#[test]
fn a_wait_of_the_longest_kind_does_not_overflow() {
    let backoff = Backoff { initial: Duration::MAX, max: Duration::MAX };
    assert!(backoff.wait(u32::MAX, u64::MAX) <= Duration::from_nanos(u64::MAX));
    assert_eq!(Backoff { initial: Duration::ZERO, max: Duration::ZERO }.wait(3, 9), Duration::ZERO);
}

proptest! {
    #[test]
    fn a_wait_lies_between_half_the_bound_and_the_bound(attempt in 1_u32..80, jitter: u64) {
        let backoff = Backoff { initial: Duration::from_millis(100), max: Duration::from_secs(7) };
        let bound = Duration::from_millis(100).saturating_mul(1 << (attempt - 1).min(20)).min(backoff.max);
        let wait = backoff.wait(attempt, jitter);
        prop_assert!(wait >= bound / 2 && wait <= bound, "{wait:?} of {bound:?}");
    }

    #[test]
    fn more_jitter_never_waits_less(attempt in 1_u32..80, one: u64, other: u64) {
        let backoff = Backoff::default();
        let (low, high) = (one.min(other), one.max(other));
        prop_assert!(backoff.wait(attempt, low) <= backoff.wait(attempt, high));
    }

    #[test]
    fn dates_are_read_as_the_httpdate_crate_reads_them(at in 0_u64..253_402_300_799, now in 0_u64..4_000_000_000) {
        let time = std::time::UNIX_EPOCH + Duration::from_secs(at);
        let text = httpdate::fmt_http_date(time);
        let nanos_fit = at < u64::MAX / 1_000_000_000;
        let expected = if nanos_fit { at } else { u64::MAX / 1_000_000_000 };
        prop_assert_eq!(wait(&text, now), Some(expected.saturating_sub(now)));
    }

    #[test]
    fn any_text_is_answered_without_a_panic(value in "\\PC{0,40}", now: u64) {
        let _answered = parse_retry_after(&value, UnixNanos(now));
    }

    #[test]
    fn a_date_with_one_byte_changed_is_answered_without_a_panic(at in 0_usize..29, byte in 0_u8..128) {
        let mut date = b"Sun, 06 Nov 1994 08:49:37 GMT".to_vec();
        date[at] = byte;
        let text = String::from_utf8(date).expect("ascii");
        let ours = parse_retry_after(&text, UnixNanos::ZERO).is_ok();
        // Ours does not check that the weekday is right, and takes a bare number; theirs takes no less.
        prop_assert!(ours || httpdate::parse_http_date(&text).is_err() || at < 3, "{text}");
    }
}
