//! The types that inputs declare.

use lockkeeper_types::{Field, Type};

/// Why a type cannot be read.
pub(super) enum Wrong {
    /// There is no type of that name.
    Unknown(String),
    /// The angle brackets do not fit.
    Brackets,
}

/// The names of the types, for suggestions.
pub(super) const NAMES: [&str; 14] = [
    "string",
    "bool",
    "s64",
    "u32",
    "f64",
    "guid",
    "url",
    "duration",
    "timestamp",
    "secret",
    "enum",
    "record",
    "list",
    "option",
];

/// Reads `option<list<enum>>`; `values` and `fields` say what `enum` and `record` stand for.
pub(super) fn parse(text: &str, values: &[String], fields: &[Field]) -> Result<Type, Wrong> {
    let text = text.trim();
    let inner = |outer: &str| {
        text.strip_prefix(outer)
            .and_then(|rest| rest.strip_prefix('<'))
            .map(|rest| rest.strip_suffix('>').ok_or(Wrong::Brackets))
    };
    if let Some(inner) = inner("list") {
        return Ok(Type::List(Box::new(parse(inner?, values, fields)?)));
    }
    if let Some(inner) = inner("option") {
        return Ok(Type::Option(Box::new(parse(inner?, values, fields)?)));
    }
    Ok(match text {
        "string" => Type::String,
        "bool" => Type::Bool,
        "s64" => Type::Integer {
            bits: 64,
            signed: true,
        },
        "u32" => Type::Integer {
            bits: 32,
            signed: false,
        },
        "f64" => Type::Float,
        "guid" => Type::Guid,
        "url" => Type::Url,
        "duration" => Type::Duration,
        "timestamp" => Type::Timestamp,
        "secret" => Type::Secret,
        "enum" => Type::Enum(values.to_vec()),
        "record" => Type::Record(fields.to_vec()),
        "list" | "option" => return Err(Wrong::Brackets),
        other => return Err(Wrong::Unknown(other.to_owned())),
    })
}

/// The type inside all lists and options.
pub(super) fn innermost(kind: &Type) -> &Type {
    match kind {
        Type::List(inner) | Type::Option(inner) => innermost(inner),
        other => other,
    }
}
