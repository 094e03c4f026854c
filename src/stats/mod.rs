//! General statistics: moments, quantiles, distances, k-means, PCA.

pub(crate) mod kmeans;
mod moments;
mod normal;
pub mod pca;
pub(crate) mod shape;

pub(crate) use moments::{centre, mean_std, median, range, reflect, rms, rms_f64, sum_of};
pub(crate) use normal::normal_quantile;
