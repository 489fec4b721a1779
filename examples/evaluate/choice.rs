//! Detectors by name.

use clap::ValueEnum;
use otlp_anomaly::detect::{
    AttentionConfig, AutoConfig, CusumConfig, Decided, Detector, EwmaConfig, ExtremesConfig, ForestConfig,
    IsolationConfig, LstmConfig, PolyConfig, RobustConfig, RobustZConfig, SpotConfig, SubPcaConfig,
};
use otlp_anomaly::score::Budget;
use otlp_core::Error;

/// A detector with its defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Choice {
    /// What goes beyond everything met before: the default of the crate
    Extremes,
    /// Level and spread by clipped updates, as it watches services
    Robust,
    /// Random cut forest
    Forest,
    /// Random cut forest over the last eight points
    Forest8,
    /// Isolation forest over the newest points
    Isolation,
    /// Median and median absolute deviation over a window
    RobustZ,
    /// Chart of the exponentially weighted mean
    Ewma,
    /// Chart of cumulative sums
    Cusum,
    /// Distance from a polynomial through the near past
    Poly,
    /// Distance from the principal components of the near past
    SubPca,
    /// Extreme values
    Spot,
    /// Extreme values beside the mean of the near past
    Dspot,
    /// Distance from what a layer of long short-term memory foresees
    Lstm,
    /// Distance from what a layer of attention foresees
    Attention,
    /// What suits the series, with the reason
    Auto,
}

/// Points after an alarm in which there is no other.
const EPISODE: u32 = 72;
/// A decision by extreme values is about rare ones.
const DENSEST: f64 = 0.01;

impl Choice {
    /// Makes the detector. Three bring a decision by the budget along; the others get one.
    ///
    /// # Errors
    /// Where the budget cannot be kept to.
    pub(crate) fn build(self, budget: Budget) -> Result<Box<dyn Detector>, Error> {
        let detector: Box<dyn Detector> = match self {
            Self::Extremes => return Ok(Box::new(ExtremesConfig::new().budget(budget).build()?)),
            Self::Robust => return Ok(Box::new(RobustConfig::new().budget(budget).build()?)),
            Self::Auto => return Ok(Box::new(AutoConfig::new().budget(budget).build()?)),
            Self::Forest => Box::new(ForestConfig::new().build()?),
            Self::Forest8 => Box::new(ForestConfig::new().shingle(8).build()?),
            Self::Isolation => Box::new(IsolationConfig::new().build()?),
            Self::RobustZ => Box::new(RobustZConfig::new().build()?),
            Self::Ewma => Box::new(EwmaConfig::new().build()?),
            Self::Cusum => Box::new(CusumConfig::new().build()?),
            Self::Poly => Box::new(PolyConfig::new().build()?),
            Self::SubPca => Box::new(SubPcaConfig::new().build()?),
            Self::Spot => Box::new(SpotConfig::new().build()?),
            Self::Dspot => Box::new(SpotConfig::new().depth(48).build()?),
            Self::Lstm => Box::new(LstmConfig::new().build()?),
            Self::Attention => Box::new(AttentionConfig::new().build()?),
        };
        let sparse = if budget.per_window() > DENSEST { Budget::per_windows(DENSEST, 1)? } else { budget };
        Ok(Box::new(Decided::new(detector, sparse, EPISODE)?))
    }
}
