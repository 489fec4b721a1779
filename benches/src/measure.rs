//! The harness: two ways to do the same work, measured in turn.
//!
//! A round times both, one right after the other, by the CPU time of the thread; which goes first
//! changes from round to round. What is reported is the median over the rounds of *their* time
//! divided by *ours*, so a host that drifts drifts for both.

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// One way to do a piece of work.
///
/// Each call does it once and gives the time it took and a checksum of what was visited or written.
/// Whatever has to be made ready first is left out of the time by [`timed`].
pub type Work<'a> = Box<dyn FnMut() -> Timed + 'a>;

/// How long one call took, and what it saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timed {
    /// CPU time of the thread.
    pub time: Duration,
    /// Equal on both sides where both did the same.
    pub checksum: u64,
}

/// Runs `work` on the clock.
pub fn timed(work: impl FnOnce() -> u64) -> Timed {
    let start = thread_time();
    let checksum = work();
    Timed { time: thread_time().saturating_sub(start), checksum }
}

/// CPU time that this thread has had.
#[must_use]
pub fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// A comparison with a peer.
#[expect(missing_debug_implementations, reason = "holds closures")]
pub struct Figure<'a> {
    /// What is measured.
    pub name: String,
    /// Records one call works on; times are reported a record.
    pub records: u32,
    /// Ours.
    pub ours: Work<'a>,
    /// The peer's name and its way.
    pub peer: (&'static str, Work<'a>),
    /// The least ratio, theirs by ours, that is good enough.
    pub bar: f64,
}

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Effort {
    /// Rounds, at least one.
    pub runs: usize,
    /// CPU time that each side of a round takes at least.
    pub side: Duration,
    /// Only figures whose names contain this.
    pub only: String,
}

impl Default for Effort {
    fn default() -> Self {
        Self { runs: 31, side: Duration::from_millis(10), only: String::new() }
    }
}

/// The two sides did not do the same work, so their times say nothing.
#[derive(Debug)]
pub struct Disagreement {
    figure: String,
    ours: u64,
    theirs: u64,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { figure, ours, theirs } = self;
        write!(f, "{figure}: checksums differ, ours {ours:#018x}, theirs {theirs:#018x}")
    }
}

impl std::error::Error for Disagreement {}

/// Measures `figure`.
///
/// # Errors
/// Where the checksums of the two sides differ.
pub fn compare(figure: &mut Figure<'_>, effort: &Effort) -> Result<Row, Disagreement> {
    let (peer, theirs) = &mut figure.peer;
    // The first calls warm caches and grow buffers that are kept, and show how many fill a side.
    let calls = [calls_for(&mut figure.ours, effort.side), calls_for(theirs, effort.side)];
    let mut rounds = Vec::with_capacity(effort.runs.max(1));
    for round in 0..effort.runs.max(1) {
        let [ours_calls, their_calls] = calls;
        let (ours, theirs) = if round % 2 == 0 {
            let ours = side(&mut figure.ours, ours_calls);
            (ours, side(theirs, their_calls))
        } else {
            let theirs = side(theirs, their_calls);
            (side(&mut figure.ours, ours_calls), theirs)
        };
        if ours.1 != theirs.1 {
            return Err(Disagreement { figure: figure.name.clone(), ours: ours.1, theirs: theirs.1 });
        }
        rounds.push((ours.0, theirs.0));
    }
    let nanos_a_record = |pick: fn(&(f64, f64)) -> f64| {
        median(rounds.iter().map(pick).collect()) * 1e9 / f64::from(figure.records.max(1))
    };
    let ratio = median(rounds.iter().map(|(ours, theirs)| theirs / ours).collect());
    Ok(Row {
        figure: figure.name.clone(),
        ours: format!("{:.1} ns", nanos_a_record(|round| round.0)),
        peer: (*peer).to_owned(),
        theirs: format!("{:.1} ns", nanos_a_record(|round| round.1)),
        ratio: Some(ratio),
        bar: format!(">={}", figure.bar),
        ok: ratio >= figure.bar,
    })
}

fn calls_for(work: &mut Work<'_>, side: Duration) -> u32 {
    let warm = (0..3).map(|_| work().time).min().unwrap_or_default();
    let calls = side.as_nanos() / warm.as_nanos().max(1);
    u32::try_from(calls).unwrap_or(u32::MAX).clamp(1, 1_000_000)
}

/// Seconds a call, and the checksum of the calls, which must all agree.
fn side(work: &mut Work<'_>, calls: u32) -> (f64, u64) {
    let (mut time, mut checksum) = (Duration::ZERO, None);
    for _ in 0..calls {
        let call = work();
        time += call.time;
        // A call that differs from the one before spoils the checksum, so that it cannot agree.
        checksum = Some(checksum.map_or(call.checksum, |met| if met == call.checksum { met } else { !met }));
    }
    (time.as_secs_f64().max(f64::MIN_POSITIVE) / f64::from(calls.max(1)), checksum.unwrap_or_default())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What was measured.
    pub figure: String,
    /// Our value.
    pub ours: String,
    /// Whom with; `-` for nobody.
    pub peer: String,
    /// The peer's value; `-` for none.
    pub theirs: String,
    /// Above 1 where ours is better; none where there is nothing to compare.
    pub ratio: Option<f64>,
    /// What is good enough.
    pub bar: String,
    /// Whether ours is.
    pub ok: bool,
}

impl Row {
    /// A count of ours that must not pass `most`, beside the peer's where that says something.
    #[must_use]
    pub fn count(figure: &str, ours: f64, most: f64, peer: Option<(&str, f64)>) -> Self {
        Self {
            figure: figure.to_owned(),
            ours: format!("{ours:.2}"),
            peer: peer.map_or("-", |(name, _)| name).to_owned(),
            theirs: peer.map_or_else(|| "-".to_owned(), |(_, count)| format!("{count:.2}")),
            ratio: None,
            bar: format!("abs <={most:.2}"),
            ok: ours <= most,
        }
    }

    /// An amount of ours, in its unit, that may reach `most`.
    #[must_use]
    pub fn amount_at_most(figure: &str, ours: f64, most: f64, unit: &str) -> Self {
        Self {
            figure: figure.to_owned(),
            ours: format!("{ours:.2} {unit}"),
            peer: "-".to_owned(),
            theirs: "-".to_owned(),
            ratio: None,
            bar: format!("abs <={most}"),
            ok: ours <= most,
        }
    }

    /// An amount of ours, in its unit, that must reach `least`.
    #[must_use]
    pub fn at_least(figure: &str, ours: f64, least: f64, unit: &str) -> Self {
        let digits = if least < 100.0 { 2 } else { 0 };
        Self {
            figure: figure.to_owned(),
            ours: format!("{ours:.digits$} {unit}"),
            peer: "-".to_owned(),
            theirs: "-".to_owned(),
            ratio: None,
            bar: format!("abs >={least}"),
            ok: ours >= least,
        }
    }

    /// The verdict, as the last column says it.
    #[must_use]
    pub const fn verdict(&self) -> &'static str {
        if self.ok { "ok" } else { "short" }
    }
}

impl fmt::Display for Row {
    /// Tab-separated: figure, ours, peer, theirs, ratio, bar, verdict.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { figure, ours, peer, theirs, bar, .. } = self;
        let ratio = self.ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        write!(f, "{figure}\t{ours}\t{peer}\t{theirs}\t{ratio}\t{bar}\t{}", self.verdict())
    }
}

/// Prints what an area gives as it comes, and says by the exit status whether the program could run: a
/// bar that is missed is told in the row, not by the status.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the report of a program")]
pub fn report<E: fmt::Display>(rows: impl Iterator<Item = Result<Row, E>>) -> ExitCode {
    for row in rows {
        match row {
            Ok(row) => println!("{row}"),
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::from(2);
            }
        }
    }
    ExitCode::SUCCESS
}
