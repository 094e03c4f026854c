//! What labels would catch: beside every anomaly put in by itself.

use crate::common::{OneThread, column, in_pool, rng, wave};
use genias::anomaly::Synthetic;
use genias::config::{AlarmConfig, Kinds, Many, NamedKind, Names, SensitivityConfig, Span, Way};
use genias::inject::Kind;
use genias::sensitivity::{Detection, Labelling, sensitivity, tried};
use genias::{
    Columns, DetectConfig, DetectorKind, FitConfig, Model, Positions, RunToEnd, ScoreConfig,
    Series, Threshold, fit_scorer,
};

const RUN: &RunToEnd = &RunToEnd;
const ROWS: usize = 1200;

/// A wave with noise, and counts.
fn columns(seed: u64) -> Columns {
    let noise = rng(seed).normals(ROWS);
    let counts = noise.iter().map(|x| Some((2.0 * f64::from(*x).abs()).round()));
    Columns::new(vec![
        column("cpu", wave(ROWS, seed).into_iter().map(Some)),
        column("errors", counts),
    ])
    .unwrap()
}

fn fit(columns: &Columns) -> Model {
    let config = FitConfig { window: 32, ..FitConfig::default() };
    let detect = DetectConfig { detector: DetectorKind::Evidence, ..DetectConfig::default() };
    fit_scorer(&Series::whole(columns), &config, &detect, RUN).unwrap()
}

fn config() -> SensitivityConfig {
    SensitivityConfig {
        kind: Kinds::from(&[Kind::Mean, Kind::Variance, Kind::Platform][..]),
        strength: Many(vec![0.5, 2.0, 6.0]),
        duration: Many(vec![Span::Rows(5), Span::Rows(24)]),
        tries: 7,
        ..SensitivityConfig::default()
    }
}

fn clock() -> Positions {
    Positions::of_times(Some(&(0..ROWS as i64).map(|t| 300 * t).collect::<Vec<_>>()))
}

/// Rows from the first of an anomaly to the first of them that is labelled, by the whole job.
fn by_hand(
    model: &Model,
    series: &Series<'_>,
    anomaly: &genias::anomaly::Anomaly,
    (threshold, alarm): (Threshold, &AlarmConfig),
    positions: &Positions,
) -> Option<usize> {
    let mut synthetic = Synthetic::new(series.columns());
    synthetic.add(series, std::slice::from_ref(anomaly));
    let names = series.columns().names().to_vec();
    let columns = Columns::new(names.into_iter().zip(synthetic.finish().values).collect()).unwrap();
    let changed = Series::whole(&columns).with_positions(positions.clone());
    let labels = model.alarms(&changed, threshold, alarm, &ScoreConfig::default(), RUN).unwrap();
    anomaly.rows.clone().position(|t| labels.labels[t] == Some(true))
}

#[test]
fn every_try_is_as_if_it_were_alone() {
    let alarm = AlarmConfig { false_alarm_rate: Some(0.01), ..AlarmConfig::default() };
    for (seed, positions) in [(1, clock()), (2, Positions::Content)] {
        for threshold in [Threshold::Auto, Threshold::Pot] {
            let alarm = if threshold == Threshold::Auto { alarm } else { AlarmConfig::default() };
            let columns = columns(seed);
            let model = fit(&columns);
            let series = Series::whole(&columns).with_positions(positions.clone());
            let score = ScoreConfig::default();
            let labelling = Labelling { threshold, alarm: &alarm, score: &score };
            let found = tried(&model, &series, &config(), labelling, RUN).unwrap();
            assert!(found.len() > 150, "{}", found.len());
            let caught = found.iter().filter(|of| of.caught()).count();
            assert!(caught > 20 && caught < found.len() - 20, "{caught} of {}", found.len());
            for of in &found {
                let expected =
                    by_hand(&model, &series, &of.anomaly, (threshold, &alarm), &positions);
                assert_eq!(of.delay, expected, "{threshold:?} {positions:?} {:?}", of.anomaly);
            }
        }
    }
}

fn table(columns: &Columns, config: &SensitivityConfig) -> Vec<Detection> {
    let (alarm, score) = (AlarmConfig::default(), ScoreConfig::default());
    let labelling = Labelling { threshold: Threshold::Auto, alarm: &alarm, score: &score };
    let series = Series::whole(columns).with_positions(clock());
    sensitivity(&fit(columns), &series, config, labelling, RUN).unwrap().detections
}

#[test]
fn the_table_counts_the_tries() {
    let columns = columns(3);
    let found = table(&columns, &config());
    // Of two features and both: two durations of two kinds with three strengths, and one without.
    assert_eq!(found.len(), 3 * 2 * (3 + 3 + 1));
    for row in &found {
        let most = if row.feature.is_none() { 14 } else { 7 };
        assert!(row.caught <= row.tries && row.tries <= most, "{row:?}");
        assert_eq!(row.strength.is_none(), row.kind == "platform");
        assert!(row.delay.is_none_or(|delay| delay < row.duration as f64));
        let of_features = found.iter().filter(|of| {
            of.feature.is_some()
                && (of.kind, of.duration, of.strength) == (row.kind, row.duration, row.strength)
        });
        if row.feature.is_none() {
            assert_eq!(row.caught, of_features.map(|of| of.caught).sum::<usize>());
        }
    }
    let rate = |strength| {
        let own = found.iter().filter(|of| of.feature == Some(0) && of.strength == Some(strength));
        own.map(|of| of.caught).sum::<usize>()
    };
    assert!(rate(0.5) < rate(6.0), "{} {}", rate(0.5), rate(6.0));
    let smallest = found.iter().find(|of| of.feature == Some(0) && of.duration == 24).unwrap();
    assert!(smallest.smallest.strength.is_some_and(|strength| strength <= 6.0), "{smallest:?}");
}

#[test]
fn only_what_is_asked_for_is_tried() {
    let columns = columns(4);
    let config = SensitivityConfig {
        kind: Kinds(vec![NamedKind { kind: Kind::Mean, name: "level-shift" }]),
        strength: Many(vec![3.0]),
        hit: Some(Names(vec!["cpu".into()])),
        direction: Some(Way::Up),
        ..config()
    };
    let found = table(&columns, &config);
    assert!(found.iter().all(|of| (of.feature, of.kind) == (Some(0), "level-shift")));
    assert!(found.iter().all(|of| (of.realised.unwrap() - 3.0).abs() < 1e-6), "{found:?}");
    let unknown = SensitivityConfig { hit: Some(Names(vec!["ram".into()])), ..config.clone() };
    let (alarm, score) = (AlarmConfig::default(), ScoreConfig::default());
    let labelling = Labelling { threshold: Threshold::Auto, alarm: &alarm, score: &score };
    let series = Series::whole(&columns);
    let model = fit(&columns);
    let refused = |config: &SensitivityConfig| {
        sensitivity(&model, &series, config, labelling, RUN).unwrap_err().to_string()
    };
    assert!(refused(&unknown).contains("`hit` = ram"));
    let timed = SensitivityConfig { duration: Many(vec![Span::Time(60e6)]), ..config.clone() };
    assert!(refused(&timed).contains("`duration` = 60 seconds"));
    let long = SensitivityConfig { duration: Many(vec![Span::Rows(5000)]), ..config };
    assert!(refused(&long).contains("at most the 1200 rows"));
}

#[test]
fn durations_of_as_many_rows_have_places_of_their_own() {
    let columns = columns(6);
    let twice = SensitivityConfig {
        kind: Kinds::from(&[Kind::Mean][..]),
        strength: Many(vec![2.0]),
        duration: Many(vec![Span::Rows(24); 2]),
        hit: Some(Names(vec!["cpu".into()])),
        ..config()
    };
    let (alarm, score) = (AlarmConfig::default(), ScoreConfig::default());
    let labelling = Labelling { threshold: Threshold::Auto, alarm: &alarm, score: &score };
    let series = Series::whole(&columns).with_positions(clock());
    let found = tried(&fit(&columns), &series, &twice, labelling, RUN).unwrap();
    let first: Vec<usize> = found.iter().map(|of| of.anomaly.rows.start).collect();
    assert_eq!(first.len(), 14);
    assert_ne!(first[..7], first[7..]);
}

#[test]
fn threads_do_not_matter() {
    let columns = columns(5);
    let small = SensitivityConfig { tries: 3, strength: Many(vec![2.0]), ..config() };
    let model = fit(&columns);
    let series = Series::whole(&columns).with_positions(clock());
    let (alarm, score) = (AlarmConfig::default(), ScoreConfig::default());
    let labelling = Labelling { threshold: Threshold::Auto, alarm: &alarm, score: &score };
    let expected = sensitivity(&model, &series, &small, labelling, RUN).unwrap();
    let alone = in_pool(1, || sensitivity(&model, &series, &small, labelling, &OneThread).unwrap());
    assert_eq!(alone, expected);
}
