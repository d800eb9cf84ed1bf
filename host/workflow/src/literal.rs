//! Values by their types: what text and JSON must look like to be a duration, a GUID, a record.

use std::fmt::Write as _;

use lockkeeper_types::{Type, Value, secret_name, unknown};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::names::{listed, nearest};

/// Why a value is not of a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// Where in the value, such as `.fields[2]`; empty for the value itself.
    pub(crate) at: String,
    /// Whether it has the right shape and only its text is wrong.
    pub(crate) is_literal: bool,
    /// What is wrong, such as `"x" is not a GUID`.
    pub(crate) what: String,
    /// What was probably meant instead of the text.
    pub(crate) near: Option<String>,
}

impl Mismatch {
    fn shape(value: &Value, kind: &Type) -> Self {
        let found = match value {
            Value::Null => "nothing",
            Value::Bool(_) => "a bool",
            Value::Number(_) => "a number",
            Value::String(_) => "text",
            Value::Array(_) => "a list",
            Value::Object(_) if secret_name(value).is_some() => "a secret",
            Value::Object(_) => "a record",
        };
        Self {
            at: String::new(),
            is_literal: false,
            what: format!("this is {found}, not `{kind}`"),
            near: None,
        }
    }

    fn literal(what: impl Into<String>) -> Self {
        Self {
            at: String::new(),
            is_literal: true,
            what: what.into(),
            near: None,
        }
    }

    fn under(mut self, step: &str) -> Self {
        self.at.insert_str(0, step);
        self
    }
}

/// `value` in the shape that values of `kind` have: durations in seconds, absent fields null.
/// A placeholder is of every type.
pub(crate) fn convert(value: &Value, kind: &Type) -> Result<Value, Mismatch> {
    if let (Value::String(text), false) = (value, matches!(kind, Type::Secret))
        && unknown::source(text).is_some()
    {
        return Ok(value.clone());
    }
    let shape = || Mismatch::shape(value, kind);
    let text = || value.as_str().ok_or_else(shape);
    match kind {
        Type::Option(_) if value.is_null() => Ok(Value::Null),
        Type::Option(inner) => convert(value, inner),
        Type::Bool => value.is_boolean().then(|| value.clone()).ok_or_else(shape),
        Type::Integer { bits, signed } => integer(value, *bits, *signed, kind),
        Type::Float => value.as_f64().map(Value::from).ok_or_else(shape),
        Type::String => text().map(Value::from),
        Type::Id(_) if text()?.trim().is_empty() => {
            Err(Mismatch::literal(format!("empty text is not a `{kind}`")))
        }
        Type::Id(_) => Ok(value.clone()),
        Type::Guid if is_guid(text()?) => Ok(value.clone()),
        Type::Guid => Err(Mismatch::literal(format!(
            "`{}` is not a GUID such as `00000000-0000-0000-0000-000000000000`",
            text()?
        ))),
        Type::Url if is_url(text()?) => Ok(value.clone()),
        Type::Url => Err(Mismatch::literal(format!(
            "`{}` is not a URL that starts with `https://`",
            text()?
        ))),
        Type::Duration if value.is_u64() => Ok(value.clone()),
        Type::Duration => seconds(text()?).map(Value::from).ok_or_else(|| {
            Mismatch::literal(format!(
                "`{}` is not a length of time such as `90d`, `24h`, `15m` or `30s`, and `36500d` at most",
                value.as_str().unwrap_or_default()
            ))
        }),
        Type::Timestamp => OffsetDateTime::parse(text()?, &Rfc3339)
            .map(|_| value.clone())
            .map_err(|_| {
                Mismatch::literal(format!(
                    "`{}` is not a time such as `2027-02-19T12:00:00Z`",
                    value.as_str().unwrap_or_default()
                ))
            }),
        Type::Secret => secret_name(value).map(|_| value.clone()).ok_or_else(shape),
        Type::Enum(cases) => one_of(text()?, cases).map(Value::from),
        Type::Flags(names) => {
            let items = value.as_array().ok_or_else(shape)?;
            let items = each(items, |item| {
                let text = item.as_str().ok_or_else(|| Mismatch::shape(item, kind))?;
                one_of(text, names).map(Value::from)
            })?;
            Ok(Value::Array(items))
        }
        Type::List(inner) => {
            let items = value.as_array().ok_or_else(shape)?;
            Ok(Value::Array(each(items, |item| convert(item, inner))?))
        }
        Type::Tuple(kinds) => {
            let items = value.as_array().ok_or_else(shape)?;
            if items.len() != kinds.len() {
                return Err(shape());
            }
            let items: Result<Vec<_>, _> = items
                .iter()
                .zip(kinds)
                .map(|(item, kind)| convert(item, kind))
                .collect();
            Ok(Value::Array(items?))
        }
        Type::Record(fields) => record(value, fields, kind),
        Type::Variant(cases) => variant(value, cases, kind),
    }
}

fn each(
    items: &[Value],
    convert: impl Fn(&Value) -> Result<Value, Mismatch>,
) -> Result<Vec<Value>, Mismatch> {
    items
        .iter()
        .enumerate()
        .map(|(index, item)| convert(item).map_err(|wrong| wrong.under(&format!("[{index}]"))))
        .collect()
}

fn integer(value: &Value, bits: u8, signed: bool, kind: &Type) -> Result<Value, Mismatch> {
    let number = value
        .as_i64()
        .map(i128::from)
        .or_else(|| value.as_u64().map(i128::from))
        .ok_or_else(|| Mismatch::shape(value, kind))?;
    let (least, most) = if signed {
        (-(1_i128 << (bits - 1)), (1_i128 << (bits - 1)) - 1)
    } else {
        (0, (1_i128 << bits) - 1)
    };
    if (least..=most).contains(&number) {
        return Ok(value.clone());
    }
    Err(Mismatch::literal(format!(
        "{number} is outside of `{kind}`, which goes from {least} to {most}"
    )))
}

fn one_of<'a>(text: &str, cases: &'a [String]) -> Result<&'a str, Mismatch> {
    if let Some(case) = cases.iter().find(|case| *case == text) {
        return Ok(case);
    }
    let known = || cases.iter().map(String::as_str);
    let mut wrong = Mismatch::literal(format!("`{text}` is not one of {}", listed(known())));
    wrong.near = nearest(text, known()).map(str::to_owned);
    Err(wrong)
}

fn record(
    value: &Value,
    fields: &[lockkeeper_types::Field],
    kind: &Type,
) -> Result<Value, Mismatch> {
    let object = value
        .as_object()
        .filter(|_| secret_name(value).is_none())
        .ok_or_else(|| Mismatch::shape(value, kind))?;
    if let Some(stranger) = object
        .keys()
        .find(|key| !fields.iter().any(|field| field.name == **key))
    {
        let mut wrong = Mismatch::shape(value, kind);
        wrong.what = format!("there is no field `{stranger}` in `{kind}`");
        return Err(wrong);
    }
    let mut converted = serde_json::Map::new();
    for field in fields {
        let given = object.get(&field.name).unwrap_or(&Value::Null);
        if given.is_null() && !field.kind.is_optional() {
            let mut wrong = Mismatch::shape(value, kind);
            wrong.what = format!("the field `{}` is missing", field.name);
            return Err(wrong);
        }
        let given = convert(given, &field.kind)
            .map_err(|wrong| wrong.under(&format!(".{}", field.name)))?;
        converted.insert(field.name.clone(), given);
    }
    Ok(Value::Object(converted))
}

fn variant(
    value: &Value,
    cases: &[(String, Option<Type>)],
    kind: &Type,
) -> Result<Value, Mismatch> {
    let find = |name: &str| cases.iter().find(|(case, _)| case == name);
    if let Some(name) = value.as_str()
        && let Some((_, None)) = find(name)
    {
        return Ok(value.clone());
    }
    if let Some(object) = value.as_object()
        && object.len() == 1
        && let Some((name, payload)) = object.iter().next()
        && let Some((_, Some(kind))) = find(name)
    {
        let payload = convert(payload, kind).map_err(|wrong| wrong.under(&format!(".{name}")))?;
        let mut converted = serde_json::Map::new();
        converted.insert(name.clone(), payload);
        return Ok(Value::Object(converted));
    }
    Err(Mismatch::shape(value, kind))
}

/// The longest length of time, in milliseconds: a century, which can still be added to any time.
const LONGEST: u64 = 36_500 * 86_400_000;

/// Whole seconds of `90d`, `24h`, `15m`, `30s` or `1h30m`.
pub(crate) fn seconds(text: &str) -> Option<u64> {
    let length = milliseconds(text)?;
    (length % 1_000 == 0).then_some(length / 1_000)
}

/// Milliseconds of the same, and of `500ms`.
pub(crate) fn milliseconds(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 5] = [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    let mut total = 0_u64;
    let mut largest = u64::MAX;
    let mut rest = text;
    while !rest.is_empty() {
        let (digits, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let unit_end = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        if *factor >= largest {
            return None;
        }
        largest = *factor;
        let part = digits.parse::<u64>().ok()?.checked_mul(*factor)?;
        total = total.checked_add(part)?;
        rest = after;
    }
    (!text.is_empty() && total <= LONGEST).then_some(total)
}

/// A length of time as text, in the units that [`seconds`] reads: `90d`, `1h30m`.
pub(crate) fn duration_text(seconds: u64) -> String {
    let mut text = String::new();
    let mut rest = seconds;
    for (unit, factor) in [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)] {
        let count = rest / factor;
        rest %= factor;
        if count > 0 {
            let _ = write!(text, "{count}{unit}");
        }
    }
    if text.is_empty() {
        text.push_str("0s");
    }
    text
}

/// 8-4-4-4-12 hexadecimal digits.
fn is_guid(text: &str) -> bool {
    let groups: Vec<_> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups
            .iter()
            .all(|group| group.chars().all(|digit| digit.is_ascii_hexdigit()))
}

/// An absolute `https` URL. Loopback hosts may be reached without TLS: that is where the simulator is.
fn is_url(text: &str) -> bool {
    let (rest, plain) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (rest, false),
        (_, Some(rest)) => (rest, true),
        _ => return false,
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    !host.is_empty()
        && !text.contains(|c: char| c.is_whitespace() || c == '"' || c == '<' || c == '>')
        && (!plain || matches!(name, "127.0.0.1" | "localhost" | "[::1]"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockkeeper_types::Field;
    use serde_json::json;

    #[test]
    fn durations_are_read() {
        for (text, length) in [
            ("90d", Some(7_776_000)),
            ("24h", Some(86_400)),
            ("15m", Some(900)),
            ("30s", Some(30)),
            ("1h30m", Some(5_400)),
            ("0s", Some(0)),
            ("36500d", Some(3_153_600_000)),
            ("36500d1s", None),
            ("", None),
            ("90", None),
            ("d", None),
            ("90 d", None),
            ("-5m", None),
            ("30m1h", None),
            ("1h1h", None),
            ("1.5h", None),
            ("1500ms", None),
            ("99999999999999999999d", None),
            ("999999999999999999d", None),
        ] {
            assert_eq!(seconds(text), length, "{text}");
        }
        assert_eq!(milliseconds("1s500ms"), Some(1_500));
    }

    #[test]
    fn every_length_of_time_can_be_written_and_read_back() {
        let mut length = 1_u64;
        for step in 0..2_000_u64 {
            length = (length.wrapping_mul(6_364_136_223_846_793_005) ^ step) % 1_000_000_000;
            assert_eq!(seconds(&duration_text(length)), Some(length));
        }
        assert_eq!(duration_text(0), "0s");
        assert_eq!(duration_text(7_776_000), "90d");
    }

    #[test]
    fn urls_are_https_but_for_loopback() {
        for good in [
            "https://a.example",
            "https://a.example:8443/x?y",
            "http://127.0.0.1:9/x",
        ] {
            assert!(is_url(good), "{good}");
        }
        for bad in [
            "http://a.example",
            "https://",
            "a.example",
            "https://a b",
            "http://localhost.example",
        ] {
            assert!(!is_url(bad), "{bad}");
        }
    }

    #[test]
    fn values_take_the_shape_of_their_type() {
        let field = |name: &str, kind| Field {
            name: name.into(),
            kind,
            docs: None,
        };
        let kind = Type::Record(vec![
            field("lifetime", Type::Duration),
            field("note", Type::Option(Box::new(Type::String))),
        ]);
        assert_eq!(
            convert(&json!({ "lifetime": "1h" }), &kind),
            Ok(json!({ "lifetime": 3600, "note": null }))
        );
        let wrong = convert(&json!({ "lifetime": "soon" }), &kind).unwrap_err();
        assert_eq!(wrong.at, ".lifetime");
        assert!(wrong.is_literal);
        assert!(convert(&json!({ "lifetime": 1, "note": null, "x": 1 }), &kind).is_err());
        assert!(convert(&json!({}), &kind).is_err());
    }

    #[test]
    fn numbers_stay_in_range() {
        let u32_type = Type::Integer {
            bits: 32,
            signed: false,
        };
        assert!(convert(&json!(4_294_967_295_u64), &u32_type).is_ok());
        assert!(convert(&json!(4_294_967_296_u64), &u32_type).is_err());
        assert!(convert(&json!(-1), &u32_type).is_err());
        assert!(convert(&json!(1.5), &u32_type).is_err());
    }

    #[test]
    fn only_handles_are_secrets() {
        let handle = lockkeeper_types::secret("register/secret");
        assert_eq!(convert(&handle, &Type::Secret), Ok(handle.clone()));
        assert!(convert(&json!("not-a-real-secret"), &Type::Secret).is_err());
        assert!(convert(&handle, &Type::String).is_err());
        assert!(convert(&handle, &Type::Record(Vec::new())).is_err());
    }
}
