//! Tables with one row per stretch of rows: its position, the order columns, other columns.

use polars::prelude::*;

use super::{suffixed, values_field, with_keys};
use crate::call::Call;

pub(super) const START: &str = "_start";
pub(super) const END: &str = "_end";

/// The output fields of a table: group keys, `place` position columns, the order columns with each
/// suffix, the others.
pub(super) fn output(
    inputs: &[Field],
    call: &Call,
    own: &[(&str, DataType)],
    place: usize,
    suffixes: &[&str],
) -> PolarsResult<Field> {
    let keys = inputs.iter().rev().skip(call.inputs.by).take(call.inputs.order).rev();
    let time = |suffix: &&str| {
        let named = |key: &Field| Field::new(suffixed(key.name(), suffix), key.dtype().clone());
        keys.clone().map(named).collect::<Vec<_>>()
    };
    let own: Vec<Field> =
        own.iter().map(|(name, dtype)| Field::new((*name).into(), dtype.clone())).collect();
    let (place, rest) = own.split_at(place);
    let times: Vec<Field> = suffixes.iter().flat_map(time).collect();
    let all = [place, &times, rest].concat();
    let grouped = with_keys(inputs, call, all.clone())?;
    let name = values_field(inputs)?.name().clone();
    Ok(grouped.unwrap_or_else(|| Field::new(name, DataType::Struct(all))))
}

/// A column with one value per stretch.
pub(super) fn column<'a, S, T>(
    name: &str,
    stretches: &'a [S],
    get: impl Fn(&'a S) -> Option<T>,
) -> Series
where
    Series: NamedFrom<Vec<Option<T>>, [Option<T>]>,
{
    Series::new(name.into(), stretches.iter().map(get).collect::<Vec<_>>())
}
