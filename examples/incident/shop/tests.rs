use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::context::Context;
use super::*;
use crate::load::{Load, LoadConfig, LoadReport, Route};

/// Set where this test program is started again as a service; see `child_entry`.
const ROLE: &str = "INCIDENT_ROLE";
/// Set where this test program is started again as a parent that is to be killed; see `parent_entry`.
const PARENT: &str = "INCIDENT_PARENT";

/// A folder of its own, gone at the end of the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("otlp-incident-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What it means that something is missing: a printed reason, or a failure where everything is required.
pub(crate) fn skip(missing: &str) {
    let required = std::env::var("OTLP_REQUIRE").is_ok_and(|what| what == "all");
    assert!(!required, "missing: {missing}");
    println!("skipped: {missing}");
}

/// Surroundings for a service that runs within the test.
pub(crate) fn context(role: Role) -> Arc<Context> {
    let folder = Folder::new();
    let log = log::Log::create(&folder.0.join("service.log"), role).unwrap();
    Arc::new(Context::new(role, 7, log))
}

/// A shop that is this test program started again.
pub(crate) fn config(folder: &Folder, hertz: u16) -> ShopConfig {
    ShopConfig {
        seed: 7,
        out: folder.0.clone(),
        profile: ProfileConfig { hertz, ..ProfileConfig::default() },
        program: Program::test_harness("shop::tests::child_entry"),
    }
}

/// Starts a connected shop.
fn start(folder: &Folder, hertz: u16) -> (Shop, SocketAddr) {
    let shop = Shop::start(&config(folder, hertz)).unwrap();
    let addresses: BTreeMap<Role, SocketAddr> =
        shop.services().into_iter().map(|service| (service.role, service.address)).collect();
    shop.connect(|role| addresses[&role]).unwrap();
    (shop, addresses[&Role::Gateway])
}

/// Drives the shop until `requests` are answered.
pub(crate) fn drive(target: SocketAddr, requests: u64, seed: u64) -> LoadReport {
    let load = Load::start(&LoadConfig { target, rate_per_sec: 400.0, seed }).unwrap();
    load.wait_for(|progress| progress.answered >= requests);
    load.stop().unwrap()
}

fn assert_books_balance(report: &LoadReport, counts: &BTreeMap<Role, Counts>) {
    assert_eq!((report.progress.failed, report.progress.outstanding), (0, 0));
    for (role, own) in counts {
        let asked = match role {
            Role::Gateway => report.progress.answered,
            _ => counts.values().map(|caller| caller.calls_to(*role)).sum(),
        };
        assert_eq!(own.served(), asked, "{role}: {own:?}");
        assert!(own.served() > 0, "{role}");
        assert_eq!((own.unsent, own.malformed, own.in_flight), (0, 0, 0), "{role}");
        assert!(own.failed_calls.is_empty(), "{role}: {own:?}");
    }
}

/// Not a test: the way into a child when the tests start this program again.
#[test]
fn child_entry() {
    if let Ok(role) = std::env::var(ROLE) {
        // The harness may have begun a line.
        println!();
        let code = child::run(role.parse().unwrap());
        assert_eq!(code, std::process::ExitCode::SUCCESS);
    }
}

/// Not a test: the way into a parent that starts a shop, says who its children are, and waits to be killed.
#[test]
fn parent_entry() {
    let Ok(out) = std::env::var(PARENT) else { return };
    let folder = Folder(PathBuf::from(out));
    let (shop, _) = start(&folder, 0);
    let pids: Vec<String> = shop.services().iter().map(|service| service.pid.to_string()).collect();
    println!("\nchildren {}", pids.join(" "));
    loop {
        std::thread::park();
    }
}

#[test]
fn what_callers_got_is_what_services_served() {
    let folder = Folder::new();
    let (shop, target) = start(&folder, 0);
    let report = drive(target, 300, 3);
    shop.check().unwrap();
    let counts = shop.counts().unwrap();
    assert_books_balance(&report, &counts);
    assert_eq!(shop.stop().unwrap(), counts);
    assert!(report.by_status().keys().all(|status| *status < 500), "{:?}", report.by_status());
    assert!(counts[&Role::Cache].fact("hits") > 0 && counts[&Role::Cache].fact("misses") > 0);
    for role in Role::ALL {
        let text = std::fs::read_to_string(Shop::log_path(&folder.0, role)).unwrap();
        assert!(text.lines().count() as u64 >= counts[&role].served(), "{role}");
        assert!(text.lines().all(|line| line.split(' ').nth(2) == Some(role.name())), "{role}");
        assert!(text.ends_with('\n') && text.contains(" stopped served="), "{role}");
    }
    assert!(!folder.0.join("tmp").exists());
}

#[test]
fn every_trace_of_the_load_reaches_the_last_service_unchanged() {
    let folder = Folder::new();
    let (shop, target) = start(&folder, 0);
    let report = drive(target, 100, 3);
    shop.stop().unwrap();
    let sent: BTreeSet<String> =
        report.exchanges.iter().map(|exchange| exchange.trace_id.to_string()).collect();
    // SQL and RESP carry no trace: these two are the last that are told.
    let met = [Role::Inventory, Role::Payment].map(|role| {
        let text = std::fs::read_to_string(Shop::log_path(&folder.0, role)).unwrap();
        let ids = text.lines().filter_map(|line| Some(line.rsplit_once(" trace_id=")?.1.to_owned()));
        ids.collect::<BTreeSet<String>>()
    });
    let [inventory, payment] = &met;
    assert!(met.iter().flatten().all(|id| sent.contains(id)), "{met:?}");
    for exchange in &report.exchanges {
        let id = exchange.trace_id.to_string();
        let by_http = inventory.contains(&id) || exchange.route == Route::Order;
        let by_grpc = payment.contains(&id) || exchange.route == Route::Product;
        assert!(by_http && by_grpc, "{exchange:?}");
    }
}

#[test]
fn a_client_that_is_not_counted_is_missed_by_the_books() {
    let folder = Folder::new();
    let (shop, target) = start(&folder, 0);
    let pool = pool::Pool::new("gateway");
    pool.set_address(target);
    let call = http::client::Call::get("/orders/ord-0000001", None);
    assert_eq!(http::client::send(&pool, &call).unwrap().status, 200);
    let counts = shop.stop().unwrap();
    let nothing = LoadReport::default();
    let balanced = std::panic::catch_unwind(|| assert_books_balance(&nothing, &counts));
    assert!(balanced.is_err());
}

#[test]
fn a_lost_index_makes_every_lookup_read_every_row() {
    let folder = Folder::new();
    let (shop, target) = start(&folder, 0);
    drive(target, 60, 1);
    let before = shop.counts().unwrap()[&Role::Db].clone();
    assert_eq!((before.fact("full_scans"), before.fact("rows_read") <= before.fact("reads")), (0, true));
    let since = shop.set_fault(Fault::DbSlow, true).unwrap();
    assert!(since <= SystemClock.now());
    drive(target, 40, 2);
    let broken = shop.counts().unwrap()[&Role::Db].clone();
    let reads = broken.fact("reads") - before.fact("reads");
    assert_eq!(broken.fact("full_scans"), reads);
    assert!(
        broken.fact("rows_read") - before.fact("rows_read")
            >= reads * u64::from(PRODUCTS + ACCOUNTS + PAST_ORDERS)
    );
    shop.set_fault(Fault::DbSlow, false).unwrap();
    drive(target, 40, 3);
    let mended = shop.stop().unwrap()[&Role::Db].clone();
    assert_eq!(mended.fact("full_scans"), broken.fact("full_scans"));
    let text = std::fs::read_to_string(Shop::log_path(&folder.0, Role::Db)).unwrap();
    assert!(text.contains("WARN db index lost, falling back to full scan table="), "{text}");
}

#[test]
fn hot_rules_compare_every_pair_and_burn_the_cpu_of_payment() {
    let folder = Folder::new();
    let (shop, target) = start(&folder, 0);
    drive(target, 60, 1);
    let before = shop.counts().unwrap()[&Role::Payment].clone();
    shop.set_fault(Fault::CpuHot, true).unwrap();
    drive(target, 60, 2);
    let broken = shop.stop().unwrap()[&Role::Payment].clone();
    let pairs = |later: u64, earlier: u64, charges: u64| (later - earlier) / charges.max(1);
    let healthy = pairs(before.fact("pairs_compared"), 0, before.fact("charges"));
    let charges = broken.fact("charges") - before.fact("charges");
    let hot = pairs(broken.fact("pairs_compared"), before.fact("pairs_compared"), charges);
    assert!(hot > 500 * healthy, "{hot} pairs a charge, {healthy} before");
    let text = std::fs::read_to_string(Shop::log_path(&folder.0, Role::Payment)).unwrap();
    assert!(text.contains("fraud rules reloaded version=42 strategy=pairwise"), "{text}");
}

#[test]
fn an_unreadable_stock_table_fails_about_three_requests_in_ten() {
    let folder = Folder::new();
    let (shop, target) = start(&folder, 0);
    drive(target, 60, 1);
    assert_eq!(shop.counts().unwrap()[&Role::Inventory].server_errors, 0);
    shop.set_fault(Fault::ErrorBurst, true).unwrap();
    let report = drive(target, 250, 2);
    let counts = shop.stop().unwrap();
    let inventory = &counts[&Role::Inventory];
    assert_eq!(inventory.server_errors, inventory.fact("unreadable"));
    let share = inventory.server_errors * 100 / inventory.served();
    assert!((12..45).contains(&share), "{share} %");
    assert_eq!(report.by_status().get(&502), Some(&counts[&Role::Gateway].server_errors));
    assert_eq!((counts[&Role::Payment].server_errors, counts[&Role::Db].server_errors), (0, 0));
    let text = std::fs::read_to_string(Shop::log_path(&folder.0, Role::Inventory)).unwrap();
    assert!(text.contains("ERROR inventory stock row unreadable sku="), "{text}");
}

#[test]
fn pages_are_kept_only_while_the_leak_is_there_and_no_answer_shows_it() {
    let folder = Folder::new();
    let (shop, target) = start(&folder, 0);
    drive(target, 40, 1);
    let kept = || shop.counts().unwrap()[&Role::Order].fact("pages_kept");
    assert_eq!(kept(), 0);
    shop.set_fault(Fault::Leak, true).unwrap();
    let report = drive(target, 60, 2);
    let shown = report.exchanges.iter().filter(|one| one.route == Route::Product && one.status == Some(200));
    assert_eq!(kept(), u64::try_from(shown.count()).unwrap());
    shop.set_fault(Fault::Leak, false).unwrap();
    drive(target, 20, 3);
    assert_eq!(kept(), 0);
    shop.stop().unwrap();
}

#[test]
fn profiles_show_the_work_of_the_guilty_only_while_it_is_broken() {
    let folder = Folder::new();
    let (shop, target) = start(&folder, 199);
    drive(target, 40, 1);
    shop.set_fault(Fault::DbSlow, true).unwrap();
    drive(target, 30, 2);
    shop.stop().unwrap();
    let windows = Shop::profiles(&folder.0).unwrap();
    let scans = |faulty: bool| -> u64 {
        let own = windows.iter().filter(|window| window.service == Role::Db && window.faulty == faulty);
        own.map(|window| samples_with(&window.path, "Heap::full_scan")).sum()
    };
    assert!(scans(true) > 0, "{windows:?}");
    assert_eq!(scans(false), 0);
    for role in Role::ALL {
        let own: Vec<_> = windows.iter().filter(|window| window.service == role).collect();
        assert!(!own.is_empty(), "{role}");
        assert!(own.iter().zip(own.iter().skip(1)).all(|(one, next)| one.end == next.start), "{role}");
        for window in own {
            assert_eq!(samples_with(&window.path, ""), window.samples, "{role}");
        }
    }
}

/// Samples of the stacks that hold `function`; every stack must begin with its service.
fn samples_with(path: &Path, function: &str) -> u64 {
    let name = path.file_name().unwrap().to_str().unwrap();
    let (service, _) = name.split_once('-').unwrap();
    let profile =
        otlp_profiles::Profile::parse_pprof(&std::fs::read(path).unwrap(), &Default::default()).unwrap();
    let text = profile.to_folded();
    let lines = text.lines().map(|line| line.rsplit_once(' ').unwrap());
    let lines = lines.inspect(|(stack, _)| assert!(stack.starts_with(&format!("{service};")), "{stack}"));
    lines.filter(|(stack, _)| stack.contains(function)).map(|(_, count)| count.parse::<u64>().unwrap()).sum()
}

#[test]
fn a_service_that_dies_is_named() {
    let folder = Folder::new();
    let (shop, _) = start(&folder, 0);
    let payment = shop.services().into_iter().find(|service| service.role == Role::Payment).unwrap();
    kill(payment.pid);
    let error = shop.counts().unwrap_err();
    assert!(error.to_string().contains(&format!("payment (process {})", payment.pid)), "{error}");
    // Its pipes close a moment before it has ended.
    let deadline = Instant::now() + Duration::from_secs(30);
    let error = std::iter::repeat_with(|| shop.check()).find_map(|checked| {
        assert!(Instant::now() < deadline, "it does not end");
        std::thread::yield_now();
        checked.err()
    });
    let error = error.unwrap();
    assert!(error.to_string().contains("signal: 9"), "{error}");
    assert!(shop.stop().is_err());
}

#[test]
fn a_service_that_cannot_start_is_named_with_what_it_said() {
    let folder = Folder::new();
    let mut config = config(&folder, 0);
    let start = |config: &ShopConfig| Shop::start(config).map(drop);
    config.program = Program::test_harness("shop::tests::no_such_entry");
    let error = start(&config).unwrap_err();
    assert!(Role::ALL.iter().any(|role| error.to_string().starts_with(role.name())), "{error}");
}

#[test]
fn orders_before_the_start_and_faults_of_the_innocent_are_refused() {
    let folder = Folder::new();
    let (shop, _) = start(&folder, 0);
    let gateway = shop.process(Role::Gateway).unwrap();
    let error = gateway.ask(&Order::Fault(true)).unwrap_err();
    assert_eq!(error.to_string(), "gateway: gateway has nothing that breaks");
    let error = gateway.ask(&Order::Peer(Role::Db, ([127, 0, 0, 1], 1).into())).unwrap_err();
    assert_eq!(error.to_string(), "gateway: gateway does not call db");
    assert!(shop.set_fault(Fault::None, true).is_ok());
    shop.stop().unwrap();
}

#[test]
fn children_end_when_their_parent_is_killed() {
    let folder = Folder::new();
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["shop::tests::parent_entry", "--exact", "--nocapture", "--test-threads=1"])
        .env(PARENT, &folder.0)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufReader::new(parent.stdout.take().unwrap()).lines();
    let children =
        lines.map_while(Result::ok).find_map(|line| line.strip_prefix("children ").map(str::to_owned));
    let children: Vec<u32> = children.unwrap().split(' ').map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(children.len(), 6);
    assert!(children.iter().all(|pid| runs(*pid)));
    // Nothing of the parent runs after this: no destructor, no handler.
    parent.kill().unwrap();
    parent.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while children.iter().any(|pid| runs(*pid)) {
        assert!(Instant::now() < deadline, "a child outlived its parent");
        std::thread::yield_now();
    }
}

/// Whether the process is there and no zombie that waits to be collected.
fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
}

fn kill(pid: u32) {
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
}
