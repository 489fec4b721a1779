//! What is reached on real cases does not get worse: a part of the PetShop dataset (`tests/data/petshop`).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that is wrong should stop")]

use std::fs;
use std::path::Path;

use otlp_anomaly::cause::{Analyzer, Case, Period, Ranking, ServiceMetric, Symptom};

/// Columns by service and metric.
type Table = Vec<((String, String), Vec<f64>)>;

fn data(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/petshop").join(name)).unwrap()
}

fn table(name: &str) -> Table {
    let text = data(name);
    let mut lines = text.lines();
    let split = |name: &str| name.rsplit_once(':').map(|(service, metric)| (service.into(), metric.into()));
    let mut table: Table =
        lines.next().unwrap().split(',').skip(1).map(|name| (split(name).unwrap(), Vec::new())).collect();
    for line in lines {
        for (column, value) in table.iter_mut().zip(line.split(',').skip(1)) {
            column.1.push(value.parse().unwrap_or(f64::NAN));
        }
    }
    table
}

fn rank(normal: &Table, anomalous: &Table, metric: &str) -> Ranking {
    let calls: Vec<(String, String)> = data("calls.csv")
        .lines()
        .skip(1)
        .map(|line| line.split_once(',').map(|(from, to)| (from.into(), to.into())).unwrap())
        .collect();
    let pairs = normal.iter().filter_map(|(name, normal)| {
        let (_, anomalous) = anomalous.iter().find(|(other, _)| other == name)?;
        Some(ServiceMetric { service: &name.0, metric: &name.1, normal, anomalous })
    });
    let metrics: Vec<ServiceMetric<'_>> = pairs.collect();
    let symptom = Some(Symptom { service: "PetSite", metric });
    let case = Case { metrics: &metrics, calls: &calls, symptom, ..Case::default() };
    Analyzer::default().rank(&Period::default(), &Period::default(), &case)
}

#[test]
fn the_service_that_was_slowed_or_made_to_fail_comes_first() {
    let normal = table("normal.csv");
    for (issue, metric) in [(0, "latency"), (2, "latency"), (4, "availability"), (6, "availability")] {
        let ranking = rank(&normal, &table(&format!("issue_{issue}.csv")), metric);
        assert_eq!(ranking.place("PetSearch_AWS::ECS::Fargate"), Some(1), "{issue}: {ranking:#?}");
        assert!(!ranking.is_none(), "{issue}");
    }
}

#[test]
fn windows_without_an_issue_have_no_cause() {
    let normal = table("normal.csv");
    let (mut quiet, mut none) = (0, 0);
    // The first hour is left out: PetSearch fails in it, and nobody noted why.
    for start in (24..390).step_by(24) {
        let part = |is_in: fn(usize, usize) -> bool| -> Table {
            let rows = |values: &[f64]| -> Vec<f64> {
                let numbered = values.iter().enumerate();
                numbered.filter(|(row, _)| is_in(*row, start)).map(|(_, value)| *value).collect()
            };
            normal.iter().map(|(name, values)| (name.clone(), rows(values))).collect()
        };
        let (rest, window) = (
            part(|row, start| !(start..start + 6).contains(&row)),
            part(|row, start| (start..start + 6).contains(&row)),
        );
        quiet += 1;
        none += usize::from(rank(&rest, &window, "latency").is_none());
    }
    assert!(none * 10 >= quiet * 9, "{none} of {quiet}");
}
