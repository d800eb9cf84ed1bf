//! Waiting for something that can be seen, never for a time that is hoped to be enough.

use crate::types::{Duration, Error, StepError};
use crate::{progress, timer};

/// Seconds to wait for a replication that has been set going.
pub const LONG: u64 = 300;
/// Seconds to wait for something that another step has already seen.
pub const SHORT: u64 = 15;

/// What one look found.
pub enum Attempt<T> {
    /// What was waited for.
    Done(T),
    /// Not yet; the error is what to fail with when patience ends.
    Again(Error),
}

impl<T> Attempt<T> {
    /// The read `operation` does not show yet what it should; `message` says so.
    pub fn not_visible(operation: &str, message: String) -> Self {
        let class = Error::NotYetVisible;
        Self::Again(Error::of(class, operation, "NOT_VISIBLE", message))
    }
}

/// Pauses of 1, 2, 4, 8, 16, 30, 30, … seconds that end before their sum exceeds a limit.
pub struct Backoff {
    next: u64,
    waited: u64,
    limit: u64,
}

impl Backoff {
    /// Pauses of at most `limit` seconds together.
    pub fn new(limit: u64) -> Self {
        Self {
            next: 1,
            waited: 0,
            limit,
        }
    }

    /// The seconds given out so far.
    pub fn waited(&self) -> u64 {
        self.waited
    }
}

impl Iterator for Backoff {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let pause = self.next;
        if self.waited + pause > self.limit {
            return None;
        }
        self.waited += pause;
        self.next = (pause * 2).min(30);
        Some(pause)
    }
}

/// Looks until `attempt` is done, with growing pauses of `limit` seconds together. `what` ends the
/// sentence "waiting until …".
pub fn until<T>(
    what: &str,
    limit: u64,
    mut attempt: impl FnMut() -> Result<Attempt<T>, StepError>,
) -> Result<T, StepError> {
    let mut backoff = Backoff::new(limit);
    loop {
        let error = match attempt()? {
            Attempt::Done(value) => return Ok(value),
            Attempt::Again(error) => error,
        };
        let waited = backoff.waited();
        let Some(seconds) = backoff.next() else {
            return Err(error.because(
                format!("after {waited} s of waiting until {what}, it still is not so"),
                "resume the run: it waits again, and repeats nothing that is done",
            ));
        };
        progress::report(&format!("waiting until {what} ({waited} s)"));
        timer::sleep(Duration { seconds });
    }
}

/// Waits until three reads in a row see an object, as replicas that are behind answer in between.
pub fn until_settled(
    what: &str,
    operation: &str,
    mut seen: impl FnMut() -> Result<bool, Error>,
) -> Result<(), StepError> {
    until(what, LONG, || {
        for _ in 0..3 {
            match seen() {
                Ok(true) => {}
                Ok(false) => {
                    let message = "a replica does not have it yet".to_owned();
                    return Ok(Attempt::not_visible(operation, message));
                }
                Err(error) if error.is_missing() => return Ok(Attempt::Again(error)),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Attempt::Done(()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let pauses: Vec<_> = Backoff::new(100).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(Backoff::new(SHORT).collect::<Vec<_>>(), [1, 2, 4, 8]);
        assert_eq!(Backoff::new(0).next(), None);
    }

    #[test]
    fn what_is_there_at_once_costs_no_pause() {
        let found = until("it is there", 0, || Ok(Attempt::Done(7)));
        assert_eq!(found.ok(), Some(7));
    }

    #[test]
    fn without_patience_the_last_error_is_what_failed() {
        let failed: Result<(), _> = until("it is there", 0, || {
            let message = "not here".to_owned();
            Ok(Attempt::Again(Error::of(
                Error::NotFound,
                "a/b.c",
                "N",
                message,
            )))
        });
        let failed = failed.unwrap_err();
        assert!(failed.error.says("not here"));
        assert!(failed.cause.unwrap().contains("until it is there"));
    }
}
