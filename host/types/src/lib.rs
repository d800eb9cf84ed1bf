//! The types and values that workflow files, plugins and calls share.
//!
//! A value is a [`serde_json::Value`] with two conventions on top of JSON: a secret is only ever a
//! [handle](secret), and a value that a plan cannot know yet is a [placeholder](unknown).
//! Names are `snake_case` on this side; WIT's kebab-case is mapped at the component boundary.

mod signature;
mod text;
pub mod unknown;

pub use signature::{Import, Signature};
pub use text::clean;

use std::fmt;

use serde::{Deserialize, Serialize};

/// A value by the conventions of this crate.
pub type Value = serde_json::Value;

/// The type of an input, an output or an expression: WIT's types plus the refinements that the
/// `lockkeeper:step/types` interface defines as one-field records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Type {
    /// `bool`
    Bool,
    /// Any WIT integer: its width in bits, and whether it is signed.
    Integer {
        /// 8, 16, 32 or 64.
        bits: u8,
        /// `s8` … `s64` are, `u8` … `u64` are not.
        signed: bool,
    },
    /// `f32` and `f64`
    Float,
    /// `char` and `string`
    String,
    /// A GUID in 8-4-4-4-12 form; only inputs declare it, plugins use [`Type::Id`].
    Guid,
    /// An absolute `https` URL; only inputs declare it.
    Url,
    /// WIT `record duration { seconds: u64 }`; written `90d`, `24h`, `15m`, `30s`; the value is whole seconds.
    Duration,
    /// WIT `record timestamp { rfc3339: string }`; the value is RFC 3339 text.
    Timestamp,
    /// WIT `record x-id { x-id: string }`: text that names one kind of object, by its kebab-case
    /// type name. Two kinds never mix.
    Id(String),
    /// The resource `lockkeeper:step/types.secret`: a handle, never text.
    Secret,
    /// `list<T>`
    List(Box<Type>),
    /// `option<T>`: may be left out; the absent value is JSON null.
    Option(Box<Type>),
    /// `record { … }`, a JSON object.
    Record(Vec<Field>),
    /// `tuple<…>`, a JSON array.
    Tuple(Vec<Type>),
    /// `enum { … }`, a JSON string in the case names' own spelling (kebab-case).
    Enum(Vec<String>),
    /// `flags { … }`, a JSON array of the names that are set.
    Flags(Vec<String>),
    /// `variant { … }`: a case without payload is its name, one with payload is `{ "case": payload }`.
    Variant(Vec<(String, Option<Type>)>),
}

/// A named member of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// The name, in `snake_case`.
    pub name: String,
    /// What it holds.
    #[serde(rename = "type")]
    pub kind: Type,
    /// What the WIT doc comment says of it, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docs: Option<String>,
}

impl Type {
    /// The type inside `option<…>`, or the type itself.
    pub fn without_option(&self) -> &Self {
        match self {
            Self::Option(inner) => inner,
            other => other,
        }
    }

    /// Whether a field of this type may be left out.
    pub fn is_optional(&self) -> bool {
        matches!(self, Self::Option(_))
    }

    /// Whether a secret can be anywhere in a value of this type.
    pub fn holds_secret(&self) -> bool {
        match self {
            Self::Secret => true,
            Self::List(inner) | Self::Option(inner) => inner.holds_secret(),
            Self::Record(fields) => fields.iter().any(|field| field.kind.holds_secret()),
            Self::Tuple(items) => items.iter().any(Self::holds_secret),
            Self::Variant(cases) => cases
                .iter()
                .any(|(_, payload)| payload.as_ref().is_some_and(Self::holds_secret)),
            _ => false,
        }
    }

    /// Whether a value of this type can stand inside text: text, numbers, bools, ids, URLs,
    /// durations and times can; records, lists and secrets cannot.
    pub fn formats_to_text(&self) -> bool {
        matches!(
            self,
            Self::Bool
                | Self::Integer { .. }
                | Self::Float
                | Self::String
                | Self::Guid
                | Self::Url
                | Self::Duration
                | Self::Timestamp
                | Self::Id(_)
                | Self::Enum(_)
        )
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::Integer { bits, signed } => {
                write!(f, "{}{bits}", if *signed { 's' } else { 'u' })
            }
            Self::Float => f.write_str("f64"),
            Self::String => f.write_str("string"),
            Self::Guid => f.write_str("guid"),
            Self::Url => f.write_str("url"),
            Self::Duration => f.write_str("duration"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Id(name) => f.write_str(name),
            Self::Secret => f.write_str("secret"),
            Self::List(inner) => write!(f, "list<{inner}>"),
            Self::Option(inner) => write!(f, "option<{inner}>"),
            Self::Record(fields) => {
                f.write_str("record { ")?;
                for (index, field) in fields.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{}: {}", field.name, field.kind)?;
                }
                f.write_str(" }")
            }
            Self::Tuple(items) => {
                let items: Vec<_> = items.iter().map(ToString::to_string).collect();
                write!(f, "tuple<{}>", items.join(", "))
            }
            Self::Enum(cases) => write!(f, "enum {{ {} }}", cases.join(", ")),
            Self::Flags(names) => write!(f, "flags {{ {} }}", names.join(", ")),
            Self::Variant(cases) => {
                let names: Vec<_> = cases.iter().map(|(name, _)| name.as_str()).collect();
                write!(f, "variant {{ {} }}", names.join(", "))
            }
        }
    }
}

const SECRET_KEY: &str = "$secret";

/// The value that stands for a secret: its name in the run's secret store, never its bytes.
pub fn secret(name: &str) -> Value {
    serde_json::json!({ SECRET_KEY: name })
}

/// The name of the secret that `value` is a handle of, if it is one.
pub fn secret_name(value: &Value) -> Option<&str> {
    let object = value.as_object()?;
    (object.len() == 1).then(|| object.get(SECRET_KEY)?.as_str())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_only_its_handle() {
        let value = secret("register/1/4");
        assert_eq!(secret_name(&value), Some("register/1/4"));
        assert_eq!(
            secret_name(&serde_json::json!({ "$secret": "a", "b": 1 })),
            None
        );
        assert_eq!(secret_name(&serde_json::json!("$secret")), None);
    }

    #[test]
    fn types_print_as_wit_writes_them() {
        let kind = Type::Option(Box::new(Type::List(Box::new(Type::Id(
            "application-id".into(),
        )))));
        assert_eq!(kind.to_string(), "option<list<application-id>>");
        assert_eq!(
            Type::Integer {
                bits: 32,
                signed: false
            }
            .to_string(),
            "u32"
        );
    }

    #[test]
    fn secrets_are_found_however_deep() {
        let field = Field {
            name: "value".into(),
            kind: Type::Option(Box::new(Type::Secret)),
            docs: None,
        };
        assert!(Type::List(Box::new(Type::Record(vec![field]))).holds_secret());
        assert!(!Type::String.holds_secret());
    }
}
