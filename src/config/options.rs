//! All options of one call.

use serde_json::{Map, Value};

use super::detect::{DetectConfig, DetectorKind};
use super::fit::{FitConfig, MAX_WINDOW};
use super::generate::GenerateConfig;
use super::parse::{from_map, overlay, to_map};
use super::preset::Preset;
use super::score::{ScoreConfig, Threshold};
use crate::error::{Error, Result};

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

#[cfg(test)]
mod tests {
    use super::super::parse::static_name;
    use super::super::{Distance, Form, Margin, OneOrRange};
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
