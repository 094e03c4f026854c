//! Options of `generate` and `pairs`.

use super::declare::{options, words};
use super::domain::Domains;
use super::generated::{AnomalyKind, AnomalyKinds, GeneratedKind};
use super::inject::{InjectConfig, Kinds, NamedKind};
use super::placement::{Names, Quota, Span, Way, one_of};
use super::preset::Preset;
use super::table::{GENERATES, PLACES, WINDOWS, above, any, at_least, between};
use crate::config::OneOrRange;
use crate::error::{Error, Result};

/// Threshold of the deviation patch in the paper.
pub const PAPER_TAU: f64 = 0.1;

words! {
    /// The values of a generated anomaly.
    pub enum Form {
        /// X + (X~ - X^), both decoded with the same noise: keeps the texture of the input.
        Residual = "residual",
        /// X~, as in the paper.
        Decoded = "decoded",
        /// X with its decoding replaced by another signal decoded from normal windows: a walk
        /// through several windows, another window, tempo, phase, level, texture or amplitude. One
        /// in ten is as `residual`.
        Deformed = "deformed",
    }
}

words! {
    /// The values that an anomaly replaces.
    pub enum Patch {
        /// Features whose deviation exceeds `tau`.
        Deviation = "deviation",
        /// A segment of random length of a random subset of the features.
        Length = "length",
        /// Some features of a correlated group, so that every feature stays in its normal range and
        /// their correlation breaks. Uses no latent noise.
        Correlation = "correlation",
        /// Every live feature.
        None = "none",
    }
}

words! {
    /// The deviation that is compared with `tau`.
    pub enum Distance {
        /// Root mean square against tau times the feature's normal variation: the VAE's error on
        /// training windows.
        Normal = "normal",
        /// Root mean square against tau * max(range, half a training standard deviation).
        Rms = "rms",
        /// ||X_d - X~_d||_2 > tau * (max X_d - min X_d), as printed.
        L2 = "l2",
        /// Dynamic time warping between X_d and X~_d, as a root mean square against tau times the
        /// feature's normal variation. The Sakoe-Chiba band is a tenth of the rows wide on either
        /// side, 1 to 100 rows: small shifts in time count little.
        Dtw = "dtw",
        /// Shape-based distance of k-Shape between X_d and X~_d, in [0, 2], against tau: 1 - their
        /// largest normalised cross-correlation. Invariant to level, amplitude and shift.
        Sbd = "sbd",
    }
}

impl Distance {
    /// Distances for which a model learns a threshold.
    pub const OWN: [Self; 5] = [Self::Normal, Self::Rms, Self::L2, Self::Dtw, Self::Sbd];
}

words! {
    /// How latent noise is drawn for the anomalies of a series.
    pub enum Noise {
        /// Every draw is independent.
        Independent = "independent",
        /// A Latin hypercube over the draws of 16 anomalies at a time: equally likely strata in
        /// every latent unit.
        Stratified = "stratified",
    }
}

options! {
    /// How anomalies are placed and generated.
    pub struct GenerateConfig of "anomalies", for GENERATES;

    /// Share of the rows of a series in anomalies; the last anomaly is shortened to meet it.
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
    /// Duration of an anomaly, instead of `length`: rows, or a time such as "2h".
    duration: Option<OneOrRange<Span>> = None => any();
    /// Kinds of anomalies by name, of the model or of `inject`, in equal numbers to within one; instead of
    /// `form`.
    kind: Option<AnomalyKinds> = None => any().auto("as `form` and `patch` say");
    /// Values of the generated anomalies.
    form: Form = Form::Residual => any().symbol("X~");
    /// Values of the input that an anomaly replaces.
    patch: Patch = Patch::Deviation => any();
    /// Threshold of the deviation patch.
    tau: Option<f64> = None => at_least(0.0)
        .auto("the model's median deviation, which half of them exceed")
        .symbol("tau");
    /// Deviation that is compared with `tau`.
    distance: Distance = Distance::Normal => any();
    /// Root mean square of the change over an anomaly, in training standard deviations of the
    /// feature.
    strength: Option<OneOrRange<f64>> = None => above(0.0).auto("as set by psi");
    /// Root mean square of the change in the unit of the feature, instead of `strength`.
    size: Option<OneOrRange<f64>> = None => above(0.0);
    /// Direction of the mean change over an anomaly.
    direction: Option<Way> = None => any().auto("\"both\"");
    /// Features that anomalies may change.
    hit: Option<Names> = None => any().auto("all");
    /// Slow onset: share of an anomaly, in (0, 1], or number of its rows, over which the change
    /// grows.
    creep: Option<f64> = None => above(0.0).auto("none");
    /// Draws per anomaly; the one least similar to the previous anomalies is kept.
    draws: usize = 1 => between(1.0, 64.0);
    /// How latent noise is drawn for the anomalies of a series.
    noise: Noise = Noise::Stratified => any().symbol("epsilon");
    /// Whether anomalies may also hit features that were constant in training.
    hit_constant: bool = false => any();
    /// Values that features can take: learned from their training rows, or given for some features.
    domain: Domains = Domains::Learned => any();
    /// Rows between the windows of the result.
    window_stride: Option<usize> = None => at_least(1.0).verbs(WINDOWS).auto("about 4,096 windows");
    /// Random seed.
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
        self.refuse_for_kinds()?;
        let other = self.kind.is_none() && self.form != Form::Residual;
        if let Some(way) = self.direction.filter(|_| other) {
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
            ("direction", self.way().map(String::from)),
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

    /// Refuses options that none of the named kinds uses.
    fn refuse_for_kinds(&self) -> Result<()> {
        let Some(AnomalyKinds(kinds)) = &self.kind else { return Ok(()) };
        let patch = self.patch == Patch::Correlation;
        one_of("patch", patch.then_some("correlation"), "kind", true)?;
        let breaks = AnomalyKind::Generated(GeneratedKind::Correlation);
        if let (true, Some(hit)) = (kinds.contains(&breaks), &self.hit) {
            let allowed = "left out with `kind` \"correlation\", which chooses the features";
            return Err(Error::parameter("hit", hit.0.join(", "), allowed));
        }
        let any = |uses: fn(AnomalyKind) -> bool| kinds.iter().any(|kind| uses(*kind));
        let sized = any(AnomalyKind::has_strength);
        let size = |size: OneOrRange<f64>| size.to_string();
        let given = [
            ("strength", self.strength.map(size), sized),
            ("size", self.size.map(size), sized),
            ("direction", self.way().map(String::from), any(AnomalyKind::has_direction)),
            ("creep", self.creep.map(|x| x.to_string()), any(AnomalyKind::is_generated)),
        ];
        for (name, value, used) in given {
            if let (Some(value), false) = (value, used) {
                let allowed = "left out with these kinds, none of which uses it";
                return Err(Error::parameter(name, value, allowed));
            }
        }
        Ok(())
    }

    /// The direction by name, if one is given.
    fn way(&self) -> Option<&'static str> {
        self.direction.map(Way::name)
    }

    /// The options for anomalies of one kind of the model.
    pub(crate) fn of_kind(&self, kind: GeneratedKind) -> Self {
        let own = Self { kind: None, form: Form::Residual, ..self.clone() };
        let shaped = Self { direction: None, ..own.clone() };
        match kind {
            GeneratedKind::Residual | GeneratedKind::Constant => own,
            GeneratedKind::Decoded => Self { form: Form::Decoded, ..shaped },
            GeneratedKind::Correlation => {
                Self { patch: Patch::Correlation, strength: None, size: None, ..shaped }
            }
            _ => Self { form: Form::Deformed, ..shaped },
        }
    }

    /// The classical kinds among the named ones.
    pub(crate) fn classical(&self) -> Vec<NamedKind> {
        self.kind.as_ref().map(AnomalyKinds::classical).unwrap_or_default()
    }

    /// The options of `inject` for anomalies of these kinds.
    pub(crate) fn for_classical(&self, kinds: Vec<NamedKind>) -> InjectConfig {
        InjectConfig {
            kind: Kinds(kinds),
            strength: self.strength,
            size: self.size,
            direction: self.direction,
            hit: self.hit.clone(),
            hit_constant: self.hit_constant,
            domain: self.domain.clone(),
            seed: self.seed,
            ..InjectConfig::default()
        }
    }

    /// How many anomalies are asked for.
    pub(crate) fn quota(&self) -> Quota {
        Quota::new(self.count, self.total, self.contamination)
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
