//! Inputs: from the command line and files to the values of a run.

use std::collections::BTreeMap;

use lockkeeper_types::{Type, Value, unknown};

use crate::diagnostic::Diagnostic;
use crate::evaluate::{Scope, Truth, Values};
use crate::literal::{self, Mismatch};
use crate::model::{Input, Workflow};
use crate::names::{listed, nearest};

/// A handle is made where a secret is; a secret's text is nowhere before.
const NO_SECRET: &str = "no input can give a secret: take it from the step that makes it";

impl Workflow {
    /// The inputs object of a run: given values (already JSON) and defaults, checked against
    /// types, patterns and checks. `run` and `target` are what defaults may refer to.
    ///
    /// Errors are `LK0201` for an unknown input, `LK0207` for a missing one, `LK0204` and `LK0209`
    /// for a value that does not fit; every one of them is returned.
    pub fn bind_inputs(
        &self,
        given: &BTreeMap<String, Value>,
        run: &Value,
        target: &Value,
    ) -> Result<Value, Vec<Diagnostic>> {
        let scope = Scope {
            run: run.clone(),
            target: target.clone(),
            ..Scope::default()
        };
        let mut found: Vec<_> = given
            .keys()
            .filter(|name| self.input(name).is_none())
            .map(|name| self.unknown_input(name))
            .collect();
        let mut inputs = serde_json::Map::new();
        for input in &self.inputs {
            match self.bind(input, given.get(input.name.as_str()), &scope) {
                Ok(value) => {
                    inputs.insert(input.name.value.clone(), value);
                }
                Err(errors) => found.extend(errors),
            }
        }
        if found.is_empty() {
            Ok(Value::Object(inputs))
        } else {
            Err(found)
        }
    }

    /// The value that `-i name=text` means, by the input's type: text as it is, `true`, numbers,
    /// lists separated by commas or as JSON, records as JSON or as a TOML inline table, and `null`
    /// for an option that is left out.
    pub fn parse_input(&self, name: &str, text: &str) -> Result<Value, Box<Diagnostic>> {
        let Some(input) = self.input(name) else {
            return Err(Box::new(self.unknown_input(name)));
        };
        let kind = &input.kind.value;
        if kind.holds_secret() {
            return Err(Box::new(
                Diagnostic::error(
                    "LK0301",
                    &self.source,
                    input.kind.span.clone(),
                    format!("input `{name}` holds a secret, which no command line may"),
                )
                .label("declared as a secret here")
                .help(NO_SECRET),
            ));
        }
        let value = from_text(text, kind).map_err(|wrong| Box::new(self.unfit(input, &wrong)))?;
        // Records may have fields with defaults, which are only known when inputs are bound.
        if input.fields.is_empty() {
            literal::convert(&value, kind).map_err(|wrong| Box::new(self.unfit(input, &wrong)))
        } else {
            Ok(value)
        }
    }

    fn unknown_input(&self, name: &str) -> Diagnostic {
        let known = || self.inputs.iter().map(|input| input.name.as_str());
        let found = Diagnostic::without_source(
            "LK0201",
            format!("workflow `{}` has no input `{name}`", self.name.value),
        );
        match nearest(name, known()) {
            Some(near) => found.help(format!("an input with a similar name exists: `{near}`")),
            None if self.inputs.is_empty() => found.note("it has no inputs at all"),
            None => found.note(format!("its inputs are {}", listed(known()))),
        }
    }

    fn unfit(&self, input: &Input, wrong: &Mismatch) -> Diagnostic {
        let code = if wrong.is_literal { "LK0209" } else { "LK0204" };
        let found = Diagnostic::error(
            code,
            &self.source,
            input.kind.span.clone(),
            format!("input `{}{}`: {}", input.name.value, wrong.at, wrong.what),
        )
        .label(format!(
            "`{}` is declared `{}` here",
            input.name.value, input.kind.value
        ));
        let found = match &wrong.near {
            Some(near) => found.help(format!("a similar value exists: `{near}`")),
            None => found,
        };
        match &input.help {
            Some(help) => found.note(format!("{}: {help}", input.name.value)),
            None => found,
        }
    }

    fn bind(
        &self,
        input: &Input,
        given: Option<&Value>,
        scope: &Scope,
    ) -> Result<Value, Vec<Diagnostic>> {
        let value = match (given, &input.default) {
            (Some(value), _) => value.clone(),
            (None, Some(default)) => self
                .node(default, &Values::new(self, scope, None))
                .map_err(|error| vec![*error])?,
            (None, None) if input.kind.is_optional() => Value::Null,
            (None, None) => return Err(vec![self.missing(input)]),
        };
        let value = self
            .complete(input, value, scope)
            .map_err(|error| vec![*error])?;
        let value = literal::convert(&value, &input.kind)
            .map_err(|wrong| vec![self.unfit(input, &wrong)])?;
        let mut found = Vec::new();
        self.constrain(input, &value, &input.name, scope, &mut found);
        if found.is_empty() {
            Ok(value)
        } else {
            Err(found)
        }
    }

    fn missing(&self, input: &Input) -> Diagnostic {
        let name = &input.name.value;
        let found = Diagnostic::error(
            "LK0207",
            &self.source,
            input.name.span.clone(),
            format!("input `{name}` is needed and was not given"),
        )
        .label(format!("`{}` without a default", input.kind.value));
        let found = match &input.help {
            Some(help) => found.note(format!("{name}: {help}")),
            None => found,
        };
        if input.kind.holds_secret() {
            found.help(NO_SECRET)
        } else {
            found.help(format!("give it with `-i {name}=…`"))
        }
    }

    /// Adds the defaults of a record's fields.
    fn complete(
        &self,
        input: &Input,
        value: Value,
        scope: &Scope,
    ) -> Result<Value, Box<Diagnostic>> {
        Ok(match value {
            Value::Array(items) if !input.fields.is_empty() => Value::Array(
                items
                    .into_iter()
                    .map(|item| self.complete(input, item, scope))
                    .collect::<Result<_, _>>()?,
            ),
            Value::Object(mut object) => {
                for field in &input.fields {
                    let name = &field.name.value;
                    match (object.get(name), &field.default) {
                        (Some(given), _) => {
                            let given = self.complete(field, given.clone(), scope)?;
                            object.insert(name.clone(), given);
                        }
                        (None, Some(default)) => {
                            let value = self.node(default, &Values::new(self, scope, None))?;
                            object.insert(name.clone(), value);
                        }
                        (None, None) => {}
                    }
                }
                Value::Object(object)
            }
            other => other,
        })
    }

    /// Patterns and checks, those of fields as well.
    fn constrain(
        &self,
        input: &Input,
        value: &Value,
        name: &str,
        scope: &Scope,
        found: &mut Vec<Diagnostic>,
    ) {
        if value.is_null() || unknown::source_in(value).is_some() {
            return;
        }
        if let (Some(pattern), Some(text)) = (&input.pattern, value.as_str())
            && !pattern.is_match(text)
        {
            found.push(
                Diagnostic::error(
                    "LK0209",
                    &self.source,
                    pattern.span.clone(),
                    format!("input `{name}`: `{text}` does not match its pattern"),
                )
                .label("the pattern"),
            );
        }
        if let Some(check) = &input.check {
            let kind = input.kind.without_option();
            let values = Values::new(self, scope, Some((value, kind)));
            match self.truth(check, &values) {
                Ok(Truth::False) => found.push(
                    Diagnostic::error(
                        "LK0209",
                        &self.source,
                        check.span.clone(),
                        format!("input `{name}` does not pass its check"),
                    )
                    .label("this does not hold")
                    .note(format!("self is `{}`", written(value, kind))),
                ),
                Ok(_) => {}
                Err(error) => found.push(*error),
            }
        }
        let records = match value {
            Value::Array(items) => items.iter().collect(),
            other => vec![other],
        };
        for (record, field) in records
            .iter()
            .flat_map(|record| input.fields.iter().map(move |field| (record, field)))
        {
            if let Some(value) = record.get(field.name.as_str()) {
                let name = format!("{name}.{}", field.name.value);
                self.constrain(field, value, &name, scope, found);
            }
        }
    }
}

/// A value as a person would write it.
fn written(value: &Value, kind: &Type) -> String {
    match (value, kind) {
        (Value::String(text), _) => text.clone(),
        (Value::Number(number), Type::Duration) => number
            .as_u64()
            .map_or_else(|| number.to_string(), literal::duration_text),
        (other, _) => other.to_string(),
    }
}

fn from_text(text: &str, kind: &Type) -> Result<Value, Mismatch> {
    let wrong = |what: String| Mismatch {
        at: String::new(),
        is_literal: true,
        what,
        near: None,
    };
    let trimmed = text.trim();
    match kind {
        Type::Option(_) if trimmed == "null" => Ok(Value::Null),
        Type::Option(inner) => from_text(text, inner),
        Type::Bool => trimmed
            .parse::<bool>()
            .map(Value::from)
            .map_err(|_| wrong(format!("`{text}` is neither `true` nor `false`"))),
        Type::Integer { .. } => match (trimmed.parse::<i64>(), trimmed.parse::<u64>()) {
            (Ok(number), _) => Ok(number.into()),
            (_, Ok(number)) => Ok(number.into()),
            _ if is_whole(trimmed) => Err(wrong(format!("{trimmed} is outside of `{kind}`"))),
            _ => Err(wrong(format!("`{text}` is not a whole number"))),
        },
        Type::Float => match trimmed.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number.into()),
            Ok(_) if trimmed.contains(|digit: char| digit.is_ascii_digit()) => {
                Err(wrong(format!("{trimmed} is outside of `{kind}`")))
            }
            Ok(_) => Err(wrong(format!("`{text}` is no number to calculate with"))),
            Err(_) => Err(wrong(format!("`{text}` is not a number"))),
        },
        Type::List(_) | Type::Tuple(_) | Type::Flags(_) if trimmed.starts_with('[') => {
            serde_json::from_str(trimmed)
                .map_err(|error| wrong(format!("this is not JSON: {error}")))
        }
        Type::List(inner) => separated(trimmed)
            .map(|item| from_text(item, inner))
            .collect::<Result<_, _>>()
            .map(Value::Array),
        Type::Flags(_) => Ok(separated(trimmed).map(Value::from).collect()),
        Type::Record(_) | Type::Variant(_) | Type::Tuple(_) => structured(trimmed).map_err(wrong),
        _ => Ok(Value::from(text)),
    }
}

/// Whether text is a whole number, of any size.
fn is_whole(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    !digits.is_empty() && digits.chars().all(|digit| digit.is_ascii_digit())
}

fn separated(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

/// JSON, or a TOML inline table.
fn structured(text: &str) -> Result<Value, String> {
    if let Ok(value) = serde_json::from_str(text) {
        return Ok(value);
    }
    let value: toml_edit::Value = text.parse().map_err(|error: toml_edit::TomlError| {
        let reason = error
            .message()
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned();
        format!("this is neither JSON nor a TOML value: {reason}")
    })?;
    Ok(from_toml(&value))
}

fn from_toml(value: &toml_edit::Value) -> Value {
    match value {
        toml_edit::Value::String(text) => text.value().as_str().into(),
        toml_edit::Value::Integer(number) => (*number.value()).into(),
        toml_edit::Value::Float(number) => (*number.value()).into(),
        toml_edit::Value::Boolean(truth) => (*truth.value()).into(),
        toml_edit::Value::Datetime(time) => time.value().to_string().into(),
        toml_edit::Value::Array(items) => items.iter().map(from_toml).collect(),
        toml_edit::Value::InlineTable(table) => table
            .iter()
            .map(|(key, value)| (key.to_owned(), from_toml(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}
