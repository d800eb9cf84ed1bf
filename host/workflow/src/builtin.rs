//! The variables that every expression can see besides inputs and steps.

use std::sync::LazyLock;

use lockkeeper_types::{Field, Type};

/// The fields of `target`: where the workflow runs.
pub fn target_fields() -> &'static [Field] {
    static FIELDS: LazyLock<Vec<Field>> = LazyLock::new(|| {
        vec![
            field("name", Type::String, "The target's name in lockkeeper.toml"),
            field("tenant_id", Type::Guid, "The Entra tenant"),
            field("workspace_url", Type::Url, "The Databricks workspace"),
        ]
    });
    &FIELDS
}

/// The fields of `run`: this execution of the workflow.
pub fn run_fields() -> &'static [Field] {
    static FIELDS: LazyLock<Vec<Field>> = LazyLock::new(|| {
        vec![
            field("id", Type::String, "The run's short id"),
            field("actor", Type::String, "Who started it"),
            field("started_at", Type::Timestamp, "When it was started"),
            field("target", Type::String, "The target's name"),
        ]
    });
    &FIELDS
}

fn field(name: &str, kind: Type, docs: &str) -> Field {
    Field {
        name: name.to_owned(),
        kind,
        docs: Some(docs.to_owned()),
    }
}
