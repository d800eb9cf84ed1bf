"""The same clients without the tunnel: each is told the simulator's own address.

This is what `docs/simulator.md` tells a person to do. There is no proxy here, so a client that
went to a vendor's name all the same would reach nothing.
"""

import pytest
from azure.identity import ClientSecretCredential
from azure.keyvault.secrets import SecretClient
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.storage.filedatalake import DataLakeServiceClient
from databricks.sdk import WorkspaceClient
from databricks.sdk.config import Config
from databricks.sdk.environments import AzureEnvironment, Cloud, DatabricksEnvironment
from kiota_authentication_azure.azure_identity_authentication_provider import (
    AzureIdentityAuthenticationProvider,
)
from msgraph import GraphRequestAdapter, GraphServiceClient
from msgraph.generated.models.application import Application

from conftest import Graph
from simulator import GROUP, OPERATOR_CLIENT, OPERATOR_PRINCIPAL, SUBSCRIPTION, TENANT, storage_id

DATABRICKS = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d"


@pytest.fixture(scope="module", autouse=True)
def without_tunnel(simulator):
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("HTTPS_PROXY")
        yield


def credential(simulator, client_id, secret) -> ClientSecretCredential:
    return ClientSecretCredential(
        TENANT,
        client_id,
        secret,
        authority=f"https://{simulator.https}",
        disable_instance_discovery=True,
    )


@pytest.fixture(scope="module")
def operator(simulator):
    return credential(simulator, OPERATOR_CLIENT, simulator.operator_secret)


@pytest.fixture(scope="module")
def graph(simulator, operator):
    provider = AzureIdentityAuthenticationProvider(
        operator,
        scopes=["https://graph.microsoft.com/.default"],
        allowed_hosts=["127.0.0.1", simulator.http],
    )
    graph = Graph(GraphServiceClient(request_adapter=GraphRequestAdapter(provider)))
    graph.client.request_adapter.base_url = f"http://{simulator.http}/v1.0"
    yield graph
    graph.close()


@pytest.fixture(scope="module")
def authorization(simulator, operator):
    return AuthorizationManagementClient(
        operator,
        SUBSCRIPTION,
        base_url=f"https://{simulator.https}",
        credential_scopes=["https://management.azure.com/.default"],
    )


def test_graph(graph):
    made = graph(graph.client.applications.post(Application(display_name="loopback")))
    assert graph(graph.client.applications.by_application_id(made.id).get()).app_id == made.app_id


def test_key_vault(simulator, operator):
    client = SecretClient(f"https://{simulator.https}", operator, verify_challenge_resource=False)
    client.set_secret("loopback", "not-a-real-secret")
    assert client.get_secret("loopback").value == "not-a-real-secret"


def test_arm(authorization):
    found = authorization.role_assignments.list_for_scope(
        GROUP, filter=f"assignedTo('{OPERATOR_PRINCIPAL}')"
    )
    assert OPERATOR_PRINCIPAL in [each.principal_id for each in found]


def test_storage(simulator, graph, assign):
    app = graph.register("reader")
    assign(storage_id("stdemo"), "Storage Blob Data Reader", app.principal_id)
    reader = credential(simulator, app.client_id, app.secret)
    service = DataLakeServiceClient(f"https://{simulator.https}/stdemo", credential=reader)
    file = service.get_file_client("data", "raw/numbers.csv")
    assert file.get_access_control()["owner"] == "$superuser"
    assert file.download_file().readall() == b"n\n1\n2\n3\n"


def test_databricks_over_plain_http(simulator):
    address = f"http://{simulator.http}"
    entra = AzureEnvironment(
        name="simulator",
        service_management_endpoint="https://management.core.windows.net/",
        resource_manager_endpoint="https://management.azure.com/",
        active_directory_endpoint=f"{address}/",
    )
    config = Config(
        host=address,
        azure_tenant_id=TENANT,
        azure_client_id=OPERATOR_CLIENT,
        azure_client_secret=simulator.operator_secret,
        auth_type="azure-client-secret",
        databricks_environment=DatabricksEnvironment(
            Cloud.AZURE, "127.0.0.1", azure_application_id=DATABRICKS, azure_environment=entra
        ),
    )
    client = WorkspaceClient(config=config)
    assert client.current_user.me().user_name == OPERATOR_CLIENT
    token = client.tokens.create(lifetime_seconds=600).token_value
    assert WorkspaceClient(host=address, token=token).current_user.me().user_name == OPERATOR_CLIENT
