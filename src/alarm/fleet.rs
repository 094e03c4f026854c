//! Alarms of many series together.
//!
//! A series with alarms has p = 1 - (1 - p_min)^m: the probability that m independent excursions of
//! normal rows contain a score as improbable as its most improbable alarm. Of many series, the ones with
//! the smallest p keep their alarms, as many as the procedure of Benjamini and Hochberg (JRSS B 1995)
//! accepts: the k smallest, for the largest k with p_(k) <= share k / series. The expected share of series
//! without a true alarm among them is then at most `share`.

/// Probability that one of `excursions` independent excursions of normal rows has a p-value of at most `p`.
pub(crate) fn p_of_any(p: f64, excursions: f64) -> f64 {
    -(excursions.max(1.0) * (-p.clamp(0.0, 1.0)).ln_1p()).exp_m1()
}

/// Which of the series with these p-values keep their alarms, if at most a share `share` of the kept ones
/// may have false alarms only.
pub fn kept_of_fleet(p: &[f64], share: f64) -> Vec<bool> {
    let mut sorted = p.to_vec();
    sorted.sort_by(f64::total_cmp);
    let accepts = |i: &usize| sorted[*i] <= share * (i + 1) as f64 / p.len() as f64;
    let line = (0..p.len()).rev().find(accepts).map(|i| sorted[i]);
    p.iter().map(|p| line.is_some_and(|line| *p <= line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::rng::{Purpose, Rng};

    #[test]
    fn the_example_of_the_paper() {
        // Benjamini & Hochberg 1995, section 3.2: the first four of 15 at 0.05.
        let p = [
            0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262,
            0.5719, 0.6528, 0.7590, 1.0,
        ];
        let kept = kept_of_fleet(&p, 0.05);
        assert_eq!(kept.iter().filter(|kept| **kept).count(), 4);
        assert!(kept[..4].iter().all(|kept| *kept));
        assert_eq!(kept_of_fleet(&[1.0, 0.9], 0.1), [false; 2]);
        assert!(kept_of_fleet(&[], 0.1).is_empty());
    }

    /// 60 normal series and 40 with a small p: the share of normal ones among the kept ones.
    #[test]
    fn the_share_of_false_groups_is_kept() {
        let mut rng = Rng::new(1, Purpose::Detector, [3, 0]);
        let mut shares = Vec::new();
        for _ in 0..200 {
            let p: Vec<f64> =
                (0..100).map(|i| rng.uniform() * if i < 60 { 1.0 } else { 1e-3 }).collect();
            let kept = kept_of_fleet(&p, 0.2);
            let of =
                |range: std::ops::Range<usize>| kept[range].iter().filter(|k| **k).count() as f64;
            assert!(of(60..100) > 35.0);
            shares.push(of(0..60) / (of(0..60) + of(60..100)));
        }
        let mean = shares.iter().sum::<f64>() / 200.0;
        assert!((0.06..=0.2).contains(&mean), "{mean}");
    }

    #[test]
    fn one_of_many_excursions_is_more_probable() {
        assert!((p_of_any(0.01, 10.0) - 0.095_617_92).abs() < 1e-6);
        assert!((p_of_any(1e-12, 100.0) - 1e-10).abs() < 1e-14);
        assert_eq!([p_of_any(1.0, 3.0), p_of_any(0.0, 3.0)], [1.0, 0.0]);
    }
}
