//! The arguments of a call: features, known anomalies, models, order and groups.

use std::borrow::Cow;
use std::sync::Mutex;

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use genias::config::Sharing;
use genias::{
    Backbones, Columns, Error, FitConfig, Options, Positions, Rows, Series as TimeSeries,
};
use polars::prelude::*;

use crate::bridge::{feature_to_arrow, range, to_arrow};
use crate::call::{to_polars, Call, MaxGap, OnError};
use crate::groups::{day, groups, matched, times, Steps};
use crate::stored::{self, Parts, Stored};
use crate::warn::warn;

/// One call's frame.
pub struct Frame {
    pub name: PlSmallStr,
    pub columns: Columns,
    /// Dtypes of the features.
    pub dtypes: Vec<DataType>,
    /// Whether the values came as a struct.
    pub multivariate: bool,
    pub options: Options,
    pub models: Option<Stored>,
    /// The backbones that new models start from.
    pub start: Backbones,
    pub groups: Vec<Group>,
    order: Vec<Series>,
    by: Vec<Series>,
    on_error: OnError,
    /// First rows of the groups that failed, and why.
    failed: Mutex<Vec<(usize, String)>>,
    /// Names of these columns in messages, where they differ.
    called: Vec<String>,
    labels: Option<BooleanArray>,
    places: Option<BooleanArray>,
    /// The one column that orders the rows, where it holds whole numbers or times.
    times: Option<Int64Chunked>,
    /// Whether models are returned with what they have seen.
    update: bool,
    /// Length of a day in the units of `times`.
    day: Option<f64>,
    /// First rows of the groups that have too many nulls for a model.
    without: Mutex<Vec<usize>>,
    /// First rows of the groups that have too few rows for a model.
    short: Mutex<Vec<usize>>,
    /// First rows of the groups that no backbone fits.
    alone: Mutex<Vec<usize>>,
}

/// Number of groups that a warning lists by name.
const NAMED: usize = 5;

/// Rows of one group in time order, and where time jumps.
pub struct Group {
    pub rows: Rows,
    gaps: Vec<usize>,
    /// Where its model is among those given.
    model: Option<usize>,
}

impl Frame {
    /// Reads the arguments of a call.
    pub fn new(inputs: &[Series], call: &Call) -> PolarsResult<Self> {
        let (options, max_gap) = call.parse()?;
        Self::read(inputs, call, options, max_gap)
    }

    /// As [`Frame::new`], with options that are already parsed.
    pub fn read(
        inputs: &[Series],
        call: &Call,
        mut options: Options,
        max_gap: Option<MaxGap>,
    ) -> PolarsResult<Self> {
        let roles = call.inputs;
        let mut rest = inputs.iter();
        let mut next = |what: &str| {
            rest.next()
                .ok_or_else(|| polars_err!(InvalidOperation: "the {what} argument is missing"))
        };
        let values = next("values")?;
        let features = features(values)?;
        let multivariate = matches!(values.dtype(), DataType::Struct(_));
        let dtypes = features.iter().map(|feature| feature.dtype().clone()).collect();
        let rows = values.len();
        let labels = roles.label.then(|| flags("label", next("label")?, rows)).transpose()?;
        let places = roles.place.then(|| flags("where", next("where")?, rows)).transpose()?;
        let models = roles.model.then(|| next("model")).transpose()?;
        let widens = options.fit.latent.is_none();
        let mut model_keys = None;
        let (models, start) = match models {
            Some(column) if options.fleet.warm => {
                let start = stored::backbones(column).map_err(to_polars)?;
                options.fit = started(&start, &features, call, &options)?;
                (None, start.widening(widens))
            }
            Some(table) if roles.keyed => {
                let (keys, models) = Stored::keyed(table)?;
                model_keys = Some(keys);
                (Some(models), Backbones::default())
            }
            Some(column) => (Some(Stored::new(column, rows)?), Backbones::default()),
            None => (None, Backbones::default().widening(widens)),
        };
        let order: Vec<&Series> =
            (0..roles.order).map(|_| next("order_by")).collect::<PolarsResult<_>>()?;
        let by: Vec<&Series> = (0..roles.by).map(|_| next("by")).collect::<PolarsResult<_>>()?;
        for key in order.iter().chain(&by) {
            if key.len() != rows {
                let (column, found) = (key.name().to_string(), key.len());
                return Err(to_polars(Error::Length { column, found, expected: rows }));
            }
        }
        let steps = max_gap.map(|gap| Steps::new(order[0], gap)).transpose()?;
        let (times, day) = match order[..] {
            [key] => (times(key)?, day(key.dtype())),
            _ => (None, None),
        };
        let known = times.as_ref().map(Int64Chunked::cont_slice).transpose()?;
        let groups = groups(rows, &order, known, &by)?
            .into_iter()
            .map(|rows| {
                let gaps = steps.as_ref().map(|steps| steps.gaps(&rows)).unwrap_or_default();
                Group { rows, gaps, model: None }
            })
            .collect::<Vec<_>>();
        let infinite = Infinite::find(&features, &groups)?;
        let columns = columns(&infinite.left_out(features, rows)?)?;
        if options.fleet.share == Sharing::Fleet && start.all().is_empty() {
            options.fit = options.fit.for_fleet(columns.width());
        }
        let name = values.name().clone();
        let [order, by] = [order, by].map(|keys| keys.into_iter().cloned().collect());
        let mut frame = Self {
            name,
            columns,
            dtypes,
            multivariate,
            options,
            models,
            start,
            groups,
            order,
            by,
            called: call.by.clone(),
            on_error: call.on_error,
            failed: Mutex::default(),
            labels,
            places,
            times,
            update: call.update,
            day,
            without: Mutex::default(),
            short: Mutex::default(),
            alone: Mutex::default(),
        };
        frame.find_models(model_keys.as_deref())?;
        for (group, error) in infinite.errors {
            let series = frame.series(&frame.groups[group]);
            frame.settled::<()>(&series, Err(error), false).map_err(to_polars)?;
        }
        Ok(frame)
    }

    /// Finds the model of every group: in a table by its `keys`, else the only one, or the first in its
    /// rows.
    fn find_models(&mut self, keys: Option<&[Series]>) -> PolarsResult<()> {
        let Some(models) = &self.models else { return Ok(()) };
        let first = |Group { rows, .. }: &Group| {
            (0..rows.len()).map(|t| rows.at(t)).find(|row| models.get(*row).is_some())
        };
        let found = match keys {
            Some(keys) => matched(&self.keys(&vec![1; self.groups.len()])?, keys)?,
            None if models.len() == 1 => vec![Some(0); self.groups.len()],
            None => self.groups.iter().map(first).collect(),
        };
        self.groups.iter_mut().zip(found).for_each(|(group, model)| group.model = model);
        Ok(())
    }

    /// The model of a group.
    pub fn model_of(&self, group: &Group) -> Option<Parts<'_>> {
        self.models.as_ref()?.get(group.model?)
    }

    /// The series of one group.
    pub fn series(&self, group: &Group) -> TimeSeries<'_> {
        let series = TimeSeries::new(&self.columns, group.rows.clone())
            .with_gaps(group.gaps.clone())
            .with_positions(self.positions(&group.rows))
            .with_rows_per_day(self.rows_per_day(&group.rows))
            .with_times(
                self.update.then(|| self.times_of(&group.rows)).flatten().map(Cow::into_owned),
            );
        let series = match &self.labels {
            Some(labels) => series.with_labels(labels),
            None => series,
        };
        match &self.places {
            Some(places) => series.with_places(places),
            None => series,
        }
    }

    /// Positions of the windows that score a group, from its times or its values.
    fn positions(&self, rows: &Rows) -> Positions {
        Positions::of_times(self.times_of(rows).as_deref())
    }

    /// Time of each row of a group.
    fn times_of(&self, rows: &Rows) -> Option<Cow<'_, [i64]>> {
        let times = self.times()?;
        Some(match rows {
            Rows::All(_) => Cow::Borrowed(times),
            Rows::Picked(rows) => rows.iter().map(|row| times[*row as usize]).collect(),
        })
    }

    /// Time of each row of the frame.
    fn times(&self) -> Option<&[i64]> {
        self.times.as_ref()?.cont_slice().ok()
    }

    /// Rows per day of a group, from the median step of its times.
    fn rows_per_day(&self, rows: &Rows) -> Option<f64> {
        let (times, day) = (self.times()?, self.day?);
        let step = |t: usize| times[rows.at(t)].saturating_sub(times[rows.at(t - 1)]);
        let mut steps: Vec<i64> = (1..rows.len()).map(step).collect();
        let middle = steps.len() / 2;
        if steps.is_empty() {
            return None;
        }
        let (_, step, _) = steps.select_nth_unstable(middle);
        (*step > 0).then(|| day / *step as f64)
    }

    /// Records a series that has too few rows, or too many nulls, for a model.
    pub fn note_without(&self, series: &TimeSeries<'_>) {
        let is_short = series.len() < self.options.fit.window;
        let noted = if is_short { &self.short } else { &self.without };
        if !series.is_empty() && (is_short || !series.is_complete()) {
            noted.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(series.row(0));
        }
    }

    /// Records a series that no backbone fits.
    pub fn note_alone(&self, series: &TimeSeries<'_>) {
        let mut alone = self.alone.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        alone.push(series.row(0));
    }

    /// The result of a series. `None` if it has no usable window (an error under `strict`), or if
    /// it failed and `on_error` is "null".
    pub fn settled<T>(
        &self,
        series: &TimeSeries<'_>,
        result: genias::Result<T>,
        strict: bool,
    ) -> genias::Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(Error::Interrupted) => Err(Error::Interrupted),
            Err(error) if error.is_unusable_series() && !strict => Ok(None),
            Err(error) if self.on_error == OnError::Null => {
                let mut failed =
                    self.failed.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                failed.push((series.row(0), error.to_string()));
                Ok(None)
            }
            Err(error) => Err(self.in_group(series, error)),
        }
    }

    /// Whether a group that fails becomes null.
    pub fn is_lenient(&self) -> bool {
        self.on_error == OnError::Null
    }

    /// Adds the group to an error.
    fn in_group(&self, series: &TimeSeries<'_>, error: Error) -> Error {
        if self.by.is_empty() || series.is_empty() || matches!(error, Error::Group { .. }) {
            return error;
        }
        let group = self.named(series.row(0)).unwrap_or_default();
        Error::Group { group, error: Box::new(error) }
    }

    /// Warns about failed groups and series without a model.
    pub fn warn(&self) -> PolarsResult<()> {
        let failed = self.warn_failed()?;
        self.warn_alone()?;
        self.warn_short()?;
        self.warn_without(&failed)
    }

    fn warn_alone(&self) -> PolarsResult<()> {
        let rows = taken(&self.alone);
        if rows.is_empty() {
            return Ok(());
        }
        warn(&format!(
            "{} of {} groups are unlike the others and were trained on their own: {}",
            rows.len(),
            self.groups.len(),
            some_of(&rows, |&row| self.named(row))?
        ))
    }

    /// Warns about groups that failed; their first rows, in order.
    fn warn_failed(&self) -> PolarsResult<Vec<usize>> {
        let mut failed = taken(&self.failed);
        failed.sort_unstable();
        failed.dedup_by_key(|(row, _)| *row);
        if failed.is_empty() {
            return Ok(Vec::new());
        }
        let one = |(row, why): &(usize, String)| Ok(format!("{}: {why}", self.named(*row)?));
        let (n, of) = (failed.len(), self.groups.len());
        warn(&format!(
            "{n} of {of} groups failed, and their rows are null: {}",
            some_of(&failed, one)?
        ))?;
        Ok(failed.into_iter().map(|(row, _)| row).collect())
    }

    fn warn_short(&self) -> PolarsResult<()> {
        let why = format!("fewer rows than `window` = {}", self.options.fit.window);
        self.warn_no_model(&taken(&self.short), &why)
    }

    /// Warns about series with too many nulls for a model, without those that failed.
    fn warn_without(&self, failed: &[usize]) -> PolarsResult<()> {
        let mut rows = taken(&self.without);
        rows.retain(|row| failed.binary_search(row).is_err());
        let why = format!(
            "every window has a share of nulls above `max_null` = {}, a gap or a known anomaly",
            self.options.fit.max_null
        );
        self.warn_no_model(&rows, &why)
    }

    fn warn_no_model(&self, rows: &[usize], why: &str) -> PolarsResult<()> {
        if rows.is_empty() {
            return Ok(());
        }
        warn(&format!("no model for {}: {why}", some_of(rows, |&row| self.named(row))?))
    }

    /// The group of a row, by its keys.
    fn named(&self, row: usize) -> PolarsResult<String> {
        if self.by.is_empty() {
            return Ok("a series".into());
        }
        let one = |(i, key): (usize, &Series)| {
            let name = self.called.get(i).map_or(key.name().as_str(), String::as_str);
            Ok(format!("{name} = {}", key.str_value(row)?))
        };
        Ok(self.by.iter().enumerate().map(one).collect::<PolarsResult<Vec<_>>>()?.join(", "))
    }

    /// The group keys of a result that has `counts` rows per group.
    pub fn keys(&self, counts: &[usize]) -> PolarsResult<Vec<Series>> {
        let first = |group: &Group| if group.rows.is_empty() { 0 } else { group.rows.at(0) };
        let rows = self
            .groups
            .iter()
            .zip(counts)
            .flat_map(|(group, &count)| std::iter::repeat_n(first(group) as IdxSize, count));
        let rows = IdxCa::from_vec(PlSmallStr::EMPTY, rows.collect());
        self.by.iter().map(|key| key.take(&rows)).collect()
    }

    /// Whether the call has group keys.
    pub fn has_keys(&self) -> bool {
        !self.by.is_empty()
    }

    /// The columns that order the rows, at some rows of the frame, with `suffix` after their names.
    pub fn order_at(&self, rows: &[usize], suffix: &str) -> PolarsResult<Vec<Series>> {
        let rows = rows.iter().map(|row| *row as IdxSize).collect();
        let rows = IdxCa::from_vec(PlSmallStr::EMPTY, rows);
        let at = |key: &Series| {
            let name = format!("{}{suffix}", key.name()).into();
            Ok(key.take(&rows)?.with_name(name))
        };
        self.order.iter().map(at).collect()
    }

    /// Shape of a window in an Array column.
    pub fn window_shape(&self, window: usize) -> Vec<usize> {
        crate::bridge::window_shape(window, self.columns.width(), self.multivariate)
    }
}

/// Text for the first [`NAMED`] groups, and the number of the others.
fn some_of<T>(groups: &[T], say: impl Fn(&T) -> PolarsResult<String>) -> PolarsResult<String> {
    let mut descriptions = groups.iter().take(NAMED).map(say).collect::<PolarsResult<Vec<_>>>()?;
    if groups.len() > NAMED {
        descriptions.push(format!("and {} more", groups.len() - NAMED));
    }
    Ok(descriptions.join("; "))
}

/// Groups with infinite values. In such a group, all values of the affected feature become null.
#[derive(Default)]
struct Infinite {
    /// Group, and the first infinite value in its rows.
    errors: Vec<(usize, Error)>,
    /// Per feature, the rows of these groups; `None` without an infinite value.
    rows: Vec<Option<BooleanChunked>>,
}

impl Infinite {
    fn find(features: &[Series], groups: &[Group]) -> PolarsResult<Self> {
        let mut found = Self::default();
        for feature in features {
            found.add(feature, groups)?;
        }
        // One error per group.
        found.errors.sort_by_key(|(group, _)| *group);
        found.errors.dedup_by_key(|(group, _)| *group);
        Ok(found)
    }

    fn add(&mut self, feature: &Series, groups: &[Group]) -> PolarsResult<()> {
        let infinite = match may_be_infinite(feature) {
            true => feature.is_infinite()?,
            false => BooleanChunked::default(),
        };
        if !infinite.any() {
            self.rows.push(None);
            return Ok(());
        }
        let mut out = vec![false; feature.len()];
        for (i, Group { rows, .. }) in groups.iter().enumerate() {
            let first = (0..rows.len()).find(|t| infinite.get(rows.at(*t)) == Some(true));
            let Some(row) = first else { continue };
            let column = feature.name().to_string();
            self.errors.push((i, Error::Infinite { column, row }));
            (0..rows.len()).for_each(|t| out[rows.at(t)] = true);
        }
        self.rows.push(Some(BooleanChunked::new(PlSmallStr::EMPTY, out)));
        Ok(())
    }

    /// The features with these values set to null.
    fn left_out(&self, features: Vec<Series>, rows: usize) -> PolarsResult<Vec<Series>> {
        let without = |(feature, out): (Series, &Option<BooleanChunked>)| match out {
            None => Ok(feature),
            Some(out) => {
                let nulls = Series::full_null(feature.name().clone(), rows, feature.dtype());
                nulls.zip_with(out, &feature)
            }
        };
        features.into_iter().zip(&self.rows).map(without).collect()
    }
}

/// Whether a column has an infinite value, or one behind a null. For most columns, this saves the
/// mask of their infinite values.
fn may_be_infinite(feature: &Series) -> bool {
    /// Rows that are read together: the compiler can vectorise a loop without an early exit.
    const BLOCK: usize = 1024;
    fn any<T: Copy>(values: &[T], is_infinite: impl Fn(T) -> bool) -> bool {
        let one = |block: &[T]| block.iter().fold(false, |any, value| any | is_infinite(*value));
        values.chunks(BLOCK).any(one)
    }
    match feature.dtype() {
        DataType::Float32 => feature.f32().map_or(true, |values| {
            values.downcast_iter().any(|chunk| any(chunk.values(), f32::is_infinite))
        }),
        DataType::Float64 => feature.f64().map_or(true, |values| {
            values.downcast_iter().any(|chunk| any(chunk.values(), f64::is_infinite))
        }),
        dtype => dtype.is_float(),
    }
}

/// The fields of a struct column, or the column itself.
fn features(values: &Series) -> PolarsResult<Vec<Series>> {
    let Ok(fields) = values.struct_() else { return Ok(vec![values.clone()]) };
    let outer_nulls = values.is_null();
    let fields = fields.fields_as_series();
    if !outer_nulls.any() {
        return Ok(fields);
    }
    // A null struct is a null in every field.
    fields
        .iter()
        .map(|field| {
            field.zip_with(
                &!&outer_nulls,
                &field.clear().extend_constant(AnyValue::Null, field.len())?,
            )
        })
        .collect()
}

/// The dtype of a feature column, checked.
pub fn check_dtype(name: &str, dtype: &DataType) -> PolarsResult<()> {
    let accepted = dtype.is_numeric() || matches!(dtype, DataType::Boolean | DataType::Null);
    if accepted || matches!(dtype, DataType::Decimal(..)) {
        return Ok(());
    }
    Err(to_polars(Error::Dtype { column: name.into(), dtype: dtype.to_string() }))
}

/// A numeric or Boolean column for a metric, with its name.
pub fn numeric(column: &Series) -> PolarsResult<(String, ArrayRef)> {
    check_dtype(column.name(), column.dtype())?;
    let array = match column.dtype() {
        DataType::Float32 | DataType::Float64 | DataType::Boolean => to_arrow(column)?,
        _ => to_arrow(&column.cast(&DataType::Float64)?)?,
    };
    Ok((column.name().to_string(), array))
}

fn columns(features: &[Series]) -> PolarsResult<Columns> {
    let feature = |column: &Series| -> PolarsResult<(String, ArrayRef)> {
        check_dtype(column.name(), column.dtype())?;
        Ok((column.name().to_string(), feature_to_arrow(column)?))
    };
    let fields = features.iter().map(feature).collect::<PolarsResult<_>>()?;
    let columns = Columns::new(fields).map_err(to_polars)?;
    let ranged = features.iter().enumerate().fold(columns, |columns, (d, feature)| {
        match range(feature.dtype()) {
            Some((low, high)) => columns.with_range(d, low, high),
            None => columns,
        }
    });
    Ok(ranged)
}

/// A Boolean column; one value stands for all rows.
fn flags(role: &str, column: &Series, rows: usize) -> PolarsResult<BooleanArray> {
    let (name, found) = (column.name().to_string(), column.len());
    if !matches!(column.dtype(), DataType::Boolean) {
        let dtype = format!("{} (`{role}` must be Boolean)", column.dtype());
        return Err(to_polars(Error::Dtype { column: name, dtype }));
    }
    if found == 1 && rows != 1 {
        return flags(role, &column.new_from_index(0, rows), rows);
    }
    if found != rows {
        return Err(to_polars(Error::Length { column: name, found, expected: rows }));
    }
    Ok(to_arrow(column)?.as_boolean().clone())
}

/// What was noted, which is then forgotten.
fn taken<T>(noted: &Mutex<Vec<T>>) -> Vec<T> {
    noted.lock().map(|mut rows| std::mem::take(&mut *rows)).unwrap_or_default()
}

/// Options of fits that start from backbones: theirs, where the call gives no others.
fn started(
    start: &Backbones,
    features: &[Series],
    call: &Call,
    options: &Options,
) -> PolarsResult<FitConfig> {
    let Some(first) = start.all().first() else { return Ok(options.fit.clone()) };
    let names: Vec<String> = features.iter().map(|feature| feature.name().to_string()).collect();
    let config = first.config.with(&call.options).map_err(to_polars)?;
    start.check(&names, &config).map_err(to_polars)?;
    Ok(config)
}
