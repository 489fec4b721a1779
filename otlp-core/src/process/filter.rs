//! Records dropped in place.

use super::join::{Joiner, Stop};
use super::shape::{Delimited, Kind};
use super::splice::{Sources, Splice};
use crate::error::DecodeError;
use crate::view::{
    AnyValueView, Context, ExponentialHistogramPointView, HistogramPointView, KeyValueView, LogRecordView,
    Message, MetricView, NumberPointView, ResourceLogsView, ResourceMetricsView, ResourceSpansView,
    ScopeLogsView, ScopeMetricsView, ScopeSpansView, SpanView, SummaryPointView, View,
};
use crate::wire::{Region, Writer};
use crate::{Limits, UnixNanos};

/// Drops the records that a predicate does not want, and keeps the room it needs for it.
///
/// The predicate sees the record and what is around it as views. What stays is copied as it is. A metric, a scope
/// or a resource that had records and has none left is left out with its attributes; those that came empty stay.
///
/// O(bytes of the request). Allocates nothing once the buffers have grown.
///
/// ```
/// use otlp_core::process::Filter;
/// use otlp_core::record::{Resource, ResourceSpans, ScopeSpans, Span, TracesRequest};
/// use otlp_core::{encode::Encode, view::TracesView, wire::Writer, Limits};
///
/// let span = |name: &str| Span { name: name.into(), ..Span::default() };
/// let scopes = vec![ScopeSpans { spans: vec![span("GET /cart"), span("GET /health")], ..ScopeSpans::default() }];
/// let group = ResourceSpans { resource: Resource::service("cart"), scopes, ..ResourceSpans::default() };
/// let body = TracesRequest { resources: vec![group] }.encode_to_bytes();
///
/// let (mut filter, mut out) = (Filter::new(Limits::default()), Writer::new());
/// let filtered = filter.spans(&body, &mut out, |_, _, span| span.name() != "GET /health")?;
/// assert_eq!((filtered.kept, filtered.dropped), (1, 1));
/// assert_eq!(TracesView::parse(out.as_slice(), &Limits::DEFAULT)?.to_record()?.record_count(), 1);
/// # Ok::<(), otlp_core::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Filter {
    limits: Limits,
    splice: Splice,
    joiner: Joiner,
}

/// How many records were kept and how many were dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Filtered {
    /// Records that were kept.
    pub kept: usize,
    /// Records that were dropped.
    pub dropped: usize,
}

impl Filter {
    /// A filter that holds what it reads to `limits`.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Puts the request in front of what `out` holds, with the spans that `keep` wants.
    ///
    /// # Errors
    /// Where the bytes are malformed or pass a limit; `out` is then as it was. The same holds for the methods below.
    pub fn spans(
        &mut self,
        body: &[u8],
        out: &mut Writer,
        mut keep: impl FnMut(&ResourceSpansView<'_>, &ScopeSpansView<'_>, &SpanView<'_>) -> bool,
    ) -> Result<Filtered, DecodeError> {
        self.run(Kind::Traces, body, out, |request, context, splice| {
            let record = |group: &_, scope: &_, record, _: &mut Splice| {
                Ok(Filtered::one(keep(group, scope, &SpanView::read_message(record, context)?)))
            };
            walk(request, splice, &mut Viewed::new(context, record))
        })
    }

    /// As [`spans`](Self::spans), for log records.
    ///
    /// # Errors
    /// See [`spans`](Self::spans).
    pub fn logs(
        &mut self,
        body: &[u8],
        out: &mut Writer,
        mut keep: impl FnMut(&ResourceLogsView<'_>, &ScopeLogsView<'_>, &LogRecordView<'_>) -> bool,
    ) -> Result<Filtered, DecodeError> {
        self.run(Kind::Logs, body, out, |request, context, splice| {
            let record = |group: &_, scope: &_, record, _: &mut Splice| {
                Ok(Filtered::one(keep(group, scope, &LogRecordView::read_message(record, context)?)))
            };
            walk(request, splice, &mut Viewed::new(context, record))
        })
    }

    /// As [`spans`](Self::spans), for metrics as a whole.
    ///
    /// # Errors
    /// See [`spans`](Self::spans).
    pub fn metrics(
        &mut self,
        body: &[u8],
        out: &mut Writer,
        mut keep: impl FnMut(&ResourceMetricsView<'_>, &ScopeMetricsView<'_>, &MetricView<'_>) -> bool,
    ) -> Result<Filtered, DecodeError> {
        self.run(Kind::Metrics, body, out, |request, context, splice| {
            let record = |group: &_, scope: &_, record, _: &mut Splice| {
                Ok(Filtered::one(keep(group, scope, &MetricView::read_message(record, context)?)))
            };
            walk(request, splice, &mut Viewed::new(context, record))
        })
    }

    /// As [`spans`](Self::spans), for the points of metrics.
    ///
    /// # Errors
    /// See [`spans`](Self::spans).
    pub fn points(
        &mut self,
        body: &[u8],
        out: &mut Writer,
        mut keep: impl FnMut(
            &ResourceMetricsView<'_>,
            &ScopeMetricsView<'_>,
            &MetricView<'_>,
            &PointView<'_>,
        ) -> bool,
    ) -> Result<Filtered, DecodeError> {
        self.run(Kind::Metrics, body, out, |request, context, splice| {
            let record = |group: &_, scope: &_, record: Message<'_>, splice: &mut Splice| {
                let metric = MetricView::read_message(record, context)?;
                let region = record.as_whole().unwrap_or_default();
                points(region, context, splice, |point| keep(group, scope, &metric, point))
            };
            walk(request, splice, &mut Viewed::new(context, record))
        })
    }

    fn run(
        &mut self,
        kind: Kind,
        body: &[u8],
        out: &mut Writer,
        mut pass: impl FnMut(Region<'_>, Context<'_>, &mut Splice) -> Result<Filtered, Stop>,
    ) -> Result<Filtered, DecodeError> {
        let Self { limits, splice, joiner } = self;
        let (worked_on, filtered) = joiner.run(kind, body, limits, |request| {
            splice.begin();
            let context = Context::new(limits, request.bytes().len())?;
            let filtered = pass(request, context, splice)?;
            splice.finish(request.bytes().len());
            Ok(filtered)
        })?;
        // What was joined only to look into it stays in pieces where nothing was to be done.
        let body = if splice.is_changed() { worked_on } else { body };
        splice.write(Sources::body(body), out);
        Ok(filtered)
    }
}

impl Filtered {
    pub(super) const fn one(keep: bool) -> Self {
        if keep { Self { kept: 1, dropped: 0 } } else { Self { kept: 0, dropped: 1 } }
    }

    const fn add(&mut self, other: Self) {
        self.kept += other.kept;
        self.dropped += other.dropped;
    }

    /// True for what held something and holds nothing any more.
    const fn is_emptied(self) -> bool {
        self.kept == 0 && self.dropped > 0
    }
}

/// A borrowed point of a metric, of whichever kind.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum PointView<'a> {
    /// Of a gauge or a sum.
    Number(NumberPointView<'a>),
    /// Of a histogram.
    Histogram(HistogramPointView<'a>),
    /// Of an exponential histogram.
    ExponentialHistogram(ExponentialHistogramPointView<'a>),
    /// Of a summary.
    Summary(SummaryPointView<'a>),
}

impl<'a> PointView<'a> {
    /// Reads a point of the data that a metric holds in field `data`.
    fn read(data: u32, point: Message<'a>, context: Context<'a>) -> Result<Self, DecodeError> {
        match data {
            5 | 7 => NumberPointView::read_message(point, context).map(Self::Number),
            9 => HistogramPointView::read_message(point, context).map(Self::Histogram),
            10 => ExponentialHistogramPointView::read_message(point, context).map(Self::ExponentialHistogram),
            _ => SummaryPointView::read_message(point, context).map(Self::Summary),
        }
    }

    /// When the value held, or the end of the interval.
    #[must_use]
    pub const fn time(&self) -> UnixNanos {
        match self {
            Self::Number(point) => point.time(),
            Self::Histogram(point) => point.time(),
            Self::ExponentialHistogram(point) => point.time(),
            Self::Summary(point) => point.time(),
        }
    }

    /// The value of the first attribute named `key`, unless an attribute before it is malformed. O(attributes).
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<AnyValueView<'a>> {
        match self {
            Self::Number(point) => find(point.attributes(), key),
            Self::Histogram(point) => find(point.attributes(), key),
            Self::ExponentialHistogram(point) => find(point.attributes(), key),
            Self::Summary(point) => find(point.attributes(), key),
        }
    }
}

fn find<'a>(
    mut attributes: impl Iterator<Item = Result<KeyValueView<'a>, DecodeError>>,
    key: &str,
) -> Option<AnyValueView<'a>> {
    attributes
        .find(|pair| pair.as_ref().map_or(true, |pair| pair.key() == key))?
        .ok()
        .map(|pair| pair.value())
}

/// Cuts out the points of a metric that are not wanted.
fn points<'a>(
    metric: Region<'a>,
    context: Context<'a>,
    splice: &mut Splice,
    mut keep: impl FnMut(&PointView<'a>) -> bool,
) -> Result<Filtered, Stop> {
    let mut met = Filtered::default();
    let mut is_met = false;
    let is_data = |number| matches!(number, 5 | 7 | 9 | 10 | 11);
    let mut fields = Delimited::new(metric);
    while let Some(data) = fields.next(is_data)? {
        if !is_data(data.number) {
            continue;
        }
        if std::mem::replace(&mut is_met, true) {
            return Err(Stop::InPieces);
        }
        splice.enter(data.place);
        let mut points = Delimited::new(data.content);
        while let Some(point) = points.next(|number| number == 1)? {
            if point.number != 1 {
                continue;
            }
            let view = PointView::read(data.number, Message::whole(point.content), context)?;
            let one = Filtered::one(keep(&view));
            if one.dropped != 0 {
                splice.cut(point.place.start, point.place.end);
            }
            met.add(one);
        }
        splice.leave();
    }
    Ok(met)
}

/// What is done with the groups and records that a walk meets.
pub(super) trait Visit<'a> {
    fn resource(&mut self, _: Region<'a>) -> Result<(), Stop> {
        Ok(())
    }

    fn scope(&mut self, _: Region<'a>) -> Result<(), Stop> {
        Ok(())
    }

    /// Says whether the record is kept. One that holds several may cut some of them out itself.
    fn record(&mut self, record: Region<'a>, splice: &mut Splice) -> Result<Filtered, Stop>;
}

/// Walks over the records of a request, and leaves out those that are not kept and the groups that they leave empty.
pub(super) fn walk<'a>(
    request: Region<'a>,
    splice: &mut Splice,
    visit: &mut impl Visit<'a>,
) -> Result<Filtered, Stop> {
    const RESOURCES: u32 = 1;
    within(request, RESOURCES, splice, &mut |resource, splice| {
        visit.resource(resource)?;
        within(resource, MEMBERS, splice, &mut |scope, splice| {
            visit.scope(scope)?;
            within(scope, MEMBERS, splice, &mut |record, splice| visit.record(record, splice))
        })
    })
}

/// The field of scopes in a resource group, and of records in a scope group.
const MEMBERS: u32 = 2;

fn within<'a>(
    group: Region<'a>,
    members: u32,
    splice: &mut Splice,
    visit: &mut dyn FnMut(Region<'a>, &mut Splice) -> Result<Filtered, Stop>,
) -> Result<Filtered, Stop> {
    let mut met = Filtered::default();
    let mut fields = Delimited::new(group);
    while let Some(field) = fields.next(|number| number == members)? {
        if field.number != members {
            continue;
        }
        splice.enter(field.place);
        let counted = visit(field.content, splice)?;
        if counted.is_emptied() {
            splice.leave_out();
        } else {
            splice.leave();
        }
        met.add(counted);
    }
    Ok(met)
}

/// A visit that sees the groups as views.
struct Viewed<'a, G, S, F> {
    context: Context<'a>,
    group: Option<G>,
    scope: Option<S>,
    record: F,
}

impl<'a, G, S, F> Viewed<'a, G, S, F>
where
    F: FnMut(&G, &S, Message<'a>, &mut Splice) -> Result<Filtered, Stop>,
{
    const fn new(context: Context<'a>, record: F) -> Self {
        Self { context, group: None, scope: None, record }
    }
}

impl<'a, G, S, F> Visit<'a> for Viewed<'a, G, S, F>
where
    G: View<'a>,
    S: View<'a>,
    F: FnMut(&G, &S, Message<'a>, &mut Splice) -> Result<Filtered, Stop>,
{
    fn resource(&mut self, resource: Region<'a>) -> Result<(), Stop> {
        self.group = Some(G::read_message(Message::whole(resource), self.context)?);
        Ok(())
    }

    fn scope(&mut self, scope: Region<'a>) -> Result<(), Stop> {
        self.scope = Some(S::read_message(Message::whole(scope), self.context)?);
        Ok(())
    }

    fn record(&mut self, record: Region<'a>, splice: &mut Splice) -> Result<Filtered, Stop> {
        match (&self.group, &self.scope) {
            (Some(group), Some(scope)) => (self.record)(group, scope, Message::whole(record), splice),
            // A record lies in a scope, and a scope in a resource group.
            _ => Ok(Filtered::one(true)),
        }
    }
}
