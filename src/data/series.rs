//! One group of a frame in time order, without copying values.

use std::ops::Range;
use std::sync::OnceLock;

use arrow::array::{Array, BooleanArray};
use xxhash_rust::xxh3::Xxh3;

use super::columns::Columns;
use super::feature::BLOCK;
pub use super::feature::Rows;
use super::positions::{Positions, mixed};
use crate::error::Result;

/// One series: features, its rows in time order, and which of them are usable.
#[derive(Clone, Debug)]
pub struct Series<'a> {
    columns: &'a Columns,
    rows: Rows,
    usable: Vec<bool>,
    labelled: Vec<bool>,
    /// Rows that anomalies may take; empty: all.
    places: Vec<bool>,
    gaps: Vec<usize>,
    positions: Positions,
    rows_per_day: Option<f64>,
    times: Option<Vec<i64>>,
    /// [`Series::content_hash`], once it was asked for.
    hash: OnceLock<u128>,
}

impl<'a> Series<'a> {
    /// A series of `rows` of `columns`.
    pub fn new(columns: &'a Columns, rows: Rows) -> Self {
        let mut series = Self {
            columns,
            usable: vec![true; rows.len()],
            rows,
            labelled: Vec::new(),
            places: Vec::new(),
            gaps: Vec::new(),
            positions: Positions::default(),
            rows_per_day: None,
            times: None,
            hash: OnceLock::new(),
        };
        let mut usable = std::mem::take(&mut series.usable);
        for d in 0..columns.width() {
            series.read_blocks(d, |start, values| {
                let usable = &mut usable[start..start + values.len()];
                usable.iter_mut().zip(values).for_each(|(usable, x)| *usable &= !x.is_nan());
            });
        }
        series.usable = usable;
        series
    }

    /// All rows of `columns` as one series.
    pub fn whole(columns: &'a Columns) -> Self {
        Self::new(columns, Rows::All(columns.rows()))
    }

    /// Marks known anomalies (frame rows; null counts as normal). They are excluded from training,
    /// and no anomaly is placed on them.
    pub fn with_labels(mut self, labels: &BooleanArray) -> Self {
        self.labelled = (0..self.len())
            .map(|t| labels.is_valid(self.rows.at(t)) && labels.value(self.rows.at(t)))
            .collect();
        self.hash = OnceLock::new();
        self
    }

    /// Marks the rows that anomalies may be put on (frame positions; null: they may not).
    pub fn with_places(mut self, places: &BooleanArray) -> Self {
        let may = |row: usize| places.is_valid(row) && places.value(row);
        self.places = (0..self.len()).map(|t| may(self.rows.at(t))).collect();
        self
    }

    /// Marks the rows (series rows, ascending) after a gap in time: no window crosses one.
    pub fn with_gaps(mut self, gaps: Vec<usize>) -> Self {
        self.gaps = gaps;
        self.hash = OnceLock::new();
        self
    }

    /// Sets the positions of the windows that score a row.
    pub fn with_positions(mut self, positions: Positions) -> Self {
        self.positions = positions;
        self
    }

    /// Sets the number of rows per day.
    pub fn with_rows_per_day(mut self, rows: Option<f64>) -> Self {
        self.rows_per_day = rows.filter(|rows| rows.is_finite() && *rows > 0.0);
        self
    }

    /// Sets the time of each row, ascending. Rows that the reference of a model has followed before are
    /// then context, and are not followed again.
    pub fn with_times(mut self, times: Option<Vec<i64>>) -> Self {
        self.times = times;
        self
    }

    /// Time of each row, if set.
    pub(crate) fn times(&self) -> Option<&[i64]> {
        self.times.as_deref()
    }

    /// Rows per day, if times are known.
    pub fn rows_per_day(&self) -> Option<f64> {
        self.rows_per_day
    }

    /// The same series with the values of `columns`, which hold the rows of the series in its
    /// order.
    pub(crate) fn replaced<'b>(&self, columns: &'b Columns) -> Series<'b> {
        let series = Series::whole(columns).with_gaps(self.gaps.clone());
        let (labelled, places) = (self.labelled.clone(), self.places.clone());
        Series { labelled, places, rows_per_day: self.rows_per_day, ..series }
    }

    /// Columns of the rows of this series alone, in its order.
    ///
    /// # Errors
    /// When an Arrow operation fails.
    pub(crate) fn own_columns(&self) -> Result<Columns> {
        self.columns.taken(&(0..self.len()).map(|t| self.row(t) as u32).collect())
    }

    /// The same series with the values of `columns`, which are its own with some changed.
    pub(crate) fn with_values<'b>(&self, columns: &'b Columns) -> Series<'b> {
        let positions = self.positions.clone();
        Series { positions, ..self.replaced(columns) }
    }

    /// The frame's columns.
    pub fn columns(&self) -> &'a Columns {
        self.columns
    }

    /// Number of rows T.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether the series has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Frame row of the series' row `t`.
    pub fn row(&self, t: usize) -> usize {
        self.rows.at(t)
    }

    /// Value of feature `d` at the series' row `t`; `None` for null and NaN.
    pub fn value(&self, d: usize, t: usize) -> Option<f64> {
        self.columns.value(d, self.rows.at(t))
    }

    /// Values of feature `d` from the series' row `start`, NaN for null and NaN.
    ///
    /// `start` and the rows of `out` must lie within the series.
    pub fn read(&self, d: usize, start: usize, out: &mut [f64]) {
        self.columns.feature(d).floats.read(&self.rows, start, out);
    }

    /// Passes all values of feature `d` to `take` in blocks, each with its first row.
    pub(super) fn read_blocks(&self, d: usize, mut take: impl FnMut(usize, &[f64])) {
        let mut values = [0.0; BLOCK];
        for start in (0..self.len()).step_by(BLOCK) {
            let block = &mut values[..BLOCK.min(self.len() - start)];
            self.read(d, start, block);
            take(start, block);
        }
    }

    /// Whether row `t` has a value in every feature.
    pub fn is_usable(&self, t: usize) -> bool {
        self.usable[t]
    }

    /// Number of features without a value at row `t`.
    pub fn missing(&self, t: usize) -> usize {
        if self.usable[t] {
            return 0;
        }
        (0..self.columns.width()).filter(|&d| self.value(d, t).is_none()).count()
    }

    /// Whether every row has a value in every feature.
    pub fn is_complete(&self) -> bool {
        self.usable.iter().all(|usable| *usable)
    }

    /// Whether row `t` is a known anomaly.
    pub fn is_labelled(&self, t: usize) -> bool {
        self.labelled.get(t).copied().unwrap_or(false)
    }

    /// Whether an anomaly may be put on row `t`, as far as the user says.
    pub fn is_place(&self, t: usize) -> bool {
        self.places.get(t).copied().unwrap_or(true)
    }

    /// Whether row `t` has a value in every feature and is not a known anomaly.
    pub fn is_clean(&self, t: usize) -> bool {
        self.usable[t] && !self.is_labelled(t)
    }

    /// Start rows of the windows of `size` rows, about `stride` apart, that score some stretches of
    /// the series.
    pub(crate) fn scored_starts(
        &self,
        stretches: &[Range<usize>],
        size: usize,
        stride: usize,
    ) -> Vec<usize> {
        self.positions.starts(|| self.row_hashes(), stretches, size, stride)
    }

    /// A hash of the values of every row.
    pub(super) fn row_hashes(&self) -> Vec<u64> {
        let mut hashes = vec![0u64; self.len()];
        let mut column = vec![0.0; self.len()];
        for d in 0..self.columns.width() {
            self.read(d, 0, &mut column);
            for (hash, value) in hashes.iter_mut().zip(&column) {
                let bits = if value.is_nan() { u64::MAX } else { value.to_bits() };
                *hash = mixed(*hash ^ bits);
            }
        }
        hashes
    }

    /// Positions of the windows that score a row.
    pub fn positions(&self) -> &Positions {
        &self.positions
    }

    /// Rows after a gap in time.
    pub fn gaps(&self) -> &[usize] {
        &self.gaps
    }

    /// Key of the random streams of a series, from its content.
    pub(crate) fn stream_key(&self) -> [u64; 2] {
        let hash = self.content_hash();
        [hash as u64, (hash >> 64) as u64]
    }

    /// Hash of everything that a result depends on: names, values, labels and gaps. It keys the
    /// random streams and the fit cache; it does not depend on the rows' places in the frame.
    pub fn content_hash(&self) -> u128 {
        // Every anomaly asks for it.
        *self.hash.get_or_init(|| self.hashed())
    }

    fn hashed(&self) -> u128 {
        let mut hash = Xxh3::new();
        hash.update(&(self.len() as u64).to_le_bytes());
        for (d, name) in self.columns.names().iter().enumerate() {
            hash.update(name.as_bytes());
            let mut bytes = [0; BLOCK * size_of::<u64>()];
            self.read_blocks(d, |_, values| {
                let (words, _) = bytes.as_chunks_mut();
                for (word, value) in words.iter_mut().zip(values) {
                    let bits = if value.is_nan() { u64::MAX } else { value.to_bits() };
                    *word = bits.to_le_bytes();
                }
                hash.update(&bytes[..size_of_val(values)]);
            });
        }
        let clean: Vec<u8> = (0..self.len()).map(|t| u8::from(self.is_clean(t))).collect();
        hash.update(&clean);
        for gap in &self.gaps {
            hash.update(&(*gap as u64).to_le_bytes());
        }
        hash.digest128()
    }
}
