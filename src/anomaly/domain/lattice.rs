//! Evenly spaced values.

use serde::{Deserialize, Serialize};

/// Finest decimal fraction that is tested, as a power of 10.
const DECIMALS: i32 = 6;
/// Largest rounding error, as a share of a step.
const ROUNDING: f64 = 0.02;
/// Minimum number of different values from which whole steps are inferred.
const FEWEST: usize = 6;
/// Values from which a step is inferred.
const SAMPLE: usize = 2000;
/// Maximum number of steps between two values if the step is not a decimal fraction.
const STEPS: f64 = 1e5;
/// Up to this number, floats hold every integer.
const WHOLE: f64 = 9_007_199_254_740_992.0;

/// The values (origin + k step) / parts for integers k.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lattice {
    origin: f64,
    step: f64,
    /// A power of ten, so that decimal fractions are the floats nearest to them.
    parts: f64,
}

impl Lattice {
    /// Multiples of `step`, starting at `origin`.
    pub(crate) fn of(origin: f64, step: f64) -> Self {
        Self { origin, step, parts: 1.0 }
    }

    /// Distance between two values.
    pub fn spacing(&self) -> f64 {
        self.step / self.parts
    }

    pub(super) fn is_sound(&self) -> bool {
        let positive = |x: f64| x.is_finite() && x > 0.0;
        self.origin.is_finite() && positive(self.step) && positive(self.parts)
    }

    fn position(&self, value: f64) -> f64 {
        (value * self.parts - self.origin) / self.step
    }

    fn at(&self, position: f64) -> f64 {
        (self.origin + position * self.step) / self.parts
    }

    /// The nearest values below and above `value`; `value` twice if it is one of them, up to
    /// rounding.
    pub(super) fn around(&self, value: f64) -> (f64, f64) {
        const SAME: f64 = 1e-6;
        let position = self.position(value);
        if !position.is_finite() || position.abs() > WHOLE {
            return (value, value);
        }
        let nearest = position.round();
        if (position - nearest).abs() < SAME * position.abs().clamp(1.0, 1e3) {
            return (self.at(nearest), self.at(nearest));
        }
        (self.at(position.floor()), self.at(position.floor() + 1.0))
    }

    /// The coarsest lattice that holds all values: decimal fractions, or multiples of the smallest
    /// distance between two values.
    pub(super) fn find(values: &[f64]) -> Option<Self> {
        let every = values.len().div_ceil(SAMPLE).max(1);
        let mut sample: Vec<f64> = values.iter().copied().step_by(every).collect();
        sample.sort_by(f64::total_cmp);
        sample.dedup();
        let precision = precision(values);
        let largest = values.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
        decimal(values, &sample, largest * precision)
            .or_else(|| multiples(values, &sample, largest * precision))
    }

    /// Whether it holds all values, each within `error`.
    fn holds(&self, values: &[f64], error: f64) -> bool {
        let allowed = (ROUNDING / 2.0).max(error / self.spacing());
        let on = |position: f64| (position - position.round()).abs() <= allowed;
        values.iter().all(|value| on(self.position(*value)))
    }
}

/// Relative rounding error of the values: that of 32-bit floats if all of them are such.
fn precision(values: &[f64]) -> f64 {
    let narrow = values.iter().all(|value| f64::from(*value as f32) == *value);
    if narrow { f64::from(f32::EPSILON) } else { 4.0 * f64::EPSILON }
}

/// Multiples of a power of ten of at most 1, or of a multiple of it.
fn decimal(values: &[f64], sample: &[f64], error: f64) -> Option<Lattice> {
    let largest = sample.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
    for digits in 0..=DECIMALS {
        let parts = 10f64.powi(digits);
        if error * parts > ROUNDING || largest * parts > WHOLE {
            return None;
        }
        let unit = Lattice { origin: 0.0, step: 1.0, parts };
        if unit.holds(values, error) {
            let first = (sample.first()? * parts).round();
            let whole = |value: &f64| ((value * parts).round() - first).abs() as u64;
            let common = values.iter().map(whole).fold(0, gcd).max(1) as f64;
            let step = if sample.len() < FEWEST { 1.0 } else { common };
            return Some(Lattice { origin: first.rem_euclid(step), step, parts });
        }
    }
    None
}

/// Multiples of the smallest distance between two values.
fn multiples(values: &[f64], sample: &[f64], error: f64) -> Option<Lattice> {
    let (first, last) = (*sample.first()?, *sample.last()?);
    let width = last - first;
    let least = sample.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
    let steps = (width / least).round();
    let fits = sample.len() > FEWEST && (1.0..=STEPS).contains(&steps) && width.is_finite();
    let lattice = Lattice::of(first, width / steps);
    (fits && error < ROUNDING * least && lattice.holds(values, 2.0 * error)).then_some(lattice)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::rng::{Purpose, Rng};

    fn noise(n: usize) -> Vec<f64> {
        let noise = Rng::new(1, Purpose::Place, [0, 0]).normals(n);
        noise.into_iter().map(f64::from).collect()
    }

    fn steps(of: impl Fn(f64) -> f64) -> Option<f64> {
        let values: Vec<f64> = noise(500).into_iter().map(of).collect();
        Lattice::find(&values).map(|lattice| lattice.spacing())
    }

    #[test]
    fn steps_are_found() {
        assert_eq!(steps(|x| (5.0 * x).round()), Some(1.0));
        assert_eq!(steps(|x| 10.0 * (5.0 * x).round() + 3.0), Some(10.0));
        assert_eq!(steps(|x| (100.0 * x).round() / 100.0), Some(0.01));
        assert_eq!(steps(|x| f64::from(((100.0 * x).round() / 100.0) as f32)), Some(0.01));
        assert_eq!(steps(|x| (8.0 * x).round() / 8.0), Some(0.125));
        let third = steps(|x| (20.0 * x).round() / 3.0).unwrap();
        assert!((third - 1.0 / 3.0).abs() < 1e-9, "{third}");
        assert_eq!(steps(|x| x + x.abs().sqrt() / 3.0), None);
        assert_eq!(steps(|x| f64::from((20.0 + x / 3.0) as f32)), None);
        assert_eq!(steps(|x| 1e300 * x), None);
    }

    #[test]
    fn values_of_a_lattice_are_the_decimals_themselves() {
        let values: Vec<f64> = noise(500).iter().map(|x| (100.0 * x).round() / 100.0).collect();
        let lattice = Lattice::find(&values).unwrap();
        assert!(values.iter().all(|value| lattice.around(*value) == (*value, *value)));
        assert_eq!(lattice.around(0.234), (0.23, 0.24));
    }
}
