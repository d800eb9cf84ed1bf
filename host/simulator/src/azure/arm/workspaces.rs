//! Databricks workspaces as Azure resources (reference, section 3.4).

use serde_json::{Value, json};

use super::{Answer, Request, error, path::Resource};
use crate::{
    State,
    azure::{Workspace, access},
    wire::Reply,
};

const TYPE: &str = "Microsoft.Databricks/workspaces";
const READ: &str = "Microsoft.Databricks/workspaces/read";

fn printed(workspace: &Workspace) -> Value {
    let mut properties = json!({
        "workspaceId": workspace.workspace_id,
        "workspaceUrl": workspace.workspace_url,
        "provisioningState": "Succeeded",
        "computeMode": "Hybrid",
        "isUcEnabled": true,
        "authorizations": [],
        "parameters": {},
    });
    if let Some(members) = properties.as_object_mut() {
        members.extend(workspace.properties.clone());
    }
    json!({
        "id": workspace.id,
        "name": workspace.name,
        "type": TYPE,
        "location": workspace.location,
        "sku": {"name": "premium"},
        "tags": {},
        "properties": properties,
    })
}

pub(super) fn list(request: &Request<'_>, state: &State, resource: &Resource) -> Answer {
    resource.check_parents(state)?;
    let shown: Vec<Value> = state
        .azure
        .workspaces
        .iter()
        .filter(|workspace| access::covers(&resource.scope, &workspace.id))
        .filter(|workspace| {
            access::allowed(
                request.world,
                state,
                &request.caller.oid,
                READ,
                &workspace.id,
            )
        })
        .map(printed)
        .collect();
    Ok(Request::page(&shown))
}

pub(super) fn get(request: &Request<'_>, state: &State, resource: &Resource, name: &str) -> Answer {
    resource.check_parents(state)?;
    request.check(state, READ, &resource.path)?;
    let mut workspaces = state.azure.workspaces.iter();
    let found = workspaces.find(|one| one.id.eq_ignore_ascii_case(&resource.path));
    let group = resource.group().unwrap_or_default();
    let workspace = found.ok_or_else(|| error::no_resource(TYPE, name, group))?;
    Ok(Reply::json(200, &printed(workspace)))
}
