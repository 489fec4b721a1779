//! The record store: rows in tables, asked for in SQL, found through an index that can be lost.

mod heap;
mod statement;
mod table;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use heap::Heap;
use statement::{Operand, Statement};
use table::{Column, Table};

use super::context::{Context, Millis, OneIn, Service};
use super::random::Random;
use super::sql::server::{Answer, Engine, Session, Shape, Transaction};
use super::sql::{Refused, Value};

/// Products, all of which have a stock row.
pub(crate) const PRODUCTS: u32 = 2_000;
/// Accounts, all of which have a row.
pub(crate) const ACCOUNTS: u32 = 8_000;
/// Orders that were placed before the run began; each has a row of its charge.
pub(crate) const PAST_ORDERS: u32 = 15_000;

/// What reading every row takes at least: rows of years past, which nobody asks for, are added until it does, so that a lost
/// index hurts on a fast machine as it does on a slow one.
const FULL_SCAN: Duration = Duration::from_micros(2500);
const ARCHIVED_AT_ONCE: usize = 20_000;
const MAX_ROWS: usize = 200_000;

/// Rows that may be added; after that the oldest added are overwritten.
const MAX_ADDED_ROWS: usize = 30_000;
/// A lookup that takes longer is worth a warning.
const SLOW_QUERY: Duration = Duration::from_millis(1);
/// Writes between two checkpoints.
const WRITES_A_CHECKPOINT: u64 = 500;
/// Reads between two refreshes of the statistics.
const READS_A_REFRESH: u64 = 1_000;

/// The service `db`.
#[derive(Debug)]
pub(crate) struct Db {
    context: Arc<Context>,
    heap: RwLock<Heap>,
    reads: AtomicU64,
    rows_read: AtomicU64,
    full_scans: AtomicU64,
    cancelled: AtomicU64,
    scan_warnings: OneIn,
    slow_warnings: OneIn,
}

impl Db {
    /// Fills the store with the rows of the seed.
    pub(crate) fn new(context: Arc<Context>) -> Self {
        let start = Instant::now();
        let heap = fill(context.seed);
        let took = Millis(start.elapsed());
        context
            .log
            .info("heap loaded", &[("rows", &heap.rows()), ("tables", &Table::COUNT), ("took_ms", &took)]);
        Self {
            context,
            heap: RwLock::new(heap),
            reads: AtomicU64::new(0),
            rows_read: AtomicU64::new(0),
            full_scans: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            scan_warnings: OneIn::new(20),
            slow_warnings: OneIn::new(20),
        }
    }

    #[inline(never)]
    fn select(
        &self,
        table: &Table,
        columns: &[Column],
        key: &Value,
        session: &Session,
    ) -> Result<Answer, Refused> {
        let Some(text) = self.look_up(table, &table.place(key), session)? else {
            self.context.log.info("record not found", &[("table", &table.name), ("id", key)]);
            return Ok(Answer { rows: Vec::new(), tag: "SELECT 0".to_owned() });
        };
        let row = columns.iter().map(|column| column.read(&text)).collect::<Result<_, _>>()?;
        Ok(Answer { rows: vec![row], tag: "SELECT 1".to_owned() })
    }

    /// Adds a row, or notes it for the end of the transaction. That there is none of its key is looked up here, and
    /// not again at the end: orders have numbers of their own.
    #[inline(never)]
    fn insert(
        &self,
        table: &Table,
        values: &[(Column, &Value)],
        session: &mut Session,
    ) -> Result<Answer, Refused> {
        values.iter().try_for_each(|(column, value)| column.check(value))?;
        let key = values.iter().find(|(column, _)| Some(*column) == table.key());
        let (_, key) = key.ok_or_else(|| Refused::new("23502", "a row needs its key"))?;
        let place = table.place(key);
        if self.look_up(table, &place, session)?.is_some() {
            return Err(Refused::new("23505", format!("there is a row of that key in {}", table.name)));
        }
        let fields: Vec<String> =
            values.iter().map(|(column, value)| format!("{}={value}", column.name)).collect();
        let row = (place, fields.join("&"));
        match &mut session.transaction {
            Transaction::Open(rows) => rows.push(row),
            Transaction::None | Transaction::Failed => self.write(&[row]),
        }
        Ok(Answer { rows: Vec::new(), tag: "INSERT 0 1".to_owned() })
    }

    /// The newest row at `place`, those that the transaction adds among them.
    #[inline(never)]
    fn look_up(&self, table: &Table, place: &str, session: &Session) -> Result<Option<String>, Refused> {
        if let Some(text) = session.adds(place) {
            return Ok(Some(text.to_owned()));
        }
        let start = Instant::now();
        let heap = self.heap.read().unwrap_or_else(PoisonError::into_inner);
        let rows = heap.rows();
        let found = heap.lookup(place, session.timeout.map(|timeout| start + timeout));
        let Ok(found) = found else {
            drop(heap);
            self.cancelled.fetch_add(1, Ordering::Relaxed);
            let took = Millis(start.elapsed());
            self.context.log.error("statement timeout", &[("table", &table.name), ("took_ms", &took)]);
            return Err(Refused::new("57014", "canceling statement due to statement timeout"));
        };
        let (rows_read, by_scan, text) = (found.rows_read, found.by_scan, found.text.map(str::to_owned));
        drop(heap);
        self.note_read(rows_read, by_scan, rows, table.name);
        let took = start.elapsed();
        let log = &self.context.log;
        if took >= SLOW_QUERY && self.slow_warnings.pass() {
            let took = Millis(took);
            log.warn("slow query", &[("table", &table.name), ("rows_read", &rows_read), ("took_ms", &took)]);
        }
        log.debug("record read", &[("table", &table.name), ("key", &place), ("took_us", &took.as_micros())]);
        Ok(text)
    }

    #[inline(never)]
    fn write(&self, new: &[(String, String)]) {
        let mut heap = self.heap.write().unwrap_or_else(PoisonError::into_inner);
        let written: Vec<_> = new.iter().map(|(place, text)| heap.put(place, text)).collect();
        let rows = heap.rows();
        drop(heap);
        let log = &self.context.log;
        for ((place, _), written) in new.iter().zip(written) {
            let version = written.version;
            log.info("record written", &[("key", place), ("version", &version)]);
            if let Some(key) = written.overwritten {
                log.info("oldest row overwritten", &[("key", &key), ("rows", &rows)]);
            }
            if version.is_multiple_of(WRITES_A_CHECKPOINT) {
                log.info("checkpoint written", &[("version", &version), ("rows", &rows)]);
            }
        }
    }

    /// Begins, or ends what was begun.
    fn turn(&self, statement: &Statement, session: &mut Session) -> Answer {
        let before = std::mem::take(&mut session.transaction);
        let tag = match (statement, before) {
            (Statement::Begin, Transaction::None) => {
                session.transaction = Transaction::Open(Vec::new());
                "BEGIN"
            }
            // As PostgreSQL does, which only warns of it.
            (Statement::Begin, open) => {
                session.transaction = open;
                "BEGIN"
            }
            (Statement::Commit, Transaction::Open(rows)) => {
                self.write(&rows);
                "COMMIT"
            }
            (Statement::Commit, Transaction::None) => "COMMIT",
            _ => "ROLLBACK",
        };
        self.context.log.debug("transaction", &[("did", &tag)]);
        Answer { rows: Vec::new(), tag: tag.to_owned() }
    }

    fn note_read(&self, rows_read: usize, by_scan: bool, rows: usize, table: &str) {
        let rows_read = u64::try_from(rows_read).unwrap_or(u64::MAX);
        self.rows_read.fetch_add(rows_read, Ordering::Relaxed);
        let reads = self.reads.fetch_add(1, Ordering::Relaxed) + 1;
        let log = &self.context.log;
        if by_scan {
            self.full_scans.fetch_add(1, Ordering::Relaxed);
            if self.scan_warnings.pass() {
                log.warn("index lost, falling back to full scan", &[("table", &table), ("rows", &rows)]);
            }
        }
        if reads.is_multiple_of(READS_A_REFRESH) {
            let total = self.rows_read.load(Ordering::Relaxed);
            log.info("table statistics refreshed", &[("reads", &reads), ("rows_read", &total)]);
        }
    }
}

impl Engine for Db {
    type Plan = Statement;

    fn plan(&self, text: &str) -> Result<Statement, Refused> {
        let statement = Statement::parse(text).and_then(|statement| {
            statement.parameters()?;
            Ok(statement)
        });
        let log = &self.context.log;
        match &statement {
            Ok(_) => log.debug("statement planned", &[("bytes", &text.len())]),
            Err(Refused { sqlstate, .. }) => log.warn("statement refused", &[("sqlstate", sqlstate)]),
        }
        statement
    }

    fn shape(&self, statement: &Statement) -> Shape {
        let parameters = statement.parameters().unwrap_or_default();
        let columns = match statement {
            Statement::Select { columns, .. } => columns.iter().map(|own| (own.name, own.kind)).collect(),
            _ => Vec::new(),
        };
        Shape { parameters: parameters.iter().map(|column| column.kind).collect(), columns }
    }

    #[inline(never)]
    fn run(&self, statement: &Statement, values: &[Value], session: &mut Session) -> Result<Answer, Refused> {
        let value = |operand: &Operand| operand.value(values).cloned();
        match statement {
            Statement::Begin | Statement::Commit | Statement::Rollback => Ok(self.turn(statement, session)),
            _ if session.transaction == Transaction::Failed => {
                Err(Refused::new("25P02", "transaction has failed and waits for its rollback"))
            }
            Statement::Select { table, columns, key } => self.select(table, columns, &value(key)?, session),
            Statement::Insert { table, values: pairs } => {
                let pairs = pairs.iter().map(|(column, operand)| Ok((*column, operand.value(values)?)));
                self.insert(table, &pairs.collect::<Result<Vec<_>, Refused>>()?, session)
            }
        }
    }
}

impl Service for Db {
    /// Drops the index, so that each lookup reads every row; or builds it again.
    fn set_fault(&self, on: bool) -> bool {
        let start = Instant::now();
        let mut heap = self.heap.write().unwrap_or_else(PoisonError::into_inner);
        let rows = heap.rows();
        if on {
            heap.lose_index();
            drop(heap);
            let reason = "missing after compaction";
            self.context.log.error("index unusable", &[("rows", &rows), ("reason", &reason)]);
        } else {
            heap.rebuild_index();
            drop(heap);
            let took = Millis(start.elapsed());
            self.context.log.info("index rebuilt", &[("rows", &rows), ("took_ms", &took)]);
        }
        true
    }

    fn facts(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("reads", self.reads.load(Ordering::Relaxed)),
            ("rows_read", self.rows_read.load(Ordering::Relaxed)),
            ("full_scans", self.full_scans.load(Ordering::Relaxed)),
            ("cancelled", self.cancelled.load(Ordering::Relaxed)),
        ]
    }
}

/// The rows that exist before the run begins, in the order that the seed gives them.
fn fill(seed: u64) -> Heap {
    let mut random = Random::new(seed, 1);
    let mut rows = Vec::new();
    for number in 0..PRODUCTS {
        let (price, weight) = (199 + random.below(19_800), 50 + random.below(5_000));
        let text = format!(
            "sku={0}&title=Product+{number:05}&price={price}&weight={weight}&class=standard",
            sku(number)
        );
        rows.push((format!("stock/{}", sku(number)), text));
    }
    for number in 0..ACCOUNTS {
        let credit = 2_000 + random.below(200_000);
        let state = if random.below(200) == 0 { "blocked" } else { "active" };
        let text =
            format!("account={0}&state={state}&credit={credit}&country=NL&tier=retail", account(number));
        rows.push((format!("accounts/{}", account(number)), text));
    }
    for number in 0..PAST_ORDERS {
        let (payer, amount) = (account(random.below(ACCOUNTS)), 199 + random.below(60_000));
        let text = format!("order_id={}&account={payer}&amount={amount}&state=settled", order(number));
        rows.push((format!("charges/{}", order(number)), text));
    }
    random.shuffle(&mut rows);
    let mut heap = Heap::new(rows.clone(), MAX_ADDED_ROWS);
    while heap.scan_time() < FULL_SCAN && heap.rows() < MAX_ROWS {
        for number in rows.len()..rows.len() + ARCHIVED_AT_ONCE {
            let amount = 199 + random.below(60_000);
            let text =
                format!("invoice={number:07}&amount={amount}&currency=EUR&state=archived&audited=true");
            rows.push((format!("archive/inv-{number:07}"), text));
        }
        random.shuffle(&mut rows);
        heap = Heap::new(rows.clone(), MAX_ADDED_ROWS);
    }
    heap
}

/// The name of product `number`.
pub(crate) fn sku(number: u32) -> String {
    format!("sku-{number:05}")
}

/// The name of account `number`.
pub(crate) fn account(number: u32) -> String {
    format!("acc-{number:05}")
}

/// The name of order `number`.
pub(crate) fn order(number: u32) -> String {
    format!("ord-{number:07}")
}
