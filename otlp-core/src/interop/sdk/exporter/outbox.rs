//! What the three exporters have in common: a client, and room to encode in that is kept.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};

use crate::error::{Error, ErrorKind, Result};
use crate::protocol::Signal;
use crate::protocol::export::{DropReason, Request, Verdict};
use crate::protocol::status::Code;
use crate::record::ExportResponse;
use crate::transport::blocking;
use crate::transport::client::deliver::Delivery;
use crate::transport::client::{Client, ClientConfig};
#[cfg(feature = "store")]
use crate::transport::durable;
use crate::wire::Writer;

/// Room above this is given back unless the largest of the last batches fills a quarter of it.
const KEPT_BYTES: usize = 64 << 10;

pub(super) struct Outbox<E> {
    route: Route,
    signal: Signal,
    /// How long an export can take, and so a flush.
    longest: Duration,
    kept: Mutex<Kept<E>>,
    is_shut_down: AtomicBool,
}

/// Where batches go.
enum Route {
    Direct(blocking::Client),
    /// To the disk, and from there by a client that is not the exporter's own.
    #[cfg(feature = "store")]
    Durable(Arc<durable::Client>),
}

struct Kept<E> {
    encoder: E,
    writer: Writer,
    /// Bytes of the largest of the last batches; forgotten by and by.
    usual: usize,
}

/// A batch on its way.
pub(super) enum Sending {
    /// There was nothing to send, or no way to.
    Done(OTelSdkResult),
    Begun {
        delivery: Delivery,
        room: Arc<Writer>,
        records: u32,
    },
    /// To the disk.
    #[cfg(feature = "store")]
    Keeping(durable::Pushing),
}

/// Lends the encoded request to the client for as long as any attempt needs it.
struct Lent(Arc<Writer>);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl<E> Outbox<E> {
    pub(super) fn start(config: ClientConfig, signal: Signal, encoder: E) -> Result<Self> {
        let client = blocking::Client::start(config)?;
        let longest = client.handle().max_elapsed();
        Ok(Self::new(Route::Direct(client), longest, signal, encoder))
    }

    #[cfg(feature = "store")]
    pub(super) fn durable(client: Arc<durable::Client>, signal: Signal, encoder: E) -> Self {
        Self::new(Route::Durable(client), Duration::ZERO, signal, encoder)
    }

    fn new(route: Route, longest: Duration, signal: Signal, encoder: E) -> Self {
        Self {
            route,
            signal,
            longest,
            kept: Mutex::new(Kept { encoder, writer: Writer::new(), usual: 0 }),
            is_shut_down: AtomicBool::new(false),
        }
    }

    pub(super) fn client(&self) -> &Client {
        match &self.route {
            Route::Direct(client) => client.handle(),
            #[cfg(feature = "store")]
            Route::Durable(client) => client.sending(),
        }
    }

    /// Encodes a batch of so many records and hands it to the client.
    pub(super) fn begin(&self, records: usize, encode: impl FnOnce(&mut E, &mut Writer)) -> Sending {
        if records == 0 {
            return Sending::Done(Ok(()));
        }
        // More than four thousand million records do not fit the most bytes of a request.
        let records = u32::try_from(records).unwrap_or(u32::MAX);
        let room = {
            let mut kept = self.lock();
            let Kept { encoder, writer, .. } = &mut *kept;
            encode(encoder, writer);
            Arc::new(mem::take(writer))
        };
        let body = Bytes::from_owner(Lent(Arc::clone(&room)));
        let request = Request::new(self.signal, body, records);
        let begun = match &self.route {
            Route::Direct(client) => client.handle().begin_delivery(request).map(|delivery| Sending::Begun {
                delivery,
                room: Arc::clone(&room),
                records,
            }),
            #[cfg(feature = "store")]
            Route::Durable(_) if self.is_shut_down.load(Ordering::Relaxed) => Err(shut_down()),
            // The queue keeps the bytes in memory until they are sent, so the room does not come back.
            #[cfg(feature = "store")]
            Route::Durable(client) => client.begin_push(request).map(Sending::Keeping),
        };
        begun.unwrap_or_else(|error| {
            self.take_back(room);
            Sending::Done(Err(failure(&error)))
        })
    }

    /// Waits for what becomes of it.
    pub(super) async fn finish(&self, sending: Sending) -> OTelSdkResult {
        let (delivery, room, records) = match sending {
            Sending::Done(result) => return result,
            Sending::Begun { delivery, room, records } => (delivery, room, records),
            #[cfg(feature = "store")]
            Sending::Keeping(pushing) => {
                return pushing.done().await.map(drop).map_err(|error| failure(&error));
            }
        };
        let verdict = delivery.verdict().await;
        self.take_back(room);
        match verdict {
            Ok(verdict) => self.result(verdict, records),
            Err(error) => Err(failure(&error)),
        }
    }

    /// Waits for what other threads are exporting.
    pub(super) fn flush(&self) -> OTelSdkResult {
        match &self.route {
            Route::Direct(client) => {
                client.flush(self.longest).map_err(|_| OTelSdkError::Timeout(self.longest))
            }
            // What was exported is on the disk.
            #[cfg(feature = "store")]
            Route::Durable(_) => Ok(()),
        }
    }

    pub(super) fn shutdown(&self, timeout: Duration) -> OTelSdkResult {
        if self.is_shut_down.swap(true, Ordering::Relaxed) {
            return Err(OTelSdkError::AlreadyShutdown);
        }
        match &self.route {
            Route::Direct(client) if client.shutdown(timeout).dropped > 0 => {
                Err(OTelSdkError::Timeout(timeout))
            }
            _ => Ok(()),
        }
    }

    /// Keeps the room for the next batch, where nobody else has it any more.
    fn take_back(&self, room: Arc<Writer>) {
        let Ok(mut writer) = Arc::try_unwrap(room) else { return };
        let mut kept = self.lock();
        kept.usual = writer.len().max(kept.usual - kept.usual / 8);
        writer.clear();
        if writer.capacity() <= KEPT_BYTES.max(kept.usual.saturating_mul(4)) {
            kept.writer = writer;
        }
    }

    fn result(&self, verdict: Verdict, records: u32) -> OTelSdkResult {
        match verdict {
            Verdict::Exported { .. } => Ok(()),
            Verdict::Partial { response, .. } => self.partial(&response, records),
            Verdict::Rejected { code, message, .. } => Err(OTelSdkError::InternalFailure(match code {
                Code::Http(code) => format!("{records} records rejected with HTTP status {code}: {message}"),
                Code::Grpc(code) => format!("{records} records rejected with gRPC status {code}: {message}"),
            })),
            Verdict::Dropped { reason: DropReason::Expired | DropReason::Attempts, .. } => {
                Err(OTelSdkError::Timeout(self.longest))
            }
            Verdict::Dropped { reason: DropReason::Closed | DropReason::Shutdown, .. } => {
                Err(OTelSdkError::AlreadyShutdown)
            }
            Verdict::Dropped { reason, .. } => {
                Err(OTelSdkError::InternalFailure(format!("{records} records dropped: {reason}")))
            }
            // Not an end; the client waits for one.
            Verdict::Retry { .. } | Verdict::Stale => {
                Err(OTelSdkError::InternalFailure("no end of the request is known".into()))
            }
        }
    }

    fn partial(&self, response: &ExportResponse, records: u32) -> OTelSdkResult {
        let ExportResponse { rejected, message } = response;
        #[cfg(feature = "tracing")]
        tracing::warn!(
            target: "otlp_core::interop::sdk::exporter",
            signal = %self.signal,
            records,
            rejected,
            message,
            "partial success"
        );
        if *rejected == 0 {
            return Ok(());
        }
        let signal = self.signal;
        let told = format!("partial success: {rejected} of {records} records ({signal}) rejected: {message}");
        Err(OTelSdkError::InternalFailure(told))
    }

    fn lock(&self) -> MutexGuard<'_, Kept<E>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(feature = "store")]
fn shut_down() -> Error {
    Error::new(ErrorKind::Closed, "exporter: shut down")
}

/// Why a batch did not get as far as the queue.
fn failure(error: &Error) -> OTelSdkError {
    match error.kind() {
        ErrorKind::Closed => OTelSdkError::AlreadyShutdown,
        _ => OTelSdkError::InternalFailure(error.to_string()),
    }
}
