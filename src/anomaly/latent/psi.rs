//! Solves for the psi at which a decoded anomaly has a requested size.

/// Largest psi of the search; any remaining difference in size is scaled.
pub(crate) const MAX_PSI: f64 = 64.0;
/// Relative error of the size that ends the search; the rest is scaled.
const TOLERANCE: f64 = 0.05;
/// psi that is tried if the first one has no effect.
const FIRST: f64 = 2.0;

/// The search for one anomaly, by false position in a bracket: the size of a change grows almost
/// linearly with psi.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    target: f64,
    low: (f64, f64),
    high: Option<(f64, f64)>,
    best: (f64, f64),
}

impl Search {
    /// `plain` is the size at psi = 1.
    pub(crate) fn new(target: f64, plain: f64) -> Self {
        Self { target, low: (1.0, plain), high: None, best: (1.0, plain) }
    }

    /// Records the size at `psi`; returns whether it is the nearest so far.
    pub(crate) fn tell(&mut self, psi: f64, size: f64) -> bool {
        if size >= self.target {
            self.high = Some((psi, size));
        } else if psi >= self.low.0 {
            self.low = (psi, size);
        }
        let better = self.off(size) < self.off(self.best.1);
        if better {
            self.best = (psi, size);
        }
        better
    }

    /// The next psi to try; `None` if the size is close enough, or no psi is left.
    pub(crate) fn next(&self) -> Option<f64> {
        let (low, at_low) = self.low;
        if self.off(self.best.1) < TOLERANCE || at_low >= self.target || low >= MAX_PSI {
            return None;
        }
        let slope = match self.high {
            Some((high, at_high)) => (at_high - at_low) / (high - low),
            // A line through psi = 1, where the residual is 0.
            None if low > 1.0 && at_low > 0.0 => at_low / (low - 1.0),
            None => return Some(if low > 1.0 { MAX_PSI } else { FIRST }),
        };
        let next = low + (self.target - at_low) / slope;
        let most = self.high.map_or(MAX_PSI, |(high, _)| high);
        Some(next.clamp(low, most))
    }

    /// |log(size / target)|.
    fn off(&self, size: f64) -> f64 {
        (size.max(f64::MIN_POSITIVE) / self.target).ln().abs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size at the end of a search, and the number of evaluations.
    fn search(target: f64, first: f64, size: impl Fn(f64) -> f64) -> (f64, usize) {
        let mut search = Search::new(target, size(1.0));
        search.tell(first, size(first));
        let mut asked = 0;
        while let Some(psi) = search.next().filter(|_| asked < 10) {
            assert!((1.0..=MAX_PSI).contains(&psi), "{psi}");
            search.tell(psi, size(psi));
            asked += 1;
        }
        (search.best.1, asked)
    }

    #[test]
    fn near_lines_are_found_at_once() {
        for target in [0.05, 0.5, 3.0] {
            let (found, asked) = search(target, 4.0, |psi| 0.1 * (psi - 1.0));
            assert!((found / target - 1.0).abs() < 0.05 && asked <= 1, "{found} {asked}");
            let (found, asked) = search(target, 4.0, |psi| 0.2 * (psi - 1.0).powf(0.8));
            assert!((found / target - 1.0).abs() < 0.06 && asked <= 4, "{found} {asked}");
        }
    }

    #[test]
    fn what_psi_cannot_do_ends() {
        assert_eq!(search(8.0, 4.0, |psi| 0.01 * (psi - 1.0)).0, 0.01 * 63.0);
        assert_eq!(search(8.0, 4.0, |_| 0.0).0, 0.0);
        // The decoded form differs from the input at every psi.
        assert_eq!(search(0.5, 4.0, |psi| psi).0, 1.0);
    }
}
