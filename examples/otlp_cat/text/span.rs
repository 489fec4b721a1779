//! Spans.

use otlp_core::record::{Event, Link, Span, SpanKind, StatusCode};

use super::Page;
use super::value::{length, quoted, time};

pub(super) fn print(page: &mut Page, span: &Span) {
    page.gap();
    let kind = match span.kind {
        SpanKind::Unspecified => String::new(),
        SpanKind::Other(number) => format!("  kind {number}"),
        kind => format!("  {}", format!("{kind:?}").to_lowercase()),
    };
    let status = match span.status.code {
        StatusCode::Unset => "",
        StatusCode::Ok => "  ok",
        StatusCode::Error => "  ERROR",
        _ => "  status unknown",
    };
    let head =
        format!("{}  {}{kind}  {}{status}", time(span.start), quoted(&span.name), length(span.duration()));
    page.line(0, head);
    let parent = if span.parent_span_id.is_valid() {
        format!("  parent {}", span.parent_span_id)
    } else {
        String::new()
    };
    page.line(1, format!("trace {}  span {}{parent}", span.trace_id, span.span_id));
    if !span.status.message.is_empty() {
        page.line(1, format!("status: {}", quoted(&span.status.message)));
    }
    if !span.trace_state.is_empty() {
        page.line(1, format!("tracestate {}", quoted(&span.trace_state)));
    }
    page.attributes(1, &span.attributes);
    page.dropped(1, "attributes", span.dropped_attributes_count);
    span.events.iter().for_each(|each| event(page, span, each));
    page.dropped(1, "events", span.dropped_events_count);
    span.links.iter().for_each(|each| link(page, each));
    page.dropped(1, "links", span.dropped_links_count);
}

fn event(page: &mut Page, span: &Span, event: &Event) {
    let after = length(event.time.duration_since(span.start));
    page.line(1, format!("* {} after {after}", quoted(&event.name)));
    page.attributes(3, &event.attributes);
    page.dropped(3, "attributes", event.dropped_attributes_count);
}

fn link(page: &mut Page, link: &Link) {
    page.line(1, format!("-> trace {}  span {}", link.trace_id, link.span_id));
    page.attributes(3, &link.attributes);
    page.dropped(3, "attributes", link.dropped_attributes_count);
}
