//! Bounds, determinism and hostile lines.

use otlp_core::UnixNanos;
use otlp_logai::grade::{grouping_accuracy, parsing_accuracy};
use otlp_logai::{Limits, Line, LineRedactor, LogAnalyzer, TemplateMiner, Window};
use proptest::prelude::*;

fn message() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        4 => prop::sample::select(vec!["user", "logged", "in", "out", "failed", "for", "(root)", "from:"]),
        1 => prop::sample::select(vec!["a=1", "key=value", "x=\"two words\"", "12", "10.0.0.1", "=", "/a/b/c", "5", "ms"]),
    ];
    prop::collection::vec(word, 0..9).prop_map(|words| words.join(" "))
}

fn texts(miner: &TemplateMiner) -> Vec<(String, u64)> {
    miner.templates().map(|template| (template.to_string(), template.count())).collect()
}

fn mine(limits: &Limits, messages: &[String]) -> TemplateMiner {
    let mut miner = TemplateMiner::new(limits);
    messages.iter().for_each(|message| {
        miner.observe(message);
    });
    miner
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_same_lines_give_the_same_templates(messages in prop::collection::vec(message(), 0..60)) {
        let limits = Limits::default();
        prop_assert_eq!(texts(&mine(&limits, &messages)), texts(&mine(&limits, &messages)));
    }

    #[test]
    fn every_line_is_counted_in_exactly_one_template(messages in prop::collection::vec(message(), 0..60)) {
        let miner = mine(&Limits::default(), &messages);
        let counted: u64 = miner.templates().map(otlp_logai::Template::count).sum();
        prop_assert_eq!(counted, messages.len() as u64);
        let stats = miner.stats();
        prop_assert_eq!(stats.created - stats.absorbed - stats.evicted, miner.templates().len() as u64);
    }

    #[test]
    fn a_line_seen_before_is_never_new(messages in prop::collection::vec(message(), 1..60)) {
        let mut miner = mine(&Limits::default(), &messages);
        for message in &messages {
            prop_assert!(!miner.observe(message).is_new, "{}", message);
        }
    }

    #[test]
    fn templates_stay_within_their_bound_and_evictions_are_counted(
        messages in prop::collection::vec(message(), 0..80),
        bound in 1..6_usize,
    ) {
        let miner = mine(&Limits::default().max_templates(bound), &messages);
        prop_assert!(miner.templates().len() <= bound);
        let stats = miner.stats();
        prop_assert_eq!(stats.created - stats.absorbed - stats.evicted, miner.templates().len() as u64);
    }

    #[test]
    fn merging_keeps_the_sum_of_counts(
        a in prop::collection::vec(message(), 0..40),
        b in prop::collection::vec(message(), 0..40),
    ) {
        let limits = Limits::default();
        let (mut sum, other) = (mine(&limits, &a), mine(&limits, &b));
        sum.merge(&other);
        let counted: u64 = sum.templates().map(otlp_logai::Template::count).sum();
        prop_assert_eq!(counted, (a.len() + b.len()) as u64);
        prop_assert_eq!(sum.stats().lines, counted);
        let mut twice = mine(&limits, &a);
        twice.merge(&mine(&limits, &a));
        prop_assert_eq!(twice.templates().len(), mine(&limits, &a).templates().len());
    }

    #[test]
    fn any_bytes_are_a_line(
        lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..20),
        limit in 0..40_usize,
    ) {
        let limits = Limits::default().max_line_bytes(limit).max_tokens(limit / 4).max_cited_bytes(limit / 2);
        let mut analyzer = LogAnalyzer::new(&limits);
        for (second, line) in (10..).zip(&lines) {
            let parsed = Line::parse(line, Some("x"), &limits);
            prop_assert!(parsed.text().ends_with(parsed.message()));
            analyzer.observe(UnixNanos::from_secs(second), "x", line);
        }
        let window = Window { since: UnixNanos::from_secs(20), until: UnixNanos::from_secs(15) };
        let _finding = analyzer.explain(window, Some("x"));
        prop_assert_eq!(analyzer.stats().lines, lines.len() as u64);
    }

    #[test]
    fn text_like_lines_are_taken_apart_without_a_panic(text in "[-0-9TZ:.,+ \\[\\]=\"a-cé]{0,40}") {
        let line = Line::parse(text.as_bytes(), Some("a"), &Limits::default());
        prop_assert!(text.ends_with(line.message()));
        let _masked = LineRedactor::default().line(&text);
        TemplateMiner::new(&Limits::default()).observe(&text);
    }

    #[test]
    fn a_planted_secret_is_never_shown(
        key in prop::sample::select(vec!["password", "api_key", "db.token", "Authorization", "x-secret"]),
        form in prop::sample::select(vec!["K=V", "K: V", "\"K\":\"V\"", "K=\"V\"", "K = V"]),
        before in "[a-z ]{0,12}",
        after in "[a-z ]{0,12}",
    ) {
        let secret = "S3cr3tV4lue";
        let line = format!("{before} {} {after}", form.replace('K', key).replace('V', secret));
        let mut analyzer = LogAnalyzer::new(&Limits::default());
        for second in 0..20 {
            analyzer.observe(UnixNanos::from_secs(second), "a", b"tick");
            if second >= 10 {
                (0..3).for_each(|_| analyzer.observe(UnixNanos::from_secs(second), "a", line.as_bytes()));
            }
        }
        let window = Window { since: UnixNanos::from_secs(10), until: UnixNanos::from_secs(20) };
        let shown = format!("{:?} {:?} {analyzer:?}", analyzer.explain(window, None).unwrap(), analyzer.changes(window, None));
        prop_assert!(!shown.contains(secret), "{}", shown);
        prop_assert!(shown.contains("REDACTED"));
    }

    #[test]
    fn accuracy_is_one_for_the_truth_and_lies_between_zero_and_one(
        truth in prop::collection::vec(0..4_u8, 0..30),
        predicted in prop::collection::vec(0..4_u8, 0..30),
    ) {
        prop_assert_eq!(grouping_accuracy(&truth, &truth), 1.0);
        prop_assert!((0.0..=1.0).contains(&grouping_accuracy(&predicted, &truth)));
    }
}

#[test]
fn words_of_the_message_stay_apart_until_they_vary_too_much() {
    let mut miner = TemplateMiner::new(&Limits::default());
    let mut see = |who: &str| miner.observe(&format!("session opened for user {who} by uid=0"));
    let first = see("ann");
    assert!(see("ben").is_new && see("eve").is_new);
    let fourth = see("zoe");
    assert_eq!((fourth.id, fourth.is_new, fourth.absorbed.len()), (first.id, false, 3));
    assert!(!see("somebody").is_new);
    assert_eq!(texts(&miner), [("session opened for user <*> by uid=<num>".to_owned(), 5)]);
}

#[test]
fn a_flood_of_different_lines_takes_bounded_memory_and_is_counted() {
    let limits = Limits::default().max_templates(50).max_series(60);
    let mut analyzer = LogAnalyzer::new(&limits);
    for number in 0_u64..2000 {
        let word: String = (0..4).map(|at| char::from(b'a' + (number >> (at * 4) & 15) as u8)).collect();
        let line = format!("{word} {word}x {word}y");
        analyzer.observe(UnixNanos::from_secs(number), &format!("s{}", number % 300), line.as_bytes());
    }
    let stats = analyzer.stats();
    assert!(analyzer.miner().templates().len() <= 50);
    assert!(stats.miner.evicted > 1000, "{stats:?}");
    assert!(stats.unnamed > 0);
}

#[test]
fn huge_lines_and_nul_bytes_are_cut_cleaned_and_counted() {
    let mut analyzer = LogAnalyzer::new(&Limits::default());
    let mut huge = b"ERROR out \0of\x1b[31m memory \xff\xfe ".to_vec();
    huge.extend(std::iter::repeat_n(b"word ".to_owned(), 100_000).flatten());
    for second in 0..30 {
        analyzer.observe(UnixNanos::from_secs(second), "a", b"INFO tick");
        if second >= 20 {
            analyzer.observe(UnixNanos::from_secs(second), "a", &huge);
        }
    }
    assert_eq!((analyzer.stats().cut, analyzer.stats().miner.cut), (10, 10));
    let window = Window { since: UnixNanos::from_secs(20), until: UnixNanos::from_secs(30) };
    let change = &analyzer.changes(window, None)[0];
    assert!(change.example.len() <= 310 && !change.example.contains(['\0', '\u{1b}']));
    assert!(change.example.ends_with('…'));
}

#[test]
fn a_line_that_lies_about_its_time_does_not_erase_the_history() {
    let mut analyzer = LogAnalyzer::new(&Limits::default());
    for second in 0..30 {
        let now = UnixNanos::from_secs(1_795_342_272 + second);
        analyzer.observe(now, "a", b"2199-01-01T00:00:00Z INFO tick");
        analyzer.observe(now, "a", b"1970-01-02T00:00:00Z INFO tock");
    }
    assert_eq!(analyzer.stats().time_ignored, 60);
    let since = UnixNanos::from_secs(1_795_342_292);
    let window = Window { since, until: UnixNanos::from_secs(1_795_342_302) };
    assert!(analyzer.changes(window, None).is_empty());
}

#[test]
fn parsing_accuracy_compares_templates_in_one_form() {
    let right = ["took <*> ms", "block blk_<*>,", "at <*> <*> <*>"];
    assert_eq!(parsing_accuracy(&right, &["took <*> ms", "block <*>,", "at <*>"]), 1.0);
    assert_eq!(parsing_accuracy(&["took long"], &["took <*>"]), 0.0);
    assert_eq!(parsing_accuracy::<&str, &str>(&[], &[]), 1.0);
}
