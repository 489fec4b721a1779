//! What the processes held, and when one that leaks reaches its limit.

use otlp_anomaly::cause::Source;
use otlp_anomaly::forecast::outlook::{Leak, Reach};

use super::{Clock, top};
use crate::figure;
use crate::run::Outcome;
use crate::shop::{MEMORY_LIMIT_BYTES, Role};
use crate::summary::{Exhaustion, Memory, MemoryTrack};

const SECS_A_DAY: f64 = 86_400.0;

pub(super) fn memory(outcome: &Outcome, clock: &Clock) -> Option<Memory> {
    let readings = &outcome.found.memory.readings;
    let track = |role: Role| {
        let read = readings.get(role.name())?;
        Some(MemoryTrack {
            service: role.name().to_owned(),
            at_secs: read.iter().map(|(time, _)| clock.secs(*time)).collect(),
            bytes: read.iter().map(|(_, bytes)| figure::whole(*bytes)).collect(),
        })
    };
    (!readings.is_empty()).then(|| Memory {
        limit_bytes: MEMORY_LIMIT_BYTES,
        tracks: Role::ALL.into_iter().filter_map(track).collect(),
        exhaustion: exhaustion(outcome),
    })
}

/// Of the first cause, where its memory is what speaks for it.
pub(super) fn exhaustion(outcome: &Outcome) -> Option<Exhaustion> {
    let cause = top(&outcome.found)?;
    let leaks = cause.contributions.iter().any(|part| part.source == Source::Memory);
    let service = cause.subject.service().filter(|_| leaks)?;
    let outlook = outcome.found.memory.outlooks.get(service)?;
    let (Leak::Steady { full, .. } | Leak::Saturating { full, .. }) = outlook else { return None };
    let Reach::Days(days) = full else { return None };
    let (_, held) = outcome.found.memory.readings.get(service)?.last()?;
    let likely_secs = days.value * SECS_A_DAY;
    let found = Exhaustion {
        service: service.to_owned(),
        bytes_per_sec: (figure::float(MEMORY_LIMIT_BYTES) - held) / likely_secs,
        earliest_secs: days.low * SECS_A_DAY,
        likely_secs,
        latest_secs: days.high * SECS_A_DAY,
    };
    found.latest_secs.is_finite().then_some(found)
}

/// What the headline says of it.
pub(super) fn because(found: &Exhaustion) -> String {
    format!(
        "it grows by {} a second and reaches its limit of {} in {} (between {} and {})",
        figure::bytes(figure::whole(found.bytes_per_sec)),
        figure::bytes(MEMORY_LIMIT_BYTES),
        figure::secs(found.likely_secs.round()),
        figure::secs(found.earliest_secs.floor()),
        figure::secs(found.latest_secs.ceil())
    )
}
