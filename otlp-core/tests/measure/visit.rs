//! A visit to every field of every record, which keeps nothing: what is seen is added up.

use otlp_core::view::{
    AnyValueView, BucketsView, ExemplarView, KeyValueView, LogRecordView, LogsView, MetricDataView,
    MetricView, MetricsView, NumberPointView, ProfileView, ProfilesView, ResourceView, ScopeView, SpanView,
    TracesView,
};
use otlp_core::{DecodeError, Limits};

type Seen = Result<usize, DecodeError>;

pub(crate) fn traces(body: &[u8], limits: &Limits) -> Seen {
    sum(TracesView::parse(body, limits)?.resources(), |group| {
        let scopes = sum(group.scopes(), |scope| {
            Ok(instrumentation(&scope.scope())? + sum(scope.spans(), |view| span(&view))?)
        })?;
        Ok(resource(&group.resource())? + scopes)
    })
}

pub(crate) fn logs(body: &[u8], limits: &Limits) -> Seen {
    sum(LogsView::parse(body, limits)?.resources(), |group| {
        let scopes = sum(group.scopes(), |scope| {
            Ok(instrumentation(&scope.scope())? + sum(scope.records(), |view| log_record(&view))?)
        })?;
        Ok(resource(&group.resource())? + scopes)
    })
}

pub(crate) fn metrics(body: &[u8], limits: &Limits) -> Seen {
    sum(MetricsView::parse(body, limits)?.resources(), |group| {
        let scopes = sum(group.scopes(), |scope| {
            Ok(instrumentation(&scope.scope())? + sum(scope.metrics(), |view| metric(&view))?)
        })?;
        Ok(resource(&group.resource())? + scopes)
    })
}

pub(crate) fn profiles(body: &[u8], limits: &Limits) -> Seen {
    let view = ProfilesView::parse(body, limits)?;
    let groups = sum(view.resources(), |group| {
        let scopes = sum(group.scopes(), |scope| {
            Ok(instrumentation(&scope.scope())? + sum(scope.profiles(), |view| profile(&view))?)
        })?;
        Ok(resource(&group.resource())? + scopes)
    })?;
    let tables = view.dictionary();
    let mappings = sum(tables.mappings(), |mapping| Ok(mapping.attribute_indices().count()))?;
    let locations = sum(tables.locations(), |location| {
        Ok(location.attribute_indices().count() + sum(location.lines(), |_| Ok(8))?)
    })?;
    let names = sum(tables.functions(), |_| Ok(8))? + sum(tables.strings(), |text| Ok(text.len()))?;
    let attributes = sum(tables.attributes(), |attribute| value(&attribute.value()))?;
    let stacks = sum(tables.stacks(), |stack| Ok(stack.location_indices().count()))?;
    Ok(groups + mappings + locations + names + attributes + stacks + sum(tables.links(), |_| Ok(8))?)
}

fn profile(view: &ProfileView<'_>) -> Seen {
    let samples = sum(view.samples(), |sample| {
        Ok(sample.attribute_indices().count() + sample.values().count() + sample.timestamps().count())
    })?;
    Ok(samples + view.attribute_indices().count() + view.original_payload().len())
}

fn sum<V>(views: impl Iterator<Item = Result<V, DecodeError>>, mut visit: impl FnMut(V) -> Seen) -> Seen {
    let mut seen = 0;
    for view in views {
        seen += 1 + visit(view?)?;
    }
    Ok(seen)
}

fn resource(view: &ResourceView<'_>) -> Seen {
    let entities = sum(view.entity_refs(), |entity| {
        let keys = sum(entity.id_keys().chain(entity.description_keys()), |key| Ok(key.len()))?;
        Ok(keys + entity.kind().len())
    })?;
    Ok(entities + pairs(view.attributes())?)
}

fn instrumentation(view: &ScopeView<'_>) -> Seen {
    Ok(view.name().len() + view.version().len() + pairs(view.attributes())?)
}

fn span(view: &SpanView<'_>) -> Seen {
    let events = sum(view.events(), |event| Ok(event.name().len() + pairs(event.attributes())?))?;
    let links = sum(view.links(), |link| Ok(link.trace_state().len() + pairs(link.attributes())?))?;
    Ok(events + links + view.name().len() + view.status().message().len() + pairs(view.attributes())?)
}

fn log_record(view: &LogRecordView<'_>) -> Seen {
    Ok(view.severity_text().len() + value(&view.body())? + pairs(view.attributes())?)
}

fn metric(view: &MetricView<'_>) -> Seen {
    let points = match view.data() {
        None => 0,
        Some(MetricDataView::Gauge(data)) => sum(data.points(), |point| number_point(&point))?,
        Some(MetricDataView::Sum(data)) => sum(data.points(), |point| number_point(&point))?,
        Some(MetricDataView::Histogram(data)) => sum(data.points(), |point| {
            let buckets = point.bucket_counts().count() + point.explicit_bounds().count();
            Ok(buckets + pairs(point.attributes())? + sum(point.exemplars(), |view| exemplar(&view))?)
        })?,
        Some(MetricDataView::ExponentialHistogram(data)) => sum(data.points(), |point| {
            let count = |buckets: BucketsView<'_>| buckets.counts().count();
            let buckets = point.positive().map_or(0, count) + point.negative().map_or(0, count);
            Ok(buckets + pairs(point.attributes())? + sum(point.exemplars(), |view| exemplar(&view))?)
        })?,
        Some(MetricDataView::Summary(data)) => {
            sum(data.points(), |point| Ok(pairs(point.attributes())? + sum(point.quantiles(), |_| Ok(8))?))?
        }
        Some(other) => panic!("a kind of data that this test does not know: {other:?}"),
    };
    Ok(points + view.name().len() + pairs(view.metadata())?)
}

fn number_point(view: &NumberPointView<'_>) -> Seen {
    Ok(pairs(view.attributes())? + sum(view.exemplars(), |view| exemplar(&view))?)
}

fn exemplar(view: &ExemplarView<'_>) -> Seen {
    pairs(view.filtered_attributes())
}

#[expect(single_use_lifetimes, reason = "the elided form is not stable in argument position")]
fn pairs<'a>(views: impl Iterator<Item = Result<KeyValueView<'a>, DecodeError>>) -> Seen {
    sum(views, |view| Ok(view.key().len() + value(&view.value())?))
}

fn value(view: &AnyValueView<'_>) -> Seen {
    match view {
        AnyValueView::String(text) => Ok(text.len()),
        AnyValueView::Bytes(bytes) => Ok(bytes.len()),
        AnyValueView::Array(list) => sum(list.values(), |item| value(&item)),
        AnyValueView::KvList(map) => pairs(map.entries()),
        _ => Ok(8),
    }
}
