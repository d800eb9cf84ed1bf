//! The WIT packages and the operations say the same: each function has one definition with its
//! very parameters and results, and there is no definition without a function.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests are not in test functions, where clippy allows these"
)]

use std::collections::BTreeSet;
use std::path::PathBuf;

use lockkeeper_gate::definition::Definition;
use lockkeeper_gate::{Class, Placeholders, operations};
use serde_json::{Map, Value, json};
use wit_parser::{Function, Resolve, Type, TypeDefKind, TypeId};

struct Packages {
    resolve: Resolve,
}

impl Packages {
    fn read() -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../wit");
        let mut resolve = Resolve::default();
        for package in ["step", "entra", "azure", "databricks"] {
            resolve.push_path(folder.join(package)).unwrap();
        }
        Self { resolve }
    }

    /// Every function that is an operation, by the operation's name.
    fn functions(&self) -> Vec<(String, &Function)> {
        let mut found = Vec::new();
        for (_, package) in &self.resolve.packages {
            if package.name.name == "step" {
                continue;
            }
            for (interface, id) in &package.interfaces {
                for function in self.resolve.interfaces[*id].functions.values() {
                    let name = format!("{}/{interface}.{}", package.name.name, function.name);
                    found.push((name, function));
                }
            }
        }
        found
    }

    /// The name and shape of a type, with aliases followed.
    fn resolved(&self, id: TypeId) -> (&str, &TypeDefKind) {
        let definition = &self.resolve.types[id];
        match &definition.kind {
            TypeDefKind::Type(Type::Id(next)) => self.resolved(*next),
            kind => (definition.name.as_deref().unwrap_or_default(), kind),
        }
    }

    /// A value of the type, by the conventions of `lockkeeper-types`.
    fn sample(&self, kind: &Type) -> Value {
        match kind {
            Type::Bool => json!(true),
            Type::U8 | Type::U16 | Type::U32 | Type::U64 => json!(1),
            Type::F32 | Type::F64 => json!(1.0),
            Type::String => json!("1"),
            Type::Id(id) => match self.resolved(*id) {
                ("timestamp", _) => json!("2030-01-02T03:04:05Z"),
                (name, TypeDefKind::Record(record))
                    if record.fields.len() == 1 && record.fields[0].name == name =>
                {
                    json!("1")
                }
                (_, TypeDefKind::Record(record)) => record
                    .fields
                    .iter()
                    .map(|field| (snake(&field.name), self.sample(&field.ty)))
                    .collect::<Map<_, _>>()
                    .into(),
                (_, TypeDefKind::Enum(cases)) => json!(cases.cases[0].name),
                // The case that holds most.
                (_, TypeDefKind::Variant(variant)) => variant
                    .cases
                    .iter()
                    .map(|case| match &case.ty {
                        Some(kind) => json!({ &case.name: self.sample(kind) }),
                        None => json!(case.name),
                    })
                    .max_by_key(|sample| sample.to_string().len())
                    .unwrap(),
                (_, TypeDefKind::Option(inner)) => self.sample(inner),
                (_, TypeDefKind::List(inner)) => json!([self.sample(inner)]),
                (_, TypeDefKind::Tuple(tuple)) => {
                    tuple.types.iter().map(|kind| self.sample(kind)).collect()
                }
                (_, TypeDefKind::Handle(_) | TypeDefKind::Resource) => {
                    lockkeeper_types::secret("name")
                }
                (name, kind) => panic!("no sample of {name}: {}", kind.as_str()),
            },
            other => panic!("no sample of {other:?}"),
        }
    }

    fn is_option(&self, kind: &Type) -> bool {
        matches!(kind, Type::Id(id) if matches!(self.resolved(*id).1, TypeDefKind::Option(_)))
    }

    fn arguments(&self, function: &Function) -> Map<String, Value> {
        let params = function.params.iter();
        params
            .map(|param| (snake(&param.name), self.sample(&param.ty)))
            .collect()
    }

    /// What the function gives when it succeeds.
    fn output(&self, function: &Function) -> Option<&Type> {
        let Some(Type::Id(id)) = &function.result else {
            panic!("{} gives none", function.name)
        };
        match self.resolved(*id).1 {
            TypeDefKind::Result(result) => result.ok.as_ref(),
            kind => panic!("{} gives no result but a {}", function.name, kind.as_str()),
        }
    }

    /// Whether a value is one of the type.
    fn fits(&self, kind: &Type, value: &Value) -> bool {
        match kind {
            Type::Bool => value.is_boolean(),
            Type::U8 | Type::U16 | Type::U32 | Type::U64 => value.is_u64(),
            Type::F32 | Type::F64 => value.is_number(),
            Type::String => value.is_string(),
            Type::Id(id) => match self.resolved(*id) {
                (name, TypeDefKind::Record(record))
                    if record.fields.len() == 1
                        && (record.fields[0].name == name || name == "timestamp") =>
                {
                    value.is_string()
                }
                (_, TypeDefKind::Record(record)) => {
                    let names: BTreeSet<_> = record
                        .fields
                        .iter()
                        .map(|field| snake(&field.name))
                        .collect();
                    value.as_object().is_some_and(|object| {
                        object.keys().cloned().collect::<BTreeSet<_>>() == names
                            && record
                                .fields
                                .iter()
                                .all(|field| self.fits(&field.ty, &object[&snake(&field.name)]))
                    })
                }
                (_, TypeDefKind::Enum(cases)) => value
                    .as_str()
                    .is_some_and(|text| cases.cases.iter().any(|c| c.name == text)),
                (_, TypeDefKind::Variant(variant)) => {
                    variant.cases.iter().any(|case| match &case.ty {
                        Some(kind) => value.as_object().is_some_and(|object| {
                            object.len() == 1
                                && object
                                    .get(&case.name)
                                    .is_some_and(|payload| self.fits(kind, payload))
                        }),
                        None => *value == json!(case.name),
                    })
                }
                (_, TypeDefKind::Option(inner)) => value.is_null() || self.fits(inner, value),
                (_, TypeDefKind::List(inner)) => value
                    .as_array()
                    .is_some_and(|items| items.iter().all(|item| self.fits(inner, item))),
                (_, TypeDefKind::Tuple(tuple)) => value.as_array().is_some_and(|items| {
                    items.len() == tuple.types.len()
                        && tuple
                            .types
                            .iter()
                            .zip(items)
                            .all(|(kind, item)| self.fits(kind, item))
                }),
                (_, TypeDefKind::Handle(_) | TypeDefKind::Resource) => {
                    lockkeeper_types::secret_name(value).is_some()
                }
                _ => false,
            },
            _ => false,
        }
    }
}

fn snake(name: &str) -> String {
    name.replace('-', "_")
}

fn definition(name: &str) -> &'static dyn Definition {
    operations::find(name).unwrap_or_else(|| panic!("{name} has no definition"))
}

#[test]
fn each_function_has_one_definition_and_each_definition_a_function() {
    let packages = Packages::read();
    let functions: Vec<_> = packages
        .functions()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let defined: Vec<_> = operations::ALL
        .iter()
        .map(|found| found.name().to_owned())
        .collect();
    assert!(functions.len() > 40);
    assert_eq!(
        defined.iter().collect::<BTreeSet<_>>().len(),
        defined.len(),
        "defined twice"
    );
    assert_eq!(
        functions.iter().collect::<BTreeSet<_>>(),
        defined.iter().collect::<BTreeSet<_>>()
    );
}

#[test]
fn the_parameters_of_a_function_are_the_fields_of_its_definition() {
    let packages = Packages::read();
    for (name, function) in packages.functions() {
        let definition = definition(&name);
        let arguments = packages.arguments(function);
        let taken = |arguments: &Map<String, Value>| {
            definition
                .object(&Value::Object(arguments.clone()))
                .map(|object| object.kind)
        };
        if let Err(failure) = taken(&arguments) {
            panic!("{name}: {}", failure.message);
        }
        for param in &function.params {
            let mut fewer = arguments.clone();
            fewer.remove(&snake(&param.name));
            let optional = packages.is_option(&param.ty);
            assert_eq!(
                taken(&fewer).is_ok(),
                optional,
                "{name} without {}",
                param.name
            );
        }
        let mut more = arguments;
        more.insert("surplus".to_owned(), Value::Null);
        assert!(taken(&more).is_err(), "{name} takes a field that WIT lacks");
    }
}

#[test]
fn what_a_definition_gives_is_what_its_function_gives() {
    let packages = Packages::read();
    let placeholders = Placeholders {
        step: "step",
        position: 1,
    };
    for (name, function) in packages.functions() {
        let definition = definition(&name);
        let arguments = Value::Object(packages.arguments(function));
        let output = packages.output(function);
        let given = if definition.class() == Class::Read {
            definition.planned(&arguments, None, &placeholders).ok()
        } else {
            let sample = output.map_or(Value::Null, |kind| packages.sample(kind));
            if let Err(failure) = definition.after(&arguments, None, &sample) {
                panic!("{name} cannot give {sample}: {}", failure.message);
            }
            Some(definition.preview(&arguments, None, &placeholders).unwrap())
        };
        if let Some(given) = given {
            let fits = output.map_or(given.is_null(), |kind| packages.fits(kind, &given));
            assert!(fits, "{name} gives {given}");
        }
    }
}
