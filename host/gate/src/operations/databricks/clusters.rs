//! What a workspace offers to run on (reference/databricks.md, section 13). Nothing writes it.

use std::cmp::Reverse;

use async_trait::async_trait;
use lockkeeper_cloud::Failure;
use lockkeeper_types::Value;
use serde::{Deserialize, Serialize};

use super::get;
use crate::operation::{Context, Object, Placeholders, Read};
use crate::operations::{state, wire};

/// A virtual machine size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct NodeType {
    id: String,
    memory_mb: u32,
    cores: f32,
}

#[derive(Deserialize)]
struct NodeTypes {
    #[serde(default)]
    node_types: Vec<Wire>,
}

#[derive(Deserialize)]
struct Wire {
    node_type_id: String,
    memory_mb: u32,
    num_cores: f32,
    #[serde(default)]
    is_deprecated: bool,
    #[serde(default)]
    is_hidden: bool,
}

/// Node types in use, the smallest first.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListNodeTypes {}

impl ListNodeTypes {
    fn in_use(node_types: Vec<Wire>) -> Vec<NodeType> {
        let in_use = node_types
            .into_iter()
            .filter(|kind| !kind.is_deprecated && !kind.is_hidden);
        let mut in_use: Vec<_> = in_use
            .map(|kind| NodeType {
                id: kind.node_type_id,
                memory_mb: kind.memory_mb,
                cores: kind.num_cores,
            })
            .collect();
        in_use.sort_by(|a, b| {
            a.memory_mb
                .cmp(&b.memory_mb)
                .then(a.cores.total_cmp(&b.cores))
                .then_with(|| a.id.cmp(&b.id))
        });
        in_use
    }
}

#[async_trait]
impl Read for ListNodeTypes {
    const NAME: &'static str = "databricks/clusters.list-node-types";
    type Output = Vec<NodeType>;

    fn object(&self) -> Object {
        Object::new("node types", "workspace")
    }

    async fn send(&self, context: &Context<'_>) -> Result<Self::Output, Failure> {
        let request = get(Self::NAME, "/api/2.1/clusters/list-node-types")?;
        let reply = context.cloud.send(&request).await?;
        let found: NodeTypes = wire::read(Self::NAME, &reply.body)?;
        Ok(Self::in_use(found.node_types))
    }

    fn planned(
        &self,
        state: Option<&Value>,
        _: &Placeholders<'_>,
    ) -> Result<Self::Output, Failure> {
        Ok(state::read_list(state))
    }
}

#[derive(Deserialize)]
struct Versions {
    #[serde(default)]
    versions: Vec<Version>,
}

#[derive(Deserialize)]
struct Version {
    key: String,
    #[serde(default)]
    name: String,
}

impl Version {
    /// `15.4.x-scala2.12`, as opposed to `15.4.x-cpu-ml-scala2.12`.
    fn is_plain(&self) -> bool {
        let rest = self.key.split_once('-').map_or("", |(_, rest)| rest);
        rest.starts_with("scala")
    }

    fn is_long_term(&self) -> bool {
        self.name
            .split(|c: char| !c.is_alphanumeric())
            .any(|word| word == "LTS")
    }

    fn number(&self) -> (u32, u32) {
        let mut parts = self
            .key
            .split(['.', '-'])
            .map(|part| part.parse().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    }
}

/// The keys of the Spark versions: plain runtimes before special ones, of each those with
/// long-term support before others, the newest first.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListSparkVersions {}

impl ListSparkVersions {
    fn in_order(mut versions: Vec<Version>) -> Vec<String> {
        versions.sort_by_cached_key(|version| {
            let number = Reverse(version.number());
            (
                !version.is_plain(),
                !version.is_long_term(),
                number,
                version.key.clone(),
            )
        });
        versions.into_iter().map(|version| version.key).collect()
    }
}

#[async_trait]
impl Read for ListSparkVersions {
    const NAME: &'static str = "databricks/clusters.list-spark-versions";
    type Output = Vec<String>;

    fn object(&self) -> Object {
        Object::new("Spark versions", "workspace")
    }

    async fn send(&self, context: &Context<'_>) -> Result<Self::Output, Failure> {
        let request = get(Self::NAME, "/api/2.1/clusters/spark-versions")?;
        let reply = context.cloud.send(&request).await?;
        let found: Versions = wire::read(Self::NAME, &reply.body)?;
        Ok(Self::in_order(found.versions))
    }

    fn planned(
        &self,
        state: Option<&Value>,
        _: &Placeholders<'_>,
    ) -> Result<Self::Output, Failure> {
        Ok(state::read_list(state))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_smallest_node_in_use_is_first() {
        let found: NodeTypes = serde_json::from_value(json!({ "node_types": [
            { "node_type_id": "big", "memory_mb": 32768, "num_cores": 8.0 },
            { "node_type_id": "old", "memory_mb": 1024, "num_cores": 1.0, "is_deprecated": true },
            { "node_type_id": "small", "memory_mb": 8192, "num_cores": 2 },
            { "node_type_id": "hidden", "memory_mb": 1024, "num_cores": 1.0, "is_hidden": true },
        ] }))
        .unwrap();
        let ids: Vec<_> = ListNodeTypes::in_use(found.node_types)
            .into_iter()
            .map(|kind| kind.id)
            .collect();
        assert_eq!(ids, ["small", "big"]);
    }

    #[test]
    fn the_newest_long_term_version_is_first() {
        let version = |key: &str, name: &str| Version {
            key: key.to_owned(),
            name: name.to_owned(),
        };
        let ordered = ListSparkVersions::in_order(vec![
            version(
                "9.1.x-scala2.12",
                "9.1 LTS (includes Apache Spark 3.1.2, Scala 2.12)",
            ),
            version(
                "16.2.x-scala2.12",
                "16.2 (includes Apache Spark 3.5.2, Scala 2.12)",
            ),
            version(
                "15.4.x-cpu-ml-scala2.12",
                "15.4 LTS ML (includes Apache Spark 3.5.0)",
            ),
            version(
                "15.4.x-scala2.12",
                "15.4 LTS (includes Apache Spark 3.5.0, Scala 2.12)",
            ),
        ]);
        assert_eq!(
            ordered,
            [
                "15.4.x-scala2.12",
                "9.1.x-scala2.12",
                "16.2.x-scala2.12",
                "15.4.x-cpu-ml-scala2.12"
            ]
        );
    }
}
