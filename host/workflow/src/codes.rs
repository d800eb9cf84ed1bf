//! The table of diagnostic codes and their pages.

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
    "LK0212", "LK0301", "LK0302", "LK0401", "LK9001", "LK9002",
];
