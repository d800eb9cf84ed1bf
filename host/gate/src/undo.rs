//! Undo: what a run wrote, read backwards from its journal.

use lockkeeper_cloud::Failure;
use lockkeeper_journal::JournalEntry;
use lockkeeper_types::Value;
use serde::{Deserialize, Serialize};

use crate::call::Call;
use crate::gate::{Ended, Intent};
use crate::operation::{Class, Inverse, Object, Observed};
use crate::operations;

/// One write that a run made, with what is needed to take it back or to tell drift.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Written {
    /// The step, without the attempt.
    pub step: String,
    /// The call.
    pub call: Call,
    /// Its mark.
    pub mark: String,
    /// Its class.
    pub class: Class,
    /// What it changed.
    pub object: Object,
    /// The object's state before; `null` when it was not there.
    pub before: Value,
    /// The object's state after; `null` when it was gone.
    pub after: Value,
    /// What the call gave.
    pub output: Value,
}

/// A write whose outcome the journal does not hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Open {
    /// The step, without the attempt.
    pub step: String,
    /// The operation.
    pub operation: String,
    /// What it is about.
    pub object: Object,
    /// Its mark.
    pub mark: String,
}

/// What a run's journal says it wrote.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// The writes that changed something, oldest first.
    pub written: Vec<Written>,
    /// The writes without an outcome: resume settles them.
    pub open: Vec<Open>,
}

#[derive(Deserialize)]
struct Facts {
    operation: String,
    class: Class,
    object: Object,
    mark: String,
    arguments: Value,
}

impl Record {
    /// Reads it from the run's history, oldest entry first.
    pub fn of(history: &[JournalEntry]) -> Result<Self, Failure> {
        let mut record = Self::default();
        let mut intents: Vec<(String, Facts, Value)> = Vec::new();
        for entry in history {
            match entry.kind.as_str() {
                "intent" => {
                    if let (Ok(facts), Ok(Intent::Sent { before })) = (
                        Facts::deserialize(&entry.facts),
                        Intent::deserialize(&entry.value),
                    ) {
                        intents.push((entry.address.clone(), facts, before));
                    }
                }
                "outcome" => {
                    let Some(at) = intents
                        .iter()
                        .rposition(|(address, ..)| *address == entry.address)
                    else {
                        continue;
                    };
                    let (address, facts, before) = intents.remove(at);
                    if let Ok(Ended::Done(output)) = Ended::deserialize(&entry.value) {
                        record.push(&address, facts, before, output)?;
                    }
                }
                _ => {}
            }
        }
        record.open = intents
            .into_iter()
            .map(|(address, facts, _)| Open {
                step: step_of(&address),
                operation: facts.operation,
                object: facts.object,
                mark: facts.mark,
            })
            .collect();
        Ok(record)
    }

    fn push(
        &mut self,
        address: &str,
        facts: Facts,
        before: Value,
        output: Value,
    ) -> Result<(), Failure> {
        let Some(definition) = operations::find(&facts.operation) else {
            return Ok(());
        };
        let state = (!before.is_null()).then_some(&before);
        let after = definition
            .after(&facts.arguments, state, &output)?
            .unwrap_or_default();
        if after == before && facts.class != Class::Start {
            return Ok(());
        }
        self.written.push(Written {
            step: step_of(address),
            call: Call {
                operation: facts.operation,
                arguments: facts.arguments,
            },
            mark: facts.mark,
            class: facts.class,
            object: facts.object,
            before,
            after,
            output,
        });
        Ok(())
    }
}

impl Written {
    /// What takes it back.
    pub fn inverse(&self) -> Result<Inverse, Failure> {
        let Some(definition) = operations::find(&self.call.operation) else {
            return Ok(Inverse::Impossible(
                "this version of lockkeeper lacks the operation",
            ));
        };
        let before = (!self.before.is_null()).then_some(&self.before);
        definition.inverse(&self.call.arguments, before, &self.output)
    }

    /// The state the run left its object in.
    pub fn left(&self) -> Observed {
        (!self.after.is_null()).then(|| self.after.clone())
    }
}

/// The step of an attempt, which `address` names.
pub(crate) fn step_of(address: &str) -> String {
    address.split('#').next().unwrap_or(address).to_owned()
}
