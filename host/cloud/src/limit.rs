//! A token bucket per service, so that ordinary runs are not slowed and large ones do not run into 429.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Lets a burst through at once and then so many a second.
#[derive(Debug)]
pub(crate) struct Bucket {
    rate: f64,
    burst: f64,
    /// Requests that may still go (negative: those already promised a place), and as of when.
    state: Mutex<(f64, Instant)>,
}

impl Bucket {
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        let (rate, burst) = (f64::from(per_second.max(1)), f64::from(burst.max(1)));
        Self {
            rate,
            burst,
            state: Mutex::new((burst, Instant::now())),
        }
    }

    /// Takes a place and says how long to wait for it.
    pub(crate) fn take(&self) -> Duration {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let refilled = state.0 + now.duration_since(state.1).as_secs_f64() * self.rate;
        *state = (refilled.min(self.burst) - 1.0, now);
        Duration::from_secs_f64((-state.0).max(0.0) / self.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_the_rest_waits_its_turn() {
        let bucket = Bucket::new(10, 50);
        assert!((0..50).all(|_| bucket.take() == Duration::ZERO));
        let waits: Vec<Duration> = (0..5).map(|_| bucket.take()).collect();
        assert!(
            waits.is_sorted() && waits[4] > Duration::from_millis(300),
            "{waits:?}"
        );
    }
}
