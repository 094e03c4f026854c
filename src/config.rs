//! Every option of the product: names, defaults, presets, ranges.
//!
//! The names are the same in Rust, in Python and in a model's metadata. [`Options::parse`] reads a
//! flat map of them, as the plugin receives it, over the values of a [`Preset`].

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// Smallest window: below it the decoder has nothing to upsample.
pub const MIN_WINDOW: usize = 8;
/// Largest window that is accepted.
pub const MAX_WINDOW: usize = 65_536;
/// Threshold of the deviation patch in the paper.
pub const PAPER_TAU: f64 = 0.1;
/// Training windows that an automatic `stride` aims at.
pub const WINDOW_BUDGET: usize = 4096;

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

/// Form of the KL term against the compact prior N(0, sigma_prior^2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kl {
    /// 1/2 mean((mu^2 + sigma^2)/sigma_prior^2 - 1 - log sigma^2 + 2 log sigma_prior).
    Exact,
    /// -1/2 mean(1 + log sigma^2 - mu^2 - sigma^2/sigma_prior^2 + 2 log sigma_prior).
    Printed,
}

/// What psi scales.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Perturbation {
    /// z~ = mu + psi * sigma * eps.
    Variance,
    /// z~ = psi * mu + sigma * eps (the paper's ablation).
    Mean,
}

/// Distance that the two hinges of the perturbation loss bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Margin {
    /// d(X^, X~): how far the perturbed reconstruction is from the plain one.
    Reconstruction,
    /// d(X, X~), beside d(X, X^), as printed.
    Input,
}

/// Learning rate over the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// 20 warm-up steps, then a cosine down to 2 % of the rate.
    Cosine,
    /// The same rate at every step.
    Constant,
}

/// How a window is fitted: windows, architecture, losses and training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FitConfig {
    /// Window size W in rows (>= 8).
    pub window: usize,
    /// Rows between training windows; `None`: as dense as [`WINDOW_BUDGET`] windows allow.
    pub stride: Option<usize>,
    /// Latent units L; `None`: 100 for several features, 50 for one.
    pub latent: Option<usize>,
    /// Channels of the TCN and of the decoder.
    pub channels: usize,
    /// Residual blocks of the encoder; `None`: until the receptive field covers the window.
    pub levels: Option<usize>,
    /// Taps of the causal convolutions.
    pub kernel_size: usize,
    /// Share of the hidden units of a block that is dropped in training.
    pub dropout: f64,
    /// How many of the first levels halve the resolution.
    pub decimation: usize,
    /// Whether a linear path, initialised with PCA, stands beside encoder and decoder.
    pub linear_path: bool,
    /// Standard deviation of the prior.
    pub sigma_prior: f64,
    /// Form of the KL term.
    pub kl: Kl,
    /// Lower bound of the perturbation distance.
    pub delta_min: f64,
    /// Upper bound of the perturbation distance.
    pub delta_max: f64,
    /// Weight of the reconstruction loss.
    pub alpha: f64,
    /// Weight of the perturbation loss.
    pub beta: f64,
    /// Weight of the zero-perturbation loss; `None`: 0.01, and 0 for one feature.
    pub gamma: Option<f64>,
    /// Weight of the KL loss; `None`: 0.01 divided by the live features.
    pub zeta: Option<f64>,
    /// What psi scales.
    pub perturbation: Perturbation,
    /// Distance that the hinges bound.
    pub margin: Margin,
    /// Whether psi is calibrated after training so that the median distance on held-out windows is
    /// the middle of the band (with `margin` "reconstruction" only).
    pub calibrate: bool,
    /// Whether the decoder's linear path is fitted once more after training, to the latent means,
    /// where that helps held-out windows.
    pub refit: bool,
    /// Whether psi and tau depend on the window: psi by a head on the latent mean, tau by the window's
    /// own variation.
    pub local: bool,
    /// Most kinds that the anomalies of a model are told apart in.
    pub kinds: usize,
    /// Most optimiser steps.
    pub steps: usize,
    /// Windows per step.
    pub batch_size: usize,
    /// Adam's learning rate.
    pub learning_rate: f64,
    /// Learning rate of psi, which is a parameter group of its own.
    pub psi_learning_rate: f64,
    /// Learning rate over the steps.
    pub schedule: Schedule,
    /// Largest norm of the gradient; `None`: not clipped.
    pub clip: Option<f64>,
    /// Steps after which training stops unless the validation loss fell by more than `min_gain`;
    /// `None`: never.
    pub patience: Option<usize>,
    /// Fall of the validation loss that pays for `patience` steps, in squared training deviations: of
    /// windows that vary as the training rows do, a gain of R2.
    #[serde(default)]
    pub min_gain: f64,
    /// Share of the windows, the last ones, that is held out.
    pub validation: f64,
    /// Seed.
    pub seed: u64,
}

impl Default for FitConfig {
    fn default() -> Self {
        Self {
            window: 200,
            stride: None,
            latent: None,
            channels: 32,
            levels: None,
            kernel_size: 3,
            dropout: 0.0,
            decimation: 3,
            linear_path: true,
            sigma_prior: 0.5,
            kl: Kl::Exact,
            delta_min: 0.1,
            delta_max: 0.2,
            alpha: 1.0,
            beta: 0.1,
            gamma: None,
            zeta: None,
            perturbation: Perturbation::Variance,
            margin: Margin::Reconstruction,
            calibrate: true,
            refit: true,
            local: false,
            kinds: 6,
            steps: 400,
            batch_size: 64,
            learning_rate: 5e-4,
            psi_learning_rate: 0.05,
            schedule: Schedule::Cosine,
            clip: Some(5.0),
            patience: Some(75),
            min_gain: 0.002,
            validation: 0.1,
            seed: 0,
        }
    }
}

impl FitConfig {
    /// The paper's settings. `steps` is 1000 epochs of a budget of training windows.
    pub fn paper() -> Self {
        Self {
            stride: Some(1),
            decimation: 0,
            linear_path: false,
            kl: Kl::Printed,
            zeta: Some(0.1),
            margin: Margin::Input,
            calibrate: false,
            refit: false,
            steps: 1000 * WINDOW_BUDGET.div_ceil(100),
            batch_size: 100,
            learning_rate: 1e-4,
            psi_learning_rate: 1e-4,
            schedule: Schedule::Constant,
            clip: None,
            patience: None,
            min_gain: 0.0,
            ..Self::default()
        }
    }

    /// Trains for as long as the validation loss falls.
    pub fn thorough() -> Self {
        Self { steps: 1600, patience: Some(400), min_gain: 0.0, ..Self::default() }
    }

    /// The values of a preset.
    pub fn preset(preset: Preset) -> Self {
        match preset {
            Preset::Default => Self::default(),
            Preset::Thorough => Self::thorough(),
            Preset::Paper => Self::paper(),
        }
    }

    /// Checks every range.
    pub fn validate(&self) -> Result<()> {
        count("window", self.window, MIN_WINDOW, MAX_WINDOW)?;
        optional_count("stride", self.stride, 1, usize::MAX)?;
        optional_count("latent", self.latent, 1, 4096)?;
        count("channels", self.channels, 1, 1024)?;
        optional_count("levels", self.levels, 1, 16)?;
        count("kernel_size", self.kernel_size, 2, 15)?;
        number("dropout", self.dropout, |x| (0.0..1.0).contains(&x), "in [0, 1)")?;
        count("decimation", self.decimation, 0, 3)?;
        number("sigma_prior", self.sigma_prior, |x| x > 0.0, "> 0")?;
        number("delta_min", self.delta_min, |x| x >= 0.0, ">= 0")?;
        number("delta_max", self.delta_max, |x| x >= 0.0, ">= 0")?;
        if self.delta_min > self.delta_max {
            let allowed = format!("<= `delta_max` = {}", self.delta_max);
            return Err(Error::parameter("delta_min", self.delta_min, allowed));
        }
        number("alpha", self.alpha, |x| x >= 0.0, ">= 0")?;
        number("beta", self.beta, |x| x >= 0.0, ">= 0")?;
        number("gamma", self.gamma.unwrap_or(0.0), |x| x >= 0.0, ">= 0")?;
        number("zeta", self.zeta.unwrap_or(0.0), |x| x >= 0.0, ">= 0")?;
        count("kinds", self.kinds, 1, 64)?;
        count("steps", self.steps, 1, usize::MAX)?;
        count("batch_size", self.batch_size, 1, 1 << 16)?;
        number("learning_rate", self.learning_rate, |x| x > 0.0, "> 0")?;
        number("psi_learning_rate", self.psi_learning_rate, |x| x > 0.0, "> 0")?;
        number("clip", self.clip.unwrap_or(1.0), |x| x > 0.0, "> 0")?;
        optional_count("patience", self.patience, 1, usize::MAX)?;
        number("min_gain", self.min_gain, |x| x >= 0.0, ">= 0")?;
        number("validation", self.validation, |x| x > 0.0 && x <= 0.5, "in (0, 0.5]")
    }

    /// Latent units for `features` live features.
    pub fn latent_for(&self, features: usize) -> usize {
        self.latent.unwrap_or(if features > 1 { 100 } else { 50 })
    }

    /// Weight of the zero-perturbation loss for `features` live features.
    pub fn gamma_for(&self, features: usize) -> f64 {
        self.gamma.unwrap_or(if features > 1 { 0.01 } else { 0.0 })
    }

    /// Weight of the KL loss for `features` live features.
    pub fn zeta_for(&self, features: usize) -> f64 {
        self.zeta.unwrap_or(0.01 / features.max(1) as f64)
    }
}

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
    /// training windows ([`crate::variation::Variation::residual`]).
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

/// A number, or a range that is drawn from log-uniformly.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrRange<T> {
    /// Always this.
    One(T),
    /// Between the two, both included.
    Range(T, T),
}

impl<T: Copy> OneOrRange<T> {
    /// Smallest and largest value.
    pub fn bounds(self) -> (T, T) {
        match self {
            Self::One(value) => (value, value),
            Self::Range(low, high) => (low, high),
        }
    }
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
    /// Rows between the windows of `pairs`; `None`: as dense as [`WINDOW_BUDGET`] windows allow.
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

/// What scores rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DetectorKind {
    /// Squared error of the VAE.
    Reconstruction,
    /// Largest absolute z-score.
    Amplitude,
    /// A net that tells windows with a generated anomaly from normal ones.
    Classifier,
    /// CARLA: contrastive representations, then self-supervised classes.
    Carla,
    /// Three classifiers, weighted by what they find of held-out generated anomalies.
    Ensemble,
}

/// Where the anomalies come from that a detector is trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Negatives {
    /// Residuals of the VAE, perturbed in variance and mean, as segments of many strengths.
    Genias,
    /// As `Genias`, and beside the residuals deformations of what the VAE decodes: another tempo,
    /// phase, level, texture or amplitude, other windows, walks through many of them.
    Deformed,
    /// Injection by hand: CARLA's five kinds.
    Classical,
    /// Half of each.
    Mixed,
    /// A third each of `Genias`, `Classical` and `Noise`.
    All,
    /// As `Genias`, but noise, random walks and shifts in place of the VAE's residuals: the
    /// control that shows what the VAE is good for.
    Noise,
}

/// What the windows that cover a row come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Aggregate {
    /// Their mean.
    #[default]
    Mean,
    /// The largest.
    Max,
    /// The score of the window in which the row comes last: what could be said by then.
    Last,
}

/// Where `label` draws the line.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Threshold {
    /// Best F1 between held-out normal rows and generated anomalies, and at least the 99 % quantile
    /// of the normal ones.
    #[default]
    Auto,
    /// Peaks over threshold: the score that a normal row passes once in a thousand, by a generalised
    /// Pareto tail (Siffer et al., KDD 2017).
    Pot,
    /// This quantile of the scores of held-out normal rows, in [0, 1].
    Quantile(f64),
    /// This score.
    Number(f64),
}

/// How rows are scored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreConfig {
    /// The detector; `None`: the model's own.
    pub detector: Option<DetectorKind>,
    /// What the windows that cover a row come to.
    pub aggregate: Aggregate,
    /// Rows between windows; `None`: a quarter of a window.
    pub score_stride: Option<usize>,
    /// Whether every feature gets a score of its own (`reconstruction` and `amplitude` only).
    pub per_feature: bool,
}

/// How a detector is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectConfig {
    /// Which one.
    pub detector: DetectorKind,
    /// Where the anomalies come from that the classifier or CARLA is trained on; the nets of an
    /// ensemble have sources of their own.
    pub negatives: Negatives,
    /// Optimiser steps; `None`: 200, and 300 for both stages of CARLA together.
    pub detector_steps: Option<usize>,
    /// Normal windows per step, and as many anomalous ones.
    pub detector_batch_size: usize,
    /// Channels of the net.
    pub detector_channels: usize,
    /// Adam's learning rate.
    pub detector_learning_rate: f64,
    /// Nets whose mean is taken.
    pub nets: usize,
    /// Weight of the loss per row beside that per window.
    pub row_weight: f64,
    /// Classes of CARLA (>= 2).
    pub classes: usize,
    /// Nearest and furthest neighbours of each window that CARLA compares classes with (>= 1).
    pub neighbours: usize,
    /// Divisor of CARLA's class logits in front of their softmax (> 0).
    pub temperature: f64,
    /// Margin of CARLA's triplet loss, in squared distances of representations (> 0).
    pub triplet_margin: f64,
    /// Weight of CARLA's loss that tells a window from its furthest neighbours (>= 0).
    pub inconsistency_weight: f64,
    /// Weight of the entropy of CARLA's mean class distribution (>= 0).
    pub entropy_weight: f64,
    /// Seed.
    pub seed: u64,
}

impl DetectorKind {
    /// Its name as an option.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reconstruction => "reconstruction",
            Self::Amplitude => "amplitude",
            Self::Classifier => "classifier",
            Self::Carla => "carla",
            Self::Ensemble => "ensemble",
        }
    }

    /// Whether it has to be trained before it can score.
    pub fn is_trained(self) -> bool {
        !matches!(self, Self::Reconstruction | Self::Amplitude)
    }
}

impl Default for DetectConfig {
    fn default() -> Self {
        Self {
            detector: DetectorKind::Ensemble,
            negatives: Negatives::All,
            detector_steps: None,
            detector_batch_size: 32,
            detector_channels: 24,
            detector_learning_rate: 2e-3,
            nets: 1,
            row_weight: 1.0,
            classes: 10,
            neighbours: 5,
            temperature: 1.0,
            triplet_margin: 1.0,
            inconsistency_weight: 1.0,
            entropy_weight: 5.0,
            seed: 0,
        }
    }
}

/// A net has no score per feature.
pub(crate) fn per_feature_error(kind: DetectorKind) -> Error {
    let allowed = "\"reconstruction\" or \"amplitude\" with `per_feature`";
    Error::parameter("detector", kind.name(), allowed)
}

impl ScoreConfig {
    /// Checks every range.
    pub fn validate(&self) -> Result<()> {
        match self.detector.filter(|kind| self.per_feature && kind.is_trained()) {
            Some(kind) => Err(per_feature_error(kind)),
            None => optional_count("score_stride", self.score_stride, 1, usize::MAX),
        }
    }
}

impl DetectConfig {
    /// The values of a preset: the paper feeds CARLA with its own anomalies.
    pub fn preset(preset: Preset) -> Self {
        match preset {
            Preset::Default | Preset::Thorough => Self::default(),
            Preset::Paper => Self {
                detector: DetectorKind::Carla,
                negatives: Negatives::Genias,
                ..Self::default()
            },
        }
    }

    /// Checks every range.
    pub fn validate(&self) -> Result<()> {
        optional_count("detector_steps", self.detector_steps, 1, usize::MAX)?;
        count("detector_batch_size", self.detector_batch_size, 1, 1 << 12)?;
        count("detector_channels", self.detector_channels, 1, 1024)?;
        number("detector_learning_rate", self.detector_learning_rate, |x| x > 0.0, "> 0")?;
        count("nets", self.nets, 1, 64)?;
        number("row_weight", self.row_weight, |x| x >= 0.0, ">= 0")?;
        count("classes", self.classes, 2, 1000)?;
        count("neighbours", self.neighbours, 1, 1000)?;
        number("temperature", self.temperature, |x| x > 0.0, "> 0")?;
        number("triplet_margin", self.triplet_margin, |x| x >= 0.0, ">= 0")?;
        number("inconsistency_weight", self.inconsistency_weight, |x| x >= 0.0, ">= 0")?;
        number("entropy_weight", self.entropy_weight, |x| x >= 0.0, ">= 0")
    }
}

/// All options of one call, from the flat map that a user gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// How a model is fitted where the call has none.
    pub fit: FitConfig,
    /// How anomalies are made.
    pub generate: GenerateConfig,
    /// Which detector a fit trains, and how.
    pub detect: DetectConfig,
    /// How rows are scored.
    pub score: ScoreConfig,
    /// Threshold of `label`.
    pub threshold: Threshold,
}

impl Options {
    /// Reads a flat map of options over the values of its `preset`.
    ///
    /// # Errors
    /// [`Error::UnknownOption`], or [`Error::Parameter`] for a value of the wrong type or range.
    pub fn parse(given: &Map<String, Value>) -> Result<Self> {
        let mut given = given.clone();
        given.retain(|_, value| !value.is_null());
        let preset = match given.remove("preset") {
            None => Preset::Default,
            Some(value) => serde_json::from_value(value.clone()).map_err(|_| {
                Error::parameter("preset", value, "\"default\", \"thorough\" or \"paper\"")
            })?,
        };
        let threshold = threshold(given.remove("threshold"), given.remove("quantile"))?;
        let mut maps = [
            to_map(&FitConfig::preset(preset))?,
            to_map(&GenerateConfig::preset(preset))?,
            to_map(&DetectConfig::preset(preset))?,
            to_map(&ScoreConfig::default())?,
        ];
        for (name, value) in given {
            let known = maps.iter_mut().filter_map(|map| overlay(map, &name, &value).then_some(()));
            if known.count() == 0 {
                let names: Vec<&str> =
                    maps.iter().flat_map(Map::keys).map(String::as_str).collect();
                return Err(Error::UnknownOption { name, known: names.join(", ") });
            }
        }
        let [fit, generate, detect, score] = maps;
        let mut options = Self {
            fit: from_map(fit)?,
            generate: from_map(generate)?,
            detect: from_map(detect)?,
            score: from_map(score)?,
            threshold,
        };
        if options.score.per_feature && options.score.detector.is_none() {
            // What has a score per feature needs no training.
            options.detect.detector = DetectorKind::Reconstruction;
        }
        options.fit.validate()?;
        options.detect.validate()?;
        options.score.validate()?;
        // A model that is given may have a larger window, so `length` is checked against it later.
        options.generate.validate(MAX_WINDOW)?;
        Ok(options)
    }
}

fn threshold(given: Option<Value>, quantile: Option<Value>) -> Result<Threshold> {
    match (given, quantile) {
        (None, None) => Ok(Threshold::Auto),
        (None, Some(value)) => match value.as_f64() {
            Some(q) if (0.0..=1.0).contains(&q) => Ok(Threshold::Quantile(q)),
            _ => Err(Error::parameter("quantile", value, "in [0, 1]")),
        },
        (Some(_), Some(value)) => {
            Err(Error::parameter("quantile", value, "given without `threshold`"))
        }
        (Some(value), None) => match (value.as_str(), value.as_f64()) {
            (Some("auto"), _) => Ok(Threshold::Auto),
            (Some("pot"), _) => Ok(Threshold::Pot),
            (_, Some(number)) if number.is_finite() => Ok(Threshold::Number(number)),
            _ => Err(Error::parameter("threshold", value, "\"auto\", \"pot\" or a number")),
        },
    }
}

/// Reads a flat map of options over the defaults of `T`.
///
/// # Errors
/// [`Error::UnknownOption`], or [`Error::Parameter`] for a value of the wrong type.
pub(crate) fn over_defaults<T>(given: &Map<String, Value>) -> Result<T>
where
    T: Serialize + for<'de> Deserialize<'de> + Default,
{
    let mut config = to_map(&T::default())?;
    for (name, value) in given.iter().filter(|(_, value)| !value.is_null()) {
        if !overlay(&mut config, name, value) {
            let known = config.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            return Err(Error::UnknownOption { name: name.clone(), known });
        }
    }
    from_map(config)
}

fn overlay(config: &mut Map<String, Value>, name: &str, value: &Value) -> bool {
    config.get_mut(name).map(|slot| *slot = value.clone()).is_some()
}

fn to_map<T: Serialize>(config: &T) -> Result<Map<String, Value>> {
    match serde_json::to_value(config) {
        Ok(Value::Object(map)) => Ok(map),
        _ => Err(Error::Model("the configuration is not a map".into())),
    }
}

/// Deserialises option by option first, so that the error can name the one at fault.
fn from_map<T: Serialize + for<'de> Deserialize<'de> + Default>(
    map: Map<String, Value>,
) -> Result<T> {
    let defaults = to_map(&T::default())?;
    for (name, value) in &map {
        let mut probe = defaults.clone();
        probe.insert(name.clone(), value.clone());
        if let Err(error) = serde_json::from_value::<T>(Value::Object(probe)) {
            return Err(Error::parameter(static_name(name), value, error.to_string()));
        }
    }
    serde_json::from_value(Value::Object(map)).map_err(|error| Error::Model(error.to_string()))
}

/// The option names, as the `'static` strings that [`Error::Parameter`] holds.
fn static_name(name: &str) -> &'static str {
    const NAMES: &[&str] = &[
        "window",
        "stride",
        "latent",
        "channels",
        "levels",
        "kernel_size",
        "dropout",
        "decimation",
        "linear_path",
        "sigma_prior",
        "kl",
        "delta_min",
        "delta_max",
        "alpha",
        "beta",
        "gamma",
        "zeta",
        "perturbation",
        "margin",
        "calibrate",
        "refit",
        "local",
        "kinds",
        "steps",
        "batch_size",
        "learning_rate",
        "psi_learning_rate",
        "schedule",
        "clip",
        "patience",
        "min_gain",
        "validation",
        "seed",
        "contamination",
        "length",
        "form",
        "patch",
        "tau",
        "distance",
        "strength",
        "creep",
        "draws",
        "noise",
        "hit_constant",
        "detector",
        "negatives",
        "detector_steps",
        "detector_batch_size",
        "detector_channels",
        "detector_learning_rate",
        "nets",
        "row_weight",
        "classes",
        "neighbours",
        "temperature",
        "triplet_margin",
        "inconsistency_weight",
        "entropy_weight",
        "aggregate",
        "score_stride",
        "per_feature",
        "kind",
        "count",
        "factor",
        "shift",
        "feature_share",
    ];
    NAMES.iter().find(|known| **known == name).copied().unwrap_or("option")
}

pub(crate) fn count(name: &'static str, value: usize, low: usize, high: usize) -> Result<()> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    let allowed = if high == usize::MAX {
        format!("an integer >= {low}")
    } else {
        format!("an integer from {low} to {high}")
    };
    Err(Error::parameter(name, value, allowed))
}

pub(crate) fn optional_count(
    name: &'static str,
    value: Option<usize>,
    low: usize,
    high: usize,
) -> Result<()> {
    value.map_or(Ok(()), |value| count(name, value, low, high))
}

pub(crate) fn number(
    name: &'static str,
    value: f64,
    ok: impl Fn(f64) -> bool,
    allowed: &str,
) -> Result<()> {
    if value.is_finite() && ok(value) {
        Ok(())
    } else {
        Err(Error::parameter(name, value, allowed))
    }
}

pub(crate) fn positive_range(name: &'static str, range: Option<OneOrRange<f64>>) -> Result<()> {
    let Some(range) = range else { return Ok(()) };
    let (low, high) = range.bounds();
    if low > 0.0 && low <= high && high.is_finite() {
        return Ok(());
    }
    Err(Error::parameter(name, format!("({low}, {high})"), "0 < min <= max"))
}

pub(crate) fn count_range(
    name: &'static str,
    range: Option<OneOrRange<usize>>,
    most: usize,
    allowed: &str,
) -> Result<()> {
    let Some(range) = range else { return Ok(()) };
    let (low, high) = range.bounds();
    if low >= 1 && low <= high && high <= most {
        return Ok(());
    }
    Err(Error::parameter(name, format!("({low}, {high})"), allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: Value) -> Result<Options> {
        match json {
            Value::Object(map) => Options::parse(&map),
            _ => unreachable!("tests pass objects"),
        }
    }

    #[test]
    fn empty_options_are_the_defaults() {
        assert_eq!(parse(serde_json::json!({})).unwrap(), Options::default());
        Options::default().fit.validate().unwrap();
        FitConfig::paper().validate().unwrap();
    }

    #[test]
    fn given_options_win_over_the_preset() {
        let options = parse(serde_json::json!({"preset": "paper", "steps": 7, "form": "residual",
            "length": [5, 9], "strength": 2.0}))
        .unwrap();
        assert_eq!((options.fit.steps, options.fit.margin), (7, Margin::Input));
        assert_eq!(
            (options.generate.form, options.generate.distance),
            (Form::Residual, Distance::L2)
        );
        assert_eq!(options.generate.length_bounds(200), (5, 9));
    }

    #[test]
    fn errors_name_option_and_value() {
        for (json, text) in [
            (serde_json::json!({"window": 7}), "`window` = 7"),
            (serde_json::json!({"window": "x"}), "`window` = \"x\""),
            (serde_json::json!({"stride": 0}), "`stride` = 0"),
            (serde_json::json!({"kl": "odd"}), "`kl` = \"odd\""),
            (serde_json::json!({"sigma_prior": 0.0}), "`sigma_prior` = 0"),
            (serde_json::json!({"validation": 0.9}), "`validation` = 0.9"),
            (serde_json::json!({"delta_min": 0.5}), "`delta_min` = 0.5"),
            (serde_json::json!({"contamination": 1.5}), "`contamination` = 1.5"),
            (serde_json::json!({"tau": -1}), "`tau` = -1"),
            (serde_json::json!({"creep": 0.0}), "`creep` = 0"),
            (serde_json::json!({"creep": 2.5}), "`creep` = 2.5"),
            (serde_json::json!({"creep": "slow"}), "`creep` = \"slow\""),
            (serde_json::json!({"draws": 0}), "`draws` = 0"),
            (serde_json::json!({"draws": 65}), "`draws` = 65"),
            (serde_json::json!({"noise": "loud"}), "`noise` = \"loud\""),
            (serde_json::json!({"kinds": 0}), "`kinds` = 0"),
            (serde_json::json!({"local": 1}), "`local` = 1"),
            (serde_json::json!({"patch": "correlated"}), "`patch` = \"correlated\""),
            (serde_json::json!({"patch": "correlation", "strength": 2}), "`strength` = (2, 2)"),
            (serde_json::json!({"distance": "far"}), "`distance` = \"far\""),
            (serde_json::json!({"length": [9, 3]}), "`length` = (9, 3)"),
            (serde_json::json!({"windw": 9}), "unknown option `windw`"),
            (serde_json::json!({"preset": "x"}), "`preset` = \"x\""),
            (serde_json::json!({"threshold": "high"}), "`threshold` = \"high\""),
            (serde_json::json!({"quantile": 1.5}), "`quantile` = 1.5"),
            (serde_json::json!({"quantile": 0.9, "threshold": 1}), "`quantile` = 0.9"),
            (serde_json::json!({"detector": "karla"}), "`detector` = \"karla\""),
            (serde_json::json!({"negatives": "none"}), "`negatives` = \"none\""),
            (serde_json::json!({"nets": 0}), "`nets` = 0"),
            (serde_json::json!({"detector_steps": 0}), "`detector_steps` = 0"),
            (serde_json::json!({"classes": 1}), "`classes` = 1"),
            (serde_json::json!({"temperature": 0.0}), "`temperature` = 0"),
            (serde_json::json!({"aggregate": "sum"}), "`aggregate` = \"sum\""),
            (serde_json::json!({"score_stride": 0}), "`score_stride` = 0"),
            (serde_json::json!({"per_feature": 1}), "`per_feature` = 1"),
        ] {
            let error = parse(json).unwrap_err().to_string();
            assert!(error.contains(text), "{error:?} lacks {text:?}");
        }
    }

    #[test]
    fn every_option_has_a_static_name() {
        let fit = to_map(&FitConfig::default()).unwrap();
        let generate = to_map(&GenerateConfig::default()).unwrap();
        let detect = to_map(&DetectConfig::default()).unwrap();
        let score = to_map(&ScoreConfig::default()).unwrap();
        for name in fit.keys().chain(generate.keys()).chain(detect.keys()).chain(score.keys()) {
            assert_eq!(static_name(name), name);
        }
    }

    #[test]
    fn generation_ranges() {
        let ok = GenerateConfig::default();
        assert!(ok.validate(200).is_ok());
        for bad in [
            GenerateConfig { contamination: 0.0, ..ok.clone() },
            GenerateConfig { contamination: 1.5, ..ok.clone() },
            GenerateConfig { length: Some(OneOrRange::One(201)), ..ok.clone() },
            GenerateConfig { length: Some(OneOrRange::Range(9, 3)), ..ok.clone() },
            GenerateConfig { tau: Some(-0.1), ..ok.clone() },
            GenerateConfig { strength: Some(OneOrRange::One(0.0)), ..ok.clone() },
            GenerateConfig { creep: Some(-0.1), ..ok.clone() },
            GenerateConfig { creep: Some(201.0), ..ok.clone() },
        ] {
            assert!(bad.validate(200).is_err(), "{bad:?}");
        }
        let creep = |creep| GenerateConfig { creep: Some(creep), ..ok.clone() }.creep_rows(10);
        assert_eq!((creep(0.25), creep(1.0), creep(4.0), creep(40.0)), (3, 10, 4, 10));
    }
}
