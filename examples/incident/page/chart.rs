//! The timelines: latency and errors of one service over the run, with the fault and the first alarm marked.

use crate::figure;
use crate::summary::{Health, Summary, Track};

use super::markup::{As, Holder, escape, px};
use super::scale::{self, Scale};

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 222.0;
const LEFT: f64 = 50.0;
const RIGHT: f64 = 312.0;
const LATENCY_TOP: f64 = 18.0;
const LATENCY_BOTTOM: f64 = 128.0;
const ERROR_TOP: f64 = 146.0;
const ERROR_BOTTOM: f64 = 184.0;
/// Least distance of two lines of text.
const LINE: f64 = 12.0;
/// The error axis reaches at least this share, so that one failure does not fill it.
const LEAST_ERROR_SHARE: f64 = 0.05;

/// What all timelines share, so that they can be compared.
#[derive(Debug)]
pub(crate) struct Charts<'a> {
    summary: &'a Summary,
    time: Scale,
    latency: Scale,
    latency_ticks: Vec<f64>,
    error: Scale,
    error_top_share: f64,
}

impl<'a> Charts<'a> {
    /// Finds the scales; none where nothing was measured.
    pub(crate) fn of(summary: &'a Summary) -> Option<Self> {
        let timeline = &summary.timeline;
        let (first, last) = (*timeline.at_secs.first()?, *timeline.at_secs.last()?);
        let latencies =
            || timeline.tracks.iter().flat_map(|track| track.p50_ms.iter().chain(&track.p95_ms)).flatten();
        let lowest = latencies().copied().filter(|ms| *ms > 0.0).fold(f64::INFINITY, f64::min);
        let highest = latencies().copied().fold(0.0, f64::max);
        let (low, high) = scale::log_domain(lowest, highest);
        let shares = timeline.tracks.iter().flat_map(|track| &track.error_share).flatten();
        let highest_share = shares.copied().fold(LEAST_ERROR_SHARE, f64::max);
        let error_top_share = scale::round_up(highest_share).min(1.0);
        Some(Self {
            summary,
            time: Scale::linear((first, last), (LEFT, RIGHT)),
            latency: Scale::log((low, high), (LATENCY_BOTTOM, LATENCY_TOP)),
            latency_ticks: scale::powers(low, high),
            error: Scale::linear((0.0, error_top_share), (ERROR_BOTTOM, ERROR_TOP)),
            error_top_share,
        })
    }

    /// One figure for each service.
    pub(crate) fn figures(&self) -> String {
        let tracks = self.summary.timeline.tracks.iter().enumerate();
        tracks.map(|(index, track)| self.figure(index, track)).collect()
    }

    fn figure(&self, index: usize, track: &Track) -> String {
        let service = self.summary.services.iter().position(|service| service.name == track.service);
        let health =
            service.and_then(|at| self.summary.services.get(at)).map_or(Health::Healthy, |s| s.health);
        let caption = service.map(|at| self.caption(at)).unwrap_or_default();
        let (class, word) = super::graph::health_words(health);
        format!(
            "<figure class=\"panel {class}\" data-track=\"{index}\">\n<figcaption><h3>{}</h3>\
             <span class=\"state\">{word}</span><p class=\"readout\">{caption}</p></figcaption>\n{}</figure>\n",
            escape(&track.service),
            self.drawing(index, track)
        )
    }

    fn caption(&self, at: usize) -> String {
        let Some(service) = self.summary.services.get(at) else { return String::new() };
        format!(
            "{} · {}",
            Holder::Span.shift("p95", &format!("/services/{at}/p95_ms"), As::Millis, service.p95_ms),
            Holder::Span.shift(
                "errors",
                &format!("/services/{at}/error_share"),
                As::Share,
                service.error_share
            )
        )
    }

    fn drawing(&self, index: usize, track: &Track) -> String {
        let label = format!("Latency and share of errors of {} over time", escape(&track.service));
        let path = |field: &str, class: &str, values: &[Option<f64>], scale: &Scale| {
            format!(
                "<path class=\"{class}\" data-at=\"/timeline/tracks/{index}/{field}\" data-as=\"line\" d=\"{}\"/>\n",
                self.line(values, scale)
            )
        };
        let lines = [
            path("p50_ms", "p50", &track.p50_ms, &self.latency),
            path("p95_ms", "p95", &track.p95_ms, &self.latency),
            path("error_share", "errors", &track.error_share, &self.error),
        ]
        .concat();
        format!(
            "<svg class=\"timeline\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{label}\"{}{}{}>\n\
             {}{}{}{lines}{}{}</svg>\n",
            self.time.attributes('x'),
            self.latency.attributes('y'),
            self.error.attributes('e'),
            self.grid(),
            self.time_axis(),
            self.error_area(&track.error_share),
            self.labels(track),
            self.marks()
        )
    }

    /// The points joined; a gap where a window has no value, a dot where a value stands alone.
    fn line(&self, values: &[Option<f64>], scale: &Scale) -> String {
        let mut path = String::new();
        let mut joined = false;
        let points: Vec<_> = self.summary.timeline.at_secs.iter().zip(values).collect();
        for (place, (at, value)) in points.iter().enumerate() {
            let Some(value) = value else {
                joined = false;
                continue;
            };
            path.push_str(if joined { "L" } else { "M" });
            path.push_str(&format!("{} {}", px(self.time.at(**at)), px(scale.at(*value))));
            let goes_on = points.get(place + 1).is_some_and(|(_, next)| next.is_some());
            if !joined && !goes_on {
                path.push_str("h0");
            }
            joined = true;
        }
        path
    }

    fn error_area(&self, values: &[Option<f64>]) -> String {
        let half = self.summary.timeline.window_secs / 2.0;
        let bars = self.summary.timeline.at_secs.iter().zip(values).filter_map(|(at, value)| {
            let top = self.error.at((*value)?);
            let (from, to) = (self.time.at(at - half), self.time.at(at + half));
            let (from, top, bottom, to) = (px(from), px(top), px(ERROR_BOTTOM), px(to));
            (top != bottom).then(|| format!("M{from} {bottom}V{top}H{to}V{bottom}z"))
        });
        format!("<path class=\"error-area\" d=\"{}\"/>\n", bars.collect::<String>())
    }

    fn grid(&self) -> String {
        let rule = |y: f64, text: &str| {
            format!(
                "<path class=\"rule\" d=\"M{} {y}H{}\"/><text class=\"tick\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{text}</text>\n",
                px(LEFT),
                px(RIGHT),
                px(LEFT - 6.0),
                px(y + 3.5),
                y = px(y)
            )
        };
        let after = self.summary.fault.as_ref().map(|fault| {
            let from = self.time.at(fault.at_secs);
            format!(
                "<rect class=\"after\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>\n",
                px(from),
                px(LATENCY_TOP),
                px((RIGHT - from).max(0.0)),
                px(ERROR_BOTTOM - LATENCY_TOP)
            )
        });
        let mut grid = after.unwrap_or_default();
        for &ms in &self.latency_ticks {
            grid.push_str(&rule(self.latency.at(ms), &round_millis(ms)));
        }
        grid.push_str(&rule(self.error.at(0.0), &round_share(0.0)));
        grid.push_str(&rule(self.error.at(self.error_top_share), &round_share(self.error_top_share)));
        grid
    }

    /// Seconds from the fault, or from the beginning, and below the first, the last and zero the wall clock.
    fn time_axis(&self) -> String {
        let zero = self.zero_secs();
        let at = &self.summary.timeline.at_secs;
        let (first, last) = (at.first().copied().unwrap_or(0.0), at.last().copied().unwrap_or(0.0));
        let ticks = scale::ticks(first - zero, last - zero, 4);
        let mut axis = String::new();
        for &tick in &ticks {
            let x = px(self.time.at(tick + zero));
            axis.push_str(&format!(
                "<path class=\"rule\" d=\"M{x} {}v4\"/><text class=\"tick\" x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
                px(ERROR_BOTTOM),
                px(ERROR_BOTTOM + 16.0),
                figure::offset(tick)
            ));
        }
        let ends = [ticks.first(), ticks.last(), ticks.iter().find(|tick| **tick == 0.0)];
        let mut shown: Vec<f64> = ends.into_iter().flatten().copied().collect();
        shown.dedup();
        let mut taken: Vec<f64> = Vec::new();
        for tick in shown {
            let x = self.time.at(tick + zero);
            // A clock of eight digits is some 48 pixels wide.
            if taken.iter().all(|other| (other - x).abs() > 54.0) {
                taken.push(x);
                axis.push_str(&format!(
                    "<text class=\"tick clock\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
                    px(x),
                    px(ERROR_BOTTOM + 30.0),
                    self.summary.clock_at(tick + zero)
                ));
            }
        }
        axis
    }

    /// Where the time axis reads zero.
    fn zero_secs(&self) -> f64 {
        self.summary.fault.as_ref().map_or(0.0, |fault| fault.at_secs)
    }

    /// The names of the lines at their right ends.
    fn labels(&self, track: &Track) -> String {
        let end =
            |values: &[Option<f64>]| values.iter().rev().flatten().next().map(|ms| self.latency.at(*ms));
        let mut labels = String::new();
        if let (Some(p95), Some(p50)) = (end(&track.p95_ms), end(&track.p50_ms)) {
            let (p95, p50) = scale::apart(p95, p50.max(p95 + 0.01), LINE);
            labels.push_str(&label("p95", "p95-label", p95));
            labels.push_str(&label("p50", "p50-label", p50));
        }
        labels.push_str(&label("errors", "errors-label", ERROR_BOTTOM - 6.0));
        labels
    }

    /// The fault and the first alarm, each with its name on the side away from the other.
    fn marks(&self) -> String {
        let mut marks: Vec<(f64, &str)> = Vec::new();
        if let Some(fault) = &self.summary.fault {
            marks.push((self.time.at(fault.at_secs), "fault"));
        }
        if let Some(incident) = &self.summary.incident {
            marks.push((self.time.at(incident.first_alarm_secs), "alarm"));
        }
        marks.sort_by(|a, b| a.0.total_cmp(&b.0));
        let alone = marks.len() == 1;
        let mut drawn = String::new();
        for (place, (x, name)) in marks.into_iter().enumerate() {
            let to_the_left = (place == 0 && !alone && x > LEFT + 30.0) || x > RIGHT - 10.0;
            let (anchor, shift) = if to_the_left { ("end", -3.0) } else { ("start", 3.0) };
            drawn.push_str(&format!(
                "<path class=\"{name}-mark\" d=\"M{x} {}V{}\"/><text class=\"mark {name}-name\" x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\">{name}</text>\n",
                px(LATENCY_TOP - 6.0),
                px(ERROR_BOTTOM),
                px(x + shift),
                px(LATENCY_TOP - 7.0),
                x = px(x)
            ));
        }
        drawn
    }
}

fn label(text: &str, class: &str, y: f64) -> String {
    format!("<text class=\"label {class}\" x=\"{}\" y=\"{}\">{text}</text>\n", px(RIGHT + 5.0), px(y + 4.0))
}

/// A round share: `5 %`.
fn round_share(share: f64) -> String {
    format!("{:.0}{}%", share * 100.0, figure::THIN)
}

/// A power of ten without needless digits: `1 ms`, `100 µs`.
fn round_millis(ms: f64) -> String {
    let (value, unit) = match ms {
        _ if ms < 0.999 => (ms * 1e3, "µs"),
        _ if ms < 999.0 => (ms, "ms"),
        _ => (ms / 1e3, "s"),
    };
    format!("{value:.0}{}{unit}", figure::THIN)
}
