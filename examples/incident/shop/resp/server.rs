//! Serving RESP2 on one connection.

use std::io::Write as _;
use std::net::TcpStream;

use super::{Decoder, Reply, Words};
use crate::shop::counter::{Counters, Outcome};
use crate::shop::server;

/// Whatever answers commands.
pub(crate) trait Commands: Send + Sync {
    /// Answers one command of at least one word; never panics on what the words say.
    fn run(&self, words: &Words) -> Reply;
}

/// Answers commands on `stream` until it ends or breaks; what came in one read is answered in one write.
///
/// Profiles are cut at this function by its name: see `profile`.
#[inline(never)]
pub(crate) fn serve_connection(stream: &TcpStream, commands: &dyn Commands, counters: &Counters) {
    let mut decoder = Decoder::default();
    let mut bytes = [0; server::READ_BYTES];
    loop {
        let count = server::read(stream, &mut bytes).unwrap_or(0);
        let Some(met) = bytes.get(..count).filter(|met| !met.is_empty()) else { return };
        decoder.feed(met);
        if !answer_all(stream, &mut decoder, commands, counters) {
            return;
        }
    }
}

/// Answers what is whole; true where the connection can be read on.
fn answer_all(
    mut stream: &TcpStream,
    decoder: &mut Decoder,
    commands: &dyn Commands,
    counters: &Counters,
) -> bool {
    let mut out = Vec::new();
    let mut outcomes = Vec::new();
    let mut guards = Vec::new();
    let readable = loop {
        match decoder.command() {
            Ok(Some(words)) => {
                guards.push(counters.begin(1));
                let reply = commands.run(&words);
                outcomes.push(outcome(&reply));
                reply.encode(&mut out);
            }
            Ok(None) => break true,
            Err(_) => {
                counters.malformed();
                Reply::Error("ERR Protocol error".to_owned()).encode(&mut out);
                break false;
            }
        }
    };
    if stream.write_all(&out).is_err() {
        return false;
    }
    for (mut guard, outcome) in guards.into_iter().zip(outcomes) {
        guard.served(outcome);
    }
    readable
}

const fn outcome(reply: &Reply) -> Outcome {
    match reply {
        Reply::Error(_) => Outcome::ClientError,
        _ => Outcome::Ok,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::{Shutdown, TcpListener};
    use std::time::Duration;

    use super::*;
    use crate::shop::counter::Counts;

    /// Answers with the last word, or refuses.
    struct Echo;

    impl Commands for Echo {
        fn run(&self, words: &Words) -> Reply {
            match words.as_slice() {
                [name] if name == b"BAD" => Reply::Error("ERR unknown command".to_owned()),
                [.., last] => Reply::Bulk(last.clone()),
                [] => Reply::Null,
            }
        }
    }

    fn exchange(pieces: &[&[u8]]) -> (String, Counts) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let counters = Counters::default();
        let mut met = String::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                serve_connection(&server, &Echo, &counters);
                drop(server.shutdown(Shutdown::Both));
            });
            for piece in pieces {
                client.write_all(piece).unwrap();
            }
            client.shutdown(Shutdown::Write).unwrap();
            client.read_to_string(&mut met).unwrap();
        });
        (met, counters.drained(Duration::ZERO))
    }

    #[test]
    fn cut_and_pipelined_commands_are_each_answered_and_counted_once() {
        let (met, counts) =
            exchange(&[b"*1\r\n$3\r\nBAD\r\nPING\r\n*2\r\n$4\r\nEC", b"HO\r\n$2\r\nhi", b"\r\n"]);
        assert_eq!(met, "-ERR unknown command\r\n$4\r\nPING\r\n$2\r\nhi\r\n");
        assert_eq!((counts.ok, counts.client_errors, counts.malformed), (2, 1, 0));
    }

    #[test]
    fn bytes_that_are_no_command_end_the_connection_after_what_came_before_is_answered() {
        let (met, counts) = exchange(&[b"PING\r\n*1\r\n!\r\n"]);
        assert_eq!(met, "$4\r\nPING\r\n-ERR Protocol error\r\n");
        assert_eq!((counts.served(), counts.malformed), (1, 1));
    }

    #[test]
    fn half_a_command_is_not_served() {
        let (met, counts) = exchange(&[b"*1\r\n$4\r\nPI"]);
        assert_eq!((met.as_str(), counts.served(), counts.in_flight), ("", 0, 0));
    }
}
