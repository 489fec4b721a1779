//! The scripted conversation: a server and its clients over HTTP/1.1, always the same requests.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IoSlice, IoSliceMut, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

/// Requests that the clients make, and so spans that there should be.
pub const REQUESTS: usize = 3 * 20 + 2 + 9;

/// Bytes of the file that is served.
const FILE_BYTES: usize = 150_000;

/// Serves on a port of its own choice, which it prints, for ever.
pub fn serve() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let file = std::env::temp_dir().join(format!("otlp-guest-{}", std::process::id()));
    std::fs::write(&file, vec![b'f'; FILE_BYTES])?;
    println!("{}", listener.local_addr()?.port());
    for (number, stream) in listener.incoming().enumerate() {
        let (stream, file) = (stream?, file.clone());
        // What goes wrong is told by the client, which waits for its answer.
        thread::spawn(move || answer_all(stream, &file, number % 2 == 1));
    }
    Ok(())
}

/// Reads in one piece, or in two at once.
fn receive(stream: &mut TcpStream, seen: &mut Vec<u8>, in_two: bool) -> io::Result<usize> {
    let (mut first, mut second) = ([0; 100], [0; 4000]);
    let bytes = if in_two {
        stream.read_vectored(&mut [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)])?
    } else {
        stream.read(&mut second)?
    };
    let read = if in_two { [&first[..], &second[..]].concat() } else { second.to_vec() };
    seen.extend_from_slice(&read[..bytes]);
    Ok(bytes)
}

fn answer_all(mut stream: TcpStream, file: &Path, in_two: bool) -> io::Result<()> {
    let mut seen = Vec::new();
    loop {
        let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4) else {
            if receive(&mut stream, &mut seen, in_two)? == 0 {
                return Ok(());
            }
            continue;
        };
        let head = String::from_utf8_lossy(&seen[..end]).into_owned();
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or(0);
        while seen.len() < end + length {
            if receive(&mut stream, &mut seen, in_two)? == 0 {
                return Ok(());
            }
        }
        seen.drain(..end + length);
        answer(&mut stream, &head, file)?;
    }
}

fn answer(stream: &mut TcpStream, head: &str, file: &Path) -> io::Result<()> {
    let path = head.split(' ').nth(1).unwrap_or_default();
    match path.split(['?', '/']).nth(1).unwrap_or_default() {
        "gone" => stream.write_all(b"HTTP/1.1 410 Gone\r\nContent-Length: 4\r\n\r\ngone"),
        "broken" => stream.write_all(b"HTTP/1.1 503 Unavailable\r\nContent-Length: 6\r\n\r\nbroken"),
        "big" => stream.write_all(
            &[b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n", &[b'b'; 200_000][..]].concat(),
        ),
        "chunks" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            (0..5).try_for_each(|_| stream.write_all(b"a\r\n0123456789\r\n"))?;
            stream.write_all(b"0\r\n\r\n")
        }
        "vector" => {
            let parts = ["HTTP/1.1 200 OK\r\nContent-", "Length: 9\r\n", "\r\n", "", "in pieces"];
            let whole: usize = parts.iter().map(|part| part.len()).sum();
            let sent = stream.write_vectored(&parts.map(|part| IoSlice::new(part.as_bytes())))?;
            if sent == whole { Ok(()) } else { Err(io::Error::other("sent in part")) }
        }
        "file" => {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {FILE_BYTES}\r\n\r\n")?;
            // By sendfile, which is what std does here.
            io::copy(&mut File::open(file)?, stream).map(drop)
        }
        "last" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")?;
            stream.shutdown(Shutdown::Both)
        }
        _ => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    }
}

/// A server in a process of its own, which ends with this.
pub struct Server {
    _child: Stopped,
    pub port: u16,
}

/// A child that ends with this.
pub struct Stopped(pub Child);

impl Server {
    pub fn start() -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.arg("serve").stdout(Stdio::piped()).stdin(Stdio::null()).spawn()?;
        let mut port = String::new();
        if let Some(said) = child.stdout.take() {
            BufReader::new(said).read_line(&mut port)?;
        }
        let port = port.trim().parse().map_err(io::Error::other)?;
        Ok(Self { _child: Stopped(child), port })
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One connection.
pub struct Client(BufReader<TcpStream>);

impl Client {
    pub fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    pub fn request(method: &str, path: &str, body: &str) -> String {
        format!(
            "{method} {path} HTTP/1.1\r\nHost: guest\r\nUser-Agent: script\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    fn ask(&mut self, method: &str, path: &str, body: &str) -> io::Result<()> {
        self.0.get_mut().write_all(Self::request(method, path, body).as_bytes())
    }

    fn read(&mut self) -> io::Result<()> {
        let (mut line, mut length, mut is_chunked) = (String::new(), 0, false);
        while line != "\r\n" {
            line.clear();
            if self.0.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            is_chunked |= line == "Transfer-Encoding: chunked\r\n";
            let told = line.strip_prefix("Content-Length: ").and_then(|told| told.trim_end().parse().ok());
            length = told.unwrap_or(length);
        }
        if is_chunked {
            length = 5 * "a\r\n0123456789\r\n".len() + "0\r\n\r\n".len();
        }
        io::copy(&mut self.0.by_ref().take(u64::try_from(length).unwrap_or(0)), &mut io::sink()).map(drop)
    }

    pub fn get(&mut self, path: &str) -> io::Result<()> {
        self.ask("GET", path, "")?;
        self.read()
    }
}

/// Asks what is always asked, but for `word`, which each path of the first clients ends in.
pub fn talk(port: u16, word: &str) -> io::Result<()> {
    thread::scope(|scope| {
        let clients: Vec<_> = (0..3)
            .map(|client| {
                scope.spawn(move || {
                    let mut asks = Client::connect(port)?;
                    (0..20).try_for_each(|turn| match turn % 4 {
                        0 => asks.get(&format!("/ok/{client}/{turn}/{word}?token=secret")),
                        1 => asks.get(&format!("/gone/{client}/{turn}/{word}")),
                        2 => asks.get(&format!("/vector/{client}/{turn}/{word}")),
                        _ => asks
                            .ask("POST", &format!("/broken/{client}/{turn}/{word}"), &"b".repeat(5000))
                            .and_then(|()| asks.read()),
                    })
                })
            })
            .collect();
        clients
            .into_iter()
            .try_for_each(|client| client.join().map_err(|_| io::Error::other("a client fell"))?)
    })?;
    let mut asks = Client::connect(port)?;
    asks.0.get_mut().write_all(
        b"GET /piped/1 HTTP/1.1\r\nHost: guest\r\n\r\nGET /piped/2 HTTP/1.1\r\nHost: guest\r\n\r\n",
    )?;
    asks.read()?;
    asks.read()?;
    for _ in 0..2 {
        let mut asks = Client::connect(port)?;
        ["/big", "/chunks", "/file", "/ok"].iter().try_for_each(|path| asks.get(path))?;
    }
    asks.get("/last")
}
