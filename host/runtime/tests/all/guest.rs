//! Builds small plugins from a WIT world and a core module in text form.

use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{PackageMetadata, Resolve};

/// What the test plugins import beside `lockkeeper:step`.
const PROBE: &str = "
package lockkeeper:test@0.1.0;
interface probe {
  use lockkeeper:step/types@0.1.0.{secret, error, step-error, application-id, duration, timestamp};

  enum colour { red, dark-blue }
  flags mode { can-read, can-write, can-run }
  variant shape { point, circle(u32), named-box(string) }
  record inner { long-name: string, size: option<u8> }
  record all {
    truth: bool,
    a: u8, b: s8, c: u16, d: s16, e: u32, f: s32, g: u64, h: s64,
    single: f32, double: f64, letter: char, text: string,
    texts: list<string>, some: option<u32>, none: option<u32>,
    inner: inner, pair: tuple<string, u8>, pairs: list<tuple<string, string>>,
    colour: colour, mode: mode, shapes: list<shape>,
    good: result<u8, string>, bad: result<u8, string>, done: result,
    secret: secret, secrets: list<secret>,
    id: application-id, ids: list<application-id>, wait: duration, at: timestamp,
    maybe-id: option<application-id>,
  }

  reflect: func(all: all) -> result<all, error>;
  fail: func() -> result<_, step-error>;
  make: func() -> secret;
  take: func(value: borrow<secret>);
  give: func(value: secret);
}
";

/// The subset of WASI that the test plugins import.
const WASI: [&str; 6] = [
    "package wasi:random@0.2.6; interface random { get-random-u64: func() -> u64; get-random-bytes: func(len: u64) -> list<u8>; }",
    "package wasi:http@0.2.6; interface types { go: func(); }",
    "package wasi:sockets@0.2.6; interface tcp { go: func(); }",
    "package wasi:io@0.2.6;
     interface error { resource error; }
     interface poll { resource pollable { block: func(); } }
     interface streams {
       use error.{error};
       variant stream-error { last-operation-failed(error), closed }
       resource output-stream { blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>; }
     }",
    "package wasi:cli@0.2.6;
     interface stdout { use wasi:io/streams@0.2.6.{output-stream}; get-stdout: func() -> output-stream; }
     interface exit { exit: func(status: result); }",
    "package wasi:clocks@0.2.6;
     interface wall-clock { record datetime { seconds: u64, nanoseconds: u32 } now: func() -> datetime; }
     interface monotonic-clock { use wasi:io/poll@0.2.6.{pollable}; now: func() -> u64; subscribe-duration: func(when: u64) -> pollable; }",
];

/// A memory at 0 (zeros up to 1024, data up to 4096) and an allocator that only goes up.
pub(crate) const MEMORY: &str = r#"
(memory (export "memory") 1)
(global $top (mut i32) (i32.const 4096))
(func $alloc (export "cabi_realloc") (param i32 i32) (param $align i32) (param $size i32) (result i32)
  (local $at i32)
  (local.set $at (i32.and
    (i32.add (global.get $top) (i32.sub (local.get $align) (i32.const 1)))
    (i32.sub (i32.const 0) (local.get $align))))
  (global.set $top (i32.add (local.get $at) (local.get $size)))
  (block $enough (loop $grow
    (br_if $enough (i32.le_u (global.get $top) (i32.mul (memory.size) (i32.const 65536))))
    (drop (memory.grow (i32.const 1)))
    (br $grow)))
  (local.get $at))
"#;

/// A component of a world in package `acme:guest`, whose items are `world` and whose core module
/// is `core`; with its doc comments.
pub(crate) fn component(world: &str, core: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let step = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/step/step.wit");
    resolve.push_path(step).unwrap();
    resolve.push_str("probe.wit", PROBE).unwrap();
    for wasi in WASI {
        resolve.push_str("wasi.wit", wasi).unwrap();
    }
    let other = "package acme:other@1.0.0; interface things { go: func(); }";
    resolve.push_str("other.wit", other).unwrap();
    let source =
        format!("package acme:guest@0.1.0;\n/// What the guest does.\nworld guest {{ {world} }}");
    let package = resolve.push_str("guest.wit", &source).unwrap();
    let selected = resolve.select_world(&[package], Some("guest")).unwrap();

    let mut module = wat::parse_str(format!("(module {core})")).unwrap();
    embed_component_metadata(&mut module, &resolve, selected, StringEncoding::UTF8).unwrap();
    let mut bytes = ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .unwrap()
        .encode()
        .unwrap();
    let docs = PackageMetadata::extract(&resolve, package)
        .encode()
        .unwrap();
    append_section(&mut bytes, PackageMetadata::SECTION_NAME, &docs);
    bytes
}

/// A component whose `run` takes and gives nothing, with `imports` and the core function's
/// `body`, which leaves the address of the result: 0 for success.
pub(crate) fn plain(world: &str, imports: &str, body: &str) -> Vec<u8> {
    component(
        &format!(
            "use lockkeeper:step/types@0.1.0.{{step-error}};
             {world}
             export run: func() -> result<_, step-error>;"
        ),
        &format!(r#"{imports} {MEMORY} (func $run (export "run") (result i32) {body})"#),
    )
}

/// Appends a custom section to a component.
pub(crate) fn append_section(bytes: &mut Vec<u8>, name: &str, data: &[u8]) {
    let mut section = Vec::new();
    leb(&mut section, name.len());
    section.extend_from_slice(name.as_bytes());
    section.extend_from_slice(data);
    bytes.push(0);
    leb(bytes, section.len());
    bytes.extend_from_slice(&section);
}

fn leb(bytes: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        bytes.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).unwrap());
}
