"""Microsoft Graph by msgraph-sdk: applications, their credentials and service principals."""

import uuid

import pytest
from azure.core.exceptions import ClientAuthenticationError
from kiota_abstractions.base_request_configuration import RequestConfiguration
from msgraph.generated.applications.item.add_password.add_password_post_request_body import (
    AddPasswordPostRequestBody,
)
from msgraph.generated.applications.item.remove_password.remove_password_post_request_body import (
    RemovePasswordPostRequestBody,
)
from msgraph.generated.models.application import Application
from msgraph.generated.models.federated_identity_credential import FederatedIdentityCredential
from msgraph.generated.models.o_data_errors.o_data_error import ODataError
from msgraph.generated.models.password_credential import PasswordCredential
from msgraph.generated.models.service_principal import ServicePrincipal
from msgraph.generated.service_principals.service_principals_request_builder import (
    ServicePrincipalsRequestBuilder,
)

from conftest import Graph
from simulator import OPERATOR_CLIENT, OPERATOR_PRINCIPAL


def refused(graph, request, status: int, code: str) -> str:
    with pytest.raises(ODataError) as raised:
        graph(request)
    assert (raised.value.response_status_code, raised.value.error.code) == (status, code)
    return raised.value.error.message


def principals_where(text: str):
    builder = ServicePrincipalsRequestBuilder.ServicePrincipalsRequestBuilderGetQueryParameters
    return RequestConfiguration(query_parameters=builder(filter=text))


def test_an_application_from_creation_to_deletion(graph):
    applications = graph.client.applications
    made = graph(
        applications.post(Application(display_name="life", sign_in_audience="AzureADMyOrg"))
    )
    assert made.id != made.app_id
    one = applications.by_application_id(made.id)
    assert graph(one.get()).display_name == "life"
    graph(one.patch(Application(display_name="renamed", tags=["lockkeeper"])))
    read = graph(one.get())
    assert (read.display_name, read.tags) == ("renamed", ["lockkeeper"])
    by_client = graph.client.applications_with_app_id(made.app_id)
    assert graph(by_client.get()).id == made.id
    graph(one.delete())
    refused(graph, one.get(), 404, "Request_ResourceNotFound")


def test_passwords(graph):
    made = graph(graph.client.applications.post(Application(display_name="passwords")))
    one = graph.client.applications.by_application_id(made.id)
    body = AddPasswordPostRequestBody(password_credential=PasswordCredential(display_name="first"))
    password = graph(one.add_password.post(body))
    assert len(password.secret_text) > 30
    assert password.hint == password.secret_text[:3]
    assert isinstance(password.key_id, uuid.UUID)
    assert password.end_date_time > password.start_date_time
    (kept,) = graph(one.get()).password_credentials
    assert (kept.key_id, kept.secret_text) == (password.key_id, None)
    graph(one.remove_password.post(RemovePasswordPostRequestBody(key_id=password.key_id)))
    assert graph(one.get()).password_credentials == []
    chosen = PasswordCredential(display_name="own", secret_text="not-a-real-secret")
    body = AddPasswordPostRequestBody(password_credential=chosen)
    refused(graph, one.add_password.post(body), 400, "Request_BadRequest")


def test_a_service_principal(graph):
    app = graph.register("principal")
    principals = graph.client.service_principals
    again = principals.post(ServicePrincipal(app_id=app.client_id))
    refused(graph, again, 409, "Request_MultipleObjectsWithSameKeyValue")
    one = principals.by_service_principal_id(app.principal_id)
    read = graph(one.get())
    assert (read.app_id, read.display_name, read.account_enabled) == (
        app.client_id,
        "principal",
        True,
    )
    graph(one.patch(ServicePrincipal(account_enabled=False)))
    with pytest.raises(ClientAuthenticationError, match="AADSTS7000112"):
        app.credential().get_token("https://graph.microsoft.com/.default")


def test_filters(graph):
    app = graph.register("filtered")
    found = graph(
        graph.client.service_principals.get(principals_where(f"appId eq '{app.client_id}'"))
    )
    assert [each.id for each in found.value] == [app.principal_id]
    found = graph(
        graph.client.service_principals.get(principals_where("displayName eq 'AzureDatabricks'"))
    )
    assert [each.app_id for each in found.value] == ["2ff814a6-3304-4ab8-85cb-cd0e6f879c1d"]
    found = graph(graph.client.service_principals.get(principals_where("appId eq 'none'")))
    assert found.value == []


def test_owners(graph):
    app = graph.register("owned")
    owners = graph(graph.client.applications.by_application_id(app.object_id).owners.get())
    assert [each.id for each in owners.value] == [OPERATOR_PRINCIPAL]


def test_federated_credentials(graph):
    app = graph.register("federated")
    credentials = graph.client.applications.by_application_id(
        app.object_id
    ).federated_identity_credentials
    one = FederatedIdentityCredential(
        name="github",
        issuer="https://token.actions.githubusercontent.com",
        subject="repo:contoso/etl:ref:refs/heads/main",
        audiences=["api://AzureADTokenExchange"],
    )
    made = graph(credentials.post(one))
    listed = graph(credentials.get()).value
    assert [each.id for each in listed] == [made.id]
    refused(graph, credentials.post(one), 409, "Request_MultipleObjectsWithSameKeyValue")
    graph(credentials.by_federated_identity_credential_id(made.id).delete())
    assert graph(credentials.get()).value == []


def test_what_the_directory_refuses(graph):
    applications = graph.client.applications
    refused(graph, applications.post(Application()), 400, "Request_BadRequest")
    missing = applications.by_application_id("99999999-0000-4000-8000-000000000009")
    refused(graph, missing.get(), 404, "Request_ResourceNotFound")
    nobody = ServicePrincipal(app_id="99999999-0000-4000-8000-000000000009")
    with pytest.raises(ODataError) as raised:
        graph(graph.client.service_principals.post(nobody))
    assert raised.value.error.code == "Request_BadRequest"
    assert [each.code for each in raised.value.error.details] == ["NoBackingApplicationObject"]


def test_permissions_of_the_caller(graph):
    app = graph.register("weak")
    weak = Graph.of(app.credential())
    request = weak.client.applications.post(Application(display_name="more"))
    refused(weak, request, 403, "Authorization_RequestDenied")
    weak.close()
    # OwnedBy does not reach what another owns.
    other = graph.client.applications_with_app_id(OPERATOR_CLIENT)
    refused(graph, other.get(), 403, "Authorization_RequestDenied")
    refused(graph, other.patch(Application(notes="x")), 403, "Authorization_RequestDenied")
    refused(graph, graph.client.applications.get(), 403, "Authorization_RequestDenied")
