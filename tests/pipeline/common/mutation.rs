//! Models that were changed at random: hostile numbers in signed metadata, tensors that do not fit,
//! and bytes that are flipped, cut, moved or mixed.

use std::panic::catch_unwind;

use genias::rng::{Purpose, Rng};
use genias::{DetectConfig, DetectorKind, FitConfig, GenerateConfig, Model, RunToEnd, Series};
use safetensors::tensor::Dtype;

use super::bytes::{Parts, allowed, read};
use super::{frame, model_of, small, waves};

/// Numbers that a reader may trip over.
const NUMBERS: [&str; 16] = [
    "0",
    "-1",
    "1",
    "2",
    "0.5",
    "-0.0",
    "1e308",
    "-1e308",
    "1e-320",
    "255",
    "65536",
    "4294967295",
    "4294967296",
    "9007199254740993",
    "18446744073709551615",
    "null",
];
/// Values of a tensor.
const VALUES: [f32; 6] = [f32::NAN, f32::INFINITY, f32::MAX, f32::MIN_POSITIVE, 0.0, -1e30];
/// Of the models that are read, one in so many also has to work.
const WORKS: usize = 8;

/// What became of the mutated models.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Refused with an error.
    pub refused: usize,
    /// Read, since the change means nothing or another sound model.
    pub read: usize,
    /// Largest allocation over the number of bytes.
    pub largest: f64,
}

/// Reads `count` mutated models.
///
/// # Panics
/// Where reading, or a model that was read, panics, or where reading allocates more than the bytes
/// justify; the bytes are then left in the folder for temporary files.
pub fn run(count: usize, seed: u64) -> Outcome {
    let rng = &mut Rng::new(seed, Purpose::Place, [0, 1]);
    let models = models();
    let parts: Vec<Parts> = models.iter().map(Parts::of).collect();
    let bytes: Vec<Vec<u8>> = models.iter().map(|model| model.to_bytes().unwrap()).collect();
    let mut outcome = Outcome::default();
    for number in 0..count {
        let i = rng.below(models.len());
        let mutated = match rng.below(2) {
            0 => changed_parts(&parts[i], rng).signed(),
            _ => changed_bytes(&bytes[i], &bytes[rng.below(bytes.len())], rng),
        };
        let tried = catch_unwind(|| try_one(&mutated, number % WORKS == 0));
        let Ok((taken, largest)) = tried else {
            let path = std::env::temp_dir().join(format!("mutated-{seed}-{number}.model"));
            std::fs::write(&path, &mutated).unwrap();
            panic!("model {number} of seed {seed}, in {}", path.display());
        };
        *(if taken { &mut outcome.read } else { &mut outcome.refused }) += 1;
        outcome.largest = outcome.largest.max(largest as f64 / mutated.len().max(2048) as f64);
    }
    outcome
}

/// Whether a model is read, and the largest allocation on the way.
fn try_one(bytes: &[u8], works: bool) -> (bool, usize) {
    let (result, largest) = read(bytes);
    assert!(largest <= allowed(bytes), "{largest} bytes for {}", bytes.len());
    let Ok(model) = result else { return (false, largest) };
    if works && model.generator.config.window <= 64 && model.generator.config.channels <= 64 {
        work(&model);
    }
    (true, largest)
}

/// Runs a model; errors are answers, too.
fn work(model: &Model) {
    let columns = waves(70);
    let single = frame(&[("x", &super::wave(70, 3))]);
    let columns = if model.generator.normaliser.features.len() == 1 { &single } else { &columns };
    let series = Series::whole(columns);
    let _ = model.reconstruct(&series, &RunToEnd);
    let _ = model.generate(&series, &GenerateConfig::default(), &RunToEnd);
    let _ = model.score(&series, &RunToEnd);
}

/// Small models of three makes.
fn models() -> Vec<Model> {
    let tiny = FitConfig { window: 8, latent: Some(2), channels: 2, ..small() };
    let x = super::wave(90, 3);
    let detect = DetectConfig {
        detector: DetectorKind::Classifier,
        detector_steps: Some(2),
        detector_channels: 2,
        ..DetectConfig::default()
    };
    let columns = waves(90);
    let two = model_of(&columns, &tiny);
    let detecting = two.fit_detector(&Series::whole(&columns), &detect, &RunToEnd).unwrap();
    let still = frame(&[("x", &vec![7.0; 90])]);
    vec![two, detecting, model_of(&frame(&[("x", &x)]), &tiny), model_of(&still, &tiny)]
}

fn changed_parts(parts: &Parts, rng: &mut Rng) -> Parts {
    let mut parts = parts.clone();
    for _ in 0..=rng.below(2) {
        match rng.below(8) {
            0..=3 => parts.json = with_number(&parts.json, rng),
            4 => parts.json = with_piece_twice(&parts.json, rng),
            5 if !parts.tensors.is_empty() => change_values(&mut parts, rng),
            6 if !parts.tensors.is_empty() => change_shape(&mut parts, rng),
            _ if !parts.tensors.is_empty() => {
                let at = rng.below(parts.tensors.len());
                parts.tensors.remove(at);
            }
            _ => parts.json = with_number(&parts.json, rng),
        }
    }
    parts
}

/// Another number in place of one of the metadata.
fn with_number(json: &str, rng: &mut Rng) -> String {
    let digit = |at: &usize| {
        let bytes = json.as_bytes();
        (bytes[*at].is_ascii_digit() || bytes[*at] == b'-') && b":,[".contains(&bytes[at - 1])
    };
    let starts: Vec<usize> = (1..json.len()).filter(digit).collect();
    let Some(&start) = starts.get(rng.below(starts.len().max(1))) else { return json.into() };
    let length = json[start..].find([',', '}', ']']).unwrap();
    [&json[..start], NUMBERS[rng.below(NUMBERS.len())], &json[start + length..]].concat()
}

/// An element of a list or an entry of an object once more.
fn with_piece_twice(json: &str, rng: &mut Rng) -> String {
    let commas: Vec<usize> = json.match_indices(',').map(|(at, _)| at).collect();
    if commas.len() < 2 {
        return json.into();
    }
    let i = rng.below(commas.len() - 1);
    let j = (i + 1 + rng.below(3)).min(commas.len() - 1);
    let (start, end) = (commas[i], commas[j]);
    match rng.below(2) {
        0 => [&json[..end], &json[start..]].concat(),
        _ => [&json[..start], &json[end..]].concat(),
    }
}

fn change_values(parts: &mut Parts, rng: &mut Rng) {
    let i = rng.below(parts.tensors.len());
    let data = &mut parts.tensors[i].3;
    if data.len() >= 4 {
        let at = 4 * rng.below(data.len() / 4);
        let value = VALUES[rng.below(VALUES.len())];
        data[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
}

fn change_shape(parts: &mut Parts, rng: &mut Rng) {
    let i = rng.below(parts.tensors.len());
    let (_, dtype, shape, data) = &mut parts.tensors[i];
    match rng.below(3) {
        0 => shape.insert(0, 1),
        1 => (*dtype, *shape) = (Dtype::U8, vec![data.len()]),
        _ => (*shape, *data) = (vec![0, usize::MAX], Vec::new()),
    }
    // The crate that writes refuses a shape that overflows.
    if shape.contains(&usize::MAX) {
        *shape = vec![0, 1 << 20];
    }
}

fn changed_bytes(bytes: &[u8], other: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    // Most of what matters is in front.
    let head = if rng.below(2) == 0 { bytes.len() } else { bytes.len().min(4096) };
    let (start, length) = (rng.below(head), 1 + rng.below(64));
    let end = (start + length).min(bytes.len());
    match rng.below(7) {
        0 => bytes[start] ^= 1 << rng.below(8),
        1 => bytes[start..end].fill([0, 0xff, b'9', b'['][rng.below(4)]),
        2 => bytes.truncate(start),
        3 => drop(bytes.drain(start..end)),
        4 => drop(
            bytes.splice(start..end, other[start.min(other.len())..].iter().copied().take(length)),
        ),
        5 => drop(bytes.splice(start..start, bytes[start..end].to_vec())),
        _ => bytes[..8].copy_from_slice(&(rng.below(1 << 20) as u64).to_le_bytes()),
    }
    bytes
}
