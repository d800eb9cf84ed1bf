"""Secrets, notebooks, permissions and statements by databricks-sdk."""

import base64
import io

import pytest
from azure.keyvault.secrets import SecretClient
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import (
    BadRequest,
    InvalidParameterValue,
    NotFound,
    PermissionDenied,
    ResourceAlreadyExists,
    ResourceDoesNotExist,
)
from databricks.sdk.service.iam import AccessControlRequest, ComplexValue, PermissionLevel
from databricks.sdk.service.sql import StatementState
from databricks.sdk.service.workspace import (
    AclPermission,
    AzureKeyVaultSecretScopeMetadata,
    ExportFormat,
    ImportFormat,
    Language,
    ObjectType,
    ScopeBackendType,
)

from simulator import BOB, DATABRICKS_PRINCIPAL, WAREHOUSE, WORKSPACE, vault_id


@pytest.fixture(scope="module")
def member(graph, workspace):
    app = graph.register("member")
    workspace.service_principals.create(
        application_id=app.client_id,
        display_name="member",
        entitlements=[ComplexValue(value="workspace-access")],
    )
    return app


def test_a_scope_of_databricks(workspace, member):
    secrets = workspace.secrets
    secrets.create_scope("own")
    assert "own" in [each.name for each in secrets.list_scopes()]
    with pytest.raises(ResourceAlreadyExists):
        secrets.create_scope("own")
    secrets.put_secret("own", "key", string_value="not-a-real-secret")
    assert [each.key for each in secrets.list_secrets("own")] == ["key"]
    assert base64.b64decode(secrets.get_secret("own", "key").value) == b"not-a-real-secret"

    other = member.workspace().secrets
    with pytest.raises(PermissionDenied):
        other.get_secret("own", "key")
    secrets.put_acl("own", member.client_id, AclPermission.READ)
    assert base64.b64decode(other.get_secret("own", "key").value) == b"not-a-real-secret"
    with pytest.raises(PermissionDenied):
        other.put_secret("own", "key", string_value="not-a-real-secret")
    acls = {each.principal: each.permission for each in secrets.list_acls("own")}
    assert acls[member.client_id] == AclPermission.READ
    secrets.delete_acl("own", member.client_id)
    with pytest.raises(PermissionDenied):
        other.get_secret("own", "key")

    secrets.delete_secret("own", "key")
    with pytest.raises(ResourceDoesNotExist):
        secrets.get_secret("own", "key")
    secrets.delete_scope("own")
    with pytest.raises(ResourceDoesNotExist):
        list(secrets.list_secrets("own"))


def create_vault_scope(client, name, vault="kv-demo"):
    client.secrets.create_scope(
        name,
        scope_backend_type=ScopeBackendType.AZURE_KEYVAULT,
        backend_azure_keyvault=AzureKeyVaultSecretScopeMetadata(
            resource_id=vault_id(vault), dns_name=f"https://{vault}.vault.azure.net/"
        ),
        initial_manage_principal="users",
    )


def test_a_scope_of_a_key_vault(workspace, operator, assign):
    SecretClient("https://kv-demo.vault.azure.net", operator).set_secret(
        "backed", "not-a-real-secret"
    )
    create_vault_scope(workspace, "vault")
    (scope,) = [each for each in workspace.secrets.list_scopes() if each.name == "vault"]
    assert scope.backend_type == ScopeBackendType.AZURE_KEYVAULT
    assert scope.keyvault_metadata.resource_id == vault_id("kv-demo")
    with pytest.raises(BadRequest):
        workspace.secrets.put_secret("vault", "key", string_value="not-a-real-secret")
    # The vault has roles, and nothing has let Databricks in.
    with pytest.raises(PermissionDenied):
        list(workspace.secrets.list_secrets("vault"))
    assign(vault_id("kv-demo"), "Key Vault Secrets User", DATABRICKS_PRINCIPAL)
    assert "backed" in [each.key for each in workspace.secrets.list_secrets("vault")]


def test_a_scope_of_a_vault_with_policies_lets_databricks_in(workspace, operator):
    SecretClient("https://kv-policy.vault.azure.net", operator).set_secret(
        "backed", "not-a-real-secret"
    )
    create_vault_scope(workspace, "policy", "kv-policy")
    assert [each.key for each in workspace.secrets.list_secrets("policy")] == ["backed"]


def test_a_key_vault_scope_takes_an_entra_token(workspace):
    token = workspace.tokens.create(lifetime_seconds=600).token_value
    client = WorkspaceClient(host=WORKSPACE, token=token)
    with pytest.raises(InvalidParameterValue, match="userAADToken"):
        create_vault_scope(client, "by-token")


def test_notebooks(workspace):
    objects = workspace.workspace
    objects.mkdirs("/Shared/notebooks")
    source = base64.b64encode(b"SELECT 1").decode()

    def create(overwrite):
        objects.import_(
            "/Shared/notebooks/one",
            content=source,
            format=ImportFormat.SOURCE,
            language=Language.SQL,
            overwrite=overwrite,
        )

    create(False)
    with pytest.raises(ResourceAlreadyExists):
        create(False)
    create(True)
    status = objects.get_status("/Shared/notebooks/one")
    assert (status.object_type, status.language) == (ObjectType.NOTEBOOK, Language.SQL)
    assert [each.path for each in objects.list("/Shared/notebooks")] == ["/Shared/notebooks/one"]
    exported = objects.export("/Shared/notebooks/one", format=ExportFormat.SOURCE)
    assert base64.b64decode(exported.content) == b"-- Databricks notebook source\nSELECT 1"
    with pytest.raises(BadRequest):
        objects.delete("/Shared/notebooks")
    objects.delete("/Shared/notebooks", recursive=True)
    with pytest.raises(ResourceDoesNotExist):
        objects.get_status("/Shared/notebooks/one")


def test_upload_and_download(workspace):
    """The helpers of the client, which send a form and read the bare content."""
    workspace.workspace.upload(
        "/Shared/uploaded",
        io.BytesIO(b"print(1)"),
        format=ImportFormat.SOURCE,
        language=Language.PYTHON,
    )
    with workspace.workspace.download("/Shared/uploaded") as file:
        assert file.read().endswith(b"print(1)")


def test_a_large_notebook(workspace):
    def write(mebibytes: int):
        content = base64.b64encode(b"-" * (mebibytes << 20)).decode()
        workspace.workspace.import_(
            "/Shared/large", content=content, format=ImportFormat.SOURCE, language=Language.SQL
        )

    write(3)
    with pytest.raises(BadRequest) as raised:
        write(11)
    assert raised.value.error_code == "MAX_NOTEBOOK_SIZE_EXCEEDED"


def test_permissions_on_a_notebook(workspace, member):
    path = "/Users/bob@contoso.com/private"
    workspace.workspace.import_(
        path,
        content=base64.b64encode(b"SELECT 1").decode(),
        language=Language.SQL,
        format=ImportFormat.SOURCE,
    )
    with pytest.raises(PermissionDenied):
        member.workspace().workspace.export(path)
    number = str(workspace.workspace.get_status(path).object_id)
    read = AccessControlRequest(
        service_principal_name=member.client_id, permission_level=PermissionLevel.CAN_READ
    )
    workspace.permissions.update("notebooks", number, access_control_list=[read])
    assert member.workspace().workspace.export(path).content
    workspace.permissions.set("notebooks", number, access_control_list=[])
    with pytest.raises(PermissionDenied):
        member.workspace().workspace.export(path)
    levels = workspace.permissions.get_permission_levels("notebooks", number).permission_levels
    assert "CAN_READ" in [each.permission_level.value for each in levels]


def test_permissions_for_nobody(workspace):
    nobody = AccessControlRequest(
        service_principal_name="99999999-0000-4000-8000-000000000009",
        permission_level=PermissionLevel.CAN_USE,
    )
    with pytest.raises(NotFound, match="does not exist"):
        workspace.permissions.update("sql/warehouses", WAREHOUSE, access_control_list=[nobody])


def test_a_statement(workspace):
    done = workspace.statement_execution.execute_statement(
        "SELECT 1 AS one, 'a' AS letter", WAREHOUSE, wait_timeout="30s"
    )
    assert done.status.state == StatementState.SUCCEEDED
    assert [column.name for column in done.manifest.schema.columns] == ["one", "letter"]
    assert done.result.data_array == [["1", "a"]]
    again = workspace.statement_execution.get_statement(done.statement_id)
    assert again.result.data_array == [["1", "a"]]
    failed = workspace.statement_execution.execute_statement(
        "SELECT * FROM absent", WAREHOUSE, wait_timeout="30s"
    )
    assert failed.status.state == StatementState.FAILED
    assert "absent" in failed.status.error.message


def test_warehouses(workspace):
    assert WAREHOUSE in [each.id for each in workspace.warehouses.list()]
    with pytest.raises(NotFound):
        workspace.warehouses.get("0000000000000000")


def test_users(workspace):
    found = workspace.users.list(filter=f'userName eq "{BOB}"')
    assert [each.user_name for each in found] == [BOB]
