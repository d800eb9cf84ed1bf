//! The SCIM machinery that all resource types share: filters, pages, patches
//! (reference/databricks.md, section 4; RFC 7644, 3.4 and 3.5).

use std::cmp::Ordering;

use axum::http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::errors::Refusal;
use super::request::{Answer, Field as _, Request, ok};

const MOST_PER_PAGE: usize = 10_000;

/// 404 in the SCIM shape.
pub(super) fn missing(kind: &str, id: &str) -> Refusal {
    Refusal::scim(
        StatusCode::NOT_FOUND,
        None,
        format!("{kind} with id {id} not found."),
    )
}

/// 403 in the SCIM shape for callers that administer nothing.
pub(super) fn admins_only() -> Refusal {
    Refusal::scim(
        StatusCode::FORBIDDEN,
        None,
        "This API is only accessible by admins of the workspace.",
    )
}

/// 400 in the SCIM shape.
pub(super) fn invalid(scim_type: &'static str, detail: impl Into<String>) -> Refusal {
    Refusal::scim(StatusCode::BAD_REQUEST, Some(scim_type), detail)
}

/// The body; what is wrong with it is said in the SCIM shape.
pub(super) fn body<T: DeserializeOwned>(request: &Request) -> Result<T, Refusal> {
    request
        .json()
        .map_err(|refusal| invalid("invalidSyntax", refusal.message()))
}

/// Consuming is all that who has it may do in the workspace (4.1).
pub(super) fn check_entitlements(entitlements: &[String]) -> Result<(), Refusal> {
    let has = |wanted: &str| entitlements.iter().any(|one| one == wanted);
    let other = ["workspace-access", "databricks-sql-access"]
        .into_iter()
        .find(|other| has(other));
    match other {
        Some(other) if has("workspace-consume") => Err(invalid(
            "invalidValue",
            format!("The entitlement workspace-consume cannot be granted with {other}."),
        )),
        _ => Ok(()),
    }
}

/// 409 in the SCIM shape.
pub(super) fn conflict(detail: impl Into<String>) -> Refusal {
    Refusal::scim(StatusCode::CONFLICT, Some("uniqueness"), detail)
}

/// A value that SCIM wraps, as in `entitlements` and `groups`.
pub(super) fn wrapped<'a>(values: impl IntoIterator<Item = &'a String>) -> Value {
    values
        .into_iter()
        .map(|value| json!({ "value": value }))
        .collect()
}

/// The `value`s of a multi-valued attribute, which clients send wrapped or bare.
pub(super) fn unwrapped(attribute: Option<&Value>) -> Vec<String> {
    elements(attribute.unwrap_or(&Value::Null))
        .iter()
        .filter_map(|element| element.field("value").as_str().map(str::to_owned))
        .collect()
}

fn elements(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(list) => list.iter().map(element).collect(),
        Value::Null => Vec::new(),
        other => vec![element(other)],
    }
}

fn element(value: &Value) -> Value {
    match value {
        Value::Object(_) => value.clone(),
        Value::String(text) => json!({ "value": text }),
        other => json!({ "value": other.to_string() }),
    }
}

/// Answers a list request over all `resources`: filter, sort, page, attributes.
pub(super) fn list(request: &Request, mut resources: Vec<Value>) -> Answer {
    if let Some(filter) = request
        .query("filter")
        .filter(|text| !text.trim().is_empty())
    {
        let filter = Filter::parse(filter)?;
        resources.retain(|resource| filter.matches(resource));
    }
    if let Some(attribute) = request.query("sortBy") {
        resources.sort_by(|a, b| compare(get(a, attribute), get(b, attribute)));
        if request.query("sortOrder") == Some("descending") {
            resources.reverse();
        }
    }
    let total = resources.len();
    let start = request
        .query("startIndex")
        .and_then(|text| text.parse::<usize>().ok())
        .unwrap_or(1)
        .max(1);
    let count = request
        .query("count")
        .and_then(|text| text.parse().ok())
        .unwrap_or(MOST_PER_PAGE)
        .min(MOST_PER_PAGE);
    let page: Vec<Value> = resources
        .into_iter()
        .skip(start - 1)
        .take(count)
        .map(|resource| selected(request, resource))
        .collect();
    ok(json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": total,
        "startIndex": start,
        "itemsPerPage": page.len(),
        "Resources": page,
    }))
}

/// Applies `attributes` and `excludedAttributes`; the id always stays.
pub(super) fn selected(request: &Request, resource: Value) -> Value {
    let names = |parameter: &str| -> Option<Vec<String>> {
        let list = request.query(parameter).filter(|text| !text.is_empty())?;
        Some(
            list.split(',')
                .map(|name| {
                    name.trim()
                        .split('.')
                        .next()
                        .unwrap_or_default()
                        .to_lowercase()
                })
                .collect(),
        )
    };
    let (wanted, unwanted) = (names("attributes"), names("excludedAttributes"));
    let Value::Object(fields) = resource else {
        return resource;
    };
    fields
        .into_iter()
        .filter(|(name, _)| {
            let name = name.to_lowercase();
            name == "id"
                || name == "schemas"
                || wanted.as_ref().is_none_or(|wanted| wanted.contains(&name))
                    && !unwanted
                        .as_ref()
                        .is_some_and(|unwanted| unwanted.contains(&name))
        })
        .collect::<Map<_, _>>()
        .into()
}

fn get<'a>(resource: &'a Value, attribute: &str) -> Option<&'a Value> {
    resource
        .as_object()?
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(attribute))
        .map(|(_, value)| value)
}

fn compare(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    let text = |value: Option<&Value>| match value {
        Some(Value::String(text)) => text.to_lowercase(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    text(a).cmp(&text(b))
}

/// `attribute op "value"`, joined by `or` over `and`.
#[derive(Debug, PartialEq)]
struct Filter(Vec<Vec<Term>>);

#[derive(Debug, PartialEq)]
struct Term {
    attribute: Vec<String>,
    operator: Operator,
    value: String,
}

#[derive(Debug, PartialEq, Clone, Copy)]
enum Operator {
    Equal,
    NotEqual,
    Contains,
    StartsWith,
}

impl Filter {
    fn parse(text: &str) -> Result<Self, Refusal> {
        let fault = || invalid("invalidFilter", format!("The filter is not valid: {text}"));
        let mut tokens = tokens(text).ok_or_else(fault)?.into_iter();
        let mut alternatives = vec![Vec::new()];
        loop {
            let attribute = tokens.next().ok_or_else(fault)?;
            let operator = match tokens.next().ok_or_else(fault)?.to_lowercase().as_str() {
                "eq" => Operator::Equal,
                "ne" => Operator::NotEqual,
                "co" => Operator::Contains,
                "sw" => Operator::StartsWith,
                _ => return Err(fault()),
            };
            let term = Term {
                attribute: attribute.split('.').map(str::to_owned).collect(),
                operator,
                value: tokens.next().ok_or_else(fault)?.to_lowercase(),
            };
            if let Some(last) = alternatives.last_mut() {
                last.push(term);
            }
            match tokens.next().map(|word| word.to_lowercase()).as_deref() {
                None => return Ok(Self(alternatives)),
                Some("and") => {}
                Some("or") => alternatives.push(Vec::new()),
                Some(_) => return Err(fault()),
            }
        }
    }

    fn matches(&self, resource: &Value) -> bool {
        self.0
            .iter()
            .any(|terms| terms.iter().all(|term| term.matches(resource)))
    }
}

impl Term {
    fn matches(&self, resource: &Value) -> bool {
        let mut values = vec![resource];
        for name in &self.attribute {
            values = values
                .into_iter()
                .flat_map(flattened)
                .filter_map(|value| get(value, name))
                .collect();
        }
        let texts: Vec<String> = values
            .into_iter()
            .flat_map(flattened)
            .map(|value| match value {
                Value::String(text) => text.to_lowercase(),
                Value::Object(_) => value
                    .field("value")
                    .as_str()
                    .unwrap_or_default()
                    .to_lowercase(),
                other => other.to_string(),
            })
            .collect();
        match self.operator {
            Operator::Equal => texts.contains(&self.value),
            Operator::NotEqual => !texts.contains(&self.value),
            Operator::Contains => texts.iter().any(|text| text.contains(&self.value)),
            Operator::StartsWith => texts.iter().any(|text| text.starts_with(&self.value)),
        }
    }
}

fn flattened(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(list) => list.iter().collect(),
        other => vec![other],
    }
}

/// Words and quoted strings; none when a quote does not end.
fn tokens(text: &str) -> Option<Vec<String>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut token = String::new();
            let mut characters = quoted.char_indices();
            let end = loop {
                match characters.next()? {
                    (at, '"') => break at,
                    (_, '\\') => token.push(characters.next()?.1),
                    (_, other) => token.push(other),
                }
            };
            tokens.push(token);
            rest = quoted.get(end + 1..)?.trim_start();
        } else {
            let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            tokens.push(word.to_owned());
            rest = after.trim_start();
        }
    }
    Some(tokens)
}

/// A PATCH request's operations.
#[derive(Deserialize)]
pub(super) struct Patch {
    #[serde(rename = "Operations", alias = "operations")]
    operations: Vec<Operation>,
}

#[derive(Deserialize)]
struct Operation {
    op: String,
    path: Option<String>,
    #[serde(default)]
    value: Value,
}

impl Patch {
    /// Applies the operations to a rendered resource.
    pub(super) fn apply(&self, resource: &mut Value) -> Result<(), Refusal> {
        let Some(fields) = resource.as_object_mut() else {
            return Ok(());
        };
        for operation in &self.operations {
            let op = operation.op.to_lowercase();
            if !["add", "remove", "replace"].contains(&op.as_str()) {
                return Err(invalid(
                    "invalidSyntax",
                    format!("Invalid patch operation: {op}"),
                ));
            }
            if let Some(path) = operation.path.as_deref().filter(|path| !path.is_empty()) {
                change(fields, &op, path, &operation.value)?;
            } else {
                let values = operation.value.as_object().ok_or_else(|| {
                    invalid(
                        "invalidPath",
                        "An operation without a path needs an object as its value",
                    )
                })?;
                for (name, value) in values {
                    change(fields, &op, name, value)?;
                }
            }
        }
        Ok(())
    }
}

const MULTI_VALUED: [&str; 5] = ["entitlements", "groups", "members", "roles", "emails"];

fn change(
    fields: &mut Map<String, Value>,
    op: &str,
    path: &str,
    value: &Value,
) -> Result<(), Refusal> {
    let (name, condition) = match path.split_once('[') {
        Some((name, rest)) => {
            let text = rest
                .strip_suffix(']')
                .ok_or_else(|| invalid("invalidPath", format!("Invalid path: {path}")))?;
            (name, Some(Filter::parse(text)?))
        }
        None => (path, None),
    };
    let name = fields
        .keys()
        .find(|key| key.eq_ignore_ascii_case(name))
        .cloned()
        .unwrap_or_else(|| name.to_owned());
    if !MULTI_VALUED.contains(&name.as_str()) {
        if op == "remove" {
            fields.remove(&name);
        } else {
            fields.insert(name, value.clone());
        }
        return Ok(());
    }
    let mut present = elements(fields.get(&name).unwrap_or(&Value::Null));
    let sent = elements(value);
    let is_sent = |element: &Value| {
        sent.iter()
            .any(|other| other.field("value") == element.field("value"))
    };
    match (op, condition) {
        ("remove", Some(condition)) => present.retain(|element| !condition.matches(element)),
        ("remove", None) if sent.is_empty() => present.clear(),
        ("remove", None) => present.retain(|element| !is_sent(element)),
        ("replace", None) => present = sent,
        _ => {
            present.retain(|element| !is_sent(element));
            present.extend(sent);
        }
    }
    fields.insert(name, Value::Array(present));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(filter: &str, resource: &Value) -> bool {
        Filter::parse(filter).unwrap().matches(resource)
    }

    #[test]
    fn filters_compare_without_case_and_bind_and_tighter() {
        let resource =
            json!({"displayName": "Test SP", "applicationId": "a-1", "emails": [{"value": "x@y"}]});
        assert!(matches(r#"applicationId eq "A-1""#, &resource));
        assert!(matches(r#"displayname sw "test""#, &resource));
        assert!(matches(r#"emails.value co "x@""#, &resource));
        assert!(matches(
            r#"displayName eq "no" and displayName eq "no" or applicationId ne "b""#,
            &resource
        ));
        assert!(!matches(r#"displayName co "other""#, &resource));
        assert!(Filter::parse(r#"displayName eq "open"#).is_err());
        assert!(Filter::parse("displayName like x").is_err());
    }

    #[test]
    fn patches_add_once_and_remove_by_condition() {
        let mut resource = json!({"entitlements": [{"value": "a"}]});
        let patch = |operations: Value| -> Patch {
            serde_json::from_value(json!({ "Operations": operations })).unwrap()
        };
        patch(json!([{"op": "add", "path": "entitlements", "value": [{"value": "a"}, {"value": "b"}]}]))
            .apply(&mut resource)
            .unwrap();
        assert_eq!(unwrapped(resource.get("entitlements")), ["a", "b"]);
        patch(json!([{"op": "remove", "path": "entitlements[value eq \"a\"]"}]))
            .apply(&mut resource)
            .unwrap();
        assert_eq!(unwrapped(resource.get("entitlements")), ["b"]);
        patch(json!([{"op": "replace", "value": {"active": false}}]))
            .apply(&mut resource)
            .unwrap();
        assert_eq!(resource["active"], json!(false));
        assert!(
            patch(json!([{"op": "move", "path": "x"}]))
                .apply(&mut resource)
                .is_err()
        );
    }
}
