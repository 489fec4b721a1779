//! What changed between two profiles.

use std::cmp::Ordering;

use otlp_core::finding::{Evidence, Finding, Severity, Subject};

use crate::profile::{Profile, ValueType};
use crate::tree::{CallTree, Negative, Node};
use crate::write::short_name;
use crate::{Error, ErrorKind, Result};

/// How the shares of functions and stacks moved from one profile to another.
///
/// Both profiles are normalised by their own total, so that a longer or busier recording does not
/// look like a change. Values below zero are left out.
///
/// ```
/// use otlp_profiles::{Diff, Limits, Profile, ValueType};
/// let parse = |text: &str| {
///     Profile::parse_folded(text.as_bytes(), ValueType::samples(), &Limits::default())
/// };
/// let before = parse("main;serve 90\nmain;hash 10")?;
/// let after = parse("main;serve 400\nmain;hash 600")?;
/// let diff = Diff::between(&before, &after)?;
/// let worst = &diff.functions[0];
/// assert_eq!((worst.name.as_str(), worst.flat_before, worst.flat_after), ("hash", 0.1, 0.6));
/// # Ok::<(), otlp_profiles::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Diff {
    /// What the numbers mean.
    pub value_type: ValueType,
    /// The sum over all samples of the first profile.
    pub total_before: i64,
    /// The sum over all samples of the second.
    pub total_after: i64,
    /// All functions: those whose flat share moved most first, those that grew before those that shrank.
    pub functions: Vec<FunctionShift>,
    /// The 1,000 stacks whose own share moved most, by how far it moved.
    pub stacks: Vec<StackShift>,
    /// Resources in use: total a second, before and after, where both durations are known and the unit is time.
    pub cores: Option<(f64, f64)>,
}

/// How one function's share of the total moved. Shares go from 0 to 1.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FunctionShift {
    /// The function.
    pub name: String,
    /// Share sampled in the function itself, before.
    pub flat_before: f64,
    /// Share sampled in the function itself, after.
    pub flat_after: f64,
    /// Share sampled in the function or what it called, before.
    pub cumulative_before: f64,
    /// Share sampled in the function or what it called, after.
    pub cumulative_after: f64,
    /// How many standard errors the flat share moved: two-proportion z-test over the samples taken.
    /// Below about 3 it is noise. Samples in a row are not independent, so it is rather too large.
    pub flat_z: f64,
    /// The same for the cumulative share.
    pub cumulative_z: f64,
}

impl FunctionShift {
    /// How far the flat share moved, -1 to 1.
    #[must_use]
    pub fn flat_change(&self) -> f64 {
        self.flat_after - self.flat_before
    }

    /// How far the cumulative share moved, -1 to 1.
    #[must_use]
    pub fn cumulative_change(&self) -> f64 {
        self.cumulative_after - self.cumulative_before
    }
}

/// How the share of one exact stack moved.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StackShift {
    /// Function names, root first.
    pub frames: Vec<String>,
    /// Share sampled in exactly this stack before, 0 to 1.
    pub before: f64,
    /// Share sampled in exactly this stack after, 0 to 1.
    pub after: f64,
}

const STACKS_KEPT: usize = 1000;

impl Diff {
    /// Compares two profiles by their default value types.
    ///
    /// Costs O(nodes of all stacks + samples), and sorting.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where the default value types differ.
    pub fn between(before: &Profile, after: &Profile) -> Result<Self> {
        check_types(before, after)?;
        let tree = CallTree::of(before, Some(after), Negative::LeaveOut);
        let scale = Scale::of(&tree, before, after);
        let mut functions: Vec<_> = tree
            .functions()
            .iter()
            .zip(&tree.names)
            .map(|((own, total), name)| scale.function(name, *own, *total))
            .collect();
        functions.sort_by(|a, b| {
            by_size(a.flat_change(), b.flat_change())
                .then(by_size(a.cumulative_change(), b.cumulative_change()))
                .then_with(|| a.name.cmp(&b.name))
        });
        Ok(Self {
            value_type: before.default_value().clone(),
            total_before: before.total(),
            total_after: after.total(),
            functions,
            stacks: stacks(&tree, &scale),
            cores: cores(before).zip(cores(after)),
        })
    }

    /// What to tell a person about `service`, or `None` where no function's share grew by at least
    /// five points and three standard errors.
    ///
    /// The finding's time is zero; whoever knows when the change began sets it. Its confidence is
    /// `1 - exp(-z²/2)`, a bound from below on the two-sided level of the test.
    #[must_use]
    pub fn to_finding(&self, service: &str) -> Option<Finding> {
        let grown = |shift: &&FunctionShift| shift.flat_change() >= 0.05 && shift.flat_z >= 3.0;
        let worst = self.functions.iter().find(grown)?;
        let unit = if self.value_type.kind == "samples" { "time" } else { &self.value_type.kind };
        let title = format!(
            "{service} spends {:.0} % of its {unit} in {}, {:.0} % before",
            worst.flat_after * 100.0,
            short_name(&worst.name, 60),
            worst.flat_before * 100.0,
        );
        let mut evidence: Vec<_> = self.functions.iter().filter(grown).take(5).map(flat_evidence).collect();
        evidence.extend(self.callers(worst).into_iter().map(cumulative_evidence));
        if let Some((before, after)) = self.cores {
            let since = otlp_core::UnixNanos::ZERO;
            let metric = "CPU in use".to_owned();
            evidence.push(Evidence::Shift { metric, unit: "{cpu}", before, after, since });
        }
        Some(Finding {
            time: otlp_core::UnixNanos::ZERO,
            source: "otlp.profiles.diff",
            severity: if worst.flat_change() >= 0.2 { Severity::Error } else { Severity::Warning },
            subject: Subject::Service(service.to_owned()),
            title,
            detail: self.detail(worst),
            confidence: 1.0 - (-0.5 * worst.flat_z * worst.flat_z).exp(),
            evidence,
        })
    }

    /// The stack through which the function grew most.
    fn detail(&self, worst: &FunctionShift) -> String {
        let leads_there = |shift: &&StackShift| {
            shift.after > shift.before && shift.frames.last().is_some_and(|name| *name == worst.name)
        };
        self.stacks.iter().find(leads_there).map_or_else(String::new, |shift| {
            let frames: Vec<_> = shift.frames.iter().map(|name| short_name(name, 60)).collect();
            format!("called through {}", frames.join(" > "))
        })
    }

    /// Up to three functions on the way to the worst one whose cumulative share grew with it.
    fn callers(&self, worst: &FunctionShift) -> Vec<&FunctionShift> {
        let on_the_way = |shift: &&FunctionShift| {
            shift.name != worst.name
                && shift.flat_change() < 0.05
                && shift.cumulative_change() >= 0.05
                && shift.cumulative_z >= 3.0
        };
        let mut callers: Vec<_> = self.functions.iter().filter(on_the_way).collect();
        callers.sort_by(|a, b| by_size(a.cumulative_change(), b.cumulative_change()));
        callers.truncate(3);
        callers
    }
}

fn flat_evidence(shift: &FunctionShift) -> Evidence {
    Evidence::Stack { function: shift.name.clone(), before: shift.flat_before, after: shift.flat_after }
}

fn cumulative_evidence(shift: &FunctionShift) -> Evidence {
    let function = format!("{} and what it calls", shift.name);
    Evidence::Stack { function, before: shift.cumulative_before, after: shift.cumulative_after }
}

pub(crate) fn check_types(before: &Profile, after: &Profile) -> Result<()> {
    if before.default_value() == after.default_value() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Config, "diff: the default value types of the profiles differ"))
}

fn stacks(tree: &CallTree<'_>, scale: &Scale) -> Vec<StackShift> {
    let mut moved: Vec<_> = (1_u32..)
        .zip(tree.nodes.iter().skip(1))
        .map(|(id, node)| (id, scale.shares(node.own)))
        .filter(|(_, [before, after])| before != after)
        .collect();
    moved.sort_by(|(a, [a_before, a_after]), (b, [b_before, b_after])| {
        by_size(a_after - a_before, b_after - b_before).then_with(|| tree.path(*a).cmp(&tree.path(*b)))
    });
    moved.truncate(STACKS_KEPT);
    let shift = |(id, [before, after]): (u32, [f64; 2])| StackShift {
        frames: tree.path(id).into_iter().map(str::to_owned).collect(),
        before,
        after,
    };
    moved.into_iter().map(shift).collect()
}

/// Larger movements first, growth before shrinking.
fn by_size(a: f64, b: f64) -> Ordering {
    b.abs().total_cmp(&a.abs()).then(b.total_cmp(&a))
}

fn cores(profile: &Profile) -> Option<f64> {
    let secs = profile.duration().as_secs_f64();
    let known = profile.default_value().unit == "nanoseconds" && secs > 0.0;
    known.then(|| profile.total() as f64 / 1e9 / secs)
}

/// How raw numbers become shares, and how many samples stand behind them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    totals: [f64; 2],
    events: [f64; 2],
}

impl Scale {
    pub(crate) fn of(tree: &CallTree<'_>, before: &Profile, after: &Profile) -> Self {
        let Node { total, .. } = tree.root();
        Self { totals: total.map(|total| total as f64), events: [before.events(), after.events()] }
    }

    pub(crate) fn shares(&self, values: [i64; 2]) -> [f64; 2] {
        let share = |side: usize| {
            let total = self.totals.get(side).copied().unwrap_or_default();
            let value = values.get(side).copied().unwrap_or_default() as f64;
            if total > 0.0 { value / total } else { 0.0 }
        };
        [share(0), share(1)]
    }

    /// Two-proportion z with the pooled variance; zero where either profile is empty.
    pub(crate) fn z(&self, [before, after]: [f64; 2]) -> f64 {
        let [n_before, n_after] = self.events;
        if n_before < 1.0 || n_after < 1.0 || before == after {
            return 0.0;
        }
        let pooled = (before * n_before + after * n_after) / (n_before + n_after);
        let variance = pooled * (1.0 - pooled) * (1.0 / n_before + 1.0 / n_after);
        if variance > 0.0 { (after - before) / variance.sqrt() } else { 0.0 }
    }

    fn function(&self, name: &str, own: [i64; 2], total: [i64; 2]) -> FunctionShift {
        let (flat, cumulative) = (self.shares(own), self.shares(total));
        FunctionShift {
            name: name.to_owned(),
            flat_before: flat[0],
            flat_after: flat[1],
            cumulative_before: cumulative[0],
            cumulative_after: cumulative[1],
            flat_z: self.z(flat),
            cumulative_z: self.z(cumulative),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Limits;

    fn parse(folded: &str) -> Profile {
        Profile::parse_folded(folded.as_bytes(), ValueType::samples(), &Limits::default()).unwrap()
    }

    #[test]
    fn a_longer_recording_of_the_same_work_is_no_change() {
        let before = parse("main;a 30\nmain;b 10\nmain 10");
        let after = parse("main;a 3000\nmain;b 1000\nmain 1000");
        let diff = Diff::between(&before, &after).unwrap();
        assert!(diff.functions.iter().all(|shift| shift.flat_change() == 0.0 && shift.flat_z == 0.0));
        assert!(diff.stacks.is_empty());
        assert_eq!(diff.to_finding("shop"), None);
    }

    #[test]
    fn a_planted_hot_function_is_found_and_told() {
        let before = parse("main;serve 95\nmain;serve;hash 5");
        let after = parse("main;serve 40\nmain;serve;hash 160");
        let diff = Diff::between(&before, &after).unwrap();
        let worst = &diff.functions[0];
        assert_eq!((worst.name.as_str(), worst.flat_before, worst.flat_after), ("hash", 0.05, 0.8));
        assert!(worst.flat_z > 10.0, "{}", worst.flat_z);
        assert_eq!(diff.stacks[0].frames, ["main", "serve", "hash"]);
        let finding = diff.to_finding("payment").unwrap();
        assert_eq!(finding.title, "payment spends 80 % of its time in hash, 5 % before");
        assert_eq!(finding.detail, "called through main > serve > hash");
        assert_eq!(finding.severity, Severity::Error);
        assert!(finding.confidence > 0.99);
    }

    #[test]
    fn the_movement_of_few_samples_is_taken_for_noise() {
        let diff = Diff::between(&parse("a 9\nb 1"), &parse("a 7\nb 3")).unwrap();
        assert!(diff.functions[0].flat_z.abs() < 3.0);
        assert_eq!(diff.to_finding("shop"), None);
    }

    #[test]
    fn a_function_that_came_or_went_is_listed_on_both_sides() {
        let diff = Diff::between(&parse("old 10"), &parse("new 10")).unwrap();
        let shares = |at: usize| (diff.functions[at].flat_before, diff.functions[at].flat_after);
        assert_eq!((diff.functions[0].name.as_str(), shares(0)), ("new", (0.0, 1.0)));
        assert_eq!((diff.functions[1].name.as_str(), shares(1)), ("old", (1.0, 0.0)));
    }

    #[test]
    fn empty_profiles_and_other_units_are_handled() {
        let diff = Diff::between(&parse(""), &parse("a 5")).unwrap();
        assert_eq!((diff.total_before, diff.functions[0].flat_z), (0, 0.0));
        let cpu = Profile::try_new([ValueType::cpu()], &Limits::default()).unwrap();
        assert_eq!(Diff::between(&cpu, &parse("a 5")).unwrap_err().kind(), ErrorKind::Config);
    }

    #[test]
    fn cpu_in_use_is_compared_where_the_durations_are_known() {
        let make = |nanos: i64| {
            let mut profile = Profile::try_new([ValueType::cpu()], &Limits::default()).unwrap();
            profile.add_stack(["main"], &[nanos]).unwrap();
            profile.with_time(otlp_core::UnixNanos::from_secs(1), Duration::from_secs(2))
        };
        let diff = Diff::between(&make(500_000_000), &make(3_000_000_000)).unwrap();
        assert_eq!(diff.cores, Some((0.25, 1.5)));
    }
}
