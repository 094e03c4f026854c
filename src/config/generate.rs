//! Options of `generate` and `pairs`.

use serde::{Deserialize, Serialize};

use super::check::{count, count_range, number, optional_count, positive_range};
use super::preset::Preset;
use crate::config::OneOrRange;
use crate::error::{Error, Result};

/// Threshold of the deviation patch in the paper.
pub const PAPER_TAU: f64 = 0.1;

/// What the generated values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// X + (X~ - X^), both decoded with the same noise: keeps the texture of the input.
    Residual,
    /// X~, as in the paper.
    Decoded,
    /// X with its decoding replaced by something else that is decoded from normal windows: a walk
    /// through several, another window, tempo, phase, level, texture or amplitude. One in ten is as
    /// [`Form::Residual`].
    Deformed,
}

/// Which values of an anomaly replace the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Patch {
    /// The features whose deviation passes `tau`.
    Deviation,
    /// A segment of random length of a random subset of the features.
    Length,
    /// Some features of a group that goes together, so that each stays in its normal range and the
    /// group does not: no latent noise, other values instead.
    Correlation,
    /// Every live feature.
    None,
}

/// Deviation that `tau` bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Distance {
    /// Root mean square against tau times the feature's normal variation: what the VAE leaves of
    /// training windows ([`crate::anomaly::latent::normal_range::NormalRange::residual`]).
    Normal,
    /// Root mean square against tau * max(range, half a training standard deviation).
    Rms,
    /// ||X_d - X~_d||_2 > tau * (max X_d - min X_d), as printed.
    L2,
    /// Dynamic time warping between X_d and X~_d, as a root mean square against tau times the
    /// feature's normal variation. The Sakoe-Chiba band is a tenth of the rows wide to either side, 1
    /// to 100 rows: small shifts in time count little.
    Dtw,
    /// Shape-based distance of k-Shape between X_d and X~_d, in [0, 2], against tau: 1 - their largest
    /// normalised cross-correlation. Blind to level, amplitude and shift.
    Sbd,
}

impl Distance {
    /// Those that a model has a threshold of its own for.
    pub const OWN: [Self; 5] = [Self::Normal, Self::Rms, Self::L2, Self::Dtw, Self::Sbd];
}

/// How the latent noise of the anomalies of a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Noise {
    /// Every draw by itself.
    Independent,
    /// A Latin hypercube over the draws of 16 anomalies at a time: in every latent unit they are
    /// spread over equally likely strata.
    Stratified,
}

/// How anomalies are placed and made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerateConfig {
    /// Share of the rows of a series that belongs to an anomaly, met to within one anomaly.
    pub contamination: f64,
    /// Rows of an anomaly; `None`: a whole window.
    pub length: Option<OneOrRange<usize>>,
    /// What the generated values are.
    pub form: Form,
    /// Which of them replace the input.
    pub patch: Patch,
    /// Threshold of the deviation patch; `None`: the model's own, the median of its deviations in this
    /// distance.
    pub tau: Option<f64>,
    /// Deviation that `tau` bounds.
    pub distance: Distance,
    /// Root mean square of the change over the hit segment, in training standard deviations of the
    /// feature; `None`: as psi makes it.
    pub strength: Option<OneOrRange<f64>>,
    /// Slow onset: the share of a segment over which its change grows, in (0, 1], or the rows, above
    /// 1; `None`: none.
    pub creep: Option<f64>,
    /// Draws per anomaly, of which one is taken: so that neighbouring anomalies are far apart in what
    /// they look like.
    pub draws: usize,
    /// How the latent noise of the anomalies of a series is drawn.
    pub noise: Noise,
    /// Whether anomalies may also hit features that were constant in training.
    pub hit_constant: bool,
    /// Rows between the windows of `pairs`; `None`: as dense as [`super::WINDOW_BUDGET`] windows allow.
    pub stride: Option<usize>,
    /// Seed.
    pub seed: u64,
}

impl Default for GenerateConfig {
    fn default() -> Self {
        Self {
            contamination: 0.1,
            length: None,
            form: Form::Residual,
            patch: Patch::Deviation,
            tau: None,
            distance: Distance::Normal,
            strength: None,
            creep: None,
            draws: 1,
            noise: Noise::Stratified,
            hit_constant: false,
            stride: None,
            seed: 0,
        }
    }
}

impl GenerateConfig {
    /// The values of a preset.
    pub fn preset(preset: Preset) -> Self {
        match preset {
            Preset::Default | Preset::Thorough => Self::default(),
            Preset::Paper => Self {
                form: Form::Decoded,
                distance: Distance::L2,
                tau: Some(PAPER_TAU),
                ..Self::default()
            },
        }
    }

    /// Checks every range; `window` bounds `length`.
    pub fn validate(&self, window: usize) -> Result<()> {
        number("contamination", self.contamination, |x| x > 0.0 && x <= 1.0, "in (0, 1]")?;
        let allowed = format!("1 <= min <= max <= `window` = {window}");
        count_range("length", self.length, window, &allowed)?;
        number("tau", self.tau.unwrap_or(PAPER_TAU), |x| x >= 0.0, ">= 0")?;
        positive_range("strength", self.strength)?;
        if let (Patch::Correlation, Some(strength)) = (self.patch, self.strength) {
            let (low, high) = strength.bounds();
            let allowed =
                "left out with `patch` \"correlation\", which keeps features in their range";
            return Err(Error::parameter("strength", format!("({low}, {high})"), allowed));
        }
        count("draws", self.draws, 1, 64)?;
        let whole = |x: f64| x.fract() == 0.0 && x <= window as f64;
        let allowed = format!("in (0, 1], or whole rows up to `window` = {window}");
        number(
            "creep",
            self.creep.unwrap_or(1.0),
            |x| x > 0.0 && (x <= 1.0 || whole(x)),
            &allowed,
        )?;
        optional_count("stride", self.stride, 1, usize::MAX)
    }

    /// Rows of slow onset of a segment of `length` rows.
    pub fn creep_rows(&self, length: usize) -> usize {
        match self.creep {
            None => 0,
            Some(share) if share <= 1.0 => (share * length as f64).round() as usize,
            Some(rows) => (rows as usize).min(length),
        }
    }

    /// Shortest and longest anomaly for windows of `window` rows.
    pub fn length_bounds(&self, window: usize) -> (usize, usize) {
        self.length.map_or((window, window), OneOrRange::bounds)
    }
}
