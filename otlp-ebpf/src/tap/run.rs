//! Accepting, connecting, and stopping.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use otlp_core::UnixNanos;
use otlp_core::sink::Sink;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::relay::{self, Relay};
use super::{TapConfig, TapStats, TappedSpan};
use crate::account::Account;
use crate::service::Service;
use crate::span::Ends;
use crate::watch::Watcher;

/// What the tasks of a tap share.
pub(super) struct Shared {
    pub(super) config: TapConfig,
    sink: Arc<dyn Sink<TappedSpan>>,
    stats: Mutex<TapStats>,
}

/// Tells until when connections may go on, once the tap stops.
pub(super) type Stop = watch::Receiver<Option<Instant>>;

/// How long accepting pauses after it failed; descriptors may come free meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

impl Shared {
    pub(super) fn new(config: TapConfig, sink: Arc<dyn Sink<TappedSpan>>) -> Self {
        Self { config, sink, stats: Mutex::default() }
    }

    pub(super) fn stats(&self) -> TapStats {
        *self.lock()
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut TapStats)) {
        change(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, TapStats> {
        // Plain additions are all that happens under the lock.
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watcher for Shared {
    fn now(&self) -> UnixNanos {
        self.config.clock.now()
    }

    fn service(&self) -> &Arc<Service> {
        &self.config.service
    }

    fn sink(&self) -> &dyn Sink<TappedSpan> {
        &*self.sink
    }

    fn count(&self, account: Account, before: Account) {
        self.count(|stats| {
            stats.account += account;
            stats.account -= before;
        });
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("config", &self.config)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// Runs the tap until it is told to stop, and has.
pub(super) async fn run(listener: std::net::TcpListener, shared: Arc<Shared>, mut stop: Stop) {
    let Ok(listener) = TcpListener::from_std(listener) else {
        shared.count(|stats| stats.accept_errors += 1);
        return;
    };
    let mut tasks = JoinSet::new();
    while let Some(accepted) = accept(&listener, &mut tasks, &mut stop).await {
        match accepted {
            Ok((client, address)) => {
                if let Some(open) = Open::admit(&shared) {
                    tasks.spawn(serve(open, client, address, stop.clone()));
                }
            }
            Err(_) => {
                shared.count(|stats| stats.accept_errors += 1);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let until = stop.borrow().unwrap_or_else(Instant::now);
    let all = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout_at(until.into(), all).await.is_err() {
        tasks.shutdown().await;
    }
}

/// Waits for a client; `None` when the tap is to stop. Cleans up after tasks that have ended meanwhile.
async fn accept(
    listener: &TcpListener,
    tasks: &mut JoinSet<()>,
    stop: &mut Stop,
) -> Option<std::io::Result<(TcpStream, SocketAddr)>> {
    let mut stopping = pin!(stop.wait_for(Option::is_some));
    poll_fn(|cx| {
        if stopping.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        while let Poll::Ready(Some(_)) = tasks.poll_join_next(cx) {}
        listener.poll_accept(cx).map(Some)
    })
    .await
}

/// A connection that is counted as open; what becomes of it is counted when it ends.
pub(super) struct Open {
    pub(super) shared: Arc<Shared>,
    pub(super) end: End,
}

/// What became of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Closed,
    Reset,
    Unreachable,
    CutOff,
}

impl Open {
    fn admit(shared: &Arc<Shared>) -> Option<Self> {
        let max = u64::try_from(shared.config.max_connections).unwrap_or(u64::MAX);
        let mut admitted = false;
        shared.count(|stats| {
            stats.accepted += 1;
            admitted = stats.open < max;
            *(if admitted { &mut stats.open } else { &mut stats.over_limit }) += 1;
        });
        admitted.then(|| Self { shared: Arc::clone(shared), end: End::CutOff })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let end = self.end;
        self.shared.count(|stats| {
            stats.open -= 1;
            let count = match end {
                End::Closed => &mut stats.closed,
                End::Reset => &mut stats.reset,
                End::Unreachable => &mut stats.unreachable,
                End::CutOff => &mut stats.cut_off,
            };
            *count += 1;
        });
    }
}

/// Serves one connection to its end.
async fn serve(mut open: Open, client: TcpStream, address: SocketAddr, stop: Stop) {
    let shared = Arc::clone(&open.shared);
    let local = client.local_addr().unwrap_or(shared.config.listen);
    // Looked for while the service is being connected; both are waited for before the first byte is read.
    let caller = shared
        .config
        .callers
        .clone()
        .map(|callers| tokio::task::spawn_blocking(move || callers.resolve(address, local)));
    let connecting = TcpStream::connect(shared.config.upstream);
    let Ok(Ok(server)) = tokio::time::timeout(shared.config.connect_timeout, connecting).await else {
        open.end = End::Unreachable;
        return;
    };
    let mut ends = Ends::new(address, shared.config.upstream);
    if let Some(caller) = caller {
        ends.caller = caller.await.ok().flatten();
        let found = ends.caller.is_some();
        shared
            .count(|stats| *(if found { &mut stats.callers_found } else { &mut stats.callers_unknown }) += 1);
    }
    // Small messages must not wait for acknowledgements; where it cannot be set they are only slower.
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let mut relay = Relay::new(open, client, server, ends);
    relay::run(&mut relay, stop).await;
}
