//! What waits for what.

use std::collections::BTreeMap;

use crate::Workflow;

pub(crate) fn order(workflow: &Workflow) -> BTreeMap<&str, Vec<&str>> {
    workflow
        .steps
        .iter()
        .map(|step| (step.name.as_str(), Vec::new()))
        .collect()
}
