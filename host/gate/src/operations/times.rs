//! Points in time as calls carry them: RFC 3339 text in UTC, to the second.

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

fn text(time: OffsetDateTime) -> Option<String> {
    time.to_offset(UtcOffset::UTC)
        .replace_nanosecond(0)
        .ok()?
        .format(&Rfc3339)
        .ok()
}

/// The one spelling of a time; `None` when the text is no RFC 3339 time.
pub(super) fn canonical(rfc3339: &str) -> Option<String> {
    text(OffsetDateTime::parse(rfc3339, &Rfc3339).ok()?)
}

/// The one spelling of a time, or the text itself, such as a placeholder.
pub(super) fn canonical_or_same(rfc3339: &str) -> String {
    canonical(rfc3339).unwrap_or_else(|| rfc3339.to_owned())
}

/// Seconds since 1970.
pub(super) fn to_unix(rfc3339: &str) -> Option<i64> {
    Some(
        OffsetDateTime::parse(rfc3339, &Rfc3339)
            .ok()?
            .unix_timestamp(),
    )
}

/// The time so many seconds after 1970.
pub(super) fn from_unix(seconds: i64) -> Option<String> {
    text(OffsetDateTime::from_unix_timestamp(seconds).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_time_has_one_spelling() {
        for text in [
            "2030-01-02T03:04:05Z",
            "2030-01-02T03:04:05.1234567Z",
            "2030-01-02T04:04:05+01:00",
        ] {
            assert_eq!(canonical(text).as_deref(), Some("2030-01-02T03:04:05Z"));
        }
        assert_eq!(canonical("tomorrow"), None);
        assert_eq!(canonical_or_same("tomorrow"), "tomorrow");
    }

    #[test]
    fn seconds_round_trip() {
        let seconds = to_unix("2030-01-02T03:04:05Z").unwrap();
        assert_eq!(from_unix(seconds).as_deref(), Some("2030-01-02T03:04:05Z"));
    }
}
