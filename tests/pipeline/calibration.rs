//! What calibration finds on held-out windows.

use crate::common::stages::{decoded, strength};
use crate::common::{assert_close, fitted, flat, frame, normal, rng, small, vae_of, waves};
use candle_core::{Device, Tensor};
use genias::config::Distance;
use genias::model::Health;
use genias::vae::pca::Pca;
use genias::{FitConfig, GenerateConfig, Model, RunToEnd, Series};

const RUN: &RunToEnd = &RunToEnd;

fn mean_square(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>() / a.len() as f64
}

/// Median d(X^, X~) over all windows of a series, with noise of the test's own.
fn median_distance(model: &Model, series: &Series<'_>) -> f64 {
    let starts: Vec<usize> = (0..=series.len() - 16).collect();
    let (n, width) = (starts.len(), model.generator.normaliser.live.len());
    let matrix = model.generator.normaliser.apply(series, &RunToEnd).unwrap();
    let x = Tensor::from_vec(matrix.gather(&starts, 16), (n, 16, width), &Device::Cpu).unwrap();
    let eps = rng(77).normals(n * model.generator.latent());
    let eps = Tensor::from_vec(eps, (n, model.generator.latent()), &Device::Cpu).unwrap();
    let output =
        vae_of(model).forward(&x, &eps, model.generator.config.perturbation, None).unwrap();
    let plain = output.reconstruction.flatten_from(1).unwrap().to_vec2::<f32>().unwrap();
    let perturbed = output.perturbed.flatten_from(1).unwrap().to_vec2::<f32>().unwrap();
    let mut distances: Vec<f64> =
        plain.iter().zip(&perturbed).map(|(a, b)| mean_square(a, b)).collect();
    distances.sort_by(f64::total_cmp);
    distances[n / 2]
}

/// The report against the same numbers, computed here.
#[test]
fn reports_hold_what_windows_show() {
    let columns = waves(400);
    let series = Series::whole(&columns);
    let model = fitted(&series, &normal());
    let starts: Vec<usize> = (0..=384).collect();
    let (train, held) = genias::windows::split(&starts, 16, 0.1);
    let report = &model.report;
    assert_eq!((report.train_windows, report.validation_windows), (train.len(), held.len()));

    let (x, y) = decoded(&model, &series, &held);
    let total: f64 = x.iter().map(|x| x * x).sum();
    let error: f64 = x.iter().zip(&y).map(|(x, y)| (x - y).powi(2)).sum();
    let matrix = model.generator.normaliser.apply(&series, &RunToEnd).unwrap();
    let pca = Pca::fit(&matrix.gather(&train, 16), train.len(), 32, 12).unwrap();
    let pca_error: f64 =
        held.iter().map(|&start| pca.squared_errors(&matrix.window(start, 16)).unwrap()).sum();
    assert_close("r2", &[report.r2.unwrap()], &[1.0 - error / total], 1e-4);
    assert_close("r2_pca", &[report.r2_pca.unwrap()], &[1.0 - pca_error / total], 1e-4);

    // The latent units are looked at over training windows, 256 of them.
    assert!(train.len() > 256, "no test of the choice of windows");
    let looked: Vec<usize> = (0..256).map(|i| train[i * (train.len() - 1) / 255]).collect();
    let x = Tensor::from_vec(matrix.gather(&looked, 16), (256, 16, 2), &Device::Cpu).unwrap();
    let (mu, log) = vae_of(&model).encode(&x).unwrap();
    let (mu, log) = (flat(&mu), flat(&log));
    let kl = mu
        .iter()
        .zip(&log)
        .map(|(mu, log)| 0.5 * ((mu * mu + log.exp()) / 0.25 - 1.0 - log + 2.0 * 0.5f64.ln()));
    let kl = kl.sum::<f64>() / mu.len() as f64;
    assert_close("kl", &[report.kl.unwrap()], &[kl], 1e-4);
    let variance = |j: usize| {
        let unit: Vec<f64> = mu.iter().skip(j).step_by(12).copied().collect();
        let mean = unit.iter().sum::<f64>() / unit.len() as f64;
        unit.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / unit.len() as f64
    };
    let active = (0..12).filter(|&j| variance(j) > 0.01).count();
    assert_eq!(report.active_units, active);
    assert_eq!(report.health, [], "{report:?}");
}

/// The readout is kept where it lowers the error of held-out windows, and only there: from little
/// noise it learns what does not come back.
#[test]
fn refitting_never_harms_held_out_windows() {
    let noise = |seed| -> Vec<f64> { rng(seed).normals(50).into_iter().map(f64::from).collect() };
    let (mut kept, mut dropped) = (0, 0);
    for seed in 0..4 {
        for latent in [1, 4, 12] {
            let config = FitConfig { seed, latent: Some(latent), steps: 60, ..normal() };
            for columns in [waves(200), frame(&[("noise", &noise(seed))])] {
                let series = Series::whole(&columns);
                let r2 = |refit| {
                    fitted(&series, &FitConfig { refit, ..config.clone() }).report.r2.unwrap()
                };
                let (with, without) = (r2(true), r2(false));
                assert!(with >= without, "{with} {without}");
                kept += usize::from(with > without);
                dropped += usize::from(with == without);
            }
        }
    }
    assert!(kept > 0 && dropped > 0, "{kept} {dropped}: no test of the choice");
}

/// Without a tau of its own a call takes the model's: the one that half of the features pass.
#[test]
fn tau_is_the_models_own_where_none_is_given() {
    let columns = waves(800);
    let series = Series::whole(&columns);
    let model = fitted(&series, &normal());
    let rate = model.report.patch_rate.unwrap();
    assert!((0.25..0.75).contains(&rate), "{rate}");
    let found = |tau: Option<f64>, distance: Distance| {
        let config =
            GenerateConfig { tau, distance, contamination: Some(0.4), ..Default::default() };
        model.generate(&series, &config, RUN).unwrap()
    };
    for distance in Distance::OWN {
        let tau = model.generator.tau[&distance];
        assert!(tau > 0.0, "{tau}");
        assert_eq!(found(None, distance), found(Some(tau), distance));
        assert_ne!(found(None, distance), found(Some(2.0 * tau), distance));
    }
}

#[test]
fn calibration_puts_the_median_distance_into_the_band() {
    let columns = waves(800);
    let series = Series::whole(&columns);
    for (delta_min, delta_max) in [(0.1, 0.2), (0.5, 0.9)] {
        // Without the linear path psi does not start where the band is.
        let config = FitConfig { delta_min, delta_max, linear_path: false, ..normal() };
        let model = fitted(&series, &config);
        let median = median_distance(&model, &series);
        assert!(delta_min < median && median < delta_max, "{median}");
        assert!(model.report.in_band.unwrap() > 0.2, "{:?}", model.report);
        assert!(model.psi() > 1.0 && !model.report.health.contains(&Health::PsiAtOne));
        let model = fitted(&series, &FitConfig { calibrate: false, steps: 1, ..config });
        let untrained = median_distance(&model, &series);
        assert!(
            !(delta_min..=delta_max).contains(&untrained),
            "{untrained}: no test of calibration"
        );
    }
}

#[test]
fn more_psi_means_a_larger_change() {
    let columns = waves(600);
    let series = Series::whole(&columns);
    let size = |delta: f64| {
        let config = FitConfig { delta_min: delta, delta_max: 1.1 * delta, ..small() };
        let model = fitted(&series, &config);
        let generate = GenerateConfig { contamination: Some(0.3), ..GenerateConfig::default() };
        let found = model.generate(&series, &generate, RUN).unwrap();
        let sizes = found.iter().flat_map(|anomaly| {
            anomaly.values.iter().map(|hit| strength(&series, &model, &anomaly.rows, hit))
        });
        let sizes: Vec<f64> = sizes.collect();
        sizes.iter().sum::<f64>() / sizes.len() as f64
    };
    let (low, high) = (size(0.05), size(2.0));
    assert!(high > 3.0 * low, "{low} {high}");
}
