//! Request paths: a template from the code, arguments from anywhere, no way for an argument to change the route.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything but RFC 3986's unreserved characters is encoded.
pub(crate) const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Longest argument of one segment, in bytes; the longest name any of the services takes is shorter.
const MAX_SEGMENT: usize = 1024;

/// A path made from a template whose arguments are validated and percent-encoded.
///
/// Placeholders: `{}` is one segment (or a part of one); `'{}'` is an `OData` key, whose quotes are doubled;
/// `{arm}` is an ARM resource id or scope (`/subscriptions/…`); `{path}` is a relative path of several segments.
///
/// ```
/// let path = lockkeeper_cloud::Path::new("/v1.0/applications/{}/addPassword", &["1f0c"]).unwrap();
/// assert_eq!(path.as_str(), "/v1.0/applications/1f0c/addPassword");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    template: &'static str,
    encoded: String,
    /// An absolute address that a service gave for the next page; its origin is checked when it is sent.
    pub(crate) link: Option<String>,
}

/// An argument that cannot be part of a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("argument {argument} of `{template}` {reason}")]
pub struct InvalidPath {
    /// The template.
    pub template: &'static str,
    /// Which placeholder, counted from 1.
    pub argument: usize,
    /// What is wrong with it; never quotes the argument.
    pub reason: &'static str,
}

impl Path {
    /// Fills the template's placeholders in order.
    pub fn new(template: &'static str, arguments: &[&str]) -> Result<Self, InvalidPath> {
        let invalid = |argument, reason| InvalidPath {
            template,
            argument,
            reason,
        };
        let mut encoded = String::with_capacity(template.len() + 64);
        let mut rest = template;
        let mut given = arguments.iter();
        let mut count = 0;
        while let Some((before, after)) = rest.split_once('{') {
            let (kind, after) = after
                .split_once('}')
                .ok_or_else(|| invalid(count + 1, "has an unclosed placeholder"))?;
            encoded.push_str(before);
            count += 1;
            let argument = given.next().ok_or_else(|| invalid(count, "is missing"))?;
            let added = match kind {
                "" if before.ends_with('\'') && after.starts_with('\'') => odata_key(argument),
                "" => segment(argument),
                "arm" => arm_id(argument),
                "path" => relative(argument),
                _ => Err("has an unknown kind of placeholder"),
            };
            encoded.push_str(&added.map_err(|reason| invalid(count, reason))?);
            rest = after;
        }
        if given.next().is_some() {
            return Err(invalid(count + 1, "has no placeholder"));
        }
        encoded.push_str(rest);
        Ok(Self {
            template,
            encoded,
            link: None,
        })
    }

    /// A path without arguments; a template in it is only for messages.
    pub(crate) fn fixed(template: &'static str) -> Self {
        Self {
            template,
            encoded: template.to_owned(),
            link: None,
        }
    }

    /// The same operation at an absolute address that its service returned (`@odata.nextLink`, `nextLink`).
    pub(crate) fn following(&self, link: &str) -> Self {
        Self {
            template: self.template,
            encoded: self.encoded.clone(),
            link: Some(link.to_owned()),
        }
    }

    /// The template, for messages and audit: it holds no argument.
    pub fn template(&self) -> &'static str {
        self.template
    }

    /// The encoded path, beginning with `/`.
    pub fn as_str(&self) -> &str {
        &self.encoded
    }
}

fn check(argument: &str) -> Result<(), &'static str> {
    if argument.is_empty() {
        Err("is empty")
    } else if argument == "." || argument == ".." {
        Err("is a dot segment")
    } else if argument.len() > MAX_SEGMENT {
        Err("is longer than 1024 bytes")
    } else if argument.chars().any(char::is_control) {
        Err("contains a control character")
    } else {
        Ok(())
    }
}

fn segment(argument: &str) -> Result<String, &'static str> {
    check(argument)?;
    Ok(utf8_percent_encode(argument, ENCODED).to_string())
}

/// `OData` 4.01 URL conventions, 5.1.1.6.1: a quote inside a string literal is doubled.
fn odata_key(argument: &str) -> Result<String, &'static str> {
    check(argument)?;
    Ok(utf8_percent_encode(&argument.replace('\'', "''"), ENCODED).to_string())
}

fn relative(argument: &str) -> Result<String, &'static str> {
    let segments: Result<Vec<String>, _> = argument.split('/').map(segment).collect();
    Ok(segments?.join("/"))
}

/// `/subscriptions/{guid}…` or `/providers/Microsoft.Management/managementGroups/{id}…`, as ARM writes resource ids and scopes.
fn arm_id(argument: &str) -> Result<String, &'static str> {
    let body = argument
        .strip_prefix('/')
        .ok_or("is not an ARM resource id: it must begin with `/`")?;
    let first = body.split('/').next().unwrap_or_default();
    if !first.eq_ignore_ascii_case("subscriptions") && !first.eq_ignore_ascii_case("providers") {
        return Err(
            "is not an ARM resource id: it must begin with `/subscriptions/` or `/providers/`",
        );
    }
    Ok(format!("/{}", relative(body)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(argument: &str) -> Result<String, &'static str> {
        Path::new("/v1.0/users/{}/x", &[argument])
            .map(|path| path.as_str().to_owned())
            .map_err(|error| error.reason)
    }

    #[test]
    fn an_argument_stays_one_segment() {
        for (argument, encoded) in [
            ("1f0c", "1f0c"),
            ("a b", "a%20b"),
            ("../x", "..%2Fx"),
            ("%2e%2e", "%252e%252e"),
            ("%2e%2e%2f", "%252e%252e%252f"),
            (";x=1", "%3Bx%3D1"),
            ("//evil.example", "%2F%2Fevil.example"),
            ("?a=b", "%3Fa%3Db"),
            ("#f", "%23f"),
            ("a\\..\\b", "a%5C..%5Cb"),
            ("@evil.example", "%40evil.example"),
            ("https://evil.example/", "https%3A%2F%2Fevil.example%2F"),
            ("ana@contoso.com", "ana%40contoso.com"),
            ("é", "%C3%A9"),
            ("...", "..."),
        ] {
            assert_eq!(
                one(argument).as_deref(),
                Ok(format!("/v1.0/users/{encoded}/x").as_str()),
                "{argument}"
            );
            let url =
                reqwest::Url::parse(&format!("https://host.example{}", one(argument).unwrap()))
                    .unwrap();
            assert_eq!(url.host_str(), Some("host.example"), "{argument}");
            assert_eq!(url.path_segments().unwrap().count(), 4, "{argument}");
            assert_eq!((url.query(), url.fragment()), (None, None), "{argument}");
        }
    }

    #[test]
    fn what_cannot_be_a_segment_is_refused() {
        for argument in [
            "",
            ".",
            "..",
            "a\nb",
            "a\0",
            "\u{7f}",
            "\u{85}",
            &"x".repeat(10_000),
        ] {
            assert!(one(argument).is_err(), "{argument:?}");
        }
    }

    #[test]
    fn odata_keys_are_quoted() {
        let path = Path::new("/v1.0/applications(uniqueName='{}')", &["o'brien') or (1"]).unwrap();
        assert_eq!(
            path.as_str(),
            "/v1.0/applications(uniqueName='o%27%27brien%27%27%29%20or%20%281')"
        );
        assert_eq!(path.template(), "/v1.0/applications(uniqueName='{}')");
    }

    #[test]
    fn arm_ids_keep_their_segments() {
        let path = Path::new(
            "{arm}/providers/Microsoft.Authorization/roleAssignments/{}",
            &["/subscriptions/s-1/resourceGroups/my rg", "n-1"],
        );
        assert_eq!(
            path.unwrap().as_str(),
            "/subscriptions/s-1/resourceGroups/my%20rg/providers/Microsoft.Authorization/roleAssignments/n-1"
        );
        for id in [
            "subscriptions/s",
            "/",
            "/other/x",
            "/subscriptions/../x",
            "/subscriptions//x",
            "//evil.example/x",
            "/subscriptions/s/",
        ] {
            assert!(Path::new("{arm}/providers", &[id]).is_err(), "{id}");
        }
    }

    #[test]
    fn relative_paths_keep_their_segments() {
        assert_eq!(
            Path::new("/{}/{path}", &["fs", "raw/in 1/a"])
                .unwrap()
                .as_str(),
            "/fs/raw/in%201/a"
        );
        assert!(Path::new("/{}/{path}", &["fs", "raw/../a"]).is_err());
        assert!(Path::new("/{}/{path}", &["fs", "/raw"]).is_err());
    }

    #[test]
    fn the_number_of_arguments_must_fit() {
        assert!(Path::new("/a/{}", &[]).is_err());
        assert!(Path::new("/a", &["b"]).is_err());
    }
}
