//! What the gate hears of requests that are under way: waits become events, and requests are
//! counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use lockkeeper_cloud::{Class, Failure, Method, Observer, Request, Service};

use crate::Cancellation;
use crate::event::{Event, Events};

/// How many requests have left the host; sign-ins, which change nothing, are not counted.
#[derive(Debug, Default)]
pub struct Requests {
    gets: AtomicU64,
    writes: AtomicU64,
}

impl Requests {
    /// Those that only ask.
    pub fn gets(&self) -> u64 {
        self.gets.load(Ordering::Relaxed)
    }

    /// Those that may change something.
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }
}

/// Ends the waits of a run's requests when the run is asked to stop.
pub(crate) struct Stop(pub(crate) Cancellation);

#[async_trait]
impl Observer for Stop {
    async fn stopped(&self) {
        self.0.set().await;
    }
}

/// Listens to the requests of one step.
pub(crate) struct Watch {
    pub(crate) cancellation: Cancellation,
    pub(crate) events: Events,
    pub(crate) step: String,
    pub(crate) requests: Arc<Requests>,
}

#[async_trait]
impl Observer for Watch {
    async fn stopped(&self) {
        self.cancellation.set().await;
    }

    fn waiting(&self, request: &Request, failure: &Failure, delay: Duration, _attempt: u32) {
        let asked = if failure.retry_after.is_some() {
            ", which names the time to wait"
        } else {
            ""
        };
        // A broken listener is noticed at the next event that the journal waits for.
        let _ = self.events.tell(
            Some(&self.step),
            &Event::Waiting {
                operation: request.operation.to_owned(),
                reason: format!("{} answers {}{asked}", failure.service, failure.code),
                delay,
            },
        );
    }

    fn sent(&self, request: &Request, _: Option<u16>, _: Option<Class>, _: Duration) {
        let count = match (&request.service, request.method) {
            (Service::Entra, _) => return,
            (_, Method::Get) => &self.requests.gets,
            _ => &self.requests.writes,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}
