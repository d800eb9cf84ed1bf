//! A host that records what it is asked.

use std::fmt;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use lockkeeper_runtime::{Budget, Host, Plugin, Ran, Runtime, RuntimeOptions, Seed};
use lockkeeper_types::Value;
use serde_json::Map;

/// Why the test host ends a run.
#[derive(Debug, PartialEq)]
pub(crate) struct Halt(pub(crate) &'static str);

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Halt {}

type Answer = Result<Result<Value, Value>, Halt>;
type Answerer = dyn FnMut(&str, &Value) -> Answer + Send;

/// Records calls and answers them by a function.
pub(crate) struct Recorder {
    pub(crate) calls: Vec<(String, Value)>,
    answer: Box<Answerer>,
}

impl Recorder {
    pub(crate) fn answering(answer: impl FnMut(&str, &Value) -> Answer + Send + 'static) -> Self {
        Self {
            calls: Vec::new(),
            answer: Box::new(answer),
        }
    }

    /// Answers everything with nothing.
    pub(crate) fn silent() -> Self {
        Self::answering(|_, _| Ok(Ok(Value::Null)))
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.calls).finish()
    }
}

#[async_trait]
impl Host for Recorder {
    type Halt = Halt;

    async fn call(&mut self, operation: &str, arguments: Value) -> Answer {
        let answer = (self.answer)(operation, &arguments);
        self.calls.push((operation.to_owned(), arguments));
        // A host always waits for something, and lets others run meanwhile.
        tokio::task::yield_now().await;
        answer
    }

    fn label(&self, secret: &str) -> String {
        format!("label of {secret}")
    }
}

pub(crate) fn seed(byte: u8) -> Seed {
    Seed {
        bytes: [byte; 32],
        started_at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
    }
}

pub(crate) fn load(bytes: &[u8]) -> Plugin {
    let runtime = Runtime::new(RuntimeOptions::default()).unwrap();
    runtime.load("guest", bytes).unwrap()
}

/// Loads and runs a plugin without inputs.
pub(crate) async fn run(bytes: &[u8], budget: &Budget) -> Ran<Recorder> {
    run_with(bytes, Recorder::silent(), Value::Object(Map::new()), budget).await
}

pub(crate) async fn run_with(
    bytes: &[u8],
    host: Recorder,
    inputs: Value,
    budget: &Budget,
) -> Ran<Recorder> {
    load(bytes).run(host, inputs, budget, seed(7)).await
}
