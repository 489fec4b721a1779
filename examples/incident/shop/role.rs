//! The six services and who calls whom.

use std::fmt;
use std::str::FromStr;

use otlp_core::{Error, ErrorKind};

/// One of the six services of the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Role {
    /// Takes requests from outside.
    Gateway,
    /// Puts products, reservations and charges together.
    Order,
    /// Charges accounts; speaks gRPC.
    Payment,
    /// Knows what is on the shelves.
    Inventory,
    /// Keeps item texts; speaks RESP2.
    Cache,
    /// Keeps records; speaks PostgreSQL's protocol.
    Db,
}

/// What a service speaks with those who call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1
    Http,
    /// gRPC over HTTP/2.
    Grpc,
    /// RESP2, that of Redis.
    Resp,
    /// PostgreSQL's, version 3.
    Postgres,
}

impl Role {
    /// All of them, callers before the called.
    pub(crate) const ALL: [Self; 6] =
        [Self::Gateway, Self::Order, Self::Payment, Self::Inventory, Self::Cache, Self::Db];

    /// The service's name, as in `service.name`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Order => "order",
            Self::Payment => "payment",
            Self::Inventory => "inventory",
            Self::Cache => "cache",
            Self::Db => "db",
        }
    }

    /// What it speaks with those who call it.
    pub(crate) const fn protocol(self) -> Protocol {
        match self {
            Self::Gateway | Self::Order | Self::Inventory => Protocol::Http,
            Self::Payment => Protocol::Grpc,
            Self::Cache => Protocol::Resp,
            Self::Db => Protocol::Postgres,
        }
    }

    /// The services that this one calls.
    pub(crate) const fn peers(self) -> &'static [Self] {
        match self {
            Self::Gateway => &[Self::Order],
            Self::Order => &[Self::Inventory, Self::Payment],
            Self::Payment => &[Self::Db],
            Self::Inventory => &[Self::Cache, Self::Db],
            Self::Cache | Self::Db => &[],
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Http => "HTTP/1.1",
            Self::Grpc => "gRPC",
            Self::Resp => "RESP2",
            Self::Postgres => "PostgreSQL",
        })
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Role {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let known = Self::ALL.into_iter().find(|role| role.name() == text);
        known.ok_or_else(|| Error::new(ErrorKind::Config, "role: expected the name of a service"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_reads_back_from_its_name_and_no_call_goes_in_a_circle() {
        for (position, role) in Role::ALL.into_iter().enumerate() {
            assert_eq!(role.name().parse::<Role>().unwrap(), role);
            for peer in role.peers() {
                let below = Role::ALL.iter().position(|other| other == peer).unwrap();
                assert!(below > position, "{role} calls {peer}");
            }
        }
        assert!("mail".parse::<Role>().is_err());
    }
}
