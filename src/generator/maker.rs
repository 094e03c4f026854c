//! Makes the anomalies of a model: of one kind, or as `form` and `patch` say.

use std::ops::Range;

use super::draw::{Drawer, Drawn, STRATA};
use super::fitted::Generator;
use super::site::{Site, decodings};
use crate::anomaly::blend::blend_weights;
use crate::anomaly::change::Change;
use crate::anomaly::constant::{CONSTANT_RATE, constants, pulse};
use crate::anomaly::domain::{Adaptation, FeatureDomain, domains};
use crate::anomaly::latent::correlation::{Correlation, PARTNERS};
use crate::anomaly::latent::descriptor::descriptor;
use crate::anomaly::possible::{Outcome, Possible, Wanted};
use crate::anomaly::{Anomaly, AnomalyKind, GeneratedKind, Origin, strength};
use crate::config::{Form, GenerateConfig, Patch, Way};
use crate::data::normalise::Matrix;
use crate::data::series::Series;
use crate::error::{Error, Result};
use crate::runtime::control::Control;
use crate::runtime::pool::{INFERENCE_SHARE, spread_over_pool};
use crate::runtime::rng::{Purpose, Rng};
use crate::stats::rms;

/// Anomalies per task: whole [`STRATA`].
const SHARE: usize = INFERENCE_SHARE.next_multiple_of(STRATA);
/// Shares of anomalies in memory at once.
const SHARES: usize = 8;

/// The changes of one anomaly, and how the model generated it.
#[derive(Default)]
struct GeneratedChanges {
    hits: Vec<Hit>,
    kind: GeneratedKind,
    /// Number of the most similar cluster.
    cluster: Option<u32>,
    origin: Option<Origin>,
    /// The requested strength.
    asked: Option<f64>,
    /// Changes of other features, used if the hit ones cannot show the anomaly.
    spare: Vec<Hit>,
}

/// A change in z-scores of a live feature, or a pulse of `height` on a constant one.
enum Hit {
    Live { change: Change, adaptation: Adaptation },
    Constant { feature: usize, delta: Vec<f32>, height: f64 },
}

/// Checks that the features have a correlation to break, as the option `parameter` asks.
fn check_correlation(generator: &Generator, parameter: &'static str) -> Result<()> {
    if generator.normaliser.features.len() < 2 {
        let allowed = "used with two features or more";
        return Err(Error::parameter(parameter, "correlation", allowed));
    }
    let breakable = |correlation: &Correlation| !correlation.groups().is_empty();
    if generator.correlation.as_ref().is_some_and(breakable) {
        return Ok(());
    }
    let strongest = generator.strongest_correlation().unwrap_or(0.0);
    Err(Error::NoCorrelation { strongest, least: PARTNERS })
}

/// A series, and the model of it.
#[derive(Clone, Copy)]
pub(super) struct Ready<'a> {
    pub generator: &'a Generator,
    pub series: &'a Series<'a>,
    /// z-scores of the live features, [T, D_live].
    pub matrix: &'a Matrix,
    /// Clean rows, in stretches of at least one window.
    pub runs: &'a [Range<usize>],
}

/// What a maker is to make.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub config: &'a GenerateConfig,
    /// The kind, if it is asked for by name; `config` is [`GenerateConfig::of_kind`] then.
    pub kind: Option<GeneratedKind>,
    /// Number of the first anomaly, which keys its random stream.
    pub first: usize,
}

/// Generates anomalies of one series.
pub(super) struct Maker<'a> {
    ready: Ready<'a>,
    request: Request<'a>,
    /// The domain of every feature.
    domains: Vec<FeatureDomain>,
    /// Positions of the live features.
    live: Vec<usize>,
    /// Positions of the constant features.
    constant: Vec<usize>,
    /// Positions of the features that anomalies may hit among the live ones.
    allowed: Vec<usize>,
    /// `None` if only constant features are hit.
    drawer: Option<Drawer<'a>>,
}

impl<'a> Maker<'a> {
    pub(super) fn new(
        ready: Ready<'a>,
        request: Request<'a>,
        control: &dyn Control,
    ) -> Result<Self> {
        let Ready { generator, .. } = ready;
        let Request { config, kind, .. } = request;
        if config.patch == Patch::Correlation {
            check_correlation(generator, if kind.is_some() { "kind" } else { "patch" })?;
        }
        let normaliser = &generator.normaliser;
        let (live, mut constant) = (normaliser.live_features(), normaliser.constant_features());
        let mut allowed: Vec<usize> = (0..live.len()).collect();
        if let Some(names) = &config.hit {
            let hit = names.positions("hit", &normaliser.features)?;
            allowed.retain(|i| hit.contains(&live[*i]));
            constant.retain(|d| hit.contains(d));
        }
        let domains = domains(&generator.domain, &config.domain, &normaliser.features)?;
        let mut made = Self { ready, request, domains, live, constant, allowed, drawer: None };
        made.refuse_impossible()?;
        made.drawer = made.drawer(control)?;
        Ok(made)
    }

    /// Refuses a named kind for which there is no feature.
    fn refuse_impossible(&self) -> Result<()> {
        let allowed = match self.request.kind {
            Some(GeneratedKind::Constant) if self.constant.is_empty() => {
                "another kind: no feature that may change is constant in training"
            }
            Some(GeneratedKind::Constant) | None => return Ok(()),
            Some(_) if self.allowed.is_empty() => {
                "\"constant\": every feature that may change is constant in training"
            }
            Some(_) => return Ok(()),
        };
        let name = self.request.kind.map_or("", GeneratedKind::name);
        Err(Error::parameter("kind", name, allowed))
    }

    /// Draws changes of live features, if any is to change.
    fn drawer(&self, control: &dyn Control) -> Result<Option<Drawer<'a>>> {
        let Ready { generator, series, matrix, runs } = self.ready;
        let Request { config, kind, .. } = self.request;
        if self.allowed.is_empty() || kind == Some(GeneratedKind::Constant) {
            return Ok(None);
        }
        let (Some(vae), Some(psi)) = (&generator.vae, generator.psi()?) else { return Ok(None) };
        let [key, _] = series.stream_key();
        let decoded = if config.form == Form::Deformed {
            let mut rng = Rng::new(config.seed, Purpose::Decoding, [key, 0]);
            decodings(vae, matrix, runs, &mut rng, control)?
        } else {
            Vec::new()
        };
        Ok(Some(Drawer {
            generator,
            psi,
            vae,
            series,
            matrix,
            config,
            deformation: kind,
            runs,
            key,
            allowed: self.allowed.clone(),
            std: self.live.iter().map(|d| generator.normaliser.std[*d]).collect(),
            decoded,
        }))
    }

    /// The anomalies at some sites, in their order.
    pub(super) fn anomalies(&self, sites: &[Site], control: &dyn Control) -> Result<Vec<Anomaly>> {
        let changes = self.changes(sites, control)?;
        spread_over_pool(sites.len(), control, |i| {
            let number = self.request.first + i;
            Ok(self.anomaly(sites[i].segment.clone(), &changes[i], number))
        })
    }

    /// The changes of the anomaly at each site.
    fn changes(&self, sites: &[Site], control: &dyn Control) -> Result<Vec<GeneratedChanges>> {
        let [key, _] = self.ready.series.stream_key();
        let mut changes = Vec::with_capacity(sites.len());
        for (block, group) in sites.chunks(SHARE * SHARES).enumerate() {
            if control.cancelled() {
                return Err(Error::Interrupted);
            }
            let shares: Vec<&[Site]> = group.chunks(SHARE).collect();
            let done = spread_over_pool(shares.len(), control, |i| {
                let first = self.request.first + (block * SHARES + i) * SHARE;
                let mut streams: Vec<Rng> = (first..first + shares[i].len())
                    .map(|number| {
                        Rng::new(self.request.config.seed, Purpose::Anomaly, [key, number as u64])
                    })
                    .collect();
                self.share(shares[i], first as u64, &mut streams)
            })?;
            changes.extend(done.into_iter().flatten());
        }
        Ok(changes)
    }

    /// The changes at one share of sites.
    fn share(
        &self,
        sites: &[Site],
        first: u64,
        streams: &mut [Rng],
    ) -> Result<Vec<GeneratedChanges>> {
        let mut made: Vec<GeneratedChanges> = match &self.drawer {
            None => sites.iter().map(|_| GeneratedChanges::default()).collect(),
            Some(drawer) => {
                let drawn = drawer.draw(sites, first, streams)?;
                drawn.into_iter().map(|drawn| self.named(drawn)).collect()
            }
        };
        for ((made, site), rng) in made.iter_mut().zip(sites).zip(streams) {
            let also = self.drawer.is_none()
                || (self.request.config.hit_constant && rng.uniform() < CONSTANT_RATE);
            if also {
                made.hits.extend(self.constant_hits(site.segment.len(), rng));
            }
        }
        Ok(made)
    }

    /// An anomaly with its kind, and with its cluster unless it is deformed.
    fn named(&self, drawn: Drawn) -> GeneratedChanges {
        if let Some(deformation) = drawn.deformation {
            return GeneratedChanges { kind: deformation.kind(), ..GeneratedChanges::from(drawn) };
        }
        let kind = match (self.request.config.patch, self.request.config.form) {
            (Patch::Correlation, _) => GeneratedKind::Correlation,
            (_, Form::Decoded) => GeneratedKind::Decoded,
            _ => GeneratedKind::Residual,
        };
        let deltas: Vec<&[f32]> = drawn.changes.iter().map(|change| &change.delta[..]).collect();
        let found = descriptor(&deltas, self.live.len());
        GeneratedChanges {
            kind,
            cluster: Some(self.ready.generator.kinds.of(&found)),
            ..GeneratedChanges::from(drawn)
        }
    }

    /// A pulse on one to three of the features that are constant in training.
    fn constant_hits(&self, length: usize, rng: &mut Rng) -> Vec<Hit> {
        let mut chosen = constants(&self.constant, rng);
        chosen.sort_unstable();
        let hit = |feature: usize| {
            let way = self.request.config.direction.filter(|way| *way != Way::Both);
            let up = rng.below(2) == 0;
            let up = way.map_or(up, |way| way == Way::Up);
            let height = pulse(self.ready.generator.normaliser.mean[feature], up);
            Hit::Constant { feature, delta: blend_weights(length), height }
        };
        chosen.into_iter().map(hit).collect()
    }

    /// The new values of an anomaly, in input units; `number` keys its random stream.
    fn anomaly(&self, rows: Range<usize>, made: &GeneratedChanges, number: usize) -> Anomaly {
        let [key, _] = self.ready.series.stream_key();
        let rng = &mut Rng::new(self.request.config.seed, Purpose::Dither, [key, number as u64]);
        let normaliser = &self.ready.generator.normaliser;
        let (domains, std) = (&self.domains[..], &normaliser.std[..]);
        let possible = Possible { series: self.ready.series, domains, std, rows: rows.clone() };
        let wanted = made.hits.iter().map(|hit| self.wanted(&rows, hit)).collect();
        let spare = made.spare.iter().map(|hit| self.wanted(&rows, hit));
        let Outcome { hits: values, unable } = possible.outcome(wanted, spare, rng);
        let strength = strength(self.ready.series, normaliser, &rows, &values);
        let kind = AnomalyKind::Generated(made.kind);
        let GeneratedChanges { asked, cluster, origin, .. } = *made;
        Anomaly {
            kind,
            rows,
            values,
            missing: Vec::new(),
            strength,
            asked,
            unable,
            cluster,
            origin,
        }
    }

    /// The new values of one feature.
    fn wanted(&self, rows: &Range<usize>, hit: &Hit) -> Wanted {
        let (feature, delta, unit, adaptation) = match hit {
            Hit::Live { change, adaptation } => {
                let feature = self.live[change.feature];
                (feature, &change.delta, self.ready.generator.normaliser.std[feature], *adaptation)
            }
            Hit::Constant { feature, delta, height } => {
                (*feature, delta, *height, Adaptation::default())
            }
        };
        let changed = rows.clone().zip(delta).map(|(t, delta)| {
            let value = self.ready.series.value(feature, t).unwrap_or(f64::NAN);
            value + f64::from(*delta) * unit
        });
        Wanted { feature, values: changed.collect(), adaptation, barred: false }
    }
}

impl From<Drawn> for GeneratedChanges {
    fn from(drawn: Drawn) -> Self {
        let Drawn { changes, spare, asked, meets, flips, psi, distance, redraws, fallback, .. } =
            drawn;
        let hit = |change: Change| {
            let target = meets.then(|| f64::from(rms(&change.delta)));
            Hit::Live {
                change,
                adaptation: Adaptation { target, asked, dither: meets, flip: flips, resets: false },
            }
        };
        let origin = Some(Origin { psi, distance, redraws, fallback });
        let [hits, spare] = [changes, spare].map(|all| all.into_iter().map(hit).collect());
        Self { hits, origin, asked, spare, ..Self::default() }
    }
}
