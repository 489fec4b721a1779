//! The record store: rows over HTTP/1.1, found through an index that can be lost.

mod heap;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use heap::Heap;

use super::context::{Context, Millis, OneIn, Service, trace_of};
use super::http::server::Handler;
use super::http::{Request, Response};
use super::random::Random;

/// Products, all of which have a stock row.
pub(crate) const PRODUCTS: u32 = 2_000;
/// Accounts, all of which have a row.
pub(crate) const ACCOUNTS: u32 = 8_000;
/// Orders that were placed before the run began; each has a row of its charge.
pub(crate) const PAST_ORDERS: u32 = 15_000;

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
    scan_warnings: OneIn,
    slow_warnings: OneIn,
}

impl Db {
    /// Fills the store with the rows of the seed.
    pub(crate) fn new(context: Arc<Context>) -> Self {
        let start = Instant::now();
        let heap = fill(context.seed);
        let took = Millis(start.elapsed());
        context.log.info("heap loaded", &[("rows", &heap.rows()), ("tables", &3), ("took_ms", &took)]);
        Self {
            context,
            heap: RwLock::new(heap),
            reads: AtomicU64::new(0),
            rows_read: AtomicU64::new(0),
            full_scans: AtomicU64::new(0),
            scan_warnings: OneIn::new(20),
            slow_warnings: OneIn::new(20),
        }
    }

    #[inline(never)]
    fn read_record(&self, table: &str, id: &str, trace: &str) -> Response {
        let start = Instant::now();
        let heap = self.heap.read().unwrap_or_else(PoisonError::into_inner);
        let found = heap.lookup(&format!("{table}/{id}"));
        let (rows, rows_read, by_scan) = (heap.rows(), found.rows_read, found.by_scan);
        let text = found.text.map(str::to_owned);
        drop(heap);
        self.note_read(rows_read, by_scan, rows, table);
        let took = start.elapsed();
        let log = &self.context.log;
        if took >= SLOW_QUERY && self.slow_warnings.pass() {
            let took = Millis(took);
            log.warn("slow query", &[("table", &table), ("rows_read", &rows_read), ("took_ms", &took)]);
        }
        let Some(text) = text else {
            log.info("record not found", &[("table", &table), ("id", &id), ("trace_id", &trace)]);
            return Response::error(404, "no such record");
        };
        let micros = took.as_micros();
        log.debug(
            "record read",
            &[("table", &table), ("id", &id), ("took_us", &micros), ("trace_id", &trace)],
        );
        Response::new(200, text)
    }

    #[inline(never)]
    fn write_record(&self, table: &str, id: &str, request: &Request) -> Response {
        let Ok(text) = std::str::from_utf8(&request.body) else {
            return Response::error(400, "a record is text");
        };
        let mut heap = self.heap.write().unwrap_or_else(PoisonError::into_inner);
        let written = heap.put(&format!("{table}/{id}"), text);
        let rows = heap.rows();
        drop(heap);
        let (log, trace, version) = (&self.context.log, trace_of(request), written.version);
        log.info(
            "record written",
            &[("table", &table), ("id", &id), ("version", &version), ("trace_id", &trace)],
        );
        if let Some(key) = written.overwritten {
            log.info("oldest row overwritten", &[("key", &key), ("rows", &rows)]);
        }
        if version.is_multiple_of(WRITES_A_CHECKPOINT) {
            log.info("checkpoint written", &[("version", &version), ("rows", &rows)]);
        }
        Response::new(201, format!("{{\"version\":{version}}}"))
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

impl Handler for Db {
    fn handle(&self, request: &Request) -> Response {
        let (path, _) = request.route();
        match (request.method.as_str(), path.as_slice()) {
            ("GET", ["records", table, id]) => self.read_record(table, id, trace_of(request)),
            ("PUT", ["records", table, id]) => self.write_record(table, id, request),
            (method, _) => {
                self.context
                    .log
                    .warn("request refused", &[("method", &method), ("reason", &"no such route")]);
                Response::error(404, "no such route")
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
        let limit = 2_000 + random.below(200_000);
        let state = if random.below(200) == 0 { "blocked" } else { "active" };
        let text = format!("account={0}&state={state}&limit={limit}&country=NL&tier=retail", account(number));
        rows.push((format!("accounts/{}", account(number)), text));
    }
    for number in 0..PAST_ORDERS {
        let (payer, amount) = (account(random.below(ACCOUNTS)), 199 + random.below(60_000));
        let text = format!("order={}&account={payer}&amount={amount}&state=settled", order(number));
        rows.push((format!("charges/{}", order(number)), text));
    }
    random.shuffle(&mut rows);
    Heap::new(rows, MAX_ADDED_ROWS)
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
