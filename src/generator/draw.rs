//! Draws the changes of anomalies, in z-scores, for a share of the sites of a series.
//!
//! Noise is drawn and decoded, or a decoding deformed, until some feature deviates. psi is then
//! solved for the strength, and the ends are blended into the series.

use std::ops::Range;

use super::fitted::Generator;
use super::site::{Site, Size};
use crate::anomaly::blend::{slow_onset, weights};
use crate::anomaly::change::Change;
use crate::anomaly::latent::deform::{Decodings, Deformation, Feature};
use crate::anomaly::latent::descriptor::{Coverage, descriptor, latin_normals};
use crate::anomaly::latent::patch::{Decoded, LEAST, most_deviating};
use crate::anomaly::latent::psi::Search;
use crate::config::{Form, GenerateConfig, GeneratedKind, Noise, Patch, Way};
use crate::data::normalise::Matrix;
use crate::data::series::Series;
use crate::error::Result;
use crate::runtime::rng::{Purpose, Rng};
use crate::stats::rms;
use crate::vae::Vae;
use crate::vae::posterior::{Latent, Posterior};

/// Number of consecutive anomalies whose noise is stratified, and which are made diverse, together.
pub(super) const STRATA: usize = 16;
/// Maximum number of redraws of an anomaly if no feature deviates.
const REDRAWS: u32 = 3;
/// Maximum number of decodings in the search for psi.
const ROUNDS: usize = 3;

/// One drawn anomaly.
pub(crate) struct Drawn {
    pub changes: Vec<Change>,
    /// Changes of the features that it does not hit, used if the hit ones cannot show it.
    pub spare: Vec<Change>,
    /// The requested strength, if any.
    pub asked: Option<f64>,
    /// Whether changes are scaled to keep the strength where a domain holds values back.
    pub meets: bool,
    /// Whether the opposite direction is equivalent.
    pub flips: bool,
    /// Scale of its latent noise.
    pub psi: f64,
    /// Largest deviation of the hit features, in the units of tau.
    pub distance: f64,
    /// Number of redraws.
    pub redraws: u32,
    /// Whether no draw had a feature above tau.
    pub fallback: bool,
    /// The deformation, with form "deformed".
    pub deformation: Option<Deformation>,
}

/// Common data of all sites of a series.
pub(crate) struct Drawer<'a> {
    pub generator: &'a Generator,
    /// psi of the generator.
    pub psi: f64,
    pub vae: &'a Vae,
    pub series: &'a Series<'a>,
    pub matrix: &'a Matrix,
    pub config: &'a GenerateConfig,
    /// The only deformation, if one is asked for.
    pub deformation: Option<GeneratedKind>,
    /// Clean rows, in stretches of at least one window.
    pub runs: &'a [Range<usize>],
    /// Key of the random streams of the series.
    pub key: u64,
    /// The live features that anomalies may hit.
    pub allowed: Vec<usize>,
    /// Deviation of every live feature.
    pub std: Vec<f64>,
    /// Decodings of normal windows, flat [n, W, D]; only with form "deformed".
    pub decoded: Vec<f32>,
}

/// One draw of one anomaly.
pub(super) struct Attempt {
    eps: Vec<f32>,
    psi: f64,
    /// X^ and X~ of the decoded rows ([`Drawer::decoded_rows`]), flat [rows, D].
    pub(super) plain: Vec<f32>,
    pub(super) perturbed: Vec<f32>,
    pub(super) deviations: Vec<f32>,
    pub(super) features: Vec<usize>,
    redraws: u32,
    fallback: bool,
    deformation: Option<Deformation>,
}

impl Attempt {
    /// Largest deviation of the hit features; of all features if none is hit.
    fn distance(&self) -> f32 {
        let deviation = |d: &usize| self.deviations[*d];
        let hit = self.features.iter().map(deviation).fold(f32::NEG_INFINITY, f32::max);
        if self.features.is_empty() { deviation(&most_deviating(&self.deviations)) } else { hit }
    }
}

/// The sites of one share, and their windows.
pub(super) struct Share<'a> {
    pub(super) sites: &'a [Site],
    windows: Vec<f32>,
    posterior: Posterior<'a>,
}

impl Drawer<'_> {
    /// The anomalies of a share of sites, each from its own stream; `first` is the number of the
    /// first one.
    pub(crate) fn draw(
        &self,
        sites: &[Site],
        first: u64,
        streams: &mut [Rng],
    ) -> Result<Vec<Drawn>> {
        let starts: Vec<usize> = sites.iter().map(|site| site.window).collect();
        let windows = self.matrix.gather(&starts, self.generator.config.window);
        if let (Patch::Correlation, Some(correlation)) =
            (self.config.patch, &self.generator.correlation)
        {
            let groups = correlation.groups();
            let sites = sites.iter().zip(windows.chunks_exact(windows.len() / sites.len()));
            let one = |((site, window), rng)| self.breach(correlation, &groups, site, window, rng);
            return Ok(sites.zip(streams).map(one).collect());
        }
        let posterior =
            Posterior::new(self.vae, &windows, self.psi, self.generator.config.perturbation)?;
        let share = Share { sites, windows, posterior };
        let mut attempts = self.attempts(&share, first, streams)?;
        let sizes: Vec<Size> = attempts
            .iter()
            .zip(sites)
            .zip(streams)
            .enumerate()
            .map(|(i, ((attempt, site), rng))| self.size(&share, i, attempt, site, rng))
            .collect();
        self.reach(&share, &mut attempts, &sizes)?;
        let drawn = attempts.iter().zip(&sizes).enumerate();
        Ok(drawn.map(|(i, (attempt, size))| self.drawn(&share, i, attempt, size)).collect())
    }

    /// Draws every site until a feature deviates; keeps the best draw if none does.
    fn attempts(&self, share: &Share<'_>, first: u64, streams: &mut [Rng]) -> Result<Vec<Attempt>> {
        let all: Vec<usize> = (0..share.sites.len()).collect();
        let mut attempts = self.first_attempts(share, &all, first, streams)?;
        let mut open = missed(&attempts, all);
        for round in 1..=REDRAWS {
            let noise = self.independent(&open, streams);
            let drawn = self.attempt(share, &open, noise, streams)?;
            for (&i, attempt) in open.iter().zip(drawn) {
                let better = attempt.distance() > attempts[i].distance();
                if !attempt.features.is_empty() || better {
                    attempts[i] = attempt;
                }
                attempts[i].redraws = round;
            }
            open = missed(&attempts, open);
        }
        for i in open {
            let attempt = &mut attempts[i];
            let of_allowed: Vec<f32> =
                self.allowed.iter().map(|&d| attempt.deviations[d]).collect();
            attempt.features = vec![self.allowed[most_deviating(&of_allowed)]];
            attempt.fallback = true;
        }
        Ok(attempts)
    }

    /// The first draw of every site, or the one of several draws that makes its [`STRATA`] most
    /// diverse.
    fn first_attempts(
        &self,
        share: &Share<'_>,
        all: &[usize],
        first: u64,
        streams: &mut [Rng],
    ) -> Result<Vec<Attempt>> {
        let draws = self.config.draws;
        let mut stratified = match self.config.noise {
            Noise::Independent => Vec::new(),
            Noise::Stratified => self.stratified(all.len(), first),
        };
        let mut candidates: Vec<Vec<Attempt>> = all.iter().map(|_| Vec::new()).collect();
        for _ in 0..draws {
            let noise = match self.config.noise {
                Noise::Independent => self.independent(all, streams),
                Noise::Stratified => stratified.iter_mut().filter_map(Iterator::next).collect(),
            };
            let drawn = self.attempt(share, all, noise, streams)?;
            candidates.iter_mut().zip(drawn).for_each(|(of, attempt)| of.push(attempt));
        }
        let mut coverage = Coverage::default();
        let chosen = candidates.into_iter().enumerate().map(|(i, mut of)| {
            if i % STRATA == 0 {
                coverage = Coverage::default();
            }
            let taken = if draws > 1 { coverage.choose(&self.described(share, i, &of)) } else { 0 };
            of.swap_remove(taken)
        });
        Ok(chosen.collect())
    }

    /// Noise of `n` sites from number `first`, all draws of each: each [`STRATA`] from a Latin
    /// hypercube.
    fn stratified(&self, n: usize, first: u64) -> Vec<impl Iterator<Item = Vec<f32>> + use<>> {
        let (units, draws) = (self.generator.latent(), self.config.draws);
        let cube = |start: usize| {
            let (sites, key) = (STRATA.min(n - start), [self.key, first + start as u64]);
            let mut rng = Rng::new(self.config.seed, Purpose::Stratified, key);
            let rows = latin_normals(sites * draws, units, &mut rng);
            let of_site = move |site: usize| {
                let own = rows.chunks_exact(units).skip(site).step_by(sites);
                own.map(<[f32]>::to_vec).collect::<Vec<_>>().into_iter()
            };
            (0..sites).map(of_site)
        };
        (0..n).step_by(STRATA).flat_map(cube).collect()
    }

    /// Descriptors of the draws of site `i`, and whether a feature of each exceeds tau.
    fn described(
        &self,
        share: &Share<'_>,
        i: usize,
        draws: &[Attempt],
    ) -> Vec<([f32; crate::anomaly::latent::descriptor::WIDTH], bool)> {
        let one = |attempt: &Attempt| {
            let deltas = self.deltas(share, i, attempt, &attempt.perturbed);
            let found = descriptor(&deltas, self.matrix.features());
            (found, !attempt.features.is_empty())
        };
        draws.iter().map(one).collect()
    }

    /// Noise of the sites `which`, from their streams.
    fn independent(&self, which: &[usize], streams: &mut [Rng]) -> Vec<Vec<f32>> {
        which.iter().map(|&i| streams[i].normals(self.generator.latent())).collect()
    }

    /// Rows of the window of site `i` that are decoded: those of its segment, or all where a
    /// deformation takes values from elsewhere in the window.
    fn decoded_rows(&self, share: &Share<'_>, i: usize) -> Range<usize> {
        match self.config.form {
            Form::Deformed => 0..self.generator.config.window,
            Form::Residual | Form::Decoded => share.sites[i].rows(),
        }
    }

    /// The latent of site `i` with given noise.
    fn latent<'b>(&self, share: &Share<'_>, i: usize, eps: &'b [f32], psi: f64) -> Latent<'b> {
        Latent { window: i, eps, psi, rows: self.decoded_rows(share, i) }
    }

    /// The decoded rows of site `i`.
    pub(super) fn decoded<'b>(
        &self,
        share: &'b Share<'_>,
        i: usize,
        plain: &'b [f32],
        perturbed: &'b [f32],
    ) -> Decoded<'b> {
        let (features, first) = (self.matrix.features(), self.decoded_rows(share, i).start);
        Decoded { input: share.window(i), plain, perturbed, first, features }
    }

    /// One more draw for the sites `which`.
    fn attempt(
        &self,
        share: &Share<'_>,
        which: &[usize],
        noise: Vec<Vec<f32>>,
        streams: &mut [Rng],
    ) -> Result<Vec<Attempt>> {
        if which.is_empty() {
            return Ok(Vec::new());
        }
        // Deformations start from the decoding of the latent mean.
        let deform = self.config.form == Form::Deformed;
        let none = vec![0.0; self.generator.latent()];
        let draws = || which.iter().zip(&noise);
        let plain = draws().map(|(&window, eps)| {
            let eps = if deform { &none } else { eps };
            self.latent(share, window, eps, 1.0)
        });
        let perturbed = draws()
            .map(|(&window, eps)| self.latent(share, window, eps, share.posterior.psi[window]));
        let latents: Vec<Latent<'_>> = plain.chain(perturbed).collect();
        let mut plain = share.posterior.decode(&latents)?;
        let perturbed = plain.split_off(which.len());
        let rule = self.generator.rule(self.config);
        let mut attempts = Vec::with_capacity(which.len());
        let decoded = plain.into_iter().zip(perturbed);
        for ((&i, eps), (plain, mut perturbed)) in which.iter().zip(noise).zip(decoded) {
            let deformation =
                deform.then(|| self.deform(share, i, &plain, &mut perturbed, &mut streams[i]));
            let decoded = self.decoded(share, i, &plain, &perturbed);
            let rows = share.sites[i].rows();
            let deviations = rule.deviations(decoded, rows, self.config.form);
            let mut features = rule.chosen(self.config.patch, &deviations, &mut streams[i]);
            features.retain(|d| self.allowed.contains(d));
            // Some deformations do not change short segments.
            if features.iter().all(|&d| deviations[d] == 0.0) {
                features.clear();
            }
            let (redraws, fallback) = (0, false);
            attempts.push(Attempt {
                eps,
                psi: if has_noise(deformation) { share.posterior.psi[i] } else { 1.0 },
                plain,
                perturbed,
                deviations,
                features,
                redraws,
                fallback,
                deformation,
            });
        }
        Ok(attempts)
    }

    /// Deforms the `plain` decoding of site `i` at random, on a random subset of the features if
    /// the patch is to choose; the other features are restored.
    fn deform(
        &self,
        share: &Share<'_>,
        i: usize,
        plain: &[f32],
        perturbed: &mut [f32],
        rng: &mut Rng,
    ) -> Deformation {
        let (window, features) = (self.generator.config.window, self.matrix.features());
        let decodings = Decodings { values: &self.decoded, window, features };
        let deformation = Deformation::draw_of(self.deformation, window, decodings.len(), rng);
        let decoding = Decodings { values: plain, ..decodings };
        let (rows, start) = (share.sites[i].rows(), share.sites[i].window);
        let drawn = perturbed.to_vec();
        perturbed.copy_from_slice(plain);
        let hit = match self.config.patch {
            Patch::Deviation => {
                rng.few_of(self.allowed.len()).into_iter().map(|i| self.allowed[i]).collect()
            }
            _ => self.allowed.clone(),
        };
        for d in hit {
            let (own, plain) = (self.column(d, start..start + window), decoding.column(0, d));
            let residual: Vec<f32> =
                (0..window).map(|t| drawn[t * features + d] - plain[t]).collect();
            let feature = Feature { d, own: &own, plain: &plain, residual: &residual };
            let change = deformation.change(decodings, &feature, rows.clone(), rng);
            for (t, delta) in rows.clone().zip(change) {
                perturbed[t * features + d] += delta;
            }
        }
        deformation
    }

    /// The size of an anomaly: as requested, or as given by psi.
    fn size(
        &self,
        share: &Share<'_>,
        i: usize,
        attempt: &Attempt,
        site: &Site,
        rng: &mut Rng,
    ) -> Size {
        let drawn = self.config.size.or(self.config.strength).map(|amount| {
            let (low, high) = amount.bounds();
            rng.log_uniform(low, high)
        });
        let of_feature = |d: usize| {
            let unit = if self.config.size.is_some() { self.std[d] } else { 1.0 };
            drawn.map(|amount| (amount / unit) as f32)
        };
        let targets: Option<Vec<f32>> = attempt.features.iter().map(|&d| of_feature(d)).collect();
        let up = rng.below(2) == 0;
        let up = self.way().map_or(up, |way| way == Way::Up);
        let deltas = self.deltas(share, i, attempt, &attempt.perturbed);
        let length = site.segment.len();
        let creep = self.config.creep_rows(length);
        let weights =
            attempt.features.iter().zip(&deltas).map(|(&d, delta)| match self.config.form {
                Form::Residual | Form::Deformed => {
                    let height = of_feature(d).unwrap_or_else(|| rms(delta));
                    weights(length, height, self.step(d), creep)
                }
                Form::Decoded => {
                    let mut weights = vec![1.0; length];
                    slow_onset(&mut weights, creep);
                    weights
                }
            });
        let weights = weights.collect();
        let target = targets.as_ref().map(|targets| rms(targets));
        let unit = self.config.size.and(drawn);
        let mut size = Size { target, unit, weights, up };
        // Smaller ones are scaled up.
        if target.is_none() && size.of(&deltas) < LEAST {
            size.target = Some(LEAST);
        }
        size
    }

    /// Solves psi for the requested sizes, for all anomalies of the share at once.
    fn reach(&self, share: &Share<'_>, attempts: &mut [Attempt], sizes: &[Size]) -> Result<()> {
        let mut searches: Vec<Option<Search>> = attempts
            .iter()
            .zip(sizes)
            .enumerate()
            .map(|(i, (attempt, size))| {
                let strength =
                    |decoded: &[f32]| size.of(&self.deltas(share, i, attempt, decoded)).into();
                let target = size.target.filter(|_| has_noise(attempt.deformation))?;
                let mut search = Search::new(target.into(), strength(&attempt.plain));
                search.tell(attempt.psi, strength(&attempt.perturbed));
                Some(search)
            })
            .collect();
        for _ in 0..ROUNDS {
            let next = |(i, search): (usize, &Option<Search>)| Some((i, search.as_ref()?.next()?));
            let open: Vec<(usize, f64)> = searches.iter().enumerate().filter_map(next).collect();
            if open.is_empty() {
                break;
            }
            let latents: Vec<Latent<'_>> =
                open.iter().map(|&(i, psi)| self.latent(share, i, &attempts[i].eps, psi)).collect();
            for (&(i, psi), perturbed) in open.iter().zip(share.posterior.decode(&latents)?) {
                let found = sizes[i].of(&self.deltas(share, i, &attempts[i], &perturbed));
                if searches[i].as_mut().is_some_and(|search| search.tell(psi, found.into())) {
                    attempts[i].psi = psi;
                    attempts[i].perturbed = perturbed;
                }
            }
        }
        Ok(())
    }

    /// The change of each hit feature, before blending.
    fn deltas(
        &self,
        share: &Share<'_>,
        i: usize,
        attempt: &Attempt,
        perturbed: &[f32],
    ) -> Vec<Vec<f32>> {
        let decoded = self.decoded(share, i, &attempt.plain, perturbed);
        let delta =
            |&d: &usize| self.directed(decoded.delta(d, share.sites[i].rows(), self.config.form));
        attempt.features.iter().map(delta).collect()
    }

    /// Blends the ends, and scales to the requested size.
    fn drawn(&self, share: &Share<'_>, i: usize, attempt: &Attempt, size: &Size) -> Drawn {
        let segment = &share.sites[i].segment;
        let deltas = self.deltas(share, i, attempt, &attempt.perturbed);
        let changes = attempt
            .features
            .iter()
            .zip(deltas)
            .zip(&size.weights)
            .map(|((&feature, delta), weights)| {
                self.blended(segment, Change { feature, delta }, weights, size)
            })
            .collect();
        let asked = self.config.size.or(self.config.strength).and(size.target).map(f64::from);
        Drawn {
            changes,
            spare: self.spare(share, i, attempt, size),
            asked,
            meets: self.config.form != Form::Decoded || asked.is_some(),
            flips: self.config.form != Form::Decoded
                && self.way().is_none()
                && has_noise(attempt.deformation),
            psi: attempt.psi,
            distance: attempt.distance().into(),
            redraws: attempt.redraws,
            fallback: attempt.fallback,
            deformation: attempt.deformation,
        }
    }
}

impl Share<'_> {
    /// Window `i`, flat [W, D].
    fn window(&self, i: usize) -> &[f32] {
        let values = self.windows.len() / self.sites.len().max(1);
        &self.windows[i * values..(i + 1) * values]
    }
}

/// Whether an anomaly consists of noise, so that psi controls its size.
fn has_noise(deformation: Option<Deformation>) -> bool {
    matches!(deformation, None | Some(Deformation::Residual))
}

/// Those of `open` that hit no feature.
fn missed(attempts: &[Attempt], open: Vec<usize>) -> Vec<usize> {
    open.into_iter().filter(|&i| attempts[i].features.is_empty()).collect()
}
