//! A component's types in the terms of [`lockkeeper_types::Type`].

use lockkeeper_types::{Field, Type as Kind};
use wasmtime::component::ResourceType;
use wasmtime::component::types::{Record, Type};

use crate::store::Secret;

/// Types of one function: a value of more would not be readable either.
const NODES: usize = 10_000;
const DEPTH: usize = 50;

/// WIT's kebab-case in the `snake_case` of values.
pub(crate) fn snake(kebab: &str) -> String {
    kebab.replace('-', "_")
}

/// A record with one field that stands for a plain value on the JSON side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refined {
    /// `record x-id { x-id: string }`
    Id(String),
    /// `record duration { seconds: u64 }`
    Duration,
    /// `record timestamp { rfc3339: string }`
    Timestamp,
}

impl Refined {
    /// The name of the one field.
    pub(crate) fn field(&self) -> &str {
        match self {
            Self::Id(name) => name,
            Self::Duration => "seconds",
            Self::Timestamp => "rfc3339",
        }
    }
}

/// What the record stands for, if it is one of those. A component keeps no record's own name, so
/// an identifier is known by its field's, which `step/types` makes the same.
pub(crate) fn refined(record: &Record) -> Option<Refined> {
    let mut fields = record.fields();
    let field = fields.next()?;
    if fields.next().is_some() {
        return None;
    }
    match (field.name, field.ty) {
        ("seconds", Type::U64) => Some(Refined::Duration),
        ("rfc3339", Type::String) => Some(Refined::Timestamp),
        (name, Type::String) if name.ends_with("-id") => Some(Refined::Id(name.to_owned())),
        _ => None,
    }
}

/// Whether this is `lockkeeper:step/types.secret`.
pub(crate) fn is_secret(resource: ResourceType) -> bool {
    resource == ResourceType::host::<Secret>()
}

/// Describes the types of one function.
#[derive(Default)]
pub(crate) struct Describer {
    nodes: usize,
    depth: usize,
}

impl Describer {
    /// The fields of a record, which is not flattened even if it has only one.
    pub(crate) fn fields(&mut self, record: &Record) -> Result<Vec<Field>, String> {
        record
            .fields()
            .map(|field| {
                Ok(Field {
                    name: snake(field.name),
                    kind: self.describe(&field.ty)?,
                    docs: None,
                })
            })
            .collect()
    }

    /// The type, or what of it has no form in a workflow.
    pub(crate) fn describe(&mut self, ty: &Type) -> Result<Kind, String> {
        self.nodes += 1;
        if self.nodes > NODES || self.depth == DEPTH {
            return Err("a type that is too large".into());
        }
        self.depth += 1;
        let kind = self.describe_nested(ty);
        self.depth -= 1;
        kind
    }

    fn describe_nested(&mut self, ty: &Type) -> Result<Kind, String> {
        Ok(match ty {
            Type::Bool => Kind::Bool,
            Type::U8 => integer(8, false),
            Type::U16 => integer(16, false),
            Type::U32 => integer(32, false),
            Type::U64 => integer(64, false),
            Type::S8 => integer(8, true),
            Type::S16 => integer(16, true),
            Type::S32 => integer(32, true),
            Type::S64 => integer(64, true),
            Type::Float32 | Type::Float64 => Kind::Float,
            Type::Char | Type::String => Kind::String,
            Type::List(list) => Kind::List(Box::new(self.describe(&list.ty())?)),
            Type::Option(option) => match self.describe(&option.ty())? {
                Kind::Option(_) => return Err("an option of an option".into()),
                inner => Kind::Option(Box::new(inner)),
            },
            Type::Record(record) => match refined(record) {
                Some(Refined::Id(name)) => Kind::Id(name),
                Some(Refined::Duration) => Kind::Duration,
                Some(Refined::Timestamp) => Kind::Timestamp,
                None => Kind::Record(self.fields(record)?),
            },
            Type::Tuple(tuple) => Kind::Tuple(
                tuple
                    .types()
                    .map(|ty| self.describe(&ty))
                    .collect::<Result<_, _>>()?,
            ),
            Type::Enum(cases) => Kind::Enum(cases.names().map(str::to_owned).collect()),
            Type::Flags(flags) => Kind::Flags(flags.names().map(str::to_owned).collect()),
            Type::Variant(variant) => Kind::Variant(
                variant
                    .cases()
                    .map(|case| {
                        let payload = case.ty.map(|ty| self.describe(&ty)).transpose()?;
                        Ok((case.name.to_owned(), payload))
                    })
                    .collect::<Result<_, String>>()?,
            ),
            Type::Result(result) => {
                let ok = result.ok().map(|ty| self.describe(&ty)).transpose()?;
                let err = result.err().map(|ty| self.describe(&ty)).transpose()?;
                Kind::Variant(vec![("ok".into(), ok), ("err".into(), err)])
            }
            Type::Own(resource) | Type::Borrow(resource) if is_secret(*resource) => Kind::Secret,
            Type::Own(_) | Type::Borrow(_) => {
                return Err("a resource other than `secret`".into());
            }
            Type::Map(_) => return Err("a map".into()),
            Type::FixedLengthList(_) => return Err("a list of fixed length".into()),
            Type::Future(_) | Type::Stream(_) | Type::ErrorContext => {
                return Err("an asynchronous value".into());
            }
        })
    }
}

fn integer(bits: u8, signed: bool) -> Kind {
    Kind::Integer { bits, signed }
}
