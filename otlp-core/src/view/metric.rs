//! Metrics: five kinds of data.

use super::attribute::{KeyValueView, same};
use super::context::Context;
use super::heap::HeapBudget;
use super::list::{Elements, List};
use super::message::Message;
use super::point::{ExponentialHistogramPointView, HistogramPointView, NumberPointView, SummaryPointView};
use super::table::{Own, View, view};
use crate::encode::Encode;
use crate::error::DecodeError;
use crate::record::{Metric, MetricData, Temporality};
use crate::wire::Writer;

/// A borrowed metric.
#[derive(Debug, Clone, Copy)]
pub struct MetricView<'a> {
    message: Message<'a>,
    context: Context<'a>,
    name: &'a str,
    description: &'a str,
    unit: &'a str,
    data: Option<MetricDataView<'a>>,
    metadata: List,
}

impl<'a> MetricView<'a> {
    /// Its name.
    #[must_use]
    #[inline]
    pub const fn name(&self) -> &'a str {
        self.name
    }

    /// What it says.
    #[must_use]
    #[inline]
    pub const fn description(&self) -> &'a str {
        self.description
    }

    /// Unit in UCUM notation.
    #[must_use]
    #[inline]
    pub const fn unit(&self) -> &'a str {
        self.unit
    }

    /// The points; `None` where the sender left them out.
    #[must_use]
    #[inline]
    pub const fn data(&self) -> Option<MetricDataView<'a>> {
        self.data
    }

    /// Attributes of the metric as a whole.
    ///
    /// Read one by one; a bad one is an `Err`, and the next call goes on with the one after it.
    pub fn metadata(
        &self,
    ) -> impl ExactSizeIterator<Item = Result<KeyValueView<'a>, DecodeError>> + Clone + use<'a> {
        Elements::new(&self.message, self.metadata, 12, self.context)
    }

    /// Copies it out to a [`Metric`].
    ///
    /// # Errors
    /// Where something within is malformed or passes a limit, `max_heap_bytes` among them.
    pub fn to_record(&self) -> Result<Metric, DecodeError> {
        self.to_record_within(&mut HeapBudget::new(self.context.limits()))
    }

    /// As [`to_record`](Self::to_record), with a budget shared between several calls.
    ///
    /// # Errors
    /// As there.
    pub fn to_record_within(&self, heap: &mut HeapBudget) -> Result<Metric, DecodeError> {
        heap.offset = self.message.begin();
        Ok(Metric {
            name: heap.text(self.name)?,
            description: heap.text(self.description)?,
            unit: heap.text(self.unit)?,
            data: self.data.own(heap)?,
            metadata: heap.collect(self.metadata())?,
        })
    }
}

impl Encode for MetricView<'_> {
    /// Copies the message as it lies on the wire, unknown fields included.
    fn encode(&self, writer: &mut Writer) {
        self.message.write(writer);
    }
}

impl<'a> View<'a> for MetricView<'a> {
    fn read_message(message: Message<'a>, context: Context<'a>) -> Result<Self, DecodeError> {
        let (mut name, mut description, mut unit) = ("", "", "");
        let mut metadata = List::default();
        // The kind of data met last: a second piece of the same joins it, another kind clears it.
        let mut data: Option<(u8, Message<'a>)> = None;
        let mut pieces = message.pieces();
        while let Some(mut fields) = pieces.next()? {
            while let Some(number) = fields.next()? {
                match number {
                    1 => name = context.str(&mut fields)?,
                    2 => description = context.str(&mut fields)?,
                    3 => unit = context.str(&mut fields)?,
                    5 | 7 | 9 | 10 | 11 => {
                        let number = u8::try_from(number).unwrap_or_default();
                        data = Some((number, message.merge(same(data, number), number, &mut fields)?));
                    }
                    12 => metadata.push(&mut fields, ("max_attributes", context.limits().attributes()))?,
                    _ => fields.skip()?,
                }
            }
        }
        let data = data.map(|(number, data)| MetricDataView::read(number, data, context)).transpose()?;
        Ok(Self { message, context, name, description, unit, data, metadata })
    }
}

impl Own for MetricView<'_> {
    type Owned = Metric;

    fn own(self, heap: &mut HeapBudget) -> Result<Metric, DecodeError> {
        self.to_record_within(heap)
    }
}

/// The points of a metric, borrowed, by kind.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum MetricDataView<'a> {
    /// A value that goes up and down.
    Gauge(GaugeView<'a>),
    /// A sum over time.
    Sum(SumView<'a>),
    /// Counts in explicit buckets.
    Histogram(HistogramView<'a>),
    /// Counts in buckets of exponential width.
    ExponentialHistogram(ExponentialHistogramView<'a>),
    /// Quantiles computed by the source (legacy).
    Summary(SummaryView<'a>),
}

impl<'a> MetricDataView<'a> {
    fn read(number: u8, message: Message<'a>, context: Context<'a>) -> Result<Self, DecodeError> {
        match number {
            5 => GaugeView::read_message(message, context).map(Self::Gauge),
            7 => SumView::read_message(message, context).map(Self::Sum),
            9 => HistogramView::read_message(message, context).map(Self::Histogram),
            10 => ExponentialHistogramView::read_message(message, context).map(Self::ExponentialHistogram),
            _ => SummaryView::read_message(message, context).map(Self::Summary),
        }
    }
}

impl Own for MetricDataView<'_> {
    type Owned = MetricData;

    fn own(self, heap: &mut HeapBudget) -> Result<MetricData, DecodeError> {
        match self {
            Self::Gauge(view) => view.own(heap).map(MetricData::Gauge),
            Self::Sum(view) => view.own(heap).map(MetricData::Sum),
            Self::Histogram(view) => view.own(heap).map(MetricData::Histogram),
            Self::ExponentialHistogram(view) => view.own(heap).map(MetricData::ExponentialHistogram),
            Self::Summary(view) => view.own(heap).map(MetricData::Summary),
        }
    }
}

view! {
    /// Borrowed points of a value that goes up and down.
    GaugeView of Gauge {
        lists {
            /// The points.
            points: NumberPointView<'a> = 1 within elements;
        }
    }
}

view! {
    /// Borrowed points of a sum.
    SumView of Sum {
        scalars {
            /// Delta or cumulative.
            temporality: Temporality = 2 => temporality;
            /// True where the sum never falls.
            is_monotonic: bool = 3 => bool;
        }
        lists {
            /// The points.
            points: NumberPointView<'a> = 1 within elements;
        }
    }
}

view! {
    /// Borrowed points of an explicit-bucket histogram.
    HistogramView of Histogram {
        scalars {
            /// Delta or cumulative.
            temporality: Temporality = 2 => temporality;
        }
        lists {
            /// The points.
            points: HistogramPointView<'a> = 1 within elements;
        }
    }
}

view! {
    /// Borrowed points of an exponential histogram.
    ExponentialHistogramView of ExponentialHistogram {
        scalars {
            /// Delta or cumulative.
            temporality: Temporality = 2 => temporality;
        }
        lists {
            /// The points.
            points: ExponentialHistogramPointView<'a> = 1 within elements;
        }
    }
}

view! {
    /// Borrowed points of a summary.
    SummaryView of Summary {
        lists {
            /// The points.
            points: SummaryPointView<'a> = 1 within elements;
        }
    }
}
