//! Compiled plugins are kept, found again, and made anew when they are not whole.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use lockkeeper_runtime::{Budget, Ended, Runtime, RuntimeOptions};
use lockkeeper_types::Signature;
use serde_json::json;

use crate::guest::plain;
use crate::host::{Recorder, seed};

fn runtime(folder: &Path) -> Runtime {
    Runtime::new(RuntimeOptions {
        cache: Some(folder.to_owned()),
    })
    .unwrap()
}

/// The one file in the folder whose name ends so.
pub(crate) fn only_file(folder: &Path, extension: &str) -> PathBuf {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|file| file.extension().is_some_and(|found| found == extension));
    let [file] = files.as_slice() else {
        panic!("{files:?}")
    };
    file.clone()
}

#[tokio::test]
async fn a_compiled_plugin_is_used_again_while_it_is_whole() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("compiled");
    let bytes = plain("", "", "(i32.const 0)");

    runtime(&folder).load("guest", &bytes).unwrap();
    let file = only_file(&folder, "cwasm");
    let first = fs::metadata(&file).unwrap().ino();
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o077, 0);

    let plugin = runtime(&folder).load("guest", &bytes).unwrap();
    assert_eq!(
        fs::metadata(only_file(&folder, "cwasm")).unwrap().ino(),
        first
    );
    let ran = plugin
        .run(Recorder::silent(), json!({}), &Budget::default(), seed(1))
        .await;
    assert!(matches!(ran.ended, Ended::Outputs(_)), "{:?}", ran.ended);

    let whole = fs::read(&file).unwrap();
    let mut other_version = whole.clone();
    // Where wasmtime writes its own major version: a format byte, the length, the text.
    let at = whole
        .windows(4)
        .position(|part| part == [0, 2, b'4', b'8'])
        .unwrap();
    other_version[at + 3] = b'7';
    for broken in [&whole[..whole.len() / 2], &other_version, b"", b"text"] {
        // A new file: plugins that run keep using the one they were loaded from.
        fs::remove_file(&file).unwrap();
        fs::write(&file, broken).unwrap();
        let plugin = runtime(&folder).load("guest", &bytes).unwrap();
        let ran = plugin
            .run(Recorder::silent(), json!({}), &Budget::default(), seed(1))
            .await;
        assert!(matches!(ran.ended, Ended::Outputs(_)), "{:?}", ran.ended);
        assert_eq!(
            fs::read(only_file(&folder, "cwasm")).unwrap().len(),
            whole.len()
        );
    }
}

#[tokio::test]
async fn a_plugin_whose_signature_is_kept_is_compiled_when_it_runs() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("compiled");
    let bytes = plain("", "", "(i32.const 0)");
    let first = runtime(&folder).load("guest", &bytes).unwrap();
    let kept = only_file(&folder, "json");
    assert_eq!(fs::metadata(&kept).unwrap().mode() & 0o077, 0);
    fs::remove_file(only_file(&folder, "cwasm")).unwrap();

    let again = runtime(&folder).load("another", &bytes).unwrap();
    let expected = Signature {
        plugin: "another".to_owned(),
        ..first.signature().clone()
    };
    assert_eq!(*again.signature(), expected);
    let kept_now = fs::read_dir(&folder).unwrap().count();
    assert_eq!(kept_now, 1, "nothing is compiled for a signature");
    let ran = again
        .run(Recorder::silent(), json!({}), &Budget::default(), seed(1))
        .await;
    assert!(matches!(ran.ended, Ended::Outputs(_)), "{:?}", ran.ended);
    only_file(&folder, "cwasm");

    for broken in ["", "{}", "text"] {
        fs::write(&kept, broken).unwrap();
        let read = runtime(&folder).load("guest", &bytes).unwrap();
        assert_eq!(read.signature(), first.signature(), "{broken:?}");
    }
    let mut signature = serde_json::to_value(first.signature()).unwrap();
    signature["digest"] = "ab".repeat(32).into();
    fs::write(&kept, signature.to_string()).unwrap();
    let read = runtime(&folder).load("guest", &bytes).unwrap();
    assert_eq!(read.signature(), first.signature(), "of another component");
}
