//! All options: names, defaults, presets, ranges.
//!
//! Names are the same in Rust, in Python and in a model's metadata. [`Options::parse`] reads a flat
//! map of options, as the plugin receives it, over the values of a [`Preset`].

mod alarm;
mod catalogue;
mod compare;
mod declare;
mod detect;
mod domain;
mod fit;
mod fleet;
mod generate;
mod generated;
mod inject;
mod options;
mod parse;
mod placement;
mod preset;
mod purpose;
mod range;
mod score;
mod sensitivity;
mod stored;
mod table;

pub use alarm::{Adapt, AlarmConfig, Budget};
pub use catalogue::option_table;
pub use compare::CompareConfig;
pub(crate) use declare::names;
pub use detect::{DetectConfig, DetectorKind, Negatives};
pub use domain::{Domains, GivenDomain, GivenLimits};
pub use fit::{
    FitConfig, Kl, MAX_WINDOW, MIN_WINDOW, Margin, Perturbation, Schedule, WINDOW_BUDGET,
};
pub use fleet::{FleetConfig, Sharing};
pub use generate::{Distance, Form, GenerateConfig, Noise, PAPER_TAU, Patch};
pub use generated::{AnomalyKind, AnomalyKinds, GeneratedKind};
pub(crate) use inject::Ranges;
pub use inject::{InjectConfig, Kind, Kinds, NamedKind};
pub use options::Options;
pub use placement::{Names, Span, Way};
pub(crate) use placement::{Quota, rows_of};
pub use preset::Preset;
pub use purpose::{ModelPurpose, PurposeConfig};
pub use range::OneOrRange;
pub(crate) use score::per_feature_error;
pub use score::{Aggregate, Scale, ScoreConfig, Threshold};
pub use sensitivity::{Many, SensitivityConfig};
pub(crate) use stored::is_default;
pub use table::{OptionRow, Word};
