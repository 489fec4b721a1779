//! Any bytes as a request on the wire: written as JSON or refused with an offset inside them, as the views do; what
//! is written can be read, and gives the same text again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otlp_core::Limits;
use otlp_core::json::{self, Reading};
use otlp_core::protocol::Signal;
use otlp_core::view::{LogsView, MetricsView, TracesView};

fuzz_target!(|data: &[u8]| {
    let Some((choice, wire)) = data.split_first() else { return };
    let limits = Limits::default();
    let signal = Signal::ALL[usize::from(choice & 3)];
    let mut text = Vec::new();
    if let Err(error) = json::write(signal, wire, &limits, &mut text) {
        assert!(error.offset <= wire.len(), "{error}");
        return assert!(text.is_empty());
    }
    // What is valid all through is valid to the views.
    let refused = match signal {
        Signal::Traces => TracesView::parse(wire, &limits).and_then(|view| view.to_record().map(drop)),
        Signal::Logs => LogsView::parse(wire, &limits).and_then(|view| view.to_record().map(drop)),
        Signal::Metrics => MetricsView::parse(wire, &limits).and_then(|view| view.to_record().map(drop)),
        _ => Ok(()),
    };
    if let Err(error) = refused {
        assert!(error.is_limit(), "{error}");
    }
    let (mut again, mut second) = (Vec::new(), Vec::new());
    json::read(signal, &text, Reading::Strict, &limits, &mut again).expect("what was written can be read");
    json::write(signal, &again, &limits, &mut second).expect("and is valid");
    assert_eq!(text, second);
});
