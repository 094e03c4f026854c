//! Training of backbones on series that lie on several machines, step by step: what each series is
//! (`about`), windows of some (`excerpt`), and a backbone of these (`backbone`). The steps of
//! [`genias::Backbones::train`], with the same results.

use genias::generator::{train_backbone, Excerpt};
use genias::{apart, excerpts};
use polars::prelude::*;
use pyo3_polars::derive::polars_expr;

use super::feature_fields;
use crate::call::{to_polars, Call};
use crate::inputs::Frame;
use crate::pool::{pool, CallControl};

fn about_output(inputs: &[Field], kwargs: Call) -> PolarsResult<Field> {
    kwargs.parse()?;
    feature_fields(inputs)?;
    let fields = vec![
        Field::new("key".into(), DataType::Binary),
        Field::new("features".into(), DataType::List(Box::new(DataType::String))),
        Field::new("fits".into(), DataType::Boolean),
    ];
    Ok(Field::new("about".into(), DataType::Struct(fields)))
}

/// What a series is to backbones (those of the argument `model`): one row, or none if it cannot be
/// used.
#[polars_expr(output_type_func_with_kwargs=about_output)]
fn fleet_about(inputs: &[Series], kwargs: Call) -> PolarsResult<Series> {
    let frame = Frame::new(inputs, &kwargs)?;
    let group = frame.groups.first().filter(|group| !group.rows.is_empty());
    let about = match group {
        None => None,
        Some(group) => {
            let (series, config) = (frame.series(group), &frame.options.fit);
            let look = || frame.start.about(&series, config, &CallControl::new());
            pool()?.install(look).map_err(to_polars)?
        }
    };
    let keys: Vec<Vec<u8>> = about.iter().map(|one| one.key.to_be_bytes().to_vec()).collect();
    let mut features = ListStringChunkedBuilder::new("features".into(), about.iter().len(), 8);
    about
        .iter()
        .for_each(|one| features.append_values_iter(one.features.iter().map(String::as_str)));
    let fits: Vec<bool> = about.iter().map(|one| one.fits).collect();
    let fields = [
        BinaryChunked::from_slice("key".into(), &keys).into_series(),
        features.finish().into_series(),
        BooleanChunked::from_slice("fits".into(), &fits).into_series(),
    ];
    Ok(StructChunked::from_series("about".into(), keys.len(), fields.iter())?.into_series())
}

fn excerpt_output(inputs: &[Field], kwargs: Call) -> PolarsResult<Field> {
    kwargs.parse()?;
    feature_fields(inputs)?;
    Ok(Field::new("excerpt".into(), DataType::Binary))
}

/// Windows of a series for a backbone that `kwargs.fleet.series` series share.
#[polars_expr(output_type_func_with_kwargs=excerpt_output)]
fn fleet_excerpt(inputs: &[Series], kwargs: Call) -> PolarsResult<Series> {
    let frame = Frame::new(inputs, &kwargs)?;
    let fleet = kwargs.fleet;
    let excerpt = |group| {
        let (series, config) = (frame.series(group), &frame.options.fit);
        let control = CallControl::new();
        let found = frame.start.excerpt(&series, config, fleet.series, fleet.round, &control)?;
        excerpts::write(&found)
    };
    let make = || frame.groups.iter().map(excerpt).collect::<genias::Result<Vec<Vec<u8>>>>();
    let made = pool()?.install(make).map_err(to_polars)?;
    Ok(BinaryChunked::from_slice("excerpt".into(), &made).into_series())
}

fn backbone_output(_: &[Field], _: Call) -> PolarsResult<Field> {
    Ok(Field::new("backbone".into(), DataType::Binary))
}

/// A backbone of excerpts, which are in the order of their series' keys.
#[polars_expr(output_type_func_with_kwargs=backbone_output)]
fn fleet_backbone(inputs: &[Series], kwargs: Call) -> PolarsResult<Series> {
    kwargs.refuse_options("fleet_backbone")?;
    let column = inputs[0].binary()?;
    let read: Vec<Excerpt> = column
        .iter()
        .flatten()
        .map(excerpts::read)
        .collect::<genias::Result<_>>()
        .map_err(to_polars)?;
    let train = || apart::write(&train_backbone(&read, &CallControl::new())?);
    let backbone = pool()?.install(train).map_err(to_polars)?;
    Ok(BinaryChunked::from_slice("backbone".into(), &[backbone]).into_series())
}
