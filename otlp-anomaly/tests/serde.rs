//! Detectors as values of serde.

#![allow(clippy::unwrap_used, reason = "a test that is wrong should stop")]

use otlp_anomaly::catalogue::{Catalogue, ServiceEntry};
use otlp_anomaly::detect::{Detector, Extremes, ExtremesConfig, Robust};
use otlp_anomaly::drift::{Kswin, KswinConfig, PageHinkley};
use otlp_core::UnixNanos;

#[test]
fn a_detector_goes_through_json_and_on_bit_for_bit_and_is_no_other() {
    let mut whole = ExtremesConfig::new().warmup(20).build().unwrap();
    let at = |point: u64| (UnixNanos::from_secs(300 * point), (point * 37 % 101) as f64);
    (0..200).map(at).for_each(|(time, value)| _ = whole.observe(time, value));
    let text = serde_json::to_string(&whole).unwrap();
    let mut restored: Extremes = serde_json::from_str(&text).unwrap();
    for (time, value) in (200..400).map(at) {
        assert_eq!(whole.observe(time, value), restored.observe(time, value));
    }
    let kept = |detector: &Extremes| {
        let mut bytes = Vec::new();
        detector.checkpoint(&mut bytes);
        bytes
    };
    assert_eq!(kept(&whole), kept(&restored));
    let error = serde_json::from_str::<Robust>(&text).unwrap_err();
    assert!(error.to_string().contains("another kind"), "{error}");
    assert!(serde_json::from_str::<Extremes>(&text.replacen(",1,", ",2,", 1)).is_err());
    assert_eq!(whole.judge_one(UnixNanos(0), f64::NAN).score.to_bits(), 0);
}

#[test]
fn what_tells_drift_goes_through_json_and_is_no_other() {
    let mut whole = KswinConfig::new().window(40, 12).build().unwrap();
    let values = || (0..60_u32).map(|at| f64::from(at * 37 % 101));
    values().take(30).for_each(|value| _ = whole.observe(value));
    let text = serde_json::to_string(&whole).unwrap();
    let mut restored: Kswin = serde_json::from_str(&text).unwrap();
    values().for_each(|value| assert_eq!(whole.observe(value), restored.observe(value)));
    assert_eq!(serde_json::to_string(&whole).unwrap(), serde_json::to_string(&restored).unwrap());
    assert!(serde_json::from_str::<PageHinkley>(&text).is_err());
}

#[test]
fn a_catalogue_is_read_from_json_and_refused_where_it_cannot_be() {
    let text = r#"{"db": {"team": "storage", "criticality": "critical", "slo_availability": 0.999, "tier": 1}, "web": {}}"#;
    let catalogue: Catalogue = serde_json::from_str(text).unwrap();
    assert_eq!(catalogue.entry("db").unwrap().to_string(), "team storage, critical, SLO 99.9 %");
    assert_eq!(catalogue.entry("web"), Some(&ServiceEntry::default()));
    let error = serde_json::from_str::<Catalogue>(r#"{"db": {"criticality": "urgent"}}"#).unwrap_err();
    assert!(error.to_string().contains("none of low, normal, high, critical"), "{error}");
    assert!(serde_json::from_str::<Catalogue>(r#"{"db": {"slo_availability": 99.9}}"#).is_err());
}
