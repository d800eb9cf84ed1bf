"""Azure Resource Manager by the management clients: vaults, role assignments, the workspace."""

import uuid

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.keyvault.secrets import SecretClient
from azure.mgmt.databricks import AzureDatabricksManagementClient
from azure.mgmt.keyvault import KeyVaultManagementClient
from azure.mgmt.keyvault.models import (
    Sku,
    VaultCheckNameAvailabilityParameters,
    VaultCreateOrUpdateParameters,
    VaultProperties,
)

from simulator import GROUP, OPERATOR_PRINCIPAL, SUBSCRIPTION, TENANT, WORKSPACE, vault_id


def settings(**more) -> VaultCreateOrUpdateParameters:
    properties = VaultProperties(
        tenant_id=TENANT,
        sku=Sku(family="A", name="standard"),
        enable_rbac_authorization=True,
        access_policies=[],
        **more,
    )
    return VaultCreateOrUpdateParameters(location="eastus", properties=properties)


def refused(call, status: int, code: str):
    with pytest.raises(HttpResponseError) as raised:
        call()
    assert (raised.value.status_code, raised.value.error.code) == (status, code)


def test_a_vault_from_creation_to_purge(vaults, assign, operator):
    poller = vaults.vaults.begin_create_or_update(
        "rg-data", "kv-new", settings(), polling_interval=0
    )
    vault = poller.result()
    assert vault.id == vault_id("kv-new")
    assert vault.properties.vault_uri == "https://kv-new.vault.azure.net/"
    assert vault.properties.provisioning_state == "Succeeded"
    assert vaults.vaults.get("rg-data", "kv-new").properties.enable_rbac_authorization
    assert "kv-new" in [each.name for each in vaults.vaults.list_by_resource_group("rg-data")]

    secrets = SecretClient(vault.properties.vault_uri, operator)
    with pytest.raises(HttpResponseError, match="ForbiddenByRbac"):
        secrets.set_secret("first", "not-a-real-secret")
    assign(vault.id, "Key Vault Secrets Officer", OPERATOR_PRINCIPAL)
    secrets = SecretClient(vault.properties.vault_uri, operator)
    assert secrets.set_secret("first", "not-a-real-secret").name == "first"

    vaults.vaults.delete("rg-data", "kv-new")
    with pytest.raises(ResourceNotFoundError):
        vaults.vaults.get("rg-data", "kv-new")
    deleted = vaults.vaults.get_deleted("kv-new", "eastus").properties
    assert deleted.vault_id == vault.id
    assert deleted.scheduled_purge_date > deleted.deletion_date
    again = vaults.vaults.begin_create_or_update
    refused(
        lambda: again("rg-data", "kv-new", settings(), polling_interval=0), 409, "ConflictError"
    )

    # Its secrets come back with it, and its role assignments do not.
    again("rg-data", "kv-new", settings(create_mode="recover"), polling_interval=0).wait()
    secrets = SecretClient(vault.properties.vault_uri, operator)
    with pytest.raises(HttpResponseError, match="ForbiddenByRbac"):
        secrets.get_secret("first")
    assign(vault.id, "Key Vault Secrets Officer", OPERATOR_PRINCIPAL)
    assert secrets.get_secret("first").value == "not-a-real-secret"


def test_names_of_vaults(vaults):
    check = vaults.vaults.check_name_availability
    assert check(VaultCheckNameAvailabilityParameters(name="kv-free")).name_available
    taken = check(VaultCheckNameAvailabilityParameters(name="kv-demo"))
    assert (taken.name_available, taken.reason) == (False, "AlreadyExists")
    with pytest.raises(HttpResponseError):
        vaults.vaults.begin_create_or_update("rg-data", "kv--bad", settings())


def test_role_assignments(authorization, assign, graph):
    app = graph.register("assigned")
    scope = vault_id("kv-demo")
    name = str(uuid.uuid4())
    made = assign(scope, "Key Vault Secrets User", app.principal_id, name)
    assert (made.name, made.scope, made.principal_type) == (name, scope, "ServicePrincipal")
    with pytest.raises(ResourceExistsError) as raised:
        assign(scope, "Key Vault Secrets User", app.principal_id)
    assert raised.value.error.code == "RoleAssignmentExists"
    assigned = authorization.role_assignments
    found = assigned.list_for_scope(scope, filter=f"assignedTo('{app.principal_id}')")
    assert [each.name for each in found] == [name]
    assert assigned.delete(scope, name).principal_id == app.principal_id
    # A second deletion is 204, which the client gives as nothing.
    assert assigned.delete(scope, name) is None
    with pytest.raises(ResourceNotFoundError):
        assigned.get(scope, name)


def test_a_name_is_not_reused_for_another(assign, graph):
    one, other = graph.register("one"), graph.register("other")
    name = str(uuid.uuid4())
    assign(vault_id("kv-demo"), "Key Vault Secrets User", one.principal_id, name)
    refused(
        lambda: assign(vault_id("kv-demo"), "Key Vault Secrets User", other.principal_id, name),
        400,
        "RoleAssignmentUpdateNotPermitted",
    )


def test_the_object_id_of_the_application_is_no_principal(assign, graph):
    app = graph.register("confused")
    scope = vault_id("kv-demo")
    refused(
        lambda: assign(scope, "Key Vault Secrets User", app.object_id), 400, "PrincipalNotFound"
    )


def test_role_definitions_by_name(authorization):
    found = authorization.role_definitions.list(
        GROUP, filter="roleName eq 'Key Vault Secrets User'"
    )
    assert [each.name for each in found] == ["4633458b-17de-408a-b874-0445c86b69e6"]


def test_a_caller_without_a_role(graph):
    weak = KeyVaultManagementClient(graph.register("weak").credential(), SUBSCRIPTION)
    refused(
        lambda: weak.vaults.begin_create_or_update("rg-data", "kv-weak", settings()),
        403,
        "AuthorizationFailed",
    )


def test_the_workspace(operator):
    client = AzureDatabricksManagementClient(operator, SUBSCRIPTION)
    found = client.workspaces.get("rg-data", "dbw-demo")
    assert f"https://{found.workspace_url}" == WORKSPACE
    with pytest.raises(ResourceNotFoundError):
        client.workspaces.get("rg-data", "absent")


def test_a_purged_vault_is_gone(vaults):
    create = vaults.vaults.begin_create_or_update
    first = create("rg-data", "kv-purged", settings(), polling=False).result()
    assert first.properties.provisioning_state == "RegisteringDns"
    vaults.vaults.delete("rg-data", "kv-purged")
    vaults.vaults.begin_purge_deleted("kv-purged", "eastus", polling_interval=0).wait()
    assert "kv-purged" not in [each.name for each in vaults.vaults.list_deleted()]
