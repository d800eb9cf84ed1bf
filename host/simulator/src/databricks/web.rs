//! What a workspace shows without credentials: its metadata, its tenant, its sign-in page
//! (reference/databricks.md, sections 2.1 and 2.3).

use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse as _};
use serde_json::json;

use super::errors::SIGN_IN_PAGE;
use super::request::{Answer, Request, ok};

/// `GET /.well-known/databricks-config`
pub(super) fn config(request: &Request, state: &mut crate::State) -> Answer {
    let state = &state.databricks;
    let origin = request.origin();
    if request.host().starts_with("accounts.") {
        return ok(json!({
            "oidc_endpoint": format!("{origin}/oidc/accounts/{}", state.account_id),
            "account_id": state.account_id,
            "cloud": "azure",
            "host_type": "account",
        }));
    }
    ok(json!({
        "oidc_endpoint": format!("{origin}/oidc"),
        "account_id": state.account_id,
        "workspace_id": state.workspace.id.to_string(),
        "cloud": "azure",
        "host_type": "workspace",
    }))
}

/// `GET /aad/auth`: the redirect from which clients learn the workspace's tenant.
#[allow(
    clippy::unnecessary_wraps,
    reason = "an endpoint answers with an Answer"
)]
pub(super) fn tenant(request: &Request, state: &mut crate::State) -> Answer {
    let address = format!(
        "https://login.microsoftonline.com/{}/oauth2/authorize?response_type=code&resource={}&redirect_uri={}/login.html",
        state.databricks.workspace.tenant_id,
        super::caller::DATABRICKS_APPLICATION,
        request.origin()
    );
    Ok((StatusCode::FOUND, [(header::LOCATION, address)]).into_response())
}

/// `GET /login.html`
#[allow(
    clippy::unnecessary_wraps,
    reason = "an endpoint answers with an Answer"
)]
pub(super) fn login_page(_: &Request, _: &mut crate::State) -> Answer {
    Ok(Html(SIGN_IN_PAGE).into_response())
}
