//! Feature rows as a table for people and for programs that learn.

use std::fmt::Write as _;

use otlp_core::UnixNanos;

use super::row::Row;
use super::{FeatureRow, MetricRow};

/// A row of a window, of spans or of a metric: it has a line in a [`csv`] table and goes into a
/// [`Rollup`](super::Rollup). Sealed: what rows there are is up to this crate.
pub trait TableRow: sealed::Cells + Row {}

impl TableRow for FeatureRow {}
impl TableRow for MetricRow {}

mod sealed {
    /// Columns and cells behind when the window begins and about whom the row is.
    pub trait Cells {
        /// The names of the columns.
        const COLUMNS: &'static str;

        /// The cells; nothing where there is nothing to say.
        fn cells(&self) -> Vec<Option<f64>>;
    }
}

/// Writes rows as CSV with a label each: a header, then a line a row.
///
/// Times are Unix seconds. A cell is empty where there is nothing to say, as for all of a gap; a zero is a fact. Labels
/// are the caller's: what was wrong then, or nothing. Names and labels with commas, quotes or line breaks are quoted
/// (RFC 4180).
///
/// ```
/// use std::time::Duration;
/// use otlp_anomaly::feature::{FeatureConfig, csv};
/// use otlp_core::UnixNanos;
/// use otlp_core::record::{Span, SpanKind};
/// let mut features = FeatureConfig::new().window(Duration::from_secs(1)).build()?;
/// let (start, end) = (UnixNanos::from_millis(100), UnixNanos::from_millis(120));
/// features.observe("db", &Span { kind: SpanKind::Server, start, end, ..Span::default() }).ok();
/// let table = csv(&features.flush(), |row| if row.errors > 0 { "fault" } else { "" });
/// assert!(table.starts_with("start,subject,requests,errors,"));
/// assert_eq!(table.lines().count(), 2);
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
pub fn csv<'a, R: TableRow>(rows: &'a [R], mut label: impl FnMut(&'a R) -> &'a str) -> String {
    let mut text = format!("start,subject,{},label\n", R::COLUMNS);
    for row in rows {
        text += &seconds(row.span().0);
        text.push(',');
        quote(&row.subject().to_string(), &mut text);
        for cell in row.cells() {
            text.push(',');
            if let Some(value) = cell {
                // A string takes whatever is written to it.
                let _ = write!(text, "{value}");
            }
        }
        text.push(',');
        quote(label(row), &mut text);
        text.push('\n');
    }
    text
}

/// Unix seconds, with a fraction where there is one.
fn seconds(time: UnixNanos) -> String {
    let (whole, rest) = (time.0 / 1_000_000_000, time.0 % 1_000_000_000);
    if rest == 0 { whole.to_string() } else { format!("{whole}.{rest:09}").trim_end_matches('0').to_owned() }
}

fn quote(cell: &str, text: &mut String) {
    // Spreadsheets take these for formulas.
    let is_formula = cell.starts_with(['=', '+', '-', '@', '\t']);
    if is_formula || cell.contains([',', '"', '\n', '\r']) {
        let guard = if is_formula { "'" } else { "" };
        let _ = write!(text, "\"{guard}{}\"", cell.replace('"', "\"\""));
    } else {
        text.push_str(cell);
    }
}

fn count(count: u64) -> f64 {
    crate::number::to_f64(count)
}

impl sealed::Cells for FeatureRow {
    const COLUMNS: &'static str = "requests,errors,rate,error_rate,p50,p95,p99,mean_self_time,partial";

    fn cells(&self) -> Vec<Option<f64>> {
        let known = |value: f64| (!self.is_gap()).then_some(value);
        vec![
            known(count(self.requests)),
            known(count(self.errors)),
            known(self.rate_per_sec()),
            self.error_rate(),
            self.latency_secs(0.5),
            self.latency_secs(0.95),
            self.latency_secs(0.99),
            self.mean_self_time_secs,
            Some(f64::from(u8::from(self.is_partial))),
        ]
    }
}

impl sealed::Cells for MetricRow {
    const COLUMNS: &'static str = "points,mean,min,max,rate,p50,p95,p99,sum,resets,partial";

    fn cells(&self) -> Vec<Option<f64>> {
        vec![
            Some(count(self.points)),
            self.level.map(|level| level.mean),
            self.level.map(|level| level.min),
            self.level.map(|level| level.max),
            self.rate_per_sec(),
            self.measured.quantile(0.5),
            self.measured.quantile(0.95),
            self.measured.quantile(0.99),
            self.measured_sum,
            (!self.is_gap()).then(|| count(self.resets)),
            Some(f64::from(u8::from(self.is_partial))),
        ]
    }
}
