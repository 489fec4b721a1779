//! The tap in front of real databases: spans agree with what their clients did.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "clippy.toml allows them in tests, but knows no helpers of tests"
)]
#![cfg(feature = "tap")]

mod database;
mod loopback;

use std::collections::BTreeMap;
use std::process::Command;

use database::{Database, mariadb, postgres, python, required, run};
use loopback::{Tapped, config};
use otlp_core::record::{AnyValue, KeyValue, Span};

fn text<'a>(span: &'a Span, key: &str) -> &'a str {
    KeyValue::find(&span.attributes, key).and_then(AnyValue::as_str).unwrap_or_default()
}

fn number(span: &Span, key: &str) -> Option<i64> {
    KeyValue::find(&span.attributes, key).and_then(AnyValue::as_int)
}

/// A tap whose connections are over: its spans, all accounted for.
fn spans(tapped: &Tapped) -> Vec<Span> {
    tapped.until(|stats| stats.open == 0);
    let account = tapped.tap.stats().account;
    assert_eq!((account.lost.total(), account.refused, account.unpaired.total()), (0, 0, 0), "{account:?}");
    assert_eq!((account.unparsed_to_server, account.unparsed_to_client), (0, 0), "{account:?}");
    let spans: Vec<_> = tapped.sink.take().into_iter().map(|tapped| tapped.span).collect();
    for span in &spans {
        for attribute in &span.attributes {
            assert!(!format!("{attribute:?}").contains("hunter2"), "{span:?}");
        }
    }
    spans
}

fn names(spans: &[Span]) -> BTreeMap<&str, usize> {
    let mut names = BTreeMap::new();
    spans.iter().for_each(|span| *names.entry(span.name.as_str()).or_default() += 1);
    names
}

fn client(program: &str, package: &str, tapped: &Tapped) -> Option<Command> {
    let mut command = Command::new(required(program, package)?);
    let address = tapped.tap.local_addr();
    command.args(["-h", "127.0.0.1"]);
    command.args(["-p", &address.port().to_string(), "-U", "postgres"]);
    Some(command)
}

fn psql(tapped: &Tapped, script: &str) {
    let mut command = client("psql", "postgresql-client", tapped).unwrap();
    let mut child = command
        .args(["-X", "-q", "-A", "-t", "-f", "-", "postgres"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.as_bytes()).unwrap();
    child.wait().unwrap();
}

/// What a span says of its statement and its answer.
fn told(span: &Span) -> (&str, &str, Option<i64>, &str) {
    (
        &span.name,
        text(span, "db.query.text"),
        number(span, "db.response.returned_rows"),
        text(span, "error.type"),
    )
}

fn simple_queries(server: &Database) {
    let tapped = Tapped::start(config(server.address));
    let script = "CREATE TABLE t1 (a int primary key, b text);
INSERT INTO t1 VALUES (1, 'hunter2'), (2, 'x');
SELECT a FROM t1 WHERE b <> 'hunter2' OR a IN (1, 2);
SELECT 1/0;
SELECT * FROM missing;
BEGIN;
UPDATE t1 SET b = $$hunter2$$ WHERE a = 1;
COMMIT;
COPY t1 FROM STDIN;
3\thunter2
4\thunter2
\\.
COPY t1 TO STDOUT;
SELECT 1 AS x \\; SELECT 2 AS y FROM t1 \\; SELECT 3;
DO $$ BEGIN RAISE NOTICE 'hunter2'; END $$;
LISTEN l; NOTIFY l, 'hunter2';
SELECT repeat('x', 100000) FROM generate_series(1, 30);
";
    psql(&tapped, script);
    let spans = spans(&tapped);
    let met: Vec<_> = spans.iter().map(told).collect();
    let right = [
        ("CREATE TABLE t1", "CREATE TABLE t1 (a int primary key, b text)", None, ""),
        ("INSERT t1", "INSERT INTO t1 VALUES (?, ?), (?, ?)", None, ""),
        ("SELECT t1", "SELECT a FROM t1 WHERE b <> ? OR a IN (?)", Some(2), ""),
        ("SELECT", "SELECT ?/?", None, "22012"),
        ("SELECT missing", "SELECT * FROM missing", None, "42P01"),
        ("BEGIN", "BEGIN", None, ""),
        ("UPDATE t1", "UPDATE t1 SET b = ? WHERE a = ?", None, ""),
        ("COMMIT", "COMMIT", None, ""),
        ("COPY t1", "COPY t1 FROM STDIN", None, ""),
        ("COPY t1", "COPY t1 TO STDOUT", None, ""),
        ("SELECT SELECT t1 SELECT", "SELECT ? AS x ; SELECT ? AS y FROM t1 ; SELECT ?", Some(6), ""),
        ("DO", "DO ?", None, ""),
        ("LISTEN", "LISTEN l", None, ""),
        ("NOTIFY", "NOTIFY l, ?", None, ""),
        ("SELECT generate_series", "SELECT repeat(?, ?) FROM generate_series(?, ?)", Some(30), ""),
    ];
    assert_eq!(met, right);
    assert!(spans.iter().all(|span| text(span, "db.system.name") == "postgresql"));
    assert!(spans.iter().all(|span| text(span, "db.namespace") == "postgres"));
}

fn pgbench(server: &Database) {
    let direct = server.address.port().to_string();
    let mut command = Command::new(required("pgbench", "postgresql-contrib").unwrap());
    run(command.args(["-h", "127.0.0.1", "-p", &direct, "-U", "postgres", "-i", "-q", "postgres"]));
    for mode in ["simple", "extended", "prepared"] {
        let tapped = Tapped::start(config(server.address));
        let mut command = client("pgbench", "postgresql-contrib", &tapped).unwrap();
        command.args(["-n", "-c", "4", "-t", "20", "-M", mode, "postgres"]);
        let printed = run(&mut command);
        assert!(printed.contains("number of transactions actually processed: 80/80"), "{printed}");
        let spans = spans(&tapped);
        let names = names(&spans);
        for name in [
            "BEGIN",
            "INSERT pgbench_history",
            "SELECT pgbench_accounts",
            "UPDATE pgbench_accounts",
            "UPDATE pgbench_branches",
            "UPDATE pgbench_tellers",
            "END",
        ] {
            assert_eq!(names.get(name), Some(&80), "{mode}: {names:?}");
        }
        let prepared = spans.iter().filter(|span| span.name.starts_with("PREPARE ")).count();
        assert_eq!(prepared, if mode == "prepared" { 28 } else { 0 }, "{names:?}");
        assert!(spans.iter().all(|span| !span.is_error() && !text(span, "db.query.text").is_empty()));
    }
}

/// Pipelines, named statements and portals, errors in the middle of a batch, a password.
const PSYCOPG: &str = r#"
import sys, psycopg
where = f"host=127.0.0.1 port={sys.argv[1]} dbname=postgres"
with psycopg.connect(where + " user=postgres", autocommit=True) as c:
    c.execute("CREATE ROLE eve LOGIN PASSWORD 'hunter2'")
    c.execute("CREATE TABLE p1 (a int)")
with psycopg.connect(where + " user=eve password=hunter2") as c:
    c.execute("SELECT 17")
    try:
        psycopg.connect(where + " user=eve password=wronghunter2")
    except psycopg.OperationalError:
        pass
with psycopg.connect(where + " user=postgres", autocommit=True) as c:
    for n in range(8):
        c.execute("SELECT %s::int + 1 AS p2", (n,), prepare=True)
    with c.pipeline():
        for n in range(20):
            c.execute("INSERT INTO p1 VALUES (%s)", (n,))
    try:
        with c.pipeline() as p:
            c.execute("SELECT 1 AS before")
            c.execute("SELECT * FROM p1 WHERE a / (a - a) = %s", (1,))
            c.execute("SELECT 2 AS skipped")
    except psycopg.errors.DivisionByZero:
        pass
    with c.transaction():
        with c.cursor("named") as cursor:
            cursor.itersize = 7
            cursor.execute("SELECT a FROM p1 WHERE a < %s", (15,))
            cursor.fetchall()
    with c.cursor() as cursor, cursor.copy("COPY p1 FROM STDIN") as copy:
        copy.write_row((99,))
"#;

fn psycopg(server: &Database) {
    let Some(python) = python("psycopg", "'psycopg[binary]'") else { return };
    let tapped = Tapped::start(config(server.address));
    run(Command::new(python).args(["-c", PSYCOPG, &tapped.tap.local_addr().port().to_string()]));
    let spans = spans(&tapped);
    let count = |wanted: &str| spans.iter().filter(|span| text(span, "db.query.text") == wanted).count();
    assert_eq!(count("CREATE ROLE eve LOGIN PASSWORD ?"), 1, "{:?}", names(&spans));
    let runs = |wanted: &str| {
        let is = |span: &&Span| text(span, "db.query.text") == wanted && !span.name.starts_with("PREPARE");
        spans.iter().filter(is).collect::<Vec<_>>()
    };
    assert_eq!(runs("SELECT $1::int + ? AS p2").len(), 8);
    assert_eq!(runs("INSERT INTO p1 VALUES ($1)").len(), 20);
    let failed = runs("SELECT * FROM p1 WHERE a / (a - a) = $1");
    assert_eq!(failed.iter().map(|span| text(span, "error.type")).collect::<Vec<_>>(), ["22012"]);
    let skipped: Vec<_> = spans.iter().filter(|span| text(span, "error.type") == "skipped").collect();
    assert_eq!(skipped.len(), 1, "{:?}", spans.iter().map(told).collect::<Vec<_>>());
    let before: Vec<_> =
        runs("SELECT ? AS before").into_iter().map(|span| (told(span).2, span.is_error())).collect();
    assert_eq!(before, [(Some(1), false)]);
}

#[test]
fn spans_in_front_of_postgresql_are_what_its_clients_did() {
    let needed = [("psql", "postgresql-client"), ("pgbench", "postgresql-contrib")];
    if needed.iter().any(|(program, package)| required(program, package).is_none()) {
        return;
    }
    let Some(server) = postgres() else { return };
    simple_queries(&server);
    pgbench(&server);
    psycopg(&server);
}

fn mariadb_client(server: &Database) {
    let file = server.path("rows.txt");
    std::fs::write(&file, "7\thunter2\n8\thunter2\n").unwrap();
    let tapped = Tapped::start(config(server.address));
    let script = format!(
        "CREATE DATABASE shop;
USE shop;
CREATE TABLE t1 (a int primary key, b text);
INSERT INTO t1 VALUES (1, 'hunter2'), (2, \"hunter2\");
SELECT a FROM `t1` WHERE b <> 'hunter2' OR a IN (1, 2);
SELECT * FROM missing;
START TRANSACTION;
UPDATE t1 SET b = 'it\\'s hunter2' WHERE a = 1;
COMMIT;
LOAD DATA LOCAL INFILE '{}' INTO TABLE t1;
CREATE PROCEDURE two(x int) BEGIN SELECT x; SELECT a FROM t1; END;
CALL two(17);
PREPARE p FROM 'SELECT ? + 1';
EXECUTE p USING @x;
SELECT repeat('x', 18000000);
SELECT seq FROM seq_1_to_5000;
ALTER TABLE t1 ADD COLUMN c int, ALGORITHM=COPY;
",
        file.display()
    );
    let script = script.replace(";\n", "$$\n");
    let source = server.path("script.sql");
    std::fs::write(&source, script).unwrap();
    let mut command = Command::new(required("mariadb", "mariadb-client").unwrap());
    command.args(["--no-defaults", "-h", "127.0.0.1", "-u", "root", "--force", "--local-infile=1"]);
    command.args(["--max-allowed-packet=64M", "--delimiter=$$", "-P"]);
    command.arg(tapped.tap.local_addr().port().to_string()).stdin(std::fs::File::open(source).unwrap());
    let output = command.output().unwrap();
    let complained = String::from_utf8_lossy(&output.stderr).into_owned();
    let spans = spans(&tapped);
    let met: Vec<_> = spans.iter().map(told).collect();
    let right = [
        ("CREATE DATABASE shop", "CREATE DATABASE shop", None, ""),
        ("SELECT", "SELECT DATABASE()", Some(1), ""),
        ("INIT_DB", "", None, ""),
        ("CREATE TABLE t1", "CREATE TABLE t1 (a int primary key, b text)", None, ""),
        ("INSERT t1", "INSERT INTO t1 VALUES (?, ?), (?, ?)", None, ""),
        ("SELECT `t1`", "SELECT a FROM `t1` WHERE b <> ? OR a IN (?)", Some(2), ""),
        ("SELECT missing", "SELECT * FROM missing", None, "1146"),
        ("START", "START TRANSACTION", None, ""),
        ("UPDATE t1", "UPDATE t1 SET b = ? WHERE a = ?", None, ""),
        ("COMMIT", "COMMIT", None, ""),
        ("LOAD t1", "LOAD DATA LOCAL INFILE ? INTO TABLE t1", None, ""),
        (
            "CREATE PROCEDURE two SELECT SELECT t1 END",
            "CREATE PROCEDURE two(x int) BEGIN SELECT x; SELECT a FROM t1; END",
            None,
            "",
        ),
        ("CALL two", "CALL two(?)", Some(5), ""),
        ("PREPARE", "PREPARE p FROM ?", None, ""),
        ("EXECUTE p", "EXECUTE p USING @x", Some(1), ""),
        ("SELECT", "SELECT repeat(?, ?)", Some(1), ""),
        ("SELECT seq_1_to_5000", "SELECT seq FROM seq_1_to_5000", Some(5000), ""),
        ("ALTER TABLE t1", "ALTER TABLE t1 ADD COLUMN c int, ALGORITHM=COPY", None, ""),
    ];
    assert_eq!(met, right, "{complained}");
    assert!(spans.iter().all(|span| text(span, "db.system.name") == "mariadb"));
    let namespaces: Vec<_> = spans.iter().map(|span| text(span, "db.namespace")).collect();
    assert!(
        namespaces[..3].iter().all(|name| name.is_empty())
            && namespaces[3..].iter().all(|name| *name == "shop")
    );
}

const CONNECTOR: &str = r#"
import sys, mysql.connector
def connect(**more):
    return mysql.connector.connect(host="127.0.0.1", port=int(sys.argv[1]), use_pure=True, ssl_disabled=True, autocommit=True, **more)
with connect(user="root") as c:
    k = c.cursor()
    k.execute("CREATE DATABASE py")
    k.execute("CREATE USER eve IDENTIFIED BY 'hunter2'")
    k.execute("GRANT ALL ON py.* TO eve")
try:
    connect(user="eve", password="wronghunter2")
except mysql.connector.Error:
    pass
with connect(user="eve", password="hunter2", database="py") as c:
    k = c.cursor()
    k.execute("CREATE TABLE p1 (a int, b longblob)")
    p = c.cursor(prepared=True)
    for n in range(20):
        p.execute("INSERT INTO p1 VALUES (?, ?)", (n, "hunter2"))
    p.execute("INSERT INTO p1 VALUES (?, ?)", (99, b"hunter2" * 3_000_000))
    q = c.cursor(prepared=True)
    for n in range(5):
        q.execute("SELECT a FROM p1 WHERE a < ?", (n,))
        q.fetchall()
    try:
        q.execute("SELECT a FROM missing WHERE a < ?", (1,))
    except mysql.connector.Error:
        pass
    k.execute("INSERT INTO p1 VALUES (100, '" + "hunter2" * 3_000_000 + "')")
    k.execute("SELECT 1 AS multi; SELECT a FROM p1; DO 0")
    k.fetchall()
    while k.nextset():
        if k.with_rows:
            k.fetchall()
    c.ping()
    c.cmd_change_user("eve", "hunter2", "py")
    c.cmd_reset_connection()
    c.cmd_statistics()
    k = c.cursor()
    k.execute("SELECT a FROM p1 LIMIT 3")
    k.fetchall()
"#;

fn connector(server: &Database) {
    let Some(python) = python("mysql.connector", "mysql-connector-python") else { return };
    let tapped = Tapped::start(config(server.address));
    run(Command::new(python).args(["-c", CONNECTOR, &tapped.tap.local_addr().port().to_string()]));
    let spans = spans(&tapped);
    let names = names(&spans);
    let with = |wanted: &str| {
        let is = |span: &&Span| text(span, "db.query.text") == wanted && !span.name.starts_with("PREPARE");
        spans.iter().filter(is).collect::<Vec<_>>()
    };
    // The last one is longer than what is read of a statement, and ends within its literal.
    assert_eq!(with("INSERT INTO p1 VALUES (?, ?)").len(), 21, "{names:?}");
    assert_eq!((with("INSERT INTO p1 VALUES (?, ?").len(), names["INSERT p1"]), (1, 22));
    let rows: Vec<_> = with("SELECT a FROM p1 WHERE a < ?")
        .iter()
        .map(|span| number(span, "db.response.returned_rows").unwrap())
        .collect();
    assert_eq!(rows, [0, 1, 2, 3, 4]);
    let failed: Vec<_> = spans.iter().filter(|span| span.is_error()).map(told).collect();
    assert_eq!(failed, [("PREPARE SELECT missing", "SELECT a FROM missing WHERE a < ?", None, "1146")]);
    for name in ["PING py", "CHANGE_USER py", "RESET_CONNECTION py", "STATISTICS py"] {
        assert!(names.contains_key(name), "{names:?}");
    }
    assert_eq!(with("SELECT a FROM p1 LIMIT ?").len(), 1);
    // 23 rows and one: the results of several statements at once are one answer.
    let several = with("SELECT ? AS multi; SELECT a FROM p1; DO ?");
    assert_eq!(
        several.iter().map(|span| number(span, "db.response.returned_rows")).collect::<Vec<_>>(),
        [Some(23)]
    );
    assert_eq!(with("CREATE USER eve IDENTIFIED BY ?").len(), 1);
}

fn slap(server: &Database) {
    let tapped = Tapped::start(config(server.address));
    let mut command = Command::new(required("mariadb-slap", "mariadb-client").unwrap());
    command.args(["--no-defaults", "-h", "127.0.0.1", "-u", "root", "-P"]);
    command.arg(tapped.tap.local_addr().port().to_string());
    command.args(["--concurrency=4", "--number-of-queries=200", "--create-schema=slap"]);
    run(command.args(["--create=CREATE TABLE s1 (a int)", "--query=INSERT INTO s1 VALUES (17)"]));
    let spans = spans(&tapped);
    assert_eq!(names(&spans).get("INSERT s1"), Some(&200), "{:?}", names(&spans));
}

#[test]
fn spans_in_front_of_mariadb_are_what_its_clients_did() {
    let needed = [("mariadb", "mariadb-client"), ("mariadb-slap", "mariadb-client")];
    if needed.iter().any(|(program, package)| required(program, package).is_none()) {
        return;
    }
    let Some(server) = mariadb() else { return };
    mariadb_client(&server);
    connector(&server);
    slap(&server);
}

/// What the recorded sessions do; the clients are in the folder of the test data.
#[cfg(feature = "replay")]
mod record {
    use std::sync::Arc;

    use otlp_ebpf::replay::{Recorder, RecorderConfig};

    use super::*;

    const PSQL: &str = "SELECT 17, 'hunter2';
SELECT * FROM missing;
CREATE TEMPORARY TABLE t1 (a int, b text);
COPY t1 FROM STDIN;
3\thunter2
\\.
SELECT a FROM t1 \\; UPDATE t1 SET b = $$hunter2$$;
";

    const PSYCOPG: &str = r#"
import sys, psycopg
with psycopg.connect(f"host=127.0.0.1 port={sys.argv[1]} dbname=postgres user=eve password=hunter2", autocommit=True) as c:
    for n in range(3):
        c.execute("SELECT %s::int AS p1", (n,), prepare=True)
    try:
        with c.pipeline() as p:
            c.execute("SELECT 1 AS before")
            c.execute("SELECT 1 / %s", (0,))
            c.execute("SELECT 2 AS skipped")
    except psycopg.errors.DivisionByZero:
        pass
    with c.transaction(), c.cursor("named") as cursor:
        cursor.execute("SELECT generate_series(1, %s)", (12,))
        cursor.fetchmany(5)
"#;

    const MARIADB: &str = "CREATE DATABASE shop; USE shop; CREATE TABLE t1 (a int, b text); SELECT 17, 'hunter2'; \
        INSERT INTO t1 VALUES (1, \"hunter2\"), (2, 'x'); SELECT a FROM t1; SELECT * FROM missing";

    const CONNECTOR: &str = r#"
import sys, mysql.connector
with mysql.connector.connect(host="127.0.0.1", port=int(sys.argv[1]), use_pure=True, ssl_disabled=True, user="eve", password="hunter2", database="shop") as c:
    p = c.cursor(prepared=True)
    for n in range(3):
        p.execute("SELECT a FROM t1 WHERE a < ?", (n,))
        p.fetchall()
    k = c.cursor()
    k.execute("SELECT 1; SELECT a FROM t1; DO 0")
    k.fetchall()
    while k.nextset():
        if k.with_rows:
            k.fetchall()
    c.ping()
"#;

    /// Records what clients do, into a file of the test data.
    fn record(server: &Database, name: &str, clients: impl FnOnce(&Tapped)) {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
        let to = std::fs::File::create(file).unwrap();
        let recorder = Arc::new(Recorder::start(to, RecorderConfig::default()).unwrap());
        let tapped = Tapped::start(config(server.address).record(Arc::clone(&recorder)));
        clients(&tapped);
        spans(&tapped);
        tapped.tap.shutdown(loopback::LONG);
        recorder.finish().unwrap();
    }

    #[test]
    #[ignore = "long: writes the test data anew"]
    fn records_sessions_for_the_tests_without_servers() {
        let (Some(postgres), Some(mariadb)) = (postgres(), mariadb()) else { return };
        let Some(python) = python("psycopg, mysql.connector", "'psycopg[binary]' mysql-connector-python")
        else {
            return;
        };
        let port = |tapped: &Tapped| tapped.tap.local_addr().port().to_string();
        let untapped = Tapped::start(config(postgres.address));
        psql(&untapped, "CREATE ROLE eve LOGIN PASSWORD 'hunter2';");
        record(&postgres, "postgres.events", |tapped| {
            psql(tapped, PSQL);
            run(Command::new(&python).args(["-c", PSYCOPG, &port(tapped)]));
        });
        let client = |tapped: &Tapped, sql: &str| {
            let mut command = Command::new(required("mariadb", "mariadb-client").unwrap());
            command.args(["--no-defaults", "-h", "127.0.0.1", "-u", "root", "-P", &port(tapped), "-e", sql]);
            command.output().unwrap();
        };
        record(&mariadb, "mariadb.events", |tapped| {
            client(tapped, MARIADB);
            client(tapped, "CREATE USER eve IDENTIFIED BY 'hunter2'; GRANT ALL ON shop.* TO eve");
            run(Command::new(&python).args(["-c", CONNECTOR, &port(tapped)]));
        });
    }
}
