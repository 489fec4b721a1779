//! The report of one case: a page that needs nothing else.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use otlp_anomaly::catalogue::Criticality;
use otlp_anomaly::cause::{Cause, Ranking};

use crate::input::{Input, Part};

/// Causes that are explained, services that are drawn, and those of a blast radius that are named.
const EXPLAINED: usize = 10;
const DRAWN: usize = 30;
const NAMED: usize = 4;
/// Sizes of the picture, in pixels.
const BOX: (f64, f64) = (168.0, 30.0);
const GAP: (f64, f64) = (36.0, 12.0);
/// Room in a box for a name, and the heat from which on ink is too dark.
const ROOM: f64 = BOX.0 - 18.0;
const HOT: f64 = 0.45;

/// The page of a case.
pub(crate) fn page(input: &Input, ranking: &Ranking) -> String {
    let title = escape(&input.name);
    let finding = ranking.to_finding();
    let given: Vec<&str> = Part::ALL.into_iter().filter(|part| input.has(*part)).map(Part::name).collect();
    let mut body = format!(
        "<h1>{title}</h1>\n<p class=\"finding\">{}</p>\n<p>Confidence {:.0} %. Given: {}.</p>\n",
        escape(&finding.title),
        finding.confidence * 100.0,
        given.join(", "),
    );
    body.push_str(&looked_after(input, ranking.top()));
    body.push_str(&graph(input, ranking));
    body.push_str("<h2>Causes</h2>\n");
    if ranking.causes.is_empty() {
        body.push_str("<p>Nothing speaks for any service.</p>\n");
    }
    let most = ranking.causes.first().map_or(1.0, |cause| cause.score).max(1e-9);
    for (place, cause) in ranking.causes.iter().take(EXPLAINED).enumerate() {
        body.push_str(&explained((place, cause), most, input));
    }
    if !ranking.metrics.is_empty() {
        body.push_str("<h2>Metrics that moved</h2>\n<div class=\"wide\"><table><tr><th>service</th><th>metric</th><th>before</th><th>since</th><th>score</th></tr>\n");
        for metric in ranking.metrics.iter().take(EXPLAINED) {
            let _ = writeln!(
                body,
                "<tr><td>{}</td><td>{}</td><td>{:.4}</td><td>{:.4}</td><td>{:.2}</td></tr>",
                escape(&metric.service),
                escape(&metric.metric),
                metric.before,
                metric.after,
                metric.score,
            );
        }
        body.push_str("</table></div>\n");
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>{STYLE}</style></head>\n<body><main>\n{body}</main></body></html>\n"
    )
}

/// Who looks after the cause, and who suffers with it.
fn looked_after(input: &Input, cause: Option<&Cause>) -> String {
    let Some(service) = cause.and_then(|cause| cause.subject.service()) else { return String::new() };
    let mut text = String::new();
    if let Some(entry) = input.catalogue.entry(service) {
        let _ = writeln!(text, "<p>{}: {}.</p>", escape(service), escape(&entry.to_string()));
    }
    let radius = input.catalogue.blast_radius(&input.before.graph, service);
    let named = radius.affected.iter().take(NAMED).map(|one| {
        let stated = if one.criticality == Criticality::default() { "" } else { one.criticality.name() };
        format!(
            "{} ({:.0} %{}{stated})",
            one.service,
            one.share * 100.0,
            if stated.is_empty() { "" } else { ", " }
        )
    });
    let named: Vec<String> = named.collect();
    if !named.is_empty() {
        let more = radius.affected.len() - named.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let _ = writeln!(
            text,
            "<p>Blast radius {:.1}: requests of {}{more} need it.</p>",
            radius.weight,
            escape(&named.join(", "))
        );
    }
    text
}

fn explained((place, cause): (usize, &Cause), most: f64, input: &Input) -> String {
    let mut text = format!(
        "<section class=\"cause\"><h3>{}. {} <small>score {:.2}, confidence {:.0} %</small></h3>\n",
        place + 1,
        escape(&cause.subject.to_string()),
        cause.score,
        cause.confidence * 100.0,
    );
    if let Some(entry) = cause.subject.service().and_then(|service| input.catalogue.entry(service)) {
        let _ = writeln!(text, "<p class=\"owner\">{}</p>", escape(&entry.to_string()));
    }
    text.push_str("<div class=\"parts\">");
    for part in &cause.contributions {
        let width = (part.weight / most * 100.0).clamp(1.0, 100.0);
        let _ = write!(
            text,
            "<div><span class=\"name\">{}</span><span class=\"track\"><span class=\"bar\" style=\"width:{width:.1}%\"></span></span><span class=\"weight\">{:.2}</span></div>",
            part.source.name(),
            part.weight,
        );
    }
    text.push_str("</div>\n<ul>");
    for evidence in &cause.evidence {
        let _ = write!(text, "<li>{}</li>", escape(&evidence.to_string().replace(" -> ", " → ")));
    }
    text.push_str("</ul></section>\n");
    text
}

/// Services and calls, callers on the left, the suspected darker.
fn graph(input: &Input, ranking: &Ranking) -> String {
    let calls = calls(input);
    if calls.is_empty() {
        return String::new();
    }
    let scores: BTreeMap<&str, f64> =
        ranking.causes.iter().filter_map(|cause| Some((cause.subject.service()?, cause.score))).collect();
    let score = |service: &str| scores.get(service).copied().unwrap_or_default();
    let (shown, left_out) = drawn(&calls, score);
    let layers = layers(&shown, &calls);
    let mut rows: BTreeMap<usize, usize> = BTreeMap::new();
    let mut places: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for service in &shown {
        let layer = layers.get(service).copied().unwrap_or_default();
        let row = rows.entry(layer).or_default();
        let at = (layer as f64 * (BOX.0 + GAP.0) + 4.0, *row as f64 * (BOX.1 + GAP.1) + 4.0);
        places.insert(service, at);
        *row += 1;
    }
    let columns = layers.values().max().map_or(1, |last| last + 1) as f64;
    let lines = rows.values().max().copied().unwrap_or(1) as f64;
    let (width, height) = (columns * (BOX.0 + GAP.0) - GAP.0 + 8.0, lines * (BOX.1 + GAP.1) - GAP.1 + 8.0);
    let mut svg = format!(
        "<h2>Who calls whom</h2>\n<div class=\"wide\"><svg viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\" aria-label=\"services and calls\">\n"
    );
    for (from, to) in &calls {
        let (Some(from), Some(to)) = (places.get(from), places.get(to)) else { continue };
        let (x1, y1, x2, y2) = (from.0 + BOX.0, from.1 + BOX.1 / 2.0, to.0, to.1 + BOX.1 / 2.0);
        let bend = (x2 - x1).abs().max(40.0) / 2.0;
        let _ = writeln!(
            svg,
            "<path class=\"call\" d=\"M{x1:.0} {y1:.0} C{:.0} {y1:.0} {:.0} {y2:.0} {x2:.0} {y2:.0}\"/>",
            x1 + bend,
            x2 - bend,
        );
    }
    let most = ranking.causes.first().map_or(1.0, |cause| cause.score).max(1e-9);
    for (service, (x, y)) in &places {
        let share = (score(service) / most).clamp(0.0, 1.0);
        let short = shortened(service);
        let _ = writeln!(
            svg,
            "<g{}><title>{}: {:.2}</title><rect x=\"{x:.0}\" y=\"{y:.0}\" width=\"{}\" height=\"{}\" rx=\"6\" style=\"--heat:{:.0}%\"/><text x=\"{:.0}\" y=\"{:.0}\">{}</text></g>",
            if share >= HOT { " class=\"hot\"" } else { "" },
            escape(service),
            score(service),
            BOX.0,
            BOX.1,
            share * 100.0,
            x + 9.0,
            y + 19.5,
            escape(&short),
        );
    }
    svg.push_str("</svg></div>\n");
    if left_out > 0 {
        let _ = writeln!(
            svg,
            "<p>{left_out} services that are less suspected, or far from those that are, are not drawn.</p>"
        );
    }
    svg
}

/// The suspected, those that they call or are called by, then others as far as there is room; and how many are left out.
fn drawn<'a>(calls: &[(&'a str, &'a str)], score: impl Fn(&str) -> f64) -> (Vec<&'a str>, usize) {
    let mut all: BTreeMap<&str, f64> = BTreeMap::new();
    for (from, to) in calls {
        for (service, other) in [(*from, *to), (*to, *from)] {
            let near = all.entry(service).or_insert_with(|| score(service));
            // A neighbour counts, but less than any suspect.
            *near = near.max(score(other) * 1e-3);
        }
    }
    let mut shown: Vec<&str> = all.keys().copied().collect();
    let counts = |service: &str| all.get(service).copied().unwrap_or_default();
    shown.sort_by(|a, b| counts(b).total_cmp(&counts(a)));
    let is_suspected = shown.iter().any(|service| counts(service) > 0.0);
    shown.truncate(DRAWN);
    if is_suspected {
        shown.retain(|service| counts(service) > 0.0);
    }
    let left_out = all.len() - shown.len();
    (shown, left_out)
}

fn calls(input: &Input) -> Vec<(&str, &str)> {
    let told = input.calls.iter().map(|(from, to)| (from.as_str(), to.as_str()));
    let graphs = [&input.before, &input.after].map(|period| period.graph.edges());
    let seen = graphs.into_iter().flatten().map(|(from, to, _)| (from, to));
    let mut calls: Vec<(&str, &str)> = told.chain(seen).collect();
    calls.sort_unstable();
    calls.dedup();
    calls
}

/// How many calls lie before each service, as far as there are no circles.
fn layers<'a>(shown: &[&'a str], calls: &[(&'a str, &'a str)]) -> BTreeMap<&'a str, usize> {
    let mut layers: BTreeMap<&str, usize> = shown.iter().map(|service| (*service, 0)).collect();
    // Circles end here: as many rounds as a real system is deep.
    for _ in 0..8 {
        for (from, to) in calls {
            let Some(above) = layers.get(from).copied().filter(|above| *above < 8) else { continue };
            if let Some(layer) = layers.get_mut(to).filter(|_| from != to) {
                *layer = (*layer).max(above + 1);
            }
        }
    }
    let mut used: Vec<usize> = layers.values().copied().collect();
    used.sort_unstable();
    used.dedup();
    layers.values_mut().for_each(|layer| *layer = used.binary_search(layer).unwrap_or_default());
    layers
}

/// As much of a name as fits a box, by about how wide letters are.
fn shortened(service: &str) -> String {
    let width = |letter: char| match letter {
        'i' | 'j' | 'l' | 'I' | '.' | ':' | '-' | '/' | 'f' | 't' | 'r' => 4.2,
        'm' | 'w' | 'M' | 'W' | '@' | '%' => 10.5,
        letter if letter.is_uppercase() || !letter.is_ascii() => 8.4,
        _ => 6.9,
    };
    let mut left = ROOM;
    let fits = |letter: &char| {
        left -= width(*letter);
        left >= 0.0
    };
    let short: String = service.chars().take_while(fits).collect();
    if short.len() == service.len() {
        return short;
    }
    let mut short: Vec<char> = short.chars().collect();
    short.pop();
    short.into_iter().chain(['…']).collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1b1f24;--paper:#fff;--line:#c9d1d9;--soft:#f3f5f7;--hot:#c62828}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--paper:#0d1117;--line:#3d444d;--soft:#161b22;--hot:#d94848}}
body{margin:0;font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper)}
main{max-width:1210px;margin:0 auto;padding:24px 16px}
h1{font-size:22px;overflow-wrap:anywhere}h2{font-size:18px;margin-top:32px}h3{font-size:16px;margin:0 0 8px;overflow-wrap:anywhere}
small{font-weight:400;opacity:.7}.finding{font-size:18px;overflow-wrap:anywhere}
.wide{overflow-x:auto;scrollbar-width:thin}svg{display:block}svg text{font-size:12px;fill:var(--ink)}svg .hot text{fill:#fff}
rect{fill:color-mix(in srgb,var(--hot) var(--heat),var(--soft));stroke:var(--line)}
.call{fill:none;stroke:var(--line);stroke-width:1.2}
.owner{margin:0 0 8px;opacity:.8}
.cause{border:1px solid var(--line);border-radius:8px;padding:14px;margin:12px 0}
.parts div{display:flex;gap:10px;align-items:center}.name{flex:0 0 9em}.track{flex:1;background:var(--soft);height:12px;border-radius:6px}
.bar{display:block;background:var(--hot);height:12px;border-radius:6px}.weight{flex:0 0 44px;text-align:right;font-variant-numeric:tabular-nums}
ul{margin:10px 0 0;padding-left:20px}li{overflow-wrap:anywhere}td{overflow-wrap:anywhere;min-width:3.5em}
@media(max-width:600px){.name{flex-basis:7em}.cause{padding:12px}td,th{padding:4px 6px}}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:4px 10px;border-bottom:1px solid var(--line)}
";
