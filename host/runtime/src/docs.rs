//! Reads the doc comments of a plugin's WIT from its `package-docs` section.
//!
//! The section is the one that WIT packages carry: a version byte and JSON
//! (`wit_parser::PackageMetadata`). A component without it merely has no docs.

use std::collections::BTreeMap;

use lockkeeper_types::clean;
use serde::Deserialize;
use wasmparser::{Parser, Payload};

const SECTION: &str = "package-docs";
const MAX_CHARS: usize = 2_000;

/// The doc comments of a WIT package.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Docs {
    #[serde(default)]
    worlds: BTreeMap<String, Items>,
    #[serde(default)]
    interfaces: BTreeMap<String, Items>,
}

#[derive(Debug, Default, Deserialize)]
struct Items {
    docs: Option<String>,
    #[serde(default)]
    types: BTreeMap<String, Members>,
}

#[derive(Debug, Default, Deserialize)]
struct Members {
    #[serde(default)]
    items: BTreeMap<String, String>,
}

impl Docs {
    /// The docs of a component that has passed [`crate::shape::check`].
    pub(crate) fn read(bytes: &[u8]) -> Self {
        // Only the outermost component speaks for the plugin, but it may come after nested ones.
        let mut depth = 0_u32;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload {
                Ok(Payload::Version { .. }) => depth += 1,
                Ok(Payload::End(_)) => depth = depth.saturating_sub(1),
                Ok(Payload::CustomSection(section)) if depth == 1 && section.name() == SECTION => {
                    let Some((0 | 1, json)) = section.data().split_first() else {
                        return Self::default();
                    };
                    return serde_json::from_slice(json).unwrap_or_default();
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        Self::default()
    }

    /// What the doc comment of the world says. A package with several worlds does not tell which
    /// one the component is of.
    pub(crate) fn world(&self) -> Option<String> {
        let mut worlds = self.worlds.values();
        match (worlds.next(), worlds.next()) {
            (Some(world), None) => world.docs.as_deref().map(tidy),
            _ => None,
        }
    }

    /// What the doc comment of a record's field says, both by their names in WIT.
    pub(crate) fn field(&self, record: &str, field: &str) -> Option<String> {
        self.worlds
            .values()
            .chain(self.interfaces.values())
            .find_map(|items| items.types.get(record)?.items.get(field))
            .map(|docs| tidy(docs))
    }
}

/// Paragraphs stay, everything else becomes one line.
fn tidy(docs: &str) -> String {
    let paragraphs: Vec<_> = docs
        .split("\n\n")
        .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "))
        .map(|paragraph| clean(&paragraph, MAX_CHARS))
        .collect();
    paragraphs.join("\n\n")
}
