//! The normal distribution.

use std::f64::consts::SQRT_2;

use statrs::function::erf::erfc_inv;

/// The quantile function of N(0, 1) for p in (0, 1).
pub(crate) fn normal_quantile(p: f64) -> f64 {
    -SQRT_2 * erfc_inv(2.0 * p)
}
