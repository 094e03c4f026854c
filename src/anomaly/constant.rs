//! Anomalies of features that are constant in training.

/// Height of a pulse on a constant: a flag flips, anything else moves by a tenth or by 1.
pub(crate) fn pulse(constant: f64, up: bool) -> f64 {
    const SAME: f64 = 1e-3;
    if (constant - 1.0).abs() < SAME {
        -1.0
    } else if constant.abs() < SAME || (constant + 1.0).abs() < SAME {
        1.0
    } else {
        let height = f64::max(1.0, 0.1 * constant.abs());
        if up { height } else { -height }
    }
}
