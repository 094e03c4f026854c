//! Scratch.
use arrow::array::{ArrayRef, Float64Array};
use genias::*;
use std::sync::Arc;
fn main() {
    let args: Vec<usize> = std::env::args().skip(1).map(|a| a.parse().unwrap()).collect();
    let (d, n, steps) = (args[0], args[1], args[2]);
    let mut rng = rng::Rng::new(3, rng::Purpose::Place, [0, 0]);
    let fields: Vec<(String, ArrayRef)> = (0..d)
        .map(|i| {
            let noise = rng.normals(n);
            let v: Vec<f64> = (0..n)
                .map(|t| {
                    (t as f64 / (11.0 + 3.0 * i as f64)).sin()
                        + 0.5 * (t as f64 / 70.0 + i as f64).cos()
                        + 0.3 * noise[t] as f64
                })
                .collect();
            (format!("f{i}"), Arc::new(Float64Array::from(v)) as ArrayRef)
        })
        .collect();
    let columns = Columns::new(fields).unwrap();
    let series = Series::whole(&columns);
    let config = FitConfig { steps, ..Default::default() };
    let t = std::time::Instant::now();
    let model = fit(&series, &config, &RunToEnd).unwrap();
    println!("fit {:?} params {}", t.elapsed(), model.parameter_count());
    let r = &model.report;
    println!(
        "psi {:?} r2 {:?} pca {:?} active {} kl {:?} patch {:?} band {:?} loss {:?} thr {:?} steps {} {:?} {:?}",
        r.psi,
        r.r2,
        r.r2_pca,
        r.active_units,
        r.kl,
        r.patch_rate,
        r.in_band,
        r.loss,
        r.threshold,
        r.steps,
        r.stop_reason,
        r.health
    );
    for h in &r.history {
        println!("{h:?}");
    }
    let t = std::time::Instant::now();
    let a = model.generate(&series, &GenerateConfig::default(), &RunToEnd).unwrap();
    println!("generate {:?} {}", t.elapsed(), a.len());
    let t = std::time::Instant::now();
    let s = model.score(&series, &RunToEnd).unwrap();
    println!("score {:?} {:?}", t.elapsed(), s.iter().filter(|x| x.is_none()).count());
    let b = model.to_bytes().unwrap();
    let m2 = Model::from_bytes(&b).unwrap();
    assert_eq!(m2.to_bytes().unwrap(), b);
    println!("bytes {}", b.len());
}
