//! The Rust side of `compare_torch.py`: reads one command per line, does it, and answers with one
//! line, both JSON. So the script can alternate between PyTorch and this crate within one run.
//!
//! | `op` | takes | gives |
//! |---|---|---|
//! | `load` | `model` and `series` (files), `batch` | `parameters` |
//! | `step` | `n` | `seconds` per training step, `loss` of the last |
//! | `forward` | `input` and `output` (files) | `windows` |
//! | `peak` | `size`, `n` | `gflops` of a square product, all threads |

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Float32Array};
use candle_core::{Device, Tensor, safetensors};
use genias::train::Trainer;
use genias::{Columns, FitConfig, Model, RunToEnd, Series};
use serde::Deserialize;
use serde_json::json;

type Answer = Result<serde_json::Value, Box<dyn std::error::Error>>;

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
enum Command {
    Load { model: String, series: String, batch: usize },
    Step { n: usize },
    Forward { input: String, output: String },
    Peak { size: usize, n: usize },
}

/// The columns of a `[T, D]` tensor.
fn columns(path: &str, names: &[String]) -> Result<Columns, Box<dyn std::error::Error>> {
    let tensors = safetensors::load(path, &Device::Cpu)?;
    let values = tensors.get("x").ok_or("no tensor x")?.t()?.to_vec2::<f32>()?;
    let arrays = values.into_iter().map(|v| Arc::new(Float32Array::from(v)) as ArrayRef);
    Ok(Columns::new(names.iter().cloned().zip(arrays).collect())?)
}

fn load(model: &str, series: &str, batch: usize) -> Result<Trainer, Box<dyn std::error::Error>> {
    let model = Model::from_bytes(&std::fs::read(model)?)?;
    let columns = columns(series, &model.generator.normaliser.features)?;
    let config = FitConfig { batch_size: batch, ..model.generator.config.clone() };
    Ok(Trainer::new(&model, &Series::whole(&columns), &config)?)
}

fn step(trainer: &mut Trainer, n: usize) -> Answer {
    let start = Instant::now();
    let mut loss = 0.0;
    for _ in 0..n {
        loss = trainer.step(&RunToEnd)?;
    }
    Ok(json!({ "seconds": start.elapsed().as_secs_f64() / n as f64, "loss": loss }))
}

/// mu, log sigma^2, X^ and X~ of given windows and noise.
fn forward(
    trainer: &Trainer,
    perturbation: genias::config::Perturbation,
    files: [&str; 2],
) -> Answer {
    let tensors = safetensors::load(files[0], &Device::Cpu)?;
    let [x, eps] = ["x", "eps"].map(|name| tensors.get(name).cloned());
    let (x, eps) = (x.ok_or("no tensor x")?, eps.ok_or("no tensor eps")?);
    let out = trainer.vae().forward(&x, &eps, perturbation, None)?;
    let named: HashMap<&str, Tensor> = HashMap::from([
        ("mu", out.mu.detach()),
        ("log_variance", out.log_variance.detach()),
        ("reconstruction", out.reconstruction.detach()),
        ("perturbed", out.perturbed.detach()),
    ]);
    safetensors::save(&named, files[1])?;
    Ok(json!({ "windows": x.dim(0)? }))
}

/// The best of `n` products of two square matrices.
fn peak(size: usize, n: usize) -> Answer {
    let a = vec![0.5f32; size * size];
    let b = a.clone();
    let mut out = a.clone();
    let threads = gemm::Parallelism::Rayon(rayon::current_num_threads());
    let mut best = f64::INFINITY;
    for _ in 0..n {
        let (step, start) = (size as isize, Instant::now());
        // SAFETY: three matrices of size * size values, as the strides say.
        unsafe {
            gemm::gemm(
                size,
                size,
                size,
                out.as_mut_ptr(),
                1,
                step,
                false,
                a.as_ptr(),
                1,
                step,
                b.as_ptr(),
                1,
                step,
                0.0,
                1.0,
                false,
                false,
                false,
                threads,
            );
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(json!({ "gflops": 2.0 * (size as f64).powi(3) / best / 1e9 }))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // `cargo bench` runs every benchmark; this one is for the script, which runs it itself.
    if std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let mut trainer = None;
    for line in std::io::stdin().lock().lines() {
        let answer = match (serde_json::from_str(&line?)?, &mut trainer) {
            (Command::Load { model, series, batch }, slot) => {
                let loaded = load(&model, &series, batch)?;
                let shapes = genias::vae::Vae::shapes(loaded.vae().architecture())?;
                let parameters: usize =
                    shapes.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
                *slot = Some(loaded);
                json!({ "parameters": parameters })
            }
            (Command::Peak { size, n }, _) => peak(size, n)?,
            (Command::Step { n }, Some(trainer)) => step(trainer, n)?,
            (Command::Forward { input, output }, Some(trainer)) => {
                forward(trainer, genias::config::Perturbation::Variance, [&input, &output])?
            }
            (_, None) => return Err("load a model first".into()),
        };
        let mut out = std::io::stdout().lock();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}
