//! Training of a detector's net: gradient descent on a loss over shares of a batch.

use candle_core::Tensor;

use super::adam::{Adam, Rates};
use super::parameters::{Declared, Parameters, Scope, Store};
use super::training::Training;
use crate::config::Schedule;
use crate::error::Result;
use crate::kernels::{Gradients, backward};
use crate::runtime::control::{Control, Phase};
use crate::runtime::pool::spread_over_pool;
use crate::runtime::rng::{Purpose, Rng};

/// Maximum norm of a gradient.
const CLIP: f64 = 5.0;

/// Size and seed of a descent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub learning_rate: f64,
    pub steps: usize,
    /// Shares of a batch, one task each.
    pub shares: usize,
    pub seed: u64,
    /// Number of the net among those trained with this seed.
    pub net: u64,
}

/// Descent on the sum of the losses that `loss` computes for every share of a step. `prepare`
/// computes what the shares need from the whole batch, from the net with constant parameters and
/// the number of the step.
pub(crate) struct Descent<'a, B, P, L> {
    pub plan: Plan,
    /// Builds the net.
    pub build: B,
    /// Initial values of some parameters.
    pub named: &'a Parameters,
    pub prepare: P,
    pub loss: L,
}

/// A net, and the same net with constant parameters; both share their memory.
pub(crate) struct Twins<N> {
    trained: N,
    constant: N,
}

impl<N, S, B, P, L> Training for Descent<'_, B, P, L>
where
    N: Sync,
    S: Sync,
    B: Fn(&mut Scope<'_, '_>) -> Result<N>,
    P: Fn(&N, usize, &dyn Control) -> Result<S>,
    L: Fn(&N, &S, usize) -> Result<Tensor> + Sync,
{
    type Net = Twins<N>;
    type Seen = ();
    type Outcome = Parameters;

    fn phase(&self) -> Phase {
        Phase::Detector
    }

    fn rates(&self) -> Rates {
        let Plan { learning_rate, steps, .. } = self.plan;
        let (schedule, clip) = (Schedule::Cosine, Some(CLIP));
        Rates { learning_rate, psi_learning_rate: 0.0, schedule, steps, clip }
    }

    fn start(&self) -> Result<(Twins<N>, Vec<Declared>)> {
        let Plan { seed, net, .. } = self.plan;
        let stream = |i: u64| Rng::new(seed, Purpose::DetectorInit, [net, i]);
        let (trained, declared) = Store::start(&stream, self.named, &self.build)?;
        let constant = |declared: &Declared| {
            let var = declared.var.as_ref()?;
            Some((declared.name.clone(), var.as_tensor().detach()))
        };
        let constants: Parameters = declared.iter().filter_map(constant).collect();
        let constant = Store::load(&constants, &self.build)?;
        Ok((Twins { trained, constant }, declared))
    }

    fn gradients(
        &self,
        net: &Twins<N>,
        step: usize,
        control: &dyn Control,
    ) -> Result<(f64, Vec<Gradients>)> {
        let prepared = (self.prepare)(&net.constant, step, control)?;
        let loss = &self.loss;
        let done = spread_over_pool(self.plan.shares, control, |share| {
            let loss = loss(&net.trained, &prepared, share)?;
            Ok((f64::from(loss.to_scalar::<f32>()?), backward(&loss)?))
        })?;
        let (losses, gradients): (Vec<f64>, Vec<Gradients>) = done.into_iter().unzip();
        Ok((losses.iter().sum(), gradients))
    }

    fn finish(&self, (): (), optimiser: &Adam, _steps: usize) -> Result<Parameters> {
        optimiser.snapshot()
    }
}
