//! Applies a kind of anomaly to a segment.

use super::stretch::{Amount, Stretch};
use super::{level, lost, points, shape, tempo};
use crate::config::Kind;
use crate::runtime::rng::Rng;
use crate::stats::rms_f64;

/// RMS below which a change counts as none, in training standard deviations.
pub(super) const INERT: f64 = 1e-2;

/// The values of a segment with an anomaly of this kind.
///
/// They always differ from the input. If the kind has no effect (most kinds need a varying stretch
/// of more than one row), the rows are shifted by the strength, as by `mean`.
pub(super) fn changed(
    kind: Kind,
    stretch: &Stretch<'_>,
    amount: &Amount,
    rng: &mut Rng,
) -> Vec<f64> {
    let &Amount { strength, factor, shift, up, directed, .. } = amount;
    let values = match kind {
        Kind::Global if directed => level::mean(stretch, strength, up),
        Kind::Global => points::global(stretch, strength, up),
        Kind::Contextual => points::contextual(stretch, strength),
        Kind::Extremum => points::extremum(stretch, strength, up),
        Kind::Mean => level::mean(stretch, strength, up),
        Kind::Trend => level::trend(stretch, strength, up),
        Kind::Variance => level::variance(stretch, strength, rng),
        Kind::Pulse => level::pulse(stretch, strength, up),
        Kind::Walk => level::walk(stretch, strength, rng),
        Kind::Dropout => lost::dropout(stretch),
        Kind::Stuck => lost::stuck(stretch),
        Kind::Reset => lost::reset(stretch),
        Kind::OtherWindow => lost::other_window(stretch, rng),
        Kind::Amplitude => level::amplitude(stretch, factor),
        Kind::Platform => level::platform(stretch, rng),
        Kind::Seasonal => tempo::seasonal(stretch, factor),
        Kind::Frequency => tempo::frequency(stretch, factor),
        Kind::PatternShift => tempo::pattern_shift(stretch, shift, up),
        Kind::Shapelet => shape::shapelet(stretch, rng),
        Kind::Pattern => shape::pattern(stretch, factor),
        // A window of a net has no missing values.
        Kind::Missing => stretch.own().to_vec(),
        Kind::ModeCorrelation => shape::mode_correlation(stretch),
    };
    let moved: Vec<f64> = values.iter().zip(stretch.own()).map(|(new, old)| new - old).collect();
    if rms_f64(&moved) < INERT.min(strength) { level::mean(stretch, strength, up) } else { values }
}
