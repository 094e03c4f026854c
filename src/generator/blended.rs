//! Blends changes into the series.

use std::ops::Range;

use super::draw::{Attempt, Drawer, Share};
use super::site::Size;
use crate::anomaly::blend::{Around, weights};
use crate::anomaly::change::Change;
use crate::config::{Form, Way};
use crate::stats::rms;

/// Safety factor for the largest step, against rounding to 32 bits.
const ROUNDED: f64 = 0.999;

impl Drawer<'_> {
    /// The change of a feature with blended ends and the requested size.
    pub(super) fn blended(
        &self,
        segment: &Range<usize>,
        Change { feature, mut delta }: Change,
        weights: &[f32],
        size: &Size,
    ) -> Change {
        delta.iter_mut().zip(weights).for_each(|(delta, weight)| *delta *= weight);
        let input = self.column(feature, segment.clone());
        let around = self.around(feature, segment, &input);
        match size.of_feature(self.std[feature]) {
            Some(target) => around.fit(&mut delta, weights, target, size.up),
            None => around.bound(&mut delta),
        }
        Change { feature, delta }
    }

    /// Changes of the features that an anomaly does not hit, in descending deviation. Only counters
    /// can block all changes of an anomaly; without a counter, this is empty.
    pub(super) fn spare(
        &self,
        share: &Share<'_>,
        i: usize,
        attempt: &Attempt,
        size: &Size,
    ) -> Vec<Change> {
        if !self.generator.domain.iter().any(|domain| domain.monotone) {
            return Vec::new();
        }
        let site = &share.sites[i];
        let mut others: Vec<usize> =
            self.allowed.iter().copied().filter(|d| !attempt.features.contains(d)).collect();
        others.sort_by(|a, b| attempt.deviations[*b].total_cmp(&attempt.deviations[*a]));
        let decoded = self.decoded(share, i, &attempt.plain, &attempt.perturbed);
        let change = |d: usize| {
            let delta = self.directed(decoded.delta(d, site.rows(), self.config.form));
            let creep = self.config.creep_rows(site.segment.len());
            let weights = weights(site.segment.len(), rms(&delta), self.step(d), creep);
            self.blended(&site.segment, Change { feature: d, delta }, &weights, size)
        };
        others.into_iter().map(change).collect()
    }

    /// Feature `d` around a segment; the ends of the decoded form are not bounded.
    pub(super) fn around<'b>(
        &self,
        d: usize,
        segment: &Range<usize>,
        input: &'b [f32],
    ) -> Around<'b> {
        let (start, end) = (segment.start, segment.end);
        let bounded = self.config.form != Form::Decoded;
        let beside = |t: usize, behind: usize| {
            let jump = self.series.gaps().binary_search(&behind).is_ok();
            let inside = bounded && t < self.series.len() && self.series.is_usable(t) && !jump;
            inside.then(|| self.matrix.rows(t, 1)[d])
        };
        Around {
            input,
            before: start.checked_sub(1).and_then(|t| beside(t, start)),
            after: beside(end, end),
            step: self.step(d),
        }
    }

    /// z-scores of feature `d` over some rows.
    pub(super) fn column(&self, d: usize, rows: Range<usize>) -> Vec<f32> {
        let rows = self.matrix.window(rows.start, rows.len());
        rows.iter().skip(d).step_by(self.matrix.features()).copied().collect()
    }

    /// Largest step allowed at an end.
    pub(super) fn step(&self, d: usize) -> f32 {
        (ROUNDED * self.generator.normal_range.step[d]) as f32
    }

    /// Which way anomalies are to go, if one is asked for.
    pub(super) fn way(&self) -> Option<Way> {
        self.config.direction.filter(|way| *way != Way::Both)
    }

    /// A change, turned round where its mean goes the wrong way.
    pub(super) fn directed(&self, mut delta: Vec<f32>) -> Vec<f32> {
        let rises = delta.iter().sum::<f32>() > 0.0;
        if self.way().is_some_and(|way| rises != (way == Way::Up)) {
            delta.iter_mut().for_each(|delta| *delta = -*delta);
        }
        delta
    }
}
