//! What a series may hold: nulls, gaps, labels, constants, extremes, other types.

use crate::common::stages::{
    arrays, assert_columns, assert_placed, assert_values, hit_and_same, verbs,
};
use crate::common::{bits, column, fitted, frame, model_of, picked, small, wave, waves};
use arrow::array::{Array, ArrayRef, BooleanArray, Float32Array, Int32Array};
use arrow::datatypes::DataType;
use genias::anomaly::{Anomaly, Synthetic};
use genias::config::{OneOrRange, Patch};
use genias::train::StopReason;
use genias::{Columns, Error, FitConfig, GenerateConfig, RunToEnd, Series, Threshold, fit};
use std::sync::Arc;

const RUN: &RunToEnd = &RunToEnd;

fn narrow(name: &str, values: &[f32]) -> (String, ArrayRef) {
    (name.into(), Arc::new(Float32Array::from(values.to_vec())))
}

#[test]
fn series_without_a_window_are_named() {
    let model = model_of(&waves(100), &small());
    let nothing = |columns: &Columns, expected: &str| {
        let series = Series::whole(columns);
        let mut errors: Vec<Error> =
            verbs(&model, &series, RUN).into_iter().map(Result::unwrap_err).collect();
        errors.push(fit(&series, &small(), RUN).unwrap_err());
        for error in errors {
            assert!(error.is_unusable_series(), "{error}");
            assert!(error.to_string().contains(expected), "{error}");
        }
    };
    for rows in [0, 1, 15] {
        nothing(&waves(rows), &format!("series of {rows} rows is shorter than `window` = 16"));
    }
    let nulls = |name: &str| column(name, vec![None; 40]);
    let values = |name: &str| column(name, wave(40, 1).into_iter().map(Some));
    let text = "none of the 40 rows lies in a window of 16 rows";
    nothing(&Columns::new(vec![nulls("a"), nulls("b")]).unwrap(), text);
    nothing(&Columns::new(vec![values("a"), nulls("b")]).unwrap(), text);
    let nan = column("b", vec![Some(f64::NAN); 40]);
    nothing(&Columns::new(vec![values("a"), nan]).unwrap(), text);
    let holes = |name: &str| column(name, (0..40).map(|t| (t % 16 != 15).then_some(1.0)));
    nothing(&Columns::new(vec![values("a"), holes("b")]).unwrap(), text);
}

/// Known anomalies and gaps leave nothing to train on, but rows can still be scored.
#[test]
fn labels_and_gaps_split_windows() {
    let columns = waves(64);
    let model = model_of(&columns, &small());
    let all = BooleanArray::from(vec![true; 64]);
    let labelled = Series::whole(&columns).with_labels(&all);
    assert!(matches!(fit(&labelled, &small(), RUN), Err(Error::NoWindow { rows: 64, window: 16 })));
    assert!(model.score(&labelled, RUN).unwrap().iter().all(Option::is_some));
    assert_eq!(model.embed(&labelled, None, RUN).unwrap().len(), 49);
    let config = GenerateConfig::default();
    assert!(matches!(model.generate(&labelled, &config, RUN), Err(Error::NoWindow { .. })));
    let split = Series::whole(&columns).with_gaps((1..64).step_by(15).collect());
    assert!(verbs(&model, &split, RUN).iter().all(|r| matches!(r, Err(Error::NoWindow { .. }))));
    let split = Series::whole(&columns).with_gaps(vec![20, 40]);
    let starts: Vec<usize> =
        model.embed(&split, None, RUN).unwrap().into_iter().map(|(start, _)| start).collect();
    assert_eq!(starts, (0..=4).chain(20..=24).chain(40..=48).collect::<Vec<_>>());
}

#[test]
fn infinities_are_named() {
    for (row, value) in [(0, f64::INFINITY), (17, f64::NEG_INFINITY)] {
        let mut a = wave(30, 1);
        a[row] = value;
        a[29] = f64::INFINITY;
        let fields = vec![
            column("fine", wave(30, 2).into_iter().map(Some)),
            column("a", a.iter().copied().map(Some)),
        ];
        let error = Columns::new(fields).unwrap_err();
        assert!(
            matches!(&error, Error::Infinite { column, row: at } if column == "a" && *at == row)
        );
        let narrow: ArrayRef =
            Arc::new(Float32Array::from_iter_values(a.iter().map(|x| *x as f32)));
        let error = Columns::new(vec![("a".into(), narrow)]).unwrap_err().to_string();
        assert!(error.contains(&format!("column `a` is infinite at row {row}")), "{error}");
    }
}

/// Rows that are no part of any training window leave no trace in the model.
#[test]
fn labelled_rows_and_nulls_do_not_train() {
    let labels = BooleanArray::from_iter((0..200).map(|t| Some((90..100).contains(&t))));
    let model = |inside: Option<f64>| {
        let values = wave(200, 1).into_iter().enumerate();
        let values = values.map(|(t, x)| if (90..100).contains(&t) { inside } else { Some(x) });
        let columns = Columns::new(vec![column("x", values)]).unwrap();
        let series = Series::whole(&columns);
        let series = if inside.is_some() { series.with_labels(&labels) } else { series };
        fitted(&series, &small()).to_bytes().unwrap()
    };
    assert!(model(Some(0.0)) == model(Some(1e6)));
    assert!(model(Some(0.0)) == model(None));
    assert!(model(None) == model(Some(f64::NAN)));
}

#[test]
fn constants_beside_live_features_rest() {
    let x = wave(400, 1);
    let still = vec![3.5; 400];
    let columns = frame(&[("still", &still), ("x", &x), ("zero", &[0.0; 400])]);
    let series = Series::whole(&columns);
    let model = fitted(&series, &small());
    assert_eq!(model.generator.normaliser.live, [false, true, false]);
    assert_eq!(model.generator.normaliser.mean[0], 3.5);
    let config = GenerateConfig {
        contamination: Some(0.3),
        length: Some(OneOrRange::Range(1, 4)),
        ..GenerateConfig::default()
    };
    let features = |config: &GenerateConfig| -> Vec<usize> {
        let found = model.generate(&series, config, RUN).unwrap();
        assert_values(&found, 3);
        found.into_iter().flat_map(|anomaly| anomaly.values).map(|(d, _)| d).collect()
    };
    assert!(features(&config).iter().all(|d| *d == 1));
    let hit = features(&GenerateConfig { hit_constant: true, ..config });
    assert!((0..3).all(|d| hit.contains(&d)), "{hit:?}");

    // A constant that moves counts, by its distance.
    let mut moved = still.clone();
    moved[200] += 2.0;
    let moved = frame(&[("still", &moved), ("x", &x), ("zero", &[0.0; 400])]);
    let (before, after) = (
        model.score(&series, RUN).unwrap()[200].unwrap(),
        model.score(&Series::whole(&moved), RUN).unwrap()[200].unwrap(),
    );
    assert!((after - before - 4.0 / 3.0).abs() < 1e-3, "{before} {after}");
    let decoded = model.reconstruct(&Series::whole(&moved), RUN).unwrap();
    assert!(decoded.values[0].iter().all(|value| *value == 3.5));
}

#[test]
fn a_frame_that_never_moves_still_answers() {
    let columns = frame(&[("flag", &[1.0; 120]), ("level", &[40.0; 120]), ("zero", &[0.0; 120])]);
    let series = Series::whole(&columns);
    let model = fitted(&series, &small());
    assert_eq!((model.parameter_count(), model.psi()), (0, 1.0));
    assert_eq!(model.report.stop_reason, Some(StopReason::NoLiveFeature));
    assert_eq!(
        (model.generator.psi().unwrap(), model.report.r2, model.report.loss),
        (None, None, None)
    );

    let config = GenerateConfig { contamination: Some(0.3), ..GenerateConfig::default() };
    let found = model.generate(&series, &config, RUN).unwrap();
    assert_placed(&series, &config, 16, &found);
    assert_values(&found, 3);
    hit_and_same(&columns, &series, &found);
    // A flag flips; anything else moves by a tenth.
    let middle = |d: usize| -> Vec<f64> {
        let of = |anomaly: &Anomaly| {
            let (_, values) = anomaly.values.iter().find(|(f, _)| *f == d)?;
            Some(values[values.len() / 2])
        };
        found.iter().filter_map(of).collect()
    };
    assert!(middle(0).iter().all(|value| *value == 0.0));
    assert!(middle(1).iter().all(|value| *value == 44.0 || *value == 36.0));
    assert!(middle(2).iter().all(|value| *value == 1.0));
    let pairs = model.pairs(&series, &config, RUN).unwrap();
    assert!(
        pairs.len() == 105
            && pairs.iter().all(|pair| pair.anomalous(&series) != pair.normal(&series))
    );

    assert!(model.score(&series, RUN).unwrap().iter().all(|score| *score == Some(0.0)));
    assert!(
        model
            .label(&series, Threshold::Auto, RUN)
            .unwrap()
            .iter()
            .all(|label| *label == Some(false))
    );
    let embedded = model.embed(&series, None, RUN).unwrap();
    assert!(embedded.len() == 105 && embedded.iter().all(|(_, mu)| *mu == [0.0; 4]));
    assert_eq!(model.reconstruct(&series, RUN).unwrap().values[1], [40.0; 120]);

    let mut moved = vec![1.0; 120];
    moved[50] = 0.0;
    let moved = frame(&[("flag", &moved), ("level", &[40.0; 120]), ("zero", &[0.0; 120])]);
    let labels = model.label(&Series::whole(&moved), Threshold::Auto, RUN).unwrap();
    let alarms: Vec<usize> = (0..120).filter(|t| labels[*t] == Some(true)).collect();
    assert_eq!(alarms, [50]);
}

/// Rounding noise around a large constant counts as constant: then it is no anomaly either.
#[test]
fn noise_that_counts_as_constant_is_not_scored() {
    let wobble: Vec<f64> = (0..120).map(|t| 1e9 + 0.5 * f64::from(t % 2)).collect();
    let x = wave(120, 1);
    for columns in [frame(&[("wobble", &wobble)]), frame(&[("wobble", &wobble), ("x", &x)])] {
        let series = Series::whole(&columns);
        let model = fitted(&series, &small());
        assert!(!model.generator.normaliser.live[0]);
        let labels = model.label(&series, Threshold::Auto, RUN).unwrap();
        let alarms = labels.iter().filter(|label| **label == Some(true)).count();
        assert!(alarms <= 12, "{alarms} of 120 training rows");
    }
    let mut moved = wobble.clone();
    moved[60] += 100.0;
    let model = model_of(&frame(&[("wobble", &wobble)]), &small());
    let alarms = |values: &[f64], threshold| -> Vec<usize> {
        let columns = frame(&[("wobble", values)]);
        let labels = model.label(&Series::whole(&columns), threshold, RUN).unwrap();
        (0..120).filter(|t| labels[*t] == Some(true)).collect()
    };
    assert_eq!(alarms(&moved, Threshold::Quantile(0.99)), [60]);
    // The automatic threshold lies between the noise and generated anomalies, a tenth of the level.
    moved[60] = 1.1e9;
    assert_eq!(alarms(&moved, Threshold::Auto), [60]);
}

/// Values that 64 bits hold but 32 do not, up to the largest of either type.
#[test]
fn anomalies_of_huge_values_are_finite() {
    let huge: Vec<f64> = wave(120, 1).iter().map(|x| 1e300 * x).collect();
    let tiny: Vec<f64> = wave(120, 2).iter().map(|x| 1e-300 * x).collect();
    let most: Vec<f64> = wave(120, 1).iter().map(|x| f64::MAX * x.clamp(-1.0, 1.0)).collect();
    let narrow_most: Vec<f32> = most.iter().map(|x| (x / f64::MAX) as f32 * f32::MAX).collect();
    for columns in [
        frame(&[("huge", &huge), ("tiny", &tiny)]),
        frame(&[("still", &[1e300; 120])]),
        frame(&[("still", &[-1e300; 120]), ("huge", &huge)]),
        frame(&[("still", &[f64::MAX; 120]), ("most", &most)]),
        Columns::new(vec![narrow("still", &[f32::MIN; 120]), narrow("most", &narrow_most)])
            .unwrap(),
    ] {
        let series = Series::whole(&columns);
        let model = fitted(&series, &small());
        let config = GenerateConfig {
            contamination: Some(0.3),
            length: Some(OneOrRange::Range(1, 5)),
            hit_constant: true,
            ..GenerateConfig::default()
        };
        let found = model.generate(&series, &config, RUN).unwrap();
        assert_values(&found, columns.width());
        hit_and_same(&columns, &series, &found);
        assert!(model.score(&series, RUN).unwrap().iter().all(|s| s.unwrap().is_finite()));
    }
}

#[test]
fn a_series_of_one_window_is_enough() {
    for (rows, window) in [(16, 16), (8, 8), (33, 33)] {
        let columns = waves(rows);
        let series = Series::whole(&columns);
        let model = fitted(&series, &FitConfig { window, ..small() });
        assert_eq!((model.report.train_windows, model.report.validation_windows), (1, 1));
        let all = GenerateConfig { contamination: Some(1.0), ..GenerateConfig::default() };
        let found = model.generate(&series, &all, RUN).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].rows, 0..rows);
        assert_values(&found, 2);
        assert_eq!(model.pairs(&series, &GenerateConfig::default(), RUN).unwrap().len(), 1);
        assert_eq!(model.embed(&series, None, RUN).unwrap().len(), 1);
        assert!(model.score(&series, RUN).unwrap().iter().all(Option::is_some));
    }
}

/// Windows, taps and levels in every combination that is accepted at its edges.
#[test]
fn small_windows_and_odd_sizes_work() {
    let columns = waves(90);
    let series = Series::whole(&columns);
    let mut tried = 0;
    for window in [8, 9, 11, 15, 23] {
        for (decimation, levels) in [(3, None), (3, Some(1)), (0, None), (1, Some(4)), (2, Some(2))]
        {
            let kernel_size = [2, 3, 15][tried % 3];
            let sizes = FitConfig { window, decimation, levels, kernel_size, ..small() };
            let config = FitConfig {
                channels: [1, 5][tried % 2],
                latent: Some([1, 40][tried % 2]),
                linear_path: tried % 3 != 1,
                batch_size: [1, 9][tried % 2],
                steps: 2,
                ..sizes
            };
            let model = fitted(&series, &config);
            assert!(verbs(&model, &series, RUN).iter().all(Result::is_ok), "{config:?}");
            tried += 1;
        }
    }
}

#[test]
fn one_feature_works() {
    let columns = frame(&[("x", &wave(120, 1))]);
    let series = Series::whole(&columns);
    let model = fitted(&series, &FitConfig { latent: None, ..small() });
    assert_eq!(model.generator.latent(), 50);
    let config = GenerateConfig::default();
    let found = model.generate(&series, &config, RUN).unwrap();
    assert_placed(&series, &config, 16, &found);
    assert_columns(&columns, &series, &found);
}

/// As many windows as the budget of an automatic stride allows, and no more.
#[test]
fn long_series_are_thinned_out() {
    let columns = waves(9000);
    let series = Series::whole(&columns);
    let model = fitted(&series, &FitConfig { steps: 1, ..small() });
    let report = &model.report;
    let windows = report.train_windows + report.validation_windows;
    assert!((2500..=4096).contains(&windows), "{windows}");
    let starts: Vec<usize> =
        model.embed(&series, None, RUN).unwrap().into_iter().map(|(start, _)| start).collect();
    assert_eq!(starts, (0..=8984).step_by(3).collect::<Vec<_>>());
}

/// Integers and flags are taken as 64-bit floats, and go out as such.
#[test]
fn other_numeric_types_work() {
    let integers: Int32Array = wave(120, 1).iter().map(|x| Some((100.0 * x) as i32)).collect();
    let flags: BooleanArray = wave(120, 2).iter().map(|x| Some(*x > 0.0)).collect();
    let columns = Columns::new(vec![
        ("integers".into(), Arc::new(integers)),
        ("flags".into(), Arc::new(flags)),
    ]);
    let columns = columns.unwrap();
    let series = Series::whole(&columns);
    let model = fitted(&series, &small());
    assert_eq!(model.generator.normaliser.live, [true, true]);
    let config = GenerateConfig { patch: Patch::None, ..Default::default() };
    let found = model.generate(&series, &config, RUN).unwrap();
    let (hit, same) = hit_and_same(&columns, &series, &found);
    assert!(hit > 2 * same, "{same} of {hit} hit values did not move");
    let mut synthetic = Synthetic::new(&columns);
    synthetic.add(&series, &found);
    let values = synthetic.finish().values;
    let types: Vec<&DataType> = values.iter().map(|values| values.data_type()).collect();
    assert_eq!(types, [&DataType::Int32, &DataType::Boolean]);
}

/// Series that get no answer: nulls beside values that are as they were.
#[test]
fn rows_without_an_answer_are_null() {
    let columns = waves(160);
    let series = picked(&columns, (0..160).step_by(2));
    let model = fitted(&series, &small());
    let found = model.generate(&series, &GenerateConfig::default(), RUN).unwrap();
    let mut synthetic = Synthetic::new(&columns);
    synthetic.add(&series, &found);
    let out = synthetic.finish();
    for row in 0..160 {
        let known = row % 2 == 0;
        assert_eq!(out.is_anomaly.is_valid(row), known);
        assert!(out.masks.iter().all(|mask| mask.is_valid(row) == known));
        assert!(known || out.anomaly_id.is_null(row));
    }
    for (before, after) in arrays(&columns).iter().zip(&out.values) {
        let (before, after) = (bits(before), bits(after));
        assert!((1..160).step_by(2).all(|row| before[row] == after[row]));
        assert!(before != after || out.masks.iter().any(|mask| mask.true_count() == 0));
    }
}
