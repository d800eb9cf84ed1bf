"""Sign-in, service principals, roles and credentials by databricks-sdk."""

import pytest
from databricks.sdk import AccountClient, WorkspaceClient
from databricks.sdk.errors import (
    BadRequest,
    InvalidParameterValue,
    NotFound,
    PermissionDenied,
    ResourceConflict,
    Unauthenticated,
)
from databricks.sdk.service.iam import (
    ComplexValue,
    GrantRule,
    Patch,
    PatchOp,
    PatchSchema,
    RuleSetUpdateRequest,
)

from simulator import ACCOUNT, OPERATOR_CLIENT, TENANT, WORKSPACE, WORKSPACE_RESOURCE

ENTITLED = [ComplexValue(value="workspace-access")]


@pytest.fixture(scope="module")
def member(graph, workspace):
    """An application whose service principal is in the workspace."""
    app = graph.register("member")
    app.scim = workspace.service_principals.create(
        application_id=app.client_id, display_name="member", entitlements=ENTITLED
    )
    return app


def name_of(client: WorkspaceClient) -> str:
    return client.current_user.me().user_name


def test_an_entra_secret(workspace):
    assert workspace.config.auth_type == "azure-client-secret"
    assert name_of(workspace) == OPERATOR_CLIENT


def test_the_workspace_tells_its_tenant(simulator):
    client = WorkspaceClient(
        host=WORKSPACE,
        azure_client_id=OPERATOR_CLIENT,
        azure_client_secret=simulator.operator_secret,
    )
    assert name_of(client) == OPERATOR_CLIENT
    assert client.config.azure_tenant_id == TENANT


def test_the_resource_id_tells_the_workspace(simulator):
    client = WorkspaceClient(
        azure_workspace_resource_id=WORKSPACE_RESOURCE,
        azure_tenant_id=TENANT,
        azure_client_id=OPERATOR_CLIENT,
        azure_client_secret=simulator.operator_secret,
    )
    assert name_of(client) == OPERATOR_CLIENT
    assert client.config.host == WORKSPACE


def test_a_wrong_entra_secret(simulator):
    client = WorkspaceClient(
        host=WORKSPACE,
        azure_tenant_id=TENANT,
        azure_client_id=OPERATOR_CLIENT,
        azure_client_secret="not-a-real-secret",
    )
    with pytest.raises(ValueError, match="AADSTS7000215"):
        client.current_user.me()


def test_a_stranger_to_the_workspace(graph):
    with pytest.raises(PermissionDenied, match="User not authorized"):
        graph.register("stranger").workspace().current_user.me()


def test_a_contributor_of_the_resource_is_let_in_and_administers(graph, assign):
    app = graph.register("contributor")
    assign(WORKSPACE_RESOURCE, "Contributor", app.principal_id)
    client = WorkspaceClient(
        host=WORKSPACE,
        azure_workspace_resource_id=WORKSPACE_RESOURCE,
        azure_tenant_id=TENANT,
        azure_client_id=app.client_id,
        azure_client_secret=app.secret,
    )
    me = client.current_user.me()
    assert me.user_name == app.client_id
    assert "admins" in [group.display for group in me.groups]
    assert name_of(app.workspace()) == app.client_id


def test_personal_access_tokens(workspace):
    made = workspace.tokens.create(comment="test", lifetime_seconds=3600)
    client = WorkspaceClient(host=WORKSPACE, token=made.token_value)
    assert client.config.auth_type == "pat"
    assert name_of(client) == OPERATOR_CLIENT
    assert made.token_info.token_id in [each.token_id for each in workspace.tokens.list()]
    workspace.tokens.delete(made.token_info.token_id)
    with pytest.raises(PermissionDenied, match="Invalid access token"):
        client.current_user.me()
    with pytest.raises(NotFound):
        workspace.tokens.delete(made.token_info.token_id)


def test_tokens_on_behalf_of_a_service_principal_are_not_for_azure(workspace, member):
    with pytest.raises(BadRequest):
        workspace.token_management.create_obo_token(member.client_id, lifetime_seconds=60)


def test_oauth_secrets(workspace, member):
    secrets = workspace.service_principal_secrets_proxy
    made = secrets.create(member.scim.id)
    assert made.id in [each.id for each in secrets.list(member.scim.id)]
    client = WorkspaceClient(host=WORKSPACE, client_id=member.client_id, client_secret=made.secret)
    assert client.config.auth_type == "oauth-m2m"
    assert name_of(client) == member.client_id
    secrets.delete(member.scim.id, made.id)
    with pytest.raises(NotFound):
        secrets.delete(member.scim.id, made.id)


def test_oauth_secrets_come_in_pages(workspace):
    other = workspace.service_principals.create(display_name="paged")
    secrets = workspace.service_principal_secrets_proxy
    made = {secrets.create(other.id).id for _ in range(3)}
    assert {each.id for each in secrets.list(other.id, page_size=2)} == made


def test_an_entra_secret_is_no_oauth_secret(member):
    client = WorkspaceClient(
        host=WORKSPACE, client_id=member.client_id, client_secret=member.secret
    )
    with pytest.raises(ValueError, match="invalid_client"):
        client.current_user.me()


def test_the_account_is_for_its_admins(simulator):
    account = AccountClient(
        host="https://accounts.azuredatabricks.net",
        account_id=ACCOUNT,
        azure_tenant_id=TENANT,
        azure_client_id=OPERATOR_CLIENT,
        azure_client_secret=simulator.operator_secret,
    )
    with pytest.raises(PermissionDenied, match="without account admin status"):
        list(account.service_principals.list())


def test_service_principals(workspace, graph):
    principals = workspace.service_principals
    app = graph.register("principal")
    made = principals.create(application_id=app.client_id, display_name="principal")
    assert (made.application_id, made.active) == (app.client_id, True)
    found = list(principals.list(filter=f'applicationId eq "{app.client_id}"'))
    assert [each.id for each in found] == [made.id]
    assert made.id in [each.id for each in principals.list()]
    with pytest.raises(ResourceConflict, match="already exists"):
        principals.create(application_id=app.client_id, display_name="again")
    principals.patch(
        made.id,
        operations=[
            Patch(op=PatchOp.ADD, path="entitlements", value=[{"value": "allow-cluster-create"}])
        ],
        schemas=[PatchSchema.URN_IETF_PARAMS_SCIM_API_MESSAGES_2_0_PATCH_OP],
    )
    read = principals.get(made.id)
    assert "allow-cluster-create" in [each.value for each in read.entitlements]
    principals.delete(made.id)
    with pytest.raises(NotFound):
        principals.get(made.id)


def test_principals_are_listed_in_pages(workspace, graph):
    ids = {
        workspace.service_principals.create(
            application_id=f"77777777-0000-4000-8000-{number:012}", display_name=f"page-{number}"
        ).id
        for number in range(12)
    }
    assert ids <= {each.id for each in workspace.service_principals.list(count=5)}


def test_groups(workspace, member):
    group = workspace.groups.create(
        display_name="engineers", members=[ComplexValue(value=member.scim.id)]
    )
    assert [each.value for each in workspace.groups.get(group.id).members] == [member.scim.id]
    found = workspace.groups.list(filter='displayName eq "engineers"')
    assert [each.id for each in found] == [group.id]
    workspace.groups.delete(group.id)
    with pytest.raises(NotFound):
        workspace.groups.get(group.id)


def test_only_admins_add_service_principals(member):
    with pytest.raises(PermissionDenied, match="admins"):
        member.workspace().service_principals.create(
            application_id="88888888-0000-4000-8000-000000000008", display_name="no"
        )


def rule_set(app) -> str:
    return f"accounts/{ACCOUNT}/servicePrincipals/{app.client_id}/ruleSets/default"


def test_rule_sets(workspace, member):
    proxy = workspace.account_access_control_proxy
    name = rule_set(member)
    first = proxy.get_rule_set(name, etag="")
    assert [rule.role for rule in first.grant_rules] == ["roles/servicePrincipal.manager"]
    user = GrantRule(
        role="roles/servicePrincipal.user", principals=[f"servicePrincipals/{OPERATOR_CLIENT}"]
    )

    def update(etag):
        wanted = RuleSetUpdateRequest(name=name, etag=etag, grant_rules=[*first.grant_rules, user])
        return proxy.update_rule_set(name, wanted)

    second = update(first.etag)
    assert second.etag != first.etag
    assert user.role in [
        rule.role for rule in proxy.get_rule_set(name, etag=second.etag).grant_rules
    ]
    with pytest.raises(ResourceConflict, match="Conflict with another RuleSet operation"):
        update(first.etag)
    with pytest.raises(InvalidParameterValue, match="etag"):
        update("")
    assert update(second.etag).etag != second.etag


def test_roles_that_a_service_principal_has(workspace, member):
    found = workspace.account_access_control_proxy.get_assignable_roles_for_resource(
        f"accounts/{ACCOUNT}/servicePrincipals/{member.client_id}"
    )
    names = {role.name for role in found.roles}
    assert {"roles/servicePrincipal.manager", "roles/servicePrincipal.user"} <= names


def test_rule_sets_are_for_managers(member):
    with pytest.raises(PermissionDenied):
        member.workspace().account_access_control_proxy.get_rule_set(rule_set(member), etag="")


def test_no_credential_at_all(simulator):
    client = WorkspaceClient(host=WORKSPACE, credentials_strategy=NoCredential())
    with pytest.raises(Unauthenticated, match="Credential was not sent"):
        client.current_user.me()


class NoCredential:
    def auth_type(self):
        return "none"

    def __call__(self, config):
        return lambda: {}
