//! What the caller of a long computation can do to it.

/// Stop, share of the pool, and progress of a fit.
pub trait Control: Sync {
    /// Whether to give up; asked at every step and every block of windows.
    fn cancelled(&self) -> bool {
        false
    }

    /// Whether this fit should spread over the whole pool. With several fits at once each keeps to
    /// its own thread. The answer changes nothing but speed.
    fn alone(&self) -> bool {
        true
    }

    /// Told after every validation: steps taken, most steps, training loss.
    fn progress(&self, _step: usize, _steps: usize, _loss: f64) {}
}

/// Runs to the end with the whole pool.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunToEnd;

impl Control for RunToEnd {}
