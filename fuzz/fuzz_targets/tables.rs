//! Any text as a table, a time, changes and a service catalogue: read or refused; changes come back from their events.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otlp_anomaly::catalogue::Catalogue;
use otlp_core::UnixNanos;
use otlp_core::change::Change;
use otlp_core::csv::Rows;
use otlp_core::record::Resource;

fuzz_target!(|text: &str| {
    let fields: usize = Rows::new(text).map(|(_, row)| row.len()).sum();
    assert!(fields <= text.len() + 1);
    let _ = UnixNanos::parse(text);
    let _ = Catalogue::parse_csv(text);
    for change in Change::parse_csv(text).unwrap_or_default() {
        let back = Change::from_event(&change.to_log_record(), &Resource::default());
        // Zero is "not known" in OTLP, and no time of a change.
        assert!(change.time == UnixNanos::ZERO || back.expect("it is one") == Some(change));
    }
});
