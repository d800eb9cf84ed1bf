//! The table of diagnostic codes and their pages.
//!
//! A crate above this one that gives codes of its own adds them to the list below, in order, and a
//! page of that name to `explain/`.

macro_rules! pages {
    ($($code:literal),* $(,)?) => {
        /// Every code that has a page, in order.
        pub const CODES: &[&str] = &[$($code),*];

        /// The page on a code: its cause, an example and how to mend it, in Markdown.
        /// Case does not matter.
        pub fn explain(code: &str) -> Option<&'static str> {
            match code.to_ascii_uppercase().as_str() {
                $($code => Some(include_str!(concat!("explain/", $code, ".md"))),)*
                _ => None,
            }
        }
    };
}

pages![
    "LK0101", "LK0102", "LK0103", "LK0104", "LK0105", "LK0106", "LK0107", "LK0108", "LK0201",
    "LK0202", "LK0203", "LK0204", "LK0205", "LK0206", "LK0207", "LK0208", "LK0209", "LK0211",
    "LK0212", "LK0301", "LK0302", "LK0401", "LK9101", "LK9102",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_says_cause_example_and_fix() {
        for code in CODES {
            let page = explain(code).unwrap();
            assert!(page.starts_with(&format!("# {code}: ")), "{code}");
            assert!(page.contains("\n## Example\n"), "{code}");
            assert!(page.contains("\n## Fix\n"), "{code}");
        }
        assert_eq!(explain("lk0203"), explain("LK0203"));
        assert_eq!(explain("LK0000"), None);
    }

    /// Every code that this crate's sources can give is in the table.
    #[test]
    fn every_code_in_the_sources_has_its_page() {
        let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        let mut given = std::collections::BTreeSet::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs")
                    && !path.ends_with("codes.rs")
                {
                    let text = std::fs::read_to_string(&path).unwrap();
                    for quoted in text.split("\"LK").skip(1) {
                        let digits: String =
                            quoted.chars().take_while(char::is_ascii_digit).collect();
                        if digits.len() == 4 {
                            given.insert(format!("LK{digits}"));
                        }
                    }
                }
            }
        }
        assert!(given.contains("LK0203"));
        given.retain(|code| !CODES.contains(&code.as_str()));
        assert_eq!(given, std::collections::BTreeSet::new());
    }
}
