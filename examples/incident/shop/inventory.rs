//! What is on the shelves: a stock table of text rows, item texts from cache or store.

mod stock;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use stock::{Format, Refused, StockRow, Table};

use super::context::{Context, Service, trace_of};
use super::http::server::Handler;
use super::http::{Request, Response, form_field};
use super::random::mix;
use super::resp::Reply;
use super::sql::client::Connection;

/// Shortest and longest time that an item text stays in the cache.
const TTL_MILLIS: (u64, u64) = (1_000, 2_000);
/// Items that an answer is ranked against.
const CANDIDATES: u32 = 2_000;
/// Items named beside the one asked for.
const ALTERNATIVES: usize = 5;

/// Reservations between two lines about how many there were.
const RESERVATIONS_A_LINE: u64 = 250;

const ITEM: &str = "SELECT title, price FROM stock WHERE sku = $1";

/// The service `inventory`.
#[derive(Debug)]
pub(crate) struct Inventory {
    context: Arc<Context>,
    table: RwLock<Table>,
    fetched: AtomicU64,
    reservations: AtomicU64,
    unreadable: AtomicU64,
}

impl Inventory {
    /// Loads the stock table of the seed.
    pub(crate) fn new(context: Arc<Context>) -> Self {
        let table = Table::seeded(context.seed);
        context.log.info("stock table loaded", &[("rows", &table.len()), ("source", &"warehouse")]);
        Self {
            context,
            table: RwLock::new(table),
            fetched: AtomicU64::new(0),
            reservations: AtomicU64::new(0),
            unreadable: AtomicU64::new(0),
        }
    }

    #[inline(never)]
    fn item(&self, sku: &str, request: &Request) -> Response {
        let text = match self.item_text(sku, request) {
            Ok(text) => text,
            Err(response) => return response,
        };
        let row = {
            let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
            table.read(sku)
        };
        let stock = match row {
            Ok(stock) => stock,
            Err(refused) => return self.refuse(sku, &refused, request),
        };
        let (price, title) = (form_field(&text, "price"), form_field(&text, "title"));
        let body = format!(
            "{{\"sku\":\"{sku}\",\"title\":\"{}\",\"price\":{},\"quantity\":{},\"pick\":\"{}\",\"alternatives\":[{}]}}",
            title.unwrap_or("-"),
            price.unwrap_or("0"),
            stock.quantity,
            pick_list(&stock),
            alternatives(sku),
        );
        let (log, trace) = (&self.context.log, trace_of(request));
        log.info("item answered", &[("sku", &sku), ("quantity", &stock.quantity), ("trace_id", &trace)]);
        Response::new(200, body)
    }

    #[inline(never)]
    fn reserve(&self, sku: &str, request: &Request) -> Response {
        let Some(quantity) = request.field("qty").and_then(|quantity| quantity.parse().ok()) else {
            return Response::error(400, "qty is needed");
        };
        let text = match self.item_text(sku, request) {
            Ok(text) => text,
            Err(response) => return response,
        };
        let taken = {
            let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
            table.take(sku, quantity)
        };
        let taken = match taken {
            Ok(taken) => taken,
            Err(refused) => return self.refuse(sku, &refused, request),
        };
        let reservations = self.reservations.fetch_add(1, Ordering::Relaxed) + 1;
        let (log, trace) = (&self.context.log, trace_of(request));
        if taken.restocked {
            log.info("restocked", &[("sku", &sku), ("quantity", &taken.left)]);
        }
        if reservations.is_multiple_of(RESERVATIONS_A_LINE) {
            log.info("reservations so far", &[("count", &reservations)]);
        }
        log.info(
            "stock reserved",
            &[("sku", &sku), ("qty", &quantity), ("left", &taken.left), ("trace_id", &trace)],
        );
        let price = form_field(&text, "price").unwrap_or("0");
        Response::new(200, format!("price={price}&left={}", taken.left))
    }

    #[inline(never)]
    fn release(&self, sku: &str, request: &Request) -> Response {
        let quantity = request.field("qty").and_then(|quantity| quantity.parse().ok()).unwrap_or(0);
        let put_back = {
            let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
            table.put_back(sku, quantity)
        };
        match put_back {
            Ok(left) => {
                self.context.log.info("reservation released", &[("sku", &sku), ("left", &left)]);
                Response::new(200, format!("left={left}"))
            }
            Err(refused) => self.refuse(sku, &refused, request),
        }
    }

    /// The item's text from the cache, else from the store and into the cache; else what to answer.
    #[inline(never)]
    fn item_text(&self, sku: &str, request: &Request) -> Result<String, Response> {
        let (key, trace) = (format!("item:{sku}"), trace_of(request));
        let log = &self.context.log;
        match self.context.command(&[b"GET", key.as_bytes()], trace) {
            Ok(Reply::Bulk(text)) => {
                log.debug("item cached", &[("sku", &sku)]);
                return Ok(String::from_utf8_lossy(&text).into_owned());
            }
            Ok(Reply::Null) => {}
            Ok(_) | Err(_) => log.warn("cache gave no answer", &[("sku", &sku)]),
        }
        let found = Connection::take(&self.context, trace).and_then(|mut store| store.query(ITEM, &[&sku]));
        match found {
            Ok(Some(row)) => {
                // Neither is null in any row of the store.
                let title: &str = row.try_get(0).unwrap_or_default();
                let price: i32 = row.try_get(1).unwrap_or_default();
                let text = format!("title={title}&price={price}");
                self.remember(&key, text.as_bytes(), trace);
                log.debug("item fetched", &[("sku", &sku), ("bytes", &text.len())]);
                Ok(text)
            }
            Ok(None) => {
                log.info("item unknown", &[("sku", &sku), ("trace_id", &trace)]);
                Err(Response::error(404, "no such item"))
            }
            Err(failure) => {
                log.error("store failed", &[("sku", &sku), ("error", &failure), ("trace_id", &trace)]);
                Err(Response::error(502, "a service behind this one failed"))
            }
        }
    }

    /// Puts a text into the cache for a while that differs from key to key, lest all end at once.
    fn remember(&self, key: &str, text: &[u8], trace: &str) {
        let fetched = self.fetched.fetch_add(1, Ordering::Relaxed);
        let (shortest, longest) = TTL_MILLIS;
        let ttl = shortest + mix(fetched) % (longest - shortest);
        let ttl = ttl.to_string();
        let words: [&[u8]; 5] = [b"SET", key.as_bytes(), text, b"PX", ttl.as_bytes()];
        if !matches!(self.context.command(&words, trace), Ok(Reply::Simple(_))) {
            self.context.log.warn("item not cached", &[("key", &key)]);
        }
    }

    fn refuse(&self, sku: &str, refused: &Refused, request: &Request) -> Response {
        let (log, trace) = (&self.context.log, trace_of(request));
        match refused {
            Refused::Unreadable { field, source } => {
                self.unreadable.fetch_add(1, Ordering::Relaxed);
                log.error(
                    "stock row unreadable",
                    &[("sku", &sku), ("field", field), ("error", source), ("trace_id", &trace)],
                );
                Response::error(500, "stock row unreadable")
            }
            Refused::Unknown => {
                log.info("item not on any shelf", &[("sku", &sku), ("trace_id", &trace)]);
                Response::error(404, "no such item")
            }
            Refused::TooFew { left } => {
                log.info("too few on the shelves", &[("sku", &sku), ("left", left), ("trace_id", &trace)]);
                Response::error(409, "too few left")
            }
        }
    }
}

impl Handler for Inventory {
    fn handle(&self, request: &Request) -> Response {
        let (path, _) = request.route();
        match (request.method.as_str(), path.as_slice()) {
            ("GET", ["items", sku]) => self.item(sku, request),
            ("POST", ["items", sku, "reserve"]) => self.reserve(sku, request),
            ("POST", ["items", sku, "release"]) => self.release(sku, request),
            (method, _) => {
                self.context
                    .log
                    .warn("request refused", &[("method", &method), ("reason", &"no such route")]);
                Response::error(404, "no such route")
            }
        }
    }
}

impl Service for Inventory {
    /// Loads the table as a supplier writes it, with separators in large quantities; or as the warehouse does.
    fn set_fault(&self, on: bool) -> bool {
        let (format, source) =
            if on { (Format::Localised, "supplier_feed") } else { (Format::Plain, "warehouse") };
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.reload(format);
        let rows = table.len();
        drop(table);
        self.context.log.info("stock table reloaded", &[("rows", &rows), ("source", &source)]);
        true
    }

    fn facts(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("fetched", self.fetched.load(Ordering::Relaxed)),
            ("reservations", self.reservations.load(Ordering::Relaxed)),
            ("unreadable", self.unreadable.load(Ordering::Relaxed)),
        ]
    }
}

/// The bins in the order of a walk from the packing station.
#[inline(never)]
fn pick_list(stock: &StockRow) -> String {
    let mut bins: Vec<(u64, &str)> =
        stock.bins.iter().map(|bin| (mix(bin.bytes().map(u64::from).sum()) % 997, bin.as_str())).collect();
    bins.sort_unstable();
    let names: Vec<&str> = bins.into_iter().map(|(_, bin)| bin).collect();
    names.join(" ")
}

/// Items most like `sku`, ranked among [`CANDIDATES`].
#[inline(never)]
fn alternatives(sku: &str) -> String {
    let own = sku.bytes().fold(0, |state, byte| mix(state ^ u64::from(byte)));
    let mut ranked: Vec<(u32, u32)> =
        (0..CANDIDATES).map(|number| ((mix(own) ^ mix(u64::from(number))).count_ones(), number)).collect();
    ranked.sort_unstable();
    let best: Vec<String> = ranked.iter().take(ALTERNATIVES).map(|(_, number)| number.to_string()).collect();
    best.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_walked_in_an_order_of_their_own_and_none_is_lost() {
        let bins: Vec<String> = ["C3", "A1", "B2"].map(str::to_owned).to_vec();
        let list = pick_list(&StockRow { quantity: 1, bins: bins.clone() });
        let mut walked: Vec<&str> = list.split(' ').collect();
        walked.sort_unstable();
        assert_eq!(walked, ["A1", "B2", "C3"]);
        assert_eq!(alternatives("sku-1").split(',').count(), ALTERNATIVES);
        assert_ne!(alternatives("sku-1"), alternatives("sku-2"));
    }
}
