//! Loads plugins.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::cache::Cache;
use crate::contract::{self, Contract};
use crate::docs::Docs;
use crate::store::State;
use crate::text::clean;
use crate::{LoadError, Plugin, Problem, StartError, engine, link, shape, wasi};

/// How a [`Runtime`] is set up.
#[derive(Clone, Debug, Default)]
pub struct RuntimeOptions {
    /// Where compiled plugins are kept: a folder that only this user can reach, made if need be.
    /// Without one every start compiles anew.
    pub cache: Option<PathBuf>,
}

/// Loads plugins; one for a process.
pub struct Runtime {
    engine: Engine,
    cache: Option<Cache>,
}

impl Runtime {
    /// Starts the engine.
    pub fn new(options: RuntimeOptions) -> Result<Self, StartError> {
        Ok(Self {
            cache: options.cache.map(Cache::open).transpose()?,
            engine: engine::start()?,
        })
    }

    /// Loads a plugin under a name. Compiling takes milliseconds to seconds and blocks the thread;
    /// none of the plugin's code runs.
    pub fn load(&self, name: &str, bytes: impl AsRef<[u8]>) -> Result<Plugin, LoadError> {
        self.read(name, bytes.as_ref())
            .map_err(|problem| LoadError {
                plugin: clean(name, 100),
                problem,
            })
    }

    fn read(&self, name: &str, bytes: &[u8]) -> Result<Plugin, Problem> {
        shape::check(bytes)?;
        let digest = hex(&Sha256::digest(bytes));
        let component = self.compile(bytes, &digest)?;

        let mut linker = Linker::<State>::new(&self.engine);
        wasi::link(&mut linker).map_err(|error| invalid(&error))?;
        let ty = component.component_type();
        let imports = link::link(&self.engine, &mut linker, &ty)?;
        let pre = linker
            .instantiate_pre(&component)
            .map_err(|error| invalid(&error))?;
        // With the resources that the linker put in, so that secrets are known as such.
        let ty = linker
            .substituted_component_type(&component)
            .map_err(|error| invalid(&error))?;
        contract::check_imports(&self.engine, &ty)?;
        let contract = Contract::read(&self.engine, &ty)?;
        let docs = Docs::read(bytes);
        let signature = contract.signature(&self.engine, &ty, &docs, imports, name, digest)?;
        Ok(Plugin::new(pre, contract, Arc::new(signature)))
    }

    /// Compiles, unless that has been done before.
    fn compile(&self, bytes: &[u8], digest: &str) -> Result<Component, Problem> {
        let cached = self.cache.as_ref();
        if let Some(found) = cached.and_then(|cache| cache.find(&self.engine, digest)) {
            return Ok(found);
        }
        let component =
            Component::from_binary(&self.engine, bytes).map_err(|error| invalid(&error))?;
        if let Some(cache) = cached {
            // A full disk costs the next start some time, and this one nothing.
            let _ = cache.keep(&self.engine, digest, &component);
        }
        Ok(component)
    }
}

fn invalid(error: &wasmtime::Error) -> Problem {
    Problem::Malformed(clean(&format!("{error:#}"), 500))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
