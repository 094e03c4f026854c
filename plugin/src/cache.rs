//! A bounded cache of fits, keyed by content. Every fit runs once.
//!
//! A call first claims the fits that are neither cached nor running, runs them, and only then waits
//! for those that other calls run. It never waits while it holds a claim, and never on a thread of
//! the pool, so calls cannot deadlock.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};

use genias::{Error, Model};

/// A cached fit: a model, or `None` for a series without a usable window.
pub type Fitted = Option<Arc<Model>>;

/// Cache size in megabytes, unless `GENIAS_CACHE_MB` sets another.
const DEFAULT_MEGABYTES: usize = 128;
/// Number of fits whose wall time is kept.
const REMEMBERED: usize = 100_000;

static FITS: AtomicUsize = AtomicUsize::new(0);

enum Slot {
    /// Another call is fitting.
    Claimed,
    Ready {
        fitted: Fitted,
        used: u64,
    },
}

impl Slot {
    /// Approximate size in bytes.
    fn size(&self) -> usize {
        match self {
            Self::Ready { fitted: Some(model), .. } => 4 * model.parameter_count() + 4096,
            _ => 256,
        }
    }
}

#[derive(Default)]
struct State {
    slots: HashMap<u128, Slot>,
    /// Keys of the ready slots, in order of last use.
    by_use: BTreeMap<u64, u128>,
    /// Bytes of the ready slots.
    size: usize,
    clock: u64,
    seconds: HashMap<u128, f64>,
}

impl State {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Returns the fit of a ready slot and marks it as used.
    fn used(&mut self, key: u128) -> Option<Fitted> {
        let now = self.tick();
        let Some(Slot::Ready { fitted, used }) = self.slots.get_mut(&key) else { return None };
        self.by_use.remove(used);
        self.by_use.insert(now, key);
        *used = now;
        Some(fitted.clone())
    }

    fn insert(&mut self, key: u128, fitted: Fitted) {
        let used = self.tick();
        let slot = Slot::Ready { fitted, used };
        self.size += slot.size();
        self.by_use.insert(used, key);
        self.slots.insert(key, slot);
    }

    /// Evicts the least recently used fits until the rest is within `bound`.
    fn evict(&mut self, bound: usize) {
        while self.size > bound {
            let Some((_, key)) = self.by_use.pop_first() else { return };
            self.size -= self.slots.remove(&key).as_ref().map_or(0, Slot::size);
        }
    }

    fn clear(&mut self) {
        self.slots.retain(|_, slot| matches!(slot, Slot::Claimed));
        self.by_use.clear();
        self.size = 0;
    }
}

#[derive(Default)]
struct Cache {
    state: Mutex<State>,
    changed: Condvar,
}

fn cache() -> &'static Cache {
    static CACHE: OnceLock<Cache> = OnceLock::new();
    CACHE.get_or_init(Cache::default)
}

impl Cache {
    /// Ignores poisoning: the state is consistent after every step.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Number of trainings that this process ran.
pub fn fit_count() -> usize {
    FITS.load(Ordering::Relaxed)
}

/// Counts one training.
pub fn count_fit() {
    FITS.fetch_add(1, Ordering::Relaxed);
}

/// Removes all fits.
pub fn clear() {
    cache().lock().clear();
}

/// Records the wall time of the fit with these model bytes.
pub fn remember_seconds(key: u128, seconds: f64) {
    let seconds_of = &mut cache().lock().seconds;
    if seconds_of.len() < REMEMBERED {
        seconds_of.insert(key, seconds);
    }
}

/// Wall time of the fit with these model bytes, if it ran in this process.
pub fn seconds(key: u128) -> Option<f64> {
    cache().lock().seconds.get(&key).copied()
}

/// Claims on fits; released if dropped before the fits are published.
struct Claims {
    open: Vec<u128>,
}

impl Drop for Claims {
    fn drop(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let mut state = cache().lock();
        self.open.drain(..).for_each(|key| drop(state.slots.remove(&key)));
        drop(state);
        cache().changed.notify_all();
    }
}

/// Returns the fits of `keys`, in order. `fit` computes those at the given positions and runs once
/// per key. `taken` is called with the number of other fits as soon as they are available.
pub fn fits(
    keys: &[u128],
    fit: impl Fn(&[usize]) -> Result<Vec<Fitted>, Error>,
    cancelled: impl Fn() -> bool,
    taken: impl Fn(usize),
) -> Result<Vec<Fitted>, Error> {
    let mut found: HashMap<u128, Fitted> = HashMap::new();
    let mut cached = 0;
    let mut count = |found: &HashMap<u128, Fitted>, made: usize| {
        let now = keys.iter().filter(|key| found.contains_key(key)).count();
        taken(now - cached - made);
        cached = now;
    };
    loop {
        let (mine, mut claims) = claim(keys, &mut found);
        count(&found, 0);
        if !mine.is_empty() {
            for (&position, fitted) in mine.iter().zip(fit(&mine)?) {
                publish(keys[position], &fitted);
                claims.open.retain(|key| *key != keys[position]);
                found.insert(keys[position], fitted);
            }
            count(&found, mine.len());
        }
        let missing = keys.iter().any(|key| !found.contains_key(key));
        if !missing {
            return Ok(keys.iter().map(|key| found.get(key).cloned().flatten()).collect());
        }
        if cancelled() {
            return Err(Error::Interrupted);
        }
        // Another call is fitting these. The wait is bounded so that an interrupt is noticed.
        let state = cache().lock();
        let pending = keys.iter().any(|key| {
            !found.contains_key(key) && matches!(state.slots.get(key), Some(Slot::Claimed))
        });
        if pending {
            let _ = cache().changed.wait_timeout(state, std::time::Duration::from_millis(100));
        }
    }
}

/// Takes the ready fits and claims the missing ones; returns the position of the first key of each
/// claim.
fn claim(keys: &[u128], found: &mut HashMap<u128, Fitted>) -> (Vec<usize>, Claims) {
    let mut state = cache().lock();
    let mut claims = Claims { open: Vec::new() };
    let mut mine = Vec::new();
    for (position, key) in keys.iter().enumerate() {
        if found.contains_key(key) || claims.open.contains(key) {
            continue;
        }
        if let Some(fitted) = state.used(*key) {
            found.insert(*key, fitted);
        } else if !state.slots.contains_key(key) {
            state.slots.insert(*key, Slot::Claimed);
            claims.open.push(*key);
            mine.push(position);
        }
    }
    (mine, claims)
}

fn publish(key: u128, fitted: &Fitted) {
    let mut state = cache().lock();
    state.insert(key, fitted.clone());
    state.evict(bound());
    drop(state);
    cache().changed.notify_all();
}

fn bound() -> usize {
    let given = std::env::var("GENIAS_CACHE_MB").ok().and_then(|text| text.parse().ok());
    given.unwrap_or(DEFAULT_MEGABYTES) << 20
}
