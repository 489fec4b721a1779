//! The processes that `compare -- transport` starts: one that receives, and one for each exporter.
//!
//! They are told on their standard input what to do, a line each, and answer with a line. The receiver is the compare
//! program itself; each exporter is a program of its own, as in an application that has chosen one of them.

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use otlp_core::protocol::Signal;
use otlp_core::transport::receiver::{Answer, Receiver, ReceiverLimits};
use otlp_core::view::TracesView;
use otlp_core::{DecodeError, Limits};

type Failure = Box<dyn Error>;

/// The area's name by which the program calls itself.
pub const AREA: &str = "__worker";

/// Receives until its input ends.
#[must_use]
pub fn run(args: &[String]) -> ExitCode {
    end(if args == ["receive"] { receive() } else { Err("unknown work".into()) })
}

/// How a worker that has done its work, or could not, ends.
#[expect(clippy::print_stderr, reason = "the report of a program")]
pub(super) fn end(done: Result<(), Failure>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("a worker: {error}");
            ExitCode::from(2)
        }
    }
}

#[expect(clippy::print_stdout, reason = "the answer to the parent")]
pub(super) fn answer(line: impl std::fmt::Display) -> io::Result<()> {
    println!("{line}");
    io::stdout().flush()
}

/// What has arrived, whoever sent it.
#[derive(Default)]
struct Arrived {
    spans: AtomicU64,
    checksum: AtomicU64,
}

impl Arrived {
    fn take(&self, body: &[u8]) -> Result<u64, DecodeError> {
        let (mut spans, mut checksum) = (0, 0_u64);
        for resource in TracesView::parse(body, &Limits::DEFAULT)?.resources() {
            for scope in resource?.scopes() {
                for span in scope?.spans() {
                    let span = span?;
                    spans += 1;
                    let texts =
                        (span.name().len() + span.attributes().count() + span.events().count()) as u64;
                    checksum = checksum
                        .wrapping_add(span.start().0)
                        .wrapping_add(span.end().0.rotate_left(7))
                        .wrapping_add(texts);
                }
            }
        }
        self.spans.fetch_add(spans, Ordering::Relaxed);
        self.checksum.fetch_add(checksum, Ordering::Relaxed);
        Ok(spans)
    }
}

/// Says where it listens, and to each line what has arrived since the line before.
fn receive() -> Result<(), Failure> {
    let arrived = Arc::new(Arrived::default());
    let taken = Arc::clone(&arrived);
    let handler = move |_: Signal, body: &[u8]| match taken.take(body) {
        Ok(spans) => Answer::accepted(spans),
        Err(error) => error.into(),
    };
    let receiver = Receiver::start("127.0.0.1:0", ReceiverLimits::default(), handler)?;
    answer(receiver.local_addr())?;
    for line in io::stdin().lock().lines() {
        line?;
        let (spans, checksum) =
            (arrived.spans.swap(0, Ordering::Relaxed), arrived.checksum.swap(0, Ordering::Relaxed));
        answer(format!("{spans} {checksum}"))?;
    }
    receiver.shutdown(Duration::ZERO);
    Ok(())
}
