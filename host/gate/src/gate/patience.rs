//! Asking again: until what this run made is visible, and until a lost outcome is certain.

use std::time::{Duration, Instant};

use lockkeeper_cloud::{Class as FailureClass, Failure, Sent};
use lockkeeper_types::Value;

use super::run::RunGate;
use crate::call::Call;
use crate::definition::{Definition, own_failure};
use crate::event::Event;
use crate::operation::{Class, Context, Observed};
use crate::undo::Written;

/// The longest the gate waits for something this run made to become visible.
const VISIBILITY: Duration = Duration::from_mins(5);

/// Sends a write until its outcome is certain, or the time is up.
pub(super) async fn perform(
    run: &RunGate,
    step: &str,
    definition: &dyn Definition,
    call: &Call,
    context: &Context<'_>,
    deadline: Instant,
    mut lost: bool,
) -> Result<Value, Failure> {
    let mut pause = Pause::default();
    loop {
        let looked = if lost {
            visible(run, step, call, deadline, || {
                reconcile(definition, call, context)
            })
            .await
        } else {
            Ok(None)
        };
        let sent = match looked {
            Ok(Some(output)) => return Ok(output),
            Ok(None) => {
                visible(run, step, call, deadline, || {
                    definition.send(&call.arguments, context)
                })
                .await
            }
            Err(failure) => Err(Failure {
                sent: Sent::NotSent,
                ..failure
            }),
        };
        let failure = match sent {
            Ok(output) => return Ok(output),
            Err(failure) => failure,
        };
        if failure.is_stopped() {
            return Err(failure);
        }
        let again = failure.sent == Sent::MaybeHandled
            || lost
                && match failure.class {
                    FailureClass::Unavailable | FailureClass::Throttled => true,
                    // It may be what the lost request made, and be seen in a moment.
                    FailureClass::Conflict => {
                        matches!(definition.class(), Class::Create | Class::Issue)
                    }
                    _ => false,
                };
        // Only an answer tells anything about the lost request before it.
        let failure = if lost && failure.sent == Sent::NotSent {
            untold(failure)
        } else {
            failure
        };
        if !again {
            return Err(failure);
        }
        lost = true;
        if run.cancellation.is_set() {
            return Err(failure.stopped());
        }
        let Some(delay) = pause.next_within(deadline.min(Instant::now() + VISIBILITY)) else {
            return Err(match failure.class {
                FailureClass::Conflict => failure,
                _ => untold(failure),
            });
        };
        // A broken listener is noticed at the next event that the journal waits for.
        let _ = run.events.tell(
            Some(step),
            &Event::Waiting {
                operation: call.operation.clone(),
                reason: format!(
                    "the reply was lost ({}); looking before sending again",
                    failure.code
                ),
                delay,
            },
        );
        run.cancellation.sleep(delay).await;
    }
}

/// A failure after which nobody can tell whether the service acted.
fn untold(failure: Failure) -> Failure {
    Failure {
        sent: Sent::MaybeHandled,
        ..failure
    }
}

/// What an earlier send of this very call made; `None` means it has to be sent (again).
async fn reconcile(
    definition: &dyn Definition,
    call: &Call,
    context: &Context<'_>,
) -> Result<Option<Value>, Failure> {
    match definition.class() {
        Class::Create | Class::Issue => definition.find(&call.arguments, context).await,
        Class::Read | Class::Put | Class::Start | Class::Delete => Ok(None),
    }
}

/// Tries again while a service does not see yet what this run made.
pub(super) async fn visible<T, F>(
    run: &RunGate,
    step: &str,
    call: &Call,
    deadline: Instant,
    attempt: impl Fn() -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let deadline = deadline.min(Instant::now() + VISIBILITY);
    let mut pause = Pause::default();
    loop {
        let failure = match attempt().await {
            Ok(output) => return Ok(output),
            Err(failure) => failure,
        };
        if !(failure.may_be_replication() && run.is_about_something_made(&call.arguments)) {
            return Err(failure);
        }
        if run.cancellation.is_set() {
            return Err(failure.stopped());
        }
        let Some(delay) = pause.next_within(deadline) else {
            return Err(Failure {
                class: FailureClass::NotYetVisible,
                ..failure
            });
        };
        let _ = run.events.tell(
            Some(step),
            &Event::Waiting {
                operation: call.operation.clone(),
                reason: format!("not visible yet ({}: {})", failure.service, failure.code),
                delay,
            },
        );
        run.cancellation.sleep(delay).await;
    }
}

impl RunGate {
    /// [Looks](Self::look) again and again until what it sees is `expected` or the time is up: services answer reads
    /// from replicas.
    pub async fn look_until(
        &self,
        written: &Written,
        deadline: Instant,
        why: &str,
        expected: impl Fn(&Value) -> bool,
    ) -> Result<Observed, Failure> {
        let mut pause = Pause::default();
        loop {
            let now = self.look(written).await?;
            if expected(now.as_ref().unwrap_or(&Value::Null)) {
                return Ok(now);
            }
            let Some(delay) = pause.next_within(deadline) else {
                return Ok(now);
            };
            let waiting = Event::Waiting {
                operation: written.call.operation.clone(),
                reason: why.to_owned(),
                delay,
            };
            let _ = self.events.tell(Some(&written.step), &waiting);
            self.cancellation.sleep(delay).await;
            if self.cancellation.is_set() {
                let (class, operation) = (FailureClass::NotYetVisible, &written.call.operation);
                return Err(own_failure(class, operation, "NotYetVisible", why).stopped());
            }
        }
    }
}

/// Growing pauses: a quarter of a second, doubled up to 30 seconds.
#[derive(Default)]
pub(super) struct Pause(u32);

impl Pause {
    /// The next pause, unless it would end after `deadline`.
    pub(super) fn next_within(&mut self, deadline: Instant) -> Option<Duration> {
        let delay = Duration::from_millis(250 << self.0.min(7)).min(Duration::from_secs(30));
        self.0 += 1;
        (Instant::now() + delay < deadline).then_some(delay)
    }
}
