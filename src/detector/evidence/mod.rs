//! Evidence: how unusual a row is among the normal rows of its series, without training.
//!
//! Windows of several sizes are seen in several ways ([`embedding`]), each projected onto its principal
//! components ([`projection`]), and compared with the nearest window of normal rows ([`neighbours`]). A
//! distance is measured in units of those between normal windows themselves ([`calibration`]); a row gets
//! the mean over the windows that cover it ([`rows`]); a fixed rule combines the members ([`fusion`]), and
//! a row keeps the share of it by which the windows differ in this row ([`share`]).
//!
//! z = (d - median) / (q90 - median) of leave-one-out distances d, per member; a member contributes
//! ln(1 + max(z, 0)) to a row.

mod calibration;
mod detector;
mod embedding;
mod expected;
mod features;
mod fusion;
mod kept;
mod member;
mod neighbours;
mod own;
mod plan;
mod projection;
mod reference;
mod rows;
mod share;
pub(super) mod spec;

pub(crate) use detector::{Evidence, ScoredRows, ScoredWindows};
pub(crate) use expected::Scaled;
pub(crate) use kept::{Built, KeptEvidence};
pub(crate) use share::{LEAST_UNIT, RowShares};
