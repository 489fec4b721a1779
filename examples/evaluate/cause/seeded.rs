//! Seeded systems with faults from hardly noticeable to grave, as cases: what confidence is calibrated on.
//!
//! Each has services that call later ones, one fault or none, and some of the sources; beside the fault there are noise that
//! goes on from step to step, metrics that jump for no reason, missing spans, and deploys that broke nothing.

use std::fmt::Write as _;

use super::Given;
use crate::chance::Chance;

/// What is wrong with a service, and how much.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// It takes so many times as long.
    Latency(f64),
    /// This share of its requests fails.
    Errors(f64),
    /// This share of its requests is not answered at all.
    Absent(f64),
}

struct System {
    callees: Vec<Vec<usize>>,
    own_millis: Vec<f64>,
    fault: Fault,
    at: usize,
}

const REQUESTS: u64 = 90;
const STEPS: [usize; 2] = [150, 10];
const LINES: usize = 60;
/// How often each of two services has a metric that jumps for no reason: of recorded windows without a fault, few have one.
const JUMPS: f64 = 0.04;
/// When trouble begins, in seconds.
const ONSET: u64 = 1_700_000_000;

/// The case of a seed.
pub(super) fn case(seed: u64) -> Given {
    let mut chance = Chance::new(seed.wrapping_mul(0x2545_F491_4F6C_DD1D));
    let system = System::new(&mut chance);
    let is_quiet = system.fault == Fault::None;
    let mut files = vec![("calls.csv", system.calls())];
    // At least one of spans and metrics is there.
    let (has_spans, has_metrics) = (chance.uniform() < 0.6, chance.uniform() < 0.7);
    if has_metrics || !has_spans {
        let jumps = (0..2).filter(|_| chance.uniform() < JUMPS).count();
        let jumping: Vec<usize> = (0..jumps).map(|_| system.any(&mut chance)).collect();
        files.push(("normal.csv", system.metrics(true, &[], &mut chance)));
        files.push(("anomalous.csv", system.metrics(false, &jumping, &mut chance)));
    }
    if has_spans {
        files.push(("spans_normal.csv", system.spans(true, &mut chance)));
        files.push(("spans.csv", system.spans(false, &mut chance)));
    }
    if chance.uniform() < 0.5 {
        files.push(("logs_normal.csv", system.logs(true, &mut chance)));
        files.push(("logs.csv", system.logs(false, &mut chance)));
    }
    if chance.uniform() < 0.2 {
        let service = system.any(&mut chance);
        files.push(("changes.csv", format!("time,service,kind\n{},service-{service},deploy\n", ONSET - 120)));
    }
    if chance.uniform() < 0.7 {
        let metric = if matches!(system.fault, Fault::Latency(_)) { "latency" } else { "errors" };
        let metric = if is_quiet && chance.uniform() < 0.5 { "latency" } else { metric };
        files.push(("symptom.json", format!("{{\"service\": \"service-0\", \"metric\": \"{metric}\"}}")));
    }
    let truth = (!is_quiet).then(|| format!("service-{}", system.at));
    Given { system: "Seeded", name: format!("seeded_{seed}"), truth, files, ..Given::default() }
}

impl System {
    fn new(chance: &mut Chance) -> Self {
        let services = 5 + whole(26.0 * chance.uniform());
        let mut callees = vec![Vec::new(); services];
        for place in 1..services {
            let caller = whole(place as f64 * chance.uniform().sqrt()).min(place - 1);
            if let Some(callees) = callees.get_mut(caller) {
                callees.push(place);
            }
        }
        let own_millis = (0..services).map(|_| 4.0 * (0.6 * chance.normal()).exp()).collect();
        let between = |low: f64, high: f64, at: f64| low * (high / low).powf(at);
        let how_much = chance.uniform();
        let fault = match chance.uniform() {
            kind if kind < 0.4 => Fault::None,
            kind if kind < 0.65 => Fault::Latency(between(1.15, 10.0, how_much)),
            kind if kind < 0.88 => Fault::Errors(between(0.02, 0.6, how_much)),
            _ => Fault::Absent(between(0.1, 1.0, how_much)),
        };
        let mut system = Self { callees, own_millis, fault, at: 0 };
        system.at = system.any(chance).max(1);
        system
    }

    fn any(&self, chance: &mut Chance) -> usize {
        whole(self.callees.len() as f64 * chance.uniform()).min(self.callees.len() - 1)
    }

    fn callees(&self, service: usize) -> &[usize] {
        self.callees.get(service).map_or(&[], Vec::as_slice)
    }

    fn own(&self, service: usize) -> f64 {
        self.own_millis.get(service).copied().unwrap_or(1.0)
    }

    /// What is wrong with a service, in quiet times nothing.
    fn wrong(&self, service: usize, is_normal: bool) -> Fault {
        if is_normal || service != self.at { Fault::None } else { self.fault }
    }

    fn calls(&self) -> String {
        let mut text = String::from("caller,callee\n");
        for caller in 0..self.callees.len() {
            for callee in self.callees(caller) {
                let _ = writeln!(text, "service-{caller},service-{callee}");
            }
        }
        text
    }

    /// Steps of latency, errors, requests and processors of each service.
    fn metrics(&self, is_normal: bool, jumping: &[usize], chance: &mut Chance) -> String {
        let services = self.callees.len();
        let mut text = String::from("time");
        for service in 0..services {
            for metric in ["latency_average", "errors", "requests", "cpu"] {
                let _ = write!(text, ",service-{service}:{metric}");
            }
        }
        text.push('\n');
        let [usual, since] = STEPS;
        let (first, steps) = if is_normal { (ONSET - 60 * usual as u64, usual) } else { (ONSET, since) };
        let mut noise = vec![[0.0; 2]; services];
        for step in 0..steps as u64 {
            let _ = write!(text, "{}", first + 60 * step);
            let mut rows = vec![[0.0; 4]; services];
            for service in (0..services).rev() {
                let Some(state) = noise.get_mut(service) else { continue };
                state.iter_mut().for_each(|value| *value = 0.6 * *value + 0.1 * chance.normal());
                let mut latency = self.own(service) * state[0].exp();
                let mut errors = if chance.uniform() < 0.05 { 1.0 } else { 0.0 };
                for row in self.callees(service).iter().filter_map(|callee| rows.get(*callee)) {
                    latency += row[0];
                    errors += 0.9 * row[1];
                }
                match self.wrong(service, is_normal) {
                    Fault::Latency(times) => latency += self.own(service) * (times - 1.0),
                    Fault::Errors(share) | Fault::Absent(share) => {
                        errors += 100.0 * share * (1.0 + 0.2 * chance.normal());
                    }
                    Fault::None => {}
                }
                let jump = if jumping.contains(&service) { 1.5 } else { 1.0 };
                let busy = 20.0 * jump * state[1].exp();
                let requests = 100.0 * (0.05 * chance.normal()).exp();
                if let Some(row) = rows.get_mut(service) {
                    *row = [latency, errors.max(0.0), requests, busy];
                }
            }
            for [latency, errors, requests, busy] in &rows {
                let _ = write!(text, ",{:.6},{errors:.2},{requests:.1},{busy:.3}", latency / 1e3);
            }
            text.push('\n');
        }
        text
    }

    fn spans(&self, is_normal: bool, chance: &mut Chance) -> String {
        let mut text = String::from(
            "trace_id,span_id,parent_id,service,operation,start_unix_nanos,end_unix_nanos,status\n",
        );
        let first = if is_normal { ONSET - 60 } else { ONSET };
        let mut walk = Walk { system: self, is_normal, chance, text: &mut text, next: 0, trace: 0 };
        for request in 0..REQUESTS {
            walk.trace = request + 1;
            walk.visit(0, 0, (first * 1_000_000 + request * 60_000_000 / REQUESTS, 0));
        }
        text
    }

    fn logs(&self, is_normal: bool, chance: &mut Chance) -> String {
        let mut text = String::from("time,service,message\n");
        let first = if is_normal { ONSET - 60 } else { ONSET };
        for line in 0..LINES {
            let at = first + line as u64;
            for service in 0..self.callees.len() {
                let _ = writeln!(
                    text,
                    "{at},service-{service},INFO request {line} done in {:.1} ms",
                    self.own(service)
                );
                let share = match self.wrong(service, is_normal) {
                    Fault::Errors(share) | Fault::Absent(share) => share,
                    _ => 0.003,
                };
                if chance.uniform() < share {
                    let _ = writeln!(
                        text,
                        "{at},service-{service},ERROR request {line} failed: no connection left"
                    );
                }
            }
        }
        text
    }
}

/// One request after the other on its way through a system.
struct Walk<'a> {
    system: &'a System,
    is_normal: bool,
    chance: &'a mut Chance,
    text: &'a mut String,
    next: u64,
    trace: u64,
}

impl Walk<'_> {
    /// A request to a service, from a time in microseconds on at a depth; gives when it ends and whether it failed.
    fn visit(&mut self, service: usize, parent: u64, (start, depth): (u64, usize)) -> (u64, bool) {
        let fault = self.system.wrong(service, self.is_normal);
        if let Fault::Absent(share) = fault
            && self.chance.uniform() < share
        {
            return (start + 300, true);
        }
        self.next += 1;
        let id = self.next;
        let times = if let Fault::Latency(times) = fault { times } else { 1.0 };
        let own = 1e3 * self.system.own(service) * (0.4 * self.chance.normal()).exp() * times;
        let own = whole(own) as u64;
        let mut failed = match fault {
            Fault::Errors(share) => self.chance.uniform() < share,
            _ => self.chance.uniform() < 0.002,
        };
        let mut now = start + own / 2;
        for &callee in self.system.callees(service) {
            if depth < 6 && self.chance.uniform() < 0.8 {
                let (end, is_error) = self.visit(callee, id, (now + 100, depth + 1));
                now = end + 100;
                failed |= is_error;
            }
        }
        let end = now + own / 2;
        // Some spans never arrive.
        if self.chance.uniform() > 0.01 {
            let parent = if parent == 0 { String::new() } else { format!("{parent:016x}") };
            let status = if failed { "error" } else { "" };
            let _ = writeln!(
                self.text,
                "{:032x},{id:016x},{parent},service-{service},handle,{start}000,{end}000,{status}",
                self.trace
            );
        }
        (end, failed)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "numbers made here are small and positive"
)]
const fn whole(value: f64) -> usize {
    value as usize
}
