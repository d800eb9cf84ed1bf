use std::collections::{BTreeMap, BTreeSet};

use wit_parser::decoding::{DecodedWasm, decode};
use wit_parser::{Resolve, TypeDefKind, WorldId, WorldItem, WorldKey};

use super::*;

/// What a component imports of lockkeeper's, without the interfaces that need no grant.
fn imports(resolve: &Resolve, world: WorldId) -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::new();
    for (key, item) in &resolve.worlds[world].imports {
        let (WorldKey::Interface(_), WorldItem::Interface { id, .. }) = (key, item) else {
            continue;
        };
        let interface = &resolve.interfaces[*id];
        let package = &resolve.packages[interface.package.unwrap()].name;
        if package.namespace == "lockkeeper"
            && package.name != "step"
            && !interface.functions.is_empty()
        {
            let name = format!("{}/{}", package.name, interface.name.as_ref().unwrap());
            found.insert(name, interface.functions.keys().cloned().collect());
        }
    }
    found
}

fn decoded(plugin: &Builtin) -> (Resolve, WorldId) {
    match decode(plugin.component).unwrap() {
        DecodedWasm::Component(resolve, world) => (resolve, world),
        DecodedWasm::WitPackage(..) => panic!("{} is no component", plugin.name),
    }
}

#[test]
fn the_grants_are_exactly_the_imports() {
    let grants: toml::Table = GRANTS.parse().unwrap();
    let granted: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> =
        grants["grants"].clone().try_into().unwrap();
    let mut imported = BTreeMap::new();
    for plugin in builtin() {
        let (resolve, world) = decoded(plugin);
        imported.insert(plugin.name.to_owned(), imports(&resolve, world));
    }
    assert_eq!(granted, imported);
}

#[test]
fn every_plugin_is_small_and_exports_run() {
    for plugin in builtin() {
        let size = plugin.component.len();
        assert!(size < 250_000, "{} has {size} bytes", plugin.name);
        let (resolve, world) = decoded(plugin);
        let exports: Vec<_> = resolve.worlds[world].exports.keys().collect();
        assert_eq!(
            exports,
            [&WorldKey::Name("run".to_owned())],
            "{}",
            plugin.name
        );
    }
}

#[test]
fn no_plugin_reaches_clocks_files_or_the_network() {
    for plugin in builtin() {
        let (resolve, _) = decoded(plugin);
        for (_, package) in &resolve.packages {
            let name = &package.name;
            let fits = name.namespace == "lockkeeper"
                || name.namespace == "root"
                || ["io", "cli"].contains(&name.name.as_str());
            assert!(fits, "{} imports {name}", plugin.name);
        }
    }
}

#[test]
fn every_plugin_carries_what_its_world_says() {
    for plugin in builtin() {
        let (resolve, world) = decoded(plugin);
        let world = &resolve.worlds[world];
        let docs = world.docs.contents.as_deref();
        assert!(
            docs.is_some_and(|docs| docs.len() > 40),
            "{}: {docs:?}",
            plugin.name
        );
        let WorldItem::Type { id, .. } = world.imports[&WorldKey::Name("inputs".to_owned())] else {
            panic!("{} has no inputs", plugin.name);
        };
        let TypeDefKind::Record(inputs) = &resolve.types[id].kind else {
            panic!("the inputs of {} are no record", plugin.name);
        };
        assert!(
            inputs
                .fields
                .iter()
                .any(|field| field.docs.contents.is_some()),
            "{}",
            plugin.name
        );
    }
}

#[test]
fn the_workflows_are_named_as_they_name_themselves() {
    for (name, text) in WORKFLOWS {
        let workflow: toml::Table = text.parse().unwrap();
        assert_eq!(workflow["workflow"]["name"].as_str(), Some(*name));
        for (step, table) in workflow["steps"].as_table().unwrap() {
            let wanted = table["plugin"].as_str().unwrap();
            let is_there = builtin().iter().any(|plugin| plugin.name == wanted);
            assert!(is_there, "{name}: step {step} wants {wanted}");
        }
    }
}
