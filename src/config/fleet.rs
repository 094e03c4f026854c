//! Options of `fit` for many series: what their models share.

use super::declare::{options, words};
use super::table::any;
use crate::error::Result;

words! {
    /// What the models of the groups share.
    pub enum Sharing {
        /// Nothing.
        None = "none",
        /// A VAE for all groups that are alike.
        Fleet = "fleet",
    }
}

options! {
    /// What the models of several groups share.
    pub struct FleetConfig of "model and training", for &["fit"];

    /// Whether groups share a VAE, which is trained on windows of all of them; a group that it does
    /// not fit is trained on its own.
    share: Sharing = Sharing::None => any();
    /// Whether the VAEs of `models` are used for new models: without training where one fits.
    warm: bool = false => any();
}

impl FleetConfig {
    /// Checks every range.
    pub fn validate(&self) -> Result<()> {
        self.check_ranges()
    }

    /// Whether models are stored without their VAEs.
    pub fn is_apart(&self) -> bool {
        self.warm || self.share == Sharing::Fleet
    }
}
