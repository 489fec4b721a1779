//! The statements that the store understands: a row by its key, a new row, and transactions.

use super::super::sql::{Refused, Value};
use super::table::{Column, Table};

/// A statement, understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Statement {
    /// `BEGIN` or `START TRANSACTION`
    Begin,
    /// `COMMIT`
    Commit,
    /// `ROLLBACK`
    Rollback,
    /// `SELECT title, price FROM stock WHERE sku = $1`
    Select {
        /// From where.
        table: &'static Table,
        /// What of it.
        columns: Vec<Column>,
        /// Which row.
        key: Operand,
    },
    /// `INSERT INTO charges (order_id, account) VALUES ($1, $2)`
    Insert {
        /// Where to.
        table: &'static Table,
        /// What; the key is among it.
        values: Vec<(Column, Operand)>,
    },
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operand {
    /// `$1` has place 0.
    Parameter(usize),
    /// The value itself.
    Literal(Value),
}

/// A piece of a statement's text.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Number(&'a str),
    Text(String),
    Parameter(usize),
    Mark(char),
}

/// What is left of a statement.
struct Parser<'a> {
    tokens: std::vec::IntoIter<Token<'a>>,
}

impl Statement {
    /// Reads a statement.
    ///
    /// # Errors
    /// With PostgreSQL's code for what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, Refused> {
        let mut parser = Parser { tokens: tokens(text)?.into_iter() };
        let statement = match parser.word()?.to_ascii_uppercase().as_str() {
            "BEGIN" => Self::Begin,
            "START" => {
                parser.keyword("TRANSACTION")?;
                Self::Begin
            }
            "COMMIT" => Self::Commit,
            "ROLLBACK" => Self::Rollback,
            "SELECT" => parser.select()?,
            "INSERT" => parser.insert()?,
            _ => return Err(Refused::new("0A000", "statement is not served here")),
        };
        match parser.tokens.next() {
            None => Ok(statement),
            Some(Token::Mark(';')) if parser.tokens.len() == 0 => Ok(statement),
            Some(_) => Err(syntax()),
        }
    }

    /// Parameters and the columns that they are compared with or kept in, by their numbers.
    ///
    /// # Errors
    /// A number is left out.
    pub(crate) fn parameters(&self) -> Result<Vec<Column>, Refused> {
        let mut known: Vec<(usize, Column)> = match self {
            Self::Begin | Self::Commit | Self::Rollback => Vec::new(),
            Self::Select { table, key: Operand::Parameter(place), .. } => {
                table.key().into_iter().map(|column| (*place, column)).collect()
            }
            Self::Select { .. } => Vec::new(),
            Self::Insert { values, .. } => values.iter().filter_map(parameter).collect(),
        };
        known.sort_by_key(|(place, _)| *place);
        if known.iter().enumerate().any(|(expected, (place, _))| expected != *place) {
            return Err(Refused::new("42P18", "parameters are to be numbered from $1, each used once"));
        }
        Ok(known.into_iter().map(|(_, column)| column).collect())
    }
}

fn parameter((column, operand): &(Column, Operand)) -> Option<(usize, Column)> {
    match operand {
        Operand::Parameter(place) => Some((*place, *column)),
        Operand::Literal(_) => None,
    }
}

impl Operand {
    /// The value, where `values` are those of the parameters.
    ///
    /// # Errors
    /// There are fewer parameters.
    pub(crate) fn value<'v>(&'v self, values: &'v [Value]) -> Result<&'v Value, Refused> {
        match self {
            Self::Literal(value) => Ok(value),
            Self::Parameter(place) => {
                values.get(*place).ok_or_else(|| Refused::new("42P02", "no such parameter"))
            }
        }
    }
}

impl Parser<'_> {
    fn select(&mut self) -> Result<Statement, Refused> {
        let mut names = vec![self.word()?];
        loop {
            match self.tokens.next() {
                Some(Token::Mark(',')) => names.push(self.word()?),
                Some(Token::Word(word)) if word.eq_ignore_ascii_case("FROM") => break,
                _ => return Err(syntax()),
            }
        }
        let table = Table::named(&self.word()?)?;
        let columns = names.iter().map(|name| table.column(name)).collect::<Result<_, _>>()?;
        self.keyword("WHERE")?;
        let column = table.column(&self.word()?)?;
        if table.key() != Some(column) {
            return Err(Refused::new("0A000", "rows are found by their key alone"));
        }
        self.mark('=')?;
        let key = self.operand(column)?;
        Ok(Statement::Select { table, columns, key })
    }

    fn insert(&mut self) -> Result<Statement, Refused> {
        self.keyword("INTO")?;
        let table = Table::named(&self.word()?)?;
        let mut columns = Vec::new();
        self.list(|parser| {
            columns.push(table.column(&parser.word()?)?);
            Ok(())
        })?;
        self.keyword("VALUES")?;
        let (mut values, mut left) = (Vec::new(), columns.into_iter());
        self.list(|parser| {
            let column = left.next().ok_or_else(syntax)?;
            values.push((column, parser.operand(column)?));
            Ok(())
        })?;
        if left.len() > 0 {
            return Err(syntax());
        }
        if !values.iter().any(|(column, _)| Some(*column) == table.key()) {
            return Err(Refused::new("23502", "a row needs its key"));
        }
        Ok(Statement::Insert { table, values })
    }

    /// `(a, b)`, where `item` reads what stands between the marks.
    fn list(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), Refused>) -> Result<(), Refused> {
        self.mark('(')?;
        loop {
            item(self)?;
            match self.tokens.next() {
                Some(Token::Mark(',')) => {}
                Some(Token::Mark(')')) => return Ok(()),
                _ => return Err(syntax()),
            }
        }
    }

    fn operand(&mut self, column: Column) -> Result<Operand, Refused> {
        let value = match self.tokens.next() {
            Some(Token::Parameter(place)) => return Ok(Operand::Parameter(place)),
            Some(Token::Text(text)) => Value::Text(text),
            Some(Token::Number(digits)) => {
                Value::Int(digits.parse().map_err(|_| Refused::new("22003", "number is out of range"))?)
            }
            _ => return Err(syntax()),
        };
        column.check(&value)?;
        Ok(Operand::Literal(value))
    }

    fn word(&mut self) -> Result<String, Refused> {
        match self.tokens.next() {
            Some(Token::Word(word)) => Ok(word.to_owned()),
            _ => Err(syntax()),
        }
    }

    fn keyword(&mut self, keyword: &str) -> Result<(), Refused> {
        if self.word()?.eq_ignore_ascii_case(keyword) { Ok(()) } else { Err(syntax()) }
    }

    fn mark(&mut self, mark: char) -> Result<(), Refused> {
        if self.tokens.next() == Some(Token::Mark(mark)) { Ok(()) } else { Err(syntax()) }
    }
}

fn tokens(text: &str) -> Result<Vec<Token<'_>>, Refused> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '\'' => string(rest)?,
            '$' => {
                let digits = run(rest.get(1..).unwrap_or_default(), |byte| byte.is_ascii_digit());
                let number = digits.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
                (Token::Parameter(number.ok_or_else(syntax)?), 1 + digits.len())
            }
            _ if first.is_ascii_digit() => {
                let digits = run(rest, |byte| byte.is_ascii_digit());
                (Token::Number(digits), digits.len())
            }
            _ if first.is_ascii_alphabetic() || first == '_' => {
                let word = run(rest, |byte| byte.is_ascii_alphanumeric() || byte == b'_');
                (Token::Word(word), word.len())
            }
            '(' | ')' | ',' | '=' | ';' => (Token::Mark(first), 1),
            _ => return Err(syntax()),
        };
        tokens.push(token);
        rest = rest.get(length..).unwrap_or_default().trim_start();
    }
    Ok(tokens)
}

/// A string at the beginning of `text` and its length; a quote in it is doubled.
fn string(text: &str) -> Result<(Token<'_>, usize), Refused> {
    let mut value = String::new();
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((place, character)) = characters.next() {
        if character != '\'' {
            value.push(character);
        } else if characters.next_if(|(_, next)| *next == '\'').is_some() {
            value.push('\'');
        } else {
            return Ok((Token::Text(value), place + 1));
        }
    }
    Err(syntax())
}

fn run(text: &str, is_in: impl Fn(u8) -> bool) -> &str {
    let length = text.bytes().take_while(|byte| is_in(*byte)).count();
    text.get(..length).unwrap_or_default()
}

fn syntax() -> Refused {
    Refused::new("42601", "statement is not understood")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> &'static str {
        Statement::parse(text).and_then(|statement| statement.parameters()).unwrap_err().sqlstate
    }

    #[test]
    fn statements_are_read_however_they_are_written() {
        let stock = Table::named("stock").unwrap();
        let columns = vec![stock.column("title").unwrap(), stock.column("price").unwrap()];
        let select = |key| Statement::Select { table: stock, columns: columns.clone(), key };
        let parse = |text: &str| Statement::parse(text).unwrap();
        let by_parameter = select(Operand::Parameter(0));
        assert_eq!(parse("SELECT title, price FROM stock WHERE sku = $1"), by_parameter);
        assert_eq!(parse("  select title ,price\nfrom Stock where SKU=$1 ;"), by_parameter);
        let literal = select(Operand::Literal(Value::Text("it's".to_owned())));
        assert_eq!(parse("SELECT title, price FROM stock WHERE sku = 'it''s'"), literal);
        assert_eq!((parse("BEGIN"), parse("start transaction")), (Statement::Begin, Statement::Begin));
        assert_eq!((parse("COMMIT;"), parse("rollback")), (Statement::Commit, Statement::Rollback));
    }

    #[test]
    fn parameters_have_the_types_of_the_columns_that_they_meet() {
        let insert = "INSERT INTO charges (order_id, amount, state) VALUES ($2, $1, 'settled')";
        let names = |text| -> Vec<&str> {
            let parameters = Statement::parse(text).unwrap().parameters().unwrap();
            parameters.iter().map(|column| column.name).collect()
        };
        assert_eq!(names(insert), ["amount", "order_id"]);
        assert_eq!(names("SELECT state FROM accounts WHERE account = $1"), ["account"]);
        assert!(names("COMMIT").is_empty());
    }

    #[test]
    fn what_is_wrong_is_told_by_the_code_that_a_client_knows() {
        for (text, sqlstate) in [
            ("", "42601"),
            ("SELECT", "42601"),
            ("SELECT title FROM stock", "42601"),
            ("SELECT title FROM stock WHERE sku = 'a", "42601"),
            ("SELECT title FROM stock WHERE sku = $0", "42601"),
            ("SELECT title FROM stock WHERE sku = $1 AND 1", "42601"),
            ("BEGIN; COMMIT", "42601"),
            ("INSERT INTO charges (order_id) VALUES ('a', 'b')", "42601"),
            ("INSERT INTO charges (order_id, state) VALUES ('a')", "42601"),
            ("SELECT title FROM mail WHERE sku = $1", "42P01"),
            ("SELECT colour FROM stock WHERE sku = $1", "42703"),
            ("SELECT sku FROM stock WHERE title = $1", "0A000"),
            ("DROP TABLE stock", "0A000"),
            ("SELECT title FROM stock WHERE sku = 5", "42804"),
            ("INSERT INTO charges (order_id, amount) VALUES ('a', 99999999999)", "22003"),
            ("INSERT INTO charges (order_id) VALUES ('a&b')", "22023"),
            ("INSERT INTO charges (amount) VALUES ($1)", "23502"),
            ("SELECT title FROM stock WHERE sku = $2", "42P18"),
            ("INSERT INTO charges (order_id, state) VALUES ($1, $1)", "42P18"),
        ] {
            assert_eq!(refused(text), sqlstate, "{text}");
        }
    }
}
