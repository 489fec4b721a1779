//! Both loaders give the same spans.
#![cfg(feature = "libbpf")]

use std::process::Command;

use otlp_ebpf::capture::{Buffer, Capture, CaptureBuilder, Loader, Source, Tls};
use otlp_ebpf::probe::{HookState, probe_with};

use crate::machine::{Server, begin, nginx, number, required, spans, text};
use crate::tls::encrypted;

/// What curl asks for, and h2load or wrk after it.
fn talk(server: &Server, scheme: &str) -> Option<usize> {
    let curl = required("curl", "curl")?;
    let url = |path: &str| format!("{scheme}://127.0.0.1:{}{path}", server.port());
    let mut command = Command::new(curl);
    command.args(["--silent", "--insecure", "--http1.1"]);
    for path in ["/ok?token=hunter2", "/gone", "/broken", "/big.bin"] {
        command.args(["-o", "/dev/null"]).arg(url(path));
    }
    assert!(command.status().unwrap().success());
    let h2load = required("h2load", "nghttp2-client")?;
    let mut command = Command::new(h2load);
    if scheme == "http" {
        command.arg("--h1");
    }
    command.args(["-n", "400", "-c", "4", "-m", if scheme == "http" { "1" } else { "8" }]).arg(url("/ok"));
    let said = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert!(said.contains("400 succeeded"), "{said}");
    Some(404)
}

/// What a capture made of it, without times and identifiers.
fn told(builder: CaptureBuilder, server: &Server, scheme: &str) -> Option<Vec<String>> {
    let mut capture = begin(builder)?;
    let wanted = talk(server, scheme)?;
    let met = spans(&mut capture, wanted);
    let told = met.iter().map(|met| {
        let span = &met.span;
        let [status, bytes] =
            ["http.response.status_code", "http.response.body.size"].map(|key| number(span, key));
        let [path, query] = ["url.path", "url.query"].map(|key| text(span, key));
        let [version, client] = ["network.protocol.version", "client.address"].map(|key| text(span, key));
        let name = met.service.name();
        format!("{name} {} {path} {query} {status} {bytes} {version} {client} {:?}", span.name, span.status)
    });
    let mut told: Vec<_> = told.collect();
    told.sort_unstable();
    let stats = capture.finish(&mut |more| panic!("a span nobody waited for: {more:?}"));
    assert!(stats.is_balanced(), "{stats:?}");
    assert_eq!((stats.kernel.full_records, stats.kernel.unknown, stats.libraries_left_out), (0, 0, 0));
    Some(told)
}

#[test]
fn nginx_and_its_clients_are_told_alike_by_both_loaders() {
    let (Some(plain), Some(secret)) = (nginx(""), encrypted("http2")) else { return };
    for source in [Source::Network, Source::Calls] {
        for (server, scheme, tls) in [(&plain, "http", Tls::Off), (&secret, "https", Tls::OpenSsl)] {
            let met = [Loader::Aya, Loader::Libbpf].map(|loader| {
                let builder = Capture::builder().source(source).port(server.port()).tls(tls).loader(loader);
                told(builder, server, scheme)
            });
            let [Some(aya), Some(libbpf)] = met else { return };
            assert_eq!(aya.len(), 404);
            assert!(aya.iter().any(|span| span.contains("/broken  503 6")), "{aya:?}");
            assert_eq!(aya, libbpf, "{source:?} {scheme}");
        }
    }
}

#[test]
fn buffers_of_processors_are_loaded_by_libbpf_too() {
    let Some(server) = nginx("") else { return };
    let builder = Capture::builder().source(Source::Network).port(server.port()).loader(Loader::Libbpf);
    let Some(told) = told(builder.buffer(Buffer::PerProcessor), &server, "http") else { return };
    assert_eq!(told.len(), 404);
}

#[test]
fn a_loader_is_told_where_hooks_are_told() {
    let Some(server) = nginx("") else { return };
    for (loader, name) in [(Loader::Aya, "aya"), (Loader::Libbpf, "libbpf")] {
        let Some(capture) = begin(Capture::builder().port(server.port()).loader(loader)) else { return };
        assert_eq!((capture.stats().loader, loader.to_string().as_str()), (loader, name));
        let used: Vec<_> = capture
            .hooks()
            .iter()
            .filter(|hook| hook.state() == HookState::Used)
            .map(ToString::to_string)
            .collect();
        assert!(used.iter().any(|hook| hook.contains(&format!("loaded by {name}"))), "{used:?}");
        let report = probe_with(loader);
        assert!(report.to_json().contains(&format!(r#""loader":"{name}""#)), "{}", report.to_json());
        assert!(report.to_string().contains(&format!("loader      {name}\n")));
    }
    // What one can, the other can.
    let states =
        |loader| probe_with(loader).hooks.iter().map(|hook| (hook.hook(), hook.state())).collect::<Vec<_>>();
    assert_eq!(states(Loader::Aya), states(Loader::Libbpf));
}
