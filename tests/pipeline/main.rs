//! The core, a file per stage. One binary: its tests share their compilation, and run beside each other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

mod alarms;
mod any_series;
mod artifact;
mod calibration;
mod detectors;
mod determinism;
mod evidence;
mod explain;
mod fleet;
mod generate;
mod golden;
mod inject;
mod input;
mod kernels;
mod kinds;
mod metrics;
mod missing;
mod plateau;
mod positions;
mod scoring;
mod sensitivity;
mod training;
mod variety;
