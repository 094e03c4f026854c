//! The anomalies of every group: of each by itself, or a number of them over all groups.

use std::collections::HashMap;

use genias::anomaly::{Anomaly, Ground};
use genias::inject::InjectConfig;
use genias::Series as TimeSeries;
use polars::prelude::*;

use crate::call::to_polars;
use crate::inputs::Frame;
use crate::models::{for_each_group, for_each_series, Detector};

/// What some groups have room for, and what each of them gets, by its first row.
#[derive(Default)]
struct Shares {
    rows: Vec<usize>,
    grounds: Vec<Ground>,
}

impl Shares {
    fn add(&mut self, series: &TimeSeries<'_>, ground: Option<Ground>) {
        if let Some(ground) = ground {
            self.rows.push(series.row(0));
            self.grounds.push(ground);
        }
    }

    fn out<T>(
        self,
        share_out: impl Fn(&[Ground]) -> genias::Result<Vec<Vec<T>>>,
    ) -> PolarsResult<HashMap<usize, Vec<T>>> {
        let shares = share_out(&self.grounds).map_err(to_polars)?;
        Ok(self.rows.into_iter().zip(shares).collect())
    }
}

/// The share of a series; none of an empty one.
fn own<'a, T>(shares: &'a HashMap<usize, Vec<T>>, series: &TimeSeries<'_>) -> &'a [T] {
    let share = (!series.is_empty()).then(|| shares.get(&series.row(0))).flatten();
    share.map_or(&[], Vec::as_slice)
}

/// Classical anomalies.
pub fn injected(
    frame: &Frame,
    config: &InjectConfig,
    strict: bool,
    take: impl FnMut(&TimeSeries<'_>, Option<Vec<Anomaly>>) + Send,
) -> PolarsResult<()> {
    use genias::inject::{ground, inject, inject_at, share_out};
    if config.total.is_none() {
        return for_each_series(frame, strict, |series, on| inject(series, config, on), take);
    }
    let mut shares = Shares::default();
    let room = |series: &TimeSeries<'_>, ground| shares.add(series, ground);
    for_each_series(frame, strict, |series, _| ground(series, config), room)?;
    let shares = shares.out(|grounds| share_out(grounds, config))?;
    for_each_series(
        frame,
        strict,
        |series, control| inject_at(series, config, own(&shares, series), control),
        take,
    )
}

/// Anomalies of models.
pub fn generated(
    frame: &Frame,
    strict: bool,
    take: impl FnMut(&TimeSeries<'_>, Option<Vec<Anomaly>>) + Send,
) -> PolarsResult<()> {
    let config = &frame.options.generate;
    if config.total.is_none() {
        return for_each_group(
            frame,
            strict,
            Detector::None,
            |model, series, control| model.generate(series, config, control),
            take,
        );
    }
    let mut shares = Shares::default();
    for_each_group(
        frame,
        strict,
        Detector::None,
        |model, series, _| model.ground(series, config),
        |series, ground| shares.add(series, ground),
    )?;
    let shares = shares.out(|grounds| genias::share_out(grounds, config))?;
    for_each_group(
        frame,
        strict,
        Detector::None,
        |model, series, on| model.generate_at(series, config, own(&shares, series), on),
        take,
    )
}
