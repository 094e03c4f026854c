//! Training: every option, divergence, patience, stops.

use crate::common::stages::{assert_placed, assert_values, verbs};
use crate::common::{
    CancelAfter, Noted, column, fitted, flat, frame, model_of, normal, questions, small, wave,
    waves,
};
use candle_core::Device;
use genias::config::{Form, Kl, Margin, Perturbation, Preset, Schedule};
use genias::train::StopReason;
use genias::{Columns, Error, FitConfig, GenerateConfig, Model, Phase, RunToEnd, Series, fit};

const RUN: &RunToEnd = &RunToEnd;

/// Parameters of a model, without its metadata.
fn parameters(series: &Series<'_>, config: &FitConfig) -> Vec<u8> {
    let bytes = fitted(series, config).to_bytes().unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[header..].to_vec()
}

#[test]
fn a_training_that_diverges_gives_an_error_or_a_finite_model() {
    let columns = waves(120);
    let series = Series::whole(&columns);
    let mut diverged = 0;
    for learning_rate in [1.0, 1e3, 1e6, 1e12, 1e20, 1e30, 1e38, 1e300] {
        for (clip, linear_path) in [(Some(5.0), true), (None, false)] {
            for schedule in [Schedule::Cosine, Schedule::Constant] {
                let config =
                    FitConfig { learning_rate, clip, linear_path, schedule, steps: 40, ..small() };
                match fit(&series, &config, RUN) {
                    Err(Error::Diverged { step, retries, learning_rate: last }) => {
                        assert!(step <= 40 && retries > 0 && last < learning_rate);
                        diverged += 1;
                    }
                    Err(error) => panic!("{error}"),
                    Ok(model) => {
                        assert!(Model::from_bytes(&model.to_bytes().unwrap()).is_ok());
                        let scores = model.score(&series, RUN).unwrap();
                        assert!(scores.iter().all(|score| score.unwrap().is_finite()));
                    }
                }
            }
        }
    }
    assert!(diverged >= 8, "{diverged}");
    // The loss is seen to be infinite at the step after the first, not at a later validation.
    let config = FitConfig { learning_rate: 1e30, steps: 40, ..small() };
    let text = fit(&series, &config, RUN).unwrap_err().to_string();
    assert!(text.contains("training diverged at step 1, after 3 retries"), "{text}");
}

#[test]
fn a_stop_is_obeyed_wherever_it_comes() {
    let columns = waves(300);
    let series = Series::whole(&columns);
    let asked = questions(|control| fit(&series, &small(), control).unwrap());
    for after in [0, 1, 2, 3, 4, asked / 2, asked - 1] {
        let result = fit(&series, &small(), &CancelAfter::new(after));
        assert!(matches!(result, Err(Error::Interrupted)), "{after}");
    }
    let model = fitted(&series, &small());
    for result in verbs(&model, &series, &CancelAfter::new(0)) {
        assert!(matches!(result, Err(Error::Interrupted)), "{result:?}");
    }
}

#[test]
fn progress_is_told_and_kept() {
    let columns = waves(200);
    let noted = Noted::default();
    let config = FitConfig { steps: 60, ..small() };
    let model = fit(&Series::whole(&columns), &config, &noted).unwrap();
    let told = noted.told();
    let steps: Vec<_> = told.iter().map(|status| (status.step, status.steps)).collect();
    assert_eq!(steps, (1..=60).map(|step| (step, 60)).collect::<Vec<_>>());
    assert!(told.iter().all(|status| status.phase == Phase::Vae));
    // The history's training loss is the mean of what was told since its last line.
    let lines = &model.report.history;
    for (before, line) in lines.iter().zip(&lines[1..]) {
        let since = &told[before.step..line.step];
        let mean = since.iter().map(|status| status.loss).sum::<f64>() / since.len() as f64;
        assert!((mean - line.train_loss).abs() < 1e-12, "{mean}, {line:?}");
        assert_eq!(told[line.step - 1].psi, Some(line.psi));
    }
    let unwatched = fit(&Series::whole(&columns), &config, RUN).unwrap();
    assert!(model.to_bytes().unwrap() == unwatched.to_bytes().unwrap());
    let history: Vec<usize> = model.report.history.iter().map(|line| line.step).collect();
    assert_eq!(history, [0, 25, 50, 60]);
    assert!(model.report.history.iter().all(|line| line.psi >= 1.0));
    assert_eq!((model.report.steps, model.report.stop_reason), (60, Some(StopReason::Steps)));
}

/// A rate of nothing: no validation is better than the first.
#[test]
fn patience_ends_a_training() {
    let columns = waves(200);
    let config = FitConfig {
        learning_rate: 1e-30,
        psi_learning_rate: 1e-30,
        patience: Some(30),
        steps: 1000,
        ..small()
    };
    let report = model_of(&columns, &config).report;
    assert_eq!((report.steps, report.stop_reason), (50, Some(StopReason::Plateau)));
}

/// Patience counts from the best validation, not from the first.
#[test]
fn patience_starts_anew_with_every_better_loss() {
    let columns = waves(200);
    let mut resumed = false;
    for seed in 0..5 {
        // Without the linear path there is much to learn.
        let config = FitConfig {
            linear_path: false,
            learning_rate: 3e-2,
            schedule: Schedule::Constant,
            patience: Some(75),
            steps: 3000,
            seed,
            ..small()
        };
        let report = model_of(&columns, &config).report;
        assert_eq!(report.stop_reason, Some(StopReason::Plateau));
        let (mut best, mut at) = (f64::INFINITY, 0);
        for line in &report.history {
            if line.validation_loss < best {
                resumed |= line.step > at + 25;
                (best, at) = (line.validation_loss, line.step);
            }
            assert_eq!(line.step >= at + 75, line.step == report.steps, "{:?}", report.history);
        }
    }
    assert!(resumed, "no better loss ever came after a worse one: no test of patience");
}

#[test]
fn training_lowers_the_losses() {
    let columns = waves(400);
    let config = FitConfig { linear_path: false, learning_rate: 5e-3, steps: 400, ..normal() };
    let model = model_of(&columns, &config);
    let history = &model.report.history;
    let (first, best) = (history[0].validation_loss, model.report.loss.unwrap());
    assert!(best < 0.8 * first, "{history:?}");
    let lowest = history.iter().map(|line| line.validation_loss).fold(f64::INFINITY, f64::min);
    assert_eq!(best, lowest);
}

#[test]
fn every_option_of_the_losses_trains() {
    let mut rests = wave(300, 4);
    rests[100..160].fill(0.0);
    let columns = frame(&[("a", &wave(300, 3)), ("rests", &rests)]);
    let series = Series::whole(&columns);
    let paper = FitConfig {
        window: 16,
        latent: Some(4),
        channels: 4,
        steps: 30,
        batch_size: 16,
        ..FitConfig::paper()
    };
    let steps = FitConfig { steps: 30, ..small() };
    for config in [
        FitConfig { perturbation: Perturbation::Mean, ..steps.clone() },
        FitConfig { perturbation: Perturbation::Mean, ..paper.clone() },
        FitConfig { dropout: 0.5, ..steps.clone() },
        FitConfig { gamma: Some(1.0), zeta: Some(0.0), alpha: 0.5, ..steps.clone() },
        FitConfig { calibrate: false, patience: Some(1), ..steps.clone() },
        FitConfig { psi_learning_rate: 100.0, calibrate: false, ..steps.clone() },
        FitConfig { psi_learning_rate: 100.0, ..paper.clone() },
        FitConfig { stride: Some(50), validation: 0.5, ..steps.clone() },
        FitConfig { delta_min: 0.0, delta_max: 0.0, ..steps },
        paper,
    ] {
        let model = fitted(&series, &config);
        assert!(model.report.history.iter().all(|line| line.psi >= 1.0), "{config:?}");
        for form in [Form::Residual, Form::Decoded] {
            for preset in [Preset::Default, Preset::Paper] {
                let generate = GenerateConfig { form, ..GenerateConfig::preset(preset) };
                let found = model.generate(&series, &generate, RUN).unwrap();
                assert_placed(&series, &generate, 16, &found);
                assert_values(&found, 2);
            }
        }
        assert!(verbs(&model, &series, RUN).iter().all(Result::is_ok), "{config:?}");
    }
}

#[test]
fn every_option_changes_what_is_learned() {
    let mut rests = wave(300, 4);
    rests[100..160].fill(0.0);
    let columns = frame(&[("a", &wave(300, 3)), ("rests", &rests)]);
    let series = Series::whole(&columns);
    let base = FitConfig { calibrate: false, refit: false, ..small() };
    let expected = parameters(&series, &base);
    assert!(parameters(&series, &base) == expected);
    for config in [
        FitConfig { stride: Some(3), ..base.clone() },
        FitConfig { dropout: 0.3, ..base.clone() },
        FitConfig { sigma_prior: 0.7, ..base.clone() },
        FitConfig { kl: Kl::Printed, ..base.clone() },
        FitConfig { delta_min: 0.05, ..base.clone() },
        FitConfig { delta_max: 0.15, ..base.clone() },
        FitConfig { alpha: 0.9, ..base.clone() },
        FitConfig { beta: 0.2, ..base.clone() },
        FitConfig { gamma: Some(0.5), ..base.clone() },
        FitConfig { zeta: Some(0.02), ..base.clone() },
        FitConfig { perturbation: Perturbation::Mean, ..base.clone() },
        FitConfig { margin: Margin::Input, ..base.clone() },
        FitConfig { calibrate: true, ..base.clone() },
        FitConfig { steps: 4, ..base.clone() },
        FitConfig { batch_size: 17, ..base.clone() },
        FitConfig { learning_rate: 2e-3, ..base.clone() },
        FitConfig { psi_learning_rate: 0.01, ..base.clone() },
        FitConfig { schedule: Schedule::Constant, ..base.clone() },
        FitConfig { clip: Some(1e-7), ..base.clone() },
        FitConfig { validation: 0.3, ..base.clone() },
        FitConfig { seed: 1, ..base.clone() },
        FitConfig { linear_path: false, ..base.clone() },
        FitConfig { decimation: 2, ..base.clone() },
        FitConfig { levels: Some(5), ..base.clone() },
        FitConfig { kernel_size: 4, ..base.clone() },
    ] {
        assert!(parameters(&series, &config) != expected, "{config:?}");
    }
}

/// The gradient of a large weight is summed in several parts: every part of it moves.
#[test]
fn all_of_a_large_weight_trains() {
    let waves: Vec<Vec<f64>> = (0..6).map(|seed| wave(600, seed)).collect();
    let fields = waves.iter().enumerate();
    let fields = fields.map(|(d, wave)| column(&format!("f{d}"), wave.iter().copied().map(Some)));
    let columns = Columns::new(fields.collect()).unwrap();
    let tensors = |learning_rate| {
        let config = FitConfig {
            window: 80,
            latent: Some(150),
            steps: 25,
            learning_rate,
            // A loss that falls within few steps: or else the first weights are kept.
            zeta: Some(1.0),
            calibrate: false,
            refit: false,
            ..small()
        };
        let bytes = model_of(&columns, &config).to_bytes().unwrap();
        candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).unwrap()
    };
    let (before, after) = (tensors(1e-30), tensors(1e-5));
    for name in ["encoder.linear.weight", "decoder.linear.weight"] {
        let (before, after) = (flat(&before[name]), flat(&after[name]));
        assert_eq!(before.len(), 72_000);
        for (before, after) in before.chunks(1000).zip(after.chunks(1000)) {
            let moved = before.iter().zip(after).filter(|(x, y)| x != y).count();
            assert!(moved > 500, "{name}: {moved} of 1000");
        }
    }
}
