//! The frozen OpenMetrics text, which the unit tests hold the writer to, is read by somebody else's parser.

mod needs;

use std::path::Path;
use std::process::Command;

const TEXT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/openmetrics.txt");

/// Reads the file named by its argument; prints each sample as the parser understood it.
const READ: &str = "
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
for family in text_string_to_metric_families(open(sys.argv[1]).read()):
    print('#', family.name, family.type, family.unit or '-', repr(family.documentation))
    for sample in family.samples:
        print(sample.name, sorted(sample.labels.items()), float(sample.value))
";

fn read(python: &str, text: &Path) -> Result<String, String> {
    let output = Command::new(python).args(["-c", READ]).arg(text).output().expect("python runs");
    let answer = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(answer(&output.stdout)) } else { Err(answer(&output.stderr)) }
}

#[test]
fn the_parser_of_prometheus_client_understands_the_text() {
    let Some(python) = needs::python("prometheus_client.openmetrics.parser", "prometheus-client") else {
        return;
    };
    let read = read(&python, Path::new(TEXT)).expect("valid OpenMetrics");
    for expected in [
        "# otlp_records_dropped counter - 'Records discarded here.'",
        "otlp_records_dropped_total [('destination', 'primary'), ('reason', 'queue_full')] 0.0",
        "otlp_records_queued [('destination', 'archive')] 5.0",
        "# otlp_attempt_duration_seconds histogram seconds 'Time from sending a request to its outcome.'",
        "otlp_attempt_duration_seconds_bucket [('destination', 'primary'), ('le', '+Inf')] 5.0",
        "otlp_attempt_duration_seconds_sum [('destination', 'primary')] 20.983",
        "odd_things_bytes_total [('a_b', 'x\"y\\\\z\\n;2'), ('le_label', '3')] 7.0",
    ] {
        assert!(read.lines().any(|line| line == expected), "{expected}\nnot in\n{read}");
    }
}

/// The twin: the parser is strict enough to be worth asking.
#[test]
fn the_parser_of_prometheus_client_refuses_what_is_broken() {
    let Some(python) = needs::python("prometheus_client.openmetrics.parser", "prometheus-client") else {
        return;
    };
    let text = std::fs::read_to_string(TEXT).expect("the frozen text");
    let broken = [
        ("no end", text.replace("# EOF\n", "")),
        ("no suffix", text.replace("otlp_records_exported_total", "otlp_records_exported")),
        ("a family in two places", text.replace("# EOF", "otlp_records_queued 1\n# EOF")),
        ("no last bucket", text.replace("+Inf", "20.0")),
        (
            "a unit that is not in the name",
            text.replace("# UNIT odd_things_bytes bytes", "# UNIT odd_things_bytes s"),
        ),
        ("a bare quote", text.replace("x\\\"y", "x\"y")),
    ];
    for (number, (what, text)) in broken.into_iter().enumerate() {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("broken-{number}.txt"));
        std::fs::write(&path, text).expect("a place for temporary files");
        assert!(read(&python, &path).is_err(), "{what} was taken");
    }
}
