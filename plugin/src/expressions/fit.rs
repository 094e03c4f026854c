//! `fit(...)`: one model of all rows, as bytes; with group keys, the keys and one model per group.
//! Models that share a backbone are stored without it, and the backbone in a column of its own.

use std::collections::HashMap;

use genias::{apart, Error, Model, VaeOrigin};
use polars::prelude::*;
use pyo3_polars::derive::polars_expr;
use xxhash_rust::xxh3::xxh3_128;

use super::{feature_fields, values_field, with_keys};
use crate::cache;
use crate::call::{to_polars, Call};
use crate::inputs::Frame;
use crate::models::{self, Detector};

const MODEL: &str = "model";
const BACKBONE: &str = "backbone";

fn fit_output(inputs: &[Field], kwargs: Call) -> PolarsResult<Field> {
    let (options, _) = kwargs.parse()?;
    feature_fields(inputs)?;
    let mut fields = vec![Field::new(MODEL.into(), DataType::Binary)];
    if options.fleet.is_apart() {
        fields.push(Field::new(BACKBONE.into(), DataType::Binary));
    }
    let several = fields.len() > 1;
    let grouped = with_keys(inputs, &kwargs, fields.clone())?;
    let name = values_field(inputs)?.name().clone();
    let alone = if several { DataType::Struct(fields) } else { DataType::Binary };
    Ok(grouped.unwrap_or_else(|| Field::new(name, alone)))
}

#[polars_expr(output_type_func_with_kwargs=fit_output)]
fn fit(inputs: &[Series], kwargs: Call) -> PolarsResult<Series> {
    let frame = Frame::new(inputs, &kwargs)?;
    refuse_one_series(&frame, &kwargs)?;
    let plan = models::plan(&frame, Detector::Added);
    let shared = models::backbones(&frame, &plan)?;
    let count = frame.groups.len();
    let mut column = Column::new(count, shared.is_some());
    // Block by block, so that only the bytes of all models are in memory at once.
    for block in frame.groups.chunks(models::groups_at_a_time()?) {
        let series = models::series(&frame, block)?;
        let strict = kwargs.strict;
        let fitted = models::fit_detectors(&frame, block, &series, strict, &plan, shared.as_ref())
            .map_err(to_polars)?;
        for (fitted, series) in fitted.iter().zip(&series) {
            let model = fitted.as_deref();
            if shared.is_some() && model.is_some_and(is_alone) {
                frame.note_alone(series);
            }
            column.push(model).map_err(to_polars)?;
        }
    }
    frame.warn()?;
    let mut found = column.finish()?;
    if kwargs.inputs.by == 0 && found.len() == 1 {
        return Ok(found.remove(0).with_name(frame.name));
    }
    let mut fields = frame.keys(&vec![1; count])?;
    fields.append(&mut found);
    Ok(StructChunked::from_series(frame.name, count, fields.iter())?.into_series())
}

/// Rejects `share` for a single series.
fn refuse_one_series(frame: &Frame, kwargs: &Call) -> PolarsResult<()> {
    let share = frame.options.fleet.share;
    if kwargs.inputs.by > 0 || share == genias::config::Sharing::None {
        return Ok(());
    }
    let allowed = "left out for a single series; give `by`";
    Err(to_polars(Error::parameter("share", share.name(), allowed)))
}

/// Whether a model has a VAE that was trained on its series.
fn is_alone(model: &Model) -> bool {
    model.backbone().is_some() && model.report.origin == VaeOrigin::Own
}

/// The models, and their backbones if these are stored apart.
struct Column {
    models: BinaryChunkedBuilder,
    /// The number of each model's backbone.
    numbers: Option<Vec<Option<IdxSize>>>,
    backbones: Vec<Vec<u8>>,
    known: HashMap<String, IdxSize>,
}

impl Column {
    fn new(count: usize, apart: bool) -> Self {
        let models = BinaryChunkedBuilder::new(MODEL.into(), count);
        let numbers = apart.then(Vec::new);
        Self { models, numbers, backbones: Vec::new(), known: HashMap::new() }
    }

    fn push(&mut self, model: Option<&Model>) -> genias::Result<()> {
        match model {
            Some(model) => self.models.append_value(encode(model, self.numbers.is_some())?),
            None => self.models.append_null(),
        }
        if self.numbers.is_some() {
            let number = model.map_or(Ok(None), |model| self.number(model))?;
            self.numbers.iter_mut().for_each(|numbers| numbers.push(number));
        }
        Ok(())
    }

    /// The number of a model's backbone, which is written once.
    fn number(&mut self, model: &Model) -> genias::Result<Option<IdxSize>> {
        let Some(backbone) = model.backbone() else { return Ok(None) };
        let id = backbone.id();
        if let Some(number) = self.known.get(&id) {
            return Ok(Some(*number));
        }
        let number = self.backbones.len() as IdxSize;
        self.backbones.push(apart::write(backbone)?);
        self.known.insert(id, number);
        Ok(Some(number))
    }

    /// The columns; equal backbones share their bytes in memory.
    fn finish(self) -> PolarsResult<Vec<Series>> {
        let mut found = vec![self.models.finish().into_series()];
        if let Some(numbers) = self.numbers {
            let backbones = BinaryChunked::from_slice(BACKBONE.into(), &self.backbones);
            let numbers = IdxCa::from_iter_options(PlSmallStr::EMPTY, numbers.into_iter());
            found.push(backbones.into_series().take(&numbers)?);
        }
        Ok(found)
    }
}

fn encode(model: &Model, apart: bool) -> genias::Result<Vec<u8>> {
    let bytes = if apart { model.to_own_bytes()? } else { model.to_bytes()? };
    if let Some(seconds) = model.seconds {
        cache::remember_seconds(xxh3_128(&bytes), seconds);
    }
    Ok(bytes)
}
