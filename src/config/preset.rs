//! Values for every option that is not given.

use super::declare::words;

words! {
    /// Values for every option that is not given.
    pub enum Preset {
        /// What works on real series, trained for as long as that pays.
        Default = "default",
        /// The same, trained for as long as the loss of held-out windows falls at all.
        Thorough = "thorough",
        /// The settings of the paper (arXiv 2502.08262), as printed.
        Paper = "paper",
    }
}
