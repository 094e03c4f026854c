//! Classical anomalies put into series.

use std::collections::BTreeMap;

use crate::common::{OneThread, column, frame, in_pool, picked, wave, waves};
use arrow::array::{Array, AsArray, BooleanArray};
use arrow::datatypes::Float64Type;
use genias::anomaly::{Anomaly, Synthetic};
use genias::config::{NamedKind, Names, OneOrRange, Way};
use genias::inject::{InjectConfig, Kind, Kinds, ground, inject, inject_at, share_out};
use genias::{Columns, Error, RunToEnd, Series};
use proptest::prelude::*;

const RUN: &RunToEnd = &RunToEnd;

fn of(kinds: &[Kind]) -> InjectConfig {
    InjectConfig { kind: Kinds::from(kinds), ..InjectConfig::default() }
}

/// Those that every feature can show.
const KINDS: &[Kind] = &{
    let mut kinds = [Kind::Global; Kind::ALL.len() - 1];
    let (mut from, mut to) = (0, 0);
    while from < Kind::ALL.len() {
        if !matches!(Kind::ALL[from], Kind::Reset) {
            kinds[to] = Kind::ALL[from];
            to += 1;
        }
        from += 1;
    }
    kinds
};

fn values(series: &Series<'_>, d: usize, rows: std::ops::Range<usize>) -> Vec<f64> {
    rows.map(|t| series.value(d, t).unwrap()).collect()
}

/// Mean and standard deviation.
fn moments(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / values.len() as f64;
    (mean, variance.sqrt())
}

#[test]
fn amounts_are_in_deviations_of_the_series_itself() {
    let columns = waves(2000);
    let series = Series::whole(&columns);
    for kind in [Kind::Mean, Kind::Trend, Kind::Variance, Kind::Global] {
        let strength = Some(OneOrRange::One(2.0));
        let config = InjectConfig { strength, count: Some(10), ..of(&[kind]) };
        for Anomaly { rows, values: hit, .. } in inject(&series, &config, RUN).unwrap() {
            for (d, after) in hit {
                let (_, std) = moments(&values(&series, d, 0..2000));
                let before = values(&series, d, rows.clone());
                let squares = after.iter().zip(before).map(|(a, b)| (a - b).powi(2));
                let rms = (squares.sum::<f64>() / rows.len() as f64).sqrt();
                assert!((rms / std - 2.0).abs() < 1e-9, "{kind:?} {rms} {std}");
            }
        }
    }
}

#[test]
fn platforms_are_flat_to_the_last_bit() {
    let columns = waves(2000);
    let found = inject(&Series::whole(&columns), &of(&[Kind::Platform]), RUN).unwrap();
    for (_, values) in found.iter().flat_map(|anomaly| &anomaly.values) {
        assert!(values.iter().all(|value| value == &values[0]));
    }
}

#[test]
fn mirrored_features_change_the_sign_of_their_correlation() {
    let a = wave(2000, 1);
    let b: Vec<f64> = a.iter().zip(wave(2000, 2)).map(|(a, b)| 3.0 + 2.0 * a + 0.2 * b).collect();
    let columns = frame(&[("a", &a), ("b", &b)]);
    let series = Series::whole(&columns);
    let correlation = |a: &[f64], b: &[f64]| {
        let ((ma, sa), (mb, sb)) = (moments(a), moments(b));
        a.iter().zip(b).map(|(a, b)| (a - ma) * (b - mb)).sum::<f64>() / (a.len() as f64 * sa * sb)
    };
    let found = inject(&series, &of(&[Kind::ModeCorrelation]), RUN).unwrap();
    for Anomaly { rows, values: hit, .. } in &found {
        let [(d, after)] = hit.as_slice() else { panic!("one of two features is hit") };
        let (before, other) =
            (values(&series, *d, rows.clone()), values(&series, 1 - d, rows.clone()));
        assert!((correlation(after, &other) + correlation(&before, &other)).abs() < 1e-9);
    }
    let single = frame(&[("a", &a)]);
    let error = inject(&Series::whole(&single), &of(&[Kind::ModeCorrelation]), RUN).unwrap_err();
    assert!(error.to_string().contains("`kind` = mode-correlation"), "{error}");
}

#[test]
fn missing_stretches_are_null_and_nothing_else_changes() {
    let columns = waves(2000);
    let series = Series::whole(&columns);
    let found = inject(&series, &of(&[Kind::Missing]), RUN).unwrap();
    assert!(found.iter().all(|anomaly| anomaly.values.is_empty() && !anomaly.missing.is_empty()));
    let mut synthetic = Synthetic::new(&columns);
    synthetic.add(&series, &found);
    let out = synthetic.finish();
    for (d, (values, mask)) in out.values.iter().zip(&out.masks).enumerate() {
        let hit = |t: usize| found.iter().any(|of| of.missing.contains(&d) && of.rows.contains(&t));
        assert!((0..2000).all(|t| (values.is_null(t), mask.value(t)) == (hit(t), hit(t))));
    }
}

#[test]
fn every_kind_gets_its_share_of_the_count() {
    let columns = waves(20_000);
    let config = InjectConfig { count: Some(30), ..of(KINDS) };
    let found = inject(&Series::whole(&columns), &config, RUN).unwrap();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    found.iter().for_each(|anomaly| *counts.entry(anomaly.kind.name()).or_default() += 1);
    assert_eq!((found.len(), counts.len()), (30, KINDS.len()));
    assert!(counts.values().all(|n| (1..=2).contains(n)), "{counts:?}");
}

#[test]
fn kinds_are_called_as_the_user_does() {
    let columns = waves(2000);
    let kind = Kinds(vec![NamedKind { kind: Kind::Mean, name: "level-shift" }]);
    let config = InjectConfig { kind, ..InjectConfig::default() };
    let found = inject(&Series::whole(&columns), &config, RUN).unwrap();
    assert!(found.iter().all(|of| of.kind.name() == "level-shift"));
}

/// "30 level shifts of 2 deviations on weekday mornings over the whole fleet".
#[test]
fn as_many_as_asked_over_all_series_where_they_may_be() {
    let all: Vec<Columns> = (0..3).map(|i| waves(400 + 100 * i)).collect();
    let places: BooleanArray = (0..600).map(|t| Some(t % 100 < 40)).collect();
    let series: Vec<Series<'_>> =
        all.iter().map(|columns| Series::whole(columns).with_places(&places)).collect();
    let config = InjectConfig {
        total: Some(30),
        strength: Some(OneOrRange::One(2.0)),
        length: Some(OneOrRange::Range(5, 9)),
        ..of(&[Kind::Mean, Kind::Trend])
    };
    let grounds: Vec<_> = series.iter().map(|series| ground(series, &config).unwrap()).collect();
    let sites = share_out(&grounds, &config).unwrap();
    let injected = |(series, sites): (&Series<'_>, &Vec<_>)| {
        let found = inject_at(series, &config, sites, RUN).unwrap();
        for of in &found {
            assert!(of.rows.clone().all(|t| t % 100 < 40) && (of.strength - 2.0).abs() < 1e-6);
        }
        found
    };
    let found: Vec<Anomaly> = series.iter().zip(&sites).flat_map(injected).collect();
    let trends = found.iter().filter(|of| of.kind.name() == "trend").count();
    assert_eq!((found.len(), trends), (30, 15));
    assert!(sites.iter().all(|sites| !sites.is_empty()));
    let none = Series::whole(&all[0]).with_places(&BooleanArray::from(vec![false; 400]));
    let error = inject(&none, &config, RUN).unwrap_err();
    assert!(matches!(error, Error::DoesNotFit { fits: 0, .. }), "{error}");
}

/// Ten percent of 600 rows are 60 rows, however long one anomaly is to be.
#[test]
fn contamination_is_a_promise() {
    let columns = waves(600);
    for (length, expected) in [(200, 60), (25, 60), (7, 60), (57, 57)] {
        let length = Some(OneOrRange::One(length));
        let config = InjectConfig { contamination: Some(0.1), length, ..of(&[Kind::Mean]) };
        let found = inject(&Series::whole(&columns), &config, RUN).unwrap();
        assert_eq!(found.iter().map(|of| of.rows.len()).sum::<usize>(), expected);
    }
}

#[test]
fn sizes_are_in_the_unit_of_the_feature() {
    let columns = waves(2000);
    let series = Series::whole(&columns);
    let config = InjectConfig {
        size: Some(OneOrRange::One(20.0)),
        direction: Some(Way::Down),
        hit: Some(Names(vec!["b".into()])),
        count: Some(6),
        ..of(&[Kind::Mean])
    };
    for Anomaly { rows, values: hit, strength, asked, .. } in inject(&series, &config, RUN).unwrap()
    {
        let [(1, after)] = &hit[..] else { panic!("{hit:?}") };
        let before = values(&series, 1, rows);
        assert!(before.iter().zip(after).all(|(x, y)| (y - x + 20.0).abs() < 1e-9));
        assert!((strength - asked.unwrap()).abs() < 1e-6);
    }
}

#[test]
fn counters_start_again() {
    let counter: Vec<f64> = (0..600).map(|t| f64::from(999 + 3 * t)).collect();
    let columns = frame(&[("total", &counter), ("wave", &wave(600, 1))]);
    let config = InjectConfig { count: Some(4), ..of(&[Kind::Reset]) };
    for of in inject(&Series::whole(&columns), &config, RUN).unwrap() {
        let [(0, values)] = &of.values[..] else { panic!("{of:?}") };
        assert!(values.iter().zip(1..).all(|(x, n)| (x - 3.0 * f64::from(n)).abs() < 1e-6));
    }
    let error = inject(&Series::whole(&waves(600)), &config, RUN).unwrap_err().to_string();
    assert!(error.contains("no feature is a counter"), "{error}");
}

#[test]
fn fewer_than_asked_is_an_error() {
    let columns = waves(100);
    let series = Series::whole(&columns);
    for (count, length, text) in [
        (6, Some(20), "`count` = 6 needs 6 anomalies in a series of 100 rows, but only 4 fit"),
        (1, Some(101), "`count` = 1 needs 1 anomalies in a series of 100 rows, but only 0 fit"),
        (usize::MAX, None, "in a series of 100 rows, but only"),
    ] {
        let length = length.map(OneOrRange::One);
        let config = InjectConfig { count: Some(count), length, ..of(&[Kind::Mean]) };
        let error = inject(&series, &config, RUN).unwrap_err();
        assert!(matches!(error, Error::DoesNotFit { .. }));
        assert!(error.to_string().contains(text), "{error}");
    }
    let length = Some(OneOrRange::One(20));
    let config = InjectConfig { contamination: Some(1.0), length, ..of(&[Kind::Mean]) };
    let error = inject(&series, &config, RUN).unwrap_err().to_string();
    assert!(error.contains("lower `contamination` or `length`"), "{error}");
}

#[test]
fn series_without_a_clean_row_are_named_as_such() {
    let empty = frame(&[("a", &[])]);
    let error = inject(&Series::whole(&empty), &InjectConfig::default(), RUN).unwrap_err();
    assert!(error.is_unusable_series());
    let nulls = Columns::new(vec![column("a", [None, None])]).unwrap();
    let error = inject(&Series::whole(&nulls), &InjectConfig::default(), RUN).unwrap_err();
    assert!(error.is_unusable_series());
}

#[test]
fn constants_make_a_step_where_they_may_be_hit() {
    let columns = frame(&[("flag", &[1.0; 300]), ("wave", &wave(300, 1))]);
    let series = Series::whole(&columns);
    let hits = |config: &InjectConfig, d: usize| -> Vec<Vec<f64>> {
        let found = inject(&series, config, RUN).unwrap();
        let values = found.into_iter().flat_map(|anomaly| anomaly.values);
        values.filter(|(feature, _)| *feature == d).map(|(_, values)| values).collect()
    };
    let config = InjectConfig { count: Some(8), ..of(&[Kind::Trend, Kind::Seasonal]) };
    assert!(hits(&config, 0).is_empty());
    let steps = hits(&InjectConfig { hit_constant: true, ..config.clone() }, 0);
    assert!(!steps.is_empty() && steps.iter().flatten().all(|value| *value == 0.0));
    let alone = frame(&[("flag", &[1.0; 300])]);
    assert_eq!(inject(&Series::whole(&alone), &config, RUN).unwrap().len(), 8);
}

#[test]
fn extreme_values_stay_finite() {
    let huge: Vec<f64> = wave(400, 1).iter().map(|x| 1e308 * x).collect();
    let tiny: Vec<f64> = wave(400, 2).iter().map(|x| 1e-300 * x).collect();
    let columns = frame(&[("huge", &huge), ("tiny", &tiny)]);
    let strength = Some(OneOrRange::One(1e6));
    for config in [of(KINDS), InjectConfig { strength, ..of(KINDS) }] {
        let found = inject(&Series::whole(&columns), &config, RUN).unwrap();
        let mut values = found.iter().flat_map(|anomaly| &anomaly.values).flat_map(|hit| &hit.1);
        assert!(values.all(|value| value.is_finite()));
    }
}

#[test]
fn neither_threads_nor_places_of_rows_matter() {
    let columns = waves(3000);
    let series = Series::whole(&columns);
    let config = of(KINDS);
    let expected = inject(&series, &config, RUN).unwrap();
    assert_eq!(in_pool(1, || inject(&series, &config, &OneThread).unwrap()), expected);
    assert_eq!(in_pool(3, || inject(&series, &config, RUN).unwrap()), expected);
    let seeded = InjectConfig { seed: 1, ..config.clone() };
    assert_ne!(inject(&series, &seeded, RUN).unwrap(), expected);
    // The same rows, backwards in a frame.
    let backwards = |d: usize| values(&series, d, 0..3000).into_iter().rev().collect::<Vec<_>>();
    let reversed = frame(&[("a", &backwards(0)), ("b", &backwards(1))]);
    assert_eq!(inject(&picked(&reversed, (0..3000).rev()), &config, RUN).unwrap(), expected);
}

/// Default lengths adapt to the runs that nulls leave, not only to the longest of them.
#[test]
fn as_many_as_asked_fit_where_nulls_leave_short_runs() {
    let nulls = [40, 80, 120, 160, 200, 240, 280, 320, 360];
    let rows = wave(600, 1).into_iter().enumerate();
    let rows = rows.map(|(t, x)| (!nulls.contains(&t)).then_some(x));
    let columns = Columns::new(vec![column("a", rows), column("b", [Some(0.0); 600])]).unwrap();
    let series = Series::whole(&columns);
    for seed in 0..40 {
        for count in 1..14 {
            let config = InjectConfig { count: Some(count), seed, ..of(KINDS) };
            assert_eq!(inject(&series, &config, RUN).unwrap().len(), count);
        }
    }
    let config = InjectConfig { count: Some(400), ..of(&Kind::CARLA) };
    assert!(matches!(inject(&series, &config, RUN), Err(Error::DoesNotFit { asked: 400, .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Labels are where rows changed, rows apart, nulls, gaps and known anomalies untouched.
    #[test]
    fn labels_say_what_changed(
        seed in 0u64..1_000_000,
        nulls in prop::collection::btree_set(0usize..600, 0..8),
        known in 0usize..560,
        gap in 1usize..600,
        count in 1usize..9,
        kinds in prop::sample::subsequence(KINDS.to_vec(), 1..6),
    ) {
        let holes = wave(600, seed).into_iter().enumerate();
        let holes: Vec<_> = holes.map(|(t, x)| (!nulls.contains(&t)).then_some(x)).collect();
        let other = wave(600, seed + 1);
        let columns = Columns::new(vec![
            column("a", holes),
            column("b", other.into_iter().map(Some)),
        ]).unwrap();
        let labels: BooleanArray = (0..600).map(|t| Some((known..known + 40).contains(&t))).collect();
        let series = Series::whole(&columns).with_labels(&labels).with_gaps(vec![gap]);
        let config = InjectConfig { count: Some(count), seed, ..of(&kinds) };
        let found = inject(&series, &config, RUN).unwrap();
        prop_assert_eq!(found.len(), count);
        for pair in found.windows(2) {
            let (end, start) = (pair[0].rows.end, pair[1].rows.start);
            prop_assert!(end < start || (end == start && end == gap), "{} {}", end, start);
        }
        let mut synthetic = Synthetic::new(&columns);
        synthetic.add(&series, &found);
        let (kind, out) = (synthetic.anomaly_kind(), synthetic.finish());
        for (number, anomaly) in found.iter().enumerate() {
            prop_assert!(anomaly.rows.clone().all(|t| series.is_clean(t)));
            prop_assert!(!(anomaly.rows.start < gap && gap < anomaly.rows.end));
            for t in anomaly.rows.clone() {
                prop_assert_eq!(out.anomaly_id.value(t), number as u32 + 1);
                prop_assert_eq!(kind.value(t), anomaly.kind.name());
            }
        }
        let hit: usize = found.iter().map(|anomaly| anomaly.rows.len()).sum();
        prop_assert_eq!(out.is_anomaly.true_count(), hit);
        prop_assert_eq!(kind.len() - kind.null_count(), hit);
        for d in 0..2 {
            let (after, mask) = (out.values[d].as_primitive::<Float64Type>(), &out.masks[d]);
            let mut inert = 0;
            for t in 0..600 {
                let before = columns.value(d, t);
                let same = before == after.is_valid(t).then(|| after.value(t));
                prop_assert!(same || mask.value(t));
                inert += usize::from(same && mask.value(t));
            }
            // Where a tempo or a flat line meets the value that was there.
            prop_assert!(inert * 10 <= mask.true_count(), "{} of {}", inert, mask.true_count());
        }
    }
}
