//! The text of a notebook: its language, its header line, its cells
//! (reference/databricks.md, section 11).

use super::request::Field as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A notebook's language.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Language {
    Python,
    Sql,
    Scala,
    R,
}

impl Language {
    const ALL: [Self; 4] = [Self::Python, Self::Sql, Self::Scala, Self::R];

    /// The extension of its source files, without the dot.
    pub(super) fn extension(self) -> &'static str {
        match self {
            Self::Python => "py",
            Self::Sql => "sql",
            Self::Scala => "scala",
            Self::R => "r",
        }
    }

    /// What begins a comment line.
    pub(super) fn comment(self) -> &'static str {
        match self {
            Self::Python | Self::R => "#",
            Self::Sql => "--",
            Self::Scala => "//",
        }
    }

    fn header(self) -> String {
        format!("{} Databricks notebook source", self.comment())
    }

    fn of_path(path: &str) -> Option<Self> {
        let (_, extension) = path.rsplit_once('.')?;
        Self::ALL
            .into_iter()
            .find(|language| language.extension().eq_ignore_ascii_case(extension))
    }
}

/// A notebook's source with the header line that an export begins with.
pub(super) fn with_header(language: Language, source: &str) -> String {
    let header = language.header();
    if source.starts_with(&header) {
        source.to_owned()
    } else {
        format!("{header}\n{source}")
    }
}

/// A path without the extension of a notebook's source file.
pub(super) fn without_extension(path: &str) -> &str {
    match path.rsplit_once('.') {
        Some((stem, "ipynb")) => stem,
        Some((stem, _)) if Language::of_path(path).is_some() => stem,
        _ => path,
    }
}

/// Reads an import: a notebook's language and source, or none when it is a plain file.
pub(super) fn parse(
    format: &str,
    path: &str,
    language: Option<Language>,
    bytes: &[u8],
) -> Result<Option<(Language, String)>, String> {
    let is_jupyter = format == "JUPYTER"
        || (format == "AUTO" && matches!(path.rsplit_once('.'), Some((_, "ipynb"))));
    if is_jupyter {
        return from_jupyter(bytes).map(Some);
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) if format == "AUTO" => return Ok(None),
        Err(_) => return Err("The notebook's source is not valid UTF-8.".into()),
    };
    if format == "AUTO" {
        let found = Language::of_path(path).filter(|found| text.starts_with(&found.header()));
        return Ok(found.map(|found| (found, text)));
    }
    let by_header = || {
        Language::ALL
            .into_iter()
            .find(|language| text.starts_with(&language.header()))
    };
    let language = language
        .or_else(|| Language::of_path(path))
        .or_else(by_header)
        .ok_or("The language of the notebook is required with the format SOURCE.")?;
    Ok(Some((language, text)))
}

fn from_jupyter(bytes: &[u8]) -> Result<(Language, String), String> {
    let document: Value = serde_json::from_slice(bytes)
        .map_err(|fault| format!("The Jupyter notebook is not valid JSON: {fault}"))?;
    let name = document
        .field("metadata")
        .field("language_info")
        .field("name")
        .as_str()
        .unwrap_or("python");
    let language = Language::ALL
        .into_iter()
        .find(|language| format!("{language:?}").eq_ignore_ascii_case(name))
        .ok_or_else(|| format!("The Jupyter notebook's language {name} is not supported."))?;
    let cells = document
        .field("cells")
        .as_array()
        .ok_or("The Jupyter notebook has no cells.")?;
    let source = cells
        .iter()
        .filter(|cell| cell.field("cell_type") == "code")
        .map(|cell| match cell.field("source") {
            Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
            other => other.as_str().unwrap_or_default().to_owned(),
        })
        .collect::<Vec<String>>()
        .join(&format!(
            "\n\n{} COMMAND ----------\n\n",
            language.comment()
        ));
    Ok((language, source))
}

/// A cell: source in a language, or prose.
#[derive(Debug, PartialEq)]
pub(super) enum Cell {
    Code(Language, String),
    Prose,
    /// A cell for a shell, a file system or another language, by its magic word.
    Foreign(String),
}

/// Cuts a notebook's source into cells.
pub(super) fn cells(language: Language, source: &str) -> Vec<Cell> {
    let comment = language.comment();
    let (separator, header) = (format!("{comment} COMMAND ----------"), language.header());
    let mut cells = vec![Vec::new()];
    for line in source.lines() {
        if line.trim_end() == separator {
            cells.push(Vec::new());
        } else if line.trim_end() != header
            && let Some(last) = cells.last_mut()
        {
            last.push(line);
        }
    }
    let magic = format!("{comment} MAGIC");
    cells
        .into_iter()
        .map(|lines| cell(language, &magic, &lines))
        .collect()
}

fn cell(language: Language, magic: &str, lines: &[&str]) -> Cell {
    let first = lines
        .iter()
        .map(|line| line.trim())
        .find(|line| !line.is_empty());
    let word = first
        .map(|line| line.strip_prefix(magic).map_or(line, str::trim_start))
        .and_then(|line| line.strip_prefix('%'))
        .map(|line| line.split_whitespace().next().unwrap_or_default());
    let Some(word) = word else {
        return Cell::Code(language, lines.join("\n"));
    };
    let body = || {
        let text = lines
            .iter()
            .map(|line| {
                let line = line.strip_prefix(magic).unwrap_or(line);
                line.strip_prefix(' ').unwrap_or(line)
            })
            .collect::<Vec<_>>()
            .join("\n");
        text.trim_start()
            .strip_prefix('%')
            .and_then(|text| text.strip_prefix(word))
            .unwrap_or_default()
            .to_owned()
    };
    match word {
        "sql" => Cell::Code(Language::Sql, body()),
        "python" => Cell::Code(Language::Python, body()),
        "md" => Cell::Prose,
        other => Cell::Foreign(other.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_cut_and_magic_is_read() {
        let source = "-- Databricks notebook source\nSELECT 1;\n-- COMMAND ----------\n-- MAGIC %md\n-- MAGIC # Hello\n-- COMMAND ----------\n-- MAGIC %python\n-- MAGIC x = 1\n-- COMMAND ----------\n-- MAGIC %sh ls";
        assert_eq!(
            cells(Language::Sql, source),
            [
                Cell::Code(Language::Sql, "SELECT 1;".into()),
                Cell::Prose,
                Cell::Code(Language::Python, "\nx = 1".into()),
                Cell::Foreign("sh".into()),
            ]
        );
    }

    #[test]
    fn auto_tells_notebooks_from_files() {
        let notebook = b"# Databricks notebook source\nx = 1";
        assert!(parse("AUTO", "/a/b.py", None, notebook).unwrap().is_some());
        assert!(parse("AUTO", "/a/b.py", None, b"x = 1").unwrap().is_none());
        assert!(parse("AUTO", "/a/b.txt", None, notebook).unwrap().is_none());
        assert_eq!(without_extension("/a/b.py"), "/a/b");
        assert_eq!(without_extension("/a/b.txt"), "/a/b.txt");
    }

    #[test]
    fn jupyter_cells_become_source() {
        let document = br#"{"cells":[{"cell_type":"markdown","source":["hi"]},{"cell_type":"code","source":["SELECT ","1"]}],"metadata":{"language_info":{"name":"sql"}}}"#;
        let (language, source) = parse("JUPYTER", "/a", None, document).unwrap().unwrap();
        assert_eq!((language, source.as_str()), (Language::Sql, "SELECT 1"));
    }
}
