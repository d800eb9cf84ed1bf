//! Converts values between JSON and a component's own types, in both directions.

use lockkeeper_types::{Value, clean, secret, secret_name};
use serde_json::{Map, Number};
use wasmtime::component::types::{Record, Type};
use wasmtime::component::{Resource, ResourceAny, Val};
use wasmtime::{AsContextMut, StoreContextMut};

use crate::kind::{Describer, Refined, refined, snake};
use crate::stop::Stop;
use crate::store::{Secret, State};

use crate::{Limit, LimitKind, Mismatch};

/// What a value costs beside its text.
const NODE_BYTES: usize = 16;

/// Why a value could not be converted.
#[derive(Debug)]
pub(crate) enum Fault {
    Mismatch(Mismatch),
    Stop(wasmtime::Error),
}

impl Fault {
    /// The error that ends the run, saying which value it was about.
    pub(crate) fn of(self, of: impl Into<String>) -> wasmtime::Error {
        match self {
            Self::Mismatch(mismatch) => Stop::Mismatch(Mismatch {
                of: of.into(),
                ..mismatch
            })
            .into(),
            Self::Stop(error) => error,
        }
    }

    /// The same fault of a value that is `segment` of a larger one.
    pub(crate) fn within(self, segment: &str) -> Self {
        match self {
            Self::Mismatch(mut mismatch) => {
                let separator = if mismatch.path.is_empty() || mismatch.path.starts_with('[') {
                    ""
                } else {
                    "."
                };
                mismatch.path = format!("{segment}{separator}{}", mismatch.path);
                Self::Mismatch(mismatch)
            }
            stop @ Self::Stop(_) => stop,
        }
    }
}

impl From<wasmtime::Error> for Fault {
    fn from(error: wasmtime::Error) -> Self {
        Self::Stop(error)
    }
}

fn misfit<T>(expected: impl Into<String>, got: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Mismatch(Mismatch {
        of: String::new(),
        path: String::new(),
        expected: expected.into(),
        got: got.into(),
    }))
}

/// The type as WIT writes it.
fn written(ty: &Type) -> String {
    Describer::default()
        .describe(ty)
        .map_or_else(|unknown| unknown, |kind| clean(&kind.to_string(), 300))
}

/// What kind of value this is, without its text.
fn sort(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::Bool(_) => "a bool".into(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(_) => "text".into(),
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(_) if secret_name(value).is_some() => "a secret".into(),
        Value::Object(_) => "a record".into(),
    }
}

/// Converts values of one call, as long as they fit into its budget of bytes.
pub(crate) struct Converter<'a> {
    store: StoreContextMut<'a, State>,
    limit: LimitKind,
    allowed: usize,
    spent: usize,
}

impl<'a> Converter<'a> {
    /// Converts up to `allowed` bytes; more is the limit `limit`.
    pub(crate) fn new(store: StoreContextMut<'a, State>, limit: LimitKind, allowed: usize) -> Self {
        Self {
            store,
            limit,
            allowed,
            spent: 0,
        }
    }

    /// The store that the values are of.
    pub(crate) fn store(&self) -> &StoreContextMut<'a, State> {
        &self.store
    }

    fn spend(&mut self, text: usize) -> Result<(), Fault> {
        let size = text.saturating_add(NODE_BYTES);
        self.spent = self.spent.saturating_add(size);
        let mut limit =
            (self.spent > self.allowed).then(|| Limit::new(self.limit, self.allowed, None));
        if self.limit == LimitKind::HostCallBytes {
            let state = self.store.data_mut();
            state.host_bytes = state.host_bytes.saturating_add(size);
            let allowed = state.budget.host_bytes;
            if state.host_bytes > allowed {
                limit = limit.or_else(|| Some(Limit::new(LimitKind::HostBytes, allowed, None)));
            }
        }
        limit.map_or(Ok(()), |limit| Err(Fault::Stop(Stop::Limit(limit).into())))
    }

    /// `value` as a value of type `ty`.
    pub(crate) fn lower(&mut self, ty: &Type, value: Value) -> Result<Val, Fault> {
        self.spend(value.as_str().map_or(0, str::len))?;
        Ok(match (ty, value) {
            (Type::Bool, Value::Bool(flag)) => Val::Bool(flag),
            (Type::String, Value::String(text)) => Val::String(text),
            (Type::Char, Value::String(text)) => {
                let mut chars = text.chars();
                match (chars.next(), chars.next()) {
                    (Some(c), None) => Val::Char(c),
                    _ => return misfit("one character", "text of another length"),
                }
            }
            (_, Value::Number(number)) => match lower_number(ty, &number) {
                Some(val) => val,
                None => match ty {
                    Type::Record(record) if refined(record) == Some(Refined::Duration) => {
                        self.lower_refined("seconds", &Type::U64, Value::Number(number))?
                    }
                    Type::Option(option) => self.lower_some(&option.ty(), Value::Number(number))?,
                    _ => return misfit(written(ty), sort(&Value::Number(number))),
                },
            },
            (Type::Option(_), Value::Null) => Val::Option(None),
            (Type::Option(option), value) => self.lower_some(&option.ty(), value)?,
            (Type::List(list), Value::Array(items)) => {
                let ty = list.ty();
                let items = items.into_iter().enumerate();
                Val::List(
                    items
                        .map(|(index, item)| self.lower_item(&ty, index, item))
                        .collect::<Result<_, _>>()?,
                )
            }
            (Type::Tuple(tuple), Value::Array(items)) if items.len() == tuple.types().len() => {
                let items = tuple.types().zip(items).enumerate();
                Val::Tuple(
                    items
                        .map(|(index, (ty, item))| self.lower_item(&ty, index, item))
                        .collect::<Result<_, _>>()?,
                )
            }
            (Type::Record(record), Value::String(text)) => match refined(record) {
                Some(refined @ (Refined::Id(_) | Refined::Timestamp)) => {
                    Val::Record(vec![(refined.field().to_owned(), Val::String(text))])
                }
                _ => return misfit(written(ty), "text"),
            },
            (Type::Record(record), Value::Object(fields)) if refined(record).is_none() => {
                self.lower_record(record, fields)?
            }
            (Type::Enum(cases), Value::String(name)) => {
                if !cases.names().any(|case| case == name) {
                    return misfit(written(ty), "another name");
                }
                Val::Enum(name)
            }
            (Type::Flags(flags), Value::Array(names)) => {
                let mut set = Vec::with_capacity(names.len());
                for name in names {
                    match name {
                        Value::String(name) if flags.names().any(|flag| flag == name) => {
                            set.push(name);
                        }
                        _ => return misfit(written(ty), "another name"),
                    }
                }
                Val::Flags(set)
            }
            (Type::Variant(variant), value) => {
                let (name, payload) = case(ty, value)?;
                let Some(found) = variant.cases().find(|case| case.name == name) else {
                    return misfit(written(ty), "another case");
                };
                let payload = self.lower_payload(&name, found.ty, payload)?;
                Val::Variant(name, payload)
            }
            (Type::Result(result), value) => {
                let (name, payload) = case(ty, value)?;
                match name.as_str() {
                    "ok" => Val::Result(Ok(self.lower_payload(&name, result.ok(), payload)?)),
                    "err" => Val::Result(Err(self.lower_payload(&name, result.err(), payload)?)),
                    _ => return misfit("`ok` or `err`", "another case"),
                }
            }
            (Type::Own(_) | Type::Borrow(_), value) => match secret_name(&value) {
                Some(name) => self.lower_secret(name.to_owned())?,
                None => return misfit("secret", sort(&value)),
            },
            (_, value) => return misfit(written(ty), sort(&value)),
        })
    }

    fn lower_some(&mut self, ty: &Type, value: Value) -> Result<Val, Fault> {
        Ok(Val::Option(Some(Box::new(self.lower(ty, value)?))))
    }

    fn lower_item(&mut self, ty: &Type, index: usize, item: Value) -> Result<Val, Fault> {
        self.lower(ty, item)
            .map_err(|fault| fault.within(&format!("[{index}]")))
    }

    fn lower_refined(&mut self, field: &str, ty: &Type, value: Value) -> Result<Val, Fault> {
        Ok(Val::Record(vec![(
            field.to_owned(),
            self.lower(ty, value)?,
        )]))
    }

    /// An object as a record, by all of its fields even if there is only one.
    pub(crate) fn lower_record(
        &mut self,
        record: &Record,
        mut values: Map<String, Value>,
    ) -> Result<Val, Fault> {
        let mut fields = Vec::new();
        for field in record.fields() {
            let name = snake(field.name);
            let value = values.swap_remove(&name);
            let val = match (value, &field.ty) {
                (None, Type::Option(_)) => Val::Option(None),
                (None, ty) => {
                    return misfit(written(ty), "nothing").map_err(|fault| fault.within(&name));
                }
                (Some(value), ty) => self.lower(ty, value).map_err(|fault| fault.within(&name))?,
            };
            fields.push((field.name.to_owned(), val));
        }
        match values.keys().next() {
            None => Ok(Val::Record(fields)),
            Some(extra) => {
                let names: Vec<_> = record.fields().map(|field| snake(field.name)).collect();
                misfit(
                    format!("only {}", names.join(", ")),
                    format!("a field `{}` too", clean(extra, 100)),
                )
            }
        }
    }

    fn lower_payload(
        &mut self,
        name: &str,
        ty: Option<Type>,
        payload: Option<Value>,
    ) -> Result<Option<Box<Val>>, Fault> {
        match (ty, payload) {
            (None, None) => Ok(None),
            (Some(ty), Some(payload)) => self
                .lower(&ty, payload)
                .map(|val| Some(Box::new(val)))
                .map_err(|fault| fault.within(name)),
            (Some(ty), None) => misfit(written(&ty), "nothing").map_err(|fault| fault.within(name)),
            (None, Some(payload)) => {
                misfit("nothing", sort(&payload)).map_err(|fault| fault.within(name))
            }
        }
    }

    fn lower_secret(&mut self, name: String) -> Result<Val, Fault> {
        let pushed = self.store.data_mut().table.push(Secret { name });
        let resource = pushed.map_err(|_| Fault::Stop(self.too_many_handles()))?;
        let any = ResourceAny::try_from_resource(resource, self.store.as_context_mut())?;
        Ok(Val::Resource(any))
    }

    fn too_many_handles(&self) -> wasmtime::Error {
        let allowed = self.store.data().budget.handles;
        Stop::Limit(Limit::new(LimitKind::Handles, allowed, None)).into()
    }

    /// A value of type `ty` as JSON.
    pub(crate) fn lift(&mut self, ty: &Type, val: Val) -> Result<Value, Fault> {
        self.spend(match &val {
            Val::String(text) => text.len(),
            _ => 0,
        })?;
        Ok(match (ty, val) {
            (_, Val::Bool(flag)) => Value::Bool(flag),
            (_, Val::U8(number)) => Value::from(number),
            (_, Val::U16(number)) => Value::from(number),
            (_, Val::U32(number)) => Value::from(number),
            (_, Val::U64(number)) => Value::from(number),
            (_, Val::S8(number)) => Value::from(number),
            (_, Val::S16(number)) => Value::from(number),
            (_, Val::S32(number)) => Value::from(number),
            (_, Val::S64(number)) => Value::from(number),
            (_, Val::Float32(number)) => lift_float(f64::from(number))?,
            (_, Val::Float64(number)) => lift_float(number)?,
            (_, Val::Char(c)) => Value::String(c.into()),
            (_, Val::String(text)) => Value::String(text),
            (_, Val::Enum(name)) => Value::String(name),
            (_, Val::Flags(names)) => Value::from(names),
            (_, Val::Option(None)) => Value::Null,
            (Type::Option(option), Val::Option(Some(val))) => self.lift(&option.ty(), *val)?,
            (Type::List(list), Val::List(items)) => {
                let ty = list.ty();
                self.lift_items(items.into_iter().map(|item| (ty.clone(), item)))?
            }
            (Type::Tuple(tuple), Val::Tuple(items)) => self.lift_items(tuple.types().zip(items))?,
            (Type::Record(record), Val::Record(mut fields)) => {
                match (refined(record), fields.pop()) {
                    (Some(_), Some((_, Val::U64(seconds)))) => Value::from(seconds),
                    (Some(_), Some((_, Val::String(text)))) => {
                        self.spend(text.len())?;
                        Value::String(text)
                    }
                    (_, last) => {
                        fields.extend(last);
                        self.lift_record(record, fields)?
                    }
                }
            }
            (Type::Variant(variant), Val::Variant(name, payload)) => {
                let ty = variant
                    .cases()
                    .find(|case| case.name == name)
                    .and_then(|case| case.ty);
                self.lift_case(name, ty, payload)?
            }
            (Type::Result(result), Val::Result(outcome)) => match outcome {
                Ok(payload) => self.lift_case("ok".into(), result.ok(), payload)?,
                Err(payload) => self.lift_case("err".into(), result.err(), payload)?,
            },
            (_, Val::Resource(any)) => secret(&self.lift_secret(any)?),
            (ty, _) => return misfit(written(ty), "another type"),
        })
    }

    fn lift_items(&mut self, items: impl Iterator<Item = (Type, Val)>) -> Result<Value, Fault> {
        items
            .enumerate()
            .map(|(index, (ty, item))| {
                self.lift(&ty, item)
                    .map_err(|fault| fault.within(&format!("[{index}]")))
            })
            .collect::<Result<_, _>>()
            .map(Value::Array)
    }

    /// A record as an object, by all of its fields even if there is only one.
    pub(crate) fn lift_record(
        &mut self,
        record: &Record,
        fields: Vec<(String, Val)>,
    ) -> Result<Value, Fault> {
        let mut object = Map::new();
        for (field, (_, val)) in record.fields().zip(fields) {
            let name = snake(field.name);
            self.spend(name.len())?;
            let value = self
                .lift(&field.ty, val)
                .map_err(|fault| fault.within(&name))?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }

    fn lift_case(
        &mut self,
        name: String,
        ty: Option<Type>,
        payload: Option<Box<Val>>,
    ) -> Result<Value, Fault> {
        match (ty, payload) {
            (Some(ty), Some(payload)) => {
                let payload = self
                    .lift(&ty, *payload)
                    .map_err(|fault| fault.within(&name))?;
                Ok(Value::Object(Map::from_iter([(name, payload)])))
            }
            _ => Ok(Value::String(name)),
        }
    }

    /// The name of a secret. One that the plugin gave away is gone from its handles.
    pub(crate) fn lift_secret(&mut self, any: ResourceAny) -> Result<String, Fault> {
        let resource: Resource<Secret> = any.try_into_resource(self.store.as_context_mut())?;
        let table = &mut self.store.data_mut().table;
        let name = if resource.owned() {
            table.delete(resource).map(|secret| secret.name)
        } else {
            table.get(&resource).map(|secret| secret.name.clone())
        };
        name.map_err(|error| Fault::Stop(error.into()))
    }
}

/// The case of a variant that a value says, and its payload.
fn case(ty: &Type, value: Value) -> Result<(String, Option<Value>), Fault> {
    match value {
        Value::String(name) => Ok((name, None)),
        Value::Object(object) if object.len() == 1 => match object.into_iter().next() {
            Some((name, payload)) => Ok((name, Some(payload))),
            None => misfit(written(ty), "a record"),
        },
        other => misfit(written(ty), sort(&other)),
    }
}

/// The number as a value of a numeric type, if it is in range.
fn lower_number(ty: &Type, number: &Number) -> Option<Val> {
    let unsigned = || number.as_u64();
    let signed = || number.as_i64();
    Some(match ty {
        Type::U8 => Val::U8(unsigned()?.try_into().ok()?),
        Type::U16 => Val::U16(unsigned()?.try_into().ok()?),
        Type::U32 => Val::U32(unsigned()?.try_into().ok()?),
        Type::U64 => Val::U64(unsigned()?),
        Type::S8 => Val::S8(signed()?.try_into().ok()?),
        Type::S16 => Val::S16(signed()?.try_into().ok()?),
        Type::S32 => Val::S32(signed()?.try_into().ok()?),
        Type::S64 => Val::S64(signed()?),
        Type::Float64 => Val::Float64(number.as_f64()?),
        Type::Float32 => {
            #[allow(
                clippy::cast_possible_truncation,
                reason = "the nearest f32 is what an f32 field means; one out of range is refused below"
            )]
            let narrow = number.as_f64()? as f32;
            narrow.is_finite().then_some(Val::Float32(narrow))?
        }
        _ => return None,
    })
}

fn lift_float(number: f64) -> Result<Value, Fault> {
    match Number::from_f64(number) {
        Some(number) => Ok(Value::Number(number)),
        None => misfit("a finite number", number.to_string()),
    }
}
