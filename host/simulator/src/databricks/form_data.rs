//! `multipart/form-data`, the other way to send what `workspace/import` takes (RFC 7578).

use std::collections::BTreeMap;

/// The fields of a body by name; nothing when it is of another type or has no closing boundary.
pub(super) fn fields<'a>(content_type: &str, body: &'a [u8]) -> Option<BTreeMap<String, &'a [u8]>> {
    let parameters = content_type.strip_prefix("multipart/form-data")?;
    let boundary = parameter(parameters, "boundary")?;
    let opening = format!("--{boundary}");
    let delimiter = format!("\r\n{opening}");
    let mut rest = body.strip_prefix(opening.as_bytes())?;
    let mut fields = BTreeMap::new();
    while !rest.starts_with(b"--") {
        let (part, after) = split(rest, delimiter.as_bytes())?;
        let (head, content) = split(part, b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(head);
        let name = head
            .lines()
            .filter(|line| {
                line.to_ascii_lowercase()
                    .starts_with("content-disposition:")
            })
            .find_map(|line| parameter(line, "name"));
        if let Some(name) = name {
            fields.insert(name, content);
        }
        rest = after;
    }
    Some(fields)
}

/// A parameter of a header, with or without quotes.
fn parameter(header: &str, name: &str) -> Option<String> {
    header.split(';').find_map(|piece| {
        let (key, value) = piece.split_once('=')?;
        (key.trim().eq_ignore_ascii_case(name)).then(|| value.trim().trim_matches('"').to_owned())
    })
}

fn split<'a>(bytes: &'a [u8], at: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let found = bytes.windows(at.len()).position(|window| window == at)?;
    Some((bytes.get(..found)?, bytes.get(found + at.len()..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=\"b\"";

    #[test]
    fn fields_by_name() {
        let body = b"--b\r\nContent-Disposition: form-data; name=\"path\"\r\n\r\n/Shared/a\r\n--b\r\ncontent-disposition: form-data; name=content; filename=\"x\"\r\nContent-Type: text/plain\r\n\r\n1\r\n--2\xff\r\n--b--\r\n";
        let fields = fields(TYPE, body).unwrap();
        assert_eq!(fields["path"], b"/Shared/a");
        assert_eq!(fields["content"], b"1\r\n--2\xff");
    }

    #[test]
    fn what_is_no_form() {
        assert!(fields("application/json", b"{}").is_none());
        assert!(fields("multipart/form-data", b"").is_none());
        for cut in [
            "",
            "--b",
            "--b\r\nContent-Disposition: form-data; name=a\r\n\r\n1",
        ] {
            assert!(fields(TYPE, cut.as_bytes()).is_none(), "{cut:?}");
        }
    }
}
