//! Metrics of a ranking: how well scores rank anomalous rows above normal ones, independent of a
//! threshold.

use super::input::check;
use crate::error::Result;

/// Area under the ROC curve, in [0, 1]: the probability that an anomalous row scores higher than a
/// normal one, where a tie counts one half (Mann-Whitney; Fawcett, "An introduction to ROC
/// analysis", 2006). `None` unless there are rows of both kinds.
///
/// # Errors
/// If lengths differ or a score is not finite.
pub fn auc_roc(scores: &[f64], labels: &[bool]) -> Result<Option<f64>> {
    check(scores, labels)?;
    let mut twice_area = 0u128;
    let mut last = (0, 0);
    let (positives, negatives) = curve(scores, labels, |tp, fp| {
        twice_area += (fp - last.1) as u128 * (tp + last.0) as u128;
        last = (tp, fp);
    });
    let pairs = positives as f64 * negatives as f64;
    Ok((pairs > 0.0).then(|| twice_area as f64 / (2.0 * pairs)))
}

/// Average precision, in [0, 1]: the sum over distinct thresholds of precision times the gain in
/// recall, without interpolation (Manning et al., "Introduction to Information Retrieval", 2008,
/// section 8.4; `average_precision_score` of scikit-learn). `None` without an anomalous row, 1 when
/// all are.
///
/// # Errors
/// As [`auc_roc`].
pub fn auc_pr(scores: &[f64], labels: &[bool]) -> Result<Option<f64>> {
    check(scores, labels)?;
    let (mut sum, mut last) = (0.0, 0);
    let (positives, _) = curve(scores, labels, |tp, fp| {
        sum += (tp - last) as f64 * tp as f64 / (tp + fp) as f64;
        last = tp;
    });
    Ok((positives > 0).then(|| sum / positives as f64))
}

/// Largest F1 over all thresholds, in (0, 1]: an **oracle**, since the threshold is chosen with the
/// labels that it is evaluated on. `None` without an anomalous row.
///
/// # Errors
/// As [`auc_roc`].
pub fn best_f1(scores: &[f64], labels: &[bool]) -> Result<Option<f64>> {
    check(scores, labels)?;
    let positives = labels.iter().filter(|label| **label).count();
    let mut best = 0.0f64;
    curve(scores, labels, |tp, fp| {
        best = best.max(2.0 * tp as f64 / (positives + tp + fp) as f64);
    });
    Ok((positives > 0).then_some(best))
}

/// At every distinct score, from the highest down, passes the numbers of anomalous and of normal
/// rows with at least this score to `visit`; returns the total numbers.
fn curve(scores: &[f64], labels: &[bool], mut visit: impl FnMut(usize, usize)) -> (usize, usize) {
    let sorted = |wanted: bool| {
        let rows = scores.iter().zip(labels).filter(|(_, label)| **label == wanted);
        let mut scores: Vec<f64> = rows.map(|(score, _)| *score).collect();
        scores.sort_unstable_by(|a, b| b.total_cmp(a));
        scores
    };
    let (positive, negative) = rayon::join(|| sorted(true), || sorted(false));
    let (mut tp, mut fp) = (0, 0);
    loop {
        let threshold = match (positive.get(tp), negative.get(fp)) {
            (Some(a), Some(b)) => a.max(*b),
            (Some(next), None) | (None, Some(next)) => *next,
            (None, None) => return (tp, fp),
        };
        tp += positive[tp..].iter().take_while(|score| **score >= threshold).count();
        fp += negative[fp..].iter().take_while(|score| **score >= threshold).count();
        visit(tp, fp);
    }
}
