//! Links every lockkeeper interface that a component imports to the one door, [`Host::call`].
//!
//! [`Host::call`]: crate::Host::call

use std::sync::Arc;

use lockkeeper_types::{Import, Value, clean};
use serde_json::Map;
use wasmtime::component::types::{ComponentFunc, ComponentInstance, ComponentItem, Type};
use wasmtime::component::{Linker, LinkerInstance, ResourceType, Val};
use wasmtime::{Engine, StoreContextMut};

use crate::kind::snake;
use crate::stop::Stop;
use crate::store::{Secret, State};
use crate::value::{Converter, Fault};
use crate::{Limit, LimitKind, Problem};

const NAMESPACE: &str = "lockkeeper:";
const TYPES: &str = "step/types";
const LABEL: &str = "[method]secret.label";
const LABEL_CHARS: usize = 200;

/// Links what a component imports, or says what it may not import. The answer is what it asks
/// leave for.
pub(crate) fn link(
    engine: &Engine,
    linker: &mut Linker<State>,
    component: &wasmtime::component::types::Component,
) -> Result<Vec<Import>, Problem> {
    let mut asked = Vec::new();
    for (name, import) in component.imports(engine) {
        match import.ty {
            ComponentItem::ComponentInstance(instance) => {
                if let Some(path) = name.strip_prefix(NAMESPACE) {
                    let (interface, version) = path.split_once('@').unwrap_or((path, ""));
                    let functions =
                        interface_functions(engine, linker, name, interface, &instance)?;
                    if !functions.is_empty() {
                        asked.push(Import {
                            interface: interface.to_owned(),
                            version: version.to_owned(),
                            functions,
                        });
                    }
                } else if name.starts_with("wasi:") {
                    if let Some(why) = crate::wasi::refusal(name) {
                        return Err(refused(name, why));
                    }
                } else {
                    return Err(refused(
                        name,
                        "plugins can import only lockkeeper interfaces and what standard libraries need of WASI",
                    ));
                }
            }
            // The world's own records, and what it `use`s.
            ComponentItem::Type(_) => {}
            ComponentItem::Resource(_) => {
                let secret = ResourceType::host::<Secret>();
                linker
                    .root()
                    .resource(name, secret, drop_secret)
                    .map_err(|error| invalid(&error))?;
            }
            _ => {
                return Err(refused(
                    name,
                    "a plugin imports interfaces, not single functions or modules",
                ));
            }
        }
    }
    Ok(asked)
}

/// Links one interface; the answer is its functions.
fn interface_functions(
    engine: &Engine,
    linker: &mut Linker<State>,
    name: &str,
    interface: &str,
    instance: &ComponentInstance,
) -> Result<Vec<String>, Problem> {
    let mut functions = Vec::new();
    let mut link = linker.instance(name).map_err(|error| invalid(&error))?;
    for (export, item) in instance.exports(engine) {
        let outcome = match item.ty {
            ComponentItem::Type(_) => Ok(()),
            ComponentItem::Resource(_) if export == "secret" => {
                link.resource(export, ResourceType::host::<Secret>(), drop_secret)
            }
            ComponentItem::ComponentFunc(function) if function.async_() => {
                return Err(Problem::Feature("asynchronous functions"));
            }
            ComponentItem::ComponentFunc(_) if interface == TYPES && export == LABEL => link
                .func_new(export, |store, _, params, results| {
                    label(store, params, results)
                }),
            ComponentItem::ComponentFunc(_) if !export.starts_with('[') => {
                functions.push(export.to_owned());
                operation(&mut link, export, format!("{interface}.{export}").into())
            }
            _ => {
                return Err(refused(
                    name,
                    &format!(
                        "this host knows no `{}` in it; the plugin was built for another version",
                        clean(export, 100)
                    ),
                ));
            }
        };
        outcome.map_err(|error| invalid(&error))?;
    }
    Ok(functions)
}

fn refused(import: &str, why: &str) -> Problem {
    Problem::Import {
        import: clean(import, 200),
        why: why.to_owned(),
    }
}

fn invalid(error: &wasmtime::Error) -> Problem {
    Problem::Malformed(clean(&format!("{error:#}"), 500))
}

fn drop_secret(mut store: StoreContextMut<'_, State>, handle: u32) -> wasmtime::Result<()> {
    let resource = wasmtime::component::Resource::<Secret>::new_own(handle);
    store.data_mut().table.delete(resource)?;
    Ok(())
}

/// `secret.label`: not a call, because it tells the plugin nothing that it was not given.
fn label(
    mut store: StoreContextMut<'_, State>,
    params: &[Val],
    results: &mut [Val],
) -> wasmtime::Result<()> {
    let allowed = store.data().budget.host_call_bytes;
    count(store.data_mut())?;
    let mut converter = Converter::new(store, LimitKind::HostCallBytes, allowed);
    if let ([Val::Resource(any)], [result]) = (params, results) {
        let name = converter
            .lift_secret(*any)
            .map_err(|fault| fault.of("label"))?;
        let label = converter.store().data().host.label(&name);
        *result = Val::String(clean(&label, LABEL_CHARS));
    }
    Ok(())
}

/// Links one operation.
fn operation(
    link: &mut LinkerInstance<'_, State>,
    name: &str,
    operation: Arc<str>,
) -> wasmtime::Result<()> {
    link.func_new_async(name, move |store, ty, params, results| {
        let operation = Arc::clone(&operation);
        Box::new(async move { call(store, &operation, &ty, params, results).await })
    })
}

fn count(state: &mut State) -> wasmtime::Result<()> {
    let allowed = state.budget.host_calls;
    state.host_calls += 1;
    if state.host_calls > allowed {
        return Err(Stop::Limit(Limit::new(
            LimitKind::HostCalls,
            allowed,
            Some(state.host_calls),
        ))
        .into());
    }
    Ok(())
}

/// One call: arguments out, answer in.
async fn call(
    mut store: StoreContextMut<'_, State>,
    operation: &str,
    ty: &ComponentFunc,
    params: &[Val],
    results: &mut [Val],
) -> wasmtime::Result<()> {
    count(store.data_mut())?;
    let allowed = store.data().budget.host_call_bytes;
    let arguments = arguments(&mut store, allowed, ty, params)
        .map_err(|fault| fault.of(format!("arguments of `{operation}`")))?;
    let answer = store.data_mut().host.call(operation, arguments).await;
    let Some(answer) = answer else {
        return Err(Stop::Halted.into());
    };
    let mut converter = Converter::new(store, LimitKind::HostCallBytes, allowed);
    let (Some(ty), Some(result)) = (ty.results().next(), results.first_mut()) else {
        return match answer {
            Ok(_) => Ok(()),
            Err(_) => Err(no_error_result().of(format!("answer of `{operation}`"))),
        };
    };
    *result = lower_answer(&mut converter, &ty, answer)
        .map_err(|fault| fault.of(format!("answer of `{operation}`")))?;
    Ok(())
}

fn arguments(
    store: &mut StoreContextMut<'_, State>,
    allowed: usize,
    ty: &ComponentFunc,
    params: &[Val],
) -> Result<Value, Fault> {
    let mut converter = Converter::new(
        wasmtime::AsContextMut::as_context_mut(store),
        LimitKind::HostCallBytes,
        allowed,
    );
    let mut object = Map::new();
    for ((name, ty), val) in ty.params().zip(params) {
        let name = snake(name);
        let value = converter
            .lift(&ty, val.clone())
            .map_err(|fault| fault.within(&name))?;
        object.insert(name, value);
    }
    Ok(Value::Object(object))
}

fn lower_answer(
    converter: &mut Converter<'_>,
    ty: &Type,
    answer: Result<Value, Value>,
) -> Result<Val, Fault> {
    match (ty, answer) {
        (Type::Result(result), Ok(value)) => {
            let payload = lower_payload(converter, result.ok(), value)?;
            Ok(Val::Result(Ok(payload)))
        }
        (Type::Result(result), Err(error)) => {
            let payload = lower_payload(converter, result.err(), error)?;
            Ok(Val::Result(Err(payload)))
        }
        (ty, Ok(value)) => converter.lower(ty, value),
        (_, Err(_)) => Err(no_error_result()),
    }
}

/// An answer without a type has nothing in it: `result<_, error>`.
fn lower_payload(
    converter: &mut Converter<'_>,
    ty: Option<Type>,
    value: Value,
) -> Result<Option<Box<Val>>, Fault> {
    ty.map(|ty| converter.lower(&ty, value).map(Box::new))
        .transpose()
}

fn no_error_result() -> Fault {
    Fault::Mismatch(crate::Mismatch {
        of: String::new(),
        path: String::new(),
        expected: "an answer, as the operation cannot fail".into(),
        got: "an error".into(),
    })
}
