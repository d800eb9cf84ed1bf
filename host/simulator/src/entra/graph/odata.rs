//! `OData` as Graph speaks it: keys in paths, `$filter`, `$select`, pages.

use serde_json::{Map, Value, json};

use super::{
    Request,
    error::{self, GraphError},
};
use crate::wire::Reply;

/// A key in a path.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Key {
    /// `/applications/{id}`
    Id(String),
    /// `/applications(appId='{value}')`
    Alternate(String, String),
}

impl Key {
    /// The value, for messages.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Id(value) | Self::Alternate(_, value) => value,
        }
    }
}

/// A path taken apart.
#[derive(Debug, PartialEq)]
pub(super) struct Target {
    pub(super) collection: String,
    pub(super) key: Option<Key>,
    pub(super) rest: Vec<String>,
}

/// Takes a path apart; the version may be absent on the real host.
pub(super) fn target(segments: &[String]) -> Result<Target, GraphError> {
    let mut segments = segments.iter();
    let version = segments.next().map(String::as_str);
    let (Some("v1.0"), Some(first)) = (version, segments.next()) else {
        return Err(GraphError::new(400, "BadRequest", "Invalid version."));
    };
    let (collection, mut key) = split_key(first);
    let mut rest: Vec<String> = segments.cloned().collect();
    if key.is_none() && !rest.is_empty() {
        key = Some(Key::Id(rest.remove(0)));
    }
    Ok(Target {
        collection: collection.to_owned(),
        key,
        rest,
    })
}

/// `name(property='value')`; a quote in the value is doubled.
pub(super) fn split_key(segment: &str) -> (&str, Option<Key>) {
    let parts = segment
        .split_once('(')
        .and_then(|(name, rest)| Some((name, rest.strip_suffix(')')?)))
        .map(|(name, inner)| (name, inner.split_once('=')));
    match parts {
        Some((name, Some((property, value)))) => (
            name,
            Some(Key::Alternate(property.trim().to_owned(), unquote(value))),
        ),
        // `applications('{id}')`
        Some((name, None)) => {
            let inner = segment
                .get(name.len() + 1..segment.len() - 1)
                .unwrap_or_default();
            (name, Some(Key::Id(unquote(inner))))
        }
        None => (segment, None),
    }
}

fn unquote(text: &str) -> String {
    let text = text.trim();
    let inner = text
        .strip_prefix('\'')
        .and_then(|text| text.strip_suffix('\''));
    inner.unwrap_or(text).replace("''", "'")
}

/// One condition of a `$filter`.
#[derive(Debug, PartialEq)]
pub(super) struct Condition {
    pub(super) property: String,
    pub(super) operator: Operator,
    pub(super) value: String,
    /// Preceded by `not`.
    pub(super) negated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    StartsWith,
    EndsWith,
    /// `tags/any(t:t eq 'x')`
    AnyEqual,
}

impl Condition {
    fn holds(&self, object: &Value) -> bool {
        let found = object.get(&self.property).unwrap_or(&Value::Null);
        let text = match found {
            Value::String(text) => text.to_ascii_lowercase(),
            Value::Null => "null".to_owned(),
            other => other.to_string(),
        };
        let wanted = self.value.to_ascii_lowercase();
        let holds = match self.operator {
            Operator::Equal => text == wanted,
            Operator::NotEqual => text != wanted,
            Operator::StartsWith => text.starts_with(&wanted),
            Operator::EndsWith => text.ends_with(&wanted),
            Operator::AnyEqual => found
                .as_array()
                .is_some_and(|items| items.iter().any(|item| item.as_str() == Some(&self.value))),
        };
        holds != self.negated
    }
}

/// Reads a `$filter`: conditions joined by `and`. Some are for an advanced query only.
pub(super) fn filter(text: &str, is_advanced: bool) -> Result<Vec<Condition>, GraphError> {
    let mut conditions = Vec::new();
    for part in split_outside_quotes(text, " and ") {
        let condition = condition(part.trim())
            .ok_or_else(|| error::bad_request(format!("Invalid filter clause: {part}")))?;
        let needs_index = condition.negated
            || matches!(condition.operator, Operator::NotEqual | Operator::EndsWith);
        if needs_index && !is_advanced {
            return Err(error::unsupported_query("The operator in $filter"));
        }
        conditions.push(condition);
    }
    Ok(conditions)
}

fn split_outside_quotes<'a>(text: &'a str, separator: &str) -> Vec<&'a str> {
    let mut parts = Vec::new();
    let mut from = 0;
    for (at, _) in text.match_indices(separator) {
        let before = text.get(from..at).unwrap_or_default();
        if before.matches('\'').count().is_multiple_of(2) {
            parts.push(before);
            from = at + separator.len();
        }
    }
    parts.push(text.get(from..).unwrap_or_default());
    parts
}

fn condition(text: &str) -> Option<Condition> {
    let rest = text.strip_prefix("not");
    if let Some(rest) = rest.filter(|rest| rest.starts_with([' ', '('])) {
        let rest = rest.trim_start();
        let inner = rest
            .strip_prefix('(')
            .and_then(|rest| rest.strip_suffix(')'))
            .unwrap_or(rest);
        let condition = condition(inner.trim())?;
        return Some(Condition {
            negated: !condition.negated,
            ..condition
        });
    }
    if let Some((property, rest)) = text.split_once("/any(") {
        let (_, comparison) = rest.strip_suffix(')')?.split_once(':')?;
        let (_, value) = comparison.split_once(" eq ")?;
        return Some(Condition {
            property: property.to_owned(),
            operator: Operator::AnyEqual,
            value: unquote(value),
            negated: false,
        });
    }
    if let Some((function, rest)) = text.split_once('(') {
        let operator = match function.to_ascii_lowercase().as_str() {
            "startswith" => Operator::StartsWith,
            "endswith" => Operator::EndsWith,
            _ => return None,
        };
        let (property, value) = rest.strip_suffix(')')?.split_once(',')?;
        return Some(Condition {
            property: property.trim().to_owned(),
            operator,
            value: unquote(value),
            negated: false,
        });
    }
    let mut words = text.splitn(3, ' ');
    let property = words.next()?.to_owned();
    let operator = match words.next()? {
        "eq" => Operator::Equal,
        "ne" => Operator::NotEqual,
        _ => return None,
    };
    Some(Condition {
        property,
        operator,
        value: unquote(words.next()?),
        negated: false,
    })
}

/// Reduces an object to the selected properties.
pub(super) fn select(object: Value, selection: Option<&str>) -> Value {
    let (Value::Object(members), Some(selection)) = (&object, selection) else {
        return object;
    };
    let wanted: Vec<&str> = selection.split(',').map(str::trim).collect();
    let kept: Map<String, Value> = members
        .iter()
        .filter(|(name, _)| wanted.iter().any(|want| want.eq_ignore_ascii_case(name)))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    Value::Object(kept)
}

/// Sorts by `$orderby`, as in `displayName desc,id`.
fn sort(objects: &mut [Value], order: &str) {
    let text = |object: &Value, property: &str| match object.get(property) {
        Some(Value::String(text)) => text.to_lowercase(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    // The first property decides, so it is sorted by last.
    for part in order.split(',').rev() {
        let mut words = part.split_whitespace();
        let property = words.next().unwrap_or_default();
        let descends = words.next() == Some("desc");
        objects.sort_by(|a, b| {
            let ordering = text(a, property).cmp(&text(b, property));
            if descends {
                ordering.reverse()
            } else {
                ordering
            }
        });
    }
}

impl Request<'_> {
    /// The request's `$filter`, if it has one.
    pub(super) fn filter(&self) -> Result<Vec<Condition>, GraphError> {
        let query = |option: &str| self.incoming.query(option);
        let eventual = self
            .incoming
            .header("consistencylevel")
            .is_some_and(|level| level.eq_ignore_ascii_case("eventual"));
        let is_counted = query("$count").is_some_and(|value| value != "false");
        // The index behind these lags, so a client has to say that it knows (2.7).
        let is_advanced = eventual && is_counted;
        if is_counted && !eventual {
            return Err(error::unsupported_query("$count"));
        }
        if query("$search").is_some() && !is_advanced {
            return Err(error::unsupported_query("$search"));
        }
        let Some(text) = query("$filter") else {
            return Ok(Vec::new());
        };
        if query("$orderby").is_some() && !is_advanced {
            return Err(error::unsupported_query("$orderby with $filter"));
        }
        filter(&text, is_advanced)
    }

    /// One page of the objects that meet the filter.
    pub(super) fn page(&self, context: &str, objects: Vec<Value>) -> Result<Reply, GraphError> {
        let conditions = self.filter()?;
        let selection = self.incoming.query("$select");
        let mut met: Vec<Value> = objects
            .into_iter()
            .filter(|object| conditions.iter().all(|condition| condition.holds(object)))
            .collect();
        if let Some(order) = self.incoming.query("$orderby") {
            sort(&mut met, &order);
        }
        let top = match self.incoming.query("$top") {
            None => 100,
            Some(text) => text
                .parse()
                .ok()
                .filter(|top| (1..=999).contains(top))
                .ok_or_else(|| {
                    error::bad_request(
                        "Invalid page size specified. Must be between 1 and 999 inclusive.",
                    )
                })?,
        };
        let token = self.incoming.query("$skiptoken");
        let skip: usize = token.and_then(|text| text.parse().ok()).unwrap_or(0);
        let total = met.len();
        let shown: Vec<Value> = met
            .into_iter()
            .skip(skip)
            .take(top)
            .map(|object| select(object, selection.as_deref()))
            .collect();
        let mut page = json!({
            "@odata.context": format!("https://graph.microsoft.com/v1.0/$metadata#{context}"),
        });
        if let Some(members) = page.as_object_mut() {
            if self.incoming.query("$count").as_deref() == Some("true") {
                members.insert("@odata.count".to_owned(), json!(total));
            }
            if total > skip + top {
                members.insert(
                    "@odata.nextLink".to_owned(),
                    json!(self.next_link(skip + top)),
                );
            }
            members.insert("value".to_owned(), json!(shown));
        }
        Ok(Reply::json(200, &page))
    }

    /// The same request, from an offset on.
    fn next_link(&self, skip: usize) -> String {
        let mut query: Vec<String> = self
            .incoming
            .raw_query
            .split('&')
            .filter(|pair| {
                !pair.is_empty()
                    && !pair.starts_with("$skiptoken")
                    && !pair.starts_with("%24skiptoken")
            })
            .map(str::to_owned)
            .collect();
        query.push(format!("$skiptoken={skip}"));
        format!(
            "{}{}?{}",
            self.incoming.origin(),
            self.incoming.path,
            query.join("&")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(path: &str) -> Target {
        let segments: Vec<String> = path
            .split('/')
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect();
        target(&segments).unwrap()
    }

    #[test]
    fn keys_come_in_three_forms() {
        assert_eq!(parse("/v1.0/applications").key, None);
        assert_eq!(parse("/v1.0/applications/7").key, Some(Key::Id("7".into())));
        assert_eq!(
            parse("/v1.0/applications('7')").key,
            Some(Key::Id("7".into()))
        );
        let target = parse("/v1.0/applications(uniqueName='o''neil')/addPassword");
        assert_eq!(
            target.key,
            Some(Key::Alternate("uniqueName".into(), "o'neil".into()))
        );
        assert_eq!(target.rest, ["addPassword"]);
    }

    #[test]
    fn filters_join_by_and() {
        let conditions =
            filter("displayName eq 'a and b' and tags/any(t:t eq 'x')", false).unwrap();
        let object = |name: &str, tag: &str| json!({"displayName": name, "tags": [tag]});
        let met = |object: &Value| conditions.iter().all(|condition| condition.holds(object));
        assert!(met(&object("A and B", "x")));
        assert!(!met(&object("a and b", "y")));
        assert!(filter("displayName ne 'a'", false).is_err());
        assert!(filter("displayName ne 'a'", true).is_ok());
        assert!(filter("displayName like 'a'", true).is_err());
        let negated = filter("not startswith(displayName,'a')", true).unwrap();
        assert!(!negated[0].holds(&object("Alike", "x")));
        assert!(negated[0].holds(&object("Other", "x")));
        assert!(filter("not(displayName eq 'a')", false).is_err());
        assert!(filter("notes eq 'a'", false).is_ok());
    }
}
