//! The command line.

use std::path::PathBuf;

use clap::Parser;

use crate::capture::Way;
use crate::shop::{Fault, Role};

/// Breaks a small shop of real processes and has the suite find out what happened.
#[derive(Debug, Clone, Parser)]
#[command(name = "incident", max_term_width = 100)]
pub(crate) struct Flags {
    /// Length of the run in seconds
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(6..=3600))]
    seconds: u32,

    /// A run of 15 seconds
    #[arg(long, conflicts_with = "seconds")]
    short: bool,

    /// Requests a second
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=2000))]
    pub(crate) rate: u32,

    /// What records, load and order of starting follow from
    #[arg(long, default_value_t = 7)]
    pub(crate) seed: u64,

    /// What breaks
    #[arg(long, value_enum, default_value_t = Fault::DbSlow)]
    pub(crate) fault: Fault,

    /// What sees the traffic
    #[arg(long, value_enum, default_value_t = Way::Auto)]
    pub(crate) capture: Way,

    /// Folder for the report, the raw data and the logs
    #[arg(long, default_value = "target/incident")]
    pub(crate) out: PathBuf,

    /// Be one of the shop's services; the program starts itself with it
    #[arg(long, hide = true, value_name = "SERVICE")]
    pub(crate) role: Option<Role>,
}

impl Flags {
    /// Length of the run in seconds, `--short` minded.
    pub(crate) const fn seconds(&self) -> u32 {
        if self.short { 15 } else { self.seconds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Flags, clap::Error> {
        Flags::try_parse_from(std::iter::once("incident").chain(line.split_whitespace()))
    }

    #[test]
    fn defaults_are_those_of_the_documentation() {
        let flags = parse("").unwrap();
        assert_eq!((flags.seconds(), flags.rate, flags.seed), (40, 200, 7));
        assert_eq!((flags.fault, flags.capture, flags.role), (Fault::DbSlow, Way::Auto, None));
        assert_eq!(flags.out, PathBuf::from("target/incident"));
    }

    #[test]
    fn each_flag_is_read() {
        let flags =
            parse("--seconds 20 --rate 50 --seed 9 --fault error-burst --capture tap --out x --role db")
                .unwrap();
        assert_eq!((flags.seconds(), flags.rate, flags.seed), (20, 50, 9));
        assert_eq!((flags.fault, flags.capture, flags.role), (Fault::ErrorBurst, Way::Tap, Some(Role::Db)));
        assert_eq!(parse("--short").unwrap().seconds(), 15);
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for line in [
            "--seconds 5",
            "--rate 0",
            "--fault fire",
            "--capture film",
            "--short --seconds 9",
            "--role mail",
            "extra",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
