//! The report page and the terminal account of `incident`, from summaries made here.
//!
//! The modules are those of the example itself; their own unit tests run in here as well.

#[path = "../incident"]
mod incident {
    pub(crate) mod account;
    pub(crate) mod figure;
    pub(crate) mod page;
    pub(crate) mod summary;
}
#[path = "report_page/sample.rs"]
mod sample;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use indicatif::ProgressDrawTarget;

// In the example these modules stand at the root, and so they name each other.
use incident::{account, figure, page, summary};

use crate::account::Account;
use crate::summary::Summary;

const HOSTILE: &str = "</script><script>alert('x')</script>\"]]>--><!-- &amp; ü\u{202e}\u{1b}[31m";

fn all_samples() -> [(&'static str, Summary, Option<String>); 5] {
    [
        ("incident", sample::incident(7), Some(sample::FLAME_SVG.to_owned())),
        ("none", sample::calm(7), None),
        ("leak", sample::leak(7), None),
        ("ugly", sample::ugly(7), None),
        ("missed", sample::missed(7), None),
    ]
}

fn render(summary: &Summary, flame: Option<&str>) -> String {
    page::render(summary, flame).expect("finite numbers")
}

/// Start tags of the page, without what scripts, styles and attributes hold.
fn tags(page: &str) -> Vec<&str> {
    page.split('<').skip(1).filter_map(|rest| rest.split(['>', ' ', '\n']).next()).collect()
}

#[test]
fn a_summary_survives_being_written_and_read() {
    for (name, summary, _) in all_samples() {
        let text = summary.to_json().expect("finite numbers");
        let read: Summary = serde_json::from_str(&text).expect("what was written");
        assert!(read == summary, "{name}");
    }
}

#[test]
fn the_verdict_says_what_where_when_why_and_how_soon() {
    let headline = sample::incident(7).headline().replace(figure::THIN, " ");
    assert_eq!(
        headline,
        "db became slow at 12:03:21 because its lookups scan every record since the index was lost; found after 1.4 s"
    );
    assert_eq!(sample::calm(7).headline().replace(figure::THIN, " "), "No alarm was raised in 40 s of load");
    assert!(sample::missed(7).headline().starts_with("No alarm was raised, although "));
    let mut false_alarm = sample::incident(7);
    false_alarm.fault = None;
    false_alarm.key.time_to_first_alarm_secs = None;
    assert!(false_alarm.headline().ends_with(", although nothing had been broken"));
}

#[test]
fn a_balance_holds_only_where_every_request_is_somewhere() {
    let mut balance = sample::incident(7).balances[0].clone();
    assert!(balance.is_balanced());
    balance.accepted -= 1;
    assert!(!balance.is_balanced());
}

#[test]
fn one_broken_promise_breaks_the_run() {
    let mut summary = sample::incident(7);
    assert!(summary.holds());
    summary.promises[2].holds = false;
    assert!(!summary.holds());
    assert!(render(&summary, None).contains("✗ broken"));
}

#[test]
fn the_page_asks_for_nothing_from_outside() {
    for (name, summary, flame) in all_samples() {
        let page = render(&summary, flame.as_deref());
        assert!(page.contains("default-src 'none'"), "{name}");
        for outside in
            ["src=\"http", "href=\"http", "@import", "url(", "<link rel=\"stylesheet", "<img", "<iframe"]
        {
            assert!(!page.contains(outside), "{name}: {outside}");
        }
    }
}

#[test]
fn hostile_names_and_lines_stay_text() {
    let friendly = sample::incident(7);
    let mut hostile = friendly.clone();
    sample::rename(&mut hostile, "db", HOSTILE);
    hostile.causes[0].evidence[0] = HOSTILE.to_owned();
    hostile.services[0].protocol = Some(HOSTILE.to_owned());
    hostile.edges[0].protocol = Some(HOSTILE.to_owned());
    let logs = hostile.logs.as_mut().expect("the sample has logs");
    logs.findings[0].title = HOSTILE.to_owned();
    logs.findings[0].lines[0].line = HOSTILE.to_owned();
    logs.new_templates[0].template = HOSTILE.to_owned();
    hostile.promises[0].detail = HOSTILE.to_owned();
    hostile.run.command = HOSTILE.to_owned();
    let (before, after) = (render(&friendly, None), render(&hostile, None));
    assert_eq!(tags(&before), tags(&after), "hostile text must not add or close an element");
    let shown = after.split("<script").next().expect("the page before its data");
    assert!(!shown.contains(['\u{202e}', '\u{1b}']), "nothing that steers is left");
    // Twin: the same text unescaped is noticed by the same comparison.
    let broken = before.replacen("its lookups", HOSTILE, 1);
    assert_ne!(tags(&before), tags(&broken));
}

#[test]
fn the_embedded_data_are_the_summary() {
    for (name, summary, flame) in all_samples() {
        let page = render(&summary, flame.as_deref());
        let start = "<script type=\"application/json\" id=\"summary\">";
        let data = page.split(start).nth(1).and_then(|rest| rest.split("</script>").next()).expect("data");
        let read: Summary = serde_json::from_str(data).expect("the summary");
        assert!(read == summary, "{name}");
    }
}

#[test]
fn sections_are_there_only_with_something_in_them() {
    let ids = |page: &str| -> Vec<String> {
        page.split("<section id=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .map(str::to_owned)
            .collect()
    };
    let incident = render(&sample::incident(7), Some(sample::FLAME_SVG));
    assert_eq!(
        ids(&incident),
        ["graph", "causes", "timelines", "alarms", "logs", "profile", "balance", "export", "promises", "run"]
    );
    let calm = render(&sample::calm(7), None);
    assert_eq!(ids(&calm), ["graph", "timelines", "logs", "balance", "export", "promises", "run"]);
    assert!(!calm.contains("class=\"scroll flame\"") && !calm.contains("class=\"fault-mark\""));
    let mut bare = sample::calm(7);
    bare.logs = None;
    bare.services.clear();
    bare.edges.clear();
    bare.timeline.tracks.clear();
    bare.timeline.at_secs.clear();
    bare.balances.clear();
    bare.promises.clear();
    bare.export.requests = 0;
    assert_eq!(ids(&render(&bare, None)), ["run"]);
}

#[test]
fn a_flame_graph_comes_in_without_the_prologue_of_its_file() {
    let svg = sample::FLAME_SVG.trim_end();
    let file = format!("<?xml version=\"1.0\"?>\n<!DOCTYPE svg>\n{svg}\n");
    let page = render(&sample::incident(7), Some(&file));
    assert!(page.contains(svg) && !page.contains("<?xml"));
    assert!(!render(&sample::incident(7), Some("not a picture")).contains("id=\"flame\""));
}

#[test]
fn the_table_fits_a_terminal_and_has_no_control_sequences() {
    let mut hostile = sample::incident(7);
    sample::rename(&mut hostile, "db", HOSTILE);
    let samples = all_samples().into_iter().map(|(name, summary, _)| (name, summary));
    for (name, summary) in samples.chain([("hostile", hostile)]) {
        let table = account::table(&summary, Path::new("target/incident/report.html"));
        assert!(table.lines().count() <= 40, "{name}: {} lines", table.lines().count());
        for line in table.lines() {
            assert!(line.chars().count() <= account::WIDTH, "{name}: {line}");
            assert!(!line.chars().any(char::is_control), "{name}: {line:?}");
        }
        assert!(table.ends_with("target/incident/report.html\n"));
    }
}

#[test]
fn each_service_says_what_is_spoken_with_it_and_one_of_which_nobody_knows_says_nothing() {
    let mut summary = sample::incident(7);
    let spoken = |page: &str, protocol: &str| page.matches(&format!(">{protocol}</")).count();
    let page = render(&summary, None);
    // Once in each of the two drawings, and once for each call in the table.
    let calls = |to: &str| summary.edges.iter().filter(|edge| edge.callee == to).count();
    assert_eq!(spoken(&page, "PostgreSQL"), 2 + calls("db"));
    assert_eq!(spoken(&page, "gRPC"), 2 + calls("payment"));
    assert!(page.contains("<title>order calls payment over gRPC: "));
    let table = account::table(&summary, Path::new("r.html"));
    assert!(table.lines().any(|line| line.starts_with("db             PostgreSQL ")), "{table}");
    summary.services.iter_mut().for_each(|service| service.protocol = None);
    summary.edges.iter_mut().for_each(|edge| edge.protocol = None);
    let silent = render(&summary, None);
    assert!(spoken(&silent, "PostgreSQL") == 0 && !silent.contains(" over gRPC"), "{silent}");
}

#[test]
fn the_table_names_what_was_promised_and_broken() {
    let mut summary = sample::incident(7);
    let whole = account::table(&summary, Path::new("r.html"));
    assert!(whole.contains("promises  6 of 6 kept") && !whole.contains("BROKEN"));
    summary.promises[1].holds = false;
    summary.balances[0].served += 1;
    let broken = account::table(&summary, Path::new("r.html"));
    assert!(broken.contains("promises  5 of 6 kept"));
    assert!(broken.contains("BROKEN") && broken.contains('≠'));
}

#[test]
fn without_a_terminal_the_account_is_plain_lines() {
    let mut out = Vec::new();
    let mut account = Account::new(&mut out, ProgressDrawTarget::hidden(), Duration::from_secs(40));
    account.progress(Duration::from_secs(3), "warm-up");
    account.line(Duration::from_millis(20_040), "fault: db-slow in db").expect("a vector takes all");
    account.line(Duration::from_millis(21_440), "\u{1b}[2Jalarm").expect("a vector takes all");
    account.finish(&sample::incident(7), Path::new("r.html")).expect("a vector takes all");
    let text = String::from_utf8(out).expect("text");
    assert!(
        text.starts_with("  20.0 s  fault: db-slow in db\n  21.4 s  \u{fffd}[2Jalarm\n\ndb became slow"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'));
}

/// What a missing program means: a printed reason, or a failure where everything is required.
fn skip(missing: &str, install: &str) {
    let required = std::env::var("OTLP_REQUIRE").is_ok_and(|what| what == "all");
    assert!(!required, "{missing} is missing, install with `{install}`");
    println!("skipped: {missing} missing, install with `{install}`");
}

fn works(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

fn written(name: &str, summary: &Summary, flame: Option<&str>) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report-page").join(name);
    fs::create_dir_all(&directory).expect("the target directory takes files");
    page::write(&directory, summary, flame).expect("written");
    directory
}

fn browse(directories: &[PathBuf]) -> std::process::Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/check_report.py");
    Command::new("python3").arg(script).args(directories).output().expect("python starts")
}

#[test]
fn a_browser_finds_the_numbers_of_the_summary_on_the_page() {
    if !works("chromium") {
        return skip("chromium", "apt-get install chromium");
    }
    if !works("python3") {
        return skip("python3", "apt-get install python3");
    }
    let pages: Vec<PathBuf> =
        all_samples().iter().map(|(name, summary, flame)| written(name, summary, flame.as_deref())).collect();
    let output = browse(&pages);
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));

    // Twin: a page whose numbers are not those of its summary, which also asks for an outside resource.
    let planted = written("planted", &sample::incident(7), None);
    let page = fs::read_to_string(planted.join("report.html")).expect("just written");
    let wrong = page.replacen(&figure::count(sample::incident(7).balances[0].served), "1", 1).replacen(
        "<main>",
        "<main><img src=\"http://127.0.0.1:9/x.png\" alt=\"\"><div style=\"width:900px\">wide</div>",
        1,
    );
    fs::write(planted.join("report.html"), wrong).expect("written");
    let output = browse(&[planted]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success(), "{said}");
    for caught in ["/balances/0/served", "console", "wider than"] {
        assert!(said.contains(caught), "not caught: {caught}\n{said}");
    }
}
