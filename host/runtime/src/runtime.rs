//! Loads plugins.

use std::path::PathBuf;
use std::sync::Arc;

use lockkeeper_types::{Import, Signature, clean};
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::types::Component as Types;
use wasmtime::component::{Component, InstancePre, Linker};

use crate::cache::Cache;
use crate::contract::{self, Contract};
use crate::docs::Docs;
use crate::store::State;
use crate::{LoadError, Plugin, Problem, StartError, engine, link, shape, wasi};

/// How a [`Runtime`] is set up.
#[derive(Clone, Debug, Default)]
pub struct RuntimeOptions {
    /// Where compiled plugins and their signatures are kept: a folder that only this user can reach,
    /// made if need be. Without one every start compiles anew.
    pub cache: Option<PathBuf>,
}

/// Loads plugins; one for a process.
pub struct Runtime {
    loader: Arc<Loader>,
}

/// What loading takes, also after [`Runtime`] is gone.
pub(crate) struct Loader {
    pub(crate) engine: Engine,
    cache: Option<Cache>,
    /// With all of WASI that plugins get, and nothing else.
    linker: Linker<State>,
}

/// A plugin that can be run.
pub(crate) struct Linked {
    pub(crate) pre: InstancePre<State>,
    pub(crate) contract: Contract,
}

impl Runtime {
    /// Starts the engine.
    pub fn new(options: RuntimeOptions) -> Result<Self, StartError> {
        let cache = options.cache.map(Cache::open).transpose()?;
        let engine = engine::start()?;
        let mut linker = Linker::new(&engine);
        wasi::link(&mut linker).map_err(|error| StartError::Engine(format!("{error:#}")))?;
        let loader = Loader {
            engine,
            cache,
            linker,
        };
        Ok(Self {
            loader: Arc::new(loader),
        })
    }

    /// Loads a plugin under a name; none of its code runs. Compiling takes milliseconds to seconds
    /// and blocks the thread. A plugin whose signature is kept is compiled when it is first needed.
    pub fn load(&self, name: &str, bytes: impl AsRef<[u8]>) -> Result<Plugin, LoadError> {
        self.read(name, bytes.as_ref())
            .map_err(|problem| LoadError {
                plugin: clean(name, 100),
                problem,
            })
    }

    fn read(&self, name: &str, bytes: &[u8]) -> Result<Plugin, Problem> {
        let loader = &self.loader;
        let digest = format!("{:x}", Sha256::digest(bytes));
        let cache = loader.cache.as_ref();
        if let Some(known) = cache.and_then(|cache| cache.signature(&digest)) {
            let plugin = name.to_owned();
            let signature = Signature { plugin, ..known };
            return Ok(Plugin::new(loader, bytes, signature, None));
        }
        shape::check(bytes)?;
        let (linked, types, imports) = loader.link(bytes, &digest)?;
        contract::check_imports(&loader.engine, &types)?;
        let docs = Docs::read(bytes);
        let signature =
            linked
                .contract
                .signature(&loader.engine, &types, &docs, imports, name, digest)?;
        if let Some(cache) = cache {
            // A full disk costs the next start some time, and this one nothing.
            let _ = cache.keep_signature(&signature);
        }
        Ok(Plugin::new(loader, bytes, signature, Some(linked)))
    }
}

impl Loader {
    /// Makes a component ready to run. With it come its types, in which the resources are the host's,
    /// so that secrets are known as such, and what it asks leave for.
    pub(crate) fn link(
        &self,
        bytes: &[u8],
        digest: &str,
    ) -> Result<(Linked, Types, Vec<Import>), Problem> {
        let component = self.compile(bytes, digest)?;
        let mut linker = self.linker.clone();
        let imports = link::link(&self.engine, &mut linker, &component.component_type())?;
        let pre = linker
            .instantiate_pre(&component)
            .map_err(|error| invalid(&error))?;
        let types = linker
            .substituted_component_type(&component)
            .map_err(|error| invalid(&error))?;
        let contract = Contract::read(&self.engine, &types)?;
        Ok((Linked { pre, contract }, types, imports))
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
            // As with the signature.
            let _ = cache.keep(&self.engine, digest, &component);
        }
        Ok(component)
    }
}

fn invalid(error: &wasmtime::Error) -> Problem {
    Problem::Malformed(clean(&format!("{error:#}"), 500))
}
