"""A simulator for each suite, and the official clients as their vendors configure them.

No client is told another address: `HTTPS_PROXY` leads all of them to the simulator, and its
certificate authority is the only one that they trust.
"""

import asyncio
import os
import uuid

import pytest
from azure.identity import ClientSecretCredential
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.authorization.models import RoleAssignmentCreateParameters
from azure.mgmt.keyvault import KeyVaultManagementClient
from databricks.sdk import WorkspaceClient
from msgraph import GraphServiceClient
from msgraph.generated.applications.item.add_password.add_password_post_request_body import (
    AddPasswordPostRequestBody,
)
from msgraph.generated.models.application import Application
from msgraph.generated.models.password_credential import PasswordCredential
from msgraph.generated.models.service_principal import ServicePrincipal

from simulator import (
    OPERATOR_CLIENT,
    ROLES,
    SUBSCRIPTION,
    TENANT,
    WORKSPACE,
    Simulator,
)
from tunnel import Tunnel


@pytest.fixture(scope="module")
def simulator():
    simulator = Simulator()
    host, port = simulator.https.split(":")
    tunnel = Tunnel((host, int(port)))
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.lower().endswith("_proxy") or name.startswith(
                ("ARM_", "AZURE_", "DATABRICKS_")
            ):
                patch.delenv(name)
        patch.setenv("HTTPS_PROXY", tunnel.url)
        patch.setenv("REQUESTS_CA_BUNDLE", str(simulator.ca))
        patch.setenv("SSL_CERT_FILE", str(simulator.ca))
        patch.setenv("DATABRICKS_CONFIG_FILE", str(simulator.ca.with_name("databrickscfg")))
        yield simulator
    tunnel.close()
    simulator.close()


@pytest.fixture(scope="module")
def operator(simulator):
    return ClientSecretCredential(TENANT, OPERATOR_CLIENT, simulator.operator_secret)


class Graph:
    """Microsoft's Graph client, which is asynchronous, on an event loop of its own."""

    def __init__(self, client: GraphServiceClient):
        self._runner = asyncio.Runner()
        self.client = client

    @classmethod
    def of(cls, credential) -> "Graph":
        return cls(GraphServiceClient(credential, ["https://graph.microsoft.com/.default"]))

    def __call__(self, request):
        return self._runner.run(request)

    def close(self):
        self._runner.close()

    def register(self, name: str) -> "Registered":
        """An application with a service principal and a secret."""
        application = self(self.client.applications.post(Application(display_name=name)))
        principal = self(
            self.client.service_principals.post(ServicePrincipal(app_id=application.app_id))
        )
        body = AddPasswordPostRequestBody(
            password_credential=PasswordCredential(display_name="test")
        )
        password = self(
            self.client.applications.by_application_id(application.id).add_password.post(body)
        )
        return Registered(application.id, application.app_id, principal.id, password)


class Registered:
    """The identifiers and the secret of one application."""

    def __init__(self, object_id, client_id, principal_id, password):
        self.object_id = object_id
        self.client_id = client_id
        self.principal_id = principal_id
        self.key_id = password.key_id
        self.secret = password.secret_text

    def credential(self) -> ClientSecretCredential:
        return ClientSecretCredential(TENANT, self.client_id, self.secret)

    def workspace(self) -> WorkspaceClient:
        return WorkspaceClient(
            host=WORKSPACE,
            azure_tenant_id=TENANT,
            azure_client_id=self.client_id,
            azure_client_secret=self.secret,
        )


@pytest.fixture(scope="module")
def graph(operator):
    graph = Graph.of(operator)
    yield graph
    graph.close()


@pytest.fixture(scope="module")
def vaults(operator):
    return KeyVaultManagementClient(operator, SUBSCRIPTION)


@pytest.fixture(scope="module")
def authorization(operator):
    return AuthorizationManagementClient(operator, SUBSCRIPTION)


@pytest.fixture(scope="module")
def assign(authorization):
    """Gives a service principal a role on a scope."""

    def assign(scope: str, role: str, principal_id: str, name: str | None = None):
        definition = f"{scope}/providers/Microsoft.Authorization/roleDefinitions/{ROLES[role]}"
        return authorization.role_assignments.create(
            scope,
            name or str(uuid.uuid4()),
            RoleAssignmentCreateParameters(
                role_definition_id=definition,
                principal_id=principal_id,
                principal_type="ServicePrincipal",
            ),
        )

    return assign


@pytest.fixture(scope="module")
def workspace(simulator):
    """The workspace as the operator, by an Entra client secret."""
    return WorkspaceClient(
        host=WORKSPACE,
        azure_tenant_id=TENANT,
        azure_client_id=OPERATOR_CLIENT,
        azure_client_secret=simulator.operator_secret,
    )
