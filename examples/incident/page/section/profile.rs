//! What the guilty process spends its time on now.

use crate::page::markup::{As, Holder, escape};
use crate::summary::{FunctionChange, ProfileChange, Summary};

use super::{Column, code, first_and_rest, folded, number_cell, section, table};

/// Functions that are shown before the rest is folded away.
const SHOWN: usize = 8;

/// The differential flame graph and the functions that moved.
pub(super) fn changes(summary: &Summary, flame_svg: Option<&str>) -> Option<String> {
    let profile = summary.profile.as_ref()?;
    let flame = flame_svg.and_then(svg_element).map(framed).unwrap_or_default();
    let samples = format!(
        "<p>CPU samples of {}: {} before the fault, {} after it.</p>\n",
        Holder::Span.text("/profile/service", &profile.service),
        Holder::Span.count("/profile/samples_before", profile.samples_before),
        Holder::Span.count("/profile/samples_after", profile.samples_after)
    );
    let title = format!("What {} spends its time on", escape(&profile.service));
    Some(section("profile", &title, &format!("{samples}{flame}{}", functions(profile))))
}

/// The element alone, without what stands before it in a file of its own.
fn svg_element(text: &str) -> Option<&str> {
    let from = text.find("<svg")?;
    let until = text.rfind("</svg>")? + "</svg>".len();
    text.get(from..until)
}

fn framed(svg: &str) -> String {
    format!(
        "<div class=\"scroll flame\" id=\"flame\" tabindex=\"0\" role=\"region\" aria-label=\"Differential flame graph\">{svg}</div>\n\
         <p class=\"soft\">A box is a function called by the one below it; its width is the mean of its share before and after. \
         Orange grew, blue shrank, grey stayed. On a small screen the picture scrolls sideways.</p>\n"
    )
}

fn functions(profile: &ProfileChange) -> String {
    if profile.functions.is_empty() {
        return String::new();
    }
    let rows: Vec<String> = profile.functions.iter().enumerate().map(row).collect();
    let (shown, rest) = first_and_rest(&rows, SHOWN);
    let columns = [
        Column::Words("Function"),
        Column::Number("Before"),
        Column::Number("After"),
        Column::Bars("Own share of the time"),
    ];
    let rest_table =
        if rest.is_empty() { String::new() } else { table("Further functions", &columns, &rest.concat()) };
    let more = folded(&format!("{} further functions", rest.len()), &rest_table);
    format!("{}{more}", table("Functions whose share of the time moved most", &columns, &shown.concat()))
}

fn row((place, function): (usize, &FunctionChange)) -> String {
    let at = |path: &str| format!("/profile/functions/{place}/{path}");
    let percent = |share: f64| (share * 100.0).clamp(0.0, 100.0);
    format!(
        "<tr><td class=\"template\">{}</td>{}{}<td class=\"twin\"><span class=\"bar before\" style=\"--w:{:.1}%\"></span>\
         <span class=\"bar {}\" style=\"--w:{:.1}%\"></span></td></tr>\n",
        code(&at("function"), &function.function),
        number_cell(&Holder::Span.number(&at("before"), As::Share, function.before)),
        number_cell(&Holder::Span.number(&at("after"), As::Share, function.after)),
        percent(function.before),
        if function.after > function.before { "grew" } else { "shrank" },
        percent(function.after)
    )
}
