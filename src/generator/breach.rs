//! Draws anomalies between features: each is normal by itself, their correlation is broken.

use super::draw::{Drawer, Drawn};
use super::site::{Site, random_start};
use crate::anomaly::blend::weights;
use crate::anomaly::latent::correlation::{Correlation, Group};
use crate::runtime::rng::Rng;
use crate::stats::rms;

impl Drawer<'_> {
    /// An anomaly between features; its distance is the joint distance over the largest normal one.
    pub(super) fn breach(
        &self,
        correlation: &Correlation,
        groups: &[Group],
        site: &Site,
        window: &[f32],
        rng: &mut Rng,
    ) -> Drawn {
        let length = site.segment.len();
        let creep = self.config.creep_rows(length);
        let weigh = |d: usize, delta: &[f32]| weights(length, rms(delta), self.step(d), creep);
        let size = self.generator.config.window;
        let donor = |rng: &mut Rng| {
            let start = random_start(self.runs, size, rng).unwrap_or(site.window);
            self.matrix.window(start, size)
        };
        let (changes, distance) =
            correlation.breach(window, &site.rows(), groups, donor, weigh, rng);
        let distance = distance / f64::from(correlation.limit.max(f32::MIN_POSITIVE));
        let fallback = distance <= 1.0;
        Drawn {
            changes,
            spare: Vec::new(),
            asked: None,
            meets: false,
            flips: false,
            psi: 1.0,
            distance,
            redraws: 0,
            fallback,
            deformation: None,
        }
    }
}
