//! Names: how they are written, and which one was probably meant.

/// Whether a name can stand in a path of an expression.
pub(crate) fn is_snake_case(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .chars()
            .all(|other| other.is_ascii_lowercase() || other.is_ascii_digit() || other == '_')
}

/// The `snake_case` name nearest to `name`.
pub(crate) fn to_snake_case(name: &str) -> String {
    let mut snake = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() && !snake.is_empty() && !snake.ends_with('_') {
            snake.push('_');
        }
        if character.is_ascii_alphanumeric() {
            snake.push(character.to_ascii_lowercase());
        } else if !snake.is_empty() && !snake.ends_with('_') {
            snake.push('_');
        }
    }
    let snake = snake.trim_end_matches('_');
    if snake.starts_with(|first: char| first.is_ascii_lowercase()) {
        snake.to_owned()
    } else {
        format!("n{snake}")
    }
}

/// The candidate that is near enough to `name` to be what was meant.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let plain = |text: &str| text.replace(['_', '-'], "").to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| {
            let distance = if plain(candidate) == plain(name) {
                0
            } else {
                strsim::damerau_levenshtein(name, candidate)
            };
            (distance, candidate)
        })
        .filter(|(distance, candidate)| *distance <= (candidate.len().min(name.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `a`, `b` and `c`, each in backticks.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_snake_case() {
        for (given, snake) in [
            ("test-run", "test_run"),
            ("appName", "app_name"),
            ("App Name", "app_name"),
            ("2nd", "n2nd"),
            ("a__b", "a_b"),
        ] {
            assert_eq!(to_snake_case(given), snake);
            assert!(is_snake_case(snake));
            assert!(!is_snake_case(given) || given == "a__b");
        }
    }

    #[test]
    fn only_near_names_are_suggested() {
        let names = ["app_id", "object_id", "client_secret"];
        assert_eq!(nearest("appid", names), Some("app_id"));
        assert_eq!(nearest("app-id", names), Some("app_id"));
        assert_eq!(nearest("client_secert", names), Some("client_secret"));
        assert_eq!(nearest("url", names), None);
    }
}
