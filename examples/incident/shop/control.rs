//! What parent and child say to each other: lines down the child's standard input, one line back for each.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use otlp_core::{Error, ErrorKind, UnixNanos};

use super::counter::Counts;
use super::profile::ProfileConfig;
use super::role::Role;

/// A line to the child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    /// The first one: how to run. Answered by [`Answer::Ready`].
    Start(Settings),
    /// Where a peer is reached.
    Peer(Role, SocketAddr),
    /// Break or mend. Answered by [`Answer::Since`].
    Fault(bool),
    /// Say what was served, once nothing is in flight. Answered by [`Answer::Counts`].
    Count,
    /// Finish what is in flight, write the last profile, say what was served and end. Answered by [`Answer::Counts`].
    Stop,
}

/// How a child runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Seed of the run.
    pub(crate) seed: u64,
    /// Port on the loopback address; zero for any.
    pub(crate) port: u16,
    /// How it samples itself.
    pub(crate) profile: ProfileConfig,
    /// Folder of the run.
    pub(crate) out: PathBuf,
}

/// A line back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Listening on that port.
    Ready(u16),
    /// Done.
    Done,
    /// Done, and true since then.
    Since(UnixNanos),
    /// What was served.
    Counts(Box<Counts>),
    /// Not done; why.
    Refused(String),
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(Settings { seed, port, profile, out }) => {
                let window = profile.window.as_millis();
                write!(f, "start {seed} {port} {} {window} {}", profile.hertz, out.display())
            }
            Self::Peer(role, address) => write!(f, "peer {role} {address}"),
            Self::Fault(on) => write!(f, "fault {}", if *on { "on" } else { "off" }),
            Self::Count => f.write_str("count"),
            Self::Stop => f.write_str("stop"),
        }
    }
}

impl FromStr for Order {
    type Err = Error;

    fn from_str(line: &str) -> Result<Self, Error> {
        parse_order(line).ok_or_else(|| malformed("order", line))
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(port) => write!(f, "ready {port}"),
            Self::Done => f.write_str("done"),
            Self::Since(time) => write!(f, "since {}", time.0),
            Self::Counts(counts) => write!(f, "counts {}", counts.to_line()),
            Self::Refused(reason) => write!(f, "refused {}", reason.replace(['\n', '\r'], " ")),
        }
    }
}

impl FromStr for Answer {
    type Err = Error;

    fn from_str(line: &str) -> Result<Self, Error> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let refused = || malformed("answer", line);
        Ok(match word {
            "ready" => Self::Ready(rest.parse().map_err(|_| refused())?),
            "done" => Self::Done,
            "since" => Self::Since(UnixNanos(rest.parse().map_err(|_| refused())?)),
            "counts" => Self::Counts(Box::new(Counts::parse(rest)?)),
            "refused" => Self::Refused(rest.to_owned()),
            _ => return Err(refused()),
        })
    }
}

fn parse_order(line: &str) -> Option<Order> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    Some(match (word, rest) {
        ("start", rest) => {
            let mut fields = rest.splitn(5, ' ');
            let seed = fields.next()?.parse().ok()?;
            let port = fields.next()?.parse().ok()?;
            let hertz = fields.next()?.parse().ok()?;
            let window = Duration::from_millis(fields.next()?.parse().ok()?);
            let out = PathBuf::from(fields.next()?);
            Order::Start(Settings { seed, port, profile: ProfileConfig { hertz, window }, out })
        }
        ("peer", rest) => {
            let (role, address) = rest.split_once(' ')?;
            Order::Peer(role.parse().ok()?, address.parse().ok()?)
        }
        ("fault", "on") => Order::Fault(true),
        ("fault", "off") => Order::Fault(false),
        ("count", "") => Order::Count,
        ("stop", "") => Order::Stop,
        _ => return None,
    })
}

fn malformed(what: &str, line: &str) -> Error {
    Error::new(
        ErrorKind::Malformed,
        format!("{what}: a line of {} bytes that says nothing known", line.len()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_and_answers_survive_the_trip() {
        let profile = ProfileConfig { hertz: 99, window: Duration::from_millis(1_500) };
        let settings = Settings { seed: 7, port: 0, profile, out: PathBuf::from("a folder/of the run") };
        let peer = Order::Peer(Role::Cache, "127.0.0.1:4000".parse().unwrap());
        for order in
            [Order::Start(settings), peer, Order::Fault(true), Order::Fault(false), Order::Count, Order::Stop]
        {
            assert_eq!(order.to_string().parse::<Order>().unwrap(), order);
        }
        let counts = Counts { ok: 3, ..Counts::default() };
        let refused = Answer::Refused("no such fault".to_owned());
        for answer in [
            Answer::Ready(40_000),
            Answer::Done,
            Answer::Since(UnixNanos(5)),
            Answer::Counts(Box::new(counts)),
            refused,
        ] {
            assert_eq!(answer.to_string().parse::<Answer>().unwrap(), answer);
        }
    }

    #[test]
    fn lines_that_say_nothing_known_are_refused() {
        for line in
            ["", "start", "start 1 2 3 4", "peer mail 127.0.0.1:1", "peer db x", "fault maybe", "count 1"]
        {
            assert!(line.parse::<Order>().unwrap_err().is_malformed(), "{line}");
        }
        for line in ["", "ready", "ready x", "since -1", "counts ok", "running 1 test"] {
            assert!(line.parse::<Answer>().unwrap_err().is_malformed(), "{line}");
        }
    }
}
