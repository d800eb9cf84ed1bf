//! The plugins that the tests know: the shipped ones' contracts, and a few of the tests' own.

use std::collections::BTreeMap;
use std::sync::Arc;

use lockkeeper_types::Signature;
use lockkeeper_workflow::{Checked, Denied, Diagnostics, Plugins, Source};

pub(crate) struct Fixtures(BTreeMap<String, Signature>);

impl Fixtures {
    pub(crate) fn new() -> Self {
        let all: Vec<Signature> = serde_json::from_str(include_str!("../signatures.json")).unwrap();
        Self(
            all.into_iter()
                .map(|one| (one.plugin.clone(), one))
                .collect(),
        )
    }
}

impl Plugins for Fixtures {
    fn signature(&self, plugin: &str) -> Option<&Signature> {
        self.0.get(plugin)
    }

    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    fn denied(&self, plugin: &str) -> Vec<Denied> {
        if plugin != "hostile" {
            return Vec::new();
        }
        vec![Denied {
            operation: "entra/applications.delete".into(),
            grant: "\"entra/applications\" = [\"delete\"]".into(),
        }]
    }
}

pub(crate) fn load(source: &Arc<Source>) -> Result<Checked, Diagnostics> {
    lockkeeper_workflow::load(source, &Fixtures::new())
}
