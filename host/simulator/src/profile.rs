//! How late a write becomes visible on the planes it has to travel to (reference, section 9).

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// Where a write has to arrive before it takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Plane {
    /// A new application, seen by the creation of its service principal.
    GraphApplication,
    /// A new directory object, seen by Graph reads.
    GraphRead,
    /// A deletion, seen by Graph reads.
    GraphDelete,
    /// A new application, service principal or secret, seen by the token endpoint.
    Sts,
    /// A federated identity credential, seen by the token endpoint.
    StsFederation,
    /// A new principal, seen by ARM role assignments.
    ArmDirectory,
    /// A role assignment, seen by ARM.
    ArmRbac,
    /// A role assignment or access policy, seen by a vault.
    KeyVaultRbac,
    /// A role assignment, seen by a storage account.
    StorageRbac,
    /// A vault's name, seen by DNS.
    VaultDns,
    /// A deleted or recovered secret, seen under its new state.
    KeyVaultObject,
    /// A Databricks principal or grant, seen by the rest of Databricks.
    Databricks,
}

/// A set of delays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Every write is visible at once.
    #[default]
    Instant,
    /// The delays usually seen in Azure.
    Typical,
    /// The long tail: minutes, up to twenty.
    Slow,
    /// The usual delays, and reads alternate between a replica that has the write and one that
    /// has not until all have it.
    Flapping,
}

/// The name of a profile was none of the four.
#[derive(Debug, thiserror::Error)]
#[error("there is no simulator profile {0:?}; use instant, typical, slow or flapping")]
pub struct UnknownProfile(String);

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "instant" => Ok(Self::Instant),
            "typical" => Ok(Self::Typical),
            "slow" => Ok(Self::Slow),
            "flapping" => Ok(Self::Flapping),
            other => Err(UnknownProfile(other.to_owned())),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Instant => "instant",
            Self::Typical => "typical",
            Self::Slow => "slow",
            Self::Flapping => "flapping",
        })
    }
}

impl Profile {
    /// The delay on a plane for a draw between 0 and 1.
    pub(crate) fn delay(self, plane: Plane, draw: f64) -> Duration {
        let (least, most) = match self {
            Self::Instant => (0.0, 0.0),
            Self::Typical | Self::Flapping => typical(plane),
            Self::Slow => (typical(plane).1, (typical(plane).1 * 10.0).min(1200.0)),
        };
        Duration::from_secs_f64(least + (most - least) * draw)
    }

    /// How long a write to a directory object is in the way of another one to the same object.
    pub(crate) fn write_window(self) -> Duration {
        if self == Self::Instant {
            Duration::ZERO
        } else {
            Duration::from_millis(250)
        }
    }

    /// Whether reads alternate between replicas while a write travels.
    pub(crate) fn flaps(self) -> bool {
        self == Self::Flapping
    }
}

/// The least and most usual delay, in seconds.
fn typical(plane: Plane) -> (f64, f64) {
    match plane {
        Plane::GraphApplication => (2.0, 10.0),
        Plane::GraphRead => (1.0, 30.0),
        Plane::GraphDelete => (5.0, 60.0),
        Plane::Sts => (4.0, 18.0),
        Plane::StsFederation => (5.0, 120.0),
        Plane::ArmDirectory => (5.0, 30.0),
        Plane::ArmRbac | Plane::KeyVaultRbac | Plane::StorageRbac => (30.0, 300.0),
        Plane::VaultDns => (3.0, 20.0),
        Plane::KeyVaultObject => (1.0, 10.0),
        Plane::Databricks => (1.0, 15.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for profile in [
            Profile::Instant,
            Profile::Typical,
            Profile::Slow,
            Profile::Flapping,
        ] {
            assert_eq!(profile.to_string().parse::<Profile>().unwrap(), profile);
        }
        assert!("quick".parse::<Profile>().is_err());
    }

    #[test]
    fn slow_is_never_faster_than_typical() {
        for plane in [Plane::GraphRead, Plane::Sts, Plane::KeyVaultRbac] {
            assert!(Profile::Slow.delay(plane, 0.0) >= Profile::Typical.delay(plane, 1.0));
        }
        assert_eq!(
            Profile::Slow.delay(Plane::ArmRbac, 1.0),
            Duration::from_mins(20)
        );
    }
}
