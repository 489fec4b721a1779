//! Orders: items, reservations and charges put together.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::context::{Context, Service, bad_gateway, trace_of};
use super::db;
use super::grpc::{Code, Status};
use super::http::client::Call;
use super::http::server::Handler;
use super::http::{Request, Response, form_field};
use super::payment::api::{self, ChargeRequest, IssueRequest, Message, Receipt};
use super::role::Role;

/// Lines of text on a product page.
const PAGE_LINES: u32 = 120;
/// Orders between two lines about how many there are.
const ORDERS_A_LINE: u64 = 250;

/// The service `order`.
#[derive(Debug)]
pub(crate) struct Order {
    context: Arc<Context>,
    next_order: AtomicU32,
    placed: AtomicU64,
    given_up: AtomicU64,
    /// Set by the fault: pages are kept, and never looked at again.
    keeps_pages: AtomicBool,
    pages: Mutex<Vec<String>>,
}

/// What a buyer sends.
struct Wish<'a> {
    sku: &'a str,
    qty: u32,
    account: &'a str,
}

impl Order {
    /// Numbers its orders after those placed before the run.
    pub(crate) fn new(context: Arc<Context>) -> Self {
        context.log.info("order numbers continue", &[("next", &db::PAST_ORDERS)]);
        let (placed, given_up) = (AtomicU64::new(0), AtomicU64::new(0));
        let (keeps_pages, pages) = (AtomicBool::new(false), Mutex::default());
        let next_order = AtomicU32::new(db::PAST_ORDERS);
        Self { context, next_order, placed, given_up, keeps_pages, pages }
    }

    #[inline(never)]
    fn product(&self, sku: &str, request: &Request) -> Response {
        let target = format!("/items/{sku}");
        let answer = self.context.call(Role::Inventory, &Call::get(&target, request.traceparent.as_deref()));
        let (log, trace) = (&self.context.log, trace_of(request));
        match &answer {
            Ok(item) if item.status == 200 => {
                let page = assemble_page(sku, item.text());
                self.keep(&page);
                log.info(
                    "product page assembled",
                    &[("sku", &sku), ("bytes", &page.len()), ("trace_id", &trace)],
                );
                Response::new(200, page)
            }
            Ok(item) if item.status < 500 => {
                log.info(
                    "product not shown",
                    &[("sku", &sku), ("status", &item.status), ("trace_id", &trace)],
                );
                item.clone()
            }
            Ok(item) => {
                log.error(
                    "inventory failed",
                    &[("sku", &sku), ("status", &item.status), ("trace_id", &trace)],
                );
                bad_gateway(&answer)
            }
            Err(_) => bad_gateway(&answer),
        }
    }

    /// Where the fault is: whoever wrote this meant to show the page again, and forgot that there is no end to them.
    fn keep(&self, page: &str) {
        if self.keeps_pages.load(Ordering::Relaxed) {
            self.pages.lock().unwrap_or_else(PoisonError::into_inner).push(page.to_owned());
        }
    }

    #[inline(never)]
    fn checkout(&self, request: &Request) -> Response {
        let (sku, account) = (request.field("sku"), request.field("account"));
        let qty = request.field("qty").and_then(|qty| qty.parse().ok());
        let (Some(sku), Some(account), Some(qty @ 1..100)) = (sku, account, qty) else {
            self.context.log.warn("request refused", &[("method", &"POST"), ("reason", &"missing field")]);
            return Response::error(400, "sku, account and qty are needed");
        };
        let wish = Wish { sku, qty, account };
        let price = match self.reserve(&wish, request) {
            Ok(price) => price,
            Err(response) => return response,
        };
        let name = db::order(self.next_order.fetch_add(1, Ordering::Relaxed));
        let total = price.saturating_mul(qty);
        let (log, trace) = (&self.context.log, trace_of(request));
        match self.charge(&name, &wish, total, request) {
            Ok(receipt) => {
                let placed = self.placed.fetch_add(1, Ordering::Relaxed) + 1;
                if placed.is_multiple_of(ORDERS_A_LINE) {
                    log.info("orders placed so far", &[("count", &placed)]);
                }
                log.info(
                    "order placed",
                    &[("order", &name), ("sku", &sku), ("total", &total), ("trace_id", &trace)],
                );
                Response::new(
                    201,
                    format!("{{\"order\":\"{name}\",\"total\":{total},\"receipt\":{receipt}}}"),
                )
            }
            Err(response) => {
                self.given_up.fetch_add(1, Ordering::Relaxed);
                self.release(&wish, request);
                let status = response.status;
                log.warn("order given up", &[("order", &name), ("status", &status), ("trace_id", &trace)]);
                response
            }
        }
    }

    /// Takes the pieces off the shelf: the price of one, or what to answer.
    fn reserve(&self, wish: &Wish<'_>, request: &Request) -> Result<u32, Response> {
        let answer = self.context.call(Role::Inventory, &Post::new(wish, "reserve", request).as_call());
        let (log, trace, sku) = (&self.context.log, trace_of(request), wish.sku);
        match &answer {
            Ok(taken) if taken.status == 200 => {
                let price = form_field(taken.text(), "price").and_then(|price| price.parse().ok());
                Ok(price.unwrap_or(0))
            }
            Ok(taken) if taken.status < 500 => {
                log.info(
                    "reservation refused",
                    &[("sku", &sku), ("status", &taken.status), ("trace_id", &trace)],
                );
                Err(taken.clone())
            }
            Ok(taken) => {
                log.error(
                    "inventory failed",
                    &[("sku", &sku), ("status", &taken.status), ("trace_id", &trace)],
                );
                Err(bad_gateway(&answer))
            }
            Err(_) => Err(bad_gateway(&answer)),
        }
    }

    /// Charges the account: the receipt, or what to answer.
    fn charge(
        &self,
        order: &str,
        wish: &Wish<'_>,
        total: u32,
        request: &Request,
    ) -> Result<Receipt, Response> {
        let charge =
            ChargeRequest { order: order.to_owned(), account: wish.account.to_owned(), amount: total };
        self.payment(api::CHARGE, &charge, request).inspect_err(|answer| {
            let (log, trace) = (&self.context.log, trace_of(request));
            let status = answer.status;
            if status < 500 {
                log.info("charge refused", &[("order", &order), ("status", &status), ("trace_id", &trace)]);
            } else {
                log.error("payment failed", &[("order", &order), ("status", &status), ("trace_id", &trace)]);
            }
        })
    }

    /// Calls a method of `payment`: its receipt, or what to answer.
    fn payment(&self, method: &str, message: &impl Message, request: &Request) -> Result<Receipt, Response> {
        let answer = self.context.method(method, &message.encode(), request.traceparent.as_deref());
        match answer {
            Ok(Ok(bytes)) => Receipt::decode(&bytes).map_err(|error| bad_gateway(&Err(error.into()))),
            Ok(Err(status)) => Err(refusal(&status)),
            Err(error) => Err(bad_gateway(&Err(error))),
        }
    }

    /// Puts back what was reserved; where that fails too, the shelf is short until it is restocked.
    fn release(&self, wish: &Wish<'_>, request: &Request) {
        let answer = self.context.call(Role::Inventory, &Post::new(wish, "release", request).as_call());
        if !matches!(answer, Ok(Response { status: 200, .. })) {
            self.context.log.error("reservation not released", &[("sku", &wish.sku), ("qty", &wish.qty)]);
        }
    }

    #[inline(never)]
    fn order(&self, order: &str, request: &Request) -> Response {
        let issue = IssueRequest { order: order.to_owned() };
        let answer = self.payment(api::ISSUE, &issue, request);
        let (log, trace) = (&self.context.log, trace_of(request));
        match answer {
            Ok(receipt) => {
                log.info("order shown", &[("order", &order), ("trace_id", &trace)]);
                Response::new(
                    200,
                    format!("{{\"order\":\"{order}\",\"state\":\"settled\",\"receipt\":{receipt}}}"),
                )
            }
            Err(refusal) if refusal.status < 500 => {
                log.info("order unknown", &[("order", &order), ("trace_id", &trace)]);
                refusal
            }
            Err(failure) => {
                let status = failure.status;
                log.error("payment failed", &[("order", &order), ("status", &status), ("trace_id", &trace)]);
                failure
            }
        }
    }
}

/// What a buyer is told when `payment` refuses or fails.
fn refusal(status: &Status) -> Response {
    let code = match status.code {
        Code::InvalidArgument => 400,
        Code::FailedPrecondition => 402,
        Code::NotFound => 404,
        Code::AlreadyExists => 409,
        Code::DeadlineExceeded => 504,
        Code::Unimplemented | Code::Internal | Code::Unavailable => 502,
    };
    Response::error(code, &status.message)
}

/// A `POST` to inventory and what it borrows from.
struct Post<'a> {
    target: String,
    body: String,
    traceparent: Option<&'a str>,
}

impl<'a> Post<'a> {
    fn new(wish: &Wish<'_>, action: &str, request: &'a Request) -> Self {
        Self {
            target: format!("/items/{}/{action}", wish.sku),
            body: format!("qty={}", wish.qty),
            traceparent: request.traceparent.as_deref(),
        }
    }

    fn as_call(&self) -> Call<'_> {
        Call { method: "POST", target: &self.target, traceparent: self.traceparent, body: &self.body }
    }
}

impl Handler for Order {
    fn handle(&self, request: &Request) -> Response {
        let (path, _) = request.route();
        match (request.method.as_str(), path.as_slice()) {
            ("GET", ["product", sku]) => self.product(sku, request),
            ("POST", ["checkout"]) => self.checkout(request),
            ("GET", ["orders", order]) => self.order(order, request),
            (method, _) => {
                self.context
                    .log
                    .warn("request refused", &[("method", &method), ("reason", &"no such route")]);
                Response::error(404, "no such route")
            }
        }
    }
}

impl Service for Order {
    fn set_fault(&self, on: bool) -> bool {
        self.keeps_pages.store(on, Ordering::Relaxed);
        self.pages.lock().unwrap_or_else(PoisonError::into_inner).clear();
        true
    }

    fn facts(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("placed", self.placed.load(Ordering::Relaxed)),
            ("given_up", self.given_up.load(Ordering::Relaxed)),
            (
                "pages_kept",
                u64::try_from(self.pages.lock().unwrap_or_else(PoisonError::into_inner).len())
                    .unwrap_or(u64::MAX),
            ),
        ]
    }
}

/// The page of a product: what inventory says, and lines of text around it.
#[inline(never)]
fn assemble_page(sku: &str, item: &str) -> String {
    let mut page = format!("{{\"page\":\"{sku}\",\"item\":{item},\"text\":[");
    for line in 0..PAGE_LINES {
        let gap = if line == 0 { "" } else { "," };
        // Writing to a string cannot fail.
        let _ = write!(page, "{gap}\"Line {line} about {sku}, which ships within {} days.\"", line % 7 + 1);
    }
    page.push_str("]}");
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_json_that_holds_the_item() {
        let page = assemble_page("sku-1", "{\"price\":5}");
        let value: serde_json::Value = serde_json::from_str(&page).unwrap();
        assert_eq!(value["item"]["price"], 5);
        assert_eq!(value["text"].as_array().unwrap().len(), PAGE_LINES as usize);
    }
}
