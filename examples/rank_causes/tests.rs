//! The program on cases made here.

use std::path::Path;

use super::*;
use crate::input::Part;

fn case(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let table = |steps: usize, is_slow: bool| {
        let mut text = String::from("time,shop:latency,\"db, main:latency\",db:cpu\n");
        for step in 0..steps {
            let wobble = 0.001 * (step % 7) as f64;
            let extra = if is_slow { 0.5 } else { 0.0 };
            text += &format!(
                "{},{},{},\n",
                1_700_000_000 + step * 60,
                0.2 + wobble + extra,
                0.1 + wobble + extra
            );
        }
        text
    };
    fs::write(folder.join("normal.csv"), table(100, false)).unwrap();
    fs::write(folder.join("anomalous.csv"), table(6, true)).unwrap();
    fs::write(folder.join("calls.csv"), "caller,callee\nshop,\"db, main\"\n").unwrap();
    fs::write(folder.join("catalogue.csv"), "service,team,criticality\n\"db, main\",storage,critical\n")
        .unwrap();
    fs::write(folder.join("symptom.json"), r#"{"service": "shop", "metric": "latency"}"#).unwrap();
}

fn scratch(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("rank_causes-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn a_case_is_answered_and_explained() {
    let cases = scratch("answered");
    case(&cases.join("one"));
    let flags = |more: &[&str]| {
        let cases = cases.display().to_string();
        let all = ["rank_causes", "--cases", &cases].into_iter().chain(more.iter().copied());
        Flags::parse_from(all.map(str::to_owned).collect::<Vec<_>>())
    };
    let (output, report) = (cases.join("answers.json"), cases.join("report.html"));
    assert_eq!(run(&flags(&["--output", &output.display().to_string()])).unwrap(), 0);
    let answers: serde_json::Value = serde_json::from_str(&fs::read_to_string(output).unwrap()).unwrap();
    assert_eq!(answers["one"]["services"][0], "db, main", "{answers}");
    assert_eq!(answers["one"]["metrics"][0], "db, main:latency");
    assert_eq!(answers["one"]["none"], false);
    run(&flags(&["--explain", "one", "--report", &report.display().to_string()])).unwrap();
    let page = fs::read_to_string(report).unwrap();
    assert!(page.contains("db, main is the likely cause") && page.contains("<svg"), "{page}");
    assert!(page.contains("team storage, critical"), "{page}");
    fs::remove_dir_all(cases).unwrap();
}

#[test]
fn what_cannot_be_read_is_told_with_its_place_and_counted() {
    let cases = scratch("unreadable");
    case(&cases.join("good"));
    case(&cases.join("bad"));
    fs::write(cases.join("bad/normal.csv"), "time,shop:latency\nnever,1\n").unwrap();
    fs::create_dir_all(cases.join("empty")).unwrap();
    let error = Input::read(&cases.join("bad")).unwrap_err().to_string();
    assert_eq!(error, "normal.csv: line 2: no time");
    let flags = ["rank_causes", "--cases", &cases.display().to_string()].map(str::to_owned);
    assert_eq!(run(&Flags::parse_from(flags)).unwrap(), 2);
    fs::remove_dir_all(cases).unwrap();
}

#[test]
fn spans_and_logs_without_metrics_are_a_case_and_parts_can_be_left_out() {
    let folder = scratch("spans");
    let spans = |millis: u64| {
        let mut text = String::from(
            "trace_id,span_id,parent_id,service,operation,start_unix_nanos,end_unix_nanos,status\n",
        );
        for trace in 1..60_u64 {
            let start = (1_000 + trace) * 1_000_000_000;
            let end = start + (millis + trace % 3) * 1_000_000;
            text += &format!("t{trace},a{trace},,shop,GET /,{start},{},\n", end + 2_000_000);
            text += &format!("t{trace},b{trace},a{trace},db,query,{start},{end},error\n");
        }
        text
    };
    fs::write(folder.join("spans_normal.csv"), spans(5)).unwrap();
    fs::write(folder.join("spans.csv"), spans(80)).unwrap();
    let input = Input::read(&folder).unwrap();
    let (ranking, _) = answer::rank(&input, &[]);
    assert_eq!(Answer::of(&ranking).services.first().map(String::as_str), Some("db"));
    let (without, _) = answer::rank(&input, &[Part::Spans]);
    assert!(without.is_none() && without.causes.is_empty());
    fs::remove_dir_all(folder).unwrap();
}

const SPAN_COLUMNS: &str =
    "trace_id,span_id,parent_id,service,operation,start_unix_nanos,end_unix_nanos,status\n";

/// Requests a second apart, to a shop that asks a db which is slow from one of them on.
fn requests(first: u64, many: u64, slow_from: u64) -> String {
    let mut text = String::from(SPAN_COLUMNS);
    for request in 0..many {
        let start = (first + request) * 1_000_000_000;
        let millis = request % 3 + if request < slow_from { 5 } else { 80 };
        let end = start + millis * 1_000_000;
        text += &format!("t{request},a{request},,shop,GET /,{start},{},\n", end + 2_000_000);
        text += &format!("t{request},b{request},a{request},db,query,{start},{end},\n");
    }
    text
}

#[test]
fn trouble_may_begin_with_any_quarter_of_the_spans_where_each_has_enough() {
    let folder = scratch("quarters");
    fs::write(folder.join("spans_normal.csv"), requests(1_000, 60, 60)).unwrap();
    fs::write(folder.join("spans.csv"), requests(2_000, 80, 40)).unwrap();
    let input = Input::read(&folder).unwrap();
    let began: Vec<u64> = input.slices.iter().map(|(began, _)| began.0 / 1_000_000_000).collect();
    assert_eq!(began, [2_000, 2_020, 2_040, 2_060]);
    let (ranking, _) = answer::rank(&input, &[]);
    assert_eq!(Answer::of(&ranking).services.first().map(String::as_str), Some("db"));
    assert_eq!(ranking.onset.0 / 1_000_000_000, 2_040);
    // Fewer than ten requests a quarter: one window, from its first span on.
    fs::write(folder.join("spans.csv"), requests(2_000, 30, 15)).unwrap();
    let input = Input::read(&folder).unwrap();
    assert_eq!(input.slices.len(), 1);
    assert_eq!(answer::rank(&input, &[]).0.onset.0 / 1_000_000_000, 2_000);
    fs::remove_dir_all(folder).unwrap();
}

/// Two lines a request; the table holds what came second first, and `at` says when each line came.
fn lines(first: u64, at: [u64; 2]) -> String {
    let mut text = String::from("time,service,message\n");
    for (second, line) in [(1, "Pay#34 saved"), (0, "Pay#31 charge")] {
        for request in 0..40 {
            let id = format!("TraceID: {:032x}", first + request);
            text += &format!("{},pay,INFO {line} {id} of {request}\n", first + 10 * request + at[second]);
        }
    }
    text
}

#[test]
fn what_follows_what_in_logs_is_read_from_their_times() {
    let folder = scratch("times");
    fs::write(folder.join("calls.csv"), "caller,callee\nshop,pay\n").unwrap();
    let ranked = |usual: [u64; 2], now: [u64; 2]| {
        fs::write(folder.join("logs_normal.csv"), lines(1_000_000, usual)).unwrap();
        fs::write(folder.join("logs.csv"), lines(2_000_000, now)).unwrap();
        answer::rank(&Input::read(&folder).unwrap(), &[]).0
    };
    let same = ranked([1, 2], [3, 7]);
    assert!(same.is_none(), "{same:#?}");
    // The same lines in the same order of the table, written in the other order.
    let turned = ranked([1, 2], [7, 3]);
    assert_eq!(turned.top().and_then(|cause| cause.subject.service()), Some("pay"), "{turned:#?}");
    fs::remove_dir_all(folder).unwrap();
}
