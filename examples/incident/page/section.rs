//! The sections of the page in their order; a section without content is not there at all.

mod cause;
mod export;
mod head;
mod log;
mod memory;
mod profile;
mod system;

use crate::figure;
use crate::summary::Summary;

use super::markup::{Holder, escape};

/// Everything inside `body` but data and script.
pub(crate) fn all(summary: &Summary, flame_svg: Option<&str>) -> String {
    let sections = [
        system::graph(summary),
        cause::ranking(summary),
        system::timelines(summary),
        memory::growth(summary),
        cause::alarms(summary),
        log::findings(summary),
        profile::changes(summary, flame_svg),
        export::balance(summary),
        export::events(summary),
        export::promises(summary),
        head::run_facts(summary),
    ];
    let parts: String = sections.into_iter().flatten().collect();
    format!(
        "{}<main>\n{parts}</main>\n<footer><p>Every number on this page is in <code>summary.json</code> beside it; \
         the captured spans lie there as raw OTLP.</p></footer>\n",
        head::top(summary)
    )
}

/// A section under its heading; `id` names it for links.
fn section(id: &str, title: &str, body: &str) -> String {
    format!(
        "<section id=\"{id}\" aria-labelledby=\"{id}-title\">\n<h2 id=\"{id}-title\">{title}</h2>\n{body}</section>\n"
    )
}

/// The first `most` items and the rest; a single item is not worth a fold.
fn first_and_rest(items: &[String], most: usize) -> (&[String], &[String]) {
    items.split_at(if items.len() <= most + 1 { items.len() } else { most })
}

/// What is beyond the first few, folded away but there; empty where there is nothing.
fn folded(summary: &str, body: &str) -> String {
    if body.is_empty() {
        return String::new();
    }
    format!("<details><summary>{summary}</summary>\n{body}</details>\n")
}

/// A table that scrolls by itself where it is too wide; `head` names the columns, numbers stand to the right.
fn table(label: &str, head: &[Column<'_>], rows: &str) -> String {
    let head: String = head
        .iter()
        .map(|column| format!("<th scope=\"col\"{}>{}</th>", column.class(), column.name()))
        .collect();
    format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{label}\"><table>\n<thead><tr>{head}</tr></thead>\n\
         <tbody>\n{rows}</tbody>\n</table></div>\n"
    )
}

/// A column of a table.
#[derive(Debug, Clone, Copy)]
enum Column<'a> {
    /// Words, to the left.
    Words(&'a str),
    /// Numbers, to the right.
    Number(&'a str),
    /// Bars that say again what numbers said; a phone leaves them out.
    Bars(&'a str),
}

impl Column<'_> {
    const fn name(&self) -> &str {
        match self {
            Self::Words(name) | Self::Number(name) | Self::Bars(name) => name,
        }
    }

    const fn class(&self) -> &'static str {
        match self {
            Self::Words(_) => "",
            Self::Number(_) => " class=\"number\"",
            Self::Bars(_) => " class=\"twin\"",
        }
    }
}

/// A cell of numbers.
fn number_cell(content: &str) -> String {
    format!("<td class=\"number\">{content}</td>")
}

/// The first cell of a row: whose row it is.
fn row_head(at: &str, name: &str) -> String {
    format!("<th scope=\"row\">{}</th>", Holder::Span.text(at, name))
}

/// A moment: how long after the fault, or after the beginning, and the wall clock.
fn moment(summary: &Summary, at: &str, at_secs: f64) -> String {
    let clock = summary.clock_at(at_secs);
    let relative = summary.fault.as_ref().map_or(at_secs, |fault| at_secs - fault.at_secs);
    // The test adds the fault's time before it compares.
    let offset = Holder::Span.marked(at, "moment", &figure::offset(relative));
    format!("<span class=\"moment\"><time>{clock}</time> {offset}</span>")
}

/// Code of others: as it is, breaking anywhere.
fn code(at: &str, text: &str) -> String {
    format!("<code data-at=\"{at}\" data-as=\"text\">{}</code>", escape(text))
}
