//! PetShop (Hardt et al., "The PetShop Dataset - Finding Causes of Performance Issues across Microservices", CLeaR 2024).

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::{Given, cell, quoted, table};

/// Rows of a window without an issue: as many as an issue has.
const WINDOW: usize = 6;
/// Rows between such windows.
const STEP: usize = 24;
/// Rows of the header: service, metric, statistic, the name of the time.
const HEADER: usize = 4;

/// Each issue becomes a case held against all of the time without one; windows of that time become quiet cases, held
/// against the rest.
pub(super) fn convert(
    from: &Path,
    give: &mut dyn FnMut(Given) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    for traffic in ["low_traffic", "high_traffic"] {
        let folder = from.join(traffic);
        let calls = calls(&fs::read_to_string(folder.join("graph.csv"))?);
        let normal = table(&fs::read_to_string(folder.join("noissue/metrics.csv"))?);
        let train = folder.join("train");
        for entry in fs::read_dir(&train)? {
            let issue = entry?.path();
            let target: serde_json::Value =
                serde_json::from_str(&fs::read_to_string(issue.join("target.json"))?)?;
            let text = |of: &str, name: &str| {
                target
                    .pointer(&format!("/{of}/{name}"))
                    .and_then(serde_json::Value::as_str)
                    .unwrap_or_default()
            };
            let anomalous = table(&fs::read_to_string(issue.join("metrics.csv"))?);
            let symptom =
                serde_json::json!({ "service": text("target", "node"), "metric": text("target", "metric") });
            let number = issue.file_name().unwrap_or_default().to_string_lossy().into_owned();
            give(Given {
                system: "PetShop",
                name: format!("petshop_{traffic}_{number}"),
                truth: Some(text("root_cause", "node").to_owned()),
                groups: vec![traffic.to_owned()],
                files: vec![
                    ("normal.csv", written(&normal, |_| true)),
                    ("anomalous.csv", written(&anomalous, |_| true)),
                    ("calls.csv", calls.clone()),
                    ("symptom.json", symptom.to_string()),
                ],
            })?;
        }
        let rows = normal.len().saturating_sub(HEADER);
        for (place, start) in (0..rows.saturating_sub(WINDOW)).step_by(STEP).enumerate() {
            let metric = if place % 2 == 0 { "latency" } else { "availability" };
            let symptom = serde_json::json!({ "service": "PetSite", "metric": metric });
            let is_in = |row: usize| (start..start + WINDOW).contains(&row);
            give(Given {
                system: "PetShop",
                name: format!("petshop_{traffic}_quiet_{place:02}"),
                truth: None,
                groups: vec![traffic.to_owned()],
                files: vec![
                    ("normal.csv", written(&normal, |row| !is_in(row))),
                    ("anomalous.csv", written(&normal, is_in)),
                    ("calls.csv", calls.clone()),
                    ("symptom.json", symptom.to_string()),
                ],
            })?;
        }
    }
    Ok(())
}

/// `<service>:<metric>_<statistic>` columns of some rows.
fn written(from: &[Vec<String>], is_in: impl Fn(usize) -> bool) -> String {
    let columns = from.first().map_or(0, Vec::len);
    let mut text = String::from("time");
    for column in 1..columns {
        let [service, metric, statistic] = [0, 1, 2].map(|row| cell(from, row, column));
        text.push(',');
        text.push_str(&quoted(&format!("{service}:{metric}_{statistic}")));
    }
    text.push('\n');
    for row in from.iter().skip(HEADER).enumerate().filter(|(row, _)| is_in(*row)).map(|(_, row)| row) {
        let _ = writeln!(text, "{}", row.join(","));
    }
    text
}

/// The table of who calls whom as pairs.
fn calls(text: &str) -> String {
    let table = table(text);
    let mut pairs = String::from("caller,callee\n");
    for row in 1..table.len() {
        for column in 1..table.first().map_or(0, Vec::len) {
            if cell(&table, row, column).parse().is_ok_and(|value: f64| value > 0.0) {
                let _ =
                    writeln!(pairs, "{},{}", quoted(cell(&table, row, 0)), quoted(cell(&table, 0, column)));
            }
        }
    }
    pairs
}
