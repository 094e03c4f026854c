//! Training of small nets: seeded steps over shares of a batch.

use super::parameters::{Parameters, Variables};
use candle_core::{Device, Tensor, Var};

use crate::config::Schedule;
use crate::error::{Error, Result};
use crate::kernels::{Conv, Gradients, Layer, backward};
use crate::nn::adam::{Adam, Rates};
use crate::runtime::control::{Control, Phase, Status};
use crate::runtime::pool::spread_over_pool;
use crate::runtime::rng::{Purpose, Rng};

/// How often a diverged training starts again, and by what factor the rate falls.
const RETRIES: usize = 3;
const RETRY_FACTOR: f64 = 0.2;
/// Largest norm of a gradient.
const CLIP: f64 = 5.0;

/// Name and shape of every parameter of a net.
pub(crate) type Shapes = Vec<(String, Vec<usize>)>;

/// The parameter `name`.
///
/// # Errors
/// [`Error::Model`] where it is missing.
pub(crate) fn parameter(parameters: &Parameters, name: &str) -> Result<Tensor> {
    let missing = || Error::Model(format!("tensor `{name}` is missing"));
    parameters.get(name).cloned().ok_or_else(missing)
}

/// The convolution `name`.
///
/// # Errors
/// As [`parameter`].
pub(crate) fn layer(parameters: &Parameters, name: &str, geometry: Conv) -> Result<Layer> {
    let weight = parameter(parameters, &format!("{name}.weight"))?;
    Ok(Layer { weight, bias: parameter(parameters, &format!("{name}.bias"))?, geometry })
}

/// Rates of a training of `steps` steps; psi is no parameter of a net.
pub(crate) fn rates(learning_rate: f64, steps: usize) -> Rates {
    let (schedule, clip) = (Schedule::Cosine, Some(CLIP));
    Rates { learning_rate, psi_learning_rate: 0.0, schedule, steps, clip }
}

/// Parameters of an untrained net, uniform by fan-in: weights are [..., inputs, outputs].
pub(crate) fn initialise(shapes: &Shapes, seed: u64, net: u64) -> Result<Variables> {
    let fan_in = |name: &str| -> usize {
        let layer = name.rsplit_once('.').map_or(name, |(layer, _)| layer);
        let weight = format!("{layer}.weight");
        let shape = shapes.iter().find(|(name, _)| *name == weight).map(|(_, shape)| shape);
        shape.map_or(1, |shape| shape[..shape.len() - 1].iter().product())
    };
    let parameter = |(i, (name, shape)): (usize, &(String, Vec<usize>))| -> Result<_> {
        let mut rng = Rng::new(seed, Purpose::DetectorInit, [net, i as u64]);
        let bound = 1.0 / (fan_in(name).max(1) as f64).sqrt();
        let values = rng.symmetric(shape.iter().product(), bound);
        Ok((name.clone(), Var::from_vec(values, shape.as_slice(), &Device::Cpu)?))
    };
    shapes.iter().enumerate().map(parameter).collect()
}

/// Descends the sum of the losses that `loss` gives for every share of a step. A training that
/// diverges starts again at a lower rate.
///
/// # Errors
/// [`Error::Diverged`], [`Error::Interrupted`].
pub(crate) fn descend(
    start: impl Fn() -> Result<Variables>,
    rates: Rates,
    shares: usize,
    control: &dyn Control,
    loss: impl Fn(&Parameters, usize, usize) -> Result<Tensor> + Sync,
) -> Result<Parameters> {
    let prepare = |_: &Parameters, step: usize| Ok(step);
    let loss = |parameters: &Parameters, step: &usize, share| loss(parameters, *step, share);
    descend_prepared(start, rates, (shares, control), prepare, loss)
}

/// As [`descend`], where shares need something of the whole batch: `prepare` makes it before every
/// step, of constant parameters and the number of the step.
///
/// # Errors
/// As [`descend`].
pub(crate) fn descend_prepared<P: Sync>(
    start: impl Fn() -> Result<Variables>,
    rates: Rates,
    (shares, control): (usize, &dyn Control),
    prepare: impl Fn(&Parameters, usize) -> Result<P>,
    loss: impl Fn(&Parameters, &P, usize) -> Result<Tensor> + Sync,
) -> Result<Parameters> {
    let mut factor = 1.0;
    for retry in 0..=RETRIES {
        match attempt(start()?, (rates, factor), (shares, control), &prepare, &loss)? {
            Ok(parameters) => return Ok(parameters),
            Err(step) if retry == RETRIES => {
                let learning_rate = rates.learning_rate * factor;
                return Err(Error::Diverged { step, retries: RETRIES, learning_rate });
            }
            Err(_) => factor *= RETRY_FACTOR,
        }
    }
    Err(Error::Interrupted)
}

/// The trained parameters, or the step at which the loss was not finite.
fn attempt<P: Sync>(
    vars: Variables,
    (rates, factor): (Rates, f64),
    (shares, control): (usize, &dyn Control),
    prepare: &impl Fn(&Parameters, usize) -> Result<P>,
    loss: &(impl Fn(&Parameters, &P, usize) -> Result<Tensor> + Sync),
) -> Result<std::result::Result<Parameters, usize>> {
    let parameters: Parameters =
        vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
    // They share their memory with the variables.
    let constants: Parameters =
        parameters.iter().map(|(name, tensor)| (name.clone(), tensor.detach())).collect();
    let mut optimiser = Adam::new(vars, rates, factor);
    for step in 0..rates.steps {
        if control.cancelled() {
            return Err(Error::Interrupted);
        }
        let prepared = prepare(&constants, step)?;
        let done = spread_over_pool(shares, control, |share| {
            let loss = loss(&parameters, &prepared, share)?;
            Ok((f64::from(loss.to_scalar::<f32>()?), backward(&loss)?))
        })?;
        let (losses, gradients): (Vec<f64>, Vec<Gradients>) = done.into_iter().unzip();
        if !optimiser.step(&gradients, step, control)? {
            return Ok(Err(step));
        }
        let (step, loss) = (step + 1, losses.iter().sum());
        let status = Status { phase: Phase::Detector, step, steps: rates.steps, loss, psi: None };
        control.progress(&status);
    }
    Ok(Ok(optimiser.snapshot()?))
}

/// Mean over `count` of the binary cross-entropy of logits against targets of the same shape,
/// summed: max(z, 0) - z y + log(1 + exp(-|z|)).
pub(crate) fn cross_entropy(
    logits: &Tensor,
    targets: &Tensor,
    count: usize,
) -> candle_core::Result<Tensor> {
    let softplus = (logits.abs()?.neg()?.exp()? + 1.0)?.log()?;
    let losses = ((logits.relu()? - (logits * targets)?)? + softplus)?;
    losses.sum_all()?.affine(1.0 / count as f64, 0.0)
}
