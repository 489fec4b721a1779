use std::cell::Cell;
use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

/// A graph given by its edges, so that a plain search can be asked the same question.
#[derive(Debug, Clone)]
struct Graph {
    init: Vec<u16>,
    edges: Vec<Vec<u16>>,
    may_stop: bool,
}

impl Model for Graph {
    type State = u16;
    type Action = u16;

    fn init_states(&self) -> Vec<u16> {
        self.init.clone()
    }

    fn actions(&self, state: &u16, out: &mut Vec<u16>) {
        out.extend_from_slice(&self.edges[usize::from(*state)]);
    }

    fn step(&self, _: &u16, action: &u16) -> Option<u16> {
        Some(*action)
    }

    fn may_stop(&self, _: &u16) -> bool {
        self.may_stop
    }
}

fn line(length: u16) -> Graph {
    let edges = (0..length).map(|at| if at + 1 < length { vec![at + 1] } else { vec![] }).collect();
    Graph { init: vec![0], edges, may_stop: true }
}

fn never(bad: u16) -> Always<Graph> {
    Always::new("Never", move |_, state| *state != bad)
}

const BOTH: [Dedup; 2] = [Dedup::FullStates, Dedup::Fingerprints];

#[test]
fn a_line_of_states_is_counted_as_tlc_counts() {
    for dedup in BOTH {
        let report = Bfs::new(&line(5)).dedup(dedup).run();
        assert_eq!(report.counts(), Counts { generated: 5, distinct: 5, depth: 5, queued: 0 });
        assert!(report.is_verified());
    }
}

#[test]
fn a_state_with_no_way_out_is_a_deadlock_unless_the_model_may_stop_there() {
    for dedup in BOTH {
        let graph = Graph { may_stop: false, ..line(4) };
        let report = Bfs::new(&graph).dedup(dedup).run();
        let Verdict::Deadlock { trace } = report.verdict() else { panic!("{report}") };
        assert_eq!((trace.state_count(), *trace.last()), (4, 3));
        assert!(trace.is_run_of(&graph));
        assert!(Bfs::new(&line(4)).dedup(dedup).run().is_verified());
    }
}

#[test]
fn no_initial_state_is_not_a_success() {
    let report = Bfs::new(&Graph { init: vec![], ..line(3) }).always([never(9)]).run();
    assert!(!report.is_verified(), "{report}");
    assert_eq!(report.counts(), Counts::default());
}

#[test]
fn a_violation_in_an_initial_state_is_a_run_of_one_state() {
    let report = Bfs::new(&line(3)).always([never(0)]).run();
    assert_eq!(report.counterexample().map(Trace::state_count), Some(1));
}

#[test]
fn of_two_ways_the_shorter_is_shown() {
    let graph =
        Graph { init: vec![0], edges: vec![vec![1, 4], vec![2], vec![3], vec![4], vec![]], may_stop: true };
    let report = Bfs::new(&graph).always([never(4)]).run();
    assert_eq!(report.counterexample().map(Trace::state_count), Some(2));
}

#[test]
fn a_limit_on_states_is_exact_and_is_not_success() {
    for dedup in BOTH {
        let enough = Bfs::new(&line(100)).dedup(dedup).limits(Limits::default().max_states(100)).run();
        assert!(enough.is_verified(), "{enough}");
        let short = Bfs::new(&line(100)).dedup(dedup).limits(Limits::default().max_states(99)).run();
        assert_eq!(*short.verdict(), Verdict::NotExhausted { stop: Stop::States });
        assert_eq!(short.counts().distinct, 99);
        assert!(!short.is_verified());
    }
}

#[test]
fn a_limit_on_depth_is_exact_and_is_not_success() {
    for dedup in BOTH {
        let enough = Bfs::new(&line(10)).dedup(dedup).limits(Limits::default().max_depth(10)).run();
        assert!(enough.is_verified(), "{enough}");
        let short = Bfs::new(&line(10)).dedup(dedup).limits(Limits::default().max_depth(9)).run();
        assert_eq!(*short.verdict(), Verdict::NotExhausted { stop: Stop::Depth });
        assert_eq!((short.counts().distinct, short.counts().depth), (9, 9));
    }
}

#[test]
fn the_last_level_is_still_searched_for_deadlocks() {
    // 0 leads to 1 and 2; 1 leads on, behind the limit; 2 is stuck.
    let graph = Graph { init: vec![0], edges: vec![vec![1, 2], vec![3], vec![], vec![3]], may_stop: false };
    let report = Bfs::new(&graph).limits(Limits::default().max_depth(2)).run();
    assert!(matches!(report.verdict(), Verdict::Deadlock { trace } if *trace.last() == 2), "{report}");
}

/// Counts up, and says that each state owns a megabyte.
struct Heavy;

impl Model for Heavy {
    type State = u64;
    type Action = ();

    fn init_states(&self) -> Vec<u64> {
        vec![0]
    }

    fn actions(&self, _: &u64, out: &mut Vec<()>) {
        out.push(());
    }

    fn step(&self, state: &u64, (): &()) -> Option<u64> {
        Some(state + 1)
    }

    fn state_heap_bytes(&self, _: &u64) -> usize {
        1 << 20
    }
}

#[test]
fn a_limit_on_memory_counts_what_states_own_and_is_not_success() {
    let report = Bfs::new(&Heavy).limits(Limits::default().max_memory_bytes(50 << 20)).run();
    assert_eq!(*report.verdict(), Verdict::NotExhausted { stop: Stop::Memory });
    assert!((45..=51).contains(&report.counts().distinct), "{report}");
}

#[test]
fn a_limit_on_memory_counts_states_and_table() {
    for dedup in BOTH {
        let limits = Limits::default().max_memory_bytes(1 << 20);
        let report = Bfs::new(&line(60_000)).dedup(dedup).limits(limits).run();
        assert_eq!(*report.verdict(), Verdict::NotExhausted { stop: Stop::Memory });
    }
}

/// Answers differently the second time.
struct Moody(Cell<u32>);

impl Model for Moody {
    type State = u32;
    type Action = ();

    fn init_states(&self) -> Vec<u32> {
        vec![0]
    }

    fn actions(&self, _: &u32, out: &mut Vec<()>) {
        out.push(());
    }

    fn step(&self, _: &u32, (): &()) -> Option<u32> {
        self.0.set(self.0.get() + 1);
        Some(self.0.get())
    }
}

#[test]
fn a_model_that_changes_its_mind_is_told_so() {
    let property = Always::new("Below", |_, state| *state < 5);
    let report = Bfs::new(&Moody(Cell::new(0))).always([property]).run();
    assert_eq!(*report.verdict(), Verdict::NotExhausted { stop: Stop::ModelNotPure });
}

#[test]
fn the_first_property_that_fails_is_named_and_the_report_shows_the_run() {
    let report = Bfs::new(&line(4)).always([Always::new("Fine", |_, _| true), never(2)]).run();
    let text = report.to_string();
    assert!(
        text.starts_with("Never violated (3 generated, 3 distinct, depth 3, 1 left)\n1: initial"),
        "{text}"
    );
}

/// Levels and edge counts by a plain search over sets, sharing no code with the explorer.
fn plain_search(graph: &Graph) -> (Counts, Vec<Option<usize>>) {
    let mut level_of = vec![None; graph.edges.len()];
    let mut level: Vec<u16> = graph.init.clone();
    let (mut generated, mut depth) = (graph.init.len() as u64, 0);
    let mut seen = HashSet::new();
    while !level.is_empty() {
        depth += 1;
        let fresh: Vec<u16> = level.into_iter().filter(|state| seen.insert(*state)).collect();
        if fresh.is_empty() {
            depth -= 1;
            break;
        }
        level = Vec::new();
        for state in fresh {
            level_of[usize::from(state)] = Some(depth);
            generated += graph.edges[usize::from(state)].len() as u64;
            level.extend_from_slice(&graph.edges[usize::from(state)]);
        }
    }
    let counts = Counts { generated, distinct: seen.len() as u64, depth: depth as u64, queued: 0 };
    (counts, level_of)
}

fn graph() -> impl Strategy<Value = Graph> {
    (1_u16..40).prop_flat_map(|states| {
        let edges = prop::collection::vec(prop::collection::vec(0..states, 0..4), usize::from(states));
        let init = prop::collection::vec(0..states, 1..3);
        (init, edges).prop_map(|(init, edges)| Graph { init, edges, may_stop: true })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_graph_is_counted_as_a_plain_search_counts_it(graph in graph()) {
        let (counts, _) = plain_search(&graph);
        for dedup in BOTH {
            prop_assert_eq!(Bfs::new(&graph).dedup(dedup).run().counts(), counts);
        }
    }

    #[test]
    fn a_counterexample_is_a_run_of_the_model_and_as_short_as_the_distance(graph in graph(), bad in 0_u16..40) {
        let (_, level_of) = plain_search(&graph);
        let distance = level_of.get(usize::from(bad)).copied().flatten();
        for dedup in BOTH {
            let report = Bfs::new(&graph).dedup(dedup).always([never(bad)]).run();
            prop_assert_eq!(report.counterexample().map(Trace::state_count), distance);
            if let Some(trace) = report.counterexample() {
                prop_assert!(trace.is_run_of(&graph));
                prop_assert_eq!(*trace.last(), bad);
            }
        }
    }
}
