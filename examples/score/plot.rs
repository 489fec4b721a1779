//! A series and its alerts as a picture.

use std::fmt::Write as _;

use crate::series::Point;
use crate::stream::Scored;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 240.0;
const MARGIN: f64 = 36.0;
/// Two a unit of the width.
const COLUMNS: usize = 1_920;

/// The series as a line in time, one column of pixels at a time from its least to its largest value, with the alerts
/// as bands behind it. Readable in light and dark.
pub(crate) fn svg(name: &str, points: &[Point], scored: &Scored) -> String {
    let finite = || points.iter().map(|point| point.value).filter(|value| value.is_finite());
    let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    let height = if high > low { high - low } else { 1.0 };
    let x = |place: usize| MARGIN + (WIDTH - 2.0 * MARGIN) * place as f64 / points.len().max(2) as f64;
    let y = |value: f64| HEIGHT - MARGIN - (HEIGHT - 2.0 * MARGIN) * (value - low) / height;
    let mut bands = String::new();
    for alert in &scored.alerts {
        let (left, right) = (x(alert.first), x(alert.last + 1));
        let _ = write!(
            bands,
            r##"<rect x="{:.1}" y="{MARGIN}" width="{:.1}" height="{:.1}" fill="#d9480f" fill-opacity=".35"><title>score {:.2}, threshold {:.2}</title></rect>"##,
            left - 1.0,
            (right - left).max(1.0) + 2.0,
            HEIGHT - 2.0 * MARGIN,
            alert.score,
            alert.threshold,
        );
    }
    let mut path = String::new();
    let columns = points.len().div_ceil(COLUMNS).max(1);
    for (column, few) in points.chunks(columns).enumerate() {
        let values = || few.iter().map(|point| point.value).filter(|value| value.is_finite());
        let extremes = [values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max)];
        for value in extremes.into_iter().filter(|value| value.is_finite()).take(few.len()) {
            let letter = if path.is_empty() { 'M' } else { 'L' };
            let _ = write!(path, "{letter}{:.1} {:.1}", x(column * columns), y(value));
        }
    }
    let (from, to) = (text_of(points.first()), text_of(points.last()));
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="system-ui,sans-serif" font-size="11">
<style>text{{fill:#495057}}path{{stroke:#1c7ed6}}@media(prefers-color-scheme:dark){{svg{{background:#1a1b1e}}text{{fill:#adb5bd}}path{{stroke:#74c0fc}}}}</style>
{bands}<path d="{path}" fill="none" stroke-width="1"/>
<text x="{MARGIN}" y="18" font-weight="600">{}</text><text x="{:.0}" y="18" text-anchor="end">{} alerts</text>
<text x="{MARGIN}" y="{:.0}">{from}</text><text x="{:.0}" y="{:.0}" text-anchor="end">{to}</text>
<text x="{:.0}" y="{:.0}" text-anchor="end">{}</text><text x="{:.0}" y="{:.0}" text-anchor="end">{}</text>
</svg>
"##,
        escaped(name),
        WIDTH - MARGIN,
        scored.alerts.len(),
        HEIGHT - 8.0,
        WIDTH - MARGIN,
        HEIGHT - 8.0,
        MARGIN - 3.0,
        MARGIN + 4.0,
        short(high),
        MARGIN - 3.0,
        HEIGHT - MARGIN,
        short(low),
    )
}

fn text_of(point: Option<&Point>) -> String {
    point.map_or_else(String::new, |point| escaped(&point.text))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// A number in the few characters that the margin has room for.
fn short(value: f64) -> String {
    let size = value.abs();
    match size {
        _ if !value.is_finite() => "-".to_owned(),
        _ if size >= 1e4 || (size > 0.0 && size < 0.01) => format!("{value:.0e}"),
        _ if size >= 10.0 => format!("{value:.0}"),
        _ => format!("{value:.2}"),
    }
}
