//! RESP beside `redis-protocol`, MySQL's packets beside `mysql_common`: whole streams, in the pieces of their turns.

use std::hint::black_box;

use bytes::BytesMut;
use mysql_common::proto::codec::PacketCodec;
use otlp_core::UnixNanos;
use otlp_ebpf::Limits;
use otlp_ebpf::parse::Direction::{self, ToClient, ToServer};
use otlp_ebpf::parse::mysql::MySql;
use otlp_ebpf::parse::redis::{Redis, ReplyKind};
use otlp_ebpf::parse::{Chunk, Event, Parser, RequestHead, ResponseHead};
use redis_protocol::resp2::decode::decode_range;
use redis_protocol::resp2::types::RangeFrame;

use super::talk::{self, Talk};
use crate::measure::{Disagreement, Effort, Figure, Row, compare, timed};

/// Exchanges of a stream.
const EXCHANGES: u32 = 1_000;

pub(super) fn rows(effort: &Effort) -> Vec<Result<Row, Disagreement>> {
    let commands = talk::redis_mixed(EXCHANGES as usize);
    let queries = talk::mysql_rows(EXCHANGES as usize, 20);
    let figures = [
        Figure {
            name: "a command and its reply, RESP2".to_owned(),
            records: EXCHANGES,
            ours: Box::new(|| timed(|| redis_ours(&commands))),
            peer: ("redis-protocol", Box::new(|| timed(|| redis_theirs(&commands)))),
            bar: 2.0,
        },
        Figure {
            name: "a prepared statement run, and its 20 rows, MySQL packets".to_owned(),
            records: EXCHANGES,
            ours: Box::new(|| timed(|| mysql_ours(&queries))),
            peer: (
                "mysql_common",
                Box::new(|| {
                    let mut buffers = buffers(&queries);
                    timed(|| mysql_theirs(&mut buffers))
                }),
            ),
            bar: 2.0,
        },
    ];
    let wanted = figures.into_iter().filter(|figure| figure.name.contains(&effort.only));
    wanted.map(|mut figure| compare(&mut figure, effort)).collect()
}

/// Words of commands, lengths of their names; replies, and those that are errors.
fn redis_ours(talk: &Talk) -> u64 {
    let mut parser = Redis::new(Limits::default());
    let mut sum = 0;
    for (direction, bytes) in talk {
        parser.feed(Chunk::new(*direction, UnixNanos(1), bytes), &mut |event| match black_box(&event) {
            Event::Request { head: RequestHead::Redis(command), .. } => {
                sum += command.arguments() + command.name().map_or(0, str::len) as u64;
            }
            Event::Response { head: ResponseHead::Redis(reply), .. } => {
                sum += 1 + (u64::from(reply.kind() == ReplyKind::Error) << 32);
            }
            Event::Refused { .. } => sum += 1 << 48,
            _ => {}
        });
    }
    sum
}

fn redis_theirs(talk: &Talk) -> u64 {
    let mut sum = 0;
    for (direction, bytes) in talk {
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let Ok(Some((frame, used))) = decode_range(rest) else { return u64::MAX };
            sum += match (direction, black_box(&frame)) {
                (ToServer, RangeFrame::Array(words)) => {
                    let name = match words.first() {
                        Some(RangeFrame::BulkString((from, to))) => to - from,
                        _ => 0,
                    };
                    (words.len() - 1 + name) as u64
                }
                (ToServer, _) => 1 << 48,
                (ToClient, RangeFrame::Error(_)) => 1 + (1 << 32),
                (ToClient, _) => 1,
            };
            rest = rest.get(used..).unwrap_or_default();
        }
    }
    sum
}

/// Commands and rows.
fn mysql_ours(talk: &Talk) -> u64 {
    let mut parser = MySql::new(Limits::default());
    let mut sum = 0;
    for (direction, bytes) in talk {
        parser.feed(Chunk::new(*direction, UnixNanos(1), bytes), &mut |event| match black_box(&event) {
            Event::Request { .. } => sum += 1 << 32,
            Event::Response { head: ResponseHead::Sql(outcome), .. } => sum += outcome.returned.unwrap_or(0),
            Event::Refused { .. } => sum += 1 << 60,
            _ => {}
        });
    }
    sum
}

type Buffers = Vec<(Direction, BytesMut)>;

/// The stream as their reader takes it, which uses it up.
fn buffers(talk: &Talk) -> Buffers {
    talk.iter().map(|(direction, bytes)| (*direction, BytesMut::from(bytes.as_slice()))).collect()
}

/// Packets taken apart by their codec, which checks their numbers; of an answer what is a row is told by its place.
fn mysql_theirs(talk: &mut Buffers) -> u64 {
    let (mut codec, mut packet) = (PacketCodec::default(), Vec::new());
    let mut sum = 0;
    // Behind the greeting, its answer, and the server's word on that.
    for (turn, (direction, bytes)) in talk.iter_mut().enumerate() {
        let direction = *direction;
        if turn == 0 || (direction == ToServer && turn > 2) {
            codec.reset_seq_id();
        }
        // The count of columns, their definitions, then rows up to an OK packet.
        let mut before_rows = None;
        loop {
            packet.clear();
            match codec.decode(bytes, &mut packet) {
                Ok(true) => {}
                Ok(false) => break,
                Err(_) => return u64::MAX,
            }
            let packet = black_box(packet.as_slice());
            match (direction, packet.first()) {
                // The login and the preparation, which is a request as well.
                (ToServer, Some(0x16 | 0x17)) if turn > 2 => sum += 1 << 32,
                _ if turn <= 4 => {}
                (ToClient, Some(columns)) if before_rows.is_none() => before_rows = Some(*columns),
                (ToClient, _) if before_rows > Some(0) => before_rows = before_rows.map(|left| left - 1),
                (ToClient, Some(kind)) if *kind != 0xfe => sum += 1,
                _ => {}
            }
        }
    }
    sum
}
