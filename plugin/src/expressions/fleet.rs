//! Alarms of all groups of a call together: those of groups that do not belong to the discoveries of the
//! fleet are dropped.

use genias::alarm::kept_of_fleet;
use genias::config::{AlarmConfig, Budget};
use genias::Error;
use polars::prelude::PolarsResult;

use crate::call::to_polars;
use crate::inputs::Frame;

/// Collects what each group has, for the decision about all.
pub struct Fleet {
    p: Vec<f64>,
    share: Option<f64>,
}

impl Fleet {
    /// # Errors
    /// If a budget for all groups is asked for without group keys.
    pub fn new(frame: &Frame) -> PolarsResult<Self> {
        let alarm = &frame.options.alarm;
        let share = (alarm.budget == Budget::Fleet).then_some(alarm.false_groups);
        if share.is_some() && !frame.has_keys() {
            let allowed = "\"group\" without group keys; give `by` of a frame";
            return Err(to_polars(Error::parameter("budget", "\"fleet\"", allowed)));
        }
        Ok(Self { p: Vec::new(), share })
    }

    /// The options of each group.
    pub fn options(frame: &Frame) -> AlarmConfig {
        frame.options.alarm.of_each(frame.groups.len())
    }

    /// Adds the next group, with [`genias::detector::Labelled::p_of_any`].
    pub fn add(&mut self, p: f64) {
        self.p.push(p);
    }

    /// Whether each group keeps its alarms.
    pub fn kept(&self) -> Vec<bool> {
        self.share.map_or_else(|| vec![true; self.p.len()], |share| kept_of_fleet(&self.p, share))
    }
}
