//! The short account in the terminal: lines and a bar while the program works, a table at its end.
//!
//! Into a file or a pipe go plain lines without any control sequence; the bar is drawn on a terminal alone.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::figure;
use crate::summary::{Balance, Service, Summary};

/// No line of the account is longer.
pub(crate) const WIDTH: usize = 100;
/// Room for the name of a service, and for what is spoken with it.
const NAME: usize = 14;
const PROTOCOL: usize = 10;
/// Rows that a table shows at most.
const ROWS: usize = 12;
/// Room for what a line is about.
const INDENT: usize = 10;
/// Causes shown.
const CAUSES: usize = 3;

/// Tells what happens, line by line.
#[derive(Debug)]
pub(crate) struct Account<W: Write> {
    out: W,
    bar: ProgressBar,
    total: Duration,
}

impl<W: Write> Account<W> {
    /// Lines go to `out`; the bar, whose end is `total` from now, to `target`, which hides itself where there
    /// is no terminal.
    pub(crate) fn new(out: W, target: ProgressDrawTarget, total: Duration) -> Self {
        let bar = ProgressBar::with_draw_target(Some(millis(total)), target);
        // A template that is wrong leaves indicatif's own, which is a bar too.
        if let Ok(style) = ProgressStyle::with_template("{bar:36.cyan/238} {prefix} {wide_msg}") {
            bar.set_style(style.progress_chars("━╸─"));
        }
        Self { out, bar, total }
    }

    /// Says that something happened, `elapsed` since the beginning.
    ///
    /// # Errors
    /// Where `out` cannot be written.
    pub(crate) fn line(&mut self, elapsed: Duration, text: &str) -> io::Result<()> {
        let stamp = format!("{:6.1} s", elapsed.as_secs_f64());
        let text = figure::shortened(&plain(text), WIDTH - stamp.chars().count() - 2);
        let out = &mut self.out;
        self.bar.suspend(|| writeln!(out, "{stamp}  {text}").and_then(|()| out.flush()))
    }

    /// Moves the bar; nothing where there is none.
    pub(crate) fn progress(&self, elapsed: Duration, text: &str) {
        self.bar.set_position(millis(elapsed.min(self.total)));
        self.bar.set_prefix(format!("{:.0}/{:.0} s", elapsed.as_secs_f64(), self.total.as_secs_f64()));
        self.bar.set_message(plain(text));
    }

    /// Takes the bar away and writes the table.
    ///
    /// # Errors
    /// Where `out` cannot be written.
    pub(crate) fn finish(mut self, summary: &Summary, report: &Path) -> io::Result<()> {
        self.bar.finish_and_clear();
        self.out.write_all(table(summary, report).as_bytes())?;
        self.out.flush()
    }
}

/// What was found, in at most some forty lines of at most [`WIDTH`] columns, plain text.
pub(crate) fn table(summary: &Summary, report: &Path) -> String {
    let mut lines = vec![String::new()];
    lines.extend(wrapped(&plain(&summary.headline()), WIDTH));
    lines.push(String::new());
    lines.extend(services(summary));
    lines.push(String::new());
    lines.extend(causes(summary));
    lines.extend(signals(summary));
    lines.extend(logs(summary));
    lines.extend(memory(summary));
    lines.extend(profile(summary));
    lines.extend(export(summary));
    lines.extend(promises(summary));
    lines.push(String::new());
    let mut text: String =
        lines.iter().map(|line| format!("{}\n", figure::shortened(line.trim_end(), WIDTH))).collect();
    // A path is for copying: it is never shortened.
    text.push_str(&format!("report    {}\n", plain(&report.display().to_string())));
    text
}

fn services(summary: &Summary) -> Vec<String> {
    let head = format!(
        "{:NAME$} {:PROTOCOL$} {:>8} {:>18} {:>14} {:>7} {:>9} {:>4} {:>5}",
        "service", "speaks", "rate", "p95", "errors", "served", "accepted", "rej.", "lost"
    );
    let mut lines = vec![head];
    for service in summary.services.iter().take(ROWS) {
        let balance = summary.balances.iter().find(|balance| balance.service == service.name);
        lines.push(service_row(service, balance));
    }
    if let Some(more) = summary.services.len().checked_sub(ROWS).filter(|more| *more > 0) {
        lines.push(format!("and {more} more"));
    }
    lines
}

fn service_row(service: &Service, balance: Option<&Balance>) -> String {
    let pair = |shift: crate::summary::Shift, write: fn(f64) -> String| {
        let text = |value: Option<f64>| value.map_or_else(|| figure::MISSING.to_owned(), write);
        match shift.after {
            Some(_) => format!("{} → {}", text(shift.before), text(shift.after)),
            None => text(shift.before),
        }
    };
    let account = balance.map_or_else(String::new, |balance| {
        let sign = if balance.is_balanced() { '=' } else { '≠' };
        format!(
            " {:>7} {sign} {:>7} + {:>2} + {:>3}",
            figure::count(balance.served),
            figure::count(balance.accepted),
            figure::count(balance.rejected),
            figure::count(balance.lost_total())
        )
    });
    let row = format!(
        "{:NAME$} {:PROTOCOL$} {:>8} {:>18} {:>14}{account}",
        figure::shortened(&plain(&service.name), NAME),
        figure::shortened(&plain(service.protocol.as_deref().unwrap_or_default()), PROTOCOL),
        figure::rate(service.rate_per_sec),
        pair(service.p95_ms, figure::millis),
        pair(service.error_share, figure::share)
    );
    plain(&row)
}

fn causes(summary: &Summary) -> Vec<String> {
    let truth = summary.fault.as_ref().map(|fault| fault.service.as_str());
    let row = |(place, cause): (usize, &crate::summary::Cause)| {
        let why = cause.evidence.first().map_or(cause.statement.as_str(), String::as_str);
        let name = figure::shortened(&cause.service, NAME);
        let mark = if truth == Some(&cause.service) { " (true)" } else { "" };
        let text = plain(&format!("{}. {}  {name}{mark}: {why}", place + 1, figure::score(cause.score)));
        // The first cause is told to its end.
        let lines = if place == 0 { wrapped(&text, WIDTH - INDENT) } else { vec![text] };
        let labels = ["causes"].into_iter().filter(|_| place == 0).chain(std::iter::repeat(""));
        let labelled = lines.into_iter().zip(labels).take(2);
        labelled.map(|(line, label)| format!("{label:INDENT$}{line}")).collect::<Vec<_>>()
    };
    summary.causes.iter().take(CAUSES).enumerate().flat_map(row).collect()
}

/// What each signal contributed to the first cause.
fn signals(summary: &Summary) -> Option<String> {
    let first = summary.causes.first().filter(|cause| !cause.contributions.is_empty())?;
    let mut sums: Vec<(&str, f64)> = Vec::new();
    for part in &first.contributions {
        match sums.iter_mut().find(|(signal, _)| *signal == part.signal) {
            Some((_, sum)) => *sum += part.share,
            None => sums.push((&part.signal, part.share)),
        }
    }
    sums.sort_by(|a, b| b.1.total_cmp(&a.1));
    let told: Vec<String> =
        sums.iter().map(|(signal, sum)| format!("{signal} {}", figure::score(*sum))).collect();
    Some(plain(&format!("by        {}", told.join(", "))))
}

fn logs(summary: &Summary) -> Vec<String> {
    let Some(logs) = &summary.logs else { return Vec::new() };
    let mut lines = vec![plain(&format!(
        "logs      {} lines, {} templates, {} of them new",
        figure::count(logs.lines),
        figure::count(logs.templates),
        logs.new_templates.len()
    ))];
    let told = match (logs.findings.first(), logs.new_templates.first()) {
        (Some(finding), _) => finding.title.clone(),
        (None, Some(new)) => format!("new in {}: {}", new.service, new.template),
        (None, None) => return lines,
    };
    let told = wrapped(&plain(&told), WIDTH - INDENT);
    lines.extend(told.iter().take(2).map(|line| format!("{:INDENT$}{line}", "")));
    lines
}

fn memory(summary: &Summary) -> Option<String> {
    let memory = summary.memory.as_ref()?;
    let found = memory.exhaustion.as_ref()?;
    Some(plain(&format!(
        "memory    {} reaches {} in {} ({} to {}), growing by {} a second",
        found.service,
        figure::bytes(memory.limit_bytes),
        figure::secs(found.likely_secs.round()),
        figure::secs(found.earliest_secs.floor()),
        figure::secs(found.latest_secs.ceil()),
        figure::bytes(figure::whole(found.bytes_per_sec))
    )))
}

fn profile(summary: &Summary) -> Option<String> {
    let profile = summary.profile.as_ref()?;
    let top = profile.functions.first()?;
    let moved = format!("{} → {}", figure::share(top.before), figure::share(top.after));
    let name = figure::shortened(&top.function, 50);
    Some(plain(&format!("profile   {}: {name} {moved} of its CPU time", profile.service)))
}

fn export(summary: &Summary) -> Vec<String> {
    let export = &summary.export;
    let mut lines = vec![plain(&format!(
        "export    {} spans in {} requests, {} on the wire; retries {}, duplicates {}",
        figure::count(summary.key.spans_captured),
        figure::count(export.requests),
        figure::bytes(export.bytes_sent),
        figure::count(export.retries),
        figure::count(export.duplicates)
    ))];
    if let Some(proof) = &summary.conformance {
        let verdict = if proof.conforms { "conforms to" } else { "does NOT conform to" };
        lines.push(plain(&format!(
            "proof     the exporter's trace of {} events {verdict} {} ({} states)",
            figure::count(proof.events),
            proof.model,
            figure::count(proof.states)
        )));
    }
    lines
}

/// Kept promises in one line, broken ones each with what broke them.
fn promises(summary: &Summary) -> Vec<String> {
    let (kept, broken): (Vec<_>, Vec<_>) = summary.promises.iter().partition(|promise| promise.holds);
    if summary.promises.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![format!("promises  {} of {} kept", kept.len(), summary.promises.len())];
    lines.extend(
        broken
            .iter()
            .take(ROWS)
            .map(|promise| plain(&format!("  BROKEN  {}: {}", promise.name, promise.detail))),
    );
    lines
}

/// Lines of at most `width` characters, broken between words where there are any.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let word = figure::shortened(word, width);
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

/// Text for a terminal: nothing that steers it, and spaces that can be searched for.
fn plain(text: &str) -> String {
    figure::printable(text).replace(figure::THIN, " ")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_kept_whole_and_lines_within_their_width() {
        assert_eq!(wrapped("db became slow at noon", 9), ["db became", "slow at", "noon"]);
        assert_eq!(wrapped("a-word-without-end b", 8), ["a-word-…", "b"]);
    }

    #[test]
    fn a_terminal_gets_a_bar_and_loses_it_at_the_end() {
        let terminal = indicatif::InMemoryTerm::new(10, 80);
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(terminal.clone()), 255);
        let mut account = Account::new(Vec::new(), target, Duration::from_secs(40));
        account.progress(Duration::from_secs(10), "load");
        account.bar.tick();
        assert!(terminal.contents().contains("10/40 s load"), "{}", terminal.contents());
        account.line(Duration::from_secs(11), "first alarm").expect("a vector takes all");
        assert_eq!(String::from_utf8_lossy(&account.out), "  11.0 s  first alarm\n");
        account.bar.finish_and_clear();
        assert_eq!(terminal.contents(), "");
    }
}
