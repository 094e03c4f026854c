//! Any series, any options: what holds whatever comes.

use crate::common::stages::{FORMS, assert_placed, assert_values, hit_and_same};
use crate::common::{column, wave};
use arrow::array::BooleanArray;
use genias::config::{Distance, Domains, Noise, OneOrRange, Patch, Perturbation};
use genias::{Columns, Error, FitConfig, GenerateConfig, Model, RunToEnd, Series, fit};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const RUN: &RunToEnd = &RunToEnd;

/// How a feature of a random frame moves.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Wave,
    Constant,
    /// Zero, but for a stretch in the middle.
    Bump,
    /// Large numbers that differ in their last digits only.
    Counter,
    Flag,
}

/// A random series: its features, and what is the matter with each of its rows.
#[derive(Clone, Debug)]
struct Any {
    kinds: Vec<Kind>,
    /// Per row: 0 null, 1 NaN, 2 labelled, 3 after a gap, anything else nothing.
    rows: Vec<u8>,
}

impl Any {
    fn value(&self, d: usize, t: usize) -> f64 {
        let wave = wave(self.rows.len(), d as u64)[t];
        match self.kinds[d] {
            Kind::Wave => wave,
            Kind::Constant => -2.5,
            Kind::Bump => f64::from(u8::from(t % 60 > 40)) * wave,
            Kind::Counter => 1.7e9 + t as f64,
            Kind::Flag => f64::from(u8::from(wave > 0.5)),
        }
    }

    fn columns(&self) -> Columns {
        // The last feature has the nulls, the first the NaN.
        let value = |d: usize, t: usize| match self.rows[t] {
            0 if d + 1 == self.kinds.len() => None,
            1 if d == 0 => Some(f64::NAN),
            _ => Some(self.value(d, t)),
        };
        let name = |d: usize| format!("f{d}");
        let field = |d: usize| column(&name(d), (0..self.rows.len()).map(|t| value(d, t)));
        Columns::new((0..self.kinds.len()).map(field).collect()).unwrap()
    }

    fn series<'a>(&self, columns: &'a Columns) -> Series<'a> {
        let labels = BooleanArray::from_iter(self.rows.iter().map(|row| Some(*row == 2)));
        let gaps = (0..self.rows.len()).filter(|t| self.rows[*t] == 3).collect();
        Series::whole(columns).with_labels(&labels).with_gaps(gaps)
    }
}

/// Whether some window of clean rows exists.
fn has_window(series: &Series<'_>, window: usize) -> bool {
    let mut run = 0;
    (0..series.len()).any(|t| {
        run = if series.is_clean(t) { run + 1 } else { 0 };
        run = if series.gaps().contains(&t) { run.min(1) } else { run };
        run >= window
    })
}

fn any_series() -> impl Strategy<Value = Any> {
    let kind = prop_oneof![
        Just(Kind::Wave),
        Just(Kind::Constant),
        Just(Kind::Bump),
        Just(Kind::Counter),
        Just(Kind::Flag)
    ];
    let row = prop_oneof![1 => 0u8..4, 60 => Just(9)];
    (prop::collection::vec(kind, 1..4), prop::collection::vec(row, 0..150))
        .prop_map(|(kinds, rows)| Any { kinds, rows })
}

fn any_fit() -> impl Strategy<Value = FitConfig> {
    let sizes = (8usize..24, 1usize..6, 2usize..6, 0usize..4, any::<[bool; 6]>());
    let numbers = (1usize..8, 1usize..20, 0.01f64..0.5, 0.0f64..0.9);
    (sizes, numbers).prop_map(|((window, channels, kernel_size, decimation, flags), numbers)| {
        let (latent, batch_size, validation, dropout) = numbers;
        let base = if flags[0] { FitConfig::paper() } else { FitConfig::default() };
        FitConfig {
            window,
            channels,
            kernel_size,
            decimation,
            latent: flags[1].then_some(latent),
            linear_path: flags[2],
            perturbation: if flags[3] { Perturbation::Mean } else { Perturbation::Variance },
            levels: flags[4].then_some(2),
            local: flags[5],
            kinds: 1 + batch_size % 9,
            dropout: if flags[5] { dropout } else { 0.0 },
            batch_size,
            validation,
            steps: 2,
            max_null: 0.0,
            ..base
        }
    })
}

fn any_generate() -> impl Strategy<Value = GenerateConfig> {
    let patch = prop_oneof![Just(Patch::Deviation), Just(Patch::Length), Just(Patch::None)];
    let numbers = (0.001f64..0.5, 1usize..9, 0usize..9, 0.1f64..4.0, 0.0f64..2.0, 1usize..40);
    (patch, numbers, any::<[bool; 6]>(), any::<u64>()).prop_map(|(patch, numbers, flags, seed)| {
        let (contamination, low, extra, strength, tau, stride) = numbers;
        GenerateConfig {
            contamination: Some(contamination),
            length: flags[0].then_some(OneOrRange::Range(low, (low + extra).min(8))),
            form: FORMS[(seed % 3) as usize],
            patch,
            tau: (tau < 1.0).then_some(tau),
            distance: Distance::OWN[stride % Distance::OWN.len()],
            creep: flags[2].then_some((tau / 1.5 + 0.01).min(1.0)),
            strength: flags[3].then_some(OneOrRange::One(strength)),
            hit_constant: flags[4],
            domain: if flags[4] { Domains::None } else { Domains::Learned },
            draws: 1 + low % 3,
            noise: if flags[2] { Noise::Independent } else { Noise::Stratified },
            window_stride: flags[5].then_some(stride),
            seed,
            ..GenerateConfig::default()
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Whatever comes in: an answer within the contract, or an error that says why there is none.
    #[test]
    fn any_series_is_answered(any in any_series(), fit_config in any_fit(), config in any_generate()) {
        let config = GenerateConfig {
            length: config.length.map(|length| {
                let (low, high) = length.bounds();
                OneOrRange::Range(low.min(high), high)
            }),
            ..config
        };
        let columns = any.columns();
        let series = any.series(&columns);
        let window = fit_config.window;
        let fitted = fit(&series, &fit_config, RUN);
        prop_assert_eq!(fitted.is_ok(), has_window(&series, window), "{:?}", fitted.err());
        let Ok(model) = fitted else { return Ok(()) };
        prop_assert!(model.psi() >= 1.0);
        prop_assert!(Model::from_bytes(&model.to_bytes().unwrap()).is_ok());

        let scores = model.score(&series, RUN).unwrap();
        prop_assert!(scores.iter().flatten().all(|score| score.is_finite() && *score >= 0.0));
        prop_assert!(scores.iter().any(Option::is_some));
        let decoded = model.reconstruct(&series, RUN).unwrap();
        prop_assert!(decoded.values.iter().flatten().all(|value| value.is_finite()));
        for (t, covered) in decoded.covered.iter().enumerate() {
            prop_assert_eq!(scores[t].is_some(), *covered);
        }
        for pair in model.pairs(&series, &config, RUN).unwrap() {
            let anomalous = pair.anomalous(&series);
            prop_assert!(anomalous.iter().all(|value| value.is_finite()));
            prop_assert!(pair.rows.len() == window && pair.rows.clone().all(|t| series.is_clean(t)));
            prop_assert!(anomalous != pair.normal(&series));
        }
        match model.generate(&series, &config, RUN) {
            Ok(found) => {
                assert_placed(&series, &config, window, &found);
                assert_values(&found, columns.width());
                hit_and_same(&columns, &series, &found);
            }
            Err(Error::DoesNotFit { asked, fits, .. }) => prop_assert!(fits < asked),
            Err(error) => panic!("{error}"),
        }
    }
}
