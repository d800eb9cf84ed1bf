//! What clients read before they ask for a token (reference, section 1.6).

use serde_json::{Value, json};

use super::{sts, sts_error};
use crate::{
    World,
    wire::{Incoming, Reply},
};

/// Authority hosts that instance discovery knows.
const AUTHORITIES: [&str; 4] = [
    "login.microsoftonline.com",
    "login.windows.net",
    "login.microsoft.com",
    "sts.windows.net",
];

pub(crate) fn handle(world: &World, incoming: &Incoming, segments: &[&str]) -> Reply {
    match segments {
        ["common", "discovery", "instance"] => instance(incoming),
        [tenant, "v2.0", ".well-known", "openid-configuration"] => {
            in_tenant(world, tenant, |id| configuration(incoming, id, true))
        }
        [tenant, ".well-known", "openid-configuration"] => {
            in_tenant(world, tenant, |id| configuration(incoming, id, false))
        }
        [tenant, "discovery", "v2.0", "keys"] => in_tenant(world, tenant, |id| {
            world
                .signer()
                .jwks(&format!("https://login.microsoftonline.com/{id}/v2.0"))
        }),
        [tenant, "discovery", "keys"] => in_tenant(world, tenant, |id| {
            world
                .signer()
                .jwks(&format!("https://sts.windows.net/{id}/"))
        }),
        _ => Reply::empty(404),
    }
}

fn in_tenant(world: &World, tenant: &str, document: impl FnOnce(&str) -> Value) -> Reply {
    let checked = world.read(|state| {
        sts_error::check_tenant(world, state, tenant)?;
        Ok(state.entra.tenant_id.clone())
    });
    match checked {
        Ok(id) => Reply::json(200, &document(&id)),
        Err(failure) => sts::refused(&failure),
    }
}

fn configuration(incoming: &Incoming, tenant: &str, v2: bool) -> Value {
    let base = format!("{}/{tenant}", incoming.origin());
    let (oauth, keys, issuer) = if v2 {
        (
            format!("{base}/oauth2/v2.0"),
            format!("{base}/discovery/v2.0/keys"),
            format!("https://login.microsoftonline.com/{tenant}/v2.0"),
        )
    } else {
        (
            format!("{base}/oauth2"),
            format!("{base}/discovery/keys"),
            format!("https://sts.windows.net/{tenant}/"),
        )
    };
    json!({
        "token_endpoint": format!("{oauth}/token"),
        "token_endpoint_auth_methods_supported": [
            "client_secret_post", "private_key_jwt", "client_secret_basic",
            "self_signed_tls_client_auth",
        ],
        "jwks_uri": keys,
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "issuer": issuer,
        "userinfo_endpoint": "https://graph.microsoft.com/oidc/userinfo",
        "authorization_endpoint": format!("{oauth}/authorize"),
        "device_authorization_endpoint": format!("{oauth}/devicecode"),
        "end_session_endpoint": format!("{oauth}/logout"),
        "tenant_region_scope": "NA",
        "cloud_instance_name": "microsoftonline.com",
        "cloud_graph_host_name": "graph.windows.net",
        "msgraph_host": "graph.microsoft.com",
    })
}

fn instance(incoming: &Incoming) -> Reply {
    let endpoint = incoming.query("authorization_endpoint").unwrap_or_default();
    let mut parts = endpoint
        .strip_prefix("https://")
        .unwrap_or_default()
        .split('/');
    let host = parts.next().unwrap_or_default();
    let tenant = parts.next().unwrap_or_default();
    if !AUTHORITIES.contains(&host.to_ascii_lowercase().as_str()) {
        return Reply::json(
            400,
            &json!({
                "error": "invalid_instance",
                "error_description": "AADSTS50049: Unknown or invalid instance.",
                "error_codes": [50049],
            }),
        );
    }
    let discovery = format!("https://{host}/{tenant}/v2.0/.well-known/openid-configuration");
    Reply::json(
        200,
        &json!({
            "tenant_discovery_endpoint": discovery,
            "api-version": "1.1",
            "metadata": [{
                "preferred_network": "login.microsoftonline.com",
                "preferred_cache": "login.windows.net",
                "aliases": AUTHORITIES,
            }],
        }),
    )
}
