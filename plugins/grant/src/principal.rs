//! How a rule set names a principal.

use lockkeeper_guest::types::{Error, StepError};

/// `users/NAME`, `groups/NAME` or `servicePrincipals/APPLICATION-ID` for the text of an input.
pub(crate) fn name(text: &str) -> Result<String, StepError> {
    let prefixed = ["users/", "groups/", "servicePrincipals/"]
        .iter()
        .any(|prefix| {
            text.strip_prefix(prefix)
                .is_some_and(|rest| !rest.is_empty())
        });
    if prefixed {
        return Ok(text.to_owned());
    }
    if let Some(group) = text.strip_prefix("group:").filter(|name| !name.is_empty()) {
        return Ok(format!("groups/{group}"));
    }
    if text.contains('@') {
        return Ok(format!("users/{text}"));
    }
    // What is not ASCII here is a plan's word for an id that is not known yet.
    if is_guid(text) || !text.is_ascii() {
        return Ok(format!("servicePrincipals/{text}"));
    }
    let message = format!("`{text}` is neither an e-mail address nor an application id");
    Err(
        Error::of(Error::Invalid, "grant", "PRINCIPAL", message).because(
            "a role is given to a user, a service principal or a group, and the text says none of them",
            "write ann@example.com, an application id, or group:NAME",
        ),
    )
}

fn is_guid(text: &str) -> bool {
    let groups: Vec<_> = text.split('-').map(str::len).collect();
    groups == [8, 4, 4, 4, 12] && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_applications_and_groups() {
        let id = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d";
        for (text, expected) in [
            ("ann@example.com", "users/ann@example.com".to_owned()),
            (id, format!("servicePrincipals/{id}")),
            ("group:data platform", "groups/data platform".to_owned()),
            ("groups/data", "groups/data".to_owned()),
            ("users/ann@example.com", "users/ann@example.com".to_owned()),
            (
                "⟨known after register: id⟩",
                "servicePrincipals/⟨known after register: id⟩".to_owned(),
            ),
        ] {
            assert_eq!(name(text).ok(), Some(expected));
        }
    }

    #[test]
    fn anything_else_is_refused_before_it_is_sent() {
        for text in ["", "ann", "group:", "groups/", "2ff814a6-3304-4ab8-85cb"] {
            assert!(name(text).is_err(), "{text}");
        }
    }
}
