//! A seeded world around one exporter: its driver, its clock, its memory. [`receiver`] is the network and the
//! other end, [`observer`] checks every promise from outside.

mod observer;
mod receiver;

use std::time::Duration;

use bytes::Bytes;
use otlp_core::UnixNanos;
use otlp_core::protocol::Signal;
use otlp_core::protocol::breaker::BreakerConfig;
use otlp_core::protocol::export::{
    Command, DropPolicy, Exporter, ExporterConfig, NotTaken, Outcome, Outgoing, Priority, Report, Request,
    Verdict,
};
use otlp_core::protocol::failover::DestinationId;
use otlp_core::protocol::memory::MemoryLimiter;
use otlp_core::protocol::retry::Backoff;

use self::observer::Observer;
use self::receiver::{Answer, Receivers, Travelling};

pub(crate) const QUEUE: usize = 12;
pub(crate) const QUEUE_BYTES: usize = 900;
pub(crate) const IN_FLIGHT: usize = 3;
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);
pub(crate) const ELAPSED: Duration = Duration::from_secs(60);
pub(crate) const COOLDOWN: Duration = Duration::from_secs(7);
/// Less than the queue may hold, so that it matters where there is a limiter.
pub(crate) const MEMORY: usize = 700;
const START: u64 = 1_700_000_000_000_000_000;

/// A fault planted on purpose, to show that the observer sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plant {
    Nothing,
    /// The driver keeps the receiver's `Retry-After` to itself.
    RetryAfterIgnored,
    /// The driver takes a partial success for a failure.
    PartialTakenForFailure,
    /// The driver takes an answer that never ends for a broken connection.
    EndlessTakenForReset,
    /// The driver loses requests and reports them as taken.
    LossReportedAsSuccess,
    /// The driver puts an attempt on the wire twice.
    SentTwice,
    /// The driver encodes again for every attempt.
    EncodedAgain,
    /// The driver sends everything to the primary.
    PrimaryOnly,
    /// The driver gives a shutdown twice the time it was asked to.
    GenerousShutdown,
    /// The driver keeps every body.
    MemoryKept,
    /// The driver's clock runs three times too fast.
    FastClock,
    /// The account leaves out what was dropped.
    DropsNotCounted,
    /// The account counts what was refused as exported.
    RefusalsCountedAsExported,
}

/// Which promise was broken.
pub(crate) type Broken = String;

pub(crate) fn require(holds: bool, promise: &str) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(promise.to_owned()) }
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// splitmix64: small, seedable, good enough to choose faults.
pub(crate) struct Random(u64);

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

    pub(crate) fn size_below(&mut self, bound: u64) -> usize {
        usize::try_from(self.below(bound)).expect("small")
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// The exporter's clock, and how it goes wrong.
pub(crate) struct Time {
    /// True nanoseconds since the start.
    pub(crate) passed: u64,
    jumped_ahead: u64,
    set_back: u64,
    pace: u64,
}

impl Time {
    /// What the exporter's clock shows.
    fn now(&self) -> UnixNanos {
        UnixNanos(START + self.passed * self.pace + self.jumped_ahead - self.set_back)
    }

    /// What a clock with the same jumps and the right pace shows.
    fn honest(&self) -> UnixNanos {
        UnixNanos(START + self.passed + self.jumped_ahead - self.set_back)
    }

    /// What a clock shows that nobody touches: the receiver's.
    fn elsewhere(&self) -> UnixNanos {
        UnixNanos(START + self.passed)
    }

    /// What a wait is held against: time that passed, or that an honest clock jumped over. Nobody can tell the
    /// two apart; a clock that is set back must make no wait shorter.
    pub(crate) const fn counted(&self) -> u64 {
        self.passed + self.jumped_ahead
    }
}

pub(crate) struct World {
    plant: Plant,
    random: Random,
    pub(crate) exporter: Exporter,
    time: Time,
    memory: Option<MemoryLimiter>,
    receivers: Receivers,
    travelling: Vec<Travelling>,
    observer: Observer,
    /// What came back from a full queue.
    backlog: Vec<Request>,
    kept: Vec<Bytes>,
}

fn config(random: &mut Random) -> ExporterConfig {
    let breaker = BreakerConfig::default().failures(2).cooldown(COOLDOWN).trials(1);
    let config = match random.below(3) {
        0 => ExporterConfig::default(),
        1 => ExporterConfig::default().breaker(breaker),
        _ => ExporterConfig::default().failover(1, breaker),
    };
    let policy = match random.below(5) {
        0 | 1 => DropPolicy::Oldest,
        2 | 3 => DropPolicy::Newest,
        _ => DropPolicy::Block,
    };
    config
        .max_queue_requests(QUEUE)
        .max_queue_bytes(QUEUE_BYTES)
        .max_in_flight(IN_FLIGHT)
        .max_attempts(if random.one_in(4) { 3 } else { u32::MAX })
        .timeout(TIMEOUT)
        .max_elapsed(ELAPSED)
        .backoff(Backoff { initial: Duration::from_millis(200), max: Duration::from_secs(8) })
        .drop_policy(policy)
}

impl World {
    pub(crate) fn new(seed: u64, plant: Plant) -> Self {
        let mut random = Random(seed);
        let exporter = config(&mut random).build().expect("a config in range");
        let limited = random.one_in(3);
        let memory = limited.then(|| MemoryLimiter::try_new(MEMORY / 2, MEMORY).expect("in order"));
        let pace = if plant == Plant::FastClock { 3 } else { 1 };
        Self {
            plant,
            random,
            exporter,
            time: Time { passed: 0, jumped_ahead: 0, set_back: 0, pace },
            memory,
            receivers: Receivers::default(),
            travelling: Vec::new(),
            observer: Observer::default(),
            backlog: Vec::new(),
            kept: Vec::new(),
        }
    }

    /// Runs until the shutdown is complete.
    pub(crate) fn run(&mut self) -> Result<(), Broken> {
        for _ in 0..15 + self.random.below(50) {
            match self.random.below(8) {
                0..=2 => self.produce()?,
                3 => self.time.passed += self.random.below(3_000_000_000),
                4 if self.random.one_in(3) => self.jump(),
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

    fn jump(&mut self) {
        if self.random.one_in(4) {
            self.time.jumped_ahead += self.random.below(20_000_000_000);
        } else {
            self.time.set_back += self.random.below(3_600_000_000_000);
        }
    }

    fn shut_down(&mut self) -> Result<(), Broken> {
        let grace = Duration::from_millis(self.random.below(20_000));
        let given = if self.plant == Plant::GenerousShutdown { grace * 2 } else { grace };
        self.exporter.shutdown(self.time.now(), self.time.now() + given);
        let (before, begun) = (self.observer.told, self.time.passed);
        let mut ends = begun + nanos(grace);
        loop {
            if self.random.one_in(12) {
                // Somebody is in a hurry, or thinks of it too late to matter.
                let grace = self.random.below(20_000_000_000);
                ends = ends.min(self.time.passed + grace);
                let now = self.time.now();
                self.exporter.shutdown(now, now + Duration::from_nanos(grace));
            }
            match self.poll()? {
                Err(report) => return self.check_end(&before, &report),
                Ok(wake) => self.sleep(wake),
            }
            require(self.time.passed <= ends, "the shutdown ends at its deadline")?;
            self.deliver()?;
            self.check()?;
        }
    }

    /// Requests are handed in, and those that came back are tried again first.
    fn produce(&mut self) -> Result<(), Broken> {
        let mut requests = std::mem::take(&mut self.backlog);
        for _ in 0..=self.random.below(6) {
            let records = u32::try_from(self.random.below(50)).expect("below 50");
            let body = Bytes::from(vec![0; self.random.size_below(220)]);
            let priority = if self.random.one_in(5) { Priority::High } else { Priority::Normal };
            requests.push(Request::new(Signal::Logs, body, records).priority(priority));
        }
        requests.into_iter().try_for_each(|request| self.hand_in(request))
    }

    fn hand_in(&mut self, request: Request) -> Result<(), Broken> {
        let (records, body) = (request.records, request.body.clone());
        if self.plant == Plant::MemoryKept {
            self.kept.extend(self.memory.as_ref().and_then(|memory| memory.hold(&body)));
        }
        let taken = match &self.memory {
            Some(memory) => self.exporter.enqueue_within(self.time.now(), request, memory),
            None => self.exporter.enqueue(self.time.now(), request),
        };
        match taken {
            Ok(id) => self.observer.note_taken(id, records, &body),
            Err(NotTaken::Dropped(_)) => self.observer.told.accepted += u64::from(records),
            Err(NotTaken::Full(request)) => {
                let same = request.records == records && request.body == body;
                require(same, "what does not fit comes back as it was")?;
                self.backlog.push(request);
            }
        }
        self.check()
    }

    /// Polls until there is nothing to do; returns when to come back at the latest, or the report.
    fn poll(&mut self) -> Result<Result<Option<UnixNanos>, Report>, Broken> {
        for _ in 0..100 {
            let jitter = self.random.next();
            let now = self.time.now();
            let command = self.exporter.poll(now, jitter);
            // Attempts whose time is over may have opened a breaker.
            self.observer.watch_breakers(&self.exporter, &self.time);
            match command {
                Command::Send(outgoing) => {
                    require(outgoing.deadline > now, "an attempt begins before its deadline")?;
                    let patience = outgoing.deadline.duration_since(now);
                    require(patience <= TIMEOUT, "an attempt is given up in time")?;
                    self.send(&outgoing)?;
                }
                Command::WaitUntil(at) => {
                    require(at > now, "a wait is for an instant to come")?;
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
    fn send(&mut self, outgoing: &Outgoing) -> Result<(), Broken> {
        let attempt = outgoing.attempt;
        if self.plant == Plant::LossReportedAsSuccess && self.random.one_in(3) {
            let answer = Answer::Http { code: 200, retry_after: None, body: Vec::new() };
            self.travelling.push(Travelling::now(&self.time, outgoing, answer));
            return Ok(());
        }
        let mut seen = outgoing.clone();
        if self.plant == Plant::EncodedAgain {
            seen.body = Bytes::from(outgoing.body.to_vec());
        }
        if self.plant == Plant::PrimaryOnly {
            seen.destination = DestinationId::PRIMARY;
        }
        self.observer.note_sent(&seen, &self.time)?;
        if self.plant == Plant::SentTwice {
            self.observer.note_sent(&seen, &self.time)?;
        }
        let answers = self.receivers.receive(&mut self.random, &self.time, &seen);
        if answers.taken {
            self.observer.note_delivered(attempt.request);
        }
        self.travelling.extend(answers.travelling);
        Ok(())
    }

    /// Time passes until the exporter wants to be woken or something arrives.
    fn sleep(&mut self, wake: Option<UnixNanos>) {
        let now = self.time.now();
        let wake = wake.map(|at| self.time.passed + nanos(at.duration_since(now)).div_ceil(self.time.pace));
        let arrival = self.travelling.iter().map(|answer| answer.arrives).min();
        self.time.passed =
            self.time.passed.max(wake.into_iter().chain(arrival).min().unwrap_or(self.time.passed));
    }

    /// Hands over what has arrived.
    fn deliver(&mut self) -> Result<(), Broken> {
        let passed = self.time.passed;
        let (arrived, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.travelling).into_iter().partition(|answer| answer.arrives <= passed);
        self.travelling = rest;
        arrived.into_iter().try_for_each(|answer| self.report(&answer))
    }

    fn report(&mut self, arrived: &Travelling) -> Result<(), Broken> {
        let told = self.as_told(arrived.answer.read(self.time.now()));
        let jitter = self.random.next();
        let verdict = self.exporter.on_outcome(self.time.now(), jitter, arrived.attempt, told);
        self.observer.watch_breakers(&self.exporter, &self.time);
        if verdict != Verdict::Stale {
            self.observer.note_wishes(arrived, &self.time);
            self.observer.note_verdict(arrived.attempt.request, &verdict)?;
        }
        Ok(())
    }

    /// What the driver says to the exporter; a broken one says something else.
    fn as_told(&self, outcome: Outcome) -> Outcome {
        match (outcome, self.plant) {
            (Outcome::Partial(_), Plant::PartialTakenForFailure)
            | (Outcome::BadAnswer, Plant::EndlessTakenForReset) => Outcome::Disconnected,
            (Outcome::Refused { code, message, .. }, Plant::RetryAfterIgnored) => {
                Outcome::Refused { code, retry_after: None, message }
            }
            (outcome, _) => outcome,
        }
    }

    fn check(&self) -> Result<(), Broken> {
        self.observer.check(&self.exporter, self.plant)?;
        let used = self.memory.as_ref().map_or(0, MemoryLimiter::used_bytes);
        require(used <= MEMORY, "memory is bounded")
    }

    fn check_end(&self, before: &otlp_core::stats::Stats, report: &Report) -> Result<(), Broken> {
        self.observer.check_end(&self.exporter, self.plant, (before, report))?;
        let used = self.memory.as_ref().map_or(0, MemoryLimiter::used_bytes);
        require(used == 0, "all memory is given back")
    }
}
