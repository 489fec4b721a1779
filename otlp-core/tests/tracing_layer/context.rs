//! Parents, links, sampling, and context from elsewhere.

use otlp_core::SpanId;
use otlp_core::context::w3c::TraceParent;
use otlp_core::interop::tracing::{EventsAs, LayerConfig, SpanExt};
use otlp_core::record::Resource;
use tracing::{Span, info, info_span};
use tracing_subscriber::Layer as _;
use tracing_subscriber::layer::SubscriberExt;

use crate::{config, logs, spans, under};

const REMOTE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const REMOTE_UNSAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

#[test]
fn spans_within_have_the_trace_and_their_parent() {
    let layer = under(config(), |_| {
        info_span!("root").in_scope(|| {
            info_span!("child").in_scope(|| drop(info_span!("grandchild")));
            drop(info_span!(parent: None, "other"));
        });
        let explicit = info_span!("explicit");
        drop(info_span!(parent: &explicit, "under"));
    });
    let spans = spans(&layer);
    let find = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    let parent = |name: &str| {
        let id = find(name).parent_span_id;
        spans.iter().find(|span| span.span_id == id).map(|span| span.name.as_str())
    };
    assert_eq!(parent("grandchild"), Some("child"));
    assert_eq!(parent("child"), Some("root"));
    assert_eq!(parent("under"), Some("explicit"));
    assert_eq!((parent("root"), find("other").parent_span_id), (None, SpanId::INVALID));
    assert_eq!(find("root").trace_id, find("grandchild").trace_id);
    assert_ne!(find("root").trace_id, find("other").trace_id);
    assert!(spans.iter().all(|span| span.flags == 0x101 && span.end > span.start));
}

#[test]
fn following_is_a_link() {
    let layer = under(config(), |_| {
        let (cause, effect) = (info_span!("cause"), info_span!("effect"));
        effect.follows_from(&cause);
    });
    let spans = spans(&layer);
    let [effect, cause] = spans.as_slice() else { panic!("{spans:?}") };
    let link = &effect.links[0];
    assert_eq!((link.trace_id, link.span_id, link.flags), (cause.trace_id, cause.span_id, 0x101));
}

#[test]
fn a_remote_parent_gives_trace_and_parent_to_all_within() {
    let remote = TraceParent::parse(REMOTE).unwrap();
    let layer = under(config(), |_| {
        let span = info_span!("GET /");
        span.set_remote_parent(remote);
        let _entered = span.enter();
        let child = info_span!("SELECT");
        let outgoing = child.trace_parent().unwrap();
        assert_eq!((outgoing.trace_id(), outgoing.flags()), (remote.trace_id(), 1));
        assert_eq!(Span::current().trace_parent().unwrap().trace_id(), remote.trace_id());
    });
    let spans = spans(&layer);
    let [child, root] = spans.as_slice() else { panic!("{spans:?}") };
    assert_eq!((root.trace_id, root.parent_span_id), (remote.trace_id(), remote.span_id()));
    assert_eq!((root.flags, child.flags), (0x301, 0x101));
    assert_eq!((child.trace_id, child.parent_span_id), (remote.trace_id(), root.span_id));
}

#[test]
fn a_remote_parent_decides_on_sampling_whatever_the_ratio() {
    for (header, ratio, expected) in [(REMOTE, 0.0, 2), (REMOTE_UNSAMPLED, 1.0, 0)] {
        let layer = under(config().sample_ratio(ratio), |_| {
            let span = info_span!("GET /", said = "before the parent came");
            span.set_remote_parent(TraceParent::parse(header).unwrap());
            span.in_scope(|| drop(info_span!("child")));
        });
        let spans = spans(&layer);
        assert_eq!(spans.len(), expected);
        // A root keeps its fields, sampled or not: the parent may come later.
        assert!(spans.last().is_none_or(|root| root.attributes.len() == 1));
    }
}

#[test]
fn the_ratio_keeps_its_share_of_whole_traces() {
    for (ratio, least, most) in [(0.0, 0, 0), (0.25, 190, 310), (1.0, 1000, 1000)] {
        let layer = LayerConfig::new(Resource::service("cart")).sample_ratio(ratio).build().unwrap();
        let subscriber = tracing_subscriber::registry().with(layer.clone());
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..1000 {
                info_span!("root").in_scope(|| drop(info_span!("child")));
            }
        });
        let spans = spans(&layer);
        assert_eq!(spans.len() % 2, 0);
        assert!((least..=most).contains(&(spans.len() / 2)), "{} of {ratio}", spans.len());
        assert!(spans.chunks(2).all(|pair| pair[0].trace_id == pair[1].trace_id));
    }
}

#[test]
fn a_ratio_beyond_its_bounds_is_refused() {
    for ratio in [-0.1, 1.1, f64::NAN] {
        assert!(config().sample_ratio(ratio).build().is_err(), "{ratio}");
    }
}

#[test]
fn logs_tell_that_their_span_is_not_sampled() {
    let layer = under(config().events(EventsAs::Logs).sample_ratio(0.0), |_| {
        info_span!("root").in_scope(|| info_span!("child").in_scope(|| info!("said")));
    });
    let logs = logs(&layer);
    assert!(spans(&layer).is_empty());
    assert_eq!((logs.len(), logs[0].flags), (1, 0));
    assert!(logs[0].span_id.is_valid());
}

#[test]
fn there_is_no_context_without_the_layer() {
    let span = info_span!("no subscriber");
    span.set_remote_parent(TraceParent::parse(REMOTE).unwrap());
    assert_eq!(span.trace_parent(), None);
    tracing::subscriber::with_default(tracing_subscriber::registry(), || {
        let span = info_span!("no layer");
        span.set_remote_parent(TraceParent::parse(REMOTE).unwrap());
        assert_eq!(span.trace_parent(), None);
    });
}

/// A filter of this layer alone hides the span between, which is as if it were not there.
#[test]
fn a_filtered_span_gives_its_place_to_the_one_above() {
    let layer = config().build().unwrap();
    let filter = tracing_subscriber::filter::filter_fn(|metadata| metadata.name() != "hidden");
    let subscriber = tracing_subscriber::registry().with(layer.clone().with_filter(filter));
    tracing::subscriber::with_default(subscriber, || {
        info_span!("root")
            .in_scope(|| info_span!("hidden").in_scope(|| info_span!("leaf").in_scope(|| info!("said"))));
    });
    let spans = spans(&layer);
    let [leaf, root] = spans.as_slice() else { panic!("{spans:?}") };
    assert_eq!((leaf.parent_span_id, leaf.events.len()), (root.span_id, 1));
}
