//! Several detectors as one.

use otlp_core::{Error, ErrorKind, Result, UnixNanos};

use super::judge::{Detector, Flag, Intake, Judgement, Odd, kept};
use super::tail::Inner;
use crate::checkpoint::{self, fields};
use crate::number::of_len;
use crate::score::Spot;

/// Several detectors of the same points: each score is told by how rare it is among those of its detector, and these
/// are averaged with weights that learn from feedback.
///
/// How rare a score is says a [`Spot`], as the negative logarithm of its chance, so that members with scores of any
/// unit can be added up. Weights begin equal. Where somebody says whether the last point was an anomaly, each member
/// loses by how far it was from saying so, and its weight falls by the exponential of that (Hedge: Freund and
/// Schapire, "A decision-theoretic generalization of on-line learning", Journal of Computer and System Sciences
/// 1997). Points on which all were alike teach nothing: an anomaly that one member saw counts, however many usual points
/// lie between. Without feedback the weights stay.
///
/// The cost is that of the members. No alarm is raised: see [`Decided`](super::Decided).
///
/// ```
/// use otlp_anomaly::detect::{Detector, Ensemble, EwmaConfig, ExtremesConfig, PolyConfig};
/// use otlp_core::UnixNanos;
/// let mut both = Ensemble::new(vec![
///     Box::new(ExtremesConfig::new().build()?),
///     Box::new(EwmaConfig::new().build()?),
///     Box::new(PolyConfig::new().build()?),
/// ])?;
/// for minute in 0..2_000_u64 {
///     both.judge_one(UnixNanos::from_secs(60 * minute), (minute * 37 % 101) as f64);
/// }
/// let judgement = both.judge_one(UnixNanos::from_secs(120_000), 400.0);
/// assert!(judgement.score > 3.0, "{judgement:?}");
/// both.feedback(true);
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug)]
pub struct Ensemble {
    members: Vec<Member>,
    /// Points with feedback on which the members differed.
    told: u32,
    /// Whether the last point was judged, so that there is something to tell about.
    is_judged: bool,
    intake: Intake,
}

#[derive(Debug)]
struct Member {
    detector: Inner<false>,
    spot: Spot,
    weight: f64,
    /// How rare the last score was.
    rarity: f64,
}

/// Members at most.
const MOST: usize = 16;
/// The risk from which on a member counts as having said that a point is an anomaly, and the scores before which it
/// says nothing.
const RISK: f64 = 1e-3;
const FIRST_SCORES: usize = 200;
/// How fast a member becomes sure beyond the risk.
const SLOPE: f64 = 2.0;
/// Losses closer together than this tell nothing.
const TELLING: f64 = 0.01;
/// No weight falls below this: a member may be right again later.
const LEAST_WEIGHT: f64 = 1e-3;

impl Ensemble {
    /// Puts detectors together, 1 to 16 of them.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where there are none or too many, they are of different dimensions, or one is an
    /// [`Ensemble`], a [`Decided`](super::Decided) or an [`Auto`](super::Auto).
    pub fn new(detectors: Vec<Box<dyn Detector>>) -> Result<Self> {
        if !(1..=MOST).contains(&detectors.len()) {
            let message = format!("ensemble: {} detectors outside 1 to {MOST}", detectors.len());
            return Err(Error::new(ErrorKind::Config, message));
        }
        let weight = 1.0 / of_len(detectors.len());
        let mut members = Vec::with_capacity(detectors.len());
        for detector in detectors {
            let detector = Inner::new(detector)?;
            let spot = Spot::new(RISK, FIRST_SCORES)?;
            members.push(Member { detector, spot, weight, rarity: 0.0 });
        }
        let ensemble = Self { members, told: 0, is_judged: false, intake: Intake::NEW };
        if ensemble.is_sound() {
            return Ok(ensemble);
        }
        Err(Error::new(ErrorKind::Config, "ensemble: detectors of different dimensions"))
    }

    fn is_sound(&self) -> bool {
        let dimensions = self.dimensions();
        (1..=MOST).contains(&self.members.len())
            && self.members.iter().all(|member| member.detector.0.dimensions() == dimensions)
            && self.told < u32::MAX
    }

    /// The weights of the members, in their order; together they are 1.
    pub fn weights(&self) -> impl Iterator<Item = f64> {
        self.members.iter().map(|member| member.weight)
    }

    /// Says whether the last point was an anomaly, from which the weights learn. A point that was left out teaches
    /// nothing, nor does saying it twice.
    pub fn feedback(&mut self, is_anomaly: bool) {
        if !std::mem::replace(&mut self.is_judged, false) {
            return;
        }
        let losses = || self.members.iter().map(|member| member.loss(is_anomaly));
        let apart = losses().fold(0.0, f64::max) - losses().fold(1.0, f64::min);
        if apart < TELLING {
            return;
        }
        self.told = (self.told + 1).min(u32::MAX - 1);
        let rate = (of_len(self.members.len()).ln() / f64::from(self.told)).sqrt();
        let mut whole = 0.0;
        for member in &mut self.members {
            member.weight = (member.weight * (-rate * member.loss(is_anomaly)).exp()).max(LEAST_WEIGHT);
            whole += member.weight;
        }
        self.members.iter_mut().for_each(|member| member.weight /= whole);
    }
}

impl Member {
    fn is_sound(&self) -> bool {
        (0.0..=1.0).contains(&self.weight) && (0.0..=1e3).contains(&self.rarity)
    }

    /// How far it was from saying of the last point what is true of it, 0 to 1; one half where that was as rare as the
    /// risk.
    fn loss(&self, is_anomaly: bool) -> f64 {
        let beyond = SLOPE * (self.rarity + RISK.ln());
        1.0 / (1.0 + (if is_anomaly { beyond } else { -beyond }).exp())
    }

    fn judge(&mut self, (time, row): (UnixNanos, &[f64]), shares: &mut [f64]) -> Judgement {
        let judgement = self.detector.0.judge(time, row, shares);
        let is_usable = judgement.is_ready && judgement.flag != Some(Flag::Invalid);
        self.rarity = if is_usable { self.spot.observe(judgement.score).rarity } else { 0.0 };
        Judgement { is_ready: self.spot.is_ready(), ..judgement }
    }
}

fields!(Member { detector: Inner<false>, spot: Spot, weight: f64, rarity: f64 });
fields!(Ensemble { members: Vec<Member>, told: u32, is_judged: bool, intake: Intake });
kept!(Ensemble, 13);

/// What is expected, and shares, are those of the member that adds the most to the score.
impl Detector for Ensemble {
    fn dimensions(&self) -> usize {
        self.members.first().map_or(1, |member| member.detector.0.dimensions())
    }

    fn judge(&mut self, time: UnixNanos, row: &[f64], shares: &mut [f64]) -> Judgement {
        let (mut score, mut most, mut lead) = (0.0, -1.0, Judgement::NONE);
        let (mut is_ready, mut is_left_out) = (true, false);
        let mut own = [0.0; MOST_SHARES];
        let own = own.get_mut(..shares.len().min(MOST_SHARES)).unwrap_or_default();
        for member in &mut self.members {
            let judgement = member.judge((time, row), own);
            let part = member.weight * member.rarity;
            score += part;
            is_ready &= judgement.is_ready;
            is_left_out |= judgement.flag == Some(Flag::Invalid);
            if part > most {
                (most, lead) = (part, judgement);
                shares.fill(0.0);
                shares.iter_mut().zip(own.iter()).for_each(|(share, own)| *share = *own);
            }
        }
        if is_left_out {
            self.is_judged = false;
            return self.intake.odd.refuse(shares);
        }
        self.is_judged = is_ready;
        let flag = self.intake.note(time);
        let scale = if lead.score > 0.0 { score / lead.score } else { 0.0 };
        shares.iter_mut().for_each(|share| *share *= scale);
        Judgement { score, threshold: None, is_alarm: false, is_ready, flag, ..lead }.finite()
    }

    fn feedback(&mut self, is_anomaly: bool) {
        Self::feedback(self, is_anomaly);
    }

    fn odd(&self) -> Odd {
        self.intake.odd
    }

    fn checkpoint(&self, into: &mut Vec<u8>) {
        checkpoint::write(self, into);
    }
}

/// Dimensions for which an ensemble has room to ask its members for shares; those beyond have none.
const MOST_SHARES: usize = 64;
