//! RESP2 and RESP3 as the parser tells them. Each case is also fed a byte at a time.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "clippy.toml allows them in tests, but knows no helpers of tests"
)]

mod stream;

use otlp_core::UnixNanos;
use otlp_ebpf::Limits;
use otlp_ebpf::parse::redis::Redis;
use otlp_ebpf::parse::{Chunk, Event, Parser};
use stream::{ToClient, ToServer, Told, bytewise, turns, whole};

fn tell(said: &[(char, &str)]) -> Told {
    let turns = turns(said);
    let told = whole(Redis::new(Limits::default()), &turns);
    let slowly = bytewise(Redis::new(Limits::default()), &turns);
    assert_eq!((&told.events, told.unparsed), (&slowly.events, slowly.unparsed), "cut and whole differ");
    told
}

fn commands(text: &str) -> Vec<String> {
    let told = tell(&[('>', text)]);
    assert_eq!(told.unparsed, [0, 0], "{:?}", told.events);
    told.events.into_iter().filter(|event| event.starts_with("command")).collect()
}

fn replies(text: &str) -> Vec<String> {
    let told = tell(&[('<', text)]);
    assert_eq!(told.unparsed, [0, 0], "{:?}", told.events);
    told.events
}

#[test]
fn commands_are_told_by_name_and_count_of_arguments() {
    let text = "*3\r\n$3\r\nSET\r\n$5\r\napple\r\n$0\r\n\r\n*1\r\n$4\r\nping\r\n*0\r\n*-1\r\n\r\n*2\r\n$3\r\nGET\r\n$7\r\na\r\nb$1c\r\n";
    assert_eq!(
        commands(text),
        [r#"command Some("SET") 2 One"#, r#"command Some("ping") 0 One"#, r#"command Some("GET") 1 One"#]
    );
}

#[test]
fn inline_commands_are_split_into_words_as_the_server_does() {
    let text = "PING\r\n  set  key \"a \\\" b\" 'c d'\r\n\n get x\n";
    assert_eq!(
        commands(text),
        [r#"command Some("PING") 0 One"#, r#"command Some("set") 3 One"#, r#"command Some("get") 1 One"#]
    );
}

#[test]
fn names_that_are_no_words_are_not_told() {
    let long = "X".repeat(33);
    let text = format!(
        "*1\r\n$33\r\n{long}\r\n*1\r\n$2\r\n\x01\x02\r\n*1\r\n$0\r\n\r\n*1\r\n$32\r\n{}\r\n",
        &long[1..]
    );
    let told = commands(&text);
    assert_eq!(told[..3], ["command None 0 One", "command None 0 One", "command None 0 One"]);
    assert_eq!(told[3], format!("command Some({:?}) 0 One", &long[1..]));
}

#[test]
fn commands_that_get_no_reply_say_so() {
    let text = "CLIENT REPLY SKIP\r\nSET a b\r\nGET a\r\nclient reply off\r\nGET a\r\nCLIENT REPLY SKIP\r\nPING\r\nCLIENT REPLY ON\r\nPING\r\nCLIENT INFO\r\n";
    let expects: Vec<_> =
        commands(text).iter().map(|told| told.rsplit(' ').next().unwrap().to_owned()).collect();
    let [no, one] = ["Nothing", "One"];
    assert_eq!(expects, [no, no, one, no, no, no, no, one, one, one]);
}

#[test]
fn subscriptions_say_how_often_they_are_confirmed() {
    let text = "SUBSCRIBE a b c\r\nunsubscribe\r\nPSUBSCRIBE x*\r\n";
    let told = commands(text);
    assert!(told[0].ends_with("Confirmations(3)"));
    assert!(told[1].ends_with("Confirmations(1)") && told[2].ends_with("Confirmations(1)"));
}

#[test]
fn after_monitor_nothing_is_read_any_more() {
    let told = tell(&[('>', "MONITOR\r\n"), ('<', "+OK\r\n+123 [0 x] \"get\"\r\n"), ('>', "QUIT\r\n")]);
    assert_eq!(told.events, [r#"command Some("MONITOR") 0 Nothing"#, "request end 0 Complete", "Left"]);
    assert_eq!(told.unparsed, [6, 23]);
}

#[test]
fn every_type_of_reply_is_read() {
    let scalars = [
        "+OK\r\n",
        "+\r\n",
        ":-12\r\n",
        "$3\r\na\r\n\r\n",
        "$0\r\n\r\n",
        "$-1\r\n",
        "*-1\r\n",
        "*0\r\n",
        "_\r\n",
        ",1.5e3\r\n",
        ",inf\r\n",
        "#t\r\n",
        "(3492890328409238509324850943850943825024385\r\n",
        "=8\r\ntxt:abcd\r\n",
        "%0\r\n",
        "~0\r\n",
        "*2\r\n*1\r\n+a\r\n%1\r\n+k\r\n*-1\r\n",
        "~1\r\n_\r\n",
        "$?\r\n;4\r\nHell\r\n;1\r\no\r\n;0\r\n",
        "*?\r\n:1\r\n*?\r\n.\r\n.\r\n",
        "%?\r\n+a\r\n:1\r\n.\r\n",
        "|1\r\n+ttl\r\n:3600\r\n$1\r\nx\r\n",
        "*1\r\n|1\r\n+a\r\n+b\r\n:1\r\n",
        "|0\r\n+OK\r\n",
    ];
    for text in scalars {
        let told = replies(text);
        assert_eq!(told.len(), 1, "{text:?}: {told:?}");
        assert!(told[0].ends_with(&format!(" {} Complete", text.len())), "{text:?}: {told:?}");
        assert!(!told[0].contains("Error") && !told[0].contains("Push"), "{text:?}: {told:?}");
    }
    assert_eq!(replies(&scalars.concat()).len(), scalars.len(), "one after the other");
}

#[test]
fn errors_are_told_by_their_prefix() {
    let long = format!("-{}\r\n", "X".repeat(40));
    let cases = [
        ("-ERR unknown command 'x'\r\n", "ERR"),
        ("-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", "WRONGTYPE"),
        ("-MOVED\r\n", "MOVED"),
        ("!21\r\nSYNTAX invalid syntax\r\n", "SYNTAX"),
        ("-\r\n", "_OTHER"),
        (&long, "_OTHER"),
    ];
    for (text, prefix) in cases {
        let told = replies(text);
        assert!(told[0].contains(&format!("kind: Error, error: Some({prefix:?})")), "{text:?}: {told:?}");
    }
    assert!(
        replies("*2\r\n-ERR inside\r\n+OK\r\n")[0].contains("kind: Array, error: None"),
        "EXEC itself went well"
    );
}

#[test]
fn pushes_are_told_from_answers() {
    let told = replies(">3\r\n+message\r\n+channel\r\n$2\r\nhi\r\n+OK\r\n");
    assert!(told[0].contains("Push") && told[1].contains("Value"), "{told:?}");
}

fn refused(direction: char, text: &str) -> String {
    let told = tell(&[(direction, text)]);
    told.events.last().cloned().unwrap_or_default()
}

#[test]
fn what_breaks_the_rules_is_refused_with_its_reason() {
    let cases = [
        ('>', "*1\r\n:3\r\n", "RespType(58)"),
        ('>', "*x\r\n", "RespNumber"),
        ('>', "*?\r\n", "RespNumber"),
        ('>', "*1\r\n$-1\r\n", "RespNumber"),
        ('>', "*1\r\n$3\r\nGETxx", "RespEnd"),
        ('>', "*1\r\n$9999999999\r\n", "value_bytes"),
        ('>', "*2\r\n$3\r\nGET\r\n$5\r\nap", "Truncated"),
        ('<', "x\r\n", "RespType(120)"),
        ('<', ".\r\n", "RespType(46)"),
        ('<', "+a\nb\r\n", "RespEnd"),
        ('<', "+a\rb\r\n", "RespEnd"),
        ('<', "$1\r\nab\r\n", "RespEnd"),
        ('<', ":x\r\n", "RespNumber"),
        ('<', "$-2\r\n", "RespNumber"),
        ('<', "$?\r\n+a\r\n", "RespType(43)"),
        ('<', "*2\r\n+a\r\n", "Truncated"),
    ];
    for (direction, text, kind) in cases {
        let refused = refused(direction, text);
        assert!(refused.starts_with("Refused") && refused.contains(kind), "{text:?}: {refused}");
    }
}

#[test]
fn nesting_is_bounded_and_a_flat_reply_of_any_length_is_not() {
    let nested = "*1\r\n".repeat(32) + ":1\r\n";
    assert_eq!(replies(&nested).len(), 1, "as deep as allowed");
    let deeper = "*1\r\n".repeat(33) + ":1\r\n";
    assert!(refused('<', &deeper).contains("Limit { what: \"depth\", limit: 32 }"));
    let flat = format!("*1000\r\n{}", "*1\r\n:1\r\n".repeat(1000));
    assert_eq!(replies(&flat).len(), 1);
}

#[test]
fn lines_beyond_the_limit_are_refused() {
    let limits = || Limits::default().max_line_bytes(50);
    for (direction, text) in [('<', "+"), ('>', "PING ")] {
        let turns = turns(&[(direction, &(text.to_owned() + &"x".repeat(60) + "\r\n"))]);
        let (told, slowly) = (whole(Redis::new(limits()), &turns), bytewise(Redis::new(limits()), &turns));
        assert_eq!((&told.events, told.unparsed), (&slowly.events, slowly.unparsed));
        assert!(told.events[0].contains("Limit { what: \"line_bytes\", limit: 50 }"), "{:?}", told.events);
    }
}

#[test]
fn commands_are_found_again_behind_a_line_feed() {
    let told = tell(&[('>', "*1\r\n:3\r\njunk *1\r\n*2\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n")]);
    assert_eq!(told.events[1], r#"command Some("GET") 1 One"#);
    assert_eq!(told.unparsed, [21, 0]);
    let told = tell(&[('>', "*1\r\n:3\r\n*1\r\n$999999999\r\n*1\r\n$4\r\nPING\r\n")]);
    assert_eq!(told.events[2], r#"command Some("PING") 0 One"#, "{:?}", told.events);
    assert_eq!(told.unparsed, [24, 0]);
}

#[test]
fn replies_are_read_again_once_told_where_one_begins() {
    let mut parser = Redis::mid_stream(Limits::default());
    let mut told = Told::default();
    told.feed(&mut parser, ToServer, b"k of a value\r\n*1\r\n$4\r\nPING\r\n");
    told.feed(&mut parser, ToClient, b"the rest\r\n");
    parser.realign(1, &mut |event| told.on(event));
    told.feed(&mut parser, ToClient, b"+PONG\r\n");
    assert!(told.events[2].contains("Value"), "{:?}", told.events);
    assert_eq!(told.unparsed, [14, 10]);
}

#[test]
fn lost_bytes_inside_a_string_cost_nothing() {
    let mut parser = Redis::new(Limits::default());
    let mut told = Told::default();
    let mut feed = |direction, missing, text: &str| {
        let chunk = Chunk::new(direction, UnixNanos(1), text.as_bytes()).after_gap(missing);
        parser.feed(chunk, &mut |event| told.on(event));
    };
    feed(ToServer, 0, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100\r\nab");
    feed(ToServer, 97, "z\r\n");
    feed(ToClient, 0, "$100\r\nab");
    feed(ToClient, 97, "z\r\n+O");
    feed(ToClient, 1, "\r\n");
    assert_eq!(told.events[0], r#"command Some("SET") 2 One"#);
    assert!(told.events[2].contains("108 Complete"), "{:?}", told.events);
    assert!(told.events[3].contains("Gap"), "{:?}", told.events);
}

#[test]
fn a_huge_string_is_skipped_without_being_held() {
    let mut parser = Redis::new(Limits::default());
    let mut told = Told::default();
    told.feed(&mut parser, ToClient, b"$67108864\r\n");
    let piece = vec![b'x'; 1 << 20];
    (0..64).for_each(|_| told.feed(&mut parser, ToClient, &piece));
    told.feed(&mut parser, ToClient, b"\r\n");
    assert_eq!(told.events.len(), 1);
    assert_eq!(told.held, 0);
}

#[test]
fn debug_output_holds_no_arguments() {
    let mut parser = Redis::new(Limits::default());
    let mut shown = String::new();
    let text = b"AUTH hunter2\r\nCLIENT hunter2 hunter2\r\n";
    parser.feed(Chunk::new(ToServer, UnixNanos(1), text), &mut |event| shown += &format!("{event:?}"));
    let mut reply = |event: Event<'_>| shown += &format!("{event:?}");
    parser.feed(Chunk::new(ToClient, UnixNanos(1), b"*1\r\n$7\r\nhunter2\r\n-ERR hunter2\r\n"), &mut reply);
    assert!(shown.contains("AUTH") && shown.contains("ERR"));
    assert!(!shown.contains("hunter2"), "{shown}");
}
