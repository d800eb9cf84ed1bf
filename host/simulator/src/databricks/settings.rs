//! Workspace-wide settings: `workspace-conf` and the restriction of admins
//! (reference/databricks.md, sections 6 and 8).

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::caller::Caller;
use super::errors::Refusal;
use super::request::{Answer, Field as _, Request, no_content, ok};

/// Whether personal access tokens work.
pub(super) const ENABLE_TOKENS: &str = "enableTokensConfig";
/// The longest life of a personal access token, in days.
pub(super) const TOKEN_DAYS: &str = "maxTokenLifetimeDays";
const RESTRICT_ADMINS: &str = "restrict_workspace_admins";

/// Settings that have been set.
#[derive(Serialize, Deserialize, Clone, PartialEq, Default, Debug)]
pub(super) struct Settings {
    conf: BTreeMap<String, String>,
    admins_restricted: bool,
    restrict_version: u64,
}

impl Settings {
    /// A `workspace-conf` value, if it has been set.
    pub(super) fn conf(&self, key: &str) -> Option<&str> {
        self.conf.get(key).map(String::as_str)
    }

    /// Whether workspace admins may bind jobs to other users.
    pub(super) fn admins_restricted(&self) -> bool {
        self.admins_restricted
    }

    fn etag(&self) -> String {
        format!("restrict-{}", self.restrict_version)
    }

    fn render(&self) -> Value {
        json!({
            "etag": self.etag(),
            "setting_name": "default",
            RESTRICT_ADMINS: { "status": if self.admins_restricted {
                "RESTRICT_TOKENS_AND_JOB_RUN_AS"
            } else {
                "ALLOW_ALL"
            }},
        })
    }
}

/// `GET /api/2.0/workspace-conf?keys=`
pub(super) fn get_conf(request: &Request, state: &crate::State, caller: &Caller) -> Answer {
    caller.require_admin("This API")?;
    let settings = &state.databricks.settings;
    let values: Map<String, Value> = request
        .required_query("keys")?
        .split(',')
        .map(|key| (key.trim().to_owned(), json!(settings.conf(key.trim()))))
        .collect();
    ok(Value::Object(values))
}

/// `PATCH /api/2.0/workspace-conf`: values are strings, also for booleans and numbers.
pub(super) fn patch_conf(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    caller.require_admin("This API")?;
    let values: BTreeMap<String, String> = request.json()?;
    if let Some(days) = values.get(TOKEN_DAYS).filter(|days| !days.is_empty())
        && !days
            .parse::<i64>()
            .is_ok_and(|days| (0..=730).contains(&days))
    {
        return Err(Refusal::invalid(format!(
            "Invalid value for {TOKEN_DAYS}: {days}"
        )));
    }
    state.databricks.settings.conf.extend(values);
    no_content()
}

/// `GET /api/2.0/settings/types/restrict_workspace_admins/names/default`
pub(super) fn get_restriction(_: &Request, state: &crate::State, caller: &Caller) -> Answer {
    caller.require_admin("This API")?;
    ok(state.databricks.settings.render())
}

/// `PATCH` of the same.
pub(super) fn patch_restriction(
    request: &Request,
    state: &mut crate::State,
    caller: &Caller,
) -> Answer {
    caller.require_admin("This API")?;
    let body: Value = request.json()?;
    let settings = &mut state.databricks.settings;
    let sent = body.field("setting");
    require_fresh(settings, sent.field("etag").as_str())?;
    settings.admins_restricted = match sent.field(RESTRICT_ADMINS).field("status").as_str() {
        Some("ALLOW_ALL") => false,
        Some("RESTRICT_TOKENS_AND_JOB_RUN_AS") => true,
        other => {
            return Err(Refusal::invalid(format!(
                "Invalid value for {RESTRICT_ADMINS}.status: {}",
                other.unwrap_or("none")
            )));
        }
    };
    settings.restrict_version += 1;
    ok(settings.render())
}

/// `DELETE` of the same: back to the default.
pub(super) fn delete_restriction(
    request: &Request,
    state: &mut crate::State,
    caller: &Caller,
) -> Answer {
    caller.require_admin("This API")?;
    let settings = &mut state.databricks.settings;
    require_fresh(settings, request.query("etag"))?;
    settings.admins_restricted = false;
    settings.restrict_version += 1;
    ok(json!({ "etag": settings.etag() }))
}

fn require_fresh(settings: &Settings, sent: Option<&str>) -> Result<(), Refusal> {
    match sent.filter(|etag| !etag.is_empty()) {
        Some(etag) if etag != settings.etag() => Err(Refusal::new(
            StatusCode::CONFLICT,
            "RESOURCE_CONFLICT",
            format!(
                "The setting has changed since; its etag is {}",
                settings.etag()
            ),
        )
        .with_metadata(json!({ "etag": settings.etag() }))),
        _ => Ok(()),
    }
}
