//! The optimiser: Adam with clipping, a schedule, and a separate rate for psi.

use std::ops::Range;
use std::sync::Mutex;

use candle_core::{CpuStorage, InplaceOp1, Layout, Var};
use pulp::{Arch, Simd, with_simd};
use rayon::prelude::*;

use super::parameters::{Declared, ParameterGroup, Parameters};
use crate::config::Schedule;
use crate::error::Result;
use crate::kernels::{Gradients, Summed};
use crate::runtime::control::Control;
use crate::runtime::pool::spread_over_pool;

/// Warm-up steps of the cosine schedule.
const WARM_UP: usize = 20;
/// Final learning rate of the cosine, as a share of the base rate.
const FINAL_RATE: f64 = 0.02;
/// Learning rate of the head of a local psi, as a share of psi's.
const LOCAL_RATE: f64 = 0.05;
const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// Adam (Kingma & Ba, 2015) with psi as a separate parameter group.
pub(crate) struct Adam {
    groups: Vec<Parameter>,
    rates: Rates,
}

/// Learning rates and their schedule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rates {
    pub learning_rate: f64,
    pub psi_learning_rate: f64,
    pub schedule: Schedule,
    pub steps: usize,
    pub clip: Option<f64>,
}

impl Rates {
    fn of(&self, group: ParameterGroup) -> f64 {
        match group {
            ParameterGroup::Weights => self.learning_rate,
            ParameterGroup::Psi => self.psi_learning_rate,
            ParameterGroup::Head => LOCAL_RATE * self.psi_learning_rate,
        }
    }
}

struct Parameter {
    name: String,
    var: Var,
    rate: f64,
    floor: f32,
    first: Vec<f32>,
    second: Vec<f32>,
}

impl Adam {
    /// For the parameters with a variable; every rate is multiplied by `factor`.
    pub(crate) fn new(declared: Vec<Declared>, rates: Rates, factor: f64) -> Self {
        let trained = |Declared { name, group, var, .. }: Declared| {
            let var = var?;
            let count = var.elem_count();
            let floor = if group == ParameterGroup::Psi { 1.0 } else { f32::NEG_INFINITY };
            let (first, second) = (vec![0.0; count], vec![0.0; count]);
            Some(Parameter { name, var, rate: rates.of(group) * factor, floor, first, second })
        };
        let mut groups: Vec<Parameter> = declared.into_iter().filter_map(trained).collect();
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        Self { groups, rates }
    }

    /// One step along the sum of the shares' gradients; `false` if it is not finite.
    pub(crate) fn step(
        &mut self,
        shares: &[Gradients],
        step: usize,
        control: &dyn Control,
    ) -> Result<bool> {
        let sums: Vec<Summed<'_>> =
            self.groups.iter().map(|group| Summed::new(group.var.as_tensor(), shares)).collect();
        let tasks: Vec<(usize, Range<usize>)> = sums
            .iter()
            .enumerate()
            .flat_map(|(i, sum)| sum.ranges().into_iter().map(move |range| (i, range)))
            .collect();
        let gradients = spread_over_pool(tasks.len(), control, |task| {
            let (i, range) = tasks[task].clone();
            let gradient = sums[i].values(range)?;
            let square: f64 = gradient.iter().map(|g| f64::from(*g).powi(2)).sum();
            Ok((gradient, square))
        })?;
        drop(sums);
        let norm = gradients.iter().map(|(_, square)| square).sum::<f64>().sqrt();
        if !norm.is_finite() {
            return Ok(false);
        }
        let scale = self.rates.clip.map_or(1.0, |clip| if norm > clip { clip / norm } else { 1.0 });
        let factor = schedule_factor(self.rates.schedule, step, self.rates.steps);
        let mut of_group: Vec<Vec<Vec<f32>>> = self.groups.iter().map(|_| Vec::new()).collect();
        for ((i, _), (gradient, _)) in tasks.into_iter().zip(gradients) {
            of_group[i].push(gradient);
        }
        let update = |(parameter, gradient): (&mut Parameter, &Vec<Vec<f32>>)| {
            parameter.update(gradient, scale, factor, step)
        };
        if control.alone() {
            self.groups.par_iter_mut().zip(&of_group).try_for_each(update)?;
        } else {
            self.groups.iter_mut().zip(&of_group).try_for_each(update)?;
        }
        Ok(true)
    }

    /// A copy of all parameters.
    pub(crate) fn snapshot(&self) -> Result<Parameters> {
        self.groups
            .iter()
            .map(|p| Ok((p.name.clone(), p.var.as_tensor().detach().copy()?)))
            .collect()
    }
}

impl Parameter {
    /// Splits `gradient` into consecutive parts.
    fn update(
        &mut self,
        gradient: &[Vec<f32>],
        scale: f64,
        factor: f64,
        step: usize,
    ) -> Result<()> {
        let t = step as i32 + 1;
        let op = AdamStep {
            gradient,
            moments: Mutex::new((&mut self.first, &mut self.second)),
            scale: scale as f32,
            // Bias corrections of both moments, as a factor of the rate.
            rate: (self.rate * factor * (1.0 - BETA2.powi(t)).sqrt() / (1.0 - BETA1.powi(t)))
                as f32,
            epsilon: (EPSILON * (1.0 - BETA2.powi(t)).sqrt()) as f32,
            floor: self.floor,
        };
        Ok(self.var.as_tensor().inplace_op1(&op)?)
    }
}

struct AdamStep<'a> {
    gradient: &'a [Vec<f32>],
    moments: Mutex<(&'a mut [f32], &'a mut [f32])>,
    scale: f32,
    rate: f32,
    epsilon: f32,
    floor: f32,
}

impl InplaceOp1 for AdamStep<'_> {
    fn name(&self) -> &'static str {
        "genias-adam"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, _: &Layout) -> candle_core::Result<()> {
        let CpuStorage::F32(values) = storage else {
            candle_core::bail!("parameters are 32-bit floats")
        };
        let Ok(mut moments) = self.moments.lock() else {
            candle_core::bail!("the optimiser state is lost")
        };
        let (first, second) = &mut *moments;
        let mut at = 0;
        for gradient in self.gradient {
            let range = at..at + gradient.len();
            at = range.end;
            self.update(
                &mut values[range.clone()],
                gradient,
                &mut first[range.clone()],
                &mut second[range],
            );
        }
        Ok(())
    }
}

impl AdamStep<'_> {
    fn update(&self, values: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]) {
        let (scale, rate, epsilon, floor) = (self.scale, self.rate, self.epsilon, self.floor);
        adam(values, gradient, first, second, AdamFactors { scale, rate, epsilon, floor });
    }
}

/// Numbers that all values of a step share.
#[derive(Clone, Copy)]
struct AdamFactors {
    /// Factor of the gradient.
    scale: f32,
    rate: f32,
    epsilon: f32,
    /// Minimum value.
    floor: f32,
}

/// One step of Adam, compiled for the vector instructions of the machine.
#[with_simd(adam = Arch::new())]
#[inline(always)]
fn adam_loop<'a, S: Simd>(
    _: S,
    values: &'a mut [f32],
    gradient: &'a [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
    factors: AdamFactors,
) {
    let AdamFactors { scale, rate, epsilon, floor } = factors;
    let (beta1, beta2) = (BETA1 as f32, BETA2 as f32);
    let moments = first.iter_mut().zip(second);
    for ((value, gradient), (first, second)) in values.iter_mut().zip(gradient).zip(moments) {
        let gradient = gradient * scale;
        *first = beta1 * *first + (1.0 - beta1) * gradient;
        *second = beta2 * *second + (1.0 - beta2) * gradient * gradient;
        *value = (*value - rate * *first / (second.sqrt() + epsilon)).max(floor);
    }
}

/// Share of the base rate at `step` of `steps`.
fn schedule_factor(schedule: Schedule, step: usize, steps: usize) -> f64 {
    match schedule {
        Schedule::Constant => 1.0,
        Schedule::Cosine => {
            let cosine = 0.5 * (1.0 + (std::f64::consts::PI * step as f64 / steps as f64).cos());
            let warm_up = ((step + 1) as f64 / WARM_UP as f64).min(1.0);
            (cosine * (1.0 - FINAL_RATE) + FINAL_RATE) * warm_up
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedule_warms_up_and_falls() {
        let at = |step| schedule_factor(Schedule::Cosine, step, 400);
        assert!(at(0) < 0.06 && at(19) > 0.98 && at(399) < 0.021 && at(399) > 0.0199);
        assert_eq!(schedule_factor(Schedule::Constant, 399, 400), 1.0);
    }
}
