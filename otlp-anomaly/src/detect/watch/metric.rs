//! What is watched.

use otlp_core::DecodeError;

use crate::checkpoint::{Field, Source};

/// What is watched of a service or of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Metric {
    /// The median latency: what the usual request meets. A hiccup of the machine does not move it.
    LatencyP50,
    /// The latency that one request in twenty exceeds.
    LatencyP95,
    /// The share of requests that fail.
    ErrorRate,
    /// Requests a second.
    Rate,
    /// Bytes that a process holds: watched by [`LeakWatch`](crate::detect::LeakWatch), not told by rows.
    Memory,
    /// The value of a [`MetricRow`](crate::feature::MetricRow): the mean of what goes up and down, the growth a second of
    /// what grows.
    Value,
}

impl Metric {
    /// The metrics of a [`FeatureRow`](crate::feature::FeatureRow), in the order in which they are looked at.
    pub const ALL: [Self; 4] = [Self::LatencyP50, Self::LatencyP95, Self::ErrorRate, Self::Rate];

    /// Its name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LatencyP50 => "p50 latency",
            Self::LatencyP95 => "p95 latency",
            Self::ErrorRate => "error rate",
            Self::Rate => "request rate",
            Self::Memory => "memory",
            Self::Value => "value",
        }
    }

    /// Its unit in UCUM notation.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::LatencyP50 | Self::LatencyP95 => "s",
            Self::ErrorRate => "1",
            // That of the metric that it is the value of, which rows do not know.
            Self::Value => "",
            Self::Rate => "{request}/s",
            Self::Memory => "By",
        }
    }
}

impl Field for Metric {
    const LEAST_BYTES: usize = 1;

    fn save(&self, into: &mut Vec<u8>) {
        let tag: u8 = match self {
            Self::LatencyP50 => 0,
            Self::LatencyP95 => 1,
            Self::ErrorRate => 2,
            Self::Rate => 3,
            Self::Memory => 4,
            Self::Value => 5,
        };
        tag.save(into);
    }

    fn load(from: &mut Source<'_>) -> Result<Self, DecodeError> {
        match u8::load(from)? {
            0 => Ok(Self::LatencyP50),
            1 => Ok(Self::LatencyP95),
            2 => Ok(Self::ErrorRate),
            3 => Ok(Self::Rate),
            4 => Ok(Self::Memory),
            5 => Ok(Self::Value),
            _ => Err(from.invalid("checkpoint of a metric that is none")),
        }
    }
}
