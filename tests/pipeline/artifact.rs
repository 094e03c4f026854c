//! Models as bytes: the way there and back, and everything that must not be taken for a model.

use crate::common::bytes::{Noting, Parts, allowed, read};
use crate::common::{frame, model_of, mutation, small, wave, waves};
use genias::artifact::FORMAT_VERSION;
use genias::{
    Columns, DetectConfig, DetectorKind, Error, FitConfig, GenerateConfig, Model, RunToEnd,
    ScoreConfig, Series, Threshold,
};
use safetensors::tensor::Dtype;
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: Noting = Noting;

/// Text of the error that reading gives, having allocated no more than the bytes justify.
fn refusal(bytes: &[u8]) -> String {
    let (result, largest) = read(bytes);
    assert!(largest <= allowed(bytes), "{largest} bytes for {}", bytes.len());
    match result {
        Ok(_) => panic!("{} bytes were taken for a model", bytes.len()),
        Err(error) => error.to_string(),
    }
}

#[track_caller]
fn assert_refused(bytes: &[u8], text: &str) {
    let error = refusal(bytes);
    assert!(error.contains(text), "{error:?} lacks {text:?}");
}

fn model() -> Model {
    model_of(&waves(120), &small())
}

/// Bytes of a safetensors file with any header.
fn raw(header: &str, data: &[u8]) -> Vec<u8> {
    let length = (header.len() as u64).to_le_bytes();
    [&length[..], header.as_bytes(), data].concat()
}

/// Header and data of a model's bytes.
fn split(bytes: &[u8]) -> (Value, &[u8]) {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let (header, data) = bytes[8..].split_at(length);
    (serde_json::from_slice(header).unwrap(), data)
}

/// Frames and configurations that give models of every make.
fn makes() -> Vec<(Columns, FitConfig)> {
    let wave = wave(90, 3);
    let constant = vec![7.0; 90];
    let huge: Vec<f64> = wave.iter().map(|x| 1e300 * x).collect();
    let tiny: Vec<f64> = wave.iter().map(|x| 1e-300 * x).collect();
    let paper = FitConfig { latent: Some(3), channels: 4, steps: 3, ..FitConfig::paper() };
    vec![
        (waves(90), small()),
        (waves(90), FitConfig { window: 16, batch_size: 8, ..paper }),
        (frame(&[("x", &wave)]), FitConfig { seed: u64::MAX, ..small() }),
        (frame(&[("x", &wave), ("still", &constant)]), small()),
        (frame(&[("still", &constant)]), small()),
        (frame(&[("", &wave), ("\"quoted\"\n\\", &wave), ("\u{e9}\u{1f600}\0", &wave)]), small()),
        (frame(&[("huge", &huge), ("tiny", &tiny)]), small()),
    ]
}

#[test]
fn bytes_and_back_change_nothing() {
    for (columns, config) in makes() {
        let series = Series::whole(&columns);
        let model = model_of(&columns, &config);
        let bytes = model.to_bytes().unwrap();
        let read = Model::from_bytes(&bytes).unwrap();
        assert_eq!(read.to_bytes().unwrap(), bytes);
        assert_eq!(
            (&read.generator.config, &read.generator.normaliser),
            (&model.generator.config, &model.generator.normaliser)
        );
        assert_eq!(read.report, model.report);
        assert_eq!(read.parameter_count(), model.parameter_count());

        let (generate, run) = (GenerateConfig::default(), &RunToEnd);
        let scores = model.score(&series, run).unwrap();
        assert!(scores.iter().all(|score| score.unwrap().is_finite()));
        assert_eq!(read.score(&series, run).unwrap(), scores);
        assert_eq!(
            read.label(&series, Threshold::Auto, run).unwrap(),
            model.label(&series, Threshold::Auto, run).unwrap()
        );
        assert_eq!(
            read.generate(&series, &generate, run).unwrap(),
            model.generate(&series, &generate, run).unwrap()
        );
        assert_eq!(
            read.pairs(&series, &generate, run).unwrap(),
            model.pairs(&series, &generate, run).unwrap()
        );
        assert_eq!(
            read.reconstruct(&series, run).unwrap(),
            model.reconstruct(&series, run).unwrap()
        );
        assert_eq!(
            read.embed(&series, None, run).unwrap(),
            model.embed(&series, None, run).unwrap()
        );
    }
}

/// The tests below sign changed models with this: it must not be what is refused.
#[test]
fn a_model_taken_apart_and_signed_again_is_read() {
    let model = model();
    let parts = Parts::of(&model);
    assert_eq!(parts.signed(), model.to_bytes().unwrap());
    let other = parts.with("\"train_windows\":", "\"train_windows\":9");
    assert!(Model::from_bytes(&other.signed()).unwrap().report.train_windows > 900);
    assert_refused(&other.bytes(), "the checksum does not match");
}

#[test]
fn truncated_bytes_are_refused() {
    let bytes = model().to_bytes().unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let lengths =
        (0..header + 64).chain((header..bytes.len()).step_by(97)).chain([bytes.len() - 1]);
    for length in lengths {
        assert_refused(&bytes[..length], "model: not a readable model");
    }
}

#[test]
fn more_bytes_than_the_header_names_are_refused() {
    let mut bytes = model().to_bytes().unwrap();
    bytes.push(0);
    assert_refused(&bytes, "model: not a readable model");
}

#[test]
fn a_changed_bit_of_a_tensor_is_refused() {
    let bytes = model().to_bytes().unwrap();
    let data = bytes.len() - split(&bytes).1.len();
    for (i, at) in (data..bytes.len()).step_by(61).chain([bytes.len() - 1]).enumerate() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (i % 8);
        assert_refused(&changed, "the checksum does not match");
    }
}

/// No bit of the header can change what is read: a few leave a number's meaning as it is.
#[test]
fn a_changed_bit_of_the_header_is_refused_or_means_the_same() {
    let bytes = model().to_bytes().unwrap();
    let header = bytes.len() - split(&bytes).1.len();
    let mut same = 0;
    for at in 0..header {
        for bit in if at < 64 { 0..8 } else { at % 8..at % 8 + 1 } {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            match Model::from_bytes(&changed) {
                Err(Error::Model(_) | Error::Parameter { .. }) => {}
                Err(error) => panic!("byte {at}: {error}"),
                Ok(read) => {
                    assert_eq!(read.to_bytes().unwrap(), bytes, "byte {at}, bit {bit}");
                    same += 1;
                }
            }
        }
    }
    // The e of an exponent in capitals, or a last digit that makes no difference.
    let numbers = bytes[..header].iter().filter(|byte| **byte == b'.').count();
    assert!(same < numbers / 4, "{same} of {numbers} numbers");
}

#[test]
fn other_format_versions_are_named() {
    let parts = Parts::of(&model());
    let current = format!("\"format_version\":{FORMAT_VERSION}");
    for version in [0, FORMAT_VERSION + 1, u32::MAX] {
        // A later version may hold anything else, under any checksum.
        let other = parts.with(&current, &format!("\"format_version\":{version},\"later\":[1]"));
        let text = format!("format version {version}, this version reads {FORMAT_VERSION}");
        assert_refused(&other.bytes(), &text);
    }
    for version in ["-1", "\"1\"", "4294967296", "1.5", "null", "[]"] {
        let other = parts.with(&current, &format!("\"format_version\":{version}"));
        assert_refused(&other.signed(), "not a readable model");
    }
}

#[test]
fn domains_that_lie_are_refused() {
    let parts = Parts::of(&model());
    let start = parts.json.find("\"domain\":[").unwrap() + "\"domain\":[".len();
    let end = start + parts.json[start..].find(",\"config\":").unwrap() - 1;
    let domain = parts.json[start..end].to_string();
    let empty = "{\"min\":null,\"max\":null,\"seen\":null,\"lattice\":null,\"values\":null,\"monotone\":false}";
    let (first, second) = (empty.to_string(), empty.to_string());
    let with = |old: &str, new: &str| format!("{},{second}", first.replace(old, new));
    for lie in [
        empty.to_string(),
        with("\"min\":null,\"max\":null", "\"min\":3.0,\"max\":2.0"),
        with("\"seen\":null", "\"seen\":[3.0,2.0]"),
        with("\"lattice\":null", "\"lattice\":{\"origin\":0.0,\"step\":0.0,\"parts\":1.0}"),
        with("\"values\":null", "\"values\":[]"),
        with("\"values\":null", "\"values\":[2.0,1.0]"),
    ] {
        assert_refused(&parts.with(&domain, &lie).signed(), "the domains are inconsistent");
    }
    assert!(Model::from_bytes(&parts.with(&domain, &with("x", "x")).signed()).is_ok());
}

#[test]
fn other_bytes_are_no_models() {
    for bytes in
        [&b""[..], b"PAR1", b"\x80\x04\x95", b"{\"format_version\":1}", &[0; 8], &[0xff; 99]]
    {
        assert_refused(bytes, "model: not a readable model");
    }
    let plain = raw("{}", &[]);
    assert_refused(&plain, "model: safetensors without a `genias` entry");
    let other = raw("{\"__metadata__\":{\"genius\":\"{}\"}}", &[]);
    assert_refused(&other, "model: safetensors without a `genias` entry");
    let bare = format!("{{\\\"format_version\\\":{FORMAT_VERSION}}}");
    for entry in ["", "x", "{}", "[]", "null", &bare] {
        let header = format!("{{\"__metadata__\":{{\"genias\":\"{entry}\"}}}}");
        assert_refused(&raw(&header, &[]), "model: not a readable model");
    }
}

#[test]
fn header_lengths_that_lie_are_refused() {
    let bytes = model().to_bytes().unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    let total = bytes.len() as u64;
    let lies = [0, 1, length - 1, length + 1, total - 8, total, 100_000_000, 100_000_001];
    for lie in lies.into_iter().chain([1 << 32, 1 << 63, u64::MAX - 7, u64::MAX]) {
        let mut bytes = bytes.clone();
        bytes[..8].copy_from_slice(&lie.to_le_bytes());
        assert_refused(&bytes, "model: not a readable model");
    }
}

#[test]
fn deep_json_is_refused() {
    let deep = 200_000;
    let arrays = "[".repeat(deep);
    let objects = "{\"a\":".repeat(deep);
    for nest in [&arrays, &objects] {
        assert_refused(&raw(nest, &[]), "not a readable model");
        let shape = format!("{{\"x\":{{\"dtype\":\"F32\",\"shape\":{nest}");
        assert_refused(&raw(&shape, &[]), "not a readable model");
        let quoted = nest.replace('"', "\\\"");
        let entry = format!("{{\"__metadata__\":{{\"genias\":\"{quoted}\"}}}}");
        assert_refused(&raw(&entry, &[]), "not a readable model");
    }
    let parts = Parts::of(&model());
    let nested = parts.with("\"report\":{", &format!("\"report\":{{\"deep\":{arrays}"));
    assert_refused(&nested.bytes(), "not a readable model");
}

/// Entries of a tensor that describe other bytes than are there.
#[test]
fn shapes_and_offsets_that_lie_are_refused() {
    let bytes = model().to_bytes().unwrap();
    let (header, data) = split(&bytes);
    let name = "encoder.head.bias";
    let (start, end) = {
        let offsets = &header[name]["data_offsets"];
        (offsets[0].as_u64().unwrap(), offsets[1].as_u64().unwrap())
    };
    let total = data.len() as u64;
    let lies = [
        ("data_offsets", json!([start, u64::MAX])),
        ("data_offsets", json!([end, start])),
        ("data_offsets", json!([start + 4, end + 4])),
        ("data_offsets", json!([start, end + 1])),
        ("data_offsets", json!([total, total + end - start])),
        ("data_offsets", json!([u64::MAX - 3, u64::MAX])),
        ("data_offsets", json!([-8, 0])),
        ("data_offsets", json!([start])),
        ("shape", json!([u64::MAX])),
        ("shape", json!([1u64 << 40, 1u64 << 40])),
        ("shape", json!([1u64 << 62])),
        ("shape", json!([-8])),
        ("shape", json!([])),
        ("shape", json!([7])),
        ("shape", json!("8")),
        ("dtype", json!("F16")),
        ("dtype", json!("F64")),
        ("dtype", json!("float")),
    ];
    for (key, value) in lies {
        let mut header = header.clone();
        header[name][key] = value;
        assert_refused(&raw(&header.to_string(), data), "model: not a readable model");
    }
    let honest = raw(&header.to_string(), data);
    assert!(Model::from_bytes(&honest).is_ok());
}

#[test]
fn tensors_of_another_architecture_are_named() {
    let parts = Parts::of(&model());
    let count = parts.tensors.len();
    let at = |name: &str| parts.tensors.iter().position(|tensor| tensor.0 == name).unwrap();
    let refused = |change: &dyn Fn(&mut Parts), text: &str| {
        let mut parts = parts.clone();
        change(&mut parts);
        assert_refused(&parts.signed(), text);
    };
    let psi = at("psi");
    let head = at("encoder.head.weight");
    let text = format!("{} tensors, {count} expected", count - 1);
    refused(&|parts| drop(parts.tensors.remove(psi)), &text);
    let text = format!("{} tensors, {count} expected", count + 1);
    let extra = ("extra".to_string(), Dtype::F32, vec![1], vec![0; 4]);
    refused(&|parts| parts.tensors.push(extra.clone()), &text);
    refused(&|parts| parts.tensors[psi].0 = "phi".into(), "tensor `psi` not found");
    let text = "tensor `encoder.head.weight` is not f32 of shape";
    refused(&|parts| parts.tensors[head].2 = vec![4, 16], text);
    refused(&|parts| parts.tensors[head].2.insert(0, 1), text);
    refused(&|parts| parts.tensors[head].1 = Dtype::I32, text);
    refused(&|parts| parts.tensors.clear(), "0 tensors");
}

#[test]
fn values_that_are_not_finite_are_named() {
    let parts = Parts::of(&model());
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for i in [0, parts.tensors.len() - 1] {
            let mut parts = parts.clone();
            let (name, .., data) = &mut parts.tensors[i];
            let text = format!("tensor `{name}` holds a value that is not finite");
            let last = data.len() - 4;
            data[last..].copy_from_slice(&value.to_le_bytes());
            assert_refused(&parts.signed(), &text);
        }
    }
}

#[test]
fn metadata_that_no_fit_writes_is_refused() {
    let parts = Parts::of(&model());
    let normaliser = "the normaliser is inconsistent";
    let variation = "the normal variation is inconsistent";
    for (old, new, text) in [
        ("\"window\":16", "\"window\":7", "`window` = 7"),
        ("\"window\":16", "\"window\":100000", "`window` = 100000"),
        ("\"window\":16", "\"window\":-1", "not a readable model"),
        ("\"window\":16", "\"window\":16,\"other\":1", "unknown field `other`"),
        ("\"window\":16", "\"window\":16,\"window\":16", "duplicate field `window`"),
        ("\"window\":16,", "", "missing field `window`"),
        ("\"kernel_size\":3", "\"kernel_size\":0", "`kernel_size` = 0"),
        ("\"sigma_prior\":0.5", "\"sigma_prior\":-0.5", "`sigma_prior` = -0.5"),
        ("\"sigma_prior\":0.5", "\"sigma_prior\":1e999", "not a readable model"),
        ("\"features\":[\"a\",\"b\"]", "\"features\":[\"a\"]", normaliser),
        ("\"features\":[\"a\",\"b\"]", "\"features\":[]", normaliser),
        ("\"live\":[true,true]", "\"live\":[true,true,true]", normaliser),
        ("\"live\":[true,true]", "\"live\":[true,false]", variation),
        ("\"live\":[true,true]", "\"live\":[false,false]", variation),
        ("\"step\":[", "\"step\":[0.1,", variation),
        ("\"residual\":[", "\"residual\":[-", variation),
        ("\"tau\":{\"normal\":", "\"tau\":{\"normal\":-", variation),
        ("\"mean\":[", "\"mean\":[0.0,", normaliser),
        ("\"std\":[", "\"std\":[0.5,", normaliser),
        ("\"std\":[", "\"std\":[-", normaliser),
    ] {
        assert_refused(&parts.with(old, new).signed(), text);
    }
}

/// A model that holds a detector of every kind.
fn detecting() -> (Columns, Model) {
    let columns = waves(60);
    let mut model = model_of(&columns, &small());
    for detector in [DetectorKind::Classifier, DetectorKind::Carla, DetectorKind::Ensemble] {
        let config = DetectConfig {
            detector,
            detector_steps: Some(1),
            detector_batch_size: 4,
            detector_channels: 2,
            nets: 2,
            ..DetectConfig::default()
        };
        model = model.fit_detector(&Series::whole(&columns), &config, &RunToEnd).unwrap();
    }
    (columns, model)
}

#[test]
fn detectors_come_back() {
    let (columns, model) = detecting();
    let (series, run) = (Series::whole(&columns), &RunToEnd);
    let bytes = model.to_bytes().unwrap();
    let read = Model::from_bytes(&bytes).unwrap();
    assert_eq!(read.to_bytes().unwrap(), bytes);
    assert_eq!(
        (read.detectors.kinds(), read.detector()),
        (model.detectors.kinds(), model.detector())
    );
    assert_eq!((model.detectors.kinds().len(), model.detector()), (5, DetectorKind::Ensemble));
    for kind in model.detectors.kinds() {
        assert_eq!(read.calibration(Some(kind)), model.calibration(Some(kind)));
        let config = ScoreConfig { detector: Some(kind), ..ScoreConfig::default() };
        let answers = |model: &Model| {
            let scores = model.score_with(&series, &config, run).unwrap();
            (scores, model.label_with(&series, Threshold::Pot, &config, run).unwrap())
        };
        assert_eq!(answers(&read), answers(&model), "{kind:?}");
    }
}

#[test]
fn detectors_that_no_fit_writes_are_refused() {
    let (_, model) = detecting();
    let parts = Parts::of(&model);
    assert!(Model::from_bytes(&parts.signed()).is_ok());
    for name in ["carla.1.head.bias", "ensemble.2.row.bias", "classifier.0.window.weight"] {
        let name = format!("detector.{name}");
        let at = parts.tensors.iter().position(|tensor| tensor.0 == name).unwrap();
        let count = parts.tensors.len();
        let mut less = parts.clone();
        less.tensors.remove(at);
        assert_refused(&less.signed(), &format!("{} tensors, {count} expected", count - 1));
        let mut renamed = parts.clone();
        renamed.tensors[at].0.push('s');
        assert_refused(&renamed.signed(), &format!("tensor `{name}` not found"));
        let mut broken = parts.clone();
        broken.tensors[at].3[..4].copy_from_slice(&f32::NAN.to_le_bytes());
        assert_refused(&broken.signed(), &format!("tensor `{name}` holds a value that is not"));
    }
    let json: Value = serde_json::from_str(&parts.json).unwrap();
    let learned = |kind: &str, key: &str| {
        let value = &json["detectors"][kind]["learned"][key];
        format!("\"{key}\":{value}")
    };
    let (classes, weights) = (learned("carla", "normal_classes"), learned("ensemble", "weights"));
    let (classifier, carla, ensemble) = (
        "the detector `classifier` is inconsistent",
        "the detector `carla` is inconsistent",
        "the detector `ensemble` is inconsistent",
    );
    let readable = "not a readable model";
    let first = "\"detectors\":{\"classifier\":{\"config\":{\"detector\":\"classifier\"";
    for (old, new, text) in [
        (classes.as_str(), "\"normal_classes\":[0,10]", carla),
        (&classes, "\"normal_classes\":[0]", carla),
        (&classes, "\"normal_classes\":[0,0,0]", carla),
        (&classes, "\"normal_classes\":[0,-1]", readable),
        ("\"normal_classes\":[]", "\"normal_classes\":[0,0]", classifier),
        (&weights, "\"weights\":[0.5,-0.5,1.0]", ensemble),
        (&weights, "\"weights\":[0.0,0.0,1.5]", ensemble),
        (&weights, "\"weights\":[0.0,0.0,0.0]", ensemble),
        (&weights, "\"weights\":null", ensemble),
        (&weights, "\"weights\":[0.5,0.5]", readable),
        (&weights, "\"weights\":[null,0.5,0.5]", readable),
        ("\"weights\":null", "\"weights\":[1.0,0.0,0.0]", classifier),
        ("\"weights\":null", "\"weights\":null,\"bias\":0", "unknown field `bias`"),
        (first, &first.replace("{\"classifier", "{\"amplitude"), "`amplitude` is inconsistent"),
        (first, &first.replace("{\"classifier", "{\"forest"), readable),
        (first, &first.replace(":\"classifier", ":\"carla"), classifier),
        ("\"nets\":2", "\"nets\":0", "`nets` = 0"),
        ("\"nets\":2", "\"nets\":3", " tensors, "),
        ("\"detector_channels\":2", "\"detector_channels\":1024", "is not f32 of shape"),
    ] {
        assert_refused(&parts.with(old, new).signed(), text);
    }
}

#[test]
fn thresholds_that_no_fit_writes_are_refused() {
    let parts = Parts::of(&model());
    let (thresholds, readable) = ("the thresholds are inconsistent", "not a readable model");
    for (old, new, text) in [
        ("\"amplitude\":{\"auto\"", "\"carla\":{\"auto\"", thresholds),
        ("\"detector\":\"reconstruction\"", "\"detector\":\"ensemble\"", thresholds),
        ("\"detector\":\"reconstruction\"", "\"detector\":\"forest\"", readable),
        ("\"quantiles\":[", "\"quantiles\":[0.0,", thresholds),
        ("\"quantiles\":[", "\"quantiles\":[null,", readable),
        ("\"quantiles\":[", "\"quantiles\":[NaN,", readable),
        ("\"quantiles\":[", "\"quantiles\":[1e999,", readable),
        ("{\"auto\":", "{\"auto\":null,\"pot\":", readable),
        ("\"detectors\":{}", "\"detectors\":[]", readable),
        (",\"detectors\":{}", "", "missing field `detectors`"),
    ] {
        assert_refused(&parts.with(old, new).signed(), text);
    }
}

/// A small file that claims the largest architecture there can be.
#[test]
fn sizes_that_are_not_there_cost_nothing() {
    let parts = Parts::of(&model())
        .with("\"window\":16", "\"window\":65536")
        .with("\"latent\":4", "\"latent\":4096")
        .with("\"channels\":4", "\"channels\":1024")
        .with("\"kernel_size\":3", "\"kernel_size\":15");
    assert_refused(&parts.signed(), "model: ");
    let parts = parts.with("\"levels\":null", "\"levels\":16");
    assert_refused(&parts.signed(), "tensors, ");
}

#[test]
fn other_features_are_named_by_every_verb() {
    let model = model();
    let (a, b) = (wave(120, 1), wave(120, 2));
    for columns in [
        frame(&[("b", &b), ("a", &a)]),
        frame(&[("a", &a)]),
        frame(&[("a", &a), ("c", &b)]),
        frame(&[("a", &a), ("b", &b), ("c", &b)]),
    ] {
        let series = Series::whole(&columns);
        let (generate, run) = (GenerateConfig::default(), &RunToEnd);
        let errors = [
            model.generate(&series, &generate, run).unwrap_err(),
            model.pairs(&series, &generate, run).unwrap_err(),
            model.score(&series, run).unwrap_err(),
            model.label(&series, Threshold::Number(1.0), run).unwrap_err(),
            model.reconstruct(&series, run).unwrap_err(),
            model.embed(&series, None, run).unwrap_err(),
        ];
        let expected =
            format!("fitted on features [\"a\", \"b\"], but the input has {:?}", columns.names());
        for error in errors {
            assert!(error.to_string().contains(&expected), "{error}");
        }
    }
}

/// The bench `mutated_models` runs a million of these.
#[test]
fn mutated_models_are_refused_or_work() {
    let outcome = mutation::run(3_000, 1);
    assert!(outcome.read > 100 && outcome.refused > 1_000, "{outcome:?}");
}
