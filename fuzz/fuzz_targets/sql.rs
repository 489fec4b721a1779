//! Any bytes as an SQL statement of either dialect: read, bounded, and no secret in what is left of a literal.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otlp_ebpf::sql::{Backslash, Dialect, Statement, Syntax};

const SECRET: &str = "s3cretS3CRET";

fuzz_target!(|data: &[u8]| {
    for dialect in [Dialect::PostgreSql, Dialect::MySql] {
        for backslash in [Backslash::Plain, Backslash::Escapes, Backslash::Unknown] {
            let syntax = Syntax::new(dialect).backslash(backslash);
            let told = Statement::read(data, syntax, 2048);
            assert!(told.text().len() <= 2048 && told.summary().chars().count() <= 255);
            // A literal behind it tells nothing: what comes before ends it, or it is one.
            let sql = [data, b" '", SECRET.as_bytes(), b"'"].concat();
            let told = Statement::read(&sql, syntax, usize::MAX);
            let knows = data.windows(SECRET.len()).any(|bytes| bytes == SECRET.as_bytes());
            if !knows && !data.contains(&b'\'')
                && !data.iter().any(|byte| b"\"`$/*-#\\".contains(byte) || *byte >= 0x80)
            {
                assert!(!told.text().contains(SECRET), "{}", told.text());
            }
        }
    }
});
