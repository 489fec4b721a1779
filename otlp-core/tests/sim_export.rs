//! Seeded fault simulation of the exporter: a hostile network, receiver and clock, and an observer who
//! checks every promise at every step. A failure names the seed that repeats it.
//!
//! Its twins run the same simulation with a fault planted (see [`Plant`]), which the observer must catch.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use otlp_core::UnixNanos;
use otlp_core::protocol::Signal;
use otlp_core::protocol::export::{
    Attempt, Command, DropPolicy, DropReason, Exporter, ExporterConfig, Outcome, Report, Request, RequestId,
    Verdict,
};
use otlp_core::protocol::retry::Backoff;
use otlp_core::protocol::status::{Class, Code};
use otlp_core::record::ExportResponse;
use otlp_core::stats::Stats;

const QUEUE: usize = 12;
const QUEUE_BYTES: usize = 900;
const IN_FLIGHT: usize = 3;
const ELAPSED: Duration = Duration::from_secs(60);
const START: u64 = 1_700_000_000_000_000_000;

/// A fault planted on purpose, to show that the observer sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plant {
    Nothing,
    /// The driver keeps the receiver's `Retry-After` to itself.
    RetryAfterIgnored,
    /// The driver takes a partial success for a failure.
    PartialTakenForFailure,
    /// The driver loses requests and reports them as taken.
    LossReportedAsSuccess,
    /// The driver puts an attempt on the wire twice.
    SentTwice,
    /// The driver's clock runs three times too fast.
    FastClock,
    /// The account leaves out what was dropped.
    DropsNotCounted,
    /// The account counts what was refused as exported.
    RefusalsCountedAsExported,
}

/// splitmix64: small, seedable, good enough to choose faults.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// What the observer knows about a request, from outside the exporter.
#[derive(Default)]
struct Known {
    records: u32,
    /// Attempts that reached the receiver and were taken by it, wholly or in part.
    taken: u32,
    partial: bool,
    done: bool,
    /// The receiver asked this request not to come before, in true time.
    not_before: u64,
}

/// An outcome on its way back to the exporter.
struct Travelling {
    arrives: u64,
    attempt: Attempt,
    outcome: Outcome,
}

struct World {
    plant: Plant,
    random: Random,
    exporter: Exporter,
    /// True nanoseconds since the start.
    time: u64,
    /// How far the exporter's clock was set back.
    set_back: u64,
    travelling: Vec<Travelling>,
    known: BTreeMap<RequestId, Known>,
    on_wire: BTreeSet<Attempt>,
    /// The receiver asked everybody not to come before, in true time.
    held_until: u64,
    /// The account as an outsider keeps it; `dropped` and `queued` are not visible to one.
    told: Stats,
}

/// Which promise was broken.
type Broken = String;

fn require(holds: bool, promise: &str) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(promise.to_owned()) }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("the simulation takes minutes")
}

impl World {
    fn new(seed: u64, plant: Plant) -> Self {
        let mut random = Random(seed);
        let exporter = ExporterConfig::default()
            .max_queue_requests(QUEUE)
            .max_queue_bytes(QUEUE_BYTES)
            .max_in_flight(IN_FLIGHT)
            .max_attempts(if random.one_in(4) { 3 } else { u32::MAX })
            .timeout(Duration::from_secs(5))
            .max_elapsed(ELAPSED)
            .backoff(Backoff { initial: Duration::from_millis(200), max: Duration::from_secs(8) })
            .drop_policy(if random.one_in(2) { DropPolicy::Oldest } else { DropPolicy::Newest })
            .build()
            .expect("a config in range");
        Self {
            plant,
            random,
            exporter,
            time: 0,
            set_back: 0,
            travelling: Vec::new(),
            known: BTreeMap::new(),
            on_wire: BTreeSet::new(),
            held_until: 0,
            told: Stats::default(),
        }
    }

    fn pace(&self) -> u64 {
        if self.plant == Plant::FastClock { 3 } else { 1 }
    }

    /// What the exporter's clock shows.
    fn now(&self) -> UnixNanos {
        UnixNanos(START + self.time * self.pace() - self.set_back)
    }

    /// Runs until the shutdown is complete.
    fn run(&mut self) -> Result<(), Broken> {
        for _ in 0..20 + self.random.below(60) {
            match self.random.below(8) {
                0..=2 => self.enqueue(),
                3 => self.time += self.random.below(3_000_000_000),
                4 if self.random.one_in(4) => self.set_back += self.random.below(3_600_000_000_000),
                _ => {
                    let wake = self.poll()?;
                    require(wake.is_ok(), "finished without a shutdown")?;
                    self.sleep(wake.unwrap_or_default());
                }
            }
            self.deliver()?;
            self.check()?;
        }
        self.shut_down()
    }

    fn shut_down(&mut self) -> Result<(), Broken> {
        let grace = Duration::from_millis(self.random.below(20_000));
        self.exporter.shutdown(self.now(), self.now() + grace);
        let (before, ends) = (self.told, self.time + nanos(grace));
        loop {
            match self.poll()? {
                Err(report) => return self.check_end(&before, &report),
                Ok(wake) => self.sleep(wake),
            }
            require(self.time <= ends, "the shutdown ends at its deadline")?;
            self.deliver()?;
            self.check()?;
        }
    }

    fn enqueue(&mut self) {
        for _ in 0..=self.random.below(6) {
            let records = u32::try_from(self.random.below(50)).expect("below 50");
            let body = vec![0; usize::try_from(self.random.below(220)).expect("below 220")];
            self.told.accepted += u64::from(records);
            let request = Request::new(Signal::Logs, Bytes::from(body), records);
            if let Ok(id) = self.exporter.enqueue(self.now(), request) {
                self.known.insert(id, Known { records, ..Known::default() });
            }
        }
    }

    /// Polls until there is nothing to do; returns when to come back at the latest, or the report.
    fn poll(&mut self) -> Result<Result<Option<UnixNanos>, Report>, Broken> {
        for _ in 0..100 {
            let jitter = self.random.next();
            match self.exporter.poll(self.now(), jitter) {
                Command::Send(outgoing) => {
                    require(outgoing.deadline > self.now(), "an attempt begins before its deadline")?;
                    self.send(outgoing.attempt)?;
                }
                Command::WaitUntil(at) => {
                    require(at > self.now(), "a wait is for an instant to come")?;
                    return Ok(Ok(Some(at)));
                }
                Command::Idle => {
                    require(self.exporter.stats().queued == 0, "idle means that nothing is queued")?;
                    return Ok(Ok(None));
                }
                Command::Finished(report) => return Ok(Err(report)),
                other => return Err(format!("unexpected {other:?}")),
            }
            self.check()?;
        }
        Err("a poll loop ends".into())
    }

    /// The driver puts an attempt on the wire.
    fn send(&mut self, attempt: Attempt) -> Result<(), Broken> {
        if self.plant == Plant::LossReportedAsSuccess && self.random.one_in(3) {
            self.travelling.push(Travelling { arrives: self.time, attempt, outcome: Outcome::Accepted });
            return Ok(());
        }
        self.observe_sending(attempt)?;
        if self.plant == Plant::SentTwice {
            self.observe_sending(attempt)?;
        }
        self.receive(attempt);
        Ok(())
    }

    fn observe_sending(&mut self, attempt: Attempt) -> Result<(), Broken> {
        require(self.on_wire.insert(attempt), "an attempt is on the wire once")?;
        let known = self.known.get(&attempt.request).ok_or("only what was taken is sent")?;
        require(!known.done, "what has ended is not sent again")?;
        require(!known.partial, "a partial success is not sent again")?;
        require(self.time >= known.not_before, "no request comes before its Retry-After")?;
        require(self.time >= self.held_until, "nobody comes before the receiver's Retry-After")
    }

    /// Network and receiver: what happens to an attempt, and what comes back when, how often.
    fn receive(&mut self, attempt: Attempt) {
        let outcome = match self.random.below(12) {
            0 => return,
            1 => Outcome::Disconnected,
            2 => Outcome::TimedOut,
            3 => Outcome::BadAnswer,
            4 => self.refuse(&[429, 503]),
            5 => self.refuse(&[502, 504]),
            6 => self.refuse(&[301, 400, 404, 413, 500]),
            fate => {
                self.known.entry(attempt.request).or_default().taken += 1;
                match fate {
                    7 => Outcome::Partial(ExportResponse::partial(self.random.below(70), "some")),
                    8 => Outcome::Unread,
                    _ => Outcome::Accepted,
                }
            }
        };
        // Mostly soon, sometimes after the exporter's patience, sometimes twice; later ones overtake.
        let delay = if self.random.one_in(6) { 9_000_000_000 } else { self.random.below(900_000_000) };
        for copy in 0..1 + u64::from(self.random.one_in(8)) {
            let arrives = self.time + delay + copy * 50_000_000;
            self.travelling.push(Travelling { arrives, attempt, outcome: outcome.clone() });
        }
    }

    fn refuse(&mut self, codes: &[u16]) -> Outcome {
        let retry_after = match self.random.below(3) {
            0 => None,
            1 => Some(Duration::from_millis(self.random.below(9_000))),
            _ => Some(Duration::from_secs(self.random.below(100))),
        };
        let index = usize::try_from(self.random.below(codes.len() as u64)).expect("few codes");
        let code = Code::Http(codes.get(index).copied().expect("an index below the length"));
        Outcome::Refused { code, retry_after, message: String::new() }
    }

    /// Time passes until the exporter wants to be woken or something arrives.
    fn sleep(&mut self, wake: Option<UnixNanos>) {
        let wake = wake.map(|at| self.time + nanos(at.duration_since(self.now())).div_ceil(self.pace()));
        let arrival = self.travelling.iter().map(|answer| answer.arrives).min();
        self.time = self.time.max(wake.into_iter().chain(arrival).min().unwrap_or(self.time));
    }

    /// Hands over what has arrived.
    fn deliver(&mut self) -> Result<(), Broken> {
        let time = self.time;
        let (arrived, rest) =
            std::mem::take(&mut self.travelling).into_iter().partition(|answer| answer.arrives <= time);
        self.travelling = rest;
        let arrived: Vec<Travelling> = arrived;
        arrived.into_iter().try_for_each(|answer| self.report(answer.attempt, &answer.outcome))
    }

    fn report(&mut self, attempt: Attempt, outcome: &Outcome) -> Result<(), Broken> {
        let told = match (outcome, self.plant) {
            (Outcome::Partial(_), Plant::PartialTakenForFailure) => Outcome::Disconnected,
            (&Outcome::Refused { code, .. }, Plant::RetryAfterIgnored) => {
                Outcome::Refused { code, retry_after: None, message: String::new() }
            }
            _ => outcome.clone(),
        };
        let jitter = self.random.next();
        let verdict = self.exporter.on_outcome(self.now(), jitter, attempt, told);
        if verdict != Verdict::Stale {
            self.note_wishes(attempt.request, outcome);
            self.note_verdict(attempt.request, &verdict)?;
        }
        Ok(())
    }

    /// What the receiver asked for, once the exporter has been told.
    fn note_wishes(&mut self, request: RequestId, outcome: &Outcome) {
        let known = self.known.entry(request).or_default();
        match *outcome {
            Outcome::Partial(_) => known.partial = true,
            Outcome::Refused { code, retry_after: Some(asked), .. } if code.class(Some(asked)) == Class::Retryable => {
                known.not_before = self.time + nanos(asked);
                self.held_until = self.held_until.max(self.time + nanos(asked.min(ELAPSED)));
            }
            _ => {}
        }
    }

    fn note_verdict(&mut self, request: RequestId, verdict: &Verdict) -> Result<(), Broken> {
        let known = self.known.entry(request).or_default();
        let records = u64::from(known.records);
        known.done = !matches!(verdict, Verdict::Retry { .. });
        match verdict {
            Verdict::Exported { .. } => self.told.exported += records,
            Verdict::Partial { exported, response } => {
                require(u64::from(*exported) + response.rejected == records, "a partial success adds up")?;
                self.told.exported += u64::from(*exported);
                self.told.rejected += response.rejected;
            }
            Verdict::Rejected { .. } => self.told.rejected += records,
            _ => return Ok(()),
        }
        let exported = !matches!(verdict, Verdict::Rejected { .. });
        require(!exported || known.taken > 0, "what counts as exported was taken by the receiver")
    }

    /// The exporter's account, or what a broken one would say.
    fn stats(&self) -> Stats {
        let stats = self.exporter.stats();
        match self.plant {
            Plant::DropsNotCounted => Stats { dropped: 0, ..stats },
            Plant::RefusalsCountedAsExported => {
                Stats { exported: stats.exported + stats.rejected, rejected: 0, ..stats }
            }
            _ => stats,
        }
    }

    /// Everything that holds at every instant.
    fn check(&self) -> Result<(), Broken> {
        let stats = self.stats();
        require(stats.is_balanced(), "the account is exact")?;
        require(stats.accepted == self.told.accepted, "accepted is what was handed in")?;
        require(stats.exported == self.told.exported, "exported is what the receiver took")?;
        require(stats.rejected == self.told.rejected, "rejected is what the receiver refused")?;
        require(self.exporter.queued_requests() <= QUEUE, "requests are bounded")?;
        require(self.exporter.queued_bytes() <= QUEUE_BYTES, "bytes are bounded")?;
        require(self.exporter.in_flight() <= IN_FLIGHT, "requests in flight are bounded")
    }

    fn check_end(&self, before: &Stats, report: &Report) -> Result<(), Broken> {
        let (stats, counters) = (self.stats(), self.exporter.counters());
        self.check()?;
        require(stats.queued == 0 && self.exporter.queued_bytes() == 0, "nothing is left")?;
        require(report.stats == self.exporter.stats(), "the report is the account")?;
        require(report.flushed == self.told.exported - before.exported, "the report says what was flushed")?;
        let by_reason = DropReason::ALL.map(|reason| counters.dropped(reason)).iter().sum();
        require(stats.dropped == by_reason, "every drop has a reason")
    }
}

/// The seed and the promise of the first run that breaks one.
fn first_broken(seeds: std::ops::Range<u64>, plant: Plant) -> Option<(u64, Broken)> {
    seeds.into_iter().find_map(|seed| Some((seed, World::new(seed, plant).run().err()?)))
}

#[test]
fn every_promise_holds_under_every_fault() {
    assert_eq!(first_broken(0..5_000, Plant::Nothing), None);
}

#[test]
#[ignore = "long: a million seeds"]
fn every_promise_holds_over_a_million_seeds() {
    assert_eq!(first_broken(5_000..1_005_000, Plant::Nothing), None);
}

#[test]
fn the_observer_catches_every_planted_fault() {
    for (plant, promise) in [
        (Plant::RetryAfterIgnored, "Retry-After"),
        (Plant::PartialTakenForFailure, "a partial success is not sent again"),
        (Plant::LossReportedAsSuccess, "what counts as exported was taken by the receiver"),
        (Plant::SentTwice, "an attempt is on the wire once"),
        (Plant::FastClock, "Retry-After"),
        (Plant::DropsNotCounted, "the account is exact"),
        (Plant::RefusalsCountedAsExported, "exported is what the receiver took"),
    ] {
        let (seed, broken) = first_broken(0..500, plant).unwrap_or_else(|| panic!("{plant:?} not caught"));
        assert!(broken.contains(promise), "{plant:?} caught by seed {seed} as: {broken}");
    }
}

#[test]
fn the_simulation_meets_what_it_claims_to_cover() {
    let mut total = otlp_core::protocol::export::Counters::default();
    let mut dropped = [0; DropReason::ALL.len()];
    for seed in 0..500 {
        let mut world = World::new(seed, Plant::Nothing);
        world.run().expect("holds");
        let counters = world.exporter.counters();
        total.retries += counters.retries;
        total.timed_out += counters.timed_out;
        total.stale += counters.stale;
        total.partial += counters.partial;
        total.unread += counters.unread;
        for (sum, reason) in dropped.iter_mut().zip(DropReason::ALL) {
            *sum += counters.dropped(reason);
        }
    }
    let met = [total.retries, total.timed_out, total.stale, total.partial, total.unread];
    assert!(met.iter().all(|&count| count > 100), "retries, timeouts, stale, partial, unread: {met:?}");
    for (sum, reason) in dropped.into_iter().zip(DropReason::ALL) {
        // Nothing here is larger than the bound, or handed in after the shutdown.
        let possible = !matches!(reason, DropReason::TooLarge | DropReason::Closed);
        assert_eq!(sum > 100, possible, "{reason}: {sum}");
    }
}
