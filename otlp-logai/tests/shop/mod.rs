//! A small shop that writes logs: six services, seeded, in simulated time.

use otlp_core::UnixNanos;

pub(crate) const START: u64 = 1_795_342_272;

/// SplitMix64 (G. Steele, D. Lea, C. Flood, 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }
}

/// One line: when, who, what, and which kind of line it really is.
pub(crate) struct Written {
    pub(crate) time: UnixNanos,
    pub(crate) service: &'static str,
    pub(crate) line: String,
    pub(crate) kind: &'static str,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    None,
    /// The database loses its index and scans.
    DbSlow,
    /// Payments are declined by a time-out far more often.
    ErrorBurst,
}

/// The logs of `seconds` at `rate` requests a second, with the fault from second `since` on.
pub(crate) fn logs(seed: u64, seconds: u64, rate: u64, fault: Fault, since: u64) -> Vec<Written> {
    let mut random = Random(seed);
    let mut out = Vec::new();
    for second in 0..seconds {
        let broken = if second >= since { fault } else { Fault::None };
        // Arrivals are Poisson-like: each of many slots has a small chance.
        for slot in 0..rate * 4 {
            if random.chance(4) {
                let nanos = slot * (1_000_000_000 / (rate * 4));
                let time = UnixNanos(UnixNanos::from_secs(START + second).0 + nanos);
                request(&mut random, time, broken, &mut out);
            }
        }
        if random.chance(7) {
            let time = UnixNanos::from_secs(START + second);
            let line = format!("INFO cache evicted {} keys in {} ms", random.below(500), random.below(9));
            out.push(Written { time, service: "cache", line, kind: "evicted" });
        }
    }
    out
}

fn request(random: &mut Random, time: UnixNanos, fault: Fault, out: &mut Vec<Written>) {
    let id = format!("{:08x}", random.next() as u32);
    let user = random.below(500);
    let mut write = |service, kind, text: String| {
        let line = match text.split_once(' ') {
            Some((level, rest)) => format!("{}Z {level} {service} request_id={id} {rest}", stamp(time)),
            None => text,
        };
        out.push(Written { time, service, line, kind });
    };
    let route = ["/cart", "/checkout", "/search"][random.below(3) as usize];
    let took = 3 + random.below(20);
    write("gateway", "served", format!("INFO served method=GET route={route} status=200 took={took}ms"));
    if random.chance(2) {
        write(
            "order",
            "placed",
            format!(
                "INFO order placed user=u{user} items={} total={}",
                1 + random.below(5),
                random.below(9999)
            ),
        );
        let declined = if fault == Fault::ErrorBurst { 3 } else { 60 };
        if random.chance(declined) {
            let reason = ["no_funds", "issuer_timeout", "blocked"][random.below(3) as usize];
            write(
                "payment",
                "declined",
                format!("WARN charge declined amount={} reason={reason}", random.below(9999)),
            );
        } else {
            write(
                "payment",
                "accepted",
                format!("INFO charge accepted amount={} card=**{}", random.below(9999), random.below(9999)),
            );
        }
        write(
            "inventory",
            "reserved",
            format!("INFO reserved {} of sku-{} in stock", 1 + random.below(3), random.below(900)),
        );
    }
    let key = random.below(10_000);
    if fault == Fault::DbSlow {
        write(
            "db",
            "scan",
            format!("WARN index missing, scanning table=items rows={}", 40_000 + random.below(9000)),
        );
        if random.chance(4) {
            write(
                "inventory",
                "waiting",
                format!("ERROR no answer from db after {} ms, retrying", 500 + random.below(500)),
            );
        }
    }
    write("db", "lookup", format!("INFO lookup table=items key={key} hits={}", random.below(3)));
}

fn stamp(time: UnixNanos) -> String {
    // Within one day, which is all the tests need.
    let seconds = time.0 / 1_000_000_000 - 1_795_305_600;
    let millis = time.0 / 1_000_000 % 1000;
    format!("2026-11-22T{:02}:{:02}:{:02}.{millis:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}
