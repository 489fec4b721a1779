use std::net::TcpListener;

use super::*;
use crate::shop::http::Decoder;
use crate::shop::http::Response;

fn plan(seed: u64) -> Plan {
    Plan::new(&LoadConfig { target: ([127, 0, 0, 1], 1).into(), rate_per_sec: 100.0, seed })
}

fn jobs(seed: u64, count: usize) -> Vec<(u64, Route, String, String, TraceId)> {
    let mut plan = plan(seed);
    let job = |_| {
        let gap = plan.gap();
        let job = plan.job(UnixNanos::ZERO);
        (gap.to_bits(), job.route, job.target, job.body, job.trace_id)
    };
    (0..count).map(job).collect()
}

#[test]
fn a_seed_repeats_moments_routes_and_traces() {
    assert_eq!(jobs(7, 500), jobs(7, 500));
    assert_ne!(jobs(7, 500), jobs(8, 500));
}

#[test]
fn routes_are_mixed_as_documented_and_trace_ids_never_repeat() {
    let jobs = jobs(3, 20_000);
    let share = |route| jobs.iter().filter(|job| job.1 == route).count() * 100 / jobs.len();
    assert!((44..=46).contains(&share(Route::Product)));
    assert!((29..=31).contains(&share(Route::Checkout)));
    assert!((24..=26).contains(&share(Route::Order)));
    let mut traces: Vec<TraceId> = jobs.iter().map(|job| job.4).collect();
    traces.sort_unstable();
    traces.dedup();
    assert_eq!(traces.len(), jobs.len());
    let unknown = jobs.iter().filter(|job| job.2.starts_with("/orders/ord-9")).count();
    assert!((3..=40).contains(&unknown), "{unknown}");
}

#[test]
fn a_rate_that_is_no_rate_is_refused() {
    for rate_per_sec in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let config = LoadConfig { target: ([127, 0, 0, 1], 1).into(), rate_per_sec, seed: 1 };
        assert_eq!(Load::start(&config).unwrap_err().kind(), ErrorKind::Config);
    }
}

#[test]
fn latencies_are_of_the_asked_for_time_only() {
    let exchange = |sent, latency| Exchange {
        route: Route::Order,
        trace_id: TraceId::INVALID,
        due: UnixNanos(sent),
        sent: UnixNanos(sent),
        latency: Duration::from_millis(latency),
        status: Some(200),
    };
    let exchanges = (1..=100).map(|number| exchange(number, number)).collect();
    let report = LoadReport { exchanges, ..LoadReport::default() };
    let latency = |quantile, from, to| report.latency(quantile, UnixNanos(from), UnixNanos(to));
    assert_eq!(latency(0.95, 0, 200), Some(Duration::from_millis(95)));
    assert_eq!(latency(0.5, 0, 51), Some(Duration::from_millis(25)));
    assert_eq!(latency(1.0, 0, 11), Some(Duration::from_millis(10)));
    assert_eq!(latency(0.5, 200, 300), None);
}

/// A server whose every connection answers `200` once the test lets it.
fn server(answers: Receiver<()>) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answers = Arc::new(Mutex::new(answers));
    let accept = std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, answers) = (stream.unwrap(), Arc::clone(&answers));
            std::thread::spawn(move || answer(stream, &answers));
        }
    });
    (address, accept)
}

fn answer(mut stream: std::net::TcpStream, answers: &Mutex<Receiver<()>>) {
    use std::io::{Read as _, Write as _};

    let mut decoder = Decoder::default();
    let mut bytes = [0; 4096];
    loop {
        let count = stream.read(&mut bytes).unwrap_or(0);
        if count == 0 {
            return;
        }
        decoder.feed(&bytes[..count]);
        while let Ok(Some(_)) = decoder.request() {
            // A closed channel means that all may pass.
            let _ = answers.lock().unwrap().recv();
            let mut out = Vec::new();
            Response::new(200, "ok").encode(&mut out);
            if stream.write_all(&out).is_err() {
                return;
            }
        }
    }
}

#[test]
fn a_server_that_stands_still_has_the_rest_shed_and_the_account_stays_exact() {
    let (let_pass, answers) = channel();
    let (target, _accept) = server(answers);
    let load = Load::start(&LoadConfig { target, rate_per_sec: 5_000.0, seed: 1 }).unwrap();
    let full = load.wait_for(|progress| progress.shed > 10);
    assert_eq!((full.outstanding, full.answered, full.failed), (MAX_OUTSTANDING as u64, 0, 0));
    drop(let_pass);
    load.wait_for(|progress| progress.answered > 100);
    let report = load.stop().unwrap();
    let Progress { due, shed, answered, failed, outstanding } = report.progress;
    assert_eq!((due, outstanding), (shed + answered + failed, 0));
    assert_eq!(report.exchanges.len() as u64, answered + failed);
    assert_eq!(report.by_status(), BTreeMap::from([(200, answered)]));
    assert!(report.exchanges.iter().all(|exchange| exchange.sent.0 + 1_000_000 >= exchange.due.0));
}

#[test]
fn requests_that_nobody_answers_are_failures_not_losses() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap();
    drop(listener);
    let load = Load::start(&LoadConfig { target, rate_per_sec: 1_000.0, seed: 1 }).unwrap();
    load.wait_for(|progress| progress.failed > 20);
    let report = load.stop().unwrap();
    assert_eq!(report.progress.answered, 0);
    assert_eq!(report.progress.due, report.progress.shed + report.progress.failed);
    assert!(report.exchanges.iter().all(|exchange| exchange.status.is_none()));
}
