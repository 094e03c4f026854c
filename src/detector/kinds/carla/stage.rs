//! Common parts of both training stages: windows to draw from, and optimiser steps.

use candle_core::{Device, Tensor};

use crate::data::batches::map_shares;
use crate::data::windows::spread;
use crate::detector::kinds::classifier::limit;
use crate::detector::nets::NetTask;
use crate::error::Result;
use crate::nn::descent::Plan;
use crate::runtime::control::Control;

/// Default optimiser steps of both stages together.
pub(super) const STEPS: usize = 300;
/// Learning rate of both stages in units of `detector_learning_rate`, whose default suits the
/// classifier; this gives the 0.01 of the publication's second stage.
const RATE: f64 = 5.0;

/// Windows to draw from: normal ones at `starts`, then as many negatives. Nothing is stored:
/// windows are gathered, and negatives regenerated, on use.
pub(super) struct Pool<'a> {
    pub task: NetTask<'a>,
    pub starts: Vec<usize>,
}

impl<'a> Pool<'a> {
    /// At most `most` normal windows, evenly spaced.
    pub(super) fn new(task: NetTask<'a>, most: usize) -> Self {
        Self { task, starts: spread(task.starts, most) }
    }

    /// Number of windows, normal ones and negatives.
    pub(super) fn len(&self) -> usize {
        2 * self.starts.len()
    }

    /// Window number `item`, flat [W, D].
    fn window(&self, item: usize) -> Vec<f32> {
        let NetTask { matrix, window, negatives, net, .. } = self.task;
        match item.checked_sub(self.starts.len()) {
            None => matrix.window(self.starts[item], window).into_owned(),
            Some(negative) => {
                let key = ((2 * net + 1) << 32) + negative as u64;
                negatives.draw(1, key).windows
            }
        }
    }

    /// The windows `items`, [n, W, D].
    pub(super) fn gather(&self, items: impl IntoIterator<Item = usize>) -> Result<Tensor> {
        self.tensor(items.into_iter().flat_map(|item| self.window(item)).collect())
    }

    /// Consecutive windows as [n, W, D], after [`limit`].
    pub(super) fn tensor(&self, mut values: Vec<f32>) -> Result<Tensor> {
        limit(&mut values);
        let (window, features) = (self.task.window, self.task.matrix.features());
        let n = values.len() / (window * features).max(1);
        Ok(Tensor::from_vec(values, (n, window, features), &Device::Cpu)?)
    }

    /// Results of `work` for the first `n` windows, flat.
    pub(super) fn each(
        &self,
        n: usize,
        control: &dyn Control,
        work: impl Fn(&Tensor) -> Result<Tensor> + Sync + Send,
    ) -> Result<Vec<f32>> {
        let parts = map_shares(n, control, |items| values(&work(&self.gather(items)?)?))?;
        Ok(parts.concat())
    }
}

/// The values of a tensor, flat.
pub(super) fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}

/// The three concatenated parts of a batch [3 n, ...].
pub(super) fn thirds(batch: &Tensor) -> Result<[Tensor; 3]> {
    let n = batch.dim(0)? / 3;
    Ok([batch.narrow(0, 0, n)?, batch.narrow(0, n, n)?, batch.narrow(0, 2 * n, n)?])
}

/// Rates, steps and shares of a stage; a share has `size` windows.
pub(super) fn plan(task: &NetTask<'_>, size: usize) -> Plan {
    let NetTask { config, net, .. } = *task;
    Plan {
        learning_rate: RATE * config.detector_learning_rate,
        steps: config.detector_steps.unwrap_or(STEPS).div_ceil(2),
        shares: config.detector_batch_size.div_ceil(size),
        seed: config.seed,
        net,
    }
}
