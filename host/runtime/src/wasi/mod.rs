//! The WASI that a language's standard library needs, with nothing behind it: no files, no
//! environment, no network, a clock and randomness that a replay repeats, and output that is kept
//! up to a cap.

mod clock;
mod output;
mod random;

pub(crate) use clock::Clock;
pub(crate) use output::Output;

use wasmtime::component::Linker;
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::{cli, filesystem, random as rng};
use wasmtime_wasi::random::{WasiRandom, WasiRandomView as _};
use wasmtime_wasi::{WasiCtx, p2};

use crate::plugin::Seed;
use crate::store::State;

/// The most bytes of randomness in one call.
const RANDOM_BYTES: u64 = 64 << 10;

/// What of WASI a plugin may import.
const ALLOWED: [&str; 20] = [
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:clocks/wall-clock",
    "wasi:clocks/monotonic-clock",
    "wasi:random/random",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/stderr",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/terminal-stderr",
    "wasi:filesystem/types",
    "wasi:filesystem/preopens",
];

/// Why the import of a WASI interface, by its name with version, is refused, if it is.
pub(crate) fn refusal(import: &str) -> Option<&'static str> {
    let (interface, version) = import.split_once('@').unwrap_or((import, ""));
    if interface.starts_with("wasi:sockets/") || interface.starts_with("wasi:http/") {
        return Some(
            "plugins have no network; import the lockkeeper interface of the service instead",
        );
    }
    if !ALLOWED.contains(&interface) {
        return Some("plugins get only the part of WASI that standard libraries need");
    }
    if !version.starts_with("0.2.") {
        return Some("only WASI 0.2 is offered; build the plugin for `wasm32-wasip2`");
    }
    None
}

/// Links all of [`ALLOWED`].
pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    // wasi:io, clocks, random and the standard streams …
    p2::add_to_linker_proxy_interfaces_async(linker)?;
    // … of which the monotonic clock is replaced, because WASI's sleeps for real.
    clock::link(linker)?;
    linker.allow_shadowing(false);
    rng::insecure::add_to_linker::<State, WasiRandom>(linker, State::random)?;
    rng::insecure_seed::add_to_linker::<State, WasiRandom>(linker, State::random)?;
    cli::environment::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::exit::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_input::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_output::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stdin::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stdout::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stderr::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    filesystem::types::add_to_linker::<State, WasiFilesystem>(linker, State::filesystem)?;
    filesystem::preopens::add_to_linker::<State, WasiFilesystem>(linker, State::filesystem)?;
    Ok(())
}

/// The context of one run.
pub(crate) fn context(seed: &Seed, clock: &Clock, output: &Output) -> WasiCtx {
    WasiCtx::builder()
        .stdout(output.clone())
        .stderr(output.clone())
        .wall_clock(clock.clone())
        .monotonic_clock(clock.clone())
        .secure_random(random::Stream::new(&seed.bytes, "secure"))
        .insecure_random(random::Stream::new(&seed.bytes, "insecure"))
        .insecure_random_seed(random::number(&seed.bytes, "insecure-seed"))
        .max_random_size(RANDOM_BYTES)
        .build()
}
