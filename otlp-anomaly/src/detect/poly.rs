//! A polynomial through the near past.

use otlp_core::{Error, ErrorKind, Result, UnixNanos};

use super::judge::{Detector, Flag, Intake, Judgement, Odd, is_usable, kept};
use crate::checkpoint::{self, fields};
use crate::feature::setters;
use crate::number::of_len;

/// How a [`Poly`] looks back.
///
/// ```
/// use otlp_anomaly::detect::PolyConfig;
/// let straight = PolyConfig::new().window(16).degree(1).build()?;
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct PolyConfig {
    window: usize,
    degree: usize,
    memory: u32,
}

impl PolyConfig {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self { window: 16, degree: 1, memory: 256 }
    }

    setters! {
        window: usize = "Sets how many points the polynomial is fitted to, 2 to 1,024; default 16.";
        degree: usize = "Sets its degree, 0 to 8, below the window; default 1.";
        memory: u32 = "Sets over how many points the usual error is averaged, 8 to 1,000,000; default 256.";
    }

    /// Makes the detector.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where a value lies outside what its setter says.
    pub fn build(self) -> Result<Poly> {
        if !self.is_sound() {
            return Err(Error::new(ErrorKind::Config, format!("poly: values out of range in {self:?}")));
        }
        Ok(Poly {
            config: self,
            weights: weights(self.window, self.degree),
            recent: vec![0.0; self.window],
            filled: 0,
            usual: 0.0,
            learned: 0,
            intake: Intake::NEW,
        })
    }

    fn is_sound(&self) -> bool {
        (2..=1_024).contains(&self.window)
            && self.degree <= 8
            && self.degree < self.window
            && (8..=1_000_000).contains(&self.memory)
    }
}

impl Default for PolyConfig {
    fn default() -> Self {
        Self::new()
    }
}

fields!(PolyConfig { window: usize, degree: usize, memory: u32 });

/// Scores a point by how far it lies off the polynomial through those before it, in the usual errors of such a forecast.
///
/// The idea is that of POLY (Li, Ma and Orgun 2007; among the best of the cheap ones of TSB-AD, Liu and Paparrizos,
/// NeurIPS 2024). Points count as evenly spaced, so that the least-squares forecast is a fixed weighted sum:
/// O(window) a point, no allocation. Where the original takes the errors' spread from a GARCH model, here it is their
/// running mean, each clipped at four times it. After a gap of more than a day, and after a value that is left out,
/// the window fills anew.
///
/// ```
/// use otlp_anomaly::detect::{Detector, PolyConfig};
/// use otlp_core::UnixNanos;
/// let mut detector = PolyConfig::new().window(4).build()?;
/// let judged: Vec<_> = [1.0, 2.0, 3.0, 4.0, 5.1, 5.9, 7.0, 12.0]
///     .into_iter()
///     .map(|value| detector.judge_one(UnixNanos::from_secs(1), value))
///     .collect();
/// assert!((judged[4].expected - 5.0).abs() < 1e-9, "a line goes on");
/// assert!(judged[7].score > 10.0);
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Poly {
    config: PolyConfig,
    weights: Vec<f64>,
    /// The last values, the oldest first.
    recent: Vec<f64>,
    filled: usize,
    /// The usual distance from the forecast.
    usual: f64,
    learned: u32,
    intake: Intake,
}

/// Usual errors beyond which an error does not count as more.
const CLIP: f64 = 4.0;
/// Errors beyond this are all the same.
const FARTHEST: f64 = 1e9;
/// What rounding leaves of a forecast, as a share of the values.
const ROUNDING: f64 = 1e-12;

/// The weights by which the points of a window foresee the one after it, from polynomials that are orthogonal over
/// them (Forsythe, "Generation and use of orthogonal polynomials for data-fitting with a digital computer", 1957).
fn weights(window: usize, degree: usize) -> Vec<f64> {
    let middle = (of_len(window) - 1.0) / 2.0;
    // From -1 to 1, and where the next one would be.
    let place = |nth: usize| (of_len(nth) - middle) / middle.max(0.5);
    let (mut before, mut here) = (vec![0.0; window + 1], vec![1.0; window + 1]);
    let mut weights = vec![0.0; window];
    let mut square_before = 1.0;
    for order in 0..=degree {
        let inside = || here.iter().take(window);
        let square: f64 = inside().map(|value| value * value).sum();
        let next = here.last().copied().unwrap_or_default();
        for (weight, value) in weights.iter_mut().zip(&here) {
            *weight += next * value / square;
        }
        let shift = inside().enumerate().map(|(nth, value)| place(nth) * value * value).sum::<f64>() / square;
        let back = if order == 0 { 0.0 } else { square / square_before };
        let following: Vec<f64> = here
            .iter()
            .zip(&before)
            .enumerate()
            .map(|(nth, (here, before))| (place(nth) - shift) * here - back * before)
            .collect();
        (before, here, square_before) = (here, following, square);
    }
    weights
}

impl Poly {
    fn is_sound(&self) -> bool {
        self.weights == weights(self.config.window, self.config.degree)
            && self.recent.len() == self.config.window
            && self.recent.iter().all(|&value| is_usable(value))
            && self.filled <= self.config.window
            && (0.0..=1e160).contains(&self.usual)
    }

    fn foreseen(&self) -> Option<f64> {
        let is_whole = self.filled >= self.config.window;
        is_whole.then(|| self.weights.iter().zip(&self.recent).map(|(weight, value)| weight * value).sum())
    }

    fn learn(&mut self, error: f64) {
        let widest = if self.usual > 0.0 { CLIP * self.usual } else { error };
        self.learned = self.learned.saturating_add(1).min(self.config.memory);
        self.usual += (error.min(widest) - self.usual) / f64::from(self.learned);
    }

    fn shift(&mut self, value: f64) {
        self.recent.copy_within(1.., 0);
        self.recent.last_mut().into_iter().for_each(|newest| *newest = value);
        self.filled = (self.filled + 1).min(self.config.window);
    }
}

fields!(Poly {
    config: PolyConfig,
    weights: Vec<f64>,
    recent: Vec<f64>,
    filled: usize,
    usual: f64,
    learned: u32,
    intake: Intake,
});
kept!(Poly, 8);

/// Errors are given in running means of their size. There is no decision: see [`Decided`](super::Decided).
impl Detector for Poly {
    fn judge(&mut self, time: UnixNanos, row: &[f64], shares: &mut [f64]) -> Judgement {
        let Some((value, flag)) = self.intake.one(time, row) else {
            self.filled = 0;
            return self.intake.odd.refuse(shares);
        };
        if flag == Some(Flag::Gap) {
            self.filled = 0;
        }
        let foreseen = self.foreseen();
        let (expected, mut deviation) = (foreseen.unwrap_or(value), 0.0);
        let is_ready = foreseen.is_some() && self.learned > 0;
        if foreseen.is_some() {
            let off = value - expected;
            let is_rounding = off.abs() <= ROUNDING * value.abs().max(expected.abs());
            if is_ready && !is_rounding {
                deviation = (off / self.usual.max(f64::MIN_POSITIVE)).clamp(-FARTHEST, FARTHEST);
            }
            self.learn(if is_rounding { 0.0 } else { off.abs() });
        }
        self.shift(value);
        let score = deviation.abs();
        let judgement =
            Judgement { score, met: value, expected, deviation, is_ready, flag, ..Judgement::NONE };
        judgement.alone(shares)
    }

    fn odd(&self) -> Odd {
        self.intake.odd
    }

    fn checkpoint(&self, into: &mut Vec<u8>) {
        checkpoint::write(self, into);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weights_are_those_of_numpy() {
        for (window, degree, value, foreseen) in GOLDEN {
            let series: Vec<f64> =
                (0..window).map(|nth| (nth as f64 * 0.7).sin() + (nth % 3) as f64).collect();
            let met: f64 =
                weights(window, degree).iter().zip(&series).map(|(weight, value)| weight * value).sum();
            assert!((met - foreseen).abs() < 1e-8, "{window} {degree}: {met} for {foreseen}");
            assert!((series[window - 1] - value).abs() < 1e-12);
        }
    }

    /// Window, degree, the last value and `np.polynomial.Polynomial.fit(i, y, d)(w)` with `y = np.sin(0.7 * i) + i % 3`.
    const GOLDEN: [(usize, usize, f64, f64); 4] = [
        (5, 0, 1.334988150155905, 1.3655729868061859),
        (16, 1, -0.87969575997167, 0.834899993939327),
        (12, 3, 2.9881682338770004, 5.803172193254429),
        (64, 8, 0.11743126282708867, -0.45080457678776087),
    ];
}
