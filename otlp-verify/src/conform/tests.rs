use super::*;
use crate::spec::export_retry::{Answer, BreakerRules, Reason};

fn rules() -> Rules {
    Rules { max_elapsed_ticks: 10, ..Rules::small() }
}

const BUSY: Answer = Answer::Busy { retry_after: Some(5) };

/// A request that is refused for now and taken the second time, and another that is rejected in part.
fn story() -> Vec<(u64, Action)> {
    vec![
        (100, Action::Enqueue { request: 1, records: 10 }),
        (100, Action::Send { request: 1, attempt: 1, destination: 0 }),
        (101, Action::Enqueue { request: 2, records: 4 }),
        (102, Action::Answer { request: 1, attempt: 1, answer: BUSY }),
        (102, Action::ScheduleRetry { request: 1, attempt: 1, not_before: 107 }),
        (107, Action::Send { request: 1, attempt: 2, destination: 0 }),
        (107, Action::Answer { request: 1, attempt: 2, answer: Answer::Accepted }),
        (107, Action::Export { request: 1, records: 10, rejected: 0 }),
        (108, Action::Send { request: 2, attempt: 1, destination: 0 }),
        (108, Action::Answer { request: 2, attempt: 1, answer: Answer::Partial { rejected: 1 } }),
        (108, Action::Export { request: 2, records: 3, rejected: 1 }),
    ]
}

fn told() -> Account {
    Account { accepted: 14, exported: 13, rejected: 1, dropped: 0, queued: 0 }
}

fn follow(story: &[(u64, Action)], claimed: Account) -> Result<Conformance, Misfit> {
    let mut monitor = Monitor::new(rules());
    for (at, action) in story {
        monitor.observe(*at, action)?;
    }
    monitor.finish(claimed)
}

#[track_caller]
fn misfit(story: &[(u64, Action)]) -> (u64, Why) {
    let misfit = follow(story, told()).expect_err("must not conform");
    (misfit.index(), misfit.why())
}

#[test]
fn the_story_conforms_and_is_summed_up() {
    let conformance = follow(&story(), told()).expect("conforms");
    assert_eq!((conformance.events, conformance.requests, conformance.queued_requests), (11, 2, 0));
    assert_eq!((conformance.attempts, conformance.retries), (3, 1));
    assert!(conformance.to_string().contains("14 accepted, 13 exported, 1 rejected"), "{conformance}");
}

#[test]
fn a_story_with_any_one_event_removed_does_not_conform() {
    for index in 0..story().len() {
        let mut short = story();
        short.remove(index);
        assert!(follow(&short, told()).is_err(), "without event {index}");
    }
}

#[test]
fn a_story_with_any_one_event_told_twice_does_not_conform() {
    for index in 0..story().len() {
        let mut long = story();
        long.insert(index, long[index]);
        assert!(follow(&long, told()).is_err(), "event {index} twice");
    }
}

#[test]
fn an_early_retry_is_told_by_how_much_and_what_to_do_instead() {
    let mut early = story();
    early[5].0 = 106;
    let misfit = follow(&early, told()).expect_err("too early");
    assert_eq!((misfit.index(), misfit.why()), (5, Why::NotEnabled(Refusal::TooEarly { by: 1 })));
    assert!(misfit.allowed().contains(&"wait another 1".to_owned()), "{misfit}");
    assert!(misfit.event().is_some_and(|event| event.contains("at 106")), "{misfit}");
}

#[test]
fn a_second_request_sent_while_the_receiver_wants_none_is_refused() {
    let mut eager = story();
    eager.insert(5, (103, Action::Send { request: 2, attempt: 1, destination: 0 }));
    assert_eq!(misfit(&eager), (5, Why::NotEnabled(Refusal::Held { for_another: 4 })));
}

#[test]
fn a_skipped_attempt_is_refused() {
    let mut skipped = story();
    skipped[5].1 = Action::Send { request: 1, attempt: 3, destination: 0 };
    assert_eq!(misfit(&skipped), (5, Why::NotEnabled(Refusal::Attempt { expected: 2 })));
}

#[test]
fn a_wait_shorter_or_longer_than_asked_is_refused() {
    for not_before in [106, 108] {
        let mut wrong = story();
        wrong[4].1 = Action::ScheduleRetry { request: 1, attempt: 1, not_before };
        assert_eq!(misfit(&wrong), (4, Why::NotEnabled(Refusal::Wait { earliest: 107, latest: 107 })));
    }
}

#[test]
fn wrong_counts_are_refused() {
    let mut wrong = story();
    wrong[10].1 = Action::Export { request: 2, records: 4, rejected: 1 };
    assert_eq!(misfit(&wrong), (10, Why::NotEnabled(Refusal::Records { expected: 3 })));
    wrong[10].1 = Action::Export { request: 2, records: 4, rejected: 0 };
    assert_eq!(misfit(&wrong), (10, Why::NotEnabled(Refusal::Rejected { expected: 1 })));
    let claimed = Account { exported: 14, rejected: 0, ..told() };
    let misfit = follow(&story(), claimed).expect_err("another account");
    assert_eq!((misfit.index(), misfit.why()), (11, Why::Account { by_events: told(), claimed }));
}

#[test]
fn a_send_after_the_end_is_refused() {
    let mut again = story();
    again.push((200, Action::Send { request: 1, attempt: 3, destination: 0 }));
    assert_eq!(misfit(&again), (11, Why::NotEnabled(Refusal::Settled)));
}

#[test]
fn time_that_runs_back_is_refused() {
    let mut back = story();
    back[8].0 = 106;
    assert_eq!(misfit(&back), (8, Why::NotEnabled(Refusal::TimeRunsBack { by: 1 })));
}

#[test]
fn a_record_that_ends_between_an_answer_and_its_meaning_is_in_limbo() {
    let misfit = misfit(&story()[..10]);
    assert_eq!(misfit, (10, Why::InLimbo { request: 2 }));
    // While one that ends with a request in flight is just not done yet.
    let account = Account { accepted: 14, exported: 10, queued: 4, ..Account::default() };
    assert_eq!(follow(&story()[..9], account).map(|conformance| conformance.queued_requests), Ok(1));
}

#[test]
fn a_third_request_for_two_places_must_push_something_out() {
    let three = |last: &[(u64, Action)]| {
        let mut story: Vec<_> = (1..=3).map(|request| (5, Action::Enqueue { request, records: 1 })).collect();
        story.extend_from_slice(last);
        story
    };
    let drop = (5, Action::Drop { request: 1, records: 1, reason: Reason::QueueFull });
    let account = Account { accepted: 3, dropped: 1, queued: 2, ..Account::default() };
    assert!(follow(&three(&[drop]), account).is_ok());
    assert_eq!(misfit(&three(&[])), (3, Why::InLimbo { request: 3 }));
    let send = (5, Action::Send { request: 1, attempt: 1, destination: 0 });
    assert_eq!(misfit(&three(&[send])), (3, Why::NotEnabled(Refusal::NoRoom { request: 3 })));
    let unprovoked = [(5, Action::Enqueue { request: 1, records: 1 }), (6, drop.1)];
    let taken = (5, Action::Send { request: 1, attempt: 1, destination: 0 });
    assert_eq!(misfit(&[unprovoked[0], taken, unprovoked[1]]), (2, Why::NotEnabled(Refusal::Reason)));
}

#[test]
fn a_shutdown_takes_nothing_and_ends_with_nothing() {
    let story = [
        (1, Action::Enqueue { request: 1, records: 2 }),
        (1, Action::BeginShutdown { deadline: 3 }),
        (2, Action::Enqueue { request: 2, records: 3 }),
        (2, Action::Drop { request: 2, records: 3, reason: Reason::Closed }),
        (3, Action::Drop { request: 1, records: 2, reason: Reason::Shutdown }),
        (3, Action::Finish),
    ];
    let account = Account { accepted: 5, dropped: 5, ..Account::default() };
    assert!(follow(&story, account).is_ok());
    let mut hasty = story.to_vec();
    hasty.remove(4);
    assert_eq!(misfit(&hasty), (4, Why::NotEnabled(Refusal::Unsettled { requests: 1 })));
    let mut kept = story.to_vec();
    kept.remove(3);
    kept[3] = (2, Action::Send { request: 2, attempt: 1, destination: 0 });
    assert_eq!(misfit(&kept), (3, Why::NotEnabled(Refusal::NoRoom { request: 2 })));
}

fn breaker() -> BreakerRules {
    BreakerRules { failures: 1, cooldown_ticks: 3, trials: 1 }
}

/// A primary that fails, a fallback that takes over, and the primary's trial.
fn failover_story() -> Vec<(u64, Action)> {
    let send = |request, attempt, destination| Action::Send { request, attempt, destination };
    vec![
        (10, Action::Enqueue { request: 1, records: 1 }),
        (10, send(1, 1, 0)),
        (10, Action::Answer { request: 1, attempt: 1, answer: Answer::Lost }),
        (10, Action::ScheduleRetry { request: 1, attempt: 1, not_before: 11 }),
        (11, send(1, 2, 1)),
        (11, Action::Answer { request: 1, attempt: 2, answer: Answer::Accepted }),
        (11, Action::Export { request: 1, records: 1, rejected: 0 }),
        (13, Action::Enqueue { request: 2, records: 1 }),
        (13, send(2, 1, 0)),
    ]
}

fn follow_failover(story: &[(u64, Action)]) -> Result<Monitor, Misfit> {
    let rules = Rules { destinations: 2, breaker: Some(breaker()), ..rules() };
    let mut monitor = Monitor::new(rules);
    story.iter().try_for_each(|(at, action)| monitor.observe(*at, action))?;
    Ok(monitor)
}

#[track_caller]
fn refused_send(place: usize, at: u64, destination: u8) -> Refusal {
    let mut story = failover_story();
    let (slot_at, Action::Send { request, attempt, .. }) = story[place] else { panic!("no send") };
    story[place] = (at, Action::Send { request, attempt, destination });
    story.truncate(place + 1);
    let misfit = follow_failover(&story).expect_err("must not conform");
    assert_eq!(misfit.index(), place as u64, "{slot_at}");
    let Why::NotEnabled(refusal) = misfit.why() else { panic!("{misfit}") };
    refusal
}

#[test]
fn a_failover_and_the_return_to_the_primary_conform() {
    let monitor = follow_failover(&failover_story()).expect("conforms");
    assert_eq!(monitor.state().destination(0).breaker, Breaker::HalfOpen { successes: 0, trying: true });
}

#[test]
fn a_destination_that_is_not_the_first_usable_one_is_refused() {
    assert_eq!(refused_send(1, 10, 1), Refusal::NotFirst { usable: 0 });
    assert_eq!(refused_send(1, 10, 2), Refusal::Destination { destinations: 2 });
    assert_eq!(refused_send(4, 12, 0), Refusal::BreakerOpen { for_another: 1 });
    assert_eq!(refused_send(8, 13, 1), Refusal::NotFirst { usable: 0 });
    let mut second = failover_story();
    second.extend([
        (13, Action::Answer { request: 2, attempt: 1, answer: Answer::Lost }),
        (13, Action::ScheduleRetry { request: 2, attempt: 1, not_before: 14 }),
        (14, Action::Send { request: 2, attempt: 2, destination: 0 }),
    ]);
    let misfit = follow_failover(&second).expect_err("the trial failed");
    assert_eq!(misfit.why(), Why::NotEnabled(Refusal::BreakerOpen { for_another: 2 }));
}

#[test]
fn a_breaker_that_does_not_stand_as_claimed_is_told() {
    let mut monitor = follow_failover(&failover_story()[..4]).expect("conforms");
    assert!(monitor.observe_breaker(10, 0, Breaker::Open { until: 13 }).is_ok());
    for (destination, claimed) in
        [(0, Breaker::Open { until: 14 }), (0, Breaker::default()), (1, Breaker::Open { until: 13 })]
    {
        let misfit = monitor.observe_breaker(10, destination, claimed).expect_err("another state");
        assert!(matches!(misfit.why(), Why::Breaker { .. }), "{misfit}");
    }
}

#[test]
fn a_shutdown_may_be_brought_forward_and_drops_nothing_before_its_end() {
    let story = |last: &[(u64, Action)]| {
        let mut story = vec![
            (1, Action::Enqueue { request: 1, records: 2 }),
            (1, Action::Send { request: 1, attempt: 1, destination: 0 }),
            (1, Action::BeginShutdown { deadline: 5 }),
        ];
        story.extend_from_slice(last);
        story
    };
    let drop = Action::Drop { request: 1, records: 2, reason: Reason::Shutdown };
    let account = Account { accepted: 2, dropped: 2, ..Account::default() };
    assert!(follow(&story(&[(2, Action::AdvanceShutdown { deadline: 3 }), (3, drop)]), account).is_ok());
    assert_eq!(misfit(&story(&[(3, drop)])), (3, Why::NotEnabled(Refusal::Reason)));
    for deadline in [5, 6] {
        let later = story(&[(2, Action::AdvanceShutdown { deadline })]);
        assert_eq!(misfit(&later), (3, Why::NotEnabled(Refusal::NotForward { deadline: 5 })));
    }
}
