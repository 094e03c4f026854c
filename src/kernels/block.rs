//! Fused residual block: two convolutions and what skips them, as one operation.
//!
//! candle keeps a gradient per tensor that it fills with zeros and adds to. Inside one operation the
//! gradient of the hidden activation is written once, already gated by its ReLU, and the two ways
//! back to the input meet where they are computed.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::conv::Size;
use super::elementwise::{column_sums, through_relu};
use super::scratch::Scratch;
use super::tiles::Finish;
use super::{Conv, gradients, slice, with_slices};

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
    fn size(&self, batch: usize, rows: usize) -> Result<Size> {
        let (_, inputs, outputs) = self.weight.dims3()?;
        Ok(Size { batch, rows, inputs, outputs })
    }

    fn forward(&self, x: &[f32], size: Size, residual: Option<&[f32]>, relu: bool) -> Result<Vec<f32>> {
        with_slices([&self.weight, &self.bias], |[weight, bias]| {
            let finish = Finish { bias: Some(bias), residual, relu, gate: None };
            self.geometry.forward(x, weight, size, finish)
        })
    }

    /// Hands over dW and db.
    fn hand_over(&self, x: &[f32], g: &[f32], size: Size) -> Result<()> {
        gradients::hand_over(&self.weight, || self.geometry.weight_gradient(x, g, size))?;
        gradients::hand_over(&self.bias, || Ok(column_sums(g, size.outputs)))
    }

    fn input_gradient(&self, g: &[f32], size: Size, finish: Finish<'_>) -> Result<Vec<f32>> {
        with_slices([&self.weight], |[weight]| {
            self.geometry.input_gradient(g, weight, size, finish)
        })
    }
}

struct Block {
    first: Layer,
    second: Layer,
    skip: Option<Layer>,
    /// Output of the first convolution, where a backward pass may follow.
    hidden: Option<OnceLock<Vec<f32>>>,
}

/// relu(second(relu(first(x))) + skip(x)), x itself where there is no `skip`: x [B, T, C] ->
/// [B, T', O]. `relu` of the geometries is not looked at.
///
/// Weights and biases are constants or variables; their gradients are taken by
/// [`super::backward`] only.
///
/// # Errors
/// When shapes do not agree or a tensor is not f32 on the CPU.
pub fn block(x: &Tensor, first: &Layer, second: &Layer, skip: Option<&Layer>) -> Result<Tensor> {
    let layers = [Some(first), Some(second), skip].into_iter().flatten();
    let tracked = layers.flat_map(|layer| [&layer.weight, &layer.bias]).chain([x]);
    let op = Block {
        first: first.clone(),
        second: second.clone(),
        skip: skip.cloned(),
        hidden: tracked.into_iter().any(Tensor::track_op).then(OnceLock::new),
    };
    // The weights are operands so that candle comes back to this operation for their sake too.
    x.contiguous()?.apply_op3(&first.weight, &second.weight, op)
}

/// Sizes of the two convolutions; that of a skip is the first one's.
struct Sizes {
    first: Size,
    second: Size,
    rows: usize,
}

impl Block {
    fn sizes(&self, shape: &Shape) -> Result<Sizes> {
        let (batch, rows, channels) = shape.dims3()?;
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
        if first.inputs != channels
            || second.inputs != first.outputs
            || skipped != (channels, rows, second.outputs)
        {
            candle_core::bail!(
                "block: {channels} channels, {first_in} -> {first_out}, {second_in} -> {rows}x{out} \
                 beside {skipped:?}",
                first_in = first.inputs,
                first_out = first.outputs,
                second_in = second.inputs,
                out = second.outputs,
            );
        }
        Ok(Sizes { first, second, rows })
    }

    fn skip_size(&self, sizes: &Sizes) -> Size {
        Size { outputs: sizes.second.outputs, ..sizes.first }
    }

    /// dx, where it is `wanted`; the other gradients are handed over.
    fn backward(
        &self,
        x: &[f32],
        y: &[f32],
        dy: &[f32],
        sizes: &Sizes,
        wanted: bool,
    ) -> Result<Option<Vec<f32>>> {
        let Some(hidden) = self.hidden.as_ref().and_then(OnceLock::get) else {
            candle_core::bail!("block: its forward pass was not tracked")
        };
        let g = through_relu(dy, y);
        self.second.hand_over(hidden, &g, sizes.second)?;
        let gated = Finish { gate: Some(hidden), ..Finish::default() };
        let g_hidden = Scratch::from(self.second.input_gradient(&g, sizes.second, gated)?);
        self.first.hand_over(x, &g_hidden, sizes.first)?;
        let skipped = match &self.skip {
            Some(skip) => {
                let size = self.skip_size(sizes);
                skip.hand_over(x, &g, size)?;
                let dx = wanted.then(|| skip.input_gradient(&g, size, Finish::default()));
                dx.transpose()?.map(Scratch::from)
            }
            None => Some(g),
        };
        let finish = Finish { residual: skipped.as_deref(), ..Finish::default() };
        wanted.then(|| self.first.input_gradient(&g_hidden, sizes.first, finish)).transpose()
    }
}

impl CustomOp3 for Block {
    fn name(&self) -> &'static str {
        "genias-block"
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
        let sizes = self.sizes(x_layout.shape())?;
        let x = slice(x, x_layout)?;
        let hidden = self.first.forward(x, sizes.first, None, true)?;
        let skipped = match &self.skip {
            Some(skip) => Some(skip.forward(x, self.skip_size(&sizes), None, false)?),
            None => None,
        }
        .map(Scratch::from);
        let residual = Some(skipped.as_deref().unwrap_or(x));
        let out = self.second.forward(&hidden, sizes.second, residual, true)?;
        match &self.hidden {
            Some(kept) => drop(kept.set(hidden)),
            None => drop(Scratch::from(hidden)),
        }
        let shape = (sizes.first.batch, sizes.rows, sizes.second.outputs).into();
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
        let sizes = self.sizes(x.shape())?;
        let dx = with_slices([x, output, gradient], |[x_data, y, dy]| {
            self.backward(x_data, y, dy, &sizes, x.track_op())
        })?;
        Ok((dx.map(|dx| Tensor::from_vec(dx, x.shape(), x.device())).transpose()?, None, None))
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.hidden.take().and_then(OnceLock::into_inner).map(Scratch::from);
    }
}
