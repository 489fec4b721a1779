use proptest::prelude::*;

use super::*;

const PG: Syntax = Syntax::new(Dialect::PostgreSql);
const MY: Syntax = Syntax::new(Dialect::MySql);

fn text(sql: impl AsRef<[u8]>, syntax: Syntax) -> String {
    Statement::read(sql.as_ref(), syntax, 2048).text().to_owned()
}

fn summary(sql: &str, syntax: Syntax) -> String {
    Statement::read(sql.as_bytes(), syntax, 2048).summary().to_owned()
}

#[test]
fn literals_of_both_dialects_are_taken_out() {
    let cases = [
        ("SELECT 'a''b', E'c\\'d', 1, -2.5e-3, .5, 0xFF, true", "SELECT ?, ?, ?, -?, ?, ?, ?"),
        ("SELECT U&'x', u&\"d\\0061t\", B'10', x'ff', N'n'", "SELECT ?, u&\"d\\0061t\", ?, ?, ?"),
        ("SELECT $$it's$$, $a$ $$ 'x $b$ $a$, $1, $22", "SELECT ?, ?, $1, $22"),
        ("SELECT /* 'a' /* nested */ b */ c -- d\nFROM t1", "SELECT c FROM t1"),
        (
            "SELECT a->>'k' FROM t WHERE b @> '{1}' AND @$q$x y$q$ = c",
            "SELECT a->>? FROM t WHERE b @> ? AND @? = c",
        ),
        ("SELECT 1$q$x y$q$", "SELECT ??"),
        ("SELECT 'never closed", "SELECT ?"),
        ("SELECT $q$never closed $q", "SELECT ?"),
        ("SELECT 'C:\\' || x || 'y'", "SELECT ? || x || ?"),
        ("INSERT INTO t VALUES (1, 'x', NULL); ", "INSERT INTO t VALUES (?, ?, NULL)"),
        (
            "SELECT t1.a FROM t1 WHERE a2=3 AND b IN ('x' ,'y', 3 ) AND c IN ($1,$2)",
            "SELECT t1.a FROM t1 WHERE a2=? AND b IN (? ) AND c IN ($1)",
        ),
        ("x IN (1, a, 2) AND y IN (SELECT 1, 2)", "x IN (?, a, ?) AND y IN (SELECT ?, ?)"),
        ("select\t\n *\x0bfrom  \"Weird Table\"", "select * from \"Weird Table\""),
    ];
    for (sql, expected) in cases {
        assert_eq!(text(sql, PG), expected, "{sql}");
    }
    let cases = [
        (
            r#"SELECT "a""b", 'c\'d', 'e''f', _utf8'x', `na``me`, @v, @@global.x"#,
            "SELECT ?, ?, ?, _utf8?, `na``me`, @v, @@global.x",
        ),
        ("SELECT 1 # 'a'\n, 2 -- b\n, 3--4, 5 /* c */", "SELECT ? , ? , ?--?, ?"),
        ("SELECT /*!40101 a, 'b' */ c /*M!100100 , d*/", "SELECT a, ? c , d"),
        ("SELECT * FROM a WHERE b='C:\\\\' AND c='x'", "SELECT * FROM a WHERE b=? AND c=?"),
        ("SELECT /* /* not nested */ a", "SELECT a"),
        ("/*!40000 ALTER TABLE `t` DISABLE KEYS */;", "ALTER TABLE `t` DISABLE KEYS"),
    ];
    for (sql, expected) in cases {
        assert_eq!(text(sql, MY), expected, "{sql}");
    }
}

#[test]
fn what_a_backslash_is_depends_on_the_server() {
    let sql = r"SELECT 'a\', 'secret' -- '";
    assert_eq!(text(sql, PG), "SELECT ?, ?");
    assert_eq!(text(sql, PG.backslash(Backslash::Escapes)), "SELECT ?secret?");
    assert_eq!(text(sql, MY.backslash(Backslash::Plain)), "SELECT ?, ?");
    let sql = r"SELECT 'a\'secret', b";
    assert_eq!(text(sql, MY), "SELECT ?, b");
    for syntax in [PG, MY].map(|syntax| syntax.backslash(Backslash::Unknown)) {
        assert_eq!(text(sql, syntax), "SELECT", "where it makes a difference the text ends");
        assert_eq!(text(r"SELECT 'a\n', 'b'", syntax), "SELECT ?, ?", "where it makes none it goes on");
    }
}

#[test]
fn text_that_is_not_utf8_is_read_and_cut_where_a_character_may_hold_the_backslash() {
    assert_eq!(text(b"SELECT 'caf\xe9', b", MY), "SELECT ?, b");
    assert_eq!(text(b"SELECT caf\xe9 FROM t", PG), "SELECT caf\u{fffd} FROM t");
    // In GBK the first two bytes are one character, and the quote behind them ends the string.
    assert_eq!(text(b"SELECT '\xbf\\' OR 'secret'", MY), "SELECT");
    assert_eq!(text("SELECT 'é\\'x', b", MY), "SELECT ?, b", "in UTF-8 it is a backslash");
    assert_eq!(text(b"SELECT `\xbf`secret` FROM t", MY), "SELECT");
    assert_eq!(text("SELECT größe FROM \"Größe\"", PG), "SELECT größe FROM \"Größe\"");
}

#[test]
fn summaries_name_operations_and_their_targets() {
    let cases = [
        ("SELECT * FROM wuser_table WHERE username = 'x'", "SELECT wuser_table"),
        (
            "INSERT INTO shipping_details (order_id, address) SELECT order_id, address FROM orders WHERE order_id = 1",
            "INSERT shipping_details SELECT orders",
        ),
        ("SELECT * FROM songs, artists WHERE songs.artist_id = artists.id", "SELECT songs artists"),
        (
            "SELECT d FROM (SELECT * FROM orders o JOIN customers c ON o.c = c.id)",
            "SELECT SELECT orders customers",
        ),
        (
            "select a from public.t1 as x, \"T 2\" left join s.t3 on a = b, t4 where f(a, b) order by c, d",
            "select public.t1 \"T 2\" s.t3 t4",
        ),
        ("UPDATE ONLY t SET a = 1, b = 2 FROM u WHERE x = y", "UPDATE t u"),
        ("DELETE FROM t WHERE a IS DISTINCT FROM b", "DELETE t"),
        (
            "WITH x AS (INSERT INTO a VALUES (1) RETURNING b), y AS (SELECT 1 FROM c) SELECT * FROM x",
            "INSERT a SELECT c SELECT x",
        ),
        ("SELECT EXTRACT(YEAR FROM d), substring(a from 2) FROM t GROUP BY e, f", "SELECT t"),
        ("CREATE TABLE IF NOT EXISTS t (a int REFERENCES u ON DELETE CASCADE)", "CREATE TABLE t"),
        ("CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)", "CREATE INDEX i"),
        ("DROP TABLE t", "DROP TABLE t"),
        ("ALTER USER eve PASSWORD 'x'", "ALTER USER"),
        ("TRUNCATE TABLE t", "TRUNCATE t"),
        ("BEGIN", "BEGIN"),
        ("BEGIN; UPDATE t SET a = 1; COMMIT;", "BEGIN UPDATE t COMMIT"),
        ("EXPLAIN ANALYZE UPDATE t SET a = 1", "EXPLAIN UPDATE t"),
        ("SELECT a FROM t FOR UPDATE OF t", "SELECT t"),
        ("INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET a = 2", "INSERT t"),
        ("COPY t (a, b) FROM STDIN", "COPY t"),
        ("CALL get_user('x')", "CALL get_user"),
        ("SET search_path TO x", "SET"),
        ("(SELECT 1 FROM a) UNION (SELECT 2 FROM b)", "SELECT a SELECT b"),
        ("MERGE INTO t USING s ON a = b WHEN MATCHED THEN UPDATE SET c = 1", "MERGE t"),
        ("SAVEPOINT a1", "SAVEPOINT"),
        ("SELECT ?", "SELECT"),
        ("", ""),
        ("SELECT * FROM generate_series(1, 3) g, t2", "SELECT generate_series t2"),
    ];
    for (sql, expected) in cases {
        assert_eq!(summary(sql, PG), expected, "{sql}");
    }
    let cases = [
        ("INSERT IGNORE INTO `shop`.`orders` VALUES (1)", "INSERT `shop`.`orders`"),
        ("INSERT t SET a = 1 ON DUPLICATE KEY UPDATE a = 2", "INSERT t"),
        ("REPLACE LOW_PRIORITY INTO t VALUES (\"FROM x\")", "REPLACE t"),
        ("UPDATE a, b SET a.x = b.y", "UPDATE a b"),
        ("DELETE a FROM a JOIN b ON a.i = b.i", "DELETE a b"),
        ("USE `shop`", "USE `shop`"),
        ("SHOW COLUMNS FROM t", "SHOW t"),
        ("LOAD DATA LOCAL INFILE '/x' INTO TABLE t", "LOAD t"),
        ("SELECT a INTO OUTFILE '/x' FROM t", "SELECT t"),
    ];
    for (sql, expected) in cases {
        assert_eq!(summary(sql, MY), expected, "{sql}");
    }
}

#[test]
fn a_long_summary_ends_with_a_whole_name() {
    let tables: Vec<_> = (0..60).map(|number| format!("schema_{number}.table_{number}")).collect();
    let told = summary(&format!("SELECT 1 FROM {}", tables.join(", ")), PG);
    assert!(told.len() <= 255 && told.len() > 220, "{}", told.len());
    let last = told.rsplit(' ').next().unwrap();
    assert!(tables.iter().any(|table| table == last), "{last}");
    assert_eq!(summary(&format!("SELECT 1 FROM a, {}, b", "x".repeat(300)), PG), "SELECT a");
}

#[test]
fn a_name_of_several_parts_that_is_too_long_is_left_out_whole() {
    // A blank in quotes is no end of a name.
    let long = "x".repeat(300);
    for name in [format!("\"two words\".{long}"), format!("schema.\"{long} two words\"")] {
        assert_eq!(summary(&format!("SELECT a FROM b; EXEC {name}"), PG), "SELECT b EXEC", "{name}");
    }
}

#[test]
fn the_text_is_bounded_and_the_summary_sees_what_comes_behind() {
    let columns = "column_name, ".repeat(400);
    let sql = format!("SELECT {columns} x FROM behind");
    let statement = Statement::read(sql.as_bytes(), PG, 100);
    assert!(statement.text().len() <= 100 && statement.text().starts_with("SELECT column_name, column_name"));
    assert_eq!(statement.summary(), "SELECT behind");
}

#[test]
fn a_use_tells_its_database() {
    let used = |sql: &str| Statement::read(sql.as_bytes(), MY, 2048).used().map(str::to_owned);
    assert_eq!(used("use `shop`;").as_deref(), Some("shop"));
    assert_eq!(used("USE shop").as_deref(), Some("shop"));
    assert_eq!(used("SELECT 1"), None);
}

/// A literal that holds the secret, in one of the spellings of a dialect, and the SQL around it.
fn literal(dialect: Dialect) -> impl Strategy<Value = String> {
    let quoted = |quote: &'static str| {
        "[ -~é]{0,8}".prop_map(move |around| {
            let safe = around.replace('\\', "\\\\").replace(quote, &quote.repeat(2));
            format!("{quote}{safe}s3cret {safe}{quote}")
        })
    };
    let mysql = dialect == Dialect::MySql;
    let dollar = ("[a-z]{0,3}", "[a-z'\"\\\\ -]{0,8}")
        .prop_map(|(tag, around)| format!("${tag}${around} s3cret {around}${tag}$"));
    let escaped = "[a-z]{0,4}".prop_map(|around| format!("E'{around}\\' s3cret \\\\'"));
    let comment = "[a-z' ]{0,8}".prop_map(|around| format!("/* {around} s3cret */ 1"));
    prop_oneof![
        quoted("'"),
        if mysql { quoted("\"").boxed() } else { dollar.boxed() },
        if mysql {
            "[a-z]{0,4}".prop_map(|around| format!("'{around}\\' s3cret'")).boxed()
        } else {
            escaped.boxed()
        },
        comment,
        "[0-9]{1,4}".prop_map(|digits| format!("-- s3cret\n{digits}")),
    ]
}

fn statement(dialect: Dialect) -> impl Strategy<Value = String> {
    let word = "(SELECT|FROM|WHERE|a1|t2|,|\\(|\\)|=|;|IN|JOIN|x\\.y|\\|\\||VALUES| )";
    proptest::collection::vec(prop_oneof![3 => word.prop_map(|word| word), 1 => literal(dialect)], 1..14)
        .prop_map(|parts| parts.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_a_literal_says_is_nowhere(pg in statement(Dialect::PostgreSql), my in statement(Dialect::MySql)) {
        // The quoted strings double their backslashes, which means the same only where it escapes.
        for (sql, syntax) in [(pg, PG), (my, MY)] {
            let told = Statement::read(sql.as_bytes(), syntax, 4096);
            prop_assert!(!told.text().contains("s3cret"), "{} in {}", sql, told.text());
            prop_assert!(!told.summary().contains("s3cret"), "{} in {}", sql, told.summary());
        }
    }

    #[test]
    fn any_bytes_are_read_and_bounded(sql in proptest::collection::vec(any::<u8>(), 0..300), limit in 0_usize..100) {
        for syntax in [PG, MY, PG.backslash(Backslash::Unknown), MY.backslash(Backslash::Plain)] {
            let told = Statement::read(&sql, syntax, limit);
            prop_assert!(told.text().len() <= limit);
            prop_assert!(told.summary().chars().count() <= 255);
        }
    }

    #[test]
    fn what_is_taken_out_once_stays_as_it_is(sql in statement(Dialect::PostgreSql)) {
        let once = text(&sql, PG);
        prop_assert_eq!(&text(&once, PG), &once);
    }

    #[test]
    fn a_statement_read_in_place_of_another_is_the_same(one in statement(Dialect::MySql), other in statement(Dialect::MySql)) {
        let mut reused = Statement::read(one.as_bytes(), MY, 2048);
        reused.read_into(other.as_bytes(), MY, 2048);
        prop_assert_eq!(reused, Statement::read(other.as_bytes(), MY, 2048));
    }
}

#[test]
fn a_reader_that_forgets_a_kind_of_literal_would_be_noticed() {
    // The planted fault: PostgreSQL's text read as MySQL's, which knows no dollar quotes.
    assert!(text("SELECT $$ s3cret $$", MY).contains("s3cret"));
}
