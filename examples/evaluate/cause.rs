//! Holds the ranking of root causes against labelled cases.
//!
//! The given cases are written out in the form of `rank_causes`, one folder each with the truth beside, and read back
//! from there, so that what is judged is what anybody would get. A row for each system, never one for all: the share of cases whose
//! cause comes first, among the first three and the first five, the mean of the shares at one to five (Avg@5), the
//! share of quiet windows for which nothing is named, milliseconds a case. Ties count at their worst rank. Below: kinds of
//! faults and days, how often the first cause was right for each range of confidence, each source alone and left out, and
//! what chance, counted errors, the earliest change and the largest shift come to.

mod baseline;
mod nezha;
mod petshop;
mod reliability;
mod score;
mod seeded;

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use otlp_core::csv::Rows;

use crate::input::{Input, Part};
use baseline::Baseline;
pub(crate) use reliability::calibrate;
use score::Score;

/// A case as it is written: its folder is its name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Given {
    pub(crate) system: &'static str,
    pub(crate) name: String,
    /// None where it is quiet.
    pub(crate) truth: Option<String>,
    /// What it is one of: rows of these are printed too.
    pub(crate) groups: Vec<String>,
    /// File name and content.
    pub(crate) files: Vec<(&'static str, String)>,
}

/// A case as it was read back.
#[derive(Debug)]
pub(crate) struct Labelled {
    pub(crate) system: String,
    pub(crate) truth: Option<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) input: Input,
}

/// Converts what lies below `data` to folders below `cases`, ranks them and gives the table.
///
/// # Errors
/// Where something cannot be read or written.
pub(crate) fn run(data: &Path, cases: &Path, lists_all: bool) -> Result<(), Box<dyn Error>> {
    let mut given = 0;
    for (folder, convert) in [("petshop", petshop::convert as Convert), ("nezha_tt", nezha::convert)] {
        let from = data.join(folder);
        if from.is_dir() {
            convert(&from, &mut |case| {
                given += 1;
                write(cases, &case)
            })
            .map_err(|error| format!("{}: {error}", from.display()))?;
        }
    }
    if given == 0 {
        return Err(format!("{}: neither petshop nor nezha_tt below", data.display()).into());
    }
    let mut all = Vec::new();
    for folder in folders(cases)? {
        let label = fs::read_to_string(folder.join("label.json"))?;
        let label: serde_json::Value = serde_json::from_str(&label)?;
        let text = |name: &str| label.get(name).and_then(serde_json::Value::as_str).map(str::to_owned);
        all.push(Labelled {
            system: text("system").unwrap_or_default(),
            truth: text("truth"),
            groups: label
                .get("groups")
                .and_then(serde_json::Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(|group| group.as_str().map(str::to_owned))
                .collect(),
            input: Input::read(&folder).map_err(|error| format!("{}: {error}", folder.display()))?,
        });
    }
    let mut systems: Vec<&str> = all.iter().map(|case| case.system.as_str()).collect();
    systems.sort_unstable();
    systems.dedup();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", score::HEAD)?;
    for system in systems {
        let of_system: Vec<&Labelled> = all.iter().filter(|case| case.system == system).collect();
        print(&mut out, system, &of_system, lists_all)?;
    }
    Ok(())
}

/// Converts the data of one source, case by case.
type Convert = fn(&Path, &mut dyn FnMut(Given) -> Result<(), Box<dyn Error>>) -> Result<(), Box<dyn Error>>;

fn print(
    out: &mut impl std::io::Write,
    system: &str,
    cases: &[&Labelled],
    lists_all: bool,
) -> std::io::Result<()> {
    let score = Score::of(cases, &[]);
    writeln!(out, "{}", score.row(system))?;
    write!(out, "{}", score.reliability.rows())?;
    let groups: BTreeSet<&String> = cases.iter().flat_map(|case| &case.groups).collect();
    for group in groups {
        let of_group: Vec<&Labelled> =
            cases.iter().filter(|case| case.groups.contains(group)).copied().collect();
        writeln!(out, "{}", Score::of(&of_group, &[]).row(&format!("  of which {group}")))?;
        if cases.iter().any(|case| case.input.has(Part::Spans)) {
            let others: Vec<Part> = Part::ALL.into_iter().filter(|other| *other != Part::Spans).collect();
            writeln!(out, "{}", Score::of(&of_group, &others).row("    by spans alone"))?;
        }
    }
    let there = |part: &Part| cases.iter().any(|case| case.input.has(*part));
    for part in Part::ALL.into_iter().filter(there) {
        let others: Vec<Part> = Part::ALL.into_iter().filter(|other| *other != part).collect();
        writeln!(out, "{}", Score::of(cases, &others).row(&format!("  {} alone", part.name())))?;
        writeln!(out, "{}", Score::of(cases, &[part]).row(&format!("  without {}", part.name())))?;
    }
    for baseline in Baseline::ALL {
        writeln!(
            out,
            "{}",
            Score::of_baseline(cases, baseline).row(&format!("  beside it: {}", baseline.name()))
        )?;
    }
    for case in cases.iter().filter(|_| lists_all) {
        writeln!(out, "{}", score::line(case))?;
    }
    Ok(())
}

fn write(cases: &Path, case: &Given) -> Result<(), Box<dyn Error>> {
    let folder = cases.join(&case.name);
    fs::create_dir_all(&folder)?;
    for (name, content) in &case.files {
        fs::write(folder.join(name), content)?;
    }
    let label = serde_json::json!({ "system": case.system, "truth": case.truth, "groups": case.groups });
    fs::write(folder.join("label.json"), label.to_string() + "\n")?;
    Ok(())
}

fn folders(directory: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.join("label.json").is_file() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

/// A field as it stands in a table.
pub(crate) fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

/// The rows of a text as owned fields.
pub(crate) fn table(text: &str) -> Vec<Vec<String>> {
    Rows::new(text).map(|(_, row)| row.into_iter().map(std::borrow::Cow::into_owned).collect()).collect()
}

/// A value of a table.
pub(crate) fn cell(table: &[Vec<String>], row: usize, column: usize) -> &str {
    table.get(row).and_then(|row| row.get(column)).map_or("", String::as_str)
}
