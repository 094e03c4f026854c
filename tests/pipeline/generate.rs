//! Generated anomalies and pairs: where they are, how large, what they leave alone.

use crate::common::stages::{
    FORMS, Rough, assert_columns, assert_placed, assert_values, clean_starts, longest, strength,
};
use crate::common::{CancelAfter, assert_close, bits, fitted, normal, small, waves};
use arrow::array::{ArrayRef, Float32Array, Float64Array};
use genias::anomaly::{Anomaly, Synthetic};
use genias::config::{Distance, Form, Names, OneOrRange, Patch, Way};
use genias::{Columns, Error, FitConfig, GenerateConfig, RunToEnd, Series, fit};
use std::sync::Arc;

const RUN: &RunToEnd = &RunToEnd;

/// Every way of making anomalies, with lengths that leave room for them.
fn ways() -> Vec<GenerateConfig> {
    let mut ways = Vec::new();
    for (i, patch) in [Patch::Deviation, Patch::Length, Patch::None].into_iter().enumerate() {
        for (j, form) in FORMS.into_iter().enumerate() {
            for (k, strength) in [None, Some(OneOrRange::Range(0.5, 3.0))].into_iter().enumerate() {
                let length = [None, Some(OneOrRange::Range(1, 9)), Some(OneOrRange::One(5))];
                ways.push(GenerateConfig {
                    contamination: Some([0.02, 0.1, 0.25][(i + j + k) % 3]),
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

/// One segment of rows, hit in the same features all through, but for new values that are the old
/// ones: where an anomaly begins or ends in the input, or after rounding to 32 bits.
fn assert_mask(mask: &[bool], longest: usize) {
    let rows: Vec<&[bool]> = mask.chunks(2).collect();
    let hit: Vec<usize> = (0..rows.len()).filter(|&t| rows[t].contains(&true)).collect();
    assert!(!hit.is_empty());
    let segment = &rows[hit[0]..=hit[hit.len() - 1]];
    assert!(segment.len() <= longest);
    for feature in 0..2 {
        let moved = segment.iter().filter(|row| row[feature]).count();
        assert!(moved == 0 || moved + 2 >= segment.len(), "{moved} of {}", segment.len());
    }
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
fn contamination_is_a_promise() {
    let columns = waves(500);
    let series = Series::whole(&columns);
    let model = fitted(&series, &small());
    for contamination in [1e-6, 0.01, 0.05, 0.2, 0.4] {
        for length in [None, Some(OneOrRange::One(1)), Some(OneOrRange::Range(2, 12))] {
            for patch in [Patch::Deviation, Patch::Length] {
                let contamination = Some(contamination);
                let config = GenerateConfig { contamination, length, patch, ..Default::default() };
                let found = model.generate(&series, &config, RUN).unwrap();
                assert!(!found.is_empty());
                assert_placed(&series, &config, 16, &found);
            }
        }
    }
}

#[test]
fn as_many_as_asked_over_several_series_where_it_is_allowed() {
    let (first, second) = (
        waves(300),
        crate::common::frame(&[
            ("a", &crate::common::wave(240, 5)),
            ("b", &crate::common::wave(240, 6)),
        ]),
    );
    let places: arrow::array::BooleanArray = (0..300).map(|t| Some(t % 60 < 30)).collect();
    let series = [Series::whole(&first).with_places(&places), Series::whole(&second)];
    let model = fitted(&series[0], &small());
    for direction in [Way::Up, Way::Down] {
        let config = GenerateConfig {
            total: Some(9),
            length: Some(OneOrRange::One(6)),
            size: Some(OneOrRange::One(0.5)),
            hit: Some(Names(vec!["a".into()])),
            direction: Some(direction),
            ..Default::default()
        };
        let grounds = series.each_ref().map(|series| model.ground(series, &config).unwrap());
        let rows = genias::share_out(&grounds, &config).unwrap();
        assert_eq!(rows.iter().map(Vec::len).sum::<usize>(), 9);
        assert!(rows.iter().all(|rows| !rows.is_empty()));
        for (series, rows) in series.iter().zip(&rows) {
            let found = model.generate_at(series, &config, rows, RUN).unwrap();
            assert!(found.iter().zip(rows).all(|(of, site)| of.rows == site.rows));
            assert_eq!(found.len(), rows.len());
            for of in &found {
                assert!(of.rows.clone().all(|t| series.is_place(t)));
                let [(0, values)] = &of.values[..] else { panic!("{of:?}") };
                let before = of.rows.clone().map(|t| series.value(0, t).unwrap());
                let moved: Vec<f64> = values.iter().zip(before).map(|(x, y)| x - y).collect();
                let mean = moved.iter().sum::<f64>() / 6.0;
                let rms = (moved.iter().map(|x| x * x).sum::<f64>() / 6.0).sqrt();
                assert!(
                    (rms - 0.5).abs() < 1e-3 && (mean > 0.0) == (direction == Way::Up),
                    "{moved:?}"
                );
                assert!((of.asked.unwrap() - of.strength).abs() < 1e-2);
            }
        }
    }
    let config = GenerateConfig { hit: Some(Names(vec!["c".into()])), ..Default::default() };
    let error = model.generate(&series[0], &config, RUN).unwrap_err();
    assert!(error.to_string().contains("`hit` = c"), "{error}");
    let config = GenerateConfig { total: Some(99), ..Default::default() };
    let error = model.generate(&series[0], &config, RUN).unwrap_err();
    assert!(matches!(error, Error::DoesNotFit { parameter: "total", .. }), "{error}");
}

#[test]
fn more_anomalies_than_fit_are_refused() {
    let rough = Rough::new();
    let series = rough.series();
    let model = fitted(&series, &small());
    let config = GenerateConfig { contamination: Some(0.97), ..Default::default() };
    let error = model.generate(&series, &config, RUN).unwrap_err();
    let Error::DoesNotFit { value: contamination, asked, rows, fits, .. } = error else {
        panic!("{error}")
    };
    // Clean runs of 60, 68, 69, 49, 74 and 70 rows, with a row between two anomalies of 16.
    assert_eq!((contamination, asked, rows, fits), (0.97, 25, 400, 21));
    let text = error.to_string();
    assert!(text.contains("`contamination` = 0.97 needs 25 anomalies"), "{text}");
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
    refused(GenerateConfig { contamination: Some(0.0), ..ok.clone() }, "`contamination` = 0");
    refused(GenerateConfig { length: Some(OneOrRange::One(17)), ..ok.clone() }, "`length`");
    refused(GenerateConfig { tau: Some(f64::INFINITY), ..ok.clone() }, "`tau` = inf");
    refused(GenerateConfig { strength: Some(OneOrRange::One(-1.0)), ..ok.clone() }, "`strength`");
    refused(GenerateConfig { window_stride: Some(0), ..ok }, "`window_stride` = 0");
}

#[test]
fn pairs_differ_where_their_masks_say() {
    let rough = Rough::new();
    let series = rough.series();
    let model = fitted(&series, &small());
    for (i, config) in ways().into_iter().enumerate() {
        let stride = [None, Some(1), Some(7)][i % 3];
        let pairs = model
            .pairs(&series, &GenerateConfig { window_stride: stride, ..config.clone() }, RUN)
            .unwrap();
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

/// What an anomaly records of itself is what the values show.
#[test]
fn anomalies_say_how_they_came_about() {
    let columns = waves(600);
    let series = Series::whole(&columns);
    let model = fitted(&series, &small());
    for config in ways() {
        for anomaly in model.generate(&series, &config, RUN).unwrap() {
            let deformed = config.form == Form::Deformed;
            let clusters = model.generator.kinds.centres.len() as u32;
            match config.form {
                Form::Residual => assert_eq!(anomaly.kind.name(), "residual"),
                Form::Decoded => assert_eq!(anomaly.kind.name(), "decoded"),
                Form::Deformed => assert_eq!(anomaly.cluster, None),
            }
            assert!(deformed || anomaly.cluster.is_some_and(|n| (1..=clusters).contains(&n)));
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
            if anomaly.kind.name() != "residual" && deformed {
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
    let config = GenerateConfig { contamination: Some(0.3), ..GenerateConfig::default() };
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
            let config = GenerateConfig {
                strength,
                form,
                length,
                contamination: Some(0.3),
                ..Default::default()
            };
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
        let config = GenerateConfig { form, count: Some(11), ..GenerateConfig::default() };
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
        let config = GenerateConfig { form, patch, count: Some(11), ..Default::default() };
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
        let config = GenerateConfig { contamination: Some(0.3), ..config };
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
