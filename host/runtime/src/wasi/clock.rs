//! A clock that starts where the run started and moves one microsecond each time it is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiView};

use crate::store::State;

const STEP: Duration = Duration::from_micros(1);

/// The clock of one run, wall and monotonic.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    /// Since the Unix epoch.
    started: Duration,
    /// Nanoseconds since the start.
    passed: Arc<AtomicU64>,
}

impl Clock {
    pub(crate) fn starting_at(start: SystemTime) -> Self {
        Self {
            // A run cannot have started before 1970.
            started: start
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default(),
            passed: Arc::default(),
        }
    }

    fn read(&self) -> Duration {
        self.advance(STEP);
        Duration::from_nanos(self.passed.load(Ordering::Relaxed))
    }

    fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        let now = self.passed.load(Ordering::Relaxed).saturating_add(by);
        self.passed.store(now, Ordering::Relaxed);
    }
}

impl HostWallClock for Clock {
    fn resolution(&self) -> Duration {
        STEP
    }

    fn now(&self) -> Duration {
        self.started.saturating_add(self.read())
    }
}

impl HostMonotonicClock for Clock {
    fn resolution(&self) -> u64 {
        nanos(STEP)
    }

    fn now(&self) -> u64 {
        nanos(self.read())
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The clock of a store, with the table that its pollables go into.
pub(crate) struct View<'a> {
    clock: Clock,
    table: &'a mut ResourceTable,
}

struct Clocks;

impl HasData for Clocks {
    type Data<'a> = View<'a>;
}

/// Links `wasi:clocks/monotonic-clock` with sleeps that only move the clock.
pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    monotonic_clock::add_to_linker::<State, Clocks>(linker, |state| View {
        clock: state.clock.clone(),
        table: state.ctx().table,
    })
}

impl monotonic_clock::Host for View<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(HostMonotonicClock::now(&self.clock))
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(HostMonotonicClock::resolution(&self.clock))
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let now = HostMonotonicClock::now(&self.clock);
        self.subscribe_duration(when.saturating_sub(now))
    }

    fn subscribe_duration(&mut self, duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.clock.advance(Duration::from_nanos(duration));
        let over = self.table.push(Over)?;
        subscribe(self.table, over)
    }
}

/// A sleep that is over.
struct Over;

#[async_trait]
impl Pollable for Over {
    async fn ready(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reading_moves_both_clocks() {
        let clock = Clock::starting_at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000));
        assert_eq!(
            HostWallClock::now(&clock),
            Duration::from_secs(1_000) + STEP
        );
        assert_eq!(HostMonotonicClock::now(&clock), 2_000);
        clock.advance(Duration::from_hours(1));
        assert_eq!(
            HostWallClock::now(&clock),
            Duration::from_secs(4_600) + STEP * 3
        );
    }
}
