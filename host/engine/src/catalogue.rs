//! The plugins that a project has, with what the operator grants them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use lockkeeper_gate::{Grants, Policy, Remedy};
use lockkeeper_runtime::{LoadError, Plugin, Runtime};
use lockkeeper_types::Signature;
use lockkeeper_workflow::{Denied, Plugins, Step};

/// A plugin's component, not loaded yet.
#[derive(Clone, Debug)]
pub struct Component {
    /// The plugin's name.
    pub name: String,
    /// The component's bytes.
    pub bytes: Cow<'static, [u8]>,
}

/// Loaded plugins and the operator's policy.
pub struct Catalogue {
    plugins: BTreeMap<String, Plugin>,
    policy: Policy,
}

impl Catalogue {
    /// Loads `components`. All that cannot be loaded are reported.
    pub fn load(
        runtime: &Runtime,
        components: Vec<Component>,
        policy: Policy,
    ) -> Result<Self, Vec<LoadError>> {
        let mut plugins = BTreeMap::new();
        let mut errors = Vec::new();
        for component in components {
            match runtime.load(&component.name, &component.bytes) {
                Ok(plugin) => {
                    plugins.insert(component.name, plugin);
                }
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() {
            Ok(Self { plugins, policy })
        } else {
            Err(errors)
        }
    }

    /// Has a step's plugin compiled and linked in the background, so that the step does not have to
    /// wait for it.
    pub fn link_ahead(&self, step: Option<&Step>) {
        if let Some(plugin) = step.and_then(|step| self.plugin(&step.plugin)).cloned() {
            tokio::task::spawn_blocking(move || plugin.link());
        }
    }

    /// The plugin of that name.
    pub fn plugin(&self, name: &str) -> Option<&Plugin> {
        self.plugins.get(name)
    }

    /// What the plugin of that name may do.
    pub fn grants(&self, name: &str) -> Grants {
        self.policy.grants(name)
    }

    /// Every plugin's contract, by name.
    pub fn signatures(&self) -> impl Iterator<Item = &Signature> {
        self.plugins.values().map(Plugin::signature)
    }
}

impl Plugins for Catalogue {
    fn signature(&self, plugin: &str) -> Option<&Signature> {
        self.plugin(plugin).map(Plugin::signature)
    }

    fn names(&self) -> Vec<String> {
        self.plugins.keys().cloned().collect()
    }

    fn denied(&self, plugin: &str) -> Vec<Denied> {
        let Some(signature) = self.signature(plugin) else {
            return Vec::new();
        };
        self.grants(plugin)
            .missing(&signature.imports)
            .into_iter()
            .map(|denial| Denied {
                operation: denial.operation,
                grant: match denial.remedy {
                    Remedy::Add(line) | Remedy::Change { to: line, .. } => line,
                },
            })
            .collect()
    }
}
