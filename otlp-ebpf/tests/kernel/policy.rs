//! Control groups with policies of their own, under one capture.

use std::fmt::Write;
use std::io::Read;
use std::net::Shutdown;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use otlp_ebpf::ErrorKind;
use otlp_ebpf::capture::{Capture, GroupPolicy, Policy, Source};
use otlp_ebpf::event::{HEAD_BYTES, Record};

use crate::machine::{Group, begin, required, until};

/// In head and body of what each server says and is told; another one for each.
const CANARIES: [&str; 2] = ["hunter-left", "hunter-right"];

/// Answers each request, over one connection after the other, with what it was told.
const SERVER: &str = "import socket, sys
word = sys.argv[1].encode()
server = socket.create_server(('127.0.0.1', 0))
print(server.getsockname()[1], flush=True)
while True:
    stream, _ = server.accept()
    while stream.recv(65536):
        stream.sendall(b'HTTP/1.1 200 OK\\r\\nX-Tenant: %b\\r\\nContent-Length: %d\\r\\n\\r\\n%b' % (word, len(word), word))
    stream.close()";

/// A server whose sockets are of a group from the beginning.
struct Server {
    child: Child,
    port: u16,
    canary: &'static str,
}

impl Server {
    fn within(group: &Path, canary: &'static str) -> Option<Self> {
        use std::io::{BufRead, BufReader};
        let python = required("python3", "python3")?;
        let script =
            format!("echo $$ > {}/cgroup.procs; exec {} -c \"$1\" \"$2\"", group.display(), python.display());
        let mut command = Command::new("sh");
        command.args(["-c", &script, "sh", SERVER, canary]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Some(Self { child, port: line.trim().parse().unwrap(), canary })
    }

    /// Asks once, with the canary in a header, in the query and in a body; the server is done with it when this returns.
    fn ask(&self) {
        let mut client = crate::machine::Client::tcp(([127, 0, 0, 1], self.port).into());
        let canary = self.canary;
        assert_eq!(client.get(&format!("/{}?token={canary}", &canary[7..])), canary.len());
        client.stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.stream.read(&mut [0]).unwrap(), 0);
        // Its call that closes may not have ended yet; after that it sleeps until somebody connects.
        let stat = format!("/proc/{}/stat", self.child.id());
        until(|| {
            let stat = std::fs::read_to_string(&stat).unwrap();
            if stat.contains(") S ") { Ok(()) } else { Err(stat) }
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

/// What left the kernel while each server was asked once.
#[derive(Debug, Default)]
struct Left {
    text: String,
    /// Ports whose bytes were covered by a record.
    ports: Vec<u16>,
    paths: Vec<String>,
}

fn left(capture: &mut Capture, servers: &[Server; 2]) -> Left {
    servers.iter().for_each(Server::ask);
    let mut left = Left::default();
    // Connections that are withheld leave nothing to wait for: the other requests, once more, are behind them all.
    until(|| {
        let Left { text, ports, paths } = &mut left;
        capture.poll_with(
            &mut |bytes| {
                let record = Record::parse(bytes).unwrap();
                let own = if record.is_sent { record.packet.from } else { record.packet.to };
                ports.push(own.port());
                write!(text, "{}", String::from_utf8_lossy(&bytes[HEAD_BYTES..])).unwrap();
            },
            &mut |met| paths.push(crate::machine::text(&met.span, "url.path").to_owned()),
        );
        let stats = capture.stats();
        if stats.waiting_records() == 0 { Ok(()) } else { Err(format!("{stats:?}")) }
    });
    left
}

#[test]
fn two_groups_have_two_policies_under_one_capture_and_change_them_while_it_runs() {
    let (Some(first), Some(second)) = (Group::empty("left"), Group::empty("right")) else { return };
    // A group below one that has a policy is under it.
    let below = second.folder.join("below");
    std::fs::create_dir(&below).unwrap();
    let (Some(one), Some(other)) =
        (Server::within(&first.folder, CANARIES[0]), Server::within(&below, CANARIES[1]))
    else {
        return;
    };
    let servers = [one, other];
    for source in [Source::Network, Source::Calls] {
        let builder = Capture::builder().source(source).port(servers[0].port).port(servers[1].port);
        let builder = builder.policy_for(&first.folder, Policy::Length);
        let Some(mut capture) = begin(builder.policy_for(&second.folder, Policy::default())) else { return };
        let met = left(&mut capture, &servers);
        let has = |met: &Left| CANARIES.map(|canary| met.text.contains(canary));
        assert_eq!(has(&met), [false, true], "{source:?} {met:?}");
        assert_eq!(met.paths, ["/right"], "{source:?}");
        assert!(
            servers.iter().all(|server| met.ports.contains(&server.port)),
            "{source:?}: lengths leave of both"
        );

        // The other way round, and the deeper group decides.
        capture.set_policy_for(&first.folder, Policy::Whole(4096)).unwrap();
        capture.set_policy_for(&below, Policy::Length).unwrap();
        let met = left(&mut capture, &servers);
        assert_eq!((has(&met), met.paths), ([true, false], vec!["/left".to_owned()]), "{source:?}");
        assert!(capture.clear_policy_for(&below).unwrap() && !capture.clear_policy_for(&below).unwrap());

        // Heads, with a header that one of them may tell and the other may not.
        capture.set_policy_for(&first.folder, Policy::MaskedHeads).unwrap();
        let allowed = GroupPolicy::from(Policy::MaskedHeads).allow_header("X-Tenant");
        capture.set_policy_for(&second.folder, allowed).unwrap();
        let met = left(&mut capture, &servers);
        assert_eq!((has(&met), met.paths.len()), ([false, true], 2), "{source:?} {}", met.text);
        assert!(met.text.contains(&format!("X-Tenant: {}\r\n", CANARIES[1])), "{source:?} {}", met.text);
        assert_eq!(met.text.matches(CANARIES[1]).count(), 1, "not in the query, nor in a body");

        // Nothing at all of one of them.
        let before = capture.stats().kernel.withheld;
        capture.set_policy_for(&first.folder, Policy::Nothing).unwrap();
        let met = left(&mut capture, &servers);
        assert!(!met.ports.contains(&servers[0].port) && met.ports.contains(&servers[1].port), "{source:?}");
        assert!(capture.stats().kernel.withheld >= before + 2, "{source:?} {:?}", capture.stats());

        // Without one of its own it is under that of the capture: the canary is back.
        assert!(capture.clear_policy_for(&first.folder).unwrap());
        assert_eq!(has(&left(&mut capture, &servers)), [true, true], "{source:?}");
        let stats = capture.finish(&mut |_| ());
        assert!(stats.is_balanced(), "{source:?} {stats:?}");
    }
    drop(servers);
    until(|| std::fs::remove_dir(&below).map_err(|error| error.to_string()));
}

#[test]
fn nothing_but_one_group_is_told_where_that_is_the_policy() {
    let (Some(first), Some(second)) = (Group::empty("only"), Group::empty("others")) else { return };
    let (Some(one), Some(other)) =
        (Server::within(&first.folder, CANARIES[0]), Server::within(&second.folder, CANARIES[1]))
    else {
        return;
    };
    let servers = [one, other];
    let builder = Capture::builder().source(Source::Network).port(servers[0].port).port(servers[1].port);
    let builder = builder.policy(Policy::Nothing).policy_for(&first.folder, Policy::default());
    let Some(mut capture) = begin(builder) else { return };
    let met = left(&mut capture, &servers);
    assert_eq!(met.paths, ["/left"]);
    assert!(met.ports.iter().all(|port| *port == servers[0].port), "{met:?}");
    assert!(capture.finish(&mut |_| ()).is_balanced());
}

#[test]
fn a_group_that_is_made_anew_has_its_policy_again() {
    let (Some(first), Some(second)) = (Group::empty("anew"), Group::empty("same")) else { return };
    let Some(other) = Server::within(&second.folder, CANARIES[1]) else { return };
    let builder = Capture::builder().source(Source::Network).port(other.port);
    let builder = builder
        .rescan_interval(std::time::Duration::from_millis(10))
        .policy_for(&first.folder, Policy::Length);
    // Processes are looked for where some are named.
    let Some(mut capture) = begin(builder.process("nobody")) else { return };
    std::fs::remove_dir(&first.folder).unwrap();
    std::fs::create_dir(&first.folder).unwrap();
    let Some(one) = Server::within(&first.folder, CANARIES[0]) else { return };
    let port = one.port;
    let servers = [one, other];
    drop(capture);
    // Its port is known now: the same, with the group gone and back while it runs.
    let builder =
        Capture::builder().source(Source::Network).port(port).port(servers[1].port).process("nobody");
    let builder = builder
        .rescan_interval(std::time::Duration::from_millis(10))
        .policy_for(&first.folder, Policy::Length);
    let Some(again) = begin(builder) else { return };
    capture = again;
    let [one, other] = servers;
    drop(one);
    until(|| std::fs::remove_dir(&first.folder).map_err(|error| error.to_string()));
    std::fs::create_dir(&first.folder).unwrap();
    let script = SERVER.replace("('127.0.0.1', 0)", &format!("('127.0.0.1', {port})"));
    let mut command = Command::new("sh");
    let inner = format!("echo $$ > {}/cgroup.procs; exec python3 -c \"$1\" \"$2\"", first.folder.display());
    command.args(["-c", &inner, "sh", &script, CANARIES[0]]).stdin(Stdio::null()).stdout(Stdio::null());
    let one = Server { child: command.spawn().unwrap(), port, canary: CANARIES[0] };
    until(|| std::net::TcpStream::connect(("127.0.0.1", port)).map(drop).map_err(|error| error.to_string()));
    std::thread::sleep(std::time::Duration::from_millis(20));
    capture.poll(&mut |_| ());
    let met = left(&mut capture, &[one, other]);
    assert!(!met.text.contains(CANARIES[0]) && met.text.contains(CANARIES[1]), "{met:?}");
    assert!(capture.finish(&mut |_| ()).is_balanced());
}

#[test]
fn a_group_that_is_none_is_refused() {
    let builder = Capture::builder().source(Source::Network).port(9);
    let Some(capture) = begin(builder.clone()) else { return };
    drop(capture);
    let refused = builder.clone().policy_for("/proc", Policy::Length).build().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Config, "{refused}");
    let mut capture = builder.build().unwrap();
    let refused = capture.set_policy_for("/sys/fs/cgroup", Policy::Length).unwrap_err();
    assert!(refused.to_string().contains("policies_by_group"), "{refused}");
}
