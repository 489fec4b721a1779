#![doc = include_str!("../../../../docs/migrating-from-opentelemetry-otlp.md")]
