//! Values for whatever is not given.

use serde::{Deserialize, Serialize};

/// Values for whatever is not given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// What works on real series, trained for as long as that pays.
    #[default]
    Default,
    /// The same, trained for as long as the loss of held-out windows falls at all.
    Thorough,
    /// The settings of the paper (arXiv 2502.08262), as printed.
    Paper,
}
