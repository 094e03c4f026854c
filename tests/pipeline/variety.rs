//! Anomalies between features, several draws per anomaly, kinds, and psi and tau by window.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::{frame, rng, small, wave};
use genias::anomaly::Anomaly;
use genias::config::{Distance, Form, Noise, OneOrRange, Patch};
use genias::{Columns, Error, FitConfig, GenerateConfig, Model, RunToEnd, Series, fit};

const RUN: &RunToEnd = &RunToEnd;
const ROWS: usize = 1200;

/// A slow wave, the same in another unit and upside down, and something that goes with neither.
fn related() -> Columns {
    let noise = rng(9).normals(2 * ROWS);
    let slow = |t: usize| (t as f64 / 11.0).sin() + 0.6 * (t as f64 / 29.0).cos();
    let e = |i: usize| 0.1 * f64::from(noise[i]);
    let a: Vec<f64> = (0..ROWS).map(|t| slow(t) + e(t)).collect();
    let b: Vec<f64> = (0..ROWS).map(|t| 300.0 - 20.0 * (slow(t) + e(ROWS + t))).collect();
    frame(&[("a", &a), ("b", &b), ("c", &wave(ROWS, 3))])
}

fn model(columns: &Columns, config: FitConfig) -> Model {
    fit(&Series::whole(columns), &config, RUN).unwrap()
}

fn generated(model: &Model, columns: &Columns, config: &GenerateConfig) -> Vec<Anomaly> {
    model.generate(&Series::whole(columns), config, RUN).unwrap()
}

fn correlation() -> GenerateConfig {
    GenerateConfig { patch: Patch::Correlation, contamination: Some(0.3), ..Default::default() }
}

#[test]
fn a_broken_correlation_leaves_every_feature_in_its_range() {
    let columns = related();
    let model = model(&columns, small());
    assert!(model.generator.strongest_correlation().unwrap() > 0.9);
    let found = generated(&model, &columns, &correlation());
    assert!(found.len() > 10);
    let mut broken = 0;
    for anomaly in &found {
        // One of the two that go together, and not the other.
        assert_eq!(anomaly.values.len(), 1);
        let (feature, values) = &anomaly.values[0];
        assert!(*feature < 2);
        let mut normal: Vec<f64> = (0..ROWS).map(|t| columns.value(*feature, t).unwrap()).collect();
        normal.sort_by(f64::total_cmp);
        let slack = 1e-4 * (normal[ROWS - 1] - normal[0]);
        // Quantiles of 0.1 % and 99.9 % of 1200 rows.
        let (low, high) = (normal[1] - slack, normal[ROWS - 2] + slack);
        assert!(values.iter().all(|value| (low..=high).contains(value)));
        // 300 - b is 20 a: how far that is off.
        let off = |t: usize, value: f64| match feature {
            0 => (300.0 - columns.value(1, t).unwrap()) / 20.0 - value,
            _ => (300.0 - value) / 20.0 - columns.value(0, t).unwrap(),
        };
        let rows = anomaly.rows.clone().zip(values);
        let size = rows.map(|(t, value)| off(t, *value).powi(2)).sum::<f64>();
        broken += usize::from((size / values.len() as f64).sqrt() > 0.5);
        let origin = anomaly.origin.unwrap();
        assert_eq!((origin.psi, origin.fallback), (1.0, origin.distance <= 1.0));
    }
    assert!(broken * 10 > 9 * found.len(), "{broken} of {}", found.len());
    assert_eq!(found, generated(&model, &columns, &correlation()));
    let read = Model::from_bytes(&model.to_bytes().unwrap()).unwrap();
    assert_eq!(found, generated(&read, &columns, &correlation()));
}

#[test]
fn nothing_to_break_is_said() {
    let generate = |columns: &Columns, config: &GenerateConfig| {
        model(columns, small()).generate(&Series::whole(columns), config, RUN).unwrap_err()
    };
    let apart = frame(&[("a", &wave(600, 1)), ("b", &wave(600, 2))]);
    let error = generate(&apart, &correlation());
    assert!(error.is_unusable_series());
    assert!(matches!(error, Error::NoCorrelation { strongest, .. } if strongest < 0.5), "{error}");
    let still = frame(&[("a", &wave(600, 1)), ("b", &[2.0; 600])]);
    assert!(matches!(
        generate(&still, &correlation()),
        Error::NoCorrelation { strongest: 0.0, .. }
    ));
    let alone = generate(&frame(&[("a", &wave(600, 1))]), &correlation());
    assert!(alone.to_string().contains("`patch` = correlation"), "{alone}");
}

/// Mean distance of each anomaly to the nearest other one, by the log of its strength and how rough
/// it is.
fn spread(anomalies: &[Anomaly], columns: &Columns) -> f64 {
    let describe = |anomaly: &Anomaly| -> [f64; 2] {
        let (feature, values) = &anomaly.values[0];
        let before = anomaly.rows.clone().map(|t| columns.value(*feature, t).unwrap());
        let delta: Vec<f64> = values.iter().zip(before).map(|(y, x)| y - x).collect();
        let square = |values: &[f64]| values.iter().map(|x| x * x).sum::<f64>().sqrt();
        let steps: Vec<f64> = delta.windows(2).map(|pair| pair[1] - pair[0]).collect();
        [square(&delta).log10(), square(&steps) / square(&delta)]
    };
    let all: Vec<[f64; 2]> = anomalies.iter().map(describe).collect();
    let gap = |a: &[f64; 2], b: &[f64; 2]| ((a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2)).sqrt();
    let nearest = |i: usize| {
        let others = (0..all.len()).filter(|j| *j != i).map(|j| gap(&all[i], &all[j]));
        others.fold(f64::INFINITY, f64::min)
    };
    (0..all.len()).map(nearest).sum::<f64>() / all.len() as f64
}

#[test]
fn more_draws_are_more_diverse_and_every_choice_is_reproducible() {
    let wave = wave(ROWS, 1);
    let columns = frame(&[("a", &wave)]);
    let model = model(&columns, small());
    let config = |draws, noise, seed| GenerateConfig {
        draws,
        noise,
        seed,
        contamination: Some(0.5),
        patch: Patch::None,
        ..Default::default()
    };
    for noise in [Noise::Independent, Noise::Stratified] {
        let (mut before, mut after) = (0.0, 0.0);
        for seed in 0..5 {
            let one = generated(&model, &columns, &config(1, noise, seed));
            let eight = generated(&model, &columns, &config(8, noise, seed));
            assert_eq!(eight, generated(&model, &columns, &config(8, noise, seed)));
            let rows = |found: &[Anomaly]| found.iter().map(|a| a.rows.clone()).collect::<Vec<_>>();
            assert_eq!(rows(&one), rows(&eight));
            before += spread(&one, &columns);
            after += spread(&eight, &columns);
        }
        assert!(after > 1.05 * before, "{noise:?}: {before} {after}");
    }
    let [a, b] = [Noise::Independent, Noise::Stratified].map(|noise| config(1, noise, 0));
    assert_ne!(generated(&model, &columns, &a), generated(&model, &columns, &b));
}

#[test]
fn clusters_are_numbered_and_their_entropy_is_edi() {
    let columns = related();
    let model = model(&columns, FitConfig { kinds: 3, ..small() });
    let kinds = &model.generator.kinds;
    assert!((1..=3).contains(&kinds.centres.len()));
    assert!((kinds.shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    assert!(kinds.shares.windows(2).all(|pair| pair[0] >= pair[1]));
    assert!((0.0..=3f64.ln()).contains(&model.generator.edi().unwrap()));
    let config = GenerateConfig { contamination: Some(0.5), ..Default::default() };
    let found = generated(&model, &columns, &config);
    assert!(found.iter().all(|a| a.kind.name() == "residual"));
    let numbers: BTreeSet<u32> = found.iter().map(|a| a.cluster.unwrap()).collect();
    assert!(numbers.iter().all(|n| (1..=kinds.centres.len() as u32).contains(n)), "{numbers:?}");
    assert!(numbers.len() > 1);
    // Of constants only, an anomaly is in no cluster.
    let still = frame(&[("a", &[1.0; 200]), ("b", &[0.0; 200])]);
    let still_model = self::model(&still, small());
    assert_eq!(still_model.generator.edi(), None);
    let found = generated(&still_model, &still, &config);
    assert!(found.iter().all(|a| a.kind.name() == "constant"));
    assert!(found.iter().all(|a| a.cluster.is_none() && a.origin.is_none()));
}

/// Deformations are of every kind, walks most often, and hit few features more often than many.
#[test]
fn deformations_are_named_by_what_is_done() {
    let columns = related();
    let model = model(&columns, small());
    let config = |seed| GenerateConfig {
        form: Form::Deformed,
        contamination: Some(0.5),
        length: Some(OneOrRange::Range(4, 12)),
        seed,
        ..Default::default()
    };
    let (mut counts, mut hits) = (BTreeMap::<&str, usize>::new(), [0; 4]);
    for seed in 0..20 {
        for anomaly in generated(&model, &columns, &config(seed)) {
            *counts.entry(anomaly.kind.name()).or_default() += 1;
            hits[anomaly.values.len()] += 1;
            assert_eq!(anomaly.origin.unwrap().psi > 1.0, anomaly.kind.name() == "residual");
            assert_eq!(anomaly.cluster, None);
        }
    }
    let all: usize = counts.values().sum();
    assert!(counts.len() == 8 && counts.values().all(|n| n * 50 > all), "{counts:?}");
    let walks = counts["walk"];
    assert!(walks * 5 > all && counts.values().filter(|n| **n >= walks).count() == 1, "{counts:?}");
    assert!(hits[1] > hits[2] && hits[2] > 0 && hits[3] > 0, "{hits:?}");
    // A patch without a choice is heeded.
    let every = GenerateConfig { patch: Patch::None, ..config(1) };
    assert!(generated(&model, &columns, &every).iter().all(|anomaly| anomaly.values.len() == 3));
}

#[test]
fn shapes_are_distances_of_their_own() {
    let columns = related();
    let model = model(&columns, small());
    let hits = |distance, tau| {
        let config =
            GenerateConfig { distance, tau, contamination: Some(0.5), ..Default::default() };
        let found = generated(&model, &columns, &config);
        found.iter().map(|a| a.values.len()).sum::<usize>() as f64 / found.len() as f64
    };
    for distance in Distance::OWN {
        let own = hits(distance, None);
        assert!((1.0..3.0).contains(&own), "{distance:?}: {own}");
        assert_eq!(hits(distance, Some(0.0)), 3.0, "{distance:?}");
    }
    let tau = &model.generator.tau;
    // Warping only takes away.
    assert!(tau[&Distance::Dtw] <= tau[&Distance::Normal] && tau[&Distance::Sbd] < 2.0);
}

#[test]
fn local_psi_differs_between_windows_and_is_kept_in_the_bytes() {
    let columns = related();
    let config = FitConfig { local: true, steps: 60, beta: 1.0, ..small() };
    let local = model(&columns, config.clone());
    let psis = |model: &Model| -> BTreeSet<u64> {
        let config = GenerateConfig { contamination: Some(0.5), ..Default::default() };
        let found = generated(model, &columns, &config);
        assert!(found.iter().all(|a| a.origin.unwrap().psi >= 1.0));
        found.iter().map(|a| a.origin.unwrap().psi.to_bits()).collect()
    };
    let global = model(&columns, FitConfig { local: false, ..config });
    assert_eq!((psis(&global).len(), global.generator.local_tau), (1, None));
    assert!(psis(&local).len() > 10);
    let middle = local.psi();
    let factor = |psi: &u64| (f64::from_bits(*psi) - 1.0) / (middle - 1.0);
    assert!(psis(&local).iter().map(factor).all(|f| (0.333..=3.001).contains(&f)));
    let read = Model::from_bytes(&local.to_bytes().unwrap()).unwrap();
    assert_eq!(psis(&read), psis(&local));
    assert_eq!(read.generator.local_tau, local.generator.local_tau);
    let tau = local.generator.local_tau.unwrap();
    assert_eq!((tau.edges.len(), tau.tau.len()), (4, Distance::OWN.len()));
}
