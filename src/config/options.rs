//! All options of one call.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::alarm::AlarmConfig;
use super::catalogue::{CALL, refuse_foreign};
use super::compare::CompareConfig;
use super::detect::{DetectConfig, DetectorKind};
use super::fit::{FitConfig, MAX_WINDOW};
use super::fleet::FleetConfig;
use super::generate::GenerateConfig;
use super::inject::InjectConfig;
use super::parse::{over, refuse_unused, to_map};
use super::placement::one_of;
use super::preset::Preset;
use super::purpose::PurposeConfig;
use super::score::{ScoreConfig, THRESHOLD, Threshold};
use super::sensitivity::SensitivityConfig;
use super::table::{Config, TRIES};
use crate::error::{Error, Result};

/// All options of one call, from the flat map of the user.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// How a model is fitted if the call has none.
    pub fit: FitConfig,
    /// What the models are for.
    pub purpose: PurposeConfig,
    /// What the models of several groups share.
    pub fleet: FleetConfig,
    /// How anomalies are generated.
    pub generate: GenerateConfig,
    /// The detector that a fit trains, and its training.
    pub detect: DetectConfig,
    /// How rows are scored.
    pub score: ScoreConfig,
    /// Threshold of `label`.
    pub threshold: Threshold,
    /// When a row belongs to an alarm.
    pub alarm: AlarmConfig,
    /// Which anomalies are tried.
    pub sensitivity: SensitivityConfig,
}

impl Options {
    /// Reads a flat map of options of a verb over the values of its `preset`.
    ///
    /// # Errors
    /// [`Error::UnknownOption`], or [`Error::Parameter`] for a value of the wrong type or range, or
    /// an option that the verb or the chosen detector does not use.
    pub fn parse(verb: &str, given: &Map<String, Value>) -> Result<Self> {
        refuse_foreign(verb, given)?;
        let (own, given) = &own_of_verb(verb, given);
        let preset = preset(given)?;
        let read = |name: &str| given.get(name).filter(|value| !value.is_null());
        one_of("form", read("form"), "kind", read("kind").is_some())?;
        let threshold = threshold(read("threshold"), read("quantile"))?;
        let mut options = Self {
            fit: over(&FitConfig::preset(preset), given)?,
            purpose: over(&PurposeConfig::default(), given)?,
            fleet: over(&FleetConfig::default(), given)?,
            generate: over(&GenerateConfig::preset(preset), given)?,
            detect: over(&DetectConfig::preset(preset), given)?,
            score: over(&ScoreConfig::default(), given)?,
            threshold,
            alarm: over(&AlarmConfig::default(), given)?,
            sensitivity: over(&SensitivityConfig::default(), own)?,
        };
        if options.score.per_feature && options.score.detector.is_none() {
            // Detectors with a score per feature need no training.
            options.detect.detector = DetectorKind::Reconstruction;
        }
        options.validate()?;
        options.purpose.check(&options.fleet, given)?;
        refuse_unused(DetectConfig::OPTIONS, given, &to_map(&options.detect)?)?;
        refuse_unused(AlarmConfig::OPTIONS, given, &to_map(&options.alarm)?)?;
        Ok(options)
    }

    fn validate(&self) -> Result<()> {
        self.fit.validate()?;
        self.fleet.validate()?;
        self.detect.validate()?;
        self.score.validate()?;
        self.alarm.validate()?;
        self.sensitivity.validate()?;
        self.threshold.check(&self.alarm)?;
        // A given model may have a larger window: `length` is checked against it later.
        self.generate.validate(MAX_WINDOW)
    }
}

impl FitConfig {
    /// These options, where a flat map of options gives no others.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a value of the wrong type or range.
    pub fn with(&self, given: &Map<String, Value>) -> Result<Self> {
        let config = over(self, given)?;
        config.validate()?;
        Ok(config)
    }
}

impl InjectConfig {
    /// Reads a flat map of options over the defaults.
    ///
    /// # Errors
    /// [`Error::UnknownOption`], or [`Error::Parameter`] for a value of the wrong type or range, or
    /// an option that no chosen kind uses.
    pub fn parse(given: &Map<String, Value>) -> Result<Self> {
        refuse_foreign("inject", given)?;
        let config = over(&Self::default(), given)?;
        config.validate()?;
        Ok(config)
    }
}

/// The options that `sensitivity` reads, some of which other verbs have under the same names; and those
/// that others read: of the former, the seed.
fn own_of_verb(verb: &str, given: &Map<String, Value>) -> (Map<String, Value>, Map<String, Value>) {
    let own = |name: &str| {
        TRIES.contains(&verb) && SensitivityConfig::OPTIONS.iter().any(|option| option.name == name)
    };
    let chosen = |keep: &dyn Fn(&str) -> bool| {
        given.clone().into_iter().filter(|(name, _)| keep(name)).collect()
    };
    (chosen(&own), chosen(&|name| !own(name) || name == "seed"))
}

impl CompareConfig {
    /// Reads a flat map of options over the defaults.
    ///
    /// # Errors
    /// [`Error::UnknownOption`], or [`Error::Parameter`] for a value of the wrong type or range.
    pub fn parse(given: &Map<String, Value>) -> Result<Self> {
        refuse_foreign("compare", given)?;
        let config = over(&Self::default(), given)?;
        config.validate()?;
        Ok(config)
    }
}

fn preset(given: &Map<String, Value>) -> Result<Preset> {
    let Some(value) = given.get("preset").filter(|value| !value.is_null()) else {
        return Ok(Preset::Default);
    };
    let refused = || CALL[0].refuse_given(value);
    Preset::deserialize(value).map_err(|_| refused())
}

fn threshold(given: Option<&Value>, quantile: Option<&Value>) -> Result<Threshold> {
    match (given, quantile) {
        (None, None) => Ok(Threshold::Auto),
        (None, Some(value)) => match value.as_f64() {
            Some(q) if (0.0..=1.0).contains(&q) => Ok(Threshold::Quantile(q)),
            _ => Err(THRESHOLD[1].refuse_given(value)),
        },
        (Some(_), Some(value)) => {
            Err(Error::parameter("quantile", value, "given without `threshold`"))
        }
        (Some(value), None) => match (value.as_str(), value.as_f64()) {
            (Some("auto"), _) => Ok(Threshold::Auto),
            (Some("pot"), _) => Ok(Threshold::Pot),
            (_, Some(number)) if number.is_finite() => Ok(Threshold::Number(number)),
            _ => Err(THRESHOLD[0].refuse_given(value)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Distance, Form, Margin, OneOrRange};
    use super::*;

    fn parse(json: Value) -> Result<Options> {
        match json {
            Value::Object(map) => Options::parse(verb_of(&map), &map),
            _ => unreachable!("tests pass objects"),
        }
    }

    /// The first verb that takes all of these options.
    fn verb_of(given: &Map<String, Value>) -> &'static str {
        let verbs = ["label", "generate", "score", "pairs"].into_iter();
        verbs.clone().find(|verb| refuse_foreign(verb, given).is_ok()).unwrap_or("label")
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
        assert_eq!(options.generate.length.map(|length| length.bounds()), Some((5, 9)));
    }

    #[test]
    fn errors_name_option_and_value() {
        for (json, text) in [
            (serde_json::json!({"window": 7}), "`window` = 7"),
            (serde_json::json!({"window": "x"}), "`window` = \"x\""),
            (serde_json::json!({"stride": 0}), "`stride` = 0"),
            (serde_json::json!({"max_null": 1.0}), "`max_null` = 1"),
            (serde_json::json!({"max_null": -0.1}), "`max_null` = -0.1"),
            (serde_json::json!({"max_null": "few"}), "`max_null` = \"few\""),
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
            (serde_json::json!({"patch": "correlation", "strength": 2}), "`strength` = 2"),
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
    fn what_is_not_used_is_refused() {
        for (verb, json, text) in [
            (
                "fit",
                serde_json::json!({"nets": 3}),
                "`nets` = 3: must be left out with `detector` = \"evidence\"; it is an option of \"classifier\", \"carla\"",
            ),
            (
                "fit",
                serde_json::json!({"detector": "amplitude", "detector_steps": 9}),
                "`detector` = \"amplitude\"",
            ),
            (
                "score",
                serde_json::json!({"detector": "classifier", "classes": 3}),
                "option of \"carla\"",
            ),
            (
                "generate",
                serde_json::json!({"nets": 3}),
                "left out of `generate`; it is an option of `fit`, `score`, `label`",
            ),
            ("pairs", serde_json::json!({"stride": 3}), "rows between windows are `window_stride`"),
            (
                "pairs",
                serde_json::json!({"contamination": 0.1}),
                "of `generate`, `events`, `inject`",
            ),
            ("label", serde_json::json!({"per_feature": true}), "of `score`"),
            (
                "score",
                serde_json::json!({"detector": "ensemble", "per_feature": true}),
                "`per_feature`",
            ),
        ] {
            let Value::Object(map) = json else { unreachable!("tests pass objects") };
            let error = Options::parse(verb, &map).unwrap_err().to_string();
            assert!(error.contains(text), "{error:?} lacks {text:?}");
        }
        let used = serde_json::json!({"detector": "carla", "nets": 2, "classes": 3});
        assert_eq!(parse(used).unwrap().detect.nets, 2);
        let unused = serde_json::json!({"per_feature": false, "detector": "carla"});
        assert!(!parse(unused).unwrap().score.per_feature);
    }

    #[test]
    fn null_is_none_or_the_default() {
        let given =
            serde_json::json!({"patience": null, "clip": null, "stride": null, "steps": null});
        let fit = parse(given).unwrap().fit;
        assert_eq!((fit.patience, fit.clip, fit.stride), (None, None, None));
        assert_eq!(fit.steps, FitConfig::default().steps);
    }

    #[test]
    fn errors_suggest_the_nearest_name() {
        for (json, text) in [
            (serde_json::json!({"windw": 9}), "did you mean `window`?"),
            (serde_json::json!({"detector": "karla"}), "did you mean \"carla\"?"),
            (serde_json::json!({"detector": "evidense"}), "did you mean \"evidence\"?"),
        ] {
            let error = parse(json).unwrap_err().to_string();
            assert!(error.contains(text), "{error:?} lacks {text:?}");
        }
        let error = parse(serde_json::json!({"detector": "x"})).unwrap_err().to_string();
        assert!(!error.contains("did you mean"), "{error}");
    }

    #[test]
    fn generation_ranges() {
        let ok = GenerateConfig::default();
        assert!(ok.validate(200).is_ok());
        for bad in [
            GenerateConfig { contamination: Some(0.0), ..ok.clone() },
            GenerateConfig { contamination: Some(1.5), ..ok.clone() },
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
