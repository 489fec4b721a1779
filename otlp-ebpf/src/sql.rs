//! SQL statements without what they say: literals taken out, and a summary.
//!
//! The text follows the conventions on `db.query.text`: every literal (strings of any kind, numbers, truth values) is
//! `?`, comments are gone, white space is one blank, a list of literals behind `IN` is `(?)`. What is not closed is
//! a literal up to the end, and where it cannot be told what is a literal the text ends. The summary follows those on
//! `db.query.summary`: operations and their targets, in the order and spelling of the text, at most 255 characters.
//!
//! Of a comment behind the statement the W3C trace context is read that sqlcommenter puts there.

mod comment;
mod summary;
mod text;
mod token;

use otlp_core::context::w3c::TraceParent;

use self::comment::Context;
use self::summary::Summary;
use self::text::Text;
use self::token::Tokens;

/// Whose SQL it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// PostgreSQL: `"` quotes names, `$tag$` strings, comments nest.
    PostgreSql,
    /// MySQL and MariaDB: backticks quote names, `"` strings, `#` begins a comment.
    MySql,
}

/// What a backslash in a string is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "it is, it is not, or nobody knows")]
pub enum Backslash {
    /// A character as any other (PostgreSQL's default; MySQL's mode `NO_BACKSLASH_ESCAPES`).
    Plain,
    /// It escapes the next character (MySQL's default; PostgreSQL with `standard_conforming_strings` off).
    Escapes,
    /// Either. The text of a statement ends at the first string that makes a difference.
    Unknown,
}

/// How SQL text is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Syntax {
    /// Whose SQL it is.
    pub dialect: Dialect,
    /// What a backslash in a string is.
    pub backslash: Backslash,
}

impl Syntax {
    /// A dialect as its server has it by default.
    #[must_use]
    pub const fn new(dialect: Dialect) -> Self {
        let backslash = match dialect {
            Dialect::PostgreSql => Backslash::Plain,
            Dialect::MySql => Backslash::Escapes,
        };
        Self { dialect, backslash }
    }

    /// The same, with another backslash.
    #[must_use]
    pub const fn backslash(mut self, backslash: Backslash) -> Self {
        self.backslash = backslash;
        self
    }
}

/// A statement, or several with semicolons between, without literals and comments.
///
/// ```
/// use otlp_ebpf::sql::{Dialect, Statement, Syntax};
/// let syntax = Syntax::new(Dialect::PostgreSql);
/// let statement = Statement::read(b"SELECT * FROM users -- of today\n WHERE name = 'Eve' AND id IN (1, 2)", syntax, 2048);
/// assert_eq!(statement.text(), "SELECT * FROM users WHERE name = ? AND id IN (?)");
/// assert_eq!(statement.summary(), "SELECT users");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Statement {
    text: String,
    summary: String,
    context: Option<Box<Context>>,
}

impl Statement {
    /// Reads a statement; of its text at most `limit` bytes are kept. O(bytes).
    #[must_use]
    pub fn read(sql: &[u8], syntax: Syntax, limit: usize) -> Self {
        let mut statement = Self::default();
        statement.read_into(sql, syntax, limit);
        statement
    }

    /// Reads another statement in place of this one. O(bytes); allocates only where it is longer.
    pub fn read_into(&mut self, sql: &[u8], syntax: Syntax, limit: usize) {
        self.text.clear();
        self.summary.clear();
        let mut text = Text::new(&mut self.text, limit);
        let mut summary = Summary::new(&mut self.summary);
        let mut tokens = Tokens::new(sql, syntax);
        for token in tokens.by_ref() {
            text.push(token);
            summary.push(token);
        }
        text.end();
        self.context = tokens.last_comment().and_then(Context::read).map(Box::new);
    }

    /// The text without literals and comments.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Operations and targets; empty where there are none.
    #[must_use]
    pub fn summary(&self) -> &str {
        &self.summary
    }

    /// The span that caused it, where a comment behind it says so: `/*traceparent='00-…-01'*/`.
    ///
    /// ```
    /// use otlp_ebpf::sql::{Dialect, Statement, Syntax};
    /// let sql = b"SELECT 1 /*route='%2Fcart',traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/";
    /// let statement = Statement::read(sql, Syntax::new(Dialect::MySql), 2048);
    /// assert_eq!(statement.text(), "SELECT ?");
    /// assert!(statement.trace_parent().is_some_and(|parent| parent.is_sampled()));
    /// ```
    #[must_use]
    pub fn trace_parent(&self) -> Option<TraceParent> {
        self.context.as_ref().map(|context| context.parent)
    }

    /// The `tracestate` beside it, as sent; empty where there is none.
    #[must_use]
    pub fn trace_state(&self) -> &str {
        self.context.as_ref().map_or("", |context| &context.state)
    }

    /// Its first word, which in most statements is what it does.
    pub(crate) fn operation(&self) -> &str {
        self.summary.split(' ').next().unwrap_or_default()
    }

    /// The database that a `USE` of MySQL names.
    pub(crate) fn used(&self) -> Option<&str> {
        let name = self.summary.get(4..).filter(|_| self.operation().eq_ignore_ascii_case("USE"))?;
        Some(name.strip_prefix('`').and_then(|name| name.strip_suffix('`')).unwrap_or(name))
    }

    /// Heap bytes held.
    pub(crate) fn held_bytes(&self) -> usize {
        let context =
            self.context.as_ref().map_or(0, |context| size_of::<Context>() + context.state.capacity());
        self.text.capacity() + self.summary.capacity() + context
    }

    /// Gives back what it holds beyond what is in it.
    pub(crate) fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.summary.shrink_to_fit();
    }
}

/// Appends bytes as text; what is no UTF-8 becomes U+FFFD.
fn append(to: &mut String, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => to.push_str(text),
        Err(_) => to.push_str(&String::from_utf8_lossy(bytes)),
    }
}

#[cfg(test)]
mod tests;
