"""ADLS Gen2 by azure-storage-file-datalake, as the reader of a job would use it."""

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
)
from azure.identity import ClientSecretCredential
from azure.storage.filedatalake import DataLakeServiceClient

from simulator import TENANT, storage_id

URL = "https://stdemo.dfs.core.windows.net"


def service(credential) -> DataLakeServiceClient:
    return DataLakeServiceClient(URL, credential=credential, retry_total=0)


@pytest.fixture(scope="module")
def data(graph, assign):
    """The seeded file system, by an application that may read it."""
    app = graph.register("reader")
    assign(storage_id("stdemo"), "Storage Blob Data Reader", app.principal_id)
    return service(app.credential()).get_file_system_client("data")


def test_a_listing(data):
    found = {each.name: each for each in data.get_paths(recursive=True)}
    assert found["raw"].is_directory
    assert found["raw/numbers.csv"].content_length == len("n\n1\n2\n3\n")


def test_properties_and_access_control(data):
    directory = data.get_directory_client("raw").get_access_control()
    assert directory["permissions"].startswith("rwx")
    file = data.get_file_client("raw/numbers.csv")
    assert file.get_access_control()["owner"] == "$superuser"
    assert file.get_file_properties().size == len("n\n1\n2\n3\n")


def test_the_content(data):
    file = data.get_file_client("raw/numbers.csv")
    assert file.download_file().readall() == b"n\n1\n2\n3\n"
    assert file.download_file(offset=2, length=1).readall() == b"1"


def test_what_is_absent(data):
    with pytest.raises(ResourceNotFoundError) as raised:
        data.get_file_client("raw/absent.csv").get_access_control()
    assert raised.value.error_code == "PathNotFound"
    assert not data.get_file_client("raw/absent.csv").exists()


def test_an_absent_file_system(graph, assign):
    app = graph.register("lost")
    assign(storage_id("stdemo"), "Storage Blob Data Reader", app.principal_id)
    absent = service(app.credential()).get_file_system_client("absent")
    with pytest.raises(ResourceNotFoundError) as raised:
        list(absent.get_paths())
    assert raised.value.error_code == "FilesystemNotFound"


def test_a_caller_without_a_role(graph):
    client = service(graph.register("stranger").credential()).get_file_system_client("data")
    for call in (
        lambda: client.get_file_client("raw/numbers.csv").get_access_control(),
        lambda: client.get_file_client("raw/numbers.csv").download_file(),
        lambda: list(client.get_paths()),
    ):
        with pytest.raises(HttpResponseError) as raised:
            call()
        assert raised.value.status_code == 403
        assert raised.value.error_code == "AuthorizationPermissionMismatch"


def test_a_wrong_secret(graph):
    app = graph.register("wrong")
    credential = ClientSecretCredential(TENANT, app.client_id, "not-a-real-secret")
    with pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
        list(service(credential).get_file_system_client("data").get_paths())
