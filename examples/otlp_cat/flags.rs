//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use otlp_core::protocol;

/// Shows what is in an OTLP file: any signal, protobuf or JSON
#[derive(Debug, Clone, Parser)]
#[command(name = "otlp_cat", max_term_width = 100)]
pub(crate) struct Flags {
    /// The file; `-` for standard input
    #[arg(default_value = "-")]
    pub(crate) file: PathBuf,

    /// Format of the file; otherwise the file itself says it
    #[arg(long, value_enum)]
    pub(crate) from: Option<Format>,

    /// Signal of the file; otherwise the file itself says it
    #[arg(long, value_enum)]
    pub(crate) signal: Option<Signal>,

    /// What is written
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) to: Output,

    /// Take names of enumerations' values and fields as in the .proto files, too
    #[arg(long)]
    pub(crate) lenient: bool,
}

/// How a file is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One request in protobuf
    Protobuf,
    /// One request in JSON
    Json,
    /// A request in JSON on each line
    Lines,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Text,
    /// One line of JSON for each request
    Json,
    /// One request; several of one signal are joined
    Protobuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Signal {
    Traces,
    Metrics,
    Logs,
    Profiles,
}

impl From<Signal> for protocol::Signal {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Traces => Self::Traces,
            Signal::Metrics => Self::Metrics,
            Signal::Logs => Self::Logs,
            Signal::Profiles => Self::Profiles,
        }
    }
}
