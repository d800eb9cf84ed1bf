//! Taking a run back: its writes' inverses, newest first, and nothing that is not its own.

mod run;

use lockkeeper_gate::{Call, Grants, Halt, Inverse, Object, Record, RunGate, StepGate, Written};
use lockkeeper_journal::Durable;
use lockkeeper_types::Value;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::drift::items;

/// How long a whole undo may take.
const TIMEOUT: Duration = Duration::from_mins(30);

/// How long all that seems to be gone before an undo is looked for.
const REPLICAS: Duration = Duration::from_secs(3);

/// How long services may take to show that something was taken back.
const SETTLING: Duration = Duration::from_mins(5);

/// The pauses before another try when another writer was faster.
const CONFLICT_PAUSES: [Duration; 3] = [
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

/// Which steps to take back.
#[derive(Clone, Debug, Default)]
pub struct UndoSelection {
    /// Take back what came after this step, and leave it and what came before.
    pub to: Option<String>,
    /// Leave what these steps wrote.
    pub keep: Vec<String>,
    /// Delete for good what services keep of deleted objects.
    pub purge: bool,
}

/// What an undo would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UndoPlan {
    /// The run that is taken back.
    pub run: String,
    /// Its writes, newest first.
    pub items: Vec<UndoItem>,
    /// Whether what services keep of deleted objects is deleted for good as well.
    #[serde(default)]
    pub purge: bool,
    /// Whether the operator left out some of the writes, for another undo to take back.
    #[serde(default)]
    pub partly: bool,
}

/// One write of the run, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UndoItem {
    /// The write.
    pub written: Written,
    /// What becomes of it.
    pub state: UndoState,
}

/// What becomes of one write.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UndoState {
    /// It is taken back by this call.
    Ready(Call),
    /// It has been taken back already, or there is nothing to take back.
    Done,
    /// Somebody changed the object since; it is left as it is.
    Changed {
        /// The object's state now.
        now: Value,
    },
    /// It cannot be taken back.
    Impossible(String),
    /// The operator or the workflow wants it kept.
    Kept,
}

/// What an undo came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UndoReport {
    /// The undo's own run.
    pub undo: String,
    /// The run that was taken back.
    pub run: String,
    /// How many writes were taken back.
    pub undone: usize,
    /// What is still there.
    pub left: Vec<LeftBehind>,
    /// What services keep of the objects that were deleted.
    #[serde(default)]
    pub remains: Vec<Remains>,
}

/// A deleted object that its service keeps for a while.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Remains {
    /// The object.
    pub object: Object,
    /// Until when, as far as the service says (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_until: Option<String>,
}

/// Something that an undo left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeftBehind {
    /// The step that wrote it.
    pub step: String,
    /// What it is.
    pub object: String,
    /// Why it is still there.
    pub reason: String,
    /// Whether that was asked for, or cannot be otherwise; such remains are no failure.
    pub expected: bool,
}

impl UndoPlan {
    /// Plans the undo of what `record` says `run` wrote. Sends reads only.
    pub(crate) async fn make(
        gate: &RunGate,
        run: &str,
        record: Record,
        steps: &[(String, bool)],
        selection: &UndoSelection,
    ) -> Result<Self, lockkeeper_cloud::Failure> {
        let position = |step: &str| steps.iter().position(|(name, _)| name == step);
        let from = selection.to.as_deref().and_then(position);
        let mut items: Vec<UndoItem> = Vec::new();
        let mut partly = false;
        let seen = Instant::now() + REPLICAS;
        for written in record.written.into_iter().rev() {
            let kept = steps
                .iter()
                .any(|(name, keep)| *name == written.step && *keep);
            let left_out = !kept
                && (selection.keep.contains(&written.step)
                    || from
                        .is_some_and(|from| position(&written.step).is_some_and(|at| at <= from)));
            partly |= left_out;
            let state = if kept || left_out {
                UndoState::Kept
            } else {
                match written.inverse()? {
                    Inverse::Nothing => UndoState::Done,
                    Inverse::Impossible(reason) => UndoState::Impossible(reason.to_owned()),
                    Inverse::Call(operation, arguments) => {
                        let call = Call {
                            operation: operation.to_owned(),
                            arguments,
                        };
                        // An object that the run wrote twice is in the state that the newer
                        // write's inverse leaves by the time the older one's turn comes.
                        let newer = items.iter().find(|item| {
                            item.written.object == written.object
                                && matches!(item.state, UndoState::Ready(_))
                        });
                        if newer.is_some() {
                            UndoState::Ready(call)
                        } else {
                            // What the run made and is not there may only be hidden by a replica.
                            let was_made = !written.after.is_null();
                            let now = gate.look_until(
                                &written,
                                seen,
                                "what the run made is not to be seen",
                                |now| !(was_made && now.is_null()),
                            );
                            judge(&written, now.await?.unwrap_or_default(), call)
                        }
                    }
                }
            };
            items.push(UndoItem { written, state });
        }
        Ok(Self {
            run: run.to_owned(),
            items,
            purge: selection.purge,
            partly,
        })
    }

    /// The calls to make, in order.
    pub fn calls(&self) -> impl Iterator<Item = (&Written, &Call)> {
        self.items.iter().filter_map(|item| match &item.state {
            UndoState::Ready(call) => Some((&item.written, call)),
            _ => None,
        })
    }
}

/// What carrying an undo out came to.
pub(crate) struct Undone {
    pub(crate) calls: usize,
    pub(crate) left: Vec<LeftBehind>,
    pub(crate) remains: Vec<Remains>,
}

/// Makes the calls of `plan`, the same one after a crash, which `durable` records.
pub(crate) async fn carry_out(
    gate: Arc<RunGate>,
    plan: &UndoPlan,
    durable: Box<dyn Durable>,
) -> Result<Undone, Halt> {
    let mut at_gate = StepGate::new(
        gate.clone(),
        "undo",
        Grants::everything("undo"),
        None,
        Instant::now() + TIMEOUT,
        durable,
    );
    let mut left: Vec<LeftBehind> = Vec::new();
    let mut undone = 0;
    for (written, call) in plan.calls() {
        if let Err(error) = take_back(&mut at_gate, &gate, call).await? {
            left.push(LeftBehind {
                step: written.step.clone(),
                object: about(written),
                reason: describe(&error),
                expected: false,
            });
        } else {
            undone += 1;
        }
    }
    let unproven = look_again(&gate, plan, &left).await?;
    left.extend(unproven);
    let mut remains = Vec::new();
    for (written, call) in plan.calls() {
        let Some(purge) = call.purge() else { continue };
        let mut refused = None;
        if plan.purge {
            refused = at_gate
                .call(&purge.operation, purge.arguments.clone())
                .await?
                .err();
        }
        let reason = match (gate.look_at(&purge).await, refused) {
            (Ok((_, None)), _) => continue,
            (Ok((object, Some(kept))), None) => {
                let until = kept.get("kept_until").and_then(Value::as_str);
                remains.push(Remains {
                    object,
                    kept_until: until.map(str::to_owned),
                });
                continue;
            }
            (_, Some(error)) => format!("it was not deleted for good: {}", describe(&error)),
            (Err(failure), None) if gate.has_stopped(&failure) => return Err(Halt::Cancelled),
            (Err(failure), None) => {
                format!("whether its service keeps something of it cannot be told: {failure}")
            }
        };
        left.push(LeftBehind {
            step: written.step.clone(),
            object: about(written),
            reason,
            expected: !plan.purge,
        });
    }
    Ok(Undone {
        calls: undone,
        left,
        remains,
    })
}

/// What is not proven to be taken back, besides what `failed`: an undo ends with another look.
async fn look_again(
    gate: &RunGate,
    plan: &UndoPlan,
    failed: &[LeftBehind],
) -> Result<Vec<LeftBehind>, Halt> {
    let mut unproven = Vec::new();
    let settled = Instant::now() + SETTLING;
    for item in &plan.items {
        let failed = failed
            .iter()
            .any(|left| left.object == about(&item.written));
        let accounted_for = |now: &Value| {
            failed
                || is_taken_back(&item.written, now)
                || plan.older_write_of_same_object(item)
                || now.is_null() && plan.went_with_what_the_step_made(item)
        };
        let looked = gate.look_until(
            &item.written,
            settled,
            "what was taken back is still to be seen",
            accounted_for,
        );
        let (reason, expected) = match &item.state {
            UndoState::Ready(_) => match looked.await {
                // Gone, or as it was: proven.
                Ok(now) if is_taken_back(&item.written, &now.clone().unwrap_or_default()) => {
                    match item.written.call.stays() {
                        Some(reason) => (reason.to_owned(), true),
                        None => continue,
                    }
                }
                Ok(_) if plan.older_write_of_same_object(item) => continue,
                Ok(_) if failed => continue,
                Ok(Some(_)) => (
                    "it is still there, or not as it was before".to_owned(),
                    false,
                ),
                Ok(None) if plan.went_with_what_the_step_made(item) => continue,
                Ok(None) => ("it was there before and is gone now".to_owned(), false),
                Err(failure) if gate.has_stopped(&failure) => return Err(Halt::Cancelled),
                Err(failure) => (
                    format!("whether it is gone cannot be told: {failure}"),
                    false,
                ),
            },
            UndoState::Changed { .. } => ("somebody changed it since".to_owned(), false),
            UndoState::Impossible(reason) => (reason.clone(), true),
            UndoState::Kept => ("kept, as asked".to_owned(), true),
            UndoState::Done => continue,
        };
        unproven.push(LeftBehind {
            step: item.written.step.clone(),
            object: about(&item.written),
            reason,
            expected,
        });
    }
    Ok(unproven)
}

/// Makes one call of an undo; again when another writer was faster.
async fn take_back(
    at_gate: &mut StepGate,
    gate: &RunGate,
    call: &Call,
) -> Result<Result<Value, Value>, Halt> {
    let mut pauses = CONFLICT_PAUSES.iter();
    loop {
        let taken = at_gate
            .call(&call.operation, call.arguments.clone())
            .await?;
        let is_conflict = |error: &Value| error.get("conflict").is_some();
        match pauses.next() {
            Some(pause) if taken.as_ref().is_err_and(is_conflict) => {
                gate.cancellation.sleep(*pause).await;
            }
            _ => return Ok(taken),
        }
    }
}

/// Whether an object in the state `now` shows nothing of the write any more. Of a list, that is
/// what the write put in or took out, whatever others did to the rest.
fn is_taken_back(written: &Written, now: &Value) -> bool {
    let (before, after) = (&written.before, &written.after);
    if !(before.is_array() || after.is_array()) {
        return now == before;
    }
    let (before, after, now) = (items(before), items(after), items(now));
    after
        .iter()
        .filter(|item| !before.contains(item))
        .all(|added| !now.contains(added))
        && before
            .iter()
            .filter(|item| !after.contains(item))
            .all(|taken| now.contains(taken))
}

/// What becomes of a write whose object is in the state `now`.
fn judge(written: &Written, now: Value, call: Call) -> UndoState {
    if now == written.after {
        UndoState::Ready(call)
    } else if now == written.before || now.is_null() {
        UndoState::Done
    } else if now.is_array() {
        // A list's inverse takes out exactly what the run put in, whatever others did.
        UndoState::Ready(call)
    } else {
        UndoState::Changed { now }
    }
}

impl UndoPlan {
    /// Whether an older write of the run to the same object is taken back as well, so that this
    /// one's state before is not the final one.
    fn older_write_of_same_object(&self, item: &UndoItem) -> bool {
        self.items
            .iter()
            .skip_while(|other| *other != item)
            .skip(1)
            .any(|other| {
                other.written.object == item.written.object
                    && matches!(other.state, UndoState::Ready(_))
            })
    }

    /// Whether the step made something before it wrote this item, and that is taken back as well:
    /// with a notebook go its permissions.
    fn went_with_what_the_step_made(&self, item: &UndoItem) -> bool {
        self.items
            .iter()
            .skip_while(|other| *other != item)
            .any(|older| {
                older.written.step == item.written.step
                    && older.written.before.is_null()
                    && matches!(older.state, UndoState::Ready(_))
            })
    }
}

fn about(written: &Written) -> String {
    format!("{} {}", written.object.kind, written.object.name)
}

/// An error in the shape of `step/types.error`, in one line.
fn describe(error: &Value) -> String {
    let failure = error.as_object().and_then(|cases| cases.values().next());
    let text = |name: &str| {
        failure
            .and_then(|failure| failure.get(name))
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    format!("{} {}: {}", text("service"), text("code"), text("message"))
}

#[cfg(test)]
mod tests {
    use lockkeeper_gate::Class;
    use serde_json::json;

    use super::*;

    fn written(before: &Value, after: &Value) -> Written {
        Written {
            step: "grant".to_owned(),
            call: Call {
                operation: "databricks/entitlements.add".to_owned(),
                arguments: json!({}),
            },
            mark: String::new(),
            class: Class::Put,
            object: Object::new("entitlements", "7"),
            before: before.clone(),
            after: after.clone(),
            output: Value::Null,
        }
    }

    #[test]
    fn what_others_put_into_a_list_does_not_count() {
        let added = written(&json!(["sql"]), &json!(["cluster", "sql"]));
        assert!(is_taken_back(&added, &json!(["foreign", "sql"])));
        assert!(
            is_taken_back(&added, &Value::Null),
            "others took out what was there before"
        );
        assert!(!is_taken_back(
            &added,
            &json!(["cluster", "foreign", "sql"])
        ));
        let removed = written(&json!(["cluster", "sql"]), &json!(["sql"]));
        assert!(is_taken_back(&removed, &json!(["cluster", "foreign"])));
        assert!(!is_taken_back(&removed, &json!(["sql"])));
    }

    #[test]
    fn any_other_object_is_as_it_was_or_not() {
        let made = written(&Value::Null, &json!({ "id": "7" }));
        assert!(is_taken_back(&made, &Value::Null));
        assert!(!is_taken_back(&made, &json!({ "id": "8" })));
    }
}
