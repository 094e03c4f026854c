//! Progress of the fits of this process: counts, and the state of every running training.
//!
//! Python polls it from its own thread; nothing here calls Python. A call announces all of its
//! groups before the first fit ([`Plan`]).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use genias::{Control, Phase, Status};
use serde::Serialize;

use crate::pool::CallControl;

/// Counts since the process started.
#[derive(Clone, Copy, Debug, Serialize)]
struct Tally {
    /// Announced by calls.
    planned: usize,
    /// Fitted, or found.
    done: usize,
    /// Of these, found in the cache or fitted by another call.
    cached: usize,
    /// Announced by calls that ended early.
    abandoned: usize,
    /// Total time of the trainings that ended.
    seconds: f64,
}

impl Tally {
    const NONE: Self = Self { planned: 0, done: 0, cached: 0, abandoned: 0, seconds: 0.0 };

    fn add(&mut self, done: usize, cached: bool) {
        self.done += done;
        self.cached += if cached { done } else { 0 };
    }
}

/// A running training; non-finite numbers are null in JSON.
#[derive(Clone, Copy, Debug, Serialize)]
struct Running {
    /// Increases with every start.
    id: u64,
    phase: &'static str,
    step: usize,
    steps: usize,
    loss: Option<f64>,
    psi: Option<f64>,
    seconds: f64,
    #[serde(skip)]
    started: Instant,
}

/// The snapshot that Python gets.
#[derive(Clone, Debug, Serialize)]
struct Snapshot {
    groups: Tally,
    vae: Tally,
    detector: Tally,
    running: Vec<Running>,
}

struct Registry {
    groups: Tally,
    vae: Tally,
    detector: Tally,
    running: BTreeMap<u64, Running>,
    started: u64,
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry {
    groups: Tally::NONE,
    vae: Tally::NONE,
    detector: Tally::NONE,
    running: BTreeMap::new(),
    started: 0,
});

/// Ignores poisoning: the counts are consistent after every step.
fn registry() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registry {
    fn tally(&mut self, phase: Phase) -> &mut Tally {
        match phase {
            Phase::Vae => &mut self.vae,
            Phase::Detector => &mut self.detector,
        }
    }
}

/// Counts and running trainings as JSON.
pub fn snapshot() -> serde_json::Result<String> {
    let registry = registry();
    let shown = |running: &Running| Running {
        seconds: running.started.elapsed().as_secs_f64(),
        ..*running
    };
    let snapshot = Snapshot {
        groups: registry.groups,
        vae: registry.vae,
        detector: registry.detector,
        running: registry.running.values().map(shown).collect(),
    };
    drop(registry);
    serde_json::to_string(&snapshot)
}

/// The trainings of one call, and its control. A group is done when its last training is.
pub struct Plan {
    pub control: CallControl,
    groups: usize,
    parts: Vec<(Phase, AtomicUsize)>,
}

impl Plan {
    /// Announces the trainings of `phases`, in this order, for each of `groups` groups.
    pub fn new(groups: usize, phases: &[Phase]) -> Self {
        let parts: Vec<_> = phases.iter().map(|phase| (*phase, AtomicUsize::new(0))).collect();
        let plan = Self { control: CallControl::new(), groups, parts };
        plan.count(|tally, _| tally.planned += groups);
        plan
    }

    /// Applies `change` to the tally of every phase and then of the groups, with the number that is
    /// done.
    fn count(&self, change: impl Fn(&mut Tally, usize)) {
        let mut registry = registry();
        for (phase, done) in &self.parts {
            change(registry.tally(*phase), done.load(Ordering::Relaxed));
        }
        if let Some((_, done)) = self.parts.last() {
            change(&mut registry.groups, done.load(Ordering::Relaxed));
        }
    }

    /// Counts `n` groups whose `phase` is done.
    fn done(&self, registry: &mut Registry, phase: Phase, n: usize, cached: bool) {
        let Some(i) = self.parts.iter().position(|(part, _)| *part == phase) else { return };
        self.parts[i].1.fetch_add(n, Ordering::Relaxed);
        registry.tally(phase).add(n, cached);
        if i + 1 == self.parts.len() {
            registry.groups.add(n, cached);
        }
    }

    /// Counts `n` groups whose `phase` needed no training of this call.
    pub fn found(&self, phase: Phase, n: usize) {
        self.done(&mut registry(), phase, n, true);
    }

    /// A training starts.
    pub fn begin(&self, phase: Phase) -> Training<'_> {
        let mut registry = registry();
        registry.started += 1;
        let (id, started) = (registry.started, Instant::now());
        if self.parts.iter().any(|(part, _)| *part == phase) {
            let phase = phase.name();
            let (loss, psi, seconds) = (None, None, 0.0);
            let running = Running { id, phase, step: 0, steps: 0, loss, psi, seconds, started };
            registry.running.insert(id, running);
        }
        Training { plan: self, phase, id, is_whole: false }
    }
}

/// Counts the trainings that a failed call did not reach as abandoned.
impl Drop for Plan {
    fn drop(&mut self) {
        self.count(|tally, done| tally.abandoned += self.groups.saturating_sub(done));
    }
}

/// A running training, and the control that receives its progress.
pub struct Training<'a> {
    plan: &'a Plan,
    phase: Phase,
    id: u64,
    is_whole: bool,
}

impl Training<'_> {
    /// Ends the training.
    pub fn finish(mut self) {
        self.is_whole = true;
    }
}

impl Drop for Training<'_> {
    fn drop(&mut self) {
        let mut registry = registry();
        if let Some(running) = registry.running.remove(&self.id) {
            registry.tally(self.phase).seconds += running.started.elapsed().as_secs_f64();
        }
        if self.is_whole {
            self.plan.done(&mut registry, self.phase, 1, false);
        }
    }
}

impl Control for Training<'_> {
    fn cancelled(&self) -> bool {
        self.plan.control.cancelled()
    }

    fn alone(&self) -> bool {
        self.plan.control.alone()
    }

    fn progress(&self, status: &Status) {
        if let Some(running) = registry().running.get_mut(&self.id) {
            (running.step, running.steps) = (status.step, status.steps);
            (running.loss, running.psi) = (Some(status.loss), status.psi);
        }
    }
}
