//! A seeded driver that treats a real exporter badly: lost, late, doubled and contradictory outcomes, a clock that
//! jumps both ways, more requests than fit.

use std::time::Duration;

use bytes::Bytes;
use otlp_core::UnixNanos;
use otlp_core::protocol::Signal;
use otlp_core::protocol::breaker::BreakerConfig;
use otlp_core::protocol::export::{
    Attempt, Command, DropPolicy, Exporter, ExporterConfig, Outcome, Priority, Request, TraceEvent,
};
use otlp_core::protocol::retry::Backoff;
use otlp_core::protocol::status::Code;
use otlp_core::record::ExportResponse;
use otlp_core::stats::Stats;

/// One run of an exporter, and everything it recorded.
pub(crate) struct Run {
    pub(crate) config: ExporterConfig,
    pub(crate) events: Vec<TraceEvent>,
    pub(crate) stats: Stats,
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, and good enough to be unkind.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

struct Driver {
    random: Random,
    exporter: Exporter,
    now: UnixNanos,
    flying: Vec<Attempt>,
    /// Attempts that were answered or given up; an answer may come once more.
    past: Vec<Attempt>,
}

/// Drives a fresh exporter through `steps` and a shutdown, all decided by `seed`.
pub(crate) fn run(seed: u64, steps: usize) -> Run {
    let mut random = Random(seed);
    let config = config(&mut random);
    let exporter = config.clone().build().expect("values in range");
    let now = UnixNanos::from_secs(1_700_000_000);
    let mut driver = Driver { random, exporter, now, flying: Vec::new(), past: Vec::new() };
    for _ in 0..steps {
        driver.step();
    }
    driver.shut_down();
    let stats = driver.exporter.stats();
    assert_eq!(driver.exporter.trace_lost(), 0, "seed {seed}");
    Run { config, events: driver.exporter.take_trace(), stats }
}

fn config(random: &mut Random) -> ExporterConfig {
    let policy = match random.below(5) {
        0 | 1 => DropPolicy::Oldest,
        2 | 3 => DropPolicy::Newest,
        _ => DropPolicy::Block,
    };
    let backoff = Backoff { initial: Duration::from_millis(100), max: Duration::from_millis(900) };
    let breaker = BreakerConfig::default()
        .failures(u32::try_from(1 + random.below(3)).expect("small"))
        .cooldown(Duration::from_millis(1_200))
        .trials(u32::try_from(1 + random.below(2)).expect("small"));
    let config = match random.below(3) {
        0 => ExporterConfig::default(),
        1 => ExporterConfig::default().breaker(breaker),
        _ => ExporterConfig::default().failover(u8::try_from(1 + random.below(2)).expect("small"), breaker),
    };
    config
        .max_queue_requests(usize::try_from(2 + random.below(6)).expect("small"))
        .max_queue_bytes(400)
        .max_request_bytes(150)
        .max_in_flight(usize::try_from(1 + random.below(3)).expect("small"))
        .max_attempts(if random.below(2) == 0 { 3 } else { u32::MAX })
        .timeout(Duration::from_millis(700))
        .max_elapsed(Duration::from_secs(6))
        .backoff(backoff)
        .drop_policy(policy)
}

impl Driver {
    fn step(&mut self) {
        match self.random.below(10) {
            0..=2 => self.enqueue(),
            3..=5 => self.poll(),
            6 | 7 => self.answer(),
            8 if self.random.below(8) == 0 => {
                // Memory is short somewhere else.
                let priority = self.priority();
                self.exporter.shed(self.now, priority);
            }
            8 => self.answer_late(),
            _ => self.let_time_pass(),
        }
    }

    fn enqueue(&mut self) {
        let len = usize::try_from(1 + self.random.below(170)).expect("small");
        let records = u32::try_from(self.random.below(20)).expect("small");
        let request = Request::new(Signal::Traces, Bytes::from(vec![0; len]), records);
        let request = request.priority(self.priority());
        // Refused or not, it is on record; given back, it never came.
        let _ = self.exporter.enqueue(self.now, request);
    }

    fn priority(&mut self) -> Priority {
        if self.random.below(4) == 0 { Priority::High } else { Priority::Normal }
    }

    fn poll(&mut self) {
        match self.exporter.poll(self.now, self.random.next()) {
            Command::Send(outgoing) => self.flying.push(outgoing.attempt),
            // To the nanosecond, so that a retry which comes a moment too early would be seen.
            Command::WaitUntil(at) if self.random.below(2) == 0 => self.now = at,
            _ => {}
        }
    }

    fn answer(&mut self) {
        if self.flying.is_empty() {
            return;
        }
        let at = usize::try_from(self.random.below(self.flying.len() as u64)).expect("small");
        let attempt = self.flying.swap_remove(at);
        self.past.push(attempt);
        let outcome = self.outcome();
        self.exporter.on_outcome(self.now, self.random.next(), attempt, outcome);
    }

    fn answer_late(&mut self) {
        if let Some(attempt) = self.past.pop() {
            let outcome = self.outcome();
            self.exporter.on_outcome(self.now, self.random.next(), attempt, outcome);
        }
    }

    fn outcome(&mut self) -> Outcome {
        let http = [400, 401, 404, 413, 429, 500, 501, 502, 503, 504]
            [usize::try_from(self.random.below(10)).expect("small")];
        let retry_after =
            [None, Some(Duration::from_millis(350)), Some(Duration::from_secs(2)), Some(Duration::MAX)]
                [usize::try_from(self.random.below(4)).expect("small")];
        match self.random.below(12) {
            0 | 1 => Outcome::Accepted,
            2 => Outcome::Partial(ExportResponse { rejected: self.random.below(30), message: "some".into() }),
            3 => Outcome::Partial(ExportResponse { rejected: u64::MAX, message: "all and more".into() }),
            4 => Outcome::TimedOut,
            5 => Outcome::Disconnected,
            6 => Outcome::BadAnswer,
            7 | 8 => Outcome::Refused { code: Code::Http(http), retry_after, message: String::new() },
            9 => {
                let code = Code::Grpc(i32::try_from(1 + self.random.below(16)).expect("small"));
                Outcome::Refused { code, retry_after, message: String::new() }
            }
            _ => Outcome::Refused { code: Code::Http(503), retry_after: None, message: String::new() },
        }
    }

    fn let_time_pass(&mut self) {
        let millis = self.random.below(900);
        self.now = match self.random.below(8) {
            // The clock is set back.
            0 => self.now.saturating_sub(Duration::from_millis(millis * 3)),
            1 => self.now + Duration::from_millis(millis * 5),
            _ => self.now + Duration::from_millis(millis / 4),
        };
    }

    /// Begins the shutdown, or two of them, and goes on being unkind until it is done.
    fn shut_down(&mut self) {
        self.exporter.shutdown(self.now, self.now + Duration::from_millis(self.random.below(3_000)));
        for _ in 0..10_000 {
            if let Command::Finished(_) = self.exporter.poll(self.now, self.random.next()) {
                self.answer_late();
                self.enqueue();
                return;
            }
            if self.random.below(20) == 0 {
                self.exporter.shutdown(self.now, self.now + Duration::from_millis(100));
            }
            self.step();
        }
        panic!("the shutdown did not end");
    }
}
