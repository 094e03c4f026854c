//! The VAE, its losses and gradients against PyTorch, principal components against scikit-learn
//! (see `golden/README.md`).

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use crate::common::{assert_close, flat};
use candle_core::{DType, Device, Tensor, Var};
use genias::FitConfig;
use genias::kernels::{Gradients, Summed, backward};
use genias::vae::loss::Losses;
use genias::vae::pca::Pca;
use genias::vae::{Architecture, Output, Vae};
use safetensors::SafeTensors;
use serde::Deserialize;
use serde_json::{Value, json};

/// Of the largest value of a tensor.
const TOLERANCE: f64 = 1e-5;
const CASES: [&str; 3] = ["strided", "undecimated", "strided_odd"];

/// Tensors and configuration of one fixture.
struct Fixture {
    tensors: HashMap<String, Tensor>,
    config: Value,
}

impl Fixture {
    fn read(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let bytes = std::fs::read(folder.join(format!("{name}.safetensors"))).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let config = serde_json::from_str(&header.metadata().as_ref().unwrap()["config"]).unwrap();
        let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).unwrap();
        Self { tensors, config }
    }

    fn get(&self, name: &str) -> &Tensor {
        &self.tensors[name]
    }

    fn flat(&self, name: &str) -> Vec<f64> {
        flat(self.get(name))
    }

    fn rows(&self, name: &str) -> Vec<Vec<f64>> {
        self.get(name).to_dtype(DType::F64).unwrap().to_vec2().unwrap()
    }

    /// Names below `prefix.`.
    fn names(&self, prefix: &str) -> BTreeSet<String> {
        let prefix = format!("{prefix}.");
        self.tensors.keys().filter_map(|name| name.strip_prefix(&prefix)).map(Into::into).collect()
    }

    fn architecture(&self) -> Architecture {
        Architecture::deserialize(&self.config["architecture"]).unwrap()
    }

    /// The options of the losses over the defaults.
    fn options(&self) -> FitConfig {
        let mut config = json!(FitConfig::default());
        for (name, value) in self.config["options"].as_object().unwrap() {
            config[name] = value.clone();
        }
        serde_json::from_value(config).unwrap()
    }
}

/// The VAE of a fixture, with its parameters as variables.
struct Golden {
    fixture: Fixture,
    vars: HashMap<String, Var>,
    vae: Vae,
    options: FitConfig,
}

impl Golden {
    fn read(name: &str) -> Self {
        let fixture = Fixture::read(name);
        let var = |name: &String| Var::from_tensor(fixture.get(&format!("param.{name}"))).unwrap();
        let vars: HashMap<String, Var> =
            fixture.names("param").iter().map(|name| (name.clone(), var(name))).collect();
        let tensors = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone()));
        let vae = Vae::new(&fixture.architecture(), tensors.collect()).unwrap();
        let options = fixture.options();
        Self { fixture, vars, vae, options }
    }

    /// Forward pass and losses of windows `from..from + n` of the batch of four.
    fn losses(&self, from: usize, n: usize) -> (Output, Losses) {
        let part = |name: &str| self.fixture.get(name).narrow(0, from, n).unwrap();
        let (x, eps) = (part("x"), part("eps"));
        let output = self.vae.forward(&x, &eps, self.options.perturbation, None).unwrap();
        let counted: f64 = self.fixture.flat("zero_mask").iter().sum();
        let zero = (counted > 0.0).then(|| (part("zero_mask") / counted).unwrap());
        let losses = Losses::new(&x, &output, zero.as_ref(), 4, &self.options).unwrap();
        (output, losses)
    }
}

#[test]
fn parameters_have_the_names_and_shapes_of_the_architecture() {
    for name in CASES {
        let fixture = Fixture::read(name);
        let shapes = Vae::shapes(&fixture.architecture()).unwrap();
        let names: BTreeSet<String> = shapes.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(names, fixture.names("param"), "{name}");
        assert_eq!(names, fixture.names("grad"), "{name}");
        for (parameter, shape) in shapes {
            assert_eq!(fixture.get(&format!("param.{parameter}")).dims(), shape, "{parameter}");
        }
    }
}

#[test]
fn forward_passes_match() {
    for name in CASES {
        let golden = Golden::read(name);
        let (output, _) = golden.losses(0, 4);
        for (key, found) in [
            ("mu", &output.mu),
            ("logvar", &output.log_variance),
            ("xhat", &output.reconstruction),
            ("xtilde", &output.perturbed),
        ] {
            assert_eq!(found.dims(), golden.fixture.get(key).dims(), "{name} {key}");
            let expected = golden.fixture.flat(key);
            assert_close(&format!("{name} {key}"), &flat(found), &expected, TOLERANCE);
        }
    }
}

#[test]
fn encoding_and_decoding_apart_match() {
    for name in CASES {
        let golden = Golden::read(name);
        let (mu, log_variance) = golden.vae.encode(golden.fixture.get("x")).unwrap();
        assert_close("mu", &flat(&mu), &golden.fixture.flat("mu"), TOLERANCE);
        assert_close("logvar", &flat(&log_variance), &golden.fixture.flat("logvar"), TOLERANCE);
        let sigma = golden.fixture.get("logvar").affine(0.5, 0.0).unwrap().exp().unwrap();
        let noise = (sigma * golden.fixture.get("eps")).unwrap();
        let decoded = golden.vae.decode(&(golden.fixture.get("mu") + noise).unwrap()).unwrap();
        assert_close("xhat", &flat(&decoded), &golden.fixture.flat("xhat"), TOLERANCE);
    }
}

#[test]
fn losses_match() {
    for name in CASES {
        let golden = Golden::read(name);
        let (_, losses) = golden.losses(0, 4);
        for (key, found) in [
            ("recon", Some(&losses.reconstruction)),
            ("perturb", Some(&losses.perturbation)),
            ("zero", losses.zero.as_ref()),
            ("kl", Some(&losses.kl)),
            ("total", Some(&losses.total)),
        ] {
            let found = found.map_or(vec![0.0], flat);
            let expected = golden.fixture.flat(key);
            assert_close(&format!("{name} {key}"), &found, &expected, TOLERANCE);
        }
    }
}

/// The gradient of a variable by all shares.
fn summed(var: &Tensor, shares: &[Gradients]) -> Vec<f64> {
    let sum = Summed::new(var, shares);
    let values = sum.ranges().into_iter().flat_map(|range| sum.values(range).unwrap());
    values.map(f64::from).collect()
}

#[test]
fn gradients_match() {
    for name in CASES {
        let golden = Golden::read(name);
        let gradients = [backward(&golden.losses(0, 4).1.total).unwrap()];
        for (parameter, var) in &golden.vars {
            let found = summed(var.as_tensor(), &gradients);
            let expected = golden.fixture.flat(&format!("grad.{parameter}"));
            assert_close(&format!("{name} {parameter}"), &found, &expected, TOLERANCE);
        }
    }
}

/// Training gathers the gradients of weights by itself, over the shares of a batch.
#[test]
fn gathered_gradients_match() {
    for name in CASES {
        let golden = Golden::read(name);
        let shares =
            [(0, 3), (3, 1)].map(|(from, n)| backward(&golden.losses(from, n).1.total).unwrap());
        for (parameter, var) in &golden.vars {
            let found = summed(var.as_tensor(), &shares);
            let expected = golden.fixture.flat(&format!("grad.{parameter}"));
            assert_close(&format!("{name} {parameter}"), &found, &expected, TOLERANCE);
        }
    }
}

/// Training cuts a batch into shares: their losses add up to that of the batch.
#[test]
fn shares_add_up_to_the_batch() {
    for name in CASES {
        let golden = Golden::read(name);
        let shares = [golden.losses(0, 3).1, golden.losses(3, 1).1];
        let total: f64 = shares.iter().map(|losses| flat(&losses.total)[0]).sum();
        assert_close(name, &[total], &golden.fixture.flat("total"), TOLERANCE);
    }
}

#[test]
fn psi_is_read() {
    let golden = Golden::read("strided");
    assert_close("psi", &[golden.vae.psi().unwrap()], &[1.7], 1e-7);
}

fn pca(fixture: &Fixture) -> Pca {
    let windows: Vec<f32> = fixture.get("windows").flatten_all().unwrap().to_vec1().unwrap();
    let (n, width) = fixture.get("windows").dims2().unwrap();
    let rank = fixture.get("components").dim(0).unwrap();
    Pca::fit(&windows, n, width, rank).unwrap()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// mean + sum of (window - mean) . component * component.
fn reconstruct(pca: &Pca, window: &[f64]) -> Vec<f64> {
    let centred: Vec<f64> = window.iter().zip(&pca.mean).map(|(x, mean)| x - mean).collect();
    let mut decoded = pca.mean.clone();
    for component in &pca.components {
        let weight = dot(&centred, component);
        decoded.iter_mut().zip(component).for_each(|(sum, c)| *sum += weight * c);
    }
    decoded
}

/// The sign of a component is arbitrary; in the fixture its largest entry is positive.
fn signed(component: &[f64]) -> Vec<f64> {
    let largest = component.iter().fold(0.0f64, |a, b| if b.abs() > a.abs() { *b } else { a });
    component.iter().map(|x| x * largest.signum()).collect()
}

#[test]
fn principal_components_match() {
    for name in ["pca", "pca_wide"] {
        let fixture = Fixture::read(name);
        let pca = pca(&fixture);
        assert_close(name, &pca.mean, &fixture.flat("mean"), TOLERANCE);
        assert_close(name, &pca.variances, &fixture.flat("variances"), TOLERANCE);
        let components = fixture.rows("components");
        assert_eq!(pca.components.len(), components.len());
        for (found, expected) in pca.components.iter().zip(&components) {
            assert_close(name, &signed(found), expected, TOLERANCE);
        }
    }
}

#[test]
fn reconstructions_by_principal_components_match() {
    for name in ["pca", "pca_wide"] {
        let fixture = Fixture::read(name);
        let pca = pca(&fixture);
        let expected = fixture.rows("reconstruction");
        for (window, expected) in fixture.rows("windows").iter().zip(&expected) {
            assert_close(name, &reconstruct(&pca, window), expected, TOLERANCE);
            let error: Vec<f64> = window.iter().zip(expected).map(|(x, y)| x - y).collect();
            let narrow: Vec<f32> = window.iter().map(|x| *x as f32).collect();
            let squared = dot(&error, &error);
            // The error is a small difference of large values.
            let scale = dot(window, window);
            assert!((pca.squared_errors(&narrow).unwrap() - squared).abs() <= TOLERANCE * scale);
        }
    }
}
