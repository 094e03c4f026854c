//! When training stops: at the level of PCA where there is no more to learn, later where there is.

use crate::common::{frame, model_of, normal, rng, waves};
use genias::FitConfig;
use genias::train::StopReason;

/// A training with the default's rule.
fn default_rule(seed: u64) -> FitConfig {
    let FitConfig { patience, min_gain, steps, learning_rate, .. } = FitConfig::default();
    FitConfig { patience, min_gain, steps, learning_rate, seed, ..normal() }
}

/// Where PCA is all there is to learn, training ends at once and at its level.
#[test]
fn training_stops_where_it_does_not_pay() {
    for seed in 0..4 {
        let columns = waves(500);
        let report = model_of(&columns, &default_rule(seed)).report;
        assert_eq!(report.stop_reason, Some(StopReason::Plateau), "{:?}", report.history);
        assert!(report.steps <= default_rule(seed).patience.unwrap(), "{}", report.steps);
        let (r2, pca) = (report.r2.unwrap(), report.r2_pca.unwrap());
        assert!(r2 > pca - 0.005, "{r2} {pca}");
    }
}

/// Spikes at any place in the window are no linear matter: training goes on, above PCA.
#[test]
fn training_goes_on_where_it_pays() {
    let mut rng = rng(3);
    let spikes: Vec<f64> =
        (0..1500).map(|_| if rng.uniform() < 0.05 { 5.0 } else { 0.0 }).collect();
    let columns = frame(&[("spikes", &spikes)]);
    for seed in 0..3 {
        let config = FitConfig { window: 32, latent: Some(12), channels: 16, ..default_rule(seed) };
        let report = model_of(&columns, &config).report;
        let (r2, pca) = (report.r2.unwrap(), report.r2_pca.unwrap());
        let patience = config.patience.unwrap();
        assert!(report.steps > 2 * patience, "{} steps: {:?}", report.steps, report.history);
        assert!(r2 > pca + 0.05, "{r2} {pca}: {:?}", report.history);
    }
}
