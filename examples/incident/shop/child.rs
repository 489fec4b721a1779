//! One service as a process of its own: the side of the child.

use std::io::{BufRead as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use otlp_core::time::{Clock as _, SystemClock};
use otlp_core::{Error, ErrorKind};

use super::cache::Cache;
use super::context::{Context, Service};
use super::control::{Answer, Order, Settings};
use super::counter::Counts;
use super::db::Db;
use super::gateway::Gateway;
use super::grpc::server::{self as grpc, Methods};
use super::http::server::{self as http, Handler};
use super::inventory::Inventory;
use super::log::Log;
use super::order::Order as OrderService;
use super::payment::Payment;
use super::profile::Sampler;
use super::resp::server as resp;
use super::role::Role;
use super::server::accept;
use super::sql::server as sql;

/// How long requests in flight may take when the child is asked what it served.
const DRAIN: Duration = Duration::from_secs(3);

/// A running service.
struct Child {
    context: Arc<Context>,
    service: Arc<dyn Service>,
    sampler: Option<Sampler>,
    port: u16,
}

/// Runs the service until it is told to stop or its standard input closes.
///
/// The main thread does nothing but wait on standard input, so that the process ends with its parent, however
/// that one ends.
pub(crate) fn run(role: Role) -> ExitCode {
    match obey(role) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut cause: Option<&dyn std::error::Error> = Some(&error);
            while let Some(error) = cause {
                eprintln!("{role}: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn obey(role: Role) -> Result<(), Error> {
    let mut child: Option<Child> = None;
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return Ok(()) };
        let order: Order = line.parse()?;
        let last = order == Order::Stop;
        let answer = match (order, &mut child) {
            (Order::Start(settings), child @ None) => {
                let started = child.insert(Child::start(role, &settings)?);
                Answer::Ready(started.port)
            }
            (Order::Start(_), Some(_)) => Answer::Refused("started already".to_owned()),
            (_, None) => Answer::Refused("not started".to_owned()),
            (order, Some(child)) => child.obey(&order),
        };
        // A parent that does not listen any more is gone.
        if writeln!(std::io::stdout(), "{answer}").is_err() || last {
            break;
        }
    }
    Ok(())
}

impl Child {
    fn start(role: Role, settings: &Settings) -> Result<Self, Error> {
        let log = Log::create(&settings.out.join("logs").join(format!("{role}.log")), role)?;
        let context = Arc::new(Context::new(role, settings.seed, log));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, settings.port)).and_then(|listener| {
            let port = listener.local_addr()?.port();
            Ok((listener, port))
        });
        let (listener, port) = listener
            .map_err(|source| Error::new(ErrorKind::Io, "cannot listen on loopback").with_source(source))?;
        let service = serve(role, &context, listener)?;
        let sampler = if settings.profile.hertz > 0 {
            Some(Sampler::start(settings.profile, role, &settings.out.join("profiles"))?)
        } else {
            None
        };
        context.log.info("listening", &[("port", &port), ("pid", &std::process::id())]);
        Ok(Self { context, service, sampler, port })
    }

    fn obey(&self, order: &Order) -> Answer {
        match order {
            Order::Start(_) => Answer::Refused("started already".to_owned()),
            Order::Peer(role, address) => match self.context.connect(*role, *address) {
                Ok(()) => Answer::Done,
                Err(error) => Answer::Refused(error.to_string()),
            },
            Order::Fault(on) => self.set_fault(*on),
            Order::Count => Answer::Counts(Box::new(self.counts())),
            Order::Stop => self.stop(),
        }
    }

    /// The time is taken before anything changes: no effect of the fault is older than it.
    fn set_fault(&self, on: bool) -> Answer {
        if let Some(sampler) = &self.sampler {
            sampler.cut(on);
        }
        let since = SystemClock.now();
        if self.service.set_fault(on) {
            Answer::Since(since)
        } else {
            Answer::Refused(format!("{} has nothing that breaks", self.context.role))
        }
    }

    fn counts(&self) -> Counts {
        let mut counts = self.context.counters.drained(DRAIN);
        counts.facts =
            self.service.facts().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        counts
    }

    fn stop(&self) -> Answer {
        let counts = self.counts();
        if let Some(sampler) = &self.sampler {
            sampler.end();
        }
        self.context.log.info("stopped", &[("served", &counts.served()), ("in_flight", &counts.in_flight)]);
        Answer::Counts(Box::new(counts))
    }
}

/// Makes the service and lets it answer on `listener`.
fn serve(role: Role, context: &Arc<Context>, listener: TcpListener) -> Result<Arc<dyn Service>, Error> {
    let own = Arc::clone(context);
    match role {
        Role::Gateway => serve_http(Gateway::new(own), context, listener),
        Role::Order => serve_http(OrderService::new(own), context, listener),
        Role::Inventory => serve_http(Inventory::new(own), context, listener),
        Role::Payment => {
            let payment = Arc::new(Payment::new(own));
            let (methods, served) = (Arc::clone(&payment) as Arc<dyn Methods>, Arc::clone(context));
            accept(listener, Arc::clone(context), move |stream| {
                grpc::serve_connection(stream, &methods, &served);
            })?;
            Ok(payment)
        }
        Role::Db => {
            let db = Arc::new(Db::new(own));
            let (engine, served) = (Arc::clone(&db), Arc::clone(context));
            accept(listener, Arc::clone(context), move |stream| {
                sql::serve_connection(&stream, &*engine, &served.counters);
            })?;
            Ok(db)
        }
        Role::Cache => {
            let cache = Arc::new(Cache::new(own));
            let (commands, served) = (Arc::clone(&cache), Arc::clone(context));
            accept(listener, Arc::clone(context), move |stream| {
                resp::serve_connection(&stream, &*commands, &served.counters);
            })?;
            Ok(cache)
        }
    }
}

fn serve_http<S>(service: S, context: &Arc<Context>, listener: TcpListener) -> Result<Arc<dyn Service>, Error>
where
    S: Service + Handler + 'static,
{
    let service = Arc::new(service);
    let (handler, served) = (Arc::clone(&service), Arc::clone(context));
    accept(listener, Arc::clone(context), move |stream| {
        http::serve_connection(&stream, &*handler, &served.counters);
    })?;
    Ok(service)
}
