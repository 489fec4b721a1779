//! Plain text that OpenSSL reads and writes.

use std::path::Path;
use std::process::Command;

use otlp_ebpf::capture::{Capture, CaptureBuilder, Source, Tls};

use crate::machine::{Server, begin, end, nginx_with, number, required, spans, text};

fn builder(server: &Server) -> CaptureBuilder {
    Capture::builder().source(Source::Network).port(server.port()).tls(Tls::OpenSsl)
}

/// Makes a key and its certificate in a folder.
pub(crate) fn certificate(openssl: &Path, folder: &Path) {
    let mut command = Command::new(openssl);
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    command.args(["-days", "2", "-subj", "/CN=localhost", "-keyout"]).arg(folder.join("key.pem"));
    command.arg("-out").arg(folder.join("certificate.pem"));
    assert!(command.output().unwrap().status.success());
}

/// nginx with a certificate of its own making, which goes with it.
pub(crate) fn encrypted(more: &str) -> Option<Server> {
    let openssl = required("openssl", "openssl")?;
    let make = |folder: &Path| certificate(&openssl, folder);
    let listen =
        format!("ssl {more}; ssl_certificate FOLDER/certificate.pem; ssl_certificate_key FOLDER/key.pem");
    nginx_with(&listen, make)
}

/// Asks for each path over one connection.
fn curl(server: &Server, paths: &[&str]) -> bool {
    let Some(program) = required("curl", "curl") else { return false };
    let mut command = Command::new(program);
    command.args(["--silent", "--insecure", "--http1.1"]);
    for path in paths {
        command.args(["-o", "/dev/null"]).arg(format!("https://127.0.0.1:{}{path}", server.port()));
    }
    assert!(command.status().unwrap().success());
    true
}

#[test]
fn requests_over_tls_are_spans_of_what_was_encrypted() {
    let Some(server) = encrypted("") else { return };
    let Some(mut capture) = begin(builder(&server)) else { return };
    let paths = ["/ok?token=hunter2", "/broken", "/big.bin", "/gone"];
    if !curl(&server, &paths) {
        return;
    }
    for _ in 0..4 {
        curl(&server, &paths[..2]);
    }
    let met = spans(&mut capture, 12);
    let told =
        |at: usize| (text(&met[at].span, "url.path"), number(&met[at].span, "http.response.status_code"));
    assert_eq!(
        [told(0), told(1), told(2), told(3)],
        [("/ok", 200), ("/broken", 503), ("/big.bin", 200), ("/gone", 410)]
    );
    assert_eq!(number(&met[2].span, "http.response.body.size"), 3 << 20);
    assert_eq!(text(&met[0].span, "url.query"), "token=REDACTED");
    assert_eq!(text(&met[0].span, "client.address"), "127.0.0.1", "from the descriptor of the calls within");
    let stats = end(capture);
    assert_eq!((stats.server.account.spans, stats.kernel.unknown), (12, 0));
    assert_eq!(
        (stats.server.account.refused, stats.kernel.full_records),
        (0, 0),
        "what is encrypted is passed over"
    );
    assert!(stats.kernel.encrypted > 40, "{stats:?}");
}

#[test]
fn without_it_there_is_cipher_text_and_no_span() {
    let Some(server) = encrypted("") else { return };
    let Some(mut capture) = begin(Capture::builder().source(Source::Network).port(server.port())) else {
        return;
    };
    if !curl(&server, &["/ok", "/ok"]) {
        return;
    }
    capture.poll(&mut |_| ());
    let stats = end(capture);
    assert_eq!(stats.server.account.spans, 0);
    assert!(stats.delivered_bytes > 1000, "{stats:?}");
}

#[test]
fn streams_of_http2_within_tls_are_followed() {
    let (Some(server), Some(h2load)) = (encrypted("http2"), required("h2load", "nghttp2-client")) else {
        return;
    };
    let Some(mut capture) = begin(builder(&server)) else { return };
    let mut command = Command::new(h2load);
    command.args(["-n", "400", "-c", "4", "-m", "8"]).arg(format!("https://127.0.0.1:{}/ok", server.port()));
    let said = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert!(said.contains("400 succeeded"), "{said}");
    let met = spans(&mut capture, 400);
    assert!(met.iter().all(|met| text(&met.span, "url.path") == "/ok"));
    assert_eq!(end(capture).server.account.spans, 400);
}
