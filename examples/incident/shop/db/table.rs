//! The tables: which columns they have. A row is text, a form of `column=value`.

use super::super::http::form_field;
use super::super::sql::{Refused, Type, Value};

/// A table. Its first column is its key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Table {
    /// Its name.
    pub(crate) name: &'static str,
    columns: &'static [Column],
}

/// A column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Column {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it holds.
    pub(crate) kind: Type,
}

/// All tables.
static TABLES: [Table; 3] = [
    Table {
        name: "stock",
        columns: &[text("sku"), text("title"), number("price"), number("weight"), text("class")],
    },
    Table {
        name: "accounts",
        columns: &[text("account"), text("state"), number("credit"), text("country"), text("tier")],
    },
    Table {
        name: "charges",
        columns: &[text("order_id"), text("account"), number("amount"), text("signature"), text("state")],
    },
];

impl Table {
    /// How many there are.
    pub(crate) const COUNT: usize = TABLES.len();

    /// The table of that name.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn named(name: &str) -> Result<&'static Self, Refused> {
        let found = TABLES.iter().find(|table| table.name.eq_ignore_ascii_case(name));
        found.ok_or_else(|| Refused::new("42P01", "no such table"))
    }

    /// The column by which rows are found.
    pub(crate) fn key(&self) -> Option<Column> {
        self.columns.first().copied()
    }

    /// The column of that name.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn column(&self, name: &str) -> Result<Column, Refused> {
        let found = self.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name));
        found.copied().ok_or_else(|| Refused::new("42703", format!("no such column of {}", self.name)))
    }

    /// Where the store keeps the row of `key`.
    pub(crate) fn place(&self, key: &Value) -> String {
        format!("{}/{key}", self.name)
    }
}

impl Column {
    /// The column's value in a row; null where the row has none.
    ///
    /// # Errors
    /// The row does not hold what the column says.
    pub(crate) fn read(self, row: &str) -> Result<Option<Value>, Refused> {
        let Some(text) = form_field(row, self.name) else { return Ok(None) };
        let damaged = |_| Refused::new("XX001", format!("column {} of a row is damaged", self.name));
        match self.kind {
            Type::Text => Ok(Some(Value::Text(text.to_owned()))),
            Type::Int => text.parse().map(|number| Some(Value::Int(number))).map_err(damaged),
        }
    }

    /// Whether the column takes the value.
    ///
    /// # Errors
    /// It is of another type, or of bytes that a row cannot hold.
    pub(crate) fn check(self, value: &Value) -> Result<(), Refused> {
        match (self.kind, value) {
            (Type::Int, Value::Int(_)) => Ok(()),
            (Type::Text, Value::Text(text)) if !text.contains('&') => Ok(()),
            (Type::Text, Value::Text(_)) => Err(Refused::new("22023", "text with & cannot be kept")),
            _ => Err(Refused::new("42804", format!("column {} is of another type", self.name))),
        }
    }
}

const fn text(name: &'static str) -> Column {
    Column { name, kind: Type::Text }
}

const fn number(name: &'static str) -> Column {
    Column { name, kind: Type::Int }
}
