//! Where every request is, what the exporter went through, and the promises.

use crate::figure;
use crate::page::markup::{Holder, escape};
use crate::summary::{Balance, Conformance, Promise, Summary};

use super::{Column, moment, number_cell, row_head, section, table};

/// The account of every service, each row an equation.
pub(super) fn balance(summary: &Summary) -> Option<String> {
    if summary.balances.is_empty() {
        return None;
    }
    let rows: String = summary.balances.iter().enumerate().map(balance_row).collect();
    let columns = [
        Column::Words("Service"),
        Column::Number("Served"),
        Column::Number("= Accepted"),
        Column::Number("+ Rejected"),
        Column::Number("+ Lost"),
        Column::Words("Exact"),
    ];
    let table = table("Requests of every service", &columns, &[rows, total_row(summary)].concat());
    let explained = "<p class=\"soft\">Served: the services' own counters. Accepted: spans the receiver kept. \
                     Rejected: spans it refused by partial success.</p>\n";
    Some(section(
        "balance",
        "Where every request is",
        &format!("{explained}{table}{}", losses(&summary.balances)),
    ))
}

fn balance_row((place, balance): (usize, &Balance)) -> String {
    let at = |path: &str| format!("/balances/{place}/{path}");
    format!(
        "<tr>{}{}{}{}{}{}</tr>\n",
        row_head(&at("service"), &balance.service),
        number_cell(&Holder::Span.count(&at("served"), balance.served)),
        number_cell(&Holder::Span.count(&at("accepted"), balance.accepted)),
        number_cell(&Holder::Span.count(&at("rejected"), balance.rejected)),
        number_cell(&Holder::Span.marked(&at("lost"), "lost", &figure::count(balance.lost_total()))),
        verdict(balance.is_balanced())
    )
}

/// Why requests were lost, service by service; empty where none was.
fn losses(balances: &[Balance]) -> String {
    let mut items = String::new();
    for (place, balance) in balances.iter().enumerate() {
        for (number, loss) in balance.lost.iter().enumerate().filter(|(_, loss)| loss.count > 0) {
            let at = |field: &str| format!("/balances/{place}/lost/{number}/{field}");
            items.push_str(&format!(
                "<li>{}: {} lost because of {}</li>\n",
                escape(&balance.service),
                Holder::Span.count(&at("count"), loss.count),
                Holder::Span.text(&at("reason"), &loss.reason)
            ));
        }
    }
    if items.is_empty() { items } else { format!("<ul class=\"losses\">\n{items}</ul>\n") }
}

fn total_row(summary: &Summary) -> String {
    let total = |of: fn(&Balance) -> u64| {
        let sum = summary.balances.iter().fold(0_u64, |sum, balance| sum.saturating_add(of(balance)));
        number_cell(&figure::count(sum))
    };
    format!(
        "<tr class=\"total\"><th scope=\"row\">All</th>{}{}{}{}{}</tr>\n",
        total(|balance| balance.served),
        total(|balance| balance.accepted),
        total(|balance| balance.rejected),
        total(Balance::lost_total),
        verdict(summary.balances.iter().all(Balance::is_balanced))
    )
}

fn verdict(is_balanced: bool) -> String {
    if is_balanced {
        "<td class=\"kept\">✓ yes</td>".to_owned()
    } else {
        "<td class=\"broken\">✗ no</td>".to_owned()
    }
}

/// The exporter's way through what was thrown at it.
pub(super) fn events(summary: &Summary) -> Option<String> {
    let export = &summary.export;
    if export.requests == 0 {
        return None;
    }
    let count = |path: &str, count: u64| Holder::Span.count(&format!("/export/{path}"), count);
    let bytes = |path: &str, bytes: u64| {
        Holder::Span.marked(&format!("/export/{path}"), "bytes", &figure::bytes(bytes))
    };
    let lead = format!(
        "<p>{} requests carried {} of spans in {} on the wire. Retries: {}. Spans that arrived twice: {}.</p>\n",
        count("requests", export.requests),
        bytes("bytes_encoded", export.bytes_encoded),
        bytes("bytes_sent", export.bytes_sent),
        count("retries", export.retries),
        count("duplicates", export.duplicates)
    );
    let met: String = export
        .events
        .iter()
        .enumerate()
        .map(|(place, event)| {
            let at = |path: &str| format!("/export/events/{place}/{path}");
            format!(
                "<li>{}<div><strong>{}</strong> {}</div></li>\n",
                moment(summary, &at("at_secs"), event.at_secs),
                Holder::Span.text(&at("what"), &event.what),
                Holder::Span.text(&at("then"), &event.then)
            )
        })
        .collect();
    let met = if met.is_empty() { met } else { format!("<ol class=\"events\">\n{met}</ol>\n") };
    let proof = summary.conformance.as_ref().map(conformance).unwrap_or_default();
    Some(section("export", "How the spans got there", &format!("{lead}{met}{proof}")))
}

fn conformance(conformance: &Conformance) -> String {
    let (class, verdict) = if conformance.conforms {
        ("kept", "✓ The exporter's own event trace conforms to the model.")
    } else {
        ("broken", "✗ The exporter's own event trace does not conform to the model.")
    };
    let detail = if conformance.detail.is_empty() {
        String::new()
    } else {
        format!(" {}", Holder::Span.text("/conformance/detail", &conformance.detail))
    };
    format!(
        "<p><strong class=\"{class}\">{verdict}</strong> {} events were checked against {}, of which {} states were explored.{detail}</p>\n",
        Holder::Span.count("/conformance/events", conformance.events),
        Holder::Span.text("/conformance/model", &conformance.model),
        Holder::Span.count("/conformance/states", conformance.states)
    )
}

/// What the run must keep.
pub(super) fn promises(summary: &Summary) -> Option<String> {
    if summary.promises.is_empty() {
        return None;
    }
    let items: String = summary.promises.iter().enumerate().map(promise).collect();
    Some(section("promises", "Promises", &format!("<ul class=\"promises\">\n{items}</ul>\n")))
}

fn promise((place, promise): (usize, &Promise)) -> String {
    let at = |path: &str| format!("/promises/{place}/{path}");
    let (class, word) = if promise.holds { ("kept", "✓ kept") } else { ("broken", "✗ broken") };
    let detail =
        if promise.detail.is_empty() { String::new() } else { format!("<p>{}</p>", escape(&promise.detail)) };
    format!(
        "<li><span class=\"{class}\">{word}</span><div><strong>{}</strong>{detail}</div></li>\n",
        Holder::Span.text(&at("name"), &promise.name)
    )
}
