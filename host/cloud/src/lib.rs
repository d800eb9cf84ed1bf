//! HTTP clients for Microsoft Entra, Graph, ARM, Key Vault, ADLS and Databricks.
//!
//! [`Cloud::connect`] takes a [`Target`]; [`Cloud::send`] takes a [`Request`] value and returns a [`Reply`] or a
//! [`Failure`]. Host names, tokens, retries, rate limits, error shapes and masking are this crate's business; what an
//! operation means is its caller's.

mod actor;
mod answer;
mod classify;
mod cloud;
mod failure;
mod http;
mod limit;
mod masker;
mod path;
mod reply;
mod request;
mod retry;
mod secret;
mod target;
#[cfg(test)]
mod testing;
mod tokens;
mod wire;

pub use actor::{Actor, ActorKind};
pub use cloud::{Cloud, ConnectError};
pub use failure::{Class, Failure, Sent};
pub use masker::Masker;
pub use path::{InvalidPath, Path};
pub use request::{Body, Budget, Field, Method, Observer, Reply, Request, Service};
pub use secret::SecretString;
pub use target::{AzureCloud, ConfigError, Credentials, Endpoints, SecretSource, Target};
pub use tokens::{Audience, Token};
