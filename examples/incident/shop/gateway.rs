//! The way in: sessions checked, requests passed on to `order`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::context::{Context, Millis, Service, bad_gateway, trace_of};
use super::http::client::Call;
use super::http::server::Handler;
use super::http::{Request, Response, form_field};
use super::random::mix;
use super::role::Role;

/// Rounds that checking a session takes.
const SESSION_ROUNDS: u32 = 20_000;
/// A request that takes longer is worth a warning.
const SLOW_REQUEST: Duration = Duration::from_millis(25);
/// Requests between two lines about how many there were.
const REQUESTS_A_LINE: u64 = 1_000;

/// The service `gateway`.
#[derive(Debug)]
pub(crate) struct Gateway {
    context: Arc<Context>,
    requests: AtomicU64,
    slow: AtomicU64,
}

impl Gateway {
    /// A gateway that keeps nothing between requests.
    pub(crate) fn new(context: Arc<Context>) -> Self {
        context.log.info("session keys loaded", &[("keys", &2), ("rounds", &SESSION_ROUNDS)]);
        Self { context, requests: AtomicU64::new(0), slow: AtomicU64::new(0) }
    }

    #[inline(never)]
    fn forward(&self, request: &Request, route: &str, session: &str) -> Response {
        let start = Instant::now();
        let log = &self.context.log;
        let key = session_key(session, self.context.seed);
        log.debug("session checked", &[("session", &session), ("key", &format_args!("{key:04x}"))]);
        let body = std::str::from_utf8(&request.body).unwrap_or_default();
        let (method, target) = (request.method.as_str(), request.target.as_str());
        let traceparent = request.traceparent.as_deref();
        let answer = self.context.call(Role::Order, &Call { method, target, traceparent, body });
        let response = match &answer {
            Ok(response) if response.status < 500 => response.clone(),
            _ => bad_gateway(&answer),
        };
        self.note(request, route, response.status, start.elapsed());
        response
    }

    fn note(&self, request: &Request, route: &str, status: u16, took: Duration) {
        let (log, trace, method) = (&self.context.log, trace_of(request), &request.method);
        let (slow, took) = (took > SLOW_REQUEST, Millis(took));
        if status >= 500 {
            log.error("request failed", &[("route", &route), ("status", &status), ("trace_id", &trace)]);
        } else if status >= 400 {
            log.info("request refused", &[("route", &route), ("status", &status), ("trace_id", &trace)]);
        } else {
            log.info(
                "request completed",
                &[
                    ("method", method),
                    ("route", &route),
                    ("status", &status),
                    ("took_ms", &took),
                    ("trace_id", &trace),
                ],
            );
        }
        if slow {
            self.slow.fetch_add(1, Ordering::Relaxed);
            log.warn("slow request", &[("route", &route), ("took_ms", &took), ("trace_id", &trace)]);
        }
        let requests = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        if requests.is_multiple_of(REQUESTS_A_LINE) {
            log.info("requests so far", &[("count", &requests)]);
        }
    }
}

impl Handler for Gateway {
    fn handle(&self, request: &Request) -> Response {
        let (path, query) = request.route();
        let session = form_field(query, "session").unwrap_or("anonymous");
        match (request.method.as_str(), path.as_slice()) {
            ("GET", ["product", _]) => self.forward(request, "/product/{id}", session),
            ("POST", ["checkout"]) => self.forward(request, "/checkout", session),
            ("GET", ["orders", _]) => self.forward(request, "/orders/{id}", session),
            (method, _) => {
                self.context.log.warn("no such route", &[("method", &method)]);
                Response::error(404, "no such route")
            }
        }
    }
}

impl Service for Gateway {
    fn facts(&self) -> Vec<(&'static str, u64)> {
        vec![("slow_requests", self.slow.load(Ordering::Relaxed))]
    }
}

/// Which key a session was signed with: a chain of rounds none of which can be skipped.
#[inline(never)]
fn session_key(session: &str, seed: u64) -> u64 {
    let start = session.bytes().fold(seed, |state, byte| mix(state ^ u64::from(byte)));
    (0..SESSION_ROUNDS).fold(start, |state, round| mix(state ^ u64::from(round))) >> 48
}
