//! What an error that ended a run means.

use lockkeeper_types::clean;
use rustc_demangle::demangle;
use wasmtime::{Trap as Code, WasmBacktrace};
use wasmtime_wasi::{I32Exit, ResourceTableError};

use crate::stop::Stop;
use crate::{Budget, Ended, Limit, LimitKind, Trap, Used, engine};

const FRAMES: usize = 20;
const NAME_CHARS: usize = 200;
const MESSAGE_CHARS: usize = 500;

/// How the run ended that `error` ended.
pub(crate) fn of<Halt>(error: &wasmtime::Error, budget: &Budget, used: &Used) -> Ended<Halt> {
    match error.downcast_ref::<Stop>() {
        Some(Stop::Limit(limit)) => return Ended::Limit(*limit),
        Some(Stop::Mismatch(mismatch)) => return Ended::Interface(mismatch.clone()),
        // The host's reason is given by the caller, who holds it.
        Some(Stop::Halted) | None => {}
    }
    match limit(error, budget, used) {
        Some(limit) => Ended::Limit(limit),
        None => Ended::Trap(trap(error)),
    }
}

/// The limit of wasmtime's own that the error is about.
fn limit(error: &wasmtime::Error, budget: &Budget, used: &Used) -> Option<Limit> {
    match error.downcast_ref::<Code>() {
        Some(Code::OutOfFuel) => {
            return Some(Limit::new(LimitKind::Fuel, budget.fuel, Some(used.fuel)));
        }
        Some(Code::StackOverflow) => {
            return Some(Limit::new(LimitKind::Stack, engine::STACK, None));
        }
        _ => {}
    }
    if let Some(ResourceTableError::Full) = error.downcast_ref() {
        return Some(Limit::new(LimitKind::Handles, budget.handles, None));
    }
    // wasmtime has no types for these; the tests would notice other words.
    let message = error.root_cause().to_string();
    if message.contains("store handle limit exceeded") {
        return Some(Limit::new(LimitKind::Handles, budget.handles, None));
    }
    if message.contains("fuel allocated for hostcalls has been exhausted") {
        // What a plugin returns is taken over when none of its code runs any more.
        return Some(if error.downcast_ref::<WasmBacktrace>().is_some() {
            Limit::new(LimitKind::HostCallBytes, budget.host_call_bytes, None)
        } else {
            Limit::new(LimitKind::ResultSize, budget.result_bytes, None)
        });
    }
    None
}

fn trap(error: &wasmtime::Error) -> Trap {
    let message = match (
        error.downcast_ref::<Code>(),
        error.downcast_ref::<I32Exit>(),
    ) {
        (Some(Code::UnreachableCodeReached), _) => {
            "it panicked or aborted; its log may say why".to_owned()
        }
        (Some(Code::MemoryOutOfBounds), _) => {
            "it ran out of its stack, or used memory that is not its own".to_owned()
        }
        (Some(code), _) => code.to_string(),
        (None, Some(exit)) => format!("it exited with status {} instead of returning", exit.0),
        // Only the innermost: the outer ones are about wasmtime.
        (None, None) => error.root_cause().to_string(),
    };
    Trap {
        message: clean(&message, MESSAGE_CHARS),
        backtrace: error
            .downcast_ref::<WasmBacktrace>()
            .map(functions)
            .unwrap_or_default(),
    }
}

fn functions(backtrace: &WasmBacktrace) -> Vec<String> {
    backtrace
        .frames()
        .iter()
        .take(FRAMES)
        .map(|frame| match frame.func_name() {
            Some(name) => clean(&format!("{:#}", demangle(name)), NAME_CHARS),
            None => format!("function {}", frame.func_index()),
        })
        .collect()
}
