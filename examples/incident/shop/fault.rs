//! What can be broken, and who is then to blame.

use clap::ValueEnum;

use super::role::Role;

/// A fault that a run plants; what it does is real, see each variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
pub(crate) enum Fault {
    /// `db` loses its index: each lookup reads the whole heap of rows.
    DbSlow,
    /// `payment` compares every pair of recent charges instead of sorting them first.
    CpuHot,
    /// `inventory` loads a stock table whose large quantities it cannot read.
    ErrorBurst,
    /// `order` keeps every product page that it assembles.
    Leak,
    /// Nothing breaks.
    None,
}

impl Fault {
    /// The service that is broken; none for [`Fault::None`].
    pub(crate) const fn guilty(self) -> Option<Role> {
        match self {
            Self::DbSlow => Some(Role::Db),
            Self::CpuHot => Some(Role::Payment),
            Self::ErrorBurst => Some(Role::Inventory),
            Self::Leak => Some(Role::Order),
            Self::None => None,
        }
    }

    /// The name used by the flag `--fault`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::DbSlow => "db-slow",
            Self::CpuHot => "cpu-hot",
            Self::ErrorBurst => "error-burst",
            Self::Leak => "leak",
            Self::None => "none",
        }
    }

    /// What happens, in one sentence for the report.
    pub(crate) const fn description(self) -> &'static str {
        match self {
            Self::DbSlow => "db loses its index, so that each lookup reads every row",
            Self::CpuHot => "payment compares every pair of recent charges, which is quadratic work",
            Self::ErrorBurst => "inventory loads a stock table in which it cannot read large quantities",
            Self::Leak => "order keeps every product page that it assembles, and lets none of them go",
            Self::None => "nothing is broken",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_flag() {
        for fault in Fault::value_variants() {
            assert_eq!(fault.to_possible_value().unwrap().get_name(), fault.name());
            assert_eq!(fault.guilty().is_none(), *fault == Fault::None);
            assert!(!fault.description().is_empty());
        }
    }
}
