//! The load: requests at seeded moments, whether or not the shop keeps up, within a bound.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use otlp_core::time::{Clock as _, SystemClock};
use otlp_core::{Error, ErrorKind, SpanId, TraceId, UnixNanos};

use crate::shop::http::client::{self, Call};
use crate::shop::pool::Pool;
use crate::shop::random::{Random, Zipf};
use crate::shop::{self, ACCOUNTS, PAST_ORDERS, PRODUCTS};

/// Most requests outstanding; what is due above it is shed and counted.
const MAX_OUTSTANDING: usize = 64;
/// Most exchanges kept for the report; more are counted only.
const MAX_EXCHANGES: usize = 2_000_000;

/// What is asked of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Route {
    /// `GET /product/{id}`: 45 of 100.
    Product,
    /// `POST /checkout`: 30 of 100.
    Checkout,
    /// `GET /orders/{id}`: 25 of 100.
    Order,
}

/// How the load runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoadConfig {
    /// Where the gateway is reached.
    pub(crate) target: SocketAddr,
    /// Mean of exponentially distributed arrivals.
    pub(crate) rate_per_sec: f64,
    /// What moments, routes, products and trace ids follow from.
    pub(crate) seed: u64,
}

/// One request, as the one who sent it saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exchange {
    /// What was asked.
    pub(crate) route: Route,
    /// The trace it was sent under.
    pub(crate) trace_id: TraceId,
    /// When it was due.
    pub(crate) due: UnixNanos,
    /// When it was sent.
    pub(crate) sent: UnixNanos,
    /// From sending to the end of the answer, or to giving up.
    pub(crate) latency: Duration,
    /// Status of the answer; none where there was none.
    pub(crate) status: Option<u16>,
}

/// Where every request is: `due = shed + answered + failed + outstanding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Progress {
    /// Moments that came.
    pub(crate) due: u64,
    /// Not sent, for too many were outstanding.
    pub(crate) shed: u64,
    /// Answered, with whatever status.
    pub(crate) answered: u64,
    /// Sent, but not answered.
    pub(crate) failed: u64,
    /// Being waited for.
    pub(crate) outstanding: u64,
}

/// All that the load did.
#[derive(Debug, Clone, Default)]
pub(crate) struct LoadReport {
    /// The account; nothing is outstanding any more.
    pub(crate) progress: Progress,
    /// The requests that were sent, in the order of their answers.
    pub(crate) exchanges: Vec<Exchange>,
    /// Exchanges that were not kept.
    pub(crate) not_kept: u64,
}

/// A running load. Dropping it stops sending, but does not wait.
#[derive(Debug)]
#[must_use]
pub(crate) struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    pool: Pool,
    state: Mutex<State>,
    /// Told of every answer and of the end.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    stop: bool,
    report: LoadReport,
}

/// One request to be sent.
struct Job {
    route: Route,
    target: String,
    body: String,
    trace_id: TraceId,
    parent: SpanId,
    due: UnixNanos,
}

/// Draws jobs, one after the other, from the seed.
struct Plan {
    random: Random,
    products: Zipf,
    mean_gap: f64,
}

impl Route {
    /// The route as the gateway names it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Product => "GET /product/{id}",
            Self::Checkout => "POST /checkout",
            Self::Order => "GET /orders/{id}",
        }
    }

    const fn method(self) -> &'static str {
        match self {
            Self::Checkout => "POST",
            Self::Product | Self::Order => "GET",
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl LoadReport {
    /// Answers by status.
    pub(crate) fn by_status(&self) -> BTreeMap<u16, u64> {
        let mut by_status = BTreeMap::new();
        for status in self.exchanges.iter().filter_map(|exchange| exchange.status) {
            *by_status.entry(status).or_default() += 1;
        }
        by_status
    }

    /// The latency that a share `quantile` of the answers to what was sent in `from..to` did not exceed.
    pub(crate) fn latency(&self, quantile: f64, from: UnixNanos, to: UnixNanos) -> Option<Duration> {
        let during = self.exchanges.iter().filter(|exchange| (from..to).contains(&exchange.sent));
        let mut latencies: Vec<Duration> = during.map(|exchange| exchange.latency).collect();
        latencies.sort_unstable();
        let last = latencies.len().checked_sub(1)?;
        let places = (0..=last).find(|place| (*place + 1) as f64 >= quantile * latencies.len() as f64);
        latencies.get(places.unwrap_or(last)).copied()
    }
}

impl Load {
    /// Begins to send.
    ///
    /// # Errors
    /// The rate is not above zero, or threads cannot be started.
    pub(crate) fn start(config: &LoadConfig) -> Result<Self, Error> {
        if !(config.rate_per_sec.is_finite() && config.rate_per_sec > 0.0) {
            return Err(Error::new(ErrorKind::Config, "rate: expected requests per second above zero"));
        }
        let pool = Pool::new("gateway");
        pool.set_address(config.target);
        let shared = Arc::new(Shared { pool, state: Mutex::default(), changed: Condvar::new() });
        let mut load = Self { shared: Arc::clone(&shared), threads: Vec::new() };
        let (jobs, received) = channel();
        let received = Arc::new(Mutex::new(received));
        for _ in 0..MAX_OUTSTANDING {
            let (shared, received) = (Arc::clone(&shared), Arc::clone(&received));
            load.spawn("load worker", move || work(&shared, &received))?;
        }
        let plan = Plan::new(config);
        load.spawn("load", move || dispatch(&shared, plan, &jobs))?;
        Ok(load)
    }

    /// Where every request is right now.
    pub(crate) fn progress(&self) -> Progress {
        self.shared.lock().report.progress
    }

    /// Stops sending, waits for what is outstanding (each at most ten seconds), and hands back all.
    ///
    /// # Errors
    /// A thread of the load panicked.
    pub(crate) fn stop(mut self) -> Result<LoadReport, Error> {
        self.shared.stop();
        for thread in self.threads.drain(..) {
            thread.join().map_err(|_| Error::new(ErrorKind::Closed, "load: a thread panicked"))?;
        }
        Ok(std::mem::take(&mut self.shared.lock().report))
    }

    /// Waits until `reached` holds, which it must within a minute.
    #[cfg(test)]
    pub(crate) fn wait_for(&self, reached: impl Fn(Progress) -> bool) -> Progress {
        let (guard, patience) = (self.shared.lock(), Duration::from_secs(60));
        let unmet = |state: &mut State| !reached(state.report.progress);
        let (state, waited) = self.shared.changed.wait_timeout_while(guard, patience, unmet).unwrap();
        assert!(!waited.timed_out(), "{:?}", state.report.progress);
        state.report.progress
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        let thread = std::thread::Builder::new().name(name.to_owned()).stack_size(256 << 10).spawn(run);
        let thread = thread
            .map_err(|source| Error::new(ErrorKind::Io, "load: cannot start a thread").with_source(source))?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Whoever panicked while holding the lock left whole numbers behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        self.lock().stop = true;
        self.changed.notify_all();
    }

    /// Waits until `moment`; false where the load was stopped before.
    fn wait_until(&self, moment: Instant) -> bool {
        let left = moment.saturating_duration_since(Instant::now());
        let waited = self.changed.wait_timeout_while(self.lock(), left, |state| !state.stop);
        !waited.unwrap_or_else(PoisonError::into_inner).0.stop
    }

    /// Notes that a request is due; false where it is shed.
    fn admit(&self) -> bool {
        let progress = &mut self.lock().report.progress;
        progress.due += 1;
        let admitted = progress.outstanding < MAX_OUTSTANDING as u64;
        *(if admitted { &mut progress.outstanding } else { &mut progress.shed }) += 1;
        if !admitted {
            self.changed.notify_all();
        }
        admitted
    }

    fn note(&self, exchange: Exchange) {
        let report = &mut self.lock().report;
        report.progress.outstanding -= 1;
        let answered = exchange.status.is_some();
        *(if answered { &mut report.progress.answered } else { &mut report.progress.failed }) += 1;
        if report.exchanges.len() < MAX_EXCHANGES {
            report.exchanges.push(exchange);
        } else {
            report.not_kept += 1;
        }
        self.changed.notify_all();
    }
}

impl Plan {
    fn new(config: &LoadConfig) -> Self {
        let random = Random::new(config.seed, 4);
        Self { random, products: Zipf::new(PRODUCTS), mean_gap: 1.0 / config.rate_per_sec }
    }

    /// Seconds until the next request.
    fn gap(&mut self) -> f64 {
        self.random.exponential(self.mean_gap)
    }

    fn job(&mut self, due: UnixNanos) -> Job {
        let random = &mut self.random;
        let route = match random.below(100) {
            0..45 => Route::Product,
            45..75 => Route::Checkout,
            _ => Route::Order,
        };
        let account = shop::account(random.below(ACCOUNTS));
        let product = shop::sku(self.products.draw(random));
        let (path, body) = match route {
            Route::Product => (format!("/product/{product}"), String::new()),
            Route::Checkout => {
                let qty = 1 + random.below(3);
                ("/checkout".to_owned(), format!("sku={product}&qty={qty}&account={account}"))
            }
            // Three in a thousand ask for what never was.
            Route::Order => {
                let order = shop::order_name(random.below(PAST_ORDERS));
                let order = if random.below(1_000) < 3 { order.replace("ord-0", "ord-9") } else { order };
                (format!("/orders/{order}"), String::new())
            }
        };
        let mut id = [0; 16];
        id[..8].copy_from_slice(&random.bits().to_be_bytes());
        id[8..].copy_from_slice(&random.bits().to_be_bytes());
        let (trace_id, parent) = (TraceId::new(id), SpanId::new(random.bits().to_be_bytes()));
        Job { route, target: format!("{path}?session={account}"), body, trace_id, parent, due }
    }
}

fn dispatch(shared: &Shared, mut plan: Plan, jobs: &Sender<Job>) {
    let (start, start_time) = (Instant::now(), SystemClock.now());
    let mut due = Duration::ZERO;
    loop {
        due += Duration::from_secs_f64(plan.gap());
        if !shared.wait_until(start + due) {
            return;
        }
        // Drawn even where it is shed, so that what follows does not hang on how fast the shop is.
        let job = plan.job(start_time + due);
        if shared.admit() && jobs.send(job).is_err() {
            return;
        }
    }
}

fn work(shared: &Shared, jobs: &Mutex<Receiver<Job>>) {
    loop {
        // Ends when the dispatcher is gone and the last job is taken.
        let Ok(job) = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv() else { return };
        let traceparent = format!("00-{}-{}-01", job.trace_id, job.parent);
        let method = job.route.method();
        let call = Call { method, target: &job.target, traceparent: Some(&traceparent), body: &job.body };
        let (sent, start) = (SystemClock.now(), Instant::now());
        let answer = client::send(&shared.pool, &call);
        let latency = start.elapsed();
        let status = answer.ok().map(|response| response.status);
        let Job { route, trace_id, due, .. } = job;
        shared.note(Exchange { route, trace_id, due, sent, latency, status });
    }
}

#[cfg(test)]
mod tests;
