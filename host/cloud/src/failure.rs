//! One error type for everything that can go wrong with a request.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::answer::{self, clean};
use crate::classify::classify;
use crate::http::{Lost, Raw};
use crate::masker::Masker;
use crate::request::{Method, Request, Service};

/// What kind of failure it is: what a caller can decide upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// The object asked for is not there.
    NotFound,
    /// It is there already, or another writer was faster.
    Conflict,
    /// The identity is known and lacks a right.
    Denied,
    /// The identity is not proven: no, wrong or expired credentials.
    Unauthenticated,
    /// Too many requests; nothing was done.
    Throttled,
    /// Something made a moment ago has not reached this service yet. Set by the caller, who knows what is new.
    NotYetVisible,
    /// The service cannot be reached or fails by itself.
    Unavailable,
    /// The request is wrong and will stay wrong.
    Invalid,
    /// None of these.
    Other,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "not found",
            Self::Conflict => "conflict",
            Self::Denied => "denied",
            Self::Unauthenticated => "unauthenticated",
            Self::Throttled => "throttled",
            Self::NotYetVisible => "not yet visible",
            Self::Unavailable => "unavailable",
            Self::Invalid => "invalid",
            Self::Other => "failed",
        })
    }
}

/// Whether the service can have acted on a failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sent {
    /// It never left: the service has not acted.
    NotSent,
    /// It left and no reply, or a reply that does not tell, came back.
    MaybeHandled,
    /// The service answered that it refuses: it has not acted.
    Answered,
}

/// A failed request. All text from the service is masked, escaped and cut to 2 kB.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub struct Failure {
    /// What kind of failure.
    pub class: Class,
    /// The service's name, such as `Graph`; `Entra` when no token could be had.
    pub service: String,
    /// The operation, such as `applications.create`.
    pub operation: String,
    /// The method.
    pub method: Method,
    /// The path's template.
    pub path: String,
    /// The status, when an answer came.
    pub status: Option<u16>,
    /// The service's code, such as `PERMISSION_DENIED` or `AADSTS7000215`; our own, in lower case, when it gave none.
    pub code: String,
    /// Further codes inside the answer: Graph's `details`, Key Vault's `innererror`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub detail_codes: Vec<String>,
    /// What the service said, on one line.
    pub message: String,
    /// The service's id of the request.
    pub request_id: Option<String>,
    /// How long the service asks to wait.
    pub retry_after: Option<Duration>,
    /// Whether the service can have acted.
    pub sent: Sent,
}

/// The code of a wait that was ended from outside.
const STOPPED: &str = "stopped";

impl Failure {
    /// The failure of a wait that [`Observer::stopped`](crate::Observer::stopped) has ended; what the service said last
    /// stays in the message, and whether it can have acted stays as it was.
    #[must_use]
    pub fn stopped(self) -> Self {
        Self {
            class: Class::Unavailable,
            message: format!(
                "stopped while waiting for the service, as asked; it last answered {}: {}",
                self.code, self.message
            ),
            code: STOPPED.to_owned(),
            ..self
        }
    }

    /// Whether it tells of a wait that was ended from outside.
    pub fn is_stopped(&self) -> bool {
        self.code == STOPPED
    }

    /// A failure of this request before it was sent.
    pub fn not_sent(
        request: &Request,
        class: Class,
        code: &str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            class,
            service: request.service.to_string(),
            operation: request.operation.to_owned(),
            method: request.method,
            path: request.path_template().to_owned(),
            status: None,
            code: code.to_owned(),
            detail_codes: Vec::new(),
            message: message.into(),
            request_id: None,
            retry_after: None,
            sent: Sent::NotSent,
        }
    }

    /// A request whose reply was lost, or which never left.
    pub(crate) fn lost(request: &Request, lost: &Lost, masker: &Masker) -> Self {
        Self {
            sent: lost.sent,
            ..Self::not_sent(request, lost.class, lost.code, clean(masker, &lost.message))
        }
    }

    /// A reply that is not a success.
    pub(crate) fn answered(request: &Request, raw: &Raw, masker: &Masker) -> Self {
        let databricks = matches!(
            request.service,
            Service::Databricks | Service::DatabricksAccount
        );
        if (300..400).contains(&raw.status) {
            let to = raw
                .header("location")
                .and_then(|to| reqwest::Url::parse(to).ok());
            let host = to
                .as_ref()
                .and_then(|url| url.host_str())
                .unwrap_or("another page");
            let hint = if databricks { WRONG_HOST } else { "" };
            let message = format!("redirected to {host}, and redirects are not followed{hint}");
            return Self::replied(
                request,
                raw,
                Class::Other,
                "redirect",
                clean(masker, &message),
                masker,
            );
        }
        let answer = answer::read(&request.service, raw.status, &raw.headers, &raw.body);
        let (class, sent) = classify(
            &request.service,
            request.path_template(),
            raw.status,
            &answer,
        );
        let text = |text: &str| clean(masker, text);
        Self {
            detail_codes: answer.detail_codes.iter().map(|code| text(code)).collect(),
            request_id: answer.request_id.as_deref().map(text),
            retry_after: answer.retry_after,
            sent,
            ..Self::replied(
                request,
                raw,
                class,
                &text(&answer.code),
                text(&answer.message),
                masker,
            )
        }
    }

    /// A success whose body is a web page: what a sign-in page looks like to an API client.
    pub(crate) fn web_page(request: &Request, raw: &Raw, masker: &Masker) -> Self {
        let message = format!("the reply is a web page, not JSON{WRONG_HOST}");
        Self::replied(
            request,
            raw,
            Class::Invalid,
            "wrong-host-kind",
            message,
            masker,
        )
    }

    /// A success whose body cannot be used; the service has acted.
    pub(crate) fn unreadable(
        request: &Request,
        raw: &Raw,
        code: &str,
        message: &str,
        masker: &Masker,
    ) -> Self {
        Self {
            sent: Sent::MaybeHandled,
            ..Self::replied(request, raw, Class::Other, code, message.to_owned(), masker)
        }
    }

    fn replied(
        request: &Request,
        raw: &Raw,
        class: Class,
        code: &str,
        message: String,
        masker: &Masker,
    ) -> Self {
        Self {
            status: Some(raw.status),
            request_id: answer::request_id(&raw.headers).map(|id| clean(masker, &id)),
            sent: Sent::Answered,
            ..Self::not_sent(request, class, code, message)
        }
    }
}

/// reference/databricks.md, 2.1: account calls on a workspace host, and the reverse, answer with a sign-in page.
const WRONG_HOST: &str = ": this is what the wrong kind of Databricks host does (a workspace asked for the account's API, or the reverse); check `workspace` and `account_id`";

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}: {} {} -> ",
            self.service, self.operation, self.method, self.path
        )?;
        if let Some(status) = self.status {
            write!(f, "{status} ")?;
        }
        f.write_str(&self.code)?;
        for code in &self.detail_codes {
            write!(f, "/{code}")?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(id) = &self.request_id {
            write!(f, " (request id {id})")?;
        }
        Ok(())
    }
}
