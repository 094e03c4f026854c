//! The rows of every group in time order, and where time jumps.

use genias::{Error, Rows};
use polars::prelude::*;

use crate::call::{to_polars, MaxGap};

/// The rows of every group, by first appearance, each in time order: sorted by the columns `order`,
/// whose values are `times` if they are whole numbers or times.
pub fn groups(
    rows: usize,
    order: &[&Series],
    times: Option<&[i64]>,
    by: &[&Series],
) -> PolarsResult<Vec<Rows>> {
    let members = members(rows, by)?;
    let ascending = |group: &Rows| {
        let time = |t: usize| times.map(|times| times[group.at(t)]);
        times.is_some() && (1..group.len()).all(|t| time(t - 1) <= time(t))
    };
    if order.is_empty() || members.iter().all(ascending) {
        return Ok(members);
    }
    let sorted = sorted_rows(order)?;
    if sorted.is_sorted() {
        return Ok(members);
    }
    if let [Rows::All(_)] = members[..] {
        return Ok(vec![Rows::Picked(sorted)]);
    }
    let mut group_of = vec![0u32; rows];
    for (number, group) in members.iter().enumerate() {
        (0..group.len()).for_each(|t| group_of[group.at(t)] = number as u32);
    }
    let mut found: Vec<Vec<u32>> =
        members.iter().map(|group| Vec::with_capacity(group.len())).collect();
    sorted.into_iter().for_each(|row| found[group_of[row as usize] as usize].push(row));
    Ok(found.into_iter().map(Rows::Picked).collect())
}

/// Stable order of all rows by some keys.
fn sorted_rows(keys: &[&Series]) -> PolarsResult<Vec<u32>> {
    let options = SortOptions { maintain_order: true, ..Default::default() };
    let mut order: Option<IdxCa> = None;
    // Stable sorts from the last key to the first.
    for key in keys.iter().rev() {
        order = Some(match order {
            None => key.arg_sort(options),
            Some(order) => {
                let next = key.take(&order)?.arg_sort(options);
                order.into_series().take(&next)?.idx()?.clone()
            }
        });
    }
    Ok(order.map(|order| order.into_no_null_iter().collect()).unwrap_or_default())
}

/// The rows of every group, by first appearance, each in the order of the frame.
fn members(rows: usize, by: &[&Series]) -> PolarsResult<Vec<Rows>> {
    if by.is_empty() {
        return Ok(vec![Rows::All(rows)]);
    }
    if rows == 0 {
        return Ok(Vec::new());
    }
    if by.iter().all(|key| is_constant(key)) {
        return Ok(vec![Rows::All(rows)]);
    }
    let keys: Vec<Column> = by
        .iter()
        .enumerate()
        .map(|(i, &key)| key.clone().with_name(format!("{i}").into()).into_column())
        .collect();
    let frame = DataFrame::new(rows, keys.clone())?;
    let grouped = frame.group_by_with_series(keys, true, true)?;
    let one = |group: GroupsIndicator<'_>| match group {
        GroupsIndicator::Idx((_, members)) => {
            let mut members = members.to_vec();
            members.sort_unstable();
            Rows::Picked(members)
        }
        GroupsIndicator::Slice([first, length]) => Rows::Picked((first..first + length).collect()),
    };
    Ok(grouped.get_groups().iter().map(one).collect())
}

/// For each of some rows, the first row of a table with the same keys.
pub fn matched(rows: &[Series], table: &[Series]) -> PolarsResult<Vec<Option<usize>>> {
    let stacked = |(row, own): (&Series, &Series)| {
        let mut all = own.clone();
        all.append(row)?;
        Ok(all)
    };
    let stacked: Vec<Series> = rows.iter().zip(table).map(stacked).collect::<PolarsResult<_>>()?;
    let length = |keys: &[Series]| keys.first().map_or(0, |key| key.len());
    let (known, all) = (length(table), length(&stacked));
    let mut found = vec![None; all - known];
    for same in members(all, &stacked.iter().collect::<Vec<_>>())? {
        let first = same.at(0);
        let asked = (0..same.len()).map(|t| same.at(t)).filter(|row| *row >= known);
        asked.for_each(|row| found[row - known] = (first < known).then_some(first));
    }
    Ok(found)
}

/// Whether all values of a key are equal. Lists and structs, which are not compared with a single
/// value, count as different.
fn is_constant(key: &Series) -> bool {
    let first = key.new_from_index(0, 1);
    key.not_equal_missing(&first).is_ok_and(|differs| differs.len() == key.len() && !differs.any())
}

/// Whole numbers and times as 64-bit integers, in one chunk; `None` for anything else, and where one
/// is null.
pub fn times(key: &Series) -> PolarsResult<Option<Int64Chunked>> {
    let dtype = key.dtype();
    if !(dtype.is_integer() || dtype.is_temporal() || dtype.is_float()) {
        return Ok(None);
    }
    let physical = key.to_physical_repr();
    let whole = physical.cast(&DataType::Int64)?;
    let exact = !dtype.is_float() || whole.cast(dtype)?.equals(key);
    if !exact || whole.null_count() > 0 {
        return Ok(None);
    }
    Ok(Some(whole.i64()?.rechunk().into_owned()))
}

/// A day in the physical units of a temporal column.
pub fn day(dtype: &DataType) -> Option<f64> {
    match dtype {
        DataType::Datetime(unit, _) | DataType::Duration(unit) => Some(match unit {
            TimeUnit::Nanoseconds => 86_400e9,
            TimeUnit::Microseconds => 86_400e6,
            TimeUnit::Milliseconds => 86_400e3,
        }),
        DataType::Date => Some(1.0),
        DataType::Time => Some(86_400e9),
        _ => None,
    }
}

/// Values of the order column, and the largest step allowed inside a window.
pub struct Steps {
    values: Times,
    largest: f64,
}

/// Values in the physical unit of the column. Integers stay integers: floats would lose
/// nanoseconds.
enum Times {
    Whole(Vec<Option<i128>>),
    Floats(Vec<Option<f64>>),
}

impl Steps {
    pub fn new(key: &Series, gap: MaxGap) -> PolarsResult<Self> {
        let largest = match (gap, key.dtype()) {
            (MaxGap::Number(number), DataType::Decimal(_, scale)) => {
                number * 10f64.powi(*scale as i32)
            }
            (MaxGap::Number(number), dtype) if dtype.is_numeric() => number,
            (MaxGap::Microseconds(us), DataType::Datetime(unit, _) | DataType::Duration(unit)) => {
                match unit {
                    TimeUnit::Nanoseconds => us * 1e3,
                    TimeUnit::Microseconds => us,
                    TimeUnit::Milliseconds => us / 1e3,
                }
            }
            (MaxGap::Microseconds(us), DataType::Date) => us / 86_400e6,
            (MaxGap::Microseconds(us), DataType::Time) => us * 1e3,
            (_, dtype) => {
                let allowed = format!(
                    "a number for a numeric `order_by` or a timedelta for a temporal one; column `{}` is {dtype}",
                    key.name()
                );
                return Err(to_polars(Error::parameter("max_gap", gap, allowed)));
            }
        };
        Ok(Self { values: Times::new(key)?, largest })
    }

    /// Rows before which time jumps by more than the largest step, or is unknown.
    pub fn gaps(&self, rows: &Rows) -> Vec<usize> {
        let jumps = |t: &usize| match self.values.step(rows.at(*t - 1), rows.at(*t)) {
            Some(step) => step > self.largest,
            None => true,
        };
        (1..rows.len()).filter(jumps).collect()
    }
}

impl Times {
    fn new(key: &Series) -> PolarsResult<Self> {
        let physical = key.to_physical_repr();
        if physical.dtype().is_float() {
            let values = physical.cast(&DataType::Float64)?;
            return Ok(Self::Floats(values.f64()?.iter().collect()));
        }
        let values = physical.cast(&DataType::Int128)?;
        Ok(Self::Whole(values.i128()?.iter().collect()))
    }

    /// Step between two rows; `None` if one of them has no value.
    fn step(&self, before: usize, after: usize) -> Option<f64> {
        match self {
            Self::Whole(values) => {
                Some(values[after]?.checked_sub(values[before]?).map_or(f64::MAX, |n| n as f64))
            }
            Self::Floats(values) => Some(values[after]? - values[before]?),
        }
    }
}
