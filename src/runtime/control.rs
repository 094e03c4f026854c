//! Control of a long computation: stop and progress.

/// Purpose of a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The VAE.
    Vae,
    /// The nets of a detector.
    Detector,
}

impl Phase {
    /// Its name in progress displays.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vae => "vae",
            Self::Detector => "detector",
        }
    }
}

/// State of a training after an optimiser step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Status {
    /// Purpose of the training.
    pub phase: Phase,
    /// Steps so far, 1 to `steps`; for a detector, those of all its nets. A training that diverged
    /// restarts at 1.
    pub step: usize,
    /// Maximum number of steps.
    pub steps: usize,
    /// Loss of the windows of this step, before it.
    pub loss: f64,
    /// psi after this step; `None` for a detector.
    pub psi: Option<f64>,
}

/// Stop signal, pool use and progress of a computation.
pub trait Control: Sync {
    /// Whether to stop; called at every step and every block of windows.
    fn cancelled(&self) -> bool {
        false
    }

    /// Whether this computation can use the whole pool. With several fits at once, each stays on
    /// its own thread. Only affects speed.
    fn alone(&self) -> bool {
        true
    }

    /// Called after every optimiser step.
    fn progress(&self, _status: &Status) {}
}

/// Runs to the end with the whole pool.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunToEnd;

impl Control for RunToEnd {}

/// The control of one of several equally long trainings that are reported as one.
pub(crate) struct Part<'a> {
    whole: &'a dyn Control,
    index: usize,
    count: usize,
}

impl<'a> Part<'a> {
    /// Training `index` of `count` (0-based).
    pub(crate) fn new(whole: &'a dyn Control, index: usize, count: usize) -> Self {
        Self { whole, index, count }
    }
}

impl Control for Part<'_> {
    fn cancelled(&self) -> bool {
        self.whole.cancelled()
    }

    fn alone(&self) -> bool {
        self.whole.alone()
    }

    fn progress(&self, status: &Status) {
        let before = self.index.saturating_mul(status.steps);
        let step = before.saturating_add(status.step);
        let steps = self.count.saturating_mul(status.steps);
        self.whole.progress(&Status { step, steps, ..*status });
    }
}
