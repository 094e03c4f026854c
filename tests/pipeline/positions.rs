//! The same row has the same score, whichever slice it came in.

use crate::common::{column, fitted, picked, rng, small, wave};
use arrow::array::BooleanArray;
use genias::config::Aggregate;
use genias::{Columns, DetectorKind, FitConfig, Model, Positions, RunToEnd, ScoreConfig, Series};

const RUN: &RunToEnd = &RunToEnd;
const ROWS: usize = 400;

/// What a series may look like.
#[derive(Clone, Copy, Debug)]
enum Look {
    Plain,
    /// Sporadic nulls, a block of them in one feature.
    Nulls,
    /// A flat stretch.
    Flat,
    /// Whole numbers, few of them.
    Coarse,
}

fn columns(look: Look) -> Columns {
    let field = |d: usize| {
        let mut drawn = rng(d as u64);
        let values =
            wave(ROWS, d as u64 + 1).into_iter().enumerate().map(move |(t, x)| match look {
                Look::Nulls if drawn.below(30) == 0 || (d == 0 && (220..250).contains(&t)) => None,
                Look::Flat if (150..260).contains(&t) => Some(0.5),
                Look::Coarse => Some((3.0 * x).round()),
                _ => Some(x),
            });
        column(&format!("f{d}"), values)
    };
    Columns::new((0..2).map(field).collect()).unwrap()
}

/// Times of the rows, by the step between them.
fn times(irregular: bool) -> Vec<i64> {
    let mut rng = rng(9);
    let mut now = 1_700_000_123i64;
    (0..ROWS)
        .map(|t| {
            now += match (irregular, t % 90) {
                (true, _) => 1 + rng.below(119) as i64,
                // Rows that are not there.
                (false, 40) => 7 * 60,
                _ => 60,
            };
            now
        })
        .collect()
}

fn scores(
    model: &Model,
    columns: &Columns,
    rows: std::ops::Range<usize>,
    (times, config): (Option<&[i64]>, &ScoreConfig),
) -> Vec<Option<f32>> {
    let gaps = [101, 300].into_iter().filter(|gap| rows.contains(gap) && *gap > rows.start);
    let gaps = gaps.map(|gap| gap - rows.start).collect();
    let positions = Positions::of_times(times.map(|times| &times[rows.clone()]));
    let series = picked(columns, rows).with_gaps(gaps).with_positions(positions);
    model.score_with(&series, config, RUN).unwrap()
}

#[test]
fn slices_score_as_the_whole() {
    for look in [Look::Plain, Look::Nulls, Look::Flat, Look::Coarse] {
        let columns = columns(look);
        let model = fitted(&Series::whole(&columns), &FitConfig { max_null: 0.1, ..small() });
        let (regular, irregular) = (times(false), times(true));
        for times in [None, Some(&regular[..]), Some(&irregular[..])] {
            for (stride, aggregate) in [
                (None, Aggregate::Mean),
                (Some(7), Aggregate::Mean),
                (Some(1), Aggregate::Max),
                (Some(16), Aggregate::Last),
            ] {
                let detector = Some(DetectorKind::Reconstruction);
                let config = ScoreConfig {
                    detector,
                    aggregate,
                    score_stride: stride,
                    ..ScoreConfig::default()
                };
                let of = |rows| scores(&model, &columns, rows, (times, &config));
                let whole = of(0..ROWS);
                for (from, to) in [(0, 400), (1, 399), (13, 390), (37, 331), (54, 400)] {
                    let part = of(from..to);
                    // A window and a neighbourhood of it away from the ends.
                    for t in from + 48..to - 48 {
                        let (found, expected) = (part[t - from], whole[t]);
                        let near = match (found, expected) {
                            (Some(x), Some(y)) => (x - y).abs() <= 1e-5 * y.abs().max(1.0),
                            (x, y) => x == y,
                        };
                        assert!(near, "{look:?} {stride:?} {from} row {t}: {found:?} {expected:?}");
                    }
                }
            }
        }
    }
}

/// Counted from the first row, as the core does where nobody says otherwise, scores differ.
#[test]
fn without_positions_scores_depend_on_the_slice() {
    let columns = columns(Look::Plain);
    let model = fitted(&Series::whole(&columns), &small());
    let whole = model.score(&Series::whole(&columns), RUN).unwrap();
    let part = model.score(&picked(&columns, 1..ROWS), RUN).unwrap();
    assert!((60..340).any(|t| (part[t - 1].unwrap() - whole[t].unwrap()).abs() > 1e-3));
}

/// Every row of a stretch that holds a window is scored, whatever its times are like.
#[test]
fn all_rows_are_covered() {
    let columns = columns(Look::Plain);
    let model = fitted(&Series::whole(&columns), &small());
    let bursts: Vec<i64> = (0..ROWS as i64)
        .map(|t| if t % 100 < 45 { 600 * (t - t % 100) + t % 100 } else { 600 * t })
        .collect();
    let labels = BooleanArray::from_iter((0..ROWS).map(|t| Some(t % 50 == 0)));
    for times in [None, Some(times(false)), Some(times(true)), Some(bursts), Some(vec![5; ROWS])] {
        for stride in [None, Some(1), Some(16), Some(usize::MAX)] {
            let config = ScoreConfig { score_stride: stride, ..ScoreConfig::default() };
            let series = Series::whole(&columns)
                .with_labels(&labels)
                .with_positions(Positions::of_times(times.as_deref()));
            let scores = model.score_with(&series, &config, RUN).unwrap();
            assert!(scores.iter().all(Option::is_some), "{stride:?}");
            assert!(model.reconstruct(&series, RUN).unwrap().covered.iter().all(|c| *c));
        }
    }
}
