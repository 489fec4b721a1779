//! A finding in plain language, with the lines it rests on.

use std::collections::BTreeSet;

use otlp_core::finding::{Evidence, Finding, Severity, Subject};
use otlp_core::record::SeverityNumber;

use crate::analyzer::LogAnalyzer;
use crate::novelty::{Novelty, TemplateChange, Window};

/// Kinds of lines that are told of one by one; the rest are counted.
const TOLD: usize = 8;

impl LogAnalyzer {
    /// Says what the logs tell about the window, or `None` where no kind of line changed.
    ///
    /// Written by rules from [`changes`](Self::changes): the title tells the strongest change of the
    /// `suspect` service where it has one, else the strongest of all; the detail how many kinds of lines
    /// changed where, which came first, and which other services' lines name the suspect. The
    /// evidence cites at most [`Limits::cited_lines`](crate::Limits::cited_lines) lines, redacted, then
    /// the rates that moved. Confidence is `1 - exp(-z²/2)` of the change told.
    #[must_use]
    pub fn explain(&self, window: Window, suspect: Option<&str>) -> Option<Finding> {
        let changes = self.changes(window, suspect);
        let own = |change: &&TemplateChange| Some(change.service.as_str()) == suspect;
        let told = changes.iter().find(own).or_else(|| changes.first())?;
        let mut order: Vec<&TemplateChange> = vec![told];
        order.extend(changes.iter().filter(|change| !std::ptr::eq(*change, told)));
        Some(Finding {
            time: if told.kind == Novelty::New { told.first_seen } else { window.since },
            source: "otlp.logai.explain",
            severity: severity(&changes),
            subject: match told.service.as_str() {
                "" => Subject::System,
                service => Subject::Service(service.to_owned()),
            },
            title: title(told),
            detail: detail(&changes, window, suspect),
            confidence: 1.0 - (-0.5 * told.z * told.z).exp(),
            evidence: self.evidence(&order, window),
        })
    }

    fn evidence(&self, order: &[&TemplateChange], window: Window) -> Vec<Evidence> {
        // A kind of line that stopped has no line in the window to cite.
        let cited = order.iter().filter(|change| change.count > 0).take(self.limits.cited_lines());
        let mut evidence: Vec<_> = cited
            .map(|change| Evidence::Log {
                time: change.example_time,
                service: change.service.clone(),
                line: change.example.clone(),
            })
            .collect();
        evidence.extend(order.iter().take(TOLD).map(|change| Evidence::Shift {
            metric: format!("{} lines \"{}\"", named(&change.service), short(&change.template)),
            unit: "{line}/s",
            before: change.before_per_sec,
            after: change.after_per_sec,
            since: window.since,
        }));
        if order.len() > TOLD {
            let more = order.len() - TOLD;
            evidence.push(Evidence::Note(format!("{more} more kinds of lines changed")));
        }
        evidence
    }
}

fn title(change: &TemplateChange) -> String {
    let (service, template) = (named(&change.service), short(statement(&change.template)));
    match change.kind {
        Novelty::New => format!("{service} logs what it never logged before: \"{template}\""),
        Novelty::Rise if change.before_per_sec == 0.0 => {
            format!("{service} logs again what it had not logged for long: \"{template}\"")
        }
        Novelty::Rise => {
            let times = change.after_per_sec / change.before_per_sec;
            format!("{service} logs {} as often: \"{template}\"", times_word(times))
        }
        Novelty::Fall if change.count == 0 => format!("{service} no longer logs \"{template}\""),
        Novelty::Fall => {
            let share = change.after_per_sec / change.before_per_sec * 100.0;
            format!("{service} logs \"{template}\" only {share:.0} % as often")
        }
    }
}

fn times_word(times: f64) -> String {
    if times >= 10.0 { format!("{times:.0} times") } else { format!("{times:.1} times") }
}

fn detail(changes: &[TemplateChange], window: Window, suspect: Option<&str>) -> String {
    let mut sentences = vec![tally(changes)];
    let new = changes.iter().filter(|change| change.kind == Novelty::New);
    if let Some(first) = new.min_by_key(|change| change.first_seen) {
        let after = first.first_seen.duration_since(window.since).as_secs_f64();
        let (service, count) = (named(&first.service), first.count);
        let (times, level) = (if count == 1 { "once" } else { "times" }, level_of(first.severity));
        let count = if count == 1 { String::new() } else { format!("{count} ") };
        sentences.push(format!(
            "The first new line came {after:.1} s after the start, from {service}{level}, and its like {count}{times}."
        ));
    }
    if let Some(suspect) = suspect {
        sentences.push(about_suspect(changes, suspect));
    }
    sentences.join(" ")
}

fn tally(changes: &[TemplateChange]) -> String {
    let services: BTreeSet<_> = changes.iter().map(|change| named(&change.service)).collect();
    let counted = services.iter().map(|service| {
        let of = |kind: Novelty| {
            let same = |change: &&TemplateChange| named(&change.service) == *service && change.kind == kind;
            match changes.iter().filter(same).count() {
                0 => None,
                count => Some(format!("{count} {kind}")),
            }
        };
        let parts: Vec<_> = [Novelty::New, Novelty::Rise, Novelty::Fall].into_iter().filter_map(of).collect();
        format!("{service} {}", parts.join(", "))
    });
    let kinds = if changes.len() == 1 { "kind of line" } else { "kinds of lines" };
    format!("{} {kinds} changed: {}.", changes.len(), counted.collect::<Vec<_>>().join("; "))
}

fn about_suspect(changes: &[TemplateChange], suspect: &str) -> String {
    let own = changes.iter().filter(|change| change.service == suspect).count();
    let others: BTreeSet<_> = changes
        .iter()
        .filter(|change| change.service != suspect && change.count > 0)
        .filter(|change| mentions(&change.template, suspect) || mentions(&change.example, suspect))
        .map(|change| named(&change.service))
        .collect();
    let named_by: Vec<_> = others.into_iter().collect();
    match (own, named_by.is_empty()) {
        (0, true) => format!("The suspect, {suspect}, logs as before, and no changed line names it."),
        (0, false) => {
            format!("The suspect, {suspect}, logs as before; lines of {} name it.", named_by.join(", "))
        }
        (_, true) => format!("The suspect, {suspect}, is among them."),
        (_, false) => {
            format!("The suspect, {suspect}, is among them; lines of {} name it.", named_by.join(", "))
        }
    }
}

/// True where `name` stands in the text as a word of its own.
fn mentions(text: &str, name: &str) -> bool {
    let part = |ch: char| ch.is_alphanumeric() || ch == '_';
    !name.is_empty()
        && text.match_indices(name).any(|(at, _)| {
            let before = text.get(..at).and_then(|text| text.chars().next_back());
            let after = text.get(at + name.len()..).and_then(|text| text.chars().next());
            !before.is_some_and(part) && !after.is_some_and(part)
        })
}

fn severity(changes: &[TemplateChange]) -> Severity {
    let grown = changes.iter().filter(|change| change.kind != Novelty::Fall);
    match grown.map(|change| change.severity.0).max().unwrap_or_default() {
        21.. => Severity::Critical,
        17..=20 => Severity::Error,
        13..=16 => Severity::Warning,
        _ => Severity::Info,
    }
}

fn level_of(severity: SeverityNumber) -> String {
    if severity == SeverityNumber::UNSPECIFIED {
        String::new()
    } else {
        format!(" at level {}", severity.name())
    }
}

fn named(service: &str) -> &str {
    if service.is_empty() { "an unnamed service" } else { service }
}

/// The template without the identifiers at its front, such as `request_id=<hex>`: they say nothing.
fn statement(template: &str) -> &str {
    let mut rest = template;
    while let Some((word, tail)) = rest.split_once(' ') {
        if !(word.ends_with('>') && word.contains("=<")) {
            break;
        }
        rest = tail;
    }
    rest
}

/// At most 120 characters.
fn short(template: &str) -> String {
    let mut chars = template.chars();
    let kept: String = chars.by_ref().take(120).collect();
    if chars.next().is_some() { kept + "…" } else { kept }
}
