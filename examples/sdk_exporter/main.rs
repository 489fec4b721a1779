//! One application, two exporters side by side: ours, and the `opentelemetry-otlp` that it takes the place of.
//!
//!     cargo run --example sdk_exporter --features sdk
//!
//! The same spans go through both to a receiver each, on loopback. What arrives is compared field by field, and
//! each exporter is asked what it counted.

mod after;
mod arrived;
mod before;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use opentelemetry::trace::{Span, SpanKind, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use otlp_core::stats::Stats;
use otlp_core::transport::receiver::{Receiver, ReceiverLimits};

use arrived::{Arrived, Inbox};

const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    match run(20).and_then(|told| told.print()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// What came of it.
struct Told {
    before: Arrived,
    after: Arrived,
    account: Stats,
}

/// Serves so many customers with both exporters attached.
fn run(customers: i64) -> Result<Told, Box<dyn Error>> {
    let (before, after) = (Inbox::default(), Inbox::default());
    let limits = ReceiverLimits::default();
    let receivers = [
        Receiver::start("127.0.0.1:0", limits.clone(), before.clone())?,
        Receiver::start("127.0.0.1:0", limits, after.clone())?,
    ];
    let [one, other] = &receivers;
    // The runtime is for `opentelemetry-otlp` alone.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let _within = runtime.enter();
    let theirs = before::exporter(&format!("http://{}", one.local_addr()))?;
    let ours = after::exporter(&format!("http://{}", other.local_addr()))?;
    let account = ours.client();

    let resource =
        Resource::builder().with_service_name("shop").with_attribute(KeyValue::new("team", "cart"));
    let provider = SdkTracerProvider::builder()
        .with_resource(resource.build())
        .with_batch_exporter(theirs)
        .with_batch_exporter(ours)
        .build();
    (1..=customers).for_each(|customer| shop(&provider, customer));
    provider.shutdown()?;

    for receiver in receivers {
        receiver.shutdown(PATIENCE);
    }
    Ok(Told { before: before.arrived()?, after: after.arrived()?, account: account.stats() })
}

/// The application: it knows no exporter.
fn shop(provider: &SdkTracerProvider, customer: i64) {
    let tracer = provider.tracer("shop");
    let request = tracer.span_builder("POST /checkout").with_kind(SpanKind::Server).start(&tracer);
    let context = Context::current_with_span(request);
    let mut stock = tracer
        .span_builder("SELECT stock")
        .with_kind(SpanKind::Client)
        .with_attributes([KeyValue::new("db.system.name", "postgresql"), KeyValue::new("customer", customer)])
        .start_with_context(&tracer, &context);
    if customer % 5 == 0 {
        stock.add_event("not enough in stock", vec![KeyValue::new("wanted", customer * 2)]);
        stock.set_status(Status::error("sold out"));
    }
    stock.end();
    context.span().end();
}

impl Told {
    #[expect(clippy::print_stdout, reason = "the report of a program")]
    fn print(&self) -> Result<(), Box<dyn Error>> {
        let Self { before, after, account } = self;
        println!("opentelemetry-otlp  {} spans arrived; it keeps no account", before.spans());
        println!(
            "otlp-core           {} spans arrived; accepted {}, exported {}, rejected {}, dropped {}",
            after.spans(),
            account.accepted,
            account.exported,
            account.rejected,
            account.dropped
        );
        self.check()?;
        println!("the same, field by field");
        Ok(())
    }

    fn check(&self) -> Result<(), Box<dyn Error>> {
        if let Some(difference) = self.before.difference(&self.after) {
            return Err(format!("not the same: {difference}").into());
        }
        if !self.account.is_balanced() || self.account.exported != self.after.spans() {
            return Err(format!("the account is not what arrived: {:?}", self.account).into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_exporters_deliver_the_same_spans_and_the_account_is_right() {
        let told = run(6).expect("both work");
        assert_eq!((told.before.spans(), told.account.exported), (12, 12));
        told.check().expect("the same");
    }

    #[test]
    fn a_span_that_differs_or_lacks_is_told() {
        let told = run(2).expect("both work");
        let Told { before, mut after, account } = told;
        after.damage();
        assert!(Told { before: before.clone(), after, account }.check().is_err());
        let account = Stats { exported: account.exported - 1, dropped: 1, ..account };
        assert!(Told { after: before.clone(), before, account }.check().is_err());
    }
}
