//! Projects an anomaly onto values that its feature can take, keeping the requested strength if
//! possible.

use super::feature::FeatureDomain;
use crate::data::domain::Domain;
use crate::data::normalise::Z_LIMIT;
use crate::runtime::rng::Rng;

/// Maximum factor by which inner rows compensate for values held back by a limit.
const MOST: f64 = 4.0;
/// Relative error of the strength that is accepted without a search.
const NEAR: f64 = 5e-4;
/// Bisection steps of the search.
const ROUNDS: usize = 14;
/// Below this share of the requested strength, the opposite direction is tried.
const LITTLE: f64 = 0.5;
/// Below this share of the strength, or below so many standard deviations, the anomaly does not
/// show.
const SHOWN: f64 = 0.25;
const VISIBLE: f64 = 1.0;
/// Shortest segment whose first and last values are not scaled.
const BOUNDED: usize = 3;

/// A feature that an anomaly changes.
#[derive(Clone, Copy)]
pub(crate) struct HitFeature<'a> {
    pub domain: &'a FeatureDomain,
    pub dtype: &'a Domain,
    /// Its standard deviation in training.
    pub std: f64,
    /// Values over the segment; NaN for missing ones.
    pub before: &'a [f64],
    /// The values before and after the segment, if any.
    pub beside: [Option<f64>; 2],
}

impl HitFeature<'_> {
    /// Limits of its values, for anomalies of the requested strength, if any.
    fn limits(&self, asked: Option<f64>) -> (f64, f64) {
        let (low, high) = self.domain.limits(self.std, asked);
        let (least, most) = self.dtype.limits();
        (low.max(least), high.min(most))
    }
}

/// How a change is adapted to a domain.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Adaptation {
    /// RMS of the change to reach, in standard deviations; `None` to leave it as it is.
    pub target: Option<f64>,
    /// The strength that the user requested, if any.
    pub asked: Option<f64>,
    /// Whether values between two lattice points are rounded at random, so that their mean stays.
    pub dither: bool,
    /// Whether the change may take the opposite direction if this one is blocked.
    pub flip: bool,
    /// Whether a counter may fall.
    pub resets: bool,
}

/// A change within the domain of its feature.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Realised {
    /// New values.
    pub values: Vec<f64>,
    /// RMS of the change, in standard deviations.
    pub strength: f64,
    /// Whether the anomaly shows: at least a quarter of the strength, or one standard deviation.
    pub shown: bool,
}

/// Projects the `wanted` values onto the domain of the feature, as close to the target strength as
/// possible. Inner rows are scaled to compensate for values that are held back; the first and the
/// last row are not, so that the seams stay as they are.
pub(crate) fn realise(
    feature: HitFeature<'_>,
    wanted: &[f64],
    adaptation: Adaptation,
    rng: &mut Rng,
) -> Realised {
    let limits = feature.limits(adaptation.asked);
    let coarse = adaptation.target.is_some_and(|target| {
        let size = target * feature.std;
        feature.domain.spacing(feature.before.first().copied().unwrap_or(0.0)) > 0.5 * size
    });
    let thresholds = match adaptation.dither && coarse {
        true => wanted.iter().map(|_| rng.uniform()).collect(),
        false => vec![0.5; wanted.len()],
    };
    let rises = feature.domain.monotone && !adaptation.resets;
    let projector = Projector { feature, limits, thresholds, rises };
    let one = |factor: f64| projector.of(wanted, factor);
    let mut best = search(&one, adaptation.target);
    let target = adaptation.target.unwrap_or(0.0);
    if adaptation.flip && best.strength < LITTLE * target {
        let other = mirrored(feature.before, wanted);
        let found = search(&|factor| projector.of(&other, factor), adaptation.target);
        best = if found.strength > best.strength { found } else { best };
    }
    best.shown = best.strength > 0.0 && best.strength >= (SHOWN * target).min(VISIBLE);
    best
}

/// The values with the one at `at` replaced by the next possible value above or below; `None` if
/// there is none.
pub(crate) fn one_step(feature: HitFeature<'_>, at: usize, up: bool) -> Option<Vec<f64>> {
    let HitFeature { domain, dtype, before, .. } = feature;
    let limits = feature.limits(None);
    let inside = |next: &f64| (limits.0..=limits.1).contains(next);
    let next = domain.next_to(dtype, before[at], up).filter(inside)?;
    let mut values = before.to_vec();
    values[at] = dtype.nearest(next);
    let rises = domain.monotone;
    let projector = Projector { feature, limits, thresholds: Vec::new(), rises };
    if rises {
        projector.rise(&mut values);
    }
    (values[at] != before[at]).then_some(values)
}

/// The change in the opposite direction; none at the seams.
fn mirrored(before: &[f64], wanted: &[f64]) -> Vec<f64> {
    let turned = before.iter().zip(wanted).map(|(before, wanted)| before - (wanted - before));
    let mut other: Vec<f64> = turned.collect();
    if let ([first, .., last], true) = (&mut other[..], wanted.len() >= BOUNDED) {
        (*first, *last) = (before[0], before[before.len() - 1]);
    }
    other
}

/// The change whose strength is nearest to the target.
fn search(of: &dyn Fn(f64) -> Realised, target: Option<f64>) -> Realised {
    let mut best = of(1.0);
    let Some(target) = target.filter(|target| *target > 0.0) else { return best };
    let off = |found: &Realised| (found.strength.max(f64::MIN_POSITIVE) / target).ln().abs();
    if off(&best) < NEAR {
        return best;
    }
    let (mut low, mut high) = if best.strength < target { (1.0, MOST) } else { (0.0, 1.0) };
    let mut try_one = |factor: f64| {
        let found = of(factor);
        let strength = found.strength;
        if off(&found) < off(&best) {
            best = found;
        }
        strength
    };
    if high == MOST && try_one(MOST) < target {
        return best;
    }
    for _ in 0..ROUNDS {
        let middle = 0.5 * (low + high);
        let found = try_one(middle);
        if found < target { low = middle } else { high = middle }
    }
    best
}

struct Projector<'a> {
    feature: HitFeature<'a>,
    limits: (f64, f64),
    /// Per row, the share of the way to the next value from which it is rounded up.
    thresholds: Vec<f64>,
    /// Whether values never fall.
    rises: bool,
}

impl Projector<'_> {
    /// The change, with inner rows scaled by a factor.
    fn of(&self, wanted: &[f64], factor: f64) -> Realised {
        let last = wanted.len().saturating_sub(1);
        let is_end = |t: usize| wanted.len() >= BOUNDED && (t == 0 || t == last);
        let scaled = |(t, wanted): (usize, &f64)| {
            let before = self.feature.before[t];
            match factor == 1.0 || is_end(t) {
                true => self.value(t, *wanted),
                false => self.value(t, before + factor * (wanted - before)),
            }
        };
        let mut values: Vec<f64> = wanted.iter().enumerate().map(scaled).collect();
        if self.rises {
            self.rise(&mut values);
        }
        let strength = self.strength(&values);
        Realised { values, strength, shown: true }
    }

    /// The value of row `t` in the domain for a wanted one.
    fn value(&self, t: usize, wanted: f64) -> f64 {
        let before = self.feature.before[t];
        if wanted == before || before.is_nan() {
            return before;
        }
        // A value outside of the limits may keep its place.
        let (low, high) = (self.limits.0.min(before), self.limits.1.max(before));
        let wanted = wanted.max(low).min(high);
        let (below, above) = self.feature.domain.around(wanted);
        let share = if above > below { (wanted - below) / (above - below) } else { 0.0 };
        let mut taken = if share + self.thresholds[t] >= 1.0 { above } else { below };
        if taken < low || taken > high {
            let other = if taken == above { below } else { above };
            taken = if (low..=high).contains(&other) { other } else { before };
        }
        self.feature.dtype.nearest(taken)
    }

    /// Keeps a counter from falling where the input does not, and from exceeding its next value.
    fn rise(&self, values: &mut [f64]) {
        let before = self.feature.before;
        let present = || (0..before.len()).filter(|&t| !before[t].is_nan());
        let [earlier, after] = self.feature.beside.map(|value| value.unwrap_or(f64::NAN));
        let (mut following, mut cap) = (after, after);
        for t in present().rev() {
            // Before a reset the counter may have any value.
            if following < before[t] {
                cap = f64::NAN;
            }
            values[t] = values[t].min(cap);
            following = before[t];
        }
        let (mut own, mut last) = (earlier, earlier);
        for t in present() {
            if before[t] < own || last.is_nan() {
                last = before[t];
            }
            own = before[t];
            values[t] = values[t].max(last);
            last = values[t];
        }
    }

    fn strength(&self, values: &[f64]) -> f64 {
        let std = self.feature.std;
        let moved = values.iter().zip(self.feature.before).filter(|(_, before)| !before.is_nan());
        let (mut squares, mut n) = (0.0, 0usize);
        for (value, before) in moved {
            squares += (value / std - before / std).clamp(-Z_LIMIT, Z_LIMIT).powi(2);
            n += 1;
        }
        (squares / n.max(1) as f64).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;
    use proptest::prelude::*;

    use super::super::lattice::Lattice;
    use super::*;
    use crate::runtime::rng::{Purpose, Rng};

    fn rng() -> Rng {
        Rng::new(3, Purpose::Dither, [0, 0])
    }

    fn made(
        domain: &FeatureDomain,
        std: f64,
        before: &[f64],
        delta: &[f64],
        adaptation: Adaptation,
    ) -> Realised {
        let dtype = &Domain::of(&DataType::Float64);
        let feature = HitFeature { domain, dtype, std, before, beside: [None; 2] };
        let wanted: Vec<f64> = before.iter().zip(delta).map(|(x, delta)| x + delta).collect();
        realise(feature, &wanted, adaptation, &mut rng())
    }

    fn meeting(target: f64) -> Adaptation {
        Adaptation {
            target: Some(target),
            asked: Some(target),
            dither: true,
            flip: true,
            resets: false,
        }
    }

    fn counts() -> FeatureDomain {
        let (seen, lattice) = (Some((0.0, 3.0)), Some(Lattice::of(0.0, 1.0)));
        FeatureDomain { min: Some(0.0), seen, lattice, ..FeatureDomain::default() }
    }

    #[test]
    fn counts_rise_in_rate() {
        // A shift by a third of a count: about one row in three gets one more.
        let found = made(&counts(), 0.3, &[0.0; 60], &[0.3; 60], meeting(1.0));
        assert!(found.shown && (found.strength - 1.0).abs() < 0.1, "{found:?}");
        assert!(found.values.iter().all(|value| [0.0, 1.0].contains(value)));
    }

    #[test]
    fn a_change_that_is_barred_goes_the_other_way() {
        let found = made(&counts(), 1.0, &[0.0; 20], &[-2.0; 20], meeting(2.0));
        assert!(found.shown && found.values.iter().all(|value| *value >= 0.0), "{found:?}");
        let adaptation = Adaptation { flip: false, ..meeting(2.0) };
        let found = made(&counts(), 1.0, &[0.0; 20], &[-2.0; 20], adaptation);
        assert!(!found.shown && found.strength == 0.0, "{found:?}");
    }

    #[test]
    fn what_limits_hold_back_others_make_up_for() {
        let domain = FeatureDomain { min: Some(0.0), ..FeatureDomain::default() };
        let delta: Vec<f64> = (0..40).map(|t| (f64::from(t) / 3.0).sin()).collect();
        let size = crate::stats::rms_f64(&delta);
        let found = made(&domain, 1.0, &[0.1; 40], &delta, meeting(size));
        assert!((found.strength / size - 1.0).abs() < 0.02, "{found:?}");
        assert!(found.values.iter().all(|value| *value >= 0.0));
        // Not so without a target strength.
        let found = made(&domain, 1.0, &[0.1; 40], &delta, Adaptation::default());
        assert!(found.strength < 0.8 * size);
    }

    #[test]
    fn counters_do_not_fall_and_flags_flip() {
        let domain = FeatureDomain { monotone: true, ..FeatureDomain::default() };
        let before: Vec<f64> = (0..10).map(|t| f64::from(t % 7)).collect();
        let dtype = &Domain::of(&DataType::Float64);
        let beside = [None, Some(3.0)];
        let feature = HitFeature { domain: &domain, dtype, std: 1.0, before: &before, beside };
        for shift in [-4.0, 0.5, 4.0] {
            let wanted: Vec<f64> = before.iter().map(|x| x + shift).collect();
            let found = realise(feature, &wanted, meeting(2.0), &mut rng());
            for pair in found.values.windows(2).chain([[found.values[9], 3.0].as_slice()]) {
                assert!(pair[0] <= pair[1] || pair[1] <= before[7] + 4.0, "{found:?}");
            }
            assert!(found.values[7..].iter().all(|value| *value <= 3.0), "{found:?}");
        }
        let flag = FeatureDomain { values: Some(vec![0.0, 1.0]), ..FeatureDomain::default() };
        let found = made(&flag, 0.5, &[0.0, 1.0, 0.0, 0.0], &[1.0; 4], meeting(2.0));
        assert!(found.values.iter().all(|value| [0.0, 1.0].contains(value)) && found.shown);
    }

    #[test]
    fn a_counter_can_stall_between_its_neighbours() {
        let domain = FeatureDomain { monotone: true, ..FeatureDomain::default() };
        let dtype = &Domain::of(&DataType::Float64);
        let before = [11.0, 12.0, 13.0];
        let beside = [Some(10.0), Some(14.0)];
        let feature = HitFeature { domain: &domain, dtype, std: 1.0, before: &before, beside };
        let stalled = realise(feature, &[5.0; 3], Adaptation::default(), &mut rng());
        assert_eq!(stalled.values, [10.0; 3]);
        let ahead = realise(feature, &[20.0; 3], Adaptation::default(), &mut rng());
        assert_eq!(ahead.values, [14.0; 3]);
        // The rows follow a reset: the value before it sets no bound.
        let feature = HitFeature { beside: [Some(90.0), None], ..feature };
        let found = realise(feature, &[5.0, 99.0, 5.0], Adaptation::default(), &mut rng());
        assert_eq!(found.values, [11.0, 99.0, 99.0]);
    }

    #[test]
    fn the_end_of_the_dtype_is_no_step() {
        let domain =
            FeatureDomain { lattice: Some(Lattice::of(0.0, 10.0)), ..FeatureDomain::default() };
        let dtype = &Domain::of(&DataType::Int8);
        let before = [110.0, 120.0, 110.0];
        let feature =
            HitFeature { domain: &domain, dtype, std: 10.0, before: &before, beside: [None; 2] };
        let found = realise(feature, &[200.0; 3], Adaptation::default(), &mut rng());
        assert_eq!(found.values, [120.0; 3]);
        assert_eq!(one_step(feature, 1, true), None);
        assert_eq!(one_step(feature, 1, false), Some(vec![110.0; 3]));
    }

    proptest! {
        #[test]
        fn nothing_leaves_the_domain(
            delta in prop::collection::vec(-9f64..9.0, 1..40),
            before in prop::collection::vec(0u8..4, 40),
            (target, std) in (0.1f64..6.0, 0.2f64..3.0),
            (flip, dither) in (any::<bool>(), any::<bool>()),
        ) {
            let before: Vec<f64> = before.into_iter().map(f64::from).collect();
            let adaptation = Adaptation { target: Some(target), asked: None, flip, dither, resets: false };
            let domain = FeatureDomain { max: Some(6.0), ..counts() };
            let found = made(&domain, std, &before[..delta.len()], &delta, adaptation);
            for value in &found.values {
                prop_assert!(value.fract() == 0.0 && (0.0..=6.0).contains(value));
            }
        }
    }
}
