"""Entra's token endpoints by azure-identity and MSAL."""

import datetime
import json
import time

import jwt
import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import (
    CertificateCredential,
    ClientAssertionCredential,
    ClientSecretCredential,
    WorkloadIdentityCredential,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from msgraph.generated.models.application import Application
from msgraph.generated.models.federated_identity_credential import FederatedIdentityCredential
from msgraph.generated.models.key_credential import KeyCredential

from simulator import OPERATOR_CLIENT, OPERATOR_PRINCIPAL, TENANT

ARM = "https://management.azure.com/.default"
ISSUER = "https://issuer.example.com"
EXCHANGE = "api://AzureADTokenExchange"


def claims(token) -> dict:
    return jwt.decode(token.token, options={"verify_signature": False})


def refused(credential, code: str, scope: str = ARM):
    with pytest.raises(ClientAuthenticationError, match=f"AADSTS{code}"):
        credential.get_token(scope)


def test_a_secret_gives_a_token(operator):
    token = operator.get_token(ARM)
    said = claims(token)
    assert said["aud"].rstrip("/") == "https://management.azure.com"
    assert (said["appid"], said["oid"], said["tid"]) == (
        OPERATOR_CLIENT,
        OPERATOR_PRINCIPAL,
        TENANT,
    )
    assert abs(token.expires_on - said["exp"]) < 60


def test_a_token_is_reused_from_the_cache(operator):
    assert operator.get_token(ARM).token == operator.get_token(ARM).token


def test_the_keys_of_the_discovery_document_verify_a_token(operator, simulator):
    base = f"https://login.microsoftonline.com/{TENANT}/v2.0/.well-known/openid-configuration"
    keys = jwt.PyJWKSet.from_dict(requests.get(requests.get(base).json()["jwks_uri"]).json())
    token = operator.get_token(ARM).token
    key = keys[jwt.get_unverified_header(token)["kid"]]
    verified = jwt.decode(token, key, algorithms=["RS256"], options={"verify_aud": False})
    assert verified["tid"] == TENANT


def test_a_tenant_may_be_named_by_its_domain(simulator):
    credential = ClientSecretCredential(
        "contoso.onmicrosoft.com", OPERATOR_CLIENT, simulator.operator_secret
    )
    assert claims(credential.get_token(ARM))["tid"] == TENANT


def test_a_wrong_secret(simulator):
    refused(ClientSecretCredential(TENANT, OPERATOR_CLIENT, "not-a-real-secret"), "7000215")


def test_the_key_id_in_place_of_the_secret(graph):
    app = graph.register("key-id")
    refused(ClientSecretCredential(TENANT, app.client_id, str(app.key_id)), "7000215")


def test_an_unknown_client(simulator):
    refused(ClientSecretCredential(TENANT, "99999999-0000-4000-8000-000000000009", "x"), "700016")


def test_an_unknown_resource(operator):
    refused(operator, "500011", "api://nobody/.default")


def test_a_scope_without_default(operator):
    refused(operator, "1002012", "https://management.azure.com/user_impersonation")


def test_an_unknown_tenant(simulator):
    tenant = "99999999-0000-4000-8000-000000000009"
    credential = ClientAssertionCredential(tenant, OPERATOR_CLIENT, lambda: "x.y.z")
    refused(credential, "90002")


def test_an_application_without_a_service_principal(graph):
    app = graph(graph.client.applications.post(Application(display_name="bare")))
    refused(ClientSecretCredential(TENANT, app.app_id, "not-a-real-secret"), "7000229")


@pytest.fixture(scope="module")
def outside(simulator, graph):
    """An application that trusts `sub` of an issuer outside; gives it and a maker of assertions."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    jwks = {"keys": [{**public, "kid": "one", "use": "sig", "alg": "RS256"}]}
    simulator.control("POST", "issuers", {"issuer": ISSUER, "jwks": jwks})
    app = graph.register("federated")
    credentials = graph.client.applications.by_application_id(app.object_id)
    graph(
        credentials.federated_identity_credentials.post(
            FederatedIdentityCredential(
                name="ci", issuer=ISSUER, subject="repo:contoso/etl", audiences=[EXCHANGE]
            )
        )
    )

    def assertion(subject="repo:contoso/etl", audience=EXCHANGE, seconds=600, signer=key):
        now = int(time.time())
        body = {
            "iss": ISSUER,
            "sub": subject,
            "aud": audience,
            "iat": now - 5,
            "nbf": now - 5,
            "exp": now + seconds,
        }
        return jwt.encode(body, signer, algorithm="RS256", headers={"kid": "one"})

    return app, assertion


def test_workload_identity(outside, tmp_path):
    app, assertion = outside
    file = tmp_path / "token"
    file.write_text(assertion())
    credential = WorkloadIdentityCredential(
        tenant_id=TENANT, client_id=app.client_id, token_file_path=str(file)
    )
    assert claims(credential.get_token(ARM))["oid"] == app.principal_id


def test_assertions_that_match_nothing(outside):
    app, assertion = outside

    def refuse(code, **wrong):
        made = assertion(**wrong)
        refused(ClientAssertionCredential(TENANT, app.client_id, lambda: made), code)

    refuse("700213", subject="repo:contoso/other")
    refuse("7002138", subject="repo:Contoso/etl")
    refuse("700212", audience="api://other")
    refuse("700024", seconds=-3600)
    refuse("700027", signer=rsa.generate_private_key(public_exponent=65537, key_size=2048))


def test_a_certificate(graph):
    app = graph.register("certificate")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "certificate")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    bundle = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(pem)
    credential = CertificateCredential(TENANT, app.client_id, certificate_data=bundle)
    refused(credential, "700027")
    public = certificate.public_bytes(serialization.Encoding.DER)
    keys = [KeyCredential(type="AsymmetricX509Cert", usage="Verify", key=public)]
    application = graph.client.applications.by_application_id(app.object_id)
    graph(application.patch(Application(key_credentials=keys)))
    credential = CertificateCredential(TENANT, app.client_id, certificate_data=bundle)
    assert claims(credential.get_token(ARM))["appid"] == app.client_id
