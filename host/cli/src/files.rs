//! Files, with the path in every error.

use std::path::{Path, PathBuf};

use crate::exit::{Exit, Problem};

fn failed<'a>(what: &'a str, path: &'a Path) -> impl Fn(std::io::Error) -> Problem + 'a {
    move |error| {
        let exit = match error.kind() {
            std::io::ErrorKind::NotFound => Exit::NotFound,
            _ => Exit::Failed,
        };
        Problem::new(exit, format!("cannot {what} {}: {error}", path.display()))
    }
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    std::fs::read(path).map_err(failed("read", path))
}

pub(crate) fn read_to_string(path: &Path) -> Result<String, Problem> {
    std::fs::read_to_string(path).map_err(failed("read", path))
}

pub(crate) fn make_folder(path: &Path) -> Result<(), Problem> {
    std::fs::create_dir_all(path).map_err(failed("make folder", path))
}

/// Writes a file, replacing what was there in one step.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Problem> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let unfinished = PathBuf::from(unfinished);
    std::fs::write(&unfinished, text)
        .and_then(|()| std::fs::rename(&unfinished, path))
        .map_err(failed("write", path))
}

/// The files that `pattern` means below `root`, in order of name: a path, whose last part may
/// hold one `*`.
pub(crate) fn matching(root: &Path, pattern: &str) -> Result<Vec<PathBuf>, Problem> {
    let (folder, name) = pattern.rsplit_once('/').unwrap_or(("", pattern));
    let Some((before, after)) = name.split_once('*') else {
        return Ok(vec![root.join(pattern)]);
    };
    let folder = root.join(folder);
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed("list", &folder))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed("list", &folder))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.len() >= before.len() + after.len()
            && name.starts_with(before)
            && name.ends_with(after)
            && !name.ends_with(".test.toml")
        {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}
