//! Metrics of a set of generated anomalies, in representation space.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type};
use rayon::prelude::*;

use crate::columns::Columns;
use crate::error::{Error, Result};
use crate::kernels::squared_differences;
use crate::rng::{Purpose, Rng};

/// Most steps of k-means; it nearly always comes to rest before.
const MOST_STEPS: usize = 100;

/// Embeddings of rows, with the sets that each row belongs to.
#[derive(Clone, Debug)]
pub struct Embedded {
    /// Flat, [rows, width].
    values: Vec<f32>,
    width: usize,
    sets: Vec<Vec<bool>>,
}

impl Embedded {
    /// Takes flat embeddings [N, width] and for each set whether it holds each of the N rows.
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

/// Whether a column says that a row belongs to the set; `None` where it is null.
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
/// distance from each real anomaly, set 0, to the nearest generated one, set 1). `None` where a set
/// is empty.
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
/// among **all** rows. `None` where the set is empty.
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

/// Regions of some rows, by k-means.
pub(crate) struct KMeans {
    /// Flat centres.
    pub centres: Vec<f32>,
    /// The region of every row.
    pub assigned: Vec<usize>,
}

impl KMeans {
    /// At most `regions` of flat `rows` of `width` values, of which there is at least one.
    pub(crate) fn fit(rows: &[f32], width: usize, regions: usize, seed: u64) -> Self {
        let mut centres = seeds(rows, width, regions, seed);
        let mut assigned = assign(rows, width, &centres);
        for _ in 0..MOST_STEPS {
            centres = means(rows, width, &assigned, centres);
            let next = assign(rows, width, &centres);
            if next == assigned {
                break;
            }
            assigned = next;
        }
        Self { centres, assigned }
    }
}

fn assign(rows: &[f32], width: usize, centres: &[f32]) -> Vec<usize> {
    rows.par_chunks(width).map(|row| nearest(row, centres).0).collect()
}

/// k-means++: each next centre is a row, drawn with a probability that grows with the square of
/// its distance from the centres before it.
fn seeds(rows: &[f32], width: usize, regions: usize, seed: u64) -> Vec<f32> {
    let mut rng = Rng::new(seed, Purpose::Regions, [0, 0]);
    let row = |row: usize| &rows[row * width..(row + 1) * width];
    let count = rows.len() / width;
    let mut centres = row(rng.below(count)).to_vec();
    let mut squares = vec![f64::INFINITY; count];
    for _ in 1..regions {
        let last = &centres[centres.len() - width..];
        squares.par_iter_mut().zip(rows.par_chunks(width)).for_each(|(square, row)| {
            *square = square.min(squared_distance(row, last));
        });
        let total: f64 = squares.iter().sum();
        if total <= 0.0 {
            break;
        }
        let mut left = rng.uniform() * total;
        let chosen = squares.iter().position(|square| {
            left -= square;
            left < 0.0
        });
        // Rounding may leave a rest behind the last row.
        let last_distinct = || squares.iter().rposition(|square| *square > 0.0);
        let Some(chosen) = chosen.or_else(last_distinct) else { break };
        centres.extend_from_slice(row(chosen));
    }
    centres
}

/// The mean of each region; one without rows keeps its centre.
fn means(rows: &[f32], width: usize, assigned: &[usize], mut centres: Vec<f32>) -> Vec<f32> {
    let mut sums = vec![0f64; centres.len()];
    let mut counts = vec![0usize; centres.len() / width];
    for (row, &region) in rows.chunks_exact(width).zip(assigned) {
        counts[region] += 1;
        let sums = &mut sums[region * width..];
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    for (region, centre) in centres.chunks_exact_mut(width).enumerate() {
        let sums = &sums[region * width..];
        if counts[region] > 0 {
            let mean = |sum: f64| (sum / counts[region] as f64) as f32;
            centre.iter_mut().zip(sums).for_each(|(value, sum)| *value = mean(*sum));
        }
    }
    centres
}

/// Position of the nearest of `others` (the first of several), and its squared distance.
pub(crate) fn nearest(row: &[f32], others: &[f32]) -> (usize, f64) {
    let squares = others.chunks_exact(row.len()).map(|other| squared_distance(row, other));
    squares
        .enumerate()
        .fold((0, f64::INFINITY), |best, next| if next.1 < best.1 { next } else { best })
}

fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    let mut square = [0.0];
    squared_differences(&mut square, a, b);
    square[0]
}
