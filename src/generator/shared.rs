//! Fits the series of a fleet: one backbone for those that are alike, and per series only what is
//! its own.
//!
//! A backbone fits a series if it reconstructs held-out windows nearly as well as PCA of the
//! series' own windows. The series that it does not fit get a second backbone, which may be wider,
//! and so on; those that are left are trained on their own.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::backbone::Backbone;
use super::calibrate::{PcaReference, explained};
use super::fit::fit_prepared;
use super::fitted::Generator;
use super::pooled::{Excerpt, train_backbone};
use super::prepared::{Prepared, principal_components, with_prepared};
use super::report::{Report, VaeOrigin};
use crate::config::FitConfig;
use crate::data::series::Series;
use crate::error::{Error, Result};
use crate::runtime::control::Control;
use crate::runtime::pool::spread_over_pool;
use crate::vae::{Architecture, Vae};

/// Maximum number of backbones that are trained one after another.
pub const ROUNDS: usize = 4;
/// Minimum number of series for a backbone.
pub const FEWEST: usize = 2;
/// A backbone fits if its R2 is at most this much below that of PCA.
const TOLERANCE: f64 = 0.02;
/// Maximum number of windows for PCA of a series.
const PCA_WINDOWS: usize = 250;

/// The backbones of a fleet.
#[derive(Clone, Debug, Default)]
pub struct Backbones {
    all: Vec<Arc<Backbone>>,
    /// By the content of a series.
    known: BTreeMap<u128, BackboneMatch>,
    /// Whether all but the first ones may have more latent units.
    widens: bool,
}

/// How well a series is reconstructed.
#[derive(Clone, Copy, Debug)]
struct BackboneMatch {
    /// The backbone with the highest R2.
    best: Option<usize>,
    r2: f64,
    /// R2 of PCA of its own windows.
    r2_pca: f64,
}

impl BackboneMatch {
    const NONE: Self = Self { best: None, r2: f64::NEG_INFINITY, r2_pca: f64::INFINITY };

    fn fits(self) -> bool {
        self.best.is_some() && self.r2 >= self.r2_pca - TOLERANCE
    }
}

/// A series of a fleet.
#[derive(Clone)]
struct FleetSeries {
    index: usize,
    about: SeriesInFleet,
}

/// What backbones for many series depend on, besides windows of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesInFleet {
    /// Hash of its content, which determines the order: results do not depend on that of the rows.
    pub key: u128,
    /// Features that vary, at least one.
    pub features: Vec<String>,
    /// Whether one of the backbones fits.
    pub fits: bool,
}

impl Backbones {
    /// Given backbones.
    pub fn new(all: Vec<Arc<Backbone>>) -> Self {
        Self { all, ..Self::default() }
    }

    /// These; if `widens`, series that none fits get backbones with more latent units than others
    /// ([`FitConfig::wider`]).
    pub fn widening(self, widens: bool) -> Self {
        Self { widens, ..self }
    }

    /// The backbones.
    pub fn all(&self) -> &[Arc<Backbone>] {
        &self.all
    }

    /// Adds backbones for `count` series where the given ones do not fit; `series` returns number i.
    /// A series that cannot be used is passed over. For new backbones, use
    /// [`FitConfig::for_fleet`].
    ///
    /// # Errors
    /// [`Error::Parameter`], [`Error::Diverged`], [`Error::Interrupted`].
    pub fn train<'a>(
        mut self,
        count: usize,
        series: impl Fn(usize) -> Series<'a> + Sync,
        config: &FitConfig,
        control: &dyn Control,
    ) -> Result<Self> {
        config.validate()?;
        let place = |i: usize| {
            let about = Backbones::default().about(&series(i), config, control)?;
            Ok(about.map(|about| FleetSeries { index: i, about }))
        };
        let mut left: Vec<FleetSeries> =
            spread_over_pool(count, control, place)?.into_iter().flatten().collect();
        left.sort_by_key(|placed| placed.about.key);
        left.dedup_by_key(|placed| placed.about.key);
        if !self.all.is_empty() {
            self.compare(&mut left, 0, &series, config, control)?;
        }
        for round in 0..ROUNDS {
            let before = (left.len(), self.all.len());
            for class in classes(&left) {
                self.add(&class, round, &series, config, control)?;
            }
            self.compare(&mut left, before.1, &series, config, control)?;
            if left.len() < FEWEST || (left.len(), self.all.len()) == before {
                break;
            }
        }
        Ok(self)
    }

    /// Rejects backbones none of which has only features among `names`, or the sizes of `config`.
    ///
    /// # Errors
    /// [`Error::ModelFeatures`], [`Error::Parameter`].
    pub fn check(&self, names: &[String], config: &FitConfig) -> Result<()> {
        let Some(first) = self.all.first() else { return Ok(()) };
        let known = |one: &&Arc<Backbone>| one.features.iter().all(|name| names.contains(name));
        let mut known = self.all.iter().filter(known).peekable();
        if known.peek().is_none() {
            let (expected, found) = (first.features.clone(), names.to_vec());
            return Err(Error::ModelFeatures { expected, found });
        }
        let sized = |one: &Arc<Backbone>| {
            Architecture::new(config, one.features.len()) == *one.vae.architecture()
        };
        if known.any(sized) {
            return Ok(());
        }
        let allowed = "left out with options that change the sizes of the nets in `models`";
        Err(Error::parameter("warm", true, allowed))
    }

    /// What the fit of a series depends on, besides the series and its options.
    pub fn key(&self, content: u128) -> Vec<u8> {
        let mut key: Vec<u8> = self.all.iter().flat_map(|one| one.id().into_bytes()).collect();
        if let Some(BackboneMatch { best, r2_pca, .. }) = self.known.get(&content) {
            key.extend(best.map_or(0, |best| best as u64 + 1).to_le_bytes());
            key.extend(r2_pca.to_le_bytes());
        }
        key
    }

    /// What backbones for many series depend on in this one; `None` if it cannot be used, or no
    /// feature varies.
    ///
    /// # Errors
    /// [`Error::Parameter`], [`Error::Interrupted`].
    pub fn about(
        &self,
        series: &Series<'_>,
        config: &FitConfig,
        control: &dyn Control,
    ) -> Result<Option<SeriesInFleet>> {
        config.validate()?;
        let found = with_prepared(series, config, control, |own| {
            let found = self.matched(own, BackboneMatch::NONE, 0, control)?;
            Ok((own.normaliser.live_names(), found.is_some_and(BackboneMatch::fits)))
        });
        let Some((features, fits)) = usable(found)? else { return Ok(None) };
        let key = series.content_hash();
        Ok((!features.is_empty()).then_some(SeriesInFleet { key, features, fits }))
    }

    /// The windows of a series for a backbone that `count` series share, which the first `round`
    /// ones do not fit.
    ///
    /// # Errors
    /// As [`Self::about`].
    pub fn excerpt(
        &self,
        series: &Series<'_>,
        config: &FitConfig,
        count: usize,
        round: usize,
        control: &dyn Control,
    ) -> Result<Excerpt> {
        with_prepared(series, config, control, |own| {
            let features = own.normaliser.live_features().len();
            let wide = self.widens && round > 0;
            let wider = wide.then(|| config.wider(features));
            Ok(Excerpt::new(own, wider.as_ref().unwrap_or(config), count))
        })
    }

    /// Trains a backbone on a class of series.
    fn add<'a>(
        &mut self,
        class: &[&FleetSeries],
        round: usize,
        series: &(impl Fn(usize) -> Series<'a> + Sync),
        config: &FitConfig,
        control: &dyn Control,
    ) -> Result<()> {
        if class.len() < FEWEST {
            return Ok(());
        }
        let excerpt =
            |i: usize| self.excerpt(&series(class[i].index), config, class.len(), round, control);
        let excerpts = spread_over_pool(class.len(), control, excerpt)?;
        self.all.push(Arc::new(train_backbone(&excerpts, control)?));
        Ok(())
    }

    /// Compares series with the backbones from number `from` on, and keeps those that none fits.
    fn compare<'a>(
        &mut self,
        some: &mut Vec<FleetSeries>,
        from: usize,
        series: &(impl Fn(usize) -> Series<'a> + Sync),
        config: &FitConfig,
        control: &dyn Control,
    ) -> Result<()> {
        let found = spread_over_pool(some.len(), control, |i| {
            let (known, series) = (self.known.get(&some[i].about.key), series(some[i].index));
            let before = known.copied().unwrap_or(BackboneMatch::NONE);
            with_prepared(&series, config, control, |own| self.matched(own, before, from, control))
        })?;
        let keys = some.iter().map(|placed| placed.about.key);
        self.known.extend(keys.zip(found).filter_map(|(key, found)| Some((key, found?))));
        some.retain(|one| !self.known.get(&one.about.key).is_some_and(|found| found.fits()));
        Ok(())
    }

    /// The first backbone that fits a series, of those from number `from` on and the best one
    /// `before` them, or the best one if none fits; `None` if no feature varies.
    fn matched(
        &self,
        own: &Prepared<'_>,
        before: BackboneMatch,
        from: usize,
        control: &dyn Control,
    ) -> Result<Option<BackboneMatch>> {
        let Some(architecture) = own.architecture() else { return Ok(None) };
        let features = own.normaliser.live_names();
        let usable = |one: &Arc<Backbone>| one.features == features && one.is_sized(&architecture);
        let some = || self.all.iter().enumerate().filter(|(_, one)| usable(one));
        if !some().any(|(i, _)| i >= from) {
            return Ok(Some(before));
        }
        // One measure for all, however wide they are.
        let latent = some().map(|(_, one)| one.latent()).min().unwrap_or(architecture.latent);
        let narrow = Architecture { latent, ..architecture.clone() };
        let pca = principal_components(&own.matrix, &own.train, &narrow, PCA_WINDOWS)?;
        let mut found = before;
        for (i, one) in some().filter(|(i, _)| *i >= from) {
            let task = own.task(one.vae.architecture(), None);
            let (r2, r2_pca) = explained(&one.vae, &task, &pca, control)?;
            if r2 > found.r2 {
                found = BackboneMatch { best: Some(i), r2, r2_pca };
            }
            if found.fits() {
                break;
            }
        }
        Ok(Some(found))
    }
}

/// Series with the same features that vary, in order.
fn classes(placed: &[FleetSeries]) -> Vec<Vec<&FleetSeries>> {
    let mut classes: BTreeMap<&[String], Vec<&FleetSeries>> = BTreeMap::new();
    for one in placed {
        classes.entry(&one.about.features).or_default().push(one);
    }
    classes.into_values().collect()
}

/// `None` for a series that cannot be used: its own fit reports why.
fn usable<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Err(Error::Interrupted) => Err(Error::Interrupted),
        result => Ok(result.ok()),
    }
}

/// Fits a generator to a series: on a backbone that fits it, else on its own.
///
/// # Errors
/// As [`super::fit::fit`].
pub(crate) fn fit_on(
    series: &Series<'_>,
    config: &FitConfig,
    backbones: &Backbones,
    control: &dyn Control,
) -> Result<(Generator, Report)> {
    let known = backbones.known.get(&series.content_hash()).copied();
    with_prepared(series, config, control, |own| {
        let found = match known {
            Some(found) => Some(found),
            None => backbones.matched(own, BackboneMatch::NONE, 0, control)?,
        };
        let best = found
            .filter(|found| found.fits())
            .and_then(|found| Some((backbones.all.get(found.best?)?, found)));
        let Some((backbone, BackboneMatch { r2, r2_pca, .. })) = best else {
            let (generator, report) = fit_prepared(own, control)?;
            let backbone = backbone_of(&generator)?.map(Arc::new);
            return Ok((Generator { backbone, ..generator }, report));
        };
        let report = Report { origin: VaeOrigin::Shared, ..Report::default() };
        let linear = PcaReference::Known { r2, r2_pca };
        let (generator, report) = own.calibrated(&backbone.vae, linear, report, control)?;
        let config = FitConfig { latent: backbone.config.latent, ..generator.config };
        Ok((Generator { config, backbone: Some(backbone.clone()), ..generator }, report))
    })
}

/// The VAE of a generator as a backbone; `None` without one.
///
/// # Errors
/// If a tensor cannot be read.
pub fn backbone_of(generator: &Generator) -> Result<Option<Backbone>> {
    let Generator { config, normaliser, vae, .. } = generator;
    let features = normaliser.live_names();
    let backbone = |vae: &Vae| Backbone::new(config.clone(), features, vae.clone());
    vae.as_ref().map(backbone).transpose()
}
