//! Buffers of bodies that are over, kept for the next ones.
//!
//! A buffer of 300 KB that is made anew costs some seventy page faults, as allocators give memory of that size back to the
//! kernel: with several clients at once that took half of the receiver's time.

use std::ops::Deref;
use std::sync::Arc;

use super::account::Account;
use super::answer::Refusal;
use super::hold::Share;
use crate::protocol::memory::{Pressure, Reservation};

/// Allocators keep what is smaller.
const LEAST: usize = 64 << 10;

/// Empty buffers, of so many bytes at the most.
#[derive(Debug)]
pub(super) struct Spares {
    max_bytes: usize,
    bytes: usize,
    kept: Vec<(Vec<u8>, Option<Reservation>)>,
}

impl Spares {
    pub(super) const fn new(max_bytes: usize) -> Self {
        Self { max_bytes, bytes: 0, kept: Vec::new() }
    }

    /// Room that all of them have.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives all up; whether there were any.
    pub(super) fn clear(&mut self) -> bool {
        self.bytes = 0;
        !std::mem::take(&mut self.kept).is_empty()
    }

    /// The smallest with room for `least` bytes.
    fn take(&mut self, least: usize) -> Option<Vec<u8>> {
        let rooms = self.kept.iter().map(|(buffer, _)| buffer.capacity()).enumerate();
        let (at, room) = rooms.filter(|(_, room)| *room >= least).min_by_key(|(_, room)| *room)?;
        self.bytes -= room;
        Some(self.kept.swap_remove(at).0)
    }

    /// Whether a buffer of `room` is worth keeping.
    const fn wants(&self, room: usize) -> bool {
        room >= LEAST && room <= self.max_bytes.saturating_sub(self.bytes)
    }

    fn keep(&mut self, mut buffer: Vec<u8>, reserved: Option<Reservation>) {
        buffer.clear();
        self.bytes += buffer.capacity();
        self.kept.push((buffer, reserved));
    }
}

/// What is in hand of a body. Its room is counted in a [`Share`], and kept for another body when this one is dropped.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    account: Arc<Account>,
}

impl Buffer {
    pub(super) const fn new(account: Arc<Account>) -> Self {
        Self { bytes: Vec::new(), account }
    }

    /// Empty, with room for `least` bytes if such a buffer was kept, else with none.
    #[cfg(any(feature = "gzip", feature = "zstd"))]
    pub(super) fn with_room(least: usize, share: &mut Share) -> Self {
        let mut buffer = Self::new(Arc::clone(share.account()));
        buffer.exchange(least, share);
        buffer
    }

    /// Appends `more`. The room is doubled as needed, to at most `most`, or what is needed; it is the room that counts,
    /// not what is in it.
    pub(super) fn push(&mut self, more: &[u8], most: usize, share: &mut Share) -> Result<(), Refusal> {
        let needed = self.bytes.len() + more.len();
        if needed > self.bytes.capacity() && !self.exchange(needed, share) {
            let room = needed.max(self.bytes.capacity().saturating_mul(2).min(most));
            share.grow(room - self.bytes.capacity())?;
            self.bytes.reserve_exact(room - self.bytes.len());
        }
        self.bytes.extend_from_slice(more);
        Ok(())
    }

    /// Goes on in a kept buffer with room for `least`, if there is one and the share may have it.
    fn exchange(&mut self, least: usize, share: &mut Share) -> bool {
        if least < LEAST {
            return false;
        }
        let Some(mut kept) = self.account.spares().take(least) else { return false };
        if share.try_grow(kept.capacity() - self.bytes.capacity()).is_err() {
            return false;
        }
        kept.extend_from_slice(&self.bytes);
        give_back(&self.account, std::mem::replace(&mut self.bytes, kept));
        true
    }

    /// For whoever appends to it and counts its room.
    #[cfg(any(feature = "gzip", feature = "zstd"))]
    pub(super) const fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        give_back(&self.account, std::mem::take(&mut self.bytes));
    }
}

fn give_back(account: &Account, buffer: Vec<u8>) {
    let room = buffer.capacity();
    if !account.spares().wants(room) {
        return;
    }
    let reserved = match &account.memory {
        // Where the process has little left, nothing is kept.
        Some(memory) if memory.pressure() != Pressure::None => return,
        Some(memory) => match memory.reserve(room) {
            None => return,
            reserved => reserved,
        },
        None => None,
    };
    let mut spares = account.spares();
    // Somebody else may have come between.
    if spares.wants(room) {
        spares.keep(buffer, reserved);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::memory::MemoryLimiter;
    use crate::transport::receiver::ReceiverLimits;

    fn account(limits: &ReceiverLimits) -> Arc<Account> {
        Arc::new(Account::new(limits))
    }

    /// Reads a body of so many bytes, whose buffer is then over; where it was.
    fn body(account: &Arc<Account>, bytes: usize) -> *const u8 {
        let mut share = Share::new(account);
        let mut buffer = Buffer::new(Arc::clone(account));
        for part in vec![7; bytes].chunks(40_000) {
            buffer.push(part, bytes, &mut share).expect("room");
        }
        assert_eq!((buffer.len(), account.admission().bytes()), (bytes, buffer.bytes.capacity()));
        buffer.as_ptr()
    }

    #[test]
    fn a_large_buffer_is_used_again_and_a_small_one_is_not_kept() {
        let account = account(&ReceiverLimits::default());
        body(&account, LEAST - 1);
        assert_eq!(account.spares().bytes(), 0);
        let first = body(&account, 300_000);
        assert_eq!(account.stats().spare_bytes, 300_000);
        assert_eq!(body(&account, 200_000), first);
        assert_eq!((account.stats().spare_bytes, account.stats().held_bytes), (300_000, 0));
    }

    #[test]
    fn no_more_is_kept_than_may_be() {
        let account = account(&ReceiverLimits::default().max_spare_bytes(250_000));
        body(&account, 300_000);
        assert_eq!(account.spares().bytes(), 0);
        let [first, second] = [0; 2].map(|_| {
            let mut share = Share::new(&account);
            let mut buffer = Buffer::new(Arc::clone(&account));
            buffer.push(&[7; 150_000], 150_000, &mut share).expect("room");
            buffer
        });
        drop((first, second));
        assert_eq!(account.spares().bytes(), 150_000);
    }

    #[test]
    fn what_is_kept_counts_for_the_process_and_turns_nobody_away() {
        let memory = MemoryLimiter::try_new(600_000, 1_000_000).expect("marks");
        let account = account(&ReceiverLimits::default().memory(memory.clone()));
        body(&account, 500_000);
        assert_eq!((memory.used_bytes(), account.spares().bytes()), (500_000, 500_000));
        let elsewhere = memory.reserve(200_000).expect("free");
        let mut share = Share::new(&account);
        assert!(share.grow(800_000).is_ok(), "the kept buffer is given up");
        assert_eq!((memory.used_bytes(), account.spares().bytes()), (1_000_000, 0));
        assert!(share.grow(1).is_err(), "and what is in hand is not");
        drop((share, elsewhere));
        assert_eq!(memory.used_bytes(), 0);
    }

    proptest! {
        #[test]
        fn room_is_counted_as_it_is_taken(
            parts in prop::collection::vec(0_usize..30_000, 0..10),
            kept in prop::collection::vec(0_usize..200_000, 0..3),
            claims: bool,
        ) {
            let total: usize = parts.iter().sum();
            let limits = ReceiverLimits::default().max_body_bytes(1 << 19).max_total_body_bytes(1 << 19);
            let account = account(&limits);
            kept.iter().for_each(|room| give_back(&account, Vec::with_capacity(*room)));
            let mut share = Share::new(&account);
            let mut buffer = Buffer::new(Arc::clone(&account));
            for part in parts {
                let most = if claims { total } else { 1 << 19 };
                buffer.push(&vec![7; part], most, &mut share).expect("room");
                let room = buffer.bytes.capacity();
                prop_assert_eq!(account.admission().bytes(), room);
                let most = if claims { total } else { 2 * buffer.len() };
                prop_assert!(room <= most || kept.contains(&room));
            }
            prop_assert!(buffer.iter().all(|byte| *byte == 7));
            drop((share, buffer));
            prop_assert_eq!(account.admission().bytes(), 0);
        }
    }
}
