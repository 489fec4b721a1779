//! The verdict, the key figures, and how the run was made.

use crate::figure;
use crate::page::markup::{As, Holder, escape};
use crate::summary::Summary;

use super::section;

/// The top of the page: verdict and key figures.
pub(super) fn top(summary: &Summary) -> String {
    let mood = match (&summary.incident, &summary.fault) {
        (Some(_), _) => "alarmed",
        (None, Some(_)) => "missed",
        (None, None) => "calm",
    };
    format!(
        "<header class=\"top {mood}\">\n<p class=\"kind\">Incident run · {} {} UTC</p>\n<h1>{}</h1>\n<p class=\"lede\">{}</p>\n{}</header>\n",
        figure::date(summary.run.started_unix_millis),
        summary.clock_at(0.0),
        escape(&summary.headline()),
        lede(summary),
        key_figures(summary)
    )
}

fn lede(summary: &Summary) -> String {
    let broken = match &summary.fault {
        Some(fault) => format!(
            "Broken on purpose: {} ({} in {}), {} into the load.",
            escape(&fault.description),
            Holder::Span.text("/fault/kind", &fault.kind),
            Holder::Span.text("/fault/service", &fault.service),
            Holder::Span.number("/fault/at_secs", As::Secs, fault.at_secs)
        ),
        None => "Nothing was broken in this run.".to_owned(),
    };
    let affected = match &summary.incident {
        Some(incident) if incident.services.len() > 1 => {
            let names: Vec<String> = incident.services.iter().map(|name| escape(name)).collect();
            format!(" It was felt in {}.", names.join(", "))
        }
        _ => String::new(),
    };
    let kept = summary.promises.iter().filter(|promise| promise.holds).count();
    let verdict = if summary.holds() { "kept" } else { "broken" };
    let promises = match summary.promises.len() {
        0 => String::new(),
        all => format!(" <a class=\"{verdict}\" href=\"#promises\">{kept} of {all} promises kept.</a>"),
    };
    format!("{broken}{affected}{promises}")
}

fn key_figures(summary: &Summary) -> String {
    let key = &summary.key;
    let mut cards: Vec<(&str, String, String)> = Vec::new();
    if summary.fault.is_some() {
        let found = key.time_to_first_alarm_secs;
        let time = Holder::Span.number("/key/time_to_first_alarm_secs", As::Secs, found);
        cards.push(("Time to first alarm", time, "from the fault".to_owned()));
        let rank = match key.rank_of_true_cause {
            Some(rank) => Holder::Span.marked("/key/rank_of_true_cause", "ordinal", &figure::ordinal(rank)),
            None => Holder::Span.number("/key/rank_of_true_cause", As::Score, None),
        };
        let among = match summary.causes.len() {
            0 => "no suspect was named".to_owned(),
            1 => "the only suspect".to_owned(),
            many => format!("of {many} suspects"),
        };
        cards.push(("True cause ranked", rank, among));
    }
    let captured = Holder::Span.count("/key/spans_captured", key.spans_captured);
    cards.push(("Spans captured", captured, format!("by {}", escape(&summary.run.capture))));
    let false_alarms = Holder::Span.count("/key/false_alarms", key.false_alarms);
    let of_windows = format!("in {} windows", figure::count(windows_without_fault(summary)));
    cards.push(("False alarms", false_alarms, of_windows));
    let cards: String = cards
        .into_iter()
        .map(|(name, value, note)| {
            format!("<div><dt>{name}</dt><dd>{value}</dd><dd class=\"note\">{note}</dd></div>\n")
        })
        .collect();
    format!("<dl class=\"keys\">\n{cards}</dl>\n")
}

/// Windows of all services in which an alarm would have been false.
fn windows_without_fault(summary: &Summary) -> u64 {
    let until = summary.fault.as_ref().map_or(f64::INFINITY, |fault| fault.at_secs);
    let clean = summary.timeline.at_secs.iter().filter(|at| **at <= until).count();
    u64::try_from(clean.saturating_mul(summary.timeline.tracks.len())).unwrap_or(u64::MAX)
}

/// How the run was made and how to make it again.
pub(super) fn run_facts(summary: &Summary) -> Option<String> {
    let run = &summary.run;
    let versions: Vec<String> = run
        .versions
        .iter()
        .enumerate()
        .map(|(place, version)| {
            let name = Holder::Span.text(&format!("/run/versions/{place}/name"), &version.name);
            let number = Holder::Span.text(&format!("/run/versions/{place}/version"), &version.version);
            format!("{name} {number}")
        })
        .collect();
    let mut facts = vec![
        ("Seed", Holder::Span.marked("/run/seed", "digits", &run.seed.to_string())),
        ("Load", Holder::Span.number("/run/rate_per_sec", As::Rate, run.rate_per_sec)),
        ("Length", Holder::Span.number("/run/seconds", As::Secs, run.seconds)),
        ("Capture", Holder::Span.text("/run/capture", &run.capture)),
        ("Machine", Holder::Span.text("/run/machine", &run.machine)),
        ("Cores", Holder::Span.count("/run/cores", u64::from(run.cores))),
    ];
    if !versions.is_empty() {
        facts.push(("Versions", versions.join("<br>")));
    }
    let facts: String = facts
        .into_iter()
        .map(|(name, value)| format!("<div><dt>{name}</dt><dd>{value}</dd></div>\n"))
        .collect();
    let again =
        format!("<p>To repeat this run:</p>\n<pre>{}</pre>\n", super::code("/run/command", &run.command));
    Some(section("run", "How this run was made", &format!("<dl class=\"facts\">\n{facts}</dl>\n{again}")))
}
