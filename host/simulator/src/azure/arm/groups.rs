//! Subscriptions and resource groups, as far as clients look them up.

use serde_json::{Value, json};

use super::{Answer, Request, error, path::Resource};
use crate::{
    State,
    azure::{ResourceGroup, Subscription, access},
    wire::Reply,
};

pub(super) fn get(request: &Request<'_>, state: &State, resource: &Resource) -> Answer {
    let parts: Vec<&str> = resource
        .path
        .split('/')
        .filter(|part| !part.is_empty())
        .collect();
    let tenant = &state.entra.tenant_id;
    if parts.len() == 1 && resource.subscription().is_none() && parts == ["subscriptions"] {
        let known = state
            .azure
            .subscriptions
            .iter()
            .filter(|one| sees(request, state, one));
        let shown: Vec<Value> = known.map(|one| subscription(tenant, one)).collect();
        return Ok(Request::page(&shown));
    }
    resource.check_parents(state)?;
    let id = resource.subscription().unwrap_or_default();
    let known = state
        .azure
        .subscriptions
        .iter()
        .find(|one| one.id.eq_ignore_ascii_case(id));
    let known = known.ok_or_else(|| error::no_subscription(id))?;
    match (parts.len(), resource.group()) {
        (2, None) => {
            request.check(
                state,
                "Microsoft.Resources/subscriptions/read",
                &resource.path,
            )?;
            Ok(Reply::json(200, &subscription(tenant, known)))
        }
        (3, None)
            if resource
                .path
                .to_ascii_lowercase()
                .ends_with("/resourcegroups") =>
        {
            let action = "Microsoft.Resources/subscriptions/resourceGroups/read";
            let oid = &request.caller.oid;
            let shown: Vec<Value> = known
                .resource_groups
                .iter()
                .map(|one| group(known, one))
                .filter(|one| {
                    let scope = one.get("id").and_then(Value::as_str).unwrap_or_default();
                    access::allowed(request.world, state, oid, action, scope)
                })
                .collect();
            Ok(Request::page(&shown))
        }
        (4, Some(name)) => {
            let action = "Microsoft.Resources/subscriptions/resourceGroups/read";
            request.check(state, action, &resource.path)?;
            let found = known
                .resource_groups
                .iter()
                .find(|one| one.name.eq_ignore_ascii_case(name));
            let found = found.ok_or_else(|| error::no_group(name))?;
            Ok(Reply::json(200, &group(known, found)))
        }
        _ => Err(error::unknown_type(&resource.path)),
    }
}

/// A subscription is listed to who has any role in it.
fn sees(request: &Request<'_>, state: &State, subscription: &Subscription) -> bool {
    let scope = format!("/subscriptions/{}", subscription.id);
    state.azure.role_assignments.iter().any(|grant| {
        grant.principal_id == request.caller.oid
            && (access::covers(&scope, &grant.scope) || access::covers(&grant.scope, &scope))
    })
}

fn subscription(tenant: &str, subscription: &Subscription) -> Value {
    json!({
        "id": format!("/subscriptions/{}", subscription.id),
        "subscriptionId": subscription.id,
        "tenantId": tenant,
        "displayName": "Contoso data",
        "state": "Enabled",
    })
}

fn group(subscription: &Subscription, group: &ResourceGroup) -> Value {
    json!({
        "id": format!("/subscriptions/{}/resourceGroups/{}", subscription.id, group.name),
        "name": group.name,
        "type": "Microsoft.Resources/resourceGroups",
        "location": group.location,
        "properties": {"provisioningState": "Succeeded"},
    })
}
