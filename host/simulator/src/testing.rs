//! A simulator in a temporary folder, and a client for its plain-HTTP listener.

use std::{sync::Arc, time::Duration};

use reqwest::{Client, Method, Response, header::HeaderMap};
use serde_json::{Value, json};
use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::{Options, Profile, Running, StartError, World, seed};

pub(crate) const SECRET: &str = "not-a-real-secret";
pub(crate) const GRAPH: &str = "graph.microsoft.com";
pub(crate) const ARM: &str = "management.azure.com";
pub(crate) const LOGIN: &str = "login.microsoftonline.com";
pub(crate) const VAULT: &str = "kv-demo.vault.azure.net";
pub(crate) const STORAGE: &str = "stdemo.dfs.core.windows.net";

pub(crate) struct Cloud {
    pub(crate) running: Running,
    pub(crate) client: Client,
    pub(crate) folder: TempDir,
}

/// A reply, read whole.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Got {
    async fn read(response: Response) -> Self {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let bytes = response.bytes().await.unwrap();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes)));
        Self {
            status,
            headers,
            body,
        }
    }

    /// Asserts success and gives the body.
    #[track_caller]
    pub(crate) fn ok(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    /// Asserts a refusal with an error code of Graph, ARM, vault or storage.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) -> &str {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.body["error"]["code"], code, "{}", self.body);
        self.body["error"]["message"].as_str().unwrap()
    }

    /// Asserts a refusal of the token endpoint.
    #[track_caller]
    pub(crate) fn aadsts(&self, status: u16, error: &str, code: u32) -> &str {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.body["error"], error, "{}", self.body);
        assert_eq!(self.body["error_codes"], json!([code]), "{}", self.body);
        let text = self.body["error_description"].as_str().unwrap();
        assert!(text.starts_with(&format!("AADSTS{code}: ")), "{text}");
        assert!(!text.contains('\r'), "{text}");
        text
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

pub(crate) fn options(folder: &TempDir, profile: Profile) -> Options {
    Options {
        folder: folder.path().to_owned(),
        seal_key: Zeroizing::new([7; 32]),
        operator_secret: Zeroizing::new(SECRET.to_owned()),
        profile,
        seed: 1,
        https_port: 0,
        http_port: 0,
    }
}

impl Cloud {
    pub(crate) async fn start() -> Self {
        Self::with(Profile::Instant).await
    }

    pub(crate) async fn with(profile: Profile) -> Self {
        Self::on(TempDir::new().unwrap(), profile).await.unwrap()
    }

    pub(crate) async fn on(folder: TempDir, profile: Profile) -> Result<Self, StartError> {
        // Another test of the process may have been first.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let running = crate::start(options(&folder, profile)).await?;
        let client = Client::builder().no_proxy().build().unwrap();
        Ok(Self {
            running,
            client,
            folder,
        })
    }

    /// Stops it and starts it again on its folder.
    pub(crate) async fn restart(self, profile: Profile) -> Self {
        let Self {
            running, folder, ..
        } = self;
        running.stop().await;
        Self::on(folder, profile).await.unwrap()
    }

    pub(crate) fn world(&self) -> Arc<World> {
        self.running.world()
    }

    pub(crate) fn pass(&self, seconds: u64) {
        self.world().advance(Duration::from_secs(seconds));
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.http_address())
    }

    /// Sends a request to a host by its real name.
    pub(crate) async fn send(
        &self,
        method: &str,
        host: &str,
        path: &str,
        bearer: Option<&str>,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Got {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self
            .client
            .request(method, self.url(path))
            .header("host", host);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(bearer) = bearer {
            request = request.bearer_auth(bearer);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        Got::read(request.send().await.unwrap()).await
    }

    pub(crate) async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Got {
        let request = self
            .client
            .post(self.url(path))
            .header("host", LOGIN)
            .form(fields);
        Got::read(request.send().await.unwrap()).await
    }

    /// A client-credentials grant at the v2 endpoint.
    pub(crate) async fn grant(&self, client_id: &str, secret: &str, scope: &str) -> Got {
        self.form(
            &format!("/{}/oauth2/v2.0/token", seed::TENANT),
            &[
                ("grant_type", "client_credentials"),
                ("client_id", client_id),
                ("client_secret", secret),
                ("scope", scope),
            ],
        )
        .await
    }

    /// The operator's token for a resource.
    pub(crate) async fn token(&self, resource: &str) -> String {
        self.token_of(seed::OPERATOR_CLIENT, SECRET, resource).await
    }

    pub(crate) async fn token_of(&self, client_id: &str, secret: &str, resource: &str) -> String {
        let got = self
            .grant(client_id, secret, &format!("{resource}/.default"))
            .await;
        got.ok(200)["access_token"].as_str().unwrap().to_owned()
    }

    /// A call to Graph as the operator.
    pub(crate) async fn graph(&self, method: &str, path: &str, body: Option<Value>) -> Got {
        let token = self.token("https://graph.microsoft.com").await;
        self.send(
            method,
            GRAPH,
            &format!("/v1.0{path}"),
            Some(&token),
            body,
            &[],
        )
        .await
    }

    /// An upsert in Graph as the operator.
    pub(crate) async fn upsert(&self, path: &str, body: Value) -> Got {
        let token = self.token("https://graph.microsoft.com").await;
        let prefer = [("prefer", "create-if-missing")];
        self.send(
            "PATCH",
            GRAPH,
            &format!("/v1.0{path}"),
            Some(&token),
            Some(body),
            &prefer,
        )
        .await
    }

    /// A call to the resource manager as the operator.
    pub(crate) async fn arm(&self, method: &str, path: &str, body: Option<Value>) -> Got {
        let token = self.token("https://management.azure.com").await;
        self.arm_as(&token, method, path, body).await
    }

    pub(crate) async fn arm_as(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Got {
        let join = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{join}api-version=2026-02-01");
        self.send(method, ARM, &path, Some(token), body, &[]).await
    }

    /// A call to a vault with a token.
    pub(crate) async fn vault(
        &self,
        token: &str,
        method: &str,
        host: &str,
        path: &str,
        body: Option<Value>,
    ) -> Got {
        let join = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{join}api-version=2025-07-01");
        self.send(method, host, &path, Some(token), body, &[]).await
    }

    /// Registers an application with a service principal and a secret: its client id, its object
    /// id, its principal's object id and the secret.
    pub(crate) async fn register(&self, name: &str) -> [String; 4] {
        let body = json!({"displayName": name, "signInAudience": "AzureADMyOrg"});
        let app = self
            .graph("POST", "/applications", Some(body))
            .await
            .ok(201);
        let (id, app_id) = (text(&app["id"]), text(&app["appId"]));
        let body = json!({"appId": app_id});
        let sp = self
            .graph("POST", "/servicePrincipals", Some(body))
            .await
            .ok(201);
        let path = format!("/applications/{id}/addPassword");
        let secret = self.graph("POST", &path, Some(json!({}))).await.ok(200);
        [app_id, id, text(&sp["id"]), text(&secret["secretText"])]
    }
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
