//! From tries to the table.

use super::found::{CaughtFrom, Detection, Labelling, Sensitivity};
use super::smallest::{Outcomes, smallest};
use super::trial::{Cell, Trial, Try};
use crate::config::SensitivityConfig;
use crate::data::series::Series;
use crate::error::Result;
use crate::model::Model;
use crate::runtime::control::Control;
use crate::stats::median;

/// Standard normal quantile of a 95 % interval.
const Z: f64 = 1.959_964;

/// What the labels of a model would catch of anomalies in the normal rows of a series.
///
/// Anomalies lie on clean rows ([`Series::is_clean`]) that are places for them ([`Series::is_place`]) and
/// in no alarm already; the same places serve every kind and strength. An anomaly is caught where an alarm
/// overlaps its rows. The result depends on the options, the model and the content of the series only.
///
/// # Errors
/// As [`Model::alarms`], and [`crate::Error::Parameter`] for a duration in time where it is not known how
/// many rows a day has, or longer than the series.
pub fn sensitivity(
    model: &Model,
    series: &Series<'_>,
    config: &SensitivityConfig,
    labelling: Labelling<'_>,
    control: &dyn Control,
) -> Result<Sensitivity> {
    let columns = series.own_columns()?;
    let own = series.with_values(&columns);
    let trial = Trial::new(model, &own, config, labelling, control)?;
    let cells = trial.cells()?;
    let tries = trial.tries(&cells, control)?;
    let detections = detections(&cells, &tries, config.seed);
    Ok(Sensitivity { detections, ..trial.quiet() })
}

/// Every anomaly that [`sensitivity`] tries, with what became of it.
///
/// # Errors
/// As [`sensitivity`].
pub fn tried(
    model: &Model,
    series: &Series<'_>,
    config: &SensitivityConfig,
    labelling: Labelling<'_>,
    control: &dyn Control,
) -> Result<Vec<Try>> {
    let columns = series.own_columns()?;
    let own = series.with_values(&columns);
    let trial = Trial::new(model, &own, config, labelling, control)?;
    let tries = trial.tries(&trial.cells()?, control)?;
    Ok(tries.into_iter().flatten().collect())
}

/// What became of the tries of every feature, kind and duration, and of all features together.
fn detections(cells: &[Cell], tries: &[Vec<Try>], seed: u64) -> Vec<Detection> {
    let all: Vec<(&Cell, &Vec<Try>)> = cells.iter().zip(tries).collect();
    let mut features: Vec<usize> = cells.iter().map(|cell| cell.feature).collect();
    features.sort_unstable();
    features.dedup();
    let together = (features.len() > 1).then_some(None);
    let sorts = cells.last().map_or(0, |cell| cell.sort + 1);
    let of_feature = |feature: Option<usize>| {
        let is_own = |cell: &Cell| feature.is_none_or(|feature| cell.feature == feature);
        let of_sort = |sort: usize| {
            let own = all.iter().filter(|(cell, _)| is_own(cell) && cell.sort == sort);
            of_sort(feature, &own.copied().collect::<Vec<_>>(), seed)
        };
        (0..sorts).flat_map(of_sort).collect::<Vec<_>>()
    };
    features.into_iter().map(Some).chain(together).flat_map(of_feature).collect()
}

/// A row per strength of one kind and duration.
fn of_sort(feature: Option<usize>, all: &[(&Cell, &Vec<Try>)], seed: u64) -> Vec<Detection> {
    let Some((first, _)) = all.first() else { return Vec::new() };
    let mut strengths: Vec<Option<f64>> = all.iter().map(|(cell, _)| cell.strength).collect();
    strengths.sort_by(|a, b| a.unwrap_or(0.0).total_cmp(&b.unwrap_or(0.0)));
    strengths.dedup();
    let at = |strength: Option<f64>| -> Vec<&Try> {
        let same = all.iter().filter(|(cell, _)| cell.strength == strength);
        same.flat_map(|(_, tries)| tries.iter()).collect()
    };
    let outcomes: Option<Outcomes> = strengths
        .iter()
        .map(|strength| Some(((*strength)?, at(*strength).iter().map(|t| t.caught()).collect())))
        .collect();
    let smallest = outcomes.map_or_else(CaughtFrom::default, |outcomes| smallest(&outcomes, seed));
    let row = |strength: &Option<f64>| {
        let tries = at(*strength);
        let caught = tries.iter().filter(|t| t.caught()).count();
        let delays: Vec<f64> = tries.iter().filter_map(|t| Some(t.delay? as f64)).collect();
        let sizes = tries.iter().map(|t| t.anomaly.strength);
        let n = tries.len();
        Detection {
            feature,
            kind: first.kind.name,
            strength: *strength,
            duration: first.duration,
            tries: n,
            caught,
            interval: wilson(caught, n),
            delay: (!delays.is_empty()).then(|| median(delays)),
            realised: (n > 0).then(|| sizes.sum::<f64>() / n as f64),
            smallest,
        }
    };
    strengths.iter().map(row).collect()
}

/// Wilson's interval of a share (JASA 1927).
fn wilson(caught: usize, tries: usize) -> Option<(f64, f64)> {
    if tries == 0 {
        return None;
    }
    let (n, z) = (tries as f64, Z);
    let share = caught as f64 / n;
    let centre = share + z * z / (2.0 * n);
    let reach = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    let all = 1.0 + z * z / n;
    Some((((centre - reach) / all).max(0.0), ((centre + reach) / all).min(1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_wilson() {
        // statsmodels.stats.proportion.proportion_confint(8, 10, method="wilson").
        let (low, high) = wilson(8, 10).unwrap();
        assert!((low - 0.490_162).abs() < 1e-5 && (high - 0.943_318).abs() < 1e-5, "{low} {high}");
        assert_eq!(wilson(0, 0), None);
        let (low, high) = wilson(4, 4).unwrap();
        assert!(low > 0.5 && (high - 1.0).abs() < 1e-12, "{low} {high}");
    }
}
