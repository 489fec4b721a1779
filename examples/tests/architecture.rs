//! Who may know whom: the arrows between the crates, read from `cargo metadata`.
#![expect(clippy::indexing_slicing, reason = "indexing a JSON value gives null where nothing is")]

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// One dependency of one of our crates on anything.
#[derive(Debug, Clone)]
struct Edge {
    from: String,
    to: String,
    dev: bool,
    optional: bool,
    default_features: bool,
}

/// Crates of ours that each crate may name outside its tests, and whether the edge must be optional.
const ALLOWED: [(&str, &[(&str, bool)]); 6] = [
    ("otlp-core", &[]),
    ("otlp-ebpf", &[("otlp-core", false)]),
    ("otlp-anomaly", &[("otlp-core", false)]),
    ("otlp-profiles", &[("otlp-core", false)]),
    ("otlp-logai", &[("otlp-core", false), ("otlp-anomaly", true)]),
    ("otlp-verify", &[("otlp-core", true)]),
];

/// Packages that know everybody and that nobody knows.
const TOPS: [&str; 2] = ["otlp-examples", "otlp-benches"];

/// Analysers know no runtime, not even in their tests.
const WITHOUT_RUNTIME: [&str; 3] = ["otlp-anomaly", "otlp-profiles", "otlp-logai"];
const RUNTIMES: [&str; 5] = ["tokio", "async-std", "smol", "futures-executor", "hyper"];

#[test]
fn the_arrows_between_the_crates_hold() {
    let edges = edges();
    assert!(
        edges.iter().any(|edge| edge.from == "otlp-anomaly" && edge.to == "otlp-core"),
        "metadata was read"
    );
    assert_eq!(violations(&edges), Vec::<String>::new());
}

#[test]
fn each_kind_of_bad_edge_is_caught() {
    let edge = |from: &str, to: &str| Edge {
        from: from.to_owned(),
        to: to.to_owned(),
        dev: false,
        optional: false,
        default_features: false,
    };
    let planted = [
        edge("otlp-core", "otlp-anomaly"),
        edge("otlp-ebpf", "otlp-profiles"),
        edge("otlp-logai", "otlp-anomaly"),
        edge("otlp-verify", "otlp-core"),
        edge("otlp-anomaly", "tokio"),
        edge("otlp-core", "otlp-examples"),
        edge("otlp-core", "otlp-verify"),
        Edge { default_features: true, ..edge("otlp-anomaly", "otlp-core") },
        Edge { dev: true, ..edge("otlp-profiles", "otlp-ebpf") },
    ];
    for bad in planted {
        let mut edges = edges();
        edges.push(bad.clone());
        assert_eq!(violations(&edges).len(), 1, "not caught: {bad:?}");
    }
    let mut edges = edges();
    edges.push(Edge { dev: true, ..edge("otlp-core", "otlp-verify") });
    assert_eq!(violations(&edges), Vec::<String>::new(), "the one kind of dev edge that is allowed");
}

fn violations(edges: &[Edge]) -> Vec<String> {
    let allowed: BTreeMap<_, _> = ALLOWED.into_iter().collect();
    let ours = |name: &str| allowed.contains_key(name) || TOPS.contains(&name);
    let mut found = Vec::new();
    for edge in edges.iter().filter(|edge| !TOPS.contains(&edge.from.as_str())) {
        let Edge { from, to, .. } = edge;
        if WITHOUT_RUNTIME.contains(&from.as_str()) && RUNTIMES.contains(&to.as_str()) {
            found.push(format!("{from} must know no runtime, but depends on {to}"));
        }
        if !ours(to) || (edge.dev && to == "otlp-verify") {
            continue;
        }
        let arrow = allowed.get(from.as_str()).and_then(|arrows| arrows.iter().find(|(name, _)| name == to));
        match arrow {
            None => found.push(format!("{from} must not know {to}")),
            Some((_, true)) if !edge.optional && !edge.dev => {
                found.push(format!("{from} -> {to} must be optional"));
            }
            Some(_) if edge.default_features => {
                found.push(format!("{from} -> {to} must name `default-features = false`"));
            }
            Some(_) => {}
        }
    }
    found
}

/// All edges of the workspace's packages, of every kind and behind every feature.
fn edges() -> Vec<Edge> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let packages = metadata["packages"].as_array().expect("a list of packages");
    let edge = |package: &Value, dependency: &Value| Edge {
        from: text(package, "name"),
        to: text(dependency, "name"),
        dev: dependency["kind"] == "dev",
        optional: dependency["optional"] == true,
        default_features: dependency["uses_default_features"] == true,
    };
    let of = |package: &Value| {
        let dependencies = package["dependencies"].as_array().expect("a list of dependencies");
        dependencies.iter().map(|dependency| edge(package, dependency)).collect::<Vec<_>>()
    };
    packages.iter().flat_map(of).collect()
}
