//! Looking for a value in every form in which it could have got somewhere.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use regex::bytes::Regex;

/// A value, and its forms: as it is, in base64 at each alignment, for URLs and JSON, and in hex.
pub struct Needle {
    pub what: String,
    forms: Vec<String>,
    any: Regex,
}

impl Needle {
    pub fn new(what: &str, value: &str) -> Self {
        assert!(
            value.len() >= 16,
            "{what} is long enough to be told from other text"
        );
        let bytes = value.as_bytes();
        let mut forms = vec![value.to_owned()];
        for skipped in 0..3 {
            // Whatever stands before it in the same encoded text, these characters are its own.
            let padded = [&b"\0\0"[..skipped], bytes].concat();
            let own = padded.len() * 8 / 6;
            for encoded in [
                STANDARD_NO_PAD.encode(&padded),
                URL_SAFE_NO_PAD.encode(&padded),
            ] {
                forms.push(encoded[(skipped * 8).div_ceil(6)..own].to_owned());
            }
        }
        let escaped = |byte: u8, code: String| {
            let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            if plain {
                char::from(byte).to_string()
            } else {
                code
            }
        };
        forms.push(hex(bytes).to_uppercase());
        forms.push(hex(bytes));
        forms.push(each(bytes, |byte| escaped(byte, format!("%{byte:02X}"))));
        forms.push(each(bytes, |byte| escaped(byte, format!("%{byte:02x}"))));
        forms.push(each(bytes, |byte| format!("%{byte:02X}")));
        forms.push(each(bytes, |byte| escaped(byte, format!("\\u{byte:04x}"))));
        let quoted = serde_json::to_string(value).unwrap();
        let json = &quoted[1..quoted.len() - 1];
        forms.push(json.to_owned());
        forms.push(json.replace('/', "\\/"));
        forms.push(bytes.iter().rev().map(|byte| char::from(*byte)).collect());
        forms.sort();
        forms.dedup();
        let any = forms
            .iter()
            .map(|form| regex::escape(form))
            .collect::<Vec<_>>()
            .join("|");
        Self {
            what: what.to_owned(),
            forms,
            any: Regex::new(&any).unwrap(),
        }
    }

    pub fn is_in(&self, hay: &[u8]) -> bool {
        self.any.is_match(hay)
    }

    pub fn forms(&self) -> impl Iterator<Item = &[u8]> {
        self.forms.iter().map(String::as_bytes)
    }
}

pub fn hex(bytes: &[u8]) -> String {
    each(bytes, |byte| format!("{byte:02x}"))
}

/// Each byte in some form, one after the other.
fn each(bytes: &[u8], form: impl Fn(u8) -> String) -> String {
    bytes.iter().map(|byte| form(*byte)).collect()
}

/// Everything a project has on disk, by name.
pub fn files(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if let Ok(bytes) = std::fs::read(&path) {
            found.push((path.display().to_string(), bytes));
        }
    }
}

#[test]
fn every_form_of_a_planted_value_is_found() {
    let value = "not~a/real+secret\"of anyone";
    let needle = Needle::new("the planted one", value);
    for (before, after) in [("", ""), ("a", "zz"), ("ab", "z"), ("abc", "zzz")] {
        let text = format!("{before}{value}{after}");
        for encoded in [
            text.clone(),
            STANDARD_NO_PAD.encode(&text),
            URL_SAFE_NO_PAD.encode(&text),
            serde_json::to_string(&text).unwrap(),
            hex(text.as_bytes()),
            each(text.as_bytes(), |byte| format!("%{byte:02X}")),
        ] {
            let hay = format!("{{\"x\":\"{encoded}\"}}").into_bytes();
            assert!(needle.is_in(&hay), "{encoded}");
        }
    }
    for form in needle.forms() {
        assert!(needle.is_in(&[b"before ", form, b" after"].concat()));
    }
    assert!(!needle.is_in(b"not~a/real+secret\"of anyon"));
}
