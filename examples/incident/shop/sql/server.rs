//! Serving PostgreSQL's protocol on one connection.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use otlp_core::Error;

use super::{Decoder, Format, Formats, Message, Refused, Type, Value, push, push_text, push_u16};
use crate::shop::counter::{Counters, InFlight, Outcome};
use crate::shop::server;

/// Most prepared statements, and most portals, of one connection.
const MAX_NAMED: usize = 64;
/// Told to whoever asks; clients look for features by it.
const VERSION: &str = "16.0 (shop)";

/// Whatever knows statements.
pub(crate) trait Engine: Send + Sync {
    /// A statement that was understood.
    type Plan: Send + Sync;

    /// Reads a statement.
    ///
    /// # Errors
    /// It is not understood.
    fn plan(&self, text: &str) -> Result<Self::Plan, Refused>;

    /// What a statement takes and gives.
    fn shape(&self, plan: &Self::Plan) -> Shape;

    /// Runs a statement; `values` are as many and of the types that its shape says.
    ///
    /// # Errors
    /// It cannot be done; nothing of it was.
    fn run(&self, plan: &Self::Plan, values: &[Value], session: &mut Session) -> Result<Answer, Refused>;
}

/// What a statement takes and gives.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Shape {
    /// Types of its parameters.
    pub(crate) parameters: Vec<Type>,
    /// Its columns; none where it gives no rows.
    pub(crate) columns: Vec<(&'static str, Type)>,
}

/// What a statement gave.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Answer {
    /// A value for each column, or null.
    pub(crate) rows: Vec<Vec<Option<Value>>>,
    /// What was done, such as `SELECT 1`.
    pub(crate) tag: String,
}

/// What an engine may remember of a connection.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// How long a statement may take.
    pub(crate) timeout: Option<Duration>,
    /// The transaction.
    pub(crate) transaction: Transaction,
}

/// Where a connection is in its transaction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Transaction {
    /// There is none: each statement stands for itself.
    #[default]
    None,
    /// Begun; the rows that it adds when it is committed, by key.
    Open(Vec<(String, String)>),
    /// A statement of it failed; it can only be rolled back.
    Failed,
}

impl Session {
    /// The row that the transaction adds under `key`.
    pub(crate) fn adds(&self, key: &str) -> Option<&str> {
        let Transaction::Open(rows) = &self.transaction else { return None };
        rows.iter().find(|(own, _)| own == key).map(|(_, row)| row.as_str())
    }
}

/// A statement with its values.
struct Portal<P> {
    plan: Arc<P>,
    values: Vec<Value>,
    columns: Vec<Format>,
}

/// What was sent since the last `Sync`.
#[derive(Debug, Default)]
struct Batch {
    /// Whether a statement failed, and how that counts; what follows is passed over.
    failed: Option<Outcome>,
    /// A statement was prepared and none executed since.
    prepares: bool,
    executes: bool,
}

struct Connection<'a, E: Engine> {
    engine: &'a E,
    counters: &'a Counters,
    session: Session,
    statements: HashMap<String, Arc<E::Plan>>,
    portals: HashMap<String, Portal<E::Plan>>,
    batch: Batch,
    out: Vec<u8>,
    /// Answered in `out`.
    answered: Vec<(InFlight<'a>, Outcome)>,
}

/// Answers statements on `stream` until it ends or breaks; what came in one read is answered in one write.
///
/// A simple query counts as one request, an execution as one, and so does a batch that only prepares.
///
/// Profiles are cut at this function by its name: see `profile`.
#[inline(never)]
pub(crate) fn serve_connection<E: Engine>(mut stream: &TcpStream, engine: &E, counters: &Counters) {
    let mut connection = Connection {
        engine,
        counters,
        session: Session::default(),
        statements: HashMap::new(),
        portals: HashMap::new(),
        batch: Batch::default(),
        out: Vec::new(),
        answered: Vec::new(),
    };
    let mut decoder = Decoder::default();
    let mut bytes = [0; server::READ_BYTES];
    loop {
        let count = server::read(stream, &mut bytes).unwrap_or(0);
        let Some(met) = bytes.get(..count).filter(|met| !met.is_empty()) else { return };
        decoder.feed(met);
        let goes_on = connection.take_all(&mut decoder);
        if stream.write_all(&connection.out).is_err() {
            return;
        }
        connection.out.clear();
        for (mut in_flight, outcome) in connection.answered.drain(..) {
            in_flight.served(outcome);
        }
        if !goes_on {
            return;
        }
    }
}

impl<E: Engine> Connection<'_, E> {
    /// Takes what is whole; true where the connection goes on.
    fn take_all(&mut self, decoder: &mut Decoder) -> bool {
        loop {
            match decoder.message() {
                Ok(Some(Message::Terminate | Message::Cancel)) => return false,
                Ok(Some(message)) => self.take(message),
                Ok(None) => return true,
                Err(error) => {
                    self.refuse_stream(&error);
                    return false;
                }
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Encryption => self.out.push(b'N'),
            Message::Startup(settings) => self.start(&settings),
            Message::Query(text) => self.query(&text),
            Message::Sync => self.sync(),
            Message::Execute { portal } => {
                (self.batch.executes, self.batch.prepares) = (true, false);
                let in_flight = self.counters.begin(1);
                let result = match self.batch.failed {
                    None => self.execute(&portal),
                    Some(_) => Ok(()),
                };
                self.note(result);
                self.answered.push((in_flight, self.batch.failed.unwrap_or(Outcome::Ok)));
            }
            message => {
                if matches!(message, Message::Parse { .. }) {
                    self.batch.prepares = !self.batch.executes;
                }
                if self.batch.failed.is_none() {
                    let result = self.prepare(message);
                    self.note(result);
                }
            }
        }
    }

    fn start(&mut self, settings: &[(String, String)]) {
        let options = settings.iter().find(|(name, _)| name == "options");
        let timeout = options.and_then(|(_, options)| options.split("statement_timeout=").nth(1));
        let digits = timeout.and_then(|timeout| timeout.split(|byte: char| !byte.is_ascii_digit()).next());
        let millis = digits.and_then(|digits| digits.parse::<u32>().ok()).filter(|millis| *millis > 0);
        self.session.timeout = millis.map(|millis| Duration::from_millis(millis.into()));
        push(&mut self.out, b'R', |out| out.extend_from_slice(&[0; 4]));
        for (name, value) in [
            ("server_version", VERSION),
            ("server_encoding", "UTF8"),
            ("client_encoding", "UTF8"),
            ("standard_conforming_strings", "on"),
        ] {
            push(&mut self.out, b'S', |out| {
                push_text(out, name);
                push_text(out, value);
            });
        }
        // Nobody can cancel with this key: cancelling is not served.
        push(&mut self.out, b'K', |out| out.extend_from_slice(&[0; 8]));
        self.ready();
    }

    fn query(&mut self, text: &str) {
        let in_flight = self.counters.begin(1);
        let result = self.engine.plan(text).and_then(|plan| {
            let shape = self.engine.shape(&plan);
            if !shape.parameters.is_empty() {
                return Err(Refused::new("42P02", "a simple query has no parameters"));
            }
            let answer = self.engine.run(&plan, &[], &mut self.session)?;
            if !shape.columns.is_empty() {
                describe_columns(&mut self.out, &shape.columns, &[]);
            }
            give(&mut self.out, &answer, &[]);
            Ok(())
        });
        self.note(result);
        let batch = std::mem::take(&mut self.batch);
        self.answered.push((in_flight, batch.failed.unwrap_or(Outcome::Ok)));
        self.ready();
    }

    fn sync(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        if batch.prepares {
            self.answered.push((self.counters.begin(1), batch.failed.unwrap_or(Outcome::Ok)));
        }
        if self.session.transaction == Transaction::None {
            self.portals.clear();
        }
        self.ready();
    }

    /// Everything of the extended protocol that runs nothing.
    fn prepare(&mut self, message: Message) -> Result<(), Refused> {
        match message {
            Message::Parse { name, text } => {
                let plan = Arc::new(self.engine.plan(&text)?);
                if !name.is_empty() && self.statements.contains_key(&name) {
                    return Err(Refused::new("42P05", "prepared statement exists"));
                }
                has_room(self.statements.len())?;
                self.statements.insert(name, plan);
                push(&mut self.out, b'1', |_| {});
            }
            Message::Bind { portal, statement, parameters, formats } => {
                let bound = self.bind(&statement, &parameters, &formats)?;
                has_room(self.portals.len())?;
                self.portals.insert(portal, bound);
                push(&mut self.out, b'2', |_| {});
            }
            Message::Describe { statement: true, name } => {
                let plan = self.statements.get(&name).ok_or_else(no_statement)?;
                let shape = self.engine.shape(plan);
                push(&mut self.out, b't', |out| {
                    push_u16(out, shape.parameters.len());
                    shape.parameters.iter().for_each(|kind| out.extend_from_slice(&kind.oid().to_be_bytes()));
                });
                describe_columns(&mut self.out, &shape.columns, &[]);
            }
            Message::Describe { statement: false, name } => {
                let portal = self.portals.get(&name).ok_or_else(no_portal)?;
                describe_columns(&mut self.out, &self.engine.shape(&portal.plan).columns, &portal.columns);
            }
            Message::Close { statement, name } => {
                // Closing what is not there is no error.
                if statement {
                    self.statements.remove(&name);
                } else {
                    self.portals.remove(&name);
                }
                push(&mut self.out, b'3', |_| {});
            }
            Message::Flush => {}
            _ => return Err(Refused::new("0A000", "message is not served here")),
        }
        Ok(())
    }

    fn bind(
        &self,
        statement: &str,
        parameters: &[Option<Vec<u8>>],
        formats: &Formats,
    ) -> Result<Portal<E::Plan>, Refused> {
        let plan = Arc::clone(self.statements.get(statement).ok_or_else(no_statement)?);
        let shape = self.engine.shape(&plan);
        if parameters.len() != shape.parameters.len() {
            let message = format!("{} parameters given, {} needed", parameters.len(), shape.parameters.len());
            return Err(Refused::new("08P01", message));
        }
        let pairs = parameters.iter().zip(&shape.parameters).enumerate();
        let values = pairs.map(|(place, (bytes, kind))| {
            let bytes = bytes.as_ref().ok_or_else(|| Refused::new("22004", "null is not allowed here"))?;
            kind.read(bytes, format_of(&formats.parameters, place))
        });
        let values = values.collect::<Result<_, _>>()?;
        Ok(Portal { plan, values, columns: formats.columns.clone() })
    }

    fn execute(&mut self, portal: &str) -> Result<(), Refused> {
        let portal = self.portals.get(portal).ok_or_else(no_portal)?;
        let answer = self.engine.run(&portal.plan, &portal.values, &mut self.session)?;
        give(&mut self.out, &answer, &portal.columns);
        Ok(())
    }

    /// Tells a refusal; whatever else is in the batch is passed over, and the transaction has failed.
    fn note(&mut self, result: Result<(), Refused>) {
        let Err(refused) = result else { return };
        tell(&mut self.out, "ERROR", &refused);
        let outcome = if refused.is_server_error() { Outcome::ServerError } else { Outcome::ClientError };
        self.batch.failed = Some(outcome);
        if self.session.transaction != Transaction::None {
            self.session.transaction = Transaction::Failed;
        }
    }

    /// Says why the bytes were refused, before the end: where the next message begins is not known.
    fn refuse_stream(&mut self, error: &Error) {
        self.counters.malformed();
        tell(&mut self.out, "FATAL", &Refused::new("08P01", error.to_string()));
    }

    fn ready(&mut self) {
        let status = match self.session.transaction {
            Transaction::None => b'I',
            Transaction::Open(_) => b'T',
            Transaction::Failed => b'E',
        };
        push(&mut self.out, b'Z', |out| out.push(status));
    }
}

/// Appends the rows and what was done.
fn give(out: &mut Vec<u8>, answer: &Answer, formats: &[Format]) {
    for row in &answer.rows {
        push(out, b'D', |out| {
            push_u16(out, row.len());
            for (place, value) in row.iter().enumerate() {
                match value {
                    Some(value) => value.write(format_of(formats, place), out),
                    None => out.extend_from_slice(&u32::MAX.to_be_bytes()),
                }
            }
        });
    }
    push(out, b'C', |out| push_text(out, &answer.tag));
}

/// Appends what the columns are; or that there are none.
fn describe_columns(out: &mut Vec<u8>, columns: &[(&str, Type)], formats: &[Format]) {
    if columns.is_empty() {
        push(out, b'n', |_| {});
        return;
    }
    push(out, b'T', |out| {
        push_u16(out, columns.len());
        for (place, (name, kind)) in columns.iter().enumerate() {
            push_text(out, name);
            // Neither a table nor a column of one that a client could look up.
            out.extend_from_slice(&[0; 6]);
            out.extend_from_slice(&kind.oid().to_be_bytes());
            out.extend_from_slice(&kind.size().to_be_bytes());
            out.extend_from_slice(&(-1_i32).to_be_bytes());
            push_u16(out, format_of(formats, place) as usize);
        }
    });
}

/// Appends an error.
fn tell(out: &mut Vec<u8>, severity: &str, refused: &Refused) {
    push(out, b'E', |out| {
        for (field, text) in
            [(b'S', severity), (b'V', severity), (b'C', refused.sqlstate), (b'M', &refused.message)]
        {
            out.push(field);
            push_text(out, text);
        }
        out.push(0);
    });
}

/// None given means text; one given is that of all.
fn format_of(formats: &[Format], place: usize) -> Format {
    match formats {
        [] => Format::Text,
        [all] => *all,
        each => each.get(place).copied().unwrap_or(Format::Text),
    }
}

fn has_room(named: usize) -> Result<(), Refused> {
    if named < MAX_NAMED { Ok(()) } else { Err(Refused::new("54000", "too many of one connection")) }
}

fn no_statement() -> Refused {
    Refused::new("26000", "no such prepared statement")
}

fn no_portal() -> Refused {
    Refused::new("34000", "no such portal")
}
