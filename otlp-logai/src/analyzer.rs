//! Lines in, changes and findings out.

use std::collections::{BTreeMap, HashMap};

use otlp_core::UnixNanos;
use otlp_core::record::SeverityNumber;

use crate::limits::Limits;
use crate::line::Line;
use crate::novelty::{
    Exposure, Novelty, THRESHOLD, TemplateChange, Window, deviation, level_weight, load_ratio, seconds,
};
use crate::redact::LineRedactor;
use crate::series::{Counts, Series, second};
use crate::template::{MinerStats, Observation, TemplateId, TemplateMiner};

/// Watches the lines of all services and says what changed.
///
/// It keeps templates, their counts second by second, and for each template and service the first and
/// the last line; all of it within [`Limits`]. Lines are kept as they came and redacted when they are
/// shown.
///
/// ```
/// use otlp_core::UnixNanos;
/// use otlp_logai::{Limits, LogAnalyzer, Window};
/// let mut analyzer = LogAnalyzer::new(&Limits::default());
/// for second in 0..40_u64 {
///     let now = UnixNanos::from_secs(1_000 + second);
///     analyzer.observe(now, "db", b"INFO db lookup key=17 took 2 ms");
///     if second >= 30 {
///         analyzer.observe(now, "db", b"WARN db index lost, scanning rows=50000");
///     }
/// }
/// let window = Window { since: UnixNanos::from_secs(1_030), until: UnixNanos::from_secs(1_040) };
/// let finding = analyzer.explain(window, Some("db")).ok_or("nothing found")?;
/// assert_eq!(finding.title, "db logs what it never logged before: \"index lost, scanning rows=<num>\"");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct LogAnalyzer {
    pub(crate) limits: Limits,
    pub(crate) redactor: LineRedactor,
    miner: TemplateMiner,
    services: Vec<String>,
    service_index: HashMap<String, u32>,
    kinds: BTreeMap<(TemplateId, u32), Kind>,
    started: Option<UnixNanos>,
    stats: AnalyzerStats,
}

/// One template as one service writes it.
#[derive(Clone)]
struct Kind {
    series: Series,
    severity: SeverityNumber,
    first: Example,
    last: Example,
}

#[derive(Clone, Default)]
struct Example {
    time: UnixNanos,
    text: String,
}

/// The account of a [`LogAnalyzer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct AnalyzerStats {
    /// Lines observed.
    pub lines: u64,
    /// Lines longer than the bound, of which the front was looked at.
    pub cut: u64,
    /// Lines whose own time was too far from the time of observation to be believed.
    pub time_ignored: u64,
    /// Pairs of template and service dropped to make room.
    pub evicted: u64,
    /// Lines of services past the bound, counted under the empty name.
    pub unnamed: u64,
    /// The account of the templates.
    pub miner: MinerStats,
}

impl LogAnalyzer {
    /// An empty analyser with the default redactor.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.clone(),
            redactor: LineRedactor::default(),
            miner: TemplateMiner::new(limits),
            services: vec![String::new()],
            service_index: HashMap::from([(String::new(), 0)]),
            kinds: BTreeMap::new(),
            started: None,
            stats: AnalyzerStats::default(),
        }
    }

    /// Sets what is masked in whatever the analyser shows.
    #[must_use]
    pub fn with_redactor(mut self, redactor: LineRedactor) -> Self {
        self.redactor = redactor;
        self
    }

    /// Takes one raw line of `service`, seen at `now`; the line's own time counts where it has one
    /// within [`Limits::history`] of `now`. An empty `service` means: as the line says.
    ///
    /// Costs O(tokens × candidate templates).
    pub fn observe(&mut self, now: UnixNanos, service: &str, line: &[u8]) {
        let known = Some(service).filter(|service| !service.is_empty());
        let line = Line::parse(line, known, &self.limits);
        self.stats.lines += 1;
        self.stats.cut += u64::from(line.is_cut());
        let time = self.believed_time(now, line.time());
        self.started = Some(self.started.map_or(time, |started| started.min(time)));
        let observation = self.miner.observe(line.message());
        self.follow(&observation);
        let service = self.service(known.or_else(|| line.service()).unwrap_or_default());
        self.count((observation.id, service), time, &line);
    }

    /// The kinds of lines that are new in the window or whose rate changed, strongest first.
    ///
    /// Rates are compared per service, after the change of the service's load as a whole is allowed
    /// for. Nothing is found without at least two seconds of lines before the window. Costs
    /// O(kinds × history in seconds).
    #[must_use]
    pub fn changes(&self, window: Window, suspect: Option<&str>) -> Vec<TemplateChange> {
        let since = second(window.since);
        let until = second(window.until).max(since.saturating_add(1));
        let keep = seconds(self.limits.history());
        let start = self.started.map_or(since, second).max(since.saturating_sub(keep));
        if since.saturating_sub(start) < 2 {
            return Vec::new();
        }
        let exposure = Exposure { before: (since - start) as f64, after: (until - since) as f64, load: 1.0 };
        let counted: Vec<_> = self
            .kinds
            .iter()
            .map(|(&(id, service), kind)| Counted {
                id,
                service,
                kind,
                counts: kind.series.counts(start, since, until),
            })
            .collect();
        let loads: Vec<f64> =
            (0_u32..).zip(&self.services).map(|(at, _)| load(at, &counted, exposure)).collect();
        let mut changes: Vec<_> = counted
            .iter()
            .filter_map(|counted| {
                let load = loads.get(counted.service as usize).copied().unwrap_or(1.0);
                self.change(counted, window, suspect, Exposure { load, ..exposure })
            })
            .collect();
        changes.sort_by(|a, b| {
            b.score.total_cmp(&a.score).then(a.first_seen.cmp(&b.first_seen)).then(a.id.cmp(&b.id))
        });
        changes.truncate(self.limits.findings());
        changes
    }

    fn change(
        &self,
        counted: &Counted<'_>,
        window: Window,
        suspect: Option<&str>,
        exposure: Exposure,
    ) -> Option<TemplateChange> {
        let &Counted { id, service, kind, counts } = counted;
        let service = self.services.get(service as usize)?;
        let z = deviation(counts, exposure);
        let first_in_window = kind.first.time >= window.since;
        let novelty = match z {
            z if z < 0.0 => Novelty::Fall,
            _ if counts.before == 0 && first_in_window => Novelty::New,
            _ => Novelty::Rise,
        };
        let score = score(z, novelty, kind.severity, suspect == Some(service));
        if score < THRESHOLD {
            return None;
        }
        let example = if first_in_window { &kind.first } else { &kind.last };
        let template = self.miner.template(id).map_or_else(String::new, ToString::to_string);
        Some(TemplateChange {
            id,
            template: self.shown(&template),
            service: service.clone(),
            severity: kind.severity,
            kind: novelty,
            count: counts.after,
            before_per_sec: counts.before as f64 / exposure.before,
            after_per_sec: counts.after as f64 / exposure.after,
            first_seen: kind.first.time,
            example: self.shown(&example.text),
            example_time: example.time,
            z,
            score,
        })
    }

    /// The templates found so far.
    #[must_use]
    pub fn miner(&self) -> &TemplateMiner {
        &self.miner
    }

    /// The account so far.
    #[must_use]
    pub fn stats(&self) -> AnalyzerStats {
        AnalyzerStats { miner: self.miner.stats(), ..self.stats }
    }

    fn believed_time(&mut self, now: UnixNanos, own: Option<UnixNanos>) -> UnixNanos {
        let Some(own) = own else { return now };
        let apart = own.duration_since(now).max(now.duration_since(own));
        if apart <= self.limits.history() {
            return own;
        }
        self.stats.time_ignored += 1;
        now
    }

    fn service(&mut self, name: &str) -> u32 {
        if let Some(&service) = self.service_index.get(name) {
            return service;
        }
        let next = u32::try_from(self.services.len()).unwrap_or(u32::MAX);
        if self.services.len() > self.limits.services() {
            self.stats.unnamed += 1;
            return 0;
        }
        self.services.push(name.to_owned());
        self.service_index.insert(name.to_owned(), next);
        next
    }

    /// Does to the counts what happened to the templates.
    fn follow(&mut self, observation: &Observation) {
        if let Some(evicted) = observation.evicted {
            self.take(evicted);
        }
        for &absorbed in &observation.absorbed {
            for (service, kind) in self.take(absorbed) {
                self.kinds
                    .entry((observation.id, service))
                    .and_modify(|into| into.merge(&kind))
                    .or_insert(kind);
            }
        }
    }

    fn take(&mut self, id: TemplateId) -> Vec<(u32, Kind)> {
        let keys: Vec<_> = self.kinds.range((id, 0)..=(id, u32::MAX)).map(|(key, _)| *key).collect();
        keys.into_iter().filter_map(|key| Some((key.1, self.kinds.remove(&key)?))).collect()
    }

    fn count(&mut self, key: (TemplateId, u32), time: UnixNanos, line: &Line<'_>) {
        if self.kinds.len() >= self.limits.series().max(1) && !self.kinds.contains_key(&key) {
            let oldest = self.kinds.iter().min_by_key(|(_, kind)| kind.series.newest()).map(|(key, _)| *key);
            if let Some(oldest) = oldest {
                self.kinds.remove(&oldest);
                self.stats.evicted += 1;
            }
        }
        let bytes = self.limits.cited_bytes();
        let kind = self.kinds.entry(key).or_insert_with(|| Kind {
            series: Series::default(),
            severity: SeverityNumber::UNSPECIFIED,
            first: Example::default(),
            last: Example::default(),
        });
        kind.series.add(time, seconds(self.limits.history()));
        kind.severity = kind.severity.max(line.severity());
        if kind.first.text.is_empty() || time < kind.first.time {
            kind.first.set(time, line.text(), bytes);
        }
        kind.last.set(time, line.text(), bytes);
    }

    /// Redacted, and without what a terminal or a page could choke on.
    pub(crate) fn shown(&self, text: &str) -> String {
        let replace = |ch: char| if ch.is_control() && ch != '\t' { '\u{fffd}' } else { ch };
        self.redactor.line(text).chars().map(replace).collect()
    }
}

impl std::fmt::Debug for LogAnalyzer {
    /// Counts only: the lines may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogAnalyzer")
            .field("services", &self.services.len())
            .field("kinds", &self.kinds.len())
            .field("lines", &"[redacted]")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// A kind of line with its counts around the window.
struct Counted<'a> {
    id: TemplateId,
    service: u32,
    kind: &'a Kind,
    counts: Counts,
}

/// How the load of one service moved.
fn load(service: u32, counted: &[Counted<'_>], exposure: Exposure) -> f64 {
    let usual = |counted: &&Counted<'_>| {
        counted.service == service && counted.counts.before >= 10 && counted.counts.after > 0
    };
    let ratio = |counted: &Counted<'_>| {
        let (before, after) = (counted.counts.before as f64, counted.counts.after as f64);
        after / exposure.after / (before / exposure.before)
    };
    let mut ratios: Vec<_> = counted.iter().filter(usual).map(ratio).collect();
    load_ratio(&mut ratios)
}

fn score(z: f64, kind: Novelty, severity: SeverityNumber, is_suspect: bool) -> f64 {
    // A fall is more often the echo of trouble elsewhere.
    let by_kind = match kind {
        Novelty::New => 1.2,
        Novelty::Rise => 1.0,
        Novelty::Fall => 0.6,
    };
    z.abs() * by_kind * level_weight(severity) * if is_suspect { 1.5 } else { 1.0 }
}

impl Kind {
    fn merge(&mut self, other: &Self) {
        self.series.merge(&other.series);
        self.severity = self.severity.max(other.severity);
        if other.first.time < self.first.time {
            self.first = other.first.clone();
        }
        if other.last.time > self.last.time {
            self.last = other.last.clone();
        }
    }
}

impl Example {
    fn set(&mut self, time: UnixNanos, text: &str, max_bytes: usize) {
        self.time = time;
        self.text.clear();
        let end =
            (0..=max_bytes.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or_default();
        self.text.push_str(text.get(..end).unwrap_or(text));
        if end < text.len() {
            self.text.push('…');
        }
    }
}
