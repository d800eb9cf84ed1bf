//! What a workflow says once values are known.
//!
//! A bare path is looked up; everything else is evaluated by the `cel` crate, with two things
//! handled around it: an expression over a [placeholder](lockkeeper_types::unknown) is unknown
//! itself, and a secret is never seen, since only a bare path may be one.

mod outcome;
mod values;

use std::collections::BTreeMap;

use lockkeeper_types::{Signature, Type, Value, unknown};

use crate::check::null_test;
use crate::diagnostic::Diagnostic;
use crate::expr::{Ast, Expr, Kind, dotted};
use crate::literal;
use crate::model::{Node, Piece, Record, Step, Template, Workflow};
use crate::source::Span;

use outcome::Outcome;
pub(crate) use values::Values;

/// The values that expressions can see.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scope {
    /// The inputs, as [`Workflow::bind_inputs`] made them.
    pub inputs: Value,
    /// The outputs of each step that has ended; null for one that was skipped.
    pub steps: BTreeMap<String, Value>,
    /// `name`, `tenant_id`, `workspace_url`: see [`target_fields`](crate::target_fields).
    pub target: Value,
    /// `id`, `actor`, `started_at`, `target`: see [`run_fields`](crate::run_fields).
    pub run: Value,
}

/// Whether a step runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It runs.
    Run,
    /// It is skipped.
    Skip {
        /// Why, such as `inputs.storage is null`.
        reason: String,
    },
    /// A plan cannot know; it is decided after that step.
    Unknown {
        /// The step that the decision waits for.
        step: String,
    },
}

/// An expectation that does not hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The expression's text.
    pub expression: String,
    /// The variables in it and their values.
    pub values: Vec<(String, Value)>,
    /// Where it stands.
    pub span: Span,
}

impl Failure {
    /// The failure as a finding in the workflow's file.
    pub fn to_diagnostic(&self, workflow: &Workflow) -> Diagnostic {
        let found = Diagnostic::error(
            "LK9102",
            &workflow.source,
            self.span.clone(),
            "the step did not do what is expected of it",
        )
        .label("this does not hold");
        self.values.iter().fold(found, |found, (path, value)| {
            found.note(format!("{path} is {}", shown(value)))
        })
    }
}

/// A value in a message: text as it is, placeholders in words.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{}`", unknown::display(text)),
        Value::Null => "null".to_owned(),
        other => format!("`{other}`"),
    }
}

impl Workflow {
    /// Whether a step runs.
    pub fn evaluate_when(&self, step: &Step, scope: &Scope) -> Result<Decision, Box<Diagnostic>> {
        let Some(when) = &step.when else {
            return Ok(Decision::Run);
        };
        let values = Values::new(self, scope, None);
        Ok(match self.truth(when, &values)? {
            Truth::True => Decision::Run,
            Truth::False => Decision::Skip {
                reason: reason(&when.ast, &values)
                    .unwrap_or_else(|| format!("{} is false", when.text)),
            },
            Truth::Unknown(step) => Decision::Unknown { step },
        })
    }

    /// The plugin's inputs: `with`, with every expression evaluated and every value in the shape
    /// that the signature asks for: durations in whole seconds, absent options null.
    /// What a plan cannot know is a placeholder, whatever its type.
    pub fn evaluate_with(
        &self,
        step: &Step,
        scope: &Scope,
        signature: &Signature,
    ) -> Result<Value, Box<Diagnostic>> {
        let values = Values::new(self, scope, None);
        let mut inputs = serde_json::Map::new();
        for field in &signature.inputs {
            let given = step
                .with
                .fields
                .iter()
                .find(|(key, _)| key.value == field.name);
            let (value, span) = match given {
                Some((_, node)) => (self.node(node, &values)?, node.span.clone()),
                None => (Value::Null, step.with.span.clone()),
            };
            let value = self.convert(&value, &field.kind, &field.name, span)?;
            inputs.insert(field.name.clone(), value);
        }
        Ok(Value::Object(inputs))
    }

    /// The step after which `inputs`, as [`evaluate_with`](Self::evaluate_with) gives them, are known well
    /// enough for the plugin to be run in a plan. A placeholder is text, so it stands in for a name or an
    /// id, and not for a number, a list or a record, such as one with a `when` of its own.
    pub fn undecided(inputs: &Value, signature: &Signature) -> Option<String> {
        signature
            .inputs
            .iter()
            .find_map(|field| unfit(inputs.get(&field.name)?, &field.kind))
            .map(str::to_owned)
    }

    /// The expectations that a step's outputs do not meet. One that is unknown in a plan is met.
    pub fn evaluate_expect(
        &self,
        step: &Step,
        outputs: &Value,
        scope: &Scope,
    ) -> Result<Vec<Failure>, Box<Diagnostic>> {
        let kind = Type::Record(step.outputs.clone());
        let values = Values::new(self, scope, Some((outputs, &kind)));
        let mut failures = Vec::new();
        for expect in &step.expect {
            if self.truth(expect, &values)? == Truth::False {
                failures.push(Failure {
                    expression: expect.text.clone(),
                    values: values.of(&expect.ast),
                    span: expect.span.clone(),
                });
            }
        }
        Ok(failures)
    }

    /// The workflow's outputs. One of a step that was skipped is null.
    pub fn evaluate_outputs(
        &self,
        scope: &Scope,
    ) -> Result<serde_json::Map<String, Value>, Box<Diagnostic>> {
        let values = Values::new(self, scope, None);
        self.outputs
            .iter()
            .map(|output| {
                Ok((
                    output.name.value.clone(),
                    self.node(&output.value, &values)?,
                ))
            })
            .collect()
    }

    /// The key that only one run at a time may hold, if the workflow has a `lock`.
    pub fn evaluate_lock(&self, scope: &Scope) -> Result<Option<String>, Box<Diagnostic>> {
        let Some(lock) = &self.lock else {
            return Ok(None);
        };
        let values = Values::new(self, scope, None);
        let value = self.node(lock, &values)?;
        Ok(Some(match value {
            Value::String(text) => text,
            other => other.to_string(),
        }))
    }

    /// The value of a template, before it takes the shape of a type.
    pub(crate) fn node(&self, node: &Node, values: &Values<'_>) -> Result<Value, Box<Diagnostic>> {
        match &node.template {
            Template::Literal(value) => Ok(value.clone()),
            Template::Expr(expr) => self.value(expr, values),
            Template::Text(pieces) => {
                let mut text = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Literal(literal) => text.push_str(literal),
                        Piece::Expr(expr) => text.push_str(&self.piece(expr, values)?),
                    }
                }
                Ok(Value::String(text))
            }
            Template::List(items) => items
                .iter()
                .map(|item| self.node(item, values))
                .collect::<Result<_, _>>()
                .map(Value::Array),
            Template::Record(record) => self.record(record, values),
        }
    }

    fn record(&self, record: &Record, values: &Values<'_>) -> Result<Value, Box<Diagnostic>> {
        if let Some(when) = &record.when {
            match self.truth(when, values)? {
                Truth::True => {}
                Truth::False => return Ok(Value::Null),
                Truth::Unknown(step) => {
                    return Ok(unknown::placeholder(&step, &when.text).into());
                }
            }
        }
        record
            .fields
            .iter()
            .map(|(key, node)| Ok((key.value.clone(), self.node(node, values)?)))
            .collect::<Result<_, _>>()
            .map(Value::Object)
    }

    /// The value of an expression that stands alone.
    fn value(&self, expr: &Expr, values: &Values<'_>) -> Result<Value, Box<Diagnostic>> {
        if let Kind::Path(path) = &expr.ast.kind {
            return values.find(path).cloned().ok_or_else(|| {
                self.unevaluable(expr, &format!("`{}` is not known yet", dotted(path)))
            });
        }
        match self.outcome(expr, values)? {
            Outcome::Known(value) => {
                outcome::to_json(&value).map_err(|why| self.unevaluable(expr, &why))
            }
            Outcome::Unknown(step) => Ok(unknown::placeholder(&step, &expr.text).into()),
        }
    }

    /// The text of an expression inside text.
    fn piece(&self, expr: &Expr, values: &Values<'_>) -> Result<String, Box<Diagnostic>> {
        let is_duration = match &expr.ast.kind {
            Kind::Path(path) => values
                .kind(path)
                .is_some_and(|kind| *kind == Type::Duration),
            _ => match self.outcome(expr, values)? {
                Outcome::Known(value) => matches!(value, cel::Value::Duration(_)),
                Outcome::Unknown(_) => false,
            },
        };
        match self.value(expr, values)? {
            Value::String(text) => Ok(text),
            Value::Number(number) => Ok(match number.as_u64() {
                Some(seconds) if is_duration => literal::duration_text(seconds),
                _ => number.to_string(),
            }),
            Value::Bool(truth) => Ok(truth.to_string()),
            _ => Err(self.unevaluable(expr, "it has no text form")),
        }
    }

    pub(crate) fn truth(&self, expr: &Expr, values: &Values<'_>) -> Result<Truth, Box<Diagnostic>> {
        match self.outcome(expr, values)? {
            Outcome::Known(cel::Value::Bool(true)) => Ok(Truth::True),
            Outcome::Known(cel::Value::Bool(false)) => Ok(Truth::False),
            Outcome::Known(_) => Err(self.unevaluable(expr, "it is neither true nor false")),
            Outcome::Unknown(step) => Ok(Truth::Unknown(step)),
        }
    }

    fn outcome(&self, expr: &Expr, values: &Values<'_>) -> Result<Outcome, Box<Diagnostic>> {
        outcome::evaluate(expr, values).map_err(|why| {
            let found = self.unevaluable(expr, &why);
            Box::new(
                values
                    .of(&expr.ast)
                    .iter()
                    .fold(*found, |found, (path, value)| {
                        found.note(format!("{path} is {}", shown(value)))
                    }),
            )
        })
    }

    fn unevaluable(&self, expr: &Expr, why: &str) -> Box<Diagnostic> {
        Box::new(
            Diagnostic::error(
                "LK9101",
                &self.source,
                expr.span.clone(),
                "this expression has no value",
            )
            .label(why),
        )
    }

    /// A value in the shape of its field.
    fn convert(
        &self,
        value: &Value,
        kind: &Type,
        name: &str,
        span: Span,
    ) -> Result<Value, Box<Diagnostic>> {
        literal::convert(value, kind).map_err(|wrong| {
            Box::new(
                Diagnostic::error(
                    "LK9101",
                    &self.source,
                    span,
                    format!("`{name}{}` did not get a value that it takes", wrong.at),
                )
                .label(wrong.what)
                .note(format!("`{name}` is `{kind}`")),
            )
        })
    }
}

/// The step that a placeholder waits for where its type takes no text.
fn unfit<'v>(value: &'v Value, kind: &Type) -> Option<&'v str> {
    match (value, kind.without_option()) {
        (
            Value::String(_),
            Type::String | Type::Id(_) | Type::Guid | Type::Url | Type::Timestamp,
        ) => None,
        (Value::String(text), _) => unknown::source(text),
        (Value::Array(items), Type::List(inner)) => {
            items.iter().find_map(|item| unfit(item, inner))
        }
        (Value::Array(items), Type::Tuple(kinds)) => {
            let mut pairs = items.iter().zip(kinds);
            pairs.find_map(|(item, kind)| unfit(item, kind))
        }
        (Value::Object(members), Type::Record(fields)) => fields
            .iter()
            .find_map(|field| unfit(members.get(&field.name)?, &field.kind)),
        (Value::Object(members), Type::Variant(cases)) => cases
            .iter()
            .find_map(|(case, payload)| unfit(members.get(case)?, payload.as_ref()?)),
        _ => None,
    }
}

/// Whether a condition holds.
#[derive(Debug, PartialEq)]
pub(crate) enum Truth {
    True,
    False,
    /// Known after that step.
    Unknown(String),
}

/// Why a condition does not hold, if one part of it says so by itself.
fn reason(condition: &Ast, values: &Values<'_>) -> Option<String> {
    use cel::common::ast::operators::{EQUALS, LOGICAL_AND};
    if let Some((path, wants_present)) = null_test(condition) {
        let is_present = !values.find(path)?.is_null();
        return (is_present != wants_present).then(|| {
            let not = if is_present { "not " } else { "" };
            format!("{} is {not}null", dotted(path))
        });
    }
    let Kind::Call { name, args, .. } = &condition.kind else {
        return None;
    };
    match (name.name.as_str(), args.as_slice()) {
        (LOGICAL_AND, sides) => sides.iter().find_map(|side| reason(side, values)),
        (EQUALS, [one, other]) => {
            let ((Kind::Path(path), Kind::Text(wanted)) | (Kind::Text(wanted), Kind::Path(path))) =
                (&one.kind, &other.kind)
            else {
                return None;
            };
            let found = values.find(path)?;
            if unknown::source_in(found).is_some() {
                return None;
            }
            (found.as_str() != Some(wanted)).then(|| {
                let found = found
                    .as_str()
                    .map_or_else(|| found.to_string(), str::to_owned);
                format!("{} is {found}", dotted(path))
            })
        }
        _ => None,
    }
}
