//! Volume under the surface (Paparrizos et al., "Volume Under the Surface: A New Accuracy Evaluation
//! Measure for Time-Series Anomaly Detection", PVLDB 2022), as TSB-AD computes it.
//!
//! For a buffer of w rows, every event is surrounded by soft labels sqrt(1 - d / w) at the
//! distances d = 1 ..= w / 2 (summed over events, at most 1). With b the sum of the soft labels
//! under the predicted rows, a the number of predicted anomalous rows, P of all of them, N of all
//! rows and p of predicted ones:
//!
//! ```text
//! recall    = min((a + b) / (P + b / 2), 1) * share of buffered events that hold a predicted row
//! FPR       = (p - a - b) / (N - P - b / 2)
//! precision = (a + b) / p
//! ```
//!
//! at thresholds that are evenly spaced ranks of the sorted scores. The area under each curve is
//! averaged over all buffers w = 0 ..= `buffer`.
//!
//! One sort and one pass over the rows: rows near an event are counted by distance and by the first
//! threshold that predicts them, and from one buffer to the next only the rows at the new distance
//! change.

use super::range::{Run, runs};
use crate::error::{Error, Result};

/// Default of `buffer`: that of TSB-AD.
pub const BUFFER: usize = 100;
/// Default number of thresholds: that of TSB-AD.
pub const THRESHOLDS: usize = 250;
const MOST_BUFFER: usize = 10_000;
const MOST_THRESHOLDS: usize = 1000;

/// Volumes under both surfaces.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Volumes {
    /// Under the ROC surface, in [0, 1]; `None` if all rows are anomalous.
    pub roc: Option<f64>,
    /// Under the precision-recall surface, in [0, 1].
    pub pr: f64,
}

/// Volumes under the ROC and the precision-recall surface, with buffers of 0 to `buffer` rows in
/// total around an event and `thresholds` thresholds. `None` without an anomalous row.
///
/// # Errors
/// If lengths differ, a score is not finite, or an option is out of range (`buffer` <= 10,000,
/// `thresholds` 2 to 1000).
pub fn vus(
    scores: &[f64],
    labels: &[bool],
    buffer: usize,
    thresholds: usize,
) -> Result<Option<Volumes>> {
    super::input::check(scores, labels)?;
    check(buffer, thresholds)?;
    let events = runs(labels.iter().copied());
    if events.is_empty() {
        return Ok(None);
    }
    let first = first_thresholds(scores, thresholds);
    let counts = FixedCounts::new(&first, labels, thresholds);
    let reach = (buffer / 2).min(labels.len());
    let mut soft = SoftLabels::new(&first, &events, reach, thresholds);
    let mut segments = Segments::new(&first, &events);
    let (mut roc, mut pr) = (0.0, 0.0);
    for half in 0..=buffer / 2 {
        if half > 0 && half <= reach {
            soft.widen(half);
            segments.widen(half);
        }
        let found = segments.found(thresholds);
        for width in [2 * half, 2 * half + 1] {
            if width <= buffer {
                let (area, average) = counts.areas(&soft.below(half.min(reach), width), &found);
                roc += area;
                pr += average;
            }
        }
    }
    let buffers = (buffer + 1) as f64;
    let mixed = counts.positives < labels.len();
    Ok(Some(Volumes { roc: mixed.then(|| roc / buffers), pr: pr / buffers }))
}

/// Rejects options out of range.
pub(crate) fn check(buffer: usize, thresholds: usize) -> Result<()> {
    if buffer > MOST_BUFFER {
        return Err(Error::parameter("buffer", buffer, format!("0 to {MOST_BUFFER}")));
    }
    if !(2..=MOST_THRESHOLDS).contains(&thresholds) {
        return Err(Error::parameter("thresholds", thresholds, format!("2 to {MOST_THRESHOLDS}")));
    }
    Ok(())
}

/// The first threshold, from the highest down, that predicts each row.
fn first_thresholds(scores: &[f64], thresholds: usize) -> Vec<u32> {
    let mut sorted = scores.to_vec();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let last = scores.len() - 1;
    // Evenly spaced ranks, truncated to integers as in TSB-AD.
    let step = last as f64 / (thresholds - 1) as f64;
    let rank = |j: usize| if j + 1 == thresholds { last } else { (j as f64 * step) as usize };
    let levels: Vec<f64> = (0..thresholds).map(|j| sorted[rank(j)]).collect();
    scores.iter().map(|score| levels.partition_point(|level| level > score) as u32).collect()
}

/// Counts that do not depend on the buffer.
struct FixedCounts {
    rows: usize,
    positives: usize,
    /// Rows that each threshold predicts.
    predicted: Vec<f64>,
    /// Anomalous rows that it predicts.
    correct: Vec<f64>,
}

impl FixedCounts {
    fn new(first: &[u32], labels: &[bool], thresholds: usize) -> Self {
        let (mut predicted, mut correct) = (vec![0.0; thresholds], vec![0.0; thresholds]);
        let mut positives = 0;
        for (first, label) in first.iter().zip(labels) {
            predicted[*first as usize] += 1.0;
            correct[*first as usize] += f64::from(u8::from(*label));
            positives += usize::from(*label);
        }
        accumulate(&mut predicted);
        accumulate(&mut correct);
        Self { rows: labels.len(), positives, predicted, correct }
    }

    /// Areas under the ROC and the precision-recall curve: `soft` is the sum of the soft labels
    /// predicted by each threshold, `found` the share of buffered events.
    fn areas(&self, soft: &[f64], found: &[f64]) -> (f64, f64) {
        let (mut roc, mut pr) = (0.0, 0.0);
        let (mut last_tpr, mut last_fpr) = (0.0, 0.0);
        for (j, (&soft, &found)) in soft.iter().zip(found).enumerate() {
            let hits = self.correct[j] + soft;
            let positives = self.positives as f64 + soft / 2.0;
            let tpr = (hits / positives).min(1.0) * found;
            let fpr = (self.predicted[j] - hits) / (self.rows as f64 - positives);
            roc += (fpr - last_fpr) * (tpr + last_tpr) / 2.0;
            pr += (tpr - last_tpr) * hits / self.predicted[j];
            (last_tpr, last_fpr) = (tpr, fpr);
        }
        // The curve ends at (1, 1).
        (roc + (1.0 - last_fpr) * (1.0 + last_tpr) / 2.0, pr)
    }
}

/// Running sums, in place.
fn accumulate(counts: &mut [f64]) {
    let mut sum = 0.0;
    for count in counts {
        sum += *count;
        *count = sum;
    }
}

/// Soft labels of the normal rows near an event.
///
/// Up to a distance of w / 2 a soft label is at least sqrt(1/2), so a row within reach of two
/// events has the label 1, and only the distances of the two nearest events matter.
struct SoftLabels {
    thresholds: usize,
    /// Rows within reach of one event, [distance, first threshold].
    single: Vec<f64>,
    /// Rows within reach of several events, by first threshold.
    full: Vec<f64>,
    /// At each distance, the rows (distance of the nearest event, first threshold) that a second
    /// event reaches at that distance.
    second: Vec<Vec<(u32, u32)>>,
}

impl SoftLabels {
    fn new(first: &[u32], events: &[Run], reach: usize, thresholds: usize) -> Self {
        let mut soft = Self {
            thresholds,
            single: vec![0.0; (reach + 1) * thresholds],
            full: vec![0.0; thresholds],
            second: vec![Vec::new(); reach + 1],
        };
        for gap in 0..=events.len() {
            let event = |i: Option<usize>| i.and_then(|i| events.get(i));
            let (left, right) = (event(gap.checked_sub(1)), event(Some(gap)));
            let (left_2, right_2) = (event(gap.checked_sub(2)), event(Some(gap + 1)));
            let start = left.map_or(0, |event| event.end);
            let end = right.map_or(first.len(), |event| event.start);
            let near_left = start..if left.is_some() { end.min(start + reach) } else { start };
            let from_right = if right.is_some() { end.saturating_sub(reach) } else { end };
            for row in near_left.clone().chain(from_right.max(near_left.end)..end) {
                let before = |event: Option<&Run>| event.map_or(usize::MAX, |e| row + 1 - e.end);
                let after = |event: Option<&Run>| event.map_or(usize::MAX, |e| e.start - row);
                let (a, b) = (before(left), after(right));
                let second = a.max(b).min(before(left_2)).min(after(right_2));
                soft.add(a.min(b), second, first[row]);
            }
        }
        soft
    }

    fn add(&mut self, nearest: usize, second: usize, first: u32) {
        self.single[nearest * self.thresholds + first as usize] += 1.0;
        if let Some(rows) = self.second.get_mut(second) {
            rows.push((nearest as u32, first));
        }
    }

    /// Extends the reach of every event to the distance `half`.
    fn widen(&mut self, half: usize) {
        for (nearest, first) in std::mem::take(&mut self.second[half]) {
            self.single[nearest as usize * self.thresholds + first as usize] -= 1.0;
            self.full[first as usize] += 1.0;
        }
    }

    /// Sum of the soft labels predicted by each threshold.
    fn below(&self, half: usize, width: usize) -> Vec<f64> {
        let mut sums = self.full.clone();
        let rows = self.single.chunks_exact(self.thresholds);
        for (distance, rows) in rows.enumerate().take(half + 1).skip(1) {
            let label = (1.0 - distance as f64 / width as f64).sqrt();
            sums.iter_mut().zip(rows).for_each(|(sum, rows)| *sum += label * rows);
        }
        accumulate(&mut sums);
        sums
    }
}

/// Events with their buffers; overlapping ones are merged.
struct Segments<'a> {
    first: &'a [u32],
    /// Rows without the buffers, and the first threshold that predicts one of the buffered rows.
    segments: Vec<(Run, u32)>,
}

impl<'a> Segments<'a> {
    fn new(first: &'a [u32], events: &[Run]) -> Self {
        let least = |event: &Run| first[event.clone()].iter().copied().min().unwrap_or(u32::MAX);
        let segments = events.iter().map(|event| (event.clone(), least(event))).collect();
        Self { first, segments }
    }

    /// Buffers of `half` rows on either side, one row more than before.
    fn widen(&mut self, half: usize) {
        let mut merged: Vec<(Run, u32)> = Vec::with_capacity(self.segments.len());
        for (rows, least) in self.segments.drain(..) {
            let before = rows.start.checked_sub(half);
            let after = rows.end + half - 1;
            let border = [before, Some(after)].into_iter().flatten();
            let least = border.filter_map(|row| self.first.get(row)).fold(least, |a, b| a.min(*b));
            match merged.last_mut() {
                Some((last, last_least)) if rows.start - last.end < 2 * half => {
                    last.end = rows.end;
                    *last_least = least.min(*last_least);
                }
                _ => merged.push((rows, least)),
            }
        }
        self.segments = merged;
    }

    /// Share of the segments with a predicted row, by threshold.
    fn found(&self, thresholds: usize) -> Vec<f64> {
        let mut found = vec![0.0; thresholds];
        self.segments.iter().for_each(|(_, least)| found[*least as usize] += 1.0);
        accumulate(&mut found);
        found.iter_mut().for_each(|count| *count /= self.segments.len() as f64);
        found
    }
}
