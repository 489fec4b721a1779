//! What each capability is for: the same captures by a user who has only some of them.

use std::path::Path;
use std::process::Command;

use otlp_ebpf::capture::{Buffer, Capture, Policy, Source, Tls};
use otlp_ebpf::probe::{Hook, HookState};

use crate::machine::{Client, begin, nginx, required, skip, spans};

const ROLE: &str = "OTLP_EBPF_TEST_PORT";
const NAME: &str = "privilege::three_capabilities_are_enough_and_an_error_names_those_that_are_missing";

/// Says what became of each capture, on a line of its own.
fn try_each(port: u16) {
    let tried = |what: &str, builder: otlp_ebpf::capture::CaptureBuilder| match builder.build() {
        Ok(mut capture) => {
            let fell = capture
                .hooks()
                .iter()
                .any(|hook| (hook.hook(), hook.state()) == (Hook::Network, HookState::FellBack));
            let seen = if what == "network" {
                assert_eq!(Client::tcp(([127, 0, 0, 1], port).into()).get("/ok"), 4);
                spans(&mut capture, 1).len()
            } else {
                0
            };
            println!("met {what}: works, {seen} spans, fell back {fell}");
        }
        Err(error) => println!("met {what}: {error}"),
    };
    tried("network", Capture::builder().source(Source::Network).port(port));
    tried("calls", Capture::builder().source(Source::Calls).port(port));
    tried("tls", Capture::builder().source(Source::Network).port(port).tls(Tls::OpenSsl));
    tried("auto", Capture::builder().port(port));
    tried("masked", Capture::builder().source(Source::Network).port(port).policy(Policy::MaskedHeads));
    tried("groups", Capture::builder().source(Source::Network).port(port).policies_by_group());
    tried("buffers", Capture::builder().source(Source::Network).port(port).buffer(Buffer::PerProcessor));
}

/// What a user without privileges meets who has these capabilities.
fn met(program: &Path, port: u16, capabilities: &str) -> Vec<String> {
    // No page may be locked: the kernel counts what is mapped among the memory of the group.
    let mut command = Command::new("prlimit");
    command.args(["--memlock=0:0", "setpriv"]);
    command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--bounding-set", capabilities]);
    command.args(["--inh-caps", capabilities, "--ambient-caps", capabilities]).arg(program);
    command.args(["--exact", NAME, "--nocapture"]).env(ROLE, port.to_string()).current_dir("/");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said} {}", String::from_utf8_lossy(&output.stderr));
    said.lines().filter_map(|line| Some(line.split_once("met ")?.1.to_owned())).collect()
}

#[test]
fn three_capabilities_are_enough_and_an_error_names_those_that_are_missing() {
    if let Ok(port) = std::env::var(ROLE) {
        return try_each(port.parse().unwrap());
    }
    let Some(server) = nginx("") else { return };
    // Where root may not, nobody may.
    let Some(capture) = begin(Capture::builder().port(server.port())) else { return };
    drop(capture);
    if required("setpriv", "util-linux").is_none() || required("prlimit", "util-linux").is_none() {
        return;
    }
    // Everybody may run what lies there.
    let program = server.folder.join("tests");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    if !Command::new("setpriv")
        .args(["--reuid=nobody", "--clear-groups"])
        .arg(&program)
        .arg("--list")
        .output()
        .is_ok_and(|output| output.status.success())
    {
        skip::<()>("setpriv may not become nobody here");
        return;
    }
    let met = |capabilities: &str| met(&program, server.port(), capabilities);

    let works = |what: &str| format!("{what}: works, 0 spans, fell back false");
    let all = met("-all,+bpf,+perfmon,+net_admin");
    assert_eq!(
        all,
        ["network: works, 1 spans, fell back false".to_owned()]
            .into_iter()
            .chain(["calls", "tls", "auto", "masked", "groups", "buffers"].map(works))
            .collect::<Vec<_>>()
    );

    let without = met("-all,+bpf,+perfmon");
    assert!(without[0].contains("missing CAP_NET_ADMIN"), "{without:?}");
    assert_eq!((&without[1], without[3].as_str()), (&works("calls"), "auto: works, 0 spans, fell back true"));

    let without = met("-all,+bpf,+net_admin");
    assert!(without[0].contains("works, 1 spans"), "{without:?}");
    assert!(
        without[1].contains("missing CAP_PERFMON") && without[2].contains("missing CAP_PERFMON"),
        "{without:?}"
    );

    let more: Vec<_> = without.iter().skip(4).collect();
    assert!(
        more.len() == 3 && more.iter().all(|line| line.contains("missing CAP_PERFMON, which")),
        "{without:?}"
    );

    let without = met("-all");
    assert!(without.iter().all(|line| line.contains("missing CAP_BPF")), "{without:?}");
    assert!(without[3].contains("CAP_NET_ADMIN") && without[3].contains("CAP_PERFMON"), "{without:?}");
}
