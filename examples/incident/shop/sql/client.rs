//! Asking the store: the crate `postgres` on pooled connections, each request counted.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;

use otlp_core::{Error, ErrorKind};
use postgres::types::ToSql;
use postgres::{Client, Config, NoTls, Row, Statement};

use crate::shop::context::Context;
use crate::shop::pool::{TIMEOUT, unreachable};
use crate::shop::role::Role;

/// How long the store may take for a statement before it gives up; it says so with SQLSTATE 57014.
const STATEMENT_TIMEOUT_MILLIS: u32 = 250;

/// A connection and what was prepared on it.
pub(crate) struct Session {
    client: Client,
    statements: Vec<(&'static str, Statement)>,
}

/// Why a statement gave nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The store refused it, with this SQLSTATE.
    Refused(String),
    /// There was no answer.
    Unanswered(Error),
}

/// A connection in use. It goes back to its pool when it is dropped, unless it broke or is in a transaction.
#[derive(Debug)]
pub(crate) struct Connection<'c> {
    context: &'c Context,
    trace: &'c str,
    session: Option<Session>,
    is_reusable: bool,
}

impl Session {
    /// Connects as `user`.
    ///
    /// # Errors
    /// Nobody answers there, or not as a database does.
    pub(crate) fn connect(address: SocketAddr, user: Role) -> Result<Self, Error> {
        let client = Config::new()
            .hostaddr(address.ip())
            .port(address.port())
            .user(user.name())
            .dbname("shop")
            .application_name(user.name())
            .options(&format!("-c statement_timeout={STATEMENT_TIMEOUT_MILLIS}"))
            .connect_timeout(TIMEOUT)
            .tcp_user_timeout(TIMEOUT)
            .connect(NoTls)
            .map_err(|source| unreachable(Role::Db.name(), source))?;
        Ok(Self { client, statements: Vec::new() })
    }

    fn prepared(&self, text: &str) -> Option<Statement> {
        let found = self.statements.iter().find(|(known, _)| *known == text);
        found.map(|(_, statement)| statement.clone())
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("statements", &self.statements.len()).finish_non_exhaustive()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(sqlstate) => write!(f, "SQLSTATE {sqlstate}"),
            Self::Unanswered(error) => error.fmt(f),
        }
    }
}

impl<'c> Connection<'c> {
    /// Takes a connection from the pool of `context`, for statements of the trace `trace`.
    ///
    /// # Errors
    /// There is none and none can be made.
    pub(crate) fn take(context: &'c Context, trace: &'c str) -> Result<Self, Failure> {
        let connect = |address| Session::connect(address, context.role);
        match context.sessions().and_then(|pool| pool.take_or(connect)) {
            Ok(session) => Ok(Self { context, trace, session: Some(session), is_reusable: true }),
            Err(error) => {
                let failed = context.call_with(Role::Db, trace, || Err(error));
                failed.map(|never: Infallible| match never {}).map_err(Failure::Unanswered)
            }
        }
    }

    /// Runs a statement that gives at most one row, and prepares it where this connection has not yet.
    ///
    /// # Errors
    /// The store refused the statement, or did not answer.
    pub(crate) fn query(
        &mut self,
        text: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, Failure> {
        let known = self.session.as_ref().and_then(|session| session.prepared(text));
        let statement = match known {
            Some(statement) => statement,
            None => {
                let statement = self.exchange(|client| client.prepare(text))?;
                if let Some(session) = &mut self.session {
                    session.statements.push((text, statement.clone()));
                }
                statement
            }
        };
        Ok(self.exchange(|client| client.query(&statement, values))?.pop())
    }

    /// Runs `work` within a transaction, which is committed where that succeeds.
    ///
    /// # Errors
    /// What `work` says, or what becomes of the transaction.
    pub(crate) fn transaction<T, E: From<Failure>>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        self.exchange(|client| client.batch_execute("BEGIN"))?;
        self.is_reusable = false;
        let done = work(self);
        let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = self.exchange(|client| client.batch_execute(end));
        self.is_reusable = ended.is_ok();
        match (done, ended) {
            (Ok(value), Ok(())) => Ok(value),
            (Ok(_), Err(failure)) => Err(failure.into()),
            (Err(error), _) => Err(error),
        }
    }

    /// One request and its answer, counted.
    fn exchange<T>(
        &mut self,
        ask: impl FnOnce(&mut Client) -> Result<T, postgres::Error>,
    ) -> Result<T, Failure> {
        let Some(session) = &mut self.session else {
            return Err(Failure::Unanswered(Error::new(ErrorKind::Closed, "connection: given back")));
        };
        let answered = self.context.call_with(Role::Db, self.trace, || match ask(&mut session.client) {
            Ok(value) => Ok(Ok(value)),
            Err(error) => match error.code() {
                Some(sqlstate) => Ok(Err(Failure::Refused(sqlstate.code().to_owned()))),
                None => Err(Error::new(ErrorKind::Io, "statement: no answer").with_source(error)),
            },
        });
        answered.unwrap_or_else(|error| {
            self.is_reusable = false;
            self.session = None;
            Err(Failure::Unanswered(error))
        })
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        if let (Some(session), true, Ok(pool)) =
            (self.session.take(), self.is_reusable, self.context.sessions())
        {
            pool.put(session);
        }
    }
}
