//! The chart of memory: what each process held, the limit, and where the one that leaks is going.

use crate::figure;
use crate::summary::{Exhaustion, Memory, MemoryTrack, Summary};

use super::markup::{escape, px};
use super::scale::{self, Scale};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 672.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 206.0;

/// Time on one axis, bytes on the other; both reach to where the limit is met at the latest.
struct Chart<'a> {
    summary: &'a Summary,
    memory: &'a Memory,
    time: Scale,
    bytes: Scale,
    /// Where the leaking process was last read: seconds and bytes.
    last: (f64, f64),
}

/// The chart as SVG.
pub(super) fn drawing(summary: &Summary, memory: &Memory, found: &Exhaustion) -> String {
    let Some(chart) = Chart::of(summary, memory, found) else { return String::new() };
    let label = format!(
        "Memory of each process over time; that of {} and where it meets the limit",
        escape(&found.service)
    );
    format!(
        "<svg class=\"memory\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{label}\">\n{}{}{}{}</svg>\n",
        chart.grid(),
        chart.outlook(found),
        chart.tracks(found),
        chart.marks()
    )
}

impl<'a> Chart<'a> {
    fn of(summary: &'a Summary, memory: &'a Memory, found: &Exhaustion) -> Option<Self> {
        let leaking = memory.tracks.iter().find(|track| track.service == found.service)?;
        let last = (*leaking.at_secs.last()?, figure::float(*leaking.bytes.last()?));
        let firsts = memory.tracks.iter().filter_map(|track| track.at_secs.first());
        let first = firsts.copied().fold(last.0, f64::min);
        let end = last.0 + found.latest_secs;
        let top = figure::float(memory.limit_bytes) * 1.08;
        Some(Self {
            summary,
            memory,
            time: Scale::linear((first, end), (LEFT, RIGHT)),
            bytes: Scale::linear((0.0, top), (BOTTOM, TOP)),
            last,
        })
    }

    fn limit(&self) -> f64 {
        self.bytes.at(figure::float(self.memory.limit_bytes))
    }

    fn grid(&self) -> String {
        let mut grid = String::new();
        let most = figure::float(self.memory.limit_bytes);
        for bytes in scale::ticks(0.0, most, 4) {
            let y = self.bytes.at(bytes);
            grid.push_str(&format!(
                "<path class=\"rule\" d=\"M{} {y}H{}\"/><text class=\"tick\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n",
                px(LEFT),
                px(RIGHT),
                px(LEFT - 6.0),
                px(y + 3.5),
                round_bytes(bytes),
                y = px(y)
            ));
        }
        let zero = self.summary.fault.as_ref().map_or(0.0, |fault| fault.at_secs);
        let (first, end) = (self.time_first(), self.time_last());
        for tick in scale::ticks(first - zero, end - zero, 8) {
            grid.push_str(&format!(
                "<path class=\"rule\" d=\"M{x} {}v4\"/><text class=\"tick\" x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
                px(BOTTOM),
                px(BOTTOM + 16.0),
                figure::offset(tick),
                x = px(self.time.at(tick + zero))
            ));
        }
        let (limit, y) = (round_bytes(most), px(self.limit()));
        grid.push_str(&format!(
            "<path class=\"limit\" d=\"M{} {y}H{}\"/><text class=\"label limit-name\" x=\"{}\" y=\"{}\" text-anchor=\"end\">limit {limit}</text>\n",
            px(LEFT),
            px(RIGHT),
            px(RIGHT),
            px(self.limit() - 5.0)
        ));
        grid
    }

    fn time_first(&self) -> f64 {
        let firsts = self.memory.tracks.iter().filter_map(|track| track.at_secs.first());
        firsts.copied().fold(self.last.0, f64::min)
    }

    fn time_last(&self) -> f64 {
        self.last.0 + self.memory.exhaustion.as_ref().map_or(0.0, |found| found.latest_secs)
    }

    /// From the last reading to the limit: the interval as a shape, the likeliest way as a line.
    fn outlook(&self, found: &Exhaustion) -> String {
        let (x, y) = (px(self.time.at(self.last.0)), px(self.bytes.at(self.last.1)));
        let at = |secs: f64| px(self.time.at(self.last.0 + secs));
        let limit = px(self.limit());
        let (earliest, likely, latest) =
            (at(found.earliest_secs), at(found.likely_secs), at(found.latest_secs));
        format!(
            "<path class=\"cone\" d=\"M{x} {y}L{earliest} {limit}H{latest}z\"/>\n<path class=\"way-on\" d=\"M{x} {y}L{likely} {limit}\"/>\n"
        )
    }

    fn tracks(&self, found: &Exhaustion) -> String {
        let line = |track: &MemoryTrack| {
            let points = track.at_secs.iter().zip(&track.bytes);
            let path: String = points
                .enumerate()
                .map(|(place, (at, bytes))| {
                    let step = if place == 0 { 'M' } else { 'L' };
                    format!("{step}{} {}", px(self.time.at(*at)), px(self.bytes.at(figure::float(*bytes))))
                })
                .collect();
            let class = if track.service == found.service { "held leaking" } else { "held" };
            format!("<path class=\"{class}\" d=\"{path}\"/>\n")
        };
        // The one that it is about is drawn last, above the others.
        let (leaking, others): (Vec<_>, Vec<_>) =
            self.memory.tracks.iter().partition(|track| track.service == found.service);
        let drawn: String = others.into_iter().chain(leaking).map(line).collect();
        let label = |class: &str, text: &str, y: f64| {
            let x = px(self.time.at(self.last.0) + 7.0);
            format!("<text class=\"label {class}\" x=\"{x}\" y=\"{}\">{text}</text>\n", px(y))
        };
        let others = self.memory.tracks.iter().filter(|track| track.service != found.service);
        let lowest = others.filter_map(|track| track.bytes.last()).min().copied();
        let leaking = self.bytes.at(self.last.1) + 14.0;
        let beside = lowest.map_or_else(String::new, |bytes| {
            label(
                "others-name",
                "the others",
                (self.bytes.at(figure::float(bytes)) + 12.0).max(leaking + 14.0),
            )
        });
        format!("{drawn}{}{beside}", label("leaking-name", &escape(&found.service), leaking))
    }

    /// The fault and the first alarm.
    fn marks(&self) -> String {
        let fault = self.summary.fault.as_ref().map(|fault| (fault.at_secs, "fault", "end", -3.0));
        let alarm = self.summary.incident.as_ref();
        let alarm = alarm.map(|incident| (incident.first_alarm_secs, "alarm", "start", 3.0));
        let mark = |(at, name, anchor, shift): (f64, &str, &str, f64)| {
            let x = self.time.at(at);
            format!(
                "<path class=\"{name}-mark\" d=\"M{x} {}V{}\"/><text class=\"mark {name}-name\" x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\">{name}</text>\n",
                px(TOP - 6.0),
                px(BOTTOM),
                px(x + shift),
                px(TOP - 9.0),
                x = px(x)
            )
        };
        fault.into_iter().chain(alarm).map(mark).collect()
    }
}

/// Bytes of an axis without needless digits.
fn round_bytes(bytes: f64) -> String {
    format!("{:.0}{}MB", bytes / 1e6, figure::THIN)
}
