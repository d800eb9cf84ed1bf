//! Access-control rule sets: who uses and who manages a service principal
//! (reference/databricks.md, section 6).

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;

use axum::http::StatusCode;

use super::caller::Caller;
use super::directory::{Directory, Kind, Principal};
use super::errors::Refusal;
use super::request::{Answer, Request, ok};

/// Manages roles and secrets of the service principal, but may not run as it.
pub(super) const MANAGER: &str = "roles/servicePrincipal.manager";
/// May run jobs as the service principal, but may not manage it.
pub(super) const USER: &str = "roles/servicePrincipal.user";

/// One role and the principals that have it.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct GrantRule {
    pub(super) role: String,
    /// `users/<email>`, `groups/<name>` or `servicePrincipals/<application id>`.
    #[serde(default)]
    pub(super) principals: Vec<String>,
}

/// The rules of one service principal, replaced as a whole.
#[derive(Serialize, Deserialize, Clone, PartialEq, Default, Debug)]
pub(super) struct RuleSet {
    current: Version,
    earlier: Option<Version>,
    #[serde(with = "time::serde::rfc3339::option")]
    readable_at: Option<OffsetDateTime>,
}

#[derive(Serialize, Deserialize, Clone, PartialEq, Default, Debug)]
struct Version {
    number: u64,
    rules: Vec<GrantRule>,
}

impl RuleSet {
    /// The rules a new service principal starts with: its creator manages it.
    pub(super) fn managed_by(creator: &Caller) -> Self {
        Self {
            current: Version {
                number: 1,
                rules: vec![GrantRule {
                    role: MANAGER.into(),
                    principals: vec![principal_name(creator.kind, &creator.name)],
                }],
            },
            ..Self::default()
        }
    }

    /// Whether a principal has a role, by itself or through a group.
    pub(super) fn grants(&self, directory: &Directory, role: &str, id: u64) -> bool {
        let Some(principal) = directory.principals.get(&id) else {
            return false;
        };
        let mut names = vec![principal_name(principal.kind, &principal.name)];
        names.extend(
            directory
                .groups_of(id)
                .iter()
                .map(|group| format!("groups/{}", group.name)),
        );
        self.current
            .rules
            .iter()
            .filter(|rule| rule.role == role)
            .flat_map(|rule| &rule.principals)
            .any(|granted| names.iter().any(|name| name.eq_ignore_ascii_case(granted)))
    }
}

/// Whether the caller manages this service principal.
pub(super) fn manages(directory: &Directory, caller: &Caller, principal: &Principal) -> bool {
    caller.account_admin || principal.rule_set.grants(directory, MANAGER, caller.id)
}

fn principal_name(kind: Kind, name: &str) -> String {
    match kind {
        Kind::User => format!("users/{name}"),
        Kind::ServicePrincipal => format!("servicePrincipals/{name}"),
    }
}

fn etag(application: &str, version: &Version) -> String {
    BASE64_STANDARD.encode(format!("{application}:{}", version.number))
}

fn render(name: &str, application: &str, version: &Version) -> Value {
    let mut body = json!({ "name": name, "etag": etag(application, version) });
    if let (Some(fields), false) = (body.as_object_mut(), version.rules.is_empty()) {
        fields.insert("grant_rules".into(), json!(version.rules));
    }
    body
}

/// The service principal that a rule-set or resource name speaks of.
fn named<'a>(
    state: &'a crate::State,
    request: &Request,
    name: &str,
    suffix: &str,
) -> Result<&'a Principal, Refusal> {
    let databricks = &state.databricks;
    let path_account = request.parameter("account");
    if !path_account.is_empty() {
        databricks.require_account(path_account)?;
    }
    let malformed = || Refusal::invalid(format!("Invalid rule set or resource name: {name}"));
    let (account, application) = name
        .strip_prefix("accounts/")
        .and_then(|rest| rest.strip_suffix(suffix))
        .and_then(|rest| rest.split_once("/servicePrincipals/"))
        .ok_or_else(malformed)?;
    databricks.require_account(account)?;
    databricks
        .directory
        .find(Kind::ServicePrincipal, application)
        .ok_or_else(|| {
            Refusal::missing(format!(
                "Service principal {application} does not exist in account {account}"
            ))
        })
}

fn managed<'a>(
    state: &'a crate::State,
    request: &Request,
    caller: &Caller,
    name: &str,
    suffix: &str,
) -> Result<&'a Principal, Refusal> {
    let principal = named(state, request, name, suffix)?;
    if manages(&state.databricks.directory, caller, principal) {
        return Ok(principal);
    }
    Err(Refusal::denied(format!(
        "{} does not have access to view permissions for this principal",
        caller.name
    )))
}

/// `GET …/access-control/rule-sets?name=&etag=`
pub(super) fn get(request: &Request, state: &crate::State, caller: &Caller) -> Answer {
    let name = request.required_query("name")?;
    let principal = managed(state, request, caller, name, "/ruleSets/default")?;
    let set = &principal.rule_set;
    let wants_latest = request.query("etag") == Some(&etag(&principal.name, &set.current));
    let is_readable = set.readable_at.is_none_or(|at| request.world.sees(at));
    let version = match &set.earlier {
        Some(earlier) if !is_readable && !wants_latest => earlier,
        _ => &set.current,
    };
    ok(render(name, &principal.name, version))
}

/// `PUT …/access-control/rule-sets`
pub(super) fn put(request: &Request, state: &mut crate::State, caller: &Caller) -> Answer {
    #[derive(Deserialize)]
    struct Body {
        name: String,
        rule_set: Rules,
    }
    #[derive(Deserialize)]
    struct Rules {
        etag: Option<String>,
        #[serde(default)]
        grant_rules: Vec<GrantRule>,
    }
    let body: Body = request.json()?;
    let principal = managed(state, request, caller, &body.name, "/ruleSets/default")?;
    let directory = &state.databricks.directory;
    let presented = body
        .rule_set
        .etag
        .filter(|etag| !etag.is_empty())
        .ok_or_else(|| Refusal::invalid("Missing required field: rule_set.etag"))?;
    for rule in &body.rule_set.grant_rules {
        if ![MANAGER, USER].contains(&rule.role.as_str()) {
            return Err(Refusal::invalid(format!("Unsupported role: {}", rule.role)));
        }
        for granted in &rule.principals {
            require_principal(directory, granted)?;
        }
    }
    if presented != etag(&principal.name, &principal.rule_set.current) {
        return Err(Refusal::new(
            StatusCode::CONFLICT,
            "RESOURCE_CONFLICT",
            "Conflict with another RuleSet operation. Please read the rule set again and retry.",
        ));
    }
    let id = principal.id;
    let readable_at = request.world.visible_at(crate::Plane::Databricks);
    let Some(principal) = state.databricks.directory.principals.get_mut(&id) else {
        return Err(Refusal::missing("The service principal does not exist"));
    };
    let set = &mut principal.rule_set;
    let next = Version {
        number: set.current.number + 1,
        rules: body.rule_set.grant_rules,
    };
    set.earlier = Some(std::mem::replace(&mut set.current, next));
    set.readable_at = Some(readable_at);
    ok(render(&body.name, &principal.name, &set.current))
}

/// A rule names users, service principals and account groups only.
fn require_principal(directory: &Directory, granted: &str) -> Result<(), Refusal> {
    let is_known = match granted.split_once('/') {
        Some(("users", name)) => directory.find(Kind::User, name).is_some(),
        Some(("servicePrincipals", name)) => directory.find(Kind::ServicePrincipal, name).is_some(),
        Some(("groups", name)) => directory.group(name).is_some_and(|group| group.of_account),
        _ => false,
    };
    if is_known {
        Ok(())
    } else {
        Err(Refusal::invalid(format!(
            "Unsupported principal: {granted}"
        )))
    }
}

/// `GET …/access-control/assignable-roles?resource=`
pub(super) fn assignable_roles(request: &Request, state: &crate::State, _: &Caller) -> Answer {
    named(state, request, request.required_query("resource")?, "")?;
    ok(json!({ "roles": [{ "name": MANAGER }, { "name": USER }] }))
}
