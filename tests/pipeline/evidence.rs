//! The detector `evidence`: parity with a NumPy twin (see `golden/README.md`), and what must hold of
//! its scores.

use std::path::PathBuf;

use crate::common::{column, frame, rng};
use arrow::array::BooleanArray;
use candle_core::{DType, Device, Tensor};
use genias::config::AlarmConfig;
use genias::detector::RowScores;
use genias::{
    Columns, DetectConfig, DetectorKind, FitConfig, GenerateConfig, Model, Positions, RunToEnd,
    ScoreConfig, Series, Threshold, fit_scorer,
};
use proptest::prelude::*;

fn evidence() -> DetectConfig {
    DetectConfig { detector: DetectorKind::Evidence, ..DetectConfig::default() }
}

fn config(window: usize) -> FitConfig {
    FitConfig { window, ..FitConfig::default() }
}

fn fit(columns: &Columns, window: usize) -> Model {
    let series = Series::whole(columns);
    fit_scorer(&series, &config(window), &evidence(), &RunToEnd).unwrap()
}

fn scores(model: &Model, columns: &Columns) -> Vec<f32> {
    let scores = model.score(&Series::whole(columns), &RunToEnd).unwrap();
    scores.into_iter().map(|score| score.expect("every row has a score")).collect()
}

/// Scores that rank rows, and scores that labels follow.
fn all_scores(model: &Model, columns: &Columns) -> RowScores {
    let series = Series::whole(columns);
    let (alarm, score) = (AlarmConfig::default(), ScoreConfig::default());
    model.alarms(&series, Threshold::Auto, &alarm, &score, &RunToEnd).unwrap().scores
}

/// Sine with noise.
fn wave(rows: usize, seed: u64) -> Vec<f64> {
    let noise = rng(seed).normals(rows);
    let value = |(t, e): (usize, &f32)| (t as f64 / 5.0).sin() + 0.1 * f64::from(*e);
    noise.iter().enumerate().map(value).collect()
}

fn columns_of(tensor: &Tensor) -> Columns {
    let columns: Vec<Vec<f64>> =
        tensor.t().unwrap().to_dtype(DType::F64).unwrap().to_vec2().unwrap();
    let named = columns.into_iter().enumerate();
    let field = |(i, v): (usize, Vec<f64>)| column(&format!("x{i}"), v.into_iter().map(Some));
    Columns::new(named.map(field).collect()).unwrap()
}

#[test]
fn scores_are_those_of_the_twin() {
    for name in ["evidence", "evidence_many"] {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let path = folder.join(format!("{name}.safetensors"));
        let tensors = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
        let model = fit(&columns_of(&tensors["train"]), 100);
        let test = columns_of(&tensors["test"]);
        let found = all_scores(&model, &test);
        assert_eq!(found.ranking(), model.score(&Series::whole(&test), &RunToEnd).unwrap());
        for (which, found) in [("own", found.own()), ("ranking", found.ranking())] {
            let expected: Vec<f32> = tensors[which].to_vec1().unwrap();
            let largest = expected.iter().fold(0f32, |most, x| most.max(*x));
            for (t, (a, b)) in found.iter().zip(&expected).enumerate() {
                let a = a.expect("every row has a score");
                assert!((a - b).abs() <= 2e-3 * largest, "{name} {which}, row {t}: {a} is not {b}");
            }
        }
    }
}

#[test]
fn a_model_scores_the_same_after_a_round_trip() {
    let b: Vec<f64> = wave(900, 5).iter().map(|x| 1e6 + 3.0 * x).collect();
    let train = frame(&[("a", &wave(900, 1)), ("b", &b)]);
    let model = fit(&train, 100);
    let bytes = model.to_bytes().unwrap();
    let again = Model::from_bytes(&bytes).unwrap();
    assert_eq!(again.detector(), DetectorKind::Evidence);
    assert_eq!(scores(&model, &train), scores(&again, &train));
    assert_eq!(again.to_bytes().unwrap(), bytes);
    assert!(bytes.len() < 1 << 20, "{} bytes", bytes.len());
}

#[test]
fn threads_change_nothing() {
    let train = frame(&[("a", &wave(1500, 1)), ("b", &wave(1500, 2))]);
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let model = fit(&train, 100);
            (model.to_bytes().unwrap(), scores(&model, &train))
        })
    };
    assert_eq!(with(1), with(3));
}

/// A level shift, and another shape of the same level and size.
#[test]
fn shifts_and_shapes_are_found() {
    let model = fit(&frame(&[("x", &wave(2000, 1))]), 200);
    let shifted = |t: usize, x: f64| if (1000..1060).contains(&t) { x + 1.0 } else { x };
    let faster = |t: usize, x: f64| match (1000..1100).contains(&t) {
        true => (t as f64 / 2.0).sin() + x - (t as f64 / 5.0).sin(),
        false => x,
    };
    for (change, rows) in
        [(&shifted as &dyn Fn(usize, f64) -> f64, 1000..1060), (&faster, 1000..1100)]
    {
        let values: Vec<f64> =
            wave(2000, 2).into_iter().enumerate().map(|(t, x)| change(t, x)).collect();
        let found = scores(&model, &frame(&[("x", &values)]));
        let least = rows.clone().map(|t| found[t]).fold(f32::MAX, f32::min);
        let mut outside: Vec<f32> =
            (0..2000).filter(|t| !rows.contains(t)).map(|t| found[t]).collect();
        outside.sort_by(f32::total_cmp);
        assert!(least > outside[1000], "{least} is not above {}", outside[1000]);
    }
}

/// Every row of a level shift scores above all rows beside it, and well above for labels, though windows that hold the shift
/// reach over 200 rows further: without its shares (`evidence/share.rs`) both are as high.
#[test]
fn scores_do_not_climb_before_a_shift() {
    let model = fit(&frame(&[("x", &wave(2000, 1))]), 200);
    for size in [1.0, 3.0] {
        let mut values = wave(2000, 2);
        values[1000..1030].iter_mut().for_each(|x| *x += size);
        let found = all_scores(&model, &frame(&[("x", &values)]));
        for (found, share) in [(found.own(), 0.92), (found.ranking(), 0.97)] {
            let found: Vec<f32> = found.iter().flatten().copied().collect();
            let least = found[1000..1030].iter().fold(f32::MAX, |least, x| least.min(*x));
            let beside = found[..1000].iter().chain(&found[1030..]);
            let most = beside.fold(0f32, |most, x| most.max(*x));
            assert!(most < share * least, "size {size}: {most} beside it, {least} in it");
        }
    }
}

#[test]
fn labels_are_quiet_on_normal_rows() {
    let model = fit(&frame(&[("x", &wave(3000, 1))]), 200);
    let fresh = frame(&[("x", &wave(6000, 2))]);
    let labels = model.label(&Series::whole(&fresh), Threshold::Auto, &RunToEnd).unwrap();
    let flagged = labels.iter().filter(|label| **label == Some(true)).count();
    assert!(flagged <= 6, "{flagged} of 6000 normal rows are flagged");
}

/// Rows far from both ends have the same score in any slice, by the clock and by content.
#[test]
fn slices_change_nothing() {
    let values = wave(1200, 3);
    let model = fit(&frame(&[("x", &values)]), 100);
    let score = |from: usize, to: usize, clock: bool| {
        let columns = frame(&[("x", &values[from..to])]);
        let times: Vec<i64> = (from as i64..to as i64).collect();
        let positions = Positions::of_times(clock.then_some(&times));
        let series = Series::whole(&columns).with_positions(positions);
        model.score(&series, &RunToEnd).unwrap()
    };
    for clock in [true, false] {
        let (all, part) = (score(0, 1200, clock), score(133, 1101, clock));
        assert_eq!(all[500..700], part[500 - 133..700 - 133]);
        assert!(all[500..700].iter().any(|score| *score > Some(0.0)));
    }
}

/// A level shift, another tempo, a constant stretch: long and short.
fn with_anomalies(mut values: Vec<f64>) -> (Vec<f64>, Vec<bool>) {
    let hit = [400..460, 1000..1100, 1500..1550];
    for t in hit[0].clone() {
        values[t] += 1.0;
    }
    for t in hit[1].clone() {
        values[t] += (t as f64 / 2.0).sin() - (t as f64 / 5.0).sin();
    }
    for t in hit[2].clone() {
        values[t] = 0.3;
    }
    let is_hit = (0..values.len()).map(|t| hit.iter().any(|rows| rows.contains(&t)));
    let is_hit = is_hit.collect();
    (values, is_hit)
}

/// Share of the pairs of an anomalous row and a normal one in which the anomalous one scores higher.
fn auc_roc(scores: &[f32], hit: &[bool]) -> f64 {
    let of = |which: bool| {
        let chosen = scores.iter().zip(hit).filter(move |(_, hit)| **hit == which);
        chosen.map(|(score, _)| *score).collect::<Vec<f32>>()
    };
    let (anomalous, normal) = (of(true), of(false));
    let above = |score: &f32| normal.iter().filter(|x| *x < score).count() as f64;
    anomalous.iter().map(above).sum::<f64>() / (anomalous.len() * normal.len()) as f64
}

#[test]
fn anomalies_among_the_training_rows_are_found() {
    let (values, hit) = with_anomalies(wave(2000, 1));
    let frame = frame(&[("x", &values)]);
    let model = fit(&frame, 100);
    let found = auc_roc(&scores(&model, &frame), &hit);
    assert!(found > 0.95, "fitted and scored: {found}");
    // A slice knows its rows as well, and so does a model that was read.
    let slice = crate::common::frame(&[("x", &values[300..1200])]);
    let again = Model::from_bytes(&model.to_bytes().unwrap()).unwrap();
    let found = auc_roc(&scores(&again, &slice), &hit[300..1200]);
    assert!(found > 0.95, "a slice: {found}");
}

/// The rows beside known anomalies, which were left out of the fit, are no better for it.
#[test]
fn rows_beside_known_anomalies_score_like_others() {
    let (values, hit) = with_anomalies(wave(2000, 1));
    let columns = frame(&[("x", &values)]);
    let labels = BooleanArray::from(hit.clone());
    let labelled = Series::whole(&columns).with_labels(&labels);
    let model = fit_scorer(&labelled, &config(100), &evidence(), &RunToEnd).unwrap();
    let scores = scores(&model, &columns);
    let found = auc_roc(&scores, &hit);
    assert!(found > 0.97, "{found}");
    assert!((200..300).any(|t| scores[t] > 0.0));
}

#[test]
fn own_rows_score_like_new_ones() {
    let mut quantiles = [[0.0; 3]; 3];
    for seed in 0..4 {
        let columns = frame(&[("x", &wave(4000, seed))]);
        let model = fit(&columns, 100);
        let new = frame(&[("x", &wave(4000, seed + 100))]);
        let calibration = model.calibration(None).unwrap();
        for (i, q) in [0.5, 0.9, 0.99].into_iter().enumerate() {
            let of = |columns: &Columns| {
                let mut scores = scores(&model, columns);
                scores.sort_by(f32::total_cmp);
                f64::from(scores[(q * 3999.0) as usize]) / 4.0
            };
            quantiles[0][i] += of(&columns);
            quantiles[1][i] += of(&new);
            quantiles[2][i] += calibration.threshold(Threshold::Quantile(q)) / 4.0;
        }
    }
    // Held-out distances are those to some of the references, and count as if to all.
    let [own, new, held_out] = quantiles;
    let near = |of: [f64; 3]| of.iter().zip(new).all(|(x, y)| (x - y).abs() <= 0.05 + 0.05 * y);
    assert!(near(own) && near(held_out), "own {own:?}, new {new:?}, held out {held_out:?}");
}

/// Where the same values stand at several places, one place speaks for the other.
#[test]
fn what_recurs_is_usual() {
    let odd = |t: usize| (500..560).contains(&t);
    let once: Vec<f64> =
        wave(2000, 1).iter().enumerate().map(|(t, x)| x + f64::from(u8::from(odd(t)))).collect();
    let mut twice = once.clone();
    twice.copy_within(300..800, 1300);
    let inside = |values: &[f64]| {
        let columns = frame(&[("x", values)]);
        scores(&fit(&columns, 100), &columns)[500..560].to_vec()
    };
    let found = inside(&twice);
    assert!(found.iter().all(|score| *score < 0.01), "{found:?}");
    assert!(inside(&once).iter().all(|score| *score > 0.5));
}

#[test]
fn missing_values_have_no_score_and_their_neighbours_do() {
    let values = wave(1200, 4);
    let train = frame(&[("x", &values)]);
    let model = fit(&train, 100);
    let some = |t: usize| !(300..303).contains(&t);
    let holed = (0..1200).map(|t| some(t).then_some(values[t]));
    let columns = Columns::new(vec![column("x", holed)]).unwrap();
    let found = model.score(&Series::whole(&columns), &RunToEnd).unwrap();
    assert!((0..1200).all(|t| found[t].is_some() == some(t)));
}

#[test]
fn a_model_that_only_scores_says_so() {
    let train = frame(&[("x", &wave(600, 1))]);
    let model = fit(&train, 50);
    let series = Series::whole(&train);
    let error = model.generate(&series, &GenerateConfig::default(), &RunToEnd).unwrap_err();
    assert!(error.to_string().contains("fitted to score only"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the values: a finite score >= 0 for every row of a series of a window or more.
    #[test]
    fn every_row_has_a_score(
        rows in 8usize..120,
        window in 8usize..60,
        scale in prop::sample::select(vec![1e-300, 1e-9, 1.0, 1e30, 1e300]),
        kinds in prop::collection::vec(0usize..4, 1..4),
        seed in 0u64..100,
    ) {
        let rows = rows.max(window);
        let noise = wave(rows, seed);
        let feature = |kind: &usize| -> Vec<f64> {
            let value = |t: usize| match kind {
                0 => scale * noise[t],
                1 => f64::from(u8::from(noise[t] > 0.0)),
                2 => scale,
                _ => f64::from(f32::MAX) * noise[t].signum(),
            };
            (0..rows).map(value).collect()
        };
        let features: Vec<Vec<f64>> = kinds.iter().map(feature).collect();
        let named = features.iter().enumerate();
        let field = |(i, v): (usize, &Vec<f64>)| {
            column(&format!("x{i}"), v.iter().copied().map(Some))
        };
        let columns = Columns::new(named.map(field).collect()).unwrap();
        let model = fit(&columns, window);
        let found = scores(&model, &columns);
        prop_assert!(found.iter().all(|score| score.is_finite() && *score >= 0.0));
        let bytes = model.to_bytes().unwrap();
        prop_assert_eq!(found, scores(&Model::from_bytes(&bytes).unwrap(), &columns));
    }

    /// Changed bytes are an error, or say the same in other digits.
    #[test]
    fn hostile_bytes_are_refused(at in 0.0f64..1.0, bit in 0u8..8) {
        let columns = frame(&[("x", &wave(60, 1))]);
        let bytes = fit(&columns, 16).to_bytes().unwrap();
        let mut changed = bytes.clone();
        changed[(at * bytes.len() as f64) as usize] ^= 1 << bit;
        if let Ok(model) = Model::from_bytes(&changed) {
            prop_assert_eq!(model.to_bytes().unwrap(), bytes);
        }
    }
}
