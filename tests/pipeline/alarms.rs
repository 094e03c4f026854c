//! Labels and alarms of a model: what they promise, and where they are.

use crate::common::{frame, rng};
use genias::alarm::Direction;
use genias::config::{Adapt, AlarmConfig};
use genias::detector::Labelled;
use genias::{
    Columns, DetectConfig, DetectorKind, Error, FitConfig, Model, RunToEnd, ScoreConfig, Series,
    Threshold, fit_scorer,
};

const RUN: &RunToEnd = &RunToEnd;
const WINDOW: usize = 64;

/// Sine with noise.
fn wave(rows: usize, seed: u64) -> Vec<f64> {
    let noise = rng(seed).normals(rows);
    let value = |(t, e): (usize, &f32)| (t as f64 / 8.0).sin() + 0.1 * f64::from(*e);
    noise.iter().enumerate().map(value).collect()
}

fn noise(rows: usize, seed: u64) -> Vec<f64> {
    rng(seed).normals(rows).into_iter().map(f64::from).collect()
}

fn fit(columns: &Columns) -> Model {
    let config = FitConfig { window: WINDOW, ..FitConfig::default() };
    let detect = DetectConfig { detector: DetectorKind::Evidence, ..DetectConfig::default() };
    fit_scorer(&Series::whole(columns), &config, &detect, RUN).unwrap()
}

fn find(model: &Model, columns: &Columns, alarm: &AlarmConfig) -> Labelled {
    let series = Series::whole(columns);
    model.alarms(&series, Threshold::Auto, alarm, &ScoreConfig::default(), RUN).unwrap()
}

fn flagged(found: &Labelled) -> usize {
    found.labels.iter().filter(|label| **label == Some(true)).count()
}

#[test]
fn normal_rows_are_seldom_in_alarms() {
    for (name, make) in [("wave", wave as fn(usize, u64) -> Vec<f64>), ("noise", noise)] {
        let rates = [0.01, 0.001].map(|rate| {
            let alarm = AlarmConfig { false_alarm_rate: Some(rate), ..AlarmConfig::default() };
            let shares = (0..6).map(|seed| {
                let model = fit(&frame(&[("a", &make(1500, seed))]));
                let new = frame(&[("a", &make(3000, 100 + seed))]);
                flagged(&find(&model, &new, &alarm)) as f64 / 3000.0
            });
            shares.sum::<f64>() / 6.0
        });
        assert!(rates[0] <= 0.02 && rates[1] <= 0.004, "{name}: {rates:?}");
    }
}

#[test]
fn an_alarm_is_as_long_as_what_it_reports() {
    let model = fit(&frame(&[("a", &wave(1500, 1)), ("b", &wave(1500, 2))]));
    for (start, length) in [(700, 1), (700, 12), (900, 40)] {
        let (a, mut b) = (wave(1500, 3), wave(1500, 4));
        b[start..start + length].iter_mut().for_each(|x| *x -= 4.0);
        let found = find(&model, &frame(&[("a", &a), ("b", &b)]), &AlarmConfig::default());
        let [alarm] = &found.alarms[..] else { panic!("{:?}", found.alarms) };
        assert!(alarm.rows.start.abs_diff(start) <= 2, "{:?}", alarm.rows);
        assert!(alarm.rows.end.abs_diff(start + length) <= 2, "{:?}", alarm.rows);
        assert!(alarm.rows.contains(&alarm.peak) && !alarm.open);
        assert!(alarm.p < 1e-6 && alarm.severity() > 0.5, "{}", alarm.p);
        assert_eq!((alarm.features[0].0, alarm.direction), (1, Some(Direction::Down)));
        assert!(alarm.features[0].1 > 0.9);
        // Expected is what would have been there, actual what is.
        let was = alarm.expected.as_ref().unwrap()[1];
        assert!((was - b[alarm.peak] - 4.0).abs() < 0.6, "{was} {}", b[alarm.peak]);
        assert!((alarm.change.unwrap() - 4.0).abs() < 1.0, "{:?}", alarm.change);
        let hit: Vec<usize> = (0..1500).filter(|t| found.labels[*t] == Some(true)).collect();
        assert_eq!(hit, alarm.rows.clone().collect::<Vec<_>>());
    }
}

#[test]
fn incidents_apart_are_alarms_of_their_own() {
    let model = fit(&frame(&[("a", &wave(1500, 1))]));
    let mut rows = wave(1500, 2);
    let incidents = [700..710, 755..768];
    incidents.iter().cloned().flatten().for_each(|t| rows[t] += 3.0);
    let found = find(&model, &frame(&[("a", &rows)]), &AlarmConfig::default());
    let alarms: Vec<_> = found.alarms.iter().map(|alarm| alarm.rows.clone()).collect();
    assert_eq!(alarms.len(), 2, "{alarms:?}");
    for (alarm, incident) in alarms.iter().zip(&incidents) {
        assert!(alarm.start.abs_diff(incident.start) <= 2, "{alarms:?}");
        assert!(alarm.end.abs_diff(incident.end) <= 2, "{alarms:?}");
    }
}

/// A level that moves for good: one alarm, then the new normal.
#[test]
fn a_change_that_stays_is_one_alarm() {
    let model = fit(&frame(&[("a", &wave(1500, 1))]));
    let mut moved = wave(4000, 2);
    moved[1000..].iter_mut().for_each(|x| *x += 3.0);
    let moved = frame(&[("a", &moved)]);
    let slow = find(&model, &moved, &AlarmConfig::default());
    assert_eq!(slow.alarms.len(), 1, "{:?}", slow.alarms);
    let rows = &slow.alarms[0].rows;
    assert!(rows.start.abs_diff(1000) <= 3, "{rows:?}");
    assert_eq!((rows.len(), flagged(&slow)), (WINDOW / 4, WINDOW / 4));
    let fast = AlarmConfig { adapt: Adapt::Fast, ..AlarmConfig::default() };
    let fast = flagged(&find(&model, &moved, &fast));
    assert!(fast <= 3 * WINDOW / 2, "{fast}");
    let off = AlarmConfig { adapt: Adapt::Off, ..AlarmConfig::default() };
    let off = find(&model, &moved, &off);
    assert!(flagged(&off) > 2800 && off.alarms.last().unwrap().open);
}

#[test]
fn the_next_day_goes_on_from_what_the_model_has_seen() {
    let model = fit(&frame(&[("a", &wave(1500, 1))]));
    let mut rows = wave(3000, 2);
    rows[500..].iter_mut().for_each(|x| *x += 3.0);
    let today = find(&model, &frame(&[("a", &rows[..1500])]), &AlarmConfig::default());
    let updated = model.with_reference(None, today.reference);
    let updated = Model::from_bytes(&updated.to_bytes().unwrap()).unwrap();
    let tomorrow = frame(&[("a", &rows[1500..])]);
    assert_eq!(flagged(&find(&updated, &tomorrow, &AlarmConfig::default())), 0);
    assert!(flagged(&find(&model, &tomorrow, &AlarmConfig::default())) >= WINDOW / 4);
}

/// Rows that the reference has followed are context: they have no label, and are not followed again. The last
/// rows of a day get their final label on the next day, when all windows that cover them are there.
#[test]
fn rows_that_were_labelled_are_context() {
    let model = fit(&frame(&[("a", &wave(1500, 1))]));
    let mut rows = wave(2000, 2);
    rows[1500..1510].iter_mut().for_each(|x| *x += 4.0);
    let columns = frame(&[("a", &rows)]);
    let of = |model: &Model, range: std::ops::Range<usize>| {
        let part = frame(&[("a", &rows[range.clone()])]);
        let times = Some(range.map(|t| t as i64).collect());
        let series = Series::whole(&part).with_times(times);
        let alarm = AlarmConfig::default();
        model.alarms(&series, Threshold::Auto, &alarm, &ScoreConfig::default(), RUN).unwrap()
    };
    let today = of(&model, 0..1000);
    let updated = model.with_reference(None, today.reference);
    let tomorrow = of(&updated, 400..2000);
    let followed = tomorrow.labels.iter().take_while(|label| label.is_none()).count();
    assert!((600 - 2 * WINDOW..600).contains(&followed), "{followed} of 600 rows");
    let whole = find(&model, &columns, &AlarmConfig::default());
    assert_eq!(tomorrow.labels[900..], whole.labels[1300..]);
    assert_eq!(tomorrow.alarms.len(), whole.alarms.len());
    // The same rows again: nothing new, and the same labels where they are not final.
    let again = of(&model.with_reference(None, tomorrow.reference.clone()), 400..2000);
    let followed = again.labels.iter().take_while(|label| label.is_none()).count();
    assert!((1600 - 2 * WINDOW..1600).contains(&followed), "{followed} of 1600 rows");
    assert_eq!(again.labels[followed..], tomorrow.labels[followed..]);
    assert!(again.alarms.is_empty());
    assert_eq!(again.reference, tomorrow.reference);
}

#[test]
fn small_changes_and_short_alarms_are_dropped_where_asked_for() {
    let model = fit(&frame(&[("a", &wave(1500, 1))]));
    let mut rows = wave(1500, 2);
    rows[600..605].iter_mut().for_each(|x| *x += 2.0);
    let rows = frame(&[("a", &rows)]);
    let count = |alarm: AlarmConfig| find(&model, &rows, &alarm).alarms.len();
    let usual = AlarmConfig::default();
    assert_eq!(count(usual), 1);
    assert_eq!(count(AlarmConfig { min_change: Some(1.0), ..usual }), 1);
    assert_eq!(count(AlarmConfig { min_change: Some(3.0), ..usual }), 0);
    assert_eq!(count(AlarmConfig { min_rows: Some(5), ..usual }), 1);
    assert_eq!(count(AlarmConfig { min_rows: Some(30), ..usual }), 0);
}

#[test]
fn alarms_per_day_need_a_day() {
    let model = fit(&frame(&[("a", &noise(1500, 1))]));
    let columns = frame(&[("a", &noise(3000, 2))]);
    let config = AlarmConfig { alarms_per_day: Some(1.0), ..AlarmConfig::default() };
    let ask = |series: &Series<'_>| {
        model.alarms(series, Threshold::Auto, &config, &ScoreConfig::default(), RUN)
    };
    let error = ask(&Series::whole(&columns)).unwrap_err();
    assert!(matches!(error, Error::Parameter { name: "alarms_per_day", .. }), "{error}");
    let with = |rows: f64| {
        let series = Series::whole(&columns).with_rows_per_day(Some(rows));
        let found = ask(&series).unwrap();
        (found.alarms.len(), flagged(&found))
    };
    // 3,000 rows are about one day, or thirty. An alarm in 100 rows, with windows of 64 rows, could cover
    // most of them: the share of rows in alarms is accepted up to 2 %.
    assert!(with(3000.0).0 <= 4, "{:?}", with(3000.0));
    let (alarms, rows) = with(100.0);
    assert!(alarms >= with(3000.0).0 && rows <= 150, "{alarms} {rows}");
}

#[test]
fn p_values_are_small_where_it_is_odd_and_spread_elsewhere() {
    let model = fit(&frame(&[("a", &noise(2000, 1))]));
    let mut rows = noise(3000, 2);
    rows[1000..1020].iter_mut().for_each(|x| *x += 8.0);
    let columns = frame(&[("a", &rows)]);
    let series = Series::whole(&columns);
    let (alarm, score) = (AlarmConfig::default(), ScoreConfig::default());
    let p = model.p_values(&series, &alarm, &score, RUN).unwrap();
    assert!(p.iter().flatten().all(|p| (0.0..=1.0).contains(p)));
    assert!(p[1010].unwrap() < 1e-3);
    let below = |q: f64| p[1200..].iter().flatten().filter(|p| **p < q).count() as f64 / 1800.0;
    assert!(below(0.5) > 0.1 && below(0.05) < 0.15, "{} {}", below(0.5), below(0.05));
    assert_eq!(p, find(&model, &columns, &alarm).p);
}
