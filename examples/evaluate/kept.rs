//! Whether alarms keep to the budget: series without faults, and how many alarms there were for those allowed.

use std::error::Error;
use std::fs;
use std::path::Path;

use otlp_anomaly::score::Budget;
use otlp_core::UnixNanos;

use crate::chance::Chance;
use crate::choice::Choice;
use crate::series::Point;

/// Alarms a week and series.
const BUDGETS: [f64; 3] = [0.5, 1.0, 3.0];
/// Alarms that each kind of series may raise over all of its series, so that chance weighs little.
const EXPECTED: f64 = 60.0;
/// Weeks of a series, of points of five minutes.
const WEEKS: usize = 12;
const POINTS_A_WEEK: usize = 2_016;
const STEP_SECS: u64 = 300;

/// Kinds of noise, around a wave of a day.
pub(crate) const KINDS: [&str; 6] = ["normal", "lognormal", "autoregressive", "steps", "student", "counts"];

/// What repeats without any noise; nothing that a budget is to be used up by.
pub(crate) const REGULAR: [&str; 4] = ["flat", "wave", "square", "sawtooth"];

/// Alarms allowed, and raised, over so many weeks.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Account {
    pub(crate) weeks: f64,
    pub(crate) allowed: f64,
    pub(crate) raised: f64,
}

impl Account {
    fn add(&mut self, other: Self) {
        self.weeks += other.weeks;
        self.allowed += other.allowed;
        self.raised += other.raised;
    }

    /// Alarms raised for one allowed.
    pub(crate) fn ratio(self) -> f64 {
        self.raised / self.allowed.max(1e-9)
    }

    fn row(self, name: &str, budget: f64) -> String {
        let Self { weeks, allowed, raised } = self;
        format!("{name:22} {budget:14.1} {weeks:6.0} {allowed:8.1} {raised:7} {:6.2}\n", self.ratio())
    }
}

/// A row for each kind and budget, one for the series in files, and one for all of a budget together.
///
/// # Errors
/// Where the detector cannot be made, or the files cannot be read.
pub(crate) fn table(choice: Choice, fault_free: Option<&Path>) -> Result<String, Box<dyn Error>> {
    let mut text = "series without faults   budget a week  weeks  allowed  raised  ratio\n".to_owned();
    let recorded = fault_free.map(columns).transpose()?.unwrap_or_default();
    for budget in BUDGETS {
        let mut all = Account::default();
        for kind in KINDS {
            let account = raised(choice, kind, budget)?;
            text += &account.row(kind, budget);
            all.add(account);
        }
        if !recorded.is_empty() {
            let mut account = Account::default();
            for points in &recorded {
                account.add(judged(choice, budget, points.iter().map(|point| (point.time, point.value)))?);
            }
            text += &account.row("recorded", budget);
            all.add(account);
        }
        text += &all.row("all of these", budget);
        for kind in REGULAR {
            text += &raised(choice, kind, budget)?.row(&format!("{kind}, no noise"), budget);
        }
    }
    Ok(text)
}

/// Seeded series of a kind, as many as make for enough alarms.
pub(crate) fn raised(choice: Choice, kind: &str, budget: f64) -> Result<Account, otlp_core::Error> {
    let mut account = Account::default();
    for seed in 1.. {
        if account.allowed >= EXPECTED {
            break;
        }
        let times = (0_u64..).map(|point| UnixNanos::from_secs(1_700_000_000 + STEP_SECS * point));
        account.add(judged(choice, budget, times.zip(series(kind, seed)))?);
    }
    Ok(account)
}

fn judged(
    choice: Choice,
    budget: f64,
    points: impl Iterator<Item = (UnixNanos, f64)>,
) -> Result<Account, otlp_core::Error> {
    let mut detector = choice.build(Budget::per_windows(budget, POINTS_A_WEEK as u64)?)?;
    let mut account = Account::default();
    for (time, value) in points {
        account.raised += f64::from(u8::from(detector.judge_one(time, value).is_alarm));
        account.weeks += 1.0 / POINTS_A_WEEK as f64;
    }
    account.allowed = account.weeks * budget;
    Ok(account)
}

/// A wave of a day with noise.
fn series(kind: &str, seed: u64) -> impl Iterator<Item = f64> {
    let mut chance = Chance::new(seed);
    let mut state = 0.0;
    (0..WEEKS * POINTS_A_WEEK).map(move |point| {
        let phase = (point % 288) as f64 / 288.0 * std::f64::consts::TAU;
        let normal = chance.normal();
        state = 0.8 * state + 0.6 * normal;
        let noise = match kind {
            "normal" => normal,
            "lognormal" => (0.8 * normal).exp(),
            "autoregressive" => state,
            "student" => 2.0 * normal / (0..4).map(|_| chance.normal().powi(2)).sum::<f64>().sqrt(),
            "counts" => -chance.uniform().ln().floor(),
            "flat" => (8.0 * phase.cos()) / 3.0,
            "wave" => 0.0,
            "square" => {
                if point % 288 < 144 {
                    10.0
                } else {
                    -10.0
                }
            }
            "sawtooth" => (point % 36) as f64,
            _ => (2.0 * normal).round(),
        };
        100.0 - 8.0 * phase.cos() + 3.0 * noise
    })
}

/// Names, units and statistics stand above the columns of a table of recorded metrics.
const HEADS: usize = 3;
/// A column with fewer different values than this is no noise.
const LEAST_DIFFERENT: usize = 6;

/// The columns of every `metrics.csv` below a directory, in the form of the `PetShop` data: three lines of names, one of
/// the name of the first column, then a line each five minutes. Those that are mostly empty or hardly vary are left out.
fn columns(directory: &Path) -> Result<Vec<Vec<Point>>, Box<dyn Error>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            all.append(&mut columns(&path)?);
        } else if path.file_name().is_some_and(|name| name == "metrics.csv") {
            all.append(&mut wide(&fs::read_to_string(path)?)?);
        }
    }
    Ok(all)
}

/// Such columns of one table.
pub(crate) fn wide(text: &str) -> Result<Vec<Vec<Point>>, Box<dyn Error>> {
    let mut columns: Vec<Vec<Point>> = Vec::new();
    let lines = text.lines().skip(HEADS).filter(|line| !line.starts_with("unix_timestamp"));
    for line in lines {
        let mut cells = line.split(',');
        let time =
            cells.next().and_then(|time| UnixNanos::parse(time).ok()).ok_or("a line without a time")?;
        for (place, cell) in cells.enumerate() {
            if place == columns.len() {
                columns.push(Vec::new());
            }
            let Ok(value) = cell.parse() else { continue };
            columns.get_mut(place).into_iter().for_each(|column| {
                column.push(Point { text: String::new(), time, value });
            });
        }
    }
    let lines = columns.iter().map(Vec::len).max().unwrap_or_default();
    columns.retain(|column| {
        let mut values: Vec<u64> = column.iter().map(|point| point.value.to_bits()).collect();
        values.sort_unstable();
        values.dedup();
        column.len() > lines / 2 && values.len() >= LEAST_DIFFERENT
    });
    Ok(columns)
}
