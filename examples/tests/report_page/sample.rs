//! Summaries as a run would fill them: an incident, a calm run, an ugly one, and a fault that nobody noticed.
#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "made here from small constants; a panic fails the test"
)]

use crate::summary::{
    Alarm, Balance, Cause, CitedLine, Conformance, Contribution, Edge, Exhaustion, Export, ExportEvent,
    FORMAT, Fault, FunctionChange, Health, Incident, KeyFigures, LogFinding, Logs, Loss, Memory, MemoryTrack,
    NewTemplate, ProfileChange, Promise, Run, Service, Shift, Summary, Timeline, Track, Unit, Version,
};

const FAULT_SECS: f64 = 20.0;
const WINDOWS: usize = 40;

/// Splitmix64: small, seeded, good enough for noise.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        f64::from(u32::try_from((z ^ (z >> 31)) >> 32).expect("32 bits")) / f64::from(u32::MAX)
    }

    fn near(&mut self, value: f64, part: f64) -> f64 {
        value * (1.0 + part * (self.roll() * 2.0 - 1.0))
    }
}

/// A service of a sample: name, rate, p95 before, factor from the fault on, share of errors after it.
#[derive(Clone, Copy)]
struct Plan(&'static str, f64, f64, f64, f64);

const SHOP: [Plan; 6] = [
    Plan("gateway", 200.0, 9.4, 21.0, 0.004),
    Plan("order", 120.0, 6.8, 27.0, 0.006),
    Plan("inventory", 160.0, 4.9, 37.0, 0.0),
    Plan("payment", 60.0, 3.6, 1.0, 0.0),
    Plan("cache", 160.0, 0.31, 1.0, 0.0),
    Plan("db", 140.0, 3.1, 58.8, 0.011),
];

/// What is spoken with a service of the shop; nobody knows it of others.
fn protocol(service: &str) -> Option<String> {
    let spoken = match service {
        "gateway" | "order" | "inventory" => "HTTP/1.1",
        "payment" => "gRPC",
        "cache" => "Redis",
        "db" => "PostgreSQL",
        _ => return None,
    };
    Some(spoken.to_owned())
}

const SHOP_CALLS: [(&str, &str, f64); 6] = [
    ("gateway", "order", 120.0),
    ("gateway", "inventory", 80.0),
    ("order", "inventory", 80.0),
    ("order", "payment", 60.0),
    ("inventory", "cache", 160.0),
    ("inventory", "db", 140.0),
];

fn track(plan: Plan, is_faulty: bool, dice: &mut Dice) -> Track {
    let mut track = Track {
        service: plan.0.to_owned(),
        rate_per_sec: Vec::new(),
        p50_ms: Vec::new(),
        p95_ms: Vec::new(),
        error_share: Vec::new(),
    };
    for window in 1..=WINDOWS {
        let hit = is_faulty && window as f64 > FAULT_SECS;
        let p95 = dice.near(plan.2, 0.12) * if hit { plan.3 * dice.near(1.0, 0.15) } else { 1.0 };
        track.rate_per_sec.push(Some(dice.near(plan.1, 0.05)));
        track.p50_ms.push(Some(p95 * dice.near(if hit && plan.3 > 2.0 { 0.7 } else { 0.42 }, 0.1)));
        track.p95_ms.push(Some(p95));
        track.error_share.push(Some(if hit { plan.4 * dice.roll() * 2.0 } else { 0.0 }));
    }
    track
}

fn health(plan: Plan, guilty: Option<&str>) -> Health {
    match guilty {
        Some(name) if name == plan.0 => Health::Cause,
        Some(_) if plan.3 > 2.0 => Health::Affected,
        _ => Health::Healthy,
    }
}

fn service(plan: Plan, guilty: Option<&str>, is_faulty: bool) -> Service {
    let after = |value: f64| is_faulty.then_some(value);
    Service {
        name: plan.0.to_owned(),
        protocol: protocol(plan.0),
        health: health(plan, guilty),
        rate_per_sec: plan.1,
        p95_ms: Shift { before: Some(plan.2), after: after(plan.2 * plan.3) },
        error_share: Shift { before: Some(0.0), after: after(plan.4) },
    }
}

fn balances(plans: &[Plan], dice: &mut Dice) -> Vec<Balance> {
    let balance = |plan: &Plan| {
        let served = (plan.1 * 40.0) as u64 + (dice.roll() * 9.0) as u64;
        let rejected = if plan.0 == "order" { 3 } else { 0 };
        let reset = u64::from(plan.0 == "db") * 2;
        let lost = vec![
            Loss { reason: "connection reset".to_owned(), count: reset },
            Loss { reason: "unparsed".to_owned(), count: 0 },
        ];
        Balance { service: plan.0.to_owned(), served, accepted: served - rejected - reset, rejected, lost }
    };
    plans.iter().map(balance).collect()
}

fn run(seed: u64, fault: &str) -> Run {
    Run {
        // 2026-01-05, so that the fault is at 12:03:21 UTC.
        started_unix_millis: 1_767_614_581_000,
        seconds: 40.0,
        rate_per_sec: 200.0,
        seed,
        capture: "forwarding tap".to_owned(),
        command: format!(
            "cargo run --release --example incident -- --seconds 40 --rate 200 --seed {seed} --fault {fault}"
        ),
        versions: [("otlp suite", "0.1.0"), ("rustc", "1.95.0")]
            .map(|(name, version)| Version { name: name.to_owned(), version: version.to_owned() })
            .into(),
        machine: "Linux 6.1, x86_64".to_owned(),
        cores: 2,
    }
}

fn base(
    seed: u64,
    fault: Option<&str>,
    plans: &[Plan],
    calls: &[(&str, &str, f64)],
    guilty: Option<&str>,
) -> Summary {
    let mut dice = Dice(seed);
    let tracks = plans.iter().map(|plan| track(*plan, fault.is_some(), &mut dice)).collect();
    let services: Vec<Service> = plans.iter().map(|plan| service(*plan, guilty, fault.is_some())).collect();
    let edge = |&(caller, callee, rate_per_sec): &(&str, &str, f64)| {
        let health =
            plans.iter().find(|plan| plan.0 == callee).map_or(Health::Healthy, |plan| health(*plan, guilty));
        let (caller, callee, protocol) = (caller.to_owned(), callee.to_owned(), protocol(callee));
        Edge { caller, callee, protocol, rate_per_sec, health }
    };
    let balances = balances(plans, &mut dice);
    let accepted = balances.iter().map(|balance| balance.accepted).sum();
    Summary {
        format: FORMAT,
        run: run(seed, fault.unwrap_or("none")),
        fault: None,
        incident: None,
        key: KeyFigures {
            time_to_first_alarm_secs: None,
            rank_of_true_cause: None,
            spans_captured: accepted,
            false_alarms: 0,
        },
        services,
        edges: calls.iter().map(edge).collect(),
        timeline: Timeline { window_secs: 1.0, at_secs: (1..=WINDOWS).map(|at| at as f64).collect(), tracks },
        alarms: Vec::new(),
        causes: Vec::new(),
        logs: Some(Logs { lines: 12_480, templates: 37, new_templates: Vec::new(), findings: Vec::new() }),
        memory: None,
        profile: None,
        balances,
        export: export(),
        conformance: Some(Conformance {
            conforms: true,
            events: 412,
            states: 1_096,
            model: "the export protocol".to_owned(),
            detail: String::new(),
        }),
        promises: promises(),
    }
}

fn export() -> Export {
    let event =
        |at_secs, what: &str, then: &str| ExportEvent { at_secs, what: what.into(), then: then.into() };
    Export {
        requests: 41,
        retries: 1,
        duplicates: 0,
        bytes_encoded: 9_812_345,
        bytes_sent: 1_204_002,
        events: vec![
            event(12.2, "503 with Retry-After: 1", "waited 1.0 s and sent the same batch again"),
            event(27.6, "partial success: 3 spans rejected", "counted them and sent nothing again"),
        ],
    }
}

fn promises() -> Vec<Promise> {
    [
        ("Every request is accounted for", "33 611 served = 33 606 accepted + 3 rejected + 2 lost"),
        ("Retries duplicate nothing", "1 retry, 0 duplicate spans"),
        ("The true cause is among the first three", "db is 1st of 6"),
        ("No alarm before the fault", "0 alarms in 120 windows"),
        ("The first alarm follows the fault", "1.4 s after it"),
        ("The exporter's trace conforms to its model", "412 events"),
    ]
    .map(|(name, detail)| Promise { name: name.to_owned(), holds: true, detail: detail.to_owned() })
    .into()
}

fn cause(service: &str, score: f64, statement: &str, parts: &[(&str, f64)], evidence: &[&str]) -> Cause {
    Cause {
        service: service.to_owned(),
        score,
        statement: statement.to_owned(),
        contributions: parts
            .iter()
            .map(|&(name, share)| Contribution { name: name.to_owned(), signal: "spans".to_owned(), share })
            .collect(),
        evidence: evidence.iter().map(|&line| line.to_owned()).collect(),
    }
}

fn shop_causes() -> Vec<Cause> {
    vec![
        cause(
            "db",
            0.81,
            "db is slow by itself: nothing it calls got slower, and all who call it did.",
            &[
                ("own latency", 0.44),
                ("callers affected", 0.21),
                ("first to alarm", 0.11),
                ("own errors", 0.05),
            ],
            &[
                "p95 of SELECT title, price FROM stock WHERE sku = $1: 310 µs → 182 ms",
                "p95 latency 3.10 -> 182 ms since 12:03:21",
                "99 % of the added time is spent in db itself, not in calls it makes",
                "span 00f067aa0ba902b7 of trace 4bf92f3577b34da6a3ce929d0e0e4736: SELECT records took 214 ms",
                "its callers inventory, order and gateway slowed down after it, by the same amount",
            ],
        ),
        cause(
            "inventory",
            0.31,
            "inventory got slower, but nearly all of the added time is spent waiting for db.",
            &[("own latency", 0.06), ("callers affected", 0.17), ("first to alarm", 0.08)],
            &["p95 latency 4.90 -> 181 ms", "97 % of the added time is spent in db"],
        ),
        cause(
            "order",
            0.18,
            "",
            &[("callers affected", 0.14), ("own latency", 0.04)],
            &["p95 latency 6.80 -> 184 ms"],
        ),
        cause("gateway", 0.07, "", &[("own latency", 0.07)], &["p95 latency 9.40 -> 197 ms"]),
        cause("payment", 0.01, "", &[("own latency", 0.01)], &[]),
        cause("cache", 0.0, "", &[], &[]),
    ]
}

fn alarm(at_secs: f64, service: &str, feature: &str, values: (f64, f64, f64), unit: Unit) -> Alarm {
    Alarm {
        at_secs,
        service: service.to_owned(),
        feature: feature.to_owned(),
        unit,
        expected: values.0,
        observed: values.1,
        times_threshold: values.2,
    }
}

fn shop_logs() -> Logs {
    let line = |at_secs, line: &str| CitedLine { at_secs, service: "db".to_owned(), line: line.to_owned() };
    let template = |template: &str, count, first_secs| NewTemplate {
        service: "db".to_owned(),
        template: template.to_owned(),
        count,
        first_secs,
    };
    Logs {
        lines: 12_480,
        templates: 39,
        new_templates: vec![
            template("WARN lookup of record <*> scanned <*> records, index missing", 2_791, 20.1),
            template("ERROR index records_by_id is gone: <*>", 1, 20.0),
        ],
        findings: vec![LogFinding {
            title: "db writes two kinds of lines that it never wrote before, first 0.0 s after the latency moved"
                .to_owned(),
            detail: "They speak of a missing index and of scans; 2 792 of 2 934 lines of db since then are of these kinds."
                .to_owned(),
            lines: vec![
                line(20.0, "2026-01-05T12:03:21.004Z ERROR index records_by_id is gone: dropped by maintenance job 4"),
                line(20.1, "2026-01-05T12:03:21.093Z WARN lookup of record 48121 scanned 60000 records, index missing"),
                line(20.1, "2026-01-05T12:03:21.101Z WARN lookup of record 7702 scanned 60000 records, index missing"),
            ],
        }],
    }
}

fn shop_profile() -> ProfileChange {
    let change =
        |function: &str, before, after| FunctionChange { function: function.to_owned(), before, after };
    ProfileChange {
        service: "db".to_owned(),
        samples_before: 820,
        samples_after: 996,
        functions: vec![
            change("incident::shop::db::Store::scan", 0.0, 713.0 / 996.0),
            change("incident::shop::db::Store::lookup", 382.0 / 820.0, 41.0 / 996.0),
            change("incident::shop::http::parse_head", 214.0 / 820.0, 28.0 / 996.0),
            change("std::io::Write::write_all", 163.0 / 820.0, 22.0 / 996.0),
            change("core::slice::memchr::memchr_aligned", 21.0 / 820.0, 152.0 / 996.0),
        ],
    }
}

/// A slow database, found.
pub(crate) fn incident(seed: u64) -> Summary {
    let mut summary = base(seed, Some("db-slow"), &SHOP, &SHOP_CALLS, Some("db"));
    summary.fault = Some(Fault {
        kind: "db-slow".to_owned(),
        service: "db".to_owned(),
        at_secs: FAULT_SECS,
        description: "the record store lost its index".to_owned(),
    });
    summary.incident = Some(Incident {
        service: "db".to_owned(),
        symptom: "became slow".to_owned(),
        because: "its lookups scan every record since the index was lost".to_owned(),
        first_alarm_secs: 21.4,
        services: ["db", "inventory", "order", "gateway"].map(str::to_owned).into(),
    });
    summary.key.time_to_first_alarm_secs = Some(1.4);
    summary.key.rank_of_true_cause = Some(1);
    summary.alarms = vec![
        alarm(21.4, "db", "p95 latency", (3.1, 182.4, 41.2), Unit::Millis),
        alarm(21.4, "inventory", "p95 latency", (4.9, 181.0, 33.9), Unit::Millis),
        alarm(21.4, "order", "p95 latency", (6.8, 184.1, 24.0), Unit::Millis),
        alarm(22.4, "gateway", "p95 latency", (9.4, 197.2, 18.3), Unit::Millis),
        alarm(23.4, "db", "share of errors", (0.0, 0.019, 3.4), Unit::Share),
        alarm(24.4, "order", "share of errors", (0.0, 0.012, 2.1), Unit::Share),
        alarm(26.4, "gateway", "requests", (200.0, 171.0, 1.2), Unit::PerSec),
    ];
    summary.causes = shop_causes();
    summary.logs = Some(shop_logs());
    summary.profile = Some(shop_profile());
    summary
}

/// Nothing broken, nothing found.
pub(crate) fn calm(seed: u64) -> Summary {
    let mut summary = base(seed, None, &SHOP, &SHOP_CALLS, None);
    summary.promises.retain(|promise| !promise.name.contains("cause") && !promise.name.contains("alarm"));
    summary.promises.push(Promise {
        name: "No alarm without a fault".to_owned(),
        holds: true,
        detail: "0 alarms in 240 windows".to_owned(),
    });
    summary
}

/// A service that keeps what it should let go.
pub(crate) fn leak(seed: u64) -> Summary {
    let mut summary = base(seed, Some("leak"), &SHOP, &SHOP_CALLS, Some("order"));
    summary.fault = Some(Fault {
        kind: "leak".to_owned(),
        service: "order".to_owned(),
        at_secs: FAULT_SECS,
        description: "order keeps every page".to_owned(),
    });
    summary.incident = Some(Incident {
        service: "order".to_owned(),
        symptom: "began to leak memory".to_owned(),
        because: "it grows by 1.50 MB a second".to_owned(),
        first_alarm_secs: 27.5,
        services: vec!["order".to_owned()],
    });
    summary.key.time_to_first_alarm_secs = Some(7.5);
    summary.key.rank_of_true_cause = Some(1);
    summary.alarms = vec![alarm(27.5, "order", "memory", (102e6, 113e6, 1.9), Unit::Bytes)];
    let at_secs: Vec<f64> = (0..2 * WINDOWS).map(|half| half as f64 / 2.0).collect();
    let track = |(place, plan): (usize, &Plan)| {
        let grows = if plan.0 == "order" { 1.5e6 } else { 0.01e6 };
        let held = |at: &f64| (100e6 + 2e6 * place as f64 + grows * (at - FAULT_SECS).max(0.0)) as u64;
        MemoryTrack {
            service: plan.0.to_owned(),
            bytes: at_secs.iter().map(held).collect(),
            at_secs: at_secs.clone(),
        }
    };
    summary.memory = Some(Memory {
        limit_bytes: 256 << 20,
        tracks: SHOP.iter().enumerate().map(track).collect(),
        exhaustion: Some(Exhaustion {
            service: "order".to_owned(),
            bytes_per_sec: 1.5e6,
            earliest_secs: 86.0,
            likely_secs: 91.0,
            latest_secs: 98.0,
        }),
    });
    summary
}

/// Something broken, nothing found.
pub(crate) fn missed(seed: u64) -> Summary {
    let mut summary = incident(seed);
    summary.incident = None;
    summary.alarms.clear();
    summary.causes.clear();
    summary.profile = None;
    summary.key.time_to_first_alarm_secs = None;
    summary.key.rank_of_true_cause = None;
    for service in &mut summary.services {
        service.health = Health::Healthy;
    }
    for edge in &mut summary.edges {
        edge.health = Health::Healthy;
    }
    for name in ["cause", "first alarm"] {
        if let Some(promise) = summary.promises.iter_mut().find(|promise| promise.name.contains(name)) {
            promise.holds = false;
            promise.detail = "no alarm was raised".to_owned();
        }
    }
    summary
}

const LARGE: [Plan; 12] = [
    Plan("edge-gateway-eu-central-1-production", 1_812.4, 22.0, 3.0, 0.08),
    Plan("checkout", 420.0, 180.0, 4.0, 0.21),
    Plan("recommendation-engine-v2", 96.0, 1_400.0, 1.0, 0.0),
    Plan("inventory", 160.0, 4.9, 1.1, 0.0),
    Plan("payment-authorisation-service", 60.0, 3.6, 24.0, 0.62),
    Plan("cache", 9_160.0, 0.031, 1.0, 0.0),
    Plan("db", 140.0, 3.1, 1.0, 0.0),
    Plan("fraud", 59.0, 40.0, 11.0, 0.0),
    Plan("ledger", 58.0, 12.0, 3.4, 0.0),
    Plan("mail", 2.0, 90.0, 1.0, 0.0),
    Plan("Größenprüfung", 0.4, 7.0, 1.0, 0.0),
    Plan("search", 300.0, 60.0, 1.0, 0.0),
];

const LARGE_CALLS: [(&str, &str, f64); 17] = [
    ("edge-gateway-eu-central-1-production", "checkout", 420.0),
    ("edge-gateway-eu-central-1-production", "search", 300.0),
    ("edge-gateway-eu-central-1-production", "recommendation-engine-v2", 96.0),
    ("edge-gateway-eu-central-1-production", "cache", 1_000.0),
    ("checkout", "inventory", 160.0),
    ("checkout", "payment-authorisation-service", 60.0),
    ("checkout", "mail", 2.0),
    ("search", "cache", 5_000.0),
    ("search", "Größenprüfung", 0.4),
    ("recommendation-engine-v2", "cache", 3_160.0),
    ("inventory", "db", 140.0),
    ("payment-authorisation-service", "fraud", 59.0),
    ("fraud", "ledger", 58.0),
    ("ledger", "payment-authorisation-service", 1.0),
    ("ledger", "db", 30.0),
    ("mail", "mail", 1.0),
    ("inventory", "cache", 12.0),
];

/// Long names, a cycle, a call to oneself, gaps, no profile, many findings, an account that does not add up.
pub(crate) fn ugly(seed: u64) -> Summary {
    let guilty = "payment-authorisation-service";
    let mut summary = base(seed, Some("error-burst"), &LARGE, &LARGE_CALLS, Some(guilty));
    summary.fault = Some(Fault {
        kind: "error-burst".to_owned(),
        service: guilty.to_owned(),
        at_secs: FAULT_SECS,
        description: "half of all authorisations are refused with status 500".to_owned(),
    });
    summary.incident = Some(Incident {
        service: guilty.to_owned(),
        symptom: "began to fail".to_owned(),
        because: "AuthorisationClient::connect_with_retry_and_backoff times out after 30 attempts".to_owned(),
        first_alarm_secs: 20.25,
        services: vec![
            guilty.to_owned(),
            "checkout".to_owned(),
            "edge-gateway-eu-central-1-production".to_owned(),
        ],
    });
    summary.key.time_to_first_alarm_secs = Some(0.25);
    summary.key.rank_of_true_cause = Some(1);
    summary.causes = vec![cause(
        guilty,
        1.0,
        "",
        &[("own errors", 0.7), ("a contribution with quite a long name that wraps", 0.3)],
        &[
            "a-very-long-evidence-token-without-any-space-that-has-to-break-somewhere-or-else-it-overflows-the-page",
        ],
    )];
    let silent = &mut summary.timeline.tracks[9];
    for window in (0..WINDOWS).filter(|window| window % 3 != 0 || (12..24).contains(window)) {
        silent.p50_ms[window] = None;
        silent.p95_ms[window] = None;
        silent.error_share[window] = None;
    }
    summary.services[9].p95_ms.after = None;
    summary.services[3].protocol = Some("gRPC, PostgreSQL".to_owned());
    summary.services[4].protocol = Some("HTTP/1.1, HTTP/2, gRPC".to_owned());
    summary.edges[5].protocol = Some("gRPC".to_owned());
    let findings = (0..9).map(|number| LogFinding {
        title: format!("finding {number}: a line of payment-authorisation-service was never seen before"),
        detail: String::new(),
        lines: (0..7)
            .map(|line| CitedLine {
                at_secs: 20.0 + f64::from(line),
                service: guilty.to_owned(),
                line: format!(
                    "ERROR {{\"url\":\"https://bank.example/authorise?id={line}\",\"stack\":\"{}\"}}",
                    "at_frame_".repeat(24)
                ),
            })
            .collect(),
    });
    let templates = (0..20).map(|number| NewTemplate {
        service: guilty.to_owned(),
        template: format!("ERROR attempt <*> of {number} failed: <*> <*> <*> while talking to https://bank.example/authorise/<*>"),
        count: 9_000 / (number + 1),
        first_secs: 20.0 + number as f64 / 7.0,
    });
    summary.logs = Some(Logs {
        lines: 1_212_480,
        templates: 412,
        findings: findings.collect(),
        new_templates: templates.collect(),
    });
    summary.balances[4].accepted -= 7;
    summary.promises[0].holds = false;
    summary
}

/// Gives a service another name, everywhere.
pub(crate) fn rename(summary: &mut Summary, from: &str, to: &str) {
    let change = |name: &mut String| {
        if name == from {
            to.clone_into(name);
        }
    };
    summary.services.iter_mut().for_each(|service| change(&mut service.name));
    summary.timeline.tracks.iter_mut().for_each(|track| change(&mut track.service));
    summary.balances.iter_mut().for_each(|balance| change(&mut balance.service));
    summary.alarms.iter_mut().for_each(|alarm| change(&mut alarm.service));
    summary.causes.iter_mut().for_each(|cause| change(&mut cause.service));
    for edge in &mut summary.edges {
        change(&mut edge.caller);
        change(&mut edge.callee);
    }
    if let Some(incident) = &mut summary.incident {
        change(&mut incident.service);
        incident.services.iter_mut().for_each(change);
    }
    if let Some(fault) = &mut summary.fault {
        change(&mut fault.service);
    }
    if let Some(profile) = &mut summary.profile {
        change(&mut profile.service);
    }
}

/// A differential flame graph that `otlp_profiles::FlameGraph::differential` drew of two folded profiles made by
/// hand, whose shares are those of `shop_profile`.
pub(crate) const FLAME_SVG: &str = include_str!("flame.svg");
