use std::collections::{BTreeMap, BTreeSet};

use lockkeeper_runtime::{Runtime, RuntimeOptions};
use lockkeeper_types::Signature;
use lockkeeper_workflow::{Denied, Plugins, Source, load};

use super::*;

/// The shipped plugins, all granted.
struct Shipped(BTreeMap<&'static str, Signature>);

impl Shipped {
    fn read() -> Self {
        let runtime = Runtime::new(RuntimeOptions::default()).unwrap();
        let signature = |plugin: &Builtin| {
            let loaded = runtime.load(plugin.name, plugin.component).unwrap();
            (plugin.name, loaded.signature().clone())
        };
        Self(builtin().iter().map(signature).collect())
    }
}

impl Plugins for Shipped {
    fn signature(&self, plugin: &str) -> Option<&Signature> {
        self.0.get(plugin)
    }

    fn names(&self) -> Vec<String> {
        self.0.keys().map(|name| (*name).to_owned()).collect()
    }

    fn denied(&self, _: &str) -> Vec<Denied> {
        Vec::new()
    }
}

#[test]
fn the_grants_are_exactly_the_imports() {
    let grants: toml::Table = GRANTS.parse().unwrap();
    let granted: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> =
        grants["grants"].clone().try_into().unwrap();

    let mut imported = BTreeMap::new();
    for (name, signature) in Shipped::read().0 {
        let interfaces = signature.imports.into_iter();
        let needing_grants = interfaces.filter(|import| !import.interface.starts_with("step/"));
        let functions: BTreeMap<String, BTreeSet<String>> = needing_grants
            .map(|import| (import.interface, import.functions.into_iter().collect()))
            .collect();
        imported.insert(name.to_owned(), functions);
    }
    assert_eq!(granted, imported);
}

#[test]
fn every_plugin_is_small_and_explains_itself() {
    let shipped = Shipped::read();
    assert_eq!(shipped.0.len(), 6);
    for plugin in builtin() {
        let size = plugin.component.len();
        assert!(size < 250_000, "{} has {size} bytes", plugin.name);
        let signature = &shipped.0[plugin.name];
        assert!(signature.docs.is_some(), "{}", plugin.name);
        let explained = |field: &lockkeeper_types::Field| field.docs.is_some();
        assert!(signature.inputs.iter().any(explained), "{}", plugin.name);
        assert!(signature.outputs.iter().any(explained), "{}", plugin.name);
    }
}

#[test]
fn the_workflows_fit_the_plugins() {
    let shipped = Shipped::read();
    for (name, text) in WORKFLOWS {
        let source = Source::new(format!("workflows/{name}.toml"), *text);
        let checked = load(&source, &shipped).unwrap_or_else(|found| panic!("{found}"));
        assert_eq!(checked.workflow.name.value, *name);
        let warnings: Vec<_> = checked.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings, [""; 0], "{name}");
    }
}
