//! The tree held together with its definition.

use proptest::prelude::*;

use super::*;

/// A tree of points on a small lattice, so that some are equal, after inserts and removals; and what it should hold.
fn changed(steps: &[(bool, [u8; 3])], seed: u64) -> (Tree, Vec<Vec<f32>>) {
    let (mut tree, mut random) = (Tree::new(64, 3), Random::new(seed));
    let mut held: Vec<(LeafId, Vec<f32>)> = Vec::new();
    for (remove, coordinates) in steps {
        if *remove && !held.is_empty() {
            let (leaf, _) = held.swap_remove(usize::from(coordinates[0]) % held.len());
            tree.remove::<0>(leaf);
        } else if held.len() < 64 {
            let point: Vec<f32> = coordinates.iter().map(|value| f32::from(value % 8) * 0.37).collect();
            let leaf = insert(&mut tree, &point, &mut random);
            held.push((leaf, point));
        }
    }
    (tree, held.into_iter().map(|(_, point)| point).collect())
}

/// All that hangs below, having looked at every box, side and cut on the way.
fn check(tree: &Tree, child: Child) -> Vec<Vec<f32>> {
    if child.is_leaf() {
        return vec![tree.point(child).to_vec(); tree.masses[child.place()] as usize];
    }
    let (node, (low, high)) = (tree.nodes[child.place()], tree.bounds::<0>(child.place()));
    let dimension = usize::from(node.dimension);
    let (left, right) = (check(tree, node.left), check(tree, node.right));
    assert!(left.iter().all(|point| point[dimension] <= node.at), "left of the cut");
    assert!(right.iter().all(|point| point[dimension] > node.at), "right of the cut");
    let all: Vec<Vec<f32>> = left.into_iter().chain(right).collect();
    let mut length = 0.0;
    for dimension in 0..tree.width {
        let values = || all.iter().map(|point| point[dimension]);
        let (least, most) = (values().fold(f32::MAX, f32::min), values().fold(f32::MIN, f32::max));
        assert_eq!((low[dimension], high[dimension]), (least, most), "the box is that of the points");
        length += most - least;
    }
    assert!((node.sides - length).abs() < 1e-4, "{} and {length}", node.sides);
    all
}

fn sorted(mut points: Vec<Vec<f32>>) -> Vec<Vec<f32>> {
    points.sort_by(|a, b| a.partial_cmp(b).unwrap());
    points
}

/// The way of a point, scored.
fn scored(tree: &Tree, point: &[f32], mass: u32) -> (Way, f32) {
    let mut way = Way::NEW;
    tree.begin(&mut way);
    Tree::descend(slice::from_ref(tree), slice::from_mut(&mut way), point);
    let score = tree.score::<0>(&mut way, point, mass);
    (way, score)
}

fn score(tree: &Tree, point: &[f32], mass: u32) -> f32 {
    scored(tree, point, mass).1
}

fn insert(tree: &mut Tree, point: &[f32], random: &mut Random) -> LeafId {
    let (mut way, _) = scored(tree, point, 1);
    tree.insert::<0>(&mut way, point, random)
}

/// The score by its definition, from the leaf upwards.
fn by_definition(tree: &Tree, (child, depth): (Child, usize), point: &[f32], mass: u32) -> f32 {
    if child.is_leaf() {
        let equal = tree.masses[child.place()];
        return if tree.point(child) == point {
            seen(depth, equal, mass)
        } else {
            1.0 / (depth as f32 + 1.0)
        };
    }
    let (node, (low, high)) = (tree.nodes[child.place()], tree.bounds::<0>(child.place()));
    let below = by_definition(tree, (node.side(point), depth + 1), point, mass);
    let out: f32 =
        (0..tree.width).map(|i| (low[i] - point[i]).max(0.0) + (point[i] - high[i]).max(0.0)).sum();
    let cut = out / (out + node.sides);
    cut / (depth as f32 + 1.0) + (1.0 - cut) * below
}

proptest! {
    #[test]
    fn after_any_changes_the_tree_is_one_of_its_points(
        steps in prop::collection::vec((prop::bool::weighted(0.4), any::<[u8; 3]>()), 1..200),
        seed: u64,
    ) {
        let (tree, held) = changed(&steps, seed);
        let mut places = held.clone();
        places.sort_by(|a, b| a.partial_cmp(b).unwrap());
        places.dedup();
        let found = if tree.root == NONE { Vec::new() } else { check(&tree, tree.root) };
        prop_assert_eq!(sorted(found), sorted(held));
        prop_assert_eq!(tree.masses.len() - tree.free_leaves.len(), places.len());
        prop_assert_eq!(tree.nodes.len() - tree.free_nodes.len(), places.len().saturating_sub(1));
    }

    #[test]
    fn a_score_is_what_its_definition_says_and_the_shares_add_up_to_it(
        steps in prop::collection::vec((prop::bool::weighted(0.2), any::<[u8; 3]>()), 1..100),
        point: [u8; 3],
        seed: u64,
    ) {
        let (tree, held) = changed(&steps, seed);
        prop_assume!(!held.is_empty());
        let mass = u32::try_from(held.len()).unwrap();
        let point = point.map(|value| f32::from(value % 12) * 0.37);
        let score = score(&tree, &point, mass);
        let expected = by_definition(&tree, (tree.root, 0), &point, mass);
        prop_assert!((score - expected).abs() < 1e-5, "{score} and {expected}");
        let mut shares = [(0.0, 0.0); 3];
        tree.attribute(&point, &mut shares);
        let total: f64 = shares.iter().map(|(low, high)| low + high).sum();
        if held.contains(&point.to_vec()) {
            prop_assert!(total <= f64::from(score) + 1e-5);
        } else {
            prop_assert!((total - f64::from(score)).abs() < 1e-5, "{total} and {score}");
        }
    }
}

/// The mean score of a point over many trees of the same points, each made by inserting them in an order of its own.
fn mean_score(others: &[[f32; 1]], removed: &[[f32; 1]], point: f32) -> f32 {
    let mut sum = 0.0;
    for seed in 0..1_500 {
        let (mut tree, mut random) = (Tree::new(64, 1), Random::new(seed));
        let mut all: Vec<[f32; 1]> = others.iter().chain(removed).copied().collect();
        all.rotate_left(usize::try_from(seed).unwrap() % others.len());
        let leaves: Vec<LeafId> = all.iter().map(|point| insert(&mut tree, point, &mut random)).collect();
        for (leaf, point) in leaves.iter().zip(&all) {
            if removed.contains(point) {
                tree.remove::<0>(*leaf);
            }
        }
        sum += score(&tree, &[point], u32::try_from(others.len()).unwrap());
    }
    sum / 1_500.0
}

#[test]
fn trees_are_distributed_as_if_removed_points_had_never_been() {
    let others: Vec<[f32; 1]> = [0.0, 1.0, 1.5, 2.0, 4.0, 7.0, 7.1].map(|value| [value]).to_vec();
    for point in [-3.0, 0.5, 3.0, 9.0] {
        let with = mean_score(&others, &[[-2.0], [3.1], [30.0]], point);
        let without = mean_score(&others, &[], point);
        assert!((with - without).abs() < 0.02, "{point}: {with} and {without}");
        // The planted fault: points that stay change the score by far more.
        let stayed: Vec<[f32; 1]> = others.iter().copied().chain([[-2.0], [3.1], [30.0]]).collect();
        assert!(point == 0.5 || (mean_score(&stayed, &[], point) - without).abs() > 0.02);
    }
}

#[test]
fn three_points_have_the_scores_that_can_be_worked_out_by_hand() {
    // Of 0 and 1 with a point at 3: the cut of 0..3 parts it from both with probability 2/3, or below them both.
    let mean = mean_score(&[[0.0], [1.0]], &[], 3.0);
    let expected = 2.0 / 3.0 + 1.0 / 3.0 * 0.5;
    assert!((mean - expected).abs() < 2e-2, "{mean} and {expected}");
}

/// A tree of points each about half as far out again as the one before, in which ways are deeper than one holds nodes; worked on with
/// loops of `N` coordinates.
fn deep<const N: usize>(width: usize, seed: u64) -> Tree {
    let (mut tree, mut random) = (Tree::new(512, width), Random::new(seed));
    let mut leaves = Vec::new();
    for nth in 0..480_u16 {
        let point = vec![2.0_f32.powf(f32::from(nth * 37 % 480) / 2.0 - 140.0); width];
        let (mut way, score) = scored(&tree, &point, 1);
        let again = tree.score::<N>(&mut way, &point, 1);
        assert_eq!(again.to_bits(), score.to_bits());
        leaves.push(tree.insert::<N>(&mut way, &point, &mut random));
    }
    assert!(tree.is_sound());
    leaves.iter().step_by(9).for_each(|leaf| tree.remove::<N>(*leaf));
    assert!(tree.is_sound());
    tree
}

#[test]
fn ways_deeper_than_one_holds_and_loops_of_known_length_change_nothing() {
    for seed in 0..5 {
        assert!(deep::<1>(1, seed) == deep::<0>(1, seed));
        assert!(deep::<8>(8, seed) == deep::<0>(8, seed));
        // The twin: another seed makes another tree.
        assert!(deep::<8>(8, seed) != deep::<0>(8, seed + 1));
        let (tree, mut depth) = (deep::<1>(1, seed), 0);
        let mut child = tree.root;
        while !child.is_leaf() {
            (child, depth) = (tree.nodes[child.place()].left, depth + 1);
        }
        assert!(depth > DEEPEST, "{depth}");
        let (way, score) = scored(&tree, &[0.0], 1);
        assert!(way.depth == DEEPEST && (0.0..1.0).contains(&score));
    }
}
