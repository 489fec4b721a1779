//! A queue that survives: a process that exports is killed in the middle, three times, and nothing it had
//! acknowledged is lost.
//!
//!     cargo run --example durable_queue
//!
//! The program starts a receiver on loopback and itself again as the exporting process, kills that while it
//! works, starts it once more, and in the end counts what arrived.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use otlp_core::protocol::Signal;
use otlp_core::protocol::export::Request;
use otlp_core::store::{Recovery, StoreConfig};
use otlp_core::transport::client::ClientConfig;
use otlp_core::transport::durable::Client;
use otlp_core::transport::receiver::{Answer, Receiver, ReceiverLimits};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Lines that the exporting process says before it is killed, each time.
const LIVES: [usize; 3] = [40, 75, 130];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.as_slice() {
        [child, directory, endpoint, first] if child == "child" => work(directory.as_ref(), endpoint, first),
        [] => watch(),
        _ => Err("usage: durable_queue".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The exporting process: pushes without end, and says of each batch that it is acknowledged once it is.
fn work(directory: &Path, endpoint: &str, first: &str) -> Outcome {
    let (client, _found) = start(directory, endpoint)?;
    let mut out = std::io::stdout();
    for number in first.parse::<u64>()?.. {
        client.send(request(number))?;
        writeln!(out, "{number}")?;
        out.flush()?;
    }
    Ok(())
}

/// A client on the queue in `directory`, and what was found there.
fn start(directory: &Path, endpoint: &str) -> Outcome<(Client, Recovery)> {
    let (queue, found) = StoreConfig::default().open(directory, SystemTime::now().into())?;
    Ok((Client::start(ClientConfig::new(endpoint), queue)?, found))
}

/// A request that stands for an encoded one; its body is its number.
fn request(number: u64) -> Request {
    Request::new(Signal::Traces, Bytes::copy_from_slice(&number.to_le_bytes()), 1)
}

fn watch() -> Outcome {
    let directory = std::env::temp_dir().join(format!("otlp-durable-queue-{}", std::process::id()));
    let told = survive(&directory);
    let _only_ours = std::fs::remove_dir_all(&directory);
    told
}

fn survive(directory: &Path) -> Outcome {
    let arrived = Arc::new(Mutex::new(BTreeMap::<u64, u32>::new()));
    let seen = Arc::clone(&arrived);
    let receiver = Receiver::start("127.0.0.1:0", ReceiverLimits::default(), move |_, body: &[u8]| {
        if let Some(number) = body.first_chunk() {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            *seen.entry(u64::from_le_bytes(*number)).or_default() += 1;
        }
        Answer::accepted(1)
    })?;
    let endpoint = format!("http://{}", receiver.local_addr());

    let mut acknowledged = Vec::new();
    for lines in LIVES {
        // A batch that the killed process had not acknowledged may be there; its number is not used again.
        let first = acknowledged.last().map_or(0, |last| last + 2);
        let said = run_and_kill(directory, &endpoint, first, lines)?;
        println!("killed after {} batches were acknowledged", said.len());
        acknowledged.extend(said);
    }

    let (client, found) = start(directory, &endpoint)?;
    println!("found {} requests in the queue, {} torn bytes", found.requests, found.torn_bytes);
    client.flush(Duration::from_secs(30))?;
    let stats = client.shutdown(Duration::from_secs(5));
    receiver.shutdown(Duration::from_secs(5));

    let arrived = arrived.lock().unwrap_or_else(PoisonError::into_inner);
    let lost = acknowledged.iter().filter(|number| !arrived.contains_key(number)).count();
    let repeated = arrived.values().filter(|times| **times > 1).count();
    println!(
        "{} acknowledged, {lost} lost, {repeated} arrived more than once; {} accepted = {} exported + {} rejected \
         + {} dropped + {} queued",
        acknowledged.len(),
        stats.accepted,
        stats.exported,
        stats.rejected,
        stats.dropped,
        stats.queued,
    );
    if lost == 0 && stats.is_balanced() { Ok(()) } else { Err("a promise is broken".into()) }
}

/// Runs the exporting process until it has said so many lines, kills it, and gives all that it said.
fn run_and_kill(directory: &Path, endpoint: &str, first: u64, lines: usize) -> Outcome<Vec<u64>> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("child")
        .arg(directory)
        .args([endpoint, &first.to_string()])
        .stdout(Stdio::piped())
        .spawn()?;
    let out = child.stdout.take().ok_or("no standard output")?;
    let mut said = BufReader::new(out).lines();
    let mut numbers = Vec::new();
    for line in said.by_ref().take(lines) {
        numbers.push(line?.parse()?);
    }
    child.kill()?;
    child.wait()?;
    // What it had said before the end is acknowledged too; a line that was cut is not.
    numbers.extend(said.map_while(|line| line.ok()?.parse::<u64>().ok()));
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_that_is_not_there_loses_nothing() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/durable-queue-test");
        let _ = std::fs::remove_dir_all(&directory);
        let (client, _) = start(&directory, "http://127.0.0.1:9").expect("opens");
        for number in 0..10 {
            client.send(request(number)).expect("room");
        }
        let stats = client.shutdown(Duration::ZERO);
        assert_eq!((stats.accepted, stats.queued), (10, 10));
        let (client, found) = start(&directory, "http://127.0.0.1:9").expect("opens again");
        assert_eq!((found.requests, client.stats().accepted, client.stats().queued), (10, 10, 10));
    }
}
