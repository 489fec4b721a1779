use proptest::prelude::*;

use super::*;

const MEASURE: Measure = Measure { along: 190.0, across: 76.0, layer_gap: 60.0, node_gap: 20.0 };

/// Any directed graph: cycles, edges to oneself and edges given twice among them.
fn graphs() -> impl Strategy<Value = (usize, Vec<(usize, usize)>)> {
    (1_usize..14).prop_flat_map(|count| (Just(count), prop::collection::vec((0..count, 0..count), 0..30)))
}

fn overlap(a: Point, b: Point) -> bool {
    (a.along - b.along).abs() < MEASURE.along - 1e-6 && (a.across - b.across).abs() < MEASURE.across - 1e-6
}

/// Pairs of nodes that cover each other, and straight passages of edges that run through a node.
fn faults(layout: &Layout) -> Vec<String> {
    let mut met = Vec::new();
    for (i, &a) in layout.nodes.iter().enumerate() {
        for (j, &b) in layout.nodes.iter().enumerate().skip(i + 1) {
            if overlap(a, b) {
                met.push(format!("nodes {i} and {j} overlap"));
            }
        }
        for (route, points) in layout.routes.iter().enumerate() {
            for passage in points.windows(2).filter(|ends| ends[0].across == ends[1].across) {
                let middle = f64::midpoint(passage[0].along, passage[1].along);
                let inside_along = middle > a.along && middle < a.along + MEASURE.along;
                let inside_across =
                    passage[0].across > a.across && passage[0].across < a.across + MEASURE.across;
                if inside_along && inside_across {
                    met.push(format!("edge {route} runs through node {i}"));
                }
            }
        }
    }
    met
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_node_covers_another_and_no_edge_runs_through_one((count, edges) in graphs()) {
        let layout = arrange(count, &edges, MEASURE);
        prop_assert_eq!(layout.nodes.len(), count);
        prop_assert_eq!(faults(&layout), Vec::<String>::new());
    }

    #[test]
    fn everything_lies_within_the_extent((count, edges) in graphs()) {
        let layout = arrange(count, &edges, MEASURE);
        for node in &layout.nodes {
            prop_assert!(node.along >= 0.0 && node.across >= -1e-6);
            prop_assert!(node.along + MEASURE.along <= layout.extent.along + 1e-6);
            prop_assert!(node.across + MEASURE.across <= layout.extent.across + 1e-6);
        }
        for point in layout.routes.iter().flatten() {
            prop_assert!(point.along >= 0.0 && point.along <= layout.extent.along + 1e-6);
            prop_assert!(point.across >= -1e-6 && point.across <= layout.extent.across + 1e-6);
        }
    }

    #[test]
    fn each_edge_begins_at_its_caller_and_ends_at_its_callee((count, edges) in graphs()) {
        let layout = arrange(count, &edges, MEASURE);
        for (&(from, to), route) in edges.iter().zip(&layout.routes) {
            if from == to {
                prop_assert!(route.is_empty());
                continue;
            }
            for (node, end) in [(from, route[0]), (to, route[route.len() - 1])] {
                let corner = layout.nodes[node];
                let sides = [corner.along, corner.along + MEASURE.along];
                prop_assert!(sides.iter().any(|side| (side - end.along).abs() < 1e-6));
                prop_assert!(end.across >= corner.across && end.across <= corner.across + MEASURE.across);
            }
        }
    }

    #[test]
    fn without_cycles_every_edge_points_along_the_flow((count, edges) in graphs()) {
        let downward: Vec<(usize, usize)> = edges.into_iter().filter(|(from, to)| from < to).collect();
        let layout = arrange(count, &downward, MEASURE);
        for (from, to) in downward {
            prop_assert!(layout.nodes[from].along < layout.nodes[to].along);
        }
    }

    #[test]
    fn the_same_graph_is_always_drawn_the_same((count, edges) in graphs()) {
        prop_assert_eq!(arrange(count, &edges, MEASURE), arrange(count, &edges, MEASURE));
    }
}

#[test]
fn the_check_for_overlap_notices_one() {
    let mut layout = arrange(3, &[(0, 1), (0, 2)], MEASURE);
    assert_eq!(faults(&layout), Vec::<String>::new());
    layout.nodes[2].across = layout.nodes[1].across + 10.0;
    assert_eq!(faults(&layout), ["nodes 1 and 2 overlap"]);
}

#[test]
fn the_check_for_edges_through_nodes_notices_one() {
    let mut layout = arrange(3, &[(0, 1), (1, 2), (0, 2)], MEASURE);
    assert_eq!(faults(&layout), Vec::<String>::new());
    let centre = layout.nodes[1].across + MEASURE.across / 2.0;
    for point in &mut layout.routes[2] {
        point.across = centre;
    }
    assert!(faults(&layout).contains(&"edge 2 runs through node 1".to_owned()), "{:?}", faults(&layout));
}

#[test]
fn a_shop_stands_in_four_layers_without_crossings() {
    // gateway, order, inventory, payment, cache, db
    let edges = [(0, 1), (1, 2), (1, 3), (2, 4), (2, 5), (3, 5)];
    let layout = arrange(6, &edges, MEASURE);
    let layer = |node: usize| (layout.nodes[node].along / (MEASURE.along + MEASURE.layer_gap)).round();
    assert_eq!([0, 1, 2, 3, 4, 5].map(layer), [0.0, 1.0, 2.0, 2.0, 3.0, 3.0]);
    assert!(layout.extent.across <= 3.0 * MEASURE.across, "{:?}", layout.extent);
    let ends = [(0, 1), (0, 2), (1, 2), (1, 3)]
        .map(|(from, to): (usize, usize)| (layout.nodes[from].across, layout.nodes[to].across));
    assert_eq!(crossings_between(&ends[2..]), 0);
}

#[test]
fn sweeps_undo_the_crossings_of_a_bad_order() {
    // Two callers, each of two callees listed the wrong way round.
    let edges = [(0, 4), (0, 5), (1, 2), (1, 3)];
    let layout = arrange(6, &edges, MEASURE);
    let ends: Vec<(f64, f64)> =
        edges.iter().map(|&(from, to)| (layout.nodes[from].across, layout.nodes[to].across)).collect();
    assert_eq!(crossings_between(&ends), 0);
    assert_eq!(crossings_between(&[(0.0, 1.0), (1.0, 0.0)]), 1);
}

#[test]
fn nothing_and_a_single_node_are_laid_out_too() {
    assert_eq!(arrange(0, &[], MEASURE).extent, Point { along: 0.0, across: 0.0 });
    let single = arrange(1, &[(0, 0)], MEASURE);
    assert_eq!(single.nodes, [Point { along: 0.0, across: 0.0 }]);
    assert_eq!(single.extent, Point { along: MEASURE.along, across: MEASURE.across });
}
