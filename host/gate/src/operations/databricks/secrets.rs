//! Secrets in a scope (reference/databricks.md, section 10). State: the scope's keys, sorted; none
//! is no state.

use async_trait::async_trait;
use lockkeeper_cloud::{Body, Failure};
use lockkeeper_types::Value;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{get, post};
use crate::operation::{Class, Context, Inverse, Object, Observed, Placeholders, Read, Write};
use crate::operations::{state, wire};
use crate::secrets::SecretRef;

/// A key of a scope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Entry {
    key: String,
    /// That the call just made replaced the value. No read of a scope shows this, so only the
    /// state after a call ever says it: it keeps an overwritten secret from looking unchanged.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    replaced: bool,
}

impl Entry {
    fn of(key: &str) -> Self {
        Self {
            key: key.to_owned(),
            replaced: false,
        }
    }

    /// Keys do not differ by case.
    fn is(&self, key: &str) -> bool {
        self.key.eq_ignore_ascii_case(key)
    }
}

#[derive(Deserialize)]
struct Secrets {
    #[serde(default)]
    secrets: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    key: String,
}

/// The keys of a scope, sorted. Fails when there is no such scope.
async fn keys(
    context: &Context<'_>,
    operation: &'static str,
    scope: &str,
) -> Result<Vec<String>, Failure> {
    let request = get(operation, "/api/2.0/secrets/list")?.query("scope", scope);
    let reply = context.cloud.send(&request).await?;
    let listed: Secrets = wire::read(operation, &reply.body)?;
    let mut keys: Vec<_> = listed
        .secrets
        .into_iter()
        .map(|secret| secret.key)
        .collect();
    keys.sort();
    Ok(keys)
}

fn of_keys(keys: &[String]) -> Observed {
    state::of_list(&keys.iter().map(|key| Entry::of(key)).collect::<Vec<_>>())
}

async fn observe(
    context: &Context<'_>,
    operation: &'static str,
    scope: &str,
) -> Result<Observed, Failure> {
    let keys = wire::if_there(keys(context, operation, scope).await)?;
    Ok(of_keys(&keys.unwrap_or_default()))
}

fn object(scope: &str) -> Object {
    Object::new("secrets", scope).named(format!("secrets of {scope}"))
}

fn entries(state: Option<&Value>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = state::read_list(state);
    for entry in &mut entries {
        entry.replaced = false;
    }
    entries
}

fn after_put(before: Option<&Value>, key: &str) -> Option<Value> {
    let mut entries = entries(before);
    match entries.iter_mut().find(|entry| entry.is(key)) {
        Some(entry) => entry.replaced = true,
        None => entries.push(Entry::of(key)),
    }
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    state::of_list(&entries)
}

fn inverse_of_put(before: Option<&Value>, scope: &str, key: &str) -> Inverse {
    if entries(before).iter().any(|entry| entry.is(key)) {
        return Inverse::Impossible(
            "the secret's earlier value was overwritten; lockkeeper never read it",
        );
    }
    Inverse::of(&Delete {
        scope: scope.to_owned(),
        key: key.to_owned(),
    })
}

const PUT: &str = "/api/2.0/secrets/put";

/// The keys of a scope's secrets.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct List {
    scope: String,
}

#[async_trait]
impl Read for List {
    const NAME: &'static str = "databricks/secrets.list";
    type Output = Vec<String>;

    fn object(&self) -> Object {
        object(&self.scope)
    }

    async fn send(&self, context: &Context<'_>) -> Result<Self::Output, Failure> {
        keys(context, Self::NAME, &self.scope).await
    }

    fn planned(
        &self,
        state: Option<&Value>,
        _: &Placeholders<'_>,
    ) -> Result<Self::Output, Failure> {
        Ok(entries(state).into_iter().map(|entry| entry.key).collect())
    }

    fn observed(&self, output: &Self::Output) -> Option<Observed> {
        Some(of_keys(output))
    }
}

/// Writes a secret into a scope that Databricks itself keeps.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Put {
    scope: String,
    key: String,
    value: SecretRef,
}

#[async_trait]
impl Write for Put {
    const NAME: &'static str = "databricks/secrets.put";
    const CLASS: Class = Class::Put;
    type Output = ();

    fn object(&self) -> Object {
        object(&self.scope)
    }

    async fn state(&self, context: &Context<'_>) -> Result<Observed, Failure> {
        observe(context, Self::NAME, &self.scope).await
    }

    async fn send(&self, context: &Context<'_>) -> Result<(), Failure> {
        let value = context.secrets.open(&self.value).await?;
        let mut request = post(Self::NAME, PUT, Value::Null)?.idempotent(true);
        request.body = Body::JsonWithSecrets {
            json: json!({ "scope": self.scope, "key": self.key }),
            secrets: vec![("/string_value".to_owned(), value)],
        };
        context.cloud.send(&request).await?;
        Ok(())
    }

    fn preview(&self, _: Option<&Value>, _: &Placeholders<'_>) {}

    fn after(&self, before: Option<&Value>, (): &()) -> Option<Value> {
        after_put(before, &self.key)
    }

    fn inverse(&self, before: Option<&Value>, (): &()) -> Inverse {
        inverse_of_put(before, &self.scope, &self.key)
    }
}

/// Writes text that is no secret into a scope that Databricks itself keeps.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PutText {
    scope: String,
    key: String,
    text: String,
}

#[async_trait]
impl Write for PutText {
    const NAME: &'static str = "databricks/secrets.put-text";
    const CLASS: Class = Class::Put;
    type Output = ();

    fn object(&self) -> Object {
        object(&self.scope)
    }

    async fn state(&self, context: &Context<'_>) -> Result<Observed, Failure> {
        observe(context, Self::NAME, &self.scope).await
    }

    async fn send(&self, context: &Context<'_>) -> Result<(), Failure> {
        let body = json!({ "scope": self.scope, "key": self.key, "string_value": self.text });
        context
            .cloud
            .send(&post(Self::NAME, PUT, body)?.idempotent(true))
            .await?;
        Ok(())
    }

    fn preview(&self, _: Option<&Value>, _: &Placeholders<'_>) {}

    fn after(&self, before: Option<&Value>, (): &()) -> Option<Value> {
        after_put(before, &self.key)
    }

    fn inverse(&self, before: Option<&Value>, (): &()) -> Inverse {
        inverse_of_put(before, &self.scope, &self.key)
    }
}

/// Deletes a secret; one that is gone is no error.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Delete {
    scope: String,
    key: String,
}

#[async_trait]
impl Write for Delete {
    const NAME: &'static str = "databricks/secrets.delete";
    const CLASS: Class = Class::Delete;
    type Output = ();

    fn object(&self) -> Object {
        object(&self.scope)
    }

    async fn state(&self, context: &Context<'_>) -> Result<Observed, Failure> {
        observe(context, Self::NAME, &self.scope).await
    }

    async fn send(&self, context: &Context<'_>) -> Result<(), Failure> {
        let body = json!({ "scope": self.scope, "key": self.key });
        let request = post(Self::NAME, "/api/2.0/secrets/delete", body)?.idempotent(true);
        wire::gone(context.cloud.send(&request).await)
    }

    fn preview(&self, _: Option<&Value>, _: &Placeholders<'_>) {}

    fn after(&self, before: Option<&Value>, (): &()) -> Option<Value> {
        let mut entries = entries(before);
        entries.retain(|entry| !entry.is(&self.key));
        state::of_list(&entries)
    }

    fn inverse(&self, before: Option<&Value>, (): &()) -> Inverse {
        if entries(before).iter().all(|entry| !entry.is(&self.key)) {
            return Inverse::Nothing;
        }
        Inverse::Impossible("the secret's value was deleted; lockkeeper never read it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::testing::{PLACEHOLDERS, name, taken_back};

    fn put(key: &str) -> PutText {
        PutText {
            scope: "app".to_owned(),
            key: key.to_owned(),
            text: "2030-01-02".to_owned(),
        }
    }

    #[test]
    fn a_new_secret_is_deleted_and_an_overwritten_one_is_lost() {
        let one = put("b").after(None, &());
        for before in [None, one.clone()] {
            assert_eq!(
                name(&taken_back(&put("a"), before.as_ref(), &())),
                Some(Delete::NAME)
            );
        }
        assert!(matches!(
            put("B").inverse(one.as_ref(), &()),
            Inverse::Impossible(_)
        ));
        let secret = Put {
            scope: "app".to_owned(),
            key: "a".to_owned(),
            value: SecretRef("run/step#1/2".to_owned()),
        };
        assert_eq!(
            name(&taken_back(&secret, one.as_ref(), &())),
            Some(Delete::NAME)
        );
    }

    #[test]
    fn an_overwritten_secret_does_not_look_unchanged() {
        let one = put("b").after(None, &());
        let again = put("b").after(one.as_ref(), &());
        assert_ne!(again, one);
        // The next call starts from what a read would show.
        let next = put("a").after(again.as_ref(), &());
        assert_eq!(next, of_keys(&["a".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn a_plan_lists_what_it_puts_and_deletes() {
        let list = List {
            scope: "app".to_owned(),
        };
        let two = put("a").after(put("b").after(None, &()).as_ref(), &());
        assert_eq!(
            list.planned(two.as_ref(), &PLACEHOLDERS).unwrap(),
            ["a", "b"]
        );
        let delete = Delete {
            scope: "app".to_owned(),
            key: "A".to_owned(),
        };
        let one = delete.after(two.as_ref(), &());
        assert_eq!(list.planned(one.as_ref(), &PLACEHOLDERS).unwrap(), ["b"]);
        assert_eq!(taken_back(&delete, one.as_ref(), &()), Inverse::Nothing);
    }
}
