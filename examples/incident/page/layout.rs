//! Where the services of a graph stand and where their edges run.
//!
//! The layered method of Sugiyama, Tagawa and Toda (1981): cycles are cut, nodes get a layer by the longest path
//! to them, long edges get a place in every layer they pass, layers are reordered by barycentres until crossings
//! stop falling, and each layer is then moved as close to its neighbours as order and distance allow; that last
//! step is an isotonic regression (pool adjacent violators), so nothing can overlap. Coordinates are `along`
//! the flow and `across` it, so that one layout serves a wide page and a narrow one.
#![expect(
    clippy::indexing_slicing,
    reason = "every index is made here and below the length of what it indexes"
)]

/// How large things are and how far apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measure {
    /// Size of a node along the flow.
    pub(crate) along: f64,
    /// Size of a node across the flow.
    pub(crate) across: f64,
    /// Distance between layers.
    pub(crate) layer_gap: f64,
    /// Distance between nodes of a layer.
    pub(crate) node_gap: f64,
}

/// A point of the layout.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    /// Along the flow.
    pub(crate) along: f64,
    /// Across the flow.
    pub(crate) across: f64,
}

/// Where everything is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layout {
    /// The corner of each node that is nearest to the origin.
    pub(crate) nodes: Vec<Point>,
    /// The way of each edge, from caller to callee; empty for an edge from a node to itself.
    pub(crate) routes: Vec<Vec<Point>>,
    /// The far corner of everything.
    pub(crate) extent: Point,
}

const SWEEPS: usize = 12;

/// A node, or the place where a long edge passes a layer.
#[derive(Debug, Clone)]
struct Vertex {
    layer: usize,
    is_node: bool,
    before: Vec<usize>,
    after: Vec<usize>,
}

/// Lays out `count` nodes and the edges between them; edges name nodes below `count`. O(sweeps × edges²).
pub(crate) fn arrange(count: usize, edges: &[(usize, usize)], measure: Measure) -> Layout {
    let forward = without_cycles(count, edges);
    let layer_of = layers(count, &forward);
    let (vertices, chains) = with_passages(&layer_of, &forward);
    let order = ordered(&vertices);
    let centres = placed(&vertices, &order, measure);
    let nodes: Vec<Point> = (0..count)
        .map(|node| Point {
            along: layer_start(layer_of[node], measure),
            across: centres[node] - measure.across / 2.0,
        })
        .collect();
    let routes = routed(
        edges,
        &forward,
        &Drawing { vertices: &vertices, chains: &chains, centres: &centres, measure },
    );
    let far_along = nodes.iter().map(|node| node.along + measure.along).fold(0.0, f64::max);
    let far_across =
        (0..vertices.len()).map(|v| centres[v] + width(&vertices[v], measure) / 2.0).fold(0.0, f64::max);
    Layout { nodes, routes, extent: Point { along: far_along, across: far_across } }
}

/// The edges, each turned where it would close a cycle.
fn without_cycles(count: usize, edges: &[(usize, usize)]) -> Vec<(usize, usize)> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let mut outgoing = vec![Vec::new(); count];
    let mut incoming = vec![0_usize; count];
    for (index, &(from, to)) in edges.iter().enumerate() {
        outgoing[from].push(index);
        incoming[to] += usize::from(from != to);
    }
    let mut forward = edges.to_vec();
    let mut mark = vec![Mark::New; count];
    let mut roots: Vec<usize> = (0..count).collect();
    roots.sort_by_key(|&node| (incoming[node] > 0, node));
    for root in roots {
        let mut path = if mark[root] == Mark::New { vec![(root, 0)] } else { Vec::new() };
        while let Some((node, next)) = path.pop() {
            mark[node] = Mark::Open;
            let Some(&index) = outgoing[node].get(next) else {
                mark[node] = Mark::Done;
                continue;
            };
            path.push((node, next + 1));
            let to = edges[index].1;
            match mark[to] {
                Mark::Open => forward[index] = (to, node),
                Mark::New => path.push((to, 0)),
                Mark::Done => {}
            }
        }
    }
    forward
}

/// The layer of each node: the length of the longest path to it.
fn layers(count: usize, forward: &[(usize, usize)]) -> Vec<usize> {
    let mut layer = vec![0; count];
    let mut waiting = vec![0_usize; count];
    for &(from, to) in forward {
        waiting[to] += usize::from(from != to);
    }
    let mut ready: Vec<usize> = (0..count).filter(|&node| waiting[node] == 0).collect();
    while let Some(node) = ready.pop() {
        for &(_, to) in forward.iter().filter(|&&(from, to)| from == node && to != node) {
            layer[to] = layer[to].max(layer[node] + 1);
            waiting[to] -= 1;
            if waiting[to] == 0 {
                ready.push(to);
            }
        }
    }
    layer
}

/// Nodes and passages with their neighbours in the next layers, and the chain of vertices of each edge.
fn with_passages(layer_of: &[usize], forward: &[(usize, usize)]) -> (Vec<Vertex>, Vec<Vec<usize>>) {
    let vertex = |layer, is_node| Vertex { layer, is_node, before: Vec::new(), after: Vec::new() };
    let mut vertices: Vec<Vertex> = layer_of.iter().map(|&layer| vertex(layer, true)).collect();
    let mut chains = Vec::with_capacity(forward.len());
    for &(from, to) in forward {
        let mut chain = vec![from];
        if from != to {
            for layer in layer_of[from] + 1..layer_of[to] {
                chain.push(vertices.len());
                vertices.push(vertex(layer, false));
            }
            chain.push(to);
        }
        for link in chain.windows(2) {
            vertices[link[0]].after.push(link[1]);
            vertices[link[1]].before.push(link[0]);
        }
        chains.push(chain);
    }
    (vertices, chains)
}

/// The vertices of each layer in an order with few crossings.
fn ordered(vertices: &[Vertex]) -> Vec<Vec<usize>> {
    let depth = vertices.iter().map(|vertex| vertex.layer + 1).max().unwrap_or(0);
    let mut order = vec![Vec::new(); depth];
    for (index, vertex) in vertices.iter().enumerate() {
        order[vertex.layer].push(index);
    }
    let mut best = order.clone();
    let mut fewest = crossings(vertices, &best);
    for sweep in 0..SWEEPS {
        if fewest == 0 {
            break;
        }
        let downwards = sweep % 2 == 0;
        for step in 1..depth {
            let layer = if downwards { step } else { depth - 1 - step };
            let towards = if downwards { layer - 1 } else { layer + 1 };
            let place = places(&order[towards], vertices.len());
            let wish = |&v: &usize| {
                let near = if downwards { &vertices[v].before } else { &vertices[v].after };
                mean(near.iter().map(|&n| place[n])).unwrap_or(f64::MAX)
            };
            order[layer].sort_by(|a, b| wish(a).total_cmp(&wish(b)));
        }
        let met = crossings(vertices, &order);
        if met < fewest {
            fewest = met;
            best.clone_from(&order);
        }
    }
    best
}

fn places(layer: &[usize], count: usize) -> Vec<f64> {
    let mut place = vec![0.0; count];
    let mut next = 0.0;
    for &v in layer {
        place[v] = next;
        next += 1.0;
    }
    place
}

/// How many pairs of edges cross.
pub(crate) fn crossings_between(edges: &[(f64, f64)]) -> usize {
    let pairs = edges.iter().enumerate().flat_map(|(i, a)| edges[i + 1..].iter().map(move |b| (a, b)));
    pairs.filter(|(a, b)| (a.0 - b.0) * (a.1 - b.1) < 0.0).count()
}

fn crossings(vertices: &[Vertex], order: &[Vec<usize>]) -> usize {
    let place: Vec<Vec<f64>> = order.iter().map(|layer| places(layer, vertices.len())).collect();
    let between = |layer: usize| {
        let edges: Vec<(f64, f64)> = order[layer]
            .iter()
            .flat_map(|&v| vertices[v].after.iter().map(move |&to| (v, to)))
            .map(|(v, to)| (place[layer][v], place[layer + 1][to]))
            .collect();
        crossings_between(&edges)
    };
    (0..order.len().saturating_sub(1)).map(between).sum()
}

/// The centre of each vertex across the flow.
fn placed(vertices: &[Vertex], order: &[Vec<usize>], measure: Measure) -> Vec<f64> {
    let mut centre = vec![0.0; vertices.len()];
    for layer in order {
        let wish = vec![0.0; layer.len()];
        settle(layer, &wish, vertices, measure, &mut centre);
    }
    for sweep in 0..SWEEPS * 2 {
        for step in 0..order.len() {
            let layer = &order[if sweep % 2 == 0 { step } else { order.len() - 1 - step }];
            let wish: Vec<f64> = layer
                .iter()
                .map(|&v| {
                    let near = vertices[v].before.iter().chain(&vertices[v].after);
                    mean(near.map(|&n| centre[n])).unwrap_or(centre[v])
                })
                .collect();
            settle(layer, &wish, vertices, measure, &mut centre);
        }
    }
    let nearest = (0..vertices.len())
        .map(|v| centre[v] - width(&vertices[v], measure) / 2.0)
        .fold(f64::INFINITY, f64::min);
    centre.iter().map(|across| across - nearest).collect()
}

/// Puts the vertices of a layer as near to their wishes as their order and distances allow.
fn settle(layer: &[usize], wish: &[f64], vertices: &[Vertex], measure: Measure, centre: &mut [f64]) {
    let mut offset = 0.0;
    let mut offsets = Vec::with_capacity(layer.len());
    for (place, &v) in layer.iter().enumerate() {
        if place > 0 {
            let last = &vertices[layer[place - 1]];
            offset += (width(last, measure) + width(&vertices[v], measure)) / 2.0 + measure.node_gap;
        }
        offsets.push(offset);
    }
    // Blocks of vertices that touch each other: sum of wishes, and how many.
    let mut blocks: Vec<(f64, f64)> = Vec::with_capacity(layer.len());
    for (wish, offset) in wish.iter().zip(&offsets) {
        let mut block = (wish - offset, 1.0);
        while let Some(&(sum, size)) = blocks.last() {
            if sum / size <= block.0 / block.1 {
                break;
            }
            block = (sum + block.0, size + block.1);
            blocks.pop();
        }
        blocks.push(block);
    }
    let mut place = 0;
    for (sum, size) in blocks {
        let mut left = size;
        while left > 0.5 {
            centre[layer[place]] = sum / size + offsets[place];
            place += 1;
            left -= 1.0;
        }
    }
}

/// What routes are drawn from.
struct Drawing<'a> {
    vertices: &'a [Vertex],
    chains: &'a [Vec<usize>],
    centres: &'a [f64],
    measure: Measure,
}

fn routed(edges: &[(usize, usize)], forward: &[(usize, usize)], drawing: &Drawing<'_>) -> Vec<Vec<Point>> {
    let mut routes = Vec::with_capacity(edges.len());
    for (index, chain) in drawing.chains.iter().enumerate() {
        let mut route = Vec::new();
        for (place, &v) in chain.iter().enumerate() {
            let start = layer_start(drawing.vertices[v].layer, drawing.measure);
            let end = start + drawing.measure.along;
            let (is_first, is_last) = (place == 0, place + 1 == chain.len());
            if !is_first {
                let across = if is_last { drawing.port(index, v, Side::In) } else { drawing.centres[v] };
                route.push(Point { along: start, across });
            }
            if !is_last {
                let across = if is_first { drawing.port(index, v, Side::Out) } else { drawing.centres[v] };
                route.push(Point { along: end, across });
            }
        }
        if edges[index] != forward[index] {
            route.reverse();
        }
        routes.push(route);
    }
    routes
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    In,
    Out,
}

impl Drawing<'_> {
    /// Where an edge meets the side of a node: edges share the side in the order of their other ends.
    fn port(&self, edge: usize, node: usize, side: Side) -> f64 {
        let mut ends: Vec<(f64, usize)> = self
            .chains
            .iter()
            .enumerate()
            .filter(|(_, chain)| chain.len() > 1)
            .filter_map(|(index, chain)| {
                let (own, next) = match side {
                    Side::Out => (chain[0], chain[1]),
                    Side::In => (chain[chain.len() - 1], chain[chain.len() - 2]),
                };
                (own == node).then(|| (self.centres[next], index))
            })
            .collect();
        ends.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let step = self.measure.across * 0.6 / ports(ends.len());
        let place = ends.iter().position(|&(_, index)| index == edge).unwrap_or(0);
        self.centres[node] + step * (ports(place) - (ports(ends.len()) - 1.0) / 2.0)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a number of edges at one node")]
fn ports(count: usize) -> f64 {
    count as f64
}

fn layer_start(layer: usize, measure: Measure) -> f64 {
    ports(layer) * (measure.along + measure.layer_gap)
}

/// The room a vertex takes across the flow; a passing edge needs none beside the gap.
fn width(vertex: &Vertex, measure: Measure) -> f64 {
    if vertex.is_node { measure.across } else { 0.0 }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

#[cfg(test)]
mod tests;
