//! Charging accounts over gRPC: velocity rules over recent charges, a signature, a record in the store.

pub(crate) mod api;
mod rules;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use api::{ChargeRequest, IssueRequest, Message, Receipt};
use rules::{Charge, Window};

use super::context::{Context, Millis, OneIn, Service, trace_id};
use super::grpc::server::{Call, Methods};
use super::grpc::{Code, Status};
use super::random::mix;
use super::sql::client::{Connection, Failure};

/// Rounds of the signature over a receipt.
const SIGNATURE_ROUNDS: u32 = 40_000;
/// A velocity check that takes longer is worth a warning.
const SLOW_CHECK: Duration = Duration::from_millis(2);
/// Equal charges to one account among the recent ones before another is declined.
const MAX_EQUAL_CHARGES: u64 = 5;
/// Charges between two lines about the window.
const CHARGES_A_WINDOW_LINE: u64 = 250;

const ACCOUNT: &str = "SELECT state, credit FROM accounts WHERE account = $1";
const RECORD: &str =
    "INSERT INTO charges (order_id, account, amount, signature, state) VALUES ($1, $2, $3, $4, 'settled')";
const CHARGED: &str = "SELECT account, amount FROM charges WHERE order_id = $1";
/// SQLSTATE of a statement that took too long, and of a row that is there already.
const TOO_LONG: &str = "57014";
const DUPLICATE: &str = "23505";

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
    code: Code,
    reason: &'static str,
}

impl From<Failure> for Declined {
    /// What the store did not do, the issuer cannot.
    fn from(failure: Failure) -> Self {
        let (code, reason) = match &failure {
            Failure::Refused(sqlstate) if sqlstate == TOO_LONG => (Code::DeadlineExceeded, "issuer_timeout"),
            Failure::Refused(sqlstate) if sqlstate == DUPLICATE => (Code::AlreadyExists, "charged_before"),
            Failure::Refused(_) | Failure::Unanswered(_) => (Code::Unavailable, "ledger_unavailable"),
        };
        Self { code, reason }
    }
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
    fn charge(&self, request: &ChargeRequest, trace: &str) -> Result<Receipt, Status> {
        let ChargeRequest { order, account, amount } = request;
        let log = &self.context.log;
        if order.is_empty() || account.is_empty() {
            log.warn("request refused", &[("method", &"Charge"), ("reason", &"missing field")]);
            return Err(Status::new(Code::InvalidArgument, "order and account are needed"));
        }
        match self.authorise(request, trace) {
            Ok(signature) => {
                let charges = self.charges.fetch_add(1, Ordering::Relaxed) + 1;
                if charges.is_multiple_of(CHARGES_A_WINDOW_LINE) {
                    log.info("velocity window rolled", &[("charges", &charges)]);
                }
                log.info(
                    "charge authorised",
                    &[("order", order), ("account", account), ("amount", amount), ("trace_id", &trace)],
                );
                Ok(Receipt { order: order.clone(), amount: *amount, signature })
            }
            Err(Declined { code, reason }) => {
                self.declined.fetch_add(1, Ordering::Relaxed);
                log.warn(
                    "charge declined",
                    &[("order", order), ("account", account), ("reason", &reason), ("trace_id", &trace)],
                );
                Err(Status::new(code, reason))
            }
        }
    }

    /// Checks account and velocity, signs and records, all in one transaction: the signature, or why not.
    fn authorise(&self, request: &ChargeRequest, trace: &str) -> Result<u64, Declined> {
        let ChargeRequest { order, account, amount } = request;
        let too_much = |_| Declined { code: Code::InvalidArgument, reason: "amount_out_of_range" };
        let cents = i32::try_from(*amount).map_err(too_much)?;
        Connection::take(&self.context, trace)?.transaction(|store| {
            self.check_account(account, *amount, store)?;
            if self.check_velocity(account, *amount) > MAX_EQUAL_CHARGES {
                return Err(Declined { code: Code::FailedPrecondition, reason: "velocity" });
            }
            let signature = sign(&[order, account], *amount);
            store.query(RECORD, &[order, account, &cents, &format!("{signature:016x}")])?;
            Ok(signature)
        })
    }

    fn check_account(&self, account: &str, amount: u32, store: &mut Connection<'_>) -> Result<(), Declined> {
        let declined = |reason| Declined { code: Code::FailedPrecondition, reason };
        let row = store.query(ACCOUNT, &[&account])?.ok_or_else(|| declined("account_unknown"))?;
        // Neither is null in any row of the store.
        let state: &str = row.try_get(0).unwrap_or_default();
        let credit: i32 = row.try_get(1).unwrap_or_default();
        self.context.log.debug("account loaded", &[("account", &account), ("credit", &credit)]);
        if state != "active" {
            return Err(declined("account_blocked"));
        }
        if i64::from(credit) * 100 < i64::from(amount) {
            return Err(declined("insufficient_funds"));
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
    fn issue(&self, request: &IssueRequest, trace: &str) -> Result<Receipt, Status> {
        let (order, log) = (&request.order, &self.context.log);
        let charged =
            Connection::take(&self.context, trace).and_then(|mut store| store.query(CHARGED, &[order]));
        match charged {
            Ok(Some(row)) => {
                let payer: &str = row.try_get(0).unwrap_or_default();
                let amount: i32 = row.try_get(1).unwrap_or_default();
                let amount = u32::try_from(amount).unwrap_or_default();
                let signature = sign(&[order, payer], amount);
                log.info("receipt issued", &[("order", order), ("trace_id", &trace)]);
                Ok(Receipt { order: order.clone(), amount, signature })
            }
            Ok(None) => {
                log.info("order was never charged", &[("order", order), ("trace_id", &trace)]);
                Err(Status::new(Code::NotFound, "no such charge"))
            }
            Err(failure) => {
                let Declined { code, reason } = failure.into();
                Err(Status::new(code, reason))
            }
        }
    }
}

impl Methods for Payment {
    #[inline(never)]
    fn call(&self, call: &Call) -> Result<Vec<u8>, Status> {
        let trace = trace_id(call.traceparent.as_deref());
        let unreadable = |_| Status::new(Code::InvalidArgument, "message is not that of the method");
        match call.method.as_str() {
            api::CHARGE => {
                let request = ChargeRequest::decode(&call.message).map_err(unreadable)?;
                self.charge(&request, trace).map(|receipt| receipt.encode())
            }
            api::ISSUE => {
                let request = IssueRequest::decode(&call.message).map_err(unreadable)?;
                self.issue(&request, trace).map(|receipt| receipt.encode())
            }
            _ => {
                self.context.log.warn("request refused", &[("reason", &"no such method")]);
                Err(Status::new(Code::Unimplemented, "no such method"))
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
