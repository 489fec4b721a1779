//! What the criterion bench runs: each way through the codec on its own, without a peer beside it.

use std::error::Error;
use std::sync::Arc;

use otlp_core::encode::Encode;
use otlp_core::wire::Writer;
use prost::Message;

use super::payload::Kind;
use super::signal::Signal;
use super::{Case, LIMITS, log, metric, profile, records, walk};

/// One piece of work, to be done again and again.
#[expect(missing_debug_implementations, reason = "holds a closure")]
pub struct Job {
    /// The way through the codec, such as `walk`.
    pub way: &'static str,
    /// The signal it goes with.
    pub signal: &'static str,
    /// Bytes of the request on the wire.
    pub bytes: u64,
    /// Does it once; gives a number that depends on all of it.
    pub run: Box<dyn FnMut() -> u64>,
}

/// Encoding, a full walk, a lazy one (traces only) and owned decoding, of the realistic payload of each signal.
///
/// # Errors
/// Where a payload cannot be read, which is a fault of this package.
pub fn jobs() -> Result<Vec<Job>, Box<dyn Error>> {
    let traces = Case::new("realistic", Kind::Realistic)?;
    let body: Arc<[u8]> = traces.ascending.into();
    let mut jobs = encode_and_decode("traces", &body, traces.records, |body| records(body).ok());
    jobs.push(job("walk", "traces", &body, |body| walk::view(body, &LIMITS).unwrap_or(0)));
    jobs.push(job("lazy", "traces", &body, |body| walk::view_lazily::<false>(body, &LIMITS).unwrap_or(0)));
    jobs.push(job("lazy, unique", "traces", &body, |body| {
        walk::view_lazily::<true>(body, &LIMITS).unwrap_or(0)
    }));
    jobs.extend(of_signal(&log::LOGS)?);
    jobs.extend(of_signal(&metric::METRICS)?);
    jobs.extend(of_signal(&profile::PROFILES)?);
    Ok(jobs)
}

fn of_signal<Request, Records>(signal: &Signal<Request, Records>) -> Result<Vec<Job>, Box<dyn Error>>
where
    Request: Message,
    Records: Encode + 'static,
{
    let body: Arc<[u8]> = (signal.make)(Kind::Realistic).encode_to_vec().into();
    let (view, decode) = (signal.view, signal.records);
    let mut jobs = encode_and_decode(signal.name, &body, decode(&body)?, move |body| decode(body).ok());
    jobs.push(job("walk", signal.name, &body, move |body| view(body, &LIMITS).unwrap_or(0)));
    Ok(jobs)
}

fn encode_and_decode<Records: Encode + 'static>(
    signal: &'static str,
    body: &Arc<[u8]>,
    records: Records,
    decode: impl Fn(&[u8]) -> Option<Records> + 'static,
) -> Vec<Job> {
    let mut writer = Writer::new();
    let encode = job("encode", signal, body, move |_| {
        writer.clear();
        records.encode(&mut writer);
        writer.len() as u64
    });
    let owned = job("owned decode", signal, body, move |body| u64::from(decode(body).is_some()));
    vec![encode, owned]
}

fn job(
    way: &'static str,
    signal: &'static str,
    body: &Arc<[u8]>,
    mut work: impl FnMut(&[u8]) -> u64 + 'static,
) -> Job {
    let body = Arc::clone(body);
    Job { way, signal, bytes: body.len() as u64, run: Box::new(move || work(&body)) }
}
