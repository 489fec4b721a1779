//! Waiting for what becomes of one request.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::{Client, Queued};
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::export::{Counters, DropReason, Exporter, RequestId, Verdict};

impl Client {
    /// Hands in a request and waits for what becomes of it: exported, in part or wholly, rejected, or dropped.
    /// Never [`Verdict::Retry`] or [`Verdict::Stale`].
    ///
    /// Needs no runtime to be awaited in. Cancelled, the request goes on and is counted as ever. Where requests
    /// are dropped for several reasons at one instant, the reason given may be that of another one.
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    /// # runtime.block_on(async {
    /// use otlp_core::protocol::Signal;
    /// use otlp_core::protocol::export::{Request, Verdict};
    /// use otlp_core::transport::client::ClientConfig;
    /// use otlp_core::transport::receiver::{Answer, Receiver, ReceiverLimits};
    ///
    /// let limits = ReceiverLimits::default();
    /// let receiver = Receiver::start("127.0.0.1:0", limits, |_, _: &[u8]| Answer::accepted(3))?;
    /// let (client, driver) = ClientConfig::new(format!("http://{}", receiver.local_addr())).build()?;
    /// let running = tokio::spawn(driver.run());
    /// let verdict = client.deliver(Request::new(Signal::Traces, b"...".as_slice().into(), 3)).await?;
    /// assert_eq!(verdict, Verdict::Exported { records: 3 });
    /// # client.shutdown(std::time::Duration::from_secs(1)).await;
    /// # running.await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`submit`](Self::submit), at once; and [`ErrorKind::Closed`] where the driver ended before the request
    /// did, which leaves it queued.
    pub async fn deliver(&self, request: Queued) -> Result<Verdict> {
        self.begin_delivery(request)?.verdict().await
    }

    /// Hands in a request whose end can be waited for.
    pub(crate) fn begin_delivery(&self, request: Queued) -> Result<Delivery> {
        let (tell, told) = oneshot::channel();
        // Whoever waited may have gone.
        self.submit_telling(request, |verdict| drop(tell.send(verdict)))?;
        Ok(Delivery { told })
    }

    /// As [`submit`](Self::submit); `tell` is called once with what became of the request, by whichever thread finds
    /// out, unless the driver ends before. It must not block or call the client.
    pub(crate) fn submit_telling(
        &self,
        request: Queued,
        tell: impl FnOnce(Verdict) + Send + 'static,
    ) -> Result<RequestId> {
        let (records, tell) = (request.records, Box::new(tell));
        self.hand_in(request, |id| self.shared.waiters.add(Waiter { id, records, tell }))
    }

    /// How long a request is kept at most.
    #[cfg(feature = "otel")]
    pub(crate) fn max_elapsed(&self) -> std::time::Duration {
        self.shared.lock().config().bounds().elapsed
    }
}

/// A request that was handed in.
pub(crate) struct Delivery {
    told: oneshot::Receiver<Verdict>,
}

impl Delivery {
    pub(crate) async fn verdict(self) -> Result<Verdict> {
        let ended = || Error::new(ErrorKind::Closed, "delivery: the client's driver has ended");
        self.told.await.map_err(|_| ended())
    }
}

/// Who waits for the end of one request.
pub(super) struct Waiter {
    id: RequestId,
    records: u32,
    tell: Box<dyn FnOnce(Verdict) + Send>,
}

impl Waiter {
    pub(super) fn tell(self, verdict: Verdict) {
        (self.tell)(verdict);
    }
}

/// Who waits for the end of a request. As many as there are requests in the queue, at most.
#[derive(Default)]
pub(super) struct Waiters(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    list: Vec<Waiter>,
    /// Nobody will decide anything any more.
    is_closed: bool,
}

impl Waiters {
    /// To be called under the lock of the exporter that took the request, so that its end comes after.
    fn add(&self, waiter: Waiter) {
        let mut inner = self.lock();
        if !inner.is_closed {
            inner.list.push(waiter);
        }
    }

    /// Whoever waits for `request`, unless it is to be sent again. To be called under the lock of the exporter.
    pub(super) fn take(&self, request: RequestId, verdict: &Verdict) -> Option<Waiter> {
        if matches!(verdict, Verdict::Retry { .. } | Verdict::Stale) {
            return None;
        }
        let mut inner = self.lock();
        let place = inner.list.iter().position(|waiter| waiter.id == request)?;
        Some(inner.list.swap_remove(place))
    }

    /// Tells all whose requests were dropped since `before`, of which nobody reports a verdict.
    pub(super) fn tell_dropped(&self, exporter: &Exporter, before: &Counters) {
        let after = exporter.counters();
        let mut reasons = DropReason::ALL.into_iter();
        let Some(reason) = reasons.find(|reason| after.dropped(*reason) > before.dropped(*reason)) else {
            return;
        };
        let gone = self.lock().list.extract_if(.., |waiter| !exporter.holds(waiter.id)).collect::<Vec<_>>();
        for Waiter { records, tell, .. } in gone {
            tell(Verdict::Dropped { records, reason });
        }
    }

    /// The driver has ended: nobody is to wait in vain.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.is_closed = true;
        inner.list.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::protocol::Signal;
    use crate::protocol::export::{Command, Outcome};
    use crate::transport::client::ClientConfig;

    #[test]
    fn a_request_that_is_exported_while_another_is_dropped_is_told_as_exported() {
        let (client, _driver) = ClientConfig::new("http://127.0.0.1:9").build().expect("valid");
        let begin = || client.begin_delivery(Queued::new(Signal::Logs, vec![1].into(), 1)).expect("room");
        let (first, second) = (begin(), begin());
        let Command::Send(outgoing) = client.shared.poll() else { panic!("nothing to send") };
        let (verdict, waiter) = client.shared.settle(outgoing.attempt, Outcome::Accepted);
        // Another thread drops the second before this one tells of the first.
        let deadline = client.shared.begin_shutdown(Duration::ZERO);
        client.shared.end_shutdown(deadline);
        waiter.expect("it is waited for").tell(verdict);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let told = |delivery: Delivery| runtime.block_on(delivery.verdict()).expect("told");
        assert_eq!(told(first), Verdict::Exported { records: 1 });
        assert_eq!(told(second), Verdict::Dropped { records: 1, reason: DropReason::Shutdown });
    }
}
