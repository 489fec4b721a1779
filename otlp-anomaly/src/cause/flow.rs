//! Blame, moved along the calls to where it belongs.
//!
//! The unit of blame for slowness is the request in flight: a service that takes `d` seconds more for each
//! of `r` requests a second has `r d` more of them at any moment (Little, "A proof for the queuing formula
//! L = λW", 1961). Blame starts at the service whose own time grew and moves
//!
//! - down to a callee, as far as the caller's own delay is explained by its workers being tied up in that callee:
//!   with `E` more of them waiting below, `E / (E + 1)` of the caller's own delay counts as queueing for the callee;
//! - down to a callee that vanished, when calls to it stopped and the caller fails or stalls instead;
//! - up to a caller, as far as a service is slow because it is asked more often, and not because it failed
//!   and was asked again; from there further up as long as the caller in turn just passes more requests on.
//!
//! Every move keeps the sum, so what a service ends up with is a share of the whole.

use super::facts::{Call, Facts, Pair, Service};
use crate::number::ratio;

/// What a service is blamed for, in requests in flight (errors: failures a second).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Blame {
    /// Its own time grew.
    pub(super) own: f64,
    /// Its callers queue for it.
    pub(super) waiting: f64,
    /// It asks others more often, or lets more through.
    pub(super) load: f64,
    /// It no longer answers.
    pub(super) missing: f64,
    /// Errors begin there, or are owed to its slowness or absence.
    pub(super) errors: f64,
}

/// Blame by service, and by what is outside of all of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Blames {
    pub(super) services: Vec<Blame>,
    pub(super) outside: Blame,
    /// How many times as many requests come from outside, where that is sure; else 1.
    pub(super) rush: f64,
    /// All slowness before it was weighed by how sure it is.
    pub(super) all_slowness: f64,
    /// All errors a second, likewise.
    pub(super) all_errors: f64,
}

/// Moves of blame from service to service: more than any real depth of calls, and rings come to an end.
const MOST_STEPS: usize = 64;
/// Growth of load below which nobody is blamed for it.
const LEAST_GROWTH: f64 = 1.3;
/// The share of requests from outside from which on a service answers to those outside.
const MOSTLY: f64 = 0.5;
/// Standard errors that a growth of load must be off to be believed.
const SURE_GROWTH: f64 = 4.0;
/// Rise in the share of errors at which blame for them is nearly full.
const SURE_ERRORS: f64 = 0.05;
/// How much slower a callee must be for its caller's errors to be taken for timeouts.
const TIMEOUT_GROWTH: f64 = 5.0;

pub(super) struct Flow<'a> {
    facts: &'a Facts,
    /// Own extra requests in flight.
    own: Vec<f64>,
    /// Extra requests in flight below.
    below: Vec<f64>,
    /// Requests in flight below that are owed to asking more often.
    asked_more: Vec<f64>,
}

impl<'a> Flow<'a> {
    pub(super) fn new(facts: &'a Facts) -> Self {
        let own = facts.services.iter().map(|service| service.rate.after * service.extra_secs).collect();
        let mut below = vec![0.0; facts.services.len()];
        let mut asked_more = below.clone();
        for call in &facts.calls {
            add(&mut below, call.caller, waits(call));
            add(&mut asked_more, call.caller, surplus(facts, call) * call.latency.before.max(0.0));
        }
        Self { facts, own, below, asked_more }
    }

    /// The share of a service's own delay that is left with it.
    pub(super) fn kept(&self, place: usize, blame: &Blame) -> f64 {
        let own = at(&self.own, place);
        let certain = self.facts.services.get(place).map_or(0.0, |service| certainty(service.extra_growth));
        if own * certain > 0.0 { (blame.own / (own * certain)).min(1.0) } else { 1.0 }
    }

    pub(super) fn run(&self) -> Blames {
        let none = vec![Blame::default(); self.facts.services.len()];
        let mut blames = Blames { services: none, ..Blames::default() };
        self.blame_slowness(&mut blames);
        self.blame_errors(&mut blames);
        self.blame_load(&mut blames);
        blames.rush = self.rush();
        blames
    }

    fn blame_slowness(&self, blames: &mut Blames) {
        let mut carried = vec![0.0; self.own.len()];
        for (place, service) in self.facts.services.iter().enumerate() {
            let (own, asked_more) = (at(&self.own, place), at(&self.asked_more, place));
            blames.all_slowness += own + asked_more;
            let sure = own * certainty(service.extra_growth);
            let (stays, moves) = self.split_missing(place, sure);
            self.give_missing(place, moves, blames, |blame| &mut blame.missing);
            let queueing = self.queueing(place);
            edit(&mut blames.services, place, |blame| {
                blame.own += stays * (1.0 - queueing);
                blame.load += asked_more;
            });
            add(&mut carried, place, stays * queueing);
        }
        self.carry_down(carried, blames, |blame| &mut blame.waiting);
    }

    fn blame_errors(&self, blames: &mut Blames) {
        let mut carried = vec![0.0; self.own.len()];
        for (place, service) in self.facts.services.iter().enumerate() {
            let rise = service.extra_origin;
            let errors = rise * service.rate.after;
            blames.all_errors += errors;
            let sure = errors * (1.0 - (-rise / SURE_ERRORS).exp());
            let (stays, moves) = self.split_missing(place, sure);
            self.give_missing(place, moves, blames, |blame| &mut blame.errors);
            let is_timeout = self
                .calls_of(place)
                .any(|call| call.extra_secs > 0.0 && call.latency.growth() >= TIMEOUT_GROWTH);
            let owed = if is_timeout { self.queueing(place) } else { 0.0 };
            edit(&mut blames.services, place, |blame| blame.errors += stays * (1.0 - owed));
            add(&mut carried, place, stays * owed);
        }
        self.carry_down(carried, blames, |blame| &mut blame.errors);
    }

    /// The share of a service's own delay that is queueing for those below.
    fn queueing(&self, place: usize) -> f64 {
        let below = at(&self.below, place);
        below / (below + 1.0)
    }

    /// Takes blame down the calls in proportion to how many more requests wait there, and leaves at each
    /// service the part that its own delay has in that.
    fn carry_down(&self, mut carried: Vec<f64>, blames: &mut Blames, to: fn(&mut Blame) -> &mut f64) {
        for _ in 0..MOST_STEPS {
            let mut next = vec![0.0; carried.len()];
            for call in &self.facts.calls {
                let share = ratio(waits(call), at(&self.below, call.caller));
                let arrived = at(&carried, call.caller) * share;
                if arrived <= 0.0 {
                    continue;
                }
                let (own, below) = (at(&self.own, call.callee), at(&self.below, call.callee));
                let asked_more = at(&self.asked_more, call.callee);
                let kept = own * (1.0 - self.queueing(call.callee)) + asked_more;
                let all = own + below + asked_more;
                let keeps = if all > 0.0 { kept / all } else { 1.0 };
                edit(&mut blames.services, call.callee, |blame| *to(blame) += arrived * keeps);
                add(&mut next, call.callee, arrived * (1.0 - keeps));
            }
            carried = next;
        }
        // Only rings of calls still carry anything.
        for (place, left) in carried.into_iter().enumerate() {
            edit(&mut blames.services, place, |blame| *to(blame) += left);
        }
    }

    /// What stays with a service and what goes to callees of its that vanished.
    fn split_missing(&self, place: usize, blame: f64) -> (f64, f64) {
        let callees = self.calls_of(place).filter(|call| call.rate.before > 0.0).count();
        let vanished = self.vanished(place).count();
        // Where a service calls nobody any more it may have failed itself, or at the first of its calls.
        let share = match vanished {
            0 => 0.0,
            gone if gone == callees => 0.5,
            _ => 0.9,
        };
        (blame * (1.0 - share), blame * share)
    }

    fn give_missing(&self, place: usize, blame: f64, blames: &mut Blames, to: fn(&mut Blame) -> &mut f64) {
        let each = ratio(blame, count(self.vanished(place).count()));
        for call in self.vanished(place) {
            edit(&mut blames.services, call.callee, |blame| *to(blame) += each);
        }
    }

    /// Calls that all but stopped although the caller still has requests to handle.
    fn vanished(&self, caller: usize) -> impl Iterator<Item = &Call> + '_ {
        let service = self.facts.services.get(caller);
        let alive = service.filter(|service| service.rate.growth() >= 0.3);
        alive.into_iter().flat_map(move |service| {
            self.calls_of(caller).filter(move |call| {
                call.rate.before >= 1.0 && call.rate.after < 0.1 * call.rate.before * service.rate.growth()
            })
        })
    }

    fn calls_of(&self, caller: usize) -> impl Iterator<Item = &Call> + '_ {
        self.facts.calls.iter().filter(move |call| call.caller == caller)
    }

    fn blame_load(&self, blames: &mut Blames) {
        let mut carried = vec![0.0; self.own.len()];
        for (place, service) in self.facts.services.iter().enumerate() {
            let owed = self.owed_to_load(place, service);
            if owed <= 0.0 {
                continue;
            }
            edit(&mut blames.services, place, |blame| {
                let moved = (blame.own + blame.waiting) * owed;
                blame.own *= 1.0 - owed;
                blame.waiting *= 1.0 - owed;
                add(&mut carried, place, moved);
            });
        }
        for _ in 0..MOST_STEPS {
            let mut next = vec![0.0; carried.len()];
            for (place, service) in self.facts.services.iter().enumerate() {
                let moved = at(&carried, place);
                if moved > 0.0 {
                    self.carry_up((place, service), moved, blames, &mut next);
                }
            }
            carried = next;
        }
        for (place, left) in carried.into_iter().enumerate() {
            edit(&mut blames.services, place, |blame| blame.load += left);
        }
    }

    /// The share of a service's slowness that it is not to blame for, because it is asked so much more often.
    fn owed_to_load(&self, place: usize, service: &Service) -> f64 {
        let growth = service.rate.growth();
        let expected = service.count.after / growth.max(1e-9);
        let is_sure = service.count.after - expected > SURE_GROWTH * expected.sqrt();
        if growth < LEAST_GROWTH || !is_sure {
            return 0.0;
        }
        let risen = service.rate.rise();
        let asked_again: f64 =
            self.calls_to(place).map(|call| call.errors.rise().min(call.rate.rise())).sum();
        // Twice the load is enough to be the whole reason.
        (2.0 * (1.0 - 1.0 / growth)).min(1.0) * (1.0 - ratio(asked_again, risen).min(1.0))
    }

    fn rush(&self) -> f64 {
        let sum = |of: fn(&Service) -> f64| self.facts.services.iter().map(of).sum::<f64>();
        let pair = Pair {
            before: sum(|service| service.outside.before),
            after: sum(|service| service.outside.after),
        };
        let growth = pair.growth();
        if growth < LEAST_GROWTH { 1.0 } else { growth }
    }

    /// Moves blame for load from a service to whoever asks it more often.
    fn carry_up(
        &self,
        (place, service): (usize, &Service),
        moved: f64,
        blames: &mut Blames,
        next: &mut [f64],
    ) {
        let outside = service.outside.rise();
        let more = |call: &Call| (call.rate.rise() - call.errors.rise()).max(0.0);
        let all: f64 = outside + self.calls_to(place).map(more).sum::<f64>();
        if all <= 0.0 {
            edit(&mut blames.services, place, |blame| blame.load += moved);
            return;
        }
        blames.outside.load += moved * outside / all;
        for call in self.calls_to(place) {
            let arrived = moved * more(call) / all;
            if arrived <= 0.0 {
                continue;
            }
            let own = self.own_growth(call);
            edit(&mut blames.services, call.caller, |blame| blame.load += arrived * own);
            if let Some(slot) = next.get_mut(call.caller) {
                *slot += arrived * (1.0 - own);
            }
        }
    }

    /// How much of the growth of calls the caller made itself, by asking more often for each of its own requests.
    fn own_growth(&self, call: &Call) -> f64 {
        let passed_on = self.facts.services.get(call.caller).map_or(1.0, |service| service.rate.growth());
        if call.rate.before <= 0.0 {
            return 1.0;
        }
        let all = call.rate.growth().ln();
        if all <= 0.0 { 1.0 } else { (1.0 - passed_on.max(1.0).ln() / all).clamp(0.0, 1.0) }
    }

    fn calls_to(&self, callee: usize) -> impl Iterator<Item = &Call> + '_ {
        self.facts.calls.iter().filter(move |call| call.callee == callee)
    }
}

/// How many more requests wait in a call than usual.
fn waits(call: &Call) -> f64 {
    call.rate.after * call.extra_secs
}

/// Calls a second beyond what the caller's own requests, the callee's failures and chance explain.
pub(super) fn surplus(facts: &Facts, call: &Call) -> f64 {
    let Some(caller) = facts.services.get(call.caller).filter(|_| call.rate.before > 0.0) else { return 0.0 };
    let expected = call.rate.before * caller.rate.growth();
    let mut beyond = call.rate.after - expected * LEAST_GROWTH;
    // What comes from outside may come in another mix: who then asks one more often asks others less.
    if caller.outside.after > MOSTLY * caller.rate.after {
        beyond = beyond.min(caller.asks.after - caller.asks.before * caller.rate.growth() * LEAST_GROWTH);
    }
    // Both what is counted and what it is expected from are counts.
    let length = ratio(caller.count.after, caller.rate.after);
    let seen = [call.count.before, caller.count.before, caller.count.after].map(|count| ratio(1.0, count));
    let error = expected * (ratio(1.0, expected * length) + seen.iter().sum::<f64>()).sqrt();
    (beyond - call.errors.rise() - SURE_GROWTH * error).max(0.0)
}

/// How sure a growth of the own time is: none at one, three quarters at three.
fn certainty(growth: f64) -> f64 {
    1.0 - growth.max(1.0).powf(-1.2)
}

fn at(values: &[f64], place: usize) -> f64 {
    values.get(place).copied().unwrap_or_default()
}

fn add(values: &mut [f64], place: usize, more: f64) {
    if let Some(value) = values.get_mut(place) {
        *value += more;
    }
}

fn edit(blames: &mut [Blame], place: usize, change: impl FnOnce(&mut Blame)) {
    if let Some(blame) = blames.get_mut(place) {
        change(blame);
    }
}

fn count(length: usize) -> f64 {
    u32::try_from(length).map_or(f64::INFINITY, f64::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pair() -> impl Strategy<Value = Pair> {
        let value = || prop_oneof![Just(0.0), 0.0..500.0_f64];
        (value(), value()).prop_map(|(before, after)| Pair { before, after })
    }

    fn service() -> impl Strategy<Value = Service> {
        (pair(), pair(), pair(), 0.0..0.5_f64).prop_map(|(rate, outside, self_time, extra_secs)| Service {
            name: String::new(),
            count: Pair { before: 20.0 * rate.before, after: 20.0 * rate.after },
            rate,
            outside,
            asks: rate,
            self_time,
            origin: Pair { before: 0.0, after: extra_secs },
            extra_origin: extra_secs,
            extra_secs,
            extra_growth: 1.0 + 20.0 * extra_secs,
        })
    }

    /// Any services that call each other in any way, circles and themselves included.
    fn facts() -> impl Strategy<Value = Facts> {
        proptest::collection::vec(service(), 1..8).prop_flat_map(|services| {
            let last = services.len();
            let call = (0..last, 0..last, pair(), pair(), pair(), 0.0..0.5_f64).prop_map(
                |(caller, callee, rate, latency, errors, extra_secs)| Call {
                    caller,
                    callee,
                    count: Pair { before: 20.0 * rate.before, after: 20.0 * rate.after },
                    rate,
                    latency,
                    errors,
                    extra_secs,
                },
            );
            let calls = proptest::collection::vec(call, 0..20);
            calls.prop_map(move |calls| Facts { services: services.clone(), calls })
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn moving_blame_neither_makes_nor_loses_any(facts in facts()) {
            let flow = Flow::new(&facts);
            let blames = flow.run();
            let slow = |blame: &Blame| blame.own + blame.waiting + blame.load + blame.missing;
            let met = blames.services.iter().map(slow).sum::<f64>() + blames.outside.load;
            let own = facts.services.iter().zip(&flow.own).map(|(service, own)| own * certainty(service.extra_growth));
            let expected = own.sum::<f64>() + flow.asked_more.iter().sum::<f64>();
            prop_assert!((met - expected).abs() <= 1e-6 * (1.0 + expected), "{met} for {expected}");
            prop_assert!(met <= blames.all_slowness * (1.0 + 1e-9));

            let wrong: f64 = blames.services.iter().map(|blame| blame.errors).sum();
            prop_assert!(wrong <= blames.all_errors * (1.0 + 1e-6), "{wrong} of {}", blames.all_errors);
            let parts = |blame: &Blame| [blame.own, blame.waiting, blame.load, blame.missing, blame.errors];
            let mut all = blames.services.iter().flat_map(parts);
            prop_assert!(all.all(|part| part.is_finite() && part >= 0.0));
        }
    }
}
