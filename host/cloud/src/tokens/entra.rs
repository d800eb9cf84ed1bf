//! Tokens from Entra through `azure_identity`, over our own transport.
//!
//! `azure_identity` loses an error whose description contains a JSON escape (reference/entra-azure.md, 6.4), so the transport
//! keeps the token endpoint's refusal and we read it ourselves. A credential lives for one fetch: its cache would hide a
//! token that has to be renewed.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::{AccessToken, Secret, TokenCredential};
use azure_core::error::ErrorKind;
use azure_core::http::headers::{HeaderName, HeaderValue, Headers};
use azure_core::http::{
    AsyncRawResponse, Body, ClientOptions, HttpClient, RetryOptions, Transport,
};
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, ClientAssertionCredentialOptions,
    ClientSecretCredential, ClientSecretCredentialOptions, ManagedIdentityCredential,
    ManagedIdentityCredentialOptions, UserAssignedId, WorkloadIdentityCredential,
    WorkloadIdentityCredentialOptions,
};
use tokio::time::Instant;

use super::{Audience, Token, Tokens, token_request};
use crate::answer::clean;
use crate::failure::{Class, Failure};
use crate::http::{Http, Lost, Raw};
use crate::secret::SecretString;
use crate::target::Signer;

impl Tokens {
    pub(super) async fn ask_entra(
        &self,
        audience: Audience,
        tenant: Option<&str>,
        deadline: Instant,
    ) -> Result<Token, Failure> {
        let transport = Arc::new(Recorder {
            http: self.http.clone(),
            deadline,
            last: Mutex::default(),
        });
        let scope = self.target.cloud.scope(audience);
        let request = token_request(audience);
        // The Azure CLI is a process and knows no deadline of ours.
        let wait = async {
            self.credential(tenant, &transport)?
                .get_token(&[scope.as_str()], None)
                .await
        };
        let outcome = tokio::time::timeout_at(deadline, wait).await;
        let recorded = transport
            .last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match (outcome, recorded) {
            (
                Ok(Ok(AccessToken {
                    token, expires_on, ..
                })),
                _,
            ) => Ok(Token {
                value: SecretString::new(token.secret().to_owned()),
                expires_at: Some(expires_on),
            }),
            (_, Some(Ok(raw))) => Err(Failure::answered(&request, &raw, &self.masker)),
            (_, Some(Err(lost))) => Err(Failure::lost(&request, &lost, &self.masker)),
            (Ok(Err(error)), None) => {
                let message = clean(&self.masker, &error.to_string());
                Err(Failure::not_sent(
                    &request,
                    Class::Unauthenticated,
                    "no-token",
                    message,
                ))
            }
            (Err(_), None) => {
                let lost = Lost::deadline("the token's issuer");
                Err(Failure::lost(&request, &lost, &self.masker))
            }
        }
    }

    fn credential(
        &self,
        tenant: Option<&str>,
        transport: &Arc<Recorder>,
    ) -> azure_core::Result<Arc<dyn TokenCredential>> {
        let mut cloud = CustomConfiguration::default();
        self.target
            .cloud
            .authority()
            .clone_into(&mut cloud.authority_host);
        let client_options = ClientOptions {
            cloud: Some(Arc::new(CloudConfiguration::from(cloud))),
            transport: Some(Transport::new(transport.clone())),
            retry: RetryOptions::none(),
            ..ClientOptions::default()
        };
        let pick = |own: &str| tenant.unwrap_or(own).to_owned();
        Ok(match &self.signer {
            Signer::ClientSecret {
                tenant,
                client_id,
                secret,
            } => ClientSecretCredential::new(
                &pick(tenant),
                client_id.clone(),
                Secret::new(secret.expose().to_owned()),
                Some(ClientSecretCredentialOptions { client_options }),
            )?,
            Signer::WorkloadIdentity {
                tenant,
                client_id,
                token_file,
            } => WorkloadIdentityCredential::new(Some(WorkloadIdentityCredentialOptions {
                credential_options: ClientAssertionCredentialOptions { client_options },
                client_id: Some(client_id.clone()),
                tenant_id: Some(pick(tenant)),
                token_file_path: Some(token_file.clone()),
            }))?,
            Signer::ManagedIdentity { client_id } => {
                ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
                    user_assigned_id: client_id.clone().map(UserAssignedId::ClientId),
                    client_options,
                }))?
            }
            Signer::AzureCli { tenant: own } => {
                AzureCliCredential::new(Some(AzureCliCredentialOptions {
                    tenant_id: tenant.map(str::to_owned).or_else(|| own.clone()),
                    ..AzureCliCredentialOptions::default()
                }))?
            }
            Signer::DatabricksPat { .. } | Signer::DatabricksOauth { .. } => {
                return Err(azure_core::Error::with_message(
                    ErrorKind::Credential,
                    "Databricks credentials open no Entra token",
                ));
            }
        })
    }
}

/// Sends `azure_identity`'s requests by our rules and keeps the last exchange unless it succeeded.
#[derive(Debug)]
struct Recorder {
    http: Http,
    deadline: Instant,
    last: Mutex<Option<Result<Raw, Lost>>>,
}

#[async_trait]
impl HttpClient for Recorder {
    async fn execute_request(
        &self,
        request: &azure_core::http::Request,
    ) -> azure_core::Result<AsyncRawResponse> {
        let other = |text: &'static str| azure_core::Error::with_message(ErrorKind::Other, text);
        let method = reqwest::Method::from_bytes(request.method().as_str().as_bytes())
            .map_err(|_| other("unknown method"))?;
        let mut http = reqwest::Request::new(method, request.url().clone());
        for (name, value) in request.headers().iter() {
            let name = reqwest::header::HeaderName::from_bytes(name.as_str().as_bytes())
                .map_err(|_| other("malformed header"))?;
            let value = reqwest::header::HeaderValue::from_str(value.as_str())
                .map_err(|_| other("malformed header"))?;
            http.headers_mut().insert(name, value);
        }
        if let Body::Bytes(bytes) = request.body()
            && !bytes.is_empty()
        {
            *http.body_mut() = Some(bytes.clone().into());
        }
        let outcome = self.http.exchange(http, self.deadline).await;
        let mut kept = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(raw) => {
                let headers: std::collections::HashMap<HeaderName, HeaderValue> = raw
                    .headers
                    .iter()
                    .map(|(name, value)| {
                        (
                            HeaderName::from(name.clone()),
                            HeaderValue::from(value.clone()),
                        )
                    })
                    .collect();
                let body = raw.body.clone();
                let status = raw.status;
                *kept = (!(200..300).contains(&status)).then_some(Ok(raw));
                Ok(AsyncRawResponse::from_bytes(
                    status.into(),
                    Headers::from(headers),
                    body,
                ))
            }
            Err(lost) => {
                let error =
                    azure_core::Error::with_message(ErrorKind::Connection, lost.message.clone());
                *kept = Some(Err(lost));
                Err(error)
            }
        }
    }
}
