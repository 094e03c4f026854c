//! Values for whatever is not given.

use serde::{Deserialize, Serialize};

/// Values for whatever is not given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// What works on real series within a few hundred steps.
    #[default]
    Default,
    /// The settings of the paper (arXiv 2502.08262), as printed.
    Paper,
}
