//! Checks of scores and labels.

use crate::error::{Error, Result};

/// Rejects labels whose length differs from the `rows` scores or predictions.
pub(super) fn same_length(rows: usize, labels: &[bool]) -> Result<()> {
    if rows == labels.len() {
        return Ok(());
    }
    Err(Error::Length { column: "labels".into(), found: labels.len(), expected: rows })
}

/// Rejects labels of another length, and scores that are not finite.
pub(super) fn check(scores: &[f64], labels: &[bool]) -> Result<()> {
    same_length(scores.len(), labels)?;
    match scores.iter().position(|score| !score.is_finite()) {
        None => Ok(()),
        Some(row) => {
            Err(Error::parameter("scores", format!("{} at row {row}", scores[row]), "finite"))
        }
    }
}
