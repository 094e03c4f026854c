//! `score(...)`: how anomalous every row is; and why, and what it should have been, where asked for.

use genias::config::{Scale, ScoreConfig};
use genias::detector::{Bounds, Reasons};
use genias::{Control, Model, Options, Series as TimeSeries};
use polars::prelude::*;
use pyo3_polars::derive::polars_expr;

use super::expect::{bounds_fields, BoundColumns};
use super::{feature_fields, suffixed, values_field};
use crate::call::Call;
use crate::inputs::Frame;
use crate::models::{for_each_group, Detector};

const BLAME: &str = "_blame";

fn score_output(inputs: &[Field], kwargs: Call) -> PolarsResult<Field> {
    let (options, _) = kwargs.parse()?;
    let features = feature_fields(inputs)?;
    let name = values_field(inputs)?.name().clone();
    let per_feature = |suffix: &str| {
        let named =
            |feature: &Field| Field::new(suffixed(feature.name(), suffix), DataType::Float32);
        features.iter().map(named).collect::<Vec<_>>()
    };
    if options.score.per_feature {
        return Ok(Field::new(name, DataType::Struct(per_feature(&kwargs.suffix))));
    }
    if !is_explained(&options.score) {
        return Ok(Field::new(name, DataType::Float32));
    }
    let mut fields = vec![Field::new(score_name(&options.score), DataType::Float32)];
    if options.score.explain {
        fields.extend(per_feature(BLAME));
        fields.push(Field::new("evidence".into(), DataType::String));
        fields.push(Field::new("nearest".into(), DataType::UInt32));
    }
    if options.score.bounds.is_some() {
        fields.extend(bounds_fields(&features));
    }
    Ok(Field::new(name, DataType::Struct(fields)))
}

/// Whether there is more than a score.
fn is_explained(config: &ScoreConfig) -> bool {
    config.explain || config.bounds.is_some()
}

fn score_name(config: &ScoreConfig) -> PlSmallStr {
    config.as_.name().into()
}

/// What one series gives.
struct Scored {
    /// One score per row, or one per feature and row.
    scores: Vec<Vec<Option<f32>>>,
    reasons: Option<Reasons>,
    bounds: Vec<Bounds>,
}

fn scored(
    model: &Model,
    series: &TimeSeries<'_>,
    options: &Options,
    control: &dyn Control,
) -> genias::Result<Scored> {
    let config = &options.score;
    let mut reasons = config.explain.then(|| model.reasons(series, config, control)).transpose()?;
    let bounds = match (&mut reasons, config.bounds) {
        (Some(reasons), _) => std::mem::take(&mut reasons.bounds),
        (None, Some(share)) => model.expect(series, share, control)?,
        (None, None) => Vec::new(),
    };
    let scores = match (config.per_feature, config.as_, &reasons) {
        (true, ..) => model.score_features(series, config, control)?,
        (_, Scale::Pvalue, reasons) => {
            let p = match reasons {
                Some(known) => model.p_values_of(series, &known.scores, &options.alarm, config)?,
                None => model.p_values(series, &options.alarm, config, control)?,
            };
            vec![p.into_iter().map(|p| p.map(|p| p as f32)).collect()]
        }
        (_, Scale::Score, Some(reasons)) => vec![reasons.scores.ranking().to_vec()],
        (_, Scale::Row, Some(reasons)) => vec![reasons.scores.own().to_vec()],
        (_, Scale::Row, None) => vec![model.row_scores(series, config, control)?.own().to_vec()],
        (_, Scale::Score, None) => vec![model.score_with(series, config, control)?],
    };
    Ok(Scored { scores, reasons, bounds })
}

/// The columns of the result, row by row of the frame.
struct Table {
    scores: Vec<Vec<Option<f32>>>,
    blame: Vec<Vec<Option<f32>>>,
    evidence: Vec<Option<&'static str>>,
    nearest: Vec<Option<u32>>,
    bounds: BoundColumns,
}

impl Table {
    fn new(frame: &Frame) -> Self {
        let (config, rows) = (&frame.options.score, frame.columns.rows());
        let columns = |asked: bool| if asked { frame.columns.width() } else { 0 };
        let scores = if config.per_feature { frame.columns.width() } else { 1 };
        let reasons = if config.explain { rows } else { 0 };
        Self {
            scores: vec![vec![None; rows]; scores],
            blame: vec![vec![None; rows]; columns(config.explain)],
            evidence: vec![None; reasons],
            nearest: vec![None; reasons],
            bounds: BoundColumns::new(columns(config.bounds.is_some()), rows),
        }
    }

    fn add(&mut self, series: &TimeSeries<'_>, scored: Scored) {
        place(series, &mut self.scores, scored.scores);
        self.bounds.add(series, scored.bounds);
        let Some(reasons) = scored.reasons else { return };
        place(series, &mut self.blame, reasons.blame);
        for (t, evidence) in reasons.strongest.into_iter().enumerate() {
            let Some(evidence) = evidence else { continue };
            self.evidence[series.row(t)] = evidence.name;
            self.nearest[series.row(t)] =
                evidence.nearest.map(|row| (row + evidence.offset) as u32);
        }
    }

    fn finish(self, frame: Frame, suffix: &str) -> PolarsResult<Series> {
        let config = &frame.options.score;
        let names = frame.columns.names();
        let of_features = |suffix: &str, columns: Vec<Vec<Option<f32>>>| {
            let named = names.iter().map(|name| suffixed(name, suffix)).zip(columns);
            named.map(|(name, values)| floats(name, values)).collect::<Vec<_>>()
        };
        let mut scores = self.scores;
        if !config.per_feature && !is_explained(config) {
            return Ok(floats(frame.name, scores.pop().unwrap_or_default()));
        }
        let mut fields = match config.per_feature {
            true => of_features(suffix, scores),
            false => vec![floats(score_name(config), scores.pop().unwrap_or_default())],
        };
        if config.explain {
            fields.extend(of_features(BLAME, self.blame));
            fields.push(Series::new("evidence".into(), self.evidence));
            fields.push(Series::new("nearest".into(), self.nearest));
        }
        fields.extend(self.bounds.finish(&frame)?);
        let rows = frame.columns.rows();
        Ok(StructChunked::from_series(frame.name, rows, fields.iter())?.into_series())
    }
}

fn floats(name: PlSmallStr, values: Vec<Option<f32>>) -> Series {
    Float32Chunked::from_iter_options(name, values.into_iter()).into_series()
}

/// Puts the values of a series into the rows of the frame.
fn place(series: &TimeSeries<'_>, columns: &mut [Vec<Option<f32>>], values: Vec<Vec<Option<f32>>>) {
    for (column, values) in columns.iter_mut().zip(values) {
        values.into_iter().enumerate().for_each(|(t, value)| column[series.row(t)] = value);
    }
}

#[polars_expr(output_type_func_with_kwargs=score_output)]
fn score(inputs: &[Series], kwargs: Call) -> PolarsResult<Series> {
    let frame = Frame::new(inputs, &kwargs)?;
    let mut table = Table::new(&frame);
    for_each_group(
        &frame,
        kwargs.strict,
        Detector::Trained,
        |model, series, control| scored(model, series, &frame.options, control),
        |series, answer| {
            if let Some(answer) = answer {
                table.add(series, answer);
            }
        },
    )?;
    table.finish(frame, &kwargs.suffix)
}
