//! One step's way through the gate: policy, then journal, then the service, then audit.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lockkeeper_cloud::{Class as FailureClass, Cloud, Failure, Sent};
use lockkeeper_journal::{Durable, Edge, Entry, Fault, Slept};
use lockkeeper_types::{Value, unknown};
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::Cancellation;
use crate::call::Call;
use crate::definition::{Definition, own_failure};
use crate::event::{CallEvent, Event, Events, ListenerError, Outcome};
use crate::operation::{Class, Context, Object, Observed, Placeholders};
use crate::plan::{Plan, PlannedCall};
use crate::policy::{Grants, Use};
use crate::undo::Written;
use crate::watch::Watch;
use crate::{Secrets, operations};

/// The longest the gate waits for something this run made to become visible.
const VISIBILITY: Duration = Duration::from_secs(300);
/// Sleeps longer than this unload the plugin.
const LONG_SLEEP: Duration = Duration::from_secs(15);

/// What all steps of a run share.
pub struct RunGate {
    /// The connected target.
    pub cloud: Cloud,
    /// The run's secrets.
    pub secrets: Secrets,
    /// The run's event stream.
    pub events: Events,
    /// Where writes go.
    pub mode: Mode,
    /// Set to stop before the next call.
    pub cancellation: Cancellation,
    made: Mutex<HashSet<String>>,
}

/// Where writes go.
pub enum Mode {
    /// To the services.
    Apply,
    /// Into a plan; none leaves the host.
    Plan(Plan),
}

impl RunGate {
    /// A run's gate.
    pub fn new(
        cloud: Cloud,
        secrets: Secrets,
        events: Events,
        mode: Mode,
        cancellation: Cancellation,
    ) -> Self {
        Self {
            cloud,
            secrets,
            events,
            mode,
            cancellation,
            made: Mutex::default(),
        }
    }

    /// Remembers the names in `value` as those of things this run made: a service that does not
    /// know them yet is waited for.
    pub fn remember_made(&self, value: &Value) {
        let mut names = Vec::new();
        leaves(value, &mut names);
        self.lock_made().extend(names.into_iter().filter(|name| name.len() >= 4).map(str::to_owned));
    }

    /// The state now of the object that a recorded write changed. Sends reads only.
    pub async fn look(&self, written: &Written) -> Result<Observed, Failure> {
        let Some(definition) = operations::find(&written.call.operation) else {
            return Ok(None);
        };
        let context =
            Context { cloud: &self.cloud, secrets: &self.secrets, mark: &written.mark };
        definition.state(&written.call.arguments, &context).await
    }

    /// What `call` is about, and its state now. Sends reads only.
    pub async fn look_at(&self, call: &Call) -> Result<(Object, Observed), Failure> {
        let definition = operations::find(&call.operation).ok_or_else(|| no_such(&call.operation))?;
        let context = Context { cloud: &self.cloud, secrets: &self.secrets, mark: "" };
        let object = definition.object(&call.arguments)?;
        Ok((object, definition.state(&call.arguments, &context).await?))
    }

    fn is_about_something_made(&self, arguments: &Value) -> bool {
        let mut names = Vec::new();
        leaves(arguments, &mut names);
        let made = self.lock_made();
        names.into_iter().any(|name| made.contains(name))
    }

    fn lock_made(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn leaves<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Array(items) => items.iter().for_each(|item| leaves(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| leaves(field, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What ends a step from the gate's side.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    /// The journal refused: divergence, a lost lease, a full disk.
    #[error(transparent)]
    Journal(#[from] Fault),
    /// The audit, or another listener, could not take an event.
    #[error("the event stream is broken, so nothing more may be sent: {0}")]
    Events(#[from] ListenerError),
    /// The run was asked to stop.
    #[error("stopped before the next call, as asked")]
    Cancelled,
    /// The step waits so long that its plugin is unloaded; run it again then.
    #[error("waits until {until}")]
    Suspended {
        /// When to run it again.
        until: OffsetDateTime,
    },
    /// A call was sent and nobody can tell whether the service acted.
    #[error("whether `{operation}` on {object} was done cannot be told: {failure}")]
    Unknown {
        /// The operation.
        operation: String,
        /// What it is about.
        object: String,
        /// What the last look gave.
        failure: Box<Failure>,
    },
}

/// After creating something, reads this often in a row must see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settle {
    /// How many reads in a row.
    pub reads: u32,
    /// How long to try.
    pub timeout: Duration,
}

/// What the journal keeps of a write before it is sent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Intent {
    /// Granted; the object's state that it found.
    Sent {
        /// `null` where there was no such object.
        before: Value,
    },
    /// Refused by policy, or impossible to prepare; it was never sent.
    Refused(Failure),
}

/// What the journal keeps of a call's end.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ended {
    /// What it gave.
    Done(Value),
    /// Why it failed.
    Failed(Failure),
}

impl From<Result<Value, Failure>> for Ended {
    fn from(result: Result<Value, Failure>) -> Self {
        match result {
            Ok(output) => Self::Done(output),
            Err(failure) => Self::Failed(failure),
        }
    }
}

/// One attempt of one step, at the gate.
pub struct StepGate {
    run: Arc<RunGate>,
    /// The target, as this step's requests reach it.
    cloud: Cloud,
    step: String,
    grants: Grants,
    settle: Option<Settle>,
    deadline: Instant,
    durable: Box<dyn Durable>,
    replaying: bool,
    used: Use,
    seen: HashMap<Object, Observed>,
    position: u64,
    changes: u64,
    notes: Vec<String>,
}

impl StepGate {
    /// The gate for one attempt of `step`, whose calls `durable` records.
    pub fn new(
        run: Arc<RunGate>,
        step: &str,
        grants: Grants,
        settle: Option<Settle>,
        deadline: Instant,
        durable: Box<dyn Durable>,
    ) -> Self {
        let watch = Watch {
            events: run.events.clone(),
            step: step.to_owned(),
            requests: match &run.mode {
                Mode::Plan(plan) => plan.requests().clone(),
                Mode::Apply => Arc::default(),
            },
        };
        Self {
            cloud: run.cloud.observed_by(Arc::new(watch), deadline.into()),
            run,
            step: step.to_owned(),
            grants,
            settle,
            deadline,
            durable,
            replaying: false,
            used: Use::default(),
            seen: HashMap::new(),
            position: 0,
            changes: 0,
            notes: Vec::new(),
        }
    }

    /// How many writes the step has made that changed something.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// What the plugin noted.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The attempt's record, at its first entry again.
    pub fn rewind(mut self) -> Box<dyn Durable> {
        self.durable.rewind();
        self.durable
    }

    /// Records `value` at this place, or gives back what was recorded here before.
    pub async fn fix(&mut self, kind: &str, value: Value) -> Result<Value, Halt> {
        let entry =
            Entry { kind, fingerprint: kind, edge: Edge::Durable, facts: Value::Null };
        Ok(self.durable.effect(entry, Box::pin(async { Ok(value) })).await?.value)
    }

    /// Passes one call. The inner result is for the plugin, in the shape of `step/types.error`;
    /// a [`Halt`] ends the step.
    pub async fn call(
        &mut self,
        operation: &str,
        arguments: Value,
    ) -> Result<Result<Value, Value>, Halt> {
        if self.run.cancellation.is_set() {
            return Err(Halt::Cancelled);
        }
        self.position += 1;
        let result = match operation {
            "step/progress.report" => return self.report(&arguments).map(Ok),
            "step/progress.note" => return self.note(&arguments).await.map(Ok),
            "step/timer.sleep" => return self.sleep(&arguments).await.map(Ok),
            "step/timer.now" => return self.now().await.map(Ok),
            _ => match operations::find(operation) {
                None => Err(no_such(operation)),
                Some(definition) => {
                    let call = Call { operation: operation.to_owned(), arguments };
                    match &self.run.clone().mode {
                        Mode::Plan(plan) => self.plan(plan, definition, &call).await,
                        Mode::Apply if definition.class() == Class::Read => {
                            self.read(definition, &call).await?
                        }
                        Mode::Apply => self.write(definition, &call).await?,
                    }
                }
            },
        };
        Ok(result.map_err(|failure| error_value(&failure)))
    }

    // ---- reads ------------------------------------------------------------------------------

    async fn read(
        &mut self,
        definition: &dyn Definition,
        call: &Call,
    ) -> Result<Result<Value, Failure>, Halt> {
        let (run, cloud) = (self.run.clone(), self.cloud.clone());
        let (step, grants) = (self.step.clone(), self.grants.clone());
        let deadline = self.deadline;
        let mark = self.mark();
        let mut used = self.used.clone();
        let digest = call.digest();
        let object = match definition.object(&call.arguments) {
            Ok(object) => object,
            Err(failure) => return Ok(Err(failure)),
        };
        let fingerprint = format!("{} {digest}", call.operation);
        let facts = facts(definition, &object, &mark, &digest, call);
        let effect = async {
            let ended = match grants.decide(&call.operation, &call.arguments, &mut used) {
                Err(denial) => Ended::Failed(denied(&call.operation, &denial.to_string())),
                Ok(()) => {
                    let context = Context { cloud: &cloud, secrets: &run.secrets, mark: &mark };
                    visible(&run, &step, call, deadline, || {
                        definition.send(&call.arguments, &context)
                    })
                    .await
                    .into()
                }
            };
            to_value(&ended)
        };
        let entry = Entry {
            kind: "read",
            fingerprint: &fingerprint,
            edge: Edge::Cheap,
            facts,
        };
        let recorded = self.durable.effect(entry, Box::pin(effect)).await?;
        self.replaying = recorded.replayed;
        if recorded.replayed {
            // Counted again, so that a limit holds over a resumed step as a whole.
            let _ = self.grants.decide(&call.operation, &call.arguments, &mut self.used);
        } else {
            self.used = used;
        }
        match from_value::<Ended>(&recorded.value)? {
            Ended::Done(output) => {
                if let Some(state) = definition.observed(&call.arguments, &output) {
                    self.seen.insert(object, state);
                }
                Ok(Ok(output))
            }
            Ended::Failed(failure) => Ok(Err(failure)),
        }
    }

    // ---- writes -----------------------------------------------------------------------------

    async fn write(
        &mut self,
        definition: &dyn Definition,
        call: &Call,
    ) -> Result<Result<Value, Failure>, Halt> {
        let (run, cloud, step) = (self.run.clone(), self.cloud.clone(), self.step.clone());
        let mark = self.mark();
        let digest = call.digest();
        let object = match definition.object(&call.arguments) {
            Ok(object) => object,
            Err(failure) => return Ok(Err(failure)),
        };
        let event = CallEvent {
            operation: call.operation.clone(),
            class: definition.class(),
            object: object.clone(),
            mark: mark.clone(),
            digest: digest.clone(),
        };
        let fingerprint = format!("{} {digest}", call.operation);
        let facts = facts(definition, &object, &mark, &digest, call);

        // The intent: on disk before anything leaves.
        let mut used = self.used.clone();
        let (grants, seen, deadline) =
            (self.grants.clone(), self.seen.get(&object).cloned(), self.deadline);
        let context = Context { cloud: &cloud, secrets: &run.secrets, mark: &mark };
        let prepare = async {
            let intent = match grants.decide(&call.operation, &call.arguments, &mut used) {
                Err(denial) => Intent::Refused(denied(&call.operation, &denial.to_string())),
                Ok(()) if unknown::source_in(&call.arguments).is_some() => {
                    Intent::Refused(own_failure(
                        FailureClass::Invalid,
                        &call.operation,
                        "PlaceholderInCall",
                        "a placeholder of a plan cannot be sent",
                    ))
                }
                Ok(()) => {
                    let before = match seen {
                        Some(state) => Ok(state),
                        None => {
                            visible(&run, &step, call, deadline, || {
                                definition.state(&call.arguments, &context)
                            })
                            .await
                        }
                    };
                    match before {
                        Ok(before) => Intent::Sent { before: before.unwrap_or_default() },
                        Err(failure) => Intent::Refused(failure),
                    }
                }
            };
            to_value(&intent)
        };
        let entry = Entry {
            kind: "intent",
            fingerprint: &fingerprint,
            edge: Edge::Durable,
            facts: facts.clone(),
        };
        let intent = self.durable.effect(entry, Box::pin(prepare)).await?;
        if intent.replayed {
            let _ = self.grants.decide(&call.operation, &call.arguments, &mut self.used);
        } else {
            self.used = used;
        }
        let before = match from_value::<Intent>(&intent.value)? {
            Intent::Refused(failure) => {
                if !intent.replayed {
                    self.tell_outcome(&event, &Err(failure.clone()))?;
                }
                return Ok(Err(failure));
            }
            Intent::Sent { before } => (!before.is_null()).then_some(before),
        };
        if !intent.replayed {
            run.events.tell(Some(&step), &Event::CallIntent(event.clone()))?;
        }

        // The effect. A replayed intent without an outcome may have been handled: look first.
        let mut undecided = None;
        let perform = async {
            let sent = perform(
                &run,
                &step,
                definition,
                call,
                &context,
                deadline,
                intent.replayed,
            )
            .await;
            match sent {
                Err(failure) if failure.sent == Sent::MaybeHandled => {
                    let why = failure.to_string();
                    undecided = Some(failure);
                    Err(Fault::Stopped(why))
                }
                decided => to_value(&Ended::from(decided)),
            }
        };
        let entry = Entry {
            kind: "outcome",
            fingerprint: &fingerprint,
            edge: Edge::Durable,
            facts,
        };
        let recorded = self.durable.effect(entry, Box::pin(perform)).await;
        let recorded = match (recorded, undecided) {
            (Err(Fault::Stopped(_)), Some(failure)) => {
                self.run.events.tell(
                    Some(&self.step),
                    &Event::CallOutcome {
                        call: event,
                        outcome: Outcome::Unknown,
                        code: Some(failure.code.clone()),
                        request_id: failure.request_id.clone(),
                    },
                )?;
                return Err(Halt::Unknown {
                    operation: call.operation.clone(),
                    object: object.name,
                    failure: Box::new(failure),
                });
            }
            (recorded, _) => recorded?,
        };
        self.replaying = recorded.replayed;
        let result = match from_value::<Ended>(&recorded.value)? {
            Ended::Done(output) => Ok(output),
            Ended::Failed(failure) => Err(failure),
        };
        if !recorded.replayed {
            self.tell_outcome(&event, &result)?;
        }
        self.seen.remove(&object);
        if let Ok(output) = &result {
            run.remember_made(output);
            if let Ok(after) = definition.after(&call.arguments, before.as_ref(), output) {
                self.changes += u64::from(after != before);
                self.seen.insert(object, after);
            }
            if definition.class() == Class::Create && !recorded.replayed {
                self.settle(definition, call, &context).await?;
            }
        }
        Ok(result)
    }

    /// Waits until reads see what was just created, as often in a row as the step asks.
    async fn settle(
        &mut self,
        definition: &dyn Definition,
        call: &Call,
        context: &Context<'_>,
    ) -> Result<(), Halt> {
        let Some(settle) = self.settle else { return Ok(()) };
        let deadline = (Instant::now() + settle.timeout).min(self.deadline);
        let mut pause = Pause::default();
        let mut in_a_row = 0;
        while in_a_row < settle.reads {
            if matches!(definition.state(&call.arguments, context).await, Ok(Some(_))) {
                in_a_row += 1;
                continue;
            }
            in_a_row = 0;
            let Some(delay) = pause.next_within(deadline) else { return Ok(()) };
            self.run.events.tell(
                Some(&self.step),
                &Event::Waiting {
                    operation: call.operation.clone(),
                    reason: "not every reader sees what was created yet".to_owned(),
                    delay,
                },
            )?;
            tokio::time::sleep(delay).await;
        }
        Ok(())
    }

    fn tell_outcome(
        &self,
        call: &CallEvent,
        result: &Result<Value, Failure>,
    ) -> Result<(), ListenerError> {
        let (outcome, failure) = match result {
            Ok(_) => (Outcome::Done, None),
            Err(failure) if failure.code == NOT_GRANTED => (Outcome::Denied, Some(failure)),
            Err(failure) => (Outcome::Failed, Some(failure)),
        };
        self.run.events.tell(
            Some(&self.step),
            &Event::CallOutcome {
                call: call.clone(),
                outcome,
                code: failure.map(|failure| failure.code.clone()),
                request_id: failure.and_then(|failure| failure.request_id.clone()),
            },
        )
    }

    // ---- plans ------------------------------------------------------------------------------

    async fn plan(
        &mut self,
        plan: &Plan,
        definition: &dyn Definition,
        call: &Call,
    ) -> Result<Value, Failure> {
        if let Err(denial) =
            self.grants.decide(&call.operation, &call.arguments, &mut self.used)
        {
            return Err(denied(&call.operation, &denial.to_string()));
        }
        let (run, cloud) = (self.run.clone(), self.cloud.clone());
        let mark = self.mark();
        let context = Context { cloud: &cloud, secrets: &run.secrets, mark: &mark };
        let object = definition.object(&call.arguments)?;
        let step = self.step.clone();
        let placeholders = Placeholders { step: &step, position: self.position };
        let unknowable = unknown::source_in(&call.arguments).is_some();
        let planned = plan.written(&object);

        if definition.class() == Class::Read {
            let answer = match planned {
                Some(written) => {
                    let placeholders = written.placeholders();
                    definition.planned(&call.arguments, written.state.as_ref(), &placeholders)
                }
                None if unknowable => definition.planned(&call.arguments, None, &placeholders),
                None => match definition.send(&call.arguments, &context).await {
                    // The parent is missing only because it is planned, not there.
                    Err(failure)
                        if failure.class == FailureClass::NotFound
                            && plan.creates_one_of(&call.arguments) =>
                    {
                        definition.planned(&call.arguments, None, &placeholders)
                    }
                    answer => answer,
                },
            }?;
            if let Some(state) = definition.observed(&call.arguments, &answer) {
                plan.read(&object, &answer, state.is_some());
                self.seen.insert(object, state);
            } else {
                plan.read(&object, &answer, false);
            }
            return Ok(answer);
        }

        let before = match (planned, self.seen.get(&object)) {
            (Some(written), _) => written.state,
            (None, Some(state)) => state.clone(),
            (None, None) if unknowable => None,
            (None, None) => match definition.state(&call.arguments, &context).await {
                Err(failure)
                    if failure.class == FailureClass::NotFound
                        && plan.creates_one_of(&call.arguments) =>
                {
                    None
                }
                state => state?,
            },
        };
        let output = definition.preview(&call.arguments, before.as_ref(), &placeholders)?;
        let after = definition.after(&call.arguments, before.as_ref(), &output)?;
        let inverse = definition.inverse(&call.arguments, before.as_ref(), &output)?;
        self.changes += u64::from(after != before);
        self.seen.insert(object.clone(), after.clone());
        plan.write(
            PlannedCall {
                step: self.step.clone(),
                operation: call.operation.clone(),
                class: definition.class(),
                object,
                arguments: call.arguments.clone(),
                before: before.unwrap_or_default(),
                after: after.unwrap_or_default(),
                not_undoable: None,
            },
            &inverse,
            self.position,
        );
        Ok(output)
    }

    // ---- the step's own interfaces ------------------------------------------------------------

    fn report(&self, arguments: &Value) -> Result<Value, Halt> {
        if !self.replaying {
            self.run
                .events
                .tell(Some(&self.step), &Event::StepProgress { message: message(arguments) })?;
        }
        Ok(Value::Null)
    }

    async fn note(&mut self, arguments: &Value) -> Result<Value, Halt> {
        let message = message(arguments);
        let entry = Entry {
            kind: "note",
            fingerprint: "step/progress.note",
            edge: Edge::Cheap,
            facts: json!({ "message": message }),
        };
        let recorded = self.durable.effect(entry, Box::pin(async { Ok(Value::Null) })).await?;
        self.notes.push(message.clone());
        if !recorded.replayed {
            self.run.events.tell(Some(&self.step), &Event::StepNote { message })?;
        }
        Ok(Value::Null)
    }

    async fn sleep(&mut self, arguments: &Value) -> Result<Value, Halt> {
        if matches!(self.run.mode, Mode::Plan(_)) {
            return Ok(Value::Null);
        }
        let seconds = arguments.get("length").and_then(Value::as_u64).unwrap_or_default();
        match self.durable.sleep(Duration::from_secs(seconds)).await? {
            Slept::Done => {}
            Slept::Until(until) => {
                let left = until - OffsetDateTime::now_utc();
                let left = Duration::try_from(left).unwrap_or_default();
                if left > LONG_SLEEP {
                    return Err(Halt::Suspended { until });
                }
                tokio::select! {
                    () = tokio::time::sleep(left) => {}
                    () = self.run.cancellation.set() => return Err(Halt::Cancelled),
                }
            }
        }
        Ok(Value::Null)
    }

    async fn now(&mut self) -> Result<Value, Halt> {
        let entry = Entry {
            kind: "now",
            fingerprint: "step/timer.now",
            edge: Edge::Cheap,
            facts: Value::Null,
        };
        let now = match &self.run.mode {
            Mode::Plan(plan) => plan.made_at(),
            Mode::Apply => OffsetDateTime::now_utc(),
        };
        let now = async move {
            now.replace_nanosecond(0)
                .map_err(|error| error.to_string())
                .and_then(|now| now.format(&Rfc3339).map_err(|error| error.to_string()))
                .map(Value::String)
                .map_err(Fault::Stopped)
        };
        Ok(self.durable.effect(entry, Box::pin(now)).await?.value)
    }

    fn mark(&self) -> String {
        format!("{}/{}/{}", self.durable.run_id(), self.durable.address(), self.position)
    }
}

/// Sends a write until its outcome is certain, or the time is up.
async fn perform(
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
        let sent = visible(run, step, call, deadline, || async {
            if lost && let Some(output) = reconcile(definition, call, context).await? {
                return Ok(output);
            }
            definition.send(&call.arguments, context).await
        })
        .await;
        let failure = match sent {
            Ok(output) => return Ok(output),
            Err(failure) => failure,
        };
        if failure.sent == Sent::MaybeHandled {
            lost = true;
        } else if !lost || failure.class != FailureClass::Unavailable {
            return Err(failure);
        }
        let Some(delay) = pause.next_within(deadline.min(Instant::now() + VISIBILITY)) else {
            return Err(Failure { sent: Sent::MaybeHandled, ..failure });
        };
        // A broken listener is noticed at the next event that the journal waits for.
        let _ = run.events.tell(
            Some(step),
            &Event::Waiting {
                operation: call.operation.clone(),
                reason: format!("the reply was lost ({}); looking before sending again", failure.code),
                delay,
            },
        );
        tokio::time::sleep(delay).await;
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
async fn visible<T, F>(
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
        let Some(delay) = pause.next_within(deadline) else {
            return Err(Failure { class: FailureClass::NotYetVisible, ..failure });
        };
        let _ = run.events.tell(
            Some(step),
            &Event::Waiting {
                operation: call.operation.clone(),
                reason: format!("not visible yet ({}: {})", failure.service, failure.code),
                delay,
            },
        );
        tokio::time::sleep(delay).await;
    }
}

/// Growing pauses: a quarter of a second, doubled up to 30 seconds.
#[derive(Default)]
struct Pause(u32);

impl Pause {
    /// The next pause, unless it would end after `deadline`.
    fn next_within(&mut self, deadline: Instant) -> Option<Duration> {
        let delay = Duration::from_millis(250 << self.0.min(7)).min(Duration::from_secs(30));
        self.0 += 1;
        (Instant::now() + delay < deadline).then_some(delay)
    }
}

const NOT_GRANTED: &str = "NotGranted";

fn denied(operation: &str, message: &str) -> Failure {
    own_failure(FailureClass::Denied, operation, NOT_GRANTED, message)
}

fn no_such(operation: &str) -> Failure {
    let message = "this version of lockkeeper has no such operation";
    own_failure(FailureClass::Invalid, operation, "NoSuchOperation", message)
}

fn message(arguments: &Value) -> String {
    arguments.get("message").and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn facts(
    definition: &dyn Definition,
    object: &Object,
    mark: &str,
    digest: &str,
    call: &Call,
) -> Value {
    json!({
        "operation": call.operation,
        "class": definition.class(),
        "object": object,
        "mark": mark,
        "digest": digest,
        "arguments": call.arguments,
    })
}

fn stopped(error: impl std::fmt::Display) -> Fault {
    Fault::Stopped(error.to_string())
}

fn to_value<T: Serialize>(value: &T) -> Result<Value, Fault> {
    serde_json::to_value(value).map_err(stopped)
}

fn from_value<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, Fault> {
    T::deserialize(value).map_err(stopped)
}

/// A failure in the shape of `step/types.error`.
pub fn error_value(failure: &Failure) -> Value {
    let case = match failure.class {
        FailureClass::NotFound => "not-found",
        FailureClass::Conflict => "conflict",
        FailureClass::Denied | FailureClass::Unauthenticated => "denied",
        FailureClass::Throttled => "throttled",
        FailureClass::NotYetVisible => "not-yet-visible",
        FailureClass::Unavailable => "unavailable",
        FailureClass::Invalid => "invalid",
        FailureClass::Other => "other",
    };
    json!({ case: {
        "service": failure.service,
        "operation": failure.operation,
        "status": failure.status.unwrap_or_default(),
        "code": failure.code,
        "message": failure.message,
        "request_id": failure.request_id.clone().unwrap_or_default(),
    }})
}
