//! The same data, configuration and seed give the same bytes, wherever the rows lie and however
//! many threads there are.

use std::sync::Arc;

use crate::common::{
    OneThread, column, frame, in_pool, model_of, picked, small, wave, waves, with_thresholds,
};
use arrow::array::{Array, ArrayRef, BooleanArray, Float32Array, Float64Array};
use genias::anomaly::{Anomaly, Pair, Synthetic};
use genias::config::{Form, OneOrRange, Patch};
use genias::{Columns, Control, FitConfig, GenerateConfig, RunToEnd, Series, Threshold};

/// Everything that can come out of a series.
#[derive(Debug, PartialEq)]
struct Answers {
    model: Vec<u8>,
    anomalies: Vec<Anomaly>,
    deformed: Vec<Anomaly>,
    pairs: Vec<Pair>,
    scores: Vec<Option<f32>>,
    labels: Vec<Option<bool>>,
    reconstruction: genias::generator::Reconstruction,
    embedding: Vec<(usize, Vec<f32>)>,
}

impl Answers {
    /// What does not depend on the values that the dtype of a column can hold.
    fn of_model(&self) -> impl PartialEq + '_ {
        (&self.model, &self.scores, &self.labels, &self.reconstruction, &self.embedding)
    }
}

fn answers(series: &Series<'_>, config: &FitConfig, control: &dyn Control) -> Answers {
    let model = with_thresholds(series, config, control);
    let generate = GenerateConfig {
        contamination: Some(0.3),
        length: Some(OneOrRange::Range(3, 9)),
        patch: Patch::Length,
        strength: Some(OneOrRange::Range(0.5, 4.0)),
        hit_constant: true,
        seed: 11,
        ..GenerateConfig::default()
    };
    let deformed = GenerateConfig { form: Form::Deformed, ..generate.clone() };
    Answers {
        deformed: model.generate(series, &deformed, control).unwrap(),
        model: model.to_bytes().unwrap(),
        anomalies: model.generate(series, &generate, control).unwrap(),
        pairs: model.pairs(series, &generate, control).unwrap(),
        scores: model.score(series, control).unwrap(),
        labels: model.label(series, Threshold::Auto, control).unwrap(),
        reconstruction: model.reconstruct(series, control).unwrap(),
        embedding: model.embed(series, None, control).unwrap(),
    }
}

/// Several shares of windows in a batch and several of anomalies, dropout and a zero loss.
fn thorough() -> FitConfig {
    FitConfig { steps: 30, batch_size: 30, dropout: 0.2, seed: 5, ..small() }
}

/// Two waves, one of which rests at zero for a while.
fn resting() -> Columns {
    let mut rests = wave(700, 4);
    rests[200..300].fill(0.0);
    frame(&[("a", &wave(700, 3)), ("rests", &rests)])
}

#[test]
fn threads_change_nothing() {
    let columns = resting();
    let series = Series::whole(&columns);
    for config in [
        thorough(),
        FitConfig {
            latent: Some(5),
            channels: 4,
            window: 20,
            batch_size: 20,
            steps: 8,
            ..FitConfig::paper()
        },
    ] {
        let expected = in_pool(1, || answers(&series, &config, &RunToEnd));
        for threads in [2, 3] {
            for _ in 0..2 {
                let found = in_pool(threads, || answers(&series, &config, &RunToEnd));
                assert!(found == expected, "{threads} threads");
            }
        }
        for threads in [1, 2] {
            let found = in_pool(threads, || answers(&series, &config, &OneThread));
            assert!(found == expected, "alone, {threads} threads");
        }
    }
}

/// The principal components of many values are found by iteration: from fixed start vectors.
#[test]
fn wide_windows_are_reproducible() {
    let waves: Vec<Vec<f64>> = (0..6).map(|seed| wave(900, seed)).collect();
    let fields: Vec<(String, &[f64])> =
        waves.iter().enumerate().map(|(d, wave)| (format!("f{d}"), &wave[..])).collect();
    let fields: Vec<(&str, &[f64])> =
        fields.iter().map(|(name, values)| (name.as_str(), *values)).collect();
    let columns = frame(&fields);
    let config = FitConfig { window: 80, steps: 2, ..small() };
    let bytes = |threads| in_pool(threads, || model_of(&columns, &config).to_bytes().unwrap());
    assert!(bytes(1) == bytes(3));
}

#[test]
fn seeds_change_models_and_anomalies() {
    let columns = waves(300);
    let series = Series::whole(&columns);
    let model = |seed| model_of(&columns, &FitConfig { seed, ..small() });
    assert_ne!(model(0).to_bytes().unwrap(), model(1).to_bytes().unwrap());
    let anomalies = |seed| {
        let config = GenerateConfig { seed, ..GenerateConfig::default() };
        model(0).generate(&series, &config, &RunToEnd).unwrap()
    };
    let rows = |seed| anomalies(seed).into_iter().map(|a| a.rows).collect::<Vec<_>>();
    assert_ne!(rows(0), rows(1));
    assert_eq!(anomalies(1), anomalies(1));
}

/// Three groups whose rows alternate, one of them backwards in the frame, with known anomalies at
/// other rows of each.
#[test]
fn groups_answer_as_if_they_were_alone() {
    let groups: [Vec<[f64; 2]>; 3] = [1, 2, 3].map(|seed| {
        let (a, b) = (wave(240, seed), wave(240, seed + 10));
        (0..240).map(|t| [a[t], if t % 50 == 7 { f64::NAN } else { b[t] }]).collect()
    });
    // Group and time of a row of the frame.
    let at = |i: usize| (i % 3, if i % 3 == 2 { 239 - i / 3 } else { i / 3 });
    let value = |i: usize, d: usize| groups[at(i).0][at(i).1][d];
    let known = |(group, t): (usize, usize)| (70 * group + 20..70 * group + 25).contains(&t);
    let side = |d: usize| column(["a", "b"][d], (0..720).map(|i| Some(value(i, d))));
    let columns = Columns::new(vec![side(0), side(1)]).unwrap();
    let labels = BooleanArray::from_iter((0..720).map(|i| Some(known(at(i)))));
    for (group, rows) in groups.iter().enumerate() {
        let order: Vec<usize> = (0..240).map(|t| 3 * t + group).collect();
        let order = if group == 2 { order.into_iter().rev().collect() } else { order };
        let series = picked(&columns, order).with_labels(&labels);
        let alone = |d: usize| column(["a", "b"][d], rows.iter().map(|row| Some(row[d])));
        let alone = Columns::new(vec![alone(0), alone(1)]).unwrap();
        let labels = BooleanArray::from_iter((0..240).map(|t| Some(known((group, t)))));
        let whole = Series::whole(&alone).with_labels(&labels);
        assert_eq!(series.content_hash(), whole.content_hash());
        let (found, expected) =
            (answers(&series, &small(), &RunToEnd), answers(&whole, &small(), &RunToEnd));
        // NaN is unequal to itself, and no answer holds one.
        assert!(found == expected, "group {group}");

        let mut synthetic = Synthetic::new(&columns);
        synthetic.add(&series, &found.anomalies);
        let hit = synthetic.finish().is_anomaly;
        for t in 0..240 {
            let expected = found.anomalies.iter().any(|anomaly| anomaly.rows.contains(&t));
            assert_eq!(hit.value(series.row(t)), expected, "group {group}, row {t}");
        }
    }
}

/// Answers of a frame of two columns; the second one is there to be in step with the first.
fn answers_of(first: ArrayRef, second: ArrayRef) -> Answers {
    let columns = Columns::new(vec![("a".into(), first), ("b".into(), second)]).unwrap();
    answers(&Series::whole(&columns), &small(), &RunToEnd)
}

/// A wave with a null at one row and something else at both ends, which a slice cuts off.
fn padded(rows: usize, before: usize, seed: u64) -> Vec<Option<f32>> {
    let ends = |n: usize| (0..n).map(|i| (i % 2 == 0).then_some(1e9f32));
    let inside = wave(rows, seed);
    let inside = inside.iter().enumerate().map(|(t, x)| (t != 41).then_some(*x as f32));
    ends(before).chain(inside).chain(ends(5)).collect()
}

#[test]
fn slices_answer_as_copies_do() {
    let rows = 200;
    let wide = |values: &[Option<f32>]| -> ArrayRef {
        Arc::new(Float64Array::from_iter(values.iter().map(|x| x.map(f64::from))))
    };
    let narrow = |values: &[Option<f32>]| -> ArrayRef {
        Arc::new(Float32Array::from_iter(values.iter().copied()))
    };
    let (a, b) = (padded(rows, 3, 1), padded(rows, 13, 2));
    let (short_a, short_b) = (&a[3..3 + rows], &b[13..13 + rows]);
    let expected = answers_of(narrow(short_a), narrow(short_b));
    let slices = answers_of(narrow(&a).slice(3, rows), narrow(&b).slice(13, rows));
    assert!(slices == expected, "32 bits, sliced");
    let copies = answers_of(wide(short_a), wide(short_b));
    assert!(copies.of_model() == expected.of_model(), "64 bits");
    let slices = answers_of(wide(&a).slice(3, rows), wide(&b).slice(13, rows));
    assert!(slices == copies, "64 bits, sliced");
}

/// A slice goes out with the anomalies in it, of the slice's own length and type.
#[test]
fn synthetic_columns_of_slices_equal_those_of_copies() {
    let rows = 200;
    let a = padded(rows, 3, 1);
    let sliced: ArrayRef = Arc::new(Float32Array::from(a.clone()).slice(3, rows));
    let copied: ArrayRef = Arc::new(Float32Array::from(a[3..3 + rows].to_vec()));
    let synthetic = |array: ArrayRef| {
        let columns = Columns::new(vec![("a".into(), array)]).unwrap();
        let series = Series::whole(&columns);
        let anomalies = model_of(&columns, &small())
            .generate(&series, &GenerateConfig::default(), &RunToEnd)
            .unwrap();
        assert!(!anomalies.is_empty());
        let mut synthetic = Synthetic::new(&columns);
        synthetic.add(&series, &anomalies);
        let finished = synthetic.finish();
        (crate::common::bits(&finished.values[0]), finished.masks, finished.anomaly_id)
    };
    let (found, expected) = (synthetic(sliced.clone()), synthetic(copied));
    assert_eq!(found, expected);
    assert_eq!(found.0.len(), rows);
    assert_ne!(found.0, crate::common::bits(&sliced));
}

/// A model does not depend on what else its series is asked for, nor on the order of the questions.
#[test]
fn questions_do_not_disturb_each_other() {
    let columns = waves(300);
    let series = Series::whole(&columns);
    let model = model_of(&columns, &small());
    let config = GenerateConfig::default();
    let first = model.generate(&series, &config, &RunToEnd).unwrap();
    model.pairs(&series, &config, &RunToEnd).unwrap();
    let scores = model.score(&series, &RunToEnd).unwrap();
    assert_eq!(model.generate(&series, &config, &RunToEnd).unwrap(), first);
    assert_eq!(model.score(&series, &RunToEnd).unwrap(), scores);
}
