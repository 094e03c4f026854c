//! Fused layers of the decoder after its first one, as one operation.
//!
//! As in [`super::blocks()`]: the gradient of a hidden activation is written once, already masked by
//! its ReLU, and not added to a buffer of zeros.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::blocks::{Layer, TOGETHER};
use super::conv::ConvSize;
use super::elementwise::{column_sums, finish};
use super::gradients;
use super::linear::input_gradient;
use super::matrix::{View, matmul};
use super::scratch::{Scratch, empty};
use super::storage::{slice, with_slices};
use super::tiles::Finish;
use super::upsample;

/// A weight and its bias.
#[derive(Clone, Debug)]
pub struct Affine {
    /// [inputs, outputs], or [C, 4, O] of a transposed convolution.
    pub weight: Tensor,
    /// [outputs].
    pub bias: Tensor,
}

impl Affine {
    /// The latent units L of a linear path to `values` values, for `batch` latents [B, L].
    pub(super) fn latent(&self, z: &[f32], batch: usize, values: usize) -> Result<usize> {
        let (latent, outputs) = self.weight.dims2()?;
        if outputs != values || latent * batch != z.len() {
            candle_core::bail!("decode: linear path {latent}x{outputs} to {values} values");
        }
        let bias = self.bias.elem_count();
        if bias != outputs {
            candle_core::bail!("decode: bias of {bias} values, needs {outputs}");
        }
        Ok(latent)
    }
}

/// out(up(... up(hidden))) + z B + b: transposed convolutions that double the rows, the first `rows`
/// of them, a convolution, and a linear path.
#[derive(Clone, Debug)]
pub struct Decoding {
    /// Transposed convolutions with ReLU, at least one.
    pub ups: Vec<Affine>,
    /// The convolution onto the features; it keeps the number of rows.
    pub out: Layer,
    /// [L, W D].
    pub linear: Option<Affine>,
    /// Rows W of a window.
    pub rows: usize,
}

/// hidden [B, T, C] and z [B, L] -> [B, W, D]. `relu` of the geometry is ignored.
///
/// Weights and biases are either all variables or all constants. Only [`super::backward`] collects
/// gradients of variables.
///
/// # Errors
/// If shapes do not agree or a tensor is not f32 on the CPU.
pub fn decode(hidden: &Tensor, z: &Tensor, decoding: &Decoding) -> Result<Tensor> {
    let tracked = hidden.track_op() || z.track_op() || decoding.out.weight.track_op();
    let op = Decode { decoding: decoding.clone(), kept: tracked.then(OnceLock::new) };
    hidden.contiguous()?.apply_op2(&z.contiguous()?, op)
}

struct Decode {
    decoding: Decoding,
    /// Outputs of the transposed convolutions, set if a backward pass may follow. The last one has W
    /// rows.
    kept: Option<OnceLock<Vec<Vec<f32>>>>,
}

/// Sizes of all layers.
pub(super) struct LayerSizes {
    pub(super) ups: Vec<ConvSize>,
    pub(super) out: ConvSize,
}

impl LayerSizes {
    /// Rows after the last transposed convolution.
    fn doubled(&self) -> usize {
        self.ups.last().map_or(0, |size| 2 * size.rows)
    }
}

impl Decoding {
    /// Sizes for hidden rows [B, T, C].
    pub(super) fn sizes(
        &self,
        (batch, mut rows, mut inputs): (usize, usize, usize),
    ) -> Result<LayerSizes> {
        let Decoding { ups, out, rows: window, .. } = self;
        let mut sizes = Vec::with_capacity(ups.len());
        for up in ups {
            let (expected, taps, outputs) = up.weight.dims3()?;
            if (expected, taps) != (inputs, upsample::TAPS) {
                candle_core::bail!("decode: weight {expected}x{taps} for {inputs} channels");
            }
            sizes.push(ConvSize { batch, rows, inputs, outputs });
            (rows, inputs) = (2 * rows, outputs);
        }
        let out_size = out.size(batch, *window)?;
        if ups.is_empty() || rows < *window || out_size.inputs != inputs {
            candle_core::bail!("decode: {rows} rows of {inputs} channels, for {window} rows");
        }
        if out.geometry.output_rows(*window) != *window {
            candle_core::bail!("decode: the last convolution does not keep {window} rows");
        }
        Ok(LayerSizes { ups: sizes, out: out_size })
    }
}

impl Decode {
    /// Outputs of the transposed convolutions, the last one with W rows.
    fn doubled(&self, hidden: &[f32], sizes: &LayerSizes) -> Result<Vec<Vec<f32>>> {
        let mut outputs: Vec<Vec<f32>> = Vec::with_capacity(sizes.ups.len());
        for (up, size) in self.decoding.ups.iter().zip(&sizes.ups) {
            let x = outputs.last().map_or(hidden, |last| last);
            let next = with_slices([&up.weight, &up.bias], |[weight, bias]| {
                upsample::forward(x, weight, bias, *size)
            })?;
            if self.kept.is_none() {
                recycle(outputs.drain(..));
            }
            outputs.push(next);
        }
        if let Some(last) = outputs.pop() {
            outputs.push(with_rows(last, sizes.doubled(), sizes.out.rows, sizes.out.inputs));
        }
        Ok(outputs)
    }

    /// All but the linear path, which is given, behind the rows of `out`; the outputs of the
    /// transposed convolutions.
    fn rows(
        &self,
        out: &mut Vec<f32>,
        hidden: &[f32],
        path: Option<&[f32]>,
        sizes: &LayerSizes,
    ) -> Result<Vec<Vec<f32>>> {
        let doubled = self.doubled(hidden, sizes)?;
        let last = doubled.last().map_or(&[] as &[f32], |last| last);
        let (layer, size) = (&self.decoding.out, sizes.out);
        let finish = Finish { residual: path, ..Finish::default() };
        layer.rows_onto(out, last, size, &layer.geometry.reads(size.batch, size.rows), finish)?;
        Ok(doubled)
    }

    /// The same for windows [`TOGETHER`] at a time, without what the backward pass needs.
    fn in_parts(
        &self,
        out: &mut Vec<f32>,
        hidden: &[f32],
        path: Option<&[f32]>,
        (start, channels): (usize, usize),
    ) -> Result<()> {
        let window = (start * channels).max(1);
        for part in hidden.chunks(TOGETHER * window) {
            let sizes = self.decoding.sizes((part.len() / window, start, channels))?;
            let ConvSize { batch, rows, outputs, .. } = sizes.out;
            let path = path.map(|path| &path[out.len()..][..batch * rows * outputs]);
            recycle(self.rows(out, part, path, &sizes)?);
        }
        Ok(())
    }

    /// z B + b, flat [B, W D].
    fn linear_path(&self, z: &[f32], batch: usize, values: usize) -> Result<Option<Scratch>> {
        let Some(linear) = &self.decoding.linear else { return Ok(None) };
        let latent = linear.latent(z, batch, values)?;
        with_slices([&linear.weight, &linear.bias], |[weight, bias]| {
            let weight = View::new(weight, latent, values);
            let mut path = matmul(View::new(z, batch, latent), weight)?;
            finish(&mut path, bias, false);
            Ok(Some(Scratch::from(path)))
        })
    }

    /// Gradient of the hidden rows from the gradient `dy` [B W, D]; gradients of the parameters are
    /// passed on.
    fn hidden_gradient(&self, hidden: &[f32], dy: &[f32], sizes: &LayerSizes) -> Result<Vec<f32>> {
        let Some(kept) = self.kept.as_ref().and_then(OnceLock::get) else {
            candle_core::bail!("decode: the forward pass was not tracked")
        };
        let Decoding { ups, out, .. } = &self.decoding;
        let gated = |gate| Finish { gate, ..Finish::default() };
        let last = kept.last().map_or(hidden, |last| last);
        out.hand_over(last, dy, sizes.out)?;
        let g = out.input_gradient(dy, sizes.out, gated(Some(last)))?;
        let mut g = with_rows(g, sizes.out.rows, sizes.doubled(), sizes.out.inputs);
        for (i, (up, size)) in ups.iter().zip(&sizes.ups).enumerate().rev() {
            let before = i.checked_sub(1).map(|before| kept[before].as_slice());
            let x = before.unwrap_or(hidden);
            gradients::hand_over(&up.weight, || upsample::weight_gradient(x, &g, *size))?;
            gradients::hand_over(&up.bias, || Ok(column_sums(&g, size.outputs)))?;
            let dx = with_slices([&up.weight], |[weight]| {
                upsample::input_gradient(&g, weight, *size, gated(before))
            })?;
            recycle([std::mem::replace(&mut g, dx)]);
        }
        Ok(g)
    }

    /// Gradient of z, if there is a linear path.
    fn latent_gradient(&self, z: &[f32], dy: &[f32], batch: usize) -> Result<Option<Vec<f32>>> {
        let Some(Affine { weight, bias }) = &self.decoding.linear else { return Ok(None) };
        let (latent, outputs) = weight.dims2()?;
        if weight.track_op() && gradients::product(weight, z, dy)?.is_some() {
            candle_core::bail!("gradients of decode are taken by genias::kernels::backward");
        }
        gradients::hand_over(bias, || Ok(column_sums(dy, outputs)))?;
        let dz = |[weight]: [&[f32]; 1]| {
            input_gradient(dy, batch, View::new(weight, latent, outputs)).map(Some)
        };
        with_slices([weight], dz)
    }
}

impl CustomOp2 for Decode {
    fn name(&self) -> &'static str {
        "genias-decode"
    }

    fn cpu_fwd(
        &self,
        hidden: &CpuStorage,
        hidden_layout: &Layout,
        z: &CpuStorage,
        z_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, start, channels) = hidden_layout.shape().dims3()?;
        let sizes = self.decoding.sizes((batch, start, channels))?;
        let ConvSize { rows, outputs, .. } = sizes.out;
        let path = self.linear_path(slice(z, z_layout)?, batch, rows * outputs)?;
        let (hidden, path) = (slice(hidden, hidden_layout)?, path.as_deref());
        let mut out = empty(batch * rows * outputs);
        match &self.kept {
            Some(slot) => drop(slot.set(self.rows(&mut out, hidden, path, &sizes)?)),
            None => self.in_parts(&mut out, hidden, path, (start, channels))?,
        }
        Ok((CpuStorage::F32(out), (batch, rows, outputs).into()))
    }

    fn bwd(
        &self,
        hidden: &Tensor,
        z: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let sizes = self.decoding.sizes(hidden.dims3()?)?;
        let (d_hidden, dz) = with_slices([hidden, z, gradient], |[hidden_data, z_data, dy]| {
            let d_hidden = self.hidden_gradient(hidden_data, dy, &sizes)?;
            Ok((d_hidden, self.latent_gradient(z_data, dy, sizes.out.batch)?))
        })?;
        Ok((
            Some(Tensor::from_vec(d_hidden, hidden.shape(), hidden.device())?),
            dz.map(|dz| Tensor::from_vec(dz, z.shape(), z.device())).transpose()?,
        ))
    }
}

impl Drop for Decode {
    fn drop(&mut self) {
        recycle(self.kept.take().and_then(OnceLock::into_inner).into_iter().flatten());
    }
}

/// Returns the memory for later operations.
fn recycle(buffers: impl IntoIterator<Item = Vec<f32>>) {
    buffers.into_iter().for_each(|buffer| drop(Scratch::from(buffer)));
}

/// Windows of `rows` rows of `width` values, cut or filled with zeros to `wanted` rows.
fn with_rows(values: Vec<f32>, rows: usize, wanted: usize, width: usize) -> Vec<f32> {
    if rows == wanted || values.is_empty() {
        return values;
    }
    let mut out = vec![0f32; values.len() / rows * wanted];
    let common = rows.min(wanted) * width;
    let windows = out.chunks_exact_mut(wanted * width).zip(values.chunks_exact(rows * width));
    windows.for_each(|(to, from)| to[..common].copy_from_slice(&from[..common]));
    recycle([values]);
    out
}
