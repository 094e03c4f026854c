//! Windows of a series for the training of a backbone, to bytes and back: they are collected where
//! series lie on several machines.

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::container::{Packed, broken, bytes, entry_of, file, opened, parameters, tensors};
use crate::config::FitConfig;
use crate::data::normalise::Matrix;
use crate::error::{Error, Result};
use crate::generator::Excerpt;
use crate::nn::Shapes;

const ENTRY: &str = "genias_excerpt";
/// Names of the tensors: training windows, and held-out ones.
const PARTS: [&str; 2] = ["train", "held_out"];

#[derive(Serialize, Deserialize)]
struct ExcerptEntry {
    config: FitConfig,
    features: Vec<String>,
    parts: [PartEntry; 2],
}

/// A matrix without its values.
#[derive(Serialize, Deserialize)]
struct PartEntry {
    rows: usize,
    /// Positions of missing values; `None` if the series has none.
    missing: Option<Vec<usize>>,
    zeros: Vec<(usize, Vec<f32>)>,
}

impl PartEntry {
    fn new(matrix: &Matrix) -> Self {
        let Matrix { missing, zeros, .. } = matrix;
        let positions = || (0..missing.len()).filter(|i| missing[*i]).collect();
        let missing = (!missing.is_empty()).then(positions);
        Self { rows: matrix.height(), missing, zeros: zeros.clone() }
    }

    fn matrix(self, values: Vec<f32>, features: usize) -> Matrix {
        let missing = self.missing.map_or_else(Vec::new, |positions| {
            let mut missing = vec![false; values.len()];
            for position in positions {
                missing.get_mut(position).into_iter().for_each(|missing| *missing = true);
            }
            missing
        });
        Matrix { values, missing, features, zeros: self.zeros }
    }

    fn is_sound(&self, features: usize, window: usize) -> bool {
        self.rows.is_multiple_of(window)
            && self.zeros.iter().all(|(_, zero)| zero.len() == features)
            && self.zeros.last().is_none_or(|(end, _)| *end >= self.rows)
    }
}

/// An excerpt as bytes.
///
/// # Errors
/// If it cannot be written.
pub fn write(excerpt: &Excerpt) -> Result<Vec<u8>> {
    let Excerpt { config, features, parts } = excerpt;
    let entry = ExcerptEntry {
        config: config.clone(),
        features: features.clone(),
        parts: [PartEntry::new(&parts[0]), PartEntry::new(&parts[1])],
    };
    let packed = |(name, matrix): (&str, &Matrix)| -> Packed {
        let shape = vec![matrix.height(), features.len()];
        (name.to_string(), shape, bytes(&matrix.values))
    };
    let tensors: Vec<Packed> = PARTS.into_iter().zip(parts).map(packed).collect();
    file(ENTRY, serde_json::to_string(&entry).map_err(broken)?, &tensors)
}

/// Reads an excerpt.
///
/// # Errors
/// [`Error::Model`] for bytes that are not an excerpt.
pub fn read(bytes: &[u8]) -> Result<Excerpt> {
    let (header, data) = opened(bytes)?;
    let entry: ExcerptEntry = serde_json::from_str(entry_of(&header, ENTRY)?).map_err(broken)?;
    let ExcerptEntry { config, features, parts: [train, held_out] } = entry;
    config.validate()?;
    let width = features.len();
    if width == 0 || ![&train, &held_out].iter().all(|part| part.is_sound(width, config.window)) {
        return Err(Error::Model("the excerpt is inconsistent".into()));
    }
    let shape = |(name, part): (&str, &PartEntry)| (name.to_string(), vec![part.rows, width]);
    let shapes: Shapes = PARTS.into_iter().zip([&train, &held_out]).map(shape).collect();
    let found = parameters(shapes, &tensors(&header, data)?)?;
    let values = |name: &str| -> Result<Vec<f32>> {
        let none = || Tensor::zeros((0,), candle_core::DType::F32, &Device::Cpu);
        let tensor = found.get(name).map_or_else(none, |tensor| tensor.flatten_all())?;
        Ok(tensor.to_vec1()?)
    };
    let [first, second] = PARTS;
    let parts = [train.matrix(values(first)?, width), held_out.matrix(values(second)?, width)];
    Ok(Excerpt { config, features, parts })
}
