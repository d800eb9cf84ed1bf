//! Rights and secrets on the way through the Key Vault that are missing.

use serde_json::{Value, json};

use crate::cloud::{self, RERUN};
use crate::refused::Refusal;
use crate::support::{Project, VAULT};

/// Seeded role assignments of the operator.
const CONTRIBUTOR: &str = "0f0f0f0f-0000-4000-8000-000000000001";
const ACCESS_ADMINISTRATOR: &str = "0f0f0f0f-0000-4000-8000-000000000002";
const SECRETS_OFFICER: &str = "0f0f0f0f-0000-4000-8000-000000000003";
/// The service principal of AzureDatabricks, and its application.
const AZURE_DATABRICKS: (&str, &str) = (
    "0b0b0b0b-0000-4000-8000-000000000001",
    "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d",
);

/// The storage variant in a cloud where `change` happened before.
fn refused(change: impl FnOnce(&mut Value), refusal: &Refusal<'_>) {
    let project = Project::new();
    cloud::seed(&project);
    cloud::change(&project, change);
    let inputs = project.storage_inputs("etl-demo");
    refusal.of(
        &project,
        &["run", "onboard", "--inputs", inputs.to_str().unwrap()],
    );
}

fn drop_role(cloud: &mut Value, assignment: &str) {
    cloud::drop_member(&mut cloud["azure"]["role_assignments"], "name", assignment);
}

/// What a run of the job says when `change` happened after everything was set up.
fn rerun(change: impl FnOnce(&mut Value), said: (&str, &str), cause: &str, help: &str) {
    let project = Project::new();
    project.ok(&["init"]);
    project.write("workflows/rerun.toml", RERUN);
    let inputs = project.storage_inputs("etl-demo");
    let (code, document) = project.json(&["run", "onboard", "--inputs", inputs.to_str().unwrap()]);
    assert_eq!(code, 0, "{document:#}");
    let job = document["steps"][4]["outputs"]["id"].as_str().unwrap();
    cloud::change(&project, change);
    Refusal {
        step: "test_run",
        operation: "databricks/jobs.get-run",
        status: Some(200),
        said,
        cause,
        help,
        not_run: &[],
    }
    .of(&project, &["run", "rerun", "-i", &format!("job={job}")]);
}

fn application(cloud: &mut Value) -> &mut Value {
    cloud::member(
        &mut cloud["entra"]["applications"],
        "display_name",
        "etl-demo",
    )
}

fn secret(cloud: &mut Value) -> &mut Value {
    let vault = cloud::member(&mut cloud["azure"]["vaults"], "name", "kv-demo");
    cloud::member(&mut vault["secrets"], "name", "etl-demo-client-secret")
}

/// 4j
#[test]
fn without_read_on_the_scope_the_cluster_does_not_start() {
    let acl =
        r#"with.acl       = [{ principal = "${steps.register.app_id}", permission = "read" }]"#;
    let project = cloud::edited(&[(acl, "with.acl = []")]);
    let inputs = project.storage_inputs("etl-demo");
    Refusal {
        step: "test_run",
        operation: "databricks/jobs.get-run",
        status: Some(200),
        said: (
            "CLUSTER_ERROR",
            "does not have READ permission on scope sp-etl-demo",
        ),
        cause: "the service principal may not read the secret scope",
        help: "add it with permission read to the acl of the scope step",
        not_run: &[],
    }
    .of(
        &project,
        &["run", "onboard", "--inputs", inputs.to_str().unwrap()],
    );
}

/// 4l, R39
#[test]
fn without_the_vault_role_databricks_cannot_read() {
    rerun(
        |cloud| {
            let roles = &mut cloud["azure"]["role_assignments"];
            cloud::drop_member(roles, "principal_id", AZURE_DATABRICKS.0);
        },
        (
            "CLUSTER_ERROR",
            &format!("Caller: name=AzureDatabricks;appid={}", AZURE_DATABRICKS.1),
        ),
        "AzureDatabricks may not read the Key Vault behind the scope",
        "run the scope step again",
    );
}

/// 4h
#[test]
fn a_secret_that_is_gone_from_the_vault() {
    rerun(
        |cloud| {
            let vault = cloud::member(&mut cloud["azure"]["vaults"], "name", "kv-demo");
            vault["secrets"] = json!([]);
        },
        (
            "CLUSTER_ERROR",
            "Secret does not exist with scope: sp-etl-demo and key",
        ),
        "the scope has no secret of that name",
        "run the scope step again",
    );
}

/// R04, 4o, R40: the application has no such secret any more.
#[test]
fn an_application_without_its_secret() {
    rerun(
        |cloud| application(cloud)["passwords"] = json!([]),
        ("RUN_EXECUTION_ERROR", "AADSTS7000215"),
        "the client secret is wrong",
        "run the workflow again, which renews",
    );
}

/// R05, R40
#[test]
fn an_expired_secret() {
    rerun(
        |cloud| {
            let password = &mut application(cloud)["passwords"][0];
            password["end"] = json!("2026-01-01T00:00:00Z");
            password["start"] = json!("2025-01-01T00:00:00Z");
        },
        ("RUN_EXECUTION_ERROR", "AADSTS7000222"),
        "the client secret has expired",
        "run the workflow again, which renews",
    );
}

/// R09
#[test]
fn a_principal_disabled_in_entra_gets_no_storage_token() {
    rerun(
        |cloud| {
            let id = application(cloud)["app_id"].as_str().unwrap().to_owned();
            let principals = &mut cloud["entra"]["service_principals"];
            cloud::member(principals, "app_id", &id)["enabled"] = false.into();
        },
        ("RUN_EXECUTION_ERROR", "AADSTS7000112"),
        "disabled in Entra",
        "Enterprise applications",
    );
}

/// R03
#[test]
fn a_principal_missing_from_entra_gets_no_storage_token() {
    rerun(
        |cloud| {
            let id = application(cloud)["app_id"].as_str().unwrap().to_owned();
            cloud::drop_member(&mut cloud["entra"]["service_principals"], "app_id", &id);
        },
        ("RUN_EXECUTION_ERROR", "AADSTS7000229"),
        "Entra refused the sign-in",
        "AADSTS code",
    );
}

/// R35: Contributor on the vault is not enough for its secrets.
#[test]
fn without_a_data_role_the_operator_cannot_look_into_the_vault() {
    refused(
        |cloud| drop_role(cloud, SECRETS_OFFICER),
        &Refusal {
            step: "register",
            operation: "azure/key-vault-secrets.find",
            status: Some(403),
            said: ("Forbidden", "Caller is not authorized to perform action"),
            cause: "may not read this Key Vault's secrets; Owner or Contributor is not enough",
            help: "Key Vault Secrets Officer",
            not_run: &["import", "grant", "scope", "job", "test_run"],
        },
    );
}

/// R28
#[test]
fn without_access_administration_the_operator_cannot_let_databricks_read() {
    refused(
        |cloud| drop_role(cloud, ACCESS_ADMINISTRATOR),
        &Refusal {
            step: "scope",
            operation: "azure/role-assignments.create",
            status: Some(403),
            said: (
                "AuthorizationFailed",
                "Microsoft.Authorization/roleAssignments/write",
            ),
            cause: "may not assign roles on the vault; Contributor is not enough",
            help: "User Access Administrator",
            not_run: &["test_run"],
        },
    );
}

/// 4b: the run made the role by which Databricks reads, and no wait for it would help a caller who may
/// not write the vault.
#[test]
fn without_contributor_databricks_cannot_let_itself_in() {
    let project = Project::new();
    cloud::seed(&project);
    cloud::change(&project, |cloud| drop_role(cloud, CONTRIBUTOR));
    let inputs = project.storage_inputs("etl-demo");
    let arguments = ["run", "onboard", "--inputs", inputs.to_str().unwrap()];
    Refusal {
        step: "scope",
        operation: "databricks/secret-scopes.create",
        status: Some(403),
        said: (
            "PERMISSION_DENIED",
            "Unable to grant read/list permission to Databricks service principal",
        ),
        cause: "may not write the vault",
        help: "Key Vault Contributor on the vault",
        not_run: &["test_run"],
    }
    .of(&project, &arguments);
    let tried = |project: &Project| {
        let writes = cloud::writes(project);
        let scopes = writes.iter().filter(|it| it.contains("/scopes/create"));
        scopes.count()
    };
    assert_eq!(tried(&project), 1, "it was not waited for");
}

/// A principal that the run did not make cannot be one that is only late.
#[test]
fn an_unknown_reader_of_the_scope_is_not_waited_for() {
    let acl =
        r#"with.acl       = [{ principal = "${steps.register.app_id}", permission = "read" }]"#;
    let unknown = acl.replace("${steps.register.app_id}", "nobody@contoso.com");
    let project = cloud::edited(&[(acl, &unknown)]);
    let inputs = project.storage_inputs("etl-demo");
    Refusal {
        step: "scope",
        operation: "databricks/secret-acls.put",
        status: Some(404),
        said: (
            "RESOURCE_DOES_NOT_EXIST",
            "Principal nobody@contoso.com does not exist",
        ),
        cause: "the workspace does not know the principal",
        help: "check the principal in the acl of the scope step",
        not_run: &["test_run"],
    }
    .of(
        &project,
        &["run", "onboard", "--inputs", inputs.to_str().unwrap()],
    );
    let writes = cloud::writes(&project);
    let tried = writes.iter().filter(|it| it.contains("/acls/put")).count();
    assert_eq!(tried, 1, "it was not waited for");
}

/// R22: the lifetime that the workflow asks for is longer than the tenant's policy allows.
#[test]
fn a_lifetime_beyond_the_tenants_policy() {
    refused(
        |cloud| cloud["entra"]["credential_policy"]["longest_days"] = 30.into(),
        &Refusal {
            step: "register",
            operation: "entra/credentials.add-password",
            status: Some(400),
            said: ("CredentialInvalidLifetimeAsPerAppPolicy", ""),
            cause: "allows only shorter-lived secrets",
            help: "ask for a shorter lifetime",
            not_run: &["import", "grant", "scope", "job", "test_run"],
        },
    );
}

/// R22
#[test]
fn a_tenant_that_bans_passwords() {
    refused(
        |cloud| cloud["entra"]["credential_policy"]["passwords_banned"] = true.into(),
        &Refusal {
            step: "register",
            operation: "entra/credentials.add-password",
            status: Some(400),
            said: ("CredentialTypeNotAllowedAsPerAppPolicy", ""),
            cause: "forbids client secrets",
            help: "federated credentials",
            not_run: &["import", "grant", "scope", "job", "test_run"],
        },
    );
}

/// R36: a deleted secret keeps its name, so it is recovered and gets a new version.
#[test]
fn a_secret_that_was_deleted_lately_is_brought_back() {
    let project = Project::new();
    let inputs = project.storage_inputs("etl-demo");
    let arguments = ["run", "onboard", "--inputs", inputs.to_str().unwrap()];
    project.ok(&arguments);
    cloud::change(&project, |cloud| {
        let created = application(cloud)["created"].clone();
        secret(cloud)["deleted"] = created;
    });
    project.ok(&arguments);
    let mut cloud = cloud::state(&project);
    let secret = secret(&mut cloud).clone();
    assert_eq!(secret["deleted"], Value::Null);
    let newest = &secret["versions"].as_array().unwrap()[1];
    let passwords = &application(&mut cloud)["passwords"];
    assert_eq!(
        passwords.as_array().unwrap().len(),
        1,
        "the lost secret was revoked"
    );
    assert_eq!(newest["tags"]["key_id"], passwords[0]["key_id"]);
}

/// 4d: the scope's name is taken by one with something else behind it.
#[test]
fn a_scope_with_another_backend_is_left_alone() {
    let project = Project::new();
    let inputs = project.storage_inputs("etl-demo");
    let arguments = ["run", "onboard", "--inputs", inputs.to_str().unwrap()];
    project.ok(&arguments);
    cloud::change(&project, |cloud| {
        let backend = &mut cloud["databricks"]["scopes"]["sp-etl-demo"]["backend"]["KeyVault"];
        backend["resource_id"] = json!(VAULT.replace("kv-demo", "kv-policy"));
    });
    Refusal {
        step: "scope",
        operation: "databricks/secret-scopes.find",
        status: None,
        said: ("BACKEND", "kv-policy behind it, not"),
        cause: "what is behind a scope cannot be changed",
        help: "choose another name",
        not_run: &["test_run"],
    }
    .of(&project, &arguments);
}

/// 4c: the vault's id and URL are those of two vaults.
#[test]
fn an_id_and_a_url_of_two_vaults() {
    let project = Project::new();
    let inputs = project.storage_inputs("etl-demo");
    cloud::edit(
        &project,
        "etl-demo.inputs.toml",
        "vaults/kv-demo",
        "vaults/kv-policy",
    );
    Refusal {
        step: "scope",
        operation: "azure/key-vaults.get",
        status: None,
        said: (
            "URL",
            "the vault's URL is https://kv-policy.vault.azure.net",
        ),
        cause: "vault_id and vault_url belong to two vaults",
        help: "correct one of them",
        not_run: &["test_run"],
    }
    .of(
        &project,
        &["run", "onboard", "--inputs", inputs.to_str().unwrap()],
    );
}
