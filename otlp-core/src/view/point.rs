//! Points of metrics and their exemplars.

use super::attribute::KeyValueView;
use super::table::view;
use crate::record::NumberValue;
use crate::{SpanId, TraceId, UnixNanos};

view! {
    /// A borrowed value at one time.
    NumberPointView of NumberPoint {
        scalars {
            /// Begin of the interval, where there is one.
            start: UnixNanos = 2 => nanos;
            /// When the value held.
            time: UnixNanos = 3 => nanos;
            /// The value; `None` with the "no recorded value" flag.
            value: Option<NumberValue> = 4 => number_double, 6 => number_int;
            /// Bit 0: no recorded value.
            flags: u32 = 8 => uint32;
        }
        lists {
            /// Example measurements.
            exemplars: ExemplarView<'a> = 5 within elements;
            /// What distinguishes this stream.
            attributes: KeyValueView<'a> = 7 within attributes;
        }
    }
}

view! {
    /// A borrowed explicit-bucket histogram at one time.
    HistogramPointView of HistogramPoint {
        scalars {
            /// Begin of the interval.
            start: UnixNanos = 2 => nanos;
            /// End of the interval.
            time: UnixNanos = 3 => nanos;
            /// Count of measurements.
            count: u64 = 4 => fixed64;
            /// Sum of measurements.
            sum: Option<f64> = 5 => some_double;
            /// Bit 0: no recorded value.
            flags: u32 = 10 => uint32;
            /// Least measurement.
            min: Option<f64> = 11 => some_double;
            /// Greatest measurement.
            max: Option<f64> = 12 => some_double;
        }
        lists {
            /// Example measurements.
            exemplars: ExemplarView<'a> = 8 within elements;
            /// What distinguishes this stream.
            attributes: KeyValueView<'a> = 9 within attributes;
        }
        numbers {
            /// Counts per bucket: one more than the bounds, or empty.
            bucket_counts: u64 = 6 as Fixed64;
            /// Upper bounds, ascending, inclusive.
            explicit_bounds: f64 = 7 as Double;
        }
    }
}

view! {
    /// A borrowed exponential histogram at one time.
    ExponentialHistogramPointView of ExponentialHistogramPoint {
        scalars {
            /// Begin of the interval.
            start: UnixNanos = 2 => nanos;
            /// End of the interval.
            time: UnixNanos = 3 => nanos;
            /// Count of measurements.
            count: u64 = 4 => fixed64;
            /// Sum of measurements.
            sum: Option<f64> = 5 => some_double;
            /// Resolution: bucket bounds are powers of 2^(2^-scale).
            scale: i32 = 6 => sint32;
            /// Count of measurements within the zero threshold.
            zero_count: u64 = 7 => fixed64;
            /// Bit 0: no recorded value.
            flags: u32 = 10 => uint32;
            /// Least measurement.
            min: Option<f64> = 12 => some_double;
            /// Greatest measurement.
            max: Option<f64> = 13 => some_double;
            /// Width of the zero bucket.
            zero_threshold: f64 = 14 => double;
        }
        lists {
            /// What distinguishes this stream.
            attributes: KeyValueView<'a> = 1 within attributes;
            /// Example measurements.
            exemplars: ExemplarView<'a> = 11 within elements;
        }
        parts {
            /// Buckets above zero.
            positive: Option<BucketsView<'a>> = 8;
            /// Buckets below zero.
            negative: Option<BucketsView<'a>> = 9;
        }
    }
}

view! {
    /// A borrowed run of exponential buckets.
    BucketsView of Buckets {
        scalars {
            /// Index of the first bucket.
            offset: i32 = 1 => sint32;
        }
        numbers {
            /// Counts from there on.
            counts: u64 = 2 as Varint;
        }
    }
}

view! {
    /// A borrowed summary at one time.
    SummaryPointView of SummaryPoint {
        scalars {
            /// Begin of the interval.
            start: UnixNanos = 2 => nanos;
            /// End of the interval.
            time: UnixNanos = 3 => nanos;
            /// Count of measurements.
            count: u64 = 4 => fixed64;
            /// Sum of measurements.
            sum: f64 = 5 => double;
            /// Bit 0: no recorded value.
            flags: u32 = 8 => uint32;
        }
        lists {
            /// Quantiles.
            quantiles: QuantileView<'a> = 6 within elements;
            /// What distinguishes this stream.
            attributes: KeyValueView<'a> = 7 within attributes;
        }
    }
}

view! {
    /// A borrowed quantile and its value.
    QuantileView of Quantile {
        scalars {
            /// 0 to 1.
            quantile: f64 = 1 => double;
            /// The value there.
            value: f64 = 2 => double;
        }
    }
}

view! {
    /// A borrowed example measurement.
    ExemplarView of Exemplar {
        scalars {
            /// When it was made.
            time: UnixNanos = 2 => nanos;
            /// The value.
            value: Option<NumberValue> = 3 => number_double, 6 => number_int;
            /// The span it was made in, or [`SpanId::INVALID`].
            span_id: SpanId = 4 => span_id;
            /// The trace it was made in, or [`TraceId::INVALID`].
            trace_id: TraceId = 5 => trace_id;
        }
        lists {
            /// Attributes of the measurement that the point does not carry.
            filtered_attributes: KeyValueView<'a> = 7 within attributes;
        }
    }
}
