use super::*;
use crate::spec::export_retry::{Answer, Reason};

fn rules() -> Rules {
    Rules { max_elapsed_ticks: 10, ..Rules::small() }
}

const BUSY: Answer = Answer::Busy { retry_after: Some(5) };

/// A request that is refused for now and taken the second time, and another that is rejected in part.
fn story() -> Vec<(u64, Action)> {
    vec![
        (100, Action::Enqueue { request: 1, records: 10 }),
        (100, Action::Send { request: 1, attempt: 1 }),
        (101, Action::Enqueue { request: 2, records: 4 }),
        (102, Action::Answer { request: 1, attempt: 1, answer: BUSY }),
        (102, Action::ScheduleRetry { request: 1, attempt: 1, not_before: 107 }),
        (107, Action::Send { request: 1, attempt: 2 }),
        (107, Action::Answer { request: 1, attempt: 2, answer: Answer::Accepted }),
        (107, Action::Export { request: 1, records: 10, rejected: 0 }),
        (108, Action::Send { request: 2, attempt: 1 }),
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
    eager.insert(5, (103, Action::Send { request: 2, attempt: 1 }));
    assert_eq!(misfit(&eager), (5, Why::NotEnabled(Refusal::Held { for_another: 4 })));
}

#[test]
fn a_skipped_attempt_is_refused() {
    let mut skipped = story();
    skipped[5].1 = Action::Send { request: 1, attempt: 3 };
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
    again.push((200, Action::Send { request: 1, attempt: 3 }));
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
    let send = (5, Action::Send { request: 1, attempt: 1 });
    assert_eq!(misfit(&three(&[send])), (3, Why::NotEnabled(Refusal::NoRoom { request: 3 })));
    let unprovoked = [(5, Action::Enqueue { request: 1, records: 1 }), (6, drop.1)];
    let taken = (5, Action::Send { request: 1, attempt: 1 });
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
    kept[3] = (2, Action::Send { request: 2, attempt: 1 });
    assert_eq!(misfit(&kept), (3, Why::NotEnabled(Refusal::NoRoom { request: 2 })));
}
