//! What the logs say: findings with the lines they cite, and templates not seen before.

use crate::page::markup::{Holder, escape};
use crate::summary::{CitedLine, LogFinding, Logs, NewTemplate, Summary};

use super::{Column, code, first_and_rest, folded, moment, number_cell, section, table};

/// Findings that are shown before the rest is folded away.
const FINDINGS_SHOWN: usize = 3;
/// Lines of a finding that are shown before the rest is folded away.
const LINES_SHOWN: usize = 4;
/// Templates that are shown before the rest is folded away.
const TEMPLATES_SHOWN: usize = 6;

/// The section on logs.
pub(super) fn findings(summary: &Summary) -> Option<String> {
    let logs = summary.logs.as_ref()?;
    let cards: Vec<String> =
        logs.findings.iter().enumerate().map(|(place, finding)| card(summary, place, finding)).collect();
    let (shown, rest) = first_and_rest(&cards, FINDINGS_SHOWN);
    let more = folded(&format!("{} further findings", rest.len()), &rest.concat());
    let body =
        format!("{}{}{more}{}", lead(summary, logs), shown.concat(), templates(summary, &logs.new_templates));
    Some(section("logs", "What the logs say", &body))
}

fn lead(summary: &Summary, logs: &Logs) -> String {
    let lines = Holder::Span.count("/logs/lines", logs.lines);
    let templates = Holder::Span.count("/logs/templates", logs.templates);
    let new = match (logs.new_templates.len(), summary.fault.is_some()) {
        (0, _) => "none of them new".to_owned(),
        (many, true) => format!("{many} of them new since the fault"),
        (many, false) => format!("{many} of them new after warm-up"),
    };
    format!("<p>{lines} lines came down to {templates} templates, {new}.</p>\n")
}

fn card(summary: &Summary, place: usize, finding: &LogFinding) -> String {
    let at = |path: &str| format!("/logs/findings/{place}/{path}");
    let detail = if finding.detail.is_empty() {
        String::new()
    } else {
        format!("<p>{}</p>\n", escape(&finding.detail))
    };
    let lines: Vec<String> = finding
        .lines
        .iter()
        .enumerate()
        .map(|(number, line)| cited(summary, &at(&format!("lines/{number}")), line))
        .collect();
    let (shown, rest) = first_and_rest(&lines, LINES_SHOWN);
    let list = |items: &[String]| {
        if items.is_empty() {
            String::new()
        } else {
            format!("<ul class=\"lines\">\n{}</ul>\n", items.concat())
        }
    };
    let more = folded(&format!("{} more lines", rest.len()), &list(rest));
    format!(
        "<article class=\"card\"><h3>{}</h3>\n{detail}{}{more}</article>\n",
        Holder::Span.text(&at("title"), &finding.title),
        list(shown)
    )
}

fn cited(summary: &Summary, at: &str, line: &CitedLine) -> String {
    format!(
        "<li><span class=\"source\">{} · {}</span> {}</li>\n",
        moment(summary, &format!("{at}/at_secs"), line.at_secs),
        Holder::Span.text(&format!("{at}/service"), &line.service),
        code(&format!("{at}/line"), &line.line)
    )
}

fn templates(summary: &Summary, templates: &[NewTemplate]) -> String {
    if templates.is_empty() {
        return String::new();
    }
    let row = |(place, template): (usize, &NewTemplate)| {
        let at = |path: &str| format!("/logs/new_templates/{place}/{path}");
        format!(
            "<tr><td>{}</td><td class=\"template\">{}</td>{}<td>{}</td></tr>\n",
            Holder::Span.text(&at("service"), &template.service),
            code(&at("template"), &template.template),
            number_cell(&Holder::Span.count(&at("count"), template.count)),
            moment(summary, &at("first_secs"), template.first_secs)
        )
    };
    let rows: Vec<String> = templates.iter().enumerate().map(row).collect();
    let (shown, rest) = first_and_rest(&rows, TEMPLATES_SHOWN);
    let columns = [
        Column::Words("Service"),
        Column::Words("Template"),
        Column::Number("Lines"),
        Column::Words("First"),
    ];
    let rows_left = rest.len();
    let rest =
        if rest.is_empty() { String::new() } else { table("Further templates", &columns, &rest.concat()) };
    let more = folded(&format!("{rows_left} further templates"), &rest);
    format!("<h3>New templates</h3>\n{}{more}", table("New log templates", &columns, &shown.concat()))
}
