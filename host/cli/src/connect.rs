//! From a target's name to a connected cloud, starting the simulator when that is the target.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use lockkeeper_cloud::{
    Actor, Class, Cloud, ConfigError, ConnectError, Credentials, Endpoints, Failure, SecretSource,
    SecretString, Target,
};
use lockkeeper_gate::KeyRing;
use lockkeeper_simulator::{Options, Profile, Running, StartError, StoreError};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use crate::args;
use crate::config::Place;
use crate::exit::{Exit, Problem};
use crate::files;
use crate::project::Project;

/// The file by which `sim start` tells other commands where it serves.
const SERVING: &str = "serving.json";

/// A connected target. The simulator, if it was started for it, lives as long.
pub(crate) struct Connection {
    pub(crate) name: String,
    pub(crate) cloud: Cloud,
    /// What stands in for a cloud, in words.
    pub(crate) stand_in: Option<String>,
    signing_in: JoinHandle<Result<Actor, Failure>>,
    simulator: Option<Running>,
}

impl Connection {
    /// Who signed in.
    pub(crate) async fn actor(&mut self) -> Result<Actor, Problem> {
        (&mut self.signing_in)
            .await?
            .map_err(|failure| unusable(&self.name, &failure))
    }

    /// Stops what was started for it.
    pub(crate) async fn close(self) {
        if let Some(simulator) = self.simulator {
            simulator.stop().await;
        }
    }
}

/// Where a simulator serves: no secret in it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Serving {
    pub(crate) pid: u32,
    pub(crate) https: std::net::SocketAddr,
    pub(crate) http: std::net::SocketAddr,
    pub(crate) ca_pem: String,
}

impl Serving {
    pub(crate) fn of(running: &Running) -> Self {
        Self {
            pid: std::process::id(),
            https: running.https_address(),
            http: running.http_address(),
            ca_pem: running.ca_pem().to_owned(),
        }
    }

    pub(crate) fn write(&self, folder: &Path) -> Result<(), Problem> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| Problem::new(Exit::Internal, error.to_string()))?;
        files::write(&folder.join(SERVING), &text)
    }

    pub(crate) fn forget(folder: &Path) {
        // A file that stays behind names a port where nobody answers; the next start replaces it.
        let _ = std::fs::remove_file(folder.join(SERVING));
    }

    fn read(folder: &Path) -> Option<Self> {
        serde_json::from_str(&std::fs::read_to_string(folder.join(SERVING)).ok()?).ok()
    }
}

/// How to start a simulator on a project's state.
pub(crate) fn options(
    project: &Project,
    profile: &str,
    seed: u64,
    ports: (u16, u16),
) -> Result<Options, Problem> {
    let profile: Profile = profile
        .parse()
        .map_err(|error| Problem::new(Exit::Usage, format!("{error}")))?;
    let keys = project.keys()?;
    let seal_key = keys
        .key("simulator")
        .map_err(|error| Problem::new(Exit::Failed, error.to_string()))?;
    Ok(Options {
        folder: project.state().join("simulator"),
        seal_key,
        operator_secret: operator_secret(&keys)?,
        profile,
        seed,
        https_port: ports.0,
        http_port: ports.1,
    })
}

/// The operator's client secret at the simulator: made from a key, so that it lies with the keys.
fn operator_secret(keys: &KeyRing) -> Result<Zeroizing<String>, Problem> {
    let key = keys
        .key("simulator-operator")
        .map_err(|error| Problem::new(Exit::Failed, error.to_string()))?;
    let mut secret = Zeroizing::new(String::with_capacity(64));
    for byte in key.iter() {
        secret.push_str(&format!("{byte:02x}"));
    }
    Ok(secret)
}

/// Connects to the target that is asked for, or configured, or else to the simulator, and begins to
/// sign in.
pub(crate) async fn connect(
    project: Arc<Project>,
    asked: args::Target,
) -> Result<Connection, Problem> {
    let (name, place) = project.place(asked.name.as_deref())?;
    let (target, stand_in, simulator) = match place {
        Place::Cloud(target) => (*target, None, None),
        Place::Simulator => {
            let (target, stand_in, simulator) = simulated(&project, &name, &asked).await?;
            (target, Some(stand_in), simulator)
        }
    };
    let cloud = Cloud::connect(target).await.map_err(|error| match error {
        ConnectError::Failure(failure) => unusable(&name, &failure),
        ConnectError::Config(wrong) => Problem::new(
            match wrong {
                ConfigError::Invalid { .. } | ConfigError::Ambiguous { .. } => Exit::Usage,
                // What is needed to sign in is not there.
                ConfigError::Missing { .. } | ConfigError::Unreadable { .. } => Exit::SignIn,
            },
            format!("cannot connect to target `{name}`: {wrong}"),
        ),
    })?;
    let signing_in = tokio::spawn({
        let cloud = cloud.clone();
        async move { cloud.actor().await }
    });
    Ok(Connection {
        name,
        cloud,
        stand_in,
        signing_in,
        simulator,
    })
}

/// Why the target called `name` is of no use: nothing answers there, or nobody is signed in.
fn unusable(name: &str, failure: &Failure) -> Problem {
    let unreachable =
        failure.status.is_none() && (failure.class == Class::Unavailable || failure.code == "tls");
    if unreachable {
        return Problem::new(
            Exit::Failed,
            format!("cannot reach target `{name}`, so nothing was run: {failure}"),
        )
        .help(format!(
            "check the network, its name service (DNS) and firewall from this machine, and the address in `workspace` of target `{name}`; lockkeeper connects directly and takes no notice of proxy settings"
        ));
    }
    match failure.class {
        Class::Unavailable | Class::Throttled => Problem::new(
            Exit::Failed,
            format!("target `{name}` does not answer as it should, so nothing was run: {failure}"),
        )
        .help("try again later"),
        _ => Problem::new(
            Exit::SignIn,
            format!("cannot sign in to target `{name}`: {failure}"),
        ),
    }
}

async fn simulated(
    project: &Project,
    name: &str,
    asked: &args::Target,
) -> Result<(Target, String, Option<Running>), Problem> {
    let options = options(project, &asked.sim_profile, asked.sim_seed, (0, 0))?;
    let folder = options.folder.clone();
    let secret = SecretString::new(options.operator_secret.to_string());
    let operator = lockkeeper_simulator::Operator::seeded();
    let (endpoints, stand_in, simulator) = match lockkeeper_simulator::start(options).await {
        Ok(running) => {
            let why = if project.has_target(name) {
                format!("target `{name}` is one on this machine")
            } else {
                "no target is configured, so a local one stands in".to_owned()
            };
            let stand_in = format!("{why} (state in {})", folder.display());
            (
                endpoints(running.https_address(), running.ca_pem()),
                stand_in,
                Some(running),
            )
        }
        Err(StartError::Store(error @ StoreError::InUse(_))) => {
            let serving = Serving::read(&folder).ok_or_else(|| {
                Problem::new(Exit::Locked, error.to_string())
                    .help("wait for it, or start `lockkeeper sim start`, which several can use")
            })?;
            let stand_in = format!(
                "the one that serves at {} (process {})",
                serving.https, serving.pid
            );
            (endpoints(serving.https, &serving.ca_pem), stand_in, None)
        }
        Err(error) => return Err(Problem::new(Exit::Failed, error.to_string())),
    };
    let target = Target {
        tenant_id: Some(operator.tenant_id),
        workspace: Some(operator.workspace_url),
        account_id: Some(operator.account_id),
        credentials: Credentials::ClientSecret {
            client_id: Some(operator.client_id),
            secret: Some(SecretSource::Value(secret)),
        },
        databricks_rate: NonZeroU32::new(10_000),
        endpoints: Some(endpoints),
        ..Target::default()
    };
    Ok((target, stand_in, simulator))
}

fn endpoints(address: std::net::SocketAddr, ca_pem: &str) -> Endpoints {
    Endpoints {
        resolve_to: address,
        ca_pem: ca_pem.to_owned(),
    }
}
