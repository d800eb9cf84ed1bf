//! Operations without their Rust types, as the gate and the journal handle them.

use std::marker::PhantomData;

use async_trait::async_trait;
use lockkeeper_cloud::{Class as FailureClass, Failure, Method, Sent};
use lockkeeper_types::{Value, clean};

use crate::Call;
use crate::operation::{Class, Context, Inverse, Object, Observed, Placeholders, Read, Write};

/// One operation, whatever it is. Arguments and outputs are JSON in the shapes of its types.
#[async_trait]
pub trait Definition: Send + Sync {
    /// `PACKAGE/INTERFACE.FUNCTION`, as in WIT.
    fn name(&self) -> &'static str;
    /// What recovery does with it.
    fn class(&self) -> Class;
    /// What it is about. Fails with `invalid` when the arguments do not fit.
    fn object(&self, arguments: &Value) -> Result<Object, Failure>;
    /// Sends it.
    async fn send(&self, arguments: &Value, context: &Context<'_>) -> Result<Value, Failure>;
    /// For a read: its answer if the object's state were `state`.
    fn planned(
        &self,
        arguments: &Value,
        state: Option<&Value>,
        placeholders: &Placeholders<'_>,
    ) -> Result<Value, Failure>;
    /// For a read: the object's whole state, if the answer shows it.
    fn observed(&self, arguments: &Value, output: &Value) -> Option<Observed>;
    /// For a write: the object's state now.
    async fn state(&self, arguments: &Value, context: &Context<'_>) -> Result<Observed, Failure>;
    /// For a write: refuses what sending it would refuse before anything leaves.
    async fn check(&self, arguments: &Value, context: &Context<'_>) -> Result<(), Failure>;
    /// For a write: what an earlier send made.
    async fn find(
        &self,
        arguments: &Value,
        context: &Context<'_>,
    ) -> Result<Option<Value>, Failure>;
    /// For a write: what a plan answers.
    fn preview(
        &self,
        arguments: &Value,
        before: Option<&Value>,
        placeholders: &Placeholders<'_>,
    ) -> Result<Value, Failure>;
    /// For a write: the state it leaves.
    fn after(
        &self,
        arguments: &Value,
        before: Option<&Value>,
        output: &Value,
    ) -> Result<Observed, Failure>;
    /// For a write: the call that deletes for good what the service keeps after it.
    fn purge(&self, arguments: &Value) -> Result<Option<Call>, Failure>;
    /// For a write: what the service did of itself because of it, and leaves.
    fn stays(&self, arguments: &Value) -> Result<Option<&'static str>, Failure>;
    /// For a write: what takes it back.
    fn inverse(
        &self,
        arguments: &Value,
        before: Option<&Value>,
        output: &Value,
    ) -> Result<Inverse, Failure>;
}

/// A read, as a [`Definition`].
pub struct ReadDefinition<R>(PhantomData<fn() -> R>);
/// A write, as a [`Definition`].
pub struct WriteDefinition<W>(PhantomData<fn() -> W>);

impl<R: Read> ReadDefinition<R> {
    /// The definition of `R`.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<W: Write> WriteDefinition<W> {
    /// The definition of `W`.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<R: Read> Default for ReadDefinition<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<W: Write> Default for WriteDefinition<W> {
    fn default() -> Self {
        Self::new()
    }
}

/// How much of what a plugin says, or of what is said about its calls, is kept, in characters.
pub(crate) const SAID_CHARS: usize = 2_000;

/// A failure that no service gave: `code` is lockkeeper's own.
pub fn own_failure(
    class: FailureClass,
    operation: &str,
    code: &str,
    message: impl Into<String>,
) -> Failure {
    Failure {
        class,
        service: "lockkeeper".to_owned(),
        operation: operation.to_owned(),
        method: Method::Get,
        path: String::new(),
        status: None,
        code: code.to_owned(),
        detail_codes: Vec::new(),
        message: clean(&message.into(), SAID_CHARS),
        request_id: None,
        retry_after: None,
        sent: Sent::NotSent,
    }
}

fn decode<T: serde::de::DeserializeOwned>(operation: &str, value: &Value) -> Result<T, Failure> {
    serde_json::from_value(value.clone()).map_err(|error| {
        own_failure(
            FailureClass::Invalid,
            operation,
            "InvalidArguments",
            error.to_string(),
        )
    })
}

fn encode<T: serde::Serialize>(operation: &str, value: &T) -> Result<Value, Failure> {
    serde_json::to_value(value).map_err(|error| {
        own_failure(
            FailureClass::Other,
            operation,
            "InvalidAnswer",
            error.to_string(),
        )
    })
}

fn only_for(operation: &str, what: &str) -> Failure {
    own_failure(
        FailureClass::Other,
        operation,
        "NotApplicable",
        format!("{what} does not apply to {operation}"),
    )
}

#[async_trait]
impl<R: Read> Definition for ReadDefinition<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }
    fn class(&self) -> Class {
        Class::Read
    }
    fn object(&self, arguments: &Value) -> Result<Object, Failure> {
        Ok(decode::<R>(R::NAME, arguments)?.object())
    }
    async fn send(&self, arguments: &Value, context: &Context<'_>) -> Result<Value, Failure> {
        encode(
            R::NAME,
            &decode::<R>(R::NAME, arguments)?.send(context).await?,
        )
    }
    fn planned(
        &self,
        arguments: &Value,
        state: Option<&Value>,
        placeholders: &Placeholders<'_>,
    ) -> Result<Value, Failure> {
        let call = decode::<R>(R::NAME, arguments)?;
        encode(R::NAME, &call.planned(state, placeholders)?)
    }
    fn observed(&self, arguments: &Value, output: &Value) -> Option<Observed> {
        let call = decode::<R>(R::NAME, arguments).ok()?;
        call.observed(&decode(R::NAME, output).ok()?)
    }
    async fn state(&self, _: &Value, _: &Context<'_>) -> Result<Observed, Failure> {
        Err(only_for(R::NAME, "a state"))
    }
    async fn check(&self, _: &Value, _: &Context<'_>) -> Result<(), Failure> {
        Ok(())
    }
    async fn find(&self, _: &Value, _: &Context<'_>) -> Result<Option<Value>, Failure> {
        Err(only_for(R::NAME, "looking up a lost outcome"))
    }
    fn preview(
        &self,
        _: &Value,
        _: Option<&Value>,
        _: &Placeholders<'_>,
    ) -> Result<Value, Failure> {
        Err(only_for(R::NAME, "a preview"))
    }
    fn after(&self, _: &Value, _: Option<&Value>, _: &Value) -> Result<Observed, Failure> {
        Err(only_for(R::NAME, "a state afterwards"))
    }
    fn purge(&self, _: &Value) -> Result<Option<Call>, Failure> {
        Ok(None)
    }
    fn stays(&self, _: &Value) -> Result<Option<&'static str>, Failure> {
        Ok(None)
    }
    fn inverse(&self, _: &Value, _: Option<&Value>, _: &Value) -> Result<Inverse, Failure> {
        Ok(Inverse::Nothing)
    }
}

#[async_trait]
impl<W: Write> Definition for WriteDefinition<W> {
    fn name(&self) -> &'static str {
        W::NAME
    }
    fn class(&self) -> Class {
        W::CLASS
    }
    fn object(&self, arguments: &Value) -> Result<Object, Failure> {
        Ok(decode::<W>(W::NAME, arguments)?.object())
    }
    async fn send(&self, arguments: &Value, context: &Context<'_>) -> Result<Value, Failure> {
        encode(
            W::NAME,
            &decode::<W>(W::NAME, arguments)?.send(context).await?,
        )
    }
    fn planned(
        &self,
        _: &Value,
        _: Option<&Value>,
        _: &Placeholders<'_>,
    ) -> Result<Value, Failure> {
        Err(only_for(W::NAME, "a planned answer"))
    }
    fn observed(&self, _: &Value, _: &Value) -> Option<Observed> {
        None
    }
    async fn state(&self, arguments: &Value, context: &Context<'_>) -> Result<Observed, Failure> {
        decode::<W>(W::NAME, arguments)?.state(context).await
    }
    async fn check(&self, arguments: &Value, context: &Context<'_>) -> Result<(), Failure> {
        decode::<W>(W::NAME, arguments)?.check(context).await
    }
    async fn find(
        &self,
        arguments: &Value,
        context: &Context<'_>,
    ) -> Result<Option<Value>, Failure> {
        match decode::<W>(W::NAME, arguments)?.find(context).await? {
            Some(output) => encode(W::NAME, &output).map(Some),
            None => Ok(None),
        }
    }
    fn preview(
        &self,
        arguments: &Value,
        before: Option<&Value>,
        placeholders: &Placeholders<'_>,
    ) -> Result<Value, Failure> {
        let call = decode::<W>(W::NAME, arguments)?;
        encode(W::NAME, &call.preview(before, placeholders))
    }
    fn after(
        &self,
        arguments: &Value,
        before: Option<&Value>,
        output: &Value,
    ) -> Result<Observed, Failure> {
        let call = decode::<W>(W::NAME, arguments)?;
        Ok(call.after(before, &decode(W::NAME, output)?))
    }
    fn purge(&self, arguments: &Value) -> Result<Option<Call>, Failure> {
        Ok(decode::<W>(W::NAME, arguments)?.purge())
    }
    fn stays(&self, arguments: &Value) -> Result<Option<&'static str>, Failure> {
        Ok(decode::<W>(W::NAME, arguments)?.stays())
    }
    fn inverse(
        &self,
        arguments: &Value,
        before: Option<&Value>,
        output: &Value,
    ) -> Result<Inverse, Failure> {
        let call = decode::<W>(W::NAME, arguments)?;
        Ok(call.inverse(before, &decode(W::NAME, output)?))
    }
}
