//! Client secrets of applications (reference/entra-azure.md, 2.3). State: the [`Password`]s of one
//! application, sorted by key id; none is no state.

use async_trait::async_trait;
use lockkeeper_cloud::{Failure, Method};
use lockkeeper_types::Value;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::graph;
use crate::operation::{Class, Context, Inverse, Object, Observed, Placeholders, Read, Write};
use crate::operations::{state, times, wire};
use crate::secrets::SecretRef;

/// What can be read of a client secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Password {
    key_id: String,
    display_name: String,
    ends: String,
}

/// A client secret at the only moment its value is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Issued {
    key_id: String,
    ends: String,
    value: SecretRef,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    key_id: String,
    display_name: Option<String>,
    end_date_time: Option<String>,
}

impl Wire {
    fn ends(&self) -> String {
        times::canonical_or_same(self.end_date_time.as_deref().unwrap_or_default())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Holder {
    #[serde(default)]
    password_credentials: Vec<Wire>,
}

/// The client secrets of an application, sorted by key id. Fails when it is not there.
async fn read_all(
    context: &Context<'_>,
    operation: &'static str,
    application: &str,
) -> Result<Vec<Password>, Failure> {
    let request = graph(
        operation,
        Method::Get,
        "/v1.0/applications/{}",
        &[application],
    )?
    .query("$select", "id,passwordCredentials");
    let reply = context.cloud.send(&request).await?;
    let holder: Holder = wire::read(operation, &reply.body)?;
    let passwords = holder
        .password_credentials
        .into_iter()
        .map(|wire| Password {
            ends: wire.ends(),
            key_id: wire.key_id,
            display_name: wire.display_name.unwrap_or_default(),
        });
    Ok(sorted(passwords.collect()))
}

fn sorted(mut passwords: Vec<Password>) -> Vec<Password> {
    passwords.sort_by(|a, b| a.key_id.cmp(&b.key_id));
    passwords
}

async fn observe(
    context: &Context<'_>,
    operation: &'static str,
    application: &str,
) -> Result<Observed, Failure> {
    let passwords = wire::if_there(read_all(context, operation, application).await)?;
    Ok(state::of_list(&passwords.unwrap_or_default()))
}

async fn remove(
    context: &Context<'_>,
    operation: &'static str,
    application: &str,
    key_id: &str,
) -> Result<(), Failure> {
    let path = "/v1.0/applications/{}/removePassword";
    let request = graph(operation, Method::Post, path, &[application])?
        .json(json!({ "keyId": key_id }))
        .idempotent(true);
    match wire::gone(context.cloud.send(&request).await) {
        // How Graph answers for a key id that it does not know.
        Err(failure) if failure.message.contains("No password credential found") => Ok(()),
        result => result,
    }
}

/// The display name of a client secret that the call with this mark issues.
fn marked(display_name: &str, mark: &str) -> String {
    format!("{display_name} [{mark}]")
}

fn object(application: &str) -> Object {
    Object::new("client secrets", application)
}

/// The client secrets of an application.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListPasswords {
    application: String,
}

#[async_trait]
impl Read for ListPasswords {
    const NAME: &'static str = "entra/credentials.list-passwords";
    type Output = Vec<Password>;

    fn object(&self) -> Object {
        object(&self.application)
    }

    async fn send(&self, context: &Context<'_>) -> Result<Self::Output, Failure> {
        read_all(context, Self::NAME, &self.application).await
    }

    fn planned(
        &self,
        state: Option<&Value>,
        _: &Placeholders<'_>,
    ) -> Result<Self::Output, Failure> {
        Ok(state::read_list(state))
    }

    fn observed(&self, output: &Self::Output) -> Option<Observed> {
        Some(state::of_list(output))
    }
}

/// Issues a client secret, whose display name carries the call's mark. Its value is kept under
/// the mark too.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddPassword {
    application: String,
    display_name: String,
    ends: String,
}

#[async_trait]
impl Write for AddPassword {
    const NAME: &'static str = "entra/credentials.add-password";
    const CLASS: Class = Class::Issue;
    type Output = Issued;

    fn object(&self) -> Object {
        object(&self.application)
    }

    async fn state(&self, context: &Context<'_>) -> Result<Observed, Failure> {
        observe(context, Self::NAME, &self.application).await
    }

    async fn send(&self, context: &Context<'_>) -> Result<Self::Output, Failure> {
        let ends = times::canonical(&self.ends)
            .ok_or_else(|| wire::invalid(Self::NAME, "ends is not an RFC 3339 time"))?;
        let path = "/v1.0/applications/{}/addPassword";
        let request = graph(Self::NAME, Method::Post, path, &[&self.application])?
            .json(json!({ "passwordCredential": {
                "displayName": marked(&self.display_name, context.mark),
                "endDateTime": ends,
            }}))
            .secret_reply("/secretText");
        let mut reply = context.cloud.send(&request).await?;
        let issued: Wire = wire::read(Self::NAME, &reply.body)?;
        let value = reply
            .take_secret("/secretText")
            .ok_or_else(|| wire::unexpected(Self::NAME, "it holds no secretText"))?;
        match context.secrets.keep(context.mark, value).await {
            Ok(value) => Ok(Issued {
                ends: issued.ends(),
                key_id: issued.key_id,
                value,
            }),
            Err(failure) => {
                // A secret that nobody holds must not stay valid.
                remove(context, Self::NAME, &self.application, &issued.key_id).await?;
                Err(failure)
            }
        }
    }

    async fn find(&self, context: &Context<'_>) -> Result<Option<Self::Output>, Failure> {
        let lost = marked(&self.display_name, context.mark);
        for password in read_all(context, Self::NAME, &self.application).await? {
            if password.display_name == lost {
                remove(context, Self::NAME, &self.application, &password.key_id).await?;
            }
        }
        Ok(None)
    }

    fn preview(&self, _: Option<&Value>, placeholders: &Placeholders<'_>) -> Self::Output {
        Issued {
            key_id: placeholders.make("key_id"),
            ends: times::canonical_or_same(&self.ends),
            value: SecretRef(placeholders.make("client_secret")),
        }
    }

    fn after(&self, before: Option<&Value>, output: &Self::Output) -> Option<Value> {
        let mut passwords: Vec<Password> = state::read_list(before);
        passwords.push(Password {
            key_id: output.key_id.clone(),
            display_name: marked(&self.display_name, &output.value.0),
            ends: output.ends.clone(),
        });
        state::of_list(&sorted(passwords))
    }

    fn inverse(&self, _: Option<&Value>, output: &Self::Output) -> Inverse {
        Inverse::of(&RemovePassword {
            application: self.application.clone(),
            key_id: output.key_id.clone(),
        })
    }
}

/// Revokes a client secret; one that is gone is no error.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RemovePassword {
    application: String,
    key_id: String,
}

#[async_trait]
impl Write for RemovePassword {
    const NAME: &'static str = "entra/credentials.remove-password";
    const CLASS: Class = Class::Delete;
    type Output = ();

    fn object(&self) -> Object {
        object(&self.application)
    }

    async fn state(&self, context: &Context<'_>) -> Result<Observed, Failure> {
        observe(context, Self::NAME, &self.application).await
    }

    async fn send(&self, context: &Context<'_>) -> Result<(), Failure> {
        remove(context, Self::NAME, &self.application, &self.key_id).await
    }

    fn preview(&self, _: Option<&Value>, _: &Placeholders<'_>) {}

    fn after(&self, before: Option<&Value>, (): &()) -> Option<Value> {
        let mut passwords: Vec<Password> = state::read_list(before);
        passwords.retain(|password| password.key_id != self.key_id);
        state::of_list(&passwords)
    }

    fn inverse(&self, before: Option<&Value>, (): &()) -> Inverse {
        let passwords: Vec<Password> = state::read_list(before);
        if passwords
            .iter()
            .all(|password| password.key_id != self.key_id)
        {
            return Inverse::Nothing;
        }
        Inverse::Impossible("a revoked client secret cannot be brought back; issue a new one")
    }
}

/// Signs in as the application with a client secret and throws the token away.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Prove {
    application: String,
    value: SecretRef,
}

#[async_trait]
impl Read for Prove {
    const NAME: &'static str = "entra/credentials.prove";
    type Output = ();

    fn object(&self) -> Object {
        Object::new("sign-in", self.application.to_lowercase()).named(&self.application)
    }

    async fn send(&self, context: &Context<'_>) -> Result<(), Failure> {
        let tenant = context.cloud.target().tenant_id.as_deref().ok_or_else(|| {
            wire::invalid(
                Self::NAME,
                "the target names no tenant; set tenant_id in it",
            )
        })?;
        let secret = context.secrets.open(&self.value).await?;
        context
            .cloud
            .prove_client_secret(tenant, &self.application, &secret)
            .await?;
        Ok(())
    }

    fn planned(&self, _: Option<&Value>, _: &Placeholders<'_>) -> Result<(), Failure> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::testing::{PLACEHOLDERS, name, taken_back};

    fn add() -> AddPassword {
        AddPassword {
            application: "app".to_owned(),
            display_name: "lockkeeper".to_owned(),
            ends: "2030-01-02T03:04:05.5Z".to_owned(),
        }
    }

    fn issued(key_id: &str) -> Issued {
        Issued {
            key_id: key_id.to_owned(),
            ends: "2030-01-02T03:04:05Z".to_owned(),
            value: SecretRef("run/step#1/2".to_owned()),
        }
    }

    #[test]
    fn an_issued_secret_is_revoked() {
        let first = add().after(None, &issued("k-2"));
        for before in [None, first] {
            let inverse = taken_back(&add(), before.as_ref(), &issued("k-1"));
            assert_eq!(name(&inverse), Some(RemovePassword::NAME));
        }
    }

    #[test]
    fn the_display_name_carries_the_mark() {
        let after = add().after(None, &issued("k-1")).unwrap();
        assert_eq!(after[0]["display_name"], "lockkeeper [run/step#1/2]");
    }

    #[test]
    fn a_revoked_secret_is_gone_for_good() {
        let before = add().after(None, &issued("k-1"));
        let revoke = |key_id: &str| RemovePassword {
            application: "app".to_owned(),
            key_id: key_id.to_owned(),
        };
        assert!(matches!(
            taken_back(&revoke("k-1"), before.as_ref(), &()),
            Inverse::Impossible(_)
        ));
        assert_eq!(
            taken_back(&revoke("k-2"), before.as_ref(), &()),
            Inverse::Nothing
        );
    }

    #[test]
    fn a_plan_lists_what_it_issues_and_never_a_value() {
        let preview = add().preview(None, &PLACEHOLDERS);
        let after = add().after(None, &preview);
        let list = ListPasswords {
            application: "app".to_owned(),
        };
        let listed = list.planned(after.as_ref(), &PLACEHOLDERS).unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].ends, "2030-01-02T03:04:05Z");
        assert_eq!(list.observed(&listed), Some(after));
        assert_eq!(
            serde_json::to_value(&preview.value).unwrap(),
            lockkeeper_types::secret(&preview.value.0)
        );
    }
}
