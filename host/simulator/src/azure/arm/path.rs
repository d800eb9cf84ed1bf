//! Resource ids taken apart.

use super::error::{self, ArmError};
use crate::State;

/// A resource id: a scope, and under its last provider types and names by turns.
#[derive(Debug, PartialEq)]
pub(super) struct Resource {
    /// The whole id, with a leading slash.
    pub(super) path: String,
    /// What comes before the last provider.
    pub(super) scope: String,
    provider: Option<Vec<String>>,
}

impl Resource {
    pub(super) fn of(segments: &[String]) -> Self {
        let path = join(segments);
        let last = segments
            .iter()
            .rposition(|part| part.eq_ignore_ascii_case("providers"));
        match last.and_then(|at| Some((segments.get(..at)?, segments.get(at + 1..)?))) {
            Some((scope, provider)) => Self {
                path,
                scope: join(scope),
                provider: Some(provider.to_vec()),
            },
            None => Self {
                scope: path.clone(),
                path,
                provider: None,
            },
        }
    }

    /// The type in lower case, and the names in it.
    pub(super) fn kind(&self) -> (String, Vec<String>) {
        let Some((namespace, rest)) = self.provider.as_ref().and_then(|parts| parts.split_first())
        else {
            return (String::new(), Vec::new());
        };
        let types = rest.iter().step_by(2).map(String::as_str);
        let kind: Vec<&str> = std::iter::once(namespace.as_str()).chain(types).collect();
        let names = rest.iter().skip(1).step_by(2).cloned().collect();
        (kind.join("/").to_ascii_lowercase(), names)
    }

    /// The subscription's id in the scope.
    pub(super) fn subscription(&self) -> Option<&str> {
        after(&self.scope, "subscriptions")
    }

    /// The resource group's name in the scope.
    pub(super) fn group(&self) -> Option<&str> {
        after(&self.scope, "resourceGroups")
    }

    /// Refuses a subscription or resource group that does not exist.
    pub(super) fn check_parents(&self, state: &State) -> Result<(), ArmError> {
        let Some(id) = self.subscription() else {
            return Ok(());
        };
        let subscription = state
            .azure
            .subscriptions
            .iter()
            .find(|known| known.id.eq_ignore_ascii_case(id))
            .ok_or_else(|| error::no_subscription(id))?;
        let Some(name) = self.group() else {
            return Ok(());
        };
        let groups = &subscription.resource_groups;
        if groups
            .iter()
            .any(|group| group.name.eq_ignore_ascii_case(name))
        {
            Ok(())
        } else {
            Err(error::no_group(name))
        }
    }
}

fn join(segments: &[String]) -> String {
    if segments.is_empty() {
        "/".to_owned()
    } else {
        format!("/{}", segments.join("/"))
    }
}

fn after<'a>(path: &'a str, label: &str) -> Option<&'a str> {
    let mut parts = path.split('/');
    parts.find(|part| part.eq_ignore_ascii_case(label))?;
    parts.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str) -> Resource {
        let parts: Vec<String> = path
            .split('/')
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect();
        Resource::of(&parts)
    }

    #[test]
    fn the_last_provider_names_the_type() {
        let vault = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/kv";
        let grant = of(&format!(
            "{vault}/providers/Microsoft.Authorization/roleAssignments/g"
        ));
        assert_eq!(grant.scope, vault);
        assert_eq!(
            grant.kind(),
            (
                "microsoft.authorization/roleassignments".into(),
                vec!["g".into()]
            )
        );
        assert_eq!(
            (grant.subscription(), grant.group()),
            (Some("s"), Some("rg"))
        );
        let policies = of(&format!("{vault}/accessPolicies/add"));
        assert_eq!(policies.kind().1, ["kv", "add"]);
        assert_eq!(of("/subscriptions/s").kind().0, "");
        assert_eq!(
            of("/providers/Microsoft.Authorization/roleDefinitions").scope,
            "/"
        );
    }
}
