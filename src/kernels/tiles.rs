//! The two products behind every convolution, in tiles that stay in vector registers.
//!
//! For each output row and tap, a convolution reads one row of its input, or padding ([`Reads`]).
//! Nothing is padded, shifted or copied, taps that only read padding cost nothing, and bias,
//! residual and ReLU are applied to a tile before it is stored. [`correlate`] is the convolution
//! and, with transposed weights, the gradient of its input; [`outer`] is the gradient of the
//! weights.
//!
//! The instruction set is selected at run time (AVX-512, AVX2, NEON, or none).

use std::array::from_fn;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use candle_core::{Result, bail};
use pulp::{Arch, MemMask, Simd, WithSimd};

use super::scratch::{Scratch, empty};

/// Rows of a tile.
const ROWS: usize = 6;
/// Rows of a tile of at most two vectors in the gradient of a weight.
const TALL: usize = 8;
/// Input rows of a share that stay in the cache for all tiles of a weight gradient.
const BLOCK: usize = 128;
/// Maximum number of output columns that are summed along the input channels instead of side by
/// side.
const NARROW: usize = 2;
/// Floats per cache line: packed weights are aligned to it.
const LINE: usize = 16;
/// Marks a read of padding.
const PADDING: u32 = u32::MAX;

/// Output row t of a window reads, for tap k, row (t * scale + k * tap + offset) / divisor of its
/// input: padding if that is no integer or outside of the window.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Map {
    pub(super) scale: i32,
    pub(super) tap: i32,
    pub(super) offset: i32,
    pub(super) divisor: i32,
}

impl Map {
    /// The first row at or after `start` whose number leaves the remainder `phase`.
    fn first_of(self, phase: i32, start: usize) -> usize {
        start + (phase - start as i32).rem_euclid(self.divisor) as usize
    }

    /// The rows, of `rows` in the input, that `taps` taps of the output rows `wanted` read.
    pub(super) fn needed(self, taps: usize, rows: usize, wanted: &Range<usize>) -> Range<usize> {
        let last_tap = taps.saturating_sub(1) as i32 * self.tap;
        let first = wanted.start as i32 * self.scale + self.offset + last_tap.min(0);
        let last = (wanted.end as i32 - 1) * self.scale + self.offset + last_tap.max(0);
        let start = (first.max(0) as usize).div_ceil(self.divisor as usize);
        let end = (last.div_euclid(self.divisor) + 1).clamp(0, rows as i32) as usize;
        start.min(end)..end
    }

    /// Sets the slots of output rows from `first`, `divisor` apart, to the rows that tap `k` reads
    /// of `input`, which begin at row `base` of the buffer.
    fn fill(self, first: usize, k: usize, input: &Range<usize>, base: usize, slots: &mut [u32]) {
        let first = first as i32 * self.scale + k as i32 * self.tap + self.offset;
        if first.rem_euclid(self.divisor) != 0 {
            return;
        }
        let first = first / self.divisor - input.start as i32;
        for (slot, i) in slots.iter_mut().zip(0i32..) {
            // Negative rows wrap to large ones.
            let row = (first + i * self.scale) as u32;
            *slot = if row < input.len() as u32 { base as u32 + row } else { PADDING };
        }
    }
}

/// The input row that each output row reads, per tap.
pub(super) struct Reads {
    taps: usize,
    /// Output rows, each once.
    to: Vec<u32>,
    /// [tap, output row], padded to whole tiles.
    from: Vec<u32>,
    /// Input rows of all windows.
    inputs: usize,
}

/// Key of [`Reads`]: map, taps, windows, and rows of each in the input and in the output.
type Key = (Map, usize, usize, usize, usize);

thread_local! {
    static KNOWN: RefCell<HashMap<Key, Rc<Reads>>> = RefCell::new(HashMap::new());
}

/// Number of lists per thread: enough for the layers of a few models.
const KNOWN_MOST: usize = 128;
/// Maximum number of rows of a stored list.
const KNOWN_ROWS: usize = 1 << 13;

impl Reads {
    /// As [`Reads::new`], but cached: every step has the same layers.
    pub(super) fn known(
        map: Map,
        taps: usize,
        batch: usize,
        inputs: usize,
        outputs: usize,
    ) -> Rc<Self> {
        let make = || Rc::new(Self::new(map, taps, batch, inputs, outputs));
        if batch * outputs > KNOWN_ROWS {
            return make();
        }
        KNOWN.with_borrow_mut(|known| {
            if known.len() >= KNOWN_MOST {
                known.clear();
            }
            Rc::clone(known.entry((map, taps, batch, inputs, outputs)).or_insert_with(make))
        })
    }

    /// For `batch` windows of `inputs` rows and of `outputs` rows.
    fn new(map: Map, taps: usize, batch: usize, inputs: usize, outputs: usize) -> Self {
        Self::between(map, taps, &vec![0..inputs; batch], &vec![0..outputs; batch])
    }

    /// For windows of which only the rows `input` are there, and only the rows `output` are
    /// computed: buffers hold these rows, one window after another. All other rows are padding.
    ///
    /// Rows reached by the same taps are consecutive, so that whole tiles can skip the other taps.
    pub(super) fn between(
        map: Map,
        taps: usize,
        input: &[Range<usize>],
        output: &[Range<usize>],
    ) -> Self {
        let total: usize = output.iter().map(Range::len).sum();
        let padded = total.next_multiple_of(ROWS);
        let (mut to, mut from) = (Vec::with_capacity(total), vec![PADDING; taps * padded]);
        for phase in 0..map.divisor {
            let (mut read, mut written) = (0, 0);
            for (input, output) in input.iter().zip(output) {
                let first = map.first_of(phase, output.start);
                let rows = (first..output.end).step_by(map.divisor as usize);
                for (k, from) in from.chunks_exact_mut(padded.max(1)).enumerate() {
                    let slots = &mut from[to.len()..to.len() + rows.len()];
                    map.fill(first, k, input, read, slots);
                }
                to.extend(rows.map(|row| (written + row - output.start) as u32));
                read += input.len();
                written += output.len();
            }
        }
        Self { taps, to, from, inputs: input.iter().map(Range::len).sum() }
    }

    /// The rows that tap k of tile `tile` reads.
    #[inline(always)]
    fn tile(&self, k: usize, tile: usize) -> &[u32] {
        let padded = self.from.len() / self.taps;
        let at = k * padded + tile * ROWS;
        &self.from[at..at + ROWS]
    }

    /// Checks that reads stay within `source`, and writes within `size` values.
    fn check(&self, source: RowBlock<'_>, width: usize, size: usize) -> Result<()> {
        let (read, written) = (self.inputs, self.to.len());
        if read * source.width > source.values.len() || written * width > size {
            bail!("rows {read} of {} values, {written} of {width}", source.width);
        }
        Ok(())
    }
}

/// Rows of `width` values.
#[derive(Clone, Copy)]
pub(super) struct RowBlock<'a> {
    pub(super) values: &'a [f32],
    pub(super) width: usize,
}

/// A weight as [taps, inputs, outputs] with any memory layout.
#[derive(Clone, Copy)]
pub(super) struct Weight<'a> {
    pub(super) values: &'a [f32],
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    /// Start of each tap.
    pub(super) taps: &'a [usize],
    /// Values from one input, and from one output, to the next.
    pub(super) steps: (usize, usize),
}

impl Weight<'_> {
    /// With inputs and outputs exchanged.
    pub(super) fn transposed(self) -> Self {
        let (inputs, outputs) = (self.outputs, self.inputs);
        Self { inputs, outputs, steps: (self.steps.1, self.steps.0), ..self }
    }
}

/// Operations on a row of outputs before it is stored.
#[derive(Clone, Copy, Default)]
pub(super) struct Finish<'a> {
    /// Added to every row.
    pub(super) bias: Option<&'a [f32]>,
    /// Added, row by row.
    pub(super) residual: Option<&'a [f32]>,
    /// Whether negative values become 0.
    pub(super) relu: bool,
    /// Values become 0 where this is not positive, row by row: the gradient of a ReLU.
    pub(super) gate: Option<&'a [f32]>,
}

impl Finish<'_> {
    /// A single value of output column `column`, at index `at` of the output.
    #[inline(always)]
    fn one(&self, sum: f32, column: usize, at: usize) -> f32 {
        let mut value = sum + self.bias.map_or(0.0, |bias| bias[column]);
        value += self.residual.map_or(0.0, |residual| residual[at]);
        if self.relu {
            value = value.max(0.0);
        }
        let open = self.gate.is_none_or(|gate| gate[at] > 0.0);
        if open { value } else { 0.0 }
    }
}

/// out[to] = finish(sum over taps k of x[from(k)] W_k): rows of `weight.outputs` values, one per
/// row of `reads`.
///
/// # Errors
/// If a row lies outside of its buffer.
pub(super) fn correlate(
    x: RowBlock<'_>,
    weight: Weight<'_>,
    reads: &Reads,
    finish: Finish<'_>,
) -> Result<Vec<f32>> {
    let mut out = empty(reads.to.len() * weight.outputs);
    correlate_onto(&mut out, x, weight, reads, finish)?;
    Ok(out)
}

/// As [`correlate`], behind the rows of `out`.
///
/// # Errors
/// As [`correlate`].
pub(super) fn correlate_onto(
    out: &mut Vec<f32>,
    x: RowBlock<'_>,
    weight: Weight<'_>,
    reads: &Reads,
    finish: Finish<'_>,
) -> Result<()> {
    let size = reads.to.len() * weight.outputs;
    reads.check(x, weight.outputs, size)?;
    for rows in [finish.residual, finish.gate].into_iter().flatten() {
        if rows.len() != size {
            bail!("{} values beside {size} outputs", rows.len());
        }
    }
    let short = finish.bias.is_some_and(|bias| bias.len() != weight.outputs);
    let last = weight.taps.iter().max().copied().unwrap_or(0)
        + weight.inputs.saturating_sub(1) * weight.steps.0
        + weight.outputs.saturating_sub(1) * weight.steps.1;
    if short || weight.taps.len() != reads.taps || x.width != weight.inputs {
        bail!("{} taps of {} values, weight for {}", reads.taps, x.width, weight.inputs);
    }
    if last >= weight.values.len() {
        bail!("weight of {} values, needs {}", weight.values.len(), last + 1);
    }
    let before = out.len();
    out.reserve(size);
    let end = out.spare_capacity_mut().as_mut_ptr().cast::<f32>();
    Arch::new().dispatch(Correlate { x, weight, reads, finish, out: end });
    // SAFETY: every output row was written: `Reads` names each once.
    unsafe { out.set_len(before + size) };
    Ok(())
}

/// gradient[k] += sum over output rows of x[from(k)]^T g[to]; tap k is [inputs, outputs], its rows
/// `step` apart, and begins at `taps[k]`.
///
/// # Errors
/// If a row lies outside of its buffer.
pub(super) fn outer(
    x: RowBlock<'_>,
    g: RowBlock<'_>,
    reads: &Reads,
    taps: &[usize],
    step: usize,
    gradient: &mut [f32],
) -> Result<()> {
    reads.check(x, g.width, g.values.len())?;
    let last = taps.iter().max().copied().unwrap_or(0) + x.width.saturating_sub(1) * step + g.width;
    if taps.len() != reads.taps || last > gradient.len() {
        bail!("gradient of {} values, needs {last}", gradient.len());
    }
    Arch::new().dispatch(Outer { x, g, reads, taps, step, gradient });
    Ok(())
}

/// Vectors per row of a tile, and the number of such panels for `columns` columns.
fn panels<S: Simd>(columns: usize) -> (usize, usize) {
    let most = if S::REGISTER_COUNT >= 32 { 4 } else { 2 };
    let vectors = columns.div_ceil(S::F32_LANES).max(1);
    let panels = vectors.div_ceil(most);
    (vectors.div_ceil(panels), panels)
}

/// The first `n` values from the start of a cache line; the buffer has [`LINE`] more.
#[inline(always)]
fn aligned(buffer: &mut Scratch, n: usize) -> &mut [f32] {
    let start = buffer.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
    &mut buffer[start..start + n]
}

struct Correlate<'a> {
    x: RowBlock<'a>,
    weight: Weight<'a>,
    reads: &'a Reads,
    finish: Finish<'a>,
    out: *mut f32,
}

impl WithSimd for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if self.weight.outputs <= NARROW && self.weight.inputs >= S::F32_LANES {
            return self.narrow(simd);
        }
        match panels::<S>(self.weight.outputs).0 {
            1 => self.run::<S, 1>(simd),
            2 => self.run::<S, 2>(simd),
            3 => self.run::<S, 3>(simd),
            _ => self.run::<S, 4>(simd),
        }
    }
}

impl Correlate<'_> {
    /// For few outputs: each is a sum of vector products along the input channels.
    #[inline(always)]
    fn narrow<S: Simd>(self, simd: S) {
        let Weight { values, inputs, outputs, taps, steps } = self.weight;
        // [output, tap, input]
        let mut packed = Scratch::new(outputs * taps.len() * inputs);
        for (i, slot) in packed.iter_mut().enumerate() {
            let (o, k, c) = (i / (taps.len() * inputs), i / inputs % taps.len(), i % inputs);
            *slot = values[taps[k] + c * steps.0 + o * steps.1];
        }
        let (whole, rest) = (inputs / S::F32_LANES, inputs % S::F32_LANES);
        for (i, &to) in self.reads.to.iter().enumerate() {
            for (o, weights) in packed.chunks_exact(taps.len() * inputs).enumerate() {
                let mut sums = [simd.splat_f32s(0.0); 2];
                for (k, weight) in weights.chunks_exact(inputs).enumerate() {
                    let from = self.reads.tile(k, i / ROWS)[i % ROWS];
                    if from == PADDING {
                        continue;
                    }
                    let x = &self.x.values[from as usize * inputs..][..inputs];
                    for c in 0..whole {
                        // SAFETY: there are `whole` vectors in both.
                        let (x, w) = unsafe {
                            let (x, w) =
                                (x.as_ptr().cast::<S::f32s>(), weight.as_ptr().cast::<S::f32s>());
                            (x.add(c).read_unaligned(), w.add(c).read_unaligned())
                        };
                        sums[c % 2] = simd.mul_add_e_f32s(x, w, sums[c % 2]);
                    }
                    if rest > 0 {
                        let x = simd.partial_load_f32s(&x[inputs - rest..]);
                        let w = simd.partial_load_f32s(&weight[inputs - rest..]);
                        sums[0] = simd.mul_add_e_f32s(x, w, sums[0]);
                    }
                }
                let sum = simd.reduce_sum_f32s(simd.add_f32s(sums[0], sums[1]));
                let at = to as usize * outputs + o;
                let value = self.finish.one(sum, o, at);
                // SAFETY: `correlate` checked that every row has room.
                unsafe { self.out.add(at).write(value) };
            }
        }
    }

    /// Panel by panel of V vectors, so that their weights stay in the cache.
    #[inline(always)]
    fn run<S: Simd, const V: usize>(self, simd: S) {
        let columns = V * S::F32_LANES;
        let (_, panels) = panels::<S>(self.weight.outputs);
        let size = self.reads.taps * self.weight.inputs * columns;
        let mut packed = Scratch::new(size + columns + LINE);
        let (weights, bias) = aligned(&mut packed, size + columns).split_at_mut(size);
        let zeros = Scratch::zeros(self.weight.inputs);
        for panel in 0..panels {
            self.pack(panel * columns, columns, weights, bias);
            // SAFETY: `correlate` checked every row against its buffer.
            unsafe { self.panel::<S, V>(simd, panel, weights, bias, &zeros) };
        }
    }

    /// Columns from `first` of the weights [tap, input, columns] and of the bias, padded by zeros.
    #[inline(always)]
    fn pack(&self, first: usize, columns: usize, weights: &mut [f32], bias: &mut [f32]) {
        let Weight { values, inputs, outputs, taps, steps } = self.weight;
        let filled = columns.min(outputs - first);
        for (row, slot) in weights.chunks_exact_mut(columns).enumerate() {
            let from = taps[row / inputs] + row % inputs * steps.0 + first * steps.1;
            if steps.1 == 1 {
                slot[..filled].copy_from_slice(&values[from..from + filled]);
            } else {
                let strided = values[from..].iter().step_by(steps.1);
                slot[..filled].iter_mut().zip(strided).for_each(|(slot, value)| *slot = *value);
            }
            slot[filled..].fill(0.0);
        }
        bias.fill(0.0);
        if let Some(values) = self.finish.bias {
            bias[..filled].copy_from_slice(&values[first..first + filled]);
        }
    }

    #[inline(always)]
    unsafe fn panel<S: Simd, const V: usize>(
        &self,
        simd: S,
        panel: usize,
        weights: &[f32],
        bias: &[f32],
        zeros: &[f32],
    ) {
        let (taps, inputs) = (self.reads.taps, self.weight.inputs);
        let x = self.x.values.as_ptr();
        let per_tap = inputs * V;
        for (tile, to) in self.reads.to.chunks(ROWS).enumerate() {
            let bias: [S::f32s; V] = unsafe { load::<S, V>(bias.as_ptr()) };
            let mut sums = [bias; ROWS];
            for k in 0..taps {
                let from = self.reads.tile(k, tile);
                if from.iter().all(|row| *row == PADDING) {
                    continue;
                }
                let rows: [*const f32; ROWS] = from_fn(|r| match from[r] {
                    PADDING => zeros.as_ptr(),
                    row => unsafe { x.add(row as usize * inputs) },
                });
                unsafe {
                    let weight = weights.as_ptr().cast::<S::f32s>().add(k * per_tap);
                    accumulate::<S, V>(simd, &mut sums, rows, weight, inputs);
                }
            }
            for (sums, &to) in sums.iter().zip(to) {
                unsafe { self.store::<S, V>(simd, to as usize, panel, sums) };
            }
        }
    }

    /// Finishes and stores the columns of a panel in output row `to`.
    ///
    /// # Safety
    /// `out` has room for that row.
    #[inline(always)]
    unsafe fn store<S: Simd, const V: usize>(
        &self,
        simd: S,
        to: usize,
        panel: usize,
        sums: &[S::f32s; V],
    ) {
        let outputs = self.weight.outputs;
        for (v, sum) in sums.iter().enumerate() {
            let first = (panel * V + v) * S::F32_LANES;
            if first >= outputs {
                break;
            }
            let filled = S::F32_LANES.min(outputs - first);
            let range = to * outputs + first..to * outputs + first + filled;
            let mut value = *sum;
            if let Some(residual) = self.finish.residual {
                value = simd.add_f32s(value, load_part(simd, &residual[range.clone()]));
            }
            if self.finish.relu {
                value = simd.max_f32s(value, simd.splat_f32s(0.0));
            }
            if let Some(gate) = self.finish.gate {
                let gate = load_part(simd, &gate[range.clone()]);
                let open = simd.greater_than_f32s(gate, simd.splat_f32s(0.0));
                value = simd.select_f32s(open, value, simd.splat_f32s(0.0));
            }
            // SAFETY: guaranteed by the caller.
            unsafe { store_part(simd, self.out.add(range.start), filled, value) };
        }
    }
}

/// sums[r] += rows[r][c] * weight[c] over the input channels c.
///
/// # Safety
/// `rows` point to `inputs` values each, `weight` to `inputs` * V vectors.
#[inline(always)]
unsafe fn accumulate<S: Simd, const V: usize>(
    simd: S,
    sums: &mut [[S::f32s; V]; ROWS],
    rows: [*const f32; ROWS],
    weight: *const S::f32s,
    inputs: usize,
) {
    let mut tile = *sums;
    for c in 0..inputs {
        // SAFETY: guaranteed by the caller.
        let vectors: [S::f32s; V] = unsafe { load::<S, V>(weight.add(c * V).cast()) };
        for r in 0..ROWS {
            let x = simd.splat_f32s(unsafe { *rows[r].add(c) });
            for v in 0..V {
                tile[r][v] = simd.mul_add_e_f32s(x, vectors[v], tile[r][v]);
            }
        }
    }
    *sums = tile;
}

/// V consecutive vectors.
///
/// # Safety
/// `from` points to V * lanes values.
#[inline(always)]
unsafe fn load<S: Simd, const V: usize>(from: *const f32) -> [S::f32s; V] {
    // SAFETY: guaranteed by the caller.
    from_fn(|v| unsafe { from.cast::<S::f32s>().add(v).read_unaligned() })
}

/// The first `n` lanes, as a mask that the compiler can keep in a register.
#[inline(always)]
fn lanes<S: Simd>(simd: S, n: usize) -> MemMask<S::m32s> {
    MemMask::new(simd.mask_between_m32s(0, n as u32).mask())
}

/// A vector from at most as many values as it has lanes.
#[inline(always)]
fn load_part<S: Simd>(simd: S, values: &[f32]) -> S::f32s {
    // SAFETY: there are as many values as lanes that are read.
    unsafe {
        match values.len() == S::F32_LANES {
            true => values.as_ptr().cast::<S::f32s>().read_unaligned(),
            false => simd.mask_load_ptr_f32s(lanes(simd, values.len()), values.as_ptr()),
        }
    }
}

/// The first `n` lanes of a vector.
///
/// # Safety
/// `slot` has room for `n` values; `n` is at most the number of lanes.
#[inline(always)]
unsafe fn store_part<S: Simd>(simd: S, slot: *mut f32, n: usize, value: S::f32s) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        if n == S::F32_LANES {
            slot.cast::<S::f32s>().write_unaligned(value);
        } else {
            simd.mask_store_ptr_f32s(lanes(simd, n), slot, value);
        }
    }
}

/// A row of the input and the matching row of the gradient.
struct RowPair {
    x: *const f32,
    g: *const f32,
}

struct Outer<'a> {
    x: RowBlock<'a>,
    g: RowBlock<'a>,
    reads: &'a Reads,
    taps: &'a [usize],
    step: usize,
    gradient: &'a mut [f32],
}

impl WithSimd for Outer<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if self.g.width <= NARROW && self.x.width >= S::F32_LANES {
            return self.narrow();
        }
        // Narrow tiles are taller if there are enough registers.
        let tall = S::REGISTER_COUNT >= 32;
        match (panels::<S>(self.g.width).0, tall) {
            (1, true) => self.run::<S, 1, TALL>(simd),
            (1, false) => self.run::<S, 1, ROWS>(simd),
            (2, true) => self.run::<S, 2, TALL>(simd),
            (2, false) => self.run::<S, 2, ROWS>(simd),
            (3, _) => self.run::<S, 3, ROWS>(simd),
            _ => self.run::<S, 4, ROWS>(simd),
        }
    }
}

impl Outer<'_> {
    /// For few outputs: rows of the input, weighted by the gradient.
    #[inline(always)]
    fn narrow(self) {
        let (inputs, outputs) = (self.x.width, self.g.width);
        // [output, tap, input]
        let mut sums = Scratch::zeros(outputs * self.taps.len() * inputs);
        let padded = self.reads.from.len() / self.reads.taps;
        for (i, &to) in self.reads.to.iter().enumerate() {
            for (o, sums) in sums.chunks_exact_mut(self.taps.len() * inputs).enumerate() {
                let g = self.g.values[to as usize * outputs + o];
                for (k, sums) in sums.chunks_exact_mut(inputs).enumerate() {
                    let from = self.reads.from[k * padded + i];
                    if from != PADDING {
                        let x = &self.x.values[from as usize * inputs..][..inputs];
                        sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += g * x);
                    }
                }
            }
        }
        for (i, sum) in sums.iter().enumerate() {
            let taps = self.taps.len();
            let (o, k, c) = (i / (taps * inputs), i / inputs % taps, i % inputs);
            self.gradient[self.taps[k] + c * self.step + o] += sum;
        }
    }

    #[inline(always)]
    fn run<S: Simd, const V: usize, const R: usize>(mut self, simd: S) {
        let columns = V * S::F32_LANES;
        let (_, panels) = panels::<S>(self.g.width);
        let width = panels * columns;
        // Rows of g, padded to whole vectors.
        let mut block = Scratch::new(BLOCK * width + LINE);
        let block = aligned(&mut block, BLOCK * width);
        let mut pairs: Vec<RowPair> = Vec::with_capacity(BLOCK);
        let padded = self.reads.from.len() / self.reads.taps;
        for (first, to) in (0..).step_by(BLOCK).zip(self.reads.to.chunks(BLOCK)) {
            for (slot, &to) in block.chunks_exact_mut(width).zip(to) {
                let from = to as usize * self.g.width;
                slot[..self.g.width].copy_from_slice(&self.g.values[from..from + self.g.width]);
                slot[self.g.width..].fill(0.0);
            }
            for k in 0..self.taps.len() {
                let from = &self.reads.from[k * padded + first..][..to.len()];
                let rows = from.iter().zip(block.chunks_exact(width));
                pairs.clear();
                pairs.extend(rows.filter(|(from, _)| **from != PADDING).map(|(from, g)| RowPair {
                    x: self.x.values[*from as usize * self.x.width..].as_ptr(),
                    g: g.as_ptr(),
                }));
                if pairs.is_empty() {
                    continue;
                }
                for c in (0..self.x.width).step_by(R) {
                    for panel in 0..panels {
                        // SAFETY: `outer` checked every row against its buffer.
                        unsafe { self.tile::<S, V, R>(simd, &pairs, k, c, panel) };
                    }
                }
            }
        }
    }

    /// Adds the products of `pairs` to the rows from `c` of a tap's gradient.
    #[inline(always)]
    unsafe fn tile<S: Simd, const V: usize, const R: usize>(
        &mut self,
        simd: S,
        pairs: &[RowPair],
        k: usize,
        c: usize,
        panel: usize,
    ) {
        let columns = V * S::F32_LANES;
        let channels = self.x.width;
        // Rows after the last repeat it, and are not stored.
        let at: [usize; R] = from_fn(|r| (c + r).min(channels - 1));
        let mut sums = [[simd.splat_f32s(0.0); V]; R];
        for pair in pairs {
            unsafe {
                let g: [S::f32s; V] = load::<S, V>(pair.g.add(panel * columns));
                for r in 0..R {
                    let x = simd.splat_f32s(*pair.x.add(at[r]));
                    for v in 0..V {
                        sums[r][v] = simd.mul_add_e_f32s(x, g[v], sums[r][v]);
                    }
                }
            }
        }
        for (r, sums) in sums.iter().enumerate().take(channels - c) {
            for (v, sum) in sums.iter().enumerate() {
                let first = panel * columns + v * S::F32_LANES;
                if first >= self.g.width {
                    break;
                }
                let from = self.taps[k] + (c + r) * self.step;
                let end = from + self.g.width.min(first + S::F32_LANES);
                let slot = &mut self.gradient[from + first..end];
                let before = load_part(simd, slot);
                let sum = simd.add_f32s(before, *sum);
                // SAFETY: the slot has this many values.
                unsafe { store_part(simd, slot.as_mut_ptr(), slot.len(), sum) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::rng::{Purpose, Rng};

    const TAPS: usize = 3;

    /// Every instruction set of this machine, from the narrowest.
    fn instruction_sets() -> Vec<Arch> {
        let mut sets = vec![Arch::Scalar];
        #[cfg(target_arch = "x86_64")]
        {
            sets.extend(pulp::x86::V3::try_new().map(Arch::V3));
            sets.extend(pulp::x86::V4::try_new().map(Arch::V4));
        }
        #[cfg(target_arch = "aarch64")]
        sets.extend(pulp::aarch64::Neon::try_new().map(Arch::Neon));
        sets
    }

    fn random(n: usize, seed: u64) -> Vec<f32> {
        Rng::new(seed, Purpose::Init, [0, 0]).normals(n)
    }

    fn assert_close(found: &[f32], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        let scale = expected.iter().fold(1.0, |most: f64, x| most.max(x.abs()));
        for (found, expected) in found.iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-5 * scale, "{found} {expected}");
        }
    }

    /// (output row, tap, input row) of every product, two windows of `rows`, dilation 2.
    fn products(rows: usize) -> Vec<(usize, usize, usize)> {
        let of = |(window, t, k): (usize, usize, usize)| {
            let row = (t + 2 * k).checked_sub(4)?;
            Some((window * rows + t, k, window * rows + row))
        };
        let all = (0..2).flat_map(|window| (0..rows).map(move |t| (window, t)));
        all.flat_map(|(window, t)| (0..TAPS).map(move |k| (window, t, k))).filter_map(of).collect()
    }

    #[test]
    fn every_instruction_set_gives_the_sums() {
        for (rows, inputs, outputs) in
            [(1, 1, 1), (7, 3, 5), (20, 8, 33), (13, 17, 64), (9, 4, 130), (11, 19, 1), (8, 40, 2)]
        {
            let map = Map { scale: 1, tap: 2, offset: -4, divisor: 1 };
            let reads = Reads::new(map, TAPS, 2, rows, rows);
            let x = random(2 * rows * inputs, 1);
            let (w, g) = (random(TAPS * inputs * outputs, 2), random(2 * rows * outputs, 3));
            let (bias, residual) = (random(outputs, 4), random(2 * rows * outputs, 5));
            let mut sums: Vec<f64> = (0..g.len())
                .map(|i| f64::from(bias[i % outputs]) + f64::from(residual[i]))
                .collect();
            let mut gradient = vec![0f64; w.len()];
            for (to, k, from) in products(rows) {
                for (c, o) in (0..inputs).flat_map(|c| (0..outputs).map(move |o| (c, o))) {
                    let (x, at) = (f64::from(x[from * inputs + c]), (k * inputs + c) * outputs + o);
                    sums[to * outputs + o] += x * f64::from(w[at]);
                    gradient[at] += x * f64::from(g[to * outputs + o]);
                }
            }
            let gated = |i: usize| if g[i] > 0.0 { sums[i].max(0.0) } else { 0.0 };
            let sums: Vec<f64> = (0..sums.len()).map(gated).collect();
            let taps = [0, 1, 2].map(|k| k * inputs * outputs);
            for arch in instruction_sets() {
                let weight =
                    Weight { values: &w, inputs, outputs, taps: &taps, steps: (outputs, 1) };
                let finish = Finish {
                    bias: Some(&bias),
                    residual: Some(&residual),
                    relu: true,
                    gate: Some(&g),
                };
                let mut out = vec![f32::NAN; g.len()];
                let (x, g) = (
                    RowBlock { values: &x, width: inputs },
                    RowBlock { values: &g, width: outputs },
                );
                let op = Correlate { x, weight, reads: &reads, finish, out: out.as_mut_ptr() };
                arch.dispatch(op);
                assert_close(&out, &sums);
                let mut found = vec![0f32; w.len()];
                let step = outputs;
                let op = Outer { x, g, reads: &reads, taps: &taps, step, gradient: &mut found };
                arch.dispatch(op);
                assert_close(&found, &gradient);
            }
        }
    }

    #[test]
    fn rows_outside_of_a_buffer_are_refused() {
        let map = Map { scale: 1, tap: 1, offset: 0, divisor: 1 };
        let reads = Reads::new(map, 1, 1, 4, 4);
        let (x, w) = ([0.0; 8], [0.0; 6]);
        let weight = Weight { values: &w, inputs: 2, outputs: 3, taps: &[0], steps: (3, 1) };
        let rows = |n: usize| RowBlock { values: &x[..n], width: 2 };
        assert!(correlate(rows(8), weight, &reads, Finish::default()).is_ok());
        assert!(correlate(rows(6), weight, &reads, Finish::default()).is_err());
        let short = Weight { values: &w[..5], ..weight };
        assert!(correlate(rows(8), short, &reads, Finish::default()).is_err());
        let bias = Finish { bias: Some(&w[..2]), ..Finish::default() };
        assert!(correlate(rows(8), weight, &reads, bias).is_err());
        let gate = Finish { gate: Some(&w), ..Finish::default() };
        assert!(correlate(rows(8), weight, &reads, gate).is_err());
        let g = RowBlock { values: &[0.0; 12], width: 3 };
        assert!(outer(rows(8), g, &reads, &[0], 3, &mut [0.0; 6]).is_ok());
        assert!(outer(rows(8), g, &reads, &[0], 3, &mut [0.0; 5]).is_err());
        assert!(outer(rows(8), g, &reads, &[0, 0], 3, &mut [0.0; 6]).is_err());
    }
}
