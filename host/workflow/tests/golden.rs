//! Every `golden/x.toml` gives exactly the diagnostics in `golden/x.err`, or none if there is no
//! such file. `BLESS=1` writes what is found.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on panics"
)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use lockkeeper_workflow::{CODES, Diagnostic, Source};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn files() -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    files
}

fn diagnostics(path: &Path) -> Vec<Diagnostic> {
    let name = path.file_name().unwrap().to_str().unwrap();
    match common::load(&Source::new(name, fs::read_to_string(path).unwrap())) {
        Ok(checked) => checked.warnings,
        Err(found) => found.0,
    }
}

#[test]
fn files_give_their_diagnostics() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = Vec::new();
    for path in files() {
        let rendered: Vec<_> = diagnostics(&path)
            .iter()
            .map(|one| one.render(false))
            .collect();
        let rendered = if rendered.is_empty() {
            String::new()
        } else {
            format!("{}\n", rendered.join("\n\n"))
        };
        let golden = path.with_extension("err");
        if bless {
            if !rendered.is_empty() {
                fs::write(&golden, &rendered).unwrap();
            } else if golden.exists() {
                fs::remove_file(&golden).unwrap();
            }
        } else if fs::read_to_string(&golden).unwrap_or_default() != rendered {
            wrong.push(format!("{}:\n{rendered}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_code_has_a_file_that_gives_it() {
    let given: BTreeSet<_> = files()
        .iter()
        .flat_map(|path| diagnostics(path))
        .map(|one| one.code)
        .collect();
    let checked: BTreeSet<_> = CODES
        .iter()
        .copied()
        // The others are given by crates above this one, or while a workflow runs.
        .filter(|code| *code <= "LK0401")
        .collect();
    assert_eq!(given, checked);
}

#[test]
fn twelve_mistakes_are_found_in_one_go() {
    let text = fs::read_to_string(folder().join("twelve.toml")).unwrap();
    let found = common::load(&Source::new("twelve.toml", text.as_str()))
        .unwrap_err()
        .0;
    let places: Vec<_> = found
        .iter()
        .map(|one| (one.code, &text[one.span.clone()]))
        .collect();
    assert_eq!(
        places,
        [
            ("LK0102", "ownerz"),
            ("LK0103", "\"strng\""),
            ("LK0209", "\"statging\""),
            ("LK0107", "test-run"),
            ("LK0201", "app_nam"),
            ("LK0202", "regster"),
            ("LK0203", "appid"),
            ("LK0204", "steps.register.object_id"),
            ("LK0206", "inputs.storage"),
            ("LK0301", "steps.register.client_secret"),
            ("LK0108", "="),
            ("LK0211", "\"tset-run\""),
        ]
    );
}

/// Whatever an expression is made of, it is refused or checked on a thread's 2 MiB of stack.
#[test]
fn expressions_are_bounded() {
    let chain = |first: &str, link: &str, count: usize| format!("{first}{}", link.repeat(count));
    let nested = |open: &str, close: &str, count: usize| {
        format!("{}1{}", open.repeat(count), close.repeat(count))
    };
    let mut refused = Vec::new();
    for count in [90, 100, 101, 500, 1_200, 5_000, 100_000] {
        for (kind, expression) in [
            ("+", chain("1", "+1", count)),
            ("==", chain("1", "==1", count)),
            ("[]", chain("steps", "[0]", count)),
            ("call", chain("'a'", ".size()", count)),
            ("field", chain("size('a')", ".a", count)),
            ("path", chain("inputs.a", ".a", count)),
            ("||", chain("true", "||true", count)),
            ("!", chain("", "!", count) + "true"),
            ("-", chain("", "- ", count) + "1"),
            ("?:", chain("", "true?1:", count) + "1"),
            ("()", nested("(", ")", count)),
            ("list", nested("[", "]", count)),
            ("map", nested("{1:", "}", count)),
            ("argument", nested("size(", ")", count)),
            ("macro", nested("[1].all(x,", ")", count)),
            ("both", nested("(1+", ")", count)),
        ] {
            let text = format!(
                "lockkeeper = 1\n[workflow]\nname = \"a\"\n[outputs]\na = \"${{{expression}}}\"\n"
            );
            let load = move || match common::load(&Source::new("a.toml", text)) {
                Ok(_) => None,
                Err(found) => Some(found.0[0].to_string()),
            };
            let found = std::thread::Builder::new()
                .stack_size(2 << 20)
                .spawn(load)
                .unwrap()
                .join()
                .unwrap();
            refused.push((kind, count, found));
        }
    }
    let found = |kind: &str, count: usize| {
        let found = refused.iter().find(|one| (one.0, one.1) == (kind, count));
        found.unwrap().2.clone().unwrap_or_default()
    };
    assert_eq!(found("+", 100), "");
    assert_eq!(
        found("+", 101),
        "error[LK0108]: in this expression 101 operators build on each other, and 100 are the most (a.toml:5:8)"
    );
    assert_eq!(
        found("+", 5_000),
        "error[LK0108]: this expression is 10001 bytes long, and 4000 are the most (a.toml:5:8)"
    );
    assert!(found("()", 500).contains("nested too deeply"));
    assert_eq!(found("||", 500), "");
}
