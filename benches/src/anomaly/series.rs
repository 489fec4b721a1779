//! Seeded hourly series like those that operations have, and the measure of the M4 competition.

use std::f64::consts::TAU;

/// Hours that are known.
pub(super) const KNOWN: usize = 700;
/// Hours that are to be foreseen.
pub(super) const AHEAD: usize = 48;
/// Hours of a day.
pub(super) const DAY: usize = 24;

/// Numbers that look random (D. Knuth's generator).
pub(super) struct Source(pub(super) u64);

impl Source {
    pub(super) fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(super) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small number from zero up"
    )]
    pub(super) fn below(&mut self, edge: usize) -> usize {
        (self.uniform() * edge as f64) as usize
    }

    fn any<const N: usize>(&mut self, of: [f64; N]) -> f64 {
        let at = self.below(N);
        of.get(at).copied().unwrap_or(0.0)
    }
}

/// What kind of series it is.
const KINDS: u64 = 8;

/// A series of one of eight kinds: a day and mostly a week, trends, memory in the noise; added, multiplied, wandering, with a
/// shift of level, as counts, with zeros, with a season that breathes, with spikes.
pub(super) fn series(seed: u64) -> Vec<f64> {
    let mut source = Source(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    (0..64).for_each(|_| _ = source.uniform());
    let waves: Vec<(f64, f64)> = (1..5_u32)
        .map(|wave| (source.normal() / f64::from(wave), source.normal() / f64::from(wave)))
        .collect();
    let day = |hour: usize| {
        let turn = (hour % DAY) as f64 / DAY as f64 * TAU;
        waves
            .iter()
            .zip(1_u32..)
            .map(|((a, b), wave)| a * (turn * f64::from(wave)).cos() + b * (turn * f64::from(wave)).sin())
            .sum::<f64>()
    };
    let quiet = if source.uniform() < 0.7 { 0.3 + 0.7 * source.uniform() } else { 1.0 };
    let shift = if source.uniform() < 0.7 { 0.7 * source.normal() } else { 0.0 };
    let first_day = source.below(7);
    let size = source.any([0.05, 0.2, 0.6]);
    let memory = source.any([0.0, 0.5, 0.9]);
    let rise = source.normal() * source.any([0.0, 1.0, 3.0]);
    let (broken, step) = (100 + source.below(500), 3.0 * source.normal());
    let breath = 300.0 + 1_200.0 * source.uniform();
    let (mut noise, mut walk) = (0.0, 0.0);
    (0..KNOWN + AHEAD)
        .map(|hour| {
            let weekend = (hour / DAY + first_day) % 7 >= 5;
            let season = day(hour) * if weekend { quiet } else { 1.0 } + if weekend { shift } else { 0.0 };
            noise = memory * noise + source.normal();
            let off = noise * size * (1.0 - memory * memory).sqrt();
            let trend = rise * hour as f64 / KNOWN as f64;
            walk += 0.1 * source.normal();
            match seed % KINDS {
                0 => 10.0 + season + trend + off,
                1 => 100.0 * (0.4 * (season + 0.5 * trend + 0.5 * off)).exp(),
                2 => 50.0 + 2.0 * season + walk + off,
                3 => 20.0 + season + off + if hour > broken { step } else { 0.0 },
                4 => poisson(&mut source, (1.0 + 0.6 * season + 0.2 * trend).exp()),
                5 => 10.0 * (season + 0.5 * off).max(0.0),
                6 => 30.0 + 2.0 * season * (1.0 + 0.5 * (TAU * hour as f64 / breath).sin()) + off + trend,
                _ => {
                    10.0 + season
                        + off
                        + if source.uniform() < 0.01 { 3.0 + 7.0 * source.uniform() } else { 0.0 }
                }
            }
        })
        .collect()
}

fn poisson(source: &mut Source, mean: f64) -> f64 {
    if mean > 500.0 {
        return (mean + mean.sqrt() * source.normal()).round().max(0.0);
    }
    let (mut count, mut left) = (0.0, (-mean).exp());
    let mut product = source.uniform();
    while product > left && count < 2_000.0 {
        product *= source.uniform();
        left = left.max(1e-300);
        count += 1.0;
    }
    count
}

/// The errors of a forecast as M4 has them: symmetric relative, and absolute by that of the day before in what was known.
#[derive(Clone, Copy, Default)]
pub(super) struct Errors {
    relative: f64,
    scaled: f64,
}

impl Errors {
    pub(super) fn add(&mut self, known: &[f64], foreseen: &[f64], actual: &[f64]) {
        let count = actual.len() as f64;
        let apart = |(f, y): (&f64, &f64)| (f - y).abs();
        let symmetric = |(f, y): (&f64, &f64)| {
            let size = f.abs() + y.abs();
            if size > 0.0 { 2.0 * (f - y).abs() / size } else { 0.0 }
        };
        let steps = known.len().saturating_sub(DAY).max(1) as f64;
        let naive = known.iter().zip(known.iter().skip(DAY)).map(apart).sum::<f64>() / steps;
        self.relative += foreseen.iter().zip(actual).map(symmetric).sum::<f64>() / count;
        self.scaled += foreseen.iter().zip(actual).map(apart).sum::<f64>() / count / naive.max(1e-9);
    }

    /// The overall weighted average beside those of the reference.
    pub(super) fn overall(self, reference: Self) -> f64 {
        (self.relative / reference.relative + self.scaled / reference.scaled) / 2.0
    }
}

/// The reference of M4: the last value, without and with the season of a day where the autocorrelation shows one.
pub(super) fn naive2(known: &[f64]) -> Vec<f64> {
    let last = known.last().copied().unwrap_or(0.0);
    let Some(indices) = indices(known) else { return vec![last; AHEAD] };
    let at = |hour: usize| indices.get(hour % DAY).copied().unwrap_or(1.0);
    let level = last / at(known.len() - 1);
    (0..AHEAD).map(|step| level * at(known.len() + step)).collect()
}

/// Multiplicative indices of the hours by classical decomposition; none where there is no season or a value is not positive.
fn indices(known: &[f64]) -> Option<Vec<f64>> {
    let count = known.len();
    let mean = known.iter().sum::<f64>() / count as f64;
    let off: Vec<f64> = known.iter().map(|value| value - mean).collect();
    let whole: f64 = off.iter().map(|value| value * value).sum();
    let correlation =
        |lag: usize| off.iter().zip(off.iter().skip(lag)).map(|(a, b)| a * b).sum::<f64>() / whole;
    let below: f64 = (1..DAY).map(|lag| correlation(lag).powi(2)).sum();
    let limit = 1.645 * ((1.0 + 2.0 * below) / count as f64).sqrt();
    if known.iter().any(|value| *value <= 0.0) || correlation(DAY).abs() <= limit {
        return None;
    }
    let mut sums = vec![(0.0, 0.0_f64); DAY];
    for (start, window) in known.windows(DAY + 1).enumerate() {
        let ends = window.first().zip(window.last()).map_or(0.0, |(a, b)| (a + b) / 2.0);
        let trend = (window.iter().sum::<f64>() - ends) / DAY as f64;
        let middle = start + DAY / 2;
        if let (Some((sum, met)), Some(value)) = (sums.get_mut(middle % DAY), known.get(middle)) {
            *sum += value / trend;
            *met += 1.0;
        }
    }
    let raw: Vec<f64> = sums.iter().map(|(sum, met)| sum / met.max(1.0)).collect();
    let mean = raw.iter().sum::<f64>() / DAY as f64;
    Some(raw.into_iter().map(|index| index / mean).collect())
}
