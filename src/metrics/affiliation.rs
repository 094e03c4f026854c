//! Affiliation metrics (Huet, Navarro and Rossi, "Local Evaluation of Time Series Anomaly Detection
//! Algorithms", KDD 2022).
//!
//! Row `t` is the interval [t, t + 1). The series is cut into one zone E per event J, halfway
//! between neighbouring events. Within a zone, the distance of a prediction from the event (for
//! precision), or of an event from the predictions (for recall), is turned into the probability
//! that a uniformly random point of the zone is at least as far.

use super::input::same_length;
use super::range::{Run, harmonic, runs};
use crate::error::Result;

/// Affiliation precision and recall of one series, each in [0, 1].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affiliation {
    /// Mean over the zones with a prediction; `None` without predictions.
    pub precision: Option<f64>,
    /// Mean over all events; an event without a prediction in its zone counts 0.
    pub recall: f64,
}

impl Affiliation {
    /// Harmonic mean of precision and recall; 0 without predictions.
    pub fn f1(&self) -> f64 {
        harmonic(self.precision.unwrap_or(0.0), self.recall)
    }
}

/// Affiliation of predicted rows with true events. `None` without an event.
///
/// # Errors
/// If lengths differ.
pub fn affiliation(predicted: &[bool], labels: &[bool]) -> Result<Option<Affiliation>> {
    same_length(predicted.len(), labels)?;
    let [alarms, events] = [predicted, labels].map(|flags| runs(flags.iter().copied()));
    Ok((!events.is_empty()).then(|| affiliation_of(&events, &alarms, labels.len())))
}

/// [`affiliation`] of events (at least one) and alarms in a series of `rows` rows.
pub(crate) fn affiliation_of(events: &[Run], alarms: &[Run], rows: usize) -> Affiliation {
    let alarms: Vec<Interval> = alarms.iter().map(Interval::from).collect();
    let (mut precision, mut recall, mut zones) = (0.0, 0.0, 0usize);
    let (mut first, mut zone_start) = (0, 0.0);
    let mut inside = Vec::new();
    for (i, event) in events.iter().enumerate() {
        let zone_end = match events.get(i + 1) {
            Some(next) => (event.end + next.start) as f64 / 2.0,
            None => rows as f64,
        };
        let zone = Interval { start: zone_start, end: zone_end };
        while alarms.get(first).is_some_and(|alarm| alarm.end <= zone.start) {
            first += 1;
        }
        inside.clear();
        let touching = alarms[first..].iter().take_while(|alarm| alarm.start < zone.end);
        inside.extend(touching.map(|alarm| alarm.within(zone)));
        let zone = Zone { event: event.into(), zone };
        if !inside.is_empty() {
            zones += 1;
            precision += zone.precision(&inside);
            recall += zone.recall(&inside);
        }
        zone_start = zone_end;
    }
    Affiliation {
        precision: (zones > 0).then(|| precision / zones as f64),
        recall: recall / events.len() as f64,
    }
}

/// A stretch of time.
#[derive(Clone, Copy)]
struct Interval {
    start: f64,
    end: f64,
}

impl From<&Run> for Interval {
    fn from(run: &Run) -> Self {
        Self { start: run.start as f64, end: run.end as f64 }
    }
}

impl Interval {
    fn length(self) -> f64 {
        self.end - self.start
    }

    /// The part inside `other`; its length is negative or 0 if there is none.
    fn within(self, other: Self) -> Self {
        Self { start: self.start.max(other.start), end: self.end.min(other.end) }
    }

    /// Time reversed.
    fn mirrored(self) -> Self {
        Self { start: -self.end, end: -self.start }
    }
}

/// An event and the zone around it.
struct Zone {
    event: Interval,
    zone: Interval,
}

impl Zone {
    /// Mean over the predicted points x of P(d(X, J) >= d(x, J)), X uniform in E: 1 inside the
    /// event, 1 - (|J| + d + min(d, m)) / |E| at distance d from it, m being the distance from the
    /// event to the nearer border of the zone.
    fn precision(&self, alarms: &[Interval]) -> f64 {
        let (event, zone) = (self.event, self.zone);
        let nearer = (event.start - zone.start).min(zone.end - event.end);
        // Integral of that probability over the distances `from` to `to`.
        let outside = |from: f64, to: f64| {
            if to <= from {
                return 0.0;
            }
            let bend = nearer.clamp(from, to);
            let distance = (to * to - from * from) / 2.0;
            let capped = (bend * bend - from * from) / 2.0 + nearer * (to - bend);
            to - from - (event.length() * (to - from) + distance + capped) / zone.length()
        };
        let (mut sum, mut length) = (0.0, 0.0);
        for alarm in alarms {
            let before = event.start - alarm.end.min(event.start);
            let after = alarm.start.max(event.end) - event.end;
            sum += outside(before, event.start - alarm.start);
            sum += alarm.within(event).length().max(0.0);
            sum += outside(after, alarm.end - event.end);
            length += alarm.length();
        }
        sum / length
    }

    /// Mean over the points y of the event of P(|X - y| >= d(y, predictions)), X uniform in E.
    fn recall(&self, alarms: &[Interval]) -> f64 {
        let mut sum = 0.0;
        let mut start = self.event.start;
        for (i, alarm) in alarms.iter().enumerate() {
            // The points of the event nearest to this alarm.
            let end = match alarms.get(i + 1) {
                Some(next) => ((alarm.end + next.start) / 2.0).clamp(start, self.event.end),
                None => self.event.end,
            };
            let near = Interval { start, end };
            let before = Interval { start, end: end.min(alarm.start) };
            let after = Interval { start: start.max(alarm.end), end };
            sum += near.within(*alarm).length().max(0.0);
            sum += survival_before(before, alarm.start, self.zone);
            sum += survival_before(after.mirrored(), -alarm.end, self.zone.mirrored());
            start = end;
        }
        sum / self.event.length()
    }
}

/// Integral over the points y of `part`, which ends before `pivot`, of the probability that a
/// uniformly random point of the zone is at least as far from y as the pivot:
/// 1 - ((pivot - y) + min(pivot - y, y - zone.start)) / |E|.
fn survival_before(part: Interval, pivot: f64, zone: Interval) -> f64 {
    if part.length() <= 0.0 {
        return 0.0;
    }
    // Before the bend, the border of the zone is nearer than the pivot.
    let bend = ((pivot + zone.start) / 2.0).clamp(part.start, part.end);
    let bordered = (pivot - zone.start) * (bend - part.start);
    let free = (pivot - bend).powi(2) - (pivot - part.end).powi(2);
    part.length() - (bordered + free) / zone.length()
}
