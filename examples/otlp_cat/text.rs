//! Requests as text for people: a block for each record, its identifiers, times and attributes.

mod log;
mod metric;
mod profile;
mod span;
mod value;

use std::fmt::Write as _;

use otlp_core::protocol::Signal;
use otlp_core::record::{KeyValue, Resource, Scope};
use otlp_core::view::{LogsView, MetricsView, ProfilesView, TracesView};
use otlp_core::{DecodeError, Limits};

use value::{one_line, quoted};

/// The text of a request.
pub(crate) fn request(signal: Signal, wire: &[u8]) -> Result<String, DecodeError> {
    let mut page = Page::default();
    let limits = Limits::DEFAULT;
    macro_rules! grouped {
        ($view:ident, $records:ident, $print:path) => {
            for group in $view::parse(wire, &limits)?.to_record()?.resources {
                page.resource(signal, &group.resource);
                for scope in group.scopes {
                    page.scope(&scope.scope);
                    scope.$records.iter().for_each(|record| $print(&mut page, record));
                }
            }
        };
    }
    match signal {
        Signal::Traces => grouped!(TracesView, spans, span::print),
        Signal::Metrics => grouped!(MetricsView, metrics, metric::print),
        Signal::Logs => grouped!(LogsView, records, log::print),
        _ => {
            let request = ProfilesView::parse(wire, &limits)?.to_record()?;
            for group in request.resources {
                page.resource(signal, &group.resource);
                for scope in group.scopes {
                    page.scope(&scope.scope);
                    for each in &scope.profiles {
                        profile::print(&mut page, each, &request.dictionary);
                    }
                }
            }
        }
    }
    Ok(page.text)
}

/// Lines, each as far in as it belongs.
#[derive(Debug, Default)]
struct Page {
    text: String,
}

impl Page {
    /// A line, `depth` levels in. Writing to a string does not fail.
    fn line(&mut self, depth: usize, text: impl AsRef<str>) {
        let _ = writeln!(self.text, "{:1$}{2}", "", 2 * depth, text.as_ref().trim_end());
    }

    fn gap(&mut self) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
    }

    /// Attributes, their names to one width.
    fn attributes(&mut self, depth: usize, attributes: &[KeyValue]) {
        let width = attributes.iter().map(|pair| pair.key.chars().count()).max().unwrap_or(0).min(36);
        for pair in attributes {
            self.line(depth, format!("{:width$}  {}", quoted(&pair.key), one_line(&pair.value)));
        }
    }

    fn dropped(&mut self, depth: usize, what: &str, count: u32) {
        if count != 0 {
            self.line(depth, format!("({count} {what} dropped)"));
        }
    }

    fn resource(&mut self, signal: Signal, resource: &Resource) {
        self.gap();
        let service = resource.attributes.iter().find(|pair| pair.key == "service.name");
        let name =
            service.map_or_else(|| "a resource without service.name".into(), |pair| one_line(&pair.value));
        self.line(0, format!("== {signal} of {name}"));
        let others: Vec<KeyValue> =
            resource.attributes.iter().filter(|pair| pair.key != "service.name").cloned().collect();
        self.attributes(1, &others);
        self.dropped(1, "attributes", resource.dropped_attributes_count);
    }

    fn scope(&mut self, scope: &Scope) {
        if scope.name.is_empty() && scope.attributes.is_empty() {
            return;
        }
        self.gap();
        self.line(0, format!("-- {} {}", quoted(&scope.name), quoted(&scope.version)));
        self.attributes(1, &scope.attributes);
    }
}
