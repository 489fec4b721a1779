//! The system as a whole: who calls whom, and how each service fared over time.

use crate::page::chart::Charts;
use crate::page::graph;
use crate::page::markup::{As, Holder};
use crate::summary::Summary;

use super::{Column, folded, number_cell, row_head, section, table};

/// The service graph, its legend, and its numbers as tables.
pub(super) fn graph(summary: &Summary) -> Option<String> {
    if summary.services.is_empty() {
        return None;
    }
    let explained = if summary.incident.is_some() {
        "<p class=\"legend\"><span class=\"cause\">◆ cause</span> <span class=\"affected\">▲ affected, dashed calls</span> \
         <span class=\"healthy\">healthy</span> <span>thicker: more calls</span></p>\n"
    } else {
        "<p class=\"legend\"><span>thicker: more calls</span></p>\n"
    };
    let tables = folded("The graph as tables", &[services(summary), calls(summary)].concat());
    Some(section("graph", "Services and calls", &format!("{}{explained}{tables}", graph::drawings(summary))))
}

fn services(summary: &Summary) -> String {
    let row = |(place, service): (usize, &crate::summary::Service)| {
        let at = |path: &str| format!("/services/{place}/{path}");
        let (class, word) = graph::health_words(service.health);
        let cells = [
            (at("rate_per_sec"), As::Rate, Some(service.rate_per_sec)),
            (at("p95_ms/before"), As::Millis, service.p95_ms.before),
            (at("p95_ms/after"), As::Millis, service.p95_ms.after),
            (at("error_share/before"), As::Share, service.error_share.before),
            (at("error_share/after"), As::Share, service.error_share.after),
        ];
        let cells = cells.map(|(at, written, value)| number_cell(&Holder::Span.number(&at, written, value)));
        let head = row_head(&at("name"), &service.name);
        format!("<tr>{head}<td class=\"{class}\">{word}</td>{}</tr>\n", cells.concat())
    };
    let rows: String = summary.services.iter().enumerate().map(row).collect();
    let columns = [
        Column::Words("Service"),
        Column::Words("State"),
        Column::Number("Requests"),
        Column::Number("p95 before"),
        Column::Number("p95 after"),
        Column::Number("Errors before"),
        Column::Number("Errors after"),
    ];
    table("Services", &columns, &rows)
}

fn calls(summary: &Summary) -> String {
    if summary.edges.is_empty() {
        return String::new();
    }
    let row = |(place, edge): (usize, &crate::summary::Edge)| {
        let at = |path: &str| format!("/edges/{place}/{path}");
        let (class, word) = graph::health_words(edge.health);
        format!(
            "<tr>{}<td>{}</td><td>{}</td>{}<td class=\"{class}\">{word}</td></tr>\n",
            row_head(&at("caller"), &edge.caller),
            Holder::Span.text(&at("callee"), &edge.callee),
            edge.protocol
                .as_deref()
                .map_or_else(String::new, |name| Holder::Span.text(&at("protocol"), name)),
            number_cell(&Holder::Span.number(&at("rate_per_sec"), As::Rate, edge.rate_per_sec))
        )
    };
    let rows: String = summary.edges.iter().enumerate().map(row).collect();
    let columns = [
        Column::Words("Caller"),
        Column::Words("Callee"),
        Column::Words("Protocol"),
        Column::Number("Calls"),
        Column::Words("State"),
    ];
    table("Calls", &columns, &rows)
}

/// Latency and errors of every service.
pub(super) fn timelines(summary: &Summary) -> Option<String> {
    let charts = Charts::of(summary)?;
    let zero = if summary.fault.is_some() { "the fault" } else { "the start of the load" };
    let marked = match (&summary.fault, &summary.incident) {
        (Some(_), Some(_)) => " The fault and the first alarm are marked.",
        (Some(_), None) => " The fault is marked.",
        (None, Some(_)) => " The first alarm is marked.",
        (None, None) => "",
    };
    let body = format!(
        "<p class=\"soft\">All charts share their axes; latency is on a logarithmic axis. Time runs from {zero}, \
         with the wall clock (UTC) below.{marked}</p>\n<div class=\"panels\">\n{}</div>\n",
        charts.figures()
    );
    Some(section("timelines", "Latency and errors over time", &body))
}
