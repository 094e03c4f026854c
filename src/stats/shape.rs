//! Distances between the shapes of two stretches of a feature.

use std::cell::RefCell;

use rustfft::FftPlannerScalar;
use rustfft::num_complex::Complex;

thread_local! {
    /// Keeps the transforms of every size.
    static PLANNER: RefCell<FftPlannerScalar<f64>> = RefCell::new(FftPlannerScalar::new());
}

/// Half width of the band of [`dtw`], as a share of the rows.
const BAND_SHARE: f64 = 0.1;
/// Largest half width of the band, in rows.
const BAND_MOST: usize = 100;
/// Below this share of its mean square, the variance of a stretch is rounding noise.
const FLAT: f64 = 1e-12;

/// Half width of the Sakoe-Chiba band for stretches of `rows` rows: a tenth of the rows, at least 1
/// and at most 100.
pub(crate) fn band(rows: usize) -> usize {
    ((rows as f64 * BAND_SHARE).ceil() as usize).clamp(1, BAND_MOST)
}

/// Dynamic time warping with a Sakoe-Chiba band (IEEE Trans. ASSP 26, 1978), as a root mean square:
/// sqrt(least sum of (a_i - b_j)^2 along a warping path / n), in the units of the values. Both have n
/// values; |i - j| is at most [`band`]. O(n * band) time, O(n) memory. At most the RMS of a - b.
pub(crate) fn dtw(a: &[f32], b: &[f32]) -> f32 {
    let n = a.len().min(b.len());
    if n == 0 {
        return 0.0;
    }
    let band = band(n);
    let (mut above, mut row) = (vec![f64::INFINITY; n + 1], vec![f64::INFINITY; n + 1]);
    above[0] = 0.0;
    for (i, value) in a.iter().take(n).enumerate() {
        let (low, high) = (i.saturating_sub(band), (i + band + 1).min(n));
        // Cells outside the band are never reached.
        row[low] = f64::INFINITY;
        for j in low..high {
            let least = above[j].min(above[j + 1]).min(row[j]);
            row[j + 1] = f64::from(value - b[j]).powi(2) + least;
        }
        if high < n {
            row[high + 1] = f64::INFINITY;
        }
        std::mem::swap(&mut above, &mut row);
    }
    (above[n] / n as f64).sqrt() as f32
}

/// Shape-based distance of k-Shape (Paparrizos and Gravano, SIGMOD 2015), in [0, 2]: 1 - the
/// largest cross-correlation over all shifts of the two centred stretches, divided by their norms.
/// Invariant to level, amplitude and shift. 0 for two constant stretches, 1 if only one is
/// constant.
pub(crate) fn sbd(a: &[f32], b: &[f32]) -> f32 {
    let n = a.len().min(b.len());
    let (a, b) = (centred(&a[..n]), centred(&b[..n]));
    let (a, b) = match (a, b) {
        (None, None) => return 0.0,
        (Some(a), Some(b)) => (a, b),
        _ => return 1.0,
    };
    let most = correlations(&a, &b).into_iter().fold(f64::NEG_INFINITY, f64::max);
    (1.0 - most).clamp(0.0, 2.0) as f32
}

/// The sums of a_i b_(i + k) for all shifts k, in any order, as F^-1(F(a) conj(F(b))). The scalar
/// transforms give the same bits on every processor.
fn correlations(a: &[f64], b: &[f64]) -> Vec<f64> {
    // Padded to a power of two that holds every shift.
    let size = (a.len() + b.len()).next_power_of_two();
    let (forward, inverse) = PLANNER.with_borrow_mut(|planner| {
        (planner.plan_fft_forward(size), planner.plan_fft_inverse(size))
    });
    let spectrum = |values: &[f64]| {
        let mut padded = vec![Complex::default(); size];
        padded.iter_mut().zip(values).for_each(|(slot, value)| slot.re = *value);
        forward.process(&mut padded);
        padded
    };
    let pairs = spectrum(a).into_iter().zip(spectrum(b));
    let mut product: Vec<Complex<f64>> = pairs.map(|(a, b)| a * b.conj()).collect();
    inverse.process(&mut product);
    product.iter().map(|sum| sum.re / size as f64).collect()
}

/// The values minus their mean, scaled to norm 1; `None` if they are constant.
fn centred(values: &[f32]) -> Option<Vec<f64>> {
    let mean = values.iter().map(|x| f64::from(*x)).sum::<f64>() / values.len().max(1) as f64;
    let centred: Vec<f64> = values.iter().map(|x| f64::from(*x) - mean).collect();
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>();
    let (inside, whole) =
        (square(&mut centred.iter().copied()), square(&mut values.iter().map(|x| f64::from(*x))));
    if inside <= FLAT * whole || inside == 0.0 {
        return None;
    }
    let norm = inside.sqrt();
    Some(centred.into_iter().map(|x| x / norm).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stats::rms;

    /// The whole table of costs, without cells outside of the band.
    fn naive_dtw(a: &[f32], b: &[f32]) -> f64 {
        let n = a.len();
        let mut cost = vec![vec![f64::INFINITY; n + 1]; n + 1];
        cost[0][0] = 0.0;
        for i in 1..=n {
            for j in 1..=n {
                if i.abs_diff(j) <= band(n) {
                    let least = cost[i - 1][j].min(cost[i][j - 1]).min(cost[i - 1][j - 1]);
                    cost[i][j] = f64::from(a[i - 1] - b[j - 1]).powi(2) + least;
                }
            }
        }
        (cost[n][n] / n as f64).sqrt()
    }

    /// Every shift, one product after another.
    fn naive_sbd(a: &[f32], b: &[f32]) -> f64 {
        let n = a.len() as i64;
        let centre = |v: &[f32]| {
            let mean = v.iter().map(|x| f64::from(*x)).sum::<f64>() / v.len() as f64;
            v.iter().map(|x| f64::from(*x) - mean).collect::<Vec<f64>>()
        };
        let (a, b) = (centre(a), centre(b));
        let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
        let at = |shift: i64| {
            let pairs = (0..n).filter(|i| (0..n).contains(&(i + shift)));
            pairs.map(|i| a[(i + shift) as usize] * b[i as usize]).sum::<f64>()
        };
        1.0 - (1 - n..n).map(at).fold(f64::NEG_INFINITY, f64::max) / (norm(&a) * norm(&b))
    }

    fn wave(rows: usize, shift: f32) -> Vec<f32> {
        (0..rows).map(|t| ((t as f32 + shift) / 4.0).sin()).collect()
    }

    #[test]
    fn a_small_shift_costs_neither() {
        let (a, b) = (wave(120, 0.0), wave(120, 3.0));
        let difference: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a - b).collect();
        assert!(dtw(&a, &b) < 0.3 * rms(&difference));
        assert!(sbd(&a, &b) < 0.1);
        // A shift by more rows than the band affects one distance but not the other.
        let far = wave(120, 12.6);
        assert!(dtw(&a[..40], &far[..40]) > 0.3 && sbd(&a, &far) < 0.2);
    }

    #[test]
    fn sbd_is_blind_to_level_and_amplitude_and_sees_shape() {
        let a = wave(64, 0.0);
        let scaled: Vec<f32> = a.iter().map(|x| 5.0 + 0.1 * x).collect();
        assert!(sbd(&a, &scaled) < 1e-5);
        let square: Vec<f32> = (0..64).map(|t| if t % 7 < 3 { 0.01 } else { 0.0 }).collect();
        assert!(sbd(&a, &square) > 0.3);
        assert_eq!((sbd(&[2.0; 9], &[3.0; 9]), sbd(&[2.0; 9], &a[..9])), (0.0, 1.0));
        assert_eq!((sbd(&[], &[]), dtw(&[], &[])), (0.0, 0.0));
    }

    proptest! {
        #[test]
        fn naive_versions_agree(
            (a, b) in (1usize..90).prop_flat_map(|n| {
                let values = || prop::collection::vec(-3f32..3.0, n);
                (values(), values())
            }),
        ) {
            let found = f64::from(dtw(&a, &b));
            prop_assert!((found - naive_dtw(&a, &b)).abs() < 1e-5);
            prop_assert!((found - f64::from(dtw(&b, &a))).abs() < 1e-5);
            let difference: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a - b).collect();
            prop_assert!(found <= f64::from(rms(&difference)) + 1e-5);
            if a.len() > 1 {
                prop_assert!((f64::from(sbd(&a, &b)) - naive_sbd(&a, &b)).abs() < 1e-5);
            }
            prop_assert!(dtw(&a, &a) == 0.0 && sbd(&a, &a) < 1e-6);
        }
    }
}
