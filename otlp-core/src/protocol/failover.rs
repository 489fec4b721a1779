//! Failover: destinations in order of preference, each with a breaker and a time to be left alone.
//!
//! Every request goes to the first destination that may be used at that moment. One is passed over while its
//! [breaker](super::breaker) is open and while it asked to be left alone. When the cooldown of the primary's
//! breaker is over, one request tries it while the others still go to the fallback; where that succeeds, all
//! return to the primary.

use std::fmt;

use super::breaker::{Breaker, BreakerConfig, BreakerState, Change, Health, Pass};
use crate::UnixNanos;

/// Names a destination by its place in the order of preference; the primary is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DestinationId(pub u8);

impl DestinationId {
    /// The first choice.
    pub const PRIMARY: Self = Self(0);
}

impl fmt::Display for DestinationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Leave to send one request to one destination; goes back with what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use = "a trial that is never reported keeps its breaker half open"]
#[non_exhaustive]
pub struct Ticket {
    /// Where to.
    pub destination: DestinationId,
    /// Whether it is a trial.
    pub pass: Pass,
}

/// How a destination stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct DestinationStatus {
    /// Which.
    pub destination: DestinationId,
    /// Its breaker; `None` where it has none.
    pub breaker: Option<BreakerState>,
    /// Nothing is sent to it before this instant, which may have passed.
    pub held_until: UnixNanos,
}

/// Chooses where each request goes. Its state is integers; every call is O(destinations).
///
/// ```
/// use std::time::Duration;
/// use otlp_core::UnixNanos;
/// use otlp_core::protocol::breaker::{BreakerConfig, Health};
/// use otlp_core::protocol::failover::Failover;
///
/// let breaker = BreakerConfig::default().failures(1).cooldown(Duration::from_secs(60));
/// let mut failover = Failover::new(1, Some(breaker));
/// let now = UnixNanos::from_secs(100);
/// let first = failover.route(now).ok_or("all is well at first")?;
/// failover.report(now, first, Health::Bad);
/// assert_eq!(failover.route(now).map(|ticket| ticket.destination.0), Some(1));
/// let later = now + Duration::from_secs(60);
/// assert_eq!(failover.route(later).map(|ticket| ticket.destination.0), Some(0), "one tries the primary");
/// assert_eq!(failover.route(later).map(|ticket| ticket.destination.0), Some(1), "the others wait for it");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Failover {
    destinations: Vec<Destination>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Destination {
    held_until: UnixNanos,
    breaker: Option<Breaker>,
}

impl Failover {
    /// A primary and so many fallbacks. Without a breaker a destination is passed over only while it asks to
    /// be left alone.
    #[must_use]
    pub fn new(fallbacks: u8, breaker: Option<BreakerConfig>) -> Self {
        let destination = Destination { held_until: UnixNanos::ZERO, breaker: breaker.map(Breaker::new) };
        Self { destinations: vec![destination; usize::from(fallbacks) + 1] }
    }

    /// The first destination that may be used now; `None` where there is none.
    pub fn route(&mut self, now: UnixNanos) -> Option<Ticket> {
        (0_u8..).zip(&mut self.destinations).find_map(|(number, destination)| {
            let pass = destination.pass(now)?;
            Some(Ticket { destination: DestinationId(number), pass })
        })
    }

    /// The instant from which on some destination may be used, which may have come; `None` while that hangs on
    /// trials that are under way.
    #[must_use]
    pub fn ready_at(&self) -> Option<UnixNanos> {
        self.destinations.iter().filter_map(Destination::ready_at).min()
    }

    /// Leaves `destination` alone until the given instant; never shortens an earlier wait.
    pub fn hold(&mut self, destination: DestinationId, until: UnixNanos) {
        if let Some(held) = self.destinations.get_mut(usize::from(destination.0)) {
            held.held_until = held.held_until.max(until);
        }
    }

    /// Takes what became of a request that was sent on `ticket`.
    pub fn report(&mut self, now: UnixNanos, ticket: Ticket, health: Health) -> Option<Change> {
        let destination = self.destinations.get_mut(usize::from(ticket.destination.0))?;
        destination.breaker.as_mut()?.report(now, ticket.pass, health)
    }

    /// True where there is a choice.
    #[must_use]
    pub const fn has_fallback(&self) -> bool {
        self.destinations.len() > 1
    }

    /// How each destination stands, the primary first.
    pub fn status(&self) -> impl Iterator<Item = DestinationStatus> {
        (0_u8..).zip(&self.destinations).map(|(number, destination)| DestinationStatus {
            destination: DestinationId(number),
            breaker: destination.breaker.as_ref().map(Breaker::state),
            held_until: destination.held_until,
        })
    }
}

impl Destination {
    fn pass(&mut self, now: UnixNanos) -> Option<Pass> {
        if now < self.held_until {
            return None;
        }
        self.breaker.as_mut().map_or(Some(Pass::Regular), |breaker| breaker.pass(now))
    }

    fn ready_at(&self) -> Option<UnixNanos> {
        let closed = self.breaker.as_ref().map_or(Some(UnixNanos::ZERO), Breaker::ready_at)?;
        Some(closed.max(self.held_until))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: UnixNanos = UnixNanos::from_secs(1_000);
    const COOLDOWN: Duration = Duration::from_secs(60);

    fn failover(fallbacks: u8) -> Failover {
        Failover::new(fallbacks, Some(BreakerConfig::default().failures(2).cooldown(COOLDOWN)))
    }

    fn route(failover: &mut Failover, now: UnixNanos) -> Ticket {
        failover.route(now).expect("some destination")
    }

    /// Lets the first destination that may be used fail until its breaker opens.
    fn break_first(failover: &mut Failover, now: UnixNanos) -> DestinationId {
        let (first, second) = (route(failover, now), route(failover, now));
        failover.report(now, first, Health::Bad);
        assert!(matches!(failover.report(now, second, Health::Bad), Some(Change::Opened { .. })));
        first.destination
    }

    #[test]
    fn each_failure_moves_on_to_the_next_and_the_cooldown_brings_back_the_first() {
        let mut failover = failover(2);
        assert!(failover.has_fallback());
        let broken: Vec<u8> =
            (0..3).map(|n| break_first(&mut failover, NOW + Duration::from_secs(n)).0).collect();
        assert_eq!(broken, [0, 1, 2]);
        assert_eq!(failover.route(NOW + Duration::from_secs(3)), None);
        assert_eq!(failover.ready_at(), Some(NOW + COOLDOWN));
        assert_eq!(route(&mut failover, NOW + COOLDOWN).destination, DestinationId::PRIMARY);
    }

    #[test]
    fn all_return_to_the_primary_once_a_trial_has_succeeded_and_not_before() {
        let mut failover = failover(1);
        break_first(&mut failover, NOW);
        let later = NOW + COOLDOWN;
        let trial = route(&mut failover, later);
        assert_eq!((trial.destination.0, trial.pass), (0, Pass::Trial));
        assert_eq!(route(&mut failover, later).destination.0, 1);
        assert_eq!(failover.report(later, trial, Health::Good), Some(Change::Closed));
        assert_eq!(route(&mut failover, later).destination.0, 0);
    }

    #[test]
    fn a_destination_that_asked_to_be_left_alone_is_passed_over_for_as_long() {
        let mut failover = Failover::new(1, None);
        failover.hold(DestinationId::PRIMARY, NOW + COOLDOWN);
        failover.hold(DestinationId::PRIMARY, NOW);
        assert_eq!(route(&mut failover, NOW).destination.0, 1);
        failover.hold(DestinationId(1), NOW + COOLDOWN * 2);
        assert_eq!((failover.route(NOW), failover.ready_at()), (None, Some(NOW + COOLDOWN)));
        let just_before = (NOW + COOLDOWN).saturating_sub(Duration::from_nanos(1));
        assert_eq!(failover.route(just_before), None);
        assert_eq!(route(&mut failover, NOW + COOLDOWN).destination.0, 0);
    }

    #[test]
    fn nobody_knows_when_while_all_hangs_on_a_trial() {
        let mut failover = failover(0);
        break_first(&mut failover, NOW);
        let trial = route(&mut failover, NOW + COOLDOWN);
        assert_eq!((failover.route(NOW + COOLDOWN), failover.ready_at()), (None, None));
        failover.hold(trial.destination, NOW + COOLDOWN * 2);
        assert_eq!(failover.report(NOW + COOLDOWN, trial, Health::Neutral), None);
        assert_eq!(failover.ready_at(), Some(NOW + COOLDOWN * 2));
    }

    #[test]
    fn the_status_says_how_each_destination_stands() {
        let mut failover = failover(1);
        break_first(&mut failover, NOW);
        let states: Vec<_> = failover.status().map(|status| status.breaker).collect();
        let open = BreakerState::Open { until: NOW + COOLDOWN };
        assert_eq!(states, [Some(open), Some(BreakerState::Closed { failures: 0 })]);
    }
}
