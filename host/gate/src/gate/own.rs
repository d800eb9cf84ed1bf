//! The interfaces that only speak to lockkeeper itself: `step/progress` and `step/timer`.

use std::time::Duration;

use lockkeeper_journal::{Edge, Entry, Fault, Slept};
use lockkeeper_types::{Value, clean};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::run::Mode;
use super::{Halt, StepGate};
use crate::definition::SAID_CHARS;
use crate::event::Event;

/// A step's time is up before any longer sleep, which no clock could add to the present time.
const LONGEST_SLEEP: Duration = Duration::from_hours(24 * 36_500);

/// Sleeps longer than this unload the plugin.
const LONG_SLEEP: Duration = Duration::from_secs(15);

impl StepGate {
    pub(super) fn report(&self, arguments: &Value) -> Result<Value, Halt> {
        if !self.replaying {
            self.run.events.tell(
                Some(&self.step),
                &Event::StepProgress {
                    message: message(arguments),
                },
            )?;
        }
        Ok(Value::Null)
    }

    pub(super) async fn note(&mut self, arguments: &Value) -> Result<Value, Halt> {
        let message = message(arguments);
        let entry = Entry {
            kind: "note",
            fingerprint: "step/progress.note",
            edge: Edge::Cheap,
            facts: json!({ "message": message }),
        };
        let recorded = self
            .durable
            .effect(entry, Box::pin(async { Ok(Value::Null) }))
            .await?;
        self.notes.push(message.clone());
        if !recorded.replayed {
            self.run
                .events
                .tell(Some(&self.step), &Event::StepNote { message })?;
        }
        Ok(Value::Null)
    }

    pub(super) async fn sleep(&mut self, arguments: &Value) -> Result<Value, Halt> {
        if matches!(self.run.mode, Mode::Plan(_)) {
            return Ok(Value::Null);
        }
        let seconds = arguments
            .get("length")
            .and_then(Value::as_u64)
            .unwrap_or_default();
        let length = Duration::from_secs(seconds).min(LONGEST_SLEEP);
        match self.durable.sleep(length).await? {
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

    pub(super) async fn now(&mut self) -> Result<Value, Halt> {
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
}

/// What a plugin says, in one line.
fn message(arguments: &Value) -> String {
    let message = arguments.get("message").and_then(Value::as_str);
    clean(message.unwrap_or_default(), SAID_CHARS)
}
