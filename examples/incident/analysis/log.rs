//! What the services wrote: templates, those that are new since the trouble began, and a finding that cites them.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use otlp_core::finding::{Evidence, Finding};
use otlp_core::{Error, ErrorKind, UnixNanos};
use otlp_logai::{Limits, LogAnalyzer, Novelty, TemplateChange, Window};

use crate::shop::{Role, Shop};

/// New templates shown.
const FRESH: usize = 8;

/// What the logs say.
#[derive(Debug)]
pub(crate) struct LogReading {
    /// Lines read.
    pub(crate) lines: u64,
    /// Templates that they were reduced to.
    pub(crate) templates: u64,
    /// Templates not seen before, the most telling first.
    pub(crate) fresh: Vec<TemplateChange>,
    /// What follows; none where nothing changed.
    pub(crate) findings: Vec<Finding>,
}

/// The logs of all services, read.
#[derive(Debug)]
pub(crate) struct Logs {
    analyzer: LogAnalyzer,
    window: Window,
}

impl Logs {
    /// Reads the logs of all services, to compare what came in `window` with what came before. The services come in no
    /// particular order: each line tells its own time.
    ///
    /// # Errors
    /// Where a log cannot be read.
    pub(crate) fn read(out: &Path, window: Window) -> Result<Self, Error> {
        let mut analyzer = LogAnalyzer::new(&Limits::default());
        for role in Role::ALL {
            let path = Shop::log_path(out, role);
            read(&path, role, window.until, &mut analyzer).map_err(|source| {
                Error::new(ErrorKind::Io, format!("cannot read {}", path.display())).with_source(source)
            })?;
        }
        Ok(Self { analyzer, window })
    }

    /// What the log of each service says of that service.
    pub(crate) fn of_each(&self) -> Vec<Finding> {
        let of = |role: Role| self.analyzer.explain(self.window, Some(role.name()));
        let own = |(role, finding): (Role, Option<Finding>)| {
            let mut finding = finding.filter(|finding| finding.subject.service() == Some(role.name()))?;
            // Others' lines belong to their own findings.
            finding.evidence.retain(|evidence| match evidence {
                Evidence::Log { service, .. } => service == role.name(),
                _ => true,
            });
            Some(finding)
        };
        Role::ALL.into_iter().map(|role| (role, of(role))).filter_map(own).collect()
    }

    /// What is told of them, the suspect's first.
    pub(crate) fn told(&self, suspect: Option<&str>) -> LogReading {
        let is_new = |change: &TemplateChange| change.kind == Novelty::New;
        let analyzer = &self.analyzer;
        LogReading {
            lines: analyzer.stats().lines,
            templates: u64::try_from(analyzer.miner().templates().len()).unwrap_or(u64::MAX),
            fresh: analyzer.changes(self.window, suspect).into_iter().filter(is_new).take(FRESH).collect(),
            findings: analyzer.explain(self.window, suspect).into_iter().collect(),
        }
    }
}

fn read(path: &Path, role: Role, now: UnixNanos, analyzer: &mut LogAnalyzer) -> std::io::Result<()> {
    let mut log = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    while log.read_until(b'\n', &mut line)? > 0 {
        analyzer.observe(now, role.name(), line.trim_ascii_end());
        line.clear();
    }
    Ok(())
}
