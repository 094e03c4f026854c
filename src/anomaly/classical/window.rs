//! Classical anomalies in windows of z-scores: negatives for detectors.

use std::ops::Range;

use super::changed::changed;
use super::stretch::{Amount, Stretch, hit_features};
use crate::anomaly::change::Change;
use crate::anomaly::source::{Source, Window};
use crate::config::{Kind, Ranges};
use crate::runtime::rng::Rng;

/// Shortest segment in training windows, for all kinds but the point kinds.
const MIN_ROWS: usize = 8;
/// Probability that a `trend` or `mean` lasts to the end of its window.
const TO_THE_END: f64 = 0.5;

/// Anomalies of one kind, on a random subset of the `live` features (at least one).
pub(crate) struct ClassicalSource<'a> {
    pub kind: Kind,
    pub live: &'a [usize],
}

impl ClassicalSource<'_> {
    /// Rows of an anomaly in a window of `rows` rows: one to three for point kinds, log-uniform up
    /// to the window for the others. Half of the trends and shifts last to its end.
    pub(crate) fn segment(&self, rows: usize, rng: &mut Rng) -> Range<usize> {
        let kind = self.kind;
        let (low, high) = if kind.is_point() { kind.length() } else { (MIN_ROWS, rows) };
        let (low, high) = (low.min(rows), high.min(rows));
        let length = (rng.log_uniform(low as f64, high as f64 + 1.0) as usize).clamp(low, high);
        let start = rng.below(rows - length + 1);
        let lasts = matches!(kind, Kind::Trend | Kind::Mean) && rng.uniform() < TO_THE_END;
        if lasts { rows - length..rows } else { start..start + length }
    }
}

impl Source for ClassicalSource<'_> {
    fn changes(&self, window: Window<'_>, segment: &Range<usize>, rng: &mut Rng) -> Vec<Change> {
        let amount = Amount::draw(self.kind, segment.len(), Ranges::default(), rng);
        hit_features(self.kind, self.live, 1.0, rng)
            .into_iter()
            .map(|feature| change(self.kind, window, segment.clone(), feature, &amount, rng))
            .collect()
    }
}

/// The change of `feature` over the rows `segment` of a window by an anomaly of this kind; never
/// zero, see [`changed`].
fn change(
    kind: Kind,
    window: Window<'_>,
    segment: Range<usize>,
    feature: usize,
    amount: &Amount,
    rng: &mut Rng,
) -> Change {
    let column: Vec<f64> = window.column(feature).into_iter().map(f64::from).collect();
    let stretch = &Stretch { values: &column, rows: segment, zero: None };
    let values = changed(kind, stretch, amount, rng);
    let delta = values.iter().zip(stretch.own()).map(|(new, old)| (new - old) as f32).collect();
    Change { feature, delta }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::changed::INERT;
    use super::*;
    use crate::runtime::rng::{Purpose, Rng};

    const ROWS: usize = 200;

    fn rng(seed: u64) -> Rng {
        Rng::new(seed, Purpose::Inject, [0, 0])
    }

    fn rms_of(change: &Change) -> f64 {
        f64::from(crate::stats::rms(&change.delta))
    }

    #[test]
    fn nothing_is_inert_on_a_flat_window() {
        let values = vec![0.25; 2 * ROWS];
        let window = Window { values: &values, features: 2 };
        let amount =
            Amount { strength: 2.0, factor: 2.0, shift: 3, up: true, directed: false, size: None };
        for kind in Kind::ALL {
            for segment in [0..ROWS, 40..41, 199..200] {
                let found = change(kind, window, segment, 1, &amount, &mut rng(4));
                assert!(rms_of(&found) >= INERT, "{kind:?}: {:?}", found.delta);
                assert_eq!(found.feature, 1);
            }
        }
    }

    proptest! {
        #[test]
        fn drawn_anomalies_lie_in_the_window_and_are_visible(
            seed in 0u64..1_000_000,
            rows in 8usize..120,
            features in 1usize..5,
            kinds in prop::sample::subsequence(Kind::ALL.to_vec(), 1..5),
        ) {
            let values = rng(seed).normals(rows * features);
            let live: Vec<usize> = (0..features).filter(|d| *d != 1).collect();
            let draw = || {
                let rng = &mut rng(seed);
                let source = ClassicalSource { kind: kinds[rng.below(kinds.len())], live: &live };
                let segment = source.segment(rows, rng);
                let changes = source.changes(Window { values: &values, features }, &segment, rng);
                (segment, changes)
            };
            let (segment, changes) = draw();
            prop_assert!(!segment.is_empty() && segment.end <= rows);
            prop_assert!(!changes.is_empty());
            for change in &changes {
                prop_assert!(live.contains(&change.feature));
                prop_assert_eq!(change.delta.len(), segment.len());
                prop_assert!(change.delta.iter().all(|delta| delta.is_finite()));
                prop_assert!(rms_of(change) >= INERT * 0.999);
            }
            prop_assert_eq!((segment, changes), draw());
        }
    }
}
