//! Fused residual blocks in sequence, as one operation.
//!
//! candle accumulates one gradient per tensor, starting from zeros. Inside one operation, the
//! gradient of a hidden activation is written once, already masked by its ReLU, and the two paths
//! back to the input of a block are added on the fly.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::conv::Conv;
use super::conv::ConvSize;
use super::elementwise::{column_sums, gate, through_relu};
use super::gradients;
use super::scratch::{Scratch, empty};
use super::storage::{slice, with_slices};
use super::tiles::{Finish, Reads};

/// Windows that are computed together where no activation is kept: those of so many stay in the
/// cache.
pub(super) const TOGETHER: usize = 12;

/// One convolution of a block: weight [K, C, O], bias [O], geometry.
#[derive(Clone, Debug)]
pub struct Layer {
    /// [K, C, O].
    pub weight: Tensor,
    /// [O].
    pub bias: Tensor,
    /// Taps, stride, dilation and padding.
    pub geometry: Conv,
}

impl Layer {
    pub(super) fn size(&self, batch: usize, rows: usize) -> Result<ConvSize> {
        let (_, inputs, outputs) = self.weight.dims3()?;
        Ok(ConvSize { batch, rows, inputs, outputs })
    }

    pub(super) fn forward(
        &self,
        x: &[f32],
        size: ConvSize,
        finish: Finish<'_>,
    ) -> Result<Vec<f32>> {
        with_slices([&self.weight, &self.bias], |[weight, bias]| {
            self.geometry.forward(x, weight, size, Finish { bias: Some(bias), ..finish })
        })
    }

    /// Rows of the output, those of `reads`, behind the rows of `out`.
    pub(super) fn rows_onto(
        &self,
        out: &mut Vec<f32>,
        x: &[f32],
        size: ConvSize,
        reads: &Reads,
        finish: Finish<'_>,
    ) -> Result<()> {
        with_slices([&self.weight, &self.bias], |[weight, bias]| {
            let finish = Finish { bias: Some(bias), ..finish };
            self.geometry.rows_onto(out, x, weight, size, reads, finish)
        })
    }

    /// Passes on dW and db.
    pub(super) fn hand_over(&self, x: &[f32], g: &[f32], size: ConvSize) -> Result<()> {
        gradients::hand_over(&self.weight, || self.geometry.weight_gradient(x, g, size))?;
        gradients::hand_over(&self.bias, || Ok(column_sums(g, size.outputs)))
    }

    pub(super) fn input_gradient(
        &self,
        g: &[f32],
        size: ConvSize,
        finish: Finish<'_>,
    ) -> Result<Vec<f32>> {
        with_slices([&self.weight], |[weight]| {
            self.geometry.input_gradient(g, weight, size, finish)
        })
    }
}

/// relu(second(relu(first(x))) + skip(x)), x itself where there is no `skip`.
#[derive(Clone, Debug)]
pub struct Block {
    /// First convolution, with ReLU.
    pub first: Layer,
    /// Second convolution.
    pub second: Layer,
    /// Adapts the input to the shape of the output.
    pub skip: Option<Layer>,
}

/// Blocks in sequence: x [B, T, C] -> [B, T', O]. `relu` of the geometries is ignored.
///
/// Weights and biases are either all variables or all constants. Only [`super::backward`] collects
/// gradients of variables.
///
/// # Errors
/// If shapes do not agree or a tensor is not f32 on the CPU.
pub fn blocks(x: &Tensor, blocks: &[Block]) -> Result<Tensor> {
    let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else { return Ok(x.clone()) };
    let layers = blocks.iter().flat_map(|block| {
        [Some(&block.first), Some(&block.second), block.skip.as_ref()].into_iter().flatten()
    });
    let mut parameters = layers.flat_map(|layer| [&layer.weight, &layer.bias]);
    let tracked = x.track_op() || parameters.any(Tensor::track_op);
    let op = Blocks { blocks: blocks.to_vec(), kept: tracked.then(OnceLock::new) };
    // The weights are operands so that candle's backward pass reaches this operation for them, too.
    x.contiguous()?.apply_op3(&first.first.weight, &last.second.weight, op)
}

/// Sizes of the two convolutions of a block; a skip has the input size of the first one.
struct Sizes {
    first: ConvSize,
    second: ConvSize,
    rows: usize,
}

/// Stored for the backward pass of a block: the output of its first convolution, and its own output
/// if another block follows.
struct Activations {
    hidden: Vec<f32>,
    output: Vec<f32>,
}

impl Block {
    fn sizes(&self, batch: usize, rows: usize, channels: usize) -> Result<Sizes> {
        let first = self.first.size(batch, rows)?;
        let second = self.second.size(batch, self.first.geometry.output_rows(rows))?;
        let rows = self.second.geometry.output_rows(second.rows);
        let skipped = match &self.skip {
            Some(skip) => {
                let size = skip.size(batch, first.rows)?;
                (size.inputs, skip.geometry.output_rows(size.rows), size.outputs)
            }
            None => (channels, first.rows, channels),
        };
        if (first.inputs, second.inputs) != (channels, first.outputs)
            || skipped != (channels, rows, second.outputs)
        {
            candle_core::bail!(
                "block: {channels} channels, convolutions of {:?} and {:?}, beside {skipped:?}",
                (first.inputs, first.outputs),
                (second.inputs, rows, second.outputs),
            );
        }
        Ok(Sizes { first, second, rows })
    }

    fn forward(&self, x: &[f32], sizes: &Sizes) -> Result<Activations> {
        let relu = Finish { relu: true, ..Finish::default() };
        let hidden = self.first.forward(x, sizes.first, relu)?;
        let skipped = match &self.skip {
            Some(skip) => {
                let size = ConvSize { outputs: sizes.second.outputs, ..sizes.first };
                Some(Scratch::from(skip.forward(x, size, Finish::default())?))
            }
            None => None,
        };
        let residual = Some(skipped.as_deref().unwrap_or(x));
        let output = self.second.forward(&hidden, sizes.second, Finish { residual, ..relu })?;
        Ok(Activations { hidden, output })
    }

    /// dx, if `wanted`, from the gradient g before the last ReLU; gradients of the parameters are
    /// passed on.
    fn backward(
        &self,
        x: &[f32],
        hidden: &[f32],
        g: &[f32],
        sizes: &Sizes,
        wanted: bool,
    ) -> Result<Option<Vec<f32>>> {
        self.second.hand_over(hidden, g, sizes.second)?;
        let gated = Finish { gate: Some(hidden), ..Finish::default() };
        let g_hidden = Scratch::from(self.second.input_gradient(g, sizes.second, gated)?);
        self.first.hand_over(x, &g_hidden, sizes.first)?;
        let mut skipped = None;
        if let Some(skip) = &self.skip {
            let size = ConvSize { outputs: sizes.second.outputs, ..sizes.first };
            skip.hand_over(x, g, size)?;
            if wanted {
                skipped = Some(Scratch::from(skip.input_gradient(g, size, Finish::default())?));
            }
        }
        let residual = Some(skipped.as_deref().unwrap_or(g));
        let finish = Finish { residual, ..Finish::default() };
        wanted.then(|| self.first.input_gradient(&g_hidden, sizes.first, finish)).transpose()
    }
}

struct Blocks {
    blocks: Vec<Block>,
    /// Set if a backward pass may follow.
    kept: Option<OnceLock<Vec<Activations>>>,
}

impl Blocks {
    /// Sizes of every block, for `batch` windows of `rows` rows of `channels` values.
    fn sizes(&self, (batch, mut rows, mut channels): (usize, usize, usize)) -> Result<Vec<Sizes>> {
        let mut all: Vec<Sizes> = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            let sizes = block.sizes(batch, rows, channels)?;
            (rows, channels) = (sizes.rows, sizes.second.outputs);
            all.push(sizes);
        }
        Ok(all)
    }

    /// The output, and what the backward pass needs.
    fn activations(&self, x: &[f32], all: &[Sizes]) -> Result<(Vec<f32>, Vec<Activations>)> {
        let mut kept: Vec<Activations> = Vec::with_capacity(self.blocks.len());
        for (block, sizes) in self.blocks.iter().zip(all) {
            let step = block.forward(kept.last().map_or(x, |last| &last.output), sizes)?;
            kept.push(step);
        }
        let out = kept.last_mut().map(|last| std::mem::take(&mut last.output)).unwrap_or_default();
        Ok((out, kept))
    }

    /// The output, of `values` values, for windows [`TOGETHER`] at a time.
    fn in_parts(
        &self,
        x: &[f32],
        (_, rows, channels): (usize, usize, usize),
        values: usize,
    ) -> Result<Vec<f32>> {
        let mut out = empty(values);
        let window = (rows * channels).max(1);
        for part in x.chunks(TOGETHER * window) {
            let all = self.sizes((part.len() / window, rows, channels))?;
            let mut last: Option<Scratch> = None;
            for (block, sizes) in self.blocks.iter().zip(&all) {
                let Activations { hidden, output } =
                    block.forward(last.as_deref().unwrap_or(part), sizes)?;
                drop(Scratch::from(hidden));
                last = Some(Scratch::from(output));
            }
            out.extend_from_slice(last.as_deref().unwrap_or(part));
        }
        Ok(out)
    }

    /// dx, if `wanted`; the other gradients are passed on.
    fn backward(
        &self,
        x: &[f32],
        y: &[f32],
        dy: &[f32],
        all: &[Sizes],
        wanted: bool,
    ) -> Result<Option<Vec<f32>>> {
        let Some(kept) = self.kept.as_ref().and_then(OnceLock::get) else {
            candle_core::bail!("blocks: the forward pass was not tracked")
        };
        let mut g = through_relu(dy, y);
        for (i, (block, sizes)) in self.blocks.iter().zip(all).enumerate().rev() {
            let hidden = &kept[i].hidden;
            match i.checked_sub(1).map(|before| &kept[before].output) {
                Some(input) => {
                    let dx = block.backward(input, hidden, &g, sizes, true)?;
                    g = Scratch::from(dx.unwrap_or_default());
                    gate(&mut g, input);
                }
                None => return block.backward(x, hidden, &g, sizes, wanted),
            }
        }
        Ok(None)
    }
}

impl CustomOp3 for Blocks {
    fn name(&self) -> &'static str {
        "genias-blocks"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let size = x_layout.shape().dims3()?;
        let all = self.sizes(size)?;
        let x = slice(x, x_layout)?;
        let shape: Shape = match all.last() {
            Some(last) => (last.second.batch, last.rows, last.second.outputs).into(),
            None => x_layout.shape().clone(),
        };
        let out = match &self.kept {
            Some(slot) => {
                let (out, activations) = self.activations(x, &all)?;
                drop(slot.set(activations));
                out
            }
            None => self.in_parts(x, size, shape.elem_count())?,
        };
        Ok((CpuStorage::F32(out), shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        _: &Tensor,
        _: &Tensor,
        output: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let all = self.sizes(x.dims3()?)?;
        let dx = with_slices([x, output, gradient], |[x_data, y, dy]| {
            self.backward(x_data, y, dy, &all, x.track_op())
        })?;
        Ok((dx.map(|dx| Tensor::from_vec(dx, x.shape(), x.device())).transpose()?, None, None))
    }
}

impl Activations {
    /// Returns the memory for later operations.
    fn recycle(self) {
        drop([Scratch::from(self.hidden), Scratch::from(self.output)]);
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        let kept = self.kept.take().and_then(OnceLock::into_inner);
        kept.into_iter().flatten().for_each(Activations::recycle);
    }
}
