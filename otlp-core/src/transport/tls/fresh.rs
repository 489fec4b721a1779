//! What is made of files, and made again when they change.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::material::Named;
use crate::error::{Error, ErrorKind, Result};

/// How to make something of texts.
pub(super) trait Recipe: Send + Sync + 'static {
    type Made: Send + Sync + 'static;

    /// The texts it is made of.
    fn sources(&self) -> Vec<Named<'_>>;

    /// Makes it of the texts of [`sources`](Self::sources), in their order.
    fn make(&self, texts: Vec<Bytes>) -> Result<Self::Made>;
}

/// Something made of files that may change.
pub(super) struct Fresh<R: Recipe> {
    recipe: Arc<R>,
    hasher: RandomState,
    /// `None` where nothing can change.
    every: Option<Duration>,
    state: Mutex<State<R::Made>>,
}

struct State<M> {
    made: Arc<M>,
    looked: Instant,
    /// The hash of the texts it was made of: keys are kept in no second place.
    seen: u64,
}

/// What there is now, and what came of looking at the files, where that was due.
pub(in crate::transport) struct Current<M> {
    pub(in crate::transport) made: Arc<M>,
    pub(in crate::transport) change: Change,
}

#[derive(Debug)]
pub(in crate::transport) enum Change {
    None,
    Renewed,
    /// The files cannot be used; what there was before still holds.
    Refused(Error),
}

impl<R: Recipe> Fresh<R> {
    /// Reads the texts for the first time.
    pub(super) fn new(recipe: R, every: Duration) -> Result<Self> {
        let hasher = RandomState::new();
        let texts = read(&recipe)?;
        let seen = hasher.hash_one(&texts);
        let made = Arc::new(recipe.make(texts)?);
        let can_change = recipe.sources().into_iter().any(Named::is_file);
        let state = Mutex::new(State { made, looked: Instant::now(), seen });
        Ok(Self { recipe: Arc::new(recipe), hasher, every: can_change.then_some(every), state })
    }

    /// Looks at the files where that is due. Cancelled, it leaves them to the next time that it is.
    pub(super) async fn current(&self) -> Current<R::Made> {
        let Some(seen) = self.due() else { return self.unchanged() };
        let (recipe, hasher) = (Arc::clone(&self.recipe), self.hasher.clone());
        // A file may be on a disk that does not answer: nobody else waits for it, and whoever does has a deadline.
        let look = spawn_blocking(move || {
            let texts = read(&*recipe)?;
            let hash = hasher.hash_one(&texts);
            let made = if hash == seen { None } else { Some((hash, Arc::new(recipe.make(texts)?))) };
            Ok(made)
        });
        let looked = look.await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Closed, "tls: files not looked at, for the runtime ends"))
        });
        match looked {
            Ok(None) => self.unchanged(),
            Ok(Some((hash, made))) => {
                let mut state = self.lock();
                if state.seen != seen {
                    // Somebody who looked at the same time was faster; the next look tells who is right.
                    drop(state);
                    return self.unchanged();
                }
                (state.seen, state.made) = (hash, Arc::clone(&made));
                Current { made, change: Change::Renewed }
            }
            Err(error) => Current { change: Change::Refused(error), ..self.unchanged() },
        }
    }

    /// The hash that was seen, where the files are to be looked at by the caller.
    fn due(&self) -> Option<u64> {
        let every = self.every?;
        let mut state = self.lock();
        if state.looked.elapsed() < every {
            return None;
        }
        state.looked = Instant::now();
        Some(state.seen)
    }

    fn unchanged(&self) -> Current<R::Made> {
        Current { made: Arc::clone(&self.lock().made), change: Change::None }
    }

    fn lock(&self) -> MutexGuard<'_, State<R::Made>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(recipe: &impl Recipe) -> Result<Vec<Bytes>> {
    recipe.sources().into_iter().map(Named::read).collect()
}
