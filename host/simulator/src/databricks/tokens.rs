//! Personal access tokens: one's own, and their management by admins
//! (reference/databricks.md, section 8).

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::State;
use super::caller::{self, Caller};
use super::errors::Refusal;
use super::permissions::{self, Object, TOKENS};
use super::request::{Answer, Field as _, Request, done, millis, ok};

/// The longest life of a token, in days, unless the workspace sets a shorter one.
const LONGEST_DAYS: i64 = 730;
/// Tokens per principal.
const MOST: usize = 600;

/// A token; its value is shown once and kept as a hash.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct Pat {
    pub(super) token_id: String,
    /// SHA-256 of the value.
    pub(super) digest: String,
    /// The SCIM id of its owner.
    pub(super) owner: u64,
    comment: String,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(with = "time::serde::rfc3339")]
    created: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    expires: Option<OffsetDateTime>,
}

impl Pat {
    /// Whether its life has not ended.
    pub(super) fn is_live(&self, now: OffsetDateTime) -> bool {
        self.expires.is_none_or(|end| end > now)
    }

    fn render(&self) -> Value {
        let mut body = json!({
            "token_id": self.token_id,
            "creation_time": millis(self.created),
            "expiry_time": self.expires.map_or(-1, millis),
            "comment": self.comment,
        });
        if let (Some(fields), false) = (body.as_object_mut(), self.scopes.is_empty()) {
            fields.insert("scopes".into(), json!(self.scopes));
        }
        body
    }

    fn render_managed(&self, state: &State) -> Value {
        let mut body = self.render();
        if let Some(fields) = body.as_object_mut() {
            let name = state
                .directory
                .principals
                .get(&self.owner)
                .map(|owner| owner.name.clone());
            fields.insert("owner_id".into(), json!(self.owner));
            fields.insert("created_by_id".into(), json!(self.owner));
            fields.insert("created_by_username".into(), json!(name));
        }
        body
    }
}

/// Whether a principal may have and use tokens at all.
pub(super) fn may_use(state: &State, owner: u64) -> bool {
    permissions::allows(state, owner, &Object::new(&TOKENS, "tokens"), "CAN_USE")
}

fn require_enabled(state: &State) -> Result<(), Refusal> {
    if state.tokens_disabled() {
        return Err(Refusal::new(
            StatusCode::NOT_FOUND,
            "FEATURE_DISABLED",
            "Tokens are disabled.",
        ));
    }
    Ok(())
}

/// `POST /api/2.0/token/create`
pub(super) fn create(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    #[derive(Deserialize)]
    struct Body {
        comment: Option<String>,
        lifetime_seconds: Option<i64>,
        #[serde(default)]
        scopes: Vec<String>,
    }
    let state = &mut state.databricks;
    require_enabled(state)?;
    if !may_use(state, caller.id) {
        return Err(Refusal::denied(
            "User does not have permission to use tokens.",
        ));
    }
    let body: Body = request.json()?;
    let longest = state.longest_token_days().unwrap_or(LONGEST_DAYS) * 86_400;
    let lifetime = match body.lifetime_seconds {
        Some(0) => return Err(Refusal::invalid("requirement failed: Invalid timeout: 0")),
        Some(seconds) if seconds < 0 || seconds > longest => {
            return Err(Refusal::invalid(format!(
                "The lifetime of {seconds} seconds exceeds the longest that this workspace allows, {longest} seconds"
            )));
        }
        Some(seconds) => seconds,
        None => longest,
    };
    if state
        .pats
        .values()
        .filter(|pat| pat.owner == caller.id)
        .count()
        >= MOST
    {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "QUOTA_EXCEEDED",
            format!("The number of tokens exceeds the quota of {MOST}."),
        ));
    }
    let now = request.now();
    let value = format!("dapi{}-2", request.world.hex(32));
    let pat = Pat {
        token_id: request.world.hex(64),
        digest: caller::digest(&value),
        owner: caller.id,
        comment: body.comment.unwrap_or_default(),
        scopes: body.scopes,
        created: now,
        expires: Some(now + Duration::seconds(lifetime)),
    };
    let info = pat.render();
    state.pats.insert(pat.token_id.clone(), pat);
    state.had_token = true;
    ok(json!({ "token_value": value, "token_info": info }))
}

/// `GET /api/2.0/token/list`: one's own.
pub(super) fn list(_: &Request, state: &crate::State, caller: &Caller) -> Answer {
    let state = &state.databricks;
    require_enabled(state)?;
    let infos: Vec<Value> = state
        .pats
        .values()
        .filter(|pat| pat.owner == caller.id)
        .map(Pat::render)
        .collect();
    ok(json!({ "token_infos": infos }))
}

fn unknown(token: &str) -> Refusal {
    Refusal::missing(format!("Token with ID {token} does not exist!"))
}

/// `POST /api/2.0/token/delete`: one's own.
pub(super) fn delete(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    #[derive(Deserialize)]
    struct Body {
        token_id: String,
    }
    let state = &mut state.databricks;
    require_enabled(state)?;
    let body: Body = request.json()?;
    if state
        .pats
        .get(&body.token_id)
        .is_none_or(|pat| pat.owner != caller.id)
    {
        return Err(unknown(&body.token_id));
    }
    state.pats.remove(&body.token_id);
    done()
}

/// `PATCH /api/2.0/token/{token}`: comment and scopes of one's own.
pub(super) fn update(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    #[derive(Deserialize)]
    struct Body {
        token: Change,
        update_mask: Option<String>,
    }
    #[derive(Deserialize)]
    struct Change {
        comment: Option<String>,
        scopes: Option<Vec<String>>,
    }
    let state = &mut state.databricks;
    require_enabled(state)?;
    let body: Body = request.json()?;
    let token = request.parameter("token");
    let pat = state
        .pats
        .get_mut(token)
        .filter(|pat| pat.owner == caller.id)
        .ok_or_else(|| unknown(token))?;
    let changes = |field: &str| {
        body.update_mask
            .as_deref()
            .is_none_or(|mask| mask.split(',').any(|name| name.trim() == field))
    };
    if let Some(comment) = body.token.comment.filter(|_| changes("comment")) {
        pat.comment = comment;
    }
    if let Some(scopes) = body.token.scopes.filter(|_| changes("scopes")) {
        pat.scopes = scopes;
    }
    done()
}

/// `POST /api/2.0/token-management/on-behalf-of/tokens`: refused on Azure.
pub(super) fn on_behalf_of(_: &Request, _: &mut crate::State, caller: &Caller) -> Answer {
    caller.require_admin("This API")?;
    Err(Refusal::bad_request(
        "On-behalf-of token creation for service principals is not enabled for this workspace",
    ))
}

/// `GET /api/2.0/token-management/tokens`: admins see all, others their own.
pub(super) fn list_managed(request: &Request, state: &crate::State, caller: &Caller) -> Answer {
    let state = &state.databricks;
    let infos: Vec<Value> = state
        .pats
        .values()
        .filter(|pat| caller.admin || pat.owner == caller.id)
        .filter(|pat| {
            request
                .query("created_by_id")
                .is_none_or(|id| id == pat.owner.to_string())
        })
        .map(|pat| pat.render_managed(state))
        .filter(|info| {
            request
                .query("created_by_username")
                .is_none_or(|name| info.field("created_by_username") == name)
        })
        .collect();
    ok(json!({ "token_infos": infos }))
}

fn managed<'a>(request: &Request, state: &'a State, caller: &Caller) -> Result<&'a Pat, Refusal> {
    let token = request.parameter("token");
    state
        .pats
        .get(token)
        .filter(|pat| caller.admin || pat.owner == caller.id)
        .ok_or_else(|| unknown(token))
}

/// `GET /api/2.0/token-management/tokens/{token}`
pub(super) fn get_managed(request: &Request, state: &crate::State, caller: &Caller) -> Answer {
    let state = &state.databricks;
    ok(json!({ "token_info": managed(request, state, caller)?.render_managed(state) }))
}

/// `DELETE /api/2.0/token-management/tokens/{token}`
pub(super) fn delete_managed(
    request: &Request,
    state: &mut crate::State,
    caller: &Caller,
) -> Answer {
    let state = &mut state.databricks;
    let token = managed(request, state, caller)?.token_id.clone();
    state.pats.remove(&token);
    done()
}
