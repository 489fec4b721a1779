//! One self-contained page from a [`Summary`]: no outside resource, readable without scripts, on a phone and in
//! the dark.

mod chart;
mod graph;
mod layout;
mod markup;
mod memory;
mod scale;
mod section;

use std::path::Path;
use std::{fs, io};

use crate::summary::Summary;

use markup::escape;

const STYLE: &str = include_str!("page/style.css");
const SCRIPT: &str = include_str!("page/script.js");

/// What the content security policy allows to run: exactly `page/script.js`. The browser test prints the new
/// value when that file has changed.
const SCRIPT_HASH: &str = "sha256-BkxbgXp6ka7XP4cwZsDvc3ZbS/SIeHuqEf8cZKGsV7U=";

/// Writes `report.html` and `summary.json` into a directory that exists.
///
/// # Errors
/// Where a file cannot be written, or a number in the summary is one that JSON cannot hold.
pub(crate) fn write(directory: &Path, summary: &Summary, flame_svg: Option<&str>) -> io::Result<()> {
    fs::write(directory.join("summary.json"), summary.to_json()?)?;
    fs::write(directory.join("report.html"), render(summary, flame_svg)?)
}

/// The page; `flame_svg` is a differential flame graph as one `<svg>` element.
///
/// # Errors
/// Where the summary cannot be written as JSON.
pub(crate) fn render(summary: &Summary, flame_svg: Option<&str>) -> io::Result<String> {
    let headline = escape(&summary.headline());
    let data = markup::json(summary)?;
    let body = section::all(summary, flame_svg);
    Ok(format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         script-src '{SCRIPT_HASH}'; img-src data:; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{headline}</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>\n{STYLE}</style>\n</head>\n\
         <body>\n{body}\
         <script type=\"application/json\" id=\"summary\">{data}</script>\n\
         <script>{SCRIPT}</script>\n</body>\n</html>\n"
    ))
}
