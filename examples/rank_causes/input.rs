//! A case in a folder: what was measured before the trouble and in it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::error::Error;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use otlp_anomaly::catalogue::Catalogue;
use otlp_anomaly::cause::{Case, LogCounts, Period, ServiceMetric, Symptom};
use otlp_core::assemble::Trace;
use otlp_core::change::Change;
use otlp_core::compress::gunzip;
use otlp_core::csv::{Rows, Table};
use otlp_core::record::{Span, Status, StatusCode};
use otlp_core::{SpanId, TraceId, UnixNanos};

/// Bytes that a file may have once it is unpacked.
const MAX_BYTES: usize = 2 << 30;

/// All that a folder holds.
#[derive(Debug, Default)]
pub(crate) struct Input {
    pub(crate) name: String,
    metrics: Vec<Metric>,
    pub(crate) calls: Vec<(String, String)>,
    pub(crate) before: Period,
    pub(crate) after: Period,
    /// The same by time: trouble may have begun with any of them.
    pub(crate) slices: Vec<(UnixNanos, Period)>,
    logs: Option<(LogCounts, LogCounts)>,
    changes: Vec<Change>,
    pub(crate) catalogue: Catalogue,
    symptom: Option<(String, String)>,
    onset: UnixNanos,
}

#[derive(Debug, Default)]
struct Metric {
    service: String,
    metric: String,
    normal: Vec<f64>,
    anomalous: Vec<f64>,
}

/// A source of evidence that can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Metrics,
    Spans,
    Logs,
    Calls,
    Changes,
}

impl Part {
    pub(crate) const ALL: [Self; 5] = [Self::Metrics, Self::Spans, Self::Logs, Self::Calls, Self::Changes];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Spans => "spans",
            Self::Logs => "logs",
            Self::Calls => "calls",
            Self::Changes => "changes",
        }
    }
}

impl Input {
    /// Reads a folder. What is not there is left out; a folder with nothing to compare is an error.
    ///
    /// # Errors
    /// Where a file cannot be read: with its name and, where it makes sense, the line.
    pub(crate) fn read(folder: &Path) -> Result<Self, Box<dyn Error>> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut input = Self { name, ..Self::default() };
        if let Some(text) = text(folder, "symptom.json")? {
            input.symptom = Some(symptom(&text).map_err(|error| format!("symptom.json: {error}"))?);
        }
        if let Some(text) = text(folder, "calls.csv")? {
            input.calls = pairs(&text).map_err(|error| format!("calls.csv: {error}"))?;
        }
        let mut onset = None;
        if let Some(text) = text(folder, "spans_normal.csv")? {
            let traces = spans(&text).map_err(|error| format!("spans_normal.csv: {error}"))?;
            input.before = period(&traces);
        }
        if let Some(text) = text(folder, "spans.csv")? {
            let traces = spans(&text).map_err(|error| format!("spans.csv: {error}"))?;
            input.slices = slices(&traces);
            input.slices.iter().for_each(|(_, slice)| input.after.merge(slice));
            onset = input.slices.first().map(|(began, _)| *began);
        }
        for (file, is_normal) in [("normal.csv", true), ("anomalous.csv", false)] {
            let Some(text) = text(folder, file)? else { continue };
            let first = input.series(&text, is_normal).map_err(|error| format!("{file}: {error}"))?;
            onset = onset.or(first.filter(|_| !is_normal));
        }
        let mut logs = (LogCounts::default(), LogCounts::default());
        for (file, counts) in [("logs_normal.csv", &mut logs.0), ("logs.csv", &mut logs.1)] {
            let Some(text) = text(folder, file)? else { continue };
            lines(&text, counts).map_err(|error| format!("{file}: {error}"))?;
        }
        input.logs = (logs.0.lines() > 0 && logs.1.lines() > 0).then_some(logs);
        if let Some(text) = text(folder, "changes.csv")? {
            input.changes = Change::parse_csv(&text).map_err(|error| format!("changes.csv: {error}"))?;
        }
        input.catalogue = catalogue(folder)?;
        input.onset = onset.unwrap_or_default();
        let has_spans = !input.after.operations.is_empty();
        if input.metrics.is_empty() && !has_spans && input.logs.is_none() {
            return Err(
                "no normal.csv with anomalous.csv, no spans.csv and no logs.csv with something in them"
                    .into(),
            );
        }
        Ok(input)
    }

    /// Gives what was read to `use_case`, without the parts that are left out.
    pub(crate) fn with<T>(
        &self,
        left_out: &[Part],
        use_case: impl FnOnce(&Period, &Period, &Case<'_>) -> T,
    ) -> T {
        let has = |part: Part| !left_out.contains(&part);
        let metrics: Vec<ServiceMetric<'_>> =
            if has(Part::Metrics) { self.metrics.iter().map(Metric::as_given).collect() } else { Vec::new() };
        let case = Case {
            onset: self.onset,
            metrics: &metrics,
            calls: if has(Part::Calls) { &self.calls } else { &[] },
            logs: self.logs.as_ref().filter(|_| has(Part::Logs)).map(|(before, after)| (before, after)),
            changes: if has(Part::Changes) { &self.changes } else { &[] },
            symptom: self.symptom.as_ref().map(|(service, metric)| Symptom { service, metric }),
            ..Case::default()
        };
        let nothing = Period::default();
        let periods = if has(Part::Spans) { [&self.before, &self.after] } else { [&nothing; 2] };
        use_case(periods[0], periods[1], &case)
    }

    /// What was given, and what was not.
    pub(crate) fn has(&self, part: Part) -> bool {
        match part {
            Part::Metrics => !self.metrics.is_empty(),
            Part::Spans => !self.after.operations.is_empty(),
            Part::Logs => self.logs.is_some(),
            Part::Calls => !self.calls.is_empty(),
            Part::Changes => !self.changes.is_empty(),
        }
    }

    /// All services named anywhere, each once.
    pub(crate) fn services(&self) -> BTreeSet<&str> {
        let graphs = [&self.before, &self.after].into_iter().flat_map(|period| period.graph.nodes());
        let named = self.calls.iter().flat_map(|(caller, callee)| [caller.as_str(), callee.as_str()]);
        let measured = self.metrics.iter().map(|metric| metric.service.as_str());
        graphs.map(|node| &*node.name).chain(named).chain(measured).collect()
    }

    /// Reads a table of `time` and one column for each metric; gives the first time.
    fn series(&mut self, text: &str, is_normal: bool) -> Result<Option<UnixNanos>, Box<dyn Error>> {
        let mut rows = Rows::new(text);
        let Some((_, header)) = rows.next() else { return Ok(None) };
        if header.first().is_none_or(|first| first.trim() != "time") {
            return Err("line 1: the first column is not `time`".into());
        }
        let known: BTreeSet<String> = self.services().into_iter().map(str::to_owned).collect();
        let mut places: HashMap<(String, String), usize> = HashMap::new();
        for (place, metric) in self.metrics.iter().enumerate() {
            places.insert((metric.service.clone(), metric.metric.clone()), place);
        }
        let mut columns = Vec::new();
        for name in header.iter().skip(1) {
            let (service, metric) = split(name.trim(), &known)
                .ok_or_else(|| format!("line 1: no `<service>:<metric>`: {name:.80}"))?;
            let key = (service.to_owned(), metric.to_owned());
            let place = *places.entry(key).or_insert_with(|| {
                let (service, metric) = (service.to_owned(), metric.to_owned());
                self.metrics.push(Metric { service, metric, ..Metric::default() });
                self.metrics.len() - 1
            });
            columns.push(place);
        }
        let mut first = None;
        for (line, row) in rows {
            let at = row
                .first()
                .and_then(|at| UnixNanos::parse(at).ok())
                .ok_or_else(|| format!("line {line}: no time"))?;
            first = first.or(Some(at));
            for (index, place) in columns.iter().enumerate() {
                // An empty field or a word is a value that is missing.
                let value =
                    row.get(index + 1).and_then(|field| field.trim().parse().ok()).unwrap_or(f64::NAN);
                let Some(metric) = self.metrics.get_mut(*place) else { continue };
                if is_normal { metric.normal.push(value) } else { metric.anomalous.push(value) }
            }
        }
        Ok(first)
    }
}

impl Metric {
    fn as_given(&self) -> ServiceMetric<'_> {
        let Self { service, metric, normal, anomalous } = self;
        ServiceMetric { service, metric, normal, anomalous }
    }
}

/// The longest service that is known from elsewhere, else all before the last colon: names may hold colons.
fn split<'a>(name: &'a str, known: &BTreeSet<String>) -> Option<(&'a str, &'a str)> {
    let colons = name.match_indices(':').map(|(at, _)| at);
    let known = colons.rev().find(|at| name.get(..*at).is_some_and(|service| known.contains(service)));
    match known {
        Some(at) => Some((name.get(..at)?, name.get(at + 1..)?)),
        None => name.rsplit_once(':'),
    }
}

/// The text of a file, or of the same one with `.gz`; none where neither is there.
fn text(folder: &Path, file: &str) -> Result<Option<String>, Box<dyn Error>> {
    let plain = folder.join(file);
    let packed = folder.join(format!("{file}.gz"));
    let named = |error: &dyn Error| format!("{file}: {error}");
    let bytes = if plain.is_file() {
        fs::read(plain).map_err(|error| named(&error))?
    } else if packed.is_file() {
        gunzip(&fs::read(packed).map_err(|error| named(&error))?, MAX_BYTES).map_err(|error| named(&error))?
    } else {
        return Ok(None);
    };
    String::from_utf8(bytes).map(Some).map_err(|error| named(&error).into())
}

/// What is known of the services: from the folder itself, else from the one that it lies in.
fn catalogue(folder: &Path) -> Result<Catalogue, Box<dyn Error>> {
    for folder in [Some(folder), folder.parent()].into_iter().flatten() {
        if let Some(text) = text(folder, "catalogue.csv")? {
            return Ok(Catalogue::parse_csv(&text).map_err(|error| format!("catalogue.csv: {error}"))?);
        }
        if let Some(text) = text(folder, "catalogue.json")? {
            return Ok(serde_json::from_str(&text).map_err(|error| format!("catalogue.json: {error}"))?);
        }
    }
    Ok(Catalogue::default())
}

fn symptom(text: &str) -> Result<(String, String), Box<dyn Error>> {
    let value: serde_json::Value = serde_json::from_str(text)?;
    let field = |name: &str| value.get(name).and_then(serde_json::Value::as_str).map(str::to_owned);
    Ok((field("service").ok_or("no `service`")?, field("metric").unwrap_or_default()))
}

fn pairs(text: &str) -> Result<Vec<(String, String)>, Box<dyn Error>> {
    let table = Table::new(text, ["caller", "callee"])?;
    Ok(table.map(|(_, [caller, callee])| (caller.into_owned(), callee.into_owned())).collect())
}

/// Reads spans and gives their traces in the order of time.
fn spans(text: &str) -> Result<Vec<Trace>, Box<dyn Error>> {
    const COLUMNS: [&str; 8] = [
        "trace_id",
        "span_id",
        "parent_id",
        "service",
        "operation",
        "start_unix_nanos",
        "end_unix_nanos",
        "status",
    ];
    let mut names: HashMap<String, Arc<str>> = HashMap::new();
    let mut traces: BTreeMap<TraceId, Vec<(Arc<str>, Span)>> = BTreeMap::new();
    for (line, [trace, id, parent, service, operation, start, end, status]) in Table::new(text, COLUMNS)? {
        let nanos = |text: &str| {
            text.trim().parse().map(UnixNanos).map_err(|_| format!("line {line}: no time in nanoseconds"))
        };
        let (start, end) = (nanos(&start)?, nanos(&end)?);
        let name = names.entry(service.into_owned()).or_insert_with_key(|name| Arc::from(name.as_str()));
        let trace_id = trace_id(&trace);
        let code = if is_failure(&status) { StatusCode::Error } else { StatusCode::Unset };
        let span = Span {
            trace_id,
            span_id: SpanId::new(hash(&id, 0).to_be_bytes()),
            parent_span_id: if is_none(&parent) {
                SpanId::default()
            } else {
                SpanId::new(hash(&parent, 0).to_be_bytes())
            },
            name: operation.into_owned(),
            start,
            end,
            status: Status { code, message: String::new() },
            ..Span::default()
        };
        traces.entry(trace_id).or_default().push((Arc::clone(name), span));
    }
    let mut traces: Vec<Trace> =
        traces.into_iter().map(|(trace_id, spans)| Trace::new(trace_id, spans)).collect();
    traces.sort_by_key(Trace::start);
    Ok(traces)
}

/// As many parts as trouble may begin with: a table of spans may reach back before it.
const SLICES: u64 = 4;
/// Traces that a part needs, so that it says something.
const LEAST_TRACES: usize = 10;

/// Cuts traces in the order of time into parts that last equally long, or leaves them whole where there are few.
fn slices(traces: &[Trace]) -> Vec<(UnixNanos, Period)> {
    let (Some(first), Some(last)) = (traces.first(), traces.last()) else { return Vec::new() };
    let (first, length) = (first.start(), last.start().0 - first.start().0 + 1);
    let part = |trace: &Trace| (trace.start().0 - first.0) / length.div_ceil(SLICES);
    let parts: Vec<&[Trace]> = traces.chunk_by(|a, b| part(a) == part(b)).collect();
    let parts = if parts.iter().any(|part| part.len() < LEAST_TRACES) { vec![traces] } else { parts };
    parts.into_iter().map(|part| (part.first().map_or(first, Trace::start), period(part))).collect()
}

/// Sums up traces; its length is that of the seconds in which any of their spans began.
fn period(traces: &[Trace]) -> Period {
    let (mut period, mut seconds) = (Period::default(), BTreeSet::new());
    for trace in traces {
        period.add(trace);
        seconds.extend(trace.spans().iter().map(|span| span.span.start.0 / 1_000_000_000));
    }
    period.length = Duration::from_secs(u64::try_from(seconds.len()).unwrap_or(u64::MAX));
    period
}

fn lines(text: &str, counts: &mut LogCounts) -> Result<(), Box<dyn Error>> {
    let mut lines = Vec::new();
    let mut last = UnixNanos::ZERO;
    for (_, [at, service, message]) in Table::new(text, ["time", "service", "message"])? {
        // A line without a time that can be read stands with the one before it.
        last = UnixNanos::parse(&at).unwrap_or(last);
        lines.push((last, service, message));
    }
    // What follows what is known by the time; exports often begin with the latest, also of those of one instant.
    if lines.first().map(|first| first.0) > lines.last().map(|last| last.0) {
        lines.reverse();
    }
    lines.sort_by_key(|(at, ..)| *at);
    for (_, service, message) in lines {
        counts.add(&service, &message);
    }
    Ok(())
}

/// Identifiers of any form become numbers: those of no form can still be told apart.
fn trace_id(text: &str) -> TraceId {
    let halves = [hash(text, 1), hash(text, 2)].map(u64::to_be_bytes);
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(halves.into_iter().flatten()).for_each(|(to, from)| *to = from);
    u128::from_str_radix(text.trim(), 16).map_or(TraceId::new(bytes), |id| TraceId::new(id.to_be_bytes()))
}

fn hash(text: &str, seed: u8) -> u64 {
    let hex =
        Some(text.trim()).filter(|text| text.len() == 16).and_then(|text| u64::from_str_radix(text, 16).ok());
    if let (Some(id), 0) = (hex, seed) {
        return id;
    }
    let mut hasher = DefaultHasher::new();
    (seed, text.trim()).hash(&mut hasher);
    hasher.finish().max(1)
}

fn is_none(parent: &str) -> bool {
    matches!(parent.trim(), "" | "root" | "0" | "0000000000000000" | "none" | "null" | "None")
}

/// `error`, the number 2 of OpenTelemetry, or a status of HTTP from 500 on.
fn is_failure(status: &str) -> bool {
    let status = status.trim().to_ascii_lowercase();
    status.contains("error")
        || status == "2"
        || status.parse().is_ok_and(|code: u16| (500..600).contains(&code))
}
