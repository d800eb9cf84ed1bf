//! Placeholders: what a plan says in place of a value that only the service can make.
//!
//! A placeholder is text, so that it passes through a plugin that knows nothing of plans, and it
//! carries where its value will come from: `⟨known after register⟩`.

use serde_json::Value;

const OPEN: &str = "\u{27e8}known after ";
const CLOSE: char = '\u{27e9}';

/// The placeholder for what `step` will make; `what` tells apart several of one step.
pub fn placeholder(step: &str, what: &str) -> String {
    format!("{OPEN}{step}: {what}{CLOSE}")
}

/// The step that the first placeholder in `text` waits for.
pub fn source(text: &str) -> Option<&str> {
    let start = text.find(OPEN)? + OPEN.len();
    let rest = text.get(start..)?;
    rest.get(..rest.find(CLOSE)?)?.split(": ").next()
}

/// The step that the first placeholder anywhere in `value` waits for.
pub fn source_in(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => source(text),
        Value::Array(items) => items.iter().find_map(source_in),
        Value::Object(fields) => fields.values().find_map(source_in),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// Whether a placeholder anywhere in `value` waits for `step`.
pub fn waits_for(value: &Value, step: &str) -> bool {
    match value {
        Value::String(text) => text.contains(&format!("{OPEN}{step}: ")),
        Value::Array(items) => items.iter().any(|item| waits_for(item, step)),
        Value::Object(fields) => fields.values().any(|field| waits_for(field, step)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// `text` as people read it: each placeholder becomes `(known after STEP)`.
pub fn display(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(OPEN) {
        let (before, found) = rest.split_at(start);
        shown.push_str(before);
        let Some(end) = found.find(CLOSE) else {
            rest = found;
            break;
        };
        let (inner, after) = found.split_at(end);
        let step = source(found).unwrap_or_else(|| inner.trim_start_matches(OPEN));
        shown.push_str("(known after ");
        shown.push_str(step);
        shown.push(')');
        rest = after.trim_start_matches(CLOSE);
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_placeholder_is_found_and_shown() {
        let id = placeholder("register", "application_id");
        assert_eq!(source(&id), Some("register"));
        assert_eq!(
            source_in(&json!({ "a": ["x", format!("p/{id}/q")] })),
            Some("register")
        );
        let both = json!([format!("{id}/{}", placeholder("job", "id"))]);
        assert!(waits_for(&both, "register") && waits_for(&both, "job"));
        assert!(!waits_for(&both, "regis") && !waits_for(&both, "id"));
        assert_eq!(display(&format!("p/{id}/q")), "p/(known after register)/q");
        assert_eq!(source_in(&json!(["known after x", 1, null])), None);
    }
}
