//! What an operation is, in one place: its name, class and object, how it is sent, what a plan
//! says of it, how a lost outcome is reconciled, and its inverse.
//!
//! An operation is a struct whose fields are the parameters of the WIT function of the same name
//! (in `snake_case`); a value of it is a call. Adding one is a WIT function and an `impl` of
//! [`Read`] or [`Write`], listed in [`crate::operations`].

use async_trait::async_trait;
use lockkeeper_cloud::{Cloud, Failure};
use lockkeeper_types::{Value, clean, unknown};
use serde::{Serialize, de::DeserializeOwned};

use crate::operations::state;
use crate::{Call, Secrets};

/// What recovery does with a write whose outcome was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Changes nothing: repeated.
    Read,
    /// Leaves the same state however often it is sent: repeated.
    Put,
    /// Makes an object: looked up by its mark or name, adopted if found, else repeated.
    Create,
    /// Starts something once per token: repeated with the same token.
    Start,
    /// Makes a secret whose value is gone with the reply: what carries the mark is revoked, then
    /// a new one is issued.
    Issue,
    /// Removes an object: repeated; one that is gone is success.
    Delete,
}

/// What a call is about. Two calls about one object have equal `kind` and `key`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, serde::Deserialize)]
pub struct Object {
    /// The service's noun for it: `application`, `secret ACL`, ….
    pub kind: String,
    /// What tells it apart from others of its kind.
    pub key: String,
    /// What people call it.
    pub name: String,
}

impl Object {
    /// An object that people call by its key.
    pub fn new(kind: &str, key: impl Into<String>) -> Self {
        let key = key.into();
        Self {
            kind: kind.to_owned(),
            name: key.clone(),
            key,
        }
    }

    /// The same object under the name people know it by.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The name inside a message: plugins and services choose names.
    pub fn shown(&self) -> String {
        clean(&self.name, 300)
    }
}

/// What sending a call may use.
pub struct Context<'a> {
    /// The connected target.
    pub cloud: &'a Cloud,
    /// Where secrets of this run live.
    pub secrets: &'a Secrets,
    /// `RUN…/STEP#ATTEMPT/POSITION`: the same after a crash, at most 64 characters; of a longer one
    /// the beginning and a digest.
    pub mark: &'a str,
}

/// Makes the placeholders of one planned call.
pub struct Placeholders<'a> {
    /// The step that the values will be known after.
    pub step: &'a str,
    /// The call's position in its step, which keeps placeholders apart.
    pub position: u64,
}

impl Placeholders<'_> {
    /// The placeholder for the server-made value called `what`.
    pub fn make(&self, what: &str) -> String {
        unknown::placeholder(self.step, &format!("{what} {}", self.position))
    }
}

/// What takes a write back.
#[derive(Clone, Debug, PartialEq)]
pub enum Inverse {
    /// Nothing was changed, so there is nothing to take back.
    Nothing,
    /// The operation and arguments that take it back.
    Call(&'static str, Value),
    /// It cannot be taken back; the reason, in words for the operator.
    Impossible(&'static str),
}

impl Inverse {
    /// The inverse that `call` is.
    pub fn of<W: Write>(call: &W) -> Self {
        serde_json::to_value(call).map_or(
            Self::Impossible("its arguments cannot be written down"),
            |arguments| Self::Call(W::NAME, arguments),
        )
    }
}

/// An operation that changes nothing.
#[async_trait]
pub trait Read: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// `PACKAGE/INTERFACE.FUNCTION`, as in WIT.
    const NAME: &'static str;
    /// What the WIT function gives when it succeeds.
    type Output: Serialize + DeserializeOwned + Send;

    /// What it asks about.
    fn object(&self) -> Object;

    /// Asks the service.
    async fn send(&self, context: &Context<'_>) -> Result<Self::Output, Failure>;

    /// In a plan, what the service would answer if the object's state were `state`: what planned
    /// writes left, or `None` where there is no such object. Values that the state does not show
    /// are placeholders of the call that wrote it.
    fn planned(
        &self,
        state: Option<&Value>,
        placeholders: &Placeholders<'_>,
    ) -> Result<Self::Output, Failure>;

    /// The object's state, in the shape that writes to it use, if this answer shows all of it.
    fn observed(&self, output: &Self::Output) -> Option<Observed> {
        let _ = output;
        None
    }
}

/// A read whose answer is the whole state of its object: `None` where there is no such object.
#[async_trait]
pub trait ReadState: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// `PACKAGE/INTERFACE.FUNCTION`, as in WIT.
    const NAME: &'static str;
    /// The state, in the shape that writes to the object use.
    type State: Serialize + DeserializeOwned + Send;

    /// What it asks about.
    fn about(&self) -> Object;

    /// Asks the service.
    async fn look_up(&self, context: &Context<'_>) -> Result<Option<Self::State>, Failure>;
}

#[async_trait]
impl<R: ReadState> Read for R {
    const NAME: &'static str = R::NAME;
    type Output = Option<R::State>;

    fn object(&self) -> Object {
        self.about()
    }

    async fn send(&self, context: &Context<'_>) -> Result<Self::Output, Failure> {
        self.look_up(context).await
    }

    fn planned(
        &self,
        state: Option<&Value>,
        _: &Placeholders<'_>,
    ) -> Result<Self::Output, Failure> {
        Ok(state::read(state))
    }

    fn observed(&self, output: &Self::Output) -> Option<Observed> {
        Some(state::of(output))
    }
}

/// An object's state as a read saw it: `None` where there is no such object.
pub type Observed = Option<Value>;

/// An operation that changes an object.
#[async_trait]
pub trait Write: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// `PACKAGE/INTERFACE.FUNCTION`, as in WIT.
    const NAME: &'static str;
    /// How a lost outcome is reconciled.
    const CLASS: Class;
    /// What the WIT function gives when it succeeds.
    type Output: Serialize + DeserializeOwned + Send + Sync;

    /// What it changes.
    fn object(&self) -> Object;

    /// The object's state now: what `before` and `after` mean, and what drift is told by.
    /// `None` where there is no such object.
    async fn state(&self, context: &Context<'_>) -> Result<Observed, Failure>;

    /// Sends it.
    async fn send(&self, context: &Context<'_>) -> Result<Self::Output, Failure>;

    /// Refuses what [`send`](Self::send) would refuse before anything leaves, so that a plan can
    /// say it.
    async fn check(&self, context: &Context<'_>) -> Result<(), Failure> {
        let _ = context;
        Ok(())
    }

    /// What an earlier send of this very call made, if it can be found: [`Class::Create`] adopts
    /// it; [`Class::Issue`] revokes what carries the mark and answers `None`.
    async fn find(&self, context: &Context<'_>) -> Result<Option<Self::Output>, Failure> {
        let _ = context;
        Ok(None)
    }

    /// In a plan, what it would give; server-made values are placeholders.
    fn preview(&self, before: Option<&Value>, placeholders: &Placeholders<'_>) -> Self::Output;

    /// The object's state once the call has given `output`. `None` when it is gone.
    fn after(&self, before: Option<&Value>, output: &Self::Output) -> Option<Value>;

    /// What takes it back, given the state it found.
    fn inverse(&self, before: Option<&Value>, output: &Self::Output) -> Inverse;

    /// For an object that a service keeps for a while after this call has deleted it: the call
    /// that deletes it for good, whose state is what is kept.
    fn purge(&self) -> Option<Call> {
        None
    }

    /// What the service did of itself because of this call, and leaves when it is taken back; in
    /// words for the operator.
    fn stays(&self) -> Option<&'static str> {
        None
    }
}
