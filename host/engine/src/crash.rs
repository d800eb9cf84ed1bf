//! Ends the process at a named point of a run's record, so that tests can go on from every one.
//!
//! Only debug builds contain it. `LOCKKEEPER_CRASH_POINT` names the point: an entry of the record
//! and the moment, `ADDRESS:POSITION:MOMENT`, or a moment of the run's begin or end, such as
//! `end:recorded`. The moments of an entry are `before` (nothing has happened), `done` (what it records has happened:
//! a request is answered) and `recorded` (the entry is written).

#[cfg(not(debug_assertions))]
pub(crate) fn watched(
    durable: impl lockkeeper_journal::Durable + 'static,
) -> Box<dyn lockkeeper_journal::Durable> {
    Box::new(durable)
}

#[cfg(not(debug_assertions))]
pub(crate) fn point(_: &str) {}

#[cfg(debug_assertions)]
pub(crate) use armed::{point, watched};

#[cfg(debug_assertions)]
mod armed {
    use std::sync::OnceLock;
    use std::time::Duration;

    use async_trait::async_trait;
    use futures::future::BoxFuture;
    use lockkeeper_journal::{Durable, Entry, Fault, Recorded, Started};
    use lockkeeper_types::Value;
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    const VARIABLE: &str = "LOCKKEEPER_CRASH_POINT";

    /// Kills this process if it is to end at the point called `name`.
    pub(crate) fn point(name: &str) {
        static AT: OnceLock<Option<String>> = OnceLock::new();
        if AT.get_or_init(|| std::env::var(VARIABLE).ok()).as_deref() == Some(name) {
            if name.ends_with(":recorded") {
                // The journal's own thread writes what nobody waits for.
                std::thread::sleep(Duration::from_millis(50));
            }
            // Nothing of this process is written or said after this.
            let _ = kill(Pid::this(), Signal::SIGKILL);
            std::process::abort();
        }
    }

    /// An invocation with a crash point around everything that it records, and its steps alike.
    pub(crate) fn watched(durable: impl Durable + 'static) -> Box<dyn Durable> {
        Box::new(Watched {
            inner: Box::new(durable),
            done: 0,
        })
    }

    struct Watched {
        inner: Box<dyn Durable>,
        /// How many entries were asked for.
        done: u64,
    }

    impl Watched {
        fn next(&mut self) -> String {
            self.done += 1;
            format!("{}:{}", self.inner.address(), self.done)
        }
    }

    #[async_trait]
    impl Durable for Watched {
        fn run_id(&self) -> &str {
            self.inner.run_id()
        }

        fn address(&self) -> &str {
            self.inner.address()
        }

        fn rewind(&mut self) {
            self.done = 0;
            self.inner.rewind();
        }

        async fn effect<'a>(
            &mut self,
            entry: Entry<'a>,
            effect: BoxFuture<'a, Result<Value, Fault>>,
        ) -> Result<Recorded, Fault> {
            let name = self.next();
            let watched = async {
                point(&format!("{name}:before"));
                let value = effect.await;
                point(&format!("{name}:done"));
                value
            };
            let recorded = self.inner.effect(entry, Box::pin(watched)).await?;
            if !recorded.replayed {
                point(&format!("{name}:recorded"));
            }
            Ok(recorded)
        }

        async fn start_step(&mut self, address: &str) -> Result<Started, Fault> {
            let name = self.next();
            point(&format!("{name}:before"));
            let started = self.inner.start_step(address).await?;
            point(&format!("{name}:recorded"));
            Ok(match started {
                Started::Open(inner) => Started::Open(Box::new(Self { inner, done: 0 })),
                Started::Finished => Started::Finished,
            })
        }
    }
}
