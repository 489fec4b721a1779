//! Whether one more request, or a few more bytes of one, may come in. Pure: no socket, no clock, no lock.

use crate::protocol::memory::Pressure;

/// Requests and bytes in hand, and how many there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Admission {
    max_requests: usize,
    max_bytes: usize,
    requests: usize,
    bytes: usize,
}

/// Why something is turned away; what is turned away changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turned {
    /// The process has little memory left.
    Soft,
    /// The process has no memory left.
    Hard,
    /// As many requests as there may be are being read, waiting or handled.
    Requests,
    /// The bodies in hand leave no room.
    Bytes,
}

impl Admission {
    pub(super) const fn new(max_requests: usize, max_bytes: usize) -> Self {
        Self { max_requests, max_bytes, requests: 0, bytes: 0 }
    }

    /// Bytes of all bodies in hand.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Lets a request in whose body claims to be `claimed` bytes long. What is claimed is not set aside: who
    /// claims and does not send must not keep others out.
    pub(super) const fn begin(&mut self, claimed: u64, pressure: Pressure) -> Result<(), Turned> {
        match pressure {
            Pressure::Hard => return Err(Turned::Hard),
            Pressure::Soft => return Err(Turned::Soft),
            Pressure::None => {}
        }
        if self.requests >= self.max_requests {
            return Err(Turned::Requests);
        }
        // No bound on bytes is near 2^64, so that nothing is lost.
        if claimed > (self.max_bytes - self.bytes) as u64 {
            return Err(Turned::Bytes);
        }
        self.requests += 1;
        Ok(())
    }

    /// Takes `bytes` more into hand.
    pub(super) const fn grow(&mut self, bytes: usize) -> Result<(), Turned> {
        if bytes > self.max_bytes - self.bytes {
            return Err(Turned::Bytes);
        }
        self.bytes += bytes;
        Ok(())
    }

    /// Gives back what [`grow`](Self::grow) took.
    pub(super) const fn shrink(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Ends what [`begin`](Self::begin) let in.
    pub(super) const fn end(&mut self) {
        self.requests = self.requests.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Begin(u64, Pressure),
        /// Which of the open requests, by how much.
        Grow(prop::sample::Index, usize),
        End(prop::sample::Index),
    }

    fn step() -> impl Strategy<Value = Step> {
        let pressure =
            prop_oneof![4 => Just(Pressure::None), 1 => Just(Pressure::Soft), 1 => Just(Pressure::Hard)];
        prop_oneof![
            (0_u64..150, pressure).prop_map(|(claimed, pressure)| Step::Begin(claimed, pressure)),
            (any::<prop::sample::Index>(), 0_usize..60).prop_map(|(which, bytes)| Step::Grow(which, bytes)),
            any::<prop::sample::Index>().prop_map(Step::End),
        ]
    }

    proptest! {
        /// Beside a plain list of what each open request holds.
        #[test]
        fn no_order_of_events_passes_a_bound_or_loses_a_byte(steps in prop::collection::vec(step(), 0..100)) {
            let (max_requests, max_bytes) = (4, 100);
            let mut admission = Admission::new(max_requests, max_bytes);
            let mut open: Vec<usize> = Vec::new();
            for step in steps {
                let (before, held) = (admission, open.iter().sum::<usize>());
                let told = match step {
                    Step::Begin(claimed, pressure) => {
                        let told = admission.begin(claimed, pressure);
                        let expected = match pressure {
                            Pressure::Hard => Err(Turned::Hard),
                            Pressure::Soft => Err(Turned::Soft),
                            Pressure::None if open.len() == max_requests => Err(Turned::Requests),
                            Pressure::None if held as u64 + claimed > max_bytes as u64 => Err(Turned::Bytes),
                            Pressure::None => Ok(()),
                        };
                        prop_assert_eq!(told, expected);
                        open.extend(told.is_ok().then_some(0));
                        told
                    }
                    Step::Grow(which, bytes) if !open.is_empty() => {
                        let told = admission.grow(bytes);
                        prop_assert_eq!(told.is_ok(), held + bytes <= max_bytes);
                        let which = which.index(open.len());
                        open[which] += if told.is_ok() { bytes } else { 0 };
                        told
                    }
                    Step::End(which) if !open.is_empty() => {
                        admission.shrink(open.swap_remove(which.index(open.len())));
                        admission.end();
                        Ok(())
                    }
                    Step::Grow(..) | Step::End(_) => Ok(()),
                };
                prop_assert!(told.is_ok() || admission == before, "what is turned away changes nothing");
                prop_assert_eq!((admission.requests, admission.bytes), (open.len(), open.iter().sum::<usize>()));
            }
            for bytes in open {
                admission.shrink(bytes);
                admission.end();
            }
            prop_assert_eq!(admission, Admission::new(max_requests, max_bytes));
        }
    }
}
