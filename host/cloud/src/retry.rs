//! Whether and when a failed try is worth another one.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use tokio::time::Instant;

use crate::failure::{Class, Failure, Sent};
use crate::request::{Budget, Observer, Request};

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(20);
/// A name that does not resolve and a host that refuses connections are mostly mistakes; a few tries cover the hiccups.
const UNREACHABLE: u32 = 4;

/// Counts the tries of one request.
pub(crate) struct Patience<'a> {
    request: &'a Request,
    budget: &'a Budget,
    observer: &'a dyn Observer,
    deadline: Instant,
    tries: u32,
}

impl<'a> Patience<'a> {
    pub(crate) fn new(
        request: &'a Request,
        budget: &'a Budget,
        observer: &'a dyn Observer,
    ) -> Self {
        Self {
            request,
            budget,
            observer,
            deadline: budget.deadline,
            tries: 0,
        }
    }

    /// When the try that comes next has to end.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Waits before the next try, or gives the failure back when there should be none.
    pub(crate) async fn wait(&mut self, failure: Failure) -> Result<(), Failure> {
        self.tries += 1;
        let unreachable =
            matches!(failure.code.as_str(), "dns" | "connect") && self.tries >= UNREACHABLE;
        if !worth_it(&failure, self.request.idempotent)
            || unreachable
            || self.tries >= self.budget.attempts
        {
            return Err(failure);
        }
        let delay = delay(&failure, self.tries);
        if failure.retry_after.is_some() {
            self.deadline = (self.deadline + delay).min(self.budget.limit);
        }
        if Instant::now() + delay >= self.deadline {
            return Err(failure);
        }
        self.observer
            .waiting(self.request, &failure, delay, self.tries);
        tokio::select! {
            () = tokio::time::sleep(delay) => Ok(()),
            () = self.observer.stopped() => Err(failure.stopped()),
        }
    }
}

/// Another try is safe when the service surely has not acted, or when acting twice is the same as acting once.
fn worth_it(failure: &Failure, idempotent: bool) -> bool {
    match failure.class {
        Class::Throttled => true,
        Class::Unavailable => idempotent || failure.sent == Sent::NotSent,
        _ => false,
    }
}

/// What the service asks for, if it does; else exponential, with jitter so that parallel runs spread out.
fn delay(failure: &Failure, tries: u32) -> Duration {
    if let Some(asked) = failure.retry_after {
        return asked.max(Duration::from_millis(100));
    }
    let full = FIRST.saturating_mul(1 << tries.min(10)).min(LONGEST);
    let jittered = full / 2 + full.mul_f64(f64::from(jitter()) / f64::from(u16::MAX) / 2.0);
    // Databricks' SDKs assume a second when a throttling answer names no time (reference/databricks.md, 3.3).
    if failure.class == Class::Throttled {
        jittered.max(Duration::from_secs(1))
    } else {
        jittered
    }
}

fn jitter() -> u16 {
    (RandomState::new().hash_one(0_u8) & u64::from(u16::MAX))
        .try_into()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::Path;
    use crate::request::{Method, Service};

    fn failure(class: Class, sent: Sent) -> Failure {
        let request = Request::new(
            Service::Graph,
            "x",
            Method::Post,
            Path::new("/x", &[]).unwrap(),
        );
        Failure {
            sent,
            ..Failure::not_sent(&request, class, "x", "m")
        }
    }

    #[test]
    fn what_may_have_been_handled_is_not_sent_twice() {
        for (class, sent, idempotent, again) in [
            (Class::Throttled, Sent::Answered, false, true),
            (Class::Unavailable, Sent::NotSent, false, true),
            (Class::Unavailable, Sent::MaybeHandled, false, false),
            (Class::Unavailable, Sent::Answered, false, false),
            (Class::Unavailable, Sent::MaybeHandled, true, true),
            (Class::Denied, Sent::Answered, true, false),
            (Class::Invalid, Sent::NotSent, true, false),
            (Class::Other, Sent::MaybeHandled, true, false),
        ] {
            assert_eq!(
                worth_it(&failure(class, sent), idempotent),
                again,
                "{class:?} {sent:?} {idempotent}"
            );
        }
    }

    #[test]
    fn delays_grow_up_to_a_bound_and_heed_the_service() {
        let unavailable = failure(Class::Unavailable, Sent::NotSent);
        for tries in 1..60 {
            let full = FIRST.saturating_mul(1 << tries.min(10)).min(LONGEST);
            let delay = delay(&unavailable, tries);
            assert!(delay >= full / 2 && delay <= full, "{tries}: {delay:?}");
        }
        let asked = Failure {
            retry_after: Some(Duration::from_secs(7)),
            ..unavailable
        };
        assert_eq!(delay(&asked, 1), Duration::from_secs(7));
        assert!(delay(&failure(Class::Throttled, Sent::Answered), 1) >= Duration::from_secs(1));
    }
}
