//! Some rows of each decoded window: an anomaly replaces a segment, and the rest of its window is
//! not needed.

use std::ops::Range;

use candle_core::{Result, Tensor, bail};

use super::blocks::TOGETHER;
use super::conv::ConvSize;
use super::decode::{Affine, Decoding, LayerSizes};
use super::matrix::{View, matmul};
use super::scratch::Scratch;
use super::storage::with_slices;
use super::tiles::{Finish, Reads};
use super::upsample;

/// Rows of a window that the linear path computes together. For any number of features, that many
/// rows are whole vectors.
const BLOCK: usize = 16;

/// Rows `rows[i]` of window i of [`super::decode`], for hidden [B, T, C] and z [B, L]: D values a
/// row, one window after another. There are no gradients.
///
/// # Errors
/// If shapes do not agree, a row is outside of its window, or a tensor is not f32 on the CPU.
pub fn decode_rows(
    hidden: &Tensor,
    z: &Tensor,
    decoding: &Decoding,
    rows: &[Range<usize>],
) -> Result<Vec<f32>> {
    let (batch, start, channels) = hidden.dims3()?;
    let sizes = decoding.sizes((batch, start, channels))?;
    let ConvSize { rows: window, outputs: width, .. } = sizes.out;
    if rows.len() != batch || rows.iter().any(|rows| rows.end > window || rows.is_empty()) {
        bail!("decode: rows {rows:?} of {batch} windows of {window} rows");
    }
    with_slices([hidden, z], |[hidden, z]| {
        let path = decoding.linear.as_ref().map(|linear| linear_path(z, linear, sizes.out, rows));
        let path = path.transpose()?;
        let mut out = Vec::with_capacity(rows.iter().map(|rows| rows.len() * width).sum());
        let parts = hidden.chunks((TOGETHER * start * channels).max(1)).zip(rows.chunks(TOGETHER));
        for (hidden, rows) in parts {
            let sizes = decoding.sizes((rows.len(), start, channels))?;
            let path = path
                .as_ref()
                .map(|path| &path[out.len()..][..rows.iter().map(|rows| rows.len() * width).sum()]);
            part(&mut out, hidden, path, decoding, &sizes, rows)?;
        }
        Ok(out)
    })
}

/// The rows of some windows behind those of `out`; `path` is what the linear path adds.
fn part(
    out: &mut Vec<f32>,
    hidden: &[f32],
    path: Option<&[f32]>,
    decoding: &Decoding,
    sizes: &LayerSizes,
    rows: &[Range<usize>],
) -> Result<()> {
    let needed = needed(decoding, sizes, rows);
    let last = doubled(hidden, decoding, sizes, &needed)?;
    let input = needed.last().map_or(&[] as &[Range<usize>], |last| last);
    let geometry = &decoding.out.geometry;
    let reads = Reads::between(geometry.map(), geometry.kernel, input, rows);
    let finish = Finish { residual: path, ..Finish::default() };
    decoding.out.rows_onto(out, &last, sizes.out, &reads, finish)
}

/// The rows of each transposed convolution that the rows `rows` depend on.
fn needed(
    decoding: &Decoding,
    sizes: &LayerSizes,
    rows: &[Range<usize>],
) -> Vec<Vec<Range<usize>>> {
    let geometry = &decoding.out.geometry;
    let of_out = |rows| geometry.map().needed(geometry.kernel, sizes.out.rows, rows);
    let mut needed = vec![rows.iter().map(of_out).collect::<Vec<_>>()];
    for size in sizes.ups.iter().skip(1).rev() {
        let before = |rows| upsample::MAP.needed(upsample::TAPS, size.rows, rows);
        let before = needed.last().map(|after| after.iter().map(before).collect());
        needed.extend(before);
    }
    needed.reverse();
    needed
}

/// The needed rows of the last transposed convolution.
fn doubled(
    hidden: &[f32],
    decoding: &Decoding,
    sizes: &LayerSizes,
    needed: &[Vec<Range<usize>>],
) -> Result<Scratch> {
    let first = sizes.ups.first().map_or(0, |size| size.rows);
    let mut input = &vec![0..first; sizes.out.batch];
    let mut x: Option<Scratch> = None;
    for ((up, size), output) in decoding.ups.iter().zip(&sizes.ups).zip(needed) {
        let reads = Reads::between(upsample::MAP, upsample::TAPS, input, output);
        let next = with_slices([&up.weight, &up.bias], |[weight, bias]| {
            upsample::forward_rows(x.as_deref().unwrap_or(hidden), weight, bias, *size, &reads)
        })?;
        x = Some(Scratch::from(next));
        input = output;
    }
    Ok(x.unwrap_or_else(|| Scratch::new(0)))
}

/// The rows `rows` of z B + b. Each block of rows is computed for the windows that need it.
fn linear_path(
    z: &[f32],
    linear: &Affine,
    out: ConvSize,
    rows: &[Range<usize>],
) -> Result<Scratch> {
    let ConvSize { batch, rows: window, outputs: width, .. } = out;
    let values = window * width;
    let latent = linear.latent(z, batch, values)?;
    let mut path = Scratch::new(rows.iter().map(|rows| rows.len() * width).sum());
    with_slices([&linear.weight, &linear.bias], |[weight, bias]| {
        let weight = View::new(weight, latent, values);
        for first in (0..window).step_by(BLOCK) {
            let block = first..window.min(first + BLOCK);
            let (latents, slots) = meeting(z, latent, &block, rows);
            let at = block.start * width;
            let columns = weight.columns(at, block.len() * width);
            let part = matmul(View::new(&latents, slots.len(), latent), columns)?;
            for (part, slot) in part.chunks_exact(columns.cols().max(1)).zip(&slots) {
                let common = slot.rows.start * width..slot.rows.end * width;
                let own = common.start - at..common.end - at;
                let sums = part[own].iter().zip(&bias[common]).map(|(part, bias)| part + bias);
                path[slot.at * width..].iter_mut().zip(sums).for_each(|(slot, sum)| *slot = sum);
            }
        }
        Ok(())
    })?;
    Ok(path)
}

/// Rows of a window that are in a block, and where they go in the output.
struct Slot {
    rows: Range<usize>,
    at: usize,
}

/// Latents of the windows that need rows of a block, and what they need.
fn meeting(
    z: &[f32],
    latent: usize,
    block: &Range<usize>,
    rows: &[Range<usize>],
) -> (Vec<f32>, Vec<Slot>) {
    let (mut latents, mut slots, mut before) = (Vec::new(), Vec::new(), 0);
    for (rows, z) in rows.iter().zip(z.chunks_exact(latent.max(1))) {
        let common = rows.start.max(block.start)..rows.end.min(block.end);
        if !common.is_empty() {
            latents.extend_from_slice(z);
            slots.push(Slot { at: before + common.start - rows.start, rows: common });
        }
        before += rows.len();
    }
    (latents, slots)
}
