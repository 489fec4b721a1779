//! What the processes held, where one of them runs out.

use crate::figure;
use crate::page::markup::{As, Holder};
use crate::page::memory;
use crate::summary::Summary;

use super::section;

/// The memory of all processes over time, and the way of the one that leaks to its limit.
pub(super) fn growth(summary: &Summary) -> Option<String> {
    let held = summary.memory.as_ref()?;
    let found = held.exhaustion.as_ref()?;
    let number = |field: &str, written, value| {
        Holder::Span.number(&format!("/memory/exhaustion/{field}"), written, value)
    };
    let body = format!(
        "<p>{} holds {} more each second. It reaches its limit of {} in {}, at the earliest in {} and at the latest in {} \
         (95{}%).</p>\n<figure class=\"panel\">\n{}</figure>\n",
        Holder::Span.text("/memory/exhaustion/service", &found.service),
        number("bytes_per_sec", As::Bytes, found.bytes_per_sec),
        Holder::Span.number("/memory/limit_bytes", As::Bytes, figure::float(held.limit_bytes)),
        number("likely_secs", As::Secs, found.likely_secs),
        number("earliest_secs", As::Secs, found.earliest_secs),
        number("latest_secs", As::Secs, found.latest_secs),
        figure::THIN,
        memory::drawing(summary, held, found)
    );
    Some(section("memory", "Memory", &body))
}
