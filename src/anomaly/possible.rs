//! Restricts anomalies to the domains of their features.

use std::ops::Range;

use super::domain::{Adaptation, FeatureDomain, HitFeature, Realised, one_step, realise};
use crate::data::series::Series;
use crate::runtime::rng::Rng;

/// Domains and rows of one anomaly.
pub(crate) struct Possible<'a> {
    pub series: &'a Series<'a>,
    pub domains: &'a [FeatureDomain],
    /// Standard deviation of every feature.
    pub std: &'a [f64],
    pub rows: Range<usize>,
}

/// A requested change of one feature.
pub(crate) struct Wanted {
    /// Position of its feature.
    pub feature: usize,
    /// New values.
    pub values: Vec<f64>,
    pub adaptation: Adaptation,
    /// Whether the feature is of another sort than the anomaly.
    pub barred: bool,
}

/// The changes of an anomaly after the restriction to domains.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Outcome {
    /// Features that change, and their new values.
    pub hits: Vec<(usize, Vec<f64>)>,
    /// Features that cannot show the anomaly and stay unchanged.
    pub unable: Vec<usize>,
}

impl Possible<'_> {
    /// Restricts the `wanted` changes to the domains of their features, and drops those that show
    /// too little of the anomaly. If none shows it, the first of the `spare` changes that does is
    /// used, else the strongest of all. If no change is left at all, the value with the largest
    /// wanted change moves by one step.
    pub(crate) fn outcome(
        &self,
        wanted: Vec<Wanted>,
        spare: impl IntoIterator<Item = Wanted>,
        rng: &mut Rng,
    ) -> Outcome {
        let mut tried: Vec<(usize, Realised)> =
            wanted.iter().map(|wanted| (wanted.feature, self.realised(wanted, rng))).collect();
        if !tried.iter().any(|(_, found)| found.shown) {
            for wanted in spare {
                tried.push((wanted.feature, self.realised(&wanted, rng)));
                if tried.last().is_some_and(|(_, found)| found.shown) {
                    break;
                }
            }
        }
        if !tried.iter().any(|(_, found)| found.shown) {
            let strongest = tried.iter_mut().max_by(|a, b| a.1.strength.total_cmp(&b.1.strength));
            let moving = strongest.filter(|(_, found)| found.strength > 0.0);
            let Some((_, found)) = moving else { return self.one_step(&wanted) };
            found.shown = true;
        }
        let (shown, rest): (Vec<_>, Vec<_>) = tried.into_iter().partition(|(_, found)| found.shown);
        Outcome {
            hits: shown.into_iter().map(|(d, found)| (d, found.values)).collect(),
            unable: rest.into_iter().map(|(d, _)| d).collect(),
        }
    }

    fn realised(&self, wanted: &Wanted, rng: &mut Rng) -> Realised {
        let before = self.before(wanted.feature);
        if wanted.barred {
            return Realised { values: before, strength: 0.0, shown: false };
        }
        realise(self.feature(wanted.feature, &before), &wanted.values, wanted.adaptation, rng)
    }

    fn feature<'b>(&'b self, d: usize, before: &'b [f64]) -> HitFeature<'b> {
        let Range { start, end } = self.rows;
        let earlier = start.checked_sub(1).and_then(|t| self.series.value(d, t));
        // If the next value is null, the last value of the segment stands in for it.
        let last = || before.iter().copied().rfind(|value| !value.is_nan());
        let after = (end < self.series.len()).then(|| self.series.value(d, end).or_else(last));
        HitFeature {
            domain: &self.domains[d],
            dtype: self.series.columns().domain(d),
            std: self.std[d],
            before,
            beside: [earlier, after.flatten()],
        }
    }

    fn before(&self, d: usize) -> Vec<f64> {
        self.rows.clone().map(|t| self.series.value(d, t).unwrap_or(f64::NAN)).collect()
    }

    /// Moves the value with the largest wanted change, among those that can move, by one step;
    /// empty if none can.
    fn one_step(&self, wanted: &[Wanted]) -> Outcome {
        let mut moves: Vec<(usize, usize, f64)> = wanted
            .iter()
            .filter(|wanted| !wanted.barred)
            .flat_map(|Wanted { feature: d, values, .. }| {
                let moved =
                    values.iter().zip(self.before(*d)).map(|(value, before)| value - before);
                moved
                    .enumerate()
                    .map(|(i, moved)| (*d, i, moved / self.std[*d]))
                    .collect::<Vec<_>>()
            })
            .filter(|(_, _, moved)| !moved.is_nan())
            .collect();
        moves.sort_by(|a, b| b.2.abs().total_cmp(&a.2.abs()));
        let step = |(d, at, moved): (usize, usize, f64)| {
            let up = moved >= 0.0;
            let values = self.step(d, at, up).or_else(|| self.step(d, at, !up))?;
            let unable = wanted.iter().map(|wanted| wanted.feature).filter(|other| *other != d);
            Some(Outcome { hits: vec![(d, values)], unable: unable.collect() })
        };
        moves.into_iter().find_map(step).unwrap_or_default()
    }

    /// Values of feature `d` with the one at `at` moved by one step to one side, if there is such a
    /// value.
    fn step(&self, d: usize, at: usize, up: bool) -> Option<Vec<f64>> {
        let before = self.before(d);
        one_step(self.feature(d, &before), at, up)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BooleanArray, Float32Array, Int8Array};

    use super::*;
    use crate::data::columns::Columns;
    use crate::runtime::rng::Purpose;

    fn outcome(
        columns: &Columns,
        domains: &[FeatureDomain],
        std: &[f64],
        rows: Range<usize>,
        wanted: Vec<(usize, Vec<f64>)>,
    ) -> Outcome {
        let possible = Possible { series: &Series::whole(columns), domains, std, rows };
        let adaptation = Adaptation::default();
        let wanted = wanted.into_iter().map(|(feature, values)| Wanted {
            feature,
            values,
            adaptation,
            barred: false,
        });
        possible.outcome(wanted.collect(), [], &mut Rng::new(0, Purpose::Dither, [0, 0]))
    }

    #[test]
    fn an_anomaly_changes_something() {
        let flags: ArrayRef = Arc::new(BooleanArray::from(vec![false, true, true, false]));
        let bytes: ArrayRef = Arc::new(Int8Array::from(vec![1, 127, 127, 4]));
        let columns = Columns::new(vec![("b".into(), flags), ("i".into(), bytes)]).unwrap();
        let any = [FeatureDomain::default(), FeatureDomain::default()];
        let outcome_of = |wanted| outcome(&columns, &any, &[0.5, 50.0], 1..3, wanted);
        // A feature whose change is rounded away is left out and reported.
        assert_eq!(
            outcome_of(vec![(0, vec![1.2, 0.9]), (1, vec![100.4, 127.2])]),
            Outcome { hits: vec![(1, vec![100.0, 127.0])], unable: vec![0] }
        );
        // If all are, the largest change becomes one step; at the end of the range, in the other
        // direction.
        let hits = |wanted| outcome_of(wanted).hits;
        assert_eq!(hits(vec![(0, vec![0.9, 0.8]), (1, vec![127.4, 127.0])]), [(0, vec![1.0, 0.0])]);
        assert_eq!(hits(vec![(1, vec![127.4, 127.0])]), [(1, vec![126.0, 127.0])]);
        assert_eq!(outcome_of(vec![]), Outcome::default());
        let small: ArrayRef = Arc::new(Float32Array::from(vec![1e8, 0.0]));
        let columns = Columns::new(vec![("x".into(), small)]).unwrap();
        let found = outcome(&columns, &any, &[1e7], 0..1, vec![(0, vec![1e8 + 1.0])]);
        assert_eq!(found.hits, [(0, vec![1e8 + 8.0])]);
    }

    #[test]
    fn a_counter_without_room_is_not_hit() {
        let values = vec![1.0, 1.0, 1.0, 1.0, 2.0, 3.0];
        let counter: ArrayRef = Arc::new(Float32Array::from(values));
        let columns = Columns::new(vec![("c".into(), counter)]).unwrap();
        let domains = [FeatureDomain {
            monotone: true,
            values: Some(vec![1.0, 2.0, 3.0]),
            ..FeatureDomain::default()
        }];
        let hits = |rows: Range<usize>| {
            let wanted = vec![(0, vec![0.9; rows.len()])];
            outcome(&columns, &domains, &[1.0], rows, wanted).hits
        };
        assert_eq!(hits(1..3), []);
        // The requested step down is blocked, the step up is not.
        assert_eq!(hits(3..4), [(0, vec![2.0])]);
        assert_eq!(hits(4..5), [(0, vec![1.0])]);
    }

    #[test]
    fn a_step_stays_in_the_domain_and_another_feature_steps_in() {
        let values: ArrayRef = Arc::new(Float32Array::from(vec![3.0, 0.0, 3.0, 0.0]));
        let columns =
            Columns::new(vec![("a".into(), values.clone()), ("b".into(), values)]).unwrap();
        let states = FeatureDomain { values: Some(vec![0.0, 3.0]), ..FeatureDomain::default() };
        let domains = [states, FeatureDomain::default()];
        let found = outcome(&columns, &domains, &[1.0; 2], 0..2, vec![(0, vec![3.2, 0.1])]);
        assert_eq!(found.hits, [(0, vec![0.0, 0.0])]);
        let possible = Possible {
            series: &Series::whole(&columns),
            domains: &domains,
            std: &[1.0; 2],
            rows: 0..2,
        };
        let wanted = |feature| Wanted {
            feature,
            values: vec![3.2, 0.1],
            adaptation: Adaptation::default(),
            barred: false,
        };
        let rng = &mut Rng::new(0, Purpose::Dither, [0, 0]);
        let found = possible.outcome(vec![wanted(0)], [wanted(1)], rng);
        assert_eq!((found.hits[0].0, found.unable), (1, vec![0]));
    }
}
