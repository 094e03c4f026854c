//! Metrics of a set of generated anomalies, in representation space.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type};
use rayon::prelude::*;

use crate::data::columns::Columns;
use crate::error::{Error, Result};
use crate::stats::kmeans::{KMeans, nearest};

/// Embeddings of rows, and the sets that each row belongs to.
#[derive(Clone, Debug)]
pub struct Embedded {
    /// Flat, [rows, width].
    values: Vec<f32>,
    width: usize,
    sets: Vec<Vec<bool>>,
}

impl Embedded {
    /// Takes flat embeddings [N, width], and for each set whether it contains each of the N rows.
    ///
    /// # Errors
    /// [`Error::Length`]; [`Error::Parameter`] for a value that is not finite or a width of 0.
    pub fn new(values: Vec<f32>, width: usize, sets: Vec<Vec<bool>>) -> Result<Self> {
        if width == 0 {
            return Err(Error::parameter("width", width, "at least 1"));
        }
        for set in &sets {
            if set.len() * width != values.len() {
                let expected = values.len() / width;
                return Err(Error::Length { column: "set".into(), found: set.len(), expected });
            }
        }
        if let Some(i) = values.iter().position(|value| !value.is_finite()) {
            let value = format!("{} at row {}", values[i], i / width);
            return Err(Error::parameter("embedding", value, "finite"));
        }
        Ok(Self { values, width, sets })
    }

    /// Reads a column of embeddings (FixedSizeList of numbers) and Boolean (or 0 and 1) columns, one
    /// per set. Rows with a null or NaN in any of them are left out.
    ///
    /// # Errors
    /// As [`Embedded::new`], and [`Error::Dtype`]; [`Error::Infinite`] for an infinite value.
    pub fn read(embedding: (String, ArrayRef), sets: Vec<(String, ArrayRef)>) -> Result<Self> {
        let (column, array) = embedding;
        let DataType::FixedSizeList(_, width) = array.data_type() else {
            let dtype = format!("{} (`embedding` must be Array)", array.data_type());
            return Err(Error::Dtype { column, dtype });
        };
        let (rows, width) = (array.len(), *width as usize);
        let list = array.as_fixed_size_list();
        let inner =
            cast(&list.values().slice(list.offset() * width, rows * width), &DataType::Float32)?;
        let inner = inner.as_primitive::<Float32Type>();
        let flags = sets.into_iter().map(|set| read_set(set, rows)).collect::<Result<Vec<_>>>()?;
        let mut kept = Self { values: Vec::new(), width, sets: vec![Vec::new(); flags.len()] };
        for row in 0..rows {
            let values = &inner.values()[row * width..(row + 1) * width];
            let nulls = (row * width..(row + 1) * width).any(|i| inner.is_null(i));
            if list.is_null(row) || nulls || values.iter().any(|value| value.is_nan()) {
                continue;
            }
            let Some(flags) = flags.iter().map(|set| set[row]).collect::<Option<Vec<_>>>() else {
                continue;
            };
            if values.iter().any(|value| value.is_infinite()) {
                return Err(Error::Infinite { column, row });
            }
            kept.values.extend_from_slice(values);
            kept.sets.iter_mut().zip(flags).for_each(|(set, flag)| set.push(flag));
        }
        Self::new(kept.values, width, kept.sets)
    }

    fn rows(&self) -> usize {
        self.values.len() / self.width
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.width..(row + 1) * self.width]
    }

    /// Flat embeddings of one set.
    fn set(&self, set: usize) -> Vec<f32> {
        let Some(flags) = self.sets.get(set) else { return Vec::new() };
        let members = (0..self.rows()).filter(|row| flags[*row]);
        members.flat_map(|row| self.row(row)).copied().collect()
    }
}

/// Whether each row belongs to the set; `None` for null.
fn read_set(set: (String, ArrayRef), rows: usize) -> Result<Vec<Option<bool>>> {
    let (column, found) = (set.0.clone(), set.1.len());
    if found != rows {
        return Err(Error::Length { column, found, expected: rows });
    }
    let flags = Columns::new(vec![set])?;
    let read = |row| match flags.value(0, row) {
        None => Ok(None),
        Some(0.0) => Ok(Some(false)),
        Some(1.0) => Ok(Some(true)),
        Some(value) => {
            let value = format!("{value} (column `{column}`, row {row})");
            Err(Error::parameter("set", value, "Boolean, 0 or 1"))
        }
    };
    (0..rows).map(read).collect()
}

/// Anomaly representation proximity (GenIAS, arXiv 2502.08262), in (0, 1]: 1 / (1 + mean Euclidean
/// distance from each real anomaly, set 0, to the nearest generated one, set 1). `None` if a set is
/// empty.
pub fn arp(rows: &Embedded) -> Option<f64> {
    let (real, generated) = (rows.set(0), rows.set(1));
    if real.is_empty() || generated.is_empty() {
        return None;
    }
    let distances: Vec<f64> =
        real.par_chunks(rows.width).map(|row| nearest(row, &generated).1.sqrt()).collect();
    let mean = distances.iter().sum::<f64>() / distances.len() as f64;
    Some(1.0 / (1.0 + mean))
}

/// Entropy-based diversity index (GenIAS, arXiv 2502.08262), in [0, ln `regions`] nats: Shannon
/// entropy of the distribution of the generated rows, set 0, over the regions that k-means finds
/// among **all** rows. `None` if the set is empty.
///
/// k-means starts from k-means++ seeds (Arthur and Vassilvitskii, 2007) and ends when no row
/// changes its region, or after 100 steps. Fewer distinct rows than `regions` give fewer regions.
///
/// # Errors
/// [`Error::Parameter`] for `regions` = 0.
pub fn edi(rows: &Embedded, regions: usize, seed: u64) -> Result<Option<f64>> {
    if regions == 0 {
        return Err(Error::parameter("regions", regions, "at least 1"));
    }
    let Some(generated) = rows.sets.first().filter(|set| set.contains(&true)) else {
        return Ok(None);
    };
    let regions = KMeans::fit(&rows.values, rows.width, regions, seed).assigned;
    let mut counts = vec![0usize; rows.rows()];
    regions.iter().zip(generated).filter(|(_, flag)| **flag).for_each(|(i, _)| counts[*i] += 1);
    let total = counts.iter().sum::<usize>() as f64;
    let shares = counts.iter().filter(|count| **count > 0).map(|count| *count as f64 / total);
    Ok(Some(shares.map(|p| -p * p.ln()).sum::<f64>().max(0.0)))
}
