//! Who is suspected and why, and the alarms behind it.

use crate::page::markup::{As, Holder, escape};
use crate::summary::{Alarm, Cause, Summary, Unit};

use super::{Column, first_and_rest, folded, moment, number_cell, section, table};

/// Suspects that are shown before the rest is folded away.
const SHOWN: usize = 3;
/// Alarms that are shown before the rest is folded away.
const ALARMS_SHOWN: usize = 6;

/// Suspects, most likely first.
pub(super) fn ranking(summary: &Summary) -> Option<String> {
    let top = summary.causes.first()?;
    let widest = top.contributions.iter().map(|part| part.share.abs()).fold(1e-9, f64::max);
    let items: Vec<String> = summary
        .causes
        .iter()
        .enumerate()
        .map(|(place, cause)| suspect(summary, place, cause, widest))
        .collect();
    let (shown, rest) = first_and_rest(&items, SHOWN);
    let mut body = format!("<ol class=\"causes\">\n{}</ol>\n", shown.concat());
    if !rest.is_empty() {
        let list = format!("<ol class=\"causes\" start=\"{}\">\n{}</ol>\n", SHOWN + 1, rest.concat());
        body.push_str(&folded(&format!("{} less likely suspects", rest.len()), &list));
    }
    Some(section("causes", "Where it comes from", &body))
}

fn suspect(summary: &Summary, place: usize, cause: &Cause, widest: f64) -> String {
    let at = |path: &str| format!("/causes/{place}/{path}");
    let is_true = summary.fault.as_ref().is_some_and(|fault| fault.service == cause.service);
    let truth = if is_true { " <span class=\"truth\">✓ truly broken</span>" } else { "" };
    let parts: String =
        cause.contributions.iter().enumerate().map(|(part, contribution)| {
            let name = Holder::Span.text(&at(&format!("contributions/{part}/name")), &contribution.name);
            let signal = Holder::Span.text(&at(&format!("contributions/{part}/signal")), &contribution.signal);
            // What has the name of its signal is told once.
            let name = if contribution.signal.starts_with(&contribution.name) { name } else { format!("{name} <small>{signal}</small>") };
            let share = Holder::Span.number(&at(&format!("contributions/{part}/share")), As::Score, contribution.share);
            let width = (contribution.share.abs() / widest * 100.0).clamp(0.0, 100.0);
            format!(
                "<li><span class=\"part\">{name}</span><span class=\"bar\" style=\"--w:{width:.1}%\"></span><span class=\"number\">{share}</span></li>\n"
            )
        }).collect();
    let evidence: String = cause
        .evidence
        .iter()
        .enumerate()
        .map(|(line, text)| {
            format!("<li>{}</li>\n", Holder::Span.text(&at(&format!("evidence/{line}")), text))
        })
        .collect();
    let parts = wrapped("<div><h4>What it is made of</h4><ul class=\"parts\">\n", &parts);
    let evidence = wrapped("<div><h4>Evidence</h4><ul class=\"evidence\">\n", &evidence);
    let statement = if cause.statement.is_empty() {
        String::new()
    } else {
        format!("<p>{}</p>\n", escape(&cause.statement))
    };
    format!(
        "<li class=\"card suspect{}\"><h3><span class=\"place\">{}</span> {}{truth}<span class=\"score\">chance {}</span></h3>\n{statement}\
         <div class=\"halves\">{parts}{evidence}</div></li>\n",
        if place == 0 { " first" } else { "" },
        place + 1,
        Holder::Span.text(&at("service"), &cause.service),
        Holder::Span.number(&at("score"), As::Score, cause.score)
    )
}

fn wrapped(open: &str, items: &str) -> String {
    if items.is_empty() { String::new() } else { format!("{open}{items}</ul></div>\n") }
}

/// Every alarm, earliest first.
pub(super) fn alarms(summary: &Summary) -> Option<String> {
    if summary.alarms.is_empty() {
        return None;
    }
    let rows: Vec<String> =
        summary.alarms.iter().enumerate().map(|(place, alarm)| alarm_row(summary, place, alarm)).collect();
    let (shown, rest) = first_and_rest(&rows, ALARMS_SHOWN);
    let columns = [
        Column::Words("When"),
        Column::Words("Service"),
        Column::Words("What"),
        Column::Number("Expected"),
        Column::Number("Observed"),
        Column::Number("Over threshold"),
    ];
    let joined = match summary.alarms.len() {
        1 => "One alarm was raised.".to_owned(),
        many if summary.incident.is_some() => format!("{many} alarms were joined into one incident."),
        many => format!("{many} alarms were raised."),
    };
    let mut body = format!("<p class=\"soft\">{joined}</p>\n{}", table("Alarms", &columns, &shown.concat()));
    if !rest.is_empty() {
        body.push_str(&folded(
            &format!("{} later alarms", rest.len()),
            &table("Later alarms", &columns, &rest.concat()),
        ));
    }
    Some(section("alarms", "Alarms", &body))
}

fn alarm_row(summary: &Summary, place: usize, alarm: &Alarm) -> String {
    let at = |path: &str| format!("/alarms/{place}/{path}");
    let written = match alarm.unit {
        Unit::Millis => As::Millis,
        Unit::Share => As::Share,
        Unit::PerSec => As::Rate,
        Unit::Bytes => As::Bytes,
        Unit::Own => As::Score,
    };
    format!(
        "<tr><td>{}</td><td>{}</td><td>{}</td>{}{}{}</tr>\n",
        moment(summary, &at("at_secs"), alarm.at_secs),
        Holder::Span.text(&at("service"), &alarm.service),
        Holder::Span.text(&at("feature"), &alarm.feature),
        number_cell(&Holder::Span.number(&at("expected"), written, alarm.expected)),
        number_cell(&Holder::Span.number(&at("observed"), written, alarm.observed)),
        number_cell(&Holder::Span.number(&at("times_threshold"), As::Times, alarm.times_threshold))
    )
}
