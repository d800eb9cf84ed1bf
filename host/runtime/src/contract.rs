//! What a plugin's `run` and `adopt` must be, and the signature that their types give.

use lockkeeper_types::{Field, Import, Signature, Type as Kind, clean};
use wasmtime::Engine;
use wasmtime::component::types::{Component, ComponentItem, Record, Type};

use crate::Problem;
use crate::docs::Docs;
use crate::kind::Describer;

pub(crate) const RUN: &str = "run";
pub(crate) const ADOPT: &str = "adopt";
const FAILURE_CASES: [&str; 8] = [
    "not-found",
    "conflict",
    "denied",
    "invalid",
    "throttled",
    "not-yet-visible",
    "unavailable",
    "other",
];

/// The types of a plugin's `run`, and of its `adopt` if it has one.
pub(crate) struct Contract {
    /// Its parameter, if it has one.
    pub(crate) inputs: Option<Record>,
    /// What it returns, if it returns anything.
    pub(crate) outputs: Option<Record>,
    /// How it fails.
    pub(crate) error: Type,
    /// Whether there is an `adopt`, which takes the same inputs and an id, and fails alike.
    pub(crate) adopts: bool,
}

impl Contract {
    /// Reads it from a component's type, in which the resources are already the host's.
    pub(crate) fn read(engine: &Engine, component: &Component) -> Result<Self, Problem> {
        let run = match component.get_export(engine, RUN).map(|export| export.ty) {
            Some(ComponentItem::ComponentFunc(run)) => run,
            Some(_) => return refuse("its export `run` is not a function"),
            None => return refuse("it exports no `run`"),
        };
        if run.async_() {
            return Err(Problem::Feature("asynchronous functions"));
        }
        let mut params = run.params();
        let inputs = match (params.next(), params.next()) {
            (None, _) => None,
            (Some((_, Type::Record(record))), None) => Some(record),
            _ => return refuse("its `run` takes something else than one record"),
        };
        let Some(Type::Result(result)) = run.results().next() else {
            return refuse("its `run` returns something else than a result");
        };
        let outputs = match result.ok() {
            None => None,
            Some(Type::Record(record)) => Some(record),
            Some(_) => return refuse("its `run` returns something else than a record"),
        };
        let error = match result.err() {
            Some(error) if Describer::default().describe(&error) == Ok(step_error()) => error,
            _ => {
                return refuse(
                    "the error of its `run` is not `lockkeeper:step/types.step-error` as this host knows it",
                );
            }
        };
        let mut contract = Self {
            inputs,
            outputs,
            error,
            adopts: false,
        };
        contract.adopts = contract.read_adopt(engine, component)?;
        Ok(contract)
    }

    /// Whether there is an `adopt`; refused if it is another than `run` goes with.
    fn read_adopt(&self, engine: &Engine, component: &Component) -> Result<bool, Problem> {
        let adopt = match component.get_export(engine, ADOPT).map(|export| export.ty) {
            None => return Ok(false),
            Some(ComponentItem::ComponentFunc(adopt)) => adopt,
            Some(_) => return refuse("its export `adopt` is not a function"),
        };
        if adopt.async_() {
            return Err(Problem::Feature("asynchronous functions"));
        }
        let inputs = self.inputs.clone().map(Type::Record);
        let expected = inputs.into_iter().chain([Type::String]);
        if !adopt.params().map(|(_, ty)| ty).eq(expected) {
            return refuse("its `adopt` takes something else than the inputs of `run` and an id");
        }
        let Some(Type::Result(result)) = adopt.results().next() else {
            return refuse("its `adopt` returns something else than a result");
        };
        if result.ok().is_some() || result.err().as_ref() != Some(&self.error) {
            return refuse("its `adopt` returns something else than `result<_, step-error>`");
        }
        Ok(true)
    }

    /// The signature of the plugin.
    pub(crate) fn signature(
        &self,
        engine: &Engine,
        component: &Component,
        docs: &Docs,
        imports: Vec<Import>,
        plugin: &str,
        digest: String,
    ) -> Result<Signature, Problem> {
        let fields = |record: &Option<Record>, usual: &str| match record {
            None => Ok(Vec::new()),
            Some(record) => {
                let name = record_name(engine, component, record, usual);
                described(record, &name, docs)
            }
        };
        Ok(Signature {
            plugin: plugin.to_owned(),
            digest,
            docs: docs.world(),
            inputs: fields(&self.inputs, "inputs")?,
            outputs: fields(&self.outputs, "outputs")?,
            adopts: self.adopts,
            imports,
        })
    }
}

/// Checks that every type a component's imports use has a form in values.
pub(crate) fn check_imports(engine: &Engine, component: &Component) -> Result<(), Problem> {
    for (name, import) in component.imports(engine) {
        let ComponentItem::ComponentInstance(instance) = import.ty else {
            continue;
        };
        if !name.starts_with("lockkeeper:") {
            continue;
        }
        for (export, item) in instance.exports(engine) {
            let ComponentItem::ComponentFunc(function) = item.ty else {
                continue;
            };
            let mut describer = Describer::default();
            let types = function
                .params()
                .map(|(_, ty)| ty)
                .chain(function.results());
            for ty in types {
                describer.describe(&ty).map_err(|what| Problem::Import {
                    import: clean(name, 200),
                    why: format!(
                        "`{}` uses {what}, which has no form here",
                        clean(export, 100)
                    ),
                })?;
            }
        }
    }
    Ok(())
}

fn refuse<T>(why: &str) -> Result<T, Problem> {
    Err(Problem::Contract(why.to_owned()))
}

fn described(record: &Record, name: &str, docs: &Docs) -> Result<Vec<Field>, Problem> {
    let fields = Describer::default().fields(record);
    let mut fields =
        fields.map_err(|what| Problem::Contract(format!("the type of its `run` uses {what}")))?;
    for (field, wit) in fields.iter_mut().zip(record.fields()) {
        field.docs = docs.field(name, wit.name);
    }
    Ok(fields)
}

/// The name that the world gives a record: the usual one, if it is one of several of this shape.
fn record_name(engine: &Engine, component: &Component, record: &Record, usual: &str) -> String {
    let mut names: Vec<_> = component
        .imports(engine)
        .filter(|(_, import)| {
            matches!(&import.ty, ComponentItem::Type(Type::Record(found)) if found == record)
        })
        .map(|(name, _)| name.to_owned())
        .collect();
    names.sort_by_key(|name| name != usual);
    names.into_iter().next().unwrap_or_else(|| usual.to_owned())
}

/// `lockkeeper:step/types.step-error`.
fn step_error() -> Kind {
    let field = |name: &str, kind| Field {
        name: name.to_owned(),
        kind,
        docs: None,
    };
    let text = |name| field(name, Kind::String);
    let advice = |name| field(name, Kind::Option(Box::new(Kind::String)));
    let status = Kind::Integer {
        bits: 16,
        signed: false,
    };
    let failure = Kind::Record(vec![
        text("service"),
        text("operation"),
        field("status", status),
        text("code"),
        text("message"),
        text("request_id"),
    ]);
    let cases = FAILURE_CASES.map(|case| (case.to_owned(), Some(failure.clone())));
    Kind::Record(vec![
        field("error", Kind::Variant(cases.to_vec())),
        advice("cause"),
        advice("help"),
    ])
}
