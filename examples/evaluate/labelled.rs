//! Labelled series in files.

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use otlp_core::UnixNanos;

use crate::series::{self, Point};

/// A series and where its anomalies are.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series {
    /// The directory below the input that it is in.
    pub(crate) set: String,
    pub(crate) name: String,
    pub(crate) points: Vec<Point>,
    pub(crate) anomalies: Vec<Range<usize>>,
}

/// What labels the files beside it have: `combined_windows.json` of the Numenta Anomaly Benchmark.
type Windows = HashMap<String, Vec<(String, String)>>;

/// Reads every `*.csv` below a directory that has labels: with the header `timestamp,NAME,anomaly` in itself, with
/// `timestamp,value` in a `combined_windows.json` beside it or above it. Others are left out.
///
/// # Errors
/// Where a file cannot be read.
pub(crate) fn read(directory: &Path) -> Result<Vec<Series>, Box<dyn Error>> {
    let mut all = Vec::new();
    below(directory, directory, &mut Vec::new(), &mut all)?;
    all.sort_by(|a, b| (&a.set, &a.name).cmp(&(&b.set, &b.name)));
    Ok(all)
}

fn below(
    root: &Path,
    directory: &Path,
    windows: &mut Vec<(PathBuf, Windows)>,
    all: &mut Vec<Series>,
) -> Result<(), Box<dyn Error>> {
    let labels = directory.join("combined_windows.json");
    let has_labels = labels.is_file();
    if has_labels {
        windows.push((directory.to_owned(), serde_json::from_str(&fs::read_to_string(labels)?)?));
    }
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            below(root, &path, windows, all)?;
        } else if path.extension().is_some_and(|extension| extension == "csv") {
            let text = fs::read_to_string(&path)?;
            let labelled =
                one(&text, &path, windows).map_err(|error| format!("{}: {error}", path.display()))?;
            let Some((points, anomalies)) = labelled else { continue };
            let set = directory.strip_prefix(root)?.display().to_string();
            let name = path.file_stem().unwrap_or_default().display().to_string();
            all.push(Series { set, name, points, anomalies });
        }
    }
    if has_labels {
        windows.pop();
    }
    Ok(())
}

type Labelled = (Vec<Point>, Vec<Range<usize>>);

fn one(text: &str, path: &Path, windows: &[(PathBuf, Windows)]) -> Result<Option<Labelled>, Box<dyn Error>> {
    let header = text.lines().next().unwrap_or_default().trim();
    if header.starts_with("timestamp,") && header.ends_with(",anomaly") {
        return columns(text).map(Some);
    }
    for (directory, windows) in windows.iter().rev() {
        let Ok(relative) = path.strip_prefix(directory) else { continue };
        let name = relative.display().to_string().replace('\\', "/");
        if let Some(windows) = windows.get(&name) {
            let points = series::read(text)?;
            let anomalies = places(&points, windows)?;
            return Ok(Some((points, anomalies)));
        }
    }
    Ok(None)
}

/// `timestamp,value,0 or 1`: neighbours with a 1 are one anomaly.
pub(crate) fn columns(text: &str) -> Result<Labelled, Box<dyn Error>> {
    let (mut points, mut anomalies): (Vec<Point>, Vec<Range<usize>>) = (Vec::new(), Vec::new());
    for (line, text) in text.lines().enumerate().skip(1).filter(|(_, line)| !line.trim().is_empty()) {
        let line = line + 1;
        let mut fields = text.trim().split(',');
        let (time, value, label) = (fields.next(), fields.next(), fields.next());
        let time = time
            .and_then(|time| UnixNanos::parse(time).ok())
            .ok_or_else(|| format!("line {line}: no timestamp"))?;
        let value = value.and_then(|value| value.parse().ok()).unwrap_or(f64::NAN);
        let label: f64 =
            label.and_then(|label| label.parse().ok()).ok_or_else(|| format!("line {line}: no label"))?;
        let place = points.len();
        points.push(Point { text: String::new(), time, value });
        if label > 0.5 {
            match anomalies.last_mut().filter(|last| last.end == place) {
                Some(last) => last.end = place + 1,
                None => anomalies.push(place..place + 1),
            }
        }
    }
    Ok((points, anomalies))
}

/// The places of windows whose ends are times, both included.
fn places(points: &[Point], windows: &[(String, String)]) -> Result<Vec<Range<usize>>, Box<dyn Error>> {
    let time = |text: &str| -> Result<UnixNanos, Box<dyn Error>> {
        UnixNanos::parse(text).map_err(|_| format!("no time in a window: {text}").into())
    };
    let mut anomalies = Vec::new();
    for (first, last) in windows {
        let (first, last) = (time(first)?, time(last)?);
        let start = points.partition_point(|point| point.time < first);
        let end = points.partition_point(|point| point.time <= last);
        anomalies.push(start..end);
    }
    Ok(anomalies)
}
