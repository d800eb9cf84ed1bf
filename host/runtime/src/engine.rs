//! The one wasmtime engine, set up so that the same plugin gives the same calls everywhere.

use std::thread;
use std::time::Duration;

use wasmtime::{Config, Engine, EngineWeak, InstanceAllocationStrategy, WasmBacktraceDetails};

use crate::StartError;

/// How often running plugins are interrupted, to yield and to look at their budget of time.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// The call stack of a plugin, in bytes.
pub(crate) const STACK: usize = 512 << 10;

/// Starts the engine and the thread that ticks for it.
pub(crate) fn start() -> Result<Engine, StartError> {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        // What a replay must not depend on: NaN payloads and the CPU's own choices.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .consume_fuel(true)
        .epoch_interruption(true)
        .allocation_strategy(InstanceAllocationStrategy::OnDemand)
        .max_wasm_stack(STACK)
        .async_stack_size(STACK + (1 << 20))
        // No plugin needs them, and each is one more thing to trust.
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        // Functions by name are enough; a plugin's own paths and lines are not ours to print.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    let engine = Engine::new(&config).map_err(|error| StartError::Engine(format!("{error:#}")))?;
    let weak = engine.weak();
    thread::Builder::new()
        .name("plugin-ticks".into())
        .spawn(move || tick(&weak))
        .map_err(|error| StartError::Engine(format!("no thread for its clock: {error}")))?;
    Ok(engine)
}

/// Ticks until the engine is gone.
fn tick(engine: &EngineWeak) {
    loop {
        thread::sleep(TICK);
        match engine.upgrade() {
            Some(engine) => engine.increment_epoch(),
            None => return,
        }
    }
}
