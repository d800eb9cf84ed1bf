//! Path patterns: `*` matches within a segment, `**` across segments.

/// Whether the whole of `text` matches `pattern`, ignoring ASCII case.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    walk(pattern.as_bytes(), text.as_bytes())
}

fn walk(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', b'*', rest @ ..], _) => {
            walk(rest, text) || matches!(text, [_, tail @ ..] if walk(pattern, tail))
        }
        ([b'*', rest @ ..], _) => {
            walk(rest, text)
                || matches!(text, [head, tail @ ..] if *head != b'/' && walk(pattern, tail))
        }
        ([p, rest @ ..], [t, tail @ ..]) => p.eq_ignore_ascii_case(t) && walk(rest, tail),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn one_star_stays_in_its_segment() {
        assert!(matches(
            "/v1.0/applications/*/addPassword",
            "/v1.0/applications/7/addpassword"
        ));
        assert!(!matches("/v1.0/*", "/v1.0/applications/7"));
        assert!(matches("/v1.0/**", "/v1.0/applications/7"));
        assert!(matches("**", "/"));
        assert!(matches("/*/oauth2/**", "/common/oauth2/v2.0/token"));
        assert!(!matches("/api", "/api/2.0"));
    }
}
