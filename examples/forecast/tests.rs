use super::series::{Forecasts, read};

/// Four weeks of hours: a day, a quieter weekend, a little noise.
fn hours(count: usize) -> Vec<f64> {
    let mut noise = 1_u64;
    let value = |hour: usize| {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let turn = (hour % 24) as f64 / 24.0 * std::f64::consts::TAU;
        let busy = if hour / 24 % 7 < 5 { 1.0 } else { 0.5 };
        (100.0 - 40.0 * turn.cos()) * busy + (noise >> 40) as f64 / (1 << 24) as f64 * 4.0
    };
    (0..count).map(value).collect()
}

#[test]
fn a_weekend_is_foreseen_and_lies_within_its_intervals() {
    let all = hours(748);
    let text = serde_json::json!({ "shop": { "y": all[..700], "h": 48, "m": 24 } }).to_string();
    let forecasts = Forecasts::of(&read(&text).unwrap());
    assert!(forecasts.failed.is_empty() && forecasts.seconds > 0.0);
    let within = |low: &[f64], high: &[f64]| {
        all[700..]
            .iter()
            .zip(low.iter().zip(high))
            .filter(|(y, (low, high))| *low <= *y && *y <= *high)
            .count()
    };
    let off: f64 =
        all[700..].iter().zip(&forecasts.f["shop"]).map(|(y, f)| (y - f).abs()).sum::<f64>() / 48.0;
    assert!(off < 3.0, "{off}");
    assert!(within(&forecasts.lo95["shop"], &forecasts.hi95["shop"]) >= 42);
    // The twin: what does not repeat is not foreseen.
    let flat: f64 = all[700..].iter().map(|y| (y - 100.0).abs()).sum::<f64>() / 48.0;
    assert!(flat > 10.0);
}

#[test]
fn what_is_written_has_every_part() {
    let text =
        r#"{"a": {"y": [1, 2, null, 4, 5, 6, 7, 8], "h": 3}, "b": {"y": [1, 1, 1, 1], "h": 2, "m": 1}}"#;
    let forecasts = Forecasts::of(&read(text).unwrap());
    let written: serde_json::Value =
        serde_json::from_str(&serde_json::to_string(&forecasts).unwrap()).unwrap();
    for part in ["f", "lo80", "hi80", "lo95", "hi95"] {
        assert_eq!(written[part]["a"].as_array().unwrap().len(), 3, "{part}");
        assert_eq!(written[part]["b"].as_array().unwrap().len(), 2, "{part}");
    }
    assert_eq!(written["f"]["b"], serde_json::json!([1.0, 1.0]));
    assert!(written["seconds"].is_f64());
}

#[test]
fn what_cannot_be_foreseen_is_told_and_the_rest_is_done() {
    let text = r#"{"none": {"y": [null, 1], "h": 3}, "good": {"y": [1, 2, 3, 4], "h": 3}}"#;
    let forecasts = Forecasts::of(&read(text).unwrap());
    assert_eq!(forecasts.failed.len(), 1);
    assert_eq!(forecasts.failed[0].0, "none");
    assert!(forecasts.f.contains_key("good") && !forecasts.f.contains_key("none"));
    assert!(read("[1, 2]").is_err());
}
