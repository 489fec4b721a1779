//! One of each kind of detector, small enough for tests.

#![allow(dead_code, reason = "each test file uses a part of this")]

use otlp_anomaly::detect::{
    AttentionConfig, AutoConfig, CusumConfig, Decided, Detector, Ensemble, EwmaConfig, ExtremesConfig,
    ForestConfig, IsolationConfig, LstmConfig, PolyConfig, RobustConfig, RobustZConfig, SpotConfig,
    SubPcaConfig, VectorConfig,
};
use otlp_anomaly::score::Budget;
use otlp_core::UnixNanos;

/// Name and detector; those of rows take two values.
pub(crate) fn all() -> Vec<(&'static str, Box<dyn Detector>)> {
    let isolation = IsolationConfig::new().trees(8).sample(16).window(40);
    let decided = Box::new(PolyConfig::new().build().unwrap());
    let members: Vec<Box<dyn Detector>> = vec![
        Box::new(RobustZConfig::new().window(40).warmup(20).build().unwrap()),
        Box::new(EwmaConfig::new().training(30).build().unwrap()),
    ];
    let lstm = LstmConfig::new().hidden(3).window(6).training(60).refit_every(80).effort(80);
    let attention = AttentionConfig::new().heads(2).width(3).patch(2).window(6).training(60);
    let attention = attention.refit_every(80).effort(80);
    let forest = ForestConfig::new().trees(7).sample(16).decay(0.01).warmup(20);
    vec![
        ("extremes", Box::new(ExtremesConfig::new().warmup(10).build().unwrap())),
        ("robust", Box::new(RobustConfig::new().release(2).relearn_after(40).build().unwrap())),
        ("forest", Box::new(forest.build().unwrap())),
        ("forest of rows", Box::new(forest.dimensions(2).shingle(3).build().unwrap())),
        ("robust z", Box::new(RobustZConfig::new().window(40).warmup(20).build().unwrap())),
        ("ewma", Box::new(EwmaConfig::new().training(30).memory(200).build().unwrap())),
        ("isolation", Box::new(isolation.build().unwrap())),
        ("isolation of rows", Box::new(isolation.dimensions(2).build().unwrap())),
        ("poly", Box::new(PolyConfig::new().window(8).degree(2).build().unwrap())),
        ("sub-pca", Box::new(SubPcaConfig::new().shingle(8).components(2).memory(100).build().unwrap())),
        ("spot", Box::new(SpotConfig::new().initial(50).risk(0.001).build().unwrap())),
        ("dspot", Box::new(SpotConfig::new().initial(50).risk(0.001).depth(10).build().unwrap())),
        ("decided", Box::new(Decided::new(decided, Budget::per_windows(1.0, 500).unwrap(), 5).unwrap())),
        ("vector", Box::new(VectorConfig::new(2).memory(100).refresh(3).build().unwrap())),
        ("ensemble", Box::new(Ensemble::new(members).unwrap())),
        ("lstm", Box::new(lstm.build().unwrap())),
        ("attention", Box::new(attention.build().unwrap())),
        ("auto", Box::new(AutoConfig::new().enough(100).build().unwrap())),
        ("auto of rows", Box::new(AutoConfig::new().enough(100).dimensions(2).build().unwrap())),
        ("cusum", Box::new(CusumConfig::new().training(30).memory(200).build().unwrap())),
    ]
}

/// The row of a detector that a value stands for.
pub(crate) fn row(detector: &dyn Detector, value: f64) -> Vec<f64> {
    (0..detector.dimensions()).map(|place| value * (1.0 + place as f64)).collect()
}

/// Every five minutes.
pub(crate) fn at(point: u64) -> UnixNanos {
    UnixNanos::from_secs(1_700_000_000 + 300 * point)
}
