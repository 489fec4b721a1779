//! Commands of the client.

use std::sync::Arc;

use otlp_core::UnixNanos;

use super::session::{Asked, Kind, Session, Then};
use super::{Bytes, Emit};
use crate::parse::frame::Message;
use crate::parse::sql::Operation;
use crate::sql::Statement;

const INIT_DB: u8 = 0x02;
const QUERY: u8 = 0x03;
const CHANGE_USER: u8 = 0x11;
const PREPARE: u8 = 0x16;
const EXECUTE: u8 = 0x17;
const CLOSE: u8 = 0x19;
const RESET_CONNECTION: u8 = 0x1f;
/// MariaDB: executes a statement with many sets of parameters.
const BULK_EXECUTE: u8 = 0xfa;

/// Of names of databases so many bytes are looked at.
const NAME: usize = 256;
/// Of a change of user, whose database comes behind a user and a proof.
const LOGIN: usize = 512;

/// What a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// It is answered so.
    Answered(Operation, Kind),
    /// It gets no answer.
    Silent,
    /// What follows are no commands and answers (replication).
    Leaves,
}

const fn form(command: u8) -> Option<Form> {
    Some(match command {
        // COM_QUIT, COM_STMT_SEND_LONG_DATA, COM_STMT_CLOSE.
        0x01 | 0x18 | CLOSE => Form::Silent,
        0x12 | 0x13 | 0x1e => Form::Leaves,
        QUERY => Form::Answered(Operation::Query, Kind::Results),
        PREPARE => Form::Answered(Operation::Prepare, Kind::Prepare),
        EXECUTE | BULK_EXECUTE => Form::Answered(Operation::Execute, Kind::Results),
        INIT_DB => Form::Answered(Operation::Other("INIT_DB"), Kind::Simple),
        0x04 => Form::Answered(Operation::Other("FIELD_LIST"), Kind::Columns),
        0x09 => Form::Answered(Operation::Other("STATISTICS"), Kind::Text),
        0x0a => Form::Answered(Operation::Other("PROCESS_INFO"), Kind::Results),
        CHANGE_USER => Form::Answered(Operation::Other("CHANGE_USER"), Kind::Login),
        0x1c => Form::Answered(Operation::Other("FETCH"), Kind::Rows),
        0x05 => Form::Answered(Operation::Other("CREATE_DB"), Kind::Simple),
        0x06 => Form::Answered(Operation::Other("DROP_DB"), Kind::Simple),
        0x07 => Form::Answered(Operation::Other("REFRESH"), Kind::Simple),
        0x08 => Form::Answered(Operation::Other("SHUTDOWN"), Kind::Simple),
        0x0c => Form::Answered(Operation::Other("PROCESS_KILL"), Kind::Simple),
        0x0d => Form::Answered(Operation::Other("DEBUG"), Kind::Simple),
        0x0e => Form::Answered(Operation::Other("PING"), Kind::Simple),
        0x15 => Form::Answered(Operation::Other("REGISTER_SLAVE"), Kind::Simple),
        0x1a => Form::Answered(Operation::Other("RESET_STATEMENT"), Kind::Simple),
        0x1b => Form::Answered(Operation::Other("SET_OPTION"), Kind::Simple),
        RESET_CONNECTION => Form::Answered(Operation::Other("RESET_CONNECTION"), Kind::Simple),
        _ => return None,
    })
}

impl Session {
    /// Bytes wanted of a command's body; nothing for what is no command.
    #[inline]
    pub(super) fn command_bytes(&self, command: u8) -> Option<usize> {
        Some(match command {
            QUERY | PREPARE => self.limits.statement_bytes(),
            INIT_DB => NAME,
            CHANGE_USER => LOGIN,
            EXECUTE | BULK_EXECUTE | CLOSE => 4,
            _ => {
                form(command)?;
                0
            }
        })
    }

    pub(super) fn command(&mut self, message: &Message<'_>, time: UnixNanos, on: Emit<'_>) -> Then {
        let [.., command] = message.header;
        let (operation, kind) = match form(command) {
            Some(Form::Answered(operation, kind)) => (operation, kind),
            Some(Form::Leaves) => return Then::Leave,
            Some(Form::Silent) | None => {
                if let Some(number) = Bytes(message.body).u32().filter(|_| command == CLOSE) {
                    self.statements.remove(&number);
                }
                return Then::GoOn;
            }
        };
        let mut asked =
            Asked { number: 0, kind, sequence: self.client_sequence, statement: None, uses: None };
        let times = (message.start, time);
        match command {
            QUERY => {
                let mut statement = std::mem::take(&mut self.scratch);
                let known = self.read(message, |sql, syntax, limit| statement.read_into(sql, syntax, limit));
                asked.uses = statement.used().filter(|_| known.is_some()).map(Into::into);
                asked.number = self.open(times, operation, known.map(|()| &statement), on);
                self.scratch = statement;
            }
            PREPARE => {
                let mut statement = Statement::default();
                let known = self.read(message, |sql, syntax, limit| statement.read_into(sql, syntax, limit));
                statement.shrink();
                asked.statement = known.map(|()| Arc::new(statement));
                asked.number = self.open(times, operation, asked.statement.clone().as_deref(), on);
                self.last_prepared.clone_from(&asked.statement);
            }
            EXECUTE | BULK_EXECUTE => {
                asked.number = self.execute(Bytes(message.body).u32(), times, operation, on);
            }
            _ => {
                asked.uses = match command {
                    INIT_DB if !message.holed => super::login::name(message.body),
                    CHANGE_USER if !message.holed => changed_database(message.body),
                    _ => None,
                };
                if matches!(command, CHANGE_USER | RESET_CONNECTION) {
                    self.statements.clear();
                    self.last_prepared = None;
                }
                asked.number = self.open(times, operation, None, on);
            }
        }
        self.ask(asked)
    }

    /// Reads the statement of a command, where it is all there.
    fn read(&self, message: &Message<'_>, read: impl FnOnce(&[u8], crate::sql::Syntax, usize)) -> Option<()> {
        let [.., command] = message.header;
        let attributes = self.login.attributes && command == QUERY;
        let sql = Some(message.body)
            .filter(|_| !message.holed)
            .and_then(|body| behind_attributes(body, attributes));
        read(sql?, self.syntax, self.limits.attribute_bytes());
        Some(())
    }
}

/// The statement behind the parameters that a query may begin with, where it has none.
fn behind_attributes(body: &[u8], attributes: bool) -> Option<&[u8]> {
    match body {
        // No parameters, in one set. No statement begins with these bytes.
        [0, 1, sql @ ..] => Some(sql),
        _ if attributes => None,
        // Where it is not known whether there are parameters: no statement begins with such a byte either.
        [1..=8, ..] => None,
        _ => Some(body),
    }
}

/// The database that a change of user names.
fn changed_database(body: &[u8]) -> Option<Box<str>> {
    let mut body = Bytes(body);
    body.text();
    let proof = body.u8()?;
    body.take(proof.into())?;
    super::login::name(body.text())
}
