//! What a statement does, and to what: operations and targets.

use super::append;
use super::token::Token;

/// Characters of a summary at most, as the conventions have it.
const MAX_CHARACTERS: usize = 255;

/// Collects operations and their targets from the tokens of a statement.
#[derive(Debug)]
pub(super) struct Summary<'a> {
    out: &'a mut String,
    characters: usize,
    /// Where the last entry begins, the blank before it included.
    last: usize,
    full: bool,
    /// The operation that the statement began with.
    lead: Lead,
    want: Want,
    /// Parentheses open; for each of the first 64 whether a `FROM` within names targets.
    depth: u32,
    queries: u64,
    /// The depth of a list of targets: a comma there begins the next one.
    list: Option<u32>,
    before: Before,
    /// A name that is being read, in as many parts as dots join.
    name: Name,
}

/// What the next name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    Nothing,
    /// An operation: at the beginning of a statement.
    Operation,
    /// What kind of thing is created, changed or dropped.
    Object,
    /// A target.
    Target,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lead {
    Insert,
    Load,
    Other,
}

/// What the last token was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Start,
    Parenthesis,
    Explain,
    Distinct,
    Other,
}

/// Whether a target is being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    No,
    /// Behind a part of it: a dot goes on.
    Part,
    /// Behind a dot.
    Dot,
}

impl<'a> Summary<'a> {
    pub(super) const fn new(out: &'a mut String) -> Self {
        Self {
            out,
            characters: 0,
            last: 0,
            full: false,
            lead: Lead::Other,
            want: Want::Operation,
            depth: 0,
            queries: 0,
            list: None,
            before: Before::Start,
            name: Name::No,
        }
    }

    pub(super) fn push(&mut self, token: Token<'_>) {
        if self.full {
            return;
        }
        match token {
            Token::Space => return,
            Token::Word(word) if self.name == Name::Dot => self.part(word),
            Token::Quoted(name) if self.name == Name::Dot => self.part(name),
            Token::Mark(b'.') if self.name == Name::Part => {
                self.name = Name::Dot;
                return;
            }
            Token::Word(word) => {
                self.name = Name::No;
                self.word(word);
                return;
            }
            Token::Quoted(name) => {
                self.name = Name::No;
                if self.want == Want::Target {
                    self.target(name);
                }
                self.want = Want::Nothing;
            }
            Token::Literal | Token::Placeholder(_) => {
                self.name = Name::No;
                self.want = Want::Nothing;
            }
            Token::Mark(mark) => {
                self.name = Name::No;
                self.mark(mark);
                return;
            }
        }
        self.before = Before::Other;
    }

    fn mark(&mut self, mark: u8) {
        self.before = Before::Other;
        match mark {
            b'(' => {
                self.depth = self.depth.saturating_add(1);
                self.queries &= !bit(self.depth);
                self.before = Before::Parenthesis;
                // Before a query in parentheses it is still to come; before anything else it is not.
                if self.want != Want::Operation {
                    self.want = Want::Nothing;
                }
            }
            b')' => {
                self.depth = self.depth.saturating_sub(1);
                self.before = Before::Parenthesis;
            }
            b',' if self.list == Some(self.depth) => self.want = Want::Target,
            b';' => self.begin(),
            _ => self.want = Want::Nothing,
        }
    }

    fn begin(&mut self) {
        self.want = Want::Operation;
        self.lead = Lead::Other;
        self.list = None;
        self.depth = 0;
        self.queries = 0;
        self.before = Before::Start;
    }

    fn word(&mut self, word: &[u8]) {
        let mut upper = [0_u8; 16];
        let key = match upper.get_mut(..word.len()) {
            Some(upper) => {
                upper.copy_from_slice(word);
                upper.make_ascii_uppercase();
                &*upper
            }
            None => &[],
        };
        let before = std::mem::replace(&mut self.before, Before::Other);
        if self.keyword(key, word, before) {
            return;
        }
        match self.want {
            Want::Operation => {
                self.operation(word);
                self.want = Want::Nothing;
            }
            Want::Object if OBJECTS.contains(&key) => {
                self.operation(word);
                // Who uses a database is nobody's business.
                self.want = if matches!(key, b"ROLE" | b"USER") { Want::Nothing } else { Want::Target };
            }
            Want::Target if !BEFORE_TARGETS.contains(&key) => {
                self.target(word);
                self.want = Want::Nothing;
            }
            Want::Nothing | Want::Object | Want::Target => {}
        }
    }

    /// Takes a word that begins an operation or tells where targets are; gives whether it was one.
    fn keyword(&mut self, key: &[u8], word: &[u8], before: Before) -> bool {
        let leads = self.want == Want::Operation;
        let begins = leads || matches!(before, Before::Parenthesis | Before::Explain);
        match key {
            b"SELECT" => {
                self.operation(word);
                self.queries |= bit(self.depth);
                self.want = Want::Nothing;
                self.end_list();
            }
            b"INSERT" | b"REPLACE" | b"MERGE" if begins => {
                self.operation(word);
                self.lead = Lead::Insert;
                self.want = Want::Target;
            }
            b"UPDATE" if begins => {
                self.operation(word);
                self.queries |= bit(self.depth);
                self.want = Want::Target;
                self.list = Some(self.depth);
            }
            b"DELETE" if begins => {
                self.operation(word);
                self.queries |= bit(self.depth);
                self.want = Want::Nothing;
            }
            b"SHOW" if leads => {
                self.operation(word);
                self.queries |= bit(self.depth);
                self.want = Want::Nothing;
            }
            b"CREATE" | b"ALTER" | b"DROP" if leads => {
                self.operation(word);
                self.want = Want::Object;
            }
            b"CALL" | b"EXEC" | b"EXECUTE" | b"USE" | b"COPY" | b"TRUNCATE" if leads => {
                self.operation(word);
                self.want = Want::Target;
            }
            b"LOAD" if leads => {
                self.operation(word);
                self.lead = Lead::Load;
                self.want = Want::Nothing;
            }
            b"EXPLAIN" | b"ANALYZE" | b"DESCRIBE" if leads || before == Before::Explain => {
                if leads {
                    self.operation(word);
                }
                self.want = Want::Nothing;
                self.before = Before::Explain;
            }
            // The common table expressions come before the operation.
            b"WITH" if leads => self.want = Want::Nothing,
            b"FROM" if self.queries & bit(self.depth) != 0 && before != Before::Distinct => {
                self.want = Want::Target;
                self.list = Some(self.depth);
            }
            b"JOIN" | b"STRAIGHT_JOIN" if self.queries & bit(self.depth) != 0 => self.want = Want::Target,
            b"INTO" if self.lead != Lead::Other => {
                self.want = Want::Target;
                self.lead = Lead::Other;
            }
            b"DISTINCT" => self.before = Before::Distinct,
            b"WHERE" | b"SET" | b"GROUP" | b"ORDER" | b"LIMIT" | b"HAVING" | b"UNION" | b"RETURNING"
            | b"WINDOW" | b"VALUES" | b"USING" | b"FOR" | b"PROCEDURE"
                if !leads && self.want != Want::Object =>
            {
                self.want = Want::Nothing;
                self.end_list();
            }
            _ => return false,
        }
        true
    }

    fn end_list(&mut self) {
        if self.list == Some(self.depth) {
            self.list = None;
        }
    }

    fn operation(&mut self, word: &[u8]) {
        self.entry(word);
        self.name = Name::No;
    }

    fn target(&mut self, name: &[u8]) {
        self.name = if self.entry(name) { Name::Part } else { Name::No };
    }

    /// One more part of the name behind its dot.
    fn part(&mut self, part: &[u8]) {
        let before = self.out.len();
        self.out.push('.');
        append(self.out, part);
        self.name = Name::Part;
        let characters = self.out.get(before..).unwrap_or_default().chars().count();
        if self.characters + characters > MAX_CHARACTERS {
            // Half a name would be another name.
            self.out.truncate(self.last);
            self.full = true;
        }
        self.characters += characters;
    }

    /// Adds an operation or a target; gives whether there was room.
    fn entry(&mut self, entry: &[u8]) -> bool {
        let before = self.out.len();
        if before > 0 {
            self.out.push(' ');
        }
        append(self.out, entry);
        let characters = self.out.get(before..).unwrap_or_default().chars().count();
        if self.characters + characters > MAX_CHARACTERS {
            self.out.truncate(before);
            self.full = true;
            return false;
        }
        self.characters += characters;
        self.last = before;
        true
    }
}

/// The mark of a depth; none below the 64th.
const fn bit(depth: u32) -> u64 {
    if depth < 64 { 1 << depth } else { 0 }
}

/// What can be created, changed and dropped, and is told with the operation.
const OBJECTS: [&[u8]; 14] = [
    b"DATABASE",
    b"EVENT",
    b"EXTENSION",
    b"FUNCTION",
    b"INDEX",
    b"PROCEDURE",
    b"ROLE",
    b"SCHEMA",
    b"SEQUENCE",
    b"TABLE",
    b"TRIGGER",
    b"TYPE",
    b"USER",
    b"VIEW",
];

/// Words that may stand between an operation and its target.
const BEFORE_TARGETS: [&[u8]; 14] = [
    b"CONCURRENTLY",
    b"DELAYED",
    b"EXISTS",
    b"HIGH_PRIORITY",
    b"IF",
    b"IGNORE",
    b"INTO",
    b"LATERAL",
    b"LOW_PRIORITY",
    b"NOT",
    b"ONLY",
    b"OVERWRITE",
    b"QUICK",
    b"TABLE",
];
