//! Who the credentials stand for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::cloud::Cloud;
use crate::failure::{Class, Failure};
use crate::path::Path;
use crate::request::{Method, Request, Service};
use crate::tokens::Audience;

/// The identity that a target's credentials stand for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Application id of a service principal, or user name of a person.
    pub id: String,
    /// Which of the two.
    pub kind: ActorKind,
}

/// What an [`Actor`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActorKind {
    /// A person.
    User,
    /// An application's service principal.
    ServicePrincipal,
}

impl Actor {
    /// An application id is a UUID; a person's user name is none.
    fn named(id: &str) -> Self {
        let kind = if Uuid::try_parse(id).is_ok() {
            ActorKind::ServicePrincipal
        } else {
            ActorKind::User
        };
        Self {
            id: id.to_owned(),
            kind,
        }
    }
}

impl Cloud {
    /// Who the credentials stand for: the workspace's answer (`userName` of SCIM's Me, reference/databricks.md 4.2), or,
    /// for a target without a workspace, the claims of its Graph token.
    pub async fn actor(&self) -> Result<Actor, Failure> {
        let me = Request::new(
            Service::Databricks,
            "me",
            Method::Get,
            Path::fixed("/api/2.0/preview/scim/v2/Me"),
        );
        let unnamed = || {
            Failure::not_sent(
                &me,
                Class::Other,
                "no-actor",
                "neither the workspace nor the token says who is asking",
            )
        };
        if self.target().workspace.is_some() {
            let reply = self.send(&me).await?;
            let name = reply.body.get("userName").and_then(Value::as_str);
            return name.map(Actor::named).ok_or_else(unnamed);
        }
        let token = self.token(Audience::Graph).await?;
        let claims = claims(token.value.expose()).ok_or_else(unnamed)?;
        let claim = |name: &str| claims.get(name).and_then(Value::as_str);
        let id = claim("upn")
            .or_else(|| claim("unique_name"))
            .or_else(|| claim("appid"))
            .or_else(|| claim("azp"));
        id.map(Actor::named).ok_or_else(unnamed)
    }
}

/// A token's claims, unverified: they only name the caller to itself.
fn claims(token: &str) -> Option<Value> {
    let payload = token.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}
