//! Train-Ticket under faults, as recorded for Nezha (Yu et al., ESEC/FSE 2023).

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use otlp_core::UnixNanos;
use otlp_core::compress::gunzip;
use otlp_core::csv::Rows;

use super::{Given, cell, quoted, table};

const DAYS: [&str; 2] = ["2023-01-29", "2023-01-30"];
/// Minutes of spans a fault.
const MINUTES: u64 = 3;
/// Seconds of metrics from an injection on that belong to it; and seconds around any injection that are not normal.
const TROUBLE_SECS: u64 = 210;
const KEPT_AWAY_SECS: [u64; 2] = [120, 480];
/// Quiet cases a day.
const QUIET: u64 = 10;
const MAX_BYTES: usize = 1 << 30;

struct Fault {
    pod: String,
    kind: String,
    at: UnixNanos,
    /// `HH_MM` of its minutes.
    minutes: Vec<String>,
}

/// Each fault becomes a case: its three minutes of spans held against the fault-free ones of that day, metrics
/// against those away from any fault, logs (of the first minute, where they are there) against the log minutes of the day's other
/// faults, for no fault-free ones are given. Quiet cases are halves of the fault-free spans, by trace, held against each other.
pub(super) fn convert(
    from: &Path,
    give: &mut dyn FnMut(Given) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    for day in DAYS {
        let faults = faults(&from.join(format!("{day}-fault_list.json")))?;
        let folder = from.join(day);
        let mut normal = Vec::new();
        for file in files(&folder.join("trace_faultfree"))? {
            normal.extend(table(&unpacked(&file)?).into_iter().skip(1));
        }
        let metrics = metrics(&folder.join("metric"))?;
        let mut logs = BTreeMap::new();
        for fault in &faults {
            let Some(first) = fault.minutes.first() else { continue };
            let path = folder.join(format!("log/{first}_log.csv.gz"));
            if path.is_file() {
                logs.insert(first.clone(), log(&unpacked(&path)?));
            }
        }
        let is_near = |at: u64| {
            faults.iter().any(|fault| {
                let injected = fault.at.0 / 1_000_000_000;
                (injected - KEPT_AWAY_SECS[0]..injected + KEPT_AWAY_SECS[1]).contains(&at)
            })
        };
        let calm = metrics.written(|at| !is_near(at));
        for fault in &faults {
            let mut spans = Vec::new();
            for minute in &fault.minutes {
                let path = folder.join(format!("trace/{minute}_trace.csv.gz"));
                if path.is_file() {
                    spans.extend(table(&unpacked(&path)?).into_iter().skip(1));
                }
            }
            let injected = fault.at.0 / 1_000_000_000;
            let mut files = vec![
                ("spans_normal.csv", written(normal.iter())),
                ("spans.csv", written(spans.iter())),
                ("normal.csv", calm.clone()),
                ("anomalous.csv", metrics.written(|at| (injected..injected + TROUBLE_SECS).contains(&at))),
            ];
            let first = fault.minutes.first().cloned().unwrap_or_default();
            if let Some(own) = logs.get(&first) {
                let others: String = logs
                    .iter()
                    .filter(|(minute, _)| **minute != first)
                    .map(|(_, log)| log.as_str())
                    .collect();
                files.push(("logs_normal.csv", format!("time,service,message\n{others}")));
                files.push(("logs.csv", format!("time,service,message\n{own}")));
            }
            let name = format!("train_ticket_{day}_{first}_{}", fault.kind);
            let truth = Some(service(&fault.pod).to_owned());
            let groups = vec![fault.kind.clone(), day.to_owned()];
            give(Given { system: "Train-Ticket", name, truth, groups, files })?;
        }
        for quiet in 0..QUIET {
            let half = |row: &&Vec<String>| {
                let mut hasher = DefaultHasher::new();
                (quiet, row.first()).hash(&mut hasher);
                hasher.finish().is_multiple_of(2)
            };
            give(Given {
                system: "Train-Ticket",
                name: format!("train_ticket_{day}_quiet_{quiet}"),
                truth: None,
                groups: vec![day.to_owned()],
                files: vec![
                    ("spans_normal.csv", written(normal.iter().filter(half))),
                    ("spans.csv", written(normal.iter().filter(|row| !half(row)))),
                ],
            })?;
        }
    }
    Ok(())
}

fn faults(list: &Path) -> Result<Vec<Fault>, Box<dyn Error>> {
    let hours: BTreeMap<String, Vec<serde_json::Value>> = serde_json::from_str(&fs::read_to_string(list)?)?;
    let mut faults = Vec::new();
    for fault in hours.values().flatten() {
        let text = |name: &str| fault.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
        let at = UnixNanos::parse(text("inject_time")).map_err(|_| "a fault without a time")?;
        let minutes = (0..MINUTES).map(|minute| {
            let of_day = (at.0 / 60_000_000_000 + minute) % 1_440;
            format!("{:02}_{:02}", of_day / 60, of_day % 60)
        });
        let minutes = minutes.collect();
        faults.push(Fault { pod: text("inject_pod").into(), kind: text("inject_type").into(), at, minutes });
    }
    Ok(faults)
}

/// The name of a pod without what tells its instances apart.
fn service(pod: &str) -> &str {
    let without = |name: &'_ str| name.rfind('-').map_or(name.len(), |at| at);
    let set = pod.get(..without(pod)).unwrap_or(pod);
    set.get(..without(set)).unwrap_or(set)
}

/// Spans in the form that is read back.
fn written(rows: impl Iterator<Item = impl AsRef<[String]>>) -> String {
    let mut text =
        String::from("trace_id,span_id,parent_id,service,operation,start_unix_nanos,end_unix_nanos,status\n");
    for row in rows {
        let field = |place: usize| row.as_ref().get(place).map_or("", String::as_str);
        let parent = if field(2) == "root" { "" } else { field(2) };
        let (pod, operation) = (service(field(3)), quoted(field(4)));
        let _ =
            writeln!(text, "{},{},{parent},{pod},{operation},{},{},", field(0), field(1), field(5), field(6));
    }
    text
}

/// Lines of a log in the form that is read back, without a header.
fn log(text: &str) -> String {
    let mut lines = String::new();
    for (_, row) in Rows::new(text).skip(1) {
        let field = |place: usize| row.get(place).map_or("", |field| &**field);
        let wrapped: Option<serde_json::Value> = serde_json::from_str(field(7)).ok();
        let message = wrapped.as_ref().and_then(|line| line.get("log")).and_then(serde_json::Value::as_str);
        let message = quoted(message.unwrap_or_else(|| field(7)).trim_end());
        let _ = writeln!(lines, "{},{},{message}", field(1), service(field(3)));
    }
    lines
}

/// Metrics of all pods by time in seconds and column.
struct Metrics {
    columns: Vec<String>,
    rows: BTreeMap<u64, BTreeMap<usize, String>>,
}

impl Metrics {
    fn written(&self, is_in: impl Fn(u64) -> bool) -> String {
        let mut text = format!("time,{}\n", self.columns.join(","));
        for (at, row) in self.rows.iter().filter(|(at, _)| is_in(**at)) {
            let _ = write!(text, "{at}");
            for column in 0..self.columns.len() {
                let _ = write!(text, ",{}", row.get(&column).map_or("", String::as_str));
            }
            text.push('\n');
        }
        text
    }
}

fn metrics(folder: &Path) -> Result<Metrics, Box<dyn Error>> {
    let mut all = Metrics { columns: Vec::new(), rows: BTreeMap::new() };
    for file in files(folder)? {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(pod) = name.strip_suffix("_metric.csv.gz") else { continue };
        let table = table(&unpacked(&file)?);
        let first = all.columns.len();
        // Time, time stamp and pod stand before the metrics.
        for column in 3..table.first().map_or(0, Vec::len) {
            all.columns.push(quoted(&format!("{}:{}", service(pod), cell(&table, 0, column))));
        }
        for row in 1..table.len() {
            // Pods report within a few seconds of the minute: they share a row.
            let Ok(at) = cell(&table, row, 1).parse::<u64>() else { continue };
            let values = all.rows.entry(at / 60 * 60).or_default();
            for column in 3..table.first().map_or(0, Vec::len) {
                values.insert(first + column - 3, cell(&table, row, column).to_owned());
            }
        }
    }
    Ok(all)
}

fn files(folder: &Path) -> Result<BTreeSet<PathBuf>, Box<dyn Error>> {
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        files.insert(entry?.path());
    }
    Ok(files)
}

fn unpacked(path: &Path) -> Result<String, Box<dyn Error>> {
    let bytes =
        gunzip(&fs::read(path)?, MAX_BYTES).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(String::from_utf8(bytes)?)
}
