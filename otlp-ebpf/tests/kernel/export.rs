//! What the example `trace_my_machine` sees arrives at a receiver, and what does not is told.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use otlp_core::Limits;
use otlp_core::protocol::Signal;
use otlp_core::transport::receiver::{Answer, Receiver, ReceiverLimits};
use otlp_core::view::TracesView;

use crate::machine::{Client, begin, nginx, skip, until};
use otlp_ebpf::capture::Capture;

/// The example, which `cargo build --all-features --examples` makes.
fn program() -> Option<PathBuf> {
    let tests = std::env::current_exe().unwrap();
    let file = tests.parent()?.parent()?.join("examples/trace_my_machine");
    if file.is_file() { Some(file) } else { skip("run cargo build -p otlp-ebpf --all-features --examples") }
}

/// Starts it, and waits until it captures.
fn trace(port: u16, endpoint: &str) -> Option<Child> {
    let mut command = Command::new(program()?);
    command.args([&port.to_string(), "--export", endpoint]);
    Some(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

/// Ends it by its input: what it printed and said.
fn ended(mut child: Child) -> (String, String, bool) {
    drop(child.stdin.take());
    let (mut printed, mut said) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (printed, said, child.wait().unwrap().success())
}

#[test]
fn every_span_that_the_example_prints_arrives_at_a_receiver() {
    let Some(server) = nginx("") else { return };
    // Where there is nothing to be captured, the example has nothing to say.
    let Some(capture) = begin(Capture::builder().port(server.port())) else { return };
    drop(capture);
    let arrived = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&arrived);
    let receiver = Receiver::start("127.0.0.1:0", ReceiverLimits::default(), move |signal, body: &[u8]| {
        assert_eq!(signal, Signal::Traces);
        let request = TracesView::parse(body, &Limits::DEFAULT).unwrap().to_record().unwrap();
        let scopes = request.resources.iter().flat_map(|group| &group.scopes);
        let spans = scopes.map(|scope| scope.spans.len() as u64).sum();
        count.fetch_add(spans, Ordering::AcqRel);
        Answer::accepted(spans)
    });
    let receiver = receiver.unwrap();
    let Some(child) = trace(server.port(), &format!("http://{}", receiver.local_addr())) else { return };
    // The first ones may come before it looks.
    until(|| {
        assert_eq!(Client::tcp(server.address).get("/ok"), 4);
        if arrived.load(Ordering::Acquire) > 0 { Ok(()) } else { Err("nothing arrived".to_owned()) }
    });
    let mut client = Client::tcp(server.address);
    (0..1200).for_each(|_| assert_eq!(client.get("/ok"), 4));
    let (printed, said, is_well) = ended(child);
    let lines = u64::try_from(printed.lines().count()).unwrap();
    assert!(is_well && lines > 1200, "{lines} lines: {said}");
    assert_eq!(arrived.load(Ordering::Acquire), lines, "{said}");
    let told = format!("export: {lines} spans = {lines} exported + 0 rejected + 0 dropped + 0 not taken");
    assert!(said.contains(&told), "{said}");
    let address = receiver.local_addr();
    receiver.shutdown(Duration::from_secs(5));

    // The twin: nobody is there any more.
    let Some(child) = trace(server.port(), &format!("http://{address}")) else { return };
    std::thread::sleep(Duration::from_millis(500));
    (0..10).for_each(|_| assert_eq!(Client::tcp(server.address).get("/ok"), 4));
    let (_, said, is_well) = ended(child);
    assert!(
        is_well && said.contains(" = 0 exported + 0 rejected + ") && !said.contains("+ 0 dropped"),
        "{said}"
    );
}
