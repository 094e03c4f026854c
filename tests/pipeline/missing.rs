//! Windows that miss a few values, and training values that are wild.

use std::sync::Arc;

use crate::common::{column, fitted, frame, normal, rng, small, wave};
use arrow::array::{Array, ArrayRef, AsArray, Float32Array, Float64Array};
use arrow::datatypes::Float64Type;
use genias::anomaly::Synthetic;
use genias::config::{Aggregate, OneOrRange, Patch};
use genias::model::Health;
use genias::{
    Columns, DetectConfig, DetectorKind, Error, FitConfig, GenerateConfig, Model, RunToEnd,
    ScoreConfig, Series, fit,
};

const RUN: &RunToEnd = &RunToEnd;

fn with(config: FitConfig, max_null: f64) -> FitConfig {
    FitConfig { max_null, ..config }
}

/// Waves of `features` features, and without the values that `missing` names.
fn data(rows: usize, features: usize, missing: impl Fn(usize, usize) -> bool) -> [Columns; 2] {
    let values: Vec<Vec<f64>> = (0..features).map(|d| wave(rows, d as u64 + 1)).collect();
    let field = |d: usize, keep: &dyn Fn(usize, usize) -> bool| {
        column(&format!("f{d}"), (0..rows).map(|t| keep(d, t).then_some(values[d][t])))
    };
    let columns = |keep: &dyn Fn(usize, usize) -> bool| {
        Columns::new((0..features).map(|d| field(d, keep)).collect()).unwrap()
    };
    [columns(&|_, _| true), columns(&|d, t| !missing(d, t))]
}

/// Whether a value is missing at random, one in `n`.
fn sporadic(rows: usize, n: usize) -> impl Fn(usize, usize) -> bool {
    let drawn: Vec<bool> = (0..8 * rows).scan(rng(3), |rng, _| Some(rng.below(n) == 0)).collect();
    move |d, t| drawn[d * rows + t]
}

fn spearman(a: &[f32], b: &[f32]) -> f64 {
    let ranks = |values: &[f32]| {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|i, j| values[*i].total_cmp(&values[*j]));
        let mut ranks = vec![0.0; values.len()];
        order.into_iter().enumerate().for_each(|(rank, i)| ranks[i] = rank as f64);
        ranks
    };
    let (a, b) = (ranks(a), ranks(b));
    let mean = (a.len() as f64 - 1.0) / 2.0;
    let cross = |x: &[f64], y: &[f64]| -> f64 {
        x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean)).sum()
    };
    cross(&a, &b) / (cross(&a, &a) * cross(&b, &b)).sqrt()
}

/// One value in a hundred missing: only rows that lack one have no score, and the others score about
/// as they do by the same model where nothing is missing.
#[test]
fn sporadic_nulls_cost_their_own_rows() {
    for features in [1, 5] {
        let [whole, holed] = data(1200, features, sporadic(1200, 100));
        let (whole, holed) = (Series::whole(&whole), Series::whole(&holed));
        let model = fitted(&holed, &with(normal(), 0.1));
        for kind in [DetectorKind::Reconstruction, DetectorKind::Amplitude] {
            for aggregate in [Aggregate::Mean, Aggregate::Max, Aggregate::Last] {
                let detector = Some(kind);
                let config = ScoreConfig { detector, aggregate, ..ScoreConfig::default() };
                let scores = model.score_with(&holed, &config, RUN).unwrap();
                let expected = model.score_with(&whole, &config, RUN).unwrap();
                for (t, score) in scores.iter().enumerate() {
                    assert_eq!(score.is_some(), holed.is_usable(t), "{kind:?} row {t}");
                }
                let both = scores.iter().zip(expected).filter_map(|(x, y)| x.zip(y));
                let (found, expected): (Vec<f32>, Vec<f32>) = both.unzip();
                let agreement = spearman(&found, &expected);
                // One window alone feels a filled value more than the mean of many.
                let least = if aggregate == Aggregate::Last { 0.7 } else { 0.8 };
                assert!(agreement > least, "{features} {kind:?} {aggregate:?}: {agreement}");
            }
        }
        let decoded = model.reconstruct(&holed, RUN).unwrap();
        assert!((0..1200).all(|t| decoded.covered[t] == holed.is_usable(t)));
    }
}

#[test]
fn trained_detectors_have_no_score_for_rows_that_lack_a_value() {
    let [_, holed] = data(500, 2, sporadic(500, 60));
    let series = Series::whole(&holed);
    let base = fitted(&series, &with(small(), 0.1));
    for detector in [DetectorKind::Classifier, DetectorKind::Ensemble, DetectorKind::Carla] {
        let config = DetectConfig {
            detector,
            detector_steps: Some(4),
            classes: 3,
            ..DetectConfig::default()
        };
        let model = base.fit_detector(&series, &config, RUN).unwrap();
        let scores = model.score(&series, RUN).unwrap();
        for (t, score) in scores.iter().enumerate() {
            assert_eq!(score.is_some(), series.is_usable(t), "{detector:?} row {t}");
            assert!(score.is_none_or(f32::is_finite));
        }
        Model::from_bytes(&model.to_bytes().unwrap()).unwrap();
    }
}

/// A block of nulls in one of several features: its rows have no score, the rows beside it do.
#[test]
fn blocks_of_nulls_cost_their_own_rows() {
    let block = |t: usize| (200..260).contains(&t) || (400..403).contains(&t);
    for features in [1, 4, 8] {
        let [_, holed] = data(600, features, |d, t| d == 0 && block(t));
        let series = Series::whole(&holed);
        let model = fitted(&series, &with(small(), 0.1));
        let scores = model.score(&series, RUN).unwrap();
        let known: Vec<usize> = (0..600).filter(|t| scores[*t].is_some()).collect();
        assert_eq!(known, (0..600).filter(|t| !block(*t)).collect::<Vec<_>>(), "{features}");
    }
}

#[test]
fn the_share_is_of_the_values_of_a_window() {
    // Of 16 rows and 2 features, 3 values are within a tenth; of 5 rows in a row, at most 3 count.
    let series = |n: usize| data(100, 2, move |d, t| d == 1 && (50..50 + n).contains(&t));
    let covered = |columns: &Columns, max_null| {
        let model = fitted(&Series::whole(columns), &with(small(), max_null));
        model.embed(&Series::whole(columns), Some(1), RUN).unwrap().len()
    };
    for (nulls, max_null, expected) in
        [(3, 0.1, 85), (3, 0.09, 85 - 14), (4, 0.1, 85 - 13), (3, 0.0, 85 - 18)]
    {
        assert_eq!(covered(&series(nulls)[1], max_null), expected, "{nulls} {max_null}");
    }
}

/// What no value is missing of does not depend on the option, but for the option itself.
#[test]
fn complete_series_are_as_they_were() {
    let [columns, _] = data(300, 2, |_, _| false);
    let series = Series::whole(&columns);
    let [none, some] = [0.0, 0.1].map(|share| fitted(&series, &with(small(), share)));
    let scores = |model: &Model| model.score(&series, RUN).unwrap();
    assert_eq!(scores(&none), scores(&some));
    let anomalies = |m: &Model| m.generate(&series, &GenerateConfig::default(), RUN).unwrap();
    assert_eq!(anomalies(&none), anomalies(&some));
    let mut same = some;
    same.generator.config.max_null = 0.0;
    assert_eq!(same.to_bytes().unwrap(), none.to_bytes().unwrap());
    // A model that was written before there was the option says nothing of it.
    let text = String::from_utf8_lossy(&none.to_bytes().unwrap()).into_owned();
    assert!(!text.contains("max_null"));
    assert_eq!(
        Model::from_bytes(&none.to_bytes().unwrap()).unwrap().generator.config.max_null,
        0.0
    );
}

/// Anomalies of every patch and length on rows with nulls: these stay, bit by bit, and are not hit.
#[test]
fn nulls_come_back_as_they_are() {
    let odd = f64::from_bits(0x7ff8_0000_0000_1234);
    let missing = sporadic(600, 25);
    let values = |d: usize| {
        wave(600, d as u64).into_iter().enumerate().map(move |(t, x)| (t, d, x)).collect::<Vec<_>>()
    };
    let field = |d: usize| -> (String, ArrayRef) {
        let values = values(d).into_iter().map(|(t, d, x)| match (missing(d, t), t % 2) {
            (false, _) => Some(x),
            (true, 0) => None,
            (true, _) => Some(odd),
        });
        (format!("f{d}"), Arc::new(Float64Array::from_iter(values)))
    };
    let columns = Columns::new((0..3).map(field).collect()).unwrap();
    let series = Series::whole(&columns);
    let model = fitted(&series, &with(small(), 0.2));
    let lengths = [None, Some(OneOrRange::One(1)), Some(OneOrRange::Range(2, 9))];
    for (patch, length) in [Patch::Deviation, Patch::None, Patch::Length]
        .into_iter()
        .flat_map(|p| lengths.map(|l| (p, l)))
    {
        let config = GenerateConfig { patch, length, ..GenerateConfig::default() };
        let anomalies = model.generate(&series, &config, RUN).unwrap();
        assert!(!anomalies.is_empty());
        assert!(anomalies.iter().all(|found| found.strength.is_finite() && found.strength > 0.0));
        let mut synthetic = Synthetic::new(&columns);
        synthetic.add(&series, &anomalies);
        let out = synthetic.finish();
        for d in 0..3 {
            let (after, mask) = (out.values[d].as_primitive::<Float64Type>(), &out.masks[d]);
            let (before, _) = columns.copy(d).finish();
            let before = before.as_primitive::<Float64Type>();
            for t in 0..600 {
                assert_eq!(after.is_null(t), before.is_null(t));
                let same = after.value(t).to_bits() == before.value(t).to_bits();
                let there = series.value(d, t).is_some();
                assert!(mask.value(t) <= there, "row {t} has no value to hit");
                assert!(same || mask.value(t), "row {t} changed without being hit");
                assert!(!there || !after.value(t).is_nan());
            }
        }
        for pair in anomalies.windows(2) {
            assert!(pair[0].rows.end <= pair[1].rows.start);
        }
    }
    for pair in model.pairs(&series, &GenerateConfig::default(), RUN).unwrap() {
        let (normal, anomalous) = (pair.normal(&series), pair.anomalous(&series));
        for i in 0..16 * 3 {
            let there = series.value(i % 3, pair.rows.start + i / 3).is_some();
            assert_eq!((normal[i].is_nan(), anomalous[i].is_nan()), (!there, !there));
        }
    }
}

#[test]
fn too_many_nulls_leave_no_window() {
    let [_, holed] = data(200, 1, |_, t| t % 5 == 0);
    let error = fit(&Series::whole(&holed), &with(small(), 0.1), RUN).unwrap_err();
    assert!(matches!(error, Error::NoWindow { rows: 200, window: 16 }));
    assert!(error.to_string().contains("a share of nulls of at most `max_null`"), "{error}");
    fit(&Series::whole(&holed), &with(small(), 0.3), RUN).unwrap();
}

/// A frame whose first feature has some wild values, of 32 or 64 bits.
fn wild(values: &[(usize, f64)], single: bool) -> Columns {
    let mut first = wave(400, 1);
    values.iter().for_each(|(t, value)| first[*t] = *value);
    let first: ArrayRef = match single {
        true => Arc::new(Float32Array::from_iter_values(first.into_iter().map(|x| x as f32))),
        false => Arc::new(Float64Array::from(first)),
    };
    Columns::new(vec![("a".into(), first), column("b", wave(400, 2).into_iter().map(Some))])
        .unwrap()
}

#[test]
fn wild_values_do_not_blind_a_model() {
    let tame = fitted(&Series::whole(&wild(&[], false)), &normal());
    assert!(!tame.report.health.contains(&Health::WildValues));
    for (values, single) in [
        (&[(100, 1e12)][..], false),
        (&[(100, 1e12), (101, -1e12), (300, 1e15)], false),
        (&[(100, 1e300)], false),
        (&[(100, -1e300), (7, -1e299)], false),
        (&[(100, 3e38)], true),
        (&[(100, -99_999.0)], true),
    ] {
        for max_null in [0.0, 0.1] {
            let columns = wild(values, single);
            let series = Series::whole(&columns);
            let model = fitted(&series, &with(normal(), max_null));
            assert_eq!(model.report.health, [Health::WildValues], "{values:?}");
            let ratio = model.generator.normaliser.std[0] / tame.generator.normaliser.std[0];
            assert!((ratio - 1.0).abs() < 0.1, "{values:?}: {ratio}");
            let r2 = model.report.r2.unwrap();
            assert!(r2 > tame.report.r2.unwrap() - 0.1, "{values:?}: {r2}");
            // Something new stands out, as it does for the model that never saw them.
            let mut moved = wave(400, 1);
            moved[200..216].iter_mut().for_each(|x| *x += 6.0);
            let moved = frame(&[("a", &moved), ("b", &wave(400, 2))]);
            let scores = model.score(&Series::whole(&moved), RUN).unwrap();
            let threshold = model.calibration(None).unwrap().auto;
            let found = (200..216).filter(|t| f64::from(scores[*t].unwrap()) > threshold).count();
            assert!(found > 12, "{values:?}: {found}");
            for anomaly in model.generate(&series, &GenerateConfig::default(), RUN).unwrap() {
                for (t, value) in
                    anomaly.values.iter().flat_map(|(_, v)| anomaly.rows.clone().zip(v))
                {
                    assert!(value.is_nan() || value.abs() < 100.0, "row {t}: {value}");
                }
            }
        }
    }
}

#[test]
fn wild_values_of_a_constant_feature_leave_it_constant() {
    let mut flat = vec![5.0; 300];
    flat[40] = 1e12;
    let columns = frame(&[("flat", &flat), ("wave", &wave(300, 1))]);
    let model = fitted(&Series::whole(&columns), &small());
    assert_eq!(
        (model.generator.normaliser.live.as_slice(), model.generator.normaliser.mean[0]),
        (&[false, true][..], 5.0)
    );
    assert!(model.report.health.contains(&Health::WildValues));
    let mut flag = vec![0.0; 300];
    flag[40..44].fill(1.0);
    let columns = frame(&[("flag", &flag), ("wave", &wave(300, 1))]);
    let model = fitted(&Series::whole(&columns), &small());
    assert!(
        model.generator.normaliser.live[0] && !model.report.health.contains(&Health::WildValues)
    );
}

#[test]
fn detectors_are_trained_without_wild_values() {
    let [with, without] = [&[(100, 1e12)][..], &[]].map(|values| {
        let columns = wild(values, false);
        let series = Series::whole(&columns);
        let config = DetectConfig {
            detector: DetectorKind::Classifier,
            detector_steps: Some(60),
            ..DetectConfig::default()
        };
        let model = fitted(&series, &FitConfig { max_null: 0.1, ..small() });
        model.fit_detector(&series, &config, RUN).unwrap().calibration(None).unwrap().auto
    });
    assert!(with.is_finite() && (with - without).abs() < 5.0, "{with} {without}");
}
