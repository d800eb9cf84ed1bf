//! Components that no toolchain would make, from text.

use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// What a core module has that is handed text and lists: the memory, of which what is below 4096 is
/// its own, and the function by which it is handed more.
const MEMORY: &str = r#"
(memory (export "memory") 1)
(global $top (mut i32) (i32.const 4096))
(func (export "cabi_realloc") (param i32 i32) (param $align i32) (param $size i32) (result i32)
  (local $at i32)
  (local.set $at (i32.and
    (i32.add (global.get $top) (i32.sub (local.get $align) (i32.const 1)))
    (i32.sub (i32.const 0) (local.get $align))))
  (global.set $top (i32.add (local.get $at) (local.get $size)))
  (local.get $at))"#;

/// The core module `core`, in which `MEMORY` stands for a memory, as a component of the world `name`
/// in the WIT text `world`, which may name the shipped packages.
pub fn component(world: &str, name: &str, core: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    for package in ["step", "entra", "azure", "databricks"] {
        resolve.push_path(wit.join(package)).unwrap();
    }
    let package = resolve.push_str("world.wit", world).unwrap();
    let world = resolve.select_world(&[package], Some(name)).unwrap();
    let mut module = wat::parse_str(core.replace("MEMORY", MEMORY)).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .unwrap()
        .encode()
        .unwrap()
}
