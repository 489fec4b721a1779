//! Captured segments to spans: however a conversation is cut up, doubled and mixed, its spans are the same.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use otlp_core::UnixNanos;
use otlp_core::record::{AnyValue, KeyValue, Span, SpanKind};
use otlp_ebpf::join::JoinTable;
use otlp_ebpf::parse::Direction::{ToClient, ToServer};
use otlp_ebpf::parse::infer::Builtin;
use otlp_ebpf::tracer::{Packet, Tracer, TracerConfig};
use otlp_ebpf::{IdSource, Limits, Role, Service};
use proptest::prelude::*;
use proptest::sample::Index;
use wire::{Owned, Wire, trace};

const REQUEST: &str = "GET /cart?id=7 HTTP/1.1\r\nHost: shop\r\n\r\n";
const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

fn config() -> TracerConfig {
    TracerConfig::new(7)
}

fn exchange(wire: Wire, mss: usize) -> Wire {
    wire.send(ToServer, REQUEST, mss).send(ToClient, ANSWER, mss)
}

fn text(span: &Span, key: &str) -> String {
    match KeyValue::find(&span.attributes, key) {
        Some(AnyValue::String(text)) => text.clone(),
        Some(AnyValue::Int(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_captured_exchange_becomes_a_span_with_its_ends() {
    let wire = exchange(Wire::new(40_000).open(), 7).close();
    let (spans, stats) = trace(config(), &wire.packets);
    let [(service, span)] = spans.as_slice() else { panic!("{spans:?}") };
    assert_eq!(
        (service.as_str(), span.name.as_str(), span.kind),
        ("unknown_service", "GET", SpanKind::Server)
    );
    assert_eq!(
        (text(span, "client.address"), text(span, "client.port")),
        ("10.0.0.7".into(), "40000".into())
    );
    assert_eq!((stats.connections, stats.closed, stats.late), (1, 1, 0));
    assert_eq!((stats.stream.repeated_bytes, stats.stream.missing_bytes), (0, 0));
}

#[test]
fn the_client_s_end_gives_spans_of_kind_client() {
    let wire = exchange(Wire::new(40_000).open(), 1000).send(ToServer, REQUEST, 1000).send(
        ToClient,
        "HTTP/1.1 404 x\r\nContent-Length: 0\r\n\r\n",
        1000,
    );
    let (spans, _) = trace(config().role(Role::Client), &wire.packets);
    let span = &spans[0].1;
    assert_eq!((span.kind, text(span, "network.peer.address")), (SpanKind::Client, "10.0.0.1".into()));
    assert_eq!(
        (text(span, "network.peer.port"), text(span, "client.address")),
        ("8080".into(), "None".into())
    );
    assert!(!span.is_error() && spans[1].1.is_error(), "4xx is the client's fault, and its failure");
}

#[test]
fn services_are_named_by_their_ports_and_protocols_fixed_there() {
    let ids = Arc::new(IdSource::seeded(1));
    let service = |name| Service::new(name, Arc::clone(&ids));
    let wire = exchange(Wire::new(40_000).open(), 1000);
    let (spans, _) = trace(config().service(8080, service("shop")), &wire.packets);
    assert_eq!(spans[0].0, "shop");
    let (spans, stats) = trace(config().service_of(8080, service("shop"), Builtin::Redis), &wire.packets);
    assert_eq!(spans.len(), 0);
    assert!(stats.account.refused > 0, "what is said to be Redis is read as Redis");
}

#[test]
fn whoever_knows_the_client_names_it_and_each_service_has_an_account_of_its_own() {
    let ids = Arc::new(IdSource::seeded(1));
    let service = |name| Service::new(name, Arc::clone(&ids)).join(Arc::new(JoinTable::default()));
    let known = |client: SocketAddr, server: SocketAddr| {
        (client.port() == 40_000 && server.port() == 8080).then(|| Arc::from("order"))
    };
    let config = config().service(8080, service("shop")).callers(Arc::new(known));
    let [of_order, of_a_stranger] =
        [40_000, 40_001].map(|port| exchange(Wire::new(port).open(), 1000).close());
    for (wire, peer, unknown) in [(of_order, "order", 0), (of_a_stranger, "None", 1)] {
        let mut tracer = Tracer::new(config.clone());
        let mut spans = Vec::new();
        wire.packets.iter().for_each(|packet| {
            tracer.take(&packet.packet(), &mut |_, span| spans.push(span));
            assert_eq!(tracer.accounts().get("shop").copied().unwrap_or_default(), tracer.stats().account);
        });
        assert_eq!(text(&spans[0], "service.peer.name"), peer);
        let accounts = tracer.accounts();
        assert_eq!((accounts.len(), accounts["shop"].spans), (1, 1));
        assert_eq!(accounts["shop"].join.caller_unknown, unknown);
    }
}

#[test]
fn a_connection_open_already_is_followed_from_its_next_request_on() {
    let long = format!("HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n{}", "x".repeat(4000));
    let wire = Wire::new(40_000).open().send(ToServer, REQUEST, 1000).send(ToClient, long, 1000);
    let wire = exchange(exchange(wire, 1000), 1000);
    for seen_from in 1..9 {
        let (spans, stats) = trace(config(), &wire.packets[seen_from..]);
        let whole = if seen_from <= 3 { 3 } else { 2 };
        assert_eq!(spans.len(), whole, "from {seen_from}: {stats:?}");
        assert_eq!(stats.late, u64::from(seen_from > 1));
        assert!(spans.iter().all(|(_, span)| text(span, "client.port") == "40000"));
    }
}

#[test]
fn a_server_on_the_higher_port_is_told_by_what_is_said() {
    let mut wire = Wire::new(80);
    wire.ends[1].set_port(50_000);
    let wire = exchange(wire.send(ToClient, "tail of a body", 1000), 1000);
    let (spans, stats) = trace(config(), &wire.packets);
    assert_eq!((text(&spans[0].1, "client.port"), stats.unknown_bytes), ("80".into(), 14));
}

#[test]
fn a_port_used_again_is_another_connection() {
    let mut wire = exchange(Wire::new(40_000).open(), 1000).send(ToServer, REQUEST, 1000);
    let mut again = exchange(Wire::new(40_000), 1000);
    again.packets.clear();
    let again = exchange(again.open(), 1000).close();
    wire.packets.extend(again.packets);
    let (spans, stats) = trace(config(), &wire.packets);
    assert_eq!((stats.connections, stats.replaced, stats.closed), (2, 1, 1));
    let errors: Vec<_> = spans.iter().map(|(_, span)| text(span, "error.type")).collect();
    assert_eq!(errors, ["None", "connection_closed", "None"]);
    assert_ne!(spans[0].1.span_id, spans[2].1.span_id);
}

#[test]
fn a_reset_fails_what_waits_and_late_copies_begin_nothing() {
    let wire = Wire::new(40_000).open().send(ToServer, REQUEST, 1000).reset(ToClient);
    let mut packets = wire.packets;
    packets.push(packets[3].clone());
    packets.push(packets[2].clone());
    let (spans, stats) = trace(config(), &packets);
    assert_eq!(spans.len(), 1);
    assert_eq!(text(&spans[0].1, "error.type"), "connection_reset");
    assert_eq!((stats.connections, stats.reset), (1, 1));
}

#[test]
fn bytes_cut_off_by_the_capture_are_missing_from_bodies_only() {
    let body = "x".repeat(900);
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{body}");
    let cut = answer.len() as u64 - 96;
    let wire = Wire::new(40_000).open().send(ToServer, REQUEST, 2000).send(ToClient, answer, 2000);
    let mut packets = exchange(wire, 2000).packets;
    packets.iter_mut().for_each(|packet| packet.bytes.truncate(96));
    let (spans, stats) = trace(config(), &packets);
    assert_eq!(spans.len(), 2);
    assert_eq!(text(&spans[0].1, "http.response.body.size"), "900");
    assert_eq!((stats.stream.cut_bytes, stats.stream.missing_bytes), (cut, cut));
}

#[test]
fn a_lost_segment_of_a_head_costs_its_exchange_and_no_other() {
    let mut wire = Wire::new(40_000).open();
    for _ in 0..3 {
        wire = exchange(wire, 20).ack(ToServer);
    }
    wire.time += 3_000_000_000;
    let whole = exchange(wire, 20).close();
    let heads = (3..whole.packets.len()).filter(|at| whole.packets[*at].length > 0);
    for lost in heads {
        let mut packets = whole.packets.clone();
        packets.remove(lost);
        let (spans, stats) = trace(config(), &packets);
        let perfect =
            |span: &Span| text(span, "url.query") == "id=7" && text(span, "http.response.body.size") == "5";
        let good = spans.iter().filter(|(_, span)| perfect(span)).count();
        assert!(good >= 2, "without {lost}: {good} of {} good, {stats:?}", spans.len());
        let spurious = spans.iter().filter(|(_, span)| !perfect(span) && !span.is_error());
        let spurious: Vec<_> = spurious.collect();
        assert!(spurious.is_empty(), "without {lost}: {spurious:?}");
        assert!(stats.stream.missing_bytes > 0);
    }
}

#[test]
fn connections_are_bounded_and_those_idle_longest_make_room() {
    let mut packets = Vec::new();
    for port in 1..=20 {
        packets.extend(Wire::new(20_000 + port).open().send(ToServer, REQUEST, 1000).packets);
    }
    let (spans, stats) = trace(config().max_connections(5), &packets);
    assert_eq!((spans.len(), stats.connections, stats.evicted, stats.cut_off), (0, 20, 15, 5));
    assert_eq!(stats.account.lost.shutdown, 20);
    packets.iter_mut().enumerate().for_each(|(at, packet)| packet.time += 1_000_000_000 * at as u64);
    let (_, stats) = trace(config().idle(Duration::from_secs(10)), &packets);
    assert!(stats.idle >= 15 && stats.evicted == 0, "{stats:?}");
}

#[test]
fn what_is_held_out_of_order_is_bounded_for_one_and_for_all() {
    let flood = |port| {
        let mut wire = Wire::new(port).open().send(ToServer, "x".repeat(64 << 10), 100);
        wire.packets.remove(3);
        wire.packets
    };
    let service = || {
        let limits = Limits::default().max_held_bytes(10_000);
        Service::new("shop", Arc::new(IdSource::seeded(1))).limits(limits)
    };
    for (config, most) in
        [(config().otherwise(service()), 20 * 10_300), (config().max_held_bytes(10_000), 10_300)]
    {
        let mut tracer = Tracer::new(config);
        let mut held = 0;
        for packet in (1..=20).flat_map(flood) {
            let before = tracer.stats().stream.passed_bytes;
            tracer.take(&packet.packet(), &mut |_, _| {});
            let stats = tracer.stats();
            held = held.max(stats.stream.passed_bytes - before);
            let kept = tracer.held_bytes();
            assert!(kept < most + (1 << 20), "{kept}");
        }
        assert!(tracer.stats().stream.holes_full > 0);
        tracer.finish(&mut |_, _| {});
        assert_eq!(tracer.stats().stream.missing_bytes, 20 * 100);
    }
}

/// A conversation: requests and answers with bodies, sometimes pipelined.
fn conversation() -> impl Strategy<Value = Vec<(String, String)>> {
    let turn = (0..400_usize, 0..3000_usize, 200..600_u16).prop_map(|(asked, answered, status)| {
        let request = format!(
            "POST /{status} HTTP/1.1\r\nHost: shop\r\nContent-Length: {asked}\r\n\r\n{}",
            "q".repeat(asked)
        );
        let status = if status == 204 || status == 304 { 200 } else { status };
        let answer =
            format!("HTTP/1.1 {status} x\r\nContent-Length: {answered}\r\n\r\n{}", "a".repeat(answered));
        (request, answer)
    });
    proptest::collection::vec(turn, 1..6)
}

fn spoken(said: &[(String, String)], mss: usize, pipelined: bool) -> Vec<Owned> {
    let mut wire = Wire::new(40_000).open();
    if pipelined {
        let requests: String = said.iter().map(|(request, _)| request.as_str()).collect();
        let answers: String = said.iter().map(|(_, answer)| answer.as_str()).collect();
        wire = wire.send(ToServer, requests, mss).send(ToClient, answers, mss);
    } else {
        for (request, answer) in said {
            wire = wire.send(ToServer, request, mss).send(ToClient, answer, mss);
        }
    }
    wire.close().packets
}

/// Everything about spans that does not depend on when pieces came.
fn essence(spans: &[(String, Span)]) -> Vec<String> {
    let without_time = |span: &Span| {
        let span = Span { start: Default::default(), end: Default::default(), ..span.clone() };
        format!("{span:?}")
    };
    spans.iter().map(|(_, span)| without_time(span)).collect()
}

/// Mixes neighbours, doubles some, and sends some again in other pieces.
fn disturb(packets: &mut Vec<Owned>, swaps: &[(Index, usize)], doubled: &[(Index, Index, usize)]) {
    // The handshake stays in front and keeps its time, from which identifiers follow.
    for (from, to, keep) in doubled {
        let from = 3 + from.index(packets.len() - 3);
        let mut copy = packets[from].clone();
        if copy.length > 1 && !copy.flags[1] {
            // A retransmission that is cut elsewhere, and lies about what it holds: what came first stands.
            let length = 1 + keep % (copy.bytes.len() - 1);
            copy.bytes.truncate(length);
            copy.length = u32::try_from(length).unwrap();
        }
        let to = from + 1 + to.index((packets.len() - from).min(6));
        packets.insert(to.min(packets.len()), copy);
    }
    for (at, by) in swaps {
        let first = 3 + at.index(packets.len() - 3);
        // Not past what the other end says: that is another conversation.
        for at in first..first + by {
            let Some(next) = packets.get(at + 1) else { break };
            if next.from != packets[at].from && next.length > 0 && packets[at].length > 0 {
                break;
            }
            packets.swap(at, at + 1);
        }
    }
    // All at one time, so that no hole is given up for its age: see the tests of that.
    let time = packets[0].time;
    packets.iter_mut().for_each(|packet| packet.time = time);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_cuts_order_and_doubles_give_the_same_spans(
        said in conversation(), mss in 20..1500_usize, pipelined: bool,
        swaps in proptest::collection::vec((any::<Index>(), 0..8_usize), 0..12),
        doubled in proptest::collection::vec((any::<Index>(), any::<Index>(), any::<usize>()), 0..12),
    ) {
        let (expected, stats) = trace(config(), &spoken(&said, usize::MAX, pipelined));
        prop_assert_eq!(expected.len(), said.len());
        let mut packets = spoken(&said, mss, pipelined);
        disturb(&mut packets, &swaps, &doubled);
        let patient = Limits::default().max_acked_hold_time(Duration::from_secs(1));
        let service = Service::new("unknown_service", Arc::new(IdSource::seeded(7))).limits(patient);
        let (spans, disturbed) = trace(config().otherwise(service), &packets);
        prop_assert_eq!(essence(&spans), essence(&expected));
        prop_assert_eq!(disturbed.stream.missing_bytes, 0);
        prop_assert_eq!(disturbed.stream.passed_bytes, stats.stream.passed_bytes);
    }

    #[test]
    fn lost_packets_never_mix_exchanges(
        said in conversation(), mss in 20..1500_usize,
        lost in proptest::collection::vec(any::<Index>(), 1..8), from in 0..6_usize,
    ) {
        let mut packets = spoken(&said, mss, false);
        for at in &lost {
            packets.remove(at.index(packets.len()));
            prop_assume!(!packets.is_empty());
        }
        packets.drain(..from.min(packets.len() - 1));
        packets.iter_mut().enumerate().for_each(|(at, packet)| packet.time += 1_000_000_000 * at as u64);
        let (spans, _) = trace(config(), &packets);
        prop_assert!(spans.len() <= said.len());
        for (_, span) in &spans {
            let status = text(span, "http.response.status_code");
            let path = text(span, "url.path");
            let answered = path.trim_start_matches('/').replace("204", "200").replace("304", "200");
            prop_assert!(status == "None" || status == answered, "{} answered {}", path, status);
        }
    }
}

#[test]
fn a_packet_seen_at_both_ends_counts_once() {
    let wire = exchange(exchange(Wire::new(40_000).open(), 9), 1000).close();
    let (once, _) = trace(config(), &wire.packets);
    let twice: Vec<_> = wire.packets.iter().flat_map(|packet| [packet.clone(), packet.clone()]).collect();
    let (spans, stats) = trace(config(), &twice);
    assert_eq!(spans, once);
    let bytes: u64 = wire.packets.iter().map(|packet| u64::from(packet.length)).sum();
    assert_eq!((stats.stream.passed_bytes, stats.stream.repeated_bytes), (bytes, bytes));
}

#[test]
fn the_same_addresses_in_two_namespaces_are_two_connections() {
    let wire = exchange(Wire::new(40_000).open(), 1000).close();
    let mut tracer = Tracer::new(config());
    let mut spans = Vec::new();
    for packet in &wire.packets {
        for namespace in [1, 2] {
            let packet = Packet { namespace, ..packet.packet() };
            tracer.take(&packet, &mut |_, span| spans.push(span));
        }
    }
    assert_eq!((spans.len(), tracer.stats().closed), (2, 2));
    assert_ne!(spans[0].trace_id, spans[1].trace_id);
}

#[test]
fn a_live_capture_gives_up_a_hole_when_its_time_has_passed() {
    let mut wire = exchange(Wire::new(40_000).open(), 1000);
    wire = wire.send(ToServer, "POST / HTTP/1.1\r\nContent-Length: 30\r\n\r\n", 1000);
    wire = wire.send(ToServer, "x".repeat(30), 10).send(ToClient, ANSWER, 1000);
    // The answer acknowledges nothing, so that it is time alone that tells.
    wire.packets.last_mut().unwrap().acknowledged = None;
    let lost = wire.packets.iter().position(|packet| packet.bytes == b"xxxxxxxxxx").unwrap();
    wire.packets.remove(lost);
    let mut tracer = Tracer::new(config());
    let mut spans = Vec::new();
    wire.packets.iter().for_each(|packet| tracer.take(&packet.packet(), &mut |_, span| spans.push(span)));
    let now = UnixNanos(wire.time);
    assert!(tracer.held_bytes() > 0 && tracer.stats().stream.missing_bytes == 0);
    tracer.advance(now + Duration::from_secs(1), &mut |_, span| spans.push(span));
    assert_eq!(tracer.stats().stream.missing_bytes, 0);
    tracer.advance(now + Duration::from_secs(3), &mut |_, span| spans.push(span));
    let stats = tracer.stats();
    assert_eq!((stats.stream.missing_bytes, stats.stream.holes_expired, stats.open), (10, 1, 1));
    tracer.advance(now + Duration::from_secs(400), &mut |_, span| spans.push(span));
    assert_eq!((tracer.stats().idle, tracer.stats().open), (1, 0));
    assert_eq!(spans.len(), 2);
}

#[test]
fn a_first_copy_stands_against_a_later_one() {
    let wire = exchange(Wire::new(40_000).open(), 1000);
    let mut packets = wire.packets;
    let mut forged = packets[3].clone();
    forged.bytes = forged.bytes.to_ascii_uppercase();
    packets.insert(4, forged.clone());
    let (spans, _) = trace(config(), &packets);
    assert_eq!(text(&spans[0].1, "url.path"), "/cart");
    // The twin: the forged one first.
    packets.swap(3, 4);
    let (spans, _) = trace(config(), &packets);
    assert_eq!(text(&spans[0].1, "url.path"), "/CART");
}
