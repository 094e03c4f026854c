//! The fused operations beside their twins of plain candle operations, on one thread: forward, and
//! forward with backward. `cargo bench -p genias --bench kernels`.

// criterion's macros make functions without documentation.
#![allow(missing_docs)]

use std::hint::black_box;

use candle_core::{Device, Result, Tensor, Var};
use criterion::{Criterion, criterion_group, criterion_main};
use genias::kernels::{Block, Conv, Layer, backward, blocks, composed, conv, linear, upsample};
use genias::rng::{Purpose, Rng};

/// Windows of a share.
const BATCH: usize = 8;

/// An operation on input and parameters.
type Operation = fn(&Tensor, &[Var]) -> Result<Tensor>;

/// One operation: input shape, parameter shapes, and both forms of it.
struct Case {
    name: &'static str,
    input: Vec<usize>,
    parameters: Vec<Vec<usize>>,
    fused: Operation,
    composed: Operation,
}

/// A block of the paper-size encoder.
fn block(parameters: &[Var]) -> [Block; 1] {
    let layer = |i: usize| Layer {
        weight: parameters[2 * i].as_tensor().clone(),
        bias: parameters[2 * i + 1].as_tensor().clone(),
        geometry: Conv { relu: true, ..Conv::causal(3, 1, 4) },
    };
    [Block { first: layer(0), second: layer(1), skip: None }]
}

fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "conv 32 channels stride 2",
            input: vec![BATCH, 100, 32],
            parameters: vec![vec![3, 32, 32], vec![32]],
            fused: |x, p| conv(x, &p[0], &p[1], Conv { relu: true, ..Conv::causal(3, 2, 1) }),
            composed: |x, p| {
                composed::conv(x, &p[0], &p[1], Conv { relu: true, ..Conv::causal(3, 2, 1) })
            },
        },
        Case {
            name: "block 64 channels dilation 4",
            input: vec![BATCH, 200, 64],
            parameters: vec![vec![3, 64, 64], vec![64], vec![3, 64, 64], vec![64]],
            fused: |x, p| blocks(x, &block(p)),
            composed: |x, p| composed::blocks(x, &block(p)),
        },
        Case {
            name: "upsample 64 channels",
            input: vec![2 * BATCH, 100, 64],
            parameters: vec![vec![64, 4, 64], vec![64]],
            fused: |x, p| upsample(x, &p[0], &p[1]),
            composed: |x, p| composed::upsample(x, &p[0], &p[1]),
        },
        Case {
            name: "linear 5000 to 100",
            input: vec![BATCH, 5000],
            parameters: vec![vec![5000, 100], vec![100]],
            fused: |x, p| linear(x, &p[0], &p[1]),
            composed: |x, p| composed::linear(x, &p[0], &p[1]),
        },
    ]
}

fn random(shape: &[usize], seed: u64) -> Result<Var> {
    let values = Rng::new(seed, Purpose::Init, [0, 0]).symmetric(shape.iter().product(), 0.1);
    Var::from_vec(values, shape, &Device::Cpu)
}

fn compare(criterion: &mut Criterion) {
    for case in cases() {
        let mut group = criterion.benchmark_group(case.name);
        let operands = random(&case.input, 0).and_then(|x| {
            let parameters = case.parameters.iter().zip(1..).map(|(shape, i)| random(shape, i));
            Ok((x, parameters.collect::<Result<Vec<_>>>()?))
        });
        let Ok((x, parameters)) = operands else { continue };
        let constants: Vec<Var> =
            parameters.iter().filter_map(|p| Var::from_tensor(&p.detach()).ok()).collect();
        for (name, operation) in [("fused", case.fused), ("composed", case.composed)] {
            group.bench_function(format!("{name} forward"), |bencher| {
                bencher.iter(|| operation(&x.detach(), black_box(&constants)));
            });
            group.bench_function(format!("{name} forward + backward"), |bencher| {
                bencher.iter(|| {
                    operation(black_box(&x), &parameters)?.sum_all().and_then(|sum| backward(&sum))
                });
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = kernels;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(std::time::Duration::from_secs(1))
        .measurement_time(std::time::Duration::from_secs(2));
    targets = compare
}
criterion_main!(kernels);
