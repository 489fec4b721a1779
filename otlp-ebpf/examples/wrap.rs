//! A program watches itself: a client and a server of its own, over TLS of rustls, each wrapped.
//!
//! `cargo run -p otlp-ebpf --example wrap`

use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use otlp_core::sink::MemorySink;
use otlp_ebpf::wrap::{Observer, TappedSpan};
use otlp_ebpf::{Ends, IdSource, Role, Service};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let sink = Arc::new(MemorySink::<TappedSpan>::new(100));
    let observer =
        |name, seed| Observer::new(Service::new(name, Arc::new(IdSource::seeded(seed))), sink.clone());
    let (shop, browser) = (observer("shop", 1), observer("browser", 2));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone())?;
    let serving =
        ServerConfig::builder().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key)?;
    let asking = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();

    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let server = thread::spawn(move || -> Result<(), Failure> {
        let (socket, client) = listener.accept()?;
        let session = ServerConnection::new(Arc::new(serving))?;
        let ends = Ends::new(client, address).over_tls();
        let mut stream = shop.observe(StreamOwned::new(session, socket), ends);
        // The whole request: it was written at once.
        let _ = stream.read(&mut [0; 1024])?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")?;
        Ok(stream.flush()?)
    });
    let socket = TcpStream::connect(address)?;
    let ends = Ends::new(socket.local_addr()?, address).seen_by(Role::Client).over_tls();
    let session = ClientConnection::new(Arc::new(asking), "localhost".try_into()?)?;
    let mut stream = browser.observe(StreamOwned::new(session, socket), ends);
    stream.write_all(b"GET /cart HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    stream.read_exact(&mut [0; 43])?;
    server.join().map_err(|_| "the server panicked")??;
    for TappedSpan { service, span, .. } in sink.take() {
        println!("{service}: {} {:?} {:?}", span.name, span.kind, span.attributes);
    }
    Ok(())
}
