//! Changes of one feature over a segment, in z-scores, by kind.

use crate::config::Ranges;
use std::ops::Range;

use crate::config::Kind;
use crate::config::OneOrRange;
use crate::config::Way;
use crate::runtime::rng::Rng;
use crate::runtime::rng::random_subset;

/// One feature of a window, and the rows of it that change (at least one).
pub(super) struct Stretch<'a> {
    pub values: &'a [f64],
    pub rows: Range<usize>,
    /// Where 0 lies; `None` where that is not known.
    pub zero: Option<f64>,
}

impl Stretch<'_> {
    /// The values of the rows that change.
    pub fn own(&self) -> &[f64] {
        &self.values[self.rows.clone()]
    }
}

/// Amounts of one anomaly, drawn once for all of its features.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Amount {
    /// In training standard deviations; for `contextual` in local ones.
    pub strength: f64,
    /// Factor of the tempo, the amplitude or the distortion.
    pub factor: f64,
    /// Shift of the phase in rows.
    pub shift: usize,
    /// Which way it goes.
    pub up: bool,
    /// Whether a user has said so.
    pub directed: bool,
    /// In the unit of the feature; takes the place of the strength.
    pub size: Option<f64>,
}

impl Amount {
    /// Draws the amounts of an anomaly of `length` rows, each log-uniformly.
    pub(crate) fn draw(kind: Kind, length: usize, ranges: Ranges, rng: &mut Rng) -> Self {
        let (low, high) = ranges.strength.map_or(kind.strength(), OneOrRange::bounds);
        let strength = rng.log_uniform(low, high);
        let (low, high) = ranges.factor.map_or(kind.factor(), OneOrRange::bounds);
        let factor = rng.log_uniform(low, high);
        let inverse = ranges.factor.is_none() && kind.inverts() && rng.below(2) == 0;
        let factor = if inverse { 1.0 / factor } else { factor };
        let default_shift = ((length / 8).max(1), (length / 2).max(1));
        let (low, high) = ranges.shift.map_or(default_shift, OneOrRange::bounds);
        let shift = rng.log_uniform(low as f64, high as f64).round() as usize;
        let up = rng.below(2) == 0;
        let directed = ranges.direction.filter(|way| *way != Way::Both);
        let up = directed.map_or(up, |way| way == Way::Up);
        let size = ranges.size.map(|size| {
            let (low, high) = size.bounds();
            rng.log_uniform(low, high)
        });
        Self { strength, factor, shift, up, directed: directed.is_some(), size }
    }

    /// The same for a feature of deviation `std`.
    pub(super) fn of(&self, std: f64) -> Self {
        let strength = self.size.map_or(self.strength, |size| size / std);
        Self { strength, ..self.clone() }
    }
}

/// The features that one anomaly of this kind changes: a random subset of `live`, with every size
/// up to `share` of them equally likely. `mode-correlation` leaves out at least one of several
/// features: mirroring all would preserve their correlation.
pub(super) fn hit_features(kind: Kind, live: &[usize], share: f64, rng: &mut Rng) -> Vec<usize> {
    let spared = usize::from(kind == Kind::ModeCorrelation && live.len() > 1);
    let most = (share * live.len() as f64).round() as usize;
    let most = most.clamp(1, (live.len() - spared).max(1));
    random_subset(live.len(), most, rng).into_iter().map(|i| live[i]).collect()
}

#[cfg(test)]
mod tests {
    use super::super::changed::changed;
    use super::*;
    use crate::runtime::rng::{Purpose, Rng};
    use crate::stats::{mean_std, range, rms_f64 as rms};

    const ROWS: usize = 200;

    fn rng(seed: u64) -> Rng {
        Rng::new(seed, Purpose::Inject, [0, 0])
    }

    /// Four cycles of a sine.
    fn wave() -> Vec<f64> {
        (0..ROWS).map(|t| (std::f64::consts::TAU * t as f64 / 50.0).sin()).collect()
    }

    fn amount(strength: f64, factor: f64, shift: usize) -> Amount {
        Amount { strength, factor, shift, up: true, directed: false, size: None }
    }

    /// Values of the wave over `segment`, before and after the change.
    fn hit(kind: Kind, segment: Range<usize>, amount: &Amount) -> (Vec<f64>, Vec<f64>) {
        let stretch = &Stretch { values: &wave(), rows: segment, zero: Some(-3.0) };
        (stretch.own().to_vec(), changed(kind, stretch, amount, &mut rng(1)))
    }

    fn delta((before, after): &(Vec<f64>, Vec<f64>)) -> Vec<f64> {
        after.iter().zip(before).map(|(after, before)| after - before).collect()
    }

    fn crossings(values: &[f64]) -> usize {
        let (mean, _) = mean_std(values);
        values.windows(2).filter(|pair| (pair[0] > mean) != (pair[1] > mean)).count()
    }

    fn correlation(a: &[f64], b: &[f64]) -> f64 {
        let ((mean_a, std_a), (mean_b, std_b)) = (mean_std(a), mean_std(b));
        let products = a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b));
        products.sum::<f64>() / (a.len() as f64 * std_a * std_b)
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9 * (1.0 + b.abs())
    }

    #[test]
    fn points_leave_their_range() {
        let (before, after) = hit(Kind::Global, 60..63, &amount(4.0, 1.0, 1));
        assert!(after.iter().zip(&before).all(|(a, b)| close(a.abs(), b.abs() + 4.0)));
        let (_, after) = hit(Kind::Extremum, 60..61, &amount(2.0, 1.0, 1));
        let largest = wave().iter().fold(0.0, |most: f64, z| most.max(*z));
        assert!(close(after[0], largest + 2.0), "{after:?}");
    }

    #[test]
    fn contextual_leaves_its_surroundings_but_not_the_range() {
        // On the flank, where the local mean is 0.
        let (before, after) = hit(Kind::Contextual, 98..101, &amount(3.0, 1.0, 1));
        for (t, (before, after)) in (98..101).zip(before.iter().zip(&after)) {
            let local = wave();
            let (mean, std) = mean_std(&local[t - 10..t + 11]);
            assert!(close((after - mean).abs(), 3.0 * std));
            assert!((after > &mean) != (before > &mean));
        }
    }

    #[test]
    fn shifts_slopes_and_noise_have_the_strength_asked_for() {
        for kind in [Kind::Mean, Kind::Trend, Kind::Variance, Kind::Global, Kind::Pulse, Kind::Walk]
        {
            let moved = delta(&hit(kind, 30..100, &amount(2.5, 1.0, 1)));
            assert!(close(rms(&moved), 2.5), "{kind:?}: {}", rms(&moved));
        }
        let shift = delta(&hit(Kind::Mean, 30..100, &amount(2.0, 1.0, 1)));
        assert!(shift.iter().all(|&moved| close(moved, 2.0)));
        let slope = delta(&hit(Kind::Trend, 30..100, &amount(2.0, 1.0, 1)));
        assert!(slope.iter().zip(1..).all(|(&moved, i)| close(moved, slope[0] * i as f64)));
        let (before, after) = hit(Kind::Variance, 30..100, &amount(2.0, 1.0, 1));
        assert!(close(mean_std(&after).0, mean_std(&before).0));
        assert!(mean_std(&after).1 > 1.5);
    }

    #[test]
    fn amplitude_scales_about_the_mean() {
        for factor in [3.0, 0.5] {
            let (before, after) = hit(Kind::Amplitude, 30..110, &amount(1.0, factor, 1));
            let ((mean, std), (mean_after, std_after)) = (mean_std(&before), mean_std(&after));
            assert!(close(mean_after, mean) && close(std_after, factor * std));
            assert!(close(correlation(&before, &after), 1.0));
        }
    }

    #[test]
    fn platform_is_flat_within_the_range() {
        let (_, after) = hit(Kind::Platform, 30..110, &amount(1.0, 1.0, 1));
        assert!(after.iter().all(|z| close(*z, after[0]) && z.abs() <= 1.0));
    }

    #[test]
    fn a_direction_that_is_asked_for_is_taken() {
        for way in [Way::Up, Way::Down] {
            let ranges = Ranges { direction: Some(way), ..Ranges::default() };
            for kind in [Kind::Global, Kind::Extremum, Kind::Mean, Kind::Trend, Kind::Pulse] {
                for seed in 0..8 {
                    let amount = Amount::draw(kind, 4, ranges, &mut rng(seed));
                    let moved = delta(&hit(kind, 60..64, &amount));
                    let right = moved.iter().all(|x| (*x > 0.0) == (way == Way::Up));
                    assert!(right, "{kind:?} {way:?} {moved:?}");
                }
            }
        }
    }

    #[test]
    fn humps_return_and_lost_values_stay_or_drop() {
        let hump = delta(&hit(Kind::Pulse, 30..70, &amount(2.0, 1.0, 1)));
        assert!(hump[0] < 0.1 && hump[39] < 0.1 && hump[20] > 3.0, "{hump:?}");
        let (_, stuck) = hit(Kind::Stuck, 30..70, &amount(1.0, 1.0, 1));
        assert!(stuck.iter().all(|z| close(*z, wave()[29])));
        let (_, dropped) = hit(Kind::Dropout, 30..70, &amount(1.0, 1.0, 1));
        assert_eq!(dropped, [-3.0; 40]);
        let (before, other) = hit(Kind::OtherWindow, 30..40, &amount(1.0, 1.0, 1));
        let found = (0..ROWS - 10).filter(|start| wave()[*start..start + 10] == other[..]);
        assert!(before != other && found.count() > 0);
        let (before, reset) = hit(Kind::Reset, 30..70, &amount(1.0, 1.0, 1));
        assert!(before.iter().zip(&reset).all(|(z, new)| close(new - z, -3.0 - wave()[29])));
    }

    #[test]
    fn tempo_changes_the_number_of_crossings() {
        // Two cycles that start and end off the mean: four crossings.
        let segment = 10..110;
        for kind in [Kind::Seasonal, Kind::Frequency] {
            let count = |factor| crossings(&hit(kind, segment.clone(), &amount(1.0, factor, 1)).1);
            let plain = crossings(&wave()[10..110]);
            assert_eq!((plain, count(0.5)), (4, 2), "{kind:?}");
            assert!(count(3.0) >= 11, "{kind:?}: {}", count(3.0));
        }
        // Faster, it reads the rows after the segment.
        let (_, after) = hit(Kind::Seasonal, 50..60, &amount(1.0, 2.0, 1));
        let ahead: Vec<f64> = (0..10).map(|i| wave()[49 + 2 * (i + 1)]).collect();
        assert_eq!(
            after.iter().map(|z| (z * 1e5).round()).collect::<Vec<_>>(),
            ahead.iter().map(|z| (z * 1e5).round()).collect::<Vec<_>>()
        );
    }

    #[test]
    fn phase_is_read_from_elsewhere() {
        let (_, after) = hit(Kind::PatternShift, 50..90, &amount(1.0, 1.0, 12));
        assert!(after.iter().zip(62..).all(|(z, t)| close(*z, wave()[t])));
        // At the end of the window it reads earlier rows.
        let (_, after) = hit(Kind::PatternShift, 150..200, &amount(1.0, 1.0, 12));
        assert!(after.iter().zip(138..).all(|(z, t)| close(*z, wave()[t])));
    }

    #[test]
    fn patterns_and_shapelets_keep_the_range_and_lose_the_shape() {
        // Asymmetric: the middle of the range is not the mean.
        let (before, after) = hit(Kind::Pattern, 25..110, &amount(1.0, 10.0, 1));
        let ((low, high), (low_after, high_after)) = (range(&before), range(&after));
        assert!(close(low_after, low) && close(high_after, high));
        let largest = |values: &[f64]| values.iter().fold(0.0f64, |most, z| most.max(z.abs()));
        assert!(mean_std(&after).1 > 1.2 * mean_std(&before).1);
        let (before, after) = hit(Kind::Shapelet, 25..125, &amount(1.0, 1.0, 1));
        assert!(correlation(&before, &after).abs() < 0.9 || mean_std(&after).1 == 0.0);
        assert!(largest(&after) <= largest(&before) + 1e-9);
    }

    #[test]
    fn correlation_flips() {
        let other: Vec<f64> = (0..ROWS).map(|t| (t as f64 / 7.0).sin()).collect();
        let (before, after) = hit(Kind::ModeCorrelation, 30..110, &amount(1.0, 1.0, 1));
        let other = &other[30..110];
        assert!(close(correlation(&after, other), -correlation(&before, other)));
        // At least one feature is not mirrored.
        for seed in 0..20 {
            assert_eq!(hit_features(Kind::ModeCorrelation, &[0, 1], 1.0, &mut rng(seed)).len(), 1);
        }
    }
}
