//! Isolation forests.

mod tree;

use otlp_core::{Error, ErrorKind, Result, UnixNanos};

use super::judge::{Detector, Intake, Judgement, Odd, is_usable, kept};
use super::level::Level;
use crate::checkpoint::{self, fields};
use crate::feature::setters;
use crate::number::of_len;
use crate::random::Random;
use tree::Tree;

/// What an [`IsolationForest`] is made of.
///
/// ```
/// use otlp_anomaly::detect::IsolationConfig;
/// let forest = IsolationConfig::new().dimensions(3).window(4_096).build()?;
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct IsolationConfig {
    dimensions: usize,
    trees: usize,
    sample: usize,
    window: usize,
    seed: u64,
}

impl IsolationConfig {
    /// The defaults, which are those of the paper.
    #[must_use]
    pub const fn new() -> Self {
        Self { dimensions: 1, trees: 100, sample: 256, window: 2_048, seed: 0 }
    }

    setters! {
        dimensions: usize = "Sets how many values a row has, 1 to 1,024; default 1.";
        trees: usize = "Sets the number of trees, 1 to 1,000; default 100.";
        sample: usize = "Sets how many rows each tree is made of, 2 to 4,096; default 256.";
        window: usize = "Sets how many of the newest rows trees are drawn from in a stream, from the sample to 65,536; default 2,048.";
        seed: u64 = "Sets the seed of samples and cuts; default 0.";
    }

    /// Makes a forest that learns from the stream that it scores.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where a value lies outside what its setter says, or the window has more than 2^22 values.
    pub fn build(self) -> Result<IsolationForest> {
        self.check()?;
        Ok(IsolationForest {
            config: self,
            model: Isolation::empty(self),
            random: Random::new(self.seed),
            rows: Vec::with_capacity(self.window * self.dimensions),
            next: 0,
            due: 0,
            oldest: 0,
            levels: vec![Level::NEW; self.dimensions],
            intake: Intake::NEW,
        })
    }

    /// Makes a forest of rows that are all there, one behind the other in `rows`; it learns nothing more.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where a value lies outside what its setter says; [`ErrorKind::Malformed`] where there is
    /// no row, the last one is not whole, or a value is not finite or beyond 10^150.
    pub fn fit(self, rows: &[f64]) -> Result<Isolation> {
        self.check()?;
        let is_whole = !rows.is_empty() && rows.len().is_multiple_of(self.dimensions);
        if !is_whole || !rows.iter().all(|&value| is_usable(value)) {
            let message =
                format!("isolation forest: {} values are no rows of {} numbers", rows.len(), self.dimensions);
            return Err(Error::new(ErrorKind::Malformed, message));
        }
        let (mut model, mut random) = (Isolation::empty(self), Random::new(self.seed));
        (0..self.trees).for_each(|place| model.grow(place, rows, &mut random));
        Ok(model)
    }

    fn check(self) -> Result<()> {
        if self.is_sound() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Config, format!("isolation forest: values out of range in {self:?}")))
    }

    fn is_sound(&self) -> bool {
        (1..=1_024).contains(&self.dimensions)
            && (1..=1_000).contains(&self.trees)
            && (2..=4_096).contains(&self.sample)
            && (self.sample..=65_536).contains(&self.window)
            && self.window * self.dimensions <= 1 << 22
    }
}

impl Default for IsolationConfig {
    fn default() -> Self {
        Self::new()
    }
}

fields!(IsolationConfig { dimensions: usize, trees: usize, sample: usize, window: usize, seed: u64 });

/// A forest of trees that part rows by cuts at random: the sooner a row is alone, the less it is like the others
/// (Liu, Ting and Zhou, "Isolation Forest", ICDM 2008).
///
/// The score is `2^(-depth / c)`, with the mean depth over the trees and that of a search that fails in a tree of as
/// many rows, `c`: near 1 for what is soon alone, 0.5 and less for what is not. It cannot tell how far out a row lies
/// beyond all that the trees were made of, and where rows never differ nothing is ever alone. O(trees × log(sample))
/// a score, no allocation.
///
/// ```
/// use otlp_anomaly::detect::IsolationConfig;
/// // Rows of two values, the second of which is about twice the first.
/// let rows: Vec<f64> = (0..400).flat_map(|nth| [f64::from(nth), f64::from(2 * nth + nth * 37 % 101)]).collect();
/// let forest = IsolationConfig::new().dimensions(2).fit(&rows)?;
/// // Each value is one of many, but not with the other.
/// assert!(forest.score(&[200.0, 60.0])? > forest.score(&[200.0, 450.0])? + 0.08);
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Isolation {
    config: IsolationConfig,
    trees: Vec<Tree>,
    /// Room for the places of the rows that a tree is made of.
    places: Vec<u32>,
}

impl Isolation {
    fn empty(config: IsolationConfig) -> Self {
        let trees = (0..config.trees).map(|_| Tree::new(config.sample)).collect();
        Self { config, trees, places: Vec::new() }
    }

    fn is_sound(&self) -> bool {
        let (dimensions, most) = (self.config.dimensions, 2 * self.config.sample);
        self.trees.len() == self.config.trees
            && self.trees.iter().all(|tree| tree.fits(dimensions, most))
            && self.places.len() <= 1 << 22
    }

    /// The score of a row, above 0 and at most 1.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where the row has not as many values as the forest has dimensions.
    pub fn score(&self, row: &[f64]) -> Result<f64> {
        if row.len() == self.config.dimensions {
            return Ok(self.score_of(row));
        }
        let message = format!(
            "isolation forest: a row of {} values for {} dimensions",
            row.len(),
            self.config.dimensions
        );
        Err(Error::new(ErrorKind::Config, message))
    }

    fn score_of(&self, row: &[f64]) -> f64 {
        let made: usize = self.trees.iter().map(Tree::rows).max().unwrap_or_default();
        let usual = tree::failed_search(made);
        if usual <= 0.0 {
            return 0.5;
        }
        let depth = self.trees.iter().map(|tree| tree.depth(row)).sum::<f64>() / of_len(self.trees.len());
        (-depth / usual).exp2()
    }

    /// Makes one tree anew, of a sample without replacement.
    fn grow(&mut self, place: usize, rows: &[f64], random: &mut Random) {
        let count = u32::try_from(rows.len() / self.config.dimensions).unwrap_or(u32::MAX);
        if self.places.len() != count as usize {
            self.places.clear();
            self.places.extend(0..count);
        }
        let sample = self.config.sample.min(count as usize);
        for chosen in 0..sample {
            let other = chosen + random.below(count as usize - chosen);
            self.places.swap(chosen, other);
        }
        if let (Some(tree), Some(chosen)) = (self.trees.get_mut(place), self.places.get_mut(..sample)) {
            tree.grow(chosen, rows, self.config.dimensions, random);
        }
    }
}

fields!(Isolation { config: IsolationConfig, trees: Vec<Tree>, places: Vec<u32> });

/// An [`Isolation`] forest over a stream: in turn each tree is made anew of the newest rows, so that all of them follow.
///
/// Rows wait until there are as many as a tree is made of; then all trees are made, which is the one point that costs
/// milliseconds. After that a tree falls due each time that a share of the window has come that is one over the
/// trees. Rows are scored before trees can be made of them. O(trees × log(sample)) a row, and one tree of `sample ×
/// log(sample)` each `window / trees` rows; nothing is allocated once the window is full.
///
/// ```
/// use otlp_anomaly::detect::{Detector, IsolationConfig};
/// use otlp_core::UnixNanos;
/// let mut forest = IsolationConfig::new().dimensions(2).build()?;
/// for minute in 0..600_u64 {
///     let load = (minute * 37 % 601) as f64;
///     forest.judge(UnixNanos::from_secs(60 * minute), &[load, 2.0 * load + (minute * 11 % 100) as f64], &mut []);
/// }
/// let mut row = |values| forest.judge(UnixNanos::from_secs(36_000), values, &mut []).score;
/// assert!(row(&[300.0, 60.0]) > row(&[300.0, 650.0]) + 0.08);
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct IsolationForest {
    config: IsolationConfig,
    model: Isolation,
    random: Random,
    /// The newest rows, and where the next one goes once there are so many.
    rows: Vec<f64>,
    next: usize,
    /// Rows since a tree was made, and which tree is the oldest.
    due: usize,
    oldest: usize,
    levels: Vec<Level>,
    intake: Intake,
}

impl IsolationForest {
    fn is_sound(&self) -> bool {
        let dimensions = self.config.dimensions;
        self.config == self.model.config
            && self.rows.len() <= self.config.window * dimensions
            && self.rows.len().is_multiple_of(dimensions)
            && self.rows.iter().all(|&value| is_usable(value))
            && self.next < self.config.window
            && self.due <= self.config.window
            && self.oldest < self.config.trees
            && self.levels.len() == dimensions
            && self.model.places.iter().all(|&place| (place as usize) < self.model.places.len())
    }

    fn is_ready(&self) -> bool {
        self.rows.len() >= self.config.sample * self.config.dimensions
    }

    fn learn(&mut self, row: &[f64]) {
        let was_ready = self.is_ready();
        if self.rows.len() < self.config.window * self.config.dimensions {
            self.rows.extend_from_slice(row);
        } else {
            let begin = self.next * self.config.dimensions;
            self.rows.iter_mut().skip(begin).zip(row).for_each(|(slot, value)| *slot = *value);
            self.next = (self.next + 1) % self.config.window;
        }
        if !was_ready && self.is_ready() {
            (0..self.config.trees).for_each(|place| self.model.grow(place, &self.rows, &mut self.random));
        } else if was_ready {
            self.due += 1;
            if self.due * self.config.trees >= self.config.window {
                self.due = 0;
                self.model.grow(self.oldest, &self.rows, &mut self.random);
                self.oldest = (self.oldest + 1) % self.config.trees;
            }
        }
    }
}

fields!(IsolationForest {
    config: IsolationConfig,
    model: Isolation,
    random: Random,
    rows: Vec<f64>,
    next: usize,
    due: usize,
    oldest: usize,
    levels: Vec<Level>,
    intake: Intake,
});
kept!(IsolationForest, 7);

/// What is expected is the mean of the last few hundred values of the dimension that is the most spreads off it;
/// shares are in proportion to the squares of these. There is no decision: see [`Decided`](super::Decided).
impl Detector for IsolationForest {
    fn dimensions(&self) -> usize {
        self.config.dimensions
    }

    fn judge(&mut self, time: UnixNanos, row: &[f64], shares: &mut [f64]) -> Judgement {
        if row.len() != self.config.dimensions || !row.iter().all(|&value| is_usable(value)) {
            return self.intake.odd.refuse(shares);
        }
        let flag = self.intake.note(time);
        let is_ready = self.is_ready();
        let score = if is_ready { self.model.score_of(row) } else { 0.0 };
        let judgement = Level::explain(&mut self.levels, row, score, shares);
        self.learn(row);
        Judgement { is_ready, flag, ..judgement }.finite()
    }

    fn odd(&self) -> Odd {
        self.intake.odd
    }

    fn checkpoint(&self, into: &mut Vec<u8>) {
        checkpoint::write(self, into);
    }
}
