//! Options of `generate` and `pairs`.

use super::declare::{options, words};
use super::domain::Domains;
use super::placement::{Names, Span, Way, one_of};
use super::preset::Preset;
use super::table::{GENERATES, PLACES, WINDOWS, above, any, at_least, between};
use crate::config::OneOrRange;
use crate::error::{Error, Result};

/// Share of the rows that is hit where no number of anomalies is asked for.
const CONTAMINATION: f64 = 0.1;
/// Threshold of the deviation patch in the paper.
pub const PAPER_TAU: f64 = 0.1;

words! {
    /// What the generated values are.
    pub enum Form {
        /// X + (X~ - X^), both decoded with the same noise: keeps the texture of the input.
        Residual = "residual",
        /// X~, as in the paper.
        Decoded = "decoded",
        /// X with its decoding replaced by something else that is decoded from normal windows: a walk
        /// through several, another window, tempo, phase, level, texture or amplitude. One in ten is
        /// as `residual`.
        Deformed = "deformed",
    }
}

words! {
    /// Which values of an anomaly replace the input.
    pub enum Patch {
        /// The features whose deviation passes `tau`.
        Deviation = "deviation",
        /// A segment of random length of a random subset of the features.
        Length = "length",
        /// Some features of a correlated group, so that each stays in its normal range and
        /// the group does not: no latent noise, other values instead.
        Correlation = "correlation",
        /// Every live feature.
        None = "none",
    }
}

words! {
    /// Deviation that `tau` bounds.
    pub enum Distance {
        /// Root mean square against tau times the feature's normal variation: what the VAE leaves of
        /// training windows.
        Normal = "normal",
        /// Root mean square against tau * max(range, half a training standard deviation).
        Rms = "rms",
        /// ||X_d - X~_d||_2 > tau * (max X_d - min X_d), as printed.
        L2 = "l2",
        /// Dynamic time warping between X_d and X~_d, as a root mean square against tau times the
        /// feature's normal variation. The Sakoe-Chiba band is a tenth of the rows wide to either
        /// side, 1 to 100 rows: small shifts in time count little.
        Dtw = "dtw",
        /// Shape-based distance of k-Shape between X_d and X~_d, in [0, 2], against tau: 1 - their
        /// largest normalised cross-correlation. Invariant to level, amplitude and shift.
        Sbd = "sbd",
    }
}

impl Distance {
    /// Those that a model has a threshold of its own for.
    pub const OWN: [Self; 5] = [Self::Normal, Self::Rms, Self::L2, Self::Dtw, Self::Sbd];
}

words! {
    /// How the latent noise of the anomalies of a series is drawn.
    pub enum Noise {
        /// Every draw by itself.
        Independent = "independent",
        /// A Latin hypercube over the draws of 16 anomalies at a time: in every latent unit they are
        /// spread over equally likely strata.
        Stratified = "stratified",
    }
}

options! {
    /// How anomalies are placed and made.
    pub struct GenerateConfig of "anomalies", for GENERATES;

    /// Share of the rows of a series inside anomalies; the last of these is shortened to meet it.
    contamination: Option<f64> = None => between(0.0, 1.0)
        .above_low()
        .verbs(PLACES)
        .auto("0.1, unless `count` or `total` is given");
    /// Number of anomalies per series, instead of `contamination`.
    count: Option<usize> = None => at_least(1.0).verbs(PLACES);
    /// Number of anomalies over all series of a frame, instead of `contamination`.
    total: Option<usize> = None => at_least(1.0).verbs(PLACES);
    /// Rows of an anomaly.
    length: Option<OneOrRange<usize>> = None => at_least(1.0).auto("a whole window");
    /// How long an anomaly lasts, instead of `length`: rows, or a time such as "2h".
    duration: Option<OneOrRange<Span>> = None => any();
    /// What the generated values are.
    form: Form = Form::Residual => any().symbol("X~");
    /// Which values of an anomaly replace the input.
    patch: Patch = Patch::Deviation => any();
    /// Threshold of the deviation patch.
    tau: Option<f64> = None => at_least(0.0)
        .auto("the model's median, so that half of the deviations pass")
        .symbol("tau");
    /// Deviation that `tau` bounds.
    distance: Distance = Distance::Normal => any();
    /// Root mean square of the change over an anomaly, in training standard deviations of the
    /// feature.
    strength: Option<OneOrRange<f64>> = None => above(0.0).auto("as psi makes it");
    /// Root mean square of the change in the unit of the feature, instead of `strength`.
    size: Option<OneOrRange<f64>> = None => above(0.0);
    /// Which way values go in the mean over an anomaly.
    direction: Option<Way> = None => any().auto("\"both\"");
    /// The only features that anomalies hit.
    hit: Option<Names> = None => any().auto("all");
    /// Slow onset: the share of an anomaly over which its change grows, in (0, 1], or the rows.
    creep: Option<f64> = None => above(0.0).auto("none");
    /// Draws per anomaly, of which the one least like the anomalies before it is kept.
    draws: usize = 1 => between(1.0, 64.0);
    /// How the latent noise of the anomalies of a series is drawn.
    noise: Noise = Noise::Stratified => any().symbol("epsilon");
    /// Whether anomalies may also hit features that were constant in training.
    hit_constant: bool = false => any();
    /// What features can take: as their training rows show, or as it is said for some of them.
    domain: Domains = Domains::Learned => any();
    /// Rows between the windows of the result.
    window_stride: Option<usize> = None => at_least(1.0).verbs(WINDOWS).auto("about 4,096 windows");
    /// Seed of everything random.
    seed: u64 = 0 => at_least(0.0);
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
        self.check_ranges()?;
        if let Some(length) = self.length.filter(|length| length.bounds().1 > window) {
            let allowed = format!("1 <= min <= max <= `window` = {window}");
            return Err(Error::parameter("length", length, allowed));
        }
        let share = self.contamination.is_some();
        one_of("count", self.count, "contamination", share)?;
        one_of("total", self.total, "contamination", share)?;
        one_of("total", self.total, "count", self.count.is_some())?;
        one_of("duration", self.duration, "length", self.length.is_some())?;
        one_of("size", self.size, "strength", self.strength.is_some())?;
        self.refuse_for_correlation()?;
        if let Some(way) = self.direction.filter(|_| self.form != Form::Residual) {
            let allowed = "given with `form` \"residual\"";
            return Err(Error::parameter("direction", way.name(), allowed));
        }
        let fits = |x: f64| x <= 1.0 || (x.fract() == 0.0 && x <= window as f64);
        match self.creep.filter(|creep| !fits(*creep)) {
            Some(creep) => {
                let allowed = format!("in (0, 1], or whole rows up to `window` = {window}");
                Err(Error::parameter("creep", creep, allowed))
            }
            None => Ok(()),
        }
    }

    /// Refuses what says how far a feature goes where features keep to their range.
    fn refuse_for_correlation(&self) -> Result<()> {
        let size = |size: OneOrRange<f64>| size.to_string();
        let given = [
            ("strength", self.strength.map(size)),
            ("size", self.size.map(size)),
            ("direction", self.direction.map(|way| way.name().to_string())),
            ("hit", self.hit.as_ref().map(|names| names.0.join(", "))),
        ];
        for (name, value) in given {
            if let (Patch::Correlation, Some(value)) = (self.patch, value) {
                let allowed =
                    "left out with `patch` \"correlation\", which keeps features in their range";
                return Err(Error::parameter(name, value, allowed));
            }
        }
        Ok(())
    }

    /// What asks for the number of anomalies: the option and its value.
    pub(crate) fn asked(&self) -> (&'static str, f64) {
        match (self.count, self.total) {
            (Some(count), _) => ("count", count as f64),
            (_, Some(total)) => ("total", total as f64),
            _ => ("contamination", self.contamination.unwrap_or(CONTAMINATION)),
        }
    }

    /// Number of anomalies, where one is asked for.
    pub(crate) fn number(&self) -> Option<usize> {
        self.count.or(self.total)
    }

    /// Rows of slow onset of a segment of `length` rows.
    pub fn creep_rows(&self, length: usize) -> usize {
        match self.creep {
            None => 0,
            Some(share) if share <= 1.0 => (share * length as f64).round() as usize,
            Some(rows) => (rows as usize).min(length),
        }
    }
}
