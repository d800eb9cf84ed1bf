//! Files, with the path in every error.

use std::path::{Path, PathBuf};

use crate::exit::{Exit, Problem};

fn failed<'a>(what: &'a str, path: &'a Path) -> impl Fn(std::io::Error) -> Problem + 'a {
    move |error| {
        let exit = match error.kind() {
            std::io::ErrorKind::NotFound => Exit::NotFound,
            // Text that is no UTF-8.
            std::io::ErrorKind::InvalidData => Exit::Usage,
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

/// The one path of what is there: without links, `.` and `..`.
pub(crate) fn canonical(path: &Path) -> Result<PathBuf, Problem> {
    std::fs::canonicalize(path).map_err(failed("find", path))
}

/// Writes a file, replacing what was there in one step. A link is followed, and what is no regular
/// file, such as a pipe, is written into.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Problem> {
    replace(path, text).map_err(|error| {
        Problem::new(
            Exit::Failed,
            format!("cannot write {}: {error}", path.display()),
        )
    })
}

fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let real = match std::fs::metadata(path) {
        Ok(there) if !there.is_file() => return std::fs::write(path, text),
        Ok(_) => std::fs::canonicalize(path)?,
        // A link to nothing is written through as well.
        Err(_) if path.is_symlink() => return std::fs::write(path, text),
        Err(_) => path.to_owned(),
    };
    let mut unfinished = real.as_os_str().to_owned();
    unfinished.push(".new");
    let unfinished = PathBuf::from(unfinished);
    std::fs::write(&unfinished, text)?;
    std::fs::rename(&unfinished, &real)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_a_link_to_it_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link, dangling) = (
            folder.path().join("file"),
            folder.path().join("link"),
            folder.path().join("dangling"),
        );
        write(&file, "one").unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        std::os::unix::fs::symlink("later", &dangling).unwrap();
        write(&link, "two").unwrap();
        write(&dangling, "three").unwrap();
        assert!(link.is_symlink() && dangling.is_symlink());
        assert_eq!(read_to_string(&file).unwrap(), "two");
        assert_eq!(
            read_to_string(&folder.path().join("later")).unwrap(),
            "three"
        );
        assert!(!folder.path().join("file.new").exists());
    }

    #[test]
    fn a_pipe_is_written_into() {
        use std::os::unix::fs::FileTypeExt as _;
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || std::fs::read_to_string(pipe).unwrap()
        });
        write(&pipe, "through").unwrap();
        assert_eq!(reader.join().unwrap(), "through");
        assert!(std::fs::metadata(&pipe).unwrap().file_type().is_fifo());
    }

    #[test]
    fn a_folder_that_is_not_there_is_no_missing_workflow() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["nowhere/plan.json", ""] {
            let problem = write(&folder.path().join(path), "x").unwrap_err();
            assert_eq!(problem.exit, Exit::Failed);
            assert!(problem.message.starts_with("cannot write "), "{problem:?}");
        }
    }
}
