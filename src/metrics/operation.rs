//! Metrics of alarms as those who receive them see them: how many are false, which events they find,
//! how late, and how well they fit.

use super::range::{Run, overlaps, runs};

/// The rows that score above a line: the lowest one above which at most a share `rate` of the normal rows is.
pub(crate) fn at_false_alarm_rate(scores: &[f64], labels: &[bool], rate: f64) -> Vec<bool> {
    let normal = scores.iter().zip(labels).filter(|(_, label)| !**label);
    let line = line(&mut normal.map(|(score, _)| *score).collect::<Vec<f64>>(), rate);
    scores.iter().map(|score| *score > line).collect()
}

/// The lowest line above which at most a share `rate` of the scores of normal rows is; reorders them.
pub(super) fn line(normal: &mut [f64], rate: f64) -> f64 {
    let allowed = (rate * normal.len() as f64).floor() as usize;
    match normal.len().checked_sub(allowed + 1) {
        Some(at) => *normal.select_nth_unstable_by(at, f64::total_cmp).1,
        None => f64::NEG_INFINITY,
    }
}

/// Share of the events (at least one) that hold a predicted row.
pub(crate) fn event_recall_of(events: &[Run], alarms: &[Run]) -> f64 {
    let found = overlaps(events, alarms).filter(|overlap| overlap.runs > 0).count();
    found as f64 / events.len() as f64
}

/// Number of alarms that touch no event.
pub(crate) fn false_alarms_of(events: &[Run], alarms: &[Run]) -> f64 {
    overlaps(alarms, events).filter(|overlap| overlap.runs == 0).count() as f64
}

/// Rows from the beginning of an event to the first predicted one in it, the mean over the events that have
/// one; `None` where none has.
pub(crate) fn detection_delay_of(events: &[Run], predicted: &[bool]) -> Option<f64> {
    let delay = |event: &Run| predicted[event.clone()].iter().position(|row| *row);
    let delays: Vec<usize> = events.iter().filter_map(delay).collect();
    let sum: usize = delays.iter().sum();
    (!delays.is_empty()).then(|| sum as f64 / delays.len() as f64)
}

/// Mean over the events (at least one) of the rows that they share with the alarms that touch them, over the
/// rows of either; 0 for an event without one.
pub(crate) fn event_iou_of(events: &[Run], alarms: &[Run]) -> f64 {
    let of_event = |event: &Run| {
        let from = alarms.partition_point(|alarm| alarm.end <= event.start);
        let touching = alarms[from..].iter().take_while(|alarm| alarm.start < event.end);
        let (mut shared, mut either) = (0, event.len());
        for alarm in touching {
            let both = alarm.end.min(event.end) - alarm.start.max(event.start);
            shared += both;
            either += alarm.len() - both;
        }
        shared as f64 / either as f64
    };
    events.iter().map(of_event).sum::<f64>() / events.len() as f64
}

/// Events and alarms of two columns.
pub(crate) fn both_runs(labels: &[bool], predicted: &[bool]) -> (Vec<Run>, Vec<Run>) {
    (runs(labels.iter().copied()), runs(predicted.iter().copied()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(text: &str) -> Vec<bool> {
        text.chars().map(|c| c == '#').collect()
    }

    #[test]
    fn by_hand() {
        let labels = rows("..####....##....#.");
        let alarms = rows(".##.#..#..........");
        let (events, found) = both_runs(&labels, &alarms);
        assert_eq!(event_recall_of(&events, &found), 1.0 / 3.0);
        assert_eq!(false_alarms_of(&events, &found), 1.0);
        assert_eq!(detection_delay_of(&events, &alarms), Some(0.0));
        // Rows 2 and 4 of 1 to 5.
        assert_eq!(event_iou_of(&events, &found), 2.0 / 5.0 / 3.0);
        assert_eq!(detection_delay_of(&events, &rows("...#......##......")), Some(0.5));
        assert_eq!(detection_delay_of(&events, &rows("#.................")), None);
    }

    #[test]
    fn the_rate_is_kept() {
        let scores = [5.0, 4.0, 4.0, 3.0, 2.0, 9.0, 1.0];
        let labels = [false, false, false, false, false, true, true];
        let at = |rate: f64| at_false_alarm_rate(&scores, &labels, rate);
        assert_eq!(at(0.0), [false, false, false, false, false, true, false]);
        assert_eq!(at(0.2), [true, false, false, false, false, true, false]);
        // Both fours or none.
        assert_eq!(at(0.4), at(0.2));
        assert_eq!(at(0.6), [true, true, true, false, false, true, false]);
        assert_eq!(at(1.0), [true; 7]);
    }

    proptest! {
        #[test]
        fn no_other_line_is_lower(
            rows in prop::collection::vec((-5i8..5, prop::bool::ANY), 1..60),
            rate in 0.0f64..1.0,
        ) {
            let (scores, labels): (Vec<f64>, Vec<bool>) =
                rows.into_iter().map(|(score, label)| (f64::from(score), label)).unzip();
            let normal = labels.iter().filter(|label| !**label).count() as f64;
            let rate_of = |predicted: &[bool]| {
                let rows = predicted.iter().zip(&labels);
                rows.filter(|(row, label)| **row && !**label).count() as f64 / normal.max(1.0)
            };
            let found = at_false_alarm_rate(&scores, &labels, rate);
            prop_assert!(rate_of(&found) <= rate + 1e-12);
            for line in -6i8..5 {
                let other: Vec<bool> = scores.iter().map(|x| *x > f64::from(line)).collect();
                if rate_of(&other) <= rate {
                    let fewer = other.iter().zip(&found).all(|(other, found)| !*other || *found);
                    prop_assert!(fewer, "{line}");
                }
            }
        }
    }
}
