"""Secrets by azure-keyvault-secrets, in the seeded vaults."""

import datetime

import pytest
import requests
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.keyvault.secrets import SecretClient

from simulator import TENANT, vault_id

URL = "https://kv-demo.vault.azure.net"


@pytest.fixture(scope="module")
def secrets(operator):
    return SecretClient(URL, operator)


def refused(call, status: int, text: str):
    with pytest.raises(HttpResponseError) as raised:
        call()
    assert raised.value.status_code == status
    assert text in str(raised.value)


def test_versions(secrets):
    first = secrets.set_secret("versions", "not-a-real-secret-1")
    second = secrets.set_secret("versions", "not-a-real-secret-2", tags={"run": "2"})
    assert secrets.get_secret("versions").value == "not-a-real-secret-2"
    assert secrets.get_secret("versions", first.properties.version).value == "not-a-real-secret-1"
    found = {each.version for each in secrets.list_properties_of_secret_versions("versions")}
    assert found == {first.properties.version, second.properties.version}
    assert "versions" in [each.name for each in secrets.list_properties_of_secrets()]


def test_attributes(secrets):
    until = datetime.datetime(2040, 1, 1, tzinfo=datetime.UTC)
    made = secrets.set_secret(
        "attributes", "not-a-real-secret", expires_on=until, content_type="text/plain"
    )
    assert made.properties.expires_on == until
    assert made.properties.recoverable_days == 90
    changed = secrets.update_secret_properties("attributes", enabled=False, tags={"a": "b"})
    assert (changed.enabled, changed.tags, changed.content_type) == (
        False,
        {"a": "b"},
        "text/plain",
    )
    refused(lambda: secrets.get_secret("attributes"), 403, "disabled")


def test_many_secrets_are_listed_in_pages(secrets):
    names = {f"page-{number}" for number in range(30)}
    for name in names:
        secrets.set_secret(name, "not-a-real-secret")
    listed = secrets.list_properties_of_secrets(max_page_size=7)
    assert names <= {each.name for each in listed}


def test_deletion_recovery_and_purge(secrets, operator):
    made = secrets.set_secret("gone", "not-a-real-secret")
    deleted = secrets.begin_delete_secret("gone", _polling_interval=0.1).result()
    assert deleted.recovery_id == f"{URL}/deletedsecrets/gone"
    with pytest.raises(ResourceNotFoundError):
        secrets.get_secret("gone")
    with pytest.raises(ResourceExistsError, match="ObjectIsDeletedButRecoverable"):
        secrets.set_secret("gone", "not-a-real-secret")
    assert "gone" in [each.name for each in secrets.list_deleted_secrets()]
    assert secrets.get_deleted_secret("gone").properties.version == made.properties.version
    secrets.begin_recover_deleted_secret("gone", _polling_interval=0.1).wait()
    assert secrets.get_secret("gone").value == "not-a-real-secret"
    secrets.begin_delete_secret("gone", _polling_interval=0.1).wait()
    secrets.purge_deleted_secret("gone")
    with pytest.raises(ResourceNotFoundError):
        secrets.get_deleted_secret("gone")


def test_an_absent_secret(secrets):
    with pytest.raises(ResourceNotFoundError, match="SecretNotFound"):
        secrets.get_secret("absent")


def test_a_name_with_an_underscore(secrets):
    refused(lambda: secrets.set_secret("under_score", "x"), 400, "BadParameter")


def test_rights_come_with_a_role(graph, assign):
    app = graph.register("reader")
    client = SecretClient(URL, app.credential())
    refused(lambda: client.get_secret("any"), 403, "ForbiddenByRbac")
    assign(vault_id("kv-demo"), "Key Vault Secrets User", app.principal_id)
    client = SecretClient(URL, app.credential())
    with pytest.raises(ResourceNotFoundError):
        client.get_secret("any")
    refused(lambda: client.set_secret("any", "x"), 403, "ForbiddenByRbac")


def test_rights_by_access_policy(operator, graph):
    url = "https://kv-policy.vault.azure.net"
    client = SecretClient(url, operator)
    client.set_secret("policy", "not-a-real-secret")
    assert client.get_secret("policy").value == "not-a-real-secret"
    client.begin_delete_secret("policy", _polling_interval=0.1).wait()
    refused(lambda: client.purge_deleted_secret("policy"), 403, "Forbidden")
    stranger = SecretClient(url, graph.register("stranger").credential())
    refused(lambda: stranger.get_secret("policy"), 403, "AccessDenied")


def test_the_challenge(simulator):
    """What tells the client, in every test here, which tenant and resource its token is for."""
    reply = requests.get(f"{URL}/secrets/any?api-version=7.4")
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "Unauthorized")
    challenge = reply.headers["WWW-Authenticate"]
    assert f'authorization="https://login.microsoftonline.com/{TENANT}"' in challenge
    assert 'resource="https://vault.azure.net"' in challenge
