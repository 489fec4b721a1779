#![doc = include_str!("../README.md")]

pub mod grade;
mod limits;
mod template;

pub use limits::Limits;
pub use template::{MinerStats, Observation, Template, TemplateId, TemplateMiner, VARIETY};
