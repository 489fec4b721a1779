//! What a run has to keep; the exit status says whether it did.

use crate::figure;
use crate::flags::Flags;
use crate::receive::Received;
use crate::run::Outcome;
use crate::shop::{Counts, Fault, Role};
use crate::summary::{Promise, Summary};

/// All promises, with the figures behind them.
pub(super) fn all(flags: &Flags, outcome: &Outcome, summary: &Summary) -> Vec<Promise> {
    let mut promises = vec![
        accounts(outcome, summary),
        clients(outcome),
        duplicates(outcome),
        tricks(&outcome.received),
        exporter(outcome),
        conforming(summary),
        no_false_alarm(summary),
    ];
    if flags.fault.guilty().is_some() {
        promises.extend([noticed(summary), cause(summary)]);
    }
    if flags.fault == Fault::Leak {
        promises.push(exhaustion(summary));
    }
    promises
}

fn promise(name: &str, holds: bool, detail: String) -> Promise {
    Promise { name: name.to_owned(), holds, detail }
}

fn accounts(outcome: &Outcome, summary: &Summary) -> Promise {
    let open: Vec<&str> = summary
        .balances
        .iter()
        .filter(|balance| !balance.is_balanced())
        .map(|balance| &*balance.service)
        .collect();
    let captured = &outcome.captured;
    let capture_agrees =
        captured.is_balanced && captured.services.values().all(|seen| seen.outbox.is_balanced());
    let served: u64 = summary.balances.iter().map(|balance| balance.served).sum();
    let accepted: u64 = summary.balances.iter().map(|balance| balance.accepted).sum();
    let rejected: u64 = summary.balances.iter().map(|balance| balance.rejected).sum();
    let lost: u64 = summary.balances.iter().map(crate::summary::Balance::lost_total).sum();
    let [served, accepted, rejected, lost] = [served, accepted, rejected, lost].map(figure::count);
    let mut detail = format!("{served} served; spans: {accepted} accepted, {rejected} rejected, {lost} lost");
    if !open.is_empty() {
        detail.push_str(&format!("; not balanced: {}", open.join(", ")));
    }
    if captured.overrun > 0 {
        let overrun = figure::count(captured.overrun);
        detail.push_str(&format!("; {overrun} records of the kernel found its ring full"));
    }
    promise(
        "Every request served is a span that was accepted, rejected or counted as lost",
        open.is_empty() && capture_agrees,
        detail,
    )
}

/// The capture changed nothing that a client could notice: each answer was given by the service, once.
fn clients(outcome: &Outcome) -> Promise {
    let load = &outcome.load.progress;
    let served = outcome.served.get(&Role::Gateway).map_or(0, Counts::served);
    let holds = load.answered == served && load.failed == 0;
    let [answered, served, failed] = [load.answered, served, load.failed].map(figure::count);
    promise(
        "Every answer reached its client as if nobody watched",
        holds,
        format!("{answered} answers received, {served} given, {failed} failed"),
    )
}

fn duplicates(outcome: &Outcome) -> Promise {
    let (retries, duplicates) = (outcome.exported.counters.retries, outcome.received.duplicates);
    promise(
        "Retries duplicated nothing",
        duplicates == 0,
        format!("{retries} retries, {duplicates} duplicates"),
    )
}

fn tricks(received: &Received) -> Promise {
    promise(
        "The export went through one 503 with Retry-After and one partial success",
        received.busy == 1 && received.partial == 1,
        format!("{} answered with 503, {} in part", received.busy, received.partial),
    )
}

fn exporter(outcome: &Outcome) -> Promise {
    let stats = outcome.exported.stats;
    let accepted: u64 = outcome.received.accepted.values().sum();
    let taken = accepted + outcome.received.log_records + outcome.received.points;
    let holds = stats.is_balanced() && stats.queued == 0 && stats.exported == taken;
    let [offered, exported, rejected, dropped] =
        [stats.accepted, stats.exported, stats.rejected, stats.dropped].map(figure::count);
    promise(
        "The exporter's account is exact and agrees with the receiver's",
        holds,
        format!("{offered} records: {exported} exported, {rejected} rejected, {dropped} dropped"),
    )
}

fn conforming(summary: &Summary) -> Promise {
    let Some(conformance) = &summary.conformance else {
        return promise("The exporter's trace conforms to its model", false, "not recorded".to_owned());
    };
    let [events, states] = [conformance.events, conformance.states].map(figure::count);
    let detail =
        format!("{events} events checked; model verified over {states} states; {}", conformance.detail);
    let detail = detail.trim_end_matches([';', ' ']).to_owned();
    promise("The exporter's trace conforms to its model", conformance.conforms, detail)
}

fn no_false_alarm(summary: &Summary) -> Promise {
    let name = if summary.fault.is_some() { "No alarm before the fault" } else { "No alarm" };
    let count = summary.key.false_alarms;
    promise(name, count == 0, format!("{} false alarms", figure::count(count)))
}

fn noticed(summary: &Summary) -> Promise {
    let after = summary.key.time_to_first_alarm_secs;
    let detail = after.map_or_else(|| "no alarm".to_owned(), |secs| format!("after {}", figure::secs(secs)));
    promise("The fault raised an alarm", after.is_some(), detail)
}

/// A leak is found to be told how long there is left.
fn exhaustion(summary: &Summary) -> Promise {
    let found = summary.memory.as_ref().and_then(|memory| memory.exhaustion.as_ref());
    let guilty = summary.fault.as_ref().map(|fault| fault.service.as_str());
    let detail = found.map_or_else(
        || "not told".to_owned(),
        |found| {
            let [earliest, likely, latest] = [found.earliest_secs, found.likely_secs, found.latest_secs]
                .map(|secs| figure::secs(secs.round()));
            format!("{likely} are left to {}, between {earliest} and {latest}", found.service)
        },
    );
    let holds = found.is_some_and(|found| {
        Some(found.service.as_str()) == guilty
            && found.earliest_secs <= found.likely_secs
            && found.likely_secs <= found.latest_secs
    });
    promise("The time until the memory is full is told with an interval", holds, detail)
}

fn cause(summary: &Summary) -> Promise {
    let rank = summary.key.rank_of_true_cause;
    let detail = rank.map_or_else(
        || "not among the suspects".to_owned(),
        |rank| format!("it is {}", figure::ordinal(rank)),
    );
    promise("The true cause is among the first three", rank.is_some_and(|rank| rank <= 3), detail)
}
