//! OpenMetrics 1.0 text, with names mapped as "Prometheus and OpenMetrics Compatibility" of OpenTelemetry says.

use std::fmt::Write as _;

use super::measure::{Family, Figure, Point};

pub(super) fn write(families: &[Family], out: &mut String) {
    let mut written: Vec<String> = Vec::new();
    for family in families {
        let name = family_name(family);
        // Two names may become one; an exposition has each once.
        if written.contains(&name) {
            continue;
        }
        write_family(&name, family, out);
        written.push(name);
    }
    out.push_str("# EOF\n");
}

fn write_family(name: &str, family: &Family, out: &mut String) {
    let kind = match family.points.first().map(|point| &point.figure) {
        None => return,
        Some(Figure::Counter(_)) => "counter",
        Some(Figure::Gauge(_)) => "gauge",
        Some(Figure::Durations(_)) => "histogram",
    };
    line(out, format_args!("# TYPE {name} {kind}"));
    let unit = unit_name(family.instrument.unit);
    if !unit.is_empty() {
        line(out, format_args!("# UNIT {name} {unit}"));
    }
    line(out, format_args!("# HELP {name} {}", escaped(family.instrument.description)));
    for point in &family.points {
        write_point(name, point, out);
    }
}

fn write_point(name: &str, point: &Point, out: &mut String) {
    let labels = labels(point);
    match &point.figure {
        Figure::Counter(value) => line(out, format_args!("{name}_total{} {value}", braced(&labels, None))),
        Figure::Gauge(value) => line(out, format_args!("{name}{} {value}", braced(&labels, None))),
        Figure::Durations(durations) => {
            let mut sum = 0;
            for (bound, count) in durations.buckets() {
                sum += count;
                let bound = bound.map_or("+Inf".to_owned(), |bound| format!("{:?}", bound.as_secs_f64()));
                line(out, format_args!("{name}_bucket{} {sum}", braced(&labels, Some(&bound))));
            }
            let braced = braced(&labels, None);
            line(out, format_args!("{name}_count{braced} {sum}"));
            line(out, format_args!("{name}_sum{braced} {:?}", durations.sum().as_secs_f64()));
        }
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{text}");
}

/// The name with its unit at the end, and without the `_total` that belongs to the sample.
fn family_name(family: &Family) -> String {
    let mut name = sanitized(family.instrument.name);
    if let Some(Figure::Counter(_)) = family.points.first().map(|point| &point.figure)
        && let Some(bare) = name.strip_suffix("_total")
    {
        name = bare.to_owned();
    }
    let unit = unit_name(family.instrument.unit);
    if !unit.is_empty() && !name.ends_with(&format!("_{unit}")) {
        name.push('_');
        name.push_str(&unit);
    }
    name
}

/// The word for a UCUM unit; empty for a plain number and for `{annotations}`.
fn unit_name(unit: &str) -> String {
    match unit {
        "s" => "seconds".to_owned(),
        "ms" => "milliseconds".to_owned(),
        "us" => "microseconds".to_owned(),
        "ns" => "nanoseconds".to_owned(),
        "By" => "bytes".to_owned(),
        "1" | "" => String::new(),
        annotation if annotation.starts_with('{') => String::new(),
        other => sanitized(other),
    }
}

/// Letters, digits and underscores, no digit in front, no two underscores in a row.
fn sanitized(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for letter in name.chars() {
        if letter.is_ascii_alphanumeric() {
            if out.is_empty() && letter.is_ascii_digit() {
                out.push('_');
            }
            out.push(letter);
        } else if !out.ends_with('_') {
            out.push('_');
        }
    }
    out
}

/// Label names and values. Of attributes whose names become one, the values are joined.
fn labels(point: &Point) -> Vec<(String, String)> {
    let mut labels: Vec<(String, String)> = Vec::with_capacity(point.attributes.len());
    for (key, value) in &point.attributes {
        let mut name = sanitized(key);
        // `le` is the histogram's own, and names with two underscores in front are Prometheus's.
        if name == "le" {
            name.push_str("_label");
        }
        match labels.iter_mut().find(|(met, _)| *met == name) {
            Some((_, joined)) => {
                joined.push(';');
                joined.push_str(&escaped(value));
            }
            None => labels.push((name, escaped(value))),
        }
    }
    labels
}

fn braced(labels: &[(String, String)], le: Option<&str>) -> String {
    let own = labels.iter().map(|(name, value)| format!("{name}=\"{value}\""));
    let all: Vec<String> = own.chain(le.map(|bound| format!("le=\"{bound}\""))).collect();
    if all.is_empty() { String::new() } else { format!("{{{}}}", all.join(",")) }
}

/// Backslash, newline and double quote are written with a backslash, in help as in label values.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' => out.push_str("\\\""),
            _ => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_openmetrics_allows() {
        for (name, text) in [("otlp.records", "otlp_records"), ("a..b-c", "a_b_c"), ("9x", "_9x"), ("é", "_")]
        {
            assert_eq!(sanitized(name), text, "{name}");
        }
    }

    #[test]
    fn units_become_words_and_annotations_nothing() {
        for (unit, word) in [("s", "seconds"), ("By", "bytes"), ("{record}", ""), ("1", ""), ("m/s", "m_s")] {
            assert_eq!(unit_name(unit), word, "{unit}");
        }
    }
}
