//! Values for every option that is not given.

use super::declare::words;

words! {
    /// Values for every option that is not given.
    pub enum Preset {
        /// What works on real series within a few hundred steps.
        Default = "default",
        /// The settings of the paper (arXiv 2502.08262), as printed.
        Paper = "paper",
    }
}
