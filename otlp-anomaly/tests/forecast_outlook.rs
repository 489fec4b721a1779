//! When limits are reached, and two published answers that are wrong.

use std::time::Duration;

use otlp_anomaly::forecast::burn::{BurnConfig, Urgency};
use otlp_anomaly::forecast::outlook::{Leak, Reach, capacity, filling, leak};
use otlp_core::UnixNanos;
use otlp_core::series::Series;
use proptest::prelude::*;

/// A value for each hour.
fn hourly(values: impl IntoIterator<Item = f64>) -> Series {
    let mut series = Series::new();
    for (hour, value) in (0_u64..).zip(values) {
        assert!(series.push(UnixNanos::from_secs(3_600 * hour), value));
    }
    series
}

fn noise(at: u32) -> f64 {
    f64::from(at.wrapping_mul(2_654_435_761) >> 8) / f64::from(1_u32 << 24) - 0.5
}

/// The slope and the days left that least squares over everything say, which is what is published.
fn plain(series: &Series, limit: f64) -> f64 {
    let values = series.as_view().values();
    let count = values.len() as f64;
    let middle = (count - 1.0) / 2.0;
    let mean = values.iter().sum::<f64>() / count;
    let (mixed, square) = values.iter().enumerate().fold((0.0, 0.0), |(mixed, square), (at, value)| {
        let off = at as f64 - middle;
        (mixed + off * (value - mean), square + off * off)
    });
    (limit - values.last().copied().unwrap_or(0.0)) / (mixed / square * 24.0)
}

/// Sixty days of little growth, then a week of five gigabytes a day: forty are left.
fn disk() -> Series {
    hourly((0..24 * 67_u32).map(|hour| {
        let days = f64::from(hour) / 24.0;
        let used = 100.0 + 0.77 * days.min(60.0) + 5.0 * (days - 60.0).max(0.0);
        used + 0.4 * noise(hour)
    }))
}

#[test]
fn a_disk_that_fills_faster_now_has_eight_days_left_and_not_thirty_seven() {
    let disk = disk();
    let last = disk.as_view().values().last().copied().unwrap_or(0.0);
    let limit = last + 40.0;
    let whole = plain(&disk, limit);
    assert!((30.0..45.0).contains(&whole), "the published way says {whole}");
    let outlook = filling(disk.as_view(), limit).unwrap();
    let Reach::Days(days) = outlook.full else { panic!("{outlook:?}") };
    assert!(
        (7.0..9.0).contains(&days.value) && days.low <= days.value && days.value <= days.high,
        "{outlook:?}"
    );
    assert!(outlook.since_days < 12.0, "{outlook:?}");
}

#[test]
fn a_weekly_season_is_no_change_of_growth() {
    // Filled on weekdays alone, for six weeks; the last days are a weekend.
    let mut used = 100.0;
    let disk = hourly((0..24 * 42_u32).map(|hour| {
        used += if hour / 24 % 7 < 5 { 0.1 } else { 0.0 };
        used + 0.01 * noise(hour)
    }));
    let days = filling(disk.as_view(), used + 60.0).unwrap().full.days().unwrap();
    // Five days of 2.4 a week.
    assert!((days - 35.0).abs() < 4.0, "{days}");
}

#[test]
fn a_store_that_is_cleaned_is_judged_by_its_peaks() {
    // Falls back by thirty every three days, and every time a little less.
    let disk = |creep: f64| {
        hourly((0..24 * 30_u32).map(move |hour| {
            100.0 + f64::from(hour % 72) * 30.0 / 72.0 + creep * f64::from(hour / 72) + 0.01 * noise(hour)
        }))
    };
    let flat = filling(disk(0.0).as_view(), 200.0).unwrap();
    assert!(
        flat.resets >= 8
            && (flat.full == Reach::Never || flat.full.days().is_some_and(|days| days > 1_000.0)),
        "{flat:?}"
    );
    // The twin: peaks rise by three in three days.
    let rising = filling(disk(3.0).as_view(), 200.0).unwrap();
    assert!(rising.full.days().is_some_and(|days| (days - 43.0).abs() < 8.0), "{rising:?}");
}

/// Fifteen megabytes in the first hour, a fifth less each day.
fn saturating(hours: u32) -> Series {
    let mut used = 500.0;
    hourly((0..hours).map(move |hour| {
        used += 15.0 * 0.8_f64.powf(f64::from(hour) / 24.0);
        used + noise(hour)
    }))
}

#[test]
fn growth_that_ends_is_no_leak_that_kills() {
    let memory = saturating(24 * 6);
    // The ceiling is 500 and the sum of all hours, 15 / (1 - 0.8^(1/24)), which is 2,120.8: below the limit for ever.
    let limit = 2_400.0;
    let published = plain(&memory, limit);
    assert!(
        (0.0..10.0).contains(&published),
        "the published way says it is out of memory in {published} days"
    );
    let Leak::Saturating { ceiling, full } = leak(memory.as_view(), limit).unwrap() else {
        panic!("no ceiling seen")
    };
    assert_eq!(full, Reach::Never);
    assert!((ceiling.value - 2_120.8).abs() < 5.0 && ceiling.low < ceiling.high, "{ceiling:?}");
    assert!(ceiling.low - 2.0 < 2_120.8 && 2_120.8 < ceiling.high + 2.0, "{ceiling:?}");
    // The twin: below the ceiling the limit is reached, and sooner than the last slope says later.
    let Leak::Saturating { full, .. } = leak(memory.as_view(), 1_900.0).unwrap() else {
        panic!("no ceiling seen")
    };
    assert!(full.days().is_some_and(|days| (0.5..6.0).contains(&days)), "{full:?}");
}

#[test]
fn growth_that_goes_on_is_a_leak_and_chance_is_none() {
    let steady = hourly((0..24 * 6_u32).map(|hour| 500.0 + 15.0 * f64::from(hour) + 5.0 * noise(hour)));
    let Leak::Steady { full, rate_per_day } = leak(steady.as_view(), 4_000.0).unwrap() else {
        panic!("no leak seen")
    };
    assert!((rate_per_day.value - 360.0).abs() < 4.0);
    assert!(full.days().is_some_and(|days| (days - 3.75).abs() < 0.2), "{full:?}");
    let flat = hourly((0..200_u32).map(|hour| 500.0 + 50.0 * noise(hour)));
    assert_eq!(leak(flat.as_view(), 4_000.0).unwrap(), Leak::None);
    let tied = hourly((0..200_u32).map(|hour| if hour % 50 == 3 { 501.0 } else { 500.0 }));
    assert_eq!(leak(tied.as_view(), 4_000.0).unwrap(), Leak::None);
    // A restart makes what was before it not count.
    let restarted = hourly(
        (0..200_u32)
            .map(|hour| if hour < 150 { 500.0 + 15.0 * f64::from(hour) } else { 500.0 + 3.0 * noise(hour) }),
    );
    assert_eq!(leak(restarted.as_view(), 4_000.0).unwrap(), Leak::None);
}

#[test]
fn capacity_tells_base_from_burst_and_how_much_more() {
    let load = hourly((0..24 * 20_u32).map(|hour| {
        let day = f64::from(hour) / 24.0;
        let busy = if (9..17).contains(&(hour % 24)) { 2.0 } else { 1.0 };
        busy * (100.0 + 2.0 * day) + noise(hour)
    }));
    let plan = capacity(load.as_view(), 320.0, 30.0).unwrap();
    let (base, burst) = (plan.base.days().unwrap(), plan.burst.days().unwrap());
    // Bursts are at 280 and rise by four a day; the base is at 140 and rises by two.
    assert!((8.0..13.0).contains(&burst) && (80.0..100.0).contains(&base), "{plan:?}");
    assert!((0.08..0.18).contains(&plan.headroom), "{plan:?}");
    assert!((1.15..1.35).contains(&plan.scale_up), "{plan:?}");
}

#[test]
fn a_fast_burn_pages_a_slow_one_is_a_ticket_and_the_end_of_a_fault_ends_it() {
    let run = |faults: &dyn Fn(u64) -> u64, minutes: u64| {
        let mut burn = BurnConfig::new(0.999).build().unwrap();
        (0..minutes)
            .for_each(|minute| burn.observe(UnixNanos::from_secs(60 * minute), 10_000, faults(minute)));
        burn.state()
    };
    let day = 1_440;
    let page = run(&|minute| if minute >= 3 * day { 200 } else { 0 }, 3 * day + 60);
    assert_eq!(page.urgency, Urgency::Page);
    assert!(
        (page.rate - 20.0).abs() < 1.0
            && page.spent_in.is_some_and(|spent| spent < Duration::from_secs(86_400 * 2)),
        "{page:?}"
    );
    assert_eq!(run(&|_| 15, 4 * day).urgency, Urgency::Ticket);
    assert_eq!(run(&|_| 5, 4 * day).urgency, Urgency::None);
    // Ten minutes after the fault nobody is paged any more.
    let over = run(&|minute| if (4_000..4_060).contains(&minute) { 200 } else { 0 }, 4_100);
    assert_eq!(over.urgency, Urgency::None);
    assert!(over.left < 1.0);
}

#[test]
fn what_cannot_be_judged_is_refused() {
    assert!(filling(hourly([1.0; 5]).as_view(), 10.0).is_err());
    assert!(filling(hourly([1.0; 50]).as_view(), f64::NAN).is_err());
    assert!(leak(Series::new().as_view(), 1.0).is_err());
    assert!(capacity(hourly([1.0; 30]).as_view(), 10.0, 5.0).is_err());
    assert!(
        BurnConfig::new(1.0).build().is_err()
            && BurnConfig::new(0.99).period(Duration::ZERO).build().is_err()
    );
    assert_eq!(filling(hourly([5.0; 50]).as_view(), 5.0).unwrap().full, Reach::Now);
    assert_eq!(filling(hourly([5.0; 50]).as_view(), 9.0).unwrap().full, Reach::Never);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_values_break_an_outlook(
        values in prop::collection::vec(prop_oneof![6 => -1e3..1e3_f64, 1 => Just(f64::NAN), 1 => Just(1e308), 1 => Just(0.0)], 0..120),
        limit in -1e3..1e4_f64,
    ) {
        let series = hourly(values);
        let ordered = |reach: Reach| match reach {
            Reach::Days(days) => days.low <= days.value && days.value <= days.high && days.low >= 0.0,
            _ => true,
        };
        if let Ok(outlook) = filling(series.as_view(), limit) {
            prop_assert!(ordered(outlook.full), "{outlook:?}");
        }
        if let Ok(Leak::Steady { full, .. } | Leak::Saturating { full, .. }) = leak(series.as_view(), limit) {
            prop_assert!(ordered(full), "{full:?}");
        }
        if let Ok(plan) = capacity(series.as_view(), limit, 30.0) {
            prop_assert!(ordered(plan.base) && ordered(plan.burst) && plan.scale_up >= 1.0);
        }
    }
}
