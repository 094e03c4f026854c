//! Metrics against scikit-learn and TSB-AD (see `golden/README.md`), against their definitions
//! computed row by row, and at their edges.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::common::{column, flat, in_pool, rng};
use arrow::array::{ArrayRef, BooleanArray, FixedSizeListArray, Float32Array, Int8Array};
use arrow::datatypes::Float32Type;
use candle_core::{Device, Tensor};
use genias::metrics::affiliation::affiliation;
use genias::metrics::generation::{Embedded, arp, edi};
use genias::metrics::range::{Counts, event_f1, point_adjusted_f1, range_f1, runs};
use genias::metrics::ranking::{auc_pr, auc_roc, best_f1};
use genias::metrics::vus::{THRESHOLDS, Volumes, vus};
use genias::metrics::{Metric, MetricOptions, Scored};
use proptest::prelude::*;
use safetensors::SafeTensors;
use serde_json::Value;

const TOLERANCE: f64 = 1e-6;

/// One series of the fixture, with the values of its metrics by name.
struct Case {
    scores: Vec<f64>,
    labels: Vec<bool>,
    predicted: Vec<bool>,
    buffer: usize,
    expected: HashMap<String, Option<f64>>,
}

fn tensors() -> (HashMap<String, Tensor>, Vec<String>) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/metrics.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let config: Value =
        serde_json::from_str(&header.metadata().as_ref().unwrap()["config"]).unwrap();
    let names = serde_json::from_value(config["names"].clone()).unwrap();
    (candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).unwrap(), names)
}

fn flags(values: &[f64]) -> Vec<bool> {
    values.iter().map(|value| *value == 1.0).collect()
}

fn defined(value: f64) -> Option<f64> {
    (!value.is_nan()).then_some(value)
}

fn cases() -> Vec<Case> {
    let (tensors, names) = tensors();
    let all = |name: &str| flat(&tensors[name]);
    let (scores, labels, predicted) = (all("scores"), all("labels"), all("predicted"));
    let mut start = 0;
    let rows = all("rows").into_iter().zip(all("buffers"));
    rows.zip(all("expected").chunks_exact(names.len()))
        .map(|((rows, buffer), expected)| {
            let range = start..start + rows as usize;
            start = range.end;
            Case {
                scores: scores[range.clone()].to_vec(),
                labels: flags(&labels[range.clone()]),
                predicted: flags(&predicted[range]),
                buffer: buffer as usize,
                expected: names.iter().cloned().zip(expected.iter().map(|x| defined(*x))).collect(),
            }
        })
        .collect()
}

fn assert_equal(name: &str, found: Option<f64>, expected: Option<f64>) {
    let same = match (found, expected) {
        (Some(a), Some(b)) => (a - b).abs() <= TOLERANCE,
        (None, None) => true,
        _ => false,
    };
    assert!(same, "{name}: {found:?}, expected {expected:?}");
}

fn scored(scores: &[f64], labels: &[bool]) -> Scored {
    let label: ArrayRef = Arc::new(BooleanArray::from(labels.to_vec()));
    Scored::new(column("s", scores.iter().copied().map(Some)), ("y".into(), label)).unwrap()
}

#[test]
fn metrics_equal_scikit_learn_and_tsb_ad() {
    let cases = cases();
    assert_eq!(cases.len(), 200);
    for (i, case) in cases.iter().enumerate() {
        let (scores, labels, predicted) = (&case.scores, &case.labels, &case.predicted);
        let counts = Counts::new(predicted, labels).unwrap();
        let zones = affiliation(predicted, labels).unwrap();
        let volumes = vus(scores, labels, case.buffer, THRESHOLDS).unwrap();
        let oracle = |metric: Metric| {
            metric.evaluate(&scored(scores, labels), &MetricOptions::default()).unwrap()
        };
        let found = [
            ("auc_roc", auc_roc(scores, labels).unwrap()),
            ("auc_pr", auc_pr(scores, labels).unwrap()),
            ("best_f1", best_f1(scores, labels).unwrap()),
            ("precision", counts.precision()),
            ("recall", counts.recall()),
            ("f1", counts.f1()),
            ("point_adjusted_f1", point_adjusted_f1(predicted, labels).unwrap()),
            ("event_f1", event_f1(predicted, labels).unwrap()),
            ("range_f1", range_f1(predicted, labels, 0.2).unwrap()),
            ("affiliation_precision", zones.and_then(|zones| zones.precision)),
            ("affiliation_recall", zones.map(|zones| zones.recall)),
            ("affiliation_f1", zones.map(|zones| zones.f1())),
            ("oracle_point_adjusted_f1", oracle(Metric::PointAdjustedF1)),
            ("oracle_event_f1", oracle(Metric::EventF1)),
            ("oracle_range_f1", oracle(Metric::RangeF1)),
            ("oracle_affiliation_f1", oracle(Metric::AffiliationF1)),
            ("vus_roc", volumes.and_then(|volumes| volumes.roc)),
            ("vus_pr", volumes.map(|volumes| volumes.pr)),
        ];
        assert_eq!(found.len(), case.expected.len());
        for (name, found) in found {
            assert_equal(&format!("case {i}, {name}"), found, case.expected[name]);
        }
    }
}

#[test]
fn proximity_and_diversity_equal_scipy_and_scikit_learn() {
    let (tensors, _) = tensors();
    let dims = tensors["embeddings"].dims().to_vec();
    let (rows, width) = (dims[1], dims[2]);
    let values = tensors["embeddings"].flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let sets = ["real", "generated"].map(|name| flags(&flat(&tensors[name])));
    let expected = flat(&tensors["diversity"]);
    for case in 0..dims[0] {
        let embeddings = &values[case * rows * width..(case + 1) * rows * width];
        let [real, generated] =
            sets.each_ref().map(|set| set[case * rows..(case + 1) * rows].to_vec());
        let both = vec![real, generated.clone()];
        let both = Embedded::new(embeddings.to_vec(), width, both).unwrap();
        let one = Embedded::new(embeddings.to_vec(), width, vec![generated]).unwrap();
        assert_equal(&format!("arp {case}"), arp(&both), defined(expected[2 * case]));
        let found = edi(&one, 4, 0).unwrap();
        assert_equal(&format!("edi {case}"), found, defined(expected[2 * case + 1]));
        assert_eq!(in_pool(3, || edi(&one, 4, 0).unwrap()), found);
    }
}

/// The definition of the module, row by row and threshold by threshold.
fn slow_vus(scores: &[f64], labels: &[bool], buffer: usize, thresholds: usize) -> Volumes {
    let rows = scores.len();
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let step = (rows - 1) as f64 / (thresholds - 1) as f64;
    let positives = labels.iter().filter(|label| **label).count() as f64;
    let events = runs(labels.iter().copied());
    let (mut roc, mut pr) = (0.0, 0.0);
    for width in 0..=buffer {
        let half = width / 2;
        let mut soft = vec![0.0; rows];
        for event in &events {
            for (row, soft) in soft.iter_mut().enumerate() {
                let before = event.start.saturating_sub(row);
                let distance = before.max((row + 1).saturating_sub(event.end));
                if distance <= half {
                    *soft += (1.0 - distance as f64 / width.max(1) as f64).sqrt();
                }
            }
        }
        soft.iter_mut().for_each(|label| *label = label.min(1.0));
        let segments = runs(soft.iter().map(|label| *label > 0.0));
        // Buffers that only touch stay apart.
        let segments: Vec<_> = segments
            .into_iter()
            .flat_map(|segment| {
                let inside: Vec<_> =
                    events.iter().filter(|event| segment.contains(&event.start)).cloned().collect();
                let mut cuts = vec![segment.start];
                for pair in inside.windows(2) {
                    if pair[1].start - pair[0].end >= 2 * half {
                        cuts.push(pair[0].end + half);
                    }
                }
                cuts.push(segment.end);
                cuts.windows(2).map(|cut| cut[0]..cut[1]).collect::<Vec<_>>()
            })
            .collect();
        let mut last = (0.0, 0.0);
        for j in 0..thresholds {
            let rank = if j + 1 == thresholds { rows - 1 } else { (j as f64 * step) as usize };
            let predicted: Vec<bool> = scores.iter().map(|score| *score >= sorted[rank]).collect();
            let count = predicted.iter().filter(|flag| **flag).count() as f64;
            let sum: f64 = (0..rows).filter(|row| predicted[*row]).map(|row| soft[row]).sum();
            let hits = (0..rows).filter(|row| predicted[*row] && labels[*row]).count() as f64;
            let weight = positives + (sum - hits) / 2.0;
            let found =
                segments.iter().filter(|segment| predicted[(*segment).clone()].contains(&true));
            let existence = found.count() as f64 / segments.len() as f64;
            let tpr = (sum / weight).min(1.0) * existence;
            let fpr = (count - sum) / (rows as f64 - weight);
            roc += (fpr - last.0) * (tpr + last.1) / 2.0;
            pr += (tpr - last.1) * sum / count;
            last = (fpr, tpr);
        }
        roc += (1.0 - last.0) * (1.0 + last.1) / 2.0;
    }
    let buffers = (buffer + 1) as f64;
    Volumes { roc: labels.contains(&false).then_some(roc / buffers), pr: pr / buffers }
}

fn series() -> impl Strategy<Value = (Vec<f64>, Vec<bool>)> {
    // Scores on a grid, so that there are ties; labels that stay for a while.
    let row = (-4i32..5, 0u8..10);
    prop::collection::vec(row, 1..80).prop_map(|rows| {
        let mut label = false;
        rows.into_iter()
            .map(|(score, turn)| {
                label ^= turn == 0 || (label && turn < 4);
                (f64::from(score), label)
            })
            .unzip()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn volumes_equal_their_definition(
        (scores, labels) in series(), buffer in 0usize..30, thresholds in 2usize..20,
    ) {
        let found = vus(&scores, &labels, buffer, thresholds).unwrap();
        if labels.contains(&true) {
            let (found, slow) = (found.unwrap(), slow_vus(&scores, &labels, buffer, thresholds));
            prop_assert!((found.pr - slow.pr).abs() < 1e-9, "{found:?} {slow:?}");
            prop_assert_eq!(found.roc.is_some(), slow.roc.is_some());
            prop_assert!((found.roc.unwrap_or(0.0) - slow.roc.unwrap_or(0.0)).abs() < 1e-9);
        } else {
            prop_assert_eq!(found, None);
        }
    }

    #[test]
    fn every_metric_is_in_its_range((scores, labels) in series()) {
        let rows = scored(&scores, &labels);
        for metric in METRICS {
            let options = MetricOptions { buffer: 10, threshold: Some(1.0), ..Default::default() };
            if let Some(value) = metric.evaluate(&rows, &options).unwrap() {
                prop_assert!((0.0..=1.0 + 1e-12).contains(&value), "{metric:?} {value}");
            }
        }
    }

    #[test]
    fn rankings_follow_from_order_alone((scores, labels) in series()) {
        let warped: Vec<f64> = scores.iter().map(|score| (score / 3.0).exp()).collect();
        for metric in [auc_roc, auc_pr, best_f1] {
            prop_assert_eq!(metric(&scores, &labels).unwrap(), metric(&warped, &labels).unwrap());
        }
        let turned: Vec<f64> = scores.iter().map(|score| -score).collect();
        if let Some(area) = auc_roc(&scores, &labels).unwrap() {
            let other = auc_roc(&turned, &labels).unwrap().unwrap();
            prop_assert!((area + other - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn affiliation_reads_the_same_backwards((_, labels) in series(), seed in 0u64..1000) {
        let mut rng = rng(seed);
        let predicted: Vec<bool> = labels.iter().map(|_| rng.uniform() < 0.2).collect();
        let backwards = |flags: &[bool]| flags.iter().rev().copied().collect::<Vec<_>>();
        let one = affiliation(&predicted, &labels).unwrap();
        let two = affiliation(&backwards(&predicted), &backwards(&labels)).unwrap();
        prop_assert_eq!(one.is_some(), two.is_some());
        if let (Some(one), Some(two)) = (one, two) {
            prop_assert!((one.recall - two.recall).abs() < 1e-9);
            let precision = [one, two].map(|zones| zones.precision.unwrap_or(-1.0));
            prop_assert!((precision[0] - precision[1]).abs() < 1e-9);
        }
    }
}

const METRICS: [Metric; 14] = [
    Metric::AucRoc,
    Metric::AucPr,
    Metric::BestF1,
    Metric::F1,
    Metric::Precision,
    Metric::Recall,
    Metric::PointAdjustedF1,
    Metric::EventF1,
    Metric::RangeF1,
    Metric::AffiliationPrecision,
    Metric::AffiliationRecall,
    Metric::AffiliationF1,
    Metric::VusRoc,
    Metric::VusPr,
];

#[test]
fn edges_are_defined() {
    let evaluate = |predicted: &[bool], labels: &[bool]| {
        let predicted: ArrayRef = Arc::new(BooleanArray::from(predicted.to_vec()));
        let label: ArrayRef = Arc::new(BooleanArray::from(labels.to_vec()));
        let rows = Scored::new(("p".into(), predicted), ("y".into(), label)).unwrap();
        METRICS.map(|metric| metric.evaluate(&rows, &MetricOptions::default()).unwrap())
    };
    let (none, zero, one) = (None, Some(0.0), Some(1.0));
    assert_eq!(evaluate(&[], &[]), [none; 14]);
    // No anomalous row: undefined, but that some are predicted is a fault.
    assert_eq!(evaluate(&[false; 3], &[false; 3]), [none; 14]);
    let mut faulty = [none; 14];
    faulty[3] = zero;
    faulty[4] = zero;
    assert_eq!(evaluate(&[true; 3], &[false; 3]), faulty);
    // Nothing but anomalous rows: a ROC curve has no second axis.
    let mut perfect = [one; 14];
    perfect[0] = none;
    perfect[12] = none;
    assert_eq!(evaluate(&[true; 3], &[true; 3]), perfect);
    // Nothing predicted: no precision, and 0 for what depends on it.
    let silent = evaluate(&[false; 4], &[false, true, true, false]);
    assert_eq!(silent[3..12], [zero, none, zero, zero, zero, zero, none, zero, zero]);
    assert_eq!(silent[0], Some(0.5));
    assert_eq!(silent[1], Some(0.5));
}

#[test]
fn boolean_columns_are_predictions_and_thresholds_are_exclusive() {
    let labels = [false, true, true, false, false, true];
    let scores = [0.1, 0.7, 0.2, 0.5, 0.3, 0.9];
    let rows = scored(&scores, &labels);
    let at = |threshold| MetricOptions { threshold: Some(threshold), ..Default::default() };
    assert_eq!(Metric::Precision.evaluate(&rows, &at(0.5)).unwrap(), Some(1.0));
    assert_eq!(Metric::Precision.evaluate(&rows, &at(0.49)).unwrap(), Some(2.0 / 3.0));
    let error = Metric::F1.evaluate(&rows, &MetricOptions::default()).unwrap_err().to_string();
    assert!(error.contains("column `s` holds scores"), "{error}");
    let predicted: ArrayRef = Arc::new(BooleanArray::from(vec![true; 6]));
    let label: ArrayRef = Arc::new(BooleanArray::from(labels.to_vec()));
    let all = Scored::new(("p".into(), predicted), ("y".into(), label)).unwrap();
    let found = Metric::PointAdjustedF1.evaluate(&all, &MetricOptions::default()).unwrap();
    assert_equal("f1 of everything", found, Some(2.0 * 3.0 / (2.0 * 3.0 + 3.0)));
}

#[test]
fn rows_without_score_or_label_are_left_out() {
    let scores = [Some(0.1), None, Some(0.9), Some(f64::NAN), Some(0.4), Some(0.6)];
    let label: ArrayRef =
        Arc::new(Int8Array::from(vec![Some(0), Some(1), Some(1), None, None, Some(0)]));
    let rows = Scored::new(column("s", scores), ("y".into(), label.clone())).unwrap();
    assert_eq!(rows.scores(), [0.1, 0.9, 0.6]);
    assert_eq!(rows.labels(), [false, true, false]);

    let fails = |score: (String, ArrayRef), label: ArrayRef| {
        Scored::new(score, ("y".into(), label)).unwrap_err().to_string()
    };
    let infinite = column("s", [Some(1.0), Some(f64::INFINITY)]);
    let two: ArrayRef = Arc::new(Int8Array::from(vec![0, 2]));
    assert!(fails(infinite, two.clone()).contains("`s` is infinite at row 1"));
    let error = fails(column("s", [Some(1.0), Some(2.0)]), two);
    assert!(error.contains("2 (column `y`, row 1)"), "{error}");
    assert!(fails(column("s", [Some(1.0)]), label).contains("`y` has 6 rows"));
}

#[test]
fn options_out_of_range_are_named() {
    let (scores, labels) = ([0.0, 1.0], [false, true]);
    let rows = scored(&scores, &labels);
    let fails = |metric: Metric, options: MetricOptions, name: &str| {
        let error = metric.evaluate(&rows, &options).unwrap_err().to_string();
        assert!(error.contains(&format!("parameter `{name}`")), "{error}");
    };
    let defaults = MetricOptions::default;
    fails(Metric::VusPr, MetricOptions { buffer: 10_001, ..defaults() }, "buffer");
    fails(Metric::VusRoc, MetricOptions { thresholds: Some(1), ..defaults() }, "thresholds");
    fails(Metric::VusPr, MetricOptions { thresholds: Some(1001), ..defaults() }, "thresholds");
    fails(Metric::RangeF1, MetricOptions { alpha: 1.5, ..defaults() }, "alpha");
    fails(Metric::F1, MetricOptions { threshold: Some(f64::NAN), ..defaults() }, "threshold");
    fails(Metric::EventF1, MetricOptions { thresholds: Some(1), ..defaults() }, "thresholds");
    assert!(auc_pr(&[f64::NAN, 1.0], &labels).unwrap_err().to_string().contains("NaN at row 0"));
    assert!(auc_pr(&[1.0], &labels).unwrap_err().to_string().contains("2 rows"));
    assert!(Counts::new(&[true], &labels).is_err());
}

#[test]
fn embeddings_are_read_from_arrow() {
    let rows = [Some([0.0, 0.0]), None, Some([3.0, 4.0]), Some([f32::NAN, 1.0]), Some([0.0, 1.0])];
    let list = FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(
        rows.map(|row| row.map(|row| row.map(Some))),
        2,
    );
    let set =
        |values: [Option<bool>; 5]| -> ArrayRef { Arc::new(BooleanArray::from(values.to_vec())) };
    let real = set([Some(true), Some(true), Some(false), Some(true), Some(false)]);
    let generated = set([Some(false), Some(true), Some(true), Some(true), None]);
    let sets = vec![("real".into(), real), ("generated".into(), generated.clone())];
    let array: ArrayRef = Arc::new(list);
    let read = Embedded::read(("e".into(), array.slice(0, 5)), sets).unwrap();
    assert_equal("arp", arp(&read), Some(1.0 / 6.0));
    let short: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
    let error = Embedded::read(("e".into(), array.clone()), vec![("g".into(), short)]).unwrap_err();
    assert!(error.to_string().contains("`g` has 1 rows"));
    let flat: ArrayRef = Arc::new(Float32Array::from(vec![0.0; 5]));
    let error = Embedded::read(("e".into(), flat), vec![("g".into(), generated)]).unwrap_err();
    assert!(error.to_string().contains("must be Array"), "{error}");
    // A slice begins at its own rows.
    let one = set([Some(true); 5]).slice(0, 2);
    let tail = Embedded::read(("e".into(), array.slice(2, 2)), vec![("g".into(), one)]).unwrap();
    assert_eq!(edi(&tail, 3, 0).unwrap(), Some(0.0));
}

#[test]
fn diversity_grows_with_the_regions_that_are_reached() {
    let values: Vec<f32> = (0..40).map(|i| (i % 8) as f32 * 100.0).collect();
    let reached = |most: usize| (0..40).map(|i| i % 8 < most).collect::<Vec<_>>();
    for most in 1..=8 {
        let rows = Embedded::new(values.clone(), 1, vec![reached(most)]).unwrap();
        assert_equal("edi", edi(&rows, 8, 3).unwrap(), Some((most as f64).ln()));
        // There are not more regions than distinct rows.
        assert_equal("edi", edi(&rows, 100, 3).unwrap(), Some((most as f64).ln()));
    }
    let rows = Embedded::new(values.clone(), 1, vec![vec![false; 40]]).unwrap();
    assert_eq!(edi(&rows, 8, 3).unwrap(), None);
    assert!(edi(&rows, 0, 3).is_err());
    assert!(Embedded::new(vec![f32::INFINITY], 1, vec![vec![true]]).is_err());
    assert!(Embedded::new(vec![], 0, vec![]).is_err());
}
