//! Scores, reconstructions and embeddings of a model.

use crate::common::stages::{Rough, clean_starts, decoded};
use crate::common::{
    assert_close, fitted, frame, is_covered, model_of, normal, small, vae_of, wave, waves,
};
use candle_core::{Device, Tensor};
use genias::{RunToEnd, Series, Threshold};

const RUN: &RunToEnd = &RunToEnd;

#[test]
fn scores_are_where_windows_are() {
    let rough = Rough::new();
    let series = rough.series();
    let model = fitted(&series, &small());
    let scores = model.score(&series, RUN).unwrap();
    let threshold = model.calibration(None).unwrap().auto;
    let labels = model.label(&series, Threshold::Number(threshold), RUN).unwrap();
    let promised = model.label(&series, Threshold::Auto, RUN).unwrap();
    let reconstruction = model.reconstruct(&series, RUN).unwrap();
    assert_eq!(scores.len(), Rough::ROWS);
    for t in 0..Rough::ROWS {
        let covered = is_covered(&series, t);
        assert_eq!(scores[t].is_some(), covered, "row {t}");
        assert_eq!(reconstruction.covered[t], covered, "row {t}");
        assert!(scores[t].is_none_or(|score| score.is_finite() && score >= 0.0));
        assert_eq!(labels[t], scores[t].map(|score| f64::from(score) > threshold));
        assert_eq!(promised[t].is_some(), scores[t].is_some());
    }
    // Known anomalies are scored, too; rows with nulls are not.
    assert!(scores[252].is_some() && scores[60].is_none() && scores[200].is_none());
    let low = model.label(&series, Threshold::Number(0.0), RUN).unwrap();
    assert!(low.iter().flatten().all(|label| *label));
}

#[test]
fn scores_are_mean_errors_of_the_windows_over_a_row() {
    let columns = waves(119);
    let series = Series::whole(&columns);
    let model = fitted(&series, &small());
    // Every quarter of a window, and the last one.
    let starts: Vec<usize> = (0..103).step_by(4).chain([103]).collect();
    let (x, y) = decoded(&model, &series, &starts);
    let (mut errors, mut counts) = (vec![0.0; 119], vec![0.0; 119]);
    for (i, (x, y)) in x.chunks(2).zip(y.chunks(2)).enumerate() {
        let row = starts[i / 16] + i % 16;
        errors[row] += ((x[0] - y[0]).powi(2) + (x[1] - y[1]).powi(2)) / 2.0;
        counts[row] += 1.0;
    }
    let expected: Vec<f64> = errors.iter().zip(&counts).map(|(sum, n)| sum / n).collect();
    let scores = model.score(&series, RUN).unwrap();
    let found: Vec<f64> = scores.into_iter().map(|score| f64::from(score.unwrap())).collect();
    assert_close("score", &found, &expected, 1e-4);
}

/// Scores of the trained rows against reconstructions: the error of a mean over windows is at most
/// the mean of the errors.
#[test]
fn scores_bound_the_error_of_the_reconstruction() {
    let columns = waves(300);
    let series = Series::whole(&columns);
    let model = fitted(&series, &normal());
    let scores = model.score(&series, RUN).unwrap();
    let decoded = model.reconstruct(&series, RUN).unwrap().values;
    let mut shares = 0.0;
    for (t, score) in scores.iter().enumerate() {
        let error = |d: usize| {
            ((decoded[d][t] - series.value(d, t).unwrap()) / model.generator.normaliser.std[d])
                .powi(2)
        };
        let (error, score) = (0.5 * (error(0) + error(1)), f64::from(score.unwrap()));
        assert!(error <= 1.001 * score + 1e-9, "row {t}: {error} {score}");
        shares += error / score / scores.len() as f64;
    }
    assert!(shares > 0.3, "{shares}");
    assert!(model.report.r2.unwrap() > 0.5, "{:?}", model.report);
}

#[test]
fn spikes_stand_out() {
    let (mut a, b) = (wave(400, 1), wave(400, 2));
    let clean = frame(&[("a", &a), ("b", &b)]);
    let model = model_of(&clean, &normal());
    for t in [3, 150, 399] {
        a[t] += 12.0;
    }
    let spiked = frame(&[("a", &a), ("b", &b)]);
    let series = Series::whole(&spiked);
    let scores = model.score(&series, RUN).unwrap();
    let mut order: Vec<usize> = (0..400).collect();
    order.sort_by(|i, j| scores[*j].unwrap().total_cmp(&scores[*i].unwrap()));
    order.truncate(3);
    order.sort_unstable();
    assert_eq!(order, [3, 150, 399]);
    let labels = model.label(&series, Threshold::Auto, RUN).unwrap();
    assert!([3, 150, 399].iter().all(|t| labels[*t] == Some(true)));
    let alarms = model.label(&Series::whole(&clean), Threshold::Auto, RUN).unwrap();
    assert!(alarms.iter().filter(|label| **label == Some(true)).count() < 40);
}

#[test]
fn embeddings_are_the_means_of_windows() {
    let rough = Rough::new();
    // Labels do not matter here, gaps do.
    let series = Series::whole(&rough.columns).with_gaps(vec![rough.gap]);
    let model = fitted(&series, &small());
    let vae = vae_of(&model);
    let matrix = model.generator.normaliser.apply(&series, &RunToEnd).unwrap();
    for stride in [None, Some(1), Some(5), Some(1000)] {
        let embedded = model.embed(&series, stride, RUN).unwrap();
        let starts: Vec<usize> = embedded.iter().map(|(start, _)| *start).collect();
        assert_eq!(starts, clean_starts(&series, stride.unwrap_or(1)));
        let x = Tensor::from_vec(matrix.gather(&starts, 16), (starts.len(), 16, 2), &Device::Cpu);
        let means = vae.encode(&x.unwrap()).unwrap().0.to_vec2::<f32>().unwrap();
        for ((_, found), expected) in embedded.iter().zip(&means) {
            assert_eq!(found.len(), 4);
            let close = |(x, y): (&f32, &f32)| (x - y).abs() <= 1e-4 * (1.0 + y.abs());
            assert!(found.iter().zip(expected).all(close), "{found:?} {expected:?}");
        }
    }
}
