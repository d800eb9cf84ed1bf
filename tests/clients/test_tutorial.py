"""The whole tutorial with nothing but the vendors' clients, from an application to a run."""

import base64
import datetime

from azure.keyvault.secrets import SecretClient
from databricks.sdk.service.compute import ClusterSpec
from databricks.sdk.service.iam import ComplexValue, GrantRule, RuleSetUpdateRequest
from databricks.sdk.service.jobs import JobRunAs, NotebookTask, RunResultState, Task
from databricks.sdk.service.workspace import (
    AclPermission,
    AzureKeyVaultSecretScopeMetadata,
    ImportFormat,
    Language,
    ScopeBackendType,
)

from simulator import (
    ACCOUNT,
    DATABRICKS_PRINCIPAL,
    OPERATOR_CLIENT,
    TENANT,
    storage_id,
    vault_id,
)

VAULT = "https://kv-demo.vault.azure.net"
NOTEBOOK = """\
numbers = spark.read.csv("abfss://data@stdemo.dfs.core.windows.net/raw/numbers.csv")
one = spark.sql("SELECT 1").collect()[0][0]
dbutils.notebook.exit(str(one))
"""


def test_from_an_application_to_a_run(graph, operator, workspace, assign):
    # Register: an application, its service principal and a secret.
    app = graph.register("etl-demo")

    # Import: the service principal joins the workspace, with what its job needs.
    workspace.service_principals.create(
        application_id=app.client_id,
        display_name="etl-demo",
        entitlements=[
            ComplexValue(value="workspace-access"),
            ComplexValue(value="allow-cluster-create"),
        ],
    )

    # Grant: the operator may let jobs run as it, and it may read the data.
    proxy = workspace.account_access_control_proxy
    name = f"accounts/{ACCOUNT}/servicePrincipals/{app.client_id}/ruleSets/default"
    rules = proxy.get_rule_set(name, etag="")
    user = GrantRule(
        role="roles/servicePrincipal.user", principals=[f"servicePrincipals/{OPERATOR_CLIENT}"]
    )
    grants = [*rules.grant_rules, user]
    proxy.update_rule_set(
        name, RuleSetUpdateRequest(name=name, etag=rules.etag, grant_rules=grants)
    )
    assign(storage_id("stdemo"), "Storage Blob Data Reader", app.principal_id)

    # Scope: the secret in the vault, which Databricks may read, and a scope over it.
    expires = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=90)
    SecretClient(VAULT, operator).set_secret("etl-secret", app.secret, expires_on=expires)
    assign(vault_id("kv-demo"), "Key Vault Secrets User", DATABRICKS_PRINCIPAL)
    workspace.secrets.create_scope(
        "etl",
        scope_backend_type=ScopeBackendType.AZURE_KEYVAULT,
        backend_azure_keyvault=AzureKeyVaultSecretScopeMetadata(
            resource_id=vault_id("kv-demo"), dns_name=f"{VAULT}/"
        ),
    )
    workspace.secrets.put_acl("etl", app.client_id, AclPermission.READ)

    # Job: a notebook, and a cluster that signs in to the storage account.
    workspace.workspace.mkdirs("/Shared/etl-demo")
    workspace.workspace.import_(
        "/Shared/etl-demo/smoke",
        content=base64.b64encode(NOTEBOOK.encode()).decode(),
        format=ImportFormat.SOURCE,
        language=Language.PYTHON,
    )
    host = "stdemo.dfs.core.windows.net"
    prefix = "fs.azure.account"
    token = "org.apache.hadoop.fs.azurebfs.oauth2.ClientCredsTokenProvider"
    cluster = ClusterSpec(
        spark_version="15.4.x-scala2.12",
        node_type_id="Standard_DS3_v2",
        num_workers=0,
        spark_conf={
            f"{prefix}.auth.type.{host}": "OAuth",
            f"{prefix}.oauth.provider.type.{host}": token,
            f"{prefix}.oauth2.client.id.{host}": app.client_id,
            f"{prefix}.oauth2.client.secret.{host}": "{{secrets/etl/etl-secret}}",
            f"{prefix}.oauth2.client.endpoint.{host}": (
                f"https://login.microsoftonline.com/{TENANT}/oauth2/token"
            ),
        },
    )
    task = Task(
        task_key="main",
        notebook_task=NotebookTask(notebook_path="/Shared/etl-demo/smoke"),
        new_cluster=cluster,
    )
    job = workspace.jobs.create(
        name="etl-demo", tasks=[task], run_as=JobRunAs(service_principal_name=app.client_id)
    )

    # Test run: it succeeds as the service principal, and its output says 1.
    run = workspace.jobs.run_now(job.job_id).result()
    assert run.state.result_state == RunResultState.SUCCESS, run.state.state_message
    assert workspace.jobs.get_run_output(run.tasks[0].run_id).notebook_output.result == "1"
