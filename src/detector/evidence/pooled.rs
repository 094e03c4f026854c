//! Directions of embeddings that several series share: principal components of windows of all of
//! them, each in its own scale.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};

use super::detector::NormalRows;
use super::embedding::Windows;
use super::projection::{COMPONENTS, SHARED_COMPONENTS, directions};
use crate::config::FitConfig;
use crate::data::series::Series;
use crate::data::wild::Wild;
use crate::data::windows::spread;
use crate::error::Result;
use crate::nn::Parameters;
use crate::runtime::control::Control;
use crate::runtime::pool::spread_over_pool;

/// Number of windows per embedding, over all series.
const WINDOWS: usize = 2400;
/// Minimum number of series with an embedding.
const FEWEST: usize = 2;

/// Embedded windows of some series.
#[derive(Default)]
struct PooledWindows {
    series: usize,
    width: usize,
    /// [n, width].
    rows: Vec<f32>,
}

/// The directions of the embeddings of `count` series, by name; `series` returns number i.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub(crate) fn pooled<'a>(
    count: usize,
    series: impl Fn(usize) -> Series<'a> + Sync,
    config: &FitConfig,
    control: &dyn Control,
) -> Result<Parameters> {
    let share = WINDOWS.div_ceil(count.max(1));
    let parts = spread_over_pool(count, control, |i| Ok(embedded(&series(i), config, share).ok()))?;
    let mut pools: BTreeMap<String, PooledWindows> = BTreeMap::new();
    for (name, width, rows) in parts.into_iter().flatten().flatten() {
        let pool = pools.entry(name).or_default();
        pool.series += 1;
        pool.width = width;
        pool.rows.extend(rows);
    }
    let pools: Vec<(String, PooledWindows)> =
        pools.into_iter().filter(|(_, pool)| pool.series >= FEWEST).collect();
    let found = spread_over_pool(pools.len(), control, |i| {
        let (name, PooledWindows { width, rows, .. }) = &pools[i];
        let (values, rank) = directions(rows, *width, SHARED_COMPONENTS)?;
        if rank == 0 {
            return Ok(None);
        }
        Ok(Some((name.clone(), Tensor::from_vec(values, (*width, rank), &Device::Cpu)?)))
    })?;
    Ok(found.into_iter().flatten().collect())
}

/// Some embedded windows of a series for every embedding that is projected: name, width, values.
fn embedded(
    series: &Series<'_>,
    config: &FitConfig,
    share: usize,
) -> Result<Vec<(String, usize, Vec<f32>)>> {
    let tame = Wild::find(series).left_out(series)?;
    let tame = tame.as_ref().map(|columns| series.replaced(columns));
    let series = tame.as_ref().unwrap_or(series);
    let NormalRows { features, reference, plan } = NormalRows::of(series, config)?;
    let projected = plan.into_iter().filter(|plan| plan.width(&features) > COMPONENTS);
    let one = projected.map(|plan| {
        let chosen = plan.source.chosen(&features);
        let starts = spread(&reference.starts(plan.size), share);
        let windows = Windows {
            values: &reference.values,
            features: &features,
            chosen: &chosen,
            size: plan.size,
        };
        let rows = plan.source.embedding().embed(windows, &starts);
        (plan.name(&features), plan.width(&features), rows)
    });
    Ok(one.collect())
}
