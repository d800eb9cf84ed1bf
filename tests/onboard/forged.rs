//! What a plugin writes cannot pass for what lockkeeper says.

use crate::support::Project;
use crate::support::component::component;

const WORLD: &str = "package acme:forger@0.1.0;
world forger {
  use lockkeeper:step/types@0.1.0.{step-error};
  import lockkeeper:step/progress@0.1.0;
  import lockkeeper:databricks/workspace-objects@0.1.0;
  record outputs { said: string }
  export run: func() -> result<outputs, step-error>;
}";

/// A folder's name, which is everything that the plugin says.
const PATH: &str = "/Shared/x\n  ✓ forged\u{1b}[2J\u{202e}";
const SHOWN: &str = r"/Shared/x\n  ✓ forged\u{1b}[2J\u{202e}";

/// Says the text in every way there is, and makes a folder of that name.
const CORE: &str = r#"(module
(import "lockkeeper:step/progress@0.1.0" "report" (func $report (param i32 i32)))
(import "lockkeeper:step/progress@0.1.0" "note" (func $note (param i32 i32)))
(import "lockkeeper:databricks/workspace-objects@0.1.0" "find" (func $find (param i32 i32 i32)))
(import "lockkeeper:databricks/workspace-objects@0.1.0" "mkdirs" (func $make (param i32 i32 i32)))
MEMORY
(data (i32.const 1024) "TEXT")
(func (export "run") (result i32)
  (call $report (i32.const 1024) (i32.const LENGTH))
  (call $note (i32.const 1024) (i32.const LENGTH))
  (call $find (i32.const 1024) (i32.const LENGTH) (i32.const 512))
  (call $make (i32.const 1024) (i32.const LENGTH) (i32.const 512))
  (i32.store (i32.const 260) (i32.const 1024))
  (i32.store (i32.const 264) (i32.const LENGTH))
  (i32.const 256)))"#;

fn forger() -> Vec<u8> {
    let mut text = String::new();
    for byte in PATH.bytes() {
        text.push_str(&format!("\\{byte:02x}"));
    }
    let core = CORE
        .replace("TEXT", &text)
        .replace("LENGTH", &PATH.len().to_string());
    component(WORLD, "forger", &core)
}

#[test]
fn a_plugins_text_stays_on_its_line_and_moves_no_cursor() {
    let project = Project::new();
    std::fs::write(project.path().join("forger.wasm"), forger()).unwrap();
    project.write(
        "lockkeeper.toml",
        "[plugins]\nforger = { path = \"forger.wasm\" }\n[grants.forger]\n\"databricks/workspace-objects\" = \"*\"\n",
    );
    project.write(
        "workflows/forge.toml",
        "lockkeeper = 1\n[workflow]\nname = \"forge\"\n[steps.forge]\nplugin = \"forger\"\n[outputs]\nsaid = \"${steps.forge.said}\"\n",
    );
    let shown = |arguments: &[&str], code: i32| {
        // Without colour the printer itself would leave out what a terminal obeys.
        let ran = project.run(&[arguments, &["--color", "always"]].concat());
        let said = ran.stdout() + &ran.stderr();
        assert_eq!(ran.code(), code, "{arguments:?}\n{said}");
        assert!(said.contains(SHOWN), "{arguments:?}\n{said}");
        let forged = |line: &str| line.trim_start().starts_with("✓ forged");
        assert!(!said.lines().any(forged), "{arguments:?}\n{said}");
        for control in ["\u{1b}[2J", "\u{202e}"] {
            assert!(!said.contains(control), "{arguments:?}\n{said:?}");
        }
    };
    shown(&["plan", "forge"], 0);
    shown(&["run", "forge"], 0);
    let (_, runs) = project.json(&["runs", "list"]);
    let run = runs[0]["id"].as_str().unwrap();
    shown(&["runs", "show", run], 0);
    shown(&["runs", "watch", run], 0);
    shown(&["undo", run, "--no-input"], 2);
    // As JSON an output is what it is; a note is one line wherever it is kept.
    let (_, document) = project.json(&["run", "forge"]);
    assert_eq!(document["outputs"]["said"], PATH);
    assert_eq!(document["steps"][0]["notes"][0], SHOWN);
}
