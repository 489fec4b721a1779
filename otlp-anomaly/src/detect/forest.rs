//! Random cut forests.

mod reservoir;
mod tree;

use std::borrow::Borrow;
use std::slice;

use otlp_core::{Error, ErrorKind, Result, UnixNanos};

use super::judge::{Detector, Flag, Intake, Judgement, Odd, kept};
use super::level::Level;
use crate::checkpoint::{self, fields};
use crate::feature::setters;
use crate::number::{of_len, to_f64};
use crate::random::Random;
use reservoir::{Lot, Reservoir};
use tree::{LeafId, Tree, Way};

/// What a [`RandomCutForest`] is made of.
///
/// ```
/// use otlp_anomaly::detect::ForestConfig;
/// let forest = ForestConfig::new().dimensions(3).shingle(4).build()?;
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct ForestConfig {
    dimensions: usize,
    shingle: usize,
    trees: usize,
    sample: usize,
    decay: f64,
    warmup: u32,
    seed: u64,
}

/// Most coordinates of a point: dimensions times shingle.
const MOST_COORDINATES: usize = 1_024;

impl ForestConfig {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self { dimensions: 1, shingle: 1, trees: 50, sample: 256, decay: 0.1 / 256.0, warmup: 64, seed: 0 }
    }

    setters! {
        dimensions: usize = "Sets how many values a row has, 1 to 1,024; default 1.";
        shingle: usize = "Sets how many rows, the newest and those before it, are one point, 1 to 1,024, dimensions times shingle at most 1,024; default 1.";
        trees: usize = "Sets the number of trees, 1 to 1,000; default 50.";
        sample: usize = "Sets how many points each tree keeps, 8 to 16,384; default 256.";
        decay: f64 = "Sets by how much the weight of a point falls with each one after it, as an exponent, 0 to 1; default 0.1 / 256.";
        warmup: u32 = "Sets how many points are learned before the first is scored; default 64.";
        seed: u64 = "Sets the seed of the cuts and samples; default 0.";
    }

    /// Makes the forest.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where a value lies outside what its setter says.
    pub fn build(self) -> Result<RandomCutForest> {
        let width = self.dimensions.saturating_mul(self.shingle);
        if !self.is_sound() {
            return Err(Error::new(ErrorKind::Config, format!("forest: values out of range in {self:?}")));
        }
        let mut seeds = Random::new(self.seed);
        let tree = |_| Sampled {
            tree: Tree::new(self.sample, width),
            reservoir: Reservoir::new(self.sample, self.decay),
            random: Random::new(seeds.next()),
        };
        Ok(RandomCutForest {
            config: self,
            trees: (0..self.trees).map(tree).collect(),
            newest: vec![0.0; width],
            rows: 0,
            learned: 0,
            intake: Intake::NEW,
            levels: vec![Level::NEW; self.dimensions],
        })
    }

    fn is_sound(&self) -> bool {
        let width = self.dimensions.saturating_mul(self.shingle);
        (1..=MOST_COORDINATES).contains(&width)
            && (1..=1_000).contains(&self.trees)
            && (8..=reservoir::MOST_KEPT).contains(&self.sample)
            && (0.0..=1.0).contains(&self.decay)
    }
}

fields!(ForestConfig {
    dimensions: usize,
    shingle: usize,
    trees: usize,
    sample: usize,
    decay: f64,
    warmup: u32,
    seed: u64,
});

impl Default for ForestConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// Watches rows of values for points that random cuts part from the rest early (Guha, Mishra, Roy and Schrijvers,
/// "Robust random cut forest based anomaly detection on streams", ICML 2016).
///
/// A row and those before it, as many as the shingle has, are a point. Each tree keeps a sample of the points that
/// prefers the newer ones, parted by cuts whose dimension is drawn in proportion to how wide the points lie in it. The
/// score of a new point is the mean over the trees of one over the depth at which it would be parted from them, times the
/// binary logarithm of the sample and one more: near 1 for what is usual, 1.5 and more for what is not. Correlations that
/// break show, which a look at each dimension by itself does not; scale the dimensions alike before.
///
/// Points are kept in single precision. O(trees × log(sample) × coordinates) a row; with 50 trees of 256 points and
/// one coordinate about 0.7 MB, and 2.5 MB at most with eight. Nothing is allocated once the samples are full and no
/// more points are kept at a time than ever before. A seed gives the same scores for the same rows.
///
/// ```
/// use otlp_anomaly::detect::ForestConfig;
/// let mut forest = ForestConfig::new().dimensions(2).build()?;
/// // The second value follows the first.
/// for minute in 0..500_u32 {
///     let load = f64::from(minute * 37 % 100);
///     forest.observe(&[load, load + f64::from(minute % 7)])?;
/// }
/// let usual = forest.observe(&[50.0, 52.0])?.unwrap_or_default();
/// // Each of the values is usual, but not with the other.
/// let broken = forest.observe(&[50.0, 9.0])?.unwrap_or_default();
/// assert!(broken > 1.5 * usual, "{broken} and {usual}");
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct RandomCutForest {
    config: ForestConfig,
    trees: Vec<Sampled>,
    /// The newest point, the oldest row first.
    newest: Vec<f32>,
    /// Rows since the last one that was left out.
    rows: usize,
    learned: u64,
    intake: Intake,
    /// What each value usually is; known where rows come through [`Detector`].
    levels: Vec<Level>,
}

impl RandomCutForest {
    fn is_sound(&self) -> bool {
        let config = &self.config;
        self.trees.len() == config.trees
            && self.trees.iter().all(|sampled| {
                sampled.tree.width() == self.newest.len() && sampled.reservoir.size() == config.sample
            })
            && self.newest.len() == config.dimensions * config.shingle
            && self.newest.iter().all(|value| f64::from(value.abs()) <= LARGEST * 2.0)
            && self.levels.len() == config.dimensions
            && self.rows <= config.shingle
            && self.learned < 1 << 53
    }
}

fields!(RandomCutForest {
    config: ForestConfig,
    trees: Vec<Sampled>,
    newest: Vec<f32>,
    rows: usize,
    learned: u64,
    intake: Intake,
    levels: Vec<Level>,
});
kept!(RandomCutForest, 3);

#[derive(Debug, Clone)]
struct Sampled {
    tree: Tree,
    reservoir: Reservoir<LeafId>,
    random: Random,
}

impl Borrow<Tree> for Sampled {
    fn borrow(&self) -> &Tree {
        &self.tree
    }
}

impl Sampled {
    /// The tree holds just the points of the sample.
    fn is_sound(&self) -> bool {
        self.tree.holds(self.reservoir.points())
    }
}

fields!(Sampled { tree: Tree, reservoir: Reservoir<LeafId>, random: Random });

/// Trees that are descended side by side: the processor waits for the memory of several at once.
const ABREAST: usize = 10;

/// Their ways.
type Ways = [Way; ABREAST];

/// The sum of the scores of a point in a few trees, at most [`ABREAST`]; of as many coordinates as [`Tree::score`] has them.
fn scores<const N: usize>(trees: &[Sampled], ways: &mut Ways, point: &[f32], mass: u32) -> f64 {
    ways.iter_mut().zip(trees).for_each(|(way, sampled)| sampled.tree.begin(way));
    Tree::descend(trees, ways, point);
    let scores = ways.iter_mut().zip(trees);
    scores.map(|(way, sampled)| f64::from(sampled.tree.score::<N>(way, point, mass))).sum()
}

impl Sampled {
    /// Offers a point to the sample, whose way down the tree was just scored, or makes it so where it is let in.
    fn learn<const N: usize>(&mut self, way: &mut Way, is_scored: bool, point: &[f32]) {
        let Self { tree, reservoir, random } = self;
        let Lot::Taken { key } = reservoir.draw(random) else { return };
        if !is_scored {
            tree.begin(way);
            Tree::descend(slice::from_ref(tree), slice::from_mut(way), point);
            tree.score::<N>(way, point, 1);
        }
        let leaf = tree.insert::<N>(way, point, random);
        if let Some(evicted) = reservoir.keep(key, leaf, random) {
            tree.remove::<N>(evicted);
        }
    }
}

/// What of a score is due to one coordinate of the point.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct Share {
    /// To its being low.
    pub low: f64,
    /// To its being high.
    pub high: f64,
}

/// Values beyond this count as no numbers: their sums would be none in single precision.
const LARGEST: f64 = 1e30;

fn is_usable(row: &[f64]) -> bool {
    row.iter().all(|value| value.abs() <= LARGEST)
}

impl RandomCutForest {
    /// Takes a row: [`shift`](Self::shift), [`score`](Self::score), [`learn`](Self::learn), together for less.
    ///
    /// # Errors
    /// As [`shift`](Self::shift).
    pub fn observe(&mut self, row: &[f64]) -> Result<Option<f64>> {
        self.shift(row)?;
        Ok(self.take())
    }

    /// Scores and learns the newest point, a few trees at a time: what a tree is scored by is still at hand where it is
    /// taught.
    fn take(&mut self) -> Option<f64> {
        if !self.is_whole() {
            return None;
        }
        let mass = self.mass();
        let sum = match self.newest.len() {
            1 => self.score_and_learn::<1>(mass),
            8 => self.score_and_learn::<8>(mass),
            _ => self.score_and_learn::<0>(mass),
        };
        let is_ready = self.learned >= u64::from(self.config.warmup);
        self.learned += 1;
        is_ready.then(|| self.mean(sum, mass))
    }

    fn score_and_learn<const N: usize>(&mut self, mass: u32) -> f64 {
        let (mut ways, mut sum) = ([Way::NEW; ABREAST], 0.0);
        for trees in self.trees.chunks_mut(ABREAST) {
            sum += scores::<N>(trees, &mut ways, &self.newest, mass);
            let scored = ways.iter_mut().zip(trees);
            scored.for_each(|(way, sampled)| sampled.learn::<N>(way, true, &self.newest));
        }
        sum
    }

    /// Points that each tree holds.
    fn mass(&self) -> u32 {
        let mass = self.trees.first().map_or(0, |sampled| sampled.reservoir.len());
        u32::try_from(mass).unwrap_or(u32::MAX)
    }

    /// The score that the sum of those of all trees makes.
    fn mean(&self, sum: f64, mass: u32) -> f64 {
        sum / of_len(self.trees.len()) * (1.0 + f64::from(mass)).log2()
    }

    /// Makes a row the newest of the point. One with a value that is no number, or beyond 10^30, is counted and left
    /// out, and the point begins anew behind it.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where the row has not as many values as the forest has dimensions.
    pub fn shift(&mut self, row: &[f64]) -> Result<()> {
        let dimensions = self.config.dimensions;
        if row.len() != dimensions {
            let message = format!("forest: a row of {} values for {dimensions} dimensions", row.len());
            return Err(Error::new(ErrorKind::Config, message));
        }
        if !is_usable(row) {
            self.intake.odd.invalid += 1;
            self.rows = 0;
            return Ok(());
        }
        self.newest.copy_within(dimensions.., 0);
        let begin = self.newest.len() - dimensions;
        for (slot, value) in self.newest.iter_mut().skip(begin).zip(row) {
            *slot = tree::single(*value);
        }
        self.rows = (self.rows + 1).min(self.config.shingle);
        Ok(())
    }

    /// The score of the newest point; none before the warm-up is over, or while the point has not all its rows.
    #[must_use]
    pub fn score(&self) -> Option<f64> {
        if !self.is_whole() || self.learned < u64::from(self.config.warmup) {
            return None;
        }
        let mass = self.mass();
        let mut ways = [Way::NEW; ABREAST];
        let scores = |trees| scores::<0>(trees, &mut ways, &self.newest, mass);
        let sum = self.trees.chunks(ABREAST).map(scores).sum();
        Some(self.mean(sum, mass))
    }

    /// What each coordinate of the newest point adds to its score, the oldest row first; together they are the score but
    /// for what is due to points equal to it. To be asked before the point is learned. Costs about as much as the
    /// score, and one allocation.
    #[must_use]
    pub fn attribution(&self) -> Vec<Share> {
        let mut shares = vec![(0.0, 0.0); self.newest.len()];
        if !self.is_whole() {
            return vec![Share::default(); self.newest.len()];
        }
        for sampled in &self.trees {
            sampled.tree.attribute(&self.newest, &mut shares);
        }
        let mass = self.trees.first().map_or(0, |sampled| sampled.reservoir.len());
        let scale = (1.0 + of_len(mass)).log2() / of_len(self.trees.len());
        shares.into_iter().map(|(low, high)| Share { low: low * scale, high: high * scale }).collect()
    }

    /// Offers the newest point to the samples of the trees.
    pub fn learn(&mut self) {
        if !self.is_whole() {
            return;
        }
        self.learned += 1;
        let mut way = Way::NEW;
        self.trees.iter_mut().for_each(|sampled| sampled.learn::<0>(&mut way, false, &self.newest));
    }

    /// Rows left out for values that are no numbers.
    #[must_use]
    pub const fn invalid(&self) -> u64 {
        self.intake.odd.invalid
    }

    /// Points learned.
    #[must_use]
    pub fn learned(&self) -> f64 {
        to_f64(self.learned)
    }

    fn is_whole(&self) -> bool {
        self.rows >= self.config.shingle
    }
}

/// The score is that of [`observe`](RandomCutForest::observe). What is expected is the mean of the last few hundred values of the
/// dimension that the score is due to; without shares it is the one that is off the most. Shares cost as much as the
/// score and an allocation. A gap of more than a day begins a new point, and there is no decision: see [`Decided`](super::Decided).
impl Detector for RandomCutForest {
    fn dimensions(&self) -> usize {
        self.config.dimensions
    }

    fn judge(&mut self, time: UnixNanos, row: &[f64], shares: &mut [f64]) -> Judgement {
        if row.len() != self.config.dimensions || !is_usable(row) {
            self.rows = 0;
            return self.intake.odd.refuse(shares);
        }
        let flag = self.intake.note(time);
        if flag == Some(Flag::Gap) {
            self.rows = 0;
        }
        // The row has as many values as it must.
        self.shift(row).ok();
        let worst = Level::worst(&self.levels, row);
        let worst = if shares.is_empty() { worst } else { self.share(row, shares).unwrap_or(worst) };
        let score = self.take();
        let (dimension, deviation) = worst;
        let at = |of: &[f64]| of.get(dimension).copied().unwrap_or_default();
        let judgement = Judgement {
            score: score.unwrap_or_default(),
            dimension,
            met: at(row),
            expected: self.levels.get(dimension).map_or(0.0, Level::mean),
            deviation,
            is_ready: score.is_some(),
            flag,
            ..Judgement::NONE
        };
        self.levels.iter_mut().zip(row).for_each(|(level, &value)| level.learn(value));
        judgement.finite()
    }

    fn odd(&self) -> Odd {
        self.intake.odd
    }

    fn checkpoint(&self, into: &mut Vec<u8>) {
        checkpoint::write(self, into);
    }
}

impl RandomCutForest {
    /// Says how much of the score is due to each dimension, over the rows of the point, and which has the most of it.
    fn share(&self, row: &[f64], shares: &mut [f64]) -> Option<(usize, f64)> {
        shares.fill(0.0);
        for (share, dimension) in self.attribution().iter().zip((0..self.config.dimensions).cycle()) {
            shares.get_mut(dimension).into_iter().for_each(|sum| *sum += share.low + share.high);
        }
        let most = shares.iter().zip(0..self.config.dimensions).max_by(|a, b| a.0.total_cmp(b.0))?;
        let dimension = (*most.0 > 0.0).then_some(most.1)?;
        Some((dimension, self.levels.get(dimension)?.deviation(*row.get(dimension)?)))
    }
}
