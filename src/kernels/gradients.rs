//! Gradients of weights, collected outside of candle's graph.
//!
//! candle accumulates one gradient per tensor, starting from zeros, which costs more than the
//! product itself for the large linear layers. Inside [`backward`], the fused operations pass the
//! gradients of their weights on here instead. The gradient of a linear layer stays a product of
//! two thin matrices until all shares of a batch are there.

use std::cell::RefCell;
use std::collections::HashMap;

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, TensorId};

use super::elementwise::add;
use super::matrix::{View, matmul, matmul_add};
use super::storage::with_slices;

thread_local! {
    static OPEN: RefCell<Option<HashMap<TensorId, PartialGradient>>> = const { RefCell::new(None) };
}

/// The gradient of one weight from one share of a batch.
#[derive(Debug)]
enum PartialGradient {
    /// Its values.
    Dense(Vec<f32>),
    /// x^T g, of the layer's input [n, inputs] and the gradient of its output [n, outputs].
    Product { x: Vec<f32>, g: Vec<f32> },
}

/// The gradients of one share.
#[derive(Debug)]
pub struct Gradients {
    parts: HashMap<TensorId, PartialGradient>,
    rest: GradStore,
}

/// Gradients of `loss` with respect to every variable.
///
/// # Errors
/// If a backward pass fails.
pub fn backward(loss: &Tensor) -> Result<Gradients> {
    OPEN.set(Some(HashMap::new()));
    let rest = loss.backward();
    let parts = OPEN.take().unwrap_or_default();
    Ok(Gradients { parts, rest: rest? })
}

/// Passes the gradient of `weight` on; returns it as a tensor outside of [`backward`].
pub(super) fn dense(weight: &Tensor, gradient: Vec<f32>) -> Result<Option<Tensor>> {
    let left = OPEN.with_borrow_mut(|open| match open {
        Some(parts) if weight.is_variable() => add_dense(
            parts.entry(weight.id()).or_insert(PartialGradient::Dense(Vec::new())),
            gradient,
        ),
        _ => Some(gradient),
    });
    left.map(|gradient| Tensor::from_vec(gradient, weight.shape(), weight.device())).transpose()
}

/// Adds the second gradient of a weight that is used twice.
fn add_dense(part: &mut PartialGradient, gradient: Vec<f32>) -> Option<Vec<f32>> {
    match part {
        PartialGradient::Dense(sum) if sum.is_empty() => *sum = gradient,
        PartialGradient::Dense(sum) => add(sum, &gradient),
        // A layer is either linear or not.
        PartialGradient::Product { .. } => return Some(gradient),
    }
    None
}

/// Passes on the gradient of a parameter that is not an operand of its operation, if it is needed.
///
/// # Errors
/// Outside of [`backward`], or for a parameter that is computed.
pub(super) fn hand_over(
    parameter: &Tensor,
    gradient: impl FnOnce() -> Result<Vec<f32>>,
) -> Result<()> {
    if !parameter.track_op() {
        return Ok(());
    }
    match dense(parameter, gradient()?)? {
        None => Ok(()),
        Some(_) => {
            candle_core::bail!("gradients of a block are taken by genias::kernels::backward")
        }
    }
}

/// As [`dense`], for the weight [inputs, outputs] of a linear layer: x^T g.
pub(super) fn product(weight: &Tensor, x: &[f32], g: &[f32]) -> Result<Option<Tensor>> {
    let open = OPEN.with_borrow_mut(|open| {
        let Some(parts) = open.as_mut().filter(|_| weight.is_variable()) else { return false };
        let part = parts
            .entry(weight.id())
            .or_insert_with(|| PartialGradient::Product { x: Vec::new(), g: Vec::new() });
        let PartialGradient::Product { x: inputs, g: gradients } = part else { return false };
        inputs.extend_from_slice(x);
        gradients.extend_from_slice(g);
        true
    });
    if open {
        return Ok(None);
    }
    let (inputs, outputs) = weight.dims2()?;
    let rows = x.len() / inputs.max(1);
    let dw = matmul(View::new(x, rows, inputs).t(), View::new(g, rows, outputs))?;
    Ok(Some(Tensor::from_vec(dw, (inputs, outputs), weight.device())?))
}

/// Values of a weight per task: enough work for a task.
const VALUES_PER_TASK: usize = 1 << 16;

/// The gradient of one weight from a batch: the sum over its shares, in order.
pub struct Summed<'a> {
    weight: &'a Tensor,
    shares: &'a [Gradients],
    cols: usize,
}

impl<'a> Summed<'a> {
    /// Of `weight` by `shares`.
    pub fn new(weight: &'a Tensor, shares: &'a [Gradients]) -> Self {
        let cols = weight.dims().last().copied().unwrap_or(1).max(1);
        Self { weight, shares, cols }
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.weight.elem_count()
    }

    /// Whether the weight has no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ranges of values for the tasks, whole rows each. They do not depend on the number of
    /// threads.
    pub fn ranges(&self) -> Vec<std::ops::Range<usize>> {
        let step = (VALUES_PER_TASK / self.cols).max(1) * self.cols;
        (0..self.len()).step_by(step).map(|at| at..(at + step).min(self.len())).collect()
    }

    /// The values in `range`, one of [`Summed::ranges`].
    ///
    /// # Errors
    /// If sizes do not agree.
    pub fn values(&self, range: std::ops::Range<usize>) -> Result<Vec<f32>> {
        let mut sum: Option<Vec<f32>> = None;
        for share in self.shares {
            match share.parts.get(&self.weight.id()) {
                Some(PartialGradient::Product { x, g }) => {
                    self.add_product(&mut sum, x, g, &range)?
                }
                Some(PartialGradient::Dense(values)) => {
                    add(sum.get_or_insert_with(|| vec![0.0; range.len()]), &values[range.clone()]);
                }
                None => {}
            }
            if let Some(gradient) = share.rest.get(self.weight) {
                with_slices([gradient], |[values]| {
                    add(sum.get_or_insert_with(|| vec![0.0; range.len()]), &values[range.clone()]);
                    Ok(())
                })?;
            }
        }
        Ok(sum.unwrap_or_else(|| vec![0.0; range.len()]))
    }

    /// Adds the values of x^T g in `range` to `sum`.
    fn add_product(
        &self,
        sum: &mut Option<Vec<f32>>,
        x: &[f32],
        g: &[f32],
        range: &std::ops::Range<usize>,
    ) -> Result<()> {
        let (first, inputs) = (range.start / self.cols, self.len() / self.cols);
        let (n, taken) = (g.len() / self.cols, range.len() / self.cols);
        let x = View::strided(x.get(first..).unwrap_or_default(), n, taken, inputs).t();
        let g = View::new(g, n, self.cols);
        match sum {
            None => *sum = Some(matmul(x, g)?),
            Some(sum) => matmul_add(x, g, sum, self.cols)?,
        }
        Ok(())
    }
}
