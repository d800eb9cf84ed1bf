//! What a simulated cloud holds, so that two of them can be compared: without what differs from
//! one to the next, such as times, and with ids replaced by what they stand for.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::Value;

use crate::death::is_made;
use crate::support::Simulator;

/// What one cloud may have otherwise than its twin: versions, secrets and the times at which
/// replicas catch up.
const VOLATILE: [&str; 8] = [
    "signing_key",
    "hint",
    "sha256",
    "sealed",
    "number",
    "earlier",
    "readable_at",
    "oauth_tokens",
];

/// What a cloud holds.
#[derive(PartialEq)]
pub(crate) struct Cloud {
    /// Without a word on which id is which.
    contents: String,
    /// Each id named by everything that is said of it, and by what is said of the ids beside it,
    /// so that equal clouds are equal texts.
    linked: String,
}

/// The cloud behind `simulator`.
pub(crate) fn of(simulator: &Simulator) -> Cloud {
    let state = settled(&simulator.control("GET", "/__simulator/state", None));
    let mut names: HashMap<String, String> = HashMap::new();
    let contents = serde_json::to_string_pretty(&named(&state, &names)).unwrap();
    for _ in 0..4 {
        let mut said: BTreeMap<String, Vec<String>> = BTreeMap::new();
        collect(&state, "", "", &names, &mut said);
        names = said
            .into_iter()
            .map(|(id, mut contexts)| {
                contexts.sort();
                let mut hasher = DefaultHasher::new();
                contexts.hash(&mut hasher);
                (id, format!("id-{:08x}", hasher.finish() & 0xffff_ffff))
            })
            .collect();
    }
    Cloud {
        contents,
        linked: serde_json::to_string_pretty(&named(&state, &names)).unwrap(),
    }
}

/// Drops what is volatile, and writes `time` for every time.
fn settled(value: &Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members
                .iter()
                .filter(|(name, _)| !VOLATILE.contains(&name.as_str()))
                .map(|(name, value)| {
                    let is_epoch = matches!(name.as_str(), "created" | "updated" | "expires");
                    let value = match value {
                        Value::Number(_) if is_epoch => Value::from("time"),
                        value => settled(value),
                    };
                    (name.clone(), value)
                })
                .collect(),
        ),
        Value::Array(items) => items.iter().map(settled).collect(),
        Value::String(text) if is_time(text) => Value::from("time"),
        Value::Number(number) if is_made(&number.to_string()) => number.to_string().into(),
        other => other.clone(),
    }
}

fn is_time(text: &str) -> bool {
    text.len() >= 20
        && text.ends_with('Z')
        && text.as_bytes().get(4) == Some(&b'-')
        && text.as_bytes().get(10) == Some(&b'T')
}

/// Splits a text into words, of which some are ids, and what stands between them.
fn words(text: &str) -> Vec<&str> {
    let of_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let mut words = Vec::new();
    let mut start = 0;
    let mut last = None;
    for (at, character) in text.char_indices() {
        let now = of_word(character);
        if last.is_some_and(|last| last != now) {
            words.push(&text[start..at]);
            start = at;
        }
        last = Some(now);
    }
    words.push(&text[start..]);
    words
}

fn is_id(word: &str) -> bool {
    is_made(word) || is_cluster(word)
}

/// `MMDD-HHMMSS-8 digits`, as Databricks names clusters.
fn is_cluster(word: &str) -> bool {
    let parts: Vec<&str> = word.split('-').collect();
    matches!(parts.as_slice(), [a, b, c] if a.len() == 4 && b.len() == 6 && c.len() == 8)
}

/// A text with its ids by name, and without marks, which end in brackets: `[7Q3M/register#1/16]`.
fn rename(text: &str, names: &HashMap<String, String>) -> String {
    let mut renamed: String = words(text)
        .into_iter()
        .map(|word| {
            if is_id(word) {
                names.get(word).map_or("id", |name| name)
            } else {
                word
            }
        })
        .collect();
    if renamed.ends_with(']')
        && let Some(at) = renamed.rfind('[')
    {
        renamed.replace_range(at.., "[mark]");
    }
    renamed
}

fn named(value: &Value, names: &HashMap<String, String>) -> Value {
    match value {
        Value::String(text) => rename(text, names).into(),
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(|item| named(item, names)).collect();
            items.sort_by_cached_key(ToString::to_string);
            items.into()
        }
        // Two ids with one name must not become one member.
        Value::Object(members)
            if members
                .keys()
                .any(|key| words(key).iter().any(|w| is_id(w))) =>
        {
            let pairs = members.iter().map(|(key, value)| {
                Value::from(vec![rename(key, names).into(), named(value, names)])
            });
            let mut pairs: Vec<Value> = pairs.collect();
            pairs.sort_by_cached_key(ToString::to_string);
            pairs.into()
        }
        Value::Object(members) => Value::Object(
            members
                .iter()
                .map(|(key, value)| (key.clone(), named(value, names)))
                .collect(),
        ),
        other => other.clone(),
    }
}

/// Notes for each id where it stands and what stands around it.
fn collect(
    value: &Value,
    path: &str,
    around: &str,
    names: &HashMap<String, String>,
    said: &mut BTreeMap<String, Vec<String>>,
) {
    let mut note = |text: &str| {
        for word in words(text).into_iter().filter(|word| is_id(word)) {
            said.entry(word.to_owned())
                .or_default()
                .push(format!("{path} in {around}"));
        }
    };
    match value {
        Value::String(text) => note(text),
        Value::Array(items) => {
            for item in items {
                collect(item, &format!("{path}[]"), around, names, said);
            }
        }
        Value::Object(members) => {
            for (key, value) in members {
                for word in words(key).into_iter().filter(|word| is_id(word)) {
                    let context = format!("{path} key of {}", named(value, names));
                    said.entry(word.to_owned()).or_default().push(context);
                }
                let around = match value {
                    Value::Object(_) => String::new(),
                    _ => named(&Value::Object(members.clone()), names).to_string(),
                };
                collect(
                    value,
                    &format!("{path}.{}", rename(key, names)),
                    &around,
                    names,
                    said,
                );
            }
        }
        _ => {}
    }
}

/// Fails with the lines in which two clouds differ.
pub(crate) fn assert_same(found: &Cloud, expected: &Cloud, when: &str) {
    if found == expected {
        return;
    }
    let (found, expected) = if found.contents == expected.contents {
        (&found.linked, &expected.linked)
    } else {
        (&found.contents, &expected.contents)
    };
    panic!(
        "{when}: the cloud is not the undisturbed one\n{}",
        difference(expected, found)
    );
}

/// The lines that only one of two texts has, in order (the longest common subsequence is kept).
fn difference(before: &str, after: &str) -> String {
    let (before, after): (Vec<&str>, Vec<&str>) =
        (before.lines().collect(), after.lines().collect());
    let mut common = vec![vec![0_u32; after.len() + 1]; before.len() + 1];
    for (i, left) in before.iter().enumerate().rev() {
        for (j, right) in after.iter().enumerate().rev() {
            common[i][j] = if left == right {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut text) = (0, 0, String::new());
    while i < before.len() || j < after.len() {
        if i < before.len() && j < after.len() && before[i] == after[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == after.len() || (i < before.len() && common[i + 1][j] >= common[i][j + 1]) {
            text.push_str(&format!("- {}\n", before[i]));
            i += 1;
        } else {
            text.push_str(&format!("+ {}\n", after[j]));
            j += 1;
        }
    }
    text
}
