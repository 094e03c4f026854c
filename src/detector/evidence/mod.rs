//! Evidence: how unusual a row is among the normal rows of its series, without training.
//!
//! Windows of several sizes are embedded in several representations ([`embedding`]), projected onto
//! their principal components ([`projection`]), and compared with the nearest window of normal rows
//! ([`neighbours`]). A distance is measured in units of the distances between normal windows
//! ([`calibration`]). A row gets the mean over the windows that cover it ([`rows`]), a fixed rule
//! combines the members ([`fusion`]), and the score of a row is reduced if the windows do not
//! differ in this row ([`share`]). Labels follow these scores; rows are ranked by scores that also count
//! what is near ([`ranking`]).
//!
//! z = (d - median) / (q90 - median) of leave-one-out distances d, per member; a member contributes
//! ln(1 + max(z, 0)) to a row.

mod around;
mod calibration;
mod detector;
mod embedding;
mod expect;
mod expected;
mod features;
mod fusion;
mod kept;
mod member;
mod neighbours;
mod own;
mod plan;
mod projection;
mod ranking;
mod reference;
mod rows;
mod share;
pub(super) mod spec;
mod strongest;

pub(crate) use detector::{Evidence, ScoredRows};
pub(crate) use expect::Expected;
pub(crate) use expected::Scaled;
pub(crate) use kept::{Built, KeptEvidence};
pub(crate) use share::{LEAST_UNIT, RowShares};
pub use strongest::StrongestEvidence;
