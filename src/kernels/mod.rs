//! CPU operations with their own backward passes, as candle custom ops.
//!
//! candle convolves over the last axis, has no backward pass for a transposed convolution, and runs
//! element-wise work one pass at a time. Here tensors are channel-last [B, T, C]. A convolution of
//! any stride, dilation and direction is a list of the input rows that each output row reads
//! (`tiles`); the following steps (bias, residual, ReLU, or the mask of a ReLU's gradient) happen
//! in the registers of its sums. Linear layers are products of the `gemm` crate (`matrix`). The
//! encoder's residual blocks are one operation ([`blocks()`]), as are the layers of the decoder
//! ([`decode()`], and [`decode_rows()`] for some rows only), and gradients of weights are collected
//! outside of candle's graph ([`backward`]).
//!
//! Each op has a twin in [`composed`] made of plain candle operations, which runs on any candle
//! device and is the oracle of the tests.
//!
//! Every product runs on one thread: callers split a batch into shares of fixed size, so that
//! results do not depend on the number of threads. Results depend on the machine: vector
//! instruction sets add in different orders.

mod blocks;
pub mod composed;
mod conv;
mod decode;
mod decode_rows;
mod distances;
mod elementwise;
mod gradients;
mod linear;
mod matrix;
mod residual;
mod scratch;
mod storage;
mod tiles;
mod upsample;

pub use blocks::{Block, Layer, blocks};
pub use conv::{Conv, conv};
pub use decode::{Affine, Decoding, decode};
pub use decode_rows::decode_rows;
pub use distances::{distances, row_squares};
pub(crate) use elementwise::squared_differences;
pub use gradients::{Gradients, Summed, backward};
pub use linear::{linear, linear_columns, linear_relu};
pub(crate) use matrix::{View, matmul, matmul_add, matmul_into};
pub use residual::add_relu;
pub(crate) use storage::with_slices;
pub use upsample::upsample;
