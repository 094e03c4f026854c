//! Generated anomalies of kinds that are asked for by name, of the model and classical.

use std::collections::BTreeMap;

use crate::common::{fitted, frame, rng, small, wave};
use genias::anomaly::{Anomaly, AnomalyKind, Synthetic};
use genias::config::{Form, Names, OneOrRange};
use genias::{Columns, Error, GenerateConfig, Model, Options, RunToEnd, Series};
use serde_json::json;

const RUN: &RunToEnd = &RunToEnd;
const ROWS: usize = 1600;

/// Two features that go together, a counter, and a constant.
fn columns() -> Columns {
    let noise = rng(9).normals(2 * ROWS);
    let slow = |t: usize| (t as f64 / 11.0).sin() + 0.6 * (t as f64 / 29.0).cos();
    let e = |i: usize| 0.1 * f64::from(noise[i]);
    let a: Vec<f64> = (0..ROWS).map(|t| slow(t) + e(t)).collect();
    let b: Vec<f64> = (0..ROWS).map(|t| 300.0 - 20.0 * (slow(t) + e(ROWS + t))).collect();
    let served: Vec<f64> = (0..ROWS).map(|t| (3 * t + t % 3) as f64).collect();
    frame(&[("a", &a), ("b", &b), ("served", &served), ("c", &[4.0; ROWS])])
}

fn parsed(options: &serde_json::Value) -> GenerateConfig {
    Options::parse("generate", options.as_object().unwrap()).unwrap().generate
}

fn generated(model: &Model, columns: &Columns, config: &GenerateConfig) -> Vec<Anomaly> {
    model.generate(&Series::whole(columns), config, RUN).unwrap()
}

fn by_kind(found: &[Anomaly]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    found.iter().for_each(|of| *counts.entry(of.kind.name()).or_default() += 1);
    counts
}

const OWN: [&str; 10] = [
    "residual",
    "decoded",
    "walk",
    "other-window",
    "tempo",
    "phase",
    "hold",
    "texture",
    "amplitude",
    "correlation",
];
const OTHERS: [&str; 8] =
    ["constant", "level-shift", "spike", "ramp", "stuck", "missing", "reset", "extremum"];

#[test]
fn every_kind_that_is_asked_for_appears_within_one_of_its_share() {
    let columns = columns();
    let model = fitted(&Series::whole(&columns), &small());
    let all: Vec<&str> = OWN.into_iter().chain(OTHERS).collect();
    for count in [all.len(), 2 * all.len() + 5] {
        let config = parsed(&json!({"kind": all, "count": count, "length": [4, 12]}));
        let found = generated(&model, &columns, &config);
        assert_eq!(found.len(), count);
        let counts = by_kind(&found);
        let share = count / all.len();
        for name in &all {
            assert!((share..=share + 1).contains(&counts[name]), "{name}: {counts:?}");
        }
        for of in &found {
            let one = of.kind.name() == "extremum";
            assert!(of.rows.len() == 1 || !one && (4..=12).contains(&of.rows.len()));
            assert_eq!(of.missing.is_empty(), of.kind.name() != "missing");
            assert!(of.features().all(|d| d < 3) || of.kind.name() == "constant");
            let own = OWN.contains(&of.kind.name()) || of.kind.name() == "constant";
            assert_eq!(matches!(of.kind, AnomalyKind::Generated(_)), own);
        }
        assert_eq!(found, generated(&model, &columns, &config));
    }
}

#[test]
fn one_name_of_the_model_is_what_form_and_patch_make() {
    let columns = columns();
    let model = fitted(&Series::whole(&columns), &small());
    for (kind, options) in [
        ("residual", json!({})),
        ("decoded", json!({"form": "decoded"})),
        ("correlation", json!({"patch": "correlation"})),
    ] {
        let plain = generated(&model, &columns, &parsed(&options));
        assert_eq!(generated(&model, &columns, &parsed(&json!({ "kind": kind }))), plain);
    }
    let sized = parsed(&json!({"kind": "tempo", "strength": 2, "count": 9}));
    for of in generated(&model, &columns, &sized) {
        assert_eq!((of.kind.name(), of.asked), ("tempo", Some(2.0)));
    }
}

#[test]
fn sizes_directions_and_features_are_kept() {
    let columns = columns();
    let model = fitted(&Series::whole(&columns), &small());
    let config = GenerateConfig {
        hit: Some(Names(vec!["a".into()])),
        ..parsed(&json!({
            "kind": ["residual", "level-shift"], "count": 20, "length": 8, "size": 1.5, "direction": "down",
        }))
    };
    for of in generated(&model, &columns, &config) {
        let [(0, values)] = &of.values[..] else { panic!("{of:?}") };
        let before = of.rows.clone().map(|t| columns.value(0, t).unwrap());
        let moved: Vec<f64> = values.iter().zip(before).map(|(x, y)| x - y).collect();
        let rms = (moved.iter().map(|x| x * x).sum::<f64>() / 8.0).sqrt();
        assert!((rms - 1.5).abs() < 1e-3 && moved.iter().sum::<f64>() < 0.0, "{of:?}");
    }
}

#[test]
fn kinds_are_dealt_over_all_series_together() {
    let all = columns();
    let places: arrow::array::BooleanArray = (0..ROWS).map(|t| Some(t % 90 < 40)).collect();
    let series = [Series::whole(&all).with_places(&places), Series::whole(&all)];
    let model = fitted(&series[0], &small());
    let config =
        parsed(&json!({"kind": ["walk", "hold", "level-shift"], "total": 22, "length": [4, 9]}));
    let grounds = series.each_ref().map(|series| model.ground(series, &config).unwrap());
    let shares = genias::share_out(&grounds, &config).unwrap();
    let mut found = Vec::new();
    for (series, sites) in series.iter().zip(&shares) {
        found.extend(model.generate_at(series, &config, sites, RUN).unwrap());
    }
    let mut counts: Vec<usize> = by_kind(&found).into_values().collect();
    counts.sort_unstable();
    assert_eq!(counts, [7, 7, 8]);
}

#[test]
fn pairs_take_kinds_too() {
    let columns = columns();
    let series = Series::whole(&columns);
    let model = fitted(&series, &small());
    let options = json!({"kind": ["walk", "missing", "level-shift"], "window_stride": 50});
    let config = Options::parse("pairs", options.as_object().unwrap()).unwrap().generate;
    let pairs = model.pairs(&series, &config, RUN).unwrap();
    let anomalies: Vec<Anomaly> = pairs.iter().map(|pair| pair.anomaly.clone()).collect();
    let counts = by_kind(&anomalies);
    assert_eq!(counts.len(), 3);
    assert!(counts.values().max().unwrap() - counts.values().min().unwrap() <= 1, "{counts:?}");
    for pair in pairs.iter().filter(|pair| pair.anomaly.kind.name() == "missing") {
        assert!(pair.anomalous(&series).iter().any(|value| value.is_nan()));
    }
}

#[test]
fn a_kind_that_nothing_can_show_is_said() {
    let single = frame(&[("a", &wave(600, 1))]);
    let series = Series::whole(&single);
    let model = fitted(&series, &small());
    let error = |model: &Model, series: &Series<'_>, kind: &str| {
        let error = model.generate(series, &parsed(&json!({ "kind": kind })), RUN).unwrap_err();
        assert!(matches!(error, Error::Parameter { .. }), "{error}");
        error.to_string()
    };
    for (kind, text) in [
        ("correlation", "`kind` = correlation: must be used with two features or more"),
        ("correlation-break", "`kind` = mode-correlation: must be another kind"),
        ("constant", "no feature that may change is constant"),
        ("reset", "no feature is a counter"),
    ] {
        let found = error(&model, &series, kind);
        assert!(found.contains(text), "{found:?} lacks {text:?}");
    }
    let still = frame(&[("a", &[2.0; 600])]);
    let still = Series::whole(&still);
    let found = error(&fitted(&still, &small()), &still, "walk");
    assert!(found.contains("`kind` = walk: must be \"constant\""), "{found:?}");
}

#[test]
fn classical_kinds_keep_away_from_nulls() {
    let mut values: Vec<Option<f64>> = wave(900, 1).into_iter().map(Some).collect();
    (0..900).step_by(97).for_each(|t| values[t] = None);
    let columns = Columns::new(vec![crate::common::column("a", values)]).unwrap();
    let series = Series::whole(&columns);
    let model = fitted(&series, &small());
    let config = parsed(&json!({"kind": ["residual", "ramp"], "count": 12, "length": [4, 9]}));
    let found = model.generate(&series, &config, RUN).unwrap();
    assert_eq!(by_kind(&found), BTreeMap::from([("ramp", 6), ("residual", 6)]));
    assert!(found.iter().all(|of| of.rows.clone().all(|t| columns.value(0, t).is_some())));
    let mut synthetic = Synthetic::new(&columns);
    synthetic.add(&series, &found);
    let rows: usize = found.iter().map(|of| of.rows.len()).sum();
    assert_eq!(synthetic.finish().is_anomaly.true_count(), rows);
}

#[test]
fn kind_stands_for_form() {
    let config = GenerateConfig {
        form: Form::Decoded,
        length: Some(OneOrRange::One(6)),
        ..parsed(&json!({"kind": "residual", "count": 5}))
    };
    let columns = columns();
    let model = fitted(&Series::whole(&columns), &small());
    let plain = GenerateConfig { form: Form::Residual, ..config.clone() };
    assert_eq!(generated(&model, &columns, &config), generated(&model, &columns, &plain));
}
