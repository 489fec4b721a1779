//! Charging accounts: velocity rules over recent charges, a signature, a record.

mod rules;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rules::{Charge, Window};

use super::context::{Context, Millis, OneIn, Service, bad_gateway, trace_of};
use super::http::client::Call;
use super::http::server::Handler;
use super::http::{Request, Response, form_field};
use super::random::mix;
use super::role::Role;

/// Rounds of the signature over a receipt.
const SIGNATURE_ROUNDS: u32 = 40_000;
/// How long the issuer waits for an answer about an account before it declines.
const ISSUER_PATIENCE: Duration = Duration::from_millis(250);
/// A velocity check that takes longer is worth a warning.
const SLOW_CHECK: Duration = Duration::from_millis(2);
/// Equal charges to one account among the recent ones before another is declined.
const MAX_EQUAL_CHARGES: u64 = 5;
/// Charges between two lines about the window.
const CHARGES_A_WINDOW_LINE: u64 = 250;

/// The service `payment`.
#[derive(Debug)]
pub(crate) struct Payment {
    context: Arc<Context>,
    recent: Mutex<Window>,
    pairwise: AtomicBool,
    charges: AtomicU64,
    pairs_compared: AtomicU64,
    declined: AtomicU64,
    slow_warnings: OneIn,
}

/// Why a charge was not made.
struct Declined {
    status: u16,
    reason: &'static str,
}

impl Payment {
    /// Starts with a window of recent charges made from the seed.
    pub(crate) fn new(context: Arc<Context>) -> Self {
        let recent = Window::seeded(context.seed);
        context.log.info("fraud rules loaded", &[("version", &41), ("window", &recent.len())]);
        Self {
            context,
            recent: Mutex::new(recent),
            pairwise: AtomicBool::new(false),
            charges: AtomicU64::new(0),
            pairs_compared: AtomicU64::new(0),
            declined: AtomicU64::new(0),
            slow_warnings: OneIn::new(10),
        }
    }

    #[inline(never)]
    fn charge(&self, request: &Request) -> Response {
        let trace = trace_of(request);
        let fields = (request.field("order"), request.field("account"), request.field("amount"));
        let (Some(order), Some(account), Some(Ok(amount))) =
            (fields.0, fields.1, fields.2.map(str::parse::<u32>))
        else {
            self.context.log.warn("request refused", &[("method", &"POST"), ("reason", &"missing field")]);
            return Response::error(400, "order, account and amount are needed");
        };
        let log = &self.context.log;
        match self.authorise(order, account, amount, request) {
            Ok(signature) => {
                let charges = self.charges.fetch_add(1, Ordering::Relaxed) + 1;
                if charges.is_multiple_of(CHARGES_A_WINDOW_LINE) {
                    log.info("velocity window rolled", &[("charges", &charges)]);
                }
                log.info(
                    "charge authorised",
                    &[("order", &order), ("account", &account), ("amount", &amount), ("trace_id", &trace)],
                );
                let body = format!(
                    "{{\"order\":\"{order}\",\"amount\":{amount},\"signature\":\"{signature:016x}\"}}"
                );
                Response::new(201, body)
            }
            Err(Declined { status, reason }) => {
                self.declined.fetch_add(1, Ordering::Relaxed);
                log.warn(
                    "charge declined",
                    &[("order", &order), ("account", &account), ("reason", &reason), ("trace_id", &trace)],
                );
                Response::error(status, reason)
            }
        }
    }

    /// Checks account and velocity, signs and records: the signature, or why not.
    fn authorise(&self, order: &str, account: &str, amount: u32, request: &Request) -> Result<u64, Declined> {
        self.check_account(account, amount, request)?;
        if self.check_velocity(account, amount) > MAX_EQUAL_CHARGES {
            return Err(Declined { status: 402, reason: "velocity" });
        }
        let signature = sign(&[order, account], amount);
        let target = format!("/records/charges/{order}");
        let body = format!(
            "order={order}&account={account}&amount={amount}&signature={signature:016x}&state=settled"
        );
        let traceparent = request.traceparent.as_deref();
        let call = Call { method: "PUT", target: &target, traceparent, body: &body };
        match self.context.call(Role::Db, &call) {
            Ok(response) if response.status < 300 => Ok(signature),
            _ => Err(Declined { status: 502, reason: "ledger_unavailable" }),
        }
    }

    fn check_account(&self, account: &str, amount: u32, request: &Request) -> Result<(), Declined> {
        let start = Instant::now();
        let target = format!("/records/accounts/{account}");
        let answer = self.context.call(Role::Db, &Call::get(&target, request.traceparent.as_deref()));
        if start.elapsed() > ISSUER_PATIENCE {
            return Err(Declined { status: 504, reason: "issuer_timeout" });
        }
        let record = match answer {
            Ok(response) if response.status == 200 => response,
            Ok(response) if response.status == 404 => {
                return Err(Declined { status: 402, reason: "account_unknown" });
            }
            _ => return Err(Declined { status: 502, reason: "issuer_unavailable" }),
        };
        let limit = form_field(record.text(), "limit").and_then(|limit| limit.parse::<u32>().ok());
        self.context.log.debug("account loaded", &[("account", &account), ("limit", &limit.unwrap_or(0))]);
        if form_field(record.text(), "state") != Some("active") {
            return Err(Declined { status: 402, reason: "account_blocked" });
        }
        if limit.is_none_or(|limit| limit.saturating_mul(100) < amount) {
            return Err(Declined { status: 402, reason: "insufficient_funds" });
        }
        Ok(())
    }

    /// Adds the charge to the recent ones and says how many equal ones there are.
    #[inline(never)]
    fn check_velocity(&self, account: &str, amount: u32) -> u64 {
        let charge = Charge { account: number_of(account), amount };
        let mut recent = {
            let mut window = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            window.push(charge);
            window.to_vec()
        };
        let start = Instant::now();
        let pairwise = self.pairwise.load(Ordering::Relaxed);
        let (equal, pairs) = if pairwise {
            rules::equal_pairwise(&recent, charge)
        } else {
            rules::equal_sorted(&mut recent, charge)
        };
        self.pairs_compared.fetch_add(pairs, Ordering::Relaxed);
        let took = start.elapsed();
        if took > SLOW_CHECK && self.slow_warnings.pass() {
            let took = Millis(took);
            self.context
                .log
                .warn("velocity check slow", &[("account", &account), ("pairs", &pairs), ("took_ms", &took)]);
        }
        equal
    }

    #[inline(never)]
    fn receipt(&self, order: &str, request: &Request) -> Response {
        let target = format!("/records/charges/{order}");
        let answer = self.context.call(Role::Db, &Call::get(&target, request.traceparent.as_deref()));
        let (log, trace) = (&self.context.log, trace_of(request));
        match &answer {
            Ok(record) if record.status == 200 => {
                let text = record.text();
                let (payer, amount) = (form_field(text, "account"), form_field(text, "amount"));
                let (payer, amount) = (payer.unwrap_or("-"), amount.and_then(|amount| amount.parse().ok()));
                let signature = sign(&[order, payer], amount.unwrap_or(0));
                log.info("receipt issued", &[("order", &order), ("trace_id", &trace)]);
                let amount = amount.unwrap_or(0);
                Response::new(
                    200,
                    format!(
                        "{{\"order\":\"{order}\",\"amount\":{amount},\"signature\":\"{signature:016x}\"}}"
                    ),
                )
            }
            Ok(record) if record.status == 404 => {
                log.info("order was never charged", &[("order", &order), ("trace_id", &trace)]);
                Response::error(404, "no such charge")
            }
            _ => bad_gateway(&answer),
        }
    }
}

impl Handler for Payment {
    fn handle(&self, request: &Request) -> Response {
        let (path, _) = request.route();
        match (request.method.as_str(), path.as_slice()) {
            ("POST", ["charges"]) => self.charge(request),
            ("GET", ["charges", order]) => self.receipt(order, request),
            (method, _) => {
                self.context
                    .log
                    .warn("request refused", &[("method", &method), ("reason", &"no such route")]);
                Response::error(404, "no such route")
            }
        }
    }
}

impl Service for Payment {
    /// Loads rules that compare every pair of recent charges; or those that sort them first.
    fn set_fault(&self, on: bool) -> bool {
        self.pairwise.store(on, Ordering::Relaxed);
        let (version, strategy) = if on { (42, "pairwise") } else { (43, "sorted") };
        self.context.log.info("fraud rules reloaded", &[("version", &version), ("strategy", &strategy)]);
        true
    }

    fn facts(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("charges", self.charges.load(Ordering::Relaxed)),
            ("declined", self.declined.load(Ordering::Relaxed)),
            ("pairs_compared", self.pairs_compared.load(Ordering::Relaxed)),
        ]
    }
}

/// The digits of `acc-00042`; zero where there are none.
fn number_of(account: &str) -> u32 {
    account.rsplit('-').next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// Work as a signature costs it: a chain of rounds none of which can be skipped. Signs nothing for real.
#[inline(never)]
fn sign(parts: &[&str], amount: u32) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes());
    let mut state = bytes.fold(u64::from(amount), |state, byte| mix(state ^ u64::from(byte)));
    for round in 0..SIGNATURE_ROUNDS {
        state = mix(state ^ u64::from(round));
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_hangs_on_every_part() {
        let signature = sign(&["ord-1", "acc-1"], 5);
        assert_eq!(signature, sign(&["ord-1", "acc-1"], 5));
        assert_ne!(signature, sign(&["ord-2", "acc-1"], 5));
        assert_ne!(signature, sign(&["ord-1", "acc-1"], 6));
        assert_eq!((number_of("acc-00042"), number_of("x")), (42, 0));
    }
}
