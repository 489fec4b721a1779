//! Where handlers run: a few at a time, off the threads that serve connections.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// The places of handlers. Who comes first is handled first.
#[derive(Debug)]
pub(super) struct Workers(Option<Arc<Semaphore>>);

/// Why a job was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotDone {
    /// No place was free in time. The job has not begun.
    Late,
    /// The runtime is going down, or the job panicked.
    Broken,
}

impl Workers {
    /// So many at a time; with none the job runs where it is awaited, and stops everything there.
    pub(super) fn new(workers: usize) -> Self {
        Self((workers > 0).then(|| Arc::new(Semaphore::new(workers.min(Semaphore::MAX_PERMITS)))))
    }

    /// Does `job` if its turn comes within `wait`. Dropped while it is being done, it is done nevertheless.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        wait: Duration,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotDone> {
        let Some(places) = &self.0 else { return Ok(job()) };
        let place = match Arc::clone(places).try_acquire_owned() {
            Ok(place) => place,
            Err(_) => match timeout(wait, Arc::clone(places).acquire_owned()).await {
                Ok(Ok(place)) => place,
                // The semaphore is never closed.
                Ok(Err(_)) | Err(_) => return Err(NotDone::Late),
            },
        };
        let done = spawn_blocking(move || {
            let done = job();
            drop(place);
            done
        });
        done.await.map_err(|_| NotDone::Broken)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use tokio::task::JoinSet;

    use super::*;

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.expect("a runtime").block_on(work)
    }

    #[test]
    fn as_many_run_at_a_time_as_there_are_places() {
        for workers in [1, 3] {
            let now = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
            let places = Arc::new(Workers::new(workers));
            block_on(async {
                let mut jobs = JoinSet::new();
                for _ in 0..50 {
                    let (places, now) = (Arc::clone(&places), Arc::clone(&now));
                    jobs.spawn(async move {
                        let job = move || {
                            let running = now.0.fetch_add(1, Ordering::SeqCst) + 1;
                            now.1.fetch_max(running, Ordering::SeqCst);
                            std::thread::yield_now();
                            now.0.fetch_sub(1, Ordering::SeqCst);
                        };
                        places.run(Duration::from_secs(60), job).await
                    });
                }
                assert!(jobs.join_all().await.into_iter().all(|done| done == Ok(())));
            });
            assert!((1..=workers).contains(&now.1.load(Ordering::SeqCst)));
        }
    }

    #[test]
    fn who_waits_too_long_is_not_begun_and_the_place_is_given_back() {
        let workers = Arc::new(Workers::new(1));
        let (release, blocked) = mpsc::channel::<()>();
        block_on(async {
            let busy = Arc::clone(&workers);
            let long = tokio::spawn(async move { busy.run(Duration::ZERO, move || blocked.recv()).await });
            tokio::task::yield_now().await;
            assert_eq!(workers.run(Duration::from_millis(5), || ()).await, Err(NotDone::Late));
            release.send(()).expect("the job waits");
            assert_eq!(long.await.expect("not cancelled"), Ok(Ok(())));
            assert_eq!(workers.run(Duration::from_secs(60), || 7).await, Ok(7));
        });
    }

    #[test]
    fn a_job_that_panics_gives_its_place_back() {
        let workers = Workers::new(1);
        block_on(async {
            let panicked = workers.run(Duration::ZERO, || assert!(workers_are_fine(), "planted")).await;
            assert_eq!(panicked, Err(NotDone::Broken));
            assert_eq!(workers.run(Duration::from_secs(60), || 7).await, Ok(7));
        });
    }

    fn workers_are_fine() -> bool {
        std::hint::black_box(false)
    }

    #[test]
    fn without_places_the_job_runs_here() {
        let here = std::thread::current().id();
        let ran = block_on(Workers::new(0).run(Duration::ZERO, || std::thread::current().id()));
        assert_eq!(ran, Ok(here));
    }
}
