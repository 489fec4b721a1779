//! Databases, whose processes are born with each connection or share one.

use std::process::Command;

use otlp_ebpf::capture::{Capture, CapturedSpan, Source};

use crate::database::{Database, mariadb, postgres, required, run};
use crate::machine::{begin, services, spans, text};

fn count(spans: &[CapturedSpan], name: &str) -> usize {
    spans.iter().filter(|captured| captured.span.name == name).count()
}

/// Statements seen while the client runs, until there are `wanted` of them that are named so.
fn statements(
    server: &Database,
    source: Source,
    client: &mut Command,
    (name, wanted): (&str, usize),
) -> Option<Vec<CapturedSpan>> {
    let mut capture = begin(Capture::builder().source(source).port(server.address.port()))?;
    run(client);
    let mut met = Vec::new();
    while count(&met, name) < wanted {
        met.extend(spans(&mut capture, 1));
    }
    let stats = capture.finish(&mut |span| met.push(span));
    assert!(stats.is_balanced(), "{stats:?}");
    assert_eq!(
        (stats.server.account.lost.total(), stats.server.account.unpaired.total()),
        (0, 0),
        "{stats:?}"
    );
    Some(met)
}

#[test]
fn transactions_of_pgbench_are_counted_as_it_counts_them() {
    let Some(server) = postgres() else { return };
    let Some(pgbench) = required("pgbench", "postgresql-contrib") else { return };
    let port = server.address.port().to_string();
    let bench = |more: &[&str]| {
        let mut command = Command::new(&pgbench);
        command.args(["-h", "127.0.0.1", "-p", &port, "-U", "postgres"]).args(more).arg("postgres");
        command
    };
    run(&mut bench(&["-i", "-q"]));
    for (source, mode) in [(Source::Network, "prepared"), (Source::Calls, "simple")] {
        let mut client = bench(&["-n", "-c", "4", "-t", "20", "-M", mode]);
        let Some(met) = statements(&server, source, &mut client, ("END", 80)) else { return };
        for name in
            ["BEGIN", "INSERT pgbench_history", "SELECT pgbench_accounts", "UPDATE pgbench_tellers", "END"]
        {
            assert_eq!(count(&met, name), 80, "{name} of {source:?}");
        }
        assert_eq!(services(&met), ["postgres"]);
        assert!(met.iter().all(|met| text(&met.span, "db.system.name") == "postgresql"));
    }
}

#[test]
fn queries_of_mariadb_are_counted_as_its_client_sent_them() {
    let Some(server) = mariadb() else { return };
    let Some(program) = required("mariadb", "mariadb-client") else { return };
    let script: String = (0..50).map(|number| format!("SELECT {number} + 'hunter2'; ")).collect();
    for source in [Source::Network, Source::Calls] {
        let mut client = Command::new(&program);
        client.args([
            "--no-defaults",
            "-h",
            "127.0.0.1",
            "-P",
            &server.address.port().to_string(),
            "-u",
            "root",
        ]);
        client.args(["--skip-ssl", "-e", &script]);
        let Some(met) = statements(&server, source, &mut client, ("SELECT", 50)) else { return };
        let asked = met.iter().filter(|met| text(&met.span, "db.query.text") == "SELECT ? + ?").count();
        assert_eq!(asked, 50, "{source:?}");
    }
}
