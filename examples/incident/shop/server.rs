//! The accept loop: a thread a connection, and a bound on both.

use std::io::{ErrorKind, Read as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use otlp_core::Error;

use super::context::Context;

/// Most connections of one service at a time; more are closed at once and counted.
const MAX_CONNECTIONS: usize = 256;
/// Room for the deepest handler, and for the signal handler that samples its stack.
const STACK_BYTES: usize = 1 << 20;
/// How long a peer may take to make room for a response.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes asked for at a time.
pub(crate) const READ_BYTES: usize = 8 << 10;

/// Serves `listener` on threads of its own until the process ends; `serve` runs one connection to its end.
///
/// # Errors
/// No thread could be started.
pub(crate) fn accept<F>(listener: TcpListener, context: Arc<Context>, serve: F) -> Result<(), Error>
where
    F: Fn(TcpStream) + Send + Sync + 'static,
{
    let serve = Arc::new(serve);
    let open = Arc::new(AtomicUsize::new(0));
    let accept = move || {
        for stream in listener.incoming() {
            // A connection that was reset before it was accepted is nobody's request.
            let Ok(stream) = stream else { continue };
            let (serve, place) = (Arc::clone(&serve), Place::take(&open));
            let started = place.map(|place| {
                spawn("connection", move || {
                    let _place = place;
                    if prepare(&stream).is_ok() {
                        serve(stream);
                    }
                })
            });
            if !matches!(started, Some(Ok(()))) {
                context.counters.refused_connection();
                context.log.warn("connection refused", &[("max_connections", &MAX_CONNECTIONS)]);
            }
        }
    };
    spawn("accept", accept)
}

/// Reads what is there into `bytes`; zero at the end of the stream.
pub(crate) fn read(mut stream: &TcpStream, bytes: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match stream.read(bytes) {
            // The sampling signal lands anywhere.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// One of the places for connections, free again when dropped.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(open: &Arc<AtomicUsize>) -> Option<Self> {
        let place = Self(Arc::clone(open));
        (open.fetch_add(1, Ordering::AcqRel) < MAX_CONNECTIONS).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))
}

/// Starts a named thread that nobody joins: it ends with the process.
pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let builder = std::thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES);
    let failed = |source| Error::new(otlp_core::ErrorKind::Io, "thread: cannot start").with_source(source);
    builder.spawn(run).map(drop).map_err(failed)
}
