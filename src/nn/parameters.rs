//! The parameters of a net, by name.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};

/// Parameters by name.
pub type Parameters = BTreeMap<String, Tensor>;

/// Parameters in training, by name.
pub type Variables = BTreeMap<String, Var>;
