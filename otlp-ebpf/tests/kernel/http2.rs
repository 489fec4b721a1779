//! Many streams at once on a connection.

use std::process::Command;

use otlp_ebpf::capture::{Capture, Source};

use crate::machine::{Server, begin, end, required, spans};

#[test]
fn every_request_of_h2load_is_a_span_however_many_streams_there_are() {
    let Some(nghttpd) = required("nghttpd", "nghttp2-server") else { return };
    let Some(h2load) = required("h2load", "nghttp2-client") else { return };
    let server = Server::start("nghttpd", |folder, port| {
        std::fs::write(folder.join("index.html"), vec![b'x'; 700]).unwrap();
        let mut command = Command::new(&nghttpd);
        command.args(["--no-tls", "-d"]).arg(folder).arg(port.to_string());
        command
    });
    for source in [Source::Network, Source::Calls] {
        let Some(mut capture) = begin(Capture::builder().source(source).port(server.port())) else { return };
        for streams in ["1", "8", "32", "100"] {
            let mut command = Command::new(&h2load);
            command.args(["-n", "500", "-c", "2", "-m", streams]);
            command.arg(format!("http://127.0.0.1:{}/index.html", server.port()));
            let said = String::from_utf8(command.output().unwrap().stdout).unwrap();
            assert!(said.contains("500 succeeded"), "{said}");
            assert_eq!(spans(&mut capture, 500).len(), 500, "{streams} streams at once");
        }
        let stats = end(capture);
        assert_eq!((stats.server.account.spans, stats.server.account.lost.total()), (2000, 0), "{source:?}");
    }
}
