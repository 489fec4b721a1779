use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use otlp_core::SpanId;
use otlp_core::record::{AnyValue, KeyValue, Span};
use postgres::{Config, NoTls};

use super::*;
use crate::load::LoadReport;
use crate::shop::grpc::client::{Call, Channel};
use crate::shop::tests::{Folder, config, drive};
use crate::shop::{Counts, Shop};

/// A tapped shop, and where its spans wait.
struct Tapped {
    _folder: Folder,
    shop: Shop,
    capture: Capture,
}

/// What came of it: spans by service, and what the services count.
struct Ended {
    spans: BTreeMap<Role, Vec<Span>>,
    counts: BTreeMap<Role, Counts>,
}

impl Tapped {
    fn start() -> Self {
        let folder = Folder::new();
        let shop = Shop::start(&config(&folder, 0)).unwrap();
        let capture = Capture::start(&shop.services(), 7).unwrap();
        shop.connect(|role| capture.address_of(role).unwrap()).unwrap();
        Self { _folder: folder, shop, capture }
    }

    fn drive(&self, requests: u64) -> LoadReport {
        drive(self.capture.address_of(Role::Gateway).unwrap(), requests, 3)
    }

    fn end(self) -> Ended {
        let counts = self.shop.stop().unwrap();
        let outboxes: Vec<(Role, Arc<Outbox>)> =
            self.capture.taps.iter().map(|(role, (_, outbox))| (*role, Arc::clone(outbox))).collect();
        let stats = self.capture.stop();
        assert!(stats.values().all(|tapped| tapped.tap.is_balanced()), "{stats:?}");
        let spans = |outbox: &Outbox| outbox.take().into_iter().map(|tapped| tapped.span).collect();
        Ended { spans: outboxes.iter().map(|(role, outbox)| (*role, spans(outbox))).collect(), counts }
    }
}

impl Ended {
    fn assert_each_request_is_a_span(&self) {
        for (role, spans) in &self.spans {
            assert_eq!(u64::try_from(spans.len()).unwrap(), self.counts[role].served(), "{role}");
        }
    }

    /// Spans of `role` whose caller is `caller`.
    fn asked_by(&self, role: Role, caller: Role) -> u64 {
        let own = &self.spans[&role];
        let count = own.iter().filter(|span| text(span, semconv::SERVICE_PEER_NAME) == Some(caller.name()));
        u64::try_from(count.count()).unwrap()
    }
}

fn text<'s>(span: &'s Span, key: &str) -> Option<&'s str> {
    KeyValue::find(&span.attributes, key).and_then(AnyValue::as_str)
}

#[test]
fn every_call_over_grpc_and_every_statement_is_a_span_and_its_callers_count_agrees() {
    let tapped = Tapped::start();
    tapped.drive(250);
    let ended = tapped.end();
    ended.assert_each_request_is_a_span();
    for (caller, callee) in [
        (Role::Order, Role::Payment),
        (Role::Payment, Role::Db),
        (Role::Inventory, Role::Db),
        (Role::Inventory, Role::Cache),
        (Role::Order, Role::Inventory),
    ] {
        let called = ended.counts[&caller].calls_to(callee);
        assert!(called > 20, "{caller} calls {callee} {called} times");
        assert_eq!(ended.asked_by(callee, caller), called, "{caller} calls {callee}");
    }
    // Twin: the comparison that found them equal sees one span that is missing.
    let Ended { mut spans, counts } = ended;
    spans.get_mut(&Role::Db).unwrap().pop();
    let short = Ended { spans, counts };
    assert!(std::panic::catch_unwind(|| short.assert_each_request_is_a_span()).is_err());
}

#[test]
fn spans_of_grpc_hang_below_their_callers_and_say_method_and_status() {
    let tapped = Tapped::start();
    let report = tapped.drive(150);
    let channel = Channel::new("payment");
    channel.set_address(tapped.capture.address_of(Role::Payment).unwrap()).unwrap();
    let call = |method, message| {
        let call = Call { method, message, traceparent: None, timeout: Duration::from_secs(10) };
        channel.send(&call).unwrap().unwrap_err()
    };
    call("/shop.Payment/Issue", b"\x0a\x04none");
    call("/shop.Payment/Refund", b"");
    drop(channel);
    let ended = tapped.end();
    let orders: BTreeMap<SpanId, &Span> =
        ended.spans[&Role::Order].iter().map(|span| (span.span_id, span)).collect();
    let mut statuses: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for span in &ended.spans[&Role::Payment] {
        assert_eq!(text(span, semconv::RPC_SYSTEM_NAME), Some("grpc"), "{span:?}");
        let status = text(span, semconv::RPC_RESPONSE_STATUS_CODE).unwrap();
        *statuses.entry((span.name.as_str(), status)).or_default() += 1;
        assert_eq!(span.is_error(), status == "UNIMPLEMENTED", "{span:?}");
        if text(span, semconv::SERVICE_PEER_NAME) == Some("order") {
            let parent = orders[&span.parent_span_id];
            assert_eq!(parent.trace_id, span.trace_id);
            assert!(report.exchanges.iter().any(|exchange| exchange.trace_id == span.trace_id));
            assert!(parent.start <= span.start && span.end <= parent.end, "{span:?} {parent:?}");
        }
    }
    assert!(statuses[&("shop.Payment/Charge", "OK")] > 10, "{statuses:?}");
    assert_eq!(statuses[&("shop.Payment/Issue", "NOT_FOUND")], 1, "{statuses:?}");
    assert_eq!(statuses[&("shop.Payment/Refund", "UNIMPLEMENTED")], 1, "{statuses:?}");
}

#[test]
fn spans_of_sql_say_what_was_asked_but_no_value_and_refusals_have_their_sqlstate() {
    let tapped = Tapped::start();
    tapped.drive(150);
    let address = tapped.capture.address_of(Role::Db).unwrap();
    let mut config = Config::new();
    config.hostaddr(address.ip()).port(address.port()).user("test").dbname("shop");
    let mut client = config.connect(NoTls).unwrap();
    client.simple_query("SELECT title FROM stock WHERE sku = 'sku-00042'").unwrap();
    client.simple_query("SELECT title FROM mail WHERE sku = 'sku-00042'").unwrap_err();
    drop(client);
    let ended = tapped.end();
    let mut asked: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for span in &ended.spans[&Role::Db] {
        assert_eq!(text(span, semconv::DB_SYSTEM_NAME), Some("postgresql"), "{span:?}");
        assert_eq!(text(span, semconv::DB_NAMESPACE), Some("shop"), "{span:?}");
        assert_eq!(text(span, semconv::DB_QUERY_SUMMARY), Some(span.name.as_str()), "{span:?}");
        let statement = text(span, semconv::DB_QUERY_TEXT).unwrap();
        assert!(!statement.contains('\''), "{statement}");
        *asked.entry((&span.name, statement)).or_default() += 1;
        let failed = text(span, semconv::DB_RESPONSE_STATUS_CODE);
        let expected = statement.contains("FROM mail").then_some("42P01");
        assert_eq!((failed, span.is_error()), (expected, expected.is_some()), "{span:?}");
    }
    let begun = asked[&("BEGIN", "BEGIN")];
    let ended = asked[&("COMMIT", "COMMIT")] + asked.get(&("ROLLBACK", "ROLLBACK")).copied().unwrap_or(0);
    assert_eq!(begun, ended, "{asked:?}");
    assert!(asked[&("SELECT stock", "SELECT title, price FROM stock WHERE sku = $1")] > 5, "{asked:?}");
    assert!(asked[&("PREPARE SELECT stock", "SELECT title, price FROM stock WHERE sku = $1")] >= 1);
    assert_eq!(asked[&("SELECT stock", "SELECT title FROM stock WHERE sku = ?")], 1, "{asked:?}");
    let insert =
        "INSERT INTO charges (order_id, account, amount, signature, state) VALUES ($1, $2, $3, $4, ?)";
    assert_eq!(asked[&("INSERT charges", insert)], asked[&("COMMIT", "COMMIT")], "{asked:?}");
}
