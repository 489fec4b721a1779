//! The client whose queue is on the disk: between a queue on a disk that fails and a receiver that does.
#![cfg(all(feature = "http", feature = "store"))]
#![allow(clippy::panic, reason = "a test that is wrong should stop")]

mod store_disk;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use otlp_core::protocol::Signal;
use otlp_core::protocol::export::{DropReason, ExporterConfig, Request};
use otlp_core::protocol::retry::Backoff;
use otlp_core::store::{DurableQueue, Overflow, StoreConfig, SyncPolicy};
use otlp_core::transport::client::ClientConfig;
use otlp_core::transport::durable::Client;
use otlp_core::transport::receiver::{Answer, Receiver, ReceiverLimits};
use otlp_core::{ErrorKind, UnixNanos};

use store_disk::{Faults, SimDisk};

const PATIENCE: Duration = Duration::from_secs(20);
/// Nobody listens on the port "discard".
const NOWHERE: &str = "http://127.0.0.1:9";

fn now() -> UnixNanos {
    SystemTime::now().into()
}

fn store() -> StoreConfig {
    StoreConfig::default().max_bytes(1 << 20).segment_bytes(4096).max_request_bytes(1 << 14)
}

fn open(config: StoreConfig, disk: &SimDisk) -> DurableQueue<SimDisk> {
    config.open_on(disk.clone(), now()).expect("opens").0
}

/// How many requests are left where the power fails now, in 50 ways.
fn after_power_failures(disk: &SimDisk) -> Vec<usize> {
    let left = (0..50).map(|seed| {
        let disk = disk.copy(seed);
        disk.fail_power();
        open(store(), &disk).requests()
    });
    left.collect()
}

fn config(endpoint: impl Into<String>) -> ClientConfig {
    let wait = Duration::from_millis(1);
    let exporter = ExporterConfig::default().backoff(Backoff { initial: wait, max: wait });
    ClientConfig::new(endpoint).exporter(exporter)
}

fn start(endpoint: impl Into<String>, disk: &SimDisk) -> Client {
    Client::start(config(endpoint), open(store(), disk)).expect("valid")
}

fn request(number: u32) -> Request {
    Request::new(Signal::Logs, Bytes::copy_from_slice(&number.to_le_bytes()), 2)
}

/// Counts how often each number arrived; answers what is handed to it first.
#[derive(Clone, Default)]
struct Inbox {
    arrived: Arc<Mutex<BTreeMap<u32, u32>>>,
    answers: Arc<Mutex<Vec<Answer>>>,
}

impl Inbox {
    fn receiver(&self) -> Receiver {
        let (arrived, answers) = (Arc::clone(&self.arrived), Arc::clone(&self.answers));
        let handler = move |_: Signal, body: &[u8]| {
            let answer = answers.lock().expect("not poisoned").pop().unwrap_or(Answer::accepted(2));
            if !matches!(answer, Answer::Refuse { .. }) {
                let number = u32::from_le_bytes(body.try_into().expect("four bytes"));
                *arrived.lock().expect("not poisoned").entry(number).or_default() += 1;
            }
            answer
        };
        Receiver::start("127.0.0.1:0", ReceiverLimits::default(), handler).expect("a free port")
    }

    fn arrived(&self) -> BTreeMap<u32, u32> {
        self.arrived.lock().expect("not poisoned").clone()
    }
}

fn wait_until(holds: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "waited in vain");
        std::thread::yield_now();
    }
}

fn endpoint(receiver: &Receiver) -> String {
    format!("http://{}", receiver.local_addr())
}

#[test]
fn what_nobody_takes_is_sent_by_the_next_client() {
    let disk = SimDisk::new(1);
    let client = start(NOWHERE, &disk);
    for number in 0..20 {
        client.send(request(number)).expect("room");
    }
    let stats = client.shutdown(Duration::ZERO);
    assert_eq!((stats.accepted, stats.queued, stats.dropped), (40, 40, 0));

    let inbox = Inbox::default();
    let receiver = inbox.receiver();
    let client = start(endpoint(&receiver), &disk);
    client.flush(PATIENCE).expect("sent");
    let stats = client.shutdown(PATIENCE);
    assert_eq!((stats.accepted, stats.exported, stats.queued), (40, 40, 0));
    assert_eq!(inbox.arrived(), (0..20).map(|number| (number, 1)).collect());
    assert_eq!(open(store(), &disk).requests(), 0);
}

#[test]
fn a_request_is_on_the_disk_when_send_returns() {
    let disk = SimDisk::new(2);
    let client = start(NOWHERE, &disk);
    let id = client.send(request(7)).expect("room");
    assert_eq!((id.0, after_power_failures(&disk)), (1, vec![1; 50]));
    drop(client);
}

#[test]
fn a_promise_made_before_the_disk_has_it_is_caught() {
    // The twin of the test above: with this policy nothing is forced to the disk.
    let disk = SimDisk::new(3);
    let queue = open(store().sync(SyncPolicy::Never), &disk);
    let client = Client::start(config(NOWHERE), queue).expect("valid");
    client.send(request(7)).expect("room");
    assert!(after_power_failures(&disk).contains(&0));
    drop(client);
}

#[test]
fn every_answer_ends_in_its_place_of_the_account() {
    let inbox = Inbox::default();
    let refuse = |status| Answer::Refuse { status, retry_after: None, message: String::new() };
    *inbox.answers.lock().expect("not poisoned") =
        vec![Answer::partial(1, 1, "old"), refuse(400), refuse(503), refuse(503)];
    let receiver = inbox.receiver();
    let exporter = ExporterConfig::default().max_in_flight(1);
    let config = config(endpoint(&receiver)).exporter(
        exporter.backoff(Backoff { initial: Duration::from_millis(1), max: Duration::from_millis(1) }),
    );
    let client = Client::start(config, open(store(), &SimDisk::new(4))).expect("valid");
    for number in 0..3 {
        client.send(request(number)).expect("room");
    }
    client.flush(PATIENCE).expect("sent");
    let stats = client.stats();
    assert_eq!((stats.accepted, stats.exported, stats.rejected, stats.dropped), (6, 3, 3, 0));
    assert_eq!(client.exporter_stats().counters.retries, 2);
    client.shutdown(PATIENCE);
}

#[test]
fn many_threads_share_one_sync_and_none_is_told_too_early() {
    let disk = SimDisk::new(5);
    let inbox = Inbox::default();
    let receiver = inbox.receiver();
    let client = start(endpoint(&receiver), &disk);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let client = &client;
            scope.spawn(move || {
                for number in 0..50 {
                    client.send(request(thread * 100 + number)).expect("room");
                    assert!(client.stats().is_balanced());
                }
            });
        }
    });
    client.flush(PATIENCE).expect("sent");
    assert_eq!(client.shutdown(PATIENCE).exported, 800);
    assert_eq!(inbox.arrived().len(), 400);
}

#[test]
fn async_programs_wait_without_a_thread() {
    let inbox = Inbox::default();
    let receiver = inbox.receiver();
    let client = start(endpoint(&receiver), &SimDisk::new(6));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let id = runtime.block_on(client.send_async(request(1))).expect("room");
    assert_eq!(id.0, 1);
    client.flush(PATIENCE).expect("sent");
    assert_eq!(client.shutdown(PATIENCE).exported, 2);
}

#[test]
fn a_full_queue_gives_the_request_back_and_takes_it_when_there_is_room() {
    let disk = SimDisk::new(7);
    let client = Client::start(config(NOWHERE), open(store().max_requests(3), &disk)).expect("valid");
    for number in 0..3 {
        client.send(request(number)).expect("room");
    }
    let error = client.send(request(3)).expect_err("no room");
    assert_eq!((error.kind(), client.stats().accepted), (ErrorKind::Full, 6));
    client.shutdown(Duration::ZERO);

    let queue = open(store().max_requests(3).overflow(Overflow::DropOldest), &disk);
    let client = Client::start(config(NOWHERE), queue).expect("valid");
    client.send(request(3)).expect("the oldest goes");
    let stats = client.shutdown(Duration::ZERO);
    assert_eq!((stats.accepted, stats.dropped, stats.queued), (8, 2, 6));
}

#[test]
fn a_disk_that_fails_gives_the_request_back() {
    let disk = SimDisk::new(8);
    let client = start(NOWHERE, &disk);
    disk.set_faults(Faults { write: 1, ..Faults::default() });
    let error = client.send(request(1)).expect_err("the disk fails");
    assert!(matches!(error.kind(), ErrorKind::Io | ErrorKind::Full), "{error}");
    disk.set_faults(Faults::default());
    client.send(request(1)).expect("the disk is well again");
    let stats = client.shutdown(Duration::ZERO);
    assert_eq!((stats.accepted, stats.queued), (2, 2));
}

#[test]
fn a_request_larger_than_the_client_may_send_is_dropped_and_the_next_goes() {
    let inbox = Inbox::default();
    let receiver = inbox.receiver();
    let exporter = ExporterConfig::default().max_request_bytes(8);
    let config = ClientConfig::new(endpoint(&receiver)).exporter(exporter);
    let client = Client::start(config, open(store(), &SimDisk::new(9))).expect("valid");
    client.send(Request::new(Signal::Logs, vec![0; 9].into(), 5)).expect("room");
    client.send(request(1)).expect("room");
    client.flush(PATIENCE).expect("sent");
    let stats = client.shutdown(PATIENCE);
    assert_eq!((stats.accepted, stats.exported, stats.dropped), (7, 2, 5));
}

#[test]
fn a_request_that_could_not_be_sent_in_time_goes_back_and_is_kept_as_long_as_the_queue_says() {
    let exporter = ExporterConfig::default().max_elapsed(Duration::from_millis(5));
    let config = || ClientConfig::new(NOWHERE).exporter(exporter.clone());
    let client = Client::start(config(), open(store(), &SimDisk::new(11))).expect("valid");
    client.send(request(1)).expect("room");
    let times_given_up = |client: &Client| client.exporter_stats().counters.dropped(DropReason::Expired);
    wait_until(|| times_given_up(&client) >= 6);
    assert_eq!((client.stats().queued, client.stats().dropped), (2, 0));
    client.shutdown(Duration::ZERO);

    let short_lived = open(store().max_age(Duration::from_millis(20)), &SimDisk::new(12));
    let client = Client::start(config(), short_lived).expect("valid");
    client.send(request(1)).expect("room");
    client.flush(PATIENCE).expect("it grows too old");
    assert_eq!(client.shutdown(PATIENCE).dropped, 2);
}

#[test]
fn the_last_attempt_allowed_ends_a_request() {
    let exporter = ExporterConfig::default().max_attempts(1);
    let config = ClientConfig::new(NOWHERE).exporter(exporter);
    let client = Client::start(config, open(store(), &SimDisk::new(13))).expect("valid");
    client.send(request(1)).expect("room");
    client.flush(PATIENCE).expect("given up");
    assert_eq!(client.shutdown(PATIENCE).dropped, 2);
}

#[test]
fn nothing_is_taken_after_the_shutdown_began() {
    let client = start(NOWHERE, &SimDisk::new(10));
    client.send(request(1)).expect("room");
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            loop {
                if let Err(error) = client.send(request(2)) {
                    return error.kind();
                }
            }
        });
        client.shutdown(Duration::ZERO);
        assert_eq!(sender.join().expect("no panic"), ErrorKind::Closed);
    });
    assert!(client.shutdown(PATIENCE).is_balanced(), "and the second shutdown reports the same");
}
