//! Properties of the whole way from columns to models, anomalies, pairs and scores.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Float32Array, Float64Array, Int32Array};
use arrow::datatypes::DataType;
use candle_core::{Device, Tensor};
use common::{
    CancelAfter, Noted, assert_close, bits, column, fitted, flat, frame, is_covered, model_of,
    normal, picked, questions, rng, small, vae_of, wave, waves,
};
use genias::anomaly::{Anomaly, AnomalyKind, Synthetic};
use genias::config::{
    Distance, Form, Kl, Margin, Noise, OneOrRange, Patch, Perturbation, Preset, Schedule,
};
use genias::model::Health;
use genias::train::StopReason;
use genias::vae::pca::Pca;
use genias::{
    Columns, Control, Error, FitConfig, GenerateConfig, Model, Phase, RunToEnd, Series, Threshold,
    fit,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const RUN: &RunToEnd = &RunToEnd;

/// A series with everything that can be in the way: two scales and float types, nulls, NaN, known
/// anomalies, a jump in time.
struct Rough {
    columns: Columns,
    labels: BooleanArray,
    gap: usize,
}

impl Rough {
    const ROWS: usize = 400;

    fn new() -> Self {
        let rows = Self::ROWS;
        let a = wave(rows, 1).into_iter().enumerate().map(|(t, x)| match t {
            60 | 61 => None,
            200 => Some(f64::NAN),
            _ => Some(x),
        });
        let b = wave(rows, 2).into_iter().enumerate();
        let b = b.map(|(t, x)| (t % 397 != 130).then_some((500.0 + 40.0 * x) as f32));
        let b: ArrayRef = Arc::new(Float32Array::from_iter(b));
        let labels = (0..rows).map(|t| match t {
            250..=255 => Some(true),
            300 => None,
            _ => Some(false),
        });
        Self {
            columns: Columns::new(vec![column("a", a), ("b".into(), b)]).unwrap(),
            labels: BooleanArray::from_iter(labels),
            gap: 330,
        }
    }

    fn series(&self) -> Series<'_> {
        Series::whole(&self.columns).with_labels(&self.labels).with_gaps(vec![self.gap])
    }
}

const FORMS: [Form; 3] = [Form::Residual, Form::Decoded, Form::Deformed];

/// Every way of making anomalies, with lengths that leave room for them.
fn ways() -> Vec<GenerateConfig> {
    let mut ways = Vec::new();
    for (i, patch) in [Patch::Deviation, Patch::Length, Patch::None].into_iter().enumerate() {
        for (j, form) in FORMS.into_iter().enumerate() {
            for (k, strength) in [None, Some(OneOrRange::Range(0.5, 3.0))].into_iter().enumerate() {
                let length = [None, Some(OneOrRange::Range(1, 9)), Some(OneOrRange::One(5))];
                ways.push(GenerateConfig {
                    contamination: [0.02, 0.1, 0.25][(i + j + k) % 3],
                    length: length[(i + k) % 3],
                    distance: [Distance::Normal, Distance::L2, Distance::Rms][(i + j + k) % 3],
                    creep: [None, Some(0.4), Some(3.0)][(i + j) % 3],
                    form,
                    patch,
                    strength,
                    seed: (6 * i + 2 * j + k) as u64,
                    ..GenerateConfig::default()
                });
            }
        }
    }
    ways
}

fn longest(config: &GenerateConfig, window: usize) -> usize {
    config.length.map_or(window, |length| length.bounds().1)
}

/// Rows that anomalies take: apart, clean, on one side of every gap, and as many as asked for.
fn assert_placed(series: &Series<'_>, config: &GenerateConfig, window: usize, found: &[Anomaly]) {
    for pair in found.windows(2) {
        let (end, start) = (pair[0].rows.end, pair[1].rows.start);
        // Rows on either side of a jump in time are not next to each other.
        assert!(end < start || (end == start && series.gaps().contains(&end)), "{end} {start}");
    }
    for Anomaly { rows, .. } in found {
        assert!(rows.clone().all(|t| series.is_clean(t)), "{rows:?}");
        assert!(!series.gaps().iter().any(|gap| rows.start < *gap && *gap < rows.end), "{rows:?}");
        assert!((1..=longest(config, window)).contains(&rows.len()), "{rows:?}");
    }
    let hit: usize = found.iter().map(|anomaly| anomaly.rows.len()).sum();
    let target = config.contamination * series.len() as f64;
    let off = (hit as f64 - target).abs();
    assert!(off <= longest(config, window) as f64, "{hit} rows for {target}: {config:?}");
}

/// Columns that go out: changed where the mask says so (up to exact ties), the same bits
/// everywhere else.
fn assert_columns(columns: &Columns, series: &Series<'_>, found: &[Anomaly]) {
    let (masked, same) = hit_and_same(columns, series, found);
    assert!(masked > 0 && same * 20 <= masked, "{same} of {masked} hit values did not move");
}

/// Checks the columns that go out; number of hit values, and of those that did not move.
fn hit_and_same(columns: &Columns, series: &Series<'_>, found: &[Anomaly]) -> (usize, usize) {
    let input = arrays(columns);
    let mut synthetic = Synthetic::new(columns);
    synthetic.add(series, found);
    let out = synthetic.finish();
    assert_eq!((out.is_anomaly.null_count(), out.is_anomaly.len()), (0, columns.rows()));
    let at = |t: usize| found.iter().position(|anomaly| anomaly.rows.contains(&t));
    let (mut masked, mut same) = (0, 0);
    for t in 0..series.len() {
        let row = series.row(t);
        assert_eq!(out.is_anomaly.value(row), at(t).is_some());
        let strength = out.anomaly_strength.is_valid(row).then(|| out.anomaly_strength.value(row));
        assert_eq!(strength, at(t).map(|number| found[number].strength as f32));
        let id = out.anomaly_id.is_valid(row).then(|| out.anomaly_id.value(row) as usize);
        assert_eq!(id, at(t).map(|number| number + 1));
    }
    for (d, (input, output)) in input.iter().zip(&out.values).enumerate() {
        assert_eq!(output.data_type(), input.data_type());
        let (before, after) = (bits(input), bits(output));
        for t in 0..series.len() {
            let row = series.row(t);
            let hit = at(t).and_then(|number| found[number].values.iter().find(|(f, _)| *f == d));
            assert_eq!(out.masks[d].value(row), hit.is_some(), "row {t}, feature {d}");
            if hit.is_none() {
                assert_eq!(after[row], before[row], "row {t}, feature {d}");
            }
            masked += usize::from(hit.is_some());
            same += usize::from(hit.is_some() && after[row] == before[row]);
        }
    }
    (masked, same)
}

/// New values: finite, one per row, at least one feature, each feature once.
fn assert_values(found: &[Anomaly], width: usize) {
    for Anomaly { rows, values, .. } in found {
        let features: HashSet<usize> = values.iter().map(|(feature, _)| *feature).collect();
        assert!(!features.is_empty() && features.len() == values.len(), "{features:?}");
        for (feature, values) in values {
            assert!(*feature < width);
            assert_eq!(values.len(), rows.len());
            assert!(values.iter().all(|value| value.is_finite()), "feature {feature}: {values:?}");
        }
    }
}

fn arrays(columns: &Columns) -> Vec<ArrayRef> {
    (0..columns.width()).map(|d| columns.copy(d).finish().0).collect()
}

#[test]
fn anomalies_are_where_and_what_was_asked_for() {
    let rough = Rough::new();
    let series = rough.series();
    let model = fitted(&series, &small());
    for config in ways() {
        let found = model.generate(&series, &config, RUN).unwrap();
        assert_placed(&series, &config, 16, &found);
        assert_values(&found, 2);
        assert_columns(&rough.columns, &series, &found);
    }
}

/// Bits that arithmetic would change: NaN of several kinds and -0.0, in either type.
#[test]
fn values_that_no_anomaly_hits_keep_their_bits() {
    let odd = |t: usize| match t % 40 {
        7 => Some(-0.0),
        19 => Some(f64::from_bits(0x7ff4_0000_0000_1234)),
        33 => None,
        _ => Some((t as f64).sin()),
    };
    let odd_narrow = |t: usize| match t % 40 {
        8 => Some(-0.0),
        19 => Some(f32::from_bits(0xffa0_1234)),
        _ => Some((t as f32).cos()),
    };
    let input: Vec<ArrayRef> = vec![
        Arc::new(Float64Array::from_iter((0..400).map(odd))),
        Arc::new(Float32Array::from_iter((0..400).map(odd_narrow))),
    ];
    let names = ["a", "b"].map(String::from);
    let columns = Columns::new(names.into_iter().zip(input.clone()).collect()).unwrap();
    let series = Series::whole(&columns);
    let model = fitted(&series, &FitConfig { window: 10, ..small() });
    let config = GenerateConfig { patch: Patch::None, ..Default::default() };
    let found = model.generate(&series, &config, RUN).unwrap();
    assert!(!found.is_empty());
    let mut synthetic = Synthetic::new(&columns);
    synthetic.add(&series, &found);
    let out = synthetic.finish();
    for ((before, after), mask) in input.iter().zip(&out.values).zip(&out.masks) {
        let (before, after) = (bits(before), bits(after));
        assert_ne!(before, after);
        for t in (0..400).filter(|t| !mask.value(*t)) {
            assert_eq!(before[t], after[t], "row {t}");
        }
    }
}

#[test]
fn contamination_is_met_within_one_anomaly() {
    let columns = waves(500);
    let series = Series::whole(&columns);
    let model = fitted(&series, &small());
    for contamination in [1e-6, 0.01, 0.05, 0.2, 0.4] {
        for length in [None, Some(OneOrRange::One(1)), Some(OneOrRange::Range(2, 12))] {
            for patch in [Patch::Deviation, Patch::Length] {
                let config = GenerateConfig { contamination, length, patch, ..Default::default() };
                let found = model.generate(&series, &config, RUN).unwrap();
                assert!(!found.is_empty());
                assert_placed(&series, &config, 16, &found);
            }
        }
    }
}

#[test]
fn more_anomalies_than_fit_are_refused() {
    let rough = Rough::new();
    let series = rough.series();
    let model = fitted(&series, &small());
    let config = GenerateConfig { contamination: 0.97, ..Default::default() };
    let error = model.generate(&series, &config, RUN).unwrap_err();
    let Error::DoesNotFit { value: contamination, asked, rows, fits, .. } = error else {
        panic!("{error}")
    };
    // Clean runs of 60, 68, 69, 49, 74 and 70 rows, with a row between two anomalies of 16.
    assert_eq!((contamination, asked, rows, fits), (0.97, 24, 400, 21));
    let text = error.to_string();
    assert!(text.contains("`contamination` = 0.97 needs 24 anomalies"), "{text}");
}

#[test]
fn options_out_of_range_are_refused_before_any_work() {
    let columns = waves(100);
    let series = Series::whole(&columns);
    let refused = |config: FitConfig, text: &str| {
        let error = fit(&series, &config, &CancelAfter::new(0)).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    };
    refused(FitConfig { window: 7, ..small() }, "`window` = 7");
    refused(FitConfig { stride: Some(0), ..small() }, "`stride` = 0");
    refused(FitConfig { sigma_prior: 0.0, ..small() }, "`sigma_prior` = 0");
    refused(FitConfig { delta_min: 0.3, ..small() }, "`delta_min` = 0.3");
    refused(FitConfig { validation: 1.0, ..small() }, "`validation` = 1");
    refused(FitConfig { learning_rate: f64::NAN, ..small() }, "`learning_rate` = NaN");
    let model = fitted(&series, &small());
    let refused = |config: GenerateConfig, text: &str| {
        for error in [
            model.generate(&series, &config, RUN).unwrap_err(),
            model.pairs(&series, &config, RUN).unwrap_err(),
        ] {
            assert!(error.to_string().contains(text), "{error}");
        }
    };
    let ok = GenerateConfig::default();
    refused(GenerateConfig { contamination: 0.0, ..ok.clone() }, "`contamination` = 0");
    refused(GenerateConfig { length: Some(OneOrRange::One(17)), ..ok.clone() }, "`length`");
    refused(GenerateConfig { tau: Some(f64::INFINITY), ..ok.clone() }, "`tau` = inf");
    refused(GenerateConfig { strength: Some(OneOrRange::One(-1.0)), ..ok.clone() }, "`strength`");
    refused(GenerateConfig { stride: Some(0), ..ok }, "`stride` = 0");
}

#[test]
fn pairs_differ_where_their_masks_say() {
    let rough = Rough::new();
    let series = rough.series();
    let model = fitted(&series, &small());
    for (i, config) in ways().into_iter().enumerate() {
        let stride = [None, Some(1), Some(7)][i % 3];
        let pairs =
            model.pairs(&series, &GenerateConfig { stride, ..config.clone() }, RUN).unwrap();
        let starts: Vec<usize> = pairs.iter().map(|pair| pair.rows.start).collect();
        assert_eq!(starts, clean_starts(&series, stride.unwrap_or(1)));
        for pair in &pairs {
            let (normal, anomalous) = (pair.normal(&series), pair.anomalous(&series));
            assert_eq!(pair.rows.len(), 16);
            for (i, normal) in normal.iter().enumerate() {
                assert_eq!(*normal, series.value(i % 2, pair.rows.start + i / 2).unwrap());
            }
            assert!(anomalous.iter().all(|value| value.is_finite()));
            let mask: Vec<bool> = anomalous.iter().zip(&normal).map(|(a, b)| a != b).collect();
            assert_mask(&mask, longest(&config, 16));
        }
    }
}

/// Starts of the windows of 16 clean rows that no gap splits, every `stride` rows of a run.
fn clean_starts(series: &Series<'_>, stride: usize) -> Vec<usize> {
    let joined = |t: usize| series.is_clean(t) && !series.gaps().contains(&t);
    let (mut starts, mut from) = (Vec::new(), 0);
    for end in 1..=series.len() {
        if end < series.len() && joined(end) && series.is_clean(end - 1) {
            continue;
        }
        starts.extend((from..(end + 1).saturating_sub(16)).step_by(stride));
        from = if end < series.len() && series.is_clean(end) { end } else { end + 1 };
    }
    starts
}

/// One segment of rows, hit in the same features all through.
fn assert_mask(mask: &[bool], longest: usize) {
    let rows: Vec<&[bool]> = mask.chunks(2).collect();
    let hit: Vec<usize> = (0..rows.len()).filter(|&t| rows[t].contains(&true)).collect();
    assert!(!hit.is_empty() && hit.len() <= longest);
    assert_eq!(hit[hit.len() - 1] - hit[0] + 1, hit.len());
    assert!(hit.iter().all(|&t| rows[t] == rows[hit[0]]));
}

/// Root mean square of an anomaly's change of one feature, in training deviations.
fn strength(
    series: &Series<'_>,
    model: &Model,
    rows: &Range<usize>,
    hit: &(usize, Vec<f64>),
) -> f64 {
    let (d, values) = hit;
    let std = model.generator.normaliser.std[*d];
    let square = |(t, value): (usize, &f64)| ((value - series.value(*d, t).unwrap()) / std).powi(2);
    (rows.clone().zip(values).map(square).sum::<f64>() / rows.len() as f64).sqrt()
}

#[test]
fn strength_is_the_size_of_the_change() {
    let columns = waves(600);
    let series = Series::whole(&columns);
    let model = fitted(&series, &small());
    for config in ways() {
        for asked in [OneOrRange::One(0.35), OneOrRange::One(8.0), OneOrRange::Range(1.0, 2.0)] {
            let config = GenerateConfig { strength: Some(asked), ..config.clone() };
            let (low, high) = asked.bounds();
            for anomaly in model.generate(&series, &config, RUN).unwrap() {
                for hit in &anomaly.values {
                    let found = strength(&series, &model, &anomaly.rows, hit);
                    assert!(found > low * 0.999 && found < high * 1.001, "{found}: {config:?}");
                }
            }
        }
    }
}

/// What an anomaly says of itself is what the values show.
#[test]
fn anomalies_say_how_they_came_about() {
    let columns = waves(600);
    let series = Series::whole(&columns);
    let model = fitted(&series, &small());
    for config in ways() {
        for anomaly in model.generate(&series, &config, RUN).unwrap() {
            let deformed = config.form == Form::Deformed;
            let kinds = if deformed { 8 } else { model.generator.kinds.centres.len() as u32 };
            assert!(matches!(anomaly.kind, AnomalyKind::Generated(n) if (1..=kinds).contains(&n)));
            let squares: f64 = anomaly
                .values
                .iter()
                .map(|hit| strength(&series, &model, &anomaly.rows, hit).powi(2))
                .sum();
            let found = (squares / anomaly.values.len() as f64).sqrt();
            assert_close("strength", &[anomaly.strength], &[found], 1e-9);
            assert!(anomaly.strength > 0.01, "{anomaly:?}");
            let origin = anomaly.origin.unwrap();
            assert!((1.0..=64.0).contains(&origin.psi), "{origin:?}");
            assert!(origin.distance > 0.0 || (deformed && origin.fallback), "{origin:?}");
            assert!(origin.redraws <= 3 && (!origin.fallback || origin.redraws == 3));
            // But for changes so small that they are raised.
            if deformed && anomaly.kind != AnomalyKind::Generated(1) {
                assert_eq!(origin.psi, 1.0);
            } else if config.strength.is_none() && anomaly.strength > 0.06 {
                assert_eq!(origin.psi, model.psi());
            }
        }
    }
    let tau = |tau| {
        let config = GenerateConfig { tau: Some(tau), ..GenerateConfig::default() };
        let found = model.generate(&series, &config, RUN).unwrap();
        found.into_iter().map(|anomaly| (anomaly.origin.unwrap(), anomaly.values.len()))
    };
    assert!(tau(0.0).all(|(origin, hit)| origin.redraws == 0 && !origin.fallback && hit == 2));
    assert!(tau(1e6).all(|(origin, hit)| origin.redraws == 3 && origin.fallback && hit == 1));
}

/// Where psi hardly moves anything, a change is raised to what can be seen.
#[test]
fn no_anomaly_equals_its_input() {
    let columns = waves(400);
    let series = Series::whole(&columns);
    let still = FitConfig { delta_min: 1e-9, delta_max: 2e-9, ..small() };
    let model = fitted(&series, &still);
    assert!(model.psi() < 1.01, "{}", model.psi());
    let config = GenerateConfig { contamination: 0.3, ..GenerateConfig::default() };
    for anomaly in model.generate(&series, &config, RUN).unwrap() {
        assert!((anomaly.strength - 0.05).abs() < 1e-3, "{}", anomaly.strength);
        // Of the model, not of a shift.
        assert!(anomaly.origin.unwrap().psi > 1.5 * model.psi() - 0.5, "{anomaly:?}");
    }
}

/// The steps into and out of an anomaly, beside those that the feature makes by itself.
#[test]
fn seams_are_no_larger_than_own_steps() {
    let columns = waves(1500);
    let series = Series::whole(&columns);
    let model = fitted(&series, &small());
    let mut seams = 0;
    let ways = [
        (None, Form::Residual),
        (Some(OneOrRange::One(5.0)), Form::Residual),
        (None, Form::Deformed),
        (Some(OneOrRange::One(5.0)), Form::Deformed),
    ];
    for (strength, form) in ways {
        for length in [OneOrRange::One(3), OneOrRange::Range(4, 16)] {
            let length = Some(length);
            let config =
                GenerateConfig { strength, form, length, contamination: 0.3, ..Default::default() };
            for Anomaly { rows, values, .. } in model.generate(&series, &config, RUN).unwrap() {
                for (d, values) in values {
                    let at = |t: usize| series.value(d, t).unwrap();
                    let most =
                        model.generator.normal_range.step[d] * model.generator.normaliser.std[d];
                    let ends = [
                        (rows.start.checked_sub(1), rows.start, values[0]),
                        (Some(rows.end), rows.end - 1, values[values.len() - 1]),
                    ];
                    for (outside, inside, value) in ends {
                        let Some(t) = outside.filter(|t| *t < series.len()) else { continue };
                        let own = (at(t) - at(inside)).abs();
                        assert!((at(t) - value).abs() <= most.max(own) * (1.0 + 1e-5));
                        seams += 1;
                    }
                }
            }
        }
    }
    assert!(seams > 800, "{seams}");
}

/// Without a strength the size is what psi makes it: not always the same.
#[test]
fn strengths_vary_without_the_option() {
    let columns = waves(600);
    let series = Series::whole(&columns);
    let model = fitted(&series, &small());
    let found = model.generate(&series, &GenerateConfig::default(), RUN).unwrap();
    let sizes: Vec<f64> = found
        .iter()
        .map(|anomaly| strength(&series, &model, &anomaly.rows, &anomaly.values[0]))
        .collect();
    assert!(
        sizes.len() == 4 && sizes.windows(2).any(|pair| (pair[0] / pair[1] - 1.0).abs() > 0.01)
    );
}

/// The residual form meets the input at its ends, the decoded one does not.
#[test]
fn residual_anomalies_are_blended() {
    let columns = waves(600);
    let series = Series::whole(&columns);
    let model = fitted(&series, &small());
    let edge_to_middle = |form: Form| {
        let config = GenerateConfig { form, contamination: 0.3, ..GenerateConfig::default() };
        let (mut edge, mut middle) = (0.0, 0.0);
        for anomaly in model.generate(&series, &config, RUN).unwrap() {
            for (d, values) in &anomaly.values {
                let std = model.generator.normaliser.std[*d];
                let size = |i: usize| {
                    let before = series.value(*d, anomaly.rows.start + i).unwrap();
                    ((values[i] - before) / std).abs()
                };
                edge += size(0) + size(15);
                middle += size(7) + size(8);
            }
        }
        edge / middle
    };
    let (residual, decoded) = (edge_to_middle(Form::Residual), edge_to_middle(Form::Decoded));
    assert!(residual < 0.5 && decoded > 2.0 * residual, "{residual} {decoded}");
}

/// X~ less what the residual form adds is X^, which is close to X: the forms are the same anomaly.
#[test]
fn forms_differ_by_the_error_of_the_reconstruction() {
    let columns = waves(600);
    let series = Series::whole(&columns);
    let model = fitted(&series, &normal());
    let found = |form: Form| {
        let patch = Patch::None;
        let config = GenerateConfig { form, patch, contamination: 0.3, ..Default::default() };
        model.generate(&series, &config, RUN).unwrap()
    };
    let (mut errors, mut values) = (0.0, 0.0);
    for (residual, decoded) in found(Form::Residual).iter().zip(&found(Form::Decoded)) {
        assert_eq!(residual.rows, decoded.rows);
        for ((d, residual_values), (_, decoded_values)) in
            residual.values.iter().zip(&decoded.values)
        {
            // Rows that are not blended.
            for i in 3..13 {
                let input = series.value(*d, residual.rows.start + i).unwrap();
                let change = residual_values[i] - input;
                let reconstruction = decoded_values[i] - change;
                values += 1.0;
                errors += ((reconstruction - input) / model.generator.normaliser.std[*d]).powi(2);
            }
        }
    }
    // The input itself has a mean square of 1.
    assert!(errors / values < 0.4, "{errors} {values}");
}

#[test]
fn patches_take_what_their_names_say() {
    let columns = waves(800);
    let series = Series::whole(&columns);
    let model = fitted(&series, &small());
    let hits = |config: GenerateConfig| -> Vec<(usize, usize)> {
        let config = GenerateConfig { contamination: 0.3, ..config };
        let found = model.generate(&series, &config, RUN).unwrap();
        found.iter().map(|anomaly| (anomaly.rows.len(), anomaly.values.len())).collect()
    };
    let patch = |patch| GenerateConfig { patch, ..GenerateConfig::default() };
    assert!(hits(patch(Patch::None)).iter().all(|hit| *hit == (16, 2)));
    let length = hits(patch(Patch::Length));
    assert!(length.iter().any(|(rows, _)| *rows < 16));
    assert!([1, 2].iter().all(|n| length.iter().any(|(_, features)| features == n)));
    let tau = |tau| hits(GenerateConfig { tau: Some(tau), ..patch(Patch::Deviation) });
    assert!(tau(0.0).iter().all(|hit| *hit == (16, 2)));
    assert!(tau(1e6).iter().all(|hit| *hit == (16, 1)));
    // The norm of 16 values is four times their root mean square: more features pass.
    let passing = |distance| -> usize {
        let config = GenerateConfig { distance, tau: Some(0.25), ..patch(Patch::Deviation) };
        hits(config).iter().map(|(_, features)| features).sum()
    };
    assert!(passing(Distance::L2) > passing(Distance::Rms));
}

#[test]
fn scores_are_where_windows_are() {
    let rough = Rough::new();
    let series = rough.series();
    let model = fitted(&series, &small());
    let scores = model.score(&series, RUN).unwrap();
    let labels = model.label(&series, Threshold::Auto, RUN).unwrap();
    let reconstruction = model.reconstruct(&series, RUN).unwrap();
    let threshold = model.calibration(None).unwrap().auto;
    assert_eq!(scores.len(), Rough::ROWS);
    for t in 0..Rough::ROWS {
        let covered = is_covered(&series, t);
        assert_eq!(scores[t].is_some(), covered, "row {t}");
        assert_eq!(reconstruction.covered[t], covered, "row {t}");
        assert!(scores[t].is_none_or(|score| score.is_finite() && score >= 0.0));
        assert_eq!(labels[t], scores[t].map(|score| f64::from(score) > threshold));
    }
    // Known anomalies are scored, too; rows with nulls are not.
    assert!(scores[252].is_some() && scores[60].is_none() && scores[200].is_none());
    let low = model.label(&series, Threshold::Number(0.0), RUN).unwrap();
    assert!(low.iter().flatten().all(|label| *label));
}

/// Values of a batch [n, W, D] and of its reconstruction from the latent mean.
fn decoded(model: &Model, series: &Series<'_>, starts: &[usize]) -> (Vec<f64>, Vec<f64>) {
    let size = model.generator.config.window;
    let matrix = model.generator.normaliser.apply(series, &RunToEnd).unwrap();
    let shape = (starts.len(), size, matrix.features());
    let x = Tensor::from_vec(matrix.gather(starts, size), shape, &Device::Cpu).unwrap();
    let vae = vae_of(model);
    let mean = vae.encode(&x).unwrap().0;
    (flat(&x), flat(&vae.decode(&mean).unwrap()))
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

/// Every verb on a series, without its answer.
fn verbs(model: &Model, series: &Series<'_>, control: &dyn Control) -> [Result<(), Error>; 6] {
    let config = GenerateConfig::default();
    [
        model.generate(series, &config, control).map(drop),
        model.pairs(series, &config, control).map(drop),
        model.score(series, control).map(drop),
        model.label(series, Threshold::Auto, control).map(drop),
        model.reconstruct(series, control).map(drop),
        model.embed(series, None, control).map(drop),
    ]
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
        contamination: 0.3,
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

    let config = GenerateConfig { contamination: 0.3, ..GenerateConfig::default() };
    let found = model.generate(&series, &config, RUN).unwrap();
    assert_placed(&series, &config, 16, &found);
    assert_values(&found, 3);
    assert_columns(&columns, &series, &found);
    // A flag flips; anything else moves by a tenth.
    let middle = |d: usize| -> Vec<f64> {
        let of = |anomaly: &Anomaly| Some(anomaly.values.iter().find(|(f, _)| *f == d)?.1[8]);
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

fn narrow(name: &str, values: &[f32]) -> (String, ArrayRef) {
    (name.into(), Arc::new(Float32Array::from(values.to_vec())))
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
            contamination: 0.3,
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
        let found = model.generate(&series, &GenerateConfig::default(), RUN).unwrap();
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
    assert_columns(&columns, &series, &found);
    let mut synthetic = Synthetic::new(&columns);
    synthetic.add(&series, &found);
    let values = synthetic.finish().values;
    assert!(values.iter().all(|values| *values.data_type() == DataType::Float64));
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
        let config = FitConfig {
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
        held.iter().map(|&start| pca.squared_error(&matrix.window(start, 16))).sum();
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

/// Parameters of a model, without its metadata.
fn parameters(series: &Series<'_>, config: &FitConfig) -> Vec<u8> {
    let bytes = fitted(series, config).to_bytes().unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[header..].to_vec()
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
        let config = GenerateConfig { tau, distance, contamination: 0.4, ..Default::default() };
        model.generate(&series, &config, RUN).unwrap()
    };
    for distance in Distance::OWN {
        let tau = model.generator.tau[&distance];
        assert!(tau > 0.0, "{tau}");
        assert_eq!(found(None, distance), found(Some(tau), distance));
        assert_ne!(found(None, distance), found(Some(2.0 * tau), distance));
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

#[test]
fn calibration_puts_the_median_distance_into_the_band() {
    let columns = waves(800);
    let series = Series::whole(&columns);
    for (delta_min, delta_max) in [(0.1, 0.2), (0.5, 0.9)] {
        let config = FitConfig { delta_min, delta_max, ..normal() };
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
        let generate = GenerateConfig { contamination: 0.3, ..GenerateConfig::default() };
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

/// How a feature of a random frame moves.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Wave,
    Constant,
    /// Zero, but for a stretch in the middle.
    Bump,
    /// Large numbers that differ in their last digits only.
    Counter,
    Flag,
}

/// A random series: its features, and what is the matter with each of its rows.
#[derive(Clone, Debug)]
struct Any {
    kinds: Vec<Kind>,
    /// Per row: 0 null, 1 NaN, 2 labelled, 3 behind a gap, anything else nothing.
    rows: Vec<u8>,
}

impl Any {
    fn value(&self, d: usize, t: usize) -> f64 {
        let wave = wave(self.rows.len(), d as u64)[t];
        match self.kinds[d] {
            Kind::Wave => wave,
            Kind::Constant => -2.5,
            Kind::Bump => f64::from(u8::from(t % 60 > 40)) * wave,
            Kind::Counter => 1.7e9 + t as f64,
            Kind::Flag => f64::from(u8::from(wave > 0.5)),
        }
    }

    fn columns(&self) -> Columns {
        // The last feature has the nulls, the first the NaN.
        let value = |d: usize, t: usize| match self.rows[t] {
            0 if d + 1 == self.kinds.len() => None,
            1 if d == 0 => Some(f64::NAN),
            _ => Some(self.value(d, t)),
        };
        let name = |d: usize| format!("f{d}");
        let field = |d: usize| column(&name(d), (0..self.rows.len()).map(|t| value(d, t)));
        Columns::new((0..self.kinds.len()).map(field).collect()).unwrap()
    }

    fn series<'a>(&self, columns: &'a Columns) -> Series<'a> {
        let labels = BooleanArray::from_iter(self.rows.iter().map(|row| Some(*row == 2)));
        let gaps = (0..self.rows.len()).filter(|t| self.rows[*t] == 3).collect();
        Series::whole(columns).with_labels(&labels).with_gaps(gaps)
    }
}

/// Whether some window of clean rows exists.
fn has_window(series: &Series<'_>, window: usize) -> bool {
    let mut run = 0;
    (0..series.len()).any(|t| {
        run = if series.is_clean(t) { run + 1 } else { 0 };
        run = if series.gaps().contains(&t) { run.min(1) } else { run };
        run >= window
    })
}

fn any_series() -> impl Strategy<Value = Any> {
    let kind = prop_oneof![
        Just(Kind::Wave),
        Just(Kind::Constant),
        Just(Kind::Bump),
        Just(Kind::Counter),
        Just(Kind::Flag)
    ];
    let row = prop_oneof![1 => 0u8..4, 60 => Just(9)];
    (prop::collection::vec(kind, 1..4), prop::collection::vec(row, 0..150))
        .prop_map(|(kinds, rows)| Any { kinds, rows })
}

fn any_fit() -> impl Strategy<Value = FitConfig> {
    let sizes = (8usize..24, 1usize..6, 2usize..6, 0usize..4, any::<[bool; 6]>());
    let numbers = (1usize..8, 1usize..20, 0.01f64..0.5, 0.0f64..0.9);
    (sizes, numbers).prop_map(|((window, channels, kernel_size, decimation, flags), numbers)| {
        let (latent, batch_size, validation, dropout) = numbers;
        let base = if flags[0] { FitConfig::paper() } else { FitConfig::default() };
        FitConfig {
            window,
            channels,
            kernel_size,
            decimation,
            latent: flags[1].then_some(latent),
            linear_path: flags[2],
            perturbation: if flags[3] { Perturbation::Mean } else { Perturbation::Variance },
            levels: flags[4].then_some(2),
            local: flags[5],
            kinds: 1 + batch_size % 9,
            dropout: if flags[5] { dropout } else { 0.0 },
            batch_size,
            validation,
            steps: 2,
            max_null: 0.0,
            ..base
        }
    })
}

fn any_generate() -> impl Strategy<Value = GenerateConfig> {
    let patch = prop_oneof![Just(Patch::Deviation), Just(Patch::Length), Just(Patch::None)];
    let numbers = (0.001f64..0.5, 1usize..9, 0usize..9, 0.1f64..4.0, 0.0f64..2.0, 1usize..40);
    (patch, numbers, any::<[bool; 6]>(), any::<u64>()).prop_map(|(patch, numbers, flags, seed)| {
        let (contamination, low, extra, strength, tau, stride) = numbers;
        GenerateConfig {
            contamination,
            length: flags[0].then_some(OneOrRange::Range(low, (low + extra).min(8))),
            form: FORMS[(seed % 3) as usize],
            patch,
            tau: (tau < 1.0).then_some(tau),
            distance: Distance::OWN[stride % Distance::OWN.len()],
            creep: flags[2].then_some((tau / 1.5 + 0.01).min(1.0)),
            strength: flags[3].then_some(OneOrRange::One(strength)),
            hit_constant: flags[4],
            draws: 1 + low % 3,
            noise: if flags[2] { Noise::Independent } else { Noise::Stratified },
            stride: flags[5].then_some(stride),
            seed,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Whatever comes in: an answer within the contract, or an error that says why there is none.
    #[test]
    fn any_series_is_answered(any in any_series(), fit_config in any_fit(), config in any_generate()) {
        let config = GenerateConfig {
            length: config.length.map(|length| {
                let (low, high) = length.bounds();
                OneOrRange::Range(low.min(high), high)
            }),
            ..config
        };
        let columns = any.columns();
        let series = any.series(&columns);
        let window = fit_config.window;
        let fitted = fit(&series, &fit_config, RUN);
        prop_assert_eq!(fitted.is_ok(), has_window(&series, window), "{:?}", fitted.err());
        let Ok(model) = fitted else { return Ok(()) };
        prop_assert!(model.psi() >= 1.0);
        prop_assert!(Model::from_bytes(&model.to_bytes().unwrap()).is_ok());

        let scores = model.score(&series, RUN).unwrap();
        prop_assert!(scores.iter().flatten().all(|score| score.is_finite() && *score >= 0.0));
        prop_assert!(scores.iter().any(Option::is_some));
        let decoded = model.reconstruct(&series, RUN).unwrap();
        prop_assert!(decoded.values.iter().flatten().all(|value| value.is_finite()));
        for (t, covered) in decoded.covered.iter().enumerate() {
            prop_assert_eq!(scores[t].is_some(), *covered);
        }
        for pair in model.pairs(&series, &config, RUN).unwrap() {
            let anomalous = pair.anomalous(&series);
            prop_assert!(anomalous.iter().all(|value| value.is_finite()));
            prop_assert!(pair.rows.len() == window && pair.rows.clone().all(|t| series.is_clean(t)));
            prop_assert!(anomalous != pair.normal(&series));
        }
        match model.generate(&series, &config, RUN) {
            Ok(found) => {
                assert_placed(&series, &config, window, &found);
                assert_values(&found, columns.width());
                hit_and_same(&columns, &series, &found);
            }
            Err(Error::DoesNotFit { asked, fits, .. }) => prop_assert!(fits < asked),
            Err(error) => panic!("{error}"),
        }
    }
}
