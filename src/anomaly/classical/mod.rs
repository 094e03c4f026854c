//! Classical anomalies, without a model: the five kinds of CARLA (after Lai et al., NeurIPS 2021)
//! and those of GutenTAG (Wenig, Schmidl, Papenbrock, VLDB 2022), injected into existing series.

mod changed;
mod level;
mod lost;
mod points;
mod series;
mod shape;
mod stretch;
mod tempo;
mod window;

pub use crate::config::{InjectConfig, Kind, Kinds};
pub(crate) use series::{AboutFeatures, Injector, context, refuse_single};
pub use series::{InjectionSite, ground, inject, inject_at, share_out};
pub(crate) use window::ClassicalSource;
