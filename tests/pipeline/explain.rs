//! Reasons and expectations: which feature is to blame, where the nearest normal rows lie, and what rows
//! should have been.

use crate::common::{frame, rng};
use genias::config::AlarmConfig;
use genias::detector::{Bounds, Explained};
use genias::{
    Columns, DetectConfig, DetectorKind, Error, FitConfig, Model, RunToEnd, ScoreConfig, Series,
    Threshold, fit_scorer,
};

const RUN: &RunToEnd = &RunToEnd;
const WINDOW: usize = 64;
const PERIOD: usize = 50;
const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Five mixtures of two movements, with noise.
fn rows(count: usize, seed: u64) -> Vec<Vec<f64>> {
    let noise = rng(seed).normals(5 * count);
    let value = |d: usize, t: usize| {
        let phase = std::f64::consts::TAU * t as f64 / PERIOD as f64;
        let weight = d as f64 / 4.0;
        weight * phase.sin()
            + (1.0 - weight) * (phase / 2.0).cos()
            + 0.1 * f64::from(noise[d * count + t])
    };
    (0..5).map(|d| (0..count).map(|t| value(d, t)).collect()).collect()
}

fn columns(rows: &[Vec<f64>]) -> Columns {
    let named: Vec<(&str, &[f64])> =
        NAMES.iter().zip(rows).map(|(name, values)| (*name, &values[..])).collect();
    frame(&named)
}

fn fit(columns: &Columns, detector: DetectorKind) -> Model {
    let config = FitConfig { window: WINDOW, ..FitConfig::default() };
    let detect = DetectConfig { detector, ..DetectConfig::default() };
    fit_scorer(&Series::whole(columns), &config, &detect, RUN).unwrap()
}

fn explain(model: &Model, columns: &Columns) -> Vec<Explained> {
    let (series, config) = (Series::whole(columns), ScoreConfig::default());
    model.explain(&series, Threshold::Auto, &AlarmConfig::default(), &config, RUN).unwrap()
}

fn expect(model: &Model, columns: &Columns) -> Vec<Bounds> {
    model.expect(&Series::whole(columns), 0.95, RUN).unwrap()
}

#[test]
fn the_changed_feature_comes_first() {
    let model = fit(&columns(&rows(1500, 1)), DetectorKind::Evidence);
    let mut right = 0;
    for (i, length) in [1, 8, 20, 40].into_iter().cycle().take(10).enumerate() {
        let mut odd = rows(800, 100 + i as u64);
        let (d, size) = (i % 5, if i % 2 == 0 { 2.0 } else { -1.5 });
        odd[d][400..400 + length].iter_mut().for_each(|x| *x += size);
        let odd = columns(&odd);
        let found = explain(&model, &odd);
        let at = found.iter().find(|found| found.alarm.rows.contains(&400)).unwrap();
        right += usize::from(at.blame[0].feature == d && at.blame[0].share > 0.6);
        let sum: f64 = at.blame.iter().map(|blame| blame.share).sum();
        assert!((sum - 1.0).abs() < 1e-9 && at.blame.is_sorted_by(|a, b| a.share >= b.share));
        let was = at.blame[0].expected.unwrap();
        let now = Series::whole(&odd).value(at.blame[0].feature, at.alarm.peak).unwrap();
        assert!((now - was - size).abs() < 0.6, "{now} {was}");
    }
    assert!(right >= 9, "{right} of 10");
}

#[test]
fn rows_say_what_speaks_and_where_to_look() {
    let train = columns(&rows(1500, 1));
    let model = fit(&train, DetectorKind::Evidence);
    let mut odd = rows(800, 2);
    odd[3][400..410].iter_mut().for_each(|x| *x += 3.0);
    let odd = columns(&odd);
    let series = Series::whole(&odd);
    let reasons = model.reasons(&series, &ScoreConfig::default(), RUN).unwrap();
    assert_eq!(reasons.scores.ranking(), model.score(&series, RUN).unwrap());
    assert!(reasons.blame[3][402..408].iter().all(|share| share.unwrap() > 0.9));
    assert!(reasons.strongest[404].unwrap().name.is_some());
    // Compared row by row, the nearest normal window has the phase of the row's own.
    let normal = (100..700).filter(|t| !(250..550).contains(t));
    let phases: Vec<bool> = normal
        .filter_map(|t| {
            let strongest = reasons.strongest[t].unwrap();
            let near = strongest.nearest.unwrap() + strongest.offset;
            let moved = (near + 10 * 2 * PERIOD - t) % (2 * PERIOD);
            let by_row = matches!(strongest.name?, "values" | "movement" | "shape" | "all");
            by_row.then_some(moved <= 4 || moved >= 2 * PERIOD - 4)
        })
        .collect();
    let right = phases.iter().filter(|right| **right).count();
    assert!(phases.len() > 50 && right * 10 >= phases.len() * 9, "{right} of {}", phases.len());
}

#[test]
fn expectations_do_not_follow_an_anomaly() {
    let model = fit(&columns(&rows(1500, 1)), DetectorKind::Evidence);
    let normal = rows(1500, 3);
    let bounds = expect(&model, &columns(&normal));
    for (d, of) in bounds.iter().enumerate() {
        let inside = (0..1500)
            .filter(|&t| (of.lower[t].unwrap()..=of.upper[t].unwrap()).contains(&normal[d][t]));
        let share = inside.count() as f64 / 1500.0;
        assert!((0.92..=0.98).contains(&share), "{d}: {share}");
        let width = of.upper[700].unwrap() - of.lower[700].unwrap();
        assert!((0.3..0.8).contains(&width), "{width}");
    }
    let mut odd = normal.clone();
    let changed = [(0, 300..330), (2, 700..705), (4, 1100..1130)];
    for (d, rows) in &changed {
        odd[*d][rows.clone()].iter_mut().for_each(|x| *x += 1.0);
    }
    let bounds = expect(&model, &columns(&odd));
    let nearer = |d: usize, t: usize| {
        let expected = bounds[d].expected[t].unwrap();
        (expected - normal[d][t]).abs() < (expected - odd[d][t]).abs()
    };
    let all: Vec<bool> =
        changed.iter().flat_map(|(d, rows)| rows.clone().map(|t| nearer(*d, t))).collect();
    let right = all.iter().filter(|right| **right).count();
    assert!(right as f64 >= 0.95 * all.len() as f64, "{right} of {}", all.len());
}

#[test]
fn training_rows_do_not_expect_themselves() {
    let mut train = rows(1500, 1);
    train[1][600..640].iter_mut().for_each(|x| *x += 2.0);
    let model = fit(&columns(&train), DetectorKind::Evidence);
    let bounds = expect(&model, &columns(&train));
    let off = |t: usize| train[1][t] - bounds[1].expected[t].unwrap();
    assert!((605..635).all(|t| off(t) > 1.0), "{:?}", (600..640).map(off).collect::<Vec<_>>());
}

#[test]
fn a_model_says_the_same_after_a_round_trip() {
    let model = fit(&columns(&rows(900, 1)), DetectorKind::Evidence);
    let again = Model::from_bytes(&model.to_bytes().unwrap()).unwrap();
    let new = columns(&rows(300, 2));
    assert_eq!(expect(&model, &new), expect(&again, &new));
    let reasons =
        |model: &Model| model.reasons(&Series::whole(&new), &ScoreConfig::default(), RUN).unwrap();
    assert_eq!(reasons(&model), reasons(&again));
}

#[test]
fn rows_and_values_that_are_missing() {
    let model = fit(&columns(&rows(900, 1)), DetectorKind::Evidence);
    let mut new = rows(300, 2);
    let was = new[2][150];
    new[2][150] = f64::NAN;
    let bounds = expect(&model, &columns(&new));
    assert!((bounds[2].expected[150].unwrap() - was).abs() < 0.5);
    let gapped = columns(&rows(300, 2));
    let series = Series::whole(&gapped).with_gaps(vec![100, 101]);
    let bounds = model.expect(&series, 0.95, RUN).unwrap();
    assert!(bounds[0].expected[99].is_some() && bounds[0].expected[101].is_some());
    assert_eq!(bounds[0].expected[100], None);
}

/// Series that are shorter than any window of the model are seen in smaller ones.
#[test]
fn short_series_have_scores() {
    let model = fit(&columns(&rows(900, 1)), DetectorKind::Evidence);
    let mut short = rows(18, 2);
    let normal = model.score(&Series::whole(&columns(&short)), RUN).unwrap();
    short[1][9] += 5.0;
    let odd = model.score(&Series::whole(&columns(&short)), RUN).unwrap();
    let mean = |scores: &[Option<f32>]| scores.iter().map(|s| s.unwrap()).sum::<f32>() / 18.0;
    assert!(mean(&odd) > 1.5 * mean(&normal) + 0.5, "{} {}", mean(&odd), mean(&normal));
    let tiny = columns(&rows(7, 2));
    let error = model.score(&Series::whole(&tiny), RUN).unwrap_err();
    assert!(matches!(error, Error::TooShort { rows: 7, .. }), "{error}");
}

#[test]
fn expectations_need_the_evidence() {
    let train = columns(&rows(300, 1));
    let config = FitConfig { window: WINDOW, steps: 2, ..FitConfig::default() };
    let model = genias::fit(&Series::whole(&train), &config, RUN).unwrap();
    let error = model.expect(&Series::whole(&train), 0.95, RUN).unwrap_err();
    assert!(error.to_string().contains("evidence"), "{error}");
    let config = ScoreConfig { detector: Some(DetectorKind::Amplitude), ..ScoreConfig::default() };
    let reasons = model.reasons(&Series::whole(&train), &config, RUN).unwrap();
    let sum: f32 = reasons.blame.iter().map(|of_rows| of_rows[20].unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-5 && reasons.strongest.is_empty());
}
