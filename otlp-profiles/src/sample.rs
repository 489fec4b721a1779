//! Profiles from the stacks that a sampler hands over.

use otlp_core::sample::StackSample;

use crate::limits::Limits;
use crate::profile::{Profile, SampleKey, ValueType};
use crate::table::{LabelEntry, LabelEntryValue};
use crate::{ErrorKind, Result};

impl Profile {
    /// Makes a profile of sampled stacks, each weighing what its `weight` says in `value_type`.
    ///
    /// A sample taken within a span gets the labels `trace_id` and `span_id`; process, thread and the
    /// time of the single sample are not kept. The profile's time and duration are those of the first
    /// and last sample.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] where a bound is reached.
    ///
    /// ```
    /// use otlp_core::{SpanId, TraceId, UnixNanos, sample::StackSample};
    /// use otlp_profiles::{Limits, Profile, ValueType};
    /// let sample = StackSample {
    ///     time: UnixNanos::from_secs(1),
    ///     pid: 1,
    ///     tid: 1,
    ///     frames: vec!["main".into(), "work".into()],
    ///     weight: 10_000_000,
    ///     trace_id: TraceId::INVALID,
    ///     span_id: SpanId::INVALID,
    /// };
    /// let profile = Profile::from_samples([&sample, &sample], ValueType::cpu(), &Limits::default())?;
    /// assert_eq!(profile.to_folded(), "main;work 20000000\n");
    /// # Ok::<(), otlp_profiles::Error>(())
    /// ```
    pub fn from_samples<S: std::borrow::Borrow<StackSample>>(
        samples: impl IntoIterator<Item = S>,
        value_type: ValueType,
        limits: &Limits,
    ) -> Result<Self> {
        let mut profile = Self::try_new([value_type], limits)?;
        let (mut first, mut last) = (None, None);
        for sample in samples {
            let sample = sample.borrow();
            let stack = profile.stack_of(&sample.frames)?;
            let labels = profile.span_labels(sample)?;
            let weight = i64::try_from(sample.weight).map_err(|_| {
                crate::Error::new(ErrorKind::Limit, "weight: exceeds limit 9223372036854775807")
            })?;
            profile.add(SampleKey { stack, labels }, &[weight])?;
            first = Some(first.map_or(sample.time, |time| sample.time.min(time)));
            last = last.max(Some(sample.time));
        }
        if let (Some(first), Some(last)) = (first, last) {
            profile.time = first;
            profile.duration = last.duration_since(first);
        }
        Ok(profile)
    }

    fn span_labels(&mut self, sample: &StackSample) -> Result<u32> {
        let mut labels = Vec::new();
        if sample.trace_id.is_valid() {
            labels.push(self.text_label("trace_id", &sample.trace_id.to_string())?);
        }
        if sample.span_id.is_valid() {
            labels.push(self.text_label("span_id", &sample.span_id.to_string())?);
        }
        self.label_set(labels)
    }

    fn text_label(&mut self, key: &str, text: &str) -> Result<LabelEntry> {
        let key = self.table.string(key, &self.limits)?;
        let value = LabelEntryValue::Text(self.table.string(text, &self.limits)?);
        Ok(LabelEntry { key, value })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use otlp_core::{SpanId, TraceId, UnixNanos};

    use super::*;
    use crate::LabelValue;

    fn sample(secs: u64, span: u8) -> StackSample {
        StackSample {
            time: UnixNanos::from_secs(secs),
            pid: 7,
            tid: 8,
            frames: vec!["main".into(), "work".into()],
            weight: 1,
            trace_id: TraceId::INVALID,
            span_id: SpanId::new([span; 8]),
        }
    }

    #[test]
    fn samples_of_different_spans_stay_apart_and_carry_the_span() {
        let samples = [sample(5, 1), sample(3, 2), sample(9, 1), sample(4, 0)];
        let profile = Profile::from_samples(&samples, ValueType::samples(), &Limits::default()).unwrap();
        assert_eq!((profile.len(), profile.total()), (3, 4));
        assert_eq!(profile.time(), UnixNanos::from_secs(3));
        assert_eq!(profile.duration(), Duration::from_secs(6));
        let labels: Vec<_> =
            profile.samples().flat_map(|sample| sample.labels().collect::<Vec<_>>()).collect();
        assert_eq!(labels.len(), 2);
        assert_eq!((labels[0].key, labels[0].value), ("span_id", LabelValue::Text("0101010101010101")));
    }

    #[test]
    fn a_weight_beyond_the_range_is_refused() {
        let sample = StackSample { weight: u64::MAX, ..sample(1, 0) };
        let error = Profile::from_samples([&sample], ValueType::samples(), &Limits::default());
        assert!(error.unwrap_err().is_limit());
    }
}
