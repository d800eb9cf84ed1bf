//! The state of one run's store, and the limits on its memories and tables.

use wasmtime::ResourceLimiter;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::budget::Amount;
use crate::host::AnyHost;
use crate::stop::Stop;
use crate::wasi::Clock;
use crate::{Budget, Limit, LimitKind};

/// Core instances in one component: a Python plugin has 33 and more.
const INSTANCES: usize = 256;
const TABLES: usize = 64;
const MEMORIES: usize = 16;

/// A secret, as the host holds it behind a plugin's handle: by name only.
pub(crate) struct Secret {
    pub(crate) name: String,
}

/// What belongs to one run.
pub(crate) struct State {
    pub(crate) host: Box<dyn AnyHost>,
    pub(crate) table: ResourceTable,
    pub(crate) wasi: WasiCtx,
    pub(crate) clock: Clock,
    pub(crate) limiter: Limiter,
    pub(crate) budget: Budget,
    pub(crate) host_calls: u64,
    pub(crate) host_bytes: usize,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

/// Counts memories and tables together, and ends the run with its own error at a limit: a plugin
/// that is merely refused aborts with a message that does not say why.
pub(crate) struct Limiter {
    memory: Gauge,
    table: Gauge,
}

struct Gauge {
    kind: LimitKind,
    allowed: u64,
    now: u64,
    peak: u64,
}

impl Limiter {
    pub(crate) fn new(budget: &Budget) -> Self {
        let gauge = |kind, allowed| Gauge {
            kind,
            allowed,
            now: 0,
            peak: 0,
        };
        Self {
            memory: gauge(LimitKind::Memory, budget.memory),
            table: gauge(LimitKind::Table, budget.table),
        }
    }

    pub(crate) fn memory_peak(&self) -> u64 {
        self.memory.peak
    }
}

impl Gauge {
    fn grow(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // Beyond its own declared maximum wasmtime refuses it, as the plugin can expect.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let wanted = self
            .now
            .saturating_sub(current.amount())
            .saturating_add(desired.amount());
        if wanted > self.allowed {
            return Err(Stop::Limit(Limit::new(self.kind, self.allowed, Some(wanted))).into());
        }
        self.now = wanted;
        self.peak = self.peak.max(wanted);
        Ok(true)
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.memory.grow(current, desired, maximum)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.table.grow(current, desired, maximum)
    }

    fn instances(&self) -> usize {
        INSTANCES
    }

    fn tables(&self) -> usize {
        TABLES
    }

    fn memories(&self) -> usize {
        MEMORIES
    }
}
