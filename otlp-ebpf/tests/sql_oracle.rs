//! `postgres-protocol` and `mysql_common` read and write whole streams as the parsers do.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "clippy.toml allows them in tests, but knows no helpers of tests"
)]

mod sql_session;

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use mysql_common::constants::{CapabilityFlags, StatusFlags};
use mysql_common::io::ParseBuf;
use mysql_common::packets::{
    AuthPlugin, ComChangeUser, ComChangeUserMoreData, ErrPacket, HandshakePacket, HandshakeResponse,
    OkPacketDeserializer, OldEofPacket, ResultSetTerminator, ServerError, SqlState,
};
use mysql_common::proto::codec::PacketCodec;
use mysql_common::proto::{MyDeserialize, MySerialize};
use otlp_core::UnixNanos;
use otlp_ebpf::Limits;
use otlp_ebpf::parse::Direction::{self, ToClient, ToServer};
use otlp_ebpf::parse::infer::{Builtin, Inferring, Protocol};
use otlp_ebpf::parse::mysql::MySql;
use otlp_ebpf::parse::sql::Failure;
use otlp_ebpf::parse::{Chunk, Event, Parser, RequestHead, ResponseHead};
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;
use sql_session::{Dice, Said, mysql, postgres};

/// Answers: rows, and the code of an error.
type Answers = Vec<(u64, Option<String>)>;

#[derive(Default)]
struct Told {
    commands: Vec<String>,
    answers: Answers,
    other: Vec<String>,
}

impl Told {
    fn on(&mut self, event: Event<'_>) {
        match event {
            Event::Request { head: RequestHead::Sql(command), .. } => {
                let text = command.statement.map_or("", |statement| statement.text());
                let (system, operation) = (command.system.name(), command.operation.name());
                self.commands
                    .push(format!("{system} {} {operation} {text}", command.namespace.unwrap_or("-")));
            }
            Event::Response { head: ResponseHead::Sql(outcome), .. } => {
                let code = match outcome.failure {
                    Some(Failure::SqlState(code)) => Some(String::from_utf8(code.to_vec()).unwrap()),
                    Some(Failure::Number(number)) => Some(number.to_string()),
                    Some(Failure::Skipped) => return,
                    Some(other) => Some(format!("{other:?}")),
                    None => None,
                };
                self.answers.push((outcome.returned.unwrap_or(0), code));
            }
            Event::RequestEnd { .. } => {}
            other => self.other.push(format!("{other:?}")),
        }
    }

    fn feed(&mut self, parser: &mut dyn Parser, direction: Direction, bytes: impl AsRef<[u8]>) {
        parser.feed(Chunk::new(direction, UnixNanos(1), bytes.as_ref()), &mut |event| self.on(event));
    }

    fn of(protocol: Builtin, said: &Said) -> Self {
        let mut told = Self::default();
        let mut parser = protocol.parser(&Limits::default());
        said.iter().for_each(|(direction, bytes)| told.feed(&mut *parser, *direction, bytes));
        assert!(told.other.is_empty(), "{:?}", told.other);
        told
    }
}

/// What `postgres-protocol` reads of the server's messages.
fn postgres_answers(said: &Said) -> Answers {
    let mut stream = BytesMut::new();
    said.iter().filter(|(to, _)| *to == ToClient).for_each(|(_, bytes)| stream.extend_from_slice(bytes));
    let mut answers = Vec::new();
    let mut rows = 0;
    while let Some(message) = Message::parse(&mut stream).unwrap() {
        match message {
            Message::DataRow(_) => rows += 1,
            Message::CommandComplete(_) => answers.push((std::mem::take(&mut rows), None)),
            Message::ErrorResponse(error) => {
                let mut fields = error.fields();
                let code = loop {
                    let field = FallibleIterator::next(&mut fields).unwrap().expect("a code");
                    if field.type_() == b'C' {
                        break String::from_utf8(field.value_bytes().to_vec()).unwrap();
                    }
                };
                answers.push((std::mem::take(&mut rows), Some(code)));
            }
            _ => {}
        }
    }
    assert!(stream.is_empty());
    answers
}

#[test]
fn postgres_answers_are_those_of_another_reader() {
    for seed in 0..60 {
        let said = postgres(20, seed % 2 == 0, &mut Dice::new(seed)).said;
        let (ours, theirs) = (Told::of(Builtin::Postgres, &said).answers, postgres_answers(&said));
        assert!(theirs.len() >= 20);
        assert_eq!(ours, theirs, "seed {seed}");
    }
}

#[test]
fn postgres_commands_of_another_writer_are_read() {
    let mut stream = BytesMut::new();
    frontend::startup_message([("user", "eve"), ("database", "shop")], &mut stream).unwrap();
    let mut told = Told::default();
    let mut parser = Inferring::new(Limits::default());
    told.feed(&mut parser, ToServer, stream.split());
    told.feed(&mut parser, ToClient, b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I");
    frontend::password_message(b"s3cret", &mut stream).unwrap();
    frontend::query("SELECT 's3cret' FROM a", &mut stream).unwrap();
    frontend::parse("s1", "SELECT b FROM t1 WHERE c = $1", [23], &mut stream).unwrap();
    frontend::describe(b'S', "s1", &mut stream).unwrap();
    frontend::flush(&mut stream);
    let value = |_, buffer: &mut BytesMut| {
        buffer.extend_from_slice(b"s3cret");
        Ok(postgres_protocol::IsNull::No)
    };
    assert!(frontend::bind("c1", "s1", [1], [()], value, [1], &mut stream).is_ok());
    frontend::execute("c1", 10, &mut stream).unwrap();
    frontend::close(b'P', "c1", &mut stream).unwrap();
    frontend::sync(&mut stream);
    frontend::execute("c1", 0, &mut stream).unwrap();
    frontend::sync(&mut stream);
    frontend::parse("", "DELETE FROM t2", [], &mut stream).unwrap();
    frontend::sync(&mut stream);
    frontend::query("COPY t3 FROM STDIN", &mut stream).unwrap();
    frontend::CopyData::new(b"s3cret".as_slice()).unwrap().write(&mut stream);
    frontend::copy_done(&mut stream);
    frontend::terminate(&mut stream);
    told.feed(&mut parser, ToServer, stream);
    let commands = [
        "postgresql shop QUERY SELECT ? FROM a",
        "postgresql shop EXECUTE SELECT b FROM t1 WHERE c = $1",
        "postgresql shop EXECUTE ",
        "postgresql shop PREPARE DELETE FROM t2",
        "postgresql shop QUERY COPY t3 FROM STDIN",
    ];
    assert_eq!(told.commands, commands);
    assert!(told.other.is_empty(), "{:?}", told.other);
}

const CLIENT: CapabilityFlags =
    CapabilityFlags::CLIENT_PROTOCOL_41.union(CapabilityFlags::CLIENT_LONG_PASSWORD);

/// What `mysql_common` reads of the server's packets: the end of rows, errors and the rows between.
fn mysql_answers(said: &Said) -> Answers {
    let mut answers = Vec::new();
    for (_, bytes) in said.iter().filter(|(to, _)| *to == ToClient).skip(2) {
        let mut codec = PacketCodec::default();
        // Answers begin with the number behind that of the command.
        codec.encode(&mut [0_u8].as_slice(), &mut BytesMut::new()).unwrap();
        let mut stream = BytesMut::from(bytes.as_slice());
        let mut packets = Vec::new();
        let mut packet = Vec::new();
        while codec.decode(&mut stream, &mut packet).unwrap() {
            packets.push(std::mem::take(&mut packet));
        }
        answers.push(mysql_answer(&packets));
    }
    answers
}

fn mysql_answer(packets: &[Vec<u8>]) -> (u64, Option<String>) {
    let first = &packets[0];
    if first[0] == 0xff {
        let error = ErrPacket::deserialize(CLIENT, &mut ParseBuf(first)).unwrap();
        return (0, Some(error.server_error().error_code().to_string()));
    }
    if first[0] == 0 {
        return (0, None);
    }
    let ends: Vec<_> = (1..packets.len()).filter(|at| is_end(&packets[*at])).collect();
    assert_eq!(ends.last(), Some(&(packets.len() - 1)), "the last packet ends the rows");
    let columns = usize::from(first[0]);
    // The definitions of columns may have an end of their own.
    let begin = if ends.len() == 2 { ends[0] + 1 } else { columns + 1 };
    ((packets.len() - 1 - begin) as u64, None)
}

fn is_end(packet: &[u8]) -> bool {
    let (mut old, mut new) = (ParseBuf(packet), ParseBuf(packet));
    let old = OkPacketDeserializer::<OldEofPacket>::deserialize(CLIENT, &mut old).is_ok() && old.is_empty();
    old || OkPacketDeserializer::<ResultSetTerminator>::deserialize(CLIENT, &mut new).is_ok()
}

#[test]
fn mysql_answers_are_those_of_another_reader() {
    for seed in 0..60 {
        let said = mysql(20, &mut Dice::new(seed)).said;
        let (ours, theirs) = (Told::of(Builtin::MySql, &said).answers, mysql_answers(&said));
        assert_eq!(theirs.len(), 20);
        assert_eq!(ours, theirs, "seed {seed}");
    }
}

/// Puts a message into packets, numbered from `first` on.
fn packets(first: usize, message: &[u8]) -> BytesMut {
    let mut codec = PacketCodec::default();
    codec.max_allowed_packet = 64 << 20;
    let mut to = BytesMut::new();
    (0..first).for_each(|_| codec.encode(&mut [0_u8].as_slice(), &mut to).unwrap());
    to.clear();
    codec.encode(&mut &*message, &mut to).unwrap();
    to
}

fn serialized(message: &impl MySerialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.serialize(&mut bytes);
    bytes
}

fn greeting(version: &str, flags: CapabilityFlags) -> BytesMut {
    let plugin = Some(b"mysql_native_password".as_slice());
    let status = StatusFlags::SERVER_STATUS_AUTOCOMMIT;
    let salt = Some(b"123456789012\0".as_slice());
    let packet = HandshakePacket::new(10, version.as_bytes(), 7, [1; 8], salt, flags, 33, status, plugin);
    packets(0, &serialized(&packet))
}

#[test]
fn mysql_logins_of_another_writer_are_read() {
    let secure = CapabilityFlags::CLIENT_SECURE_CONNECTION;
    let lengths = CapabilityFlags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA;
    let cases = [
        (CLIENT | secure, "8.0.36", "mysql"),
        (CLIENT | secure | lengths, "5.5.5-10.11.6-MariaDB-0+deb12u1", "mariadb"),
        (CLIENT, "5.7.1", "mysql"),
        ((CLIENT | secure).difference(CapabilityFlags::CLIENT_LONG_PASSWORD), "11.4.2", "mariadb"),
    ];
    for (flags, version, system) in cases {
        for database in [Some(b"shop".as_slice()), None] {
            let mut told = Told::default();
            let mut parser = Inferring::new(Limits::default());
            told.feed(&mut parser, ToClient, greeting(version, flags));
            let proof = Some([b's'; 20].as_slice());
            let plugin = Some(AuthPlugin::MysqlNativePassword);
            let (user, version) = (Some(b"eve".as_slice()), (8, 0, 36));
            let answer = HandshakeResponse::new(proof, version, user, database, plugin, flags, None, 1 << 24);
            told.feed(&mut parser, ToServer, packets(1, &serialized(&answer)));
            told.feed(&mut parser, ToClient, packets(2, &[0, 0, 0, 2, 0, 0, 0]));
            told.feed(&mut parser, ToServer, packets(0, b"\x0e"));
            let namespace = if database.is_some() { "shop" } else { "-" };
            assert_eq!(told.commands, [format!("{system} {namespace} PING ")], "{flags:?}");
            assert!(told.other.is_empty(), "{:?}", told.other);
        }
    }
}

#[test]
fn a_change_of_user_of_another_writer_changes_the_database() {
    let mut told = Told::default();
    let mut parser = MySql::mid_stream(Limits::default());
    told.feed(&mut parser, ToClient, "x");
    let more = ComChangeUserMoreData::new(33).with_auth_plugin(Some(AuthPlugin::MysqlNativePassword));
    let change = ComChangeUser::new()
        .with_user(Some(b"eve".as_slice()))
        .with_database(Some(b"shop".as_slice()))
        .with_auth_plugin_data(Some(b"s3cret".as_slice()))
        .with_more_data(Some(more));
    told.feed(&mut parser, ToServer, packets(0, &serialized(&change)));
    told.feed(&mut parser, ToClient, packets(1, b"\xfemysql_native_password\x0012345678901234567890\0"));
    told.feed(&mut parser, ToServer, packets(2, b"s3cret"));
    told.feed(&mut parser, ToClient, packets(3, &[0, 0, 0, 2, 0, 0, 0]));
    told.feed(&mut parser, ToServer, packets(0, b"\x02other"));
    let error =
        ErrPacket::Error(ServerError::new(1044, Some(SqlState::new(*b"42000")), b"s3cret".as_slice()));
    told.feed(&mut parser, ToClient, packets(1, &serialized(&error)));
    told.feed(&mut parser, ToServer, packets(0, b"\x03SELECT 1"));
    assert_eq!(told.commands, ["mysql - CHANGE_USER ", "mysql shop INIT_DB ", "mysql shop QUERY SELECT ?"]);
    assert_eq!(told.answers, [(0, None), (0, Some("1044".to_owned()))]);
}

#[test]
fn messages_beyond_16_mib_are_one_whatever_their_length() {
    const FULL: usize = 0xff_ffff;
    for length in [FULL - 1, FULL, FULL + 1, 2 * FULL, 2 * FULL + 5] {
        let mut told = Told::default();
        let mut parser = MySql::mid_stream(Limits::default());
        told.feed(&mut parser, ToClient, "x");
        let mut sql = b"\x03INSERT INTO t VALUES ('".to_vec();
        sql.resize(length - 2, b's');
        sql.extend(b"')");
        let query = packets(0, &sql);
        let parts = u8::try_from(length / FULL + 1).unwrap();
        query.chunks(1 << 20).for_each(|piece| told.feed(&mut parser, ToServer, piece));
        assert!(parser.held_bytes() < 64 << 10);
        told.feed(&mut parser, ToClient, [b"\x07\0\0".as_slice(), &[parts], &[0, 1, 0, 2, 0, 0, 0]].concat());
        told.feed(&mut parser, ToServer, packets(0, b"\x03SELECT b FROM t"));
        let mut answer = packets(1, b"\x01");
        let packet = |number: usize, message: &[u8]| packets(number, message);
        answer.extend_from_slice(&packet(2, b"\x03def"));
        let row = vec![0xfe; length];
        answer.extend_from_slice(&packet(3, &row));
        answer.extend_from_slice(&packet(3 + usize::from(parts), &[0xfe, 0, 0, 2, 0, 0, 0]));
        if length >= FULL {
            told.feed(&mut parser, ToClient, answer);
            assert_eq!(told.answers, [(0, None), (1, None)], "{length}");
        }
        assert_eq!(told.commands[0], "mysql - QUERY INSERT INTO t VALUES (?");
    }
}
