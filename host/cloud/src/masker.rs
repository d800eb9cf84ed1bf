//! Replaces live secrets in any text that leaves.

use std::fmt::Write as _;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use memchr::memmem;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::path::ENCODED;
use crate::secret::SecretString;

/// What stands in a text where a secret was.
const MASK: &str = "[secret]";

/// A shorter value is not masked: it would shred every text, and is no secret.
const SHORTEST: usize = 4;

/// The shortest piece of a longer base64 text that counts as a find.
const SHORTEST_PIECE: usize = 6;

type Needle = Zeroizing<Vec<u8>>;

/// Knows the secrets that are alive and replaces them, and their usual encodings, by `[secret]`: raw, base64 (both
/// alphabets, padded or not, also inside a longer base64 text), URL-encoded, JSON-escaped and hexadecimal. Clones share the
/// secrets.
#[derive(Clone, Default)]
pub struct Masker {
    needles: Arc<RwLock<Vec<Needle>>>,
}

impl Masker {
    /// Makes a secret known. Values under 4 bytes are not masked: they would shred every text.
    pub fn register(&self, secret: &SecretString) {
        let value = secret.expose();
        if value.len() < SHORTEST || self.knows(value) {
            return;
        }
        let found = encodings(value);
        let mut needles = self.needles.write().unwrap_or_else(PoisonError::into_inner);
        for needle in found {
            if !needles.contains(&needle) {
                needles.push(needle);
            }
        }
    }

    fn knows(&self, value: &str) -> bool {
        let needles = self.needles.read().unwrap_or_else(PoisonError::into_inner);
        needles
            .iter()
            .any(|needle| needle.as_slice() == value.as_bytes())
    }

    /// The text with every known secret replaced.
    pub fn mask(&self, text: &str) -> String {
        let mut masked = String::with_capacity(text.len());
        let mut at = 0;
        for (start, end) in self.find(text.as_bytes()) {
            masked.push_str(text.get(at..start).unwrap_or_default());
            masked.push_str(MASK);
            at = end;
        }
        masked.push_str(text.get(at..).unwrap_or_default());
        masked
    }

    /// The same for every string and key of a JSON value, in place.
    pub fn mask_json(&self, value: &mut Value) {
        // One search over all strings settles the ordinary case, in which there is nothing to replace.
        let mut all = Zeroizing::new(String::new());
        gather(value, &mut all);
        if !self.find(all.as_bytes()).is_empty() {
            self.replace(value);
        }
    }

    fn replace(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.mask(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.replace(item)),
            Value::Object(members) => {
                for (key, mut member) in std::mem::take(members) {
                    self.replace(&mut member);
                    members.insert(self.mask(&key), member);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Ranges to replace, in order and without overlap.
    fn find(&self, text: &[u8]) -> Vec<(usize, usize)> {
        let needles = self.needles.read().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        // A search begins by studying its needle, and most needles are long tokens: those that do not fit are left out.
        for needle in needles.iter().filter(|needle| needle.len() <= text.len()) {
            let mut from = 0;
            while let Some(at) = text.get(from..).and_then(|rest| memmem::find(rest, needle)) {
                found.push((from + at, from + at + needle.len()));
                from += at + 1;
            }
        }
        found.sort_unstable();
        let mut merged: Vec<(usize, usize)> = Vec::with_capacity(found.len());
        for (start, end) in found {
            match merged.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => merged.push((start, end)),
            }
        }
        merged
    }
}

fn gather(value: &Value, all: &mut String) {
    match value {
        Value::String(text) => {
            all.push_str(text);
            all.push('\0');
        }
        Value::Array(items) => items.iter().for_each(|item| gather(item, all)),
        Value::Object(members) => {
            for (key, member) in members {
                all.push_str(key);
                all.push('\0');
                gather(member, all);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn encodings(value: &str) -> Vec<Needle> {
    let bytes = value.as_bytes();
    let mut texts: Vec<Zeroizing<String>> = vec![Zeroizing::new(value.to_owned())];
    let mut add = |text: String| texts.push(Zeroizing::new(text));

    add(STANDARD.encode(bytes));
    add(STANDARD_NO_PAD.encode(bytes));
    add(URL_SAFE.encode(bytes));
    add(URL_SAFE_NO_PAD.encode(bytes));
    for shift in 0..3 {
        add(inside_base64(bytes, shift, &STANDARD_NO_PAD));
        add(inside_base64(bytes, shift, &URL_SAFE_NO_PAD));
    }

    for set in [ENCODED, NON_ALPHANUMERIC] {
        let encoded = utf8_percent_encode(value, set).to_string();
        add(encoded.replace("%20", "+"));
        add(lower_escapes(&encoded));
        add(encoded);
    }

    let json = Value::from(value).to_string();
    let json = json
        .trim_start_matches('"')
        .strip_suffix('"')
        .unwrap_or_default()
        .to_owned();
    add(json.replace('/', "\\/"));
    add(json);
    for digits in [hex_lower, hex_upper] {
        add(unicode_escapes(value, digits));
    }

    let mut hex = String::new();
    for byte in bytes {
        let _ = write!(hex, "{byte:02x}");
    }
    add(hex.to_uppercase());
    add(hex);

    let mut needles: Vec<Needle> = Vec::new();
    for text in texts {
        let needle = Zeroizing::new(text.as_bytes().to_vec());
        if needle.len() >= SHORTEST && !needles.contains(&needle) {
            needles.push(needle);
        }
    }
    needles
}

/// The part of the value's base64 that stays the same when `shift` (modulo 3) bytes go before it and any after it.
fn inside_base64(bytes: &[u8], shift: usize, engine: &impl base64::Engine) -> String {
    let shifted: Zeroizing<Vec<u8>> = Zeroizing::new([vec![0; shift], bytes.to_vec()].concat());
    let encoded = Zeroizing::new(engine.encode(shifted.as_slice()));
    let (start, end) = ((shift * 8).div_ceil(6), shifted.len() * 8 / 6);
    match encoded.get(start..end) {
        Some(piece) if piece.len() >= SHORTEST_PIECE => piece.to_owned(),
        _ => String::new(),
    }
}

/// JSON as careful encoders write it: all but the harmless characters as `\u002f`.
fn unicode_escapes(value: &str, digits: fn(u16) -> String) -> String {
    let mut text = String::new();
    for unit in value.encode_utf16() {
        match char::from_u32(unit.into()) {
            Some(plain) if plain.is_ascii_alphanumeric() || "-._~ ".contains(plain) => {
                text.push(plain);
            }
            _ => {
                text.push_str("\\u");
                text.push_str(&digits(unit));
            }
        }
    }
    text
}

fn hex_lower(unit: u16) -> String {
    format!("{unit:04x}")
}

fn hex_upper(unit: u16) -> String {
    format!("{unit:04X}")
}

/// `%2F` as `%2f`.
fn lower_escapes(encoded: &str) -> String {
    let mut pieces = encoded.split('%');
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (escape, rest) = piece.split_at_checked(2).unwrap_or((piece, ""));
        text.push('%');
        text.push_str(&escape.to_lowercase());
        text.push_str(rest);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "Not/a+real \"sëcret\"~&=%?\\9";

    fn masker(secrets: &[&str]) -> Masker {
        let masker = Masker::default();
        for secret in secrets {
            masker.register(&SecretString::new((*secret).to_owned()));
        }
        masker
    }

    #[test]
    fn every_encoding_is_masked() {
        let hex = SECRET
            .bytes()
            .fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        let percent = utf8_percent_encode(SECRET, NON_ALPHANUMERIC).to_string();
        let json = serde_json::to_string(SECRET).unwrap();
        let unicode: String = SECRET
            .encode_utf16()
            .map(|unit| match char::from_u32(unit.into()) {
                Some(plain) if plain.is_ascii_alphanumeric() || "-._~ ".contains(plain) => {
                    plain.to_string()
                }
                _ => format!("\\u{unit:04x}"),
            })
            .collect();
        let texts = [
            ("raw", SECRET.to_owned()),
            ("base64", STANDARD.encode(SECRET)),
            ("base64 unpadded", STANDARD_NO_PAD.encode(SECRET)),
            ("base64url", URL_SAFE.encode(SECRET)),
            ("base64url unpadded", URL_SAFE_NO_PAD.encode(SECRET)),
            ("percent", percent.clone()),
            ("percent lower", lower_escapes(&percent)),
            (
                "percent, unreserved kept",
                utf8_percent_encode(SECRET, ENCODED).to_string(),
            ),
            ("form", percent.replace("%20", "+")),
            ("json", json.trim_matches('"').to_owned()),
            ("json unicode", unicode),
            ("hex", hex.clone()),
            ("hex upper", hex.to_uppercase()),
        ];
        let masker = masker(&[SECRET]);
        for (name, encoded) in texts {
            let text = masker.mask(&format!("before {encoded} after {encoded}"));
            assert_eq!(text.matches(MASK).count(), 2, "{name}: {text}");
            assert!(
                text.starts_with("before [secret]") && text.contains(" after [secret]"),
                "{name}: {text}"
            );
        }
    }

    #[test]
    fn a_secret_inside_a_longer_base64_text_is_masked() {
        let masker = masker(&[SECRET]);
        for before in 0..6 {
            for after in 0..4 {
                let whole = format!("{}{SECRET}{}", "i".repeat(before), "z".repeat(after));
                for encoded in [STANDARD.encode(&whole), URL_SAFE_NO_PAD.encode(&whole)] {
                    let text = masker.mask(&encoded);
                    assert!(text.contains(MASK), "{before} {after}: {text}");
                    // What is left over cannot be decoded to any 4 bytes of the secret.
                    assert!(
                        text.replace(MASK, "").len() <= (before + after) * 4 / 3 + 8,
                        "{before} {after}: {text}"
                    );
                }
            }
        }
    }

    #[test]
    fn overlapping_secrets_leave_nothing() {
        let masker = masker(&["abcdefgh", "efghijkl"]);
        assert_eq!(masker.mask("<abcdefghijkl>"), "<[secret]>");
        assert_eq!(masker.mask("<abcdefghabcdefgh>"), "<[secret]>");
    }

    #[test]
    fn short_and_absent_values_change_nothing() {
        let masker = masker(&["", "abc", "not-a-real-secret"]);
        assert_eq!(masker.mask("abc abcdef \u{1F511}"), "abc abcdef \u{1F511}");
    }

    #[test]
    fn json_values_and_keys_are_masked() {
        let masker = masker(&["not-a-real-secret"]);
        let mut value =
            serde_json::json!({"a": [{"not-a-real-secret": "x not-a-real-secret y"}], "n": 1});
        masker.mask_json(&mut value);
        assert_eq!(
            value,
            serde_json::json!({"a": [{"[secret]": "x [secret] y"}], "n": 1})
        );
    }

    #[test]
    fn clones_share_what_they_know() {
        let first = Masker::default();
        let second = first.clone();
        first.register(&SecretString::new("not-a-real-secret".to_owned()));
        assert_eq!(second.mask("not-a-real-secret"), MASK);
    }
}
