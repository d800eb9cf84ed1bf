"""Faults, as the clients' own retries and error classes see them."""

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.identity import ClientSecretCredential
from azure.keyvault.secrets import SecretClient
from databricks.sdk import WorkspaceClient
from databricks.sdk.config import Config
from databricks.sdk.errors import InternalError, ResourceAlreadyExists, TooManyRequests
from msgraph.generated.models.application import Application
from msgraph.generated.models.o_data_errors.o_data_error import ODataError

from simulator import OPERATOR_CLIENT, TENANT, WORKSPACE

ME = "/api/2.0/preview/scim/v2/Me"


@pytest.fixture(autouse=True)
def fault(simulator):
    """Adds a rule; all are gone after each test."""

    def add(path: str, action, **more):
        simulator.control("POST", "faults", {"path": path, "action": action, **more})

    yield add
    simulator.control("DELETE", "faults")


def hits(simulator, path: str) -> list[int]:
    """The statuses that requests to a path have had."""
    requests = simulator.control("GET", "requests")
    return [each["status"] for each in requests if each["path"].split("?")[0] == path]


def impatient(simulator) -> WorkspaceClient:
    config = Config(
        host=WORKSPACE,
        azure_tenant_id=TENANT,
        azure_client_id=OPERATOR_CLIENT,
        azure_client_secret=simulator.operator_secret,
        retry_timeout_seconds=1,
    )
    return WorkspaceClient(config=config)


def test_databricks_waits_as_told_and_goes_on(simulator, workspace, fault):
    fault(ME, {"throttle": {"retry_after": 1}}, times=1)
    assert workspace.current_user.me().user_name == OPERATOR_CLIENT
    assert hits(simulator, ME) == [429, 200]


def test_a_throttled_call_ends_as_too_many_requests(simulator, fault):
    fault(ME, {"throttle": {"retry_after": 2}})
    with pytest.raises(TimeoutError) as raised:
        impatient(simulator).current_user.me()
    assert isinstance(raised.value.__cause__, TooManyRequests)


def test_a_failing_service_is_an_internal_error(workspace, fault):
    fault(ME, {"status": {"status": 500}})
    with pytest.raises(InternalError):
        workspace.current_user.me()


def test_key_vault_waits_as_told(simulator, operator, fault):
    client = SecretClient("https://kv-demo.vault.azure.net", operator)
    client.set_secret("fault", "not-a-real-secret")
    path = "/secrets/fault/"
    fault(path, {"throttle": {"retry_after": 1}}, times=1)
    assert client.get_secret("fault").value == "not-a-real-secret"
    assert hits(simulator, path)[-2:] == [429, 200]


def test_key_vault_gives_up(operator, fault):
    client = SecretClient("https://kv-demo.vault.azure.net", operator, retry_total=0)
    fault("/secrets/**", {"status": {"status": 503}})
    with pytest.raises(HttpResponseError) as raised:
        client.get_secret("fault")
    assert raised.value.status_code == 503


def test_graph_waits_as_told(simulator, graph, fault):
    fault("/v1.0/**", {"throttle": {"retry_after": 1}}, times=1, method="POST")
    made = graph(graph.client.applications.post(Application(display_name="waited")))
    assert made.display_name == "waited"


def test_graph_names_parallel_writers(graph, fault):
    fault("/v1.0/**", {"status": {"status": 409}}, times=1)
    with pytest.raises(ODataError) as raised:
        graph(graph.client.applications.post(Application(display_name="parallel")))
    error = raised.value.error
    assert error.code == "Directory_ConcurrencyViolation"
    assert error.inner_error.request_id


def test_key_vault_names_a_conflict(operator, fault):
    fault("/secrets/**", {"status": {"status": 409}}, times=1)
    client = SecretClient("https://kv-demo.vault.azure.net", operator)
    with pytest.raises(HttpResponseError) as raised:
        client.set_secret("taken", "not-a-real-secret")
    assert (raised.value.status_code, raised.value.error.code) == (409, "Conflict")
    assert raised.value.response.headers["x-ms-request-id"]


def test_the_token_endpoint_says_when_it_is_blocked(simulator, fault):
    fault("/*/oauth2/v2.0/token", {"status": {"status": 403}})
    credential = ClientSecretCredential(TENANT, OPERATOR_CLIENT, simulator.operator_secret)
    with pytest.raises(ClientAuthenticationError, match="AADSTS53003"):
        credential.get_token("https://graph.microsoft.com/.default")


def test_a_lost_reply_has_taken_effect(simulator, workspace, fault):
    """The client sends the call again, and learns that the first was carried out."""
    fault("/api/2.0/secrets/scopes/create", {"lost_reply": None}, times=1)
    with pytest.raises(ResourceAlreadyExists):
        workspace.secrets.create_scope("lost")
    assert "lost" in [each.name for each in workspace.secrets.list_scopes()]
