//! psi of a window: the global psi, scaled by a small head on the latent mean.

use candle_core::{Result, Tensor};

use crate::kernels::linear;
use crate::nn::parameters::{ParameterGroup, Scope, Start};

/// Maximum of |h|: psi - 1 is between a third and three times the global value.
const BOUND: f64 = 1.098_612_288_668_109_8;

/// psi(mu) = 1 + (psi - 1) exp(h), h = ln 3 tanh(mu w + b). With w = 0 and b = 0, psi(mu) is psi.
///
/// The head scales psi - 1, not psi: at psi = 1 nothing changes, and the distance d(X^, X~) grows
/// with psi - 1. It learns from detached means, so that the encoder does not learn from it.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    weight: Tensor,
    bias: Tensor,
}

impl Local {
    /// Declares its parameters; psi starts as the global one.
    pub(super) fn new(latent: usize, mut scope: Scope<'_, '_>) -> crate::Result<Self> {
        let zeros = |n: usize| move || vec![0.0; n];
        let (weight, bias) = (zeros(latent), zeros(1));
        Ok(Self {
            weight: scope.parameter(
                "weight",
                &[latent, 1],
                Start::Values(&weight),
                ParameterGroup::Head,
            )?,
            bias: scope.parameter("bias", &[1], Start::Values(&bias), ParameterGroup::Head)?,
        })
    }

    /// h of latent means [B, L], [B, 1].
    pub(crate) fn log_factor(&self, mu: &Tensor) -> Result<Tensor> {
        linear(&mu.detach(), &self.weight, &self.bias)?.tanh()? * BOUND
    }
}

/// 1 + (psi - 1) exp(h), [B, 1], of psi [1] and h [B, 1].
pub(crate) fn scaled(psi: &Tensor, log_factor: &Tensor) -> Result<Tensor> {
    log_factor.exp()?.broadcast_mul(&(psi - 1.0)?)? + 1.0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use candle_core::{Device, Var};

    use super::*;
    use crate::config::FitConfig;
    use crate::kernels::{Summed, backward};
    use crate::nn::parameters::Declared;
    use crate::runtime::rng::{Purpose, Rng};
    use crate::vae::init::Beginning;
    use crate::vae::loss::Losses;
    use crate::vae::{Architecture, Vae};

    const WINDOWS: usize = 6;

    struct Case {
        config: FitConfig,
        vae: Vae,
        vars: BTreeMap<String, Var>,
        x: Tensor,
        eps: Tensor,
    }

    impl Case {
        fn new() -> Self {
            let config = FitConfig {
                window: 16,
                latent: Some(5),
                channels: 4,
                local: true,
                beta: 1.0,
                ..FitConfig::default()
            };
            let architecture = Architecture::new(&config, 2);
            let beginning = Beginning { pca: None, sigma_prior: 0.5, psi: 3.0, noise_weight: 0.0 };
            let (vae, declared) = Vae::start(&architecture, &beginning, 1).unwrap();
            let named = |declared: Declared| (declared.name, declared.var.unwrap());
            let vars: BTreeMap<String, Var> = declared.into_iter().map(named).collect();
            let mut rng = Rng::new(4, Purpose::Batch, [0, 0]);
            let mut draw = |shape: (usize, usize)| {
                Tensor::from_vec(rng.normals(shape.0 * shape.1), shape, &Device::Cpu).unwrap()
            };
            let x = draw((WINDOWS, 32)).reshape((WINDOWS, 16, 2)).unwrap();
            let eps = (draw((WINDOWS, 5)) * 2.0).unwrap();
            let head = (draw((5, 1)) * 0.5).unwrap();
            vars["local.weight"].set(&head).unwrap();
            Self { config, vae, vars, x, eps }
        }

        fn loss(&self) -> Tensor {
            let output =
                self.vae.forward(&self.x, &self.eps, self.config.perturbation, None).unwrap();
            Losses::new(&self.x, &output, None, WINDOWS, &self.config).unwrap().total
        }

        /// Loss after adding `by` to value `i` of a parameter.
        fn moved(&self, name: &str, i: usize, by: f32) -> f64 {
            let var = &self.vars[name];
            let before = var.as_tensor().copy().unwrap();
            let mut values = before.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            values[i] += by;
            var.set(&Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap()).unwrap();
            let loss = self.loss().to_scalar::<f32>().unwrap();
            var.set(&before).unwrap();
            f64::from(loss)
        }
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        const STEP: f32 = 1e-2;
        let case = Case::new();
        let shares = [backward(&case.loss()).unwrap()];
        let mut seen = 0.0;
        for (name, count) in [("local.weight", 5), ("local.bias", 1), ("psi", 1)] {
            let gradient = Summed::new(case.vars[name].as_tensor(), &shares);
            let gradient = gradient.values(0..count).unwrap();
            for (i, gradient) in gradient.into_iter().enumerate() {
                let difference = case.moved(name, i, STEP) - case.moved(name, i, -STEP);
                let slope = difference / f64::from(2.0 * STEP);
                let off = (f64::from(gradient) - slope).abs();
                assert!(off < 2e-2 * slope.abs() + 2e-4, "{name} {i}: {gradient} {slope}");
                seen += slope.abs();
            }
        }
        assert!(seen > 1e-2, "{seen}");
    }

    #[test]
    fn psi_is_bounded_and_global_at_zero() {
        let case = Case::new();
        let psi = Tensor::from_vec(vec![3f32], 1, &Device::Cpu).unwrap();
        let mu = (Tensor::randn(0f32, 1.0, (50, 5), &Device::Cpu).unwrap() * 100.0).unwrap();
        let head = |weight: f32| {
            let weight = Tensor::full(weight, (5, 1), &Device::Cpu).unwrap();
            let local = Local { weight, bias: case.vars["local.bias"].as_tensor().clone() };
            let values = scaled(&psi, &local.log_factor(&mu).unwrap()).unwrap();
            values.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        assert!(head(0.0).iter().all(|psi| *psi == 3.0));
        assert!(head(1.0).iter().all(|psi| (1.66..=7.001).contains(psi)));
    }
}
