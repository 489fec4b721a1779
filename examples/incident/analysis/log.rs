use std::path::Path;

use otlp_core::finding::Finding;
use otlp_core::{Error, UnixNanos};

/// What the logs say.
#[derive(Debug)]
pub(crate) struct LogReading {
    pub(crate) lines: u64,
    pub(crate) templates: u64,
    pub(crate) fresh: Vec<FreshTemplate>,
    pub(crate) findings: Vec<Finding>,
}

#[derive(Debug)]
pub(crate) struct FreshTemplate {
    pub(crate) service: String,
    pub(crate) template: String,
    pub(crate) count: u64,
    pub(crate) first: UnixNanos,
}

pub(crate) fn read_logs(_out: &Path, _since: UnixNanos, _suspect: Option<&str>) -> Result<LogReading, Error> {
    Ok(LogReading { lines: 0, templates: 0, fresh: Vec::new(), findings: Vec::new() })
}
