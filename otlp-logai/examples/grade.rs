//! Grades the template miner on labelled log sets: a directory of directories that each have
//! `content.txt` (a message a line) and `gt_corrected.tsv` (event TAB template, in the same order).

use std::error::Error;
use std::path::Path;

use otlp_logai::grade::{grouping_accuracy, parsing_accuracy};
use otlp_logai::{Limits, TemplateMiner};

fn main() -> Result<(), Box<dyn Error>> {
    let root = std::env::args_os().nth(1).ok_or("expected a directory")?;
    let show = std::env::args().nth(2);
    let mut sets: Vec<_> = std::fs::read_dir(root)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    sets.sort();
    println!("set\tgrouping\tparsing\ttemplates\ttrue templates");
    let mut sums = [0.0; 2];
    let mut count = 0.0;
    for set in sets.iter().filter(|set| set.join("gt_corrected.tsv").exists()) {
        let name = set.file_name().unwrap_or_default().to_string_lossy();
        let wanted = show.as_deref() == Some(&*name);
        let [grouping, parsing] = grade(set, &name, wanted)?;
        sums = [sums[0] + grouping, sums[1] + parsing];
        count += 1.0;
    }
    println!("mean\t{:.4}\t{:.4}", sums[0] / count, sums[1] / count);
    Ok(())
}

fn grade(set: &Path, name: &str, show: bool) -> Result<[f64; 2], Box<dyn Error>> {
    let content = String::from_utf8_lossy(&std::fs::read(set.join("content.txt"))?).into_owned();
    let truth = std::fs::read_to_string(set.join("gt_corrected.tsv"))?;
    let truth: Vec<_> = truth.lines().filter_map(|line| line.split_once('\t')).collect();
    let mut miner = TemplateMiner::new(&Limits::default());
    let mut groups: Vec<_> = Vec::new();
    for line in content.lines() {
        let observation = miner.observe(line);
        for group in &mut groups {
            if observation.absorbed.contains(group) {
                *group = observation.id;
            }
        }
        groups.push(observation.id);
    }
    let events: Vec<_> = truth.iter().map(|(event, _)| *event).collect();
    let expected: Vec<_> = truth.iter().map(|(_, template)| *template).collect();
    let texts: Vec<_> = groups
        .iter()
        .map(|id| miner.template(*id).map_or_else(String::new, otlp_logai::Template::to_wildcard_text))
        .collect();
    let scores = [grouping_accuracy(&groups, &events), parsing_accuracy(&texts, &expected)];
    let different: std::collections::HashSet<_> = events.iter().collect();
    println!("{name}\t{:.4}\t{:.4}\t{}\t{}", scores[0], scores[1], miner.templates().len(), different.len());
    if show {
        let mut pairs: Vec<_> = expected.iter().zip(&texts).collect();
        pairs.sort();
        let mut counted: Vec<(usize, _)> = Vec::new();
        for pair in pairs {
            match counted.last_mut() {
                Some((count, last)) if *last == pair => *count += 1,
                _ => counted.push((1, pair)),
            }
        }
        counted.iter().for_each(|(count, (expected, ours))| println!("{count}\t{expected}\n\t{ours}"));
    }
    Ok(scores)
}
