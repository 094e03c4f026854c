//! Deformations of what the VAE decodes from normal windows, for `form = "deformed"` and
//! `negatives = "deformed"`.
//!
//! A deformation is the change X' - X of one feature over a segment of a window, where X' is X with
//! its decoding replaced by another decoded signal. The texture that a VAE smooths away is kept,
//! unless the texture itself is deformed.

use std::ops::Range;

use crate::config::GeneratedKind;
use crate::runtime::rng::Rng;
use crate::stats::reflect;

/// Factor of tempo and amplitude, or its inverse (log-uniform).
const FACTOR: (f64, f64) = (1.5, 4.0);
/// Share of the way to another window's decoding (log-uniform).
const SHARE: (f64, f64) = (0.5, 1.5);
/// Factor of a stronger texture (log-uniform).
const LOUDER: (f64, f64) = (2.0, 8.0);
/// Maximum number of decoded windows on a walk besides the first; the minimum is two.
const KNOTS: usize = 8;

/// Decodings of normal windows, flat [n, W, D_live], in z-scores.
#[derive(Clone, Copy)]
pub(crate) struct Decodings<'a> {
    pub values: &'a [f32],
    /// W, at least 2.
    pub window: usize,
    /// D_live.
    pub features: usize,
}

impl Decodings<'_> {
    /// Number of windows.
    pub(crate) fn len(&self) -> usize {
        self.values.len() / (self.window * self.features)
    }

    /// Row `t` of feature `d` of window `i`.
    fn at(&self, i: usize, t: usize, d: usize) -> f32 {
        self.values[(i * self.window + t) * self.features + d]
    }

    /// Feature `d` of window `i`, [W].
    pub(crate) fn column(&self, i: usize, d: usize) -> Vec<f32> {
        (0..self.window).map(|t| self.at(i, t, d)).collect()
    }
}

/// One feature of the window that is deformed, in z-scores.
pub(crate) struct Feature<'a> {
    /// Position among the live features.
    pub d: usize,
    /// Input, [W].
    pub own: &'a [f32],
    /// Decoding, [W].
    pub plain: &'a [f32],
    /// Change by a perturbation, [W].
    pub residual: &'a [f32],
}

/// One deformation, the same for all features of an anomaly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Deformation {
    /// The residual of a perturbation: no deformation.
    Residual,
    /// A walk in straight lines through `knots` random decodings and one more.
    Walk { knots: usize },
    /// A `share` of the way to the decoding of window `other`, at once or gradually.
    Other { other: usize, share: f32, slow: bool },
    /// `factor` times as fast from the start of the segment, reflected at the ends of the window.
    Tempo { factor: f64 },
    /// The values `rows` rows later, reflected at the ends of the window.
    Phase { rows: f64 },
    /// A constant level, with or without the texture of the input.
    Hold { level: Level, textured: bool },
    /// `factor` times the distance of the input from its decoding; 0 for a smooth input.
    Texture { factor: f32 },
    /// `factor` times the distance of the decoding from its mean over the segment; -1 mirrors it.
    Amplitude { factor: f32 },
}

/// Level at which a feature is held.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Level {
    /// At its decoded value at the start of the segment.
    First,
    /// At its decoded mean over the segment.
    Mean,
    /// At row `moment` of the decoding of window `other`.
    Of { other: usize, moment: usize },
}

impl Deformation {
    /// The kind of anomaly that it makes.
    pub(crate) fn kind(self) -> GeneratedKind {
        match self {
            Self::Residual => GeneratedKind::Residual,
            Self::Walk { .. } => GeneratedKind::Walk,
            Self::Other { .. } => GeneratedKind::OtherWindow,
            Self::Tempo { .. } => GeneratedKind::Tempo,
            Self::Phase { .. } => GeneratedKind::Phase,
            Self::Hold { .. } => GeneratedKind::Hold,
            Self::Texture { .. } => GeneratedKind::Texture,
            Self::Amplitude { .. } => GeneratedKind::Amplitude,
        }
    }

    /// Draws one for windows of `window` rows, of which `count` are decoded.
    pub(crate) fn draw(window: usize, count: usize, rng: &mut Rng) -> Self {
        Self::draw_of(None, window, count, rng)
    }

    /// Draws one of a kind, if one is given.
    pub(crate) fn draw_of(
        kind: Option<GeneratedKind>,
        window: usize,
        count: usize,
        rng: &mut Rng,
    ) -> Self {
        let factor = rng.log_uniform(FACTOR.0, FACTOR.1);
        let either = if rng.below(2) == 0 { factor } else { 1.0 / factor };
        let other = rng.below(count);
        match kind.unwrap_or_else(|| any_kind(rng)) {
            GeneratedKind::OtherWindow => {
                let share = rng.log_uniform(SHARE.0, SHARE.1) as f32;
                Self::Other { other, share, slow: rng.uniform() < 0.3 }
            }
            GeneratedKind::Tempo => Self::Tempo { factor: either },
            GeneratedKind::Phase => {
                let rows = rng.log_uniform(2.0, window as f64 / 2.0);
                Self::Phase { rows: if rng.below(2) == 0 { rows } else { -rows } }
            }
            GeneratedKind::Hold => {
                let level = match rng.below(4) {
                    0 => Level::First,
                    1 => Level::Mean,
                    _ => Level::Of { other, moment: rng.below(window) },
                };
                Self::Hold { level, textured: rng.below(2) == 0 }
            }
            GeneratedKind::Texture if rng.uniform() < 0.3 => Self::Texture { factor: 0.0 },
            GeneratedKind::Texture => {
                Self::Texture { factor: rng.log_uniform(LOUDER.0, LOUDER.1) as f32 }
            }
            GeneratedKind::Amplitude if rng.uniform() < 0.3 => Self::Amplitude { factor: -1.0 },
            GeneratedKind::Amplitude => Self::Amplitude { factor: either as f32 },
            GeneratedKind::Walk => Self::Walk { knots: 2 + rng.below(KNOTS - 2) },
            _ => Self::Residual,
        }
    }

    /// The change of a feature over `segment`.
    pub(crate) fn change(
        self,
        decodings: Decodings,
        feature: &Feature,
        segment: Range<usize>,
        rng: &mut Rng,
    ) -> Vec<f32> {
        let &Feature { d, own, plain, residual } = feature;
        let length = segment.len() as f32;
        let mean = plain[segment.clone()].iter().sum::<f32>() / length;
        let over = |value: &dyn Fn(usize) -> f32| segment.clone().map(value).collect::<Vec<f32>>();
        match self {
            Self::Residual => residual[segment].to_vec(),
            Self::Walk { knots } => {
                let stops: Vec<usize> = (0..=knots).map(|_| rng.below(decodings.len())).collect();
                over(&|t| {
                    let (leg, share) = leg((t - segment.start) as f32 / length, knots);
                    let [from, to] = [leg, leg + 1].map(|stop| decodings.at(stops[stop], t, d));
                    from + share * (to - from) - plain[t]
                })
            }
            Self::Other { other, share, slow } => over(&|t| {
                let done = if slow { (t - segment.start + 1) as f32 / length } else { 1.0 };
                done * share * (decodings.at(other, t, d) - plain[t])
            }),
            Self::Tempo { factor } => {
                let start = segment.start as f64;
                over(&|t| value_at(plain, start + (t as f64 - start) * factor) - plain[t])
            }
            Self::Phase { rows } => over(&|t| value_at(plain, t as f64 + rows) - plain[t]),
            Self::Hold { level, textured } => {
                let level = match level {
                    Level::First => plain[segment.start],
                    Level::Mean => mean,
                    Level::Of { other, moment } => decodings.at(other, moment, d),
                };
                over(&|t| level - if textured { plain[t] } else { own[t] })
            }
            Self::Texture { factor } => over(&|t| (factor - 1.0) * (own[t] - plain[t])),
            Self::Amplitude { factor } => over(&|t| (factor - 1.0) * (plain[t] - mean)),
        }
    }
}

/// A kind by chance. Three in ten are walks: of the tested deformations, only walks are slow enough to
/// resemble a drift.
fn any_kind(rng: &mut Rng) -> GeneratedKind {
    match rng.below(10) {
        0 => GeneratedKind::Residual,
        1 => GeneratedKind::OtherWindow,
        2 => GeneratedKind::Tempo,
        3 => GeneratedKind::Phase,
        4 => GeneratedKind::Hold,
        5 => GeneratedKind::Texture,
        6 => GeneratedKind::Amplitude,
        _ => GeneratedKind::Walk,
    }
}

/// The leg, out of `legs` equal ones, that `share` of the way lies on, and the share of that leg.
fn leg(share: f32, legs: usize) -> (usize, f32) {
    let place = share * legs as f32;
    let leg = (place as usize).min(legs - 1);
    (leg, place - leg as f32)
}

/// The value at position `place`, interpolated linearly between rows and reflected at both ends.
fn value_at(values: &[f32], place: f64) -> f32 {
    let place = reflect(place, (0, values.len() - 1));
    let row = (place as usize).min(values.len() - 2);
    values[row] + (place - row as f64) as f32 * (values[row + 1] - values[row])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::rng::Purpose;

    const WINDOW: usize = 16;
    const SEGMENT: Range<usize> = 4..12;

    /// Three windows of two features: t, 10 and 20 + t, the second feature negative.
    fn decodings() -> Vec<f32> {
        let window = |values: fn(usize) -> f32| (0..WINDOW).map(values).flat_map(|v| [v, -v]);
        let mut all: Vec<f32> = window(|t| t as f32).collect();
        all.extend(window(|_| 10.0));
        all.extend(window(|t| 20.0 + t as f32));
        all
    }

    /// Feature `d` of the first window over the segment after deformation; its own texture is
    /// +-0.5.
    fn deformed(deformation: Deformation, d: usize) -> Vec<f32> {
        let values = decodings();
        let all = Decodings { values: &values, window: WINDOW, features: 2 };
        let texture = |t: usize| if t.is_multiple_of(2) { 0.5 } else { -0.5 };
        let own: Vec<f32> = (0..WINDOW).map(|t| all.at(0, t, d) + texture(t)).collect();
        let mut rng = Rng::new(3, Purpose::Negative, [0, 0]);
        let residual = vec![7.0 - 14.0 * d as f32; WINDOW];
        let feature = Feature { d, own: &own, plain: &all.column(0, d), residual: &residual };
        let change = deformation.change(all, &feature, SEGMENT, &mut rng);
        own[SEGMENT].iter().zip(change).map(|(x, delta)| x + delta).collect()
    }

    /// The texture over the segment, around `level`.
    fn textured(level: impl Fn(usize) -> f32) -> Vec<f32> {
        SEGMENT.map(|t| level(t) + if t.is_multiple_of(2) { 0.5 } else { -0.5 }).collect()
    }

    fn assert_close(found: Vec<f32>, expected: Vec<f32>) {
        assert_eq!(found.len(), expected.len());
        for (x, y) in found.iter().zip(&expected) {
            assert!((x - y).abs() < 1e-4, "{found:?} is not {expected:?}");
        }
    }

    #[test]
    fn each_deformation_replaces_the_decoding_and_keeps_the_texture() {
        for d in [0, 1] {
            let sign = if d == 0 { 1.0 } else { -1.0 };
            let becomes = |deformation, level: &dyn Fn(usize) -> f32| {
                assert_close(deformed(deformation, d), textured(|t| sign * level(t)));
            };
            becomes(Deformation::Residual, &|t| t as f32 + 7.0);
            becomes(Deformation::Other { other: 1, share: 0.5, slow: false }, &|t| {
                0.5 * (t as f32 + 10.0)
            });
            becomes(Deformation::Other { other: 2, share: 1.0, slow: true }, &|t| {
                t as f32 + 20.0 * (t - 3) as f32 / 8.0
            });
            becomes(Deformation::Tempo { factor: 0.5 }, &|t| 4.0 + 0.5 * (t - 4) as f32);
            becomes(Deformation::Phase { rows: 2.5 }, &|t| t as f32 + 2.5);
            let other = Level::Of { other: 2, moment: 5 };
            becomes(Deformation::Hold { level: other, textured: true }, &|_| 25.0);
            becomes(Deformation::Hold { level: Level::Mean, textured: true }, &|_| 7.5);
            becomes(Deformation::Amplitude { factor: -1.0 }, &|t| 15.0 - t as f32);
        }
    }

    #[test]
    fn a_texture_goes_or_grows_and_a_hold_may_lose_it() {
        let smooth: Vec<f32> = SEGMENT.map(|t| t as f32).collect();
        assert_close(deformed(Deformation::Texture { factor: 0.0 }, 0), smooth.clone());
        let loud = smooth
            .iter()
            .enumerate()
            .map(|(t, x)| x + if t.is_multiple_of(2) { 1.5 } else { -1.5 });
        assert_close(deformed(Deformation::Texture { factor: 3.0 }, 0), loud.collect());
        let flat = Deformation::Hold { level: Level::First, textured: false };
        assert_close(deformed(flat, 0), vec![4.0; 8]);
    }

    #[test]
    fn a_walk_goes_in_lines_from_one_decoding_to_the_next() {
        assert_eq!(
            [0.0, 0.25, 0.5, 0.75].map(|x| leg(x, 2)),
            [(0, 0.0), (0, 0.5), (1, 0.0), (1, 0.5)]
        );
        let walk = deformed(Deformation::Walk { knots: 4 }, 0);
        let level: Vec<f32> = walk.iter().zip(textured(|_| 0.0)).map(|(x, e)| x - e).collect();
        for (i, t) in SEGMENT.enumerate().step_by(2) {
            let stops = [t as f32, 10.0, 20.0 + t as f32];
            assert!(stops.iter().any(|stop| (level[i] - stop).abs() < 1e-4), "{level:?}");
        }
        assert!(level.windows(2).all(|pair| (pair[1] - pair[0]).abs() < 12.0), "{level:?}");
    }

    #[test]
    fn places_outside_the_window_are_mirrored() {
        let values: Vec<f32> = (0..WINDOW).map(|t| t as f32).collect();
        let places = [-2.0, 0.0, 7.5, 15.0, 16.5, 31.0];
        assert_eq!(places.map(|x| value_at(&values, x)), [2.0, 0.0, 7.5, 15.0, 13.5, 1.0]);
    }

    #[test]
    fn every_deformation_is_drawn_and_walks_three_times_as_often() {
        let mut rng = Rng::new(0, Purpose::Negative, [0, 0]);
        let mut counts = std::collections::HashMap::new();
        for _ in 0..2000 {
            let drawn = Deformation::draw(WINDOW, 3, &mut rng);
            if let Deformation::Walk { knots } = drawn {
                assert!((2..KNOTS).contains(&knots));
            }
            *counts.entry(std::mem::discriminant(&drawn)).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 8);
        let walks = counts[&std::mem::discriminant(&Deformation::Walk { knots: 2 })];
        assert!((520..680).contains(&walks), "{walks}");
        assert!(counts.values().all(|&n| n > 140), "{counts:?}");
    }
}
