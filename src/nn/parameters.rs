//! The parameters of a net, each declared once, in the constructor that uses it, with name, shape,
//! initial value and group. The same constructor initialises, loads and lists a net.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};

use crate::error::{Error, Result};
use crate::kernels::{Affine, Conv, Layer, linear, linear_columns, linear_relu};
use crate::runtime::rng::Rng;

/// Parameters by name.
pub type Parameters = BTreeMap<String, Tensor>;
/// Names and shapes of parameters.
pub type Shapes = Vec<(String, Vec<usize>)>;

/// Learning-rate group of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParameterGroup {
    /// Weights.
    Weights,
    /// psi, which stays at 1 or above.
    Psi,
    /// A head on psi.
    Head,
}

/// Initial value of a parameter.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a> {
    /// Uniform within `scale` / sqrt(`fan_in`).
    Uniform { fan_in: usize, scale: f64 },
    /// With these values.
    Values(&'a dyn Fn() -> Vec<f32>),
}

/// One parameter.
#[derive(Debug)]
pub(crate) struct Declared {
    pub name: String,
    pub shape: Vec<usize>,
    pub group: ParameterGroup,
    /// Its variable, if it is trained.
    pub var: Option<Var>,
}

/// The random stream of parameter number i.
pub(crate) type Stream<'a> = dyn Fn(u64) -> Rng + 'a;

/// Source of the values.
enum ValueOrigin<'a> {
    /// None: only names and shapes are listed.
    Nowhere,
    /// Named tensors, as constants.
    Named(&'a Parameters),
    /// Copies of named tensors, to continue training.
    Resumed(&'a Parameters),
    /// Random numbers, except for named tensors; all are trained.
    Started { stream: &'a Stream<'a>, named: &'a Parameters },
}

/// The parameters of one net during its construction.
pub(crate) struct Store<'a> {
    origin: ValueOrigin<'a>,
    declared: Vec<Declared>,
}

impl<'a> Store<'a> {
    fn new(origin: ValueOrigin<'a>) -> Self {
        Self { origin, declared: Vec::new() }
    }

    /// Names and shapes of the parameters that `build` declares.
    pub(crate) fn shapes<T>(build: impl FnOnce(&mut Scope<'_, '_>) -> Result<T>) -> Result<Shapes> {
        let mut store = Self::new(ValueOrigin::Nowhere);
        build(&mut store.root())?;
        Ok(store.declared.into_iter().map(|declared| (declared.name, declared.shape)).collect())
    }

    /// A net of constant parameters.
    pub(crate) fn load<T>(
        parameters: &'a Parameters,
        build: impl FnOnce(&mut Scope<'_, '_>) -> Result<T>,
    ) -> Result<T> {
        build(&mut Store::new(ValueOrigin::Named(parameters)).root())
    }

    /// A net to continue training, and its parameters.
    pub(crate) fn resume<T>(
        parameters: &'a Parameters,
        build: impl FnOnce(&mut Scope<'_, '_>) -> Result<T>,
    ) -> Result<(T, Vec<Declared>)> {
        let mut store = Store::new(ValueOrigin::Resumed(parameters));
        let net = build(&mut store.root())?;
        Ok((net, store.declared))
    }

    /// An untrained net and its parameters; those in `named` start with these values.
    pub(crate) fn start<T>(
        stream: &'a Stream<'a>,
        named: &'a Parameters,
        build: impl FnOnce(&mut Scope<'_, '_>) -> Result<T>,
    ) -> Result<(T, Vec<Declared>)> {
        let mut store = Store::new(ValueOrigin::Started { stream, named });
        let net = build(&mut store.root())?;
        Ok((net, store.declared))
    }

    fn root<'b>(&'b mut self) -> Scope<'b, 'a> {
        Scope { store: self, prefix: String::new() }
    }

    fn declare(
        &mut self,
        name: String,
        shape: &[usize],
        start: Start<'_>,
        group: ParameterGroup,
    ) -> Result<Tensor> {
        let trained = |tensor: &Tensor| Var::from_tensor(tensor).map(Some);
        let (tensor, var) = match &self.origin {
            ValueOrigin::Nowhere => (Tensor::zeros(0, DType::F32, &Device::Cpu)?, None),
            ValueOrigin::Named(named) => (named_tensor(named, &name, shape)?, None),
            ValueOrigin::Resumed(named) => {
                let var = trained(&named_tensor(named, &name, shape)?.copy()?)?;
                (Tensor::zeros(0, DType::F32, &Device::Cpu)?, var)
            }
            ValueOrigin::Started { stream, named } => {
                let value = match named.get(&name) {
                    Some(tensor) => tensor.clone(),
                    None => {
                        let number = self.declared.len() as u64;
                        Tensor::from_vec(start.values(shape, number, stream), shape, &Device::Cpu)?
                    }
                };
                (Tensor::zeros(0, DType::F32, &Device::Cpu)?, trained(&value)?)
            }
        };
        let tensor = var.as_ref().map_or(tensor, |var| var.as_tensor().clone());
        self.declared.push(Declared { name, shape: shape.to_vec(), group, var });
        Ok(tensor)
    }
}

impl Start<'_> {
    fn values(self, shape: &[usize], number: u64, stream: &Stream<'_>) -> Vec<f32> {
        match self {
            Self::Values(values) => values(),
            Self::Uniform { fan_in, scale } => {
                let bound = scale / (fan_in.max(1) as f64).sqrt();
                stream(number).symmetric(shape.iter().product(), bound)
            }
        }
    }
}

fn named_tensor(named: &Parameters, name: &str, shape: &[usize]) -> Result<Tensor> {
    let missing = || Error::Model(format!("tensor `{name}` is missing"));
    let tensor = named.get(name).ok_or_else(missing)?;
    if tensor.dims() != shape {
        let found = tensor.dims();
        return Err(Error::Model(format!("tensor `{name}` is {found:?}, expected {shape:?}")));
    }
    Ok(tensor.clone())
}

/// A part of a net: declares parameters under a common prefix.
pub(crate) struct Scope<'b, 'a> {
    store: &'b mut Store<'a>,
    prefix: String,
}

impl<'a> Scope<'_, 'a> {
    /// The part `name`.
    pub(crate) fn part(&mut self, name: impl std::fmt::Display) -> Scope<'_, 'a> {
        Scope { prefix: format!("{}{name}.", self.prefix), store: self.store }
    }

    /// The parameter `name`.
    pub(crate) fn parameter(
        &mut self,
        name: &str,
        shape: &[usize],
        start: Start<'_>,
        group: ParameterGroup,
    ) -> Result<Tensor> {
        self.store.declare(format!("{}{name}", self.prefix), shape, start, group)
    }

    /// The weight and bias of a layer, with their initial values.
    pub(crate) fn pair(
        &mut self,
        name: &str,
        weight: &[usize],
        starts: [Start<'_>; 2],
    ) -> Result<(Tensor, Tensor)> {
        let outputs = weight.last().copied().unwrap_or(1);
        let mut part = self.part(name);
        let bias = [outputs];
        Ok((
            part.parameter("weight", weight, starts[0], ParameterGroup::Weights)?,
            part.parameter("bias", &bias, starts[1], ParameterGroup::Weights)?,
        ))
    }

    /// A convolution from `inputs` to `outputs` channels.
    pub(crate) fn conv(
        &mut self,
        name: &str,
        inputs: usize,
        outputs: usize,
        geometry: Conv,
    ) -> Result<Layer> {
        let fan_in = geometry.kernel * inputs;
        let start = Start::Uniform { fan_in, scale: 1.0 };
        let (weight, bias) =
            self.pair(name, &[geometry.kernel, inputs, outputs], [start, start])?;
        Ok(Layer { weight, bias, geometry })
    }

    /// A linear layer from `inputs` to `outputs` values.
    pub(crate) fn linear(&mut self, name: &str, inputs: usize, outputs: usize) -> Result<Linear> {
        let start = Start::Uniform { fan_in: inputs, scale: 1.0 };
        Ok(self.pair(name, &[inputs, outputs], [start, start])?.into())
    }
}

/// x W + b.
#[derive(Clone, Debug)]
pub(crate) struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl From<(Tensor, Tensor)> for Linear {
    fn from((weight, bias): (Tensor, Tensor)) -> Self {
        Self { weight, bias }
    }
}

impl Linear {
    /// [B, inputs] -> [B, outputs].
    pub(crate) fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        linear(x, &self.weight, &self.bias)
    }

    /// The first `columns` outputs, without gradients.
    pub(crate) fn first(&self, x: &Tensor, columns: usize) -> candle_core::Result<Tensor> {
        linear_columns(x, &self.weight, &self.bias, columns)
    }

    /// Its weight and bias.
    pub(crate) fn into_affine(self) -> Affine {
        Affine { weight: self.weight, bias: self.bias }
    }

    /// relu(x W + b).
    pub(crate) fn forward_relu(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        linear_relu(x, &self.weight, &self.bias)
    }
}
