//! Presets: default values of all options.

use super::declare::words;

words! {
    /// Defaults of the options that are not given.
    pub enum Preset {
        /// For real series: training stops when it no longer pays.
        Default = "default",
        /// The same, but training continues while the loss on held-out windows falls.
        Thorough = "thorough",
        /// The settings of the paper (arXiv 2502.08262), as printed.
        Paper = "paper",
    }
}
