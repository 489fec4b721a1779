//! The service graph as SVG: once along the width of a wide page, once down a phone.

use crate::figure;
use crate::summary::{Edge, Health, Service, Summary};

use super::layout::{self, Layout, Measure, Point};
use super::markup::{As, Holder, escape, px};

/// Room around the drawing, for loops and thick lines.
const MARGIN: f64 = 14.0;
/// Length of an arrow's head.
const HEAD: f64 = 9.0;
/// Room for what is spoken with a service, in ems of its own type.
const PROTOCOL_EM: f64 = 8.0;

/// Which way calls run on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// From left to right, for a wide page.
    Right,
    /// From top to bottom, for a phone.
    Down,
}

impl Flow {
    const fn measure(self) -> Measure {
        match self {
            Self::Right => Measure { along: 196.0, across: 88.0, layer_gap: 64.0, node_gap: 22.0 },
            Self::Down => Measure { along: 112.0, across: 112.0, layer_gap: 44.0, node_gap: 7.0 },
        }
    }

    /// Width and height of a node on the page.
    const fn node_size(self) -> (f64, f64) {
        let measure = self.measure();
        match self {
            Self::Right => (measure.along, measure.across),
            Self::Down => (measure.across, measure.along),
        }
    }

    fn xy(self, point: Point) -> (f64, f64) {
        let (x, y) = match self {
            Self::Right => (point.along, point.across),
            Self::Down => (point.across, point.along),
        };
        (x + self.side_margin(), y + MARGIN)
    }

    const fn side_margin(self) -> f64 {
        match self {
            Self::Right => MARGIN,
            // A phone has no pixel to give away.
            Self::Down => 2.0,
        }
    }

    const fn class(self) -> &'static str {
        match self {
            Self::Right => "wide",
            Self::Down => "narrow",
        }
    }
}

/// The class and the words for a state; the sign is there for those who do not see the colour.
pub(crate) const fn health_words(health: Health) -> (&'static str, &'static str) {
    match health {
        Health::Healthy => ("healthy", "healthy"),
        Health::Affected => ("affected", "▲ affected"),
        Health::Cause => ("cause", "◆ cause"),
    }
}

/// The graph in both flows; the style sheet shows the one that fits.
pub(crate) fn drawings(summary: &Summary) -> String {
    [Flow::Right, Flow::Down].map(|flow| drawing(summary, flow)).concat()
}

fn drawing(summary: &Summary, flow: Flow) -> String {
    let index = |name: &str| summary.services.iter().position(|service| service.name == name);
    let known: Vec<(&Edge, (usize, usize))> = summary
        .edges
        .iter()
        .filter_map(|edge| Some((edge, (index(&edge.caller)?, index(&edge.callee)?))))
        .collect();
    let ends: Vec<(usize, usize)> = known.iter().map(|(_, ends)| *ends).collect();
    let layout = layout::arrange(summary.services.len(), &ends, flow.measure());
    let busiest = known.iter().map(|(edge, _)| edge.rate_per_sec).fold(1e-9, f64::max);
    let mut body = String::new();
    for ((edge, (caller, _)), route) in known.iter().zip(&layout.routes) {
        let width = 1.5 + 4.0 * (edge.rate_per_sec.max(0.0) / busiest).sqrt();
        let corner = layout.nodes.get(*caller).copied();
        body.push_str(&edge_drawing(flow, edge, width, Way { route, corner }));
    }
    for (place, (service, corner)) in summary.services.iter().zip(&layout.nodes).enumerate() {
        body.push_str(&node(flow, place, service, *corner));
    }
    framed(flow, summary, &layout, &body)
}

fn framed(flow: Flow, summary: &Summary, layout: &Layout, body: &str) -> String {
    let (right, bottom) = flow.xy(layout.extent);
    let (width, height) = (right + flow.side_margin(), bottom + MARGIN);
    // A wide graph may shrink a little before it scrolls; a narrow one has small print already.
    let least = if flow == Flow::Right { width * 0.86 } else { width };
    format!(
        "<div class=\"scroll {class}\" tabindex=\"0\" role=\"region\" aria-label=\"Service graph\">\
         <svg class=\"graph\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" style=\"min-width:{least:.0}px\" \
         role=\"img\" aria-label=\"Graph of {services} services and {edges} kinds of calls; the table below has the same numbers\">\n\
         {body}</svg></div>\n",
        class = flow.class(),
        w = px(width),
        h = px(height),
        services = summary.services.len(),
        edges = summary.edges.len(),
    )
}

/// Where an edge runs; `corner` is that of its caller, for a call to oneself.
#[derive(Debug, Clone, Copy)]
struct Way<'a> {
    route: &'a [Point],
    corner: Option<Point>,
}

fn edge_drawing(flow: Flow, edge: &Edge, width: f64, way: Way<'_>) -> String {
    let (class, word) = health_words(edge.health);
    let title = format!(
        "{} calls {}{}: {}, {word}",
        escape(&edge.caller),
        escape(&edge.callee),
        edge.protocol.as_deref().map_or_else(String::new, |protocol| format!(" over {}", escape(protocol))),
        figure::rate(edge.rate_per_sec)
    );
    let (path, head) = match (way.route, way.corner) {
        ([.., before, last], _) => {
            let back = if last.along > before.along { -HEAD } else { HEAD };
            let neck = Point { along: last.along + back, across: last.across };
            (curve(flow, way.route, neck), arrow(flow, neck, *last, width))
        }
        (_, Some(corner)) => self_loop(flow, corner),
        _ => return String::new(),
    };
    format!(
        "<g class=\"edge {class}\"><title>{title}</title><path class=\"way\" stroke-width=\"{width:.1}\" d=\"{path}\"/>\
         <path class=\"head\" d=\"{head}\"/></g>\n"
    )
}

/// Straight through layers and curved between them; the last point is moved to the arrow's neck.
fn curve(flow: Flow, route: &[Point], neck: Point) -> String {
    let mut path = String::new();
    let mut last: Option<Point> = None;
    let points = route.iter().copied().take(route.len().saturating_sub(1)).chain([neck]);
    for point in points {
        let (x, y) = flow.xy(point);
        match last {
            None => path.push_str(&format!("M{} {}", px(x), px(y))),
            Some(last) => {
                let middle = f64::midpoint(last.along, point.along);
                let (x1, y1) = flow.xy(Point { along: middle, across: last.across });
                let (x2, y2) = flow.xy(Point { along: middle, across: point.across });
                path.push_str(&format!("C{} {} {} {} {} {}", px(x1), px(y1), px(x2), px(y2), px(x), px(y)));
            }
        }
        last = Some(point);
    }
    path
}

fn arrow(flow: Flow, neck: Point, tip: Point, width: f64) -> String {
    let half = 3.5 + width / 2.0;
    let corners = [
        tip,
        Point { along: neck.along, across: neck.across - half },
        Point { along: neck.along, across: neck.across + half },
    ];
    let [a, b, c] = corners.map(|corner| {
        let (x, y) = flow.xy(corner);
        format!("{} {}", px(x), px(y))
    });
    format!("M{a}L{b}L{c}z")
}

/// A loop over the upper right corner of a node that calls itself.
fn self_loop(flow: Flow, corner: Point) -> (String, String) {
    let (x, y) = flow.xy(corner);
    let right = x + flow.node_size().0;
    let (from, to) = (px(right - 38.0), px(right - 14.0));
    let high = px(y - 12.0);
    let head = format!("M{to} {}l-4 -6h8z", px(y));
    (format!("M{from} {y}C{from} {high} {to} {high} {to} {}", px(y - 5.0), y = px(y)), head)
}

fn node(flow: Flow, place: usize, service: &Service, corner: Point) -> String {
    let (class, word) = health_words(service.health);
    let (x, y) = flow.xy(corner);
    let (width, height) = flow.node_size();
    let lines = match flow {
        Flow::Right => wide_lines(place, service),
        Flow::Down => narrow_lines(place, service),
    };
    let (inset, font_px) = if flow == Flow::Right { (14.0, 14.0) } else { (9.0, 12.0) };
    // On a wide page what is spoken with the service stands beside its name, on a phone it is the first line below.
    let spoken = service.protocol.as_deref().filter(|_| flow == Flow::Right);
    let spoken = spoken.map(|protocol| fitted(protocol, PROTOCOL_EM)).unwrap_or_default();
    let beside = if spoken.is_empty() { 0.0 } else { width_em(&spoken) * 12.0 + 8.0 };
    let mut text = format!(
        "<text class=\"name\" x=\"{}\" y=\"20\">{}</text>",
        px(inset),
        escape(&fitted(&service.name, (width - inset - 5.0 - beside) / font_px))
    );
    if !spoken.is_empty() {
        text.push_str(&format!(
            "<text x=\"{}\" y=\"20\" text-anchor=\"end\">{}</text>",
            px(width - 12.0),
            escape(&spoken)
        ));
    }
    for (place, line) in lines.iter().enumerate() {
        let below = [38.0, 54.0, 70.0, 86.0, 102.0].get(place).copied().unwrap_or(102.0);
        text.push_str(&format!("<text x=\"{}\" y=\"{}\">{line}</text>", px(inset), px(below)));
    }
    if flow == Flow::Right {
        text.push_str(&format!(
            "<text class=\"state\" x=\"{}\" y=\"72\" text-anchor=\"end\">{word}</text>",
            px(width - 12.0)
        ));
    }
    format!(
        "<g class=\"node {class}\" transform=\"translate({} {})\"><title>{}: {word}</title>\
         <rect class=\"box\" width=\"{}\" height=\"{}\" rx=\"8\"/><path class=\"band\" d=\"M0 8a8 8 0 0 1 5 -7.4V{}a8 8 0 0 1 -5 -7.4z\"/>{text}</g>\n",
        px(x),
        px(y),
        escape(&service.name),
        px(width),
        px(height),
        px(height - 0.6)
    )
}

fn wide_lines(place: usize, service: &Service) -> Vec<String> {
    let at = |path: &str| format!("/services/{place}/{path}");
    vec![
        Holder::Tspan.shift("p95", &at("p95_ms"), As::Millis, service.p95_ms),
        Holder::Tspan.shift("errors", &at("error_share"), As::Share, service.error_share),
        Holder::Tspan.number(&at("rate_per_sec"), As::Rate, service.rate_per_sec),
    ]
}

fn narrow_lines(place: usize, service: &Service) -> Vec<String> {
    let (_, word) = health_words(service.health);
    let number = |path: &str, written: As, value: Option<f64>| {
        Holder::Tspan.number(&format!("/services/{place}/{path}"), written, value)
    };
    let before = |path: &str, written: As, value| number(&format!("{path}/before"), written, value);
    let (p95, errors) = (service.p95_ms, service.error_share);
    let errors = match errors.after {
        Some(after) => number("error_share/after", As::Share, Some(after)),
        None => before("error_share", As::Share, errors.before),
    };
    let latency = match p95.after {
        Some(after) => [
            format!("p95 {}", number("p95_ms/after", As::Millis, Some(after))),
            format!("was {}", before("p95_ms", As::Millis, p95.before)),
        ],
        None => [
            format!("p95 {}", before("p95_ms", As::Millis, p95.before)),
            number("rate_per_sec", As::Rate, Some(service.rate_per_sec)),
        ],
    };
    let [first, second] = latency;
    let spoken = service
        .protocol
        .as_deref()
        .map_or_else(String::new, |protocol| escape(&fitted(protocol, PROTOCOL_EM)));
    let state = format!("<tspan class=\"state\">{word}</tspan>");
    vec![spoken, state, first, second, format!("errors {errors}")]
}

/// As much of a name as fits into so many ems of bold type; the widths are those of a wide face, so that
/// others have room to spare.
fn fitted(name: &str, most_em: f64) -> String {
    let mut taken = 0.0;
    for (fitting, c) in name.chars().enumerate() {
        taken += letter_em(c);
        if taken > most_em - letter_em('…') {
            let whole = width_em(name);
            return if whole <= most_em { name.to_owned() } else { figure::shortened(name, fitting + 1) };
        }
    }
    name.to_owned()
}

fn width_em(text: &str) -> f64 {
    text.chars().map(letter_em).sum()
}

fn letter_em(letter: char) -> f64 {
    match letter {
        'i' | 'j' | 'l' | '.' | ',' | ':' | '\'' | '|' | ' ' => 0.38,
        'f' | 't' | 'r' | '-' | '(' | ')' | '/' => 0.5,
        'm' | 'w' | 'M' | 'W' | '@' | '%' | '…' => 1.05,
        'A'..='Z' | '_' => 0.8,
        c if c.is_ascii() => 0.71,
        // Letters of other scripts may be as wide as they are high.
        '\u{c0}'..='\u{24f}' => 0.8,
        _ => 1.05,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_by_the_room_they_take_and_not_by_their_letters() {
        assert_eq!(fitted("inventory", 8.0), "inventory");
        assert_eq!(fitted("illilliilliill", 8.0), "illilliilliill");
        assert_eq!(fitted("mmmmmmmmmmm", 8.0), "mmmmmm…");
        assert_eq!(fitted("在庫在庫在庫在庫在庫", 8.0), "在庫在庫在庫…");
    }

    #[test]
    fn a_call_to_oneself_is_a_loop_and_a_call_back_points_backwards() {
        let (path, head) = self_loop(Flow::Right, Point { along: 0.0, across: 0.0 });
        assert!(path.contains('C') && head.ends_with('z'));
        let back = [Point { along: 300.0, across: 10.0 }, Point { along: 196.0, across: 40.0 }];
        let edge = Edge {
            caller: "b".into(),
            callee: "a".into(),
            protocol: Some("gRPC".into()),
            rate_per_sec: 1.0,
            health: Health::Healthy,
        };
        let drawn = edge_drawing(Flow::Right, &edge, 2.0, Way { route: &back, corner: None });
        assert!(drawn.contains("<title>b calls a over gRPC: 1"), "{drawn}");
        // The neck of the arrow stands to the right of its tip.
        assert!(drawn.contains("219 54\"/><path class=\"head\" d=\"M210 54L219 49.5L219 58.5z"), "{drawn}");
    }
}
