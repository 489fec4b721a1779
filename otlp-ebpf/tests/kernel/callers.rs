//! Who calls, though it is gone before anybody looks.

use std::process::{Command, Stdio};
use std::sync::Arc;

use otlp_ebpf::capture::{Capture, Source};
use otlp_ebpf::probe::{Hook, HookState};
use otlp_ebpf::resolve::process::ProcessTable;

use crate::machine::{Client, begin, end, nginx, number, required, spans, text};

#[test]
fn a_caller_is_named_after_it_has_ended() {
    let (Some(server), Some(curl)) = (nginx(""), required("curl", "curl")) else { return };
    let callers = Arc::new(ProcessTable::default());
    let builder =
        Capture::builder().source(Source::Network).port(server.port()).callers(Arc::clone(&callers));
    let Some(mut capture) = begin(builder) else { return };
    let state = |hook: Hook| capture.hooks().iter().find(|report| report.hook() == hook).unwrap().state();
    if state(Hook::Connect) != HookState::Used {
        return crate::machine::skip("a kernel that tells who connects").unwrap_or_default();
    }
    for address in ["127.0.0.1", "[::ffff:127.0.0.1]"] {
        let mut call = Command::new(&curl);
        call.args(["-s", "-o", "/dev/null", &format!("http://{address}:{}/ok", server.port())]);
        let mut call = call.stdin(Stdio::null()).spawn().unwrap();
        callers.insert(call.id(), "cart");
        assert!(call.wait().unwrap().success());
    }
    // Nobody told what this process is.
    assert_eq!(Client::tcp(server.address).get("/gone"), 4);
    let told: Vec<_> = spans(&mut capture, 3)
        .iter()
        .map(|met| {
            let status = number(&met.span, "http.response.status_code");
            (status, text(&met.span, "service.peer.name").to_owned())
        })
        .collect();
    assert_eq!(told, [(200, "cart".into()), (200, "cart".into()), (410, String::new())]);
    end(capture);
}

#[test]
fn a_connection_open_before_the_capture_is_looked_for_among_those_that_are_open() {
    let Some(server) = nginx("") else { return };
    let mut client = Client::tcp(server.address);
    let callers = Arc::new(ProcessTable::default());
    callers.insert(std::process::id(), "tester");
    let builder = Capture::builder().source(Source::Network).port(server.port()).callers(callers);
    let Some(mut capture) = begin(builder) else { return };
    assert_eq!(client.get("/ok"), 4);
    assert_eq!(text(&spans(&mut capture, 1)[0].span, "service.peer.name"), "tester");
    end(capture);
}
