//! Reading one body off the wire: within its bound, its time and the receiver's budget.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, HeaderMap};
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::time::{Instant, timeout_at};

use super::ReceiverLimits;
use super::answer::Refusal;
use super::body::{Failure, Gone, too_large};
use super::conn::Stage;
use super::hold::Share;
use super::spare::Buffer;

/// Timers this far ahead are as good as never.
const FAR: Duration = Duration::from_secs(365 * 86_400);

/// What one body may be, as it comes over the wire.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) bytes: usize,
    pub(super) within: Duration,
    /// Bytes a second; none for 0.
    pub(super) rate: u32,
    /// How long a body may be slower.
    pub(super) grace: Duration,
}

impl Bounds {
    pub(super) const fn of(limits: &ReceiverLimits) -> Self {
        Self {
            bytes: limits.body_bytes,
            within: limits.body_timeout,
            rate: limits.body_rate,
            grace: limits.body_grace,
        }
    }

    /// How long after its beginning a body may wait for its next byte.
    fn patience(&self, received: usize) -> Duration {
        let paced = match self.rate {
            0 => Duration::MAX,
            // Whole milliseconds are fine enough.
            rate => self.grace.saturating_add(Duration::from_millis(
                (received as u64).saturating_mul(1000) / u64::from(rate),
            )),
        };
        paced.min(self.within).min(FAR)
    }

    /// Refuses a body that says it is too large.
    pub(super) fn check_claim(&self, claimed: u64) -> Result<(), Refusal> {
        match usize::try_from(claimed) {
            Ok(claimed) if claimed <= self.bytes => Ok(()),
            _ => Err(too_large(self.bytes)),
        }
    }
}

/// Reads the whole body as it comes over the wire.
pub(super) async fn collect(
    mut body: impl Body<Data = Bytes> + Unpin,
    bounds: Bounds,
    share: &mut Share,
    stage: &mut Stage,
) -> Result<Buffer, Failure> {
    let hint = body.size_hint();
    bounds.check_claim(hint.lower())?;
    // What is claimed is not believed: room is made for what has come, and no more than is claimed.
    let most = hint.exact().and_then(|claimed| usize::try_from(claimed).ok()).unwrap_or(bounds.bytes);
    let begun = Instant::now();
    let mut bytes = Buffer::new(Arc::clone(share.account()));
    loop {
        let patience = bounds.patience(bytes.len());
        let Ok(frame) = timeout_at(begun + patience, body.frame()).await else {
            return Err(too_late(patience < bounds.within, share).into());
        };
        let Some(frame) = frame else { break };
        let data = frame.map_err(|_| Failure::Gone(Gone))?.into_data().unwrap_or_default();
        if bytes.len() + data.len() > bounds.bytes {
            return Err(too_large(bounds.bytes).into());
        }
        bytes.push(&data, most, share)?;
        stage.body(data.len());
    }
    stage.whole();
    Ok(bytes)
}

/// Takes what is left of a refused body and keeps none of it: a client that sends all before it reads, as most do,
/// would meet a reset in place of its answer.
pub(super) async fn discard(mut body: impl Body<Data = Bytes> + Unpin, bounds: Bounds, stage: Stage) {
    let begun = Instant::now();
    let mut bytes = 0;
    while bytes <= bounds.bytes {
        let next = timeout_at(begun + bounds.patience(bytes), body.frame()).await;
        let Ok(Some(Ok(frame))) = next else { return };
        let data = frame.into_data().unwrap_or_default();
        bytes += data.len();
        stage.body(data.len());
    }
}

/// What the client says of the length of its body.
pub(super) fn claim(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_late(is_too_slow: bool, share: &Share) -> Refusal {
    let message = if is_too_slow { "body: comes too slowly" } else { "body: not complete in time" };
    share.account().lock().too_slow += u64::from(is_too_slow);
    Refusal::new(StatusCode::REQUEST_TIMEOUT, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_may_be_slow_at_first_and_never_after_its_time() {
        let bounds =
            Bounds { bytes: 1, within: Duration::from_secs(30), rate: 100, grace: Duration::from_secs(5) };
        for (received, seconds) in [(0, 5), (100, 6), (2_400, 29), (2_500, 30), (usize::MAX, 30)] {
            assert_eq!(bounds.patience(received), Duration::from_secs(seconds), "{received}");
        }
        assert_eq!(Bounds { rate: 0, ..bounds }.patience(0), bounds.within);
        assert_eq!(Bounds { within: Duration::MAX, ..bounds }.patience(usize::MAX), FAR);
    }
}
