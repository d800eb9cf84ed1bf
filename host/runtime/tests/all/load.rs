//! What is refused before any code runs, and in which words.

use lockkeeper_runtime::{LoadError, Problem, Runtime, RuntimeOptions};

use crate::cache::only_file;
use crate::guest::{MEMORY, append_section, component, plain};

fn refused(bytes: &[u8]) -> LoadError {
    let runtime = Runtime::new(RuntimeOptions::default()).unwrap();
    match runtime.load("guest", bytes) {
        Err(error) => error,
        Ok(_) => panic!("it was loaded"),
    }
}

#[test]
fn imports_that_no_plugin_gets() {
    let cases = [
        ("wasi:http/types@0.2.6", "no network"),
        ("wasi:sockets/tcp@0.2.6", "no network"),
        ("acme:other/things@1.0.0", "only lockkeeper interfaces"),
    ];
    for (import, why) in cases {
        let bytes = plain(
            &format!("import {import};"),
            &format!(r#"(import "{import}" "go" (func $go))"#),
            "(call $go) (i32.const 0)",
        );
        let error = refused(&bytes);
        assert_eq!(error.problem.code(), "LK9534");
        let text = error.to_string();
        assert!(text.contains(import) && text.contains(why), "{text}");
    }
}

#[test]
fn a_single_function_is_no_interface() {
    let bytes = plain(
        "import go: func();",
        r#"(import "$root" "go" (func $go))"#,
        "(call $go) (i32.const 0)",
    );
    let text = refused(&bytes).to_string();
    assert!(text.contains("imports interfaces"), "{text}");
}

#[test]
fn other_contracts() {
    let refuse = |world: &str, core: &str| {
        refused(&component(world, &format!("{MEMORY} {core}"))).to_string()
    };
    let text = refuse("export go: func();", r#"(func (export "go"))"#);
    assert!(text.contains("it exports no `run`"), "{text}");
    let text = refuse(
        "export run: func() -> u32;",
        r#"(func (export "run") (result i32) (i32.const 0))"#,
    );
    assert!(text.contains("something else than a result"), "{text}");
    let text = refuse(
        "export run: func() -> result<_, string>;",
        r#"(func (export "run") (result i32) (i32.const 0))"#,
    );
    assert!(text.contains("step-error"), "{text}");
    let text = refuse(
        "use lockkeeper:step/types@0.1.0.{step-error}; export run: func(a: u32, b: u32) -> result<_, step-error>;",
        r#"(func (export "run") (param i32 i32) (result i32) (i32.const 0))"#,
    );
    assert!(text.contains("one record"), "{text}");
}

#[test]
fn an_adopt_that_does_not_go_with_run() {
    let refuse = |adopt: &str, core: &str| {
        let world = format!(
            "use lockkeeper:step/types@0.1.0.{{step-error}};
             record inputs {{ name: string }} record others {{ name: u32 }}
             export run: func(inputs: inputs) -> result<_, step-error>;
             export adopt: {adopt};"
        );
        let run = r#"(func (export "run") (param i32 i32) (result i32) (i32.const 0))"#;
        refused(&component(&world, &format!("{MEMORY} {run} {core}"))).to_string()
    };
    for (adopt, params) in [
        ("func(inputs: inputs)", "i32 i32"),
        ("func(id: string)", "i32 i32"),
        ("func(inputs: others, id: string)", "i32 i32 i32"),
    ] {
        let core =
            format!(r#"(func (export "adopt") (param {params}) (result i32) (i32.const 0))"#);
        let text = refuse(&format!("{adopt} -> result<_, step-error>"), &core);
        assert!(text.contains("the inputs of `run` and an id"), "{text}");
    }
    for given in ["result<u32, step-error>", "result"] {
        let text = refuse(
            &format!("func(inputs: inputs, id: string) -> {given}"),
            r#"(func (export "adopt") (param i32 i32 i32 i32) (result i32) (i32.const 0))"#,
        );
        assert!(text.contains("result<_, step-error>"), "{text}");
    }
    let text = refuse(
        "func(inputs: inputs, id: string) -> u32",
        r#"(func (export "adopt") (param i32 i32 i32 i32) (result i32) (i32.const 0))"#,
    );
    assert!(text.contains("something else than a result"), "{text}");
}

#[test]
fn bytes_that_are_something_else() {
    let core = wat::parse_str("(module)").unwrap();
    assert_eq!(
        refused(&core).problem,
        Problem::NotComponent("a core module")
    );
    assert_eq!(
        refused(b"").problem,
        Problem::NotComponent("something else")
    );
    assert_eq!(
        refused(b"#!/bin/sh").problem,
        Problem::NotComponent("something else")
    );

    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let runtime = Runtime::new(RuntimeOptions {
        cache: Some(cache.clone()),
    })
    .unwrap();
    runtime
        .load("guest", plain("", "", "(i32.const 0)"))
        .unwrap();
    let artifact = std::fs::read(only_file(&cache, "cwasm")).unwrap();
    assert_eq!(
        refused(&artifact).problem,
        Problem::NotComponent("a compiled artifact")
    );
}

fn too_large(bytes: &[u8]) -> &'static str {
    match refused(bytes).problem {
        Problem::TooLarge {
            what,
            allowed,
            found,
        } => {
            assert!(found > allowed, "{what}: {found} of {allowed}");
            what
        }
        other => panic!("{other:?}"),
    }
}

/// Plugins that would make compiling or instantiating dear.
#[test]
fn bombs() {
    let long = format!("{} (i32.const 0)", "(nop)".repeat(300_000));
    assert_eq!(too_large(&plain("", "", &long)), "bytes in one function");

    let locals = format!("(local {}) (i32.const 0)", "i64 ".repeat(9_000));
    assert_eq!(too_large(&plain("", "", &locals)), "locals in one function");

    let functions = wat::parse_str(format!(
        "(component (core module {}))",
        "(func)".repeat(60_001)
    ))
    .unwrap();
    assert_eq!(too_large(&functions), "functions");

    let nested = format!("{}{}", "(component ".repeat(20), ")".repeat(20));
    assert_eq!(
        too_large(&wat::parse_str(nested).unwrap()),
        "levels of nested components"
    );

    let memory = wat::parse_str("(component (core module (memory 65536)))").unwrap();
    assert_eq!(too_large(&memory), "pages of memory at its start");

    let memories = format!("(component {})", "(core module (memory 1))".repeat(20));
    assert_eq!(too_large(&wat::parse_str(memories).unwrap()), "memories");

    let table = wat::parse_str("(component (core module (table 4000000000 funcref)))").unwrap();
    assert_eq!(too_large(&table), "table elements at its start");

    let mut sections = plain("", "", "(i32.const 0)");
    append_section(&mut sections, "ballast", &vec![0; 9 << 20]);
    assert_eq!(too_large(&sections), "bytes in custom sections");

    append_section(&mut sections, "ballast", &vec![0; 30 << 20]);
    assert_eq!(too_large(&sections), "bytes");
}

#[test]
fn parts_of_the_canonical_abi_that_plugins_may_not_use() {
    let component = |options: &str| {
        wat::parse_str(format!(
            r#"(component
                 (core module $m (memory (export "memory") 1)
                   (func (export "run") (result i32) i32.const 0)
                   (func (export "callback") (param i32 i32 i32) (result i32) i32.const 0))
                 (core instance $i (instantiate $m))
                 (func (export "run") {options}))"#
        ))
        .unwrap()
    };
    let lift = |options: &str| {
        refused(&component(&format!(
            r#"(canon lift (core func $i "run") (memory $i "memory") {options})"#
        )))
        .problem
    };
    assert_eq!(
        lift(r#"async (callback (func $i "callback"))"#),
        Problem::Feature("asynchronous functions")
    );
    assert_eq!(
        lift("string-encoding=utf16"),
        Problem::Feature("strings that are not UTF-8")
    );
    assert_eq!(
        lift("string-encoding=latin1+utf16"),
        Problem::Feature("strings that are not UTF-8")
    );
}
