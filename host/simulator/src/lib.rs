//! A local Microsoft Entra, Azure and Databricks that speak the real protocols over loopback.
//!
//! [`start`] opens one HTTPS and one plain-HTTP listener over the same services, and keeps their
//! state in a folder, so that another start on that folder goes on where the last one ended.

pub mod azure;
mod control;
pub mod databricks;
pub mod entra;
pub mod faults;
mod glob;
mod profile;
mod record;
mod refusal;
mod seed;
mod server;
mod service;
mod state;
mod store;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tls;
pub mod wire;
mod world;

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

pub use profile::{Plane, Profile, UnknownProfile};
pub use record::{Caller, RequestRecord};
pub use seed::{Operator, SeedIds};
pub use state::State;
pub use store::{Hashed, SealError, SealKey, Sealed, StoreError};
pub use world::World;
use zeroize::Zeroizing;

/// How to start a simulator.
pub struct Options {
    /// The state folder; made when absent, and held by one simulator at a time.
    pub folder: PathBuf,
    /// The key under which secret values are sealed in the folder. It is never written there.
    pub seal_key: Zeroizing<[u8; 32]>,
    /// The client secret of the operator's application; replaces the earlier one at every start.
    pub operator_secret: Zeroizing<String>,
    /// How late a write becomes visible elsewhere.
    pub profile: Profile,
    /// Decides every drawn delay.
    pub seed: u64,
    /// The loopback port of the HTTPS listener; 0 takes a free one.
    pub https_port: u16,
    /// The loopback port of the plain-HTTP listener; 0 takes a free one.
    pub http_port: u16,
}

/// Why a simulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state folder or a file in it cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The sealed values in the folder do not open.
    #[error("the simulator's state in {folder} is sealed with another key; start it with the key it was made with, or with an empty folder", folder = .0.display())]
    WrongKey(PathBuf),
    /// A key or certificate could not be made.
    #[error("the simulator could not make its {what}: {reason}")]
    Key {
        /// What was being made.
        what: &'static str,
        /// What the library said.
        reason: String,
    },
    /// A listener could not be opened.
    #[error(
        "the simulator could not listen on 127.0.0.1:{port}: {reason}; another process may hold the port, 0 takes a free one"
    )]
    Listen {
        /// The port asked for.
        port: u16,
        /// What the operating system said.
        reason: std::io::Error,
    },
}

/// A simulator that serves requests until it is stopped or dropped.
pub struct Running {
    world: Arc<World>,
    listeners: server::Listeners,
    ca_pem: String,
}

/// Starts a simulator and returns once both listeners accept connections.
pub async fn start(options: Options) -> Result<Running, StartError> {
    let world = Arc::new(World::open(&options)?);
    let identity = tls::Identity::new()?;
    let listeners = server::listen(
        &world,
        identity.config,
        options.https_port,
        options.http_port,
    )
    .await?;
    Ok(Running {
        world,
        listeners,
        ca_pem: identity.ca_pem,
    })
}

/// Forgets the cloud in `folder`: the next start begins anew. Refused while a simulator holds it.
pub fn reset(folder: &std::path::Path) -> Result<(), StoreError> {
    store::reset(folder)
}

impl Running {
    /// The address of the HTTPS listener.
    pub fn https_address(&self) -> SocketAddr {
        self.listeners.https
    }

    /// The address of the plain-HTTP listener.
    pub fn http_address(&self) -> SocketAddr {
        self.listeners.http
    }

    /// The certificate authority that signed the HTTPS listener's certificate, as PEM.
    ///
    /// It is new at every start, and its key is gone once the certificate is made.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The simulated world, for tests that look behind the protocols.
    pub fn world(&self) -> Arc<World> {
        Arc::clone(&self.world)
    }

    /// The identifiers of the operator's application.
    pub fn operator(&self) -> Operator {
        Operator::seeded()
    }

    /// The seeded workspace's address, as Azure names it.
    pub fn workspace_url(&self) -> String {
        format!("https://{}", seed::WORKSPACE_HOST)
    }

    /// Stops accepting connections, drops the open ones and lets go of the folder.
    pub async fn stop(self) {
        self.listeners.stop().await;
    }
}
