//! Runs a plugin: one fresh store, one call of `run` or `adopt`, nothing kept.

use std::any::Any;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use lockkeeper_types::{Signature, Value};
use serde_json::Map;
use wasmtime::component::{Func, ResourceTable, Val};
use wasmtime::{AsContextMut, Store, UpdateDeadline};

use crate::contract::{ADOPT, Contract, RUN};
use crate::ended::{Ended, Ran, StepError};
use crate::host::{Held, Host};
use crate::runtime::{Linked, Loader};
use crate::stop::Stop;
use crate::store::{Limiter, State};
use crate::value::{Converter, Fault};
use crate::wasi::{self, Clock, Output};
use crate::{Budget, Limit, LimitKind, Mismatch, Problem, Used, engine, verdict};

/// What a replay repeats: kept in the run's journal.
#[derive(Clone, Copy, Debug)]
pub struct Seed {
    /// Where the plugin's randomness comes from.
    pub bytes: [u8; 32],
    /// Where the plugin's clock starts.
    pub started_at: SystemTime,
}

/// A loaded plugin. Cloning it is cheap.
#[derive(Clone)]
pub struct Plugin {
    signature: Arc<Signature>,
    code: Arc<Code>,
}

/// A plugin's component, linked at the latest when it runs.
struct Code {
    loader: Arc<Loader>,
    bytes: Vec<u8>,
    linked: OnceLock<Result<Linked, Problem>>,
}

/// What a plugin is called for.
enum Purpose {
    /// `run`
    Run,
    /// `adopt`, with the id of an existing object.
    Adopt(String),
}

/// What a plugin returned.
enum Returned {
    Outputs(Value),
    Failed(StepError),
}

impl Plugin {
    pub(crate) fn new(
        loader: &Arc<Loader>,
        bytes: &[u8],
        signature: Signature,
        linked: Option<Linked>,
    ) -> Self {
        let code = Code {
            loader: loader.clone(),
            bytes: bytes.to_owned(),
            linked: linked.map(Ok).map_or_else(OnceLock::new, OnceLock::from),
        };
        Self {
            signature: Arc::new(signature),
            code: Arc::new(code),
        }
    }

    /// What the plugin takes, gives and asks leave for.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Does now, on this thread, what [`run`](Self::run) would have to do first: compile and link.
    pub fn link(&self) {
        // Whoever runs it is told what does not work.
        let _ = self.linked();
    }

    fn linked(&self) -> &Result<Linked, Problem> {
        let Code {
            loader,
            bytes,
            linked,
        } = &*self.code;
        linked.get_or_init(|| {
            let (linked, ..) = loader.link(bytes, &self.signature.digest)?;
            Ok(linked)
        })
    }

    /// Runs the plugin to its end, in a store of its own. Dropping the future ends it at once;
    /// then the host is dropped too.
    ///
    /// `inputs` is an object by [`Signature::inputs`]; null is an empty one.
    pub async fn run<H: Host>(
        &self,
        host: H,
        inputs: Value,
        budget: &Budget,
        seed: Seed,
    ) -> Ran<H> {
        self.call(Purpose::Run, host, inputs, budget, seed).await
    }

    /// Lets the plugin take the existing object called `id` into its care, by its `adopt`; see
    /// [`Signature::adopts`]. Otherwise like [`run`](Self::run); the outputs are empty.
    pub async fn adopt<H: Host>(
        &self,
        host: H,
        inputs: Value,
        id: String,
        budget: &Budget,
        seed: Seed,
    ) -> Ran<H> {
        let purpose = Purpose::Adopt(id);
        self.call(purpose, host, inputs, budget, seed).await
    }

    #[allow(
        clippy::expect_used,
        reason = "the host that comes back is of the very type that went in"
    )]
    async fn call<H: Host>(
        &self,
        purpose: Purpose,
        host: H,
        inputs: Value,
        budget: &Budget,
        seed: Seed,
    ) -> Ran<H> {
        let output = Output::with_cap(budget.log_bytes);
        let held = Box::new(Held { host, halt: None });
        let mut store = self.store(held, budget, &seed, &output);
        let returned = self.execute(&mut store, purpose, inputs, budget).await;

        let used = Used {
            fuel: budget.fuel.saturating_sub(store.get_fuel().unwrap_or(0)),
            memory_peak: store.data().limiter.memory_peak(),
            host_calls: store.data().host_calls,
        };
        let held: Box<dyn Any> = store.into_data().host;
        let Held { host, halt } = *held.downcast::<Held<H>>().expect("the host of this run");
        let ended = match (halt, returned) {
            // Whatever the plugin made of it: the host's word ends the run.
            (Some(halt), _) => Ended::Halted(halt),
            (None, Ok(Returned::Outputs(outputs))) => Ended::Outputs(outputs),
            (None, Ok(Returned::Failed(error))) => Ended::Failed(error),
            (None, Err(error)) => verdict::of(&error, budget, &used),
        };
        Ran {
            host,
            ended,
            used,
            log: output.log(),
        }
    }

    fn store<H: Host>(
        &self,
        host: Box<Held<H>>,
        budget: &Budget,
        seed: &Seed,
        output: &Output,
    ) -> Store<State> {
        let clock = Clock::starting_at(seed.started_at);
        let mut table = ResourceTable::new();
        table.set_max_capacity(budget.handles);
        let state = State {
            host,
            table,
            wasi: wasi::context(seed, &clock, output),
            clock,
            limiter: Limiter::new(budget),
            budget: budget.clone(),
            host_calls: 0,
            host_bytes: 0,
        };
        let mut store = Store::new(&self.code.loader.engine, state);
        store.limiter(|state| &mut state.limiter);
        store.set_max_component_handles(budget.handles);
        store.set_hostcall_fuel(budget.host_call_bytes);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(on_tick(budget));
        store
    }

    /// Instantiates, calls `run` or `adopt` and takes over what it returned.
    async fn execute(
        &self,
        store: &mut Store<State>,
        purpose: Purpose,
        inputs: Value,
        budget: &Budget,
    ) -> wasmtime::Result<Returned> {
        store.set_fuel(budget.fuel)?;
        let Linked { pre, contract } = match self.linked() {
            Ok(linked) => linked,
            Err(problem) => wasmtime::bail!("{problem}"),
        };
        let instance = pre.instantiate_async(&mut *store).await?;
        let name = match &purpose {
            Purpose::Run => RUN,
            Purpose::Adopt(_) => ADOPT,
        };
        let Some(function) = instance.get_func(&mut *store, name) else {
            wasmtime::bail!("the component has no `{name}`");
        };
        let mut params = params(contract, store, inputs, budget)?;
        let outputs = match purpose {
            Purpose::Run => contract.outputs.as_ref(),
            Purpose::Adopt(id) => {
                params.push(Val::String(id));
                None
            }
        };
        let mut results = [Val::Bool(false)];
        Func::call_async(&function, &mut *store, &params, &mut results).await?;
        let [result] = results;

        let allowed = budget.result_bytes;
        let mut converter = Converter::new(store.as_context_mut(), LimitKind::ResultSize, allowed);
        match (result, outputs) {
            (Val::Result(Ok(Some(outputs))), Some(record)) => match *outputs {
                Val::Record(fields) => converter
                    .lift_record(record, fields)
                    .map(Returned::Outputs)
                    .map_err(|fault| fault.of("outputs")),
                _ => Err(unexpected("outputs")),
            },
            (Val::Result(Ok(None)), None) => Ok(Returned::Outputs(Value::Object(Map::new()))),
            (Val::Result(Err(Some(error))), _) => {
                let error = converter
                    .lift(&contract.error, *error)
                    .map_err(|fault| fault.of("error"))?;
                StepError::from_value(error)
                    .map(Returned::Failed)
                    .ok_or_else(|| unexpected("error"))
            }
            _ => Err(unexpected("result")),
        }
    }
}

fn params(
    contract: &Contract,
    store: &mut Store<State>,
    inputs: Value,
    budget: &Budget,
) -> wasmtime::Result<Vec<Val>> {
    let inputs = match inputs {
        Value::Null => Map::new(),
        Value::Object(fields) => fields,
        _ => return Err(mismatch("inputs", "an object", "something else")),
    };
    let Some(record) = &contract.inputs else {
        return if inputs.is_empty() {
            Ok(Vec::new())
        } else {
            Err(mismatch("inputs", "none, as the plugin takes none", "some"))
        };
    };
    let allowed = budget.host_call_bytes;
    Converter::new(store.as_context_mut(), LimitKind::HostCallBytes, allowed)
        .lower_record(record, inputs)
        .map(|val| vec![val])
        .map_err(|fault| fault.of("inputs"))
}

/// Counts the ticks in which the plugin itself ran, and lets others run at each.
fn on_tick(
    budget: &Budget,
) -> impl FnMut(wasmtime::StoreContextMut<'_, State>) -> wasmtime::Result<UpdateDeadline>
+ Send
+ Sync
+ 'static {
    let allowed = budget.time;
    let mut ticks = 0_u32;
    move |_| {
        ticks += 1;
        let used = engine::TICK * ticks;
        if used > allowed {
            let millis =
                |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            let limit = Limit::new(LimitKind::Time, millis(allowed), Some(millis(used)));
            return Err(Stop::Limit(limit).into());
        }
        Ok(UpdateDeadline::Yield(1))
    }
}

fn mismatch(of: &str, expected: &str, got: &str) -> wasmtime::Error {
    Fault::Mismatch(Mismatch {
        of: String::new(),
        path: String::new(),
        expected: expected.to_owned(),
        got: got.to_owned(),
    })
    .of(of)
}

fn unexpected(of: &str) -> wasmtime::Error {
    mismatch(of, "what its type says", "another type")
}
