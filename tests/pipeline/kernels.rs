//! The fused operations against their twins of plain candle operations, forward and backward, and
//! against central differences of the twins in 64 bits.

use std::ops::Range;

use crate::common::{assert_close, flat, rng};
use candle_core::{DType, Device, Result, Tensor, Var};
use genias::kernels::{
    Affine, Block, Conv, Decoding, Gradients, Layer, Summed, add_relu, backward, blocks, composed,
    conv, decode, decode_rows, distances, linear, linear_columns, linear_relu, row_squares,
    upsample,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const TOLERANCE: f64 = 1e-5;
/// Of central differences in 64 bits at a step of 1e-6, against gradients in 32 bits.
const DIFFERENCE_TOLERANCE: f64 = 2e-5;
const STEP: f64 = 1e-6;

/// One operation on its sizes.
#[derive(Clone, Copy, Debug)]
enum Op {
    Linear { relu: bool },
    Conv(Conv),
    Upsample,
}

impl Op {
    fn fused(self, [x, w, b]: [&Tensor; 3]) -> Result<Tensor> {
        match self {
            Self::Linear { relu: false } => linear(x, w, b),
            Self::Linear { relu: true } => linear_relu(x, w, b),
            Self::Conv(geometry) => conv(x, w, b, geometry),
            Self::Upsample => upsample(x, w, b),
        }
    }

    fn twin(self, [x, w, b]: [&Tensor; 3]) -> Result<Tensor> {
        match self {
            Self::Linear { relu: false } => composed::linear(x, w, b),
            Self::Linear { relu: true } => composed::linear_relu(x, w, b),
            Self::Conv(geometry) => composed::conv(x, w, b, geometry),
            Self::Upsample => composed::upsample(x, w, b),
        }
    }

    /// Shapes of input, weight and bias.
    fn shapes(self, sizes: Sizes) -> [Vec<usize>; 3] {
        let Sizes { batch, rows, inputs, outputs } = sizes;
        match self {
            Self::Linear { .. } => [vec![batch, inputs], vec![inputs, outputs], vec![outputs]],
            Self::Conv(Conv { kernel, .. }) => {
                [vec![batch, rows, inputs], vec![kernel, inputs, outputs], vec![outputs]]
            }
            Self::Upsample => [vec![batch, rows, inputs], vec![inputs, 4, outputs], vec![outputs]],
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Sizes {
    batch: usize,
    rows: usize,
    inputs: usize,
    outputs: usize,
}

const SIZES: [Sizes; 5] = [
    Sizes { batch: 1, rows: 1, inputs: 1, outputs: 1 },
    Sizes { batch: 1, rows: 9, inputs: 3, outputs: 2 },
    Sizes { batch: 3, rows: 7, inputs: 1, outputs: 4 },
    Sizes { batch: 2, rows: 13, inputs: 5, outputs: 1 },
    Sizes { batch: 4, rows: 16, inputs: 6, outputs: 7 },
];

/// Every geometry that the VAE uses, and some that it could.
fn operations() -> Vec<Op> {
    let mut operations = vec![Op::Upsample];
    for relu in [false, true] {
        operations.push(Op::Linear { relu });
        operations.push(Op::Conv(Conv { relu, ..Conv::causal(1, 1, 1) }));
        operations.push(Op::Conv(Conv { relu, ..Conv::causal(1, 2, 1) }));
        for kernel in [2, 3, 4] {
            for (stride, dilation) in [(1, 1), (2, 1), (1, 2), (1, 4), (1, 16), (3, 2)] {
                operations.push(Op::Conv(Conv { relu, ..Conv::causal(kernel, stride, dilation) }));
            }
        }
    }
    operations.extend([1, 3, 5].map(|kernel| Op::Conv(Conv::same(kernel))));
    operations.push(Op::Conv(Conv { relu: true, ..Conv::same(5) }));
    operations
}

fn random(shape: &[usize], seed: u64) -> Tensor {
    let values = rng(seed).normals(shape.iter().product());
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn operands(op: Op, sizes: Sizes, seed: u64) -> [Tensor; 3] {
    let [x, w, b] = op.shapes(sizes);
    [random(&x, 3 * seed), random(&w, 3 * seed + 1), random(&b, 3 * seed + 2)]
}

/// Gradients by `leaves` of sum(output * weights), with weights fixed by the output's shape.
fn gradients(output: &Tensor, leaves: &[&Tensor]) -> Vec<Vec<f64>> {
    let weights = random(output.dims(), 99);
    let store = (output * weights).unwrap().sum_all().unwrap().backward().unwrap();
    leaves.iter().map(|leaf| flat(store.get(leaf).unwrap())).collect()
}

/// Fused and twin agree on output and gradients.
fn agree_with_twin(op: Op, operands: &[Tensor; 3]) {
    let vars = operands.each_ref().map(|tensor| Var::from_tensor(tensor).unwrap());
    let leaves = vars.each_ref().map(Var::as_tensor);
    let (fused, twin) = (op.fused(leaves).unwrap(), op.twin(leaves).unwrap());
    assert_eq!(fused.dims(), twin.dims(), "{op:?}");
    assert_close(&format!("{op:?} output"), &flat(&fused), &flat(&twin), TOLERANCE);
    let (fused, twin) = (gradients(&fused, &leaves), gradients(&twin, &leaves));
    for ((name, found), expected) in ["dx", "dW", "db"].iter().zip(&fused).zip(&twin) {
        assert_close(&format!("{op:?} {name}"), found, expected, TOLERANCE);
    }
}

/// Central differences by every value of operand `which`, through the twin in 64 bits.
fn differences(op: Op, operands: &[Tensor; 3], which: usize) -> Vec<f64> {
    let wide = operands.each_ref().map(|tensor| tensor.to_dtype(DType::F64).unwrap());
    let objective = |values: Vec<f64>| {
        let mut moved = wide.clone();
        moved[which] = Tensor::from_vec(values, wide[which].shape(), &Device::Cpu).unwrap();
        let output = op.twin(moved.each_ref()).unwrap();
        let weights = flat(&random(output.dims(), 99));
        flat(&output).iter().zip(weights).map(|(y, weight)| y * weight).sum::<f64>()
    };
    let values = flat(&wide[which]);
    let at = |i: usize, step: f64| {
        let mut values = values.clone();
        values[i] += step;
        objective(values)
    };
    (0..values.len()).map(|i| (at(i, STEP) - at(i, -STEP)) / (2.0 * STEP)).collect()
}

fn agree_with_differences(op: Op, operands: &[Tensor; 3]) {
    let vars = operands.each_ref().map(|tensor| Var::from_tensor(tensor).unwrap());
    let leaves = vars.each_ref().map(Var::as_tensor);
    let found = gradients(&op.fused(leaves).unwrap(), &leaves);
    for (which, name) in ["dx", "dW", "db"].iter().enumerate() {
        let expected = differences(op, operands, which);
        let name = format!("{op:?} {name} by differences");
        assert_close(&name, &found[which], &expected, DIFFERENCE_TOLERANCE);
    }
}

#[test]
fn fused_operations_agree_with_their_twins() {
    for (i, op) in operations().into_iter().enumerate() {
        for (j, sizes) in SIZES.into_iter().enumerate() {
            agree_with_twin(op, &operands(op, sizes, (10 * i + j) as u64));
        }
    }
}

#[test]
fn gradients_agree_with_central_differences() {
    for (i, op) in operations().into_iter().enumerate() {
        for (j, sizes) in SIZES[..4].iter().enumerate() {
            agree_with_differences(op, &operands(op, *sizes, (500 + 10 * i + j) as u64));
        }
    }
}

/// The shapes of the default model: products large enough for every path of the matrix kernel.
#[test]
fn large_products_agree_with_their_twins() {
    let sizes = Sizes { batch: 8, rows: 200, inputs: 25, outputs: 32 };
    for op in [
        Op::Conv(Conv { relu: true, ..Conv::causal(3, 2, 1) }),
        Op::Conv(Conv::causal(3, 1, 4)),
        Op::Conv(Conv::same(5)),
        Op::Upsample,
    ] {
        agree_with_twin(op, &operands(op, sizes, 1));
    }
    let wide = Sizes { batch: 8, rows: 0, inputs: 800, outputs: 200 };
    agree_with_twin(Op::Linear { relu: false }, &operands(Op::Linear { relu: false }, wide, 2));
}

/// An output row sees rows `t * stride` and before, and no other.
#[test]
fn causal_convolution_never_looks_ahead() {
    let geometry = Conv::causal(3, 2, 2);
    let sizes = Sizes { batch: 1, rows: 11, inputs: 2, outputs: 3 };
    let [x, w, b] = operands(Op::Conv(geometry), sizes, 4);
    let before = conv(&x, &w, &b, geometry).unwrap().to_vec3::<f32>().unwrap();
    assert_eq!(before[0].len(), 6);
    for row in 0..11 {
        let mut values: Vec<f32> = x.flatten_all().unwrap().to_vec1().unwrap();
        values[2 * row] += 1.0;
        let moved = Tensor::from_vec(values, x.shape(), &Device::Cpu).unwrap();
        let after = conv(&moved, &w, &b, geometry).unwrap().to_vec3::<f32>().unwrap();
        for t in 0..6 {
            let sees = [0, 2, 4].iter().any(|back| 2 * t == row + back);
            assert_eq!(after[0][t] != before[0][t], sees, "row {row}, output {t}");
        }
    }
}

/// Views that are not laid out in row-major order, and views that begin inside their storage.
#[test]
fn layouts_of_the_input_do_not_matter() {
    for op in [
        Op::Conv(Conv { relu: true, ..Conv::causal(3, 2, 1) }),
        Op::Conv(Conv::causal(1, 1, 1)),
        Op::Conv(Conv::same(5)),
        Op::Upsample,
    ] {
        let sizes = Sizes { batch: 3, rows: 9, inputs: 4, outputs: 2 };
        let [_, w, b] = operands(op, sizes, 5);
        let (w, b) = (Var::from_tensor(&w).unwrap(), Var::from_tensor(&b).unwrap());
        let base = Var::from_tensor(&random(&[9, 5, 4], 6)).unwrap();
        let view = base.transpose(0, 1).unwrap().narrow(0, 1, 3).unwrap();
        assert!(!view.is_contiguous());
        let leaves = [base.as_tensor(), w.as_tensor(), b.as_tensor()];
        let fused = op.fused([&view, &w, &b]).unwrap();
        let twin = op.twin([&view.contiguous().unwrap(), &w, &b]).unwrap();
        assert_close("output", &flat(&fused), &flat(&twin), TOLERANCE);
        for (found, expected) in gradients(&fused, &leaves).iter().zip(gradients(&twin, &leaves)) {
            assert_close("gradient of a view", found, &expected, TOLERANCE);
        }

        let whole = random(&[5, 9, 4], 7);
        let inner = whole.narrow(0, 2, 3).unwrap();
        let copy = inner.copy().unwrap();
        assert_eq!(
            flat(&op.fused([&inner, &w, &b]).unwrap()),
            flat(&op.fused([&copy, &w, &b]).unwrap())
        );
    }
    let op = Op::Linear { relu: true };
    let x = Var::from_tensor(&random(&[4, 3], 8)).unwrap();
    let (w, b) = (random(&[4, 2], 9), random(&[2], 10));
    let view = x.t().unwrap();
    let fused = op.fused([&view, &w, &b]).unwrap();
    let twin = op.twin([&view.contiguous().unwrap(), &w, &b]).unwrap();
    assert_close("linear", &flat(&fused), &flat(&twin), TOLERANCE);
    let leaves = [x.as_tensor()];
    assert_close("dx", &gradients(&fused, &leaves)[0], &gradients(&twin, &leaves)[0], TOLERANCE);
}

/// A gradient that comes back through a transposition is not row-major either.
#[test]
fn layouts_of_the_gradient_do_not_matter() {
    for op in [
        Op::Conv(Conv { relu: true, ..Conv::causal(3, 1, 2) }),
        Op::Conv(Conv::same(3)),
        Op::Upsample,
    ] {
        let sizes = Sizes { batch: 2, rows: 6, inputs: 3, outputs: 5 };
        let vars = operands(op, sizes, 11).map(|tensor| Var::from_tensor(&tensor).unwrap());
        let leaves = vars.each_ref().map(Var::as_tensor);
        let turned = |output: Tensor| output.transpose(1, 2).unwrap();
        let found = gradients(&turned(op.fused(leaves).unwrap()), &leaves);
        let expected = gradients(&turned(op.twin(leaves).unwrap()), &leaves);
        for (found, expected) in found.iter().zip(&expected) {
            assert_close("gradient", found, expected, TOLERANCE);
        }
    }
}

/// The first layer's input is data: its gradient is left out, the others stay the same.
#[test]
fn constants_take_no_gradient() {
    for op in [
        Op::Linear { relu: true },
        Op::Conv(Conv { relu: true, ..Conv::causal(3, 2, 1) }),
        Op::Upsample,
    ] {
        let sizes = Sizes { batch: 2, rows: 7, inputs: 3, outputs: 4 };
        let [x, w, b] = operands(op, sizes, 12);
        let (w, b) = (Var::from_tensor(&w).unwrap(), Var::from_tensor(&b).unwrap());
        let leaves = [w.as_tensor(), b.as_tensor()];
        let found = gradients(&op.fused([&x, &w, &b]).unwrap(), &leaves);
        let expected = gradients(&op.twin([&x, &w, &b]).unwrap(), &leaves);
        for (found, expected) in found.iter().zip(&expected) {
            assert_close("gradient", found, expected, TOLERANCE);
        }
    }
}

/// Temporary buffers are reused: nothing of an earlier operation may show in a later one.
#[test]
fn buffers_keep_nothing() {
    for op in operations() {
        let sizes = Sizes { batch: 3, rows: 12, inputs: 4, outputs: 3 };
        let [x, w, b] = operands(op, sizes, 13);
        let x = Var::from_tensor(&x.affine(0.0, f64::NAN).unwrap()).unwrap();
        let w = Var::from_tensor(&w).unwrap();
        let output = op.fused([&x, &w, &b]).unwrap();
        gradients(&output.affine(f64::NAN, 0.0).unwrap(), &[x.as_tensor(), w.as_tensor()]);
        agree_with_twin(op, &operands(op, Sizes { rows: 9, ..sizes }, 14));
    }
}

#[test]
fn operands_that_do_not_fit_are_refused() {
    let geometry = Conv::causal(3, 1, 1);
    let t = |shape: &[usize]| random(shape, 15);
    let refused = [
        linear(&t(&[2, 3]), &t(&[4, 5]), &t(&[5])),
        linear(&t(&[2, 3, 1]), &t(&[3, 5]), &t(&[5])),
        conv(&t(&[2, 9, 3]), &t(&[3, 4, 5]), &t(&[5]), geometry),
        conv(&t(&[2, 9, 3]), &t(&[2, 3, 5]), &t(&[5]), geometry),
        conv(&t(&[9, 3]), &t(&[3, 3, 5]), &t(&[5]), geometry),
        upsample(&t(&[2, 9, 3]), &t(&[4, 4, 5]), &t(&[5])),
        upsample(&t(&[2, 9, 3]), &t(&[3, 3, 5]), &t(&[5])),
        // A weight that is a transposed view would be read in the wrong order.
        linear(&t(&[2, 3]), &t(&[5, 3]).t().unwrap(), &t(&[5])),
        // Other dtypes.
        linear(&t(&[2, 3]).to_dtype(DType::F64).unwrap(), &t(&[3, 5]), &t(&[5])),
    ];
    for (i, result) in refused.into_iter().enumerate() {
        assert!(result.is_err(), "case {i}");
    }
}

#[test]
fn a_bias_of_another_length_is_refused() {
    let t = |shape: &[usize]| random(shape, 16);
    for bias in [2, 10] {
        let geometry = Conv::causal(3, 1, 1);
        assert!(linear(&t(&[2, 3]), &t(&[3, 5]), &t(&[bias])).is_err());
        assert!(conv(&t(&[2, 9, 3]), &t(&[3, 3, 5]), &t(&[bias]), geometry).is_err());
        assert!(upsample(&t(&[2, 9, 3]), &t(&[3, 4, 5]), &t(&[bias])).is_err());
    }
}

/// A window that is shorter than what the taps span has no output.
#[test]
fn taps_beyond_a_window_give_no_rows() {
    let geometry = Conv { left: 0, ..Conv::causal(3, 1, 2) };
    let w = Var::from_tensor(&random(&[3, 2, 4], 21)).unwrap();
    let b = Var::from_tensor(&random(&[4], 22)).unwrap();
    for rows in 1..5 {
        let x = Var::from_tensor(&random(&[3, rows, 2], 20)).unwrap();
        let output = conv(&x, &w, &b, geometry).unwrap();
        assert_eq!(output.dims(), [3, 0, 4]);
        let store = output.sum_all().unwrap().backward().unwrap();
        assert!(store.get(&x).is_none_or(|dx| flat(dx).iter().all(|g| *g == 0.0)));
    }
}

/// Gradients of sum(output * weights) by one leaf and one operand's batch.
fn gathered(output: &Tensor) -> Gradients {
    let weights = random(output.dims(), 99);
    backward(&(output * weights).unwrap().sum_all().unwrap()).unwrap()
}

fn summed(leaf: &Tensor, shares: &[Gradients]) -> Vec<f64> {
    let sum = Summed::new(leaf, shares);
    assert_eq!(sum.len(), leaf.elem_count());
    let parts = sum.ranges().into_iter().flat_map(|range| sum.values(range).unwrap());
    parts.map(f64::from).collect()
}

/// Gradients that are gathered over shares outside candle's graph are the sums of its own.
#[test]
fn gathered_gradients_are_the_sums_over_shares() {
    let sizes = Sizes { batch: 3, rows: 7, inputs: 5, outputs: 6 };
    for op in operations() {
        let [_, w, b] = operands(op, sizes, 30).map(|tensor| Var::from_tensor(&tensor).unwrap());
        let inputs: Vec<Var> = [(40, 3), (41, 1), (42, 2)]
            .map(|(seed, batch)| operands(op, Sizes { batch, ..sizes }, seed)[0].clone())
            .iter()
            .map(|x| Var::from_tensor(x).unwrap())
            .collect();
        let leaves = [w.as_tensor(), b.as_tensor()];
        let shares: Vec<Gradients> =
            inputs.iter().map(|x| gathered(&op.fused([x, &w, &b]).unwrap())).collect();
        let own: Vec<_> = inputs
            .iter()
            .map(|x| gradients(&op.twin([x, &w, &b]).unwrap(), &[x, leaves[0], leaves[1]]))
            .collect();
        for (i, leaf) in leaves.into_iter().enumerate() {
            let expected: Vec<f64> =
                (0..leaf.elem_count()).map(|j| own.iter().map(|g| g[i + 1][j]).sum()).collect();
            assert_close(&format!("{op:?} {i}"), &summed(leaf, &shares), &expected, TOLERANCE);
        }
        for (x, own) in inputs.iter().zip(&own) {
            assert_close(&format!("{op:?} dx"), &summed(x, &shares), &own[0], TOLERANCE);
        }
    }
}

/// Columns that are no whole vectors are computed together with some before them.
#[test]
fn any_number_of_columns_is_multiplied() {
    for outputs in [1, 15, 16, 17, 31, 33, 63, 65, 79, 80, 97, 100, 113, 200] {
        let sizes = Sizes { batch: 7, rows: 1, inputs: 11, outputs };
        let op = Op::Linear { relu: false };
        agree_with_twin(op, &operands(op, sizes, 70));
        let [x, w, b] = operands(op, sizes, 70);
        let all = flat(&linear(&x, &w, &b).unwrap());
        for columns in [1, outputs / 2, outputs] {
            let found = linear_columns(&x, &w, &b, columns).unwrap();
            let expected: Vec<f64> =
                all.chunks_exact(outputs).flat_map(|row| row[..columns].to_vec()).collect();
            assert_close("columns", &flat(&found), &expected, TOLERANCE);
        }
        assert!(linear_columns(&x, &w, &b, outputs + 1).is_err());
        assert!(linear_columns(&x.narrow(1, 0, 5).unwrap(), &w, &b, 1).is_err());
    }
}

/// A weight large enough to be cut into several tasks.
#[test]
fn ranges_of_large_weights_join_without_a_seam() {
    let sizes = Sizes { batch: 3, rows: 1, inputs: 700, outputs: 301 };
    let op = Op::Linear { relu: false };
    let [x, w, b] = operands(op, sizes, 50).map(|tensor| Var::from_tensor(&tensor).unwrap());
    let shares = [gathered(&op.fused([&x, &w, &b]).unwrap())];
    let ranges = Summed::new(&w, &shares).ranges();
    assert!(ranges.len() > 1 && ranges[0].start == 0);
    assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
    let expected = gradients(&op.twin([&x, &w, &b]).unwrap(), &[&w]);
    assert_close("dW", &summed(&w, &shares), &expected[0], TOLERANCE);
}

/// A weight used twice, and one that is itself computed from a variable.
#[test]
fn shared_and_derived_weights_have_all_of_their_gradient() {
    for op in [
        Op::Linear { relu: true },
        Op::Conv(Conv { relu: true, ..Conv::causal(3, 1, 2) }),
        Op::Upsample,
    ] {
        let sizes = Sizes { batch: 2, rows: 4, inputs: 3, outputs: 3 };
        let [x, w, b] = operands(op, sizes, 60).map(|tensor| Var::from_tensor(&tensor).unwrap());
        let leaves = [w.as_tensor(), b.as_tensor()];
        let twice = |apply: &dyn Fn([&Tensor; 3]) -> Result<Tensor>| {
            let hidden = apply([&x, &w, &b]).unwrap();
            apply([&hidden, &w, &b]).unwrap()
        };
        let derived = |apply: &dyn Fn([&Tensor; 3]) -> Result<Tensor>| {
            let (w, b) = (w.affine(2.0, 0.1).unwrap(), b.affine(0.5, 0.0).unwrap());
            apply([&x, &w, &b]).unwrap()
        };
        let (fused, twin) = (|all: [&Tensor; 3]| op.fused(all), |all: [&Tensor; 3]| op.twin(all));
        for (found, expected) in [(twice(&fused), twice(&twin)), (derived(&fused), derived(&twin))]
        {
            let share = [gathered(&found)];
            let expected = gradients(&expected, &leaves);
            for (leaf, expected) in leaves.iter().zip(&expected) {
                assert_close(&format!("{op:?}"), &summed(leaf, &share), expected, TOLERANCE);
            }
        }
    }
}

/// Outside of the gathering, gradients are candle's again.
#[test]
fn gathering_leaves_nothing_behind() {
    let op = Op::Linear { relu: true };
    let operands = operands(op, SIZES[1], 70);
    let [x, w, b] = operands.each_ref().map(|tensor| Var::from_tensor(tensor).unwrap());
    gathered(&op.fused([&x, &w, &b]).unwrap());
    agree_with_twin(op, &operands);
}

/// relu(a + b), of plain operations.
fn add_relu_twin(a: &Tensor, b: &Tensor) -> Tensor {
    (a + b).unwrap().relu().unwrap()
}

#[test]
fn residual_sums_agree_with_plain_operations() {
    for shape in [&[1, 1, 1][..], &[2, 5, 3], &[3, 9, 16], &[7]] {
        let [a, b] = [80, 81].map(|seed| Var::from_tensor(&random(shape, seed)).unwrap());
        let leaves = [a.as_tensor(), b.as_tensor()];
        let (fused, twin) = (add_relu(&a, &b).unwrap(), add_relu_twin(&a, &b));
        assert_close("add_relu", &flat(&fused), &flat(&twin), TOLERANCE);
        let expected = gradients(&twin, &leaves);
        for (found, expected) in gradients(&fused, &leaves).iter().zip(&expected) {
            assert_close("add_relu gradient", found, expected, TOLERANCE);
        }
        // The same tensor twice has both gradients.
        let doubled = gradients(&add_relu(&a, &a).unwrap(), &[&a]);
        assert_close("a + a", &doubled[0], &gradients(&add_relu_twin(&a, &a), &[&a])[0], TOLERANCE);
    }
    let a = Var::from_tensor(&random(&[4, 6], 82)).unwrap();
    let b = random(&[6, 4], 83);
    let (fused, twin) =
        (add_relu(&a.t().unwrap(), &b).unwrap(), add_relu_twin(&a.t().unwrap(), &b));
    assert_close("view", &flat(&fused), &flat(&twin), TOLERANCE);
    assert_close("view", &gradients(&fused, &[&a])[0], &gradients(&twin, &[&a])[0], TOLERANCE);
    assert!(add_relu(&a, &b).is_err());
    assert!(add_relu(&a, &random(&[6], 84)).is_err());
}

/// d(X, X^), d(X^, X~) and d(X, X~), of plain operations.
fn distances_twin(x: &Tensor, both: &Tensor) -> Tensor {
    let n = x.dim(0).unwrap();
    let (plain, perturbed) = (both.narrow(0, 0, n).unwrap(), both.narrow(0, n, n).unwrap());
    let mean = |a: &Tensor, b: &Tensor| {
        (a - b).unwrap().sqr().unwrap().flatten_from(1).unwrap().mean(1).unwrap()
    };
    let all = [mean(x, &plain), mean(&plain, &perturbed), mean(x, &perturbed)];
    Tensor::stack(&all, 0).unwrap()
}

#[test]
fn distances_agree_with_plain_operations() {
    for (batch, rows, features) in [(1, 1, 1), (1, 37, 1), (3, 16, 2), (8, 200, 25), (5, 11, 3)] {
        let x = random(&[batch, rows, features], 90);
        let both = Var::from_tensor(&random(&[2 * batch, rows, features], 91)).unwrap();
        let (fused, twin) = (distances(&x, &both).unwrap(), distances_twin(&x, &both));
        assert_eq!(fused.dims(), [3, batch]);
        assert_close("distances", &flat(&fused), &flat(&twin), TOLERANCE);
        let (found, expected) = (gradients(&fused, &[&both]), gradients(&twin, &[&both]));
        assert_close("distances gradient", &found[0], &expected[0], TOLERANCE);
        // Through one of the three only, as the hinges take it.
        for i in 0..3 {
            let one = |all: &Tensor| gradients(&all.get(i).unwrap(), &[&both]).remove(0);
            assert_close(&format!("distance {i}"), &one(&fused), &one(&twin), TOLERANCE);
        }
    }
    let x = random(&[2, 5, 3], 92);
    assert!(distances(&x, &x).is_err());
    assert!(distances(&x, &random(&[4, 5, 2], 93)).is_err());
}

fn any_operation() -> impl Strategy<Value = Op> {
    let causal = (1usize..5, 1usize..4, 1usize..6, any::<bool>());
    prop_oneof![
        any::<bool>().prop_map(|relu| Op::Linear { relu }),
        causal.prop_map(|(k, stride, dilation, relu)| Op::Conv(Conv {
            relu,
            ..Conv::causal(k, stride, dilation)
        })),
        (0usize..4).prop_map(|side| Op::Conv(Conv::same(2 * side + 1))),
        Just(Op::Upsample),
    ]
}

fn any_sizes() -> impl Strategy<Value = Sizes> {
    (1usize..5, 1usize..20, 1usize..8, 1usize..8).prop_map(|(batch, rows, inputs, outputs)| Sizes {
        batch,
        rows,
        inputs,
        outputs,
    })
}

proptest! {
    // A fixed seed: a ReLU input within rounding of 0 would be a failure that is none.
    #![proptest_config(ProptestConfig {
        cases: 200,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_sizes_agree_with_the_twin(op in any_operation(), sizes in any_sizes(), seed in 0u64..1000) {
        agree_with_twin(op, &operands(op, sizes, seed));
    }
}

/// Blocks that decimate, that change the number of channels, and that do neither.
fn random_blocks(channels: &[usize], seed: u64) -> (Vec<Block>, Vec<Var>) {
    let mut vars = Vec::new();
    let mut layer = |inputs: usize, outputs: usize, geometry: Conv| {
        let seed = seed + vars.len() as u64;
        let scale = 1.0 / ((geometry.kernel * inputs) as f64).sqrt();
        let weight = random(&[geometry.kernel, inputs, outputs], seed).affine(scale, 0.0).unwrap();
        let [weight, bias] =
            [weight, random(&[outputs], seed + 1)].map(|tensor| Var::from_tensor(&tensor).unwrap());
        let made =
            Layer { weight: weight.as_tensor().clone(), bias: bias.as_tensor().clone(), geometry };
        vars.extend([weight, bias]);
        made
    };
    let blocks = channels.windows(2).enumerate().map(|(i, pair)| {
        let (stride, dilation) = if i % 2 == 0 { (2, 1) } else { (1, 1 << i) };
        let needs_skip = pair[0] != pair[1] || stride != 1;
        Block {
            first: layer(
                pair[0],
                pair[1],
                Conv { relu: true, ..Conv::causal(3, stride, dilation) },
            ),
            second: layer(pair[1], pair[1], Conv::causal(3, 1, dilation)),
            skip: needs_skip.then(|| layer(pair[0], pair[1], Conv::causal(1, stride, 1))),
        }
    });
    let blocks = blocks.collect();
    (blocks, vars)
}

/// Of sum(output * weights), by every variable, gathered as training does.
fn gathered_by(output: &Tensor, vars: &[Var]) -> Vec<Vec<f64>> {
    let shares = [gathered(output)];
    vars.iter().map(|var| summed(var, &shares)).collect()
}

#[test]
fn residual_blocks_agree_with_their_twin() {
    for (case, channels) in [
        vec![3, 5],
        vec![1, 4, 4, 4],
        vec![7, 4, 4, 20, 20],
        vec![25, 32, 32, 32],
        vec![16, 70, 70],
    ]
    .into_iter()
    .enumerate()
    {
        let (layers, mut vars) = random_blocks(&channels, 40 * case as u64 + 300);
        for rows in [1, 13, 40] {
            let x = Var::from_tensor(&random(&[3, rows, channels[0]], 7)).unwrap();
            let (fused, twin) = (blocks(&x, &layers), composed::blocks(&x, &layers));
            let (fused, twin) = (fused.unwrap(), twin.unwrap());
            assert_eq!(fused.dims(), twin.dims());
            assert_close("blocks", &flat(&fused), &flat(&twin), TOLERANCE);
            vars.push(x);
            let (found, expected) = (gathered_by(&fused, &vars), gathered_by(&twin, &vars));
            for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
                assert_close(&format!("{channels:?} {i}"), found, expected, 2.0 * TOLERANCE);
            }
            vars.pop();
        }
    }
}

fn constant(layer: &Layer) -> Layer {
    Layer { weight: layer.weight.detach(), bias: layer.bias.detach(), ..layer.clone() }
}

fn constant_blocks(blocks: &[Block]) -> Vec<Block> {
    let one = |block: &Block| Block {
        first: constant(&block.first),
        second: constant(&block.second),
        skip: block.skip.as_ref().map(constant),
    };
    blocks.iter().map(one).collect()
}

/// Without gradients, windows are computed a few at a time.
#[test]
fn many_windows_pass_blocks_as_few() {
    let (layers, _) = random_blocks(&[3, 5, 5], 900);
    let x = random(&[29, 13, 3], 7);
    let constants = constant_blocks(&layers);
    let all = flat(&blocks(&x, &constants).unwrap());
    assert_close("many", &all, &flat(&composed::blocks(&x, &layers).unwrap()), TOLERANCE);
    assert_eq!(all, flat(&blocks(&x, &layers).unwrap()));
}

/// Central differences of sum(output * weights) by every value of `tensors`, in 64 bits.
fn differences_by(tensors: &[Tensor], output: impl Fn(&[Tensor]) -> Tensor) -> Vec<Vec<f64>> {
    let wide: Vec<Tensor> = tensors.iter().map(|t| t.to_dtype(DType::F64).unwrap()).collect();
    let objective = |which: usize, i: usize, step: f64| {
        let mut moved = wide.clone();
        let mut values = flat(&wide[which]);
        values[i] += step;
        moved[which] = Tensor::from_vec(values, wide[which].shape(), &Device::Cpu).unwrap();
        let output = output(&moved);
        let weights = flat(&random(output.dims(), 99));
        flat(&output).iter().zip(weights).map(|(y, weight)| y * weight).sum::<f64>()
    };
    let by = |which: usize| {
        let slope = |i| (objective(which, i, STEP) - objective(which, i, -STEP)) / (2.0 * STEP);
        (0..wide[which].elem_count()).map(slope).collect()
    };
    (0..wide.len()).map(by).collect()
}

/// The same blocks with other parameters, in the order of [`random_blocks`].
fn with_parameters(blocks: &[Block], parameters: &[Tensor]) -> Vec<Block> {
    let mut rest = parameters.chunks(2);
    let mut next = |layer: &Layer| {
        let pair = rest.next().unwrap();
        Layer { weight: pair[0].clone(), bias: pair[1].clone(), geometry: layer.geometry }
    };
    let mut replaced = Vec::new();
    for Block { first, second, skip } in blocks {
        let (first, second) = (next(first), next(second));
        replaced.push(Block { first, second, skip: skip.as_ref().map(&mut next) });
    }
    replaced
}

#[test]
fn residual_blocks_agree_with_central_differences() {
    let (layers, mut vars) = random_blocks(&[2, 3, 3, 4], 900);
    vars.push(Var::from_tensor(&random(&[2, 9, 2], 9)).unwrap());
    let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let expected = differences_by(&tensors, |moved| {
        let (x, parameters) = moved.split_last().unwrap();
        composed::blocks(x, &with_parameters(&layers, parameters)).unwrap()
    });
    let found = gathered_by(&blocks(vars.last().unwrap(), &layers).unwrap(), &vars);
    for (found, expected) in found.iter().zip(&expected) {
        assert_close("blocks by differences", found, expected, DIFFERENCE_TOLERANCE);
    }
}

/// Where the input is data, the weights have the same gradients; where all is constant, there is
/// nothing to keep; and a plain backward pass, which would lose the gradients, is refused.
#[test]
fn residual_blocks_of_data_and_constants() {
    let (layers, vars) = random_blocks(&[2, 4, 4], 800);
    let x = random(&[2, 9, 2], 8);
    let (fused, twin) = (blocks(&x, &layers).unwrap(), composed::blocks(&x, &layers).unwrap());
    for (found, expected) in gathered_by(&fused, &vars).iter().zip(gathered_by(&twin, &vars)) {
        assert_close("of data", found, &expected, TOLERANCE);
    }
    let constants = constant_blocks(&layers);
    let inference = blocks(&x, &constants).unwrap();
    assert_eq!(flat(&inference), flat(&fused));
    let x = Var::from_tensor(&x).unwrap();
    let through = blocks(&x, &constants).unwrap();
    let [found, expected] =
        [through, composed::blocks(&x, &constants).unwrap()].map(|y| gradients(&y, &[&x]));
    assert_close("through constants", &found[0], &expected[0], TOLERANCE);
    let error = fused.sum_all().unwrap().backward().unwrap_err().to_string();
    assert!(error.contains("kernels::backward"), "{error}");
}

#[test]
fn residual_blocks_that_do_not_fit_are_refused() {
    let (layers, _) = random_blocks(&[2, 4, 4], 850);
    assert!(blocks(&random(&[2, 9, 3], 1), &layers).is_err());
    assert!(blocks(&random(&[9, 2], 1), &layers).is_err());
    let other = Block { first: layers[1].first.clone(), ..layers[0].clone() };
    assert!(blocks(&random(&[2, 9, 2], 1), &[other]).is_err());
    let without_skip = Block { skip: None, ..layers[0].clone() };
    assert!(blocks(&random(&[2, 9, 2], 1), &[without_skip]).is_err());
}

/// The decoder's layers of `features` outputs with random variables, `rows` rows of a window.
fn random_decoding(features: usize, rows: usize, linear: bool) -> (Decoding, Vec<Var>) {
    let (channels, latent) = (4, 3);
    let up = || [vec![channels, 4, channels], vec![channels]];
    let mut shapes = [up(), up()].concat();
    shapes.extend([vec![5, channels, features], vec![features]]);
    if linear {
        shapes.extend([vec![latent, rows * features], vec![rows * features]]);
    }
    let vars: Vec<Var> = shapes
        .iter()
        .zip(500..)
        .map(|(shape, seed)| Var::from_tensor(&random(shape, seed)).unwrap())
        .collect();
    let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    (decoding_of(&tensors, rows), vars)
}

/// The layers with these parameters, in the order of [`random_decoding`].
fn decoding_of(parameters: &[Tensor], rows: usize) -> Decoding {
    let mut pairs = parameters
        .chunks_exact(2)
        .map(|pair| Affine { weight: pair[0].clone(), bias: pair[1].clone() });
    let ups = pairs.by_ref().take(2).collect();
    let Affine { weight, bias } = pairs.next().unwrap();
    let out = Layer { weight, bias, geometry: Conv::same(5) };
    Decoding { ups, out, linear: pairs.next(), rows }
}

#[test]
fn decodings_agree_with_their_twin() {
    for (features, rows, linear) in
        [(1, 12, true), (3, 12, true), (25, 11, true), (2, 9, false), (55, 10, true)]
    {
        let (decoding, mut vars) = random_decoding(features, rows, linear);
        vars.extend(
            [vec![2, 3, 4], vec![2, 3]]
                .map(|shape| Var::from_tensor(&random(&shape, rows as u64)).unwrap()),
        );
        let [hidden, z] = [vars.len() - 2, vars.len() - 1].map(|i| vars[i].as_tensor().clone());
        let fused = decode(&hidden, &z, &decoding).unwrap();
        let twin = composed::decode(&hidden, &z, &decoding).unwrap();
        assert_eq!(fused.dims(), twin.dims());
        assert_close("output", &flat(&fused), &flat(&twin), TOLERANCE);
        if !linear {
            // The latent has no gradient.
            vars.pop();
        }
        let (found, expected) = (gathered_by(&fused, &vars), gathered_by(&twin, &vars));
        for (found, expected) in found.iter().zip(&expected) {
            assert_close("gradient", found, expected, TOLERANCE);
        }
        assert!(fused.sum_all().unwrap().backward().is_err());
        let constants: Vec<Tensor> = vars
            .iter()
            .map(|var| var.as_tensor().detach())
            .take(6 + 2 * usize::from(linear))
            .collect();
        let inference = decode(&hidden.detach(), &z.detach(), &decoding_of(&constants, rows));
        assert_eq!(flat(&inference.unwrap()), flat(&fused));
    }
}

/// Sums are in the order of the taps, wherever a row is in its batch.
#[test]
fn many_windows_are_decoded_as_few() {
    for linear in [true, false] {
        let (decoding, _) = random_decoding(3, 12, linear);
        let (hidden, z) = (random(&[29, 3, 4], 1), random(&[29, 3], 2));
        let all = flat(&decode(&hidden, &z, &decoding).unwrap());
        let twin = composed::decode(&hidden, &z, &decoding).unwrap();
        assert_close("many", &all, &flat(&twin), TOLERANCE);
        let affine = |one: &Affine| Affine { weight: one.weight.detach(), bias: one.bias.detach() };
        let constants = Decoding {
            ups: decoding.ups.iter().map(affine).collect(),
            out: constant(&decoding.out),
            linear: decoding.linear.as_ref().map(affine),
            ..decoding
        };
        assert_eq!(flat(&decode(&hidden, &z, &constants).unwrap()), all);
    }
}

#[test]
fn decoded_rows_are_those_of_the_windows() {
    for (features, rows, linear) in [(1, 12, true), (3, 11, false), (25, 40, true), (2, 37, true)] {
        let (decoding, _) = random_decoding(features, rows, linear);
        let start = rows.div_ceil(4);
        let cuts: Vec<Range<usize>> =
            (0..rows).flat_map(|a| (a + 1..=rows).map(move |b| a..b)).step_by(3).collect();
        let (hidden, z) = (random(&[cuts.len(), start, 4], 1), random(&[cuts.len(), 3], 2));
        let whole = flat(&decode(&hidden, &z, &decoding).unwrap());
        let found = decode_rows(&hidden, &z, &decoding, &cuts).unwrap();
        let found: Vec<f64> = found.into_iter().map(f64::from).collect();
        let windows = whole.chunks_exact(rows * features).zip(&cuts);
        let expected: Vec<f64> = windows
            .flat_map(|(window, cut)| &window[cut.start * features..cut.end * features])
            .copied()
            .collect();
        assert_close("rows", &found, &expected, TOLERANCE);
        let refused = |cuts: &[Range<usize>]| decode_rows(&hidden, &z, &decoding, cuts).is_err();
        assert!(refused(&cuts[1..]));
        for wrong in [0..rows + 1, 2..2] {
            let mut cuts = cuts.clone();
            cuts[1] = wrong;
            assert!(refused(&cuts));
        }
    }
}

#[test]
fn decodings_agree_with_central_differences() {
    let (decoding, mut vars) = random_decoding(2, 7, true);
    vars.extend(
        [vec![2, 2, 4], vec![2, 3]].map(|shape| Var::from_tensor(&random(&shape, 6)).unwrap()),
    );
    let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let expected = differences_by(&tensors, |moved| {
        let (parameters, operands) = moved.split_at(moved.len() - 2);
        composed::decode(&operands[0], &operands[1], &decoding_of(parameters, 7)).unwrap()
    });
    let fused = decode(&tensors[tensors.len() - 2], &tensors[tensors.len() - 1], &decoding);
    for (found, expected) in gathered_by(&fused.unwrap(), &vars).iter().zip(&expected) {
        assert_close("decoding by differences", found, expected, DIFFERENCE_TOLERANCE);
    }
}

#[test]
fn decodings_that_do_not_fit_are_refused() {
    let (decoding, _) = random_decoding(2, 11, true);
    let refused = |hidden: &[usize], z: &[usize], decoding: &Decoding| {
        decode(&random(hidden, 1), &random(z, 2), decoding).is_err()
    };
    assert!(!refused(&[2, 3, 4], &[2, 3], &decoding));
    assert!(refused(&[2, 2, 4], &[2, 3], &decoding));
    assert!(refused(&[2, 3, 5], &[2, 3], &decoding));
    assert!(refused(&[2, 3, 4], &[3, 3], &decoding));
    assert!(refused(&[2, 3, 4], &[2, 4], &decoding));
    assert!(refused(&[2, 3, 4], &[2, 3], &Decoding { ups: Vec::new(), ..decoding.clone() }));
    let strided = Layer { geometry: Conv::causal(5, 2, 1), ..decoding.out.clone() };
    assert!(refused(&[2, 3, 4], &[2, 3], &Decoding { out: strided, ..decoding.clone() }));
}

#[test]
fn row_squares_are_sums_over_features() {
    for features in [1, 3, 16, 37] {
        let (a, b) = (random(&[2, 5, features], 1), random(&[2, 5, features], 2));
        let found: Vec<f64> = row_squares(&a, &b).unwrap().into_iter().map(f64::from).collect();
        let expected = (&a - &b).unwrap().sqr().unwrap().sum(2).unwrap();
        assert_close("squares", &found, &flat(&expected), TOLERANCE);
    }
    assert!(row_squares(&random(&[2, 5, 3], 1), &random(&[2, 5, 4], 2)).is_err());
}
