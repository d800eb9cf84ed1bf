//! Which path is answered by what.

use std::sync::Arc;

use axum::Router;
use axum::routing::MethodFilter;

use super::caller::Plane;
use super::request::{Methods, no_such_endpoint};
use super::{
    assignments, clusters, federation, groups, jobs, oidc, permissions, principals, rule_sets,
    run_cancel, runs, secret_acls, secrets, settings, sp_secrets, tokens, warehouses, web,
    workspace_objects,
};
use crate::World;

#[allow(
    clippy::needless_pass_by_value,
    reason = "the server gives its handle on the world away"
)]
/// All of the workspace's and the account's HTTP interface.
pub fn router(world: Arc<World>) -> Router {
    let on = |plane| Methods::new(&world, plane);
    Router::new()
        .merge(public(&|| on(Plane::Workspace)))
        .merge(account(&|| on(Plane::Account)))
        .merge(identities(&|| on(Plane::Workspace)))
        .merge(jobs_and_runs(&|| on(Plane::Workspace)))
        .merge(objects(&|| on(Plane::Workspace)))
        .merge(compute(&|| on(Plane::Workspace)))
        .fallback(no_such_endpoint)
}

type On<'a> = &'a dyn Fn() -> Methods;

fn public(on: On<'_>) -> Router {
    let get = MethodFilter::GET;
    let discovery = || on().public(get, oidc::discovery).route();
    let token = || on().public(MethodFilter::POST, oidc::token).route();
    Router::new()
        .route(
            "/.well-known/databricks-config",
            on().public(get, web::config).route(),
        )
        .route("/aad/auth", on().public(get, web::tenant).route())
        .route("/login.html", on().public(get, web::login_page).route())
        .route("/oidc/.well-known/oauth-authorization-server", discovery())
        .route("/oidc/v1/token", token())
        .route(
            "/oidc/accounts/{account}/.well-known/oauth-authorization-server",
            discovery(),
        )
        .route("/oidc/accounts/{account}/v1/token", token())
}

/// Paths of users, service principals and groups under a SCIM base.
fn scim(router: Router, base: &str, on: On<'_>) -> Router {
    let mut router = router;
    for kind in ["ServicePrincipals", "Users"] {
        router = router
            .route(
                &format!("{base}/{kind}"),
                on().get(principals::list).post(principals::create).route(),
            )
            .route(
                &format!("{base}/{kind}/{{id}}"),
                on().get(principals::get)
                    .put(principals::replace)
                    .patch(principals::patch)
                    .delete(principals::delete)
                    .route(),
            );
    }
    router
        .route(
            &format!("{base}/Groups"),
            on().get(groups::list).post(groups::create).route(),
        )
        .route(
            &format!("{base}/Groups/{{id}}"),
            on().get(groups::get)
                .put(groups::replace)
                .patch(groups::patch)
                .delete(groups::delete)
                .route(),
        )
}

fn account(on: On<'_>) -> Router {
    let base = "/api/2.0/accounts/{account}";
    let router = scim(Router::new(), &format!("{base}/scim/v2"), on);
    let router = rule_set_routes(router, "/api/2.0/preview/accounts/{account}", on);
    let router = secret_routes(router, base, on);
    let assigned = format!("{base}/workspaces/{{workspace}}/permissionassignments");
    let mut router = router
        .route(&assigned, on().get(assignments::list).route())
        .route(
            &format!("{assigned}/permissions"),
            on().get(assignments::levels).route(),
        )
        .route(
            &format!("{assigned}/principals/{{principal}}"),
            on().put(assignments::put)
                .delete(assignments::delete)
                .route(),
        );
    for owner in [base.to_owned(), format!("{base}/servicePrincipals/{{id}}")] {
        let policies = format!("{owner}/federationPolicies");
        router = router
            .route(
                &policies,
                on().get(federation::list).post(federation::create).route(),
            )
            .route(
                &format!("{policies}/{{policy}}"),
                on().get(federation::get)
                    .patch(federation::update)
                    .delete(federation::delete)
                    .route(),
            );
    }
    router
}

fn rule_set_routes(router: Router, base: &str, on: On<'_>) -> Router {
    router
        .route(
            &format!("{base}/access-control/rule-sets"),
            on().get(rule_sets::get).put(rule_sets::put).route(),
        )
        .route(
            &format!("{base}/access-control/assignable-roles"),
            on().get(rule_sets::assignable_roles).route(),
        )
}

fn secret_routes(router: Router, base: &str, on: On<'_>) -> Router {
    let secrets = format!("{base}/servicePrincipals/{{id}}/credentials/secrets");
    router
        .route(
            &secrets,
            on().get(sp_secrets::list).post(sp_secrets::create).route(),
        )
        .route(
            &format!("{secrets}/{{secret}}"),
            on().delete(sp_secrets::delete).route(),
        )
}

fn identities(on: On<'_>) -> Router {
    let router = scim(Router::new(), "/api/2.0/preview/scim/v2", on);
    let router = rule_set_routes(router, "/api/2.0/preview/accounts", on);
    let router = secret_routes(router, "/api/2.0/accounts", on);
    let restriction = "/api/2.0/settings/types/restrict_workspace_admins/names/default";
    router
        .route(
            "/api/2.0/preview/scim/v2/Me",
            on().get(principals::me).route(),
        )
        .route(
            "/api/2.0/preview/permissionassignments",
            on().get(assignments::list).post(assignments::post).route(),
        )
        .route(
            "/api/2.0/preview/permissionassignments/principals/{principal}",
            on().put(assignments::put)
                .delete(assignments::delete)
                .route(),
        )
        .route("/api/2.0/token/create", on().post(tokens::create).route())
        .route("/api/2.0/token/list", on().get(tokens::list).route())
        .route("/api/2.0/token/delete", on().post(tokens::delete).route())
        .route("/api/2.0/token/{token}", on().patch(tokens::update).route())
        .route(
            "/api/2.0/token-management/on-behalf-of/tokens",
            on().post(tokens::on_behalf_of).route(),
        )
        .route(
            "/api/2.0/token-management/tokens",
            on().get(tokens::list_managed).route(),
        )
        .route(
            "/api/2.0/token-management/tokens/{token}",
            on().get(tokens::get_managed)
                .delete(tokens::delete_managed)
                .route(),
        )
        .route(
            "/api/2.0/workspace-conf",
            on().get(settings::get_conf)
                .patch(settings::patch_conf)
                .route(),
        )
        .route(
            restriction,
            on().get(settings::get_restriction)
                .patch(settings::patch_restriction)
                .delete(settings::delete_restriction)
                .route(),
        )
}

fn jobs_and_runs(on: On<'_>) -> Router {
    let mut router = Router::new();
    for base in ["/api/2.1/jobs", "/api/2.2/jobs"] {
        for (path, endpoint) in [
            ("create", jobs::create as super::request::Writing),
            ("update", jobs::update),
            ("reset", jobs::reset),
            ("delete", jobs::delete),
            ("run-now", runs::run_now),
            ("runs/submit", runs::submit),
            ("runs/cancel", run_cancel::cancel),
            ("runs/cancel-all", run_cancel::cancel_all),
            ("runs/delete", runs::delete),
            ("runs/repair", runs::repair),
        ] {
            router = router.route(&format!("{base}/{path}"), on().post(endpoint).route());
        }
        // Reading a run may begin the tasks whose time has come.
        for (path, endpoint) in [
            ("runs/get", runs::get as super::request::Writing),
            ("runs/get-output", runs::get_output),
            ("runs/list", runs::list),
        ] {
            let methods = on().write(MethodFilter::GET, endpoint);
            router = router.route(&format!("{base}/{path}"), methods.route());
        }
        router = router
            .route(&format!("{base}/get"), on().get(jobs::get).route())
            .route(&format!("{base}/list"), on().get(jobs::list).route());
    }
    router
}

fn objects(on: On<'_>) -> Router {
    let permitted = || {
        on().get(permissions::get)
            .put(permissions::put)
            .patch(permissions::patch)
            .route()
    };
    let levels = || on().get(permissions::levels).route();
    Router::new()
        .route("/api/2.0/permissions/{type}/{id}", permitted())
        .route(
            "/api/2.0/permissions/{type}/{id}/permissionLevels",
            levels(),
        )
        .route("/api/2.0/permissions/sql/warehouses/{id}", permitted())
        .route(
            "/api/2.0/permissions/sql/warehouses/{id}/permissionLevels",
            levels(),
        )
        .route(
            "/api/2.0/secrets/scopes/create",
            on().post(secrets::create_scope).route(),
        )
        .route(
            "/api/2.0/secrets/scopes/list",
            on().get(secrets::list_scopes).route(),
        )
        .route(
            "/api/2.0/secrets/scopes/delete",
            on().post(secrets::delete_scope).route(),
        )
        .route("/api/2.0/secrets/put", on().post(secrets::put).route())
        .route(
            "/api/2.0/secrets/delete",
            on().post(secrets::delete).route(),
        )
        .route("/api/2.0/secrets/list", on().get(secrets::list).route())
        .route("/api/2.0/secrets/get", on().get(secrets::get).route())
        .route(
            "/api/2.0/secrets/acls/put",
            on().post(secret_acls::put).route(),
        )
        .route(
            "/api/2.0/secrets/acls/delete",
            on().post(secret_acls::delete).route(),
        )
        .route(
            "/api/2.0/secrets/acls/get",
            on().get(secret_acls::get).route(),
        )
        .route(
            "/api/2.0/secrets/acls/list",
            on().get(secret_acls::list).route(),
        )
        .route(
            "/api/2.0/workspace/import",
            on().post(workspace_objects::import).route(),
        )
        .route(
            "/api/2.0/workspace/mkdirs",
            on().post(workspace_objects::mkdirs).route(),
        )
        .route(
            "/api/2.0/workspace/delete",
            on().post(workspace_objects::delete).route(),
        )
        .route(
            "/api/2.0/workspace/get-status",
            on().get(workspace_objects::get_status).route(),
        )
        .route(
            "/api/2.0/workspace/list",
            on().get(workspace_objects::list).route(),
        )
        .route(
            "/api/2.0/workspace/export",
            on().get(workspace_objects::export).route(),
        )
}

fn compute(on: On<'_>) -> Router {
    let mut router = Router::new();
    for base in ["/api/2.0/clusters", "/api/2.1/clusters"] {
        router = router
            .route(
                &format!("{base}/create"),
                on().post(clusters::create).route(),
            )
            .route(
                &format!("{base}/delete"),
                on().post(clusters::delete).route(),
            )
            .route(&format!("{base}/get"), on().get(clusters::get).route())
            .route(&format!("{base}/list"), on().get(clusters::list).route())
            .route(
                &format!("{base}/list-node-types"),
                on().get(clusters::list_node_types).route(),
            )
            .route(
                &format!("{base}/spark-versions"),
                on().get(clusters::spark_versions).route(),
            );
    }
    let statement = "/api/2.0/sql/statements/{statement}";
    router
        .route(
            "/api/2.0/policies/clusters/list",
            on().get(clusters::list_policies).route(),
        )
        .route(
            "/api/2.0/policies/clusters/get",
            on().get(clusters::get_policy).route(),
        )
        .route(
            "/api/2.0/policies/clusters/create",
            on().post(clusters::create_policy).route(),
        )
        .route(
            "/api/2.0/sql/warehouses",
            on().get(warehouses::list).route(),
        )
        .route(
            "/api/2.0/sql/warehouses/{id}",
            on().get(warehouses::get).route(),
        )
        .route(
            "/api/2.0/sql/warehouses/{id}/start",
            on().post(warehouses::start).route(),
        )
        .route(
            "/api/2.0/sql/warehouses/{id}/stop",
            on().post(warehouses::stop).route(),
        )
        .route(
            "/api/2.0/sql/statements",
            on().post(warehouses::execute).route(),
        )
        .route(statement, on().get(warehouses::get_statement).route())
        .route(
            &format!("{statement}/result/chunks/{{chunk}}"),
            on().get(warehouses::get_chunk).route(),
        )
        .route(
            &format!("{statement}/cancel"),
            on().post(warehouses::cancel_statement).route(),
        )
}
