//! Seeded random numbers.
//!
//! Every random decision uses its own stream, keyed by (seed, purpose, key), so that a result does
//! not depend on other draws, on other threads or on other groups.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rand_distr::{Distribution, StandardNormal};

/// Purpose of a random stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Initial weights.
    Init = 1,
    /// Choice of training windows and their noise; the key is the optimiser step.
    Batch = 2,
    /// Noise of the validation windows.
    Validation = 3,
    /// Dropout masks; the key is step and share.
    Dropout = 4,
    /// Position and length of anomalies; the key is the content of the series.
    Place = 5,
    /// Noise, strength and features of one anomaly; the key is series content and anomaly number.
    Anomaly = 6,
    /// Start vectors of the subspace iteration.
    Subspace = 7,
    /// Initial weights of a detector; the key is net and parameter.
    DetectorInit = 8,
    /// Training windows of a detector; the key is net and step, and share.
    Detector = 9,
    /// Residuals that negatives are made of; the key is the share.
    Residual = 10,
    /// One negative; the key is its batch and number.
    Negative = 11,
    /// Stratified noise of some anomalies; the key is series content and number of the first one.
    Stratified = 15,
    /// First centres of k-means.
    Regions = 14,
    /// Windows whose decodings deform others; the key is the content of the series.
    Decoding = 16,
    /// Rounding of values between two possible values of a feature; the key is series content and
    /// anomaly number.
    Dither = 17,
    /// Kinds, positions and lengths of classical anomalies; the key is the content of the series.
    InjectPlace = 12,
    /// Amounts and features of one classical anomaly; the key is series content and anomaly number.
    Inject = 13,
    /// Windows that anomalies are decoded in; the key is the content of the series.
    Window = 20,
    /// Places of anomalies whose detection is tried; the key is the content of the series.
    Sensitivity = 21,
    /// Draws with replacement; the key is what is drawn.
    Bootstrap = 22,
    /// Kinds of generated anomalies; the key is the content of the series.
    Kind = 23,
}

/// A seeded stream (ChaCha8: portable, and stable across versions of its crate).
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// Opens the stream (`seed`, `purpose`, `key`).
    pub fn new(seed: u64, purpose: Purpose, key: [u64; 2]) -> Self {
        let mut bytes = [0u8; 32];
        for (slot, word) in bytes.chunks_exact_mut(8).zip([seed, purpose as u64, key[0], key[1]]) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(bytes))
    }

    /// Some of 0..n in random order. Their number is log-uniform, at least 1 (0 if n is 0), so
    /// small numbers are more likely.
    pub fn few_of(&mut self, n: usize) -> Vec<usize> {
        let most = (self.log_uniform(1.0, n.max(1) as f64).round() as usize).clamp(1, n.max(1));
        let mut all: Vec<usize> = (0..n).collect();
        self.shuffle(&mut all);
        all.truncate(most);
        all
    }

    /// Uniform in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform integer in 0..n; 0 when `n` is 0. The bias of the multiply-shift method is below
    /// 2^-40 for every n that fits memory.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.0.next_u64()) * n as u128) >> 64) as usize
    }

    /// Log-uniform in [low, high], for positive bounds.
    pub fn log_uniform(&mut self, low: f64, high: f64) -> f64 {
        (low.ln() + self.uniform() * (high.ln() - low.ln())).exp()
    }

    /// `n` independent draws of N(0, 1).
    pub fn normals(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| StandardNormal.sample(&mut self.0)).collect()
    }

    /// `n` independent draws of U(-bound, bound).
    pub fn symmetric(&mut self, n: usize, bound: f64) -> Vec<f32> {
        (0..n).map(|_| ((2.0 * self.uniform() - 1.0) * bound) as f32).collect()
    }

    /// Fisher-Yates shuffle.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

/// A random subset of 0..n, not empty, each size up to `most` as likely as any other.
pub(crate) fn random_subset(n: usize, most: usize, rng: &mut Rng) -> Vec<usize> {
    let mut all: Vec<usize> = (0..n).collect();
    rng.shuffle(&mut all);
    all.truncate(1 + rng.below(most));
    all.sort_unstable();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_reproducible_and_distinct() {
        let draw = |seed, purpose, key| Rng::new(seed, purpose, key).normals(4);
        assert_eq!(draw(1, Purpose::Init, [0, 0]), draw(1, Purpose::Init, [0, 0]));
        assert_ne!(draw(1, Purpose::Init, [0, 0]), draw(2, Purpose::Init, [0, 0]));
        assert_ne!(draw(1, Purpose::Init, [0, 0]), draw(1, Purpose::Batch, [0, 0]));
        assert_ne!(draw(1, Purpose::Init, [0, 0]), draw(1, Purpose::Init, [0, 1]));
    }

    #[test]
    fn draws_stay_in_range() {
        let mut rng = Rng::new(7, Purpose::Place, [0, 0]);
        for _ in 0..1000 {
            assert!((0.0..1.0).contains(&rng.uniform()));
            assert!(rng.below(3) < 3);
            assert!((0.35..=8.0 + 1e-9).contains(&rng.log_uniform(0.35, 8.0)));
        }
        assert_eq!(rng.below(0), 0);
    }
}
