//! Models that share a VAE: what they are does not depend on the order of the series, they are
//! small, they come back from bytes, and a series that the VAE does not fit is trained on its own.

use std::sync::Arc;

use crate::common::{OneThread, frame, in_pool, wave};
use genias::{
    Backbones, Columns, Control, DetectConfig, Error, FitConfig, GenerateConfig, Model, RunToEnd,
    Series, VaeOrigin, apart, backbone_of, excerpts, fit, fit_on, generator::train_backbone,
};

fn config() -> FitConfig {
    FitConfig { window: 24, latent: Some(6), channels: 4, steps: 25, ..FitConfig::default() }
}

/// Hosts with the same period, and levels and scales of their own.
fn hosts(count: usize) -> Vec<Columns> {
    let host = |i: usize| {
        let scaled = |seed: u64, level: f64| -> Vec<f64> {
            let noise = wave(500, 7 * (i as u64 + 1) + seed);
            let period = |t: usize| (std::f64::consts::TAU * t as f64 / 12.0 + level).sin();
            (0..500).map(|t| level + (1.0 + i as f64) * (period(t) + 0.02 * noise[t])).collect()
        };
        frame(&[("a", &scaled(1, 10.0 * i as f64)), ("b", &scaled(2, -3.0))])
    };
    (0..count).map(host).collect()
}

/// A host of noise.
fn unlike() -> Columns {
    let noise = |seed| -> Vec<f64> {
        crate::common::rng(seed).normals(500).into_iter().map(f64::from).collect::<Vec<f64>>()
    };
    let smooth = |seed| -> Vec<f64> {
        noise(seed).windows(9).map(|part| part.iter().sum()).chain([0.0; 8]).collect()
    };
    frame(&[("a", &smooth(3)), ("b", &smooth(4))])
}

fn backbones(columns: &[Columns], control: &dyn Control) -> Backbones {
    let series = |i: usize| Series::whole(&columns[i]);
    Backbones::default().train(columns.len(), series, &config(), control).unwrap()
}

fn model(columns: &Columns, backbones: &Backbones) -> Model {
    let series = Series::whole(columns);
    let model = fit_on(&series, &config(), backbones, &RunToEnd).unwrap();
    model.fit_detector(&series, &DetectConfig::default(), &RunToEnd).unwrap()
}

fn stored(model: &Model) -> (Vec<u8>, Vec<u8>) {
    (model.to_own_bytes().unwrap(), apart::write(model.backbone().unwrap()).unwrap())
}

#[test]
fn neither_order_nor_threads_change_a_model() {
    let mut columns = hosts(5);
    columns.push(unlike());
    let expected = in_pool(1, || stored(&model(&columns[2], &backbones(&columns, &RunToEnd))));
    let mut others = columns.clone();
    others.reverse();
    others.swap(0, 2);
    assert_eq!(others[3].names(), columns[2].names());
    for threads in [1, 3] {
        for (all, control) in [(&others, &RunToEnd as &dyn Control), (&columns, &OneThread)] {
            let found = in_pool(threads, || stored(&model(&columns[2], &backbones(all, control))));
            assert!(found == expected, "{threads} threads");
        }
    }
}

#[test]
fn alike_series_share_a_backbone_and_others_do_not() {
    let mut columns = hosts(4);
    columns.push(unlike());
    let found = backbones(&columns, &RunToEnd);
    let models: Vec<Model> = columns.iter().map(|columns| model(columns, &found)).collect();
    let id = |model: &Model| model.backbone().unwrap().id();
    for alike in &models[..4] {
        assert_eq!((alike.report.origin, alike.report.steps), (VaeOrigin::Shared, 0));
        assert_eq!(id(alike), id(&models[0]));
        let single = fit(&Series::whole(&columns[0]), &config(), &RunToEnd).unwrap();
        assert!(alike.report.r2.unwrap() > single.report.r2.unwrap() - 0.05);
    }
    assert_eq!(models[4].report.origin, VaeOrigin::Own);
    assert!(models[4].report.steps > 0);
    assert_ne!(id(&models[4]), id(&models[0]));
}

#[test]
fn series_that_no_backbone_fits_get_a_wider_one() {
    let mut columns = hosts(3);
    let noise = unlike();
    let other = |scale: f64| {
        let scaled = |d| (0..500).map(|t| scale * noise.value(d, t).unwrap()).collect::<Vec<f64>>();
        frame(&[("a", &scaled(0)), ("b", &scaled(1))])
    };
    columns.extend([other(1.0), other(3.0)]);
    let series = |i: usize| Series::whole(&columns[i]);
    let found = Backbones::default().widening(true);
    let found = found.train(columns.len(), series, &config(), &RunToEnd).unwrap();
    let widths: Vec<usize> = found.all().iter().map(|one| one.latent()).collect();
    assert_eq!(widths[..2], [6, 12]);
    let wide = model(&columns[4], &found);
    assert_eq!((wide.report.origin, wide.generator.latent()), (VaeOrigin::Shared, 12));
    let (own, backbone) = stored(&wide);
    let read = Model::from_parts(&own, Some(&Arc::new(apart::read(&backbone).unwrap()))).unwrap();
    assert_eq!(read.to_own_bytes().unwrap(), own);
    let narrow = model(&columns[1], &found);
    assert_eq!((narrow.report.origin, narrow.generator.latent()), (VaeOrigin::Shared, 6));
}

#[test]
fn backbones_are_trained_on_excerpts_from_elsewhere() {
    let columns = hosts(4);
    let expected = backbones(&columns, &RunToEnd);
    let none = Backbones::default();
    let mut parts: Vec<(u128, Vec<u8>)> = Vec::new();
    for one in &columns {
        let series = Series::whole(one);
        let about = none.about(&series, &config(), &RunToEnd).unwrap().unwrap();
        assert_eq!((about.features.len(), about.fits), (2, false));
        let excerpt = none.excerpt(&series, &config(), columns.len(), 0, &RunToEnd).unwrap();
        parts.push((about.key, excerpts::write(&excerpt).unwrap()));
    }
    parts.sort();
    let read = || parts.iter().map(|(_, bytes)| excerpts::read(bytes).unwrap()).collect::<Vec<_>>();
    let found = train_backbone(&read(), &RunToEnd).unwrap();
    assert_eq!(found.id(), expected.all()[0].id());
    let about = expected.about(&Series::whole(&columns[0]), &config(), &RunToEnd).unwrap();
    assert!(about.unwrap().fits);
    assert!(matches!(train_backbone(&[], &RunToEnd), Err(Error::Model(_))));
    let bytes = &parts[0].1;
    for length in [0, 7, bytes.len() / 2, bytes.len() - 1] {
        assert!(matches!(excerpts::read(&bytes[..length]), Err(Error::Model(_))), "{length}");
    }
}

#[test]
fn models_come_back_from_their_parts_and_as_a_whole() {
    let columns = hosts(3);
    let model = model(&columns[1], &backbones(&columns, &RunToEnd));
    let (own, backbone) = stored(&model);
    let whole = model.to_bytes().unwrap();
    assert!(own.len() + backbone.len() / 2 < whole.len(), "{} of {}", own.len(), whole.len());
    let backbone = Arc::new(apart::read(&backbone).unwrap());
    let read = Model::from_parts(&own, Some(&backbone)).unwrap();
    assert_eq!((read.to_own_bytes().unwrap(), read.to_bytes().unwrap()), (own, whole.clone()));
    let alone = Model::from_bytes(&whole).unwrap();
    assert_eq!(alone.to_bytes().unwrap(), whole);
    let series = Series::whole(&columns[1]);
    let answers = |model: &Model| {
        let anomalies = model.generate(&series, &GenerateConfig::default(), &RunToEnd).unwrap();
        (model.score(&series, &RunToEnd).unwrap(), anomalies)
    };
    let expected = answers(&model);
    assert!(answers(&read) == expected && answers(&alone) == expected);
}

#[test]
fn a_part_without_its_backbone_is_refused() {
    let columns = hosts(3);
    let first = model(&columns[0], &backbones(&columns, &RunToEnd));
    let (own, backbone) = stored(&first);
    let refused = |backbone: Option<&Arc<genias::Backbone>>| {
        let Err(Error::Model(text)) = Model::from_parts(&own, backbone) else {
            panic!("it was read")
        };
        text
    };
    assert!(refused(None).contains("is missing"), "{}", refused(None));
    let other = fit(&Series::whole(&columns[2]), &config(), &RunToEnd).unwrap();
    let other = Arc::new(backbone_of(&other.generator).unwrap().unwrap());
    assert!(refused(Some(&other)).contains("not"), "{}", refused(Some(&other)));
    let mut changed = backbone.clone();
    let last = changed.len() - 3;
    changed[last] ^= 1;
    assert!(matches!(apart::read(&changed), Err(Error::Model(_))));
    for length in [0, 7, backbone.len() / 2, backbone.len() - 1] {
        assert!(matches!(apart::read(&backbone[..length]), Err(Error::Model(_))), "{length}");
    }
    assert!(matches!(apart::read(&own), Err(Error::Model(_))));
}

#[test]
fn a_new_series_starts_from_a_backbone_without_training() {
    let columns = hosts(5);
    let known = backbones(&columns[..4], &RunToEnd);
    let given = Backbones::new(known.all().to_vec());
    let new = model(&columns[4], &given);
    assert_eq!((new.report.origin, new.report.steps), (VaeOrigin::Shared, 0));
    assert_eq!(new.backbone().unwrap().id(), known.all()[0].id());
    assert_eq!(model(&unlike(), &given).report.origin, VaeOrigin::Own);
    let other = frame(&[("x", &wave(500, 1)), ("y", &wave(500, 2))]);
    let names = other.names().to_vec();
    assert!(matches!(given.check(&names, &config()), Err(Error::ModelFeatures { .. })));
    let larger = FitConfig { window: 32, ..config() };
    let known = columns[0].names().to_vec();
    assert!(matches!(given.check(&known, &larger), Err(Error::Parameter { name: "warm", .. })));
    given.check(&known, &config()).unwrap();
}

#[test]
fn series_that_cannot_be_used_are_passed_over() {
    let mut columns = hosts(3);
    let expected = backbones(&columns, &RunToEnd);
    columns.push(frame(&[("a", &[1.0, 2.0, 3.0]), ("b", &[1.0, 2.0, 3.0])]));
    columns.push(frame(&[("a", &[5.0; 300]), ("b", &[1.0; 300])]));
    let found = backbones(&columns, &RunToEnd);
    let ids = |found: &Backbones| found.all().iter().map(|one| one.id()).collect::<Vec<_>>();
    assert_eq!(ids(&found), ids(&expected));
    let constant = model(&columns[4], &found);
    assert!(constant.backbone().is_none());
    let whole = constant.to_own_bytes().unwrap();
    assert_eq!(Model::from_bytes(&whole).unwrap().to_bytes().unwrap(), whole);
}
