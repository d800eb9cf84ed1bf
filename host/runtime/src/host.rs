//! The other side of every imported operation.

use std::any::Any;

use async_trait::async_trait;
use lockkeeper_types::Value;

/// Answers a plugin's calls: the engine's way to the gate.
#[async_trait]
pub trait Host: Send + 'static {
    /// Why the host ends a run from within a call: divergence, a journal fault, cancellation,
    /// suspension.
    type Halt: std::error::Error + Send + Sync + 'static;

    /// Performs `operation` (`entra/applications.find`), with the arguments as an object by
    /// parameter name in `snake_case`.
    ///
    /// `Ok(Ok(value))` is the operation's `ok`, `Ok(Err(error))` its `err` in the JSON shape of
    /// `lockkeeper:step/types.error`: `{"not-found": {"service": …, "request_id": …}}`.
    async fn call(
        &mut self,
        operation: &str,
        arguments: Value,
    ) -> Result<Result<Value, Value>, Self::Halt>;

    /// What the secret is, for messages. Never its value.
    fn label(&self, secret: &str) -> String;
}

/// A host without its type, so that a plugin is linked once for all of them.
#[async_trait]
pub(crate) trait AnyHost: Any + Send {
    /// The answer, or nothing when the host ends the run.
    async fn call(&mut self, operation: &str, arguments: Value) -> Option<Result<Value, Value>>;
    fn label(&self, secret: &str) -> String;
}

/// A host and why it ended the run, if it did.
pub(crate) struct Held<H: Host> {
    pub(crate) host: H,
    pub(crate) halt: Option<H::Halt>,
}

#[async_trait]
impl<H: Host> AnyHost for Held<H> {
    async fn call(&mut self, operation: &str, arguments: Value) -> Option<Result<Value, Value>> {
        match self.host.call(operation, arguments).await {
            Ok(answer) => Some(answer),
            Err(halt) => {
                self.halt = Some(halt);
                None
            }
        }
    }

    fn label(&self, secret: &str) -> String {
        self.host.label(secret)
    }
}
