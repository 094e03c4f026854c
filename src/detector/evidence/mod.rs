//! Evidence: how unusual a row is among the normal rows of its series, without training.
//!
//! Windows of several sizes are seen in several ways ([`embedding`]), each projected onto its principal
//! components ([`projection`]), and compared with the nearest window of normal rows ([`neighbours`]). A
//! distance counts by what is usual between normal windows themselves ([`calibration`]); a row is
//! what the windows that cover it say on average ([`rows`]); a fixed rule puts all together ([`fusion`]),
//! and a row has of it what the windows differ by in this row ([`share`]).
//!
//! z = (d - median) / (q90 - median) of leave-one-out distances d, per member; a member says
//! ln(1 + max(z, 0)) of a row.

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

pub(crate) use detector::{Evidence, Scored};
pub(crate) use expected::Scaled;
pub(crate) use kept::{Built, Kept};
pub(crate) use share::{LEAST_UNIT, RowShares};
