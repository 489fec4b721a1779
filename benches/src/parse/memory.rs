//! What live connections hold: a process of its own for each protocol, so that none finds memory that another freed.

use std::process::{Command, ExitCode};
use std::sync::Arc;

use otlp_core::UnixNanos;
use otlp_ebpf::parse::Chunk;
use otlp_ebpf::parse::Direction::ToServer;
use otlp_ebpf::parse::infer::{Builtin, Protocol};
use otlp_ebpf::{Connection, Limits};

use super::talk::{self, Talk};
use super::{ends, service};
use crate::measure::{Effort, Row};

/// The area's name by which the program calls itself.
pub const AREA: &str = "__held";

/// Connections held at once.
const CONNECTIONS: usize = 10_000;

/// Connections of one protocol, and what was said on each: its last request is in flight.
struct Held {
    name: &'static str,
    protocol: Builtin,
    talk: fn() -> Talk,
}

/// What is good enough, in MB.
const MOST: f64 = 50.0;

const HELD: [Held; 7] = [
    Held {
        name: "HTTP/1 connections, a request in flight on each",
        protocol: Builtin::Http1,
        talk: || asked(talk::http1(1, 512)),
    },
    Held {
        name: "HTTP/2 connections, the eleventh gRPC call in flight on each",
        protocol: Builtin::Http2,
        talk: || asked(talk::grpc_reused(11)),
    },
    Held {
        // Each direction's table has as much as it may: nothing of it can be forgotten.
        name: "HTTP/2 connections, HPACK tables full, a gRPC call in flight on each",
        protocol: Builtin::Http2,
        talk: || asked(talk::grpc_reused(100)),
    },
    Held {
        name: "MySQL connections, the eleventh query in flight on each",
        protocol: Builtin::MySql,
        talk: || asked(talk::mysql(11)),
    },
    Held {
        name: "PostgreSQL connections, the eleventh query in flight on each",
        protocol: Builtin::Postgres,
        talk: || asked(talk::postgres(11)),
    },
    Held {
        name: "Kafka connections, the eleventh request in flight on each",
        protocol: Builtin::Kafka,
        talk: || asked(talk::kafka(11)),
    },
    Held {
        name: "Redis connections, the eleventh command in flight on each",
        protocol: Builtin::Redis,
        talk: || asked(talk::redis(11)),
    },
];

/// What was said up to the last request.
fn asked(mut talk: Talk) -> Talk {
    while talk.last().is_some_and(|(direction, _)| *direction != ToServer) {
        talk.pop();
    }
    talk
}

pub(super) fn rows(effort: &Effort) -> Vec<Row> {
    let named = HELD.iter().map(|held| (format!("resident memory of 10,000 {}, MB", held.name), held));
    named
        .filter(|(name, _)| name.contains(&effort.only))
        .map(|(name, held)| Row::count(&name, megabytes(held.name).unwrap_or(f64::NAN), MOST, None))
        .collect()
}

/// What a process that holds them says that it grew by.
fn megabytes(name: &str) -> Option<f64> {
    let output = Command::new(std::env::current_exe().ok()?).args([AREA, name]).output().ok()?;
    std::str::from_utf8(&output.stdout).ok()?.trim().parse().ok()
}

/// Holds what it is told to, and says what the process grew by.
#[expect(clippy::print_stdout, reason = "the answer to the parent")]
#[must_use]
pub fn run(args: &[String]) -> ExitCode {
    let Some(held) = HELD.iter().find(|held| args.iter().any(|name| name == held.name)) else {
        return ExitCode::from(2);
    };
    let (talk, service) = ((held.talk)(), service());
    let mut connections = Vec::with_capacity(CONNECTIONS);
    let before = resident_bytes();
    for _ in 0..CONNECTIONS {
        let parser = held.protocol.parser(&Limits::default());
        let mut connection = Connection::new(Arc::clone(&service), parser, ends());
        for (direction, bytes) in &talk {
            connection.feed(Chunk::new(*direction, UnixNanos(1), bytes), &mut |_| {});
        }
        if connection.account().in_progress != 1 {
            return ExitCode::from(2);
        }
        connections.push(connection);
    }
    println!("{}", resident_bytes().saturating_sub(before) as f64 / 1e6);
    drop(connections);
    ExitCode::SUCCESS
}

/// Resident bytes of this process, as the kernel counts them.
fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}
