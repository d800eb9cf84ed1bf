//! JSON Schema of workflow files, for editors: `with` is completed by the plugins' own contracts.

use lockkeeper_types::{Field, Signature, Type, Value};
use serde_json::{Map, json};

/// The JSON Schema of a workflow file, with a branch for the `with` of each plugin.
pub fn schema<'s>(signatures: impl IntoIterator<Item = &'s Signature>) -> Value {
    let signatures: Vec<_> = signatures.into_iter().collect();
    let names: Vec<_> = signatures.iter().map(|one| one.plugin.as_str()).collect();
    let branches: Vec<_> = signatures
        .iter()
        .map(|one| {
            json!({
                "if": { "properties": { "plugin": { "const": one.plugin } } },
                "then": { "properties": { "with": record(&one.inputs, false) } },
            })
        })
        .collect();
    let plugin = if names.is_empty() {
        json!({ "type": "string" })
    } else {
        json!({ "enum": names })
    };
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "lockkeeper workflow",
        "type": "object",
        "required": ["lockkeeper", "workflow"],
        "additionalProperties": false,
        "properties": {
            "lockkeeper": { "const": 1, "description": "The language edition." },
            "workflow": workflow(),
            "inputs": { "type": "object", "additionalProperties": { "$ref": "#/$defs/input" } },
            "steps": { "type": "object", "additionalProperties": { "$ref": "#/$defs/step" } },
            "outputs": {
                "type": "object",
                "description": "What a run lists at its end; `${ }` refers to steps.",
            },
        },
        "$defs": {
            "duration": duration(),
            "expression": {
                "type": "string",
                "description": "A bare CEL expression, without `${ }`.",
            },
            "template": {
                "type": "string",
                "pattern": "\\$\\{",
                "description": "`${ expr }` refers to inputs, steps, target and run.",
            },
            "input": input(),
            "step": step(&plugin, &branches),
        },
    })
}

fn duration() -> Value {
    json!({
        "type": "string",
        "pattern": "^([0-9]+(d|h|m|s|ms))+$",
        "description": "A length of time: `90d`, `24h`, `15m`, `30s`.",
    })
}

fn workflow() -> Value {
    json!({
        "type": "object",
        "required": ["name"],
        "additionalProperties": false,
        "properties": {
            "name": { "type": "string" },
            "title": { "type": "string", "description": "One line for lists and headings." },
            "description": { "type": "string" },
            "timeout": { "$ref": "#/$defs/duration" },
            "lock": { "type": "string", "description": "One run per key at a time." },
            "owners": { "type": "array", "items": { "type": "string" } },
        },
    })
}

fn input() -> Value {
    json!({
        "type": "object",
        "required": ["type"],
        "additionalProperties": false,
        "properties": {
            "type": {
                "type": "string",
                "description": "string, bool, s64, u32, f64, guid, url, duration, timestamp, secret, enum, record, list<…> or option<…>.",
                "examples": ["string", "bool", "s64", "u32", "f64", "guid", "url", "duration",
                    "timestamp", "secret", "enum", "list<string>", "option<record>"],
            },
            "values": {
                "type": "array",
                "items": { "type": "string" },
                "description": "The values of an enum.",
            },
            "fields": {
                "type": "object",
                "additionalProperties": { "$ref": "#/$defs/input" },
                "description": "The fields of a record.",
            },
            "pattern": { "type": "string", "description": "A regular expression for text." },
            "check": { "$ref": "#/$defs/expression", "description": "What must hold of `self`." },
            "default": { "description": "Used when nothing is given; may refer to `run` and `target`." },
            "help": { "type": "string" },
        },
    })
}

fn step(plugin: &Value, branches: &[Value]) -> Value {
    let mut step = json!({
        "type": "object",
        "required": ["plugin"],
        "additionalProperties": false,
        "properties": {
            "plugin": plugin,
            "title": { "type": "string", "description": "One line for plans and progress." },
            "when": { "$ref": "#/$defs/expression", "description": "Whether the step runs at all." },
            "after": {
                "type": "array",
                "items": { "type": "string" },
                "description": "Steps to wait for although no data flows.",
            },
            "with": { "type": "object", "description": "The plugin's inputs." },
            "expect": {
                "description": "What must hold of the outputs, which are `self`.",
                "anyOf": [
                    { "$ref": "#/$defs/expression" },
                    { "type": "array", "items": { "$ref": "#/$defs/expression" } },
                ],
            },
            "retry": {
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "max": { "type": "integer", "minimum": 1 },
                    "backoff": { "enum": ["exponential", "constant"] },
                    "first": { "$ref": "#/$defs/duration" },
                    "cap": { "$ref": "#/$defs/duration" },
                    "on": {
                        "type": "array",
                        "items": { "enum": ["not-found", "conflict", "denied", "invalid",
                            "throttled", "not-yet-visible", "unavailable", "other"] },
                    },
                },
            },
            "timeout": { "$ref": "#/$defs/duration" },
            "settle": {
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "reads": { "type": "integer", "minimum": 1 },
                    "timeout": { "$ref": "#/$defs/duration" },
                },
            },
            "on_exists": { "enum": ["adopt-if-owned"] },
            "undo": { "enum": ["inverse", "keep"] },
        },
    });
    if !branches.is_empty()
        && let Some(step) = step.as_object_mut()
    {
        step.insert("allOf".to_owned(), Value::Array(branches.to_vec()));
    }
    step
}

/// A record's schema; an optional one may have a `when` of its own.
fn record(fields: &[Field], guarded: bool) -> Value {
    let mut properties = Map::new();
    if guarded {
        properties.insert("when".to_owned(), json!({ "$ref": "#/$defs/expression" }));
    }
    let mut required = Vec::new();
    for field in fields {
        let mut kind = of(&field.kind);
        if let (Some(docs), Some(object)) = (&field.docs, kind.as_object_mut()) {
            object.insert("description".to_owned(), docs.trim().into());
        }
        properties.insert(field.name.clone(), kind);
        if !field.kind.is_optional() {
            required.push(field.name.as_str());
        }
    }
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": required,
        "properties": properties,
    })
}

/// What may be written for a value of a type: the value, or an expression.
fn of(kind: &Type) -> Value {
    let template = || json!({ "$ref": "#/$defs/template" });
    let or_template = |value: Value| json!({ "anyOf": [value, template()] });
    match kind {
        Type::Option(inner) => match &**inner {
            Type::Record(fields) => or_template(record(fields, true)),
            other => of(other),
        },
        Type::Bool => or_template(json!({ "type": "boolean" })),
        Type::Integer { signed, .. } => or_template(if *signed {
            json!({ "type": "integer" })
        } else {
            json!({ "type": "integer", "minimum": 0 })
        }),
        Type::Float => or_template(json!({ "type": "number" })),
        Type::Duration => or_template(json!({ "$ref": "#/$defs/duration" })),
        Type::Secret => json!({ "anyOf": [template()] }),
        Type::Enum(cases) => or_template(json!({ "enum": cases })),
        Type::Flags(names) => or_template(json!({ "type": "array", "items": { "enum": names } })),
        Type::List(inner) => or_template(json!({ "type": "array", "items": of(inner) })),
        Type::Tuple(kinds) => {
            let items: Vec<_> = kinds.iter().map(of).collect();
            or_template(json!({ "type": "array", "prefixItems": items, "items": false }))
        }
        Type::Record(fields) => or_template(record(fields, false)),
        Type::Variant(cases) => {
            let cases = cases.iter().map(|(name, payload)| match payload {
                None => json!({ "const": name }),
                Some(kind) => record(
                    &[Field {
                        name: name.clone(),
                        kind: kind.clone(),
                        docs: None,
                    }],
                    false,
                ),
            });
            let cases: Vec<_> = cases.chain([template()]).collect();
            json!({ "anyOf": cases })
        }
        Type::String | Type::Guid | Type::Url | Type::Timestamp | Type::Id(_) => {
            json!({ "type": "string" })
        }
    }
}
