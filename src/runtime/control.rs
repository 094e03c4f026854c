//! How a caller stops a long computation and follows its progress.

/// What a training is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The VAE.
    Vae,
    /// The nets of a detector.
    Detector,
}

impl Phase {
    /// Its name in displays of progress.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vae => "vae",
            Self::Detector => "detector",
        }
    }
}

/// Where a training is, after an optimiser step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Status {
    /// What is trained.
    pub phase: Phase,
    /// Steps taken, 1 to `steps`; of a detector, those of all its nets. A training that diverged
    /// counts from 1 again.
    pub step: usize,
    /// Most steps.
    pub steps: usize,
    /// Loss of the windows of this step, before it.
    pub loss: f64,
    /// psi after this step; a detector has none.
    pub psi: Option<f64>,
}

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

    /// Called after every optimiser step.
    fn progress(&self, _status: &Status) {}
}

/// Runs to the end with the whole pool.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunToEnd;

impl Control for RunToEnd {}

/// The control of one of several trainings, equally long, that are reported as one.
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
