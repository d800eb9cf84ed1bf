//! What is at a path of the workspace: its kind, the text of a notebook, and the path's one
//! spelling (reference/databricks.md, section 11).

use serde::{Deserialize, Serialize};

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ObjectKind {
    Directory,
    Notebook,
    File,
    Other,
}

impl ObjectKind {
    pub(super) fn of(object_type: &str) -> Self {
        match object_type {
            "DIRECTORY" => Self::Directory,
            "NOTEBOOK" => Self::Notebook,
            "FILE" => Self::File,
            _ => Self::Other,
        }
    }
}

/// The language of a notebook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Language {
    #[serde(alias = "SQL")]
    Sql,
    #[serde(alias = "PYTHON")]
    Python,
    #[serde(alias = "SCALA")]
    Scala,
    #[serde(alias = "R")]
    R,
}

impl Language {
    pub(super) fn on_the_wire(self) -> &'static str {
        match self {
            Self::Sql => "SQL",
            Self::Python => "PYTHON",
            Self::Scala => "SCALA",
            Self::R => "R",
        }
    }
}

/// What is at a path, for before and after: a notebook with its language and text, a folder, or
/// the folders that are missing. Nothing at a path in an existing folder is no state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum State {
    Notebook {
        kind: NotebookTag,
        language: Option<Language>,
        source: String,
    },
    Object {
        kind: ObjectKind,
    },
    /// The topmost folder that creating this one would create.
    Missing {
        missing_from: String,
    },
}

/// The kind of a notebook, and of nothing else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum NotebookTag {
    Notebook,
}

impl State {
    pub(super) fn kind(&self) -> Option<ObjectKind> {
        match self {
            Self::Notebook { .. } => Some(ObjectKind::Notebook),
            Self::Object { kind } => Some(*kind),
            Self::Missing { .. } => None,
        }
    }

    pub(super) fn notebook(language: Option<Language>, source: &str) -> Self {
        Self::Notebook {
            kind: NotebookTag::Notebook,
            language,
            source: canonical(source),
        }
    }
}

/// A notebook's text without what the service adds: the header line and line ends at the end.
pub(super) fn canonical(source: &str) -> String {
    let (first, rest) = source.split_once('\n').unwrap_or((source, ""));
    let is_header = ["--", "#", "//"]
        .iter()
        .any(|comment| first.trim_end() == format!("{comment} Databricks notebook source"));
    let text = if is_header { rest } else { source };
    text.trim_end_matches(['\n', '\r']).to_owned()
}

/// The one spelling of a path: `/Workspace` in front means the same as nothing.
pub(super) fn normal(path: &str) -> &str {
    let path = match path.strip_prefix("/Workspace") {
        Some(rest) if rest.starts_with('/') => rest,
        _ => path,
    };
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() { path } else { trimmed }
}

pub(super) fn parent(path: &str) -> Option<&str> {
    let (parent, _) = path.rsplit_once('/')?;
    (!parent.is_empty()).then_some(parent)
}

#[cfg(test)]
mod tests {
    use lockkeeper_types::Value;
    use serde_json::json;

    use super::*;
    use crate::operations::state;

    #[test]
    fn states_are_told_apart() {
        let read = |value: Value| state::read::<State>(Some(&value)).unwrap().kind();
        assert_eq!(
            read(json!({ "kind": "directory" })),
            Some(ObjectKind::Directory)
        );
        let notebook = json!({ "kind": "notebook", "language": "sql", "source": "" });
        assert_eq!(read(notebook), Some(ObjectKind::Notebook));
        assert_eq!(read(json!({ "missing_from": "/Shared/a" })), None);
    }

    #[test]
    fn what_the_service_adds_to_a_notebook_is_left_out() {
        assert_eq!(
            canonical("-- Databricks notebook source\nSELECT 1\n"),
            "SELECT 1"
        );
        assert_eq!(
            canonical("# Databricks notebook source\r\nprint(1)"),
            "print(1)"
        );
        assert_eq!(canonical("-- mine\nSELECT 1"), "-- mine\nSELECT 1");
        assert_eq!(canonical("-- Databricks notebook source"), "");
    }

    #[test]
    fn a_path_has_one_spelling() {
        assert_eq!(normal("/Workspace/Shared/x/"), "/Shared/x");
        assert_eq!(normal("/Workspaces/x"), "/Workspaces/x");
        assert_eq!(normal("/"), "/");
        assert_eq!(
            (parent("/Shared/x"), parent("/Shared")),
            (Some("/Shared"), None)
        );
    }
}
