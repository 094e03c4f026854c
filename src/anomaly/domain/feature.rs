//! The domain of one feature: the values that it can take.

use serde::{Deserialize, Serialize};

use super::lattice::Lattice;
use crate::config::{Domains, GivenDomain, GivenLimits};
use crate::data::domain::Domain;
use crate::error::{Error, Result};

/// Minimum distance by which a value may leave the training range, in standard deviations.
const REACH: f64 = 10.0;
/// The same in units of the requested strength.
const REACH_OF_STRENGTH: f64 = 4.0;

/// The domain of one feature; the default allows any value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureDomain {
    /// Hard lower limit.
    pub min: Option<f64>,
    /// Hard upper limit.
    pub max: Option<f64>,
    /// Smallest and largest training value.
    pub seen: Option<(f64, f64)>,
    /// The evenly spaced values, if they are such.
    pub lattice: Option<Lattice>,
    /// The only values in ascending order, if they are few.
    pub values: Option<Vec<f64>>,
    /// Whether it is a counter: it never falls, except for resets.
    pub monotone: bool,
}

impl FeatureDomain {
    /// Limits of generated values for a feature with the standard deviation `std` and anomalies of
    /// the requested `strength`, if any: the hard limits, and the training range extended at both
    /// ends by its own width, 10 standard deviations or 4 times the strength, whichever is largest.
    pub(crate) fn limits(&self, std: f64, strength: Option<f64>) -> (f64, f64) {
        let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
        if let Some((least, most)) = self.seen {
            let asked = REACH_OF_STRENGTH * strength.unwrap_or(0.0);
            let reach = (most - least).max(REACH.max(asked) * std);
            (low, high) = (least - reach, most + reach);
        }
        (low.max(self.min.unwrap_or(low)), high.min(self.max.unwrap_or(high)))
    }

    /// The nearest values below and above `value`; `value` twice if it is one of them.
    pub(crate) fn around(&self, value: f64) -> (f64, f64) {
        match (&self.values, &self.lattice) {
            (Some(values), _) => {
                let above = values.partition_point(|known| *known < value);
                let at = |i: usize| values.get(i).copied();
                let high = at(above).or(at(values.len().saturating_sub(1))).unwrap_or(value);
                let low = if high <= value { Some(high) } else { at(above.wrapping_sub(1)) };
                (low.unwrap_or(high), high)
            }
            (None, Some(lattice)) => lattice.around(value),
            (None, None) => (value, value),
        }
    }

    /// Distance between two of its values near `value`; 0 for continuous values.
    pub(crate) fn spacing(&self, value: f64) -> f64 {
        match (&self.values, &self.lattice) {
            (Some(values), _) => {
                let above = values.partition_point(|known| *known <= value);
                let pair = above.clamp(1, values.len().max(2) - 1);
                values.get(pair).zip(values.get(pair - 1)).map_or(0.0, |(high, low)| high - low)
            }
            (None, Some(lattice)) => lattice.spacing(),
            (None, None) => 0.0,
        }
    }

    /// The next value on one side of `value`; `None` if there is none.
    pub(crate) fn next_to(&self, dtype: &Domain, value: f64, up: bool) -> Option<f64> {
        let beyond = |other: &f64| if up { *other > value } else { *other < value };
        let next = match (&self.values, &self.lattice) {
            (Some(values), _) if up => values.iter().copied().find(beyond)?,
            (Some(values), _) => values.iter().copied().rfind(beyond)?,
            (None, Some(lattice)) if up => lattice.around(value + lattice.spacing()).1,
            (None, Some(lattice)) => lattice.around(value - lattice.spacing()).0,
            (None, None) => dtype.next_to(value, up),
        };
        Some(next).filter(beyond)
    }

    /// Whether a fit can have learned it.
    pub(crate) fn is_sound(&self) -> bool {
        let ordered = |low: f64, high: f64| low.is_finite() && high.is_finite() && low <= high;
        let ascending = |values: &Vec<f64>| {
            let pairs = || values.windows(2);
            !values.is_empty()
                && values.iter().all(|value| value.is_finite())
                && pairs().all(|pair| pair[0] < pair[1])
        };
        self.min.is_none_or(f64::is_finite)
            && self.max.is_none_or(f64::is_finite)
            && self.min.zip(self.max).is_none_or(|(low, high)| ordered(low, high))
            && self.seen.is_none_or(|(low, high)| ordered(low, high))
            && self.lattice.as_ref().is_none_or(Lattice::is_sound)
            && self.values.as_ref().is_none_or(ascending)
    }

    /// Overrides it by the limits that a user gives.
    fn with(self, given: &GivenDomain) -> Self {
        let GivenDomain::Some(GivenLimits { min, max, step, values, monotone }) = given else {
            return Self::default();
        };
        let mut domain = self;
        if min.is_some() || max.is_some() || step.is_some() {
            domain.values = None;
        }
        domain.min = min.or(domain.min);
        domain.max = max.or(domain.max);
        // A user's limits extend the training range.
        domain.seen = domain
            .seen
            .map(|(low, high)| (low.min(min.unwrap_or(low)), high.max(max.unwrap_or(high))));
        domain.lattice = step.map(|step| Lattice::of(min.unwrap_or(0.0), step)).or(domain.lattice);
        if let Some(values) = values {
            let mut values = values.clone();
            values.sort_by(f64::total_cmp);
            values.dedup();
            domain = Self { values: Some(values), monotone: domain.monotone, ..Self::default() };
        }
        domain.monotone = monotone.unwrap_or(domain.monotone);
        domain
    }
}

/// The domain of each of the features `names`: as learned, overridden by the option. Any value
/// where nothing was learned.
///
/// # Errors
/// [`Error::Parameter`] for an unknown feature.
pub(crate) fn domains(
    learned: &[FeatureDomain],
    given: &Domains,
    names: &[String],
) -> Result<Vec<FeatureDomain>> {
    let learned = |d: usize| learned.get(d).cloned().unwrap_or_default();
    let given = match given {
        Domains::Learned => return Ok((0..names.len()).map(learned).collect()),
        Domains::None => return Ok(vec![FeatureDomain::default(); names.len()]),
        Domains::Given(given) => given,
    };
    if let Some(unknown) = given.keys().find(|name| !names.contains(name)) {
        let allowed = format!("given for features of the series: {}", names.join(", "));
        return Err(Error::parameter("domain", unknown, allowed));
    }
    let domain = |(d, name): (usize, &String)| match given.get(name) {
        Some(given) => learned(d).with(given),
        None => learned(d),
    };
    Ok(names.iter().enumerate().map(domain).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn values_lie_between_their_neighbours() {
        let states = FeatureDomain { values: Some(vec![0.0, 1.0, 5.0]), ..Default::default() };
        let found = [-1.0, 0.0, 0.3, 1.0, 4.0, 5.0, 9.0].map(|value| states.around(value));
        let expected =
            [(0.0, 0.0), (0.0, 0.0), (0.0, 1.0), (1.0, 1.0), (1.0, 5.0), (5.0, 5.0), (5.0, 5.0)];
        assert_eq!(found, expected);
        assert_eq!([-1.0, 0.0, 2.0, 9.0].map(|value| states.spacing(value)), [1.0, 1.0, 4.0, 4.0]);
        assert_eq!(FeatureDomain::default().around(0.3), (0.3, 0.3));
        let dtype = &Domain::of(&arrow::datatypes::DataType::Int8);
        let next = |domain: &FeatureDomain, value| {
            [false, true].map(|up| domain.next_to(dtype, value, up))
        };
        assert_eq!(next(&states, 1.0), [Some(0.0), Some(5.0)]);
        assert_eq!(next(&states, 5.0), [Some(1.0), None]);
        let tens =
            FeatureDomain { lattice: Some(Lattice::of(0.0, 10.0)), ..FeatureDomain::default() };
        assert_eq!(next(&tens, 120.0), [Some(110.0), Some(130.0)]);
        assert_eq!(next(&FeatureDomain::default(), 127.0), [Some(126.0), None]);
    }

    #[test]
    fn a_user_has_the_last_word() {
        let learned = FeatureDomain {
            min: Some(0.0),
            seen: Some((0.0, 3.0)),
            values: Some(vec![0.0, 3.0]),
            ..Default::default()
        };
        let names = ["a".to_string(), "b".to_string()];
        let with = |name: &str, given: GivenDomain| {
            let given = Domains::Given(BTreeMap::from([(name.to_string(), given)]));
            domains(std::slice::from_ref(&learned), &given, &names)
        };
        let given =
            |max, values| GivenDomain::Some(GivenLimits { max, values, ..GivenLimits::default() });
        let found = with("a", given(Some(50.0), None)).unwrap();
        assert_eq!((found[0].min, found[0].max, &found[0].values), (Some(0.0), Some(50.0), &None));
        assert_eq!(found[0].limits(1.0, None), (0.0, 50.0));
        assert_eq!(found[1], FeatureDomain::default());
        let found = with("a", given(None, Some(vec![2.0, 1.0, 2.0]))).unwrap();
        assert_eq!(found[0].values, Some(vec![1.0, 2.0]));
        assert_eq!(with("a", GivenDomain::None).unwrap()[0], FeatureDomain::default());
        let error = with("c", GivenDomain::None).unwrap_err().to_string();
        assert!(error.contains("`domain` = c") && error.contains("a, b"), "{error}");
    }

    #[test]
    fn limits_give_way_to_strength_but_not_hard_ones() {
        let domain = FeatureDomain { min: Some(0.0), seen: Some((2.0, 6.0)), ..Default::default() };
        assert_eq!(domain.limits(1.0, None), (0.0, 16.0));
        assert_eq!(domain.limits(1.0, Some(5.0)), (0.0, 26.0));
        assert_eq!(domain.limits(0.1, None), (0.0, 10.0));
        assert_eq!(FeatureDomain::default().limits(1.0, None), (f64::NEG_INFINITY, f64::INFINITY));
    }
}
