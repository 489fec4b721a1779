//! One decision over many series.

use otlp_core::{Error, ErrorKind, Result};

use super::{Budget, Debt};
use crate::checkpoint::{self, fields};
use crate::detect::kept;
use crate::feature::setters;
use crate::number::of_len;

/// How many false alarms a [`Fleet`] of series may raise, all together.
///
/// ```
/// use std::time::Duration;
/// use otlp_anomaly::score::{Budget, FleetConfig};
/// // Two a week, whether there are ten series or a hundred thousand.
/// let budget = Budget::per_week(2.0, Duration::from_secs(60))?;
/// let fleet = FleetConfig::new(100_000).budget(budget).build()?;
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct FleetConfig {
    series: usize,
    budget: Budget,
    episode: u32,
}

impl FleetConfig {
    /// The defaults, for so many series, 1 to 10,000,000.
    #[must_use]
    pub const fn new(series: usize) -> Self {
        Self { series, budget: Budget::DEFAULT, episode: 72 }
    }

    setters! {
        budget: Budget = "Sets how many false alarms all series together may raise; default one in 604,800 windows.";
        episode: u32 = "Sets after how many windows without a rare score the alarm of a series is over, 1 to 100,000; default 72.";
    }

    /// Makes the fleet.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where a value lies outside what its setter says.
    pub fn build(self) -> Result<Fleet> {
        if !self.is_sound() {
            return Err(Error::new(ErrorKind::Config, format!("fleet: values out of range in {self:?}")));
        }
        Ok(Fleet { config: self, debt: Debt::NONE, quiet: vec![u32::MAX; self.series], rare: Vec::new() })
    }

    fn is_sound(&self) -> bool {
        (1..=10_000_000).contains(&self.series) && (1..=100_000).contains(&self.episode)
    }
}

fields!(FleetConfig { series: usize, budget: Budget, episode: u32 });

/// Decides over the scores of many series at a time, within one budget for all of them.
///
/// A budget a series makes as many false alarms as there are series; one over all of them, divided by their number, is
/// blind to what many see a little of. Here what each series says in a window is held against what the others say (Y.
/// Benjamini and Y. Hochberg, "Controlling the false discovery rate", JRSS B 1995): of the `k` rarest, the last is rarer
/// than `k` times the budget by the number of series, and all of them raise an alarm. Where nothing is wrong, that is so in
/// as many windows as the budget allows for or fewer, however many series there are; where much is wrong, more is
/// found, and of what is told no greater share is false. This holds for series that do not depend on each other, or
/// that rise and fall together (Y. Benjamini and D. Yekutieli, Annals of Statistics 2001).
///
/// Scores come as the negative natural logarithm of their chance, as [`Extreme::rarity`](super::Extreme::rarity) of a
/// [`Spot`](super::Spot) a series tells it. One alarm an episode. O(series) a window; four bytes a series, and nothing
/// allocated but for as many rare scores as never before.
///
/// ```
/// use otlp_anomaly::score::{Budget, FleetConfig};
/// let mut fleet = FleetConfig::new(1_000).budget(Budget::per_windows(1.0, 10_000)?).build()?;
/// let (mut rarity, mut alarms) = (vec![0.5; 1_000], Vec::new());
/// // One in three million for one of a thousand, each window: within what chance does.
/// rarity[17] = 15.0;
/// fleet.decide(&rarity, &mut alarms);
/// assert!(alarms.is_empty());
/// // The same of three hundred at once is not.
/// rarity[..300].fill(15.0);
/// fleet.decide(&rarity, &mut alarms);
/// assert_eq!(alarms.len(), 300);
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Fleet {
    config: FleetConfig,
    debt: Debt,
    /// Windows since each series was last found.
    quiet: Vec<u32>,
    /// Series with a score that may matter, and how rare it is; empty but within a call.
    rare: Vec<(f64, usize)>,
}

impl Fleet {
    /// Takes how rare the score of each series is in a window, and appends the places of those for which an alarm begins,
    /// the rarest first. Not-a-number, and series that are missing at the end, say nothing; more than there are series are
    /// left out.
    pub fn decide(&mut self, rarities: &[f64], alarms: &mut Vec<usize>) {
        let per_window = self.config.budget.per_window();
        self.debt.pass(per_window);
        let limit = -self.debt.of(per_window).ln();
        let all = rarities.iter().take(self.config.series).enumerate();
        // What is not as rare as the budget by itself is found in no company.
        self.rare.extend(all.filter(|(_, rarity)| **rarity >= limit).map(|(place, rarity)| (*rarity, place)));
        self.rare.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let series = of_len(self.config.series).ln();
        let is_found =
            |(nth, (rarity, _)): (usize, &(f64, usize))| *rarity >= limit + series - of_len(nth + 1).ln();
        let found = self.rare.iter().enumerate().rposition(is_found).map_or(0, |last| last + 1);
        self.quiet.iter_mut().for_each(|quiet| *quiet = quiet.saturating_add(1));
        for (_, place) in self.rare.drain(..).take(found) {
            let Some(quiet) = self.quiet.get_mut(place) else { continue };
            // One that was found in the window before has been quiet for one.
            if *quiet > self.config.episode {
                alarms.push(place);
            }
            *quiet = 0;
        }
    }

    /// Says whether an alarm was right, which moves the budget: see [`Detector::feedback`](crate::detect::Detector::feedback).
    pub fn feedback(&mut self, is_anomaly: bool) {
        self.debt.tell(is_anomaly);
    }

    /// Appends a checkpoint, of which [`restore`](Self::restore) makes one that goes on bit for bit.
    pub fn checkpoint(&self, into: &mut Vec<u8>) {
        checkpoint::write(self, into);
    }

    fn is_sound(&self) -> bool {
        self.quiet.len() == self.config.series && self.rare.is_empty()
    }
}

fields!(Fleet { config: FleetConfig, debt: Debt, quiet: Vec<u32>, rare: Vec<(f64, usize)> });
kept!(Fleet, 21);
