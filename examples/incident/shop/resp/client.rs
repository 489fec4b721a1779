//! Sending commands to the cache on pooled connections.

use otlp_core::{Error, ErrorKind};

use super::{Decoder, Reply, encode_command};
use crate::shop::pool::{Pool, read_more, write_all};

/// Sends one command and waits for its reply. A command is never sent twice.
///
/// # Errors
/// No connection, no answer in time, or an answer that is no RESP2.
pub(crate) fn send(pool: &Pool, words: &[&[u8]]) -> Result<Reply, Error> {
    let stream = pool.take()?;
    let mut bytes = Vec::new();
    encode_command(words, &mut bytes);
    write_all(&stream, &bytes)?;
    let mut decoder = Decoder::default();
    let reply = loop {
        if !read_more(&stream, |bytes| decoder.feed(bytes))? {
            return Err(Error::new(ErrorKind::Io, "reply: connection closed before its end"));
        }
        if let Some(reply) = decoder.reply()? {
            break reply;
        }
    };
    if decoder.is_empty() {
        pool.put(stream);
    }
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::shop::counter::Counters;
    use crate::shop::resp::Words;
    use crate::shop::resp::server::{Commands, serve_connection};

    struct Length;

    impl Commands for Length {
        fn run(&self, words: &Words) -> Reply {
            Reply::Integer(i64::try_from(words.len()).unwrap())
        }
    }

    #[test]
    fn commands_share_one_connection_and_a_closed_one_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let pool = Pool::new("cache");
        pool.set_address(listener.local_addr().unwrap());
        let counters = Counters::default();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (stream, _) = listener.accept().unwrap();
                serve_connection(&stream, &Length, &counters);
                drop(listener.accept().unwrap());
            });
            assert_eq!(send(&pool, &[b"GET", b"a"]).unwrap(), Reply::Integer(2));
            assert_eq!(send(&pool, &[b"DEL", b"a", b"b"]).unwrap(), Reply::Integer(3));
            drop(pool.take().unwrap());
            assert_eq!(send(&pool, &[b"PING"]).unwrap_err().kind(), ErrorKind::Io);
        });
    }
}
