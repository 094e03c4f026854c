//! k-means, seeded.

use rayon::prelude::*;

use crate::kernels::squared_differences;
use crate::runtime::rng::{Purpose, Rng};

/// Maximum number of steps; k-means nearly always converges earlier.
const MOST_STEPS: usize = 100;

/// Regions of rows, from k-means.
pub(crate) struct KMeans {
    /// Flat centres.
    pub centres: Vec<f32>,
    /// The region of every row.
    pub assigned: Vec<usize>,
}

impl KMeans {
    /// At most `regions` regions of flat `rows` of `width` values (at least one row).
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

/// k-means++: each next centre is a row, drawn with a probability proportional to the square of its
/// distance from the previous centres.
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
        // Rounding can leave a remainder after the last row.
        let last_distinct = || squares.iter().rposition(|square| *square > 0.0);
        let Some(chosen) = chosen.or_else(last_distinct) else { break };
        centres.extend_from_slice(row(chosen));
    }
    centres
}

/// The mean of each region; an empty region keeps its centre.
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

/// Position of the nearest of `others` (the first one of equals), and its squared distance.
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
