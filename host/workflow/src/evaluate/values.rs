//! Looking values up, and handing them to the evaluator.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use cel::objects::Key;
use lockkeeper_types::{Field, Type, Value, secret_name, unknown};

use super::Scope;
use crate::builtin::{run_fields, target_fields};
use crate::expr::{Ast, Segment, dotted};
use crate::model::Workflow;

/// A scope, and the types of the values in it.
pub(crate) struct Values<'a> {
    workflow: &'a Workflow,
    scope: &'a Scope,
    /// `self` and its type.
    own: Option<(&'a Value, &'a Type)>,
}

impl<'a> Values<'a> {
    pub(crate) fn new(
        workflow: &'a Workflow,
        scope: &'a Scope,
        own: Option<(&'a Value, &'a Type)>,
    ) -> Self {
        Self {
            workflow,
            scope,
            own,
        }
    }

    /// The value of a path. Everything in something that is null is null, and everything in
    /// something unknown is unknown.
    pub(super) fn find(&self, path: &[Segment]) -> Option<&'a Value> {
        let names: Vec<_> = path.iter().map(|one| one.name.as_str()).collect();
        self.find_names(&names)
    }

    pub(super) fn find_names(&self, path: &[&str]) -> Option<&'a Value> {
        let (mut value, rest) = match path {
            ["inputs", rest @ ..] => (&self.scope.inputs, rest),
            ["steps", step, rest @ ..] => (self.scope.steps.get(*step)?, rest),
            ["target", rest @ ..] => (&self.scope.target, rest),
            ["run", rest @ ..] => (&self.scope.run, rest),
            ["self", rest @ ..] => (self.own?.0, rest),
            _ => return None,
        };
        for name in rest {
            let is_end = value.is_null()
                || value
                    .as_str()
                    .is_some_and(|text| unknown::source(text).is_some());
            if is_end {
                return Some(value);
            }
            value = value.get(name)?;
        }
        Some(value)
    }

    /// The declared type of a path, without option.
    pub(super) fn kind(&self, path: &[Segment]) -> Option<&'a Type> {
        let names: Vec<_> = path.iter().map(|one| one.name.as_str()).collect();
        let (mut kind, rest) = match names.as_slice() {
            ["inputs", input, rest @ ..] => (&self.workflow.input(input)?.kind.value, rest),
            ["steps", step, output, rest @ ..] => {
                (named(&self.workflow.step(step)?.outputs, output)?, rest)
            }
            ["target", field, rest @ ..] => (named(target_fields(), field)?, rest),
            ["run", field, rest @ ..] => (named(run_fields(), field)?, rest),
            ["self", rest @ ..] => (self.own?.1, rest),
            _ => return None,
        };
        for name in rest {
            let Type::Record(fields) = kind.without_option() else {
                return None;
            };
            kind = named(fields, name)?;
        }
        Some(kind.without_option())
    }

    /// The variables of an expression and their values, each once.
    pub(super) fn of(&self, ast: &Ast) -> Vec<(String, Value)> {
        let mut found: Vec<(String, Value)> = Vec::new();
        ast.each_path(&mut |path| {
            let name = dotted(path);
            if let Some(value) = self.find(path)
                && !found.iter().any(|(other, _)| *other == name)
            {
                found.push((name, value.clone()));
            }
        });
        found
    }

    /// The variables `roots` as the evaluator sees them.
    pub(super) fn variable(&self, root: &str, steps: &BTreeSet<String>) -> Option<cel::Value> {
        match root {
            "inputs" => {
                let fields: Vec<_> = self
                    .workflow
                    .inputs
                    .iter()
                    .map(|input| Field {
                        name: input.name.value.clone(),
                        kind: input.kind.value.clone(),
                        docs: None,
                    })
                    .collect();
                Some(to_cel(&self.scope.inputs, Some(&Type::Record(fields))))
            }
            "steps" => {
                let outputs = steps.iter().filter_map(|name| {
                    let value = self.scope.steps.get(name)?;
                    let kind = self
                        .workflow
                        .step(name)
                        .map(|step| Type::Record(step.outputs.clone()));
                    Some((name.as_str(), to_cel(value, kind.as_ref())))
                });
                Some(map(outputs))
            }
            "target" => Some(to_cel(
                &self.scope.target,
                Some(&Type::Record(target_fields().to_vec())),
            )),
            "run" => Some(to_cel(
                &self.scope.run,
                Some(&Type::Record(run_fields().to_vec())),
            )),
            "self" => self.own.map(|(value, kind)| to_cel(value, Some(kind))),
            _ => None,
        }
    }
}

fn named<'f>(fields: &'f [Field], name: &str) -> Option<&'f Type> {
    fields
        .iter()
        .find(|field| field.name == name)
        .map(|field| &field.kind)
}

fn map<'n>(entries: impl Iterator<Item = (&'n str, cel::Value)>) -> cel::Value {
    let entries: HashMap<Key, cel::Value> = entries
        .map(|(name, value)| (Key::String(Arc::new(name.to_owned())), value))
        .collect();
    cel::Value::Map(cel::objects::Map {
        map: Arc::new(entries),
    })
}

/// A value for the evaluator: all integers signed, durations and times as such.
fn to_cel(value: &Value, kind: Option<&Type>) -> cel::Value {
    let kind = kind.map(Type::without_option);
    match (value, kind) {
        (Value::Null, _) => cel::Value::Null,
        (Value::Bool(truth), _) => cel::Value::Bool(*truth),
        (Value::Number(number), Some(Type::Duration)) => cel::Value::Duration(
            number
                .as_i64()
                .and_then(chrono::Duration::try_seconds)
                .unwrap_or(chrono::Duration::MAX),
        ),
        (Value::Number(number), Some(Type::Float)) => {
            cel::Value::Float(number.as_f64().unwrap_or(f64::NAN))
        }
        (Value::Number(number), _) => match number.as_i64() {
            Some(number) => cel::Value::Int(number),
            None => match number.as_u64() {
                Some(number) => cel::Value::UInt(number),
                None => cel::Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
        },
        (Value::String(text), Some(Type::Timestamp)) => {
            match chrono::DateTime::parse_from_rfc3339(text) {
                Ok(time) => cel::Value::Timestamp(time),
                Err(_) => text.as_str().into(),
            }
        }
        (Value::String(text), _) => text.as_str().into(),
        (Value::Array(items), kind) => {
            let inner = match kind {
                Some(Type::List(inner)) => Some(&**inner),
                _ => None,
            };
            let items: Vec<_> = items.iter().map(|item| to_cel(item, inner)).collect();
            cel::Value::List(Arc::new(items))
        }
        // All that may be asked of a secret is whether there is one.
        (Value::Object(_), _) if secret_name(value).is_some() => map(std::iter::empty()),
        (Value::Object(fields), kind) => {
            let kinds = match kind {
                Some(Type::Record(kinds)) => kinds.as_slice(),
                _ => &[],
            };
            map(fields
                .iter()
                .map(|(name, value)| (name.as_str(), to_cel(value, named(kinds, name)))))
        }
    }
}
