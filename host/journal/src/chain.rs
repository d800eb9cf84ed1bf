//! The hash chain over a run's entries.
//!
//! The hash of an entry is SHA-256 over the 32 bytes of the hash before it (zeros before the
//! first) and the entry as canonical JSON: one object with the members `address`, `facts`,
//! `fingerprint`, `kind`, `position`, `run`, `seq`, `time` and `value`, all members everywhere
//! sorted by name, without white space (RFC 8785, section 3.2, but numbers stay as they were
//! recorded). Whoever has a run's entries can check them with a few lines of script.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// A SHA-256.
pub(crate) type Hash = [u8; 32];

/// What the first entry of a run follows.
pub(crate) const GENESIS: Hash = [0; 32];

/// An entry as it is stored; `facts` and `value` are canonical JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) run: String,
    pub(crate) seq: u64,
    pub(crate) address: String,
    pub(crate) position: Option<u64>,
    pub(crate) kind: String,
    pub(crate) fingerprint: String,
    pub(crate) facts: String,
    pub(crate) value: String,
    pub(crate) time: String,
}

impl Row {
    /// The hash of this entry after the one with hash `prev`.
    pub(crate) fn hash(&self, prev: &Hash) -> Hash {
        let position = self
            .position
            .map_or_else(|| "null".to_owned(), |position| position.to_string());
        let text = format!(
            r#"{{"address":{},"facts":{},"fingerprint":{},"kind":{},"position":{position},"run":{},"seq":{},"time":{},"value":{}}}"#,
            quoted(&self.address),
            self.facts,
            quoted(&self.fingerprint),
            quoted(&self.kind),
            quoted(&self.run),
            self.seq,
            quoted(&self.time),
            self.value,
        );
        let mut sha = Sha256::new();
        sha.update(prev);
        sha.update(text);
        sha.finalize().into()
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// `value` as JSON text that does not depend on the order of members.
pub(crate) fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write(item, text);
            }
            text.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            text.push('{');
            for (index, (name, member)) in members.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push_str(&quoted(name));
                text.push(':');
                write(member, text);
            }
            text.push('}');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or_default();
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// The 32 bytes that 64 hexadecimal digits stand for.
pub(crate) fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut digits = text.chars().map(|digit| digit.to_digit(16));
    let mut bytes = [0; 32];
    for byte in &mut bytes {
        let (high, low) = (digits.next()??, digits.next()??);
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    digits.next().is_none().then_some(bytes)
}

/// The SHA-256 of `text` in lower-case hexadecimal.
pub(crate) fn digest(text: &str) -> String {
    hex(&Sha256::digest(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn row() -> Row {
        Row {
            run: "7Q3M".into(),
            seq: 2,
            address: "register#1".into(),
            position: Some(1),
            kind: "intent".into(),
            fingerprint: "entra/applications.create \"etl\"".into(),
            facts: canonical(&json!({ "mark": "m", "class": "create" })),
            value: "null".into(),
            time: "2026-11-21T10:00:00.000Z".into(),
        }
    }

    #[test]
    fn canonical_json_does_not_depend_on_order() {
        let value = json!({ "b": [1, { "z": null, "a": 1.5 }], "a": "\n" });
        assert_eq!(
            canonical(&value),
            r#"{"a":"\n","b":[1,{"a":1.5,"z":null}]}"#
        );
    }

    #[test]
    fn the_hash_is_over_prev_and_canonical_json() {
        let row = row();
        let json = json!({
            "run": row.run, "seq": row.seq, "address": row.address, "position": row.position,
            "kind": row.kind, "fingerprint": row.fingerprint, "time": row.time,
            "facts": { "class": "create", "mark": "m" }, "value": null,
        });
        let mut sha = Sha256::new();
        sha.update(GENESIS);
        sha.update(canonical(&json));
        assert_eq!(row.hash(&GENESIS), <Hash>::from(sha.finalize()));
    }

    proptest! {
        #[test]
        fn any_changed_byte_changes_the_hash(which in 0_usize..6, at: usize, to in 32_u8..127) {
            let original = row();
            let mut changed = original.clone();
            let field = match which {
                0 => &mut changed.address,
                1 => &mut changed.kind,
                2 => &mut changed.fingerprint,
                3 => &mut changed.facts,
                4 => &mut changed.value,
                _ => &mut changed.time,
            };
            let mut bytes = field.clone().into_bytes();
            let at = at % bytes.len();
            bytes[at] = to;
            *field = String::from_utf8(bytes).unwrap();
            prop_assert_eq!(
                original == changed,
                original.hash(&GENESIS) == changed.hash(&GENESIS)
            );
        }

        #[test]
        fn canonical_json_reads_back_as_the_same_value(text in any::<String>(), number: i64) {
            let value = json!({ "t": text.clone(), "n": [number], text: true });
            let read: Value = serde_json::from_str(&canonical(&value)).unwrap();
            prop_assert_eq!(read, value);
        }
    }
}
