//! OpenSSL that is linked into a program.

use std::process::Command;

use otlp_ebpf::capture::{Capture, Source, Tls};
use otlp_ebpf::probe::{TlsReport, probe};

use crate::c_program::{Built, with_openssl_within};
use crate::machine::{begin, end, number, required, spans, text};

/// What doctor says of the TLS of this process.
fn reports(pid: u32) -> Vec<TlsReport> {
    probe().tls.into_iter().filter(|report| report.pid == pid).collect()
}

/// Asks a server six times under a capture; gives what was seen, as method, path, status and bytes.
fn asked(program: &Built, reported: impl FnOnce(Vec<TlsReport>), seen: usize) -> Option<Vec<String>> {
    let curl = required("curl", "curl")?;
    let (server, port) = program.start(&[]);
    let port: u16 = port.parse().unwrap();
    let mut capture = begin(Capture::builder().source(Source::Network).port(port).tls(Tls::OpenSsl))?;
    reported(reports(server.pid()));
    for _ in 0..2 {
        let mut command = Command::new(&curl);
        command.args(["--silent", "--insecure"]);
        for path in ["/one?token=hunter2", "/gone", "/three"] {
            command.args(["-o", "/dev/null"]).arg(format!("https://127.0.0.1:{port}{path}"));
        }
        assert!(command.status().unwrap().success());
    }
    let met = spans(&mut capture, seen);
    let told = met.iter().map(|met| {
        let span = &met.span;
        assert_eq!(text(span, "client.address"), "127.0.0.1", "from the descriptor of the calls within");
        assert!(text(span, "user_agent.original").starts_with("curl/"));
        let [status, bytes] =
            ["http.response.status_code", "http.response.body.size"].map(|key| number(span, key));
        format!("{} {} {} {status} {bytes}", span.name, text(span, "url.path"), text(span, "url.query"))
    });
    let told = told.collect();
    let stats = end(capture);
    assert_eq!(stats.server.account.spans, u64::try_from(seen).unwrap());
    assert_eq!((stats.kernel.unknown, stats.libraries_left_out), (0, 0));
    Some(told)
}

#[test]
fn a_program_with_openssl_within_is_seen_by_its_symbols() {
    let Some(program) = with_openssl_within(&[]) else { return };
    let reported = |met: Vec<TlsReport>| {
        assert_eq!(met.len(), 1, "{met:?}");
        assert_eq!((met[0].library, &met[0].unseen), ("OpenSSL", &None));
        assert!(met[0].to_string().ends_with(", can be seen"), "{}", met[0]);
    };
    let Some(told) = asked(&program, reported, 6) else { return };
    let right = ["GET /one token=REDACTED 200 18", "GET /gone  410 5", "GET /three  200 6"].repeat(2);
    assert_eq!(told, right);
}

#[test]
fn without_symbols_it_is_not_seen_and_doctor_says_why() {
    let Some(program) = with_openssl_within(&["-s"]) else { return };
    let reported = |met: Vec<TlsReport>| {
        assert_eq!(met.len(), 1, "{met:?}");
        assert_eq!(met[0].library, "OpenSSL");
        assert!(met[0].to_string().contains("cannot be seen: the program has no symbols"), "{}", met[0]);
    };
    let Some(told) = asked(&program, reported, 0) else { return };
    assert_eq!(told, [""; 0]);
}
