#![doc = include_str!("../README.md")]

mod analyzer;
mod explain;
pub mod grade;
mod limits;
mod line;
mod measure;
mod novelty;
mod redact;
mod series;
mod template;

pub use analyzer::{AnalyzerStats, LogAnalyzer};
pub use limits::Limits;
pub use line::Line;
pub use novelty::{Novelty, TemplateChange, Window};
pub use redact::LineRedactor;
pub use template::{MinerStats, Observation, Template, TemplateId, TemplateMiner, VARIETY};
