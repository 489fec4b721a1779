use proptest::prelude::*;

use super::*;

const fn at(seconds: u64) -> Now {
    Duration::from_secs(seconds)
}

fn watch() -> Watch {
    let limits = ReceiverLimits::default()
        .header_timeout(at(10))
        .idle_timeout(at(100))
        .write_timeout(at(20))
        .connection_timeout(at(1000))
        .min_connection_time(at(1));
    Watch::new(&limits, at(0))
}

#[test]
fn each_kind_of_waiting_has_its_own_end() {
    let fresh = watch();
    assert_eq!(fresh.due(), (at(10), End::Silent));
    let mut head = fresh.clone();
    head.received(at(4), 1);
    head.received(at(9), 1);
    assert_eq!(head.due(), (at(14), End::SlowHead), "from its first byte, whatever follows");
    let mut open = head.clone();
    open.begun();
    assert_eq!(open.due(), (at(1000), End::Aged), "a body has its own time");
    open.whole();
    assert_eq!(open.due(), (at(1000), End::Aged), "so has a handler");
    open.over(at(50), true, Over::Served);
    assert_eq!(open.due(), (at(150), End::Idle));
    open.received(at(60), 1);
    assert_eq!(open.due(), (at(70), End::SlowHead), "the next head");
    let mut http2 = head;
    http2.http2(at(5));
    http2.received(at(6), 1);
    assert_eq!(http2.due(), (at(105), End::Idle), "frames beside a request are no head");
}

#[test]
fn who_does_not_read_is_cut_off_and_who_reads_again_is_not() {
    let mut watch = watch();
    watch.begun();
    watch.blocked(at(5), true);
    watch.blocked(at(15), true);
    assert_eq!(watch.due(), (at(25), End::Stalled), "since it began");
    watch.blocked(at(16), false);
    assert_eq!(watch.due(), (at(1000), End::Aged));
}

#[test]
fn who_was_asked_to_go_may_end_its_requests_first() {
    let mut watch = watch();
    watch.begun();
    watch.leave(at(1000));
    watch.leave(at(1005));
    assert_eq!(watch.due().0, Now::MAX);
    watch.over(at(1500), false, Over::Served);
    assert_eq!((watch.due(), watch.end(at(1509))), ((at(1510), End::Lingers), None));
}

#[test]
fn bytes_without_requests_are_a_flood_and_bodies_are_not() {
    let mut watch = watch();
    watch.http2(at(0));
    let spare = watch.spare_bytes;
    watch.received(at(0), spare - 1);
    assert_eq!(watch.end(at(0)), None);
    watch.received(at(0), 1);
    assert_eq!(watch.end(at(0)), Some(End::Flood));
    watch.body(1000);
    assert_eq!(watch.end(at(0)), Some(End::Flood), "for good");
    // A body of 16 GiB in frames of 16 KiB; and one in frames of one byte, which is a flood.
    for (frame, frames, is_flood) in [(16 << 10, 1 << 20, false), (1, 1 << 20, true)] {
        let mut watch = self::watch();
        watch.begun();
        for _ in 0..frames {
            watch.received(at(0), frame + 9);
            watch.body(frame);
        }
        assert_eq!(watch.is_flood(), is_flood, "frames of {frame}");
    }
}

#[test]
fn requests_given_up_are_a_flood_and_requests_answered_are_not() {
    let mut watch = watch();
    watch.http2(at(0));
    for _ in 0..SPARE_RESETS - 1 {
        watch.begun();
        watch.over(at(0), false, Over::GivenUp);
    }
    assert_eq!(watch.end(at(0)), None);
    // One in two answered can go on for ever.
    for number in 0..10 * SPARE_RESETS {
        watch.begun();
        watch.over(at(0), false, if number % 2 == 0 { Over::Refused } else { Over::GivenUp });
    }
    assert_eq!(watch.end(at(0)), None);
    for _ in 0..2 {
        watch.begun();
        watch.over(at(0), false, Over::GivenUp);
    }
    assert_eq!(watch.end(at(0)), Some(End::Flood));
}

#[test]
fn strangers_make_room_first_and_who_is_being_answered_never() {
    let [mut stranger, mut slow, mut idle, mut sending, mut answering] = [(); 5].map(|()| watch());
    stranger.received(at(1), 20);
    slow.begun();
    for known in [&mut idle, &mut sending] {
        known.begun();
        known.over(at(2), false, Over::Served);
    }
    sending.begun();
    answering.begun();
    answering.whole();
    let all = [answering, sending, idle, slow, stranger];
    let now = at(50);
    let mut left: Vec<_> = all.iter().map(|watch| watch.worth(now)).collect();
    let mut order = Vec::new();
    while let Some(next) = least_worthy(left.iter().copied().enumerate()) {
        order.push(next);
        left[next] = None;
    }
    assert_eq!(order, [4, 3, 2, 1]);
}

#[test]
fn of_equals_the_oldest_makes_room_and_nobody_before_its_time() {
    let limits = ReceiverLimits::default().min_connection_time(at(1));
    let ages = [30, 10, 20].map(|began| Watch::new(&limits, at(began)));
    let choose = |now| least_worthy(ages.iter().map(|watch| watch.worth(now)).enumerate());
    assert_eq!(choose(at(40)), Some(1));
    let young = [Watch::new(&limits, at(40))];
    let millis = Duration::from_millis;
    let choose = |now| least_worthy(young.iter().map(|watch| watch.worth(now)).enumerate());
    assert_eq!((choose(millis(40_999)), choose(at(41))), (None, Some(0)));
}

#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    Received(usize),
    Begun,
    Whole,
    Over(bool, Over),
    Blocked(bool),
    Leave,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_u64..40).prop_map(Step::Wait),
        (0_usize..5000).prop_map(Step::Received),
        Just(Step::Begun),
        Just(Step::Whole),
        (any::<bool>(), prop::sample::select(vec![Over::GivenUp, Over::Refused, Over::Served]))
            .prop_map(|(whole, over)| Step::Over(whole, over)),
        any::<bool>().prop_map(Step::Blocked),
        Just(Step::Leave),
    ]
}

proptest! {
    /// Whatever happens, a connection without a request has an end near enough, and one that is being answered
    /// is cut off only for what its client does not read, or floods.
    #[test]
    fn no_connection_waits_for_ever_and_no_answer_is_cut_off(steps in prop::collection::vec(step(), 0..60), http2: bool) {
        let (mut watch, mut now) = (watch(), at(0));
        let (mut reading, mut handling, mut is_blocked) = (0_u32, 0_u32, false);
        if http2 {
            watch.http2(now);
        }
        for step in steps {
            match step {
                Step::Wait(seconds) => now += at(seconds),
                Step::Received(bytes) => watch.received(now, bytes),
                Step::Begun => { watch.begun(); reading += 1; }
                Step::Whole if reading > 0 => { watch.whole(); reading -= 1; handling += 1; }
                Step::Over(false, answered) if reading > 0 => { watch.over(now, false, answered); reading -= 1; }
                Step::Over(true, answered) if handling > 0 => { watch.over(now, true, answered); handling -= 1; }
                Step::Blocked(blocked) => { watch.blocked(now, blocked); is_blocked = blocked; }
                Step::Leave => watch.leave(now),
                Step::Whole | Step::Over(..) => {}
            }
            let (due, end) = watch.due();
            if reading + handling == 0 {
                prop_assert!(due <= now + at(100), "{due:?} {end:?} at {now:?}");
            } else {
                prop_assert!(is_blocked == (end == End::Stalled) || matches!(end, End::Aged | End::Lingers));
            }
            prop_assert_eq!(watch.worth(now).is_some() && handling > 0, false);
        }
    }
}
